//! A naive model of what must be true, written from the design and apart from the code under test.
//!
//! It is told what tills were answered, what was copied, put back and trimmed, and what is durable at the centre; it
//! keeps everything in plain sets and says what follows. An event is known by its chain hash: equal hashes are equal
//! histories, so a copied event counts once and two events at one place are two.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pos_model::{ChainHash, Epoch, Place, SaleId, Seq, TillId};

/// An event.
pub type Key = ChainHash;

/// A rule that did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// An event that a surviving disk or the centre held is neither applied nor parked.
    Lost,
    /// An event or a sale is in more than once.
    Doubled,
    /// The centre holds an event that no store committed, or applied one that cannot be applied.
    Invented,
    /// An event is parked, and neither a fork, nor its content, nor a second use of its sale id explains it.
    ParkedWithoutCause,
    /// A store took for confirmed what the centre did not hold.
    AckAhead,
    /// A cursor of the centre went back, though the centre was not restored.
    CursorBack,
    /// Totals or stock differ from the sum over the applied sales.
    Totals,
    /// A history has a gap or a broken hash.
    Chain,
    /// A till's receipt numbers or a day's pickup numbers repeat.
    Numbers,
    /// A till was answered wrongly.
    Answer,
    /// An event was trimmed that was not confirmed, or too early.
    Trimmed,
    /// Something is still under way long after the faults have stopped.
    Drain,
    /// The two ends talk without end.
    Storm,
    /// A part of the program failed where it must not.
    Failed,
}

/// What did not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.detail)
    }
}

/// Says which rule did not hold.
pub fn violated<T>(rule: Rule, detail: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { rule, detail: detail.into() })
}

/// Holds, or is a violation.
pub fn must(holds: bool, rule: Rule, detail: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { violated(rule, detail()) }
}

/// A sale as the till asked for it, with sums computed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sold {
    /// The till's key.
    pub sale_id: SaleId,
    /// The till.
    pub till_id: TillId,
    /// The number that was answered.
    pub receipt_no: u64,
    /// The number that was answered.
    pub pickup_no: u32,
    /// The business date, in days since 1970.
    pub day: i32,
    /// The sums.
    pub sums: Sums,
    /// What it took from stock, in millionths.
    pub used: BTreeMap<String, i64>,
}

/// Sums over sales.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many sales.
    pub sales: i64,
    /// How many lines.
    pub lines: i64,
    /// Of the quantities, in millionths.
    pub quantity_micro: i64,
    /// Of what customers paid.
    pub gross_minor: i64,
    /// Of the tax in it.
    pub tax_minor: i64,
}

impl Sums {
    /// Adds another sum.
    pub fn add(&mut self, other: Self) {
        self.sales += other.sales;
        self.lines += other.lines;
        self.quantity_micro += other.quantity_micro;
        self.gross_minor += other.gross_minor;
        self.tax_minor += other.tax_minor;
    }
}

/// What an event is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The first of an epoch.
    Opened,
    /// A sale.
    Sale(Sold),
    /// Bytes that no centre of this version can apply.
    Poison,
}

/// An event that some agent committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The store.
    pub store: usize,
    /// Where it stands in that store's history.
    pub place: Place,
    /// What it is.
    pub what: What,
}

/// What is on an agent's disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    rows: Vec<Row>,
    acked: BTreeMap<Epoch, Seq>,
    sales: BTreeMap<SaleId, Answer>,
    receipts: BTreeMap<TillId, u64>,
    pickups: BTreeSet<(i32, u32)>,
    running_ms: u64,
}

#[derive(Debug, Clone)]
struct Row {
    key: Key,
    place: Place,
    written_at_running_ms: u64,
    trimmed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    body: u64,
    receipt_no: u64,
}

/// The model.
#[derive(Debug, Default)]
pub struct Reference {
    facts: BTreeMap<Key, Fact>,
    at_place: BTreeMap<(usize, Place), BTreeSet<Key>>,
    of_sale: BTreeMap<SaleId, BTreeSet<Key>>,
    /// The disks that exist, by agent.
    disks: BTreeMap<usize, Disk>,
    /// What is durable at the centre.
    centre: BTreeSet<Key>,
    /// What was durable there before the centre was restored.
    forgotten: BTreeSet<Key>,
}

