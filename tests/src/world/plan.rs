//! What one seed does: how large its world is, which faults it knows, and how hard they are.
//!
//! Each seed enables a random part of the faults with a random intensity ("swarm testing"): a run in which everything
//! fails at once hardly ever gets far enough to be interesting.

use sync_core::{Random, ServerLimits, StoreLimits};

/// Something that goes wrong at a moment. What it lasts for, and whom it hits, is drawn when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A connection breaks.
    LinkDrop,
    /// A store is heard no more, or hears nothing, or both, for a while; nobody is told.
    Partition,
    /// The broker, or the network's equipment, forgets all that is under way and closes every connection.
    BrokerWipe,
    /// An agent dies and is started again.
    StoreCrash,
    /// The centre dies and is started again.
    CentreCrash,
    /// An agent's disk is replaced by an older copy.
    StoreRestore,
    /// A running agent is put back to an earlier state of its disk and memory, as a virtual machine can be.
    StoreRevert,
    /// The centre's database is replaced by an older copy.
    CentreRestore,
    /// The centre's database is replaced by a copy older than what stores still hold.
    CentreRestoreTooOld,
    /// An agent's disk is copied to a second box, which starts an agent on it.
    CloneCold,
    /// A running agent is doubled with its memory, so that both go on in one epoch.
    CloneWarm,
    /// A store's wall clock jumps.
    ClockJump,
    /// An event that the centre cannot apply gets into an outbox.
    Poison,
    /// A till asks again for a sale that it made long ago, perhaps of another agent of its store.
    Repost,
    /// A till asks for another sale under an id that it has used.
    OtherBody,
    /// The centre's database has no room for a while.
    LedgerFull,
    /// The centre's database is slow for a while.
    LedgerSlow,
    /// An agent's disk has no room for a while.
    StoreFull,
    /// Nothing happens for days: shops are closed, and what was confirmed long ago is trimmed.
    Holidays,
}

const FAULTS: [Fault; 19] = [
    Fault::LinkDrop,
    Fault::Partition,
    Fault::BrokerWipe,
    Fault::StoreCrash,
    Fault::CentreCrash,
    Fault::StoreRestore,
    Fault::StoreRevert,
    Fault::CentreRestore,
    Fault::CentreRestoreTooOld,
    Fault::CloneCold,
    Fault::CloneWarm,
    Fault::ClockJump,
    Fault::Poison,
    Fault::Repost,
    Fault::OtherBody,
    Fault::LedgerFull,
    Fault::LedgerSlow,
    Fault::StoreFull,
    Fault::Holidays,
];

impl Fault {
    /// Its name in the coverage.
    pub fn name(self) -> &'static str {
        match self {
            Self::LinkDrop => "fault: link dropped",
            Self::Partition => "fault: partition",
            Self::BrokerWipe => "fault: broker wiped",
            Self::StoreCrash => "fault: store crashed",
            Self::CentreCrash => "fault: centre crashed",
            Self::StoreRestore => "fault: store restored",
            Self::StoreRevert => "fault: store reverted while running",
            Self::CentreRestore => "fault: centre restored",
            Self::CentreRestoreTooOld => "fault: centre restored beyond retention",
            Self::CloneCold => "fault: store cloned from its disk",
            Self::CloneWarm => "fault: store cloned while running",
            Self::ClockJump => "fault: clock jumped",
            Self::Poison => "fault: poison",
            Self::Repost => "fault: sale posted again",
            Self::OtherBody => "fault: other body under a used id",
            Self::LedgerFull => "fault: ledger full",
            Self::LedgerSlow => "fault: ledger slow",
            Self::StoreFull => "fault: store disk full",
            Self::Holidays => "fault: holidays",
        }
    }

    /// The names of all.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FAULTS.into_iter().map(Self::name)
    }

    /// How many of a thousand seeds know it.
    fn enabled_permille(self) -> u64 {
        match self {
            Self::CentreRestoreTooOld => 60,
            Self::StoreRevert | Self::CloneCold | Self::CloneWarm | Self::Holidays => 200,
            Self::StoreRestore | Self::CentreRestore => 300,
            _ => 450,
        }
    }
}

