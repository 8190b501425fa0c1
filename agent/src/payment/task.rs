//! The store's terminals, and which attempt has a task.
//!
//! Every attempt that is open has one, from the moment at which it is kept, or from the start of the agent. An attempt that
//! is open and has none, for whatever reason, gets one within moments.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pos_model::{AttemptId, Currency, SaleId, Stamp, Tag};
use protocol::latest::payment::AskPayment;
use till::payment::{
    Attempt, AttemptState, Input, Moment, Outcome, Patience, Payment, PaymentRefusal, ReversalReason, Taken,
};
use till::{Refusal, SaleDraft};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::driver::Driver;
use super::http::HttpTerminalError;
use super::terminal::{Code, PayOrder, Terminal};
use super::{HttpTerminal, Simulator};
use crate::config::{PaymentConfig, TerminalConfig, TerminalKind};
use crate::db::{Durability, Notice, Store, payment_notice_key};
use crate::readers::{ReadError, Readers};
use crate::telemetry;
use crate::writer::Writer;

/// Wishes that wait for a task: a person who presses a key again and again.
const WISHES_MAX: usize = 8;

/// Characters of what a customer's telephone or voucher shows. Wallets use two dozen digits.
const CODE_CHARS_MAX: usize = 256;

/// Between two looks for attempts without a task, and for approvals that no sale has used.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// After how long people are told of an approval that no sale has used, in milliseconds. A sale follows its payment within
/// seconds, but the till may have to be started again in between.
const UNUSED_NOTICE_MS: i64 = 300_000;

/// The terminals cannot be set up, or what became of earlier attempts cannot be found out.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum PaymentsError {
    #[error("set up terminal {name}")]
    Terminal { name: Tag, source: HttpTerminalError },
    #[error("read the open payment attempts")]
    Read(#[source] ReadError),
}

/// The store's terminals, and the attempts at them. Clones share it.
#[derive(Clone)]
pub struct Payments(Arc<Shared>);

/// What the tasks share.
pub(super) struct Shared {
    pub(super) terminals: BTreeMap<Tag, Attached>,
    attempts_for: Vec<Tag>,
    pub(super) currency: Currency,
    pub(super) writer: Writer,
    readers: Readers,
    /// By which deadlines are counted.
    pub(super) started: Instant,
    driven: Mutex<Driven>,
    pub(super) ended: watch::Receiver<bool>,
}

/// The attempts that have a task, and how each is told what is wanted.
pub(super) type Driven = BTreeMap<AttemptId, mpsc::Sender<Input>>;

/// A terminal, and how long it is waited for.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    pub(super) terminal: Arc<dyn Terminal>,
    patience: Patience,
    pub(super) pay_timeout: Duration,
    pub(super) answer_timeout: Duration,
}

impl fmt::Debug for Payments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payments").field("terminals", &self.0.terminals).finish_non_exhaustive()
    }
}

impl Payments {
    /// Sets the terminals up, and asks what became of the attempts that an earlier run left open.
    pub async fn start(
        config: &PaymentConfig,
        currency: Currency,
        writer: Writer,
        readers: Readers,
        ended: watch::Receiver<bool>,
    ) -> Result<Self, PaymentsError> {
        let terminals = config.terminals.iter().map(|terminal| {
            let attached = attach(terminal, config, currency);
            attached
                .map(|attached| (terminal.name.clone(), attached))
                .map_err(|source| PaymentsError::Terminal { name: terminal.name.clone(), source })
        });
        let payments = Self(Arc::new(Shared {
            terminals: terminals.collect::<Result<_, _>>()?,
            attempts_for: config.attempts_for.clone(),
            currency,
            writer,
            readers,
            started: Instant::now(),
            driven: Mutex::default(),
            ended,
        }));
        let unsettled = payments.unsettled().await.map_err(PaymentsError::Read)?;
        unsettled.into_iter().filter(Attempt::is_open).for_each(|attempt| payments.adopt(attempt));
        Ok(payments)
    }