impl Reference {
    // ---- stores ----

    /// An agent has a new, empty disk.
    pub fn new_disk(&mut self, agent: usize) {
        self.disks.insert(agent, Disk::default());
    }

    /// A copy of an agent's disk.
    pub fn copy_of(&self, agent: usize) -> Disk {
        self.disks.get(&agent).cloned().unwrap_or_default()
    }

    /// An agent's disk is replaced.
    pub fn put_back(&mut self, agent: usize, disk: Disk) {
        self.disks.insert(agent, disk);
    }

    /// An event was committed.
    pub fn committed(&mut self, agent: usize, key: Key, fact: Fact) -> Result<(), Violation> {
        let disk = self.disks.entry(agent).or_default();
        let place = fact.place;
        let expected = match disk.rows.last() {
            Some(last) if last.place.epoch == place.epoch => last.place.seq.next(),
            _ => Seq::FIRST,
        };
        must(place.seq == expected, Rule::Chain, || {
            format!("agent {agent} wrote {place}, expected number {expected}")
        })?;
        if let What::Sale(sold) = &fact.what {
            let last = disk.receipts.insert(sold.till_id.clone(), sold.receipt_no).unwrap_or(0);
            must(sold.receipt_no > last, Rule::Numbers, || {
                format!("agent {agent} gave receipt {} of till {} after {last}", sold.receipt_no, sold.till_id)
            })?;
            must(disk.pickups.insert((sold.day, sold.pickup_no)), Rule::Numbers, || {
                format!("agent {agent} gave pickup number {} of day {} twice", sold.pickup_no, sold.day)
            })?;
            self.of_sale.entry(sold.sale_id).or_default().insert(key);
        }
        disk.rows.push(Row { key, place, written_at_running_ms: disk.running_ms, trimmed: false });
        self.at_place.entry((fact.store, place)).or_default().insert(key);
        self.facts.insert(key, fact);
        Ok(())
    }

    /// A sale was recorded as new.
    pub fn recorded(&mut self, agent: usize, sale_id: SaleId, body: u64, receipt_no: u64) -> Result<(), Violation> {
        let disk = self.disks.entry(agent).or_default();
        let before = disk.sales.insert(sale_id, Answer { body, receipt_no });
        must(before.is_none(), Rule::Doubled, || format!("agent {agent} recorded sale {sale_id} a second time"))
    }

    /// A command was answered from an earlier record.
    pub fn replayed(&self, agent: usize, sale_id: SaleId, body: u64, receipt_no: u64) -> Result<(), Violation> {
        let known = self.disks.get(&agent).and_then(|disk| disk.sales.get(&sale_id));
        must(known == Some(&Answer { body, receipt_no }), Rule::Answer, || {
            format!("agent {agent} replayed sale {sale_id} with receipt {receipt_no}, on its disk is {known:?}")
        })
    }

    /// A command was refused because its id has another body.
    pub fn conflicted(&self, agent: usize, sale_id: SaleId, body: u64) -> Result<(), Violation> {
        let known = self.disks.get(&agent).and_then(|disk| disk.sales.get(&sale_id));
        must(known.is_some_and(|known| known.body != body), Rule::Answer, || {
            format!("agent {agent} saw a conflict for sale {sale_id}, on its disk is {known:?}")
        })
    }

    /// An agent takes everything of an epoch up to a place for confirmed.
    pub fn acked(&mut self, agent: usize, epoch: Epoch, through: Seq) -> Result<(), Violation> {
        let disk = self.disks.entry(agent).or_default();
        let before = disk.acked.get(&epoch).copied().unwrap_or(Seq::ZERO);
        for row in disk.rows.iter().filter(|row| row.place.epoch == epoch) {
            let newly = row.place.seq > before && row.place.seq <= through;
            let there = !newly || self.centre.contains(&row.key) || self.forgotten.contains(&row.key);
            must(there, Rule::AckAhead, || {
                format!("agent {agent} took {epoch}/{through} for confirmed, and the centre never held {}", row.place)
            })?;
        }
        disk.acked.insert(epoch, before.max(through));
        Ok(())
    }

