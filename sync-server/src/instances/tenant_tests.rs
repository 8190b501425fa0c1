use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::ledger::{InstanceRow, LEASE_AHEAD_MS_MAX, LeaseRow};

const LEASE: Duration = Duration::from_secs(6);
const LEASE_MS: i64 = 6_000;

/// The database's clock at the beginning.
const ZERO_MS: i64 = 1_000_000;

/// The tables, with a clock that is set from outside.
#[derive(Debug, Clone)]
struct Tables {
    view: InstanceView,
}

impl Tables {
    fn new() -> Self {
        let leases = [LeaseRow::default(); PARTITIONS];
        Self { view: InstanceView { now_ms: ZERO_MS, incarnation: 0, instances: Vec::new(), leases } }
    }

    fn renew(&mut self, id: InstanceId, broker: BrokerLink) -> InstanceView {
        let now_ms = self.view.now_ms;
        self.view.instances.retain(|one| one.id != id);
        self.view.instances.push(InstanceRow {
            id,
            name: String::new(),
            version: String::new(),
            broker,
            started_at_ms: now_ms,
            renewed_at_ms: now_ms,
            expires_at_ms: now_ms + LEASE_MS,
        });
        for lease in self.view.leases.iter_mut().filter(|lease| lease.holder == Some(id)) {
            lease.expires_at_ms = now_ms + LEASE_MS;
        }
        self.view.clone()
    }

    fn claim(&mut self, id: InstanceId, partitions: PartitionSet) -> PartitionSet {
        let now_ms = self.view.now_ms;
        let free = those(self.view.leases.iter().map(|lease| lease.holder_at(now_ms).is_none()));
        for partition in partitions.both(free).iter() {
            let lease = &mut self.view.leases[usize::from(partition)];
            *lease = LeaseRow { holder: Some(id), fence: lease.fence + 1, expires_at_ms: now_ms + LEASE_MS, ..*lease };
        }
        partitions.both(free)
    }

    fn release(&mut self, id: InstanceId, partitions: PartitionSet) {
        let now_ms = self.view.now_ms;
        for partition in partitions.iter() {
            let lease = &mut self.view.leases[usize::from(partition)];
            if lease.holder == Some(id) {
                *lease = LeaseRow { holder: None, expires_at_ms: now_ms, ..*lease };
            }
        }
    }
}

fn id(number: u64) -> InstanceId {
    InstanceId::new(number)
}

fn first(count: usize) -> PartitionSet {
    PartitionSet::ALL.first(count)
}

/// An instance that asks and is answered at once.
struct Quick {
    tenant: Tenant,
    id: InstanceId,
    broker: BrokerLink,
}

impl Quick {
    fn new(number: u64) -> Self {
        Self { tenant: Tenant::new(id(number), LEASE), id: id(number), broker: BrokerLink::Up }
    }

    fn tick(&mut self, tables: &mut Tables, now: Instant) -> Step {
        let step = self.tenant.look(&tables.renew(self.id, self.broker), now, now);
        tables.release(self.id, step.give_up);
        self.tenant.claimed(tables.claim(self.id, step.claim));
        step
    }
}

#[test]
fn one_takes_all_and_gives_half_to_the_next() {
    let (mut tables, now) = (Tables::new(), Instant::now());
    let (mut a, mut b) = (Quick::new(1), Quick::new(2));
    assert_eq!(a.tick(&mut tables, now).claim, PartitionSet::ALL);
    assert_eq!((a.tenant.held(), b.tick(&mut tables, now)), (PartitionSet::ALL, Step::default()));
    let step = a.tick(&mut tables, now);
    assert_eq!((step.give_up.len(), a.tenant.held()), (32, first(32)));
    assert_eq!(b.tick(&mut tables, now).claim, PartitionSet::ALL.without(first(32)));
    for _ in 0..3 {
        assert_eq!((a.tick(&mut tables, now), b.tick(&mut tables, now)), (Step::default(), Step::default()));
    }
    assert!(tables.view.leases.iter().enumerate().all(|(at, lease)| lease.fence == if at < 32 { 1 } else { 2 }));
}

