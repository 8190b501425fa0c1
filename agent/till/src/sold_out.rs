//! What is sold out, or is counted down to the last one.
//!
//! An entry names an article, an option or an ingredient, and what may still be sold of it: nothing, or so much. It blocks
//! every line that needs more, wherever the line comes from. It holds until somebody takes it back, or until the next
//! business day begins.
//!
//! A day is a business date. An entry that holds for a day holds on that date and on every earlier one: a clock that is set
//! back brings nothing back into sale. [`SoldOut::turn`] then moves the entry to the earlier date, so that it ends with
//! the day that is lived, not with the day that a wrong clock showed.

use std::collections::BTreeMap;
use std::fmt;

use pos_model::{BusinessDate, InvalidId, ItemId, Nth, Quantity, Sku};
use pricing::PricedLine;

use crate::Line;

/// Entries of one store: more than a large menu has articles, options and ingredients.
pub const ENTRIES_MAX: usize = 2_000;

/// Names that a refusal spells out.
const NAMES_SHOWN: usize = 3;

/// What can be sold out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// An article.
    Sku(Sku),
    /// An option, by its code.
    Option(Sku),
    /// An ingredient.
    Item(ItemId),
}

/// Which kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartKind {
    /// An article.
    Sku,
    /// An option.
    Option,
    /// An ingredient.
    Item,
}

impl PartKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sku, Self::Option, Self::Item];

    /// The word under which it is stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sku => "sku",
            Self::Option => "option",
            Self::Item => "item",
        }
    }

    /// Reads that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The key under which a screen finds its own words.
    pub const fn message_key(self) -> &'static str {
        match self {
            Self::Sku => "sold_out.sku",
            Self::Option => "sold_out.option",
            Self::Item => "sold_out.item",
        }
    }
}

impl Part {
    /// The part of a kind with a code.
    pub fn new(kind: PartKind, code: &str) -> Result<Self, InvalidId> {
        Ok(match kind {
            PartKind::Sku => Self::Sku(Sku::new(code)?),
            PartKind::Option => Self::Option(Sku::new(code)?),
            PartKind::Item => Self::Item(ItemId::new(code)?),
        })
    }

    /// Its kind.
    pub const fn kind(&self) -> PartKind {
        match self {
            Self::Sku(_) => PartKind::Sku,
            Self::Option(_) => PartKind::Option,
            Self::Item(_) => PartKind::Item,
        }
    }

    /// Its code.
    pub fn code(&self) -> &str {
        match self {
            Self::Sku(code) | Self::Option(code) => code.as_str(),
            Self::Item(code) => code.as_str(),
        }
    }
}

/// Until when an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until somebody takes it back.
    Cleared,
    /// To the end of this business date.
    EndOf(BusinessDate),
}

impl Until {
    /// Whether it holds on a business date.
    pub fn holds_on(self, today: BusinessDate) -> bool {
        match self {
            Self::Cleared => true,
            Self::EndOf(day) => today <= day,
        }
    }
}

/// What may still be sold of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// So much; nothing means sold out. Units of an article or an option, base units of an ingredient.
    pub left: Quantity,
    /// Until when.
    pub until: Until,
}

impl Entry {
    /// Whether there is nothing left.
    pub const fn is_sold_out(&self) -> bool {
        self.left.micro() <= 0
    }
}

/// What a line needs, by which it may be sold out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Each part with its name and how much of it is needed, for the whole line; above zero.
    parts: Vec<(Part, String, Quantity)>,
}

impl Needs {
    /// What a line needs: its article, its options (a code and a name for each), and its ingredients, exploded.
    pub fn new<'a>(
        (sku, name): (&Sku, &str),
        quantity: Quantity,
        options: impl IntoIterator<Item = (&'a Sku, &'a str)>,
        consumption: impl IntoIterator<Item = (&'a ItemId, Quantity)>,
    ) -> Self {
        let article = (Part::Sku(sku.clone()), name.to_owned(), quantity);
        let options = options.into_iter().map(|(code, name)| (Part::Option(code.clone()), name.to_owned(), quantity));
        let items = consumption.into_iter().map(|(id, used)| (Part::Item(id.clone()), id.to_string(), used));
        let parts = std::iter::once(article).chain(options).chain(items).filter(|(.., need)| need.micro() > 0);
        Self { parts: parts.collect() }
    }
}

impl From<&Line> for Needs {
    fn from(line: &Line) -> Self {
        Self::new(
            (&line.sku, &line.name),
            line.quantity,
            line.options.iter().map(|option| (&option.code, option.name.as_str())),
            line.consumption.iter().map(|used| (&used.item_id, used.quantity)),
        )
    }
}

impl From<&PricedLine> for Needs {
    fn from(line: &PricedLine) -> Self {
        Self::new(
            (&line.sku, &line.name),
            line.quantity,
            line.options.iter().map(|option| (&option.code, option.name.as_str())),
            line.consumption.iter().map(|(item, used)| (item, *used)),
        )
    }
}

