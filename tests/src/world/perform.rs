//! What an agent's machine asks for, done with the shipped code on the agent's books.

use std::rc::Rc;

use agent::uplink::perform::{self, Present};
use pos_model::{BusinessDate, Epoch, Seq};
use protocol::latest::{Cursor, Downlink, Mark, OpenReason, Recall, ReceiptHead};
use sync_core::store::{Confirmed, Effect, Loss, Notice, SendFailure};

use super::machine::{AGENT_VERSION, Entry, Input, reports};
use super::{Sabotage, World};
use crate::reference::{Rule, Violation, must, violated};

/// Greetings over one connection. A handful are right: a new run of the centre, a fork, an answer that was lost.
const GREETINGS_MAX: u64 = 1_000;

impl World {
    pub(super) fn perform(&mut self, machine: usize, effect: Effect) -> Result<(), Violation> {
        match effect {
            Effect::Connect => self.connect(machine),
            Effect::Disconnect => self.cut_connection(machine),
            Effect::SayHello { session, epochs } => return self.say_hello(machine, session, &epochs),
            Effect::SendHeartbeat => return self.say_heartbeat(machine),
            Effect::SendBatch { epoch, from, events_max } => return self.send_batch(machine, epoch, from, events_max),
            Effect::Confirm { epoch, mark } => return self.confirm(machine, epoch, mark),
            Effect::Rewind { epoch, to } => return self.rewind(machine, epoch, to),
            Effect::SendDigests { newest, dates } => return self.send_digests(machine, newest, &dates),
            Effect::SendAgain(recall) => return self.send_again(machine, &recall),
            Effect::RaiseReceipts(heads) => return self.raise_receipts(machine, heads),
            Effect::OpenEpoch => return self.leave_epoch(machine),
            Effect::Notify(notice) => self.coverage.saw(match notice {
                Notice::WentBack { .. } => "store: went back",
                Notice::CentreWentBack { .. } => "store: centre went back",
                Notice::Forked { .. } => "store: forked",
                Notice::Refused => "store: refused for good",
                Notice::Unreadable => "store: not understood by the centre",
                Notice::TooLarge { .. } => "store: event too large for the link",
            }),
        }
        Ok(())
    }

    fn present(&self, machine: usize) -> Present {
        Present { clock: self.stamp(machine), disk_free_bytes: None }
    }

    fn say_hello(&mut self, machine: usize, session: u64, asked: &[Epoch]) -> Result<(), Violation> {
        let (speaker, present) = (self.speaker(machine), self.present(machine));
        let Some(running) = &self.machines[machine].running else { return Ok(()) };
        let held = reports(&running.books)?.len();
        let message = made(perform::hello(running.books.view(), &speaker, present, session, asked))?;
        if asked.len() == self.plan.store_limits.hello_epochs_max && asked.len() < held {
            self.coverage.saw("store: asked about some of its epochs");
        }
        self.questions += 1;
        let running = self.machines[machine].running.as_mut().expect("it runs, as seen above");
        running.greetings += 1;
        let greetings = running.greetings;
        must(greetings <= GREETINGS_MAX, Rule::Storm, || {
            format!("machine {machine} has said hello {greetings} times over one connection")
        })?;
        self.send_up(machine, message);
        Ok(())
    }

    fn say_heartbeat(&mut self, machine: usize) -> Result<(), Violation> {
        let (speaker, present) = (self.speaker(machine), self.present(machine));
        let Some(running) = &self.machines[machine].running else { return Ok(()) };
        let message = made(perform::heartbeat(running.books.view(), &speaker, present))?;
        self.send_up(machine, message);
        Ok(())
    }

