//! The file of a shape: what may stand in it, and what is wrong with it.

use serde::Deserialize;

use super::Odd;
use crate::load::span::Span;

/// Stores of one run. Each needs a connection, of which one address has not many more.
const STORES_MAX: u64 = 28_000;

/// Sales of one store's backlog; far more than any store makes in a year would only cost the check at the end.
const BACKLOG_MAX: u64 = 1_000_000;

/// A shape, read and not yet checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) title: String,
    #[serde(default)]
    pub(super) about: String,
    pub(super) stores: u64,
    pub(super) lasts: Span,
    pub(super) drains: Span,
    #[serde(default)]
    pub(super) sales: Vec<WrittenSales>,
    pub(super) backlog: Option<WrittenBacklog>,
    #[serde(default)]
    pub(super) line: Vec<WrittenLine>,
    #[serde(default)]
    pub(super) odd: Vec<Odd>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSales {
    pub(super) at: Span,
    pub(super) per_s: u32,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenBacklog {
    pub(super) per_store: u64,
    pub(super) over: Span,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenLine {
    pub(super) cut: Span,
    pub(super) back: Span,
    #[serde(default)]
    pub(super) within: Span,
    pub(super) percent: Option<u64>,
}

impl Written {
    /// Everything that is wrong with it, in words.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut say = |wrong: bool, words: String| {
            if wrong {
                problems.push(words);
            }
        };
        say(self.title.trim().is_empty(), "title is empty".to_owned());
        say(!(1..=STORES_MAX).contains(&self.stores), format!("stores is not between 1 and {STORES_MAX}"));
        say(self.lasts.0.is_zero(), "lasts is zero: the stores have to sell for a while".to_owned());
        say(self.drains.0.is_zero(), "drains is zero: the centre needs time to take in what is left".to_owned());
        say(
            self.sales.is_empty() && self.backlog.is_none() && self.odd.is_empty(),
            "nothing is sold: name [[sales]], a [backlog] or an [[odd]] store".to_owned(),
        );
        for pair in self.sales.windows(2) {
            say(pair[1].at.0 < pair[0].at.0, format!("sales at {} stand behind sales at {}", pair[1].at, pair[0].at));
        }
        if let Some(backlog) = self.backlog {
            say(backlog.per_store > BACKLOG_MAX, format!("backlog.per_store is above {BACKLOG_MAX}"));
            let crowded = u128::from(backlog.per_store) > backlog.over.0.as_millis();
            say(crowded, "backlog.over has less than a millisecond for each sale".to_owned());
        }
        for line in &self.line {
            let name = format!("the line that is cut at {}", line.cut);
            say(line.back.0 <= line.cut.0, format!("{name} is back at {}, which is not later", line.back));
            say(line.back.0 > self.lasts.0 + self.drains.0, format!("{name} is not back before the run ends"));
            let percent = line.percent.unwrap_or(100);
            say(!(1..=100).contains(&percent), format!("{name} has a percent of {percent}, not between 1 and 100"));
        }
        say(self.odd.len() as u64 >= self.stores, "there are no ordinary stores beside the odd ones".to_owned());
        for odd in &self.odd {
            match odd {
                Odd::Poison { every, .. } => {
                    say(*every < 2, "an odd store with poison needs every = 2 or more".to_owned());
                }
                Odd::Flood { copies, .. } => {
                    say(!(1..=1000).contains(copies), "an odd store that floods sends 1 to 1000 copies".to_owned());
                }
                Odd::Clock { off_days, .. } => {
                    let limit = 36_525;
                    say(off_days.abs() > limit, format!("an odd store's clock is off by more than {limit} days"));
                }
            }
        }
        problems
    }
}
