//! Faults of disks: older states put back, copies, no room, and bytes that nobody understands.

use agent::db::Store;
use pos_model::{ChainHash, Epoch, Place, Seq};
use protocol::latest::{EpochOpened, Event as StoreEvent, OpenReason, encode_event};
use sync_core::store::StoreSync;

use super::machine::{Copy, Diary, Floor, Running, reports};
use super::memory::Memory;
use super::plan::{Fault, below_usize, chance};
use super::{Event, World};
use crate::reference::{Disk, Fact, Rule, Violation, What, must, violated};

/// Boxes of one store: the first one and its copies.
const BOXES_MAX: usize = 3;

/// Older states that are kept of each disk.
const COPIES_MAX: usize = 5;

/// A backup of the centre is never older than what stores keep, 14 days; this leaves a day.
pub(super) const BACKUP_AGE_MS_MAX: u64 = 13 * 24 * 60 * 60 * 1000;

/// Older states are kept about so often, in milliseconds.
const COPY_EVERY_MS: u64 = 45_000;

impl World {
    /// Older states of all disks are kept, as far as some fault may ask for them.
    pub(super) fn copies(&mut self) -> Result<(), Violation> {
        if !self.is_open() {
            return Ok(());
        }
        let wait_ms = COPY_EVERY_MS / 2 + self.random.below(COPY_EVERY_MS);
        self.scheduler.after(wait_ms, Event::Copies);
        let now = self.now();
        if self.knows(&[Fault::StoreRestore, Fault::CloneCold]) {
            for machine in 0..self.machines.len() {
                let (disk, known) = (self.machines[machine].disk.copy(), self.reference.copy_of(machine));
                self.machines[machine].copies.push(Copy { at: now, disk, known });
                if self.machines[machine].copies.len() > COPIES_MAX {
                    let oldest = below_usize(&mut self.random, COPIES_MAX);
                    self.machines[machine].copies.remove(oldest);
                }
            }
        }
        for machine in 0..self.machines.len() {
            let known = self.reference.copy_of(machine);
            let running = self.machines[machine].running.as_mut();
            if let Some(diary) = running.and_then(|running| running.diary.as_mut()) {
                diary.moments.push((diary.entries.len(), known));
            }
        }
        if self.knows(&[Fault::CentreRestore, Fault::CentreRestoreTooOld]) {
            self.centre.copies.push((now, self.centre.disk.copy()));
            if self.centre.copies.len() > COPIES_MAX {
                // The oldest stays: it is what the last of the faults asks for.
                let other = 1 + below_usize(&mut self.random, COPIES_MAX - 1);
                self.centre.copies.remove(other);
            }
        }
        if !self.centre.deleted.is_nothing() {
            return Ok(());
        }
        crate::checks::meanwhile(&self.reference, self.centre.disk.look(), &self.stores)
    }

    fn knows(&self, faults: &[Fault]) -> bool {
        faults.iter().any(|fault| self.plan.faults.contains(fault))
    }

    pub(super) fn fault_restore(&mut self, machine: usize) -> Result<bool, Violation> {
        let copies = self.machines[machine].copies.len();
        if copies == 0 {
            return Ok(false);
        }
        self.crash(machine)?;
        let copy = &self.machines[machine].copies[below_usize(&mut self.random, copies)];
        let (at, disk, known) = (copy.at, copy.disk.copy(), copy.known.clone());
        self.note(format_args!("machine {machine} is put back to {at:?}"));
        self.put_back(machine, disk, known);
        Ok(true)
    }

    fn put_back(&mut self, machine: usize, disk: Memory, known: Disk) {
        self.machines[machine].disk = disk;
        self.reference.put_back(machine, known);
        let heads = self.reference.receipts_at_centre(self.machines[machine].store);
        self.machines[machine].receipt_floor = Some(Floor { heads, welcomed: false });
    }

