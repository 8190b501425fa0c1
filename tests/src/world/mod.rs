//! A world: N stores and a centre with their real state machines and their real SQL, in one thread, on virtual time.
//!
//! One seed decides everything: how large the world is, which faults it knows, when they come, and what the tills sell.
//! Real are `StoreSync` and `ServerSync`, the agent's books and what performs effects on them (`agent::db`,
//! `agent::uplink::perform`), the central ledger on SQLite, and the sealed bytes of every message. Simulated are time,
//! the network, the death of programs, and disks (`memory`: databases that outlive the program which uses them).
//!
//! A run has two phases. First tills sell, give money back, open and close, move cash and stock, and count, all under
//! faults (`wishes` says what a till asks for, `errand` has the agent do it); checks that are cheap run at every step.
//! Then the faults stop: every disk has room again, every program runs, the network is whole, and within a bounded time
//! all has to drain. At the end the books of both sides are compared with the reference, which knows the code of neither.
//!
//! Two runs of one seed take the same steps: nothing here looks at a clock, a hash map's order or an address.

mod centre;
mod counter;
mod errand;
mod faults;
mod faults_of_disks;
mod hand;
mod liveness;
mod machine;
mod memory;
mod network;
mod noticed;
mod perform;
mod plan;
mod sabotage;
mod scheduler;
mod selling;
mod trace;
mod wishes;
mod written;

use std::any::Any;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

use pos_model::{EventId, SaleId, Stamp, StoreId};
use sync_core::store::{Loss, Refusal};
use sync_core::{Instant, Random};
use uuid::Uuid;

use crate::reference::{Reference, Rule, Violation, violated};
use centre::Centre;
use counter::Till;
use machine::Machine;
use network::Network;
use plan::Plan;
use scheduler::Scheduler;
use trace::Trace;

pub use plan::Fault;
pub use sabotage::Sabotage;
pub use trace::Coverage;

/// How to run a seed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Print each step.
    pub print: bool,
    /// Put a defect in.
    pub sabotage: Option<Sabotage>,
    /// Delete rows at the centre behind the cursor, which have to come back by themselves. Faults that would take away what
    /// has to come back are left out.
    pub hand: bool,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The hash over all steps.
    pub digest: String,
    /// How many steps there were.
    pub steps: u64,
    /// How much time passed in the world, in milliseconds.
    pub virtual_ms: u64,
    /// From the end of the faults until all had drained, in milliseconds.
    pub drain_ms: u64,
    /// How many events the stores committed.
    pub events: u64,
    /// What was seen.
    pub coverage: Coverage,
    /// What did not hold.
    pub violation: Option<Violation>,
}

/// What happens at a moment.
#[derive(Debug)]
enum Event {
    /// A till wants to sell, or repeats what was not answered.
    Sell { till: usize, fresh: bool },
    /// An agent is started.
    Start { machine: usize, life: u64 },
    /// An agent does its next step.
    Step { machine: usize, life: u64 },
    /// A deadline of an agent's machine has come.
    Timer { machine: usize, life: u64 },
    /// An agent does its housekeeping.
    Tidy { machine: usize, life: u64 },
    /// A connection stands.
    Connected { machine: usize, life: u64, attempt: u64 },
    /// A connection ended, or could not be made.
    Lost { machine: usize, life: u64, attempt: u64, loss: Loss },
    /// A message was refused on its connection.
    Refused { connection: u64, refusal: Refusal },
    /// A message arrives at a store.
    ToStore { machine: usize, connection: Option<u64>, bytes: Rc<[u8]>, wipes: u64 },
    /// A message arrives at the centre.
    ToCentre { topic: usize, connection: u64, bytes: Rc<[u8]>, wipes: u64 },
    /// The centre is started.
    StartCentre { life: u64 },
    /// The centre commits its group.
    Commit { life: u64 },
    /// The centre looks whose turn it is.
    Turns { life: u64 },
    /// The centre learns that its group is durable, or is not.
    Committed { life: u64 },
    /// The next fault comes.
    Fault,
    /// Copies of disks are taken.
    Copies,
    /// A partition of a store's connection ends.
    Reach { machine: usize },
    /// A disk has room again.
    Room { machine: Option<usize> },
    /// The centre's database is as fast as before.
    Quick,
    /// The holidays are over.
    Workday,
    /// A hand deletes rows at the centre.
    Hand,
    /// The centre compares business dates with the stores.
    Reconcile { life: u64 },
    /// The faults stop.
    Heal,
    /// Whether all has drained is looked at.
    Look,
}

