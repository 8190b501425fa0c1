//! The layers of the configuration, one over the other, before anything is checked. `default.toml` has every setting, so
//! whatever a file names beside them is unknown.

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
    /// Paths in the file that name no setting.
    pub unknown: Vec<String>,
}

/// Puts the layers together. `variable` reads the environment.
pub fn layer(
    file: Option<(&Path, String)>,
    variable: impl Fn(&str) -> Option<String>,
    flags: &Flags,
) -> Result<Layered, ConfigError> {
    let mut settings: Table = DEFAULT.parse().expect("the embedded file is TOML, a test reads it");
    let mut unknown = Vec::new();
    if let Some((path, text)) = file {
        let own = text.parse().map_err(|source| ConfigError::Parse { path: path.to_owned(), source })?;
        merge(&mut settings, own, "", &mut unknown);
    }
    for (name, path) in env_vars::SETTINGS {
        if let Some(text) = variable(name) {
            let setting = find(&mut settings, path).expect("a test keeps variables and settings alike");
            *setting = read_as(setting, text).map_err(|problem| ConfigError::Environment { name, problem })?;
        }
    }
    let data_dir = flags.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned());
    for (value, path) in [
        (&data_dir, "data_dir"),
        (&flags.http, "http.listen"),
        (&flags.mqtt, "mqtt.listen"),
        (&flags.log, "log.filter"),
    ] {
        if let (Some(value), Some(setting)) = (value, find(&mut settings, path)) {
            *setting = Value::String(value.clone());
        }
    }
    Ok(Layered { settings, unknown })
}

fn merge(under: &mut Table, over: Table, path: &str, unknown: &mut Vec<String>) {
    for (key, value) in over {
        let here = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over, &here, unknown),
            (Some(setting), value) => *setting = value,
            (None, _) => unknown.push(here),
        }
    }
}

fn find<'t>(table: &'t mut Table, path: &str) -> Option<&'t mut Value> {
    match path.split_once('.') {
        None => table.get_mut(path),
        Some((first, rest)) => find(table.get_mut(first)?.as_table_mut()?, rest),
    }
}

/// A variable has the type of the setting that it overrides.
fn read_as(setting: &Value, text: String) -> Result<Value, String> {
    match setting {
        Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| format!("{text:?} is not a whole number")),
        Value::Boolean(_) => {
            text.parse().map(Value::Boolean).map_err(|_| format!("{text:?} is neither true nor false"))
        }
        _ => Ok(Value::String(text)),
    }
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

    #[test]
    fn later_layers_win() {
        let file =
            Some((Path::new("f"), "[http]\nlisten = \"file\"\n[mqtt]\nlisten = \"file\"\nconnects_burst = 7".into()));
        let variable = |name: &str| match name {
            "BREAKWATER_MQTT_LISTEN" => Some("variable".to_owned()),
            "BREAKWATER_MQTT_CONNECTS_PER_SECOND" => Some("9".to_owned()),
            _ => None,
        };
        let flags = Flags { data_dir: Some("flag".into()), ..Flags::default() };
        let mut layered = layer(file, variable, &flags).expect("valid");
        let mut text = |path: &str| find(&mut layered.settings, path).expect("a setting").to_string();
        assert_eq!(text("http.listen"), "\"file\"");
        assert_eq!(text("mqtt.listen"), "\"variable\"");
        assert_eq!((text("mqtt.connects_burst"), text("mqtt.connects_per_second")), ("7".into(), "9".into()));
        assert_eq!(text("data_dir"), "\"flag\"");
        assert_eq!(text("log.filter"), "\"info\"");
    }

    #[test]
    fn what_is_no_setting_is_named() {
        let file = Some((Path::new("f"), "x = 1\n[http]\nlisten = \"a\"\nport = 5\n[web]\na = 1".to_owned()));
        let layered = layer(file, |_| None, &Flags::default()).expect("TOML");
        assert_eq!(layered.unknown, ["http.port", "web", "x"]);
        let error = layer(None, |_| Some("many".into()), &Flags::default()).expect_err("not a number");
        assert!(error.to_string().contains("is neither true nor false"), "{error}");
        let error = layer(Some((Path::new("f"), "=".into())), |_| None, &Flags::default()).expect_err("not TOML");
        assert!(matches!(error, ConfigError::Parse { .. }));
    }
}
