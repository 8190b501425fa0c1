//! The faults, one by one. `plan` says which of them a seed knows.

use agent::db::audit::word;

use super::errand::{CLOCK, mark_clock};
use super::faults_of_disks::BACKUP_AGE_MS_MAX;
use super::machine::Entry;
use super::plan::{Fault, below_usize, pick, wait_ms};
use super::{Event, Phase, START_MS, World};
use crate::reference::facts::Marked;
use crate::reference::{Fact, Rule, Violation, What, violated};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl World {
    /// The next fault comes.
    pub(super) fn fault(&mut self) -> Result<(), Violation> {
        if !self.is_open() || self.plan.faults.is_empty() {
            return Ok(());
        }
        let gap_ms = wait_ms(&mut self.random, self.plan.fault_gap_ms);
        self.scheduler.after(gap_ms, Event::Fault);
        let fault = self.plan.faults[below_usize(&mut self.random, self.plan.faults.len())];
        let machine = self.any_machine();
        self.note(format_args!("fault {fault:?}, machine {machine}"));
        let came = match fault {
            Fault::LinkDrop => self.fault_link_drop(machine),
            Fault::Partition => self.fault_partition(machine),
            Fault::BrokerWipe => self.fault_wipe(),
            Fault::StoreCrash => self.fault_crash(machine)?,
            Fault::CentreCrash => self.fault_crash_centre(),
            Fault::StoreRestore => self.fault_restore(machine)?,
            Fault::StoreRevert => self.fault_revert(machine)?,
            Fault::CentreRestore => self.fault_restore_centre(BACKUP_AGE_MS_MAX)?,
            Fault::CentreRestoreTooOld => self.fault_restore_centre(u64::MAX)?,
            Fault::CloneCold => self.fault_clone_cold(machine),
            Fault::CloneWarm => self.fault_clone_warm(machine)?,
            Fault::ClockJump => self.fault_clock(machine)?,
            Fault::Poison => self.fault_poison(machine)?,
            Fault::Repost => self.fault_repost(false),
            Fault::OtherBody => self.fault_repost(true),
            Fault::LedgerFull => self.fault_ledger_full(),
            Fault::LedgerSlow => self.fault_ledger_slow(),
            Fault::StoreFull => self.fault_store_full(machine),
            Fault::Holidays => self.fault_holidays(),
        };
        if came {
            self.coverage.saw(fault.name());
        }
        Ok(())
    }

    // ---- network ----

    fn fault_link_drop(&mut self, machine: usize) -> bool {
        let had = self.machines[machine].connection.is_some();
        self.drop_connection(machine);
        had
    }

    fn fault_partition(&mut self, machine: usize) -> bool {
        self.machines[machine].cut = pick(&mut self.random, &[(true, false), (false, true), (true, true)]);
        let wait_ms = 1_000 + self.random.below(120_000);
        self.scheduler.after(wait_ms, Event::Reach { machine });
        true
    }

    pub(super) fn reach(&mut self, machine: usize) -> Result<(), Violation> {
        self.machines[machine].cut = (false, false);
        Ok(())
    }

    fn fault_wipe(&mut self) -> bool {
        self.wipe();
        true
    }

    // ---- programs ----

    fn fault_crash(&mut self, machine: usize) -> Result<bool, Violation> {
        let ran = self.machines[machine].running.is_some();
        if ran {
            self.crash(machine)?;
        }
        Ok(ran)
    }

    fn fault_crash_centre(&mut self) -> bool {
        let ran = self.centre.running.is_some();
        if ran {
            self.crash_centre();
        }
        ran
    }

    // ---- clocks, tills, time ----

    /// The clock jumps, and the agent marks it for the auditor.
    fn fault_clock(&mut self, machine: usize) -> Result<bool, Violation> {
        const HOUR_MS: i64 = 3_600_000;
        const YEAR_MS: i64 = 365 * 24 * HOUR_MS;
        let jumps = [0, HOUR_MS, -HOUR_MS, 30 * 24 * HOUR_MS, 10 * YEAR_MS, -10 * YEAR_MS, -START_MS];
        self.machines[machine].clock_ahead_ms = pick(&mut self.random, &jumps);
        let (event_id, at, store) = (self.event_id(), self.stamp(machine), self.machines[machine].store);
        let Some(running) = &mut self.machines[machine].running else { return Ok(true) };
        if let Err(error) = mark_clock(&mut running.books, event_id, at) {
            return self.books_failed("mark a clock that jumped", &error).map(|()| true);
        }
        let Some(head) = running.books.head() else { return violated(Rule::Failed, "a mark without an epoch") };
        running.head_moved = true;
        let what = What::Mark(Marked { action: word::CLOCK_JUMPED.to_owned(), subject: CLOCK.to_owned() });
        self.reference.committed(machine, head.hash, Fact { store, place: head.place, what })?;
        self.enter(machine, Entry::Mark { event_id, at });
        self.drive(machine)?;
        Ok(true)
    }

    /// A till asks again for what it was answered before, perhaps of another box, perhaps for something else.
    fn fault_repost(&mut self, other_body: bool) -> bool {
        let till = below_usize(&mut self.random, self.tills.len());
        let asked = self.tills[till].history.len();
        if asked == 0 || self.tills[till].pending.is_some() {
            return false;
        }
        let mut command = self.tills[till].history[below_usize(&mut self.random, asked)].clone();
        if other_body {
            command.body = command.body.wrapping_add(1);
        }
        self.tills[till].pending = Some(command);
        let store = self.tills[till].store;
        let boxes: Vec<usize> =
            (0..self.machines.len()).filter(|&number| self.machines[number].store == store).collect();
        self.tills[till].agent = boxes[below_usize(&mut self.random, boxes.len())];
        self.scheduler.after(0, Event::Sell { till, fresh: false });
        true
    }

    fn fault_ledger_slow(&mut self) -> bool {
        self.centre.slower_ms = pick(&mut self.random, &[500, 3_000, 12_000]);
        let wait_ms = 5_000 + self.random.below(60_000);
        self.scheduler.after(wait_ms, Event::Quick);
        true
    }

    pub(super) fn quick(&mut self) -> Result<(), Violation> {
        self.centre.slower_ms = 0;
        Ok(())
    }

    /// Days pass. Everything runs, because a program that tries again each minute for weeks would be most of the work.
    fn fault_holidays(&mut self) -> bool {
        let fights = self.plan.link.takeover && self.machines.len() > self.plan.stores;
        let all_run = self.centre.running.is_some() && self.machines.iter().all(|machine| machine.running.is_some());
        if fights || !all_run {
            return false;
        }
        for machine in 0..self.machines.len() {
            self.machines[machine].cut = (false, false);
            self.machines[machine].disk.limit(None);
        }
        self.centre.disk.limit(None);
        self.phase = Phase::Holidays;
        let days_ms = (10 + self.random.below(10)) * DAY_MS;
        self.scheduler.after(days_ms, Event::Workday);
        true
    }

    pub(super) fn workday(&mut self) -> Result<(), Violation> {
        self.note(format_args!("the holidays are over"));
        self.phase = Phase::Selling;
        // One is enough.
        self.plan.faults.retain(|fault| *fault != Fault::Holidays);
        for till in 0..self.tills.len() {
            let wait_ms = self.random.below(self.plan.sale_gap_ms);
            self.scheduler.after(wait_ms, Event::Sell { till, fresh: true });
        }
        self.scheduler.after(self.plan.selling_ms / 2, Event::Heal);
        self.scheduler.after(1_000, Event::Fault);
        self.scheduler.after(0, Event::Copies);
        Ok(())
    }
}