/// A world. See the module's text.
struct World {
    settings: Settings,
    plan: Plan,
    random: Random,
    scheduler: Scheduler<Event>,
    trace: Trace,
    coverage: Coverage,
    network: Network,
    stores: Vec<StoreId>,
    machines: Vec<Machine>,
    tills: Vec<Till>,
    centre: Centre,
    reference: Reference,
    phase: Phase,
    /// The last sales of all.
    last_sales: Vec<SaleId>,
    /// How often agents asked where the centre is.
    questions: u64,
    /// Steps since time last moved.
    steps_at_once: u32,
}

/// What a world is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Tills sell, and faults come.
    Selling,
    /// The same, but nobody sells for some days.
    Holidays,
    /// The faults have stopped, and what waits drains.
    Draining { since: Instant },
    /// One more sale of each agent has to arrive, and then another one: by the first, the agent may find that a box which
    /// it was copied from has gone on.
    LastSales { since: Instant, drained_after_ms: u64, second: bool },
    /// Nothing happens, and little may be said.
    Quiet { since: Instant, drained_after_ms: u64, questions: u64 },
    /// Over.
    Done { drained_after_ms: u64 },
}

/// 2026-03-02T10:00:00Z.
const START_MS: i64 = 1_772_445_600_000;

/// Steps at one moment of virtual time. More means that two parts keep each other busy without end.
const STEPS_AT_ONCE_MAX: u32 = 20_000;

/// Steps of one run. The largest worlds take a tenth of it.
const STEPS_MAX: u64 = 3_000_000;

/// Runs a seed. A panic of the code under test is a violation like any other.
pub fn run(seed: u64, settings: Settings) -> Report {
    let mut world = World::new(seed, settings);
    let lived = catch_unwind(AssertUnwindSafe(|| world.live()));
    let violation = lived.unwrap_or_else(|panic| violated(Rule::Failed, panic_text(panic.as_ref()))).err();
    if let Some(violation) = &violation {
        world.note(format_args!("violated {violation}"));
    }
    let drain_ms = if let Phase::Done { drained_after_ms } = world.phase { drained_after_ms } else { 0 };
    Report {
        seed,
        digest: world.trace.digest(),
        steps: world.trace.steps(),
        virtual_ms: world.scheduler.now().ms(),
        drain_ms,
        events: world.reference.events(),
        coverage: world.coverage,
        violation,
    }
}