#[test]
fn the_dead_are_inherited_when_their_time_is_over() {
    let (mut tables, mut now) = (Tables::new(), Instant::now());
    let (mut a, mut b) = (Quick::new(1), Quick::new(2));
    for _ in 0..3 {
        a.tick(&mut tables, now);
        b.tick(&mut tables, now);
    }
    for _ in 0..2 {
        (now, tables.view.now_ms) = (now + LEASE / 3, tables.view.now_ms + LEASE_MS / 3);
        assert_eq!(b.tick(&mut tables, now).claim, PartitionSet::NONE);
    }
    (now, tables.view.now_ms) = (now + LEASE / 3, tables.view.now_ms + LEASE_MS / 3);
    let step = b.tick(&mut tables, now);
    assert_eq!((step.claim, step.taken_over, b.tenant.held().len()), (first(32), first(32), 64));
    // The frozen one comes back: its own clock says that it has nothing, before the rows do.
    assert_eq!((a.tenant.expire(now), a.tenant.held()), (first(32), PartitionSet::NONE));
}

#[test]
fn what_was_taken_over_is_lost_by_its_fence() {
    let (mut tables, now) = (Tables::new(), Instant::now());
    let mut a = Quick::new(1);
    a.tick(&mut tables, now);
    tables.view.leases[5].holder = Some(id(9));
    tables.view.leases[5].fence += 1;
    let step = a.tick(&mut tables, now);
    assert_eq!((step.lost, a.tenant.held().len()), ([5].into_iter().collect(), 63));
    // Whoever took it may have given it back, too.
    tables.release(id(9), PartitionSet::ALL);
    tables.view.leases[7].fence += 2;
    assert_eq!(a.tick(&mut tables, now).lost, [7].into_iter().collect());
}

#[test]
fn an_answer_that_is_too_late_says_nothing() {
    let (mut tables, asked_at) = (Tables::new(), Instant::now());
    let mut a = Quick::new(1);
    a.tick(&mut tables, asked_at);
    let view = tables.renew(a.id, BrokerLink::Up);
    let step = a.tenant.look(&view, asked_at, asked_at + LEASE);
    assert_eq!((step.lost, step.claim, a.tenant.held()), (PartitionSet::ALL, PartitionSet::NONE, PartitionSet::NONE));
}

#[test]
fn whoever_was_cut_off_waits_for_the_others() {
    let (mut tables, mut now) = (Tables::new(), Instant::now());
    let (mut a, mut b) = (Quick::new(1), Quick::new(2));
    for _ in 0..3 {
        a.tick(&mut tables, now);
        b.tick(&mut tables, now);
    }
    // The database is away for long; every lease is over when it is back.
    (now, tables.view.now_ms) = (now + 5 * LEASE, tables.view.now_ms + 5 * LEASE_MS);
    let step = a.tick(&mut tables, now);
    assert_eq!((step, a.tenant.held()), (Step::default(), first(32)), "it has its own again, and no more");
    now += LEASE / 2;
    assert_eq!((b.tick(&mut tables, now), b.tenant.held().len()), (Step::default(), 32));
    // One that does not come back is inherited all the same.
    (now, tables.view.now_ms) = (now + LEASE, tables.view.now_ms + LEASE_MS);
    tables.view.leases.iter_mut().filter(|lease| lease.holder == Some(b.id)).for_each(|lease| lease.expires_at_ms = 0);
    tables.view.instances.retain(|one| one.id == a.id);
    a.tick(&mut tables, now);
    assert_eq!(a.tenant.held(), first(32), "it was cut off itself just before");
    now += LEASE;
    a.tick(&mut tables, now - Duration::from_millis(1));
    a.tick(&mut tables, now + Duration::from_millis(1));
    assert_eq!(a.tenant.held().len(), 64);
}

