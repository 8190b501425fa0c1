//! The network between stores and centre: it loses, doubles, delays, reorders and damages, and connections break.

use std::collections::BTreeMap;
use std::rc::Rc;

use sync_core::store::{Loss, Refusal};
use sync_core::{Instant, Random};

use super::machine::Input;
use super::plan::{LinkPlan, chance};
use super::{Event, World};
use crate::reference::Violation;

/// What the network remembers.
#[derive(Debug, Default)]
pub(super) struct Network {
    connections: u64,
    /// Whose connection it was.
    owners: BTreeMap<u64, usize>,
    /// When the last message in each direction of a machine's connection arrives.
    busy_until: BTreeMap<(usize, Direction), Instant>,
    /// Counts how often everything under way was lost.
    pub(super) wipes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Up,
    Down,
}

/// When a message arrives, and as what.
type Arrival = (u64, Rc<[u8]>);

impl World {
    /// An agent wants a connection.
    pub(super) fn connect(&mut self, machine: usize) {
        self.cut_connection(machine);
        let (life, attempt) = (self.machines[machine].life, self.machines[machine].attempt);
        let delay_ms = self.latency() * 2;
        // Without a broker there is nobody to connect to while the centre is down.
        let nobody = !self.plan.link.broker && self.centre.running.is_none();
        if self.machines[machine].cut != (false, false) {
            // Half of such attempts fail, the others are never heard of.
            if chance(&mut self.random, 500) {
                self.scheduler.after(delay_ms, Event::Lost { machine, life, attempt, loss: Loss::Network });
            }
        } else if nobody || chance(&mut self.random, self.plan.link.connect_fails) {
            self.coverage.saw("network: connection refused");
            self.scheduler.after(delay_ms, Event::Lost { machine, life, attempt, loss: Loss::Network });
        } else {
            self.scheduler.after(delay_ms, Event::Connected { machine, life, attempt });
        }
    }

    pub(super) fn connected(&mut self, machine: usize, life: u64, attempt: u64) -> Result<(), Violation> {
        if self.alive(machine, life).is_none() || self.machines[machine].attempt != attempt {
            return Ok(());
        }
        if self.plan.link.takeover {
            for other in self.others_connected(self.machines[machine].store, machine) {
                self.coverage.saw("network: connection taken over");
                self.drop_connection(other);
            }
        }
        self.network.connections += 1;
        let connection = self.network.connections;
        self.network.owners.insert(connection, machine);
        self.machines[machine].connection = Some(connection);
        self.note(format_args!("machine {machine} has connection {connection}"));
        self.input(machine, Input::Connected)
    }

    pub(super) fn lost(&mut self, machine: usize, life: u64, attempt: u64, loss: Loss) -> Result<(), Violation> {
        if self.alive(machine, life).is_none() || self.machines[machine].attempt != attempt {
            return Ok(());
        }
        self.machines[machine].connection = None;
        self.input(machine, Input::Lost(loss))
    }

    /// A connection breaks; its owner learns it a little later.
    pub(super) fn drop_connection(&mut self, machine: usize) {
        if self.machines[machine].connection.take().is_some() {
            let (life, attempt) = (self.machines[machine].life, self.machines[machine].attempt);
            let delay_ms = self.latency();
            self.scheduler.after(delay_ms, Event::Lost { machine, life, attempt, loss: Loss::Network });
        }
    }

    /// A connection ends with its owner.
    pub(super) fn cut_connection(&mut self, machine: usize) {
        let box_ = &mut self.machines[machine];
        box_.connection = None;
        box_.attempt += 1;
        // A link that is given up is not listened to any more.
        if let Some(running) = &mut box_.running {
            running.inbox.clear();
        }
    }

    /// All that is under way is gone, and so are all connections.
    pub(super) fn wipe(&mut self) {
        self.network.wipes += 1;
        (0..self.machines.len()).for_each(|machine| self.drop_connection(machine));
    }

