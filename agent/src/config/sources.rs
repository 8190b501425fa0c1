//! Where values come from, and which of them counts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::{Table, Value};

use super::{ConfigError, DEFAULT_TOML};
use crate::env_vars;

/// A key that earlier versions had, with what to say instead. Where it was true it is refused, because what it allowed is
/// not there any more; anything else it said is the default.
const RETIRED: (&str, &str, &str) = (
    "http.allow_lan",
    "BREAKWATER_AGENT_HTTP_ALLOW_LAN",
    "is retired: set http.tills to \"paired\", and pair each till with `breakwater-agent till pair-code`",
);

/// What the configuration is made of, besides the defaults.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The file, if one is named.
    pub file: Option<PathBuf>,
    /// The environment; what is not ours is ignored.
    pub env: BTreeMap<String, String>,
    /// Key and value of each flag that was given.
    pub flags: Vec<(&'static str, String)>,
}

impl Sources {
    /// The defaults alone.
    pub fn none() -> Self {
        Self { file: None, env: BTreeMap::new(), flags: Vec::new() }
    }

    /// Puts the layers over each other, and names the keys and variables that nobody knows.
    pub(super) fn values(&self) -> Result<(Values, Vec<String>), ConfigError> {
        let defaults: Table = DEFAULT_TOML.parse().expect("a test parses the defaults");
        let (mut unknown, mut problems) = (Vec::new(), Vec::new());
        let (retired, retired_variable, instead) = RETIRED;
        let mut found: BTreeMap<String, (Value, String)> =
            flatten(&defaults).into_iter().map(|(key, value)| (key, (value, "the defaults".to_owned()))).collect();
        if let Some(path) = &self.file {
            let text =
                std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
            let table: Table =
                text.parse().map_err(|source| ConfigError::Parse { path: path.clone(), source: Box::new(source) })?;
            for (key, value) in flatten(&table) {
                let origin = path.display().to_string();
                if key == retired && value.as_bool() == Some(true) {
                    problems.push(format!("{key} (from {origin}): {instead}"));
                    continue;
                }
                match found.get_mut(&key) {
                    Some(known) => *known = (value, origin),
                    None => unknown.push(format!("{origin}: the key {key} is unknown and changes nothing")),
                }
            }
        }
        for (key, variable) in env_vars::KEYS {
            if let Some(value) = self.env.get(variable) {
                found.insert(key.to_owned(), (Value::String(value.clone()), format!("the variable {variable}")));
            }
        }
        let known =
            |name: &str| name == env_vars::CONFIG || env_vars::KEYS.iter().any(|(_, variable)| *variable == name);
        for name in self.env.keys().filter(|name| name.starts_with(env_vars::PREFIX) && !known(name)) {
            unknown.push(format!("the variable {name} is unknown and changes nothing"));
        }
        if self.env.get(retired_variable).is_some_and(|value| value == "true") {
            problems.push(format!("{retired} (from the variable {retired_variable}): {instead}"));
        }
        for (key, value) in &self.flags {
            found.insert((*key).to_owned(), (Value::String(value.clone()), "the command line".to_owned()));
        }
        Ok((Values { found, problems }, unknown))
    }
}

/// A table as keys with their path.
pub(super) fn flatten(table: &Table) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    let mut open = vec![(String::new(), table)];
    while let Some((path, table)) = open.pop() {
        for (key, value) in table {
            let key = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match value {
                Value::Table(table) => open.push((key, table)),
                value => drop(flat.insert(key, value.clone())),
            }
        }
    }
    flat
}

/// The values that count, and what is wrong with them.
#[derive(Debug)]
pub(super) struct Values {
    found: BTreeMap<String, (Value, String)>,
    problems: Vec<String>,
}

impl Values {
    /// A text that has to be there.
    pub(super) fn text<T, E: std::fmt::Display>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.string(key)?;
        if text.is_empty() {
            self.problem(key, "is empty");
            return None;
        }
        self.parsed(key, parse(&text))
    }

    /// A text that may be empty.
    pub(super) fn optional<T, E: std::fmt::Display>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Option<T>> {
        let text = self.string(key)?;
        if text.is_empty() { Some(None) } else { self.parsed(key, parse(&text)).map(Some) }
    }

    /// Tables of which there may be any number. They come from the file alone.
    pub(super) fn tables(&mut self, key: &str) -> Option<Vec<Table>> {
        let all = match self.found.get(key).map(|(value, _)| value) {
            Some(Value::Array(all)) => {
                all.iter().map(|one| if let Value::Table(table) = one { Some(table.clone()) } else { None }).collect()
            }
            _ => None,
        };
        if all.is_none() {
            self.problem(key, &format!("is not written as tables [[{key}]]"));
        }
        all
    }

    /// A list of tables; in a variable or flag the text of one, as TOML writes it.
    pub(super) fn list(&mut self, key: &str) -> Option<Vec<Value>> {
        let list = match self.found.get(key).map(|(value, _)| value) {
            Some(Value::Array(list)) => Some(list.clone()),
            Some(Value::String(text)) => {
                let table = format!("list = {text}").parse::<Table>().ok();
                table.and_then(|table| table.get("list").and_then(Value::as_array).cloned())
            }
            _ => None,
        };
        if list.is_none() {
            self.problem(key, "is not a list of tables");
        }
        list
    }

    /// Notes what is wrong with a value.
    pub(super) fn problem(&mut self, key: &str, problem: &str) {
        let origin = self.found.get(key).map_or("nowhere", |(_, origin)| origin.as_str());
        let text = format!("{key} (from {origin}): {problem}");
        self.problems.push(text);
    }

    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    pub(super) fn into_problems(self) -> Vec<String> {
        self.problems
    }

    fn string(&mut self, key: &str) -> Option<String> {
        if let Some((Value::String(text), _)) = self.found.get(key) {
            return Some(text.clone());
        }
        self.problem(key, "is not text in quotes");
        None
    }

    fn parsed<T, E: std::fmt::Display>(&mut self, key: &str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.problem(key, &error.to_string())).ok()
    }
}