    /// An agent goes on in an earlier moment of its run: disk, memory and epoch.
    pub(super) fn fault_revert(&mut self, machine: usize) -> Result<bool, Violation> {
        let Some(running) = self.machines[machine].running.take() else { return Ok(false) };
        let Some(diary) = running.diary.as_ref().filter(|diary| !diary.moments.is_empty()) else {
            self.machines[machine].running = Some(running);
            return Ok(false);
        };
        let (entries, known) = diary.moments[below_usize(&mut self.random, diary.moments.len())].clone();
        let (disk, books) = diary.again(entries);
        self.note(format_args!("machine {machine} goes back to entry {entries} of {}", diary.entries.len()));
        self.cut_connection(machine);
        self.machines[machine].life += 1;
        self.put_back(machine, disk, known);
        self.go_on(machine, books, &running, entries)?;
        Ok(true)
    }

    /// A second box goes on in the same epoch, from the same memory.
    pub(super) fn fault_clone_warm(&mut self, machine: usize) -> Result<bool, Violation> {
        let store = self.machines[machine].store;
        if self.machines.iter().filter(|other| other.store == store).count() >= BOXES_MAX {
            return Ok(false);
        }
        let Some(running) = self.machines[machine].running.take() else { return Ok(false) };
        let Some(diary) = &running.diary else {
            self.machines[machine].running = Some(running);
            return Ok(false);
        };
        let entries = diary.entries.len();
        let (disk, books) = diary.again(entries);
        must(books.head() == running.books.head(), Rule::Failed, || "the same steps made other books".to_owned())?;
        let known = self.reference.copy_of(machine);
        let clone = self.second_box(machine, disk, known);
        self.go_on(clone, books, &running, entries)?;
        self.machines[machine].running = Some(running);
        Ok(true)
    }

    pub(super) fn fault_clone_cold(&mut self, machine: usize) -> bool {
        let store = self.machines[machine].store;
        if self.machines.iter().filter(|other| other.store == store).count() >= BOXES_MAX {
            return false;
        }
        let copies = self.machines[machine].copies.len();
        let (disk, known) = if copies > 0 && chance(&mut self.random, 300) {
            let copy = &self.machines[machine].copies[below_usize(&mut self.random, copies)];
            (copy.disk.copy(), copy.known.clone())
        } else {
            (self.machines[machine].disk.copy(), self.reference.copy_of(machine))
        };
        self.second_box(machine, disk, known);
        true
    }

    fn second_box(&mut self, of: usize, disk: Memory, known: Disk) -> usize {
        let store = self.machines[of].store;
        let clone = self.add_machine(store);
        self.note(format_args!("machine {clone} is a copy of machine {of}"));
        self.machines[clone].disk = disk;
        self.machines[clone].poisoned = self.machines[of].poisoned;
        self.machines[clone].clock_ahead_ms = self.machines[of].clock_ahead_ms;
        self.reference.put_back(clone, known);
        for number in 0..self.plan.tills {
            self.add_till(store, clone, number);
        }
        clone
    }

    /// An agent goes on with books that were made again, in the run that made them first.
    fn go_on(&mut self, machine: usize, books: Store, first: &Running, entries: usize) -> Result<(), Violation> {
        let epochs = reports(&books)?;
        let Some(diary) = &first.diary else { return violated(Rule::Failed, "a run without a diary goes on") };
        let diary =
            Some(Diary { base: diary.base.copy(), entries: diary.entries[..entries].to_vec(), moments: vec![] });
        // Memory is doubled too, and with it the source of session numbers: half of the time they come again.
        let again = chance(&mut self.random, 500);
        let seed = if again { first.seed } else { self.random.next_u64() };
        if again {
            // A late answer to the first run may pass for one to this run: then what it says of receipts is old.
            self.machines[machine].receipt_floor = None;
        }
        let now = self.now();
        let sync = StoreSync::new(&epochs, self.plan.store_limits.clone(), seed, now);
        let mut running = Running::new(books, sync, seed, now, diary);
        running.tidied_at = first.tidied_at;
        self.machines[machine].running = Some(running);
        let life = self.machines[machine].life;
        self.scheduler.after(60 * 60 * 1000, Event::Tidy { machine, life });
        self.drive(machine)
    }

