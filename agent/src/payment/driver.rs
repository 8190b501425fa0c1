//! One attempt's task.
//!
//! It carries out the effects of `till::payment` in order, and ends when nothing more comes of the attempt by itself.
//! Whoever wants something of it later starts another one, from what is kept.

use std::sync::Arc;
use std::time::Duration;

use pos_model::AttemptId;
use till::payment::{Answer, AttemptState, Call, Effect, Input, Notice, Payment, ReversalReason, Taken};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::task::{Attached, Shared};
use super::terminal::{PayOrder, Silence};
use crate::db::{Durability, Kept, payment_notice_key};
use crate::telemetry;
use crate::writer::WriteError;

/// Before a change of an attempt that could not be kept is kept again. Nothing is asked meanwhile.
const KEEP_AGAIN: Duration = Duration::from_secs(1);

/// One attempt's task.
pub(super) struct Driver {
    shared: Arc<Shared>,
    payment: Payment,
    /// What the terminal is told to take: only in the run in which the till asked.
    order: Option<PayOrder>,
    wishes: mpsc::Receiver<Input>,
    replies: JoinSet<(Call, Option<Answer>)>,
}

impl Driver {
    /// The task of an attempt; `order` is there if the terminal is to be asked to pay.
    pub(super) fn new(
        shared: Arc<Shared>,
        payment: Payment,
        order: Option<PayOrder>,
        wishes: mpsc::Receiver<Input>,
    ) -> Self {
        Self { shared, payment, order, wishes, replies: JoinSet::new() }
    }

