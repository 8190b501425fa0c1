//! The store's end of the uplink: stop and wait, paced by the centre.
//!
//! Operation: connect, subscribe, say `Hello` about every epoch held. `Welcome` says for each how far the centre is and
//! with which hash; the outbox compares. From there one batch at a time goes out, oldest epoch first, and the watermark
//! moves when the centre's ack names our own history. Silence, doubt and a new run of the centre all lead back to `Hello`.
//!
//! Constraints:
//! - What is sent next follows from the centre's marks on this connection, not from what the store remembers.
//! - A batch leaves only after the answer to the one before is durable in the outbox.
//! - Nothing here can delay a sale: the machine reads heads and writes watermarks, and its shell runs beside the till.

mod backoff;
mod comparing;
mod effect;
mod epochs;

use std::collections::VecDeque;

use pos_model::{Epoch, Seq};
use protocol::latest::{
    Ack, Compare, Credit, DIGEST_DATES_MAX, Downlink, EpochReport, Mark, Pulse, Recall, Turn, Welcome,
};

use crate::{Instant, Random, StoreLimits};
use backoff::Backoff;
use comparing::Comparing;
use epochs::Epochs;

pub use effect::{Confirmed, Effect, Loss, Notice, Refusal, SendFailure, Sent};

/// The state of the link, for people and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// No connection.
    Offline,
    /// Connected, finding out where the centre is.
    Greeting,
    /// Sending, or nothing to send.
    Online,
    /// The centre asked for a pause.
    Paused,
}

/// What the machine is doing. Every state but `Ready` ends by itself at its deadline.
#[derive(Debug, Clone)]
enum State {
    /// No connection; the next try is at the moment.
    Offline {
        retry_at: Instant,
    },
    Connecting {
        deadline: Instant,
    },
    /// `Hello` was said.
    Greeting {
        session: u64,
        deadline: Instant,
    },
    /// The outbox compares marks; so many comparisons are open. No deadline: the outbox always answers.
    Comparing {
        open: usize,
    },
    /// Nothing in flight. With a hold, nothing may be sent before it ends.
    Ready {
        hold_until: Instant,
    },
    /// The outbox loads a batch.
    Loading {
        epoch: Epoch,
    },
    /// A batch is in flight.
    Waiting {
        sent: Sent,
        deadline: Instant,
    },
    /// The centre had no room for the batch; less of it goes out at the moment. An answer to it still counts: what was
    /// refused may have been a copy of what the centre took.
    Refused {
        sent: Sent,
        until: Instant,
    },
    /// Something went wrong that time may mend; ask again at the moment.
    Paused {
        until: Instant,
    },
    /// The centre grants nothing: it tells when it is this store's turn. Ask again at the moment.
    Held {
        until: Instant,
    },
}

/// The store's end of the uplink. See the module's text.
#[derive(Debug)]
pub struct StoreSync {
    limits: StoreLimits,
    random: Random,
    epochs: Epochs,
    state: State,
    backoff: Backoff,
    /// Unanswered questions and batches in a row, on this connection.
    timeouts: u32,
    /// The run of the centre that spoke last on this connection.
    server_epoch: Option<u64>,
    credit: Credit,
    /// Halved when a batch was too large for the link; grows back with each ack.
    events_max: u32,
    reconnect_spread_ms: u64,
    heartbeat_at: Option<Instant>,
    /// What the centre wants to compare, said on this connection.
    comparing: Option<Comparing>,
    /// [`Effect::OpenEpoch`] was asked for, and what came of it is not known.
    leaving: bool,
    /// Logins refused in a row.
    refusals: u32,
    effects: VecDeque<Effect>,
}