    /// Looks after attempts that nobody looks after, until the agent ends.
    pub async fn run(self) {
        let mut ended = self.0.ended.clone();
        let mut alone = BTreeSet::new();
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = ended.wait_for(|&ending| ending) => return,
            }
            match self.look(&alone).await {
                Ok(still_alone) => alone = still_alone,
                Err(error) => telemetry::payments_not_looked_at(&error),
            }
        }
    }

    /// Makes an attempt of what a till asks for, and the order for its terminal.
    pub fn attempt(&self, command: AskPayment, now: Stamp) -> Result<(Attempt, PayOrder), PaymentRefusal> {
        if command.code.as_ref().is_some_and(|code| code.chars().count() > CODE_CHARS_MAX) {
            return Err(PaymentRefusal::CodeTooLong { max: CODE_CHARS_MAX });
        }
        let count = self.0.terminals.len();
        let terminal = match command.terminal {
            Some(terminal) if self.0.terminals.contains_key(&terminal) => terminal,
            Some(terminal) => return Err(PaymentRefusal::UnknownTerminal { terminal }),
            None => match self.0.terminals.keys().next() {
                Some(terminal) if count == 1 => terminal.clone(),
                _ => return Err(PaymentRefusal::TerminalNeeded { count }),
            },
        };
        let order = PayOrder {
            attempt_id: command.attempt_id,
            sale_id: command.sale_id,
            till_id: command.till_id.clone(),
            kind: command.kind.clone(),
            amount: command.amount_minor,
            currency: self.0.currency,
            code: command.code.map(Code::new),
        };
        let attempt = Attempt {
            attempt_id: command.attempt_id,
            sale_id: command.sale_id,
            till_id: command.till_id,
            operator_id: command.operator_id,
            kind: command.kind,
            amount: command.amount_minor,
            terminal,
            asked_at: now,
            state: AttemptState::Asked,
            reversal: None,
            reference: None,
            detail: None,
            odd_answers: 0,
            taken: Taken::Never,
        };
        Ok((attempt, order))
    }

    /// Asks a terminal to pay for an attempt that was just kept. If somebody has found the attempt meanwhile and asks what
    /// became of it, the terminal is not asked to pay any more.
    pub fn pay(&self, attempt: Attempt, order: PayOrder) {
        let mut driven = self.0.driven();
        if !is_driven(&driven, attempt.attempt_id) {
            let patience = self.0.patience(&attempt.terminal);
            let payment = Payment::ask(attempt, patience, self.0.now());
            self.0.clone().drive(&mut driven, payment, Some(order));
        }
    }

    /// Tells whoever drives the attempt what is wanted of it. Returns false if too many wishes wait already.
    pub fn want(&self, attempt: Attempt, wish: Input) -> bool {
        let mut driven = self.0.driven();
        if let Some(wishes) = driven.get(&attempt.attempt_id).filter(|wishes| !wishes.is_closed()) {
            return wishes.try_send(wish).is_ok();
        }
        let (patience, now) = (self.0.patience(&attempt.terminal), self.0.now());
        let mut payment = Payment::resume(attempt, patience, now);
        payment.handle(wish, now);
        self.0.clone().drive(&mut driven, payment, None);
        true
    }

    /// Tells whoever drives an attempt that a person has settled it. What is kept says so already.
    pub fn settled(&self, attempt_id: AttemptId, outcome: Outcome) {
        if let Some(wishes) = self.0.driven().get(&attempt_id) {
            // Too many wishes: the task finds out when it next keeps something.
            let _ = wishes.try_send(Input::Settled(outcome));
        }
    }

    /// Has what is to go back, because a sale was paid otherwise, go back at once. What this misses is found within seconds.
    pub fn give_back_unused(&self, sale_id: SaleId) {
        if self.0.terminals.is_empty() {
            return;
        }
        let payments = self.clone();
        tokio::spawn(async move {
            match payments.0.readers.read(move |view| view.attempts_of(sale_id)).await {
                Ok(attempts) => {
                    let left = attempts.into_iter().filter(|kept| !kept.used).map(|kept| kept.attempt);
                    let reason = ReversalReason::PaidOtherwise;
                    for attempt in left.filter(|attempt| attempt.is_open() && attempt.reversal == Some(reason)) {
                        payments.want(attempt, Input::ReverseWanted(reason));
                    }
                }
                Err(error) => telemetry::payments_not_looked_at(&error),
            }
        });
    }

    /// Whether a sale names attempts where this store wants them named.
    pub fn check(&self, draft: SaleDraft) -> Result<SaleDraft, Refusal> {
        let unnamed = draft.tenders.iter().find(|tender| {
            tender.attempt_id.is_none() && draft.imported.is_none() && self.0.attempts_for.contains(&tender.kind)
        });
        match unnamed.map(|tender| tender.kind.clone()) {
            Some(kind) => Err(PaymentRefusal::AttemptNeeded { kind }.into()),
            None => Ok(draft),
        }
    }

    /// Drives what is open and had no task at the last look either, and tells people of what nobody has used. Returns
    /// what is open and has no task: one that was kept a moment ago is about to get it.
    async fn look(&self, alone: &BTreeSet<AttemptId>) -> Result<BTreeSet<AttemptId>, ReadError> {
        let mut newly_alone = BTreeSet::new();
        let now_ms = self.0.writer.clock().now().utc_ms;
        for attempt in self.unsettled().await? {
            let attempt_id = attempt.attempt_id;
            if !attempt.is_open() {
                if now_ms.saturating_sub(attempt.asked_at.utc_ms) >= UNUSED_NOTICE_MS {
                    self.0.tell_of_unused(&attempt).await;
                }
            } else if alone.contains(&attempt_id) {
                self.adopt(attempt);
            } else if !is_driven(&self.0.driven(), attempt_id) {
                newly_alone.insert(attempt_id);
            }
        }
        Ok(newly_alone)
    }

    async fn unsettled(&self) -> Result<Vec<Attempt>, ReadError> {
        let unsettled = self.0.readers.read(|view| view.unsettled_attempts()).await?;
        Ok(unsettled.into_iter().map(|kept| kept.attempt).collect())
    }

    /// Finds out what became of an attempt that nobody drives.
    fn adopt(&self, attempt: Attempt) {
        let mut driven = self.0.driven();
        if !is_driven(&driven, attempt.attempt_id) {
            let payment = Payment::resume(attempt.clone(), self.0.patience(&attempt.terminal), self.0.now());
            self.0.clone().drive(&mut driven, payment, None);
        }
    }
}

