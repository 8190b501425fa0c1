//! A box in a store: a disk, a wall clock, and an agent that lives and dies on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use agent::db::{PartOfShift, RETENTION_MS_MIN, Rules, Store};
use agent::uplink::perform::Speaker;
use pos_model::{Currency, DayCutOff, Epoch, EventId, Seq, Stamp, TillId};
use protocol::envelope::open_downlink;
use protocol::latest::{Downlink, EpochReport, Mark, OpenReason, ReceiptHead};
use sync_core::Instant;
use sync_core::store::{LinkState, Loss, Refusal, StoreSync};

use super::counter::{Command, Till};
use super::errand::{carry_out, mark_clock};
use super::memory::Memory;
use super::plan::{Fault, below_usize, chance, pick};
use super::{Event, Phase, Sabotage, World};
use crate::reference::{Disk, Fact, Rule, Violation, What, must, violated};

/// What the stores' configuration says.
pub(super) const RULES: Rules = Rules {
    currency: Some(Currency::CNY),
    cut_off: match DayCutOff::from_minutes(CUT_OFF_MIN) {
        Some(cut_off) => cut_off,
        None => panic!("four o'clock is a time of day"),
    },
};

/// Four o'clock.
pub(super) const CUT_OFF_MIN: u16 = 240;

pub(super) const AGENT_VERSION: &str = "simulated";

/// Between two rounds of housekeeping, in milliseconds.
const TIDY_MS: u64 = 60 * 60 * 1000;

/// And for the first time so soon after its start, in milliseconds, while there is still something to confirm.
const FIRST_TIDY_MS: u64 = 20 * 1000;

/// Rows that one round lets go.
const TRIM_ROWS: u32 = 40;

/// A box.
#[derive(Debug)]
pub(super) struct Machine {
    /// Its store.
    pub(super) store: usize,
    pub(super) disk: Memory,
    /// How far its wall clock is ahead, in milliseconds.
    pub(super) clock_ahead_ms: i64,
    /// Counts the runs of its agent; what was planned for an earlier one is void.
    pub(super) life: u64,
    pub(super) running: Option<Running>,
    /// The connection that it has.
    pub(super) connection: Option<u64>,
    /// Counts connection attempts.
    pub(super) attempt: u64,
    /// Nothing that it says, or nothing that is said to it, gets through.
    pub(super) cut: (bool, bool),
    /// Older states of its disk.
    pub(super) copies: Vec<Copy>,
    /// Receipt numbers known at the centre when the agent was started after it had been put back. Once it has been
    /// welcomed, it must go on above them.
    pub(super) receipt_floor: Option<Floor>,
    /// Its events are no longer all of the kinds that its own program writes.
    pub(super) poisoned: bool,
}

/// See [`Machine::receipt_floor`].
#[derive(Debug, Default)]
pub(super) struct Floor {
    pub(super) heads: BTreeMap<TillId, u64>,
    pub(super) welcomed: bool,
}

/// An older state of a disk, with what the reference knows of it.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) at: Instant,
    pub(super) disk: Memory,
    pub(super) known: Disk,
}

/// An agent that runs. As in the shipped task, everything that the machine asks for is done before the next thing that
/// happened is looked at; sales commit meanwhile.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) books: Store,
    pub(super) sync: StoreSync,
    pub(super) seed: u64,
    /// When its timer rings next.
    timer: Option<Instant>,
    /// A step is planned.
    stepping: bool,
    /// What came from the link and was not looked at.
    pub(super) inbox: VecDeque<Input>,
    /// Events were committed since the machine was told.
    pub(super) head_moved: bool,
    pub(super) tidied_at: Instant,
    /// Greetings since it was connected.
    pub(super) greetings: u64,
    /// What has been added up of a shift beside the writer.
    pub(super) part: Option<PartOfShift>,
    /// What it did to its books in this run, where a fault may ask for it to be done again.
    pub(super) diary: Option<Diary>,
}

/// What comes from a link.
#[derive(Debug)]
pub(super) enum Input {
    Connected,
    Message(Rc<[u8]>),
    Refused(Refusal),
    Lost(Loss),
}