    /// An agent set its watermark back.
    pub fn rewound(&mut self, agent: usize, epoch: Epoch, to: Seq) {
        if let Some(acked) = self.disks.entry(agent).or_default().acked.get_mut(&epoch) {
            *acked = to.min(*acked);
        }
    }

    /// The watermark that the agent's disk must have.
    pub fn watermark(&self, agent: usize, epoch: Epoch) -> Seq {
        self.disks.get(&agent).and_then(|disk| disk.acked.get(&epoch)).copied().unwrap_or(Seq::ZERO)
    }

    /// An agent ran for so much longer.
    pub fn ran(&mut self, agent: usize, ms: u64) {
        self.disks.entry(agent).or_default().running_ms += ms;
    }

    /// An agent holds only this of each epoch; says whether it let something go.
    pub fn trimmed(&mut self, agent: usize, held: &BTreeMap<Epoch, Seq>, retention_ms: u64) -> Result<bool, Violation> {
        let disk = self.disks.entry(agent).or_default();
        let mut any = false;
        for row in &mut disk.rows {
            let is_held = held.get(&row.place.epoch).is_some_and(|first_held| row.place.seq >= *first_held);
            if is_held || row.trimmed {
                must(!(is_held && row.trimmed), Rule::Trimmed, || format!("{} came back", row.place))?;
                continue;
            }
            let acked = disk.acked.get(&row.place.epoch).copied().unwrap_or(Seq::ZERO);
            let age_ms = disk.running_ms - row.written_at_running_ms;
            must(row.place.seq <= acked, Rule::Trimmed, || format!("{} was trimmed and not confirmed", row.place))?;
            must(age_ms >= retention_ms, Rule::Trimmed, || format!("{} was trimmed after {age_ms} ms", row.place))?;
            row.trimmed = true;
            any = true;
        }
        Ok(any)
    }

    /// The day totals that an agent's own books must show.
    pub fn local_totals(&self, agent: usize) -> BTreeMap<i32, Sums> {
        let mut totals: BTreeMap<i32, Sums> = BTreeMap::new();
        let rows = self.disks.get(&agent).into_iter().flat_map(|disk| &disk.rows);
        for sold in rows.filter_map(|row| self.sold(&row.key)) {
            totals.entry(sold.day).or_default().add(sold.sums);
        }
        totals
    }

    // ---- the centre ----

    /// Events are durable at the centre.
    pub fn centre_took(&mut self, keys: impl IntoIterator<Item = Key>) -> Result<(), Violation> {
        for key in keys {
            must(self.facts.contains_key(&key), Rule::Invented, || format!("no store committed {key:?}"))?;
            must(self.centre.insert(key), Rule::Doubled, || {
                let place = self.facts.get(&key).map(|fact| fact.place);
                format!("the centre took {place:?} a second time")
            })?;
        }
        Ok(())
    }

    /// The centre was restored; these are what it holds.
    pub fn centre_restored(&mut self, keys: BTreeSet<Key>) {
        let before = std::mem::replace(&mut self.centre, keys);
        self.forgotten.extend(before.difference(&self.centre));
    }

    /// What is durable at the centre.
    pub fn centre(&self) -> &BTreeSet<Key> {
        &self.centre
    }

    /// The highest receipt number of each till of a store among what is durable at the centre.
    pub fn receipts_at_centre(&self, store: usize) -> BTreeMap<TillId, u64> {
        let mut heads = BTreeMap::new();
        for sold in self.centre.iter().filter(|key| self.facts[key].store == store).filter_map(|key| self.sold(key)) {
            let head = heads.entry(sold.till_id.clone()).or_default();
            *head = sold.receipt_no.max(*head);
        }
        heads
    }