/// What the network does to a message, in parts per thousand.
#[derive(Debug, Clone)]
pub(super) struct LinkPlan {
    /// The way leads through a broker: it outlives the centre, and hands a store's messages to all of its agents.
    pub(super) broker: bool,
    /// A second agent of a store that connects closes the connection of the first, as doubled memory under one client
    /// identifier would.
    pub(super) takeover: bool,
    /// The shortest and the longest way, in milliseconds. The further apart, the more messages overtake each other.
    pub(super) latency_ms: (u64, u64),
    /// Messages keep their order.
    pub(super) in_order: bool,
    /// Lost.
    pub(super) lost: u64,
    /// Taken by the broker and then lost; to the sender it looks like sent.
    pub(super) swallowed: u64,
    /// Delivered twice within a moment.
    pub(super) doubled: u64,
    /// Delivered once more up to hours later.
    pub(super) replayed: u64,
    /// Refused by the other side's PUBACK.
    pub(super) refused: u64,
    /// Damaged on the way.
    pub(super) damaged: u64,
    /// A connection attempt that fails.
    pub(super) connect_fails: u64,
}

/// What one seed does.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// How many stores.
    pub(super) stores: usize,
    /// How many tills in each.
    pub(super) tills: usize,
    /// Whether tills work by shifts.
    pub(super) shifts: bool,
    /// How often a till asks for something else than to sell, in parts per thousand.
    pub(super) errands: u64,
    /// Between two commands of a till, on average, in milliseconds.
    pub(super) sale_gap_ms: u64,
    /// For how long it sells under faults, in milliseconds, holidays not counted.
    pub(super) selling_ms: u64,
    /// The network.
    pub(super) link: LinkPlan,
    /// The bounds of the stores' ends.
    pub(super) store_limits: StoreLimits,
    /// The bounds of the centre's end.
    pub(super) server_limits: ServerLimits,
    /// A store's agent dies before a step, in parts per ten thousand.
    pub(super) store_step_crash: u64,
    /// The centre dies before a step, in parts per ten thousand.
    pub(super) centre_step_crash: u64,
    /// The longest pause between two steps of an agent, in milliseconds; without one it does all that is due at once.
    pub(super) store_step_ms: u64,
    /// How long a commit of the centre takes, in milliseconds.
    pub(super) commit_ms: (u64, u64),
    /// The faults that it knows.
    pub(super) faults: Vec<Fault>,
    /// Between two faults, on average, in milliseconds.
    pub(super) fault_gap_ms: u64,
}

impl Plan {
    /// Draws a plan.
    pub(super) fn draw(random: &mut Random) -> Self {
        let calm = chance(random, 30);
        let mut faults: Vec<Fault> =
            FAULTS.into_iter().filter(|fault| chance(random, fault.enabled_permille())).collect();
        if calm {
            faults.clear();
        }
        if faults.contains(&Fault::CentreRestoreTooOld) && !faults.contains(&Fault::Holidays) {
            faults.push(Fault::Holidays);
        }
        let holidays = faults.contains(&Fault::Holidays);
        let mut permille = |enabled: u64, max: u64| {
            let on = chance(random, enabled) && !calm;
            if on { 1 + random.below(max) } else { 0 }
        };
        let (lost, swallowed, doubled, replayed) =
            (permille(400, 200), permille(300, 50), permille(400, 200), permille(300, 100));
        let (refused, damaged, connect_fails) = (permille(250, 150), permille(250, 50), permille(300, 500));
        let (store_step_crash, centre_step_crash) = (permille(300, 60), permille(300, 60));
        let broker = chance(random, 500);
        let stores = 1 + below_usize(random, 5);
        let slowest_ms = if chance(random, 300) { 3_000 } else { 100 };
        let link = LinkPlan {
            broker,
            takeover: chance(random, 200),
            latency_ms: (1 + random.below(20), 21 + random.below(slowest_ms)),
            in_order: chance(random, 500),
            lost,
            swallowed,
            doubled,
            replayed,
            refused,
            damaged,
            connect_fails,
        };
        let slowest_ms = if chance(random, 200) { 2_000 } else { 60 };
        let commit_ms = (1 + random.below(5), 6 + random.below(slowest_ms));
        let selling_ms = 120_000 + random.below(900_000);
        // A few hundred sales per seed: enough for every kind of trouble, few enough for hundreds of seeds a minute.
        let tills = 1 + below_usize(random, 2);
        let sales = 30 + random.below(170);
        let sale_gap_ms = selling_ms * (stores * tills) as u64 / sales;
        Self {
            stores,
            tills,
            shifts: chance(random, 750),
            errands: if chance(random, 850) { 100 + random.below(500) } else { 0 },
            sale_gap_ms,
            selling_ms,
            link,
            store_limits: store_limits(random, holidays),
            server_limits: server_limits(random),
            store_step_crash,
            centre_step_crash,
            store_step_ms: if chance(random, 500) { random.below(30) } else { 0 },
            commit_ms,
            faults,
            fault_gap_ms: 5_000 + random.below(90_000),
        }
    }