#[test]
fn who_does_not_reach_the_broker_gives_up_if_another_does() {
    let (mut tables, now) = (Tables::new(), Instant::now());
    let (mut a, mut b) = (Quick::new(1), Quick::new(2));
    let both = |a: &mut Quick, b: &mut Quick, tables: &mut Tables| {
        for _ in 0..3 {
            a.tick(tables, now);
            b.tick(tables, now);
        }
        (a.tenant.held().len(), b.tenant.held().len())
    };
    assert_eq!(both(&mut a, &mut b, &mut tables), (32, 32));
    a.broker = BrokerLink::Down;
    assert_eq!(both(&mut a, &mut b, &mut tables), (0, 64));
    a.broker = BrokerLink::Up;
    assert_eq!(both(&mut a, &mut b, &mut tables), (32, 32));
    // Nobody reaches it: nothing moves.
    (a.broker, b.broker) = (BrokerLink::Down, BrokerLink::Down);
    let before = a.tenant.held();
    assert_eq!((both(&mut a, &mut b, &mut tables), a.tenant.held()), ((32, 32), before));
    // Without a link to a broker there is nothing to consume.
    a.broker = BrokerLink::None;
    assert_eq!(both(&mut a, &mut b, &mut tables), (0, 64));
}

#[test]
fn a_lease_of_a_clock_that_was_set_back_is_free() {
    let mut tables = Tables::new();
    let mut a = Quick::new(1);
    for lease in &mut tables.view.leases {
        *lease = LeaseRow { holder: Some(id(9)), expires_at_ms: ZERO_MS + LEASE_AHEAD_MS_MAX + 1, ..*lease };
    }
    a.tick(&mut tables, Instant::now());
    assert_eq!(a.tenant.held().len(), 64);
}

/// How an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    /// Nothing that it does goes on; what it has asked for happens.
    Frozen,
    /// It is cut off from the database.
    Cut,
    /// Gone without a word; it comes back as another.
    Dead,
}

/// Where an instance is in its round.
#[derive(Debug, Clone)]
enum Phase {
    Idle { until_ms: u64 },
    Renewing { asked_ms: u64, happens_ms: u64 },
    Looking { view: Box<InstanceView>, asked_ms: u64, heard_ms: u64 },
    Claiming { step: Step, happens_ms: u64 },
    Claimed { claimed: PartitionSet, heard_ms: u64 },
}

struct Simulated {
    id: InstanceId,
    tenant: Tenant,
    health: Health,
    phase: Phase,
}

/// A machine of milliseconds in steps of [`STEP_MS`], and some instances on it.
struct World {
    zero: Instant,
    now_ms: u64,
    tables: Tables,
    instances: Vec<Simulated>,
    ids: u64,
    random: sync_core::Random,
}

const STEP_MS: u64 = 100;

/// Death, the end of the lease, a renewal of the survivor, its claim, and for one that was cut off the length of a lease.
const SETTLED_WITHIN_MS: u64 = 20_000;

impl World {
    fn new(count: u64, seed: u64) -> Self {
        let mut world = Self {
            zero: Instant::now(),
            now_ms: 0,
            tables: Tables::new(),
            instances: Vec::new(),
            ids: 0,
            random: sync_core::Random::new(seed),
        };
        for _ in 0..count {
            let newcomer = world.newcomer();
            world.instances.push(newcomer);
        }
        world
    }

    fn newcomer(&mut self) -> Simulated {
        self.ids += 1;
        let phase = Phase::Idle { until_ms: self.now_ms + self.random.below(2_000) };
        Simulated { id: id(self.ids), tenant: Tenant::new(id(self.ids), LEASE), health: Health::Well, phase }
    }

    fn at(&self, ms: u64) -> Instant {
        self.zero + Duration::from_millis(ms)
    }

    fn step(&mut self) -> Result<(), TestCaseError> {
        self.now_ms += STEP_MS;
        self.tables.view.now_ms = ZERO_MS + i64::try_from(self.now_ms).expect("short");
        let fences = self.tables.view.leases.map(|lease| lease.fence);
        for at in 0..self.instances.len() {
            self.advance(at);
        }
        for (before, lease) in fences.iter().zip(&self.tables.view.leases) {
            prop_assert!(lease.fence >= *before, "a fence went back");
        }
        // Whoever can do something believes of nothing what another believes.
        let mut believed = PartitionSet::NONE;
        for one in self.instances.iter().filter(|one| matches!(one.health, Health::Well | Health::Cut)) {
            prop_assert!(believed.both(one.tenant.held()).is_empty(), "two hold the same at {} ms", self.now_ms);
            believed = believed.union(one.tenant.held());
        }
        Ok(())
    }