    /// The centre is put back to an older state.
    pub(super) fn fault_restore_centre(&mut self, age_ms_max: u64) -> Result<bool, Violation> {
        let now = self.now();
        let young: Vec<usize> = self
            .centre
            .copies
            .iter()
            .enumerate()
            .filter(|(_, (at, _))| now.ms_since(*at) <= age_ms_max)
            .map(|(number, _)| number)
            .collect();
        if young.is_empty() {
            return Ok(false);
        }
        // Where any age will do, the oldest does most.
        let chosen = if age_ms_max == u64::MAX { 0 } else { young[below_usize(&mut self.random, young.len())] };
        if self.centre.running.is_some() {
            self.crash_centre();
        }
        let (at, disk) = &self.centre.copies[chosen];
        let (at, disk) = (*at, disk.copy());
        self.note(format_args!("the centre is put back to {at:?}"));
        // What the centre knew of receipts is gone with it.
        self.machines.iter_mut().for_each(|machine| machine.receipt_floor = None);
        self.replace_ledger(disk)?;
        Ok(true)
    }

    pub(super) fn fault_ledger_full(&mut self) -> bool {
        let pages = u32::try_from(self.random.below(4)).expect("small");
        self.centre.disk.limit(Some(pages));
        let wait_ms = 5_000 + self.random.below(60_000);
        self.scheduler.after(wait_ms, Event::Room { machine: None });
        true
    }

    pub(super) fn fault_store_full(&mut self, machine: usize) -> bool {
        let pages = u32::try_from(self.random.below(3)).expect("small");
        self.machines[machine].disk.limit(Some(pages));
        let wait_ms = 5_000 + self.random.below(60_000);
        self.scheduler.after(wait_ms, Event::Room { machine: Some(machine) });
        true
    }

    pub(super) fn room(&mut self, machine: Option<usize>) -> Result<(), Violation> {
        let disk = machine.map_or(&self.centre.disk, |machine| &self.machines[machine].disk);
        disk.limit(None);
        Ok(())
    }

    /// An event gets into an outbox that the centre cannot apply: of a kind that it does not know, or no event at all.
    /// It is written where a newer or a damaged agent would have written it, while the agent is down.
    pub(super) fn fault_poison(&mut self, machine: usize) -> Result<bool, Violation> {
        if self.machines[machine].running.is_some() {
            self.crash(machine)?;
        }
        let bytes = if chance(&mut self.random, 500) {
            self.unknown_event()
        } else {
            (0..1 + self.random.below(60)).map(|_| self.random.next_u64().to_le_bytes()[0]).collect()
        };
        let disk = self.machines[machine].disk.look();
        let newest = disk.query_row(
            "SELECT epoch, base, first_held, hash_before, position, hash FROM epoch
             LEFT JOIN event ON position = (SELECT max(position) FROM event) AND position > base
             WHERE head IS NULL",
            [],
            |row| {
                let (epoch, base, first_held): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let (before, position): ([u8; 32], Option<i64>) = (row.get(3)?, row.get(4)?);
                let hash: Option<[u8; 32]> = row.get(5)?;
                Ok((Epoch::from_sql(epoch), base, position.unwrap_or(base + first_held - 1), hash.unwrap_or(before)))
            },
        );
        let Ok((epoch, base, position, hash)) = newest else { return Ok(false) };
        let hash = ChainHash::from_bytes(hash).then(&bytes);
        let written = disk.execute(
            "INSERT INTO event (position, kind, recorded_at, hash, bytes) VALUES (?1, 'unknown', 0, ?2, ?3)",
            (position + 1, hash.as_bytes(), bytes),
        );
        if written.is_err() {
            // No room.
            return Ok(false);
        }
        let place = Place { epoch, seq: Seq::from_sql(position + 1 - base) };
        self.note(format_args!("machine {machine} holds poison at {place}"));
        self.machines[machine].poisoned = true;
        let store = self.machines[machine].store;
        self.reference.committed(machine, hash, Fact { store, place, what: What::Poison })?;
        Ok(true)
    }

    fn unknown_event(&mut self) -> Vec<u8> {
        let opened = EpochOpened {
            epoch: Epoch::new(1),
            previous: None,
            reason: OpenReason::Start,
            agent_version: "newer".to_owned(),
        };
        let event = StoreEvent { id: self.event_id(), at: self.stamp(0), body: opened.into() };
        let mut bytes = encode_event(&event).expect("a small event can be encoded");
        let kind = EpochOpened::KIND.as_bytes();
        let at = bytes.windows(kind.len()).position(|part| part == kind).expect("the kind stands in it");
        bytes[at..at + 4].copy_from_slice(b"drum");
        bytes
    }
}