    // ---- what follows ----

    /// How many events there are.
    pub fn events(&self) -> u64 {
        self.facts.len() as u64
    }

    /// Everything that must be at the centre in the end: what a disk still holds, and what the centre has.
    pub fn owed(&self) -> BTreeSet<Key> {
        let on_disks = self.disks.values().flat_map(|disk| &disk.rows).filter(|row| !row.trimmed).map(|row| row.key);
        on_disks.chain(self.centre.iter().copied()).collect()
    }

    /// An event.
    pub fn fact(&self, key: &Key) -> Option<&Fact> {
        self.facts.get(key)
    }

    /// The sale that an event is.
    pub fn sold(&self, key: &Key) -> Option<&Sold> {
        match &self.facts.get(key)?.what {
            What::Sale(sold) => Some(sold),
            What::Opened | What::Poison => None,
        }
    }

    /// The events under one sale id.
    pub fn events_of_sale(&self, sale_id: SaleId) -> impl Iterator<Item = Key> {
        self.of_sale.get(&sale_id).into_iter().flatten().copied()
    }

    /// All sale ids.
    pub fn sale_ids(&self) -> impl Iterator<Item = SaleId> {
        self.of_sale.keys().copied()
    }

    /// Whether two agents wrote different events at this place of its epoch or before it.
    pub fn is_forked(&self, key: &Key) -> bool {
        let Some(fact) = self.facts.get(key) else { return false };
        let from = (fact.store, Place { epoch: fact.place.epoch, seq: Seq::ZERO });
        self.at_place.range(from..=(fact.store, fact.place)).any(|(_, keys)| keys.len() > 1)
    }

    /// Whether an event may be parked.
    pub fn may_be_parked(&self, key: &Key) -> bool {
        match self.facts.get(key).map(|fact| &fact.what) {
            None => false,
            Some(What::Poison) => true,
            Some(What::Opened) => self.is_forked(key),
            Some(What::Sale(sold)) => self.is_forked(key) || self.events_of_sale(sold.sale_id).count() > 1,
        }
    }
}

/// What one line of a command comes to.
#[derive(Debug, Clone)]
pub struct AskedLine {
    /// The price of one unit, options included.
    pub unit_minor: i64,
    /// In millionths.
    pub quantity_micro: i64,
    /// All adjustments.
    pub adjusted_minor: i64,
    /// The tax group.
    pub tax_group: String,
    /// Its rate.
    pub tax_ppm: i64,
}

/// The sums of a sale, by the rules of the design: rounded half away from zero per line, tax per group from the gross.
pub fn sums_of(lines: &[AskedLine]) -> Sums {
    let half_away = |part: i128, whole: i128| {
        let magnitude = (part.abs() * 2 + whole) / (whole * 2);
        if part < 0 { -magnitude } else { magnitude }
    };
    let narrow = |wide: i128| i64::try_from(wide).expect("the simulation sells small amounts");
    let mut sums = Sums { sales: 1, lines: lines.len().try_into().expect("a handful"), ..Sums::default() };
    let mut groups: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for line in lines {
        let list = half_away(i128::from(line.unit_minor) * i128::from(line.quantity_micro), 1_000_000);
        let gross = narrow(list) + line.adjusted_minor;
        sums.gross_minor += gross;
        sums.quantity_micro += line.quantity_micro;
        groups.entry(&line.tax_group).or_insert((line.tax_ppm, 0)).1 += gross;
    }
    for (ppm, gross) in groups.into_values() {
        sums.tax_minor += narrow(half_away(i128::from(gross) * i128::from(ppm), 1_000_000 + i128::from(ppm)));
    }
    sums
}

/// The business date of a moment, in days since 1970.
pub fn day_of(utc_ms: i64, offset_s: i32, cut_off_min: i64) -> i32 {
    let local_ms = utc_ms + i64::from(offset_s) * 1000 - cut_off_min * 60_000;
    i32::try_from(local_ms.div_euclid(86_400_000)).expect("the simulation's clocks stay within some thousand years")
}