impl Running {
    pub(super) fn new(books: Store, sync: StoreSync, seed: u64, now: Instant, diary: Option<Diary>) -> Self {
        Self {
            books,
            sync,
            seed,
            timer: None,
            stepping: false,
            inbox: VecDeque::new(),
            head_moved: false,
            tidied_at: now,
            greetings: 0,
            part: None,
            diary,
        }
    }
}

/// What an agent's task may look at next.
#[derive(Debug, Clone, Copy)]
enum Ready {
    Link,
    Committed,
    Deadline(&'static str),
}

/// From which the books of a run can be made once more: a virtual machine that is doubled or put back does not know.
#[derive(Debug)]
pub(super) struct Diary {
    pub(super) base: Memory,
    pub(super) entries: Vec<Entry>,
    /// Moments to which it may be put back: how many entries there were, and what the reference knew.
    pub(super) moments: Vec<(usize, Disk)>,
}

/// Something that an agent did to its books.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Open { epoch: Epoch, event_id: EventId, at: Stamp, reason: OpenReason },
    Command { command: Command, event_id: EventId, at: Stamp },
    Mark { event_id: EventId, at: Stamp },
    Confirm { epoch: Epoch, mark: Mark },
    Rewind { epoch: Epoch, to: Seq },
    Raise(Vec<ReceiptHead>),
    Ran { ms: i64 },
    Trim,
}

impl Diary {
    /// Makes the books of the run again, as they were after so many entries.
    pub(super) fn again(&self, entries: usize) -> (Memory, Store) {
        let disk = self.base.copy();
        let mut books = Store::from_connection(disk.open(), RULES).expect("the books were opened before");
        for entry in &self.entries[..entries] {
            let done = match entry.clone() {
                Entry::Open { epoch, event_id, at, reason } => {
                    books.open_epoch(epoch, event_id, at, reason, AGENT_VERSION).map(drop)
                }
                Entry::Command { command, event_id, at } => {
                    carry_out(&mut books, &command, None, event_id, at).map(drop)
                }
                Entry::Mark { event_id, at } => mark_clock(&mut books, event_id, at),
                Entry::Confirm { epoch, mark } => books.confirm(epoch, mark).map(drop),
                Entry::Rewind { epoch, to } => books.rewind(epoch, to).map(drop),
                Entry::Raise(heads) => books.raise_receipts(&heads),
                Entry::Ran { ms } => books.note_running(ms),
                Entry::Trim => books.trim(RETENTION_MS_MIN, TRIM_ROWS).map(drop),
            };
            done.expect("what was done before can be done again");
        }
        (disk, books)
    }
}

impl World {
    /// A new box with an empty disk, whose agent starts at once.
    pub(super) fn add_machine(&mut self, store: usize) -> usize {
        let number = self.machines.len();
        self.machines.push(Machine {
            store,
            disk: Memory::new(),
            clock_ahead_ms: 0,
            life: 0,
            running: None,
            connection: None,
            attempt: 0,
            cut: (false, false),
            copies: Vec::new(),
            receipt_floor: None,
            poisoned: false,
        });
        self.reference.new_disk(number);
        self.scheduler.after(0, Event::Start { machine: number, life: 0 });
        number
    }

    pub(super) fn add_till(&mut self, store: usize, agent: usize, number: usize) {
        let id = TillId::new(format!("T{}", number + 1)).expect("a valid name");
        self.tills.push(Till { store, agent, id, pending: None, history: Vec::new() });
        let wait_ms = self.random.below(self.plan.sale_gap_ms);
        self.scheduler.after(wait_ms, Event::Sell { till: self.tills.len() - 1, fresh: true });
    }

    /// Who an agent says it is.
    pub(super) fn speaker(&self, machine: usize) -> Speaker {
        let store_id = self.stores[self.machines[machine].store].clone();
        Speaker { store_id, agent_version: AGENT_VERSION.to_owned() }
    }

