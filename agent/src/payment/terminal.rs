//! What a payment terminal can be asked.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use pos_model::{AttemptId, Currency, Money, SaleId, Tag, TillId};
use till::payment::Answer;

/// What comes back: how an attempt stands, or nothing that could be understood. The caller limits the time.
pub type Reply<'a> = Pin<Box<dyn Future<Output = Result<Answer, Silence>> + Send + 'a>>;

/// A way to a payment terminal.
///
/// The attempt's id is the key under which the terminal acts once. A terminal that hears `pay` for an attempt that it knows
/// answers how it stands; one that hears `reverse` for an attempt that it does not know declines it from there on.
/// Dropping a reply asks nobody anything: what was sent stays sent.
pub trait Terminal: Send + Sync + fmt::Debug {
    /// Take the money.
    fn pay<'a>(&'a self, order: &'a PayOrder) -> Reply<'a>;

    /// How does the attempt stand?
    fn query(&self, attempt_id: AttemptId) -> Reply<'_>;

    /// Give the money back, or never take it.
    fn reverse(&self, attempt_id: AttemptId) -> Reply<'_>;
}

/// What a terminal is told to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayOrder {
    /// Under which it acts once.
    pub attempt_id: AttemptId,
    /// What is paid, for its receipt.
    pub sale_id: SaleId,
    /// Where.
    pub till_id: TillId,
    /// `card`, `wallet`, `voucher` and so on.
    pub kind: Tag,
    /// How much.
    pub amount: Money,
    /// Of what.
    pub currency: Currency,
    /// What the customer's telephone or voucher shows.
    pub code: Option<Code>,
}

/// A code that pays, once, for whoever shows it. It is in memory for the one question, and neither kept nor logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// Wraps a code.
    pub fn new(code: String) -> Self {
        Self(code)
    }

    /// The code.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A terminal did not say how an attempt stands. It may have acted all the same.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum Silence {
    /// It was not reached, or the connection ended.
    #[error("ask the terminal")]
    Unreached(#[source] reqwest::Error),
    /// It answered with an error.
    #[error("ask the terminal: it answers with status {status}")]
    Status { status: u16 },
    /// It answered with something else.
    #[error("understand the terminal: {problem}")]
    Unreadable { problem: String },
    /// It said nothing in time.
    #[error("ask the terminal: no answer in {limit_ms} ms")]
    TimedOut { limit_ms: u128 },
    /// The configuration does not name it any more.
    #[error("ask the terminal: the configuration does not name it")]
    NotConfigured,
    /// The simulator was told to lose this.
    #[error("ask the terminal: the simulator's script loses this")]
    Scripted,
}