    fn advance(&mut self, at: usize) {
        let (now_ms, now) = (self.now_ms, self.at(self.now_ms));
        let (later_ms, zero) = (now_ms + self.random.below(4) * STEP_MS, self.zero);
        let one = &mut self.instances[at];
        // What was asked happens whatever became of the one who asked.
        match one.phase.clone() {
            Phase::Renewing { asked_ms, happens_ms } if happens_ms <= now_ms => {
                let view = Box::new(self.tables.renew(one.id, BrokerLink::Up));
                one.phase = Phase::Looking { view, asked_ms, heard_ms: later_ms };
            }
            Phase::Claiming { step, happens_ms } if happens_ms <= now_ms => {
                self.tables.release(one.id, step.give_up);
                let claimed = self.tables.claim(one.id, step.claim);
                one.phase = Phase::Claimed { claimed, heard_ms: later_ms };
            }
            _ => {}
        }
        if matches!(one.health, Health::Frozen | Health::Dead) {
            return;
        }
        let next = Phase::Idle { until_ms: now_ms + 2_000 };
        match one.phase.clone() {
            Phase::Idle { until_ms } if until_ms <= now_ms && one.health == Health::Well => {
                one.phase = Phase::Renewing { asked_ms: now_ms, happens_ms: later_ms };
            }
            Phase::Looking { view, asked_ms, heard_ms } if heard_ms <= now_ms => {
                let step = one.tenant.look(&view, zero + Duration::from_millis(asked_ms), now);
                let nothing = step.claim.is_empty() && step.give_up.is_empty();
                one.phase = if nothing { next } else { Phase::Claiming { step, happens_ms: later_ms } };
            }
            Phase::Claimed { claimed, heard_ms } if heard_ms <= now_ms => {
                one.tenant.claimed(claimed);
                one.phase = next;
            }
            _ => {}
        }
        one.tenant.expire(now);
    }

    fn befall(&mut self, at: usize, health: Health) {
        let at = at % self.instances.len();
        if self.instances[at].health == Health::Dead {
            self.instances[at] = self.newcomer();
        }
        self.instances[at].health = health;
    }

    fn settled(&self) -> Result<(), TestCaseError> {
        let living: Vec<_> = self.instances.iter().filter(|one| one.health == Health::Well).collect();
        let counts: Vec<_> = living.iter().map(|one| one.tenant.held().len()).collect();
        prop_assert_eq!(counts.iter().sum::<usize>(), PARTITIONS, "{:?}", counts);
        prop_assert!(counts.iter().max() <= counts.iter().min().map(|least| least + 1).as_ref(), "{:?}", counts);
        Ok(())
    }
}

fn fault() -> impl Strategy<Value = (usize, Health, u64)> {
    let health = prop_oneof![Just(Health::Well), Just(Health::Frozen), Just(Health::Cut), Just(Health::Dead)];
    (0usize..4, health, 1u64..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_befalls_them_each_partition_has_one_holder_soon(
        count in 1u64..5,
        seed in any::<u64>(),
        faults in proptest::collection::vec(fault(), 0..12),
    ) {
        let mut world = World::new(count, seed);
        for (at, health, steps) in faults {
            world.befall(at, health);
            for _ in 0..steps {
                world.step()?;
            }
        }
        // All is well again, but for the dead; one lives in any case.
        for at in 0..world.instances.len() {
            if at == 0 || world.instances[at].health != Health::Dead {
                world.befall(at, Health::Well);
            }
        }
        for _ in 0..SETTLED_WITHIN_MS / STEP_MS {
            world.step()?;
        }
        world.settled()?;
        // And nothing moves any more.
        let held: Vec<_> = world.instances.iter().map(|one| one.tenant.held()).collect();
        for _ in 0..100 {
            world.step()?;
        }
        prop_assert_eq!(world.instances.iter().map(|one| one.tenant.held()).collect::<Vec<_>>(), held);
    }
}