    /// The network, and everything else, behave from here on.
    pub(super) fn heal(&mut self) {
        let link = &mut self.link;
        for rate in [
            &mut link.lost,
            &mut link.swallowed,
            &mut link.doubled,
            &mut link.replayed,
            &mut link.refused,
            &mut link.damaged,
            &mut link.connect_fails,
        ] {
            *rate = 0;
        }
        link.latency_ms.1 = link.latency_ms.1.min(200);
        self.commit_ms.1 = self.commit_ms.1.min(20).max(self.commit_ms.0);
        // Two boxes that close each other's connection fight until a person ends it.
        link.takeover = false;
        self.store_step_crash = 0;
        self.centre_step_crash = 0;
        self.faults.clear();
    }
}

fn store_limits(random: &mut Random, holidays: bool) -> StoreLimits {
    let batch_events_max = pick(random, &[1, 3, 20, 500]);
    let hello_epochs_max = pick(random, &[1, 2, 5, 256]);
    StoreLimits {
        batch_events_max,
        hello_epochs_max,
        // Where days pass, a heartbeat in each half minute of them would be most of the work.
        heartbeat_ms: if holidays { 4 * 60 * 60 * 1000 } else { pick(random, &[30_000, 60_000, 300_000]) },
        ..StoreLimits::PRODUCTION
    }
}

fn server_limits(random: &mut Random) -> ServerLimits {
    // What the queue holds must have room for the largest batch that is granted.
    let (queue_bytes_max, batch_events_max) =
        pick(random, &[(100_000, 8), (64 << 20, 2), (64 << 20, 40), (64 << 20, 500)]);
    ServerLimits {
        queue_bytes_max,
        batch_events_max,
        store_jobs_max: pick(random, &[1, 2, 4]),
        group_events_max: pick(random, &[1, 50, 10_000]),
        group_jobs_max: pick(random, &[1, 3, 2_000]),
        reconnect_spread_ms: pick(random, &[0, 2_000, 30_000]),
        ..ServerLimits::PRODUCTION
    }
}

/// True in so many of a thousand cases.
pub(super) fn chance(random: &mut Random, permille: u64) -> bool {
    random.below(1000) < permille
}

/// A place in a list of so many.
pub(super) fn below_usize(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("a number below a usize fits in one")
}

/// One of these.
pub(super) fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[below_usize(random, from.len())]
}

/// A wait with this average: exponential in spirit, but in integers, and never longer than eight times the average.
pub(super) fn wait_ms(random: &mut Random, average_ms: u64) -> u64 {
    // The number of leading zeros of a random number is geometric; each adds a share of the average.
    let zeros = u64::from(random.next_u64().leading_zeros()).min(7);
    (zeros * average_ms) / 2 + random.below(average_ms.max(1))
}