impl StoreSync {
    /// Starts without a connection. `epochs` is what the outbox holds, in order of birth; the first try is at `now`.
    pub fn new(epochs: &[EpochReport], limits: StoreLimits, seed: u64, now: Instant) -> Self {
        Self {
            epochs: Epochs::new(epochs),
            random: Random::new(seed),
            state: State::Offline { retry_at: now },
            backoff: Backoff::default(),
            timeouts: 0,
            server_epoch: None,
            credit: Credit { events: 1, hold_ms: 0 },
            events_max: limits.batch_events_max,
            reconnect_spread_ms: 0,
            heartbeat_at: None,
            comparing: None,
            leaving: false,
            refusals: 0,
            effects: VecDeque::new(),
            limits,
        }
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When `handle_timeout` is wanted next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let state = match self.state {
            State::Offline { retry_at } => Some((retry_at, "connect")),
            State::Connecting { deadline } => Some((deadline, "connecting takes too long")),
            State::Greeting { deadline, .. } => Some((deadline, "hello was not answered")),
            State::Waiting { deadline, .. } => Some((deadline, "batch was not answered")),
            State::Refused { until, .. } | State::Paused { until } | State::Held { until } => {
                Some((until, "pause ends"))
            }
            State::Ready { hold_until } => self.epochs.has_work().then_some((hold_until, "hold ends")),
            State::Comparing { .. } | State::Loading { .. } => None,
        };
        let heartbeat = self.heartbeat_at.map(|at| (at, "heartbeat"));
        let digests = self.comparing.map(|comparing| (comparing.next_at(), "digests"));
        state.into_iter().chain(heartbeat).chain(digests).min_by_key(|(at, _)| *at)
    }

    /// The state of the link.
    pub fn link_state(&self) -> LinkState {
        match self.state {
            State::Offline { .. } | State::Connecting { .. } => LinkState::Offline,
            State::Greeting { .. } | State::Comparing { .. } => LinkState::Greeting,
            State::Ready { .. } | State::Loading { .. } | State::Waiting { .. } | State::Refused { .. } => {
                LinkState::Online
            }
            State::Paused { .. } | State::Held { .. } => LinkState::Paused,
        }
    }

    /// Events that the centre has not confirmed.
    pub fn unconfirmed(&self) -> u64 {
        self.epochs.unconfirmed()
    }

    // ---- what happens at the store ----

    /// An event was committed.
    pub fn handle_committed(&mut self, epoch: Epoch, head: Seq, now: Instant) {
        self.epochs.committed(epoch, head);
        self.pump(now);
    }

    /// What the outbox holds at present, in order of birth: after [`Effect::OpenEpoch`] whether it could be done or not,
    /// after trimming, and now and then.
    pub fn handle_held(&mut self, held: &[EpochReport], now: Instant) {
        self.epochs.held(held);
        self.leaving = false;
        self.pump(now);
    }

    // ---- what happens on the link ----

    /// The connection stands, and the broker or the centre has granted the subscriptions.
    pub fn handle_connected(&mut self, now: Instant) {
        if !matches!(self.state, State::Connecting { .. }) {
            return;
        }
        self.timeouts = 0;
        self.server_epoch = None;
        self.epochs.forget_positions();
        self.schedule_heartbeat(now);
        self.say_hello(now);
    }

    /// The connection is gone, or could not be made.
    pub fn handle_connection_lost(&mut self, loss: Loss, now: Instant) {
        if matches!(self.state, State::Offline { .. }) {
            return;
        }
        self.go_offline(loss, now);
    }

    /// The centre said something.
    pub fn handle_downlink(&mut self, message: Downlink, now: Instant) {
        match message {
            Downlink::Welcome(welcome) => self.handle_welcome(welcome, now),
            Downlink::Ack(ack) => self.handle_ack(&ack, now),
            Downlink::Pulse(pulse) => self.handle_pulse(pulse, now),
            Downlink::Turn(turn) => self.handle_turn(turn, now),
            Downlink::Compare(compare) => self.handle_compare(compare, now),
            Downlink::Recall(recall) => self.handle_recall(recall),
        }
    }

    /// A batch was handed to the link.
    pub fn handle_sent(&mut self, sent: Sent, now: Instant) {
        if matches!(self.state, State::Loading { epoch } if epoch == sent.epoch) {
            self.state = State::Waiting { sent, deadline: now.after_ms(self.limits.ack_timeout_ms) };
        }
    }

    /// A batch could not be handed to the link.
    pub fn handle_send_failed(&mut self, failure: SendFailure, now: Instant) {
        let State::Loading { epoch } = self.state else { return };
        if failure == SendFailure::NothingThere {
            // Our idea of the epoch is wrong; the next `Hello` brings the outbox's own.
            self.epochs.forget_position(epoch);
        }
        let wait_ms = self.backoff.next_ms(0, &self.limits, &mut self.random);
        self.state = State::Ready { hold_until: now.after_ms(wait_ms) };
    }