    fn send_batch(&mut self, machine: usize, epoch: Epoch, from: Seq, events_max: u32) -> Result<(), Violation> {
        let (now, speaker) = (self.now(), self.speaker(machine));
        let Some(running) = &mut self.machines[machine].running else { return Ok(()) };
        let Some((message, sent)) = made(perform::batch(running.books.view(), &speaker, epoch, from, events_max))?
        else {
            self.coverage.saw("store: nothing there to send");
            running.sync.handle_send_failed(SendFailure::NothingThere, now);
            return Ok(());
        };
        let handed_over = self.send_up(machine, message);
        let Some(running) = &mut self.machines[machine].running else { return Ok(()) };
        if handed_over {
            running.sync.handle_sent(sent, now);
        } else {
            running.sync.handle_send_failed(SendFailure::Later, now);
        }
        if handed_over && self.settings.sabotage == Some(Sabotage::TrustPuback) {
            return self.confirm(machine, epoch, sent.through);
        }
        Ok(())
    }

    fn send_digests(&mut self, machine: usize, newest: usize, dates: &[BusinessDate]) -> Result<(), Violation> {
        let speaker = self.speaker(machine);
        let Some(running) = &self.machines[machine].running else { return Ok(()) };
        if let Some(message) = made(perform::digests(running.books.view(), &speaker, newest, dates))? {
            self.send_up(machine, message);
        }
        Ok(())
    }

    fn send_again(&mut self, machine: usize, recall: &Recall) -> Result<(), Violation> {
        let speaker = self.speaker(machine);
        let Some(running) = &self.machines[machine].running else { return Ok(()) };
        let message = made(perform::again(running.books.view(), &speaker, recall))?;
        self.send_up(machine, message);
        Ok(())
    }

    fn confirm(&mut self, machine: usize, epoch: Epoch, mark: Mark) -> Result<(), Violation> {
        let now = self.now();
        // Receipt numbers are raised before the first mark is compared.
        if let Some(floor) = &mut self.machines[machine].receipt_floor {
            floor.welcomed = true;
        }
        let Some(running) = &mut self.machines[machine].running else { return Ok(()) };
        let confirmed = match running.books.confirm(epoch, mark) {
            Ok(confirmed) => perform::agreed(confirmed),
            Err(error) => {
                self.books_failed("confirm", &error)?;
                return self.start_over(machine);
            }
        };
        if confirmed == Confirmed::Agreed {
            self.enter(machine, Entry::Confirm { epoch, mark });
            self.reference.acked(machine, epoch, mark.seq)?;
        } else {
            self.coverage.saw("store: histories differ");
        }
        let Some(running) = &mut self.machines[machine].running else { return Ok(()) };
        running.sync.handle_confirmed(epoch, mark, confirmed, now);
        Ok(())
    }

    fn rewind(&mut self, machine: usize, epoch: Epoch, to: Seq) -> Result<(), Violation> {
        let Some(running) = &mut self.machines[machine].running else { return Ok(()) };
        match running.books.rewind(epoch, to) {
            Ok(_) => {
                self.coverage.saw("store: rewound");
                self.enter(machine, Entry::Rewind { epoch, to });
                self.reference.rewound(machine, epoch, to);
                Ok(())
            }
            Err(error) => self.books_failed("rewind", &error),
        }
    }

    fn raise_receipts(&mut self, machine: usize, heads: Vec<ReceiptHead>) -> Result<(), Violation> {
        if self.settings.sabotage == Some(Sabotage::ReceiptsNotRaised) {
            return Ok(());
        }
        let Some(running) = &mut self.machines[machine].running else { return Ok(()) };
        match running.books.raise_receipts(&heads) {
            Ok(()) => {
                self.enter(machine, Entry::Raise(heads));
                if self.machines[machine].receipt_floor.is_some() {
                    self.coverage.saw("store: receipt numbers raised after it went back");
                }
                Ok(())
            }
            Err(error) => self.books_failed("raise receipt numbers", &error),
        }
    }