    /// An agent hands a message over. False if there is no connection to hand it to.
    pub(super) fn send_up(&mut self, machine: usize, bytes: Vec<u8>) -> bool {
        let Some(connection) = self.machines[machine].connection else { return false };
        if chance(&mut self.random, self.plan.link.refused) {
            self.coverage.saw("network: message refused");
            let refusal = if chance(&mut self.random, 300) { Refusal::TooLarge } else { Refusal::Overloaded };
            let delay_ms = self.latency() * 2;
            self.scheduler.after(delay_ms, Event::Refused { connection, refusal });
            return true;
        }
        let topic = self.machines[machine].store;
        let cut = self.machines[machine].cut.0;
        for (delay_ms, bytes) in self.arrivals(machine, Direction::Up, cut, bytes) {
            let wipes = self.network.wipes;
            self.scheduler.after(delay_ms, Event::ToCentre { topic, connection, bytes, wipes });
        }
        true
    }

    /// The centre says something to a store, on the connection from which it was asked. A broker hands it to every agent
    /// of the store that is connected.
    pub(super) fn send_down(&mut self, store: usize, connection: u64, bytes: &[u8]) {
        let (to, on) = if self.plan.link.broker {
            (self.others_connected(store, usize::MAX), None)
        } else {
            (self.network.owners.get(&connection).copied().into_iter().collect(), Some(connection))
        };
        for machine in to {
            let cut = self.machines[machine].cut.1;
            for (delay_ms, bytes) in self.arrivals(machine, Direction::Down, cut, bytes.to_vec()) {
                let wipes = self.network.wipes;
                self.scheduler.after(delay_ms, Event::ToStore { machine, connection: on, bytes, wipes });
            }
        }
    }

    pub(super) fn refused(&mut self, connection: u64, refusal: Refusal) -> Result<(), Violation> {
        let Some(machine) = self.network.owners.get(&connection).copied() else { return Ok(()) };
        if self.machines[machine].connection != Some(connection) {
            return Ok(());
        }
        self.input(machine, Input::Refused(refusal))
    }

    pub(super) fn latency(&mut self) -> u64 {
        let (least, most) = self.plan.link.latency_ms;
        least + self.random.below(most - least + 1)
    }

    /// When and how a message arrives: never, once, or more often.
    fn arrivals(&mut self, machine: usize, direction: Direction, cut: bool, bytes: Vec<u8>) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        let bytes: Rc<[u8]> = bytes.into();
        let LinkPlan { lost, swallowed, doubled, replayed, damaged, in_order, .. } = self.plan.link;
        if cut {
            return arrivals;
        }
        let delay_ms = self.latency();
        if chance(&mut self.random, swallowed) {
            self.coverage.saw("network: taken and dropped");
            return arrivals;
        }
        if chance(&mut self.random, lost) {
            self.coverage.saw("network: lost");
        } else if chance(&mut self.random, damaged) {
            self.coverage.saw("network: damaged");
            arrivals.push((delay_ms, damage(&bytes, &mut self.random)));
        } else {
            arrivals.push((self.ordered(machine, direction, delay_ms, in_order), Rc::clone(&bytes)));
        }
        if chance(&mut self.random, doubled) {
            self.coverage.saw("network: doubled");
            arrivals.push((self.latency(), Rc::clone(&bytes)));
        }
        if chance(&mut self.random, replayed) {
            self.coverage.saw("network: replayed late");
            // Seconds, minutes, or hours.
            let scale_ms = [10_000, 600_000, 7_200_000][super::plan::below_usize(&mut self.random, 3)];
            arrivals.push((self.random.below(scale_ms), bytes));
        }
        arrivals
    }

    fn ordered(&mut self, machine: usize, direction: Direction, delay_ms: u64, in_order: bool) -> u64 {
        let now = self.now();
        let last = self.network.busy_until.entry((machine, direction)).or_default();
        let mut at = now.after_ms(delay_ms);
        if in_order {
            at = at.max(*last);
        } else if at < *last {
            self.coverage.saw("network: overtaken");
        }
        *last = at.max(*last);
        at.ms_since(now)
    }
}

/// Cuts bytes off, changes the head, or makes something else of it. A changed byte in the middle is not among it: what
/// carries the messages has checksums.
fn damage(bytes: &[u8], random: &mut Random) -> Rc<[u8]> {
    let mut bytes = bytes.to_vec();
    match random.below(3) {
        0 => bytes.truncate(super::plan::below_usize(random, bytes.len())),
        1 => {
            let place = super::plan::below_usize(random, 2);
            bytes[place] ^= 1 << random.below(8);
        }
        _ => bytes = (0..random.below(200)).map(|_| random.next_u64().to_le_bytes()[0]).collect(),
    }
    bytes.into()
}
