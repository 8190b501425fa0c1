//! Tills and the agents that answer them.

use agent::db::{Durability, Failure, Recorded};

use super::counter::Command;
use super::machine::{CUT_OFF_MIN, Entry};
use super::plan::{below_usize, chance, wait_ms};
use super::{Event, Sabotage, World};
use crate::reference::{Fact, Rule, Sold, Violation, What, day_of, must, violated};

/// What an agent did with a command, before its group is committed.
#[derive(Debug)]
struct Done {
    till: usize,
    command: Command,
    recorded: Recorded,
    /// Its event, if it is new.
    fact: Option<(crate::reference::Key, Fact)>,
    entry: Option<Entry>,
}

impl World {
    /// A till sells, or repeats what was not answered.
    pub(super) fn sell(&mut self, till: usize, fresh: bool) -> Result<(), Violation> {
        if fresh {
            if self.is_open() {
                let wait_ms = wait_ms(&mut self.random, self.plan.sale_gap_ms);
                self.scheduler.after(wait_ms.max(1), Event::Sell { till, fresh: true });
                if self.tills[till].pending.is_none() {
                    self.new_command(till);
                }
            } else if self.tills[till].pending.is_none() {
                return Ok(());
            }
        }
        if self.tills[till].pending.is_none() {
            return Ok(());
        }
        // A till that waits too long may ask the other box of its store.
        if !fresh && chance(&mut self.random, 50) {
            self.ask_elsewhere(till);
        }
        let mut group = vec![till];
        if chance(&mut self.random, 200) {
            // The agent commits what waits together.
            let agent = self.tills[till].agent;
            for other in (0..self.tills.len()).filter(|other| *other != till) {
                if self.tills[other].agent == agent && self.is_open() {
                    if self.tills[other].pending.is_none() {
                        self.new_command(other);
                    }
                    group.push(other);
                }
            }
        }
        self.post(&group)
    }

    pub(super) fn new_command(&mut self, till: usize) {
        let (sale_id, body) = (self.sale_id(), self.random.next_u64());
        let till_id = self.tills[till].id.clone();
        self.tills[till].pending = Some(Command { sale_id, till_id, body });
    }

    fn ask_elsewhere(&mut self, till: usize) {
        let store = self.tills[till].store;
        let boxes: Vec<usize> = (0..self.machines.len()).filter(|&other| self.machines[other].store == store).collect();
        let agent = boxes[below_usize(&mut self.random, boxes.len())];
        if agent != self.tills[till].agent {
            self.coverage.saw("till: asked another box");
            self.tills[till].agent = agent;
        }
    }

    /// Commands of tills reach their agent together.
    pub(super) fn post(&mut self, group: &[usize]) -> Result<(), Violation> {
        let machine = self.tills[group[0]].agent;
        if self.machines[machine].running.is_none() {
            group.iter().for_each(|&till| self.ask_again(till));
            return Ok(());
        }
        let together = group.len() > 1;
        if self.permyriad(self.plan.store_step_crash) {
            self.coverage.saw("crash: store, before a sale's commit");
            group.iter().for_each(|&till| self.ask_again(till));
            return self.crash(machine);
        }
        if together {
            let Some(running) = &mut self.machines[machine].running else { return Ok(()) };
            if let Err(error) = running.books.begin(Durability::Promise) {
                group.iter().for_each(|&till| self.ask_again(till));
                return self.books_failed("begin a group", &error);
            }
        }
        let mut all_done = Vec::new();
        for (place, &till) in group.iter().enumerate() {
            match self.record(machine, till)? {
                Some(done) => all_done.push(done),
                None => self.ask_again(till),
            }
            if together && self.machines[machine].running.as_ref().is_some_and(|running| !running.books.in_group()) {
                // A full disk has undone the whole group.
                self.coverage.saw("store: group undone by a full disk");
                let undone: Vec<usize> = all_done.iter().map(|done| done.till).collect();
                undone.into_iter().for_each(|till| self.ask_again(till));
                group[place + 1..].iter().for_each(|&till| self.ask_again(till));
                return Ok(());
            }
        }
        if together && !self.commit_group(machine, group)? {
            return Ok(());
        }
        if self.settings.sabotage == Some(Sabotage::OutboxDamaged) {
            let sql =
                "UPDATE event SET bytes = zeroblob(length(bytes)) WHERE position = (SELECT max(position) FROM event)";
            self.machines[machine].disk.look().execute(sql, []).expect("a defect can be put in");
        }
        if self.settings.sabotage == Some(Sabotage::SaleIdForgotten) {
            self.machines[machine].disk.look().execute("DELETE FROM sale", []).expect("a defect can be put in");
        }
        for done in &mut all_done {
            if let Some((key, fact)) = done.fact.take() {
                self.committed_sale(machine, done, key, fact)?;
            }
        }
        if self.permyriad(self.plan.store_step_crash) {
            self.coverage.saw("crash: store, after a sale's commit and before its answer");
            group.iter().for_each(|&till| self.ask_again(till));
            return self.crash(machine);
        }
        for done in all_done {
            self.answer(machine, done)?;
        }
        self.drive(machine)
    }