    /// Drives it, until nothing more comes of it by itself or the agent ends.
    pub(super) async fn run(mut self) {
        let attempt_id = self.payment.attempt().attempt_id;
        let mut ended = self.shared.ended.clone();
        loop {
            if !self.perform().await || *ended.borrow() {
                break;
            }
            if self.payment.is_idle() && self.replies.is_empty() {
                // Under the lock, so that no wish falls between the look and the end.
                let mut driven = self.shared.driven();
                match self.wishes.try_recv() {
                    Ok(wish) => {
                        drop(driven);
                        self.payment.handle(wish, self.shared.now());
                        continue;
                    }
                    Err(_) => {
                        driven.remove(&attempt_id);
                        return;
                    }
                }
            }
            let due = self.payment.poll_timeout().map(|(at, _why)| at);
            let due = due.map(|at| self.shared.started + Duration::from_millis(at.ms()));
            tokio::select! {
                Some(reply) = self.replies.join_next() => self.replied(reply),
                Some(wish) = self.wishes.recv() => self.payment.handle(wish, self.shared.now()),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.payment.handle_timeout(self.shared.now());
                }
                _ = ended.wait_for(|&ending| ending) => break,
            }
        }
        self.shared.driven().remove(&attempt_id);
    }

    fn replied(&mut self, reply: Result<(Call, Option<Answer>), JoinError>) {
        let now = self.shared.now();
        let odd_before = self.payment.attempt().odd_answers;
        match reply {
            Ok((call, Some(answer))) => self.payment.handle(Input::Answered(call, answer), now),
            Ok((call, None)) => self.payment.handle(Input::NoAnswer(call), now),
            // Cut off below, together with another one.
            Err(error) if error.is_cancelled() => return,
            // A defect of ours in the way to the terminal: what was asked is as open as after a restart.
            Err(_) => {
                self.replies.abort_all();
                let attempt = self.payment.attempt().clone();
                self.payment = Payment::resume(attempt.clone(), self.shared.patience(&attempt.terminal), now);
            }
        }
        let attempt = self.payment.attempt();
        if attempt.odd_answers != odd_before {
            telemetry::payment_odd(attempt.attempt_id, &attempt.terminal, attempt.detail.as_deref());
        }
    }

    /// Carries out the effects. Returns false if there is nothing more to do with the attempt.
    async fn perform(&mut self) -> bool {
        while let Some(effect) = self.payment.poll_effect() {
            match effect {
                Effect::Keep => {
                    if !self.keep().await {
                        return false;
                    }
                }
                Effect::Ask(call) => {
                    let attempt = self.payment.attempt();
                    let attached = self.shared.terminals.get(&attempt.terminal).cloned();
                    let order = self.order.take_if(|_| call == Call::Pay);
                    self.replies.spawn(ask(attached, call, attempt.attempt_id, order));
                }
                Effect::Notify(notice) => self.notify(notice).await,
            }
        }
        true
    }

    /// Keeps the attempt as it is, and does not go on before it is kept.
    async fn keep(&mut self) -> bool {
        loop {
            let attempt = self.payment.attempt().clone();
            let attempt_id = attempt.attempt_id;
            match self.shared.writer.run(Durability::Promise, move |store| store.keep_attempt(&attempt)).await {
                Ok(Kept::Changed) => {
                    let attempt = self.payment.attempt();
                    telemetry::payment_stands(attempt.attempt_id, &attempt.terminal, attempt.state);
                    return true;
                }
                // It is waited for: the terminal may be at work, and take the money after all.
                Ok(Kept::Settled(outcome)) => {
                    self.payment.handle(Input::Settled(outcome), self.shared.now());
                    return true;
                }
                Ok(Kept::Reopened) => {
                    self.payment.handle(Input::ReverseWanted(ReversalReason::Late), self.shared.now());
                    self.tell_of_reopened().await;
                    return true;
                }
                Ok(Kept::Used) => {
                    self.contradicted().await;
                    return false;
                }
                Err(WriteError::Closed) => return false,
                Err(error) => telemetry::payment_not_kept(attempt_id, &error),
            }
            sleep(KEEP_AGAIN).await;
        }
    }

    /// A sale was paid with it, and afterwards the terminal says something else.
    async fn contradicted(&self) {
        let attempt = self.payment.attempt();
        // An attempt that was only taken for an open one has nothing odd about it.
        let is_over = matches!(attempt.state, AttemptState::Declined | AttemptState::Reversed);
        if is_over || attempt.odd_answers > 0 && !attempt.is_usable() {
            let text = format!(
                "Sale {} was paid with payment {} at terminal {}, of which the terminal says by now that it is {}. \
                 Compare the terminal's own list.",
                attempt.sale_id, attempt.attempt_id, attempt.terminal, attempt.state
            );
            // Not as `tell` does it, which passes over what is used.
            let key = payment_notice_key(attempt.attempt_id);
            if let Err(error) = self.shared.writer.raise_notice(key, text).await {
                telemetry::payment_notice_not_kept(attempt.attempt_id, &error);
            }
        }
    }

    /// Somebody has said what became of it, and was mistaken.
    async fn tell_of_reopened(&self) {
        let attempt = self.payment.attempt();
        let text = format!(
            "Somebody has settled payment {} for sale {}, and terminal {} says by now that it has taken {}. It goes back to \
             the customer by itself. Tell the customer.",
            attempt.attempt_id,
            attempt.sale_id,
            attempt.terminal,
            self.amount()
        );
        self.shared.tell(attempt, text).await;
    }

    /// The amount with its currency, for people.
    fn amount(&self) -> String {
        format!("{} {}", self.payment.attempt().amount.display(self.shared.currency), self.shared.currency)
    }

    fn forgotten(&self, amount: &str) -> String {
        let attempt = self.payment.attempt();
        format!(
            "Terminal {} had taken {amount} by {} for sale {}, and knows nothing of it by now: payment {}. Look at the terminal's own list and ask who runs it. Give the money back if it was taken, then say so.",
            attempt.terminal, attempt.kind, attempt.sale_id, attempt.attempt_id
        )
    }

    async fn notify(&self, notice: Notice) {
        let attempt = self.payment.attempt();
        let amount = self.amount();
        let text = match notice {
            Notice::Forgotten => self.forgotten(&amount),
            Notice::StillOpen if attempt.taken == Taken::Forgotten => self.forgotten(&amount),
            Notice::StillOpen => format!(
                "Whether terminal {} has taken {amount} by {} for sale {} is not known: payment {}. It is asked again and \
                 again. Look at the terminal, and take no second payment by it before this is known.",
                attempt.terminal, attempt.kind, attempt.sale_id, attempt.attempt_id
            ),
            Notice::NotReversible => format!(
                "Terminal {} has taken {amount} by {} for sale {} and does not give it back: payment {}. Give it back \
                 another way, or ask who runs the terminal.",
                attempt.terminal, attempt.kind, attempt.sale_id, attempt.attempt_id
            ),
        };
        self.shared.tell(attempt, text).await;
    }
}

async fn ask(
    attached: Option<Attached>,
    call: Call,
    attempt_id: AttemptId,
    order: Option<PayOrder>,
) -> (Call, Option<Answer>) {
    let said = match &attached {
        None => Err(Silence::NotConfigured),
        Some(attached) => {
            let limit = if call == Call::Pay { attached.pay_timeout } else { attached.answer_timeout };
            let terminal = &attached.terminal;
            let reply = match (call, &order) {
                (Call::Pay, Some(order)) => terminal.pay(order),
                // Without its order an attempt is asked about, never paid.
                (Call::Pay, None) | (Call::Query, _) => terminal.query(attempt_id),
                (Call::Reverse, _) => terminal.reverse(attempt_id),
            };
            let timed_out = Silence::TimedOut { limit_ms: limit.as_millis() };
            timeout(limit, reply).await.unwrap_or(Err(timed_out))
        }
    };
    let answer = said.inspect_err(|silence| telemetry::terminal_silent(attempt_id, call, silence)).ok();
    (call, answer)
}
