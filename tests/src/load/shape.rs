//! A shape of load: how many stores, how much they sell over time, and what happens to them. A TOML file; those of
//! `packaging/load-shapes/` are part of the program.

mod written;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::Deserialize;
use sync_core::Random;

use self::written::{Written, WrittenLine, WrittenSales};
use super::curve::{Curve, Point};
use super::span::span;
use super::story::{Part, Poison};

/// A day, in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// The shapes that are part of the program.
const BUILT_IN: [(&str, &str); 8] = [
    ("steady", include_str!("../../../packaging/load-shapes/steady.toml")),
    ("member-day", include_str!("../../../packaging/load-shapes/member-day.toml")),
    ("surge", include_str!("../../../packaging/load-shapes/surge.toml")),
    ("outage", include_str!("../../../packaging/load-shapes/outage.toml")),
    ("flap", include_str!("../../../packaging/load-shapes/flap.toml")),
    ("poison", include_str!("../../../packaging/load-shapes/poison.toml")),
    ("flood", include_str!("../../../packaging/load-shapes/flood.toml")),
    ("clock", include_str!("../../../packaging/load-shapes/clock.toml")),
];

/// A store that is unlike the others. The first stores of a run are the odd ones, in the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Odd {
    /// It sends what cannot be applied.
    Poison {
        /// One sale in so many.
        every: u64,
        /// Its own sales per second; those of an ordinary store without it.
        per_s: Option<u32>,
    },
    /// It sends far more than others.
    Flood {
        /// Its own sales per second.
        per_s: u32,
        /// How often it sends each batch.
        #[serde(default = "one")]
        copies: u32,
    },
    /// Its clock is wrong.
    Clock {
        /// By so many days; behind, if negative.
        off_days: i64,
        /// Its own sales per second; those of an ordinary store without it.
        per_s: Option<u32>,
    },
}

fn one() -> u32 {
    1
}

impl Odd {
    fn per_s(self) -> Option<u32> {
        match self {
            Self::Poison { per_s, .. } | Self::Clock { per_s, .. } => per_s,
            Self::Flood { per_s, .. } => Some(per_s),
        }
    }

    /// In words.
    pub fn describe(self) -> String {
        match self {
            Self::Poison { every, .. } => format!("one sale in {every} cannot be applied"),
            Self::Flood { per_s, copies } => format!("{per_s} sales/s, each batch sent {copies} times"),
            Self::Clock { off_days, .. } => format!("its clock is {off_days} days off"),
        }
    }
}

/// A cut of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// From when on, in milliseconds since the beginning. At zero the stores were never connected.
    pub from_ms: u64,
    /// When the first line is back.
    pub until_ms: u64,
    /// Within how much more time the others are.
    pub within_ms: u64,
    /// How many stores in a hundred it takes.
    pub percent: u64,
}

/// A shape of load that can be played.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Its title.
    pub title: String,
    /// What it is, in a sentence.
    pub about: String,
    /// Stores, the odd ones among them.
    pub stores: u64,
    /// For how long they sell, in milliseconds.
    pub lasts_ms: u64,
    /// How long the centre may take afterwards until it has everything, in milliseconds.
    pub drains_ms: u64,
    /// The rate of all ordinary stores together.
    pub points: Vec<Point>,
    /// Sales that each store made before.
    pub backlog: u64,
    /// Over how much time.
    pub backlog_ms: u64,
    /// Cuts of lines.
    pub cuts: Vec<Cut>,
    /// The stores that are unlike the others.
    pub odd: Vec<Odd>,
}

