//! A naive model of what must be true, written from the design and apart from the code under test.
//!
//! It is told what tills were answered, what was copied, put back and trimmed, and what is durable at the centre; it
//! keeps everything in plain sets and says what follows. An event is known by its chain hash: equal hashes are equal
//! histories, so a copied event counts once and two events at one place are two.

//!
//! `asked` is what a till asks for, `facts` what an event says. `expected` works out one from the other and from the events
//! on the agent's disk, with `refund`, `shift`, `day` and `stock` beside it.

pub mod asked;
mod day;
mod disk;
pub mod expected;
pub mod facts;
mod refund;
pub mod shift;
mod stock;
pub mod sums;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pos_model::{ChainHash, Epoch, Place, SaleId, Seq, TillId};
use uuid::Uuid;

use asked::{Asked, Wanted};
use disk::{Answer, Row};
use facts::IdOf;

pub use disk::Disk;
pub use facts::{Fact, Sold, What};
pub use sums::{Sums, day_of};

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
    /// Totals or stock differ from the sum over what is applied.
    Totals,
    /// More came back of a sale than was sold, or other money than was paid.
    Refund,
    /// A Z report differs from the sum over what carries its shift.
    Report,
    /// What is on hand, or should have been, differs from what was counted and has moved since.
    Stock,
    /// The centre's rows differ from what the stores recorded.
    Rows,
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