    /// An agent is started: it opens its books and an epoch in them before anything else.
    pub(super) fn start(&mut self, machine: usize, life: u64) -> Result<(), Violation> {
        if self.machines[machine].life != life || self.machines[machine].running.is_some() {
            return Ok(());
        }
        let connection = self.machines[machine].disk.open();
        let mut books = match Store::from_connection(connection, RULES) {
            Ok(books) => books,
            Err(error) => return self.cannot_start(machine, life, &error),
        };
        let keeps_diary = self.plan.faults.iter().any(|fault| matches!(fault, Fault::CloneWarm | Fault::StoreRevert));
        let base = keeps_diary.then(|| self.machines[machine].disk.copy());
        if self.permyriad(self.plan.store_step_crash) {
            self.coverage.saw("crash: store, before its epoch is open");
            drop(books);
            return self.crash(machine);
        }
        let (epoch, event_id, at) = (Epoch::new(self.random.next_u64()), self.event_id(), self.stamp(machine));
        let reason = OpenReason::Start;
        let head = match books.open_epoch(epoch, event_id, at, reason, AGENT_VERSION) {
            Ok(head) => head,
            Err(error) => {
                drop(books);
                return self.cannot_start(machine, life, &error);
            }
        };
        self.opened(machine, head)?;
        let epochs = reports(&books)?;
        let (now, seed) = (self.now(), self.random.next_u64());
        let sync = StoreSync::new(&epochs, self.plan.store_limits.clone(), seed, now);
        let entries = vec![Entry::Open { epoch, event_id, at, reason }];
        let diary = base.map(|base| Diary { base, entries, moments: Vec::new() });
        self.note(format_args!("machine {machine} starts in epoch {epoch}"));
        self.machines[machine].running = Some(Running::new(books, sync, seed, now, diary));
        self.scheduler.after(FIRST_TIDY_MS, Event::Tidy { machine, life });
        self.drive(machine)
    }

    /// An epoch was opened.
    pub(super) fn opened(&mut self, machine: usize, head: agent::db::Head) -> Result<(), Violation> {
        let store = self.machines[machine].store;
        self.reference.committed(machine, head.hash, Fact { store, place: head.place, what: What::Opened })
    }

    fn cannot_start(&mut self, machine: usize, life: u64, error: &agent::db::Error) -> Result<(), Violation> {
        let full = error.failure() == agent::db::Failure::DiskFull;
        must(full, Rule::Failed, || format!("machine {machine} cannot start: {}", error.chain()))?;
        self.coverage.saw("store: cannot start on a full disk");
        self.scheduler.after(5_000, Event::Start { machine, life });
        Ok(())
    }

    /// An agent dies. Its disk keeps what was committed; it is started again after a while.
    pub(super) fn crash(&mut self, machine: usize) -> Result<(), Violation> {
        self.note(format_args!("machine {machine} dies"));
        self.cut_connection(machine);
        let box_ = &mut self.machines[machine];
        box_.running = None;
        box_.life += 1;
        let life = box_.life;
        let wait_ms = if self.random.below(4) == 0 { self.random.below(60_000) } else { self.random.below(3_000) };
        self.scheduler.after(wait_ms, Event::Start { machine, life });
        Ok(())
    }