    /// Commits a group of commands; false if nothing of it happened.
    fn commit_group(&mut self, machine: usize, group: &[usize]) -> Result<bool, Violation> {
        self.coverage.saw("store: sales committed together");
        let dies = self.permyriad(self.plan.store_step_crash);
        let Some(running) = &mut self.machines[machine].running else { return Ok(false) };
        if dies {
            self.coverage.saw("crash: store, within a group");
            group.iter().for_each(|&till| self.ask_again(till));
            self.crash(machine)?;
            return Ok(false);
        }
        if let Err(error) = running.books.commit() {
            group.iter().for_each(|&till| self.ask_again(till));
            self.books_failed("commit a group", &error)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// The agent records a till's command.
    fn record(&mut self, machine: usize, till: usize) -> Result<Option<Done>, Violation> {
        let Some(command) = self.tills[till].pending.clone() else { return Ok(None) };
        let (event_id, at, store) = (self.event_id(), self.stamp(machine), self.machines[machine].store);
        let asked = command.asked();
        let draft = match till::complete(asked.command) {
            Ok(draft) => draft,
            Err(refusal) => return violated(Rule::Answer, format!("a proper command was refused: {refusal:?}")),
        };
        let Some(running) = &mut self.machines[machine].running else { return Ok(None) };
        if self.settings.sabotage == Some(Sabotage::AnswerBeforeCommit) && !running.books.in_group() {
            running.books.begin(Durability::Promise).expect("a defect can be put in");
        }
        let recorded = running.books.record_sale(draft, &command.digest(), event_id, at);
        let head = running.books.head();
        if self.settings.sabotage == Some(Sabotage::AnswerBeforeCommit) {
            running.books.rollback();
        }
        let recorded = match recorded {
            Ok(recorded) => recorded,
            Err(error) if error.failure() == Failure::DiskFull => {
                self.coverage.saw("store: sale refused on a full disk");
                self.note(format_args!("machine {machine} has no room for {}", command.sale_id));
                // Some customers leave.
                if chance(&mut self.random, 300) {
                    self.tills[till].pending = None;
                }
                return Ok(None);
            }
            Err(error) => return violated(Rule::Failed, format!("record a sale: {}", error.chain())),
        };
        let Recorded::New(receipt) = &recorded else {
            return Ok(Some(Done { till, command, recorded, fact: None, entry: None }));
        };
        let Some(head) = head else { return violated(Rule::Failed, "a sale without an epoch") };
        let day = day_of(at.utc_ms, at.offset_s, i64::from(CUT_OFF_MIN));
        let sums = (receipt.total_minor.minor(), receipt.tax_minor.minor(), receipt.business_date.days());
        must(sums == (asked.sums.gross_minor, asked.sums.tax_minor, day), Rule::Answer, || {
            format!("sale {} was answered with {sums:?}, expected {:?} on day {day}", command.sale_id, asked.sums)
        })?;
        let sold = Sold {
            sale_id: command.sale_id,
            till_id: command.till_id.clone(),
            receipt_no: receipt.receipt_no,
            pickup_no: receipt.pickup_no,
            day,
            sums: asked.sums,
            used: asked.used,
        };
        let fact = Some((head.hash, Fact { store, place: head.place, what: What::Sale(sold) }));
        let entry = Some(Entry::Sale { command: command.clone(), event_id, at });
        Ok(Some(Done { till, command, recorded, fact, entry }))
    }

    /// A sale is on the agent's disk.
    fn committed_sale(
        &mut self,
        machine: usize,
        done: &mut Done,
        key: crate::reference::Key,
        fact: Fact,
    ) -> Result<(), Violation> {
        let Recorded::New(receipt) = &done.recorded else { return Ok(()) };
        let place = fact.place;
        self.note(format_args!(
            "machine {machine} sells {} as {place}, receipt {}",
            done.command.sale_id, receipt.receipt_no
        ));
        if let Some(floor) = self.machines[machine].receipt_floor.as_ref().filter(|floor| floor.welcomed) {
            let known = floor.heads.get(&receipt.till_id).copied().unwrap_or(0);
            must(receipt.receipt_no > known, Rule::Numbers, || {
                format!(
                    "machine {machine} gave receipt {} of till {} again after it was welcomed: the centre knew {known}",
                    receipt.receipt_no, receipt.till_id
                )
            })?;
        }
        self.reference.recorded(machine, done.command.sale_id, done.command.body, receipt.receipt_no)?;
        self.reference.committed(machine, key, fact)?;
        if let Some(entry) = done.entry.take() {
            self.enter(machine, entry);
        }
        if let Some(running) = &mut self.machines[machine].running {
            running.head_moved = true;
        }
        Ok(())
    }

    /// The answer reaches the till.
    fn answer(&mut self, machine: usize, done: Done) -> Result<(), Violation> {
        let Done { till, command, recorded, .. } = done;
        match &recorded {
            Recorded::New(_) => {}
            Recorded::Replayed(receipt) => {
                self.coverage.saw("till: answered from an earlier record");
                self.reference.replayed(machine, command.sale_id, command.body, receipt.receipt_no)?;
            }
            Recorded::Conflict => {
                self.coverage.saw("till: other body refused");
                self.reference.conflicted(machine, command.sale_id, command.body)?;
            }
            Recorded::NotNow(refused) => {
                return violated(Rule::Answer, format!("a proper sale was refused: {refused:?}"));
            }
            Recorded::Refused(refusal) => {
                return violated(Rule::Answer, format!("a proper sale was refused: {refusal:?}"));
            }
        }
        self.tills[till].pending = None;
        if recorded != Recorded::Conflict {
            self.tills[till].history.push(command);
        }
        Ok(())
    }

    /// The till hears nothing, and asks again a little later.
    fn ask_again(&mut self, till: usize) {
        let wait_ms = 500 + self.random.below(5_000);
        self.scheduler.after(wait_ms, Event::Sell { till, fresh: false });
    }
}
