//! The layers of the configuration, one over the other, before anything is checked. `default.toml` has every setting, so
//! whatever a file names beside them is unknown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{ConfigError, DEFAULT};
use crate::env_vars;

/// What flags say; they come before everything else.
#[derive(Debug, Default, Clone)]
pub struct Flags {
    /// The data folder.
    pub data_dir: Option<PathBuf>,
    /// The HTTP address.
    pub http: Option<String>,
    /// The MQTT address.
    pub mqtt: Option<String>,
    /// The log's filter.
    pub log: Option<String>,
}

/// All settings, and what was said that is none.
#[derive(Debug)]
pub struct Layered {
    pub(super) settings: Table,
    /// Where each setting comes from that is not a default.
    pub(super) origins: BTreeMap<String, String>,
    /// What was said that names no setting.
    pub warnings: Vec<String>,
}

pub(super) fn defaults() -> Table {
    DEFAULT.parse().expect("the embedded file is TOML, a test reads it")
}

/// Puts the layers together. `env` is the environment; what is not ours in it is ignored.
pub fn layer(
    file: Option<(&Path, String)>,
    env: &BTreeMap<String, String>,
    flags: &Flags,
) -> Result<Layered, ConfigError> {
    let mut layered = Layered { settings: defaults(), origins: BTreeMap::new(), warnings: Vec::new() };
    if let Some((path, text)) = file {
        let own = text.parse().map_err(|source| ConfigError::Parse { path: path.to_owned(), source })?;
        let (mut named, mut unknown) = (Vec::new(), Vec::new());
        merge(&mut layered.settings, own, "", &mut named, &mut unknown);
        let origin = path.display().to_string();
        layered.origins.extend(named.into_iter().map(|path| (path, origin.clone())));
        layered.warnings.extend(unknown.into_iter().map(|path| format!("{origin} names {path}, which is no setting")));
    }
    for (name, path) in env_vars::SETTINGS {
        if let Some(text) = env.get(name) {
            layered.set(path, text.clone(), format!("the variable {name}"));
        }
    }
    for name in env.keys().filter(|name| env_vars::is_slip(name)) {
        layered.warnings.push(format!("the variable {name} names no setting"));
    }
    let data_dir = flags.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned());
    for (value, path) in [
        (&data_dir, "data_dir"),
        (&flags.http, "http.listen"),
        (&flags.mqtt, "mqtt.listen"),
        (&flags.log, "log.filter"),
    ] {
        if let Some(value) = value {
            layered.set(path, value.clone(), "the command line".to_owned());
        }
    }
    Ok(layered)
}

impl Layered {
    fn set(&mut self, path: &str, text: String, origin: String) {
        if let Some(setting) = find(&mut self.settings, path) {
            *setting = read_as(setting, text);
            self.origins.insert(path.to_owned(), origin);
        }
    }
}

fn merge(under: &mut Table, over: Table, path: &str, named: &mut Vec<String>, unknown: &mut Vec<String>) {
    for (key, value) in over {
        let here = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over, &here, named, unknown),
            (Some(setting), value) => {
                *setting = value;
                named.push(here);
            }
            (None, _) => unknown.push(here),
        }
    }
}

/// The setting of this path, or the section.
pub(super) fn find<'t>(table: &'t mut Table, path: &str) -> Option<&'t mut Value> {
    match path.split_once('.') {
        None => table.get_mut(path),
        Some((first, rest)) => find(table.get_mut(first)?.as_table_mut()?, rest),
    }
}

/// A variable has the type of the setting that it overrides; one that cannot be read so stays text, and is refused as
/// such.
fn read_as(setting: &Value, text: String) -> Value {
    let read = match setting {
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        _ => None,
    };
    read.unwrap_or(Value::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(table: &Table, path: &str, found: &mut Vec<String>) {
        for (key, value) in table {
            let here = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match value {
                Value::Table(table) => paths(table, &here, found),
                _ => found.push(here),
            }
        }
    }

    #[test]
    fn each_setting_has_its_variable() {
        let mut settings = Vec::new();
        paths(&DEFAULT.parse().expect("TOML"), "", &mut settings);
        let mut variables: Vec<_> = env_vars::SETTINGS.iter().map(|(_, path)| (*path).to_owned()).collect();
        settings.sort();
        variables.sort();
        assert_eq!(settings, variables);
        for (name, path) in env_vars::SETTINGS {
            assert_eq!(name, format!("BREAKWATER_{}", path.replace('.', "_").to_uppercase()));
        }
    }

    fn env<const N: usize>(variables: [(&str, &str); N]) -> BTreeMap<String, String> {
        variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn later_layers_win() {
        let file =
            Some((Path::new("f"), "[http]\nlisten = \"file\"\n[mqtt]\nlisten = \"file\"\nconnects_burst = 7".into()));
        let env = env([("BREAKWATER_MQTT_LISTEN", "variable"), ("BREAKWATER_MQTT_CONNECTS_PER_SECOND", "9")]);
        let flags = Flags { data_dir: Some("flag".into()), ..Flags::default() };
        let mut layered = layer(file, &env, &flags).expect("valid");
        assert_eq!(layered.warnings, [] as [&str; 0]);
        let mut text = |path: &str| find(&mut layered.settings, path).expect("a setting").to_string();
        assert_eq!(text("http.listen"), "\"file\"");
        assert_eq!(text("mqtt.listen"), "\"variable\"");
        assert_eq!((text("mqtt.connects_burst"), text("mqtt.connects_per_second")), ("7".into(), "9".into()));
        assert_eq!(text("data_dir"), "\"flag\"");
        assert_eq!(text("log.filter"), "\"info\"");
        let from = ["data_dir", "mqtt.listen", "http.listen", "log.filter"].map(|path| layered.origins.get(path));
        let from = from.map(|origin| origin.map_or("-", String::as_str));
        assert_eq!(from, ["the command line", "the variable BREAKWATER_MQTT_LISTEN", "f", "-"]);
    }

    #[test]
    fn what_is_no_setting_is_named() {
        let file = Some((Path::new("f"), "x = 1\n[http]\nlisten = \"a\"\nport = 5\n[web]\na = 1".to_owned()));
        let env = env([
            ("BREAKWATER_HTTP_PORT", "80"),
            ("BREAKWATER_AGENT_HTTP_LISTEN", "of the agent"),
            ("BREAKWATER_DATA", "of the tests"),
            ("PATH", "of the shell"),
        ]);
        let layered = layer(file, &env, &Flags::default()).expect("TOML");
        let said = ["http.port", "web", "x"].map(|path| format!("f names {path}, which is no setting"));
        let said: Vec<String> =
            said.into_iter().chain(["the variable BREAKWATER_HTTP_PORT names no setting".to_owned()]).collect();
        assert_eq!(layered.warnings, said);
        let error = layer(Some((Path::new("f"), "=".into())), &env, &Flags::default()).expect_err("not TOML");
        assert!(matches!(error, ConfigError::Parse { .. }));
    }
}