/// The model.
#[derive(Debug, Default)]
pub struct Reference {
    facts: BTreeMap<Key, Fact>,
    at_place: BTreeMap<(usize, Place), BTreeSet<Key>>,
    of_id: BTreeMap<(IdOf, Uuid), BTreeSet<Key>>,
    /// The disks that exist, by agent.
    disks: BTreeMap<usize, Disk>,
    /// What is durable at the centre.
    centre: BTreeSet<Key>,
    /// What was durable there before the centre was restored, or lost it.
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
        if let Some((till_id, receipt_no)) = fact.what.receipt() {
            let last = disk.receipts.insert(till_id.clone(), receipt_no).unwrap_or(0);
            must(receipt_no > last, Rule::Numbers, || {
                format!("agent {agent} gave receipt {receipt_no} of till {till_id} after {last}")
            })?;
        }
        if let What::Sale(sold) = &fact.what {
            must(disk.pickups.insert((sold.day, sold.pickup_no)), Rule::Numbers, || {
                format!("agent {agent} gave pickup number {} of day {} twice", sold.pickup_no, sold.day)
            })?;
        }
        if let What::Count(counted) = &fact.what
            && let Some(begun) = disk.counts.get_mut(&counted.count_id)
        {
            begun.is_over = true;
        }
        if let Some(id) = fact.what.id() {
            self.of_id.entry(id).or_default().insert(key);
        }
        disk.rows.push(Row { key, place, written_at_running_ms: disk.running_ms, trimmed: false });
        self.at_place.entry((fact.store, place)).or_default().insert(key);
        self.facts.insert(key, fact);
        Ok(())
    }

    /// A command was carried out as new, with its event committed before; the till reads `text`.
    pub fn recorded(&mut self, agent: usize, asked: &Asked, digest: [u8; 32], text: String) -> Result<(), Violation> {
        if let Wanted::BeginCount { items } = &asked.what {
            self.begun(agent, asked.id, items.clone());
        }
        self.is_first(agent, asked.id)?;
        let disk = self.disks.entry(agent).or_default();
        let is_kept = matches!(asked.what, Wanted::Sale { .. } | Wanted::Refund(_));
        disk.answers.insert(asked.id, Answer { digest, text, rows: disk.rows.len(), is_kept });
        Ok(())
    }

    /// Nothing was carried out under this id.
    pub fn is_first(&self, agent: usize, id: Uuid) -> Result<(), Violation> {
        must(self.answer(agent, id).is_none(), Rule::Doubled, || {
            format!("agent {agent} carried {id} out a second time")
        })
    }

    /// A command was answered from an earlier record.
    pub fn replayed(&self, agent: usize, id: Uuid, digest: [u8; 32], text: &str) -> Result<(), Violation> {
        let known = self.answer(agent, id);
        must(known.is_some_and(|known| known.digest == digest && known.text == text), Rule::Answer, || {
            format!("agent {agent} answered {id} once more with {text}, on its disk is {known:?}")
        })
    }

    /// A command was refused because its id has another body.
    pub fn conflicted(&self, agent: usize, id: Uuid, digest: [u8; 32]) -> Result<(), Violation> {
        let known = self.answer(agent, id);
        must(known.is_some_and(|known| known.digest != digest), Rule::Answer, || {
            format!("agent {agent} saw a conflict for {id}, on its disk is {known:?}")
        })
    }

    /// A command was refused for this reason.
    pub fn refused(&self, agent: usize, asked: &Asked, key: &str) -> Result<(), Violation> {
        let expected = self.expected(agent, asked);
        let known = self.answer(agent, asked.id);
        // One that was carried out long ago is no longer known, but what it did is.
        let forgotten = known.is_some_and(|known| self.disks[&agent].may_be_forgotten(known));
        must(known.is_none() || forgotten, Rule::Answer, || {
            format!("agent {agent} refused {asked:?} as {key}, on its disk is {known:?}")
        })?;
        // A till whose disk was put back to before its first shift works by shifts all the same, once the centre has told it
        // of a report. Whether it has been told, nobody writes down.
        let told = key == "till.closed" && self.has_reported(&asked.till_id);
        must(told || expected.as_ref().is_err_and(|objections| objections.contains(key)), Rule::Answer, || {
            format!("agent {agent} refused {asked:?} as {key}, expected {expected:?}")
        })
    }

    fn answer(&self, agent: usize, id: Uuid) -> Option<&Answer> {
        self.disks.get(&agent)?.answers.get(&id)
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
        for (day, sums) in self.on_disk(agent).filter_map(What::sums) {
            totals.entry(day).or_default().add(sums);
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

    /// The centre has lost these, and is to get them again. What it said of them before may still be on its way.
    pub fn centre_lost(&mut self, keys: impl IntoIterator<Item = Key>) {
        self.forgotten.extend(keys.into_iter().filter(|key| self.centre.remove(key)));
    }

    /// What is durable at the centre.
    pub fn centre(&self) -> &BTreeSet<Key> {
        &self.centre
    }

    /// The highest receipt number of each till of a store among what is durable at the centre.
    pub fn receipts_at_centre(&self, store: usize) -> BTreeMap<TillId, u64> {
        let mut heads = BTreeMap::new();
        let facts = self.centre.iter().map(|key| &self.facts[key]).filter(|fact| fact.store == store);
        for (till_id, receipt_no) in facts.filter_map(|fact| fact.what.receipt()) {
            let head = heads.entry(till_id.clone()).or_default();
            *head = receipt_no.max(*head);
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
            _ => None,
        }
    }

    /// The events under one sale id.
    pub fn events_of_sale(&self, sale_id: SaleId) -> impl Iterator<Item = Key> {
        self.events_of((IdOf::Sale, sale_id.uuid()))
    }

    /// The events that say the same, or should.
    pub fn events_of(&self, id: (IdOf, Uuid)) -> impl Iterator<Item = Key> {
        self.of_id.get(&id).into_iter().flatten().copied()
    }

    /// All ids of what happens once.
    pub fn ids(&self) -> impl Iterator<Item = (IdOf, Uuid)> {
        self.of_id.keys().copied()
    }

    /// Whether two agents wrote different events at this place of its epoch or before it.
    pub fn is_forked(&self, key: &Key) -> bool {
        let Some(fact) = self.facts.get(key) else { return false };
        let from = (fact.store, Place { epoch: fact.place.epoch, seq: Seq::ZERO });
        self.at_place.range(from..=(fact.store, fact.place)).any(|(_, keys)| keys.len() > 1)
    }

    /// Whether an event may be parked.
    pub fn may_be_parked(&self, key: &Key) -> bool {
        let Some(fact) = self.facts.get(key) else { return false };
        let is_second = || fact.what.id().is_some_and(|id| self.events_of(id).count() > 1);
        fact.what == What::Poison || self.is_forked(key) || is_second()
    }
}
