//! Tills and the agents that answer them.

use agent::db::{Durability, Failure, PartOfShift};
use pos_model::{EventId, Stamp};

use super::counter::{Command, Kind};
use super::errand::{Answer, Told, carry_out};
use super::machine::{CUT_OFF_MIN, Entry};
use super::noticed::{Step, refusal_seen, seen};
use super::plan::{below_usize, chance, wait_ms};
use super::written::what_of;
use super::{Event, Sabotage, World};
use crate::reference::asked::{Asked, Wanted};
use crate::reference::{Fact, Key, Rule, Violation, What, day_of, must, violated};

/// What an agent did with a command, before its group is committed.
#[derive(Debug)]
struct Done {
    till: usize,
    command: Command,
    told: Told,
    /// Its event, if it is new.
    written: Option<(Key, Fact)>,
    event_id: EventId,
    at: Stamp,
}

impl World {
    /// A till asks for something, or repeats what was not answered.
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
        let closes = self.kinds(&group).contains(&Kind::Close);
        if chance(&mut self.random, if closes { 600 } else { 200 }) {
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
        self.add_up_before(machine, group[0]);
        let together = group.len() > 1;
        if self.dies_over(group) {
            self.saw_death(group, Step::BeforeCommit);
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
        self.spoil(machine);
        for done in &mut all_done {
            self.settle(machine, done)?;
        }
        if self.dies_over(group) {
            self.saw_death(group, Step::BeforeAnswer);
            group.iter().for_each(|&till| self.ask_again(till));
            return self.crash(machine);
        }
        for done in all_done {
            self.answer(done);
        }
        self.drive(machine)
    }

    /// Most of a long sum is made beside the writer, and things go on meanwhile.
    fn add_up_before(&mut self, machine: usize, till: usize) {
        let closes = self.tills[till].pending.as_ref().is_some_and(|command| command.kind() == Kind::Close);
        if !chance(&mut self.random, if closes { 500 } else { 20 }) {
            return;
        }
        let Some(shift_id) = self.shift_open_at(till) else { return };
        let Some(running) = &mut self.machines[machine].running else { return };
        running.part = running.books.view().part_of_shift(pos_model::ShiftId::new(shift_id)).ok().flatten();
    }

    /// Commits a group of commands; false if nothing of it happened.
    fn commit_group(&mut self, machine: usize, group: &[usize]) -> Result<bool, Violation> {
        self.coverage.saw("store: sales committed together");
        let dies = self.dies_over(group);
        let Some(running) = &mut self.machines[machine].running else { return Ok(false) };
        if dies {
            self.saw_death(group, Step::WithinGroup);
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

    /// The agent carries a till's command out.
    fn record(&mut self, machine: usize, till: usize) -> Result<Option<Done>, Violation> {
        let Some(command) = self.tills[till].pending.clone() else { return Ok(None) };
        let (event_id, at, store) = (self.event_id(), self.stamp(machine), self.machines[machine].store);
        let Some(running) = &mut self.machines[machine].running else { return Ok(None) };
        if self.settings.sabotage == Some(Sabotage::AnswerBeforeCommit) && !running.books.in_group() {
            running.books.begin(Durability::Promise).expect("a defect can be put in");
        }
        let before = running.books.head();
        let part: Option<PartOfShift> = if command.kind() == Kind::Close { running.part.take() } else { None };
        if part.is_some() {
            self.coverage.saw("shift: closed with a sum made before");
        }
        let told = carry_out(&mut running.books, &command, part, event_id, at);
        let head = running.books.head().filter(|head| before != Some(*head));
        let written = head.map(|head| (head, running.books.view().event(head.place)));
        if self.settings.sabotage == Some(Sabotage::AnswerBeforeCommit) {
            running.books.rollback();
        }
        let told = match told {
            Ok(told) => told,
            Err(error) if error.failure() == Failure::DiskFull => {
                self.coverage.saw("store: sale refused on a full disk");
                self.note(format_args!("machine {machine} has no room for {}", command.id));
                // Some customers leave.
                if chance(&mut self.random, 300) {
                    self.tills[till].pending = None;
                }
                return Ok(None);
            }
            Err(error) => return violated(Rule::Failed, format!("carry {command:?} out: {}", error.chain())),
        };
        let written = match written {
            None => None,
            Some((head, Ok(Some(row)))) => {
                let what = row.event().ok().and_then(|event| what_of(event.body));
                let Some(what) = what else {
                    return violated(Rule::Failed, format!("{} is not understood", row.place));
                };
                Some((head.hash, Fact { store, place: head.place, what }))
            }
            Some((head, missing)) => {
                return violated(Rule::Failed, format!("read the event at {}: {missing:?}", head.place));
            }
        };
        Ok(Some(Done { till, command, told, written, event_id, at }))
    }

    /// What the agent did is on its disk: it must be what the reference expects.
    fn settle(&mut self, machine: usize, done: &mut Done) -> Result<(), Violation> {
        let Done { command, told, written, event_id, at, .. } = done;
        let (id, digest) = (command.id, command.digest());
        let asked = command.asked(day_of(at.utc_ms, at.offset_s, i64::from(CUT_OFF_MIN)));
        match told {
            Told::New(answer) => {
                let place = written.as_ref().map(|(_, fact)| fact.place);
                self.note(format_args!("machine {machine} does {id} as {place:?}, {:?}", answer.slip));
                let seen = seen(&asked, written.as_ref().map(|(_, fact)| &fact.what));
                seen.into_iter().for_each(|what| self.coverage.saw(what));
                self.compare(machine, &asked, answer, written.as_ref().map(|(_, fact)| &fact.what))?;
                if let Some((key, fact)) = written.take() {
                    self.reference.committed(machine, key, fact)?;
                }
                self.reference.recorded(machine, &asked, digest, std::mem::take(&mut answer.text))?;
                let (command, event_id, at) = (command.clone(), *event_id, *at);
                self.enter(machine, Entry::Command { command, event_id, at });
                if let Some(running) = &mut self.machines[machine].running {
                    running.head_moved = true;
                }
                Ok(())
            }
            Told::Replayed(answer) => {
                self.coverage.saw("till: answered from an earlier record");
                self.reference.replayed(machine, id, digest, &answer.text)
            }
            Told::Conflict => {
                self.coverage.saw("till: other body refused");
                self.reference.conflicted(machine, id, digest)
            }
            Told::Refused(key) => {
                self.note(format_args!("machine {machine} refuses {id}: {key}"));
                refusal_seen(key).into_iter().for_each(|what| self.coverage.saw(what));
                self.reference.refused(machine, &asked, key)
            }
        }
    }

    /// Compares a new event with what the reference expects of it.
    fn compare(
        &mut self,
        machine: usize,
        asked: &Asked,
        answer: &Answer,
        written: Option<&What>,
    ) -> Result<(), Violation> {
        let rule = match asked.what {
            Wanted::Refund(_) => Rule::Refund,
            Wanted::CloseShift { .. } | Wanted::CloseDay { .. } => Rule::Report,
            Wanted::FinishCount { .. } => Rule::Stock,
            _ => Rule::Answer,
        };
        // Whoever does the same a second time has forgotten, and what follows from it is no news.
        self.reference.is_first(machine, asked.id)?;
        let expected = match self.reference.expected(machine, asked) {
            Err(objections) => {
                return violated(rule, format!("machine {machine} did {asked:?} in spite of {objections:?}"));
            }
            Ok(expected) => expected.map(|what| self.reference.raised_as(what.numbered_as(written), written)),
        };
        must(expected.as_ref() == written, rule, || {
            format!("machine {machine} was asked for {asked:?} and wrote {written:?}, expected {expected:?}")
        })?;
        let slip = written.and_then(What::slip);
        must(answer.slip == slip, Rule::Answer, || {
            format!("{} was answered with {:?}, not {slip:?}", asked.id, answer.slip)
        })?;
        let Some((till_id, receipt_no)) = written.and_then(What::receipt) else { return Ok(()) };
        let floor = self.machines[machine].receipt_floor.as_ref().filter(|floor| floor.welcomed);
        let known = floor.and_then(|floor| floor.heads.get(till_id)).copied().unwrap_or(0);
        must(receipt_no > known, Rule::Numbers, || {
            format!(
                "machine {machine} gave receipt {receipt_no} of till {till_id} again after it was welcomed: the centre \
                 knew {known}"
            )
        })
    }

    /// The answer reaches the till.
    fn answer(&mut self, done: Done) {
        self.tills[done.till].pending = None;
        if matches!(done.told, Told::New(_) | Told::Replayed(_)) {
            self.tills[done.till].history.push(done.command);
        }
    }

    /// The till hears nothing, and asks again a little later.
    fn ask_again(&mut self, till: usize) {
        let wait_ms = 500 + self.random.below(5_000);
        self.scheduler.after(wait_ms, Event::Sell { till, fresh: false });
    }

    /// Puts a defect into the books of an agent that has just committed.
    fn spoil(&mut self, machine: usize) {
        let sql = match self.settings.sabotage {
            Some(Sabotage::OutboxDamaged) => {
                "UPDATE event SET bytes = zeroblob(length(bytes)) WHERE position = (SELECT max(position) FROM event)"
            }
            Some(Sabotage::SaleIdForgotten) => "DELETE FROM sale",
            Some(Sabotage::CommandForgotten) => "DELETE FROM command",
            Some(Sabotage::ReturnsForgotten) => "DELETE FROM returned_unit",
            Some(Sabotage::SaleOutsideShift) => {
                "UPDATE sale SET shift_id = NULL WHERE position = (SELECT max(position) FROM sale)"
            }
            Some(Sabotage::FrontierAtEnd) => {
                "UPDATE stock_count_item AS counted SET used_micro =
                    coalesce((SELECT sum(used_micro) FROM stock_usage WHERE item_id = counted.item_id), 0)
                    + coalesce((SELECT used_micro FROM stock_past_total WHERE item_id = counted.item_id), 0)"
            }
            _ => return,
        };
        self.machines[machine].disk.look().execute(sql, []).expect("a defect can be put in");
    }
}