/// Something that a line needs and that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The line, from zero.
    pub line: usize,
    /// What it is.
    pub part: Part,
    /// Its name, or its code where no name is known.
    pub name: String,
    /// How much of it is left for this line; nothing if it is sold out.
    pub left: Quantity,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, name, left, .. } = self;
        write!(f, "{name} of the {} line", Nth(line + 1))?;
        if left.micro() > 0 { write!(f, " ({left} left)") } else { Ok(()) }
    }
}

/// Puts into words what is missing, for a refusal. Of many the first are named.
pub fn in_words(missing: &[Missing]) -> String {
    let shown: Vec<String> = missing.iter().take(NAMES_SHOWN).map(ToString::to_string).collect();
    let more = missing.len() - shown.len();
    let and_more = if more == 0 { String::new() } else { format!("; and {more} more") };
    format!("{}{and_more}", shown.join("; "))
}

/// All that is sold out or counted down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SoldOut {
    entries: BTreeMap<Part, Entry>,
}

impl FromIterator<(Part, Entry)> for SoldOut {
    fn from_iter<I: IntoIterator<Item = (Part, Entry)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect() }
    }
}

impl SoldOut {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether everything can be had.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of a part, as far as it holds today.
    pub fn entry(&self, part: &Part, today: BusinessDate) -> Option<Entry> {
        self.entries.get(part).copied().filter(|entry| entry.until.holds_on(today))
    }

    /// What lines need together and cannot have. An earlier line comes first; what it cannot have itself it leaves to the
    /// later ones.
    pub fn missing(&self, lines: &[Needs], today: BusinessDate) -> Vec<Missing> {
        let mut missing = Vec::new();
        if self.is_empty() {
            return missing;
        }
        let mut left: BTreeMap<&Part, Quantity> = BTreeMap::new();
        for (place, line) in lines.iter().enumerate() {
            for (part, name, need) in &line.parts {
                let Some(entry) = self.entry(part, today) else { continue };
                let left = left.entry(part).or_insert(entry.left);
                if left.micro() < need.micro() {
                    let left = Quantity::from_micro(left.micro().max(0));
                    missing.push(Missing { line: place, part: part.clone(), name: name.clone(), left });
                } else {
                    *left = minus(*left, *need);
                }
            }
        }
        missing
    }

    /// Counts down what lines take, to nothing at the least. Gives the entries that have changed.
    pub fn take(&mut self, lines: &[Needs], today: BusinessDate) -> BTreeMap<Part, Entry> {
        let mut changed = BTreeMap::new();
        if self.is_empty() {
            return changed;
        }
        for (part, _, need) in lines.iter().flat_map(|line| &line.parts) {
            if let Some(entry) = self.entries.get_mut(part)
                && entry.until.holds_on(today)
                && !entry.is_sold_out()
            {
                entry.left = Quantity::from_micro(minus(entry.left, *need).micro().max(0));
                changed.insert(part.clone(), *entry);
            }
        }
        changed
    }

    /// Whether [`SoldOut::turn`] has anything to do.
    pub fn is_to_turn(&self, today: BusinessDate) -> bool {
        self.entries.values().any(|entry| matches!(entry.until, Until::EndOf(day) if day != today))
    }

    /// Begins a business date: what held for an earlier one is over, and is given back. What holds for a later one, which
    /// a wrong clock has shown, holds for this one instead.
    pub fn turn(&mut self, today: BusinessDate) -> Vec<Part> {
        let over = |entry: &Entry| !entry.until.holds_on(today);
        let restored = self.entries.iter().filter(|(_, entry)| over(entry)).map(|(part, _)| part.clone()).collect();
        self.entries.retain(|_, entry| !over(entry));
        for entry in self.entries.values_mut() {
            if entry.until != Until::Cleared {
                entry.until = Until::EndOf(today);
            }
        }
        restored
    }
}