/// Whether an attempt has a task. One that a defect has ended hears no wishes any more.
fn is_driven(driven: &Driven, attempt_id: AttemptId) -> bool {
    driven.get(&attempt_id).is_some_and(|wishes| !wishes.is_closed())
}

fn attach(
    terminal: &TerminalConfig,
    config: &PaymentConfig,
    currency: Currency,
) -> Result<Attached, HttpTerminalError> {
    let way: Arc<dyn Terminal> = match &terminal.kind {
        TerminalKind::Simulator { script } => Arc::new(Simulator::new(script.clone())),
        TerminalKind::Http { url, token_file } => {
            let ca_file = config.ca_file.as_deref();
            Arc::new(HttpTerminal::new(url.clone(), currency, token_file.as_deref(), ca_file)?)
        }
    };
    Ok(Attached {
        terminal: way,
        patience: terminal.patience,
        pay_timeout: terminal.pay_timeout,
        answer_timeout: terminal.answer_timeout,
    })
}

impl Shared {
    pub(super) fn driven(&self) -> MutexGuard<'_, Driven> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Moment {
        Moment::from_ms(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn patience(&self, terminal: &Tag) -> Patience {
        self.terminals.get(terminal).map_or(Patience::USUAL, |attached| attached.patience)
    }

    /// Starts a task for an attempt that has none.
    fn drive(self: Arc<Self>, driven: &mut Driven, payment: Payment, order: Option<PayOrder>) {
        let (sender, wishes) = mpsc::channel(WISHES_MAX);
        driven.insert(payment.attempt().attempt_id, sender);
        tokio::spawn(Driver::new(self, payment, order, wishes).run());
    }

    /// Tells people of an attempt, unless it is settled by now. The notice stands since the money was asked for, so that
    /// they see for how long it has been open.
    pub(super) async fn tell(&self, attempt: &Attempt, text: String) {
        let (attempt_id, at_ms) = (attempt.attempt_id, attempt.asked_at.utc_ms);
        let notice = Notice { key: payment_notice_key(attempt_id), at_ms, text };
        let tell = move |store: &mut Store| store.raise_notice_of_attempt(attempt_id, &notice);
        if let Err(error) = self.writer.run(Durability::Hint, tell).await {
            telemetry::payment_notice_not_kept(attempt_id, &error);
        }
    }

    async fn tell_of_unused(&self, attempt: &Attempt) {
        let text = format!(
            "Terminal {} has taken {} {} by {} for sale {}, and no sale was paid with it. Complete that sale, or reverse \
             payment {}.",
            attempt.terminal,
            attempt.amount.display(self.currency),
            self.currency,
            attempt.kind,
            attempt.sale_id,
            attempt.attempt_id
        );
        self.tell(attempt, text).await;
    }
}
