//! After the faults: everything that waits has to drain within a bounded time, and then nobody has much to say.

use pos_model::SaleId;

use super::{Event, Phase, World};
use crate::reference::{Rule, Violation, must};

/// How often it is looked whether all has drained, in milliseconds.
const LOOK_MS: u64 = 2_000;

/// In this time everything drains after the faults have stopped, in milliseconds. The longest wait of a store that goes
/// on trying is a minute, and a few hundred events one by one take some minutes more.
const DRAIN_MS_MAX: u64 = 30 * 60_000;

/// For so long it is listened whether it is quiet, in milliseconds.
const QUIET_MS: u64 = 10 * 60_000;

/// Questions of one agent in that time. Late doubles of messages of an earlier run of the centre make some.
const QUESTIONS_MAX: u64 = 6;

impl World {
    /// The faults stop.
    pub(super) fn heal(&mut self) -> Result<(), Violation> {
        if !self.is_open() {
            // The holidays plan it anew.
            return Ok(());
        }
        self.note(format_args!("the faults stop"));
        self.plan.heal();
        self.centre.slower_ms = 0;
        self.centre.disk.limit(None);
        for machine in &mut self.machines {
            machine.cut = (false, false);
            machine.disk.limit(None);
        }
        self.phase = Phase::Draining { since: self.now() };
        self.scheduler.after(LOOK_MS, Event::Look);
        Ok(())
    }

    /// Whether all has drained.
    pub(super) fn look(&mut self) -> Result<(), Violation> {
        self.scheduler.after(LOOK_MS, Event::Look);
        let now = self.now();
        let waits = self.waits()?;
        match self.phase {
            Phase::Draining { since } | Phase::LastSales { since, .. } if waits.is_some() => {
                let passed_ms = now.ms_since(since);
                must(passed_ms < DRAIN_MS_MAX, Rule::Drain, || {
                    format!("after {passed_ms} ms without faults {}", waits.unwrap_or_default())
                })
            }
            Phase::Draining { since } => {
                self.note(format_args!("all has drained"));
                self.phase = Phase::LastSales { since: now, drained_after_ms: now.ms_since(since), second: false };
                self.last_sales()
            }
            Phase::LastSales { drained_after_ms, second: false, .. } => {
                self.phase = Phase::LastSales { since: now, drained_after_ms, second: true };
                self.last_sales.clear();
                self.last_sales()?;
                self.close_all()
            }
            Phase::LastSales { drained_after_ms, second: true, .. } => {
                self.note(format_args!("the last sales have arrived"));
                let questions = self.questions;
                self.phase = Phase::Quiet { since: now, drained_after_ms, questions };
                Ok(())
            }
            Phase::Quiet { since, drained_after_ms, questions } if now.ms_since(since) >= QUIET_MS => {
                self.phase = Phase::Done { drained_after_ms };
                self.was_quiet(self.questions - questions)
            }
            Phase::Quiet { .. } | Phase::Selling | Phase::Holidays | Phase::Done { .. } => Ok(()),
        }
    }

    /// What still waits, in words.
    fn waits(&self) -> Result<Option<String>, Violation> {
        if let Some(till) = self.tills.iter().find(|till| till.pending.is_some()) {
            return Ok(Some(format!("till {} of store {} waits for an answer", till.id, till.store)));
        }
        for (number, machine) in self.machines.iter().enumerate() {
            let Some(running) = &machine.running else { return Ok(Some(format!("machine {number} does not run"))) };
            let depth = match running.books.view().outbox_depth() {
                Ok(depth) => depth.events,
                Err(error) => return crate::reference::violated(Rule::Failed, error.chain()),
            };
            if depth > 0 || running.sync.unconfirmed() > 0 {
                return Ok(Some(format!(
                    "machine {number} has {depth} events unconfirmed, and its machine says {}: {:?}",
                    running.sync.unconfirmed(),
                    running.sync
                )));
            }
        }
        if let Some(deleted) = self.centre.deleted.in_words() {
            return Ok(Some(deleted));
        }
        Ok((!self.centre.is_idle()).then(|| "the centre is busy".to_owned()))
    }

    /// Each agent sells once more: nothing is left behind that would hold a fresh sale up.
    fn last_sales(&mut self) -> Result<(), Violation> {
        for machine in 0..self.machines.len() {
            let Some(till) = (0..self.tills.len()).find(|&till| self.tills[till].store == self.machines[machine].store)
            else {
                continue;
            };
            self.tills[till].agent = machine;
            if self.plan.shifts && self.shift_open_at(till).is_none() {
                let opening = self.opening();
                self.ask(till, Some(opening));
                self.post(&[till])?;
            }
            self.ask(till, None);
            self.last_sales.extend(self.tills[till].pending.iter().map(|command| SaleId::new(command.id)));
            self.post(&[till])?;
        }
        Ok(())
    }

    /// Each till that is open is closed: the reports of the day.
    fn close_all(&mut self) -> Result<(), Violation> {
        for machine in 0..self.machines.len() {
            for till in 0..self.tills.len() {
                if self.tills[till].store != self.machines[machine].store {
                    continue;
                }
                self.tills[till].agent = machine;
                if let Some(shift_id) = self.shift_open_at(till) {
                    let closing = self.closing(shift_id);
                    self.ask(till, Some(closing));
                    self.post(&[till])?;
                }
            }
        }
        Ok(())
    }

    fn was_quiet(&self, questions: u64) -> Result<(), Violation> {
        let most = QUESTIONS_MAX * self.machines.len() as u64;
        must(questions <= most, Rule::Storm, || {
            format!("{questions} questions within {QUIET_MS} ms in which nothing happened")
        })
    }
}