impl Shape {
    /// The names of the shapes that are part of the program.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Finds a shape: by its name, or in a file.
    pub fn find(name: &str) -> anyhow::Result<Self> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Self::parse(text).map_err(anyhow::Error::msg);
        }
        let names = Self::names().collect::<Vec<_>>().join(", ");
        let read = std::fs::read_to_string(Path::new(name));
        let text = read.with_context(|| format!("read {name:?}, which is no file and none of {names}"))?;
        Self::parse(&text).map_err(|problems| anyhow::anyhow!("{name}: {problems}"))
    }

    /// Reads a shape. The error names everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| error.to_string())?;
        let problems = written.problems();
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        let points = written.sales.iter();
        let point = |sales: &WrittenSales| Point { at_ms: sales.at.ms(), milli_per_s: u64::from(sales.per_s) * 1000 };
        let cut = |line: &WrittenLine| Cut {
            from_ms: line.cut.ms(),
            until_ms: line.back.ms(),
            within_ms: line.within.ms(),
            percent: line.percent.unwrap_or(100),
        };
        Ok(Self {
            stores: written.stores,
            lasts_ms: written.lasts.ms(),
            drains_ms: written.drains.ms(),
            points: points.map(point).collect(),
            backlog: written.backlog.map_or(0, |backlog| backlog.per_store),
            backlog_ms: written.backlog.map_or(0, |backlog| backlog.over.ms()),
            cuts: written.line.iter().map(cut).collect(),
            title: written.title,
            about: written.about,
            odd: written.odd,
        })
    }

    /// The same with another number of stores, each selling as much as before, and then so many hundredths of that.
    #[must_use]
    pub fn scaled(mut self, stores: Option<u64>, percent: u64) -> Self {
        let wanted = stores.unwrap_or(self.stores).max(self.odd.len() as u64 + 1);
        for point in &mut self.points {
            point.milli_per_s = point.milli_per_s * wanted * percent / (self.stores.max(1) * 100);
        }
        self.stores = wanted;
        self
    }

    /// The same with another length.
    #[must_use]
    pub fn lasting(mut self, lasts_ms: Option<u64>) -> Self {
        self.lasts_ms = lasts_ms.unwrap_or(self.lasts_ms);
        self
    }

    /// What each store does.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        let ordinary = self.stores - self.odd.len() as u64;
        let shared = Arc::new(Curve::new(&self.points, self.lasts_ms));
        (0..self.stores).map(move |number| {
            let odd = usize::try_from(number).ok().and_then(|number| self.odd.get(number)).copied();
            let own = odd.and_then(Odd::per_s).map(|per_s| {
                let point = Point { at_ms: 0, milli_per_s: u64::from(per_s) * 1000 };
                Arc::new(Curve::new(&[point], self.lasts_ms))
            });
            Part {
                number,
                backlog: self.backlog,
                share: if own.is_some() { 1 } else { ordinary },
                curve: own.unwrap_or_else(|| Arc::clone(&shared)),
                clock_off_ms: match odd {
                    Some(Odd::Clock { off_days, .. }) => off_days * DAY_MS,
                    _ => 0,
                },
                poison: match odd {
                    Some(Odd::Poison { every, .. }) => Some(Poison { every }),
                    _ => None,
                },
            }
        })
    }

    /// How a store is unlike the others.
    pub fn odd(&self, number: u64) -> Option<Odd> {
        usize::try_from(number).ok().and_then(|number| self.odd.get(number)).copied()
    }

    /// When a store has no line: spans in milliseconds since the beginning, in order, not touching.
    pub fn away(&self, number: u64, seed: u64) -> Vec<(u64, u64)> {
        let mut spans: Vec<(u64, u64)> = Vec::new();
        for (index, cut) in (0..).zip(&self.cuts) {
            // Whoever is cut by one event is cut by the next one of the same size too.
            let place = Random::new(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).below(100);
            if place < cut.percent {
                let mut random = Random::new(seed ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ index);
                spans.push((cut.from_ms, cut.until_ms + random.below(cut.within_ms + 1)));
            }
        }
        spans.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (from, until) in spans {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => joined.push((from, until)),
            }
        }
        joined
    }

    /// What happens, for the eye: moments in milliseconds and words.
    pub fn happenings(&self) -> Vec<(u64, String)> {
        let mut happenings = Vec::new();
        for cut in &self.cuts {
            let who = if cut.percent == 100 { "all stores".to_owned() } else { format!("{} % of stores", cut.percent) };
            if cut.from_ms > 0 {
                happenings.push((cut.from_ms, format!("{who} cut off")));
            }
            happenings.push((cut.until_ms, format!("{who} come back")));
        }
        happenings.push((self.lasts_ms, "selling ends".to_owned()));
        happenings.sort();
        happenings
    }

    /// The shape in words, a line for each thing.
    pub fn describe(&self) -> String {
        let mut text = format!("{}: {}\n", self.title, self.about);
        let sales = Curve::new(&self.points, self.lasts_ms).sum(self.lasts_ms) / 1_000_000;
        let _ = writeln!(text, "{} stores, {sales} sales in {}", self.stores, span(self.lasts_ms));
        if self.backlog > 0 {
            let _ = writeln!(text, "{} sales in each store before, over {}", self.backlog, span(self.backlog_ms));
        }
        for (at_ms, what) in self.happenings() {
            let _ = writeln!(text, "at {}: {what}", span(at_ms));
        }
        for (number, odd) in self.odd.iter().enumerate() {
            let _ = writeln!(text, "store {}: {}", number + 1, odd.describe());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_of_the_program_can_be_played() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/load-shapes");
        let files = std::fs::read_dir(folder).expect("the folder").count();
        assert_eq!(files, BUILT_IN.len(), "a shape of the folder is not part of the program");
        for name in Shape::names() {
            let shape = Shape::find(name).expect(name);
            assert!(shape.describe().contains("sales"), "{name}");
            assert_eq!(shape.parts().count() as u64, shape.stores, "{name}");
        }
        assert!(Shape::find("no-such").expect_err("unknown").to_string().contains("member-day"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        #[track_caller]
        fn check(change: &str, to: &str, words: &str) {
            let text = "title = \"x\"\nstores = 10\nlasts = \"10s\"\ndrains = \"1s\"\n[[sales]]\nat = \"0s\"\nper_s = 1\n\
                [[line]]\ncut = \"1s\"\nback = \"2s\"\n[[odd]]\nkind = \"poison\"\nevery = 2\n";
            Shape::parse(text).expect("the text itself can be played");
            let changed = text.replacen(change, to, 1);
            assert_ne!(changed, text, "{change} is not in the text");
            let problems = Shape::parse(&changed).expect_err("wrong");
            assert!(problems.contains(words), "{problems:?} does not say {words:?}");
        }
        check("stores = 10\n", "stores = 0\n", "stores is not between 1 and 28000");
        check("\"10s\"", "\"0s\"", "lasts is zero");
        check("\"10s\"", "\"ten seconds\"", "is not a duration such as");
        check("\"10s\"", "\"400d\"", "longer than a year");
        check(
            "at = \"0s\"\nper_s = 1\n",
            "at = \"5s\"\nper_s = 1\n[[sales]]\nat = \"1s\"\nper_s = 1\n",
            "stand behind",
        );
        check("per_s = 1", "per_s = -1", "-1");
        check("back = \"2s\"", "back = \"1s\"", "is back at 1s, which is not later");
        check("back = \"2s\"", "back = \"1h\"", "is not back before the run ends");
        check("back = \"2s\"", "back = \"2s\"\npercent = 101", "a percent of 101");
        check("every = 2", "every = 1", "every = 2 or more");
        check("stores = 10\n", "stores = 1\n", "no ordinary stores");
        check("title", "tittle", "unknown field `tittle`");
        check("\"poison\"", "\"poisen\"", "unknown variant `poisen`");
    }

    #[test]
    fn a_smaller_chain_sells_as_much_in_each_store() {
        let shape = Shape::find("steady").expect("known").scaled(Some(100), 50);
        assert_eq!((shape.stores, shape.points[0].milli_per_s), (100, 5_000));
        let all: u64 = shape.parts().map(|part| part.share).max().expect("some");
        assert_eq!(all, 100);
    }

    #[test]
    fn lines_come_back_within_their_time() {
        let shape = Shape::find("outage").expect("known");
        let backs: Vec<u64> = (0..1000)
            .map(|number| {
                let away = shape.away(number, 1);
                assert_eq!((away.len(), away[0].0), (1, 0));
                away[0].1
            })
            .collect();
        let (first, last) = (backs.iter().min().expect("some"), backs.iter().max().expect("some"));
        assert!(*first >= 10_000 && *first < 12_000 && *last > 68_000 && *last <= 70_000, "{first} {last}");
        let shape = Shape::find("flap").expect("known");
        let cut = (0..1000).filter(|number| shape.away(*number, 1).len() == 2).count();
        assert!((280..380).contains(&cut), "{cut}");
    }
}