/// Runs seeds on all cores, and hands each report over as it comes; stops early when it is told to.
pub fn run_many(from: u64, seeds: u64, settings: Settings, mut each: impl FnMut(Report) -> bool) {
    let next = AtomicU64::new(from);
    let stop = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let (reports, inbox) = sync_channel(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (reports, next, stop) = (reports.clone(), &next, &stop);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - from >= seeds || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    if reports.send(run(seed, settings)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(reports);
        for report in inbox {
            if !each(report) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a word"))
}

/// The command that runs one seed again and prints its steps.
pub fn replay_command(seed: u64) -> String {
    format!("cargo run -p tests --bin simulate -- --seed {seed} --trace")
}

impl World {
    fn new(seed: u64, settings: Settings) -> Self {
        let mut random = Random::new(seed);
        let mut plan = Plan::draw(&mut random);
        if settings.hand {
            plan.with_hand();
        }
        let stores: Vec<StoreId> =
            (1..=plan.stores).map(|number| StoreId::new(format!("store-{number}")).expect("a valid name")).collect();
        let mut world = Self {
            settings,
            random,
            scheduler: Scheduler::default(),
            trace: Trace::new(settings.print),
            coverage: Coverage::default(),
            network: Network::default(),
            machines: Vec::new(),
            tills: Vec::new(),
            centre: Centre::new(),
            reference: Reference::default(),
            phase: Phase::Selling,
            last_sales: Vec::new(),
            questions: 0,
            steps_at_once: 0,
            stores,
            plan,
        };
        let plan_text = format!("{:?}", world.plan);
        world.note(format_args!("seed {seed}: {plan_text}"));
        world
    }

    fn live(&mut self) -> Result<(), Violation> {
        self.start_all();
        while !matches!(self.phase, Phase::Done { .. }) {
            let before = self.scheduler.now();
            let Some(event) = self.scheduler.next() else {
                return violated(Rule::Drain, "nothing happens any more, and not all has drained");
            };
            self.steps_at_once = if self.scheduler.now() == before { self.steps_at_once + 1 } else { 0 };
            if self.steps_at_once > STEPS_AT_ONCE_MAX || self.trace.steps() > STEPS_MAX {
                return violated(Rule::Storm, format!("too many steps, the last is {event:?}"));
            }
            self.happen(event)?;
        }
        let seen = crate::checks::worth_seeing(self.centre.disk.look())?;
        seen.into_iter().for_each(|what| self.coverage.saw(what));
        if let Some(server) = &self.centre.running {
            crate::checks::centre_verifies(server.verify())?;
        }
        crate::checks::at_the_end(
            &self.reference,
            self.centre.disk.look(),
            &self.stores,
            &self.last_sales,
            self.machines.iter().enumerate().filter_map(|(number, machine)| {
                machine.running.as_ref().map(|running| (number, machine.disk.look(), running.books.view()))
            }),
        )
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Sell { till, fresh } => self.sell(till, fresh),
            Event::Start { machine, life } => self.start(machine, life),
            Event::Step { machine, life } => self.step(machine, life),
            Event::Timer { machine, life } => self.timer(machine, life),
            Event::Tidy { machine, life } => self.tidy(machine, life),
            Event::Connected { machine, life, attempt } => self.connected(machine, life, attempt),
            Event::Lost { machine, life, attempt, loss } => self.lost(machine, life, attempt, loss),
            Event::Refused { connection, refusal } => self.refused(connection, refusal),
            Event::ToStore { machine, connection, bytes, wipes } => {
                self.arrive_at_store(machine, connection, bytes, wipes)
            }
            Event::ToCentre { topic, connection, bytes, wipes } => {
                self.arrive_at_centre(topic, connection, &bytes, wipes)
            }
            Event::StartCentre { life } => self.start_centre(life),
            Event::Commit { life } => self.commit(life),
            Event::Turns { life } => self.look_for_turns(life),
            Event::Committed { life } => self.committed(life),
            Event::Fault => self.fault(),
            Event::Copies => self.copies(),
            Event::Reach { machine } => self.reach(machine),
            Event::Room { machine } => self.room(machine),
            Event::Quick => self.quick(),
            Event::Workday => self.workday(),
            Event::Hand => self.delete_by_hand(),
            Event::Reconcile { life } => self.reconcile(life),
            Event::Heal => self.heal(),
            Event::Look => self.look(),
        }
    }

    /// Plans everything that a world begins with.
    fn start_all(&mut self) {
        for store in 0..self.plan.stores {
            let machine = self.add_machine(store);
            for number in 0..self.plan.tills {
                self.add_till(store, machine, number);
            }
        }
        self.scheduler.after(0, Event::StartCentre { life: self.centre.life });
        let selling_ms = self.plan.selling_ms;
        self.scheduler.after(selling_ms, Event::Heal);
        if self.settings.hand {
            self.scheduler.after(selling_ms / 4, Event::Hand);
        }
        if !self.plan.faults.is_empty() {
            let wait_ms = self.random.below(self.plan.fault_gap_ms);
            self.scheduler.after(wait_ms, Event::Fault);
            self.scheduler.after(0, Event::Copies);
        }
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let now = self.scheduler.now();
        self.trace.note(now, what);
    }

    fn now(&self) -> Instant {
        self.scheduler.now()
    }

    /// The centre's clock, in milliseconds since 1970.
    fn centre_ms(&self) -> i64 {
        START_MS + i64::try_from(self.now().ms()).expect("a run does not last for ages")
    }

    /// What the clock on an agent's wall shows.
    fn stamp(&self, machine: usize) -> Stamp {
        Stamp { utc_ms: self.centre_ms() + self.machines[machine].clock_ahead_ms, offset_s: 8 * 3600 }
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.random.next_u64(), self.random.next_u64())
    }

    fn event_id(&mut self) -> EventId {
        EventId::new(self.uuid())
    }

    fn permyriad(&mut self, rate: u64) -> bool {
        rate > 0 && self.random.below(10_000) < rate
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("now", &self.now()).field("phase", &self.phase).finish_non_exhaustive()
    }
}
