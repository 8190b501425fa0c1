//! What a run did: a line per step, their hash, and how often each thing worth seeing was seen.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use sync_core::Instant;

/// The steps of a run. Two runs are the same if their digests are.
#[derive(Debug)]
pub(super) struct Trace {
    hasher: blake3::Hasher,
    line: String,
    print: bool,
    steps: u64,
}

impl Trace {
    /// Starts; `print` writes each line to the standard output too.
    pub(super) fn new(print: bool) -> Self {
        Self { hasher: blake3::Hasher::new(), line: String::new(), print, steps: 0 }
    }

    /// Notes a step.
    pub(super) fn note(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        self.steps += 1;
        self.line.clear();
        let written = write!(self.line, "{:>10} {what}", now.ms());
        written.expect("writing to a string cannot fail");
        self.hasher.update(self.line.as_bytes());
        self.hasher.update(b"\n");
        if self.print {
            println!("{}", self.line);
        }
    }

    /// The hash over all lines.
    pub(super) fn digest(&self) -> String {
        self.hasher.finalize().to_hex()[..16].to_owned()
    }

    /// How many lines there are.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }
}

/// How often each thing worth seeing was seen. A simulation that never reaches a state proves nothing about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    /// Something was seen.
    pub fn saw(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// How often it was.
    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Adds what another run saw.
    pub fn merge(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// Which of these were never seen.
    pub fn missing<'a>(&self, wanted: &[&'a str]) -> Vec<&'a str> {
        wanted.iter().filter(|what| self.count(what) == 0).copied().collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(f, "{count:>10}  {what}"))
    }
}