    fn leave_epoch(&mut self, machine: usize) -> Result<(), Violation> {
        let (now, epoch, event_id) = (self.now(), Epoch::new(self.random.next_u64()), self.event_id());
        let at = self.stamp(machine);
        let Some(running) = &mut self.machines[machine].running else { return Ok(()) };
        let reason = OpenReason::Fork;
        let opened = running.books.open_epoch(epoch, event_id, at, reason, AGENT_VERSION);
        running.head_moved |= opened.is_ok();
        let held = reports(&running.books)?;
        running.sync.handle_held(&held, now);
        match opened {
            Ok(head) => {
                self.coverage.saw("store: epoch reopened after a fork");
                self.enter(machine, Entry::Open { epoch, event_id, at, reason });
                self.opened(machine, head)
            }
            Err(error) => self.books_failed("open an epoch", &error),
        }
    }

    /// What the centre said could not be kept: the next connection asks it again.
    fn start_over(&mut self, machine: usize) -> Result<(), Violation> {
        let now = self.now();
        self.cut_connection(machine);
        if let Some(running) = &mut self.machines[machine].running {
            running.sync.handle_connection_lost(Loss::Network, now);
        }
        Ok(())
    }

    /// A message from the centre arrives at an agent.
    pub(super) fn arrive_at_store(
        &mut self,
        machine: usize,
        connection: Option<u64>,
        bytes: Rc<[u8]>,
        wipes: u64,
    ) -> Result<(), Violation> {
        let has = self.machines[machine].connection;
        let arrives = has.is_some() && connection.is_none_or(|connection| has == Some(connection));
        if !arrives || wipes != self.network.wipes {
            return Ok(());
        }
        self.input(machine, Input::Message(bytes))
    }

    /// Something comes from an agent's link.
    pub(super) fn input(&mut self, machine: usize, input: Input) -> Result<(), Violation> {
        if let Some(running) = &mut self.machines[machine].running {
            running.inbox.push_back(input);
        }
        self.drive(machine)
    }

    pub(super) fn remember_cursors(&mut self, machine: usize, message: &mut Downlink) -> Result<(), Violation> {
        let Some(running) = &self.machines[machine].running else { return Ok(()) };
        let held = reports(&running.books)?;
        let Downlink::Welcome(welcome) = message else { return Ok(()) };
        for cursor in &mut welcome.cursors {
            let Some(report) = held.iter().find(|report| report.epoch == cursor.epoch) else { continue };
            let next = running.books.view().take_batch(report.epoch, report.acked.next(), 1, 0).ok().flatten();
            let Some(next) = next else { continue };
            let common = Mark { seq: report.acked, hash: next.prev_hash };
            *cursor = Cursor { epoch: report.epoch, applied: report.acked, common };
        }
        Ok(())
    }
}

fn made<T>(made: Result<T, perform::PerformError>) -> Result<T, Violation> {
    made.or_else(|error| violated(Rule::Failed, format!("make a message: {error:?}")))
}

/// A message in a few words.
pub(super) fn brief(message: &Downlink) -> String {
    match message {
        Downlink::Welcome(welcome) => {
            let cursors: Vec<String> = welcome
                .cursors
                .iter()
                .map(|cursor| format!("{}/{} common {}", cursor.epoch, cursor.applied, cursor.common.seq))
                .collect();
            format!("welcome {:x} {cursors:?} hold {}", welcome.session, welcome.credit.hold_ms)
        }
        Downlink::Ack(ack) => format!(
            "ack {}/{} cursor {}{}{} parked {:?} hold {}",
            ack.epoch,
            ack.through.seq,
            ack.cursor.seq,
            if ack.rewind { " rewind" } else { "" },
            if ack.forked { " forked" } else { "" },
            ack.parked,
            ack.credit.hold_ms,
        ),
        Downlink::Pulse(_) => "pulse".to_owned(),
        Downlink::Turn(_) => "turn".to_owned(),
        Downlink::Compare(_) => "compare".to_owned(),
        Downlink::Recall(_) => "recall".to_owned(),
    }
}
