//! What is wrong with the settings, all of it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::ConfigError;
use super::layers::{Layered, defaults, find};

/// Collects what is wrong, each with the setting's value and where that comes from.
#[derive(Debug)]
pub(super) struct Problems {
    settings: Table,
    origins: BTreeMap<String, String>,
    found: Vec<String>,
}

impl Problems {
    /// Reads settings into their types. What has the wrong form is noted, and read as its default, so that the others
    /// are looked at too.
    pub(super) fn read<T: DeserializeOwned>(layered: Layered) -> (T, Self) {
        let Layered { settings, origins, .. } = layered;
        let mut problems = Self { settings, origins, found: Vec::new() };
        let mut sound = problems.settings.clone();
        loop {
            match serde_path_to_error::deserialize(sound.clone()) {
                Ok(read) => return (read, problems),
                Err(error) => {
                    let path = error.path().to_string();
                    problems.note(&path, error.inner().message().trim());
                    // Whatever cannot be put right one by one is put right as a whole; the defaults can be read.
                    match (find(&mut sound, &path), find(&mut defaults(), &path)) {
                        (Some(wrong), Some(default)) if wrong != default => *wrong = default.clone(),
                        _ => sound = defaults(),
                    }
                }
            }
        }
    }

    /// Notes what is wrong with a setting.
    pub(super) fn note(&mut self, path: &str, problem: &str) {
        let value = find(&mut self.settings, path).map_or_else(String::new, |value| format!(" = {}", short(value)));
        let origin = self.origins.get(path).map_or_else(String::new, |origin| format!(" (from {origin})"));
        self.found.push(format!("{path}{value}{origin}: {problem}"));
    }

    /// Notes what is wrong with a setting whose value is nobody's business.
    pub(super) fn note_secret(&mut self, path: &str, problem: &str) {
        let origin = self.origins.get(path).map_or_else(String::new, |origin| format!(" (from {origin})"));
        self.found.push(format!("{path}{origin}: {problem}"));
    }

    /// Whether nothing that a section says was noted so far.
    pub(super) fn is_clear(&self, section: &str) -> bool {
        !self.found.iter().any(|problem| problem.split(['.', ' ', ':']).next() == Some(section))
    }

    /// Takes a value, or notes what is wrong with it.
    pub(super) fn keep<T: Default>(&mut self, path: &str, value: Result<T, String>) -> T {
        value.unwrap_or_else(|problem| {
            self.note(path, &problem);
            T::default()
        })
    }

    /// Fails if something is wrong.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        if self.found.is_empty() { Ok(()) } else { Err(ConfigError::Values(self.found)) }
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::Table(_) => "{...}".to_owned(),
        value => value.to_string(),
    }
}