fn minus(left: Quantity, taken: Quantity) -> Quantity {
    Quantity::from_micro(left.micro().saturating_sub(taken.micro()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().expect("valid")
    }

    fn part(text: &str) -> Part {
        let (kind, code) = text.split_once(' ').expect("a kind and a code");
        Part::new(PartKind::parse(kind).expect("a kind"), code).expect("valid")
    }

    fn day(number: i64) -> BusinessDate {
        BusinessDate::from_days(20_000 + number)
    }

    fn entry(left: &str, until: Until) -> Entry {
        Entry { left: quantity(left), until }
    }

    fn board(entries: &[(&str, &str)]) -> SoldOut {
        entries.iter().map(|(text, left)| (part(text), entry(left, Until::Cleared))).collect()
    }

    /// A tea with pearls: 200 ml of milk for each.
    fn tea(units: i64) -> Needs {
        let (sku, pearls) = (Sku::new("tea").expect("valid"), Sku::new("pearls").expect("valid"));
        let milk = ItemId::new("milk").expect("valid");
        let quantity = Quantity::from_units(units).expect("small");
        let used = Quantity::from_units(units * 200).expect("small");
        Needs::new((&sku, "Milk tea"), quantity, [(&pearls, "Pearls")], [(&milk, used)])
    }

    #[test]
    fn t31_what_is_sold_out_blocks_whatever_needs_it() {
        #[track_caller]
        fn check(entries: &[(&str, &str)], lines: &[Needs], expected: &str) {
            assert_eq!(in_words(&board(entries).missing(lines, day(0))), expected);
        }
        check(&[], &[tea(1)], "");
        check(&[("sku coffee", "0"), ("option tea", "0"), ("item tea", "0"), ("sku milk", "0")], &[tea(1)], "");
        check(&[("sku tea", "0")], &[tea(1)], "Milk tea of the 1st line");
        check(&[("option pearls", "0")], &[tea(1)], "Pearls of the 1st line");
        check(&[("item milk", "0")], &[tea(1)], "milk of the 1st line");
        check(&[("sku tea", "2")], &[tea(2)], "");
        check(&[("sku tea", "2")], &[tea(3)], "Milk tea of the 1st line (2 left)");
        check(&[("sku tea", "2")], &[tea(1), tea(2), tea(1)], "Milk tea of the 2nd line (1 left)");
        check(&[("item milk", "399.999999")], &[tea(1), tea(1)], "milk of the 2nd line (199.999999 left)");
        check(
            &[("sku tea", "0"), ("option pearls", "0")],
            &[tea(1), tea(1)],
            "Milk tea of the 1st line; Pearls of the 1st line; Milk tea of the 2nd line; and 1 more",
        );
    }

    #[test]
    fn a_countdown_ends_at_nothing() {
        let mut board = board(&[("sku tea", "3"), ("item milk", "500"), ("option sugar", "5"), ("option pearls", "0")]);
        let taken = |changed: BTreeMap<Part, Entry>| -> Vec<String> {
            changed.iter().map(|(part, entry)| format!("{} {}", part.code(), entry.left)).collect()
        };
        assert_eq!(taken(board.take(&[tea(1), tea(1)], day(0))), ["tea 1", "milk 100"]);
        assert_eq!(taken(board.take(&[tea(2)], day(0))), ["tea 0", "milk 0"]);
        assert_eq!(taken(board.take(&[tea(1)], day(0))), [] as [&str; 0], "what is sold out stays so");
    }

    #[test]
    fn it_holds_until_the_next_day_begins() {
        #[track_caller]
        fn check(until: Until, days: &[(i64, bool)]) {
            let mut board: SoldOut = [(part("sku tea"), entry("0", until))].into_iter().collect();
            for &(number, sold_out) in days {
                let today = day(number);
                let was_known = board.is_to_turn(today);
                assert_eq!(!board.missing(&[tea(1)], today).is_empty(), sold_out, "day {number} before it is turned");
                let before = board.clone();
                let restored = board.turn(today);
                assert_eq!(before != board, was_known);
                assert_eq!(restored.is_empty(), before.len() == board.len());
                assert_eq!(!board.missing(&[tea(1)], today).is_empty(), sold_out, "day {number}");
            }
        }
        check(Until::Cleared, &[(0, true), (400, true), (-400, true)]);
        check(Until::EndOf(day(0)), &[(0, true), (1, false), (0, false)]);
        check(Until::EndOf(day(0)), &[(0, true), (7, false)]);
        // The clock is set back: it still holds, and ends with the day that the clock shows from then on.
        check(Until::EndOf(day(0)), &[(-3, true), (-2, false)]);
        check(Until::EndOf(day(30)), &[(0, true), (0, true), (1, false)]);
    }

    proptest! {
        /// Lines that are sold as long as nothing is missing sell exactly what there was, never more.
        #[test]
        fn nothing_is_sold_that_is_not_there(
            there in 0i64..50,
            orders in prop::collection::vec(prop::collection::vec(1i64..4, 1..4), 0..30),
        ) {
            let mut board: SoldOut =
                [(part("sku tea"), Entry { left: Quantity::from_units(there).expect("small"), until: Until::Cleared })]
                    .into_iter()
                    .collect();
            let mut sold = 0;
            for units in orders {
                let lines: Vec<Needs> = units.iter().map(|&units| tea(units)).collect();
                let count: i64 = units.iter().sum();
                let missing = board.missing(&lines, day(0));
                prop_assert_eq!(missing.is_empty(), sold + count <= there);
                if missing.is_empty() {
                    board.take(&lines, day(0));
                    sold += count;
                }
            }
            let left = board.entry(&part("sku tea"), day(0)).expect("stays").left;
            prop_assert_eq!(left.whole_units(), Some(there - sold));
        }
    }

    #[test]
    fn a_part_is_read_as_it_is_written() {
        for kind in PartKind::ALL {
            let part = Part::new(kind, "tea").expect("valid");
            assert_eq!((PartKind::parse(kind.as_str()), part.kind(), part.code()), (Some(kind), kind, "tea"));
            assert!(Part::new(kind, "").is_err());
        }
    }
}