    /// The other side of the link refused what was sent last.
    pub fn handle_refused(&mut self, refusal: Refusal, now: Instant) {
        if refusal == Refusal::Unreadable {
            self.effects.push_back(Effect::Notify(Notice::Unreadable));
        }
        match (refusal, &self.state) {
            (Refusal::NotAuthorized, _) => {
                self.effects.push_back(Effect::Disconnect);
                self.go_offline(Loss::LoginRefused, now);
            }
            (Refusal::TooLarge, State::Waiting { sent, .. }) if sent.through.seq == sent.first => {
                let (epoch, seq) = (sent.epoch, sent.first);
                self.effects.push_back(Effect::Notify(Notice::TooLarge { epoch, seq }));
                self.state = State::Paused { until: now.after_ms(self.limits.refused_backoff_ms) };
            }
            (_, State::Waiting { sent, .. }) => {
                // Too large for the link, or for the room that the centre has: either way half of it may go.
                let sent = *sent;
                let events = sent.through.seq.since(sent.first) + 1;
                self.events_max = u32::try_from(events / 2).unwrap_or(u32::MAX).max(1);
                if refusal == Refusal::TooLarge {
                    self.state = State::Ready { hold_until: now };
                    self.pump(now);
                } else {
                    let wait_ms = self.backoff.next_after_refusal_ms(&self.limits, &mut self.random);
                    self.state = State::Refused { sent, until: now.after_ms(wait_ms) };
                }
            }
            (_, State::Greeting { .. }) => {
                let wait_ms = self.backoff.next_after_refusal_ms(&self.limits, &mut self.random);
                self.state = State::Paused { until: now.after_ms(wait_ms) };
            }
            // A heartbeat, or something that is over: there is nothing to send again.
            (_, _) => {}
        }
    }