    /// Does what the agent's machine asks for, then looks at what happened, and so on until there is nothing left. With
    /// pauses between the steps, only the first one.
    pub(super) fn drive(&mut self, machine: usize) -> Result<(), Violation> {
        while let Some(running) = &mut self.machines[machine].running {
            if running.stepping {
                return Ok(());
            }
            if let Some(effect) = running.sync.poll_effect() {
                if self.permyriad(self.plan.store_step_crash) {
                    self.coverage.saw("crash: store, before a step");
                    self.note(format_args!("machine {machine} does not get to {effect:?}"));
                    return self.crash(machine);
                }
                self.sell_meanwhile(machine)?;
                if self.machines[machine].running.is_none() {
                    return Ok(());
                }
                self.note(format_args!("machine {machine}: {effect:?}"));
                self.perform(machine, effect)?;
                if self.machines[machine].running.is_some() && self.permyriad(self.plan.store_step_crash) {
                    self.coverage.saw("crash: store, after a step");
                    return self.crash(machine);
                }
                self.pause(machine);
            } else if !self.next_input(machine)? {
                self.set_timer(machine);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sales do not wait for the agent's task: one may be committed while it is about to do something.
    fn sell_meanwhile(&mut self, machine: usize) -> Result<(), Violation> {
        if !self.is_open() || !chance(&mut self.random, 30) {
            return Ok(());
        }
        let Some(till) = (0..self.tills.len()).find(|&till| self.tills[till].agent == machine) else { return Ok(()) };
        if self.tills[till].pending.is_none() {
            self.new_command(till);
        }
        let Some(running) = &mut self.machines[machine].running else { return Ok(()) };
        running.stepping = true;
        let life = self.machines[machine].life;
        self.post(&[till])?;
        if let Some(running) = self.alive(machine, life) {
            running.stepping = false;
        }
        self.coverage.saw("store: sale committed between two steps");
        Ok(())
    }

    fn pause(&mut self, machine: usize) {
        if self.plan.store_step_ms == 0 {
            return;
        }
        let wait_ms = self.random.below(self.plan.store_step_ms + 1);
        let life = self.machines[machine].life;
        if let Some(running) = &mut self.machines[machine].running {
            running.stepping = true;
            self.scheduler.after(wait_ms, Event::Step { machine, life });
        }
    }

    pub(super) fn step(&mut self, machine: usize, life: u64) -> Result<(), Violation> {
        let Some(running) = self.alive(machine, life) else { return Ok(()) };
        running.stepping = false;
        self.drive(machine)
    }

    /// Looks at one thing that happened, whichever comes first; false if nothing did.
    fn next_input(&mut self, machine: usize) -> Result<bool, Violation> {
        let now = self.now();
        let Some(running) = &mut self.machines[machine].running else { return Ok(false) };
        let due = running.sync.poll_timeout().filter(|(at, _)| *at <= now).map(|(_, why)| why);
        let mut ready = Vec::new();
        ready.extend((!running.inbox.is_empty()).then_some(Ready::Link));
        ready.extend(running.head_moved.then_some(Ready::Committed));
        ready.extend(due.map(Ready::Deadline));
        if ready.is_empty() {
            return Ok(false);
        }
        let first = if ready.len() == 1 { ready[0] } else { pick(&mut self.random, &ready) };
        match first {
            Ready::Link => {
                if let Some(input) = running.inbox.pop_front() {
                    self.hear(machine, input)?;
                }
            }
            Ready::Committed => {
                running.head_moved = false;
                // Only the newest event is told.
                if let Some(head) = running.books.head() {
                    running.sync.handle_committed(head.place.epoch, head.place.seq, now);
                }
            }
            Ready::Deadline(why) => {
                let held = reports(&running.books)?;
                running.sync.handle_held(&held, now);
                running.sync.handle_timeout(now);
                self.coverage.saw(match why {
                    "hello was not answered" => "store: hello was not answered",
                    "batch was not answered" => "store: batch was not answered",
                    "connecting takes too long" => "store: connecting took too long",
                    "pause ends" => "store: pause ended",
                    _ => "store: other deadline",
                });
                self.note(format_args!("machine {machine}: deadline, {why}"));
            }
        }
        Ok(true)
    }

    /// Something came from the link.
    fn hear(&mut self, machine: usize, input: Input) -> Result<(), Violation> {
        let now = self.now();
        let Some(running) = &mut self.machines[machine].running else { return Ok(()) };
        match input {
            Input::Connected => {
                running.greetings = 0;
                running.sync.handle_connected(now);
            }
            Input::Refused(refusal) => running.sync.handle_refused(refusal, now),
            Input::Lost(loss) => {
                running.sync.handle_connection_lost(loss, now);
                self.machines[machine].connection = None;
            }
            Input::Message(bytes) => {
                let Ok((store, mut message)) = open_downlink(&bytes) else {
                    self.coverage.saw("store: message unreadable");
                    return Ok(());
                };
                let expected = &self.stores[self.machines[machine].store];
                must(store == *expected, Rule::Failed, || format!("{expected} got a message for {store}"))?;
                if self.settings.sabotage == Some(Sabotage::ResumeFromMemory) {
                    self.remember_cursors(machine, &mut message)?;
                }
                let text = super::perform::brief(&message);
                self.note(format_args!("machine {machine} hears {text}"));
                if let Some(running) = &mut self.machines[machine].running {
                    let pulse = matches!(message, Downlink::Pulse(_));
                    running.sync.handle_downlink(message, now);
                    if pulse && running.sync.link_state() == LinkState::Greeting {
                        self.coverage.saw("store: noticed a new run of the centre");
                    }
                }
                return Ok(());
            }
        }
        self.note(format_args!("machine {machine}: {input:?}"));
        Ok(())
    }

    fn set_timer(&mut self, machine: usize) {
        let (now, life) = (self.now(), self.machines[machine].life);
        let Some(running) = &mut self.machines[machine].running else { return };
        let Some((at, _)) = running.sync.poll_timeout() else { return };
        if running.timer.is_none_or(|planned| at < planned || planned < now) {
            running.timer = Some(at);
            self.scheduler.at(at, Event::Timer { machine, life });
        }
    }

    pub(super) fn timer(&mut self, machine: usize, life: u64) -> Result<(), Violation> {
        let now = self.now();
        let Some(running) = self.alive(machine, life) else { return Ok(()) };
        if running.timer.is_some_and(|planned| planned <= now) {
            running.timer = None;
        }
        self.drive(machine)
    }

    /// Housekeeping: the folder's clock goes on, and what was confirmed long ago is let go.
    pub(super) fn tidy(&mut self, machine: usize, life: u64) -> Result<(), Violation> {
        let now = self.now();
        let Some(running) = self.alive(machine, life) else { return Ok(()) };
        let ms = now.ms_since(running.tidied_at);
        let running_ms = i64::try_from(ms).expect("a run does not last for ages");
        self.scheduler.after(TIDY_MS, Event::Tidy { machine, life });
        let Some(running) = self.alive(machine, life) else { return Ok(()) };
        if let Err(error) = running.books.note_running(running_ms) {
            return self.books_failed("note its running time", &error);
        }
        running.tidied_at = now;
        self.reference.ran(machine, ms);
        self.enter(machine, Entry::Ran { ms: running_ms });
        let Some(running) = self.alive(machine, life) else { return Ok(()) };
        if let Err(error) = running.books.trim(RETENTION_MS_MIN, TRIM_ROWS) {
            return self.books_failed("trim", &error);
        }
        self.enter(machine, Entry::Trim);
        if self.settings.sabotage == Some(Sabotage::TrimUnconfirmed) {
            self.trim_unconfirmed(machine);
        }
        let Some(running) = self.alive(machine, life) else { return Ok(()) };
        let held = reports(&running.books)?;
        let held: BTreeMap<_, _> = held.iter().map(|report| (report.epoch, report.first_held)).collect();
        let retention_ms = RETENTION_MS_MIN.unsigned_abs();
        if self.reference.trimmed(machine, &held, retention_ms)? {
            self.coverage.saw("store: trimmed");
        }
        self.drive(machine)
    }

    fn trim_unconfirmed(&mut self, machine: usize) {
        let sql = "UPDATE epoch SET first_held = acked + 2
                   WHERE coalesce(head, (SELECT max(position) FROM event) - base) > acked";
        self.machines[machine].disk.look().execute(sql, []).expect("a defect can be put in");
    }

    /// An agent's books refused something. With a full disk that is right.
    pub(super) fn books_failed(&mut self, doing: &str, error: &agent::db::Error) -> Result<(), Violation> {
        let full = error.failure() == agent::db::Failure::DiskFull;
        must(full, Rule::Failed, || format!("an agent failed to {doing}: {}", error.chain()))?;
        self.coverage.saw("store: books full");
        Ok(())
    }

    /// Notes in an agent's diary what it did.
    pub(super) fn enter(&mut self, machine: usize, entry: Entry) {
        let running = self.machines[machine].running.as_mut();
        if let Some(diary) = running.and_then(|running| running.diary.as_mut()) {
            diary.entries.push(entry);
        }
    }

    pub(super) fn alive(&mut self, machine: usize, life: u64) -> Option<&mut Running> {
        let box_ = &mut self.machines[machine];
        if box_.life == life { box_.running.as_mut() } else { None }
    }

    /// One of the boxes.
    pub(super) fn any_machine(&mut self) -> usize {
        below_usize(&mut self.random, self.machines.len())
    }

    /// Whether tills sell.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Selling)
    }

    /// The machines of a store that have a connection, but for one.
    pub(super) fn others_connected(&self, store: usize, but: usize) -> BTreeSet<usize> {
        let machines = self.machines.iter().enumerate();
        let others =
            machines.filter(|(number, other)| *number != but && other.store == store && other.connection.is_some());
        others.map(|(number, _)| number).collect()
    }
}

pub(super) fn reports(books: &Store) -> Result<Vec<EpochReport>, Violation> {
    match books.view().epochs() {
        Ok(reports) => Ok(reports),
        Err(error) => violated(Rule::Failed, format!("read the epochs: {}", error.chain())),
    }
}