    /// The outbox compared a mark with its own history.
    pub fn handle_confirmed(&mut self, epoch: Epoch, mark: Mark, confirmed: Confirmed, now: Instant) {
        match confirmed {
            Confirmed::Agreed => {
                if let Some(acked) = self.epochs.agreed(epoch, mark.seq) {
                    self.effects.push_back(Effect::Rewind { epoch, to: mark.seq });
                    let applied = mark.seq;
                    self.effects.push_back(Effect::Notify(Notice::CentreWentBack { epoch, acked, applied }));
                }
            }
            Confirmed::Differs => {
                // Another history stands at the centre. It can only tell ours apart event by event, so it gets all
                // that we hold of the epoch, but for what it has taken in this run; what it shares is skipped there.
                self.part_from(epoch);
            }
        }
        if let State::Comparing { open } = &mut self.state {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.state = if self.credit.events == 0 {
                    self.held(now)
                } else {
                    State::Ready { hold_until: now.after_ms(u64::from(self.hold_ms())) }
                };
                self.pump(now);
            }
        }
    }

    /// A deadline of `poll_timeout` has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.heartbeat_at.is_some_and(|at| at <= now) {
            self.effects.push_back(Effect::SendHeartbeat);
            self.schedule_heartbeat(now);
        }
        if let Some(comparing) = self.comparing.as_mut().filter(|comparing| comparing.next_at() <= now) {
            comparing.sent(now);
            self.effects.push_back(Effect::SendDigests { newest: comparing.newest(), dates: Vec::new() });
        }
        match self.state {
            State::Offline { retry_at } if retry_at <= now => {
                self.state = State::Connecting { deadline: now.after_ms(self.limits.connect_timeout_ms) };
                self.effects.push_back(Effect::Connect);
            }
            State::Connecting { deadline } if deadline <= now => self.give_up(now),
            State::Greeting { deadline, .. } | State::Waiting { deadline, .. } if deadline <= now => {
                self.timeouts += 1;
                if self.timeouts >= self.limits.timeouts_max { self.give_up(now) } else { self.say_hello(now) }
            }
            State::Paused { until } | State::Held { until } if until <= now => self.say_hello(now),
            State::Refused { until, .. } if until <= now => {
                self.state = State::Ready { hold_until: now };
                self.pump(now);
            }
            State::Ready { .. } => self.pump(now),
            _ => {}
        }
    }

    // ---- inside ----

    fn handle_welcome(&mut self, welcome: Welcome, now: Instant) {
        // The answer to another question, or to another agent of this store.
        if !matches!(self.state, State::Greeting { session, .. } if session == welcome.session) {
            return;
        }
        self.timeouts = 0;
        self.refusals = 0;
        self.backoff.reset();
        self.server_epoch = Some(welcome.server_epoch);
        self.reconnect_spread_ms = u64::from(welcome.reconnect_spread_ms);
        self.credit = welcome.credit;
        if !welcome.receipts.is_empty() {
            self.effects.push_back(Effect::RaiseReceipts(welcome.receipts));
        }
        let mut open = 0;
        for cursor in welcome.cursors {
            let Some(head) = self.epochs.compare(cursor.epoch) else { continue };
            if cursor.applied > head {
                let (epoch, applied) = (cursor.epoch, cursor.applied);
                self.effects.push_back(Effect::Notify(Notice::WentBack { epoch, head, applied }));
                // The next event would stand at a place that another one has.
                self.leave(epoch);
            }
            self.effects.push_back(Effect::Confirm { epoch: cursor.epoch, mark: cursor.common });
            open += 1;
        }
        if open == 0 {
            // An answer about nothing that was asked: asking again at once would only repeat it.
            let wait_ms = self.backoff.next_ms(self.limits.pause_ms_min, &self.limits, &mut self.random);
            self.state = State::Paused { until: now.after_ms(wait_ms) };
        } else {
            self.state = State::Comparing { open };
        }
    }

    fn handle_ack(&mut self, ack: &Ack, now: Instant) {
        let (State::Waiting { sent, .. } | State::Refused { sent, .. }) = self.state else { return };
        if self.is_new_run(ack.server_epoch) {
            self.say_hello(now);
            return;
        }
        if ack.epoch != sent.epoch {
            return;
        }
        if ack.rewind && ack.through.seq < sent.first {
            // Asking at once could turn a stream of late duplicates into a stream of questions.
            let wait_ms = self.backoff.next_ms(0, &self.limits, &mut self.random);
            self.epochs.unanswered(ack.epoch);
            self.state = State::Paused { until: now.after_ms(wait_ms) };
            return;
        }
        // Late, doubled, or about the history of another agent.
        if ack.through != sent.through {
            return;
        }
        self.timeouts = 0;
        self.backoff.reset();
        self.epochs.answered(ack.epoch, ack.server_epoch, ack.through.seq);
        self.credit = ack.credit;
        self.events_max = self.events_max.saturating_mul(2).min(self.limits.batch_events_max);
        self.effects.push_back(Effect::Confirm { epoch: ack.epoch, mark: ack.through });
        let mut open = 1;
        if ack.cursor.seq > ack.through.seq && !ack.forked {
            self.effects.push_back(Effect::Confirm { epoch: ack.epoch, mark: ack.cursor });
            open += 1;
        }
        if ack.forked {
            self.part_from(ack.epoch);
            self.epochs.sent_beyond(ack.epoch, ack.through.seq);
        }
        self.state = State::Comparing { open };
    }

    fn handle_pulse(&mut self, pulse: Pulse, now: Instant) {
        let connected =
            !matches!(self.state, State::Offline { .. } | State::Connecting { .. } | State::Greeting { .. });
        if connected && self.is_new_run(pulse.server_epoch) {
            self.say_hello(now);
        }
    }

    fn handle_turn(&mut self, turn: Turn, now: Instant) {
        if self.is_new_run(turn.server_epoch) {
            return;
        }
        match self.state {
            State::Held { .. } => self.state = State::Ready { hold_until: now },
            // It came right behind the answer that told to pause.
            State::Comparing { .. } => {}
            _ => return,
        }
        self.credit = turn.credit;
        self.pump(now);
    }

    /// What is compared is confirmed already, so none of it waits for a greeting or a credit.
    fn handle_compare(&mut self, compare: Compare, now: Instant) {
        if !self.is_connected() {
            return;
        }
        if compare.newest > 0 {
            let begun = Comparing::begin(&compare, &self.limits, &mut self.random, now);
            // The centre asks after each greeting. Whoever greets often does not begin to wait again each time.
            self.comparing = Some(self.comparing.map_or(begun, |before| begun.no_later_than(before)));
        }
        if !compare.dates.is_empty() {
            let mut dates = compare.dates;
            dates.truncate(DIGEST_DATES_MAX);
            self.effects.push_back(Effect::SendDigests { newest: 0, dates });
        }
    }

    fn handle_recall(&mut self, recall: Recall) {
        if self.is_connected() && recall.from <= recall.to && recall.from > Seq::ZERO {
            self.effects.push_back(Effect::SendAgain(recall));
        }
    }

    fn is_connected(&self) -> bool {
        !matches!(self.state, State::Offline { .. } | State::Connecting { .. })
    }

    /// The centre holds another history of the epoch.
    fn part_from(&mut self, epoch: Epoch) {
        if self.epochs.differs(epoch, self.server_epoch) {
            self.effects.push_back(Effect::Notify(Notice::Forked { epoch }));
        }
        self.leave(epoch);
    }

    /// Sales do not go on in an epoch that another agent uses too. If a new one could not be opened, the next sign of it
    /// asks again.
    fn leave(&mut self, epoch: Epoch) {
        if self.epochs.is_newest(epoch) && !self.leaving {
            self.leaving = true;
            self.effects.push_back(Effect::OpenEpoch);
        }
    }

    /// Whether the centre has started anew since its `Welcome`. It may have been restored from an older copy then.
    fn is_new_run(&self, server_epoch: u64) -> bool {
        self.server_epoch.is_some_and(|known| known != server_epoch)
    }

    /// Asks about all epochs anew: doubt about any of them is doubt about all.
    fn say_hello(&mut self, now: Instant) {
        self.epochs.forget_positions();
        self.ask(now);
    }

    /// Asks about the epochs that no answer has covered: all of them, a new one, or those beyond one question.
    fn ask(&mut self, now: Instant) {
        let session = self.random.next_u64();
        let epochs = self.epochs.to_ask(self.limits.hello_epochs_max);
        self.effects.push_back(Effect::SayHello { session, epochs });
        self.state = State::Greeting { session, deadline: now.after_ms(self.limits.hello_timeout_ms) };
    }

    /// Sends the next batch, if nothing stands against it.
    fn pump(&mut self, now: Instant) {
        let State::Ready { hold_until } = self.state else { return };
        if hold_until > now {
            return;
        }
        if self.credit.events == 0 {
            self.state = self.held(now);
            return;
        }
        if let Some((epoch, from)) = self.epochs.next_to_send() {
            let events_max = self.credit.events.min(self.events_max).min(self.limits.batch_events_max);
            self.effects.push_back(Effect::SendBatch { epoch, from, events_max });
            self.state = State::Loading { epoch };
        } else if !self.epochs.all_known() {
            self.ask(now);
        }
    }

    fn held(&self, now: Instant) -> State {
        State::Held { until: now.after_ms(u64::from(self.hold_ms()).max(self.limits.pause_ms_min)) }
    }

    fn hold_ms(&self) -> u32 {
        self.credit.hold_ms.min(u32::try_from(self.limits.hold_ms_max).unwrap_or(u32::MAX))
    }

    fn give_up(&mut self, now: Instant) {
        self.effects.push_back(Effect::Disconnect);
        self.go_offline(Loss::Network, now);
    }

    fn go_offline(&mut self, loss: Loss, now: Instant) {
        let was_connected = !matches!(self.state, State::Connecting { .. });
        let floor_ms = match loss {
            Loss::LoginRefused => {
                let doubled = self.limits.refused_backoff_first_ms.saturating_mul(1 << self.refusals.min(32));
                self.refusals = self.refusals.saturating_add(1);
                doubled.min(self.limits.refused_backoff_ms)
            }
            Loss::Network if was_connected => self.reconnect_spread_ms,
            Loss::Network => 0,
        };
        // A broker may take a while until it knows a store that has just enrolled, so one login is nothing for a person.
        if loss == Loss::LoginRefused && (was_connected || self.refusals > 1) {
            self.effects.push_back(Effect::Notify(Notice::Refused));
        }
        let wait_ms = self.backoff.next_ms(floor_ms, &self.limits, &mut self.random);
        self.heartbeat_at = None;
        self.comparing = None;
        self.state = State::Offline { retry_at: now.after_ms(wait_ms) };
    }

    fn schedule_heartbeat(&mut self, now: Instant) {
        let half = self.limits.heartbeat_ms / 2;
        self.heartbeat_at = Some(now.after_ms(half + self.random.below(half.max(1) * 2)));
    }
}

#[cfg(test)]
mod tests;
