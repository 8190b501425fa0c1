//! The store's books: one SQLite file, written by one [`Store`].
//!
//! # What holds
//!
//! 1. A sale, its numbers, the day's sums, the use of stock and its outbox row commit in one database transaction, or
//!    not at all. Nothing is answered before the commit is on disk (`journal_mode=WAL`, `synchronous=FULL`).
//! 2. The same sale id is recorded once. The same command again gives the same answer, also after a restart, for as long
//!    as the sale's header is kept (longer than a year); another command under that id is a conflict.
//! 3. Events stand in one line, by *position*. Each run of the agent is an *epoch* and owns the positions after its
//!    `base`: `seq = position - base`, from 1, without gaps. One hash chain runs through all of them.
//! 4. Receipt numbers count per till, pickup numbers per business date. They are given in the sale's transaction and
//!    never again; [`Store::raise_receipts`] moves them forward only.
//! 5. The confirmed watermark of an epoch moves only to a mark whose hash is our own at that place.
//! 6. A row leaves only after it is confirmed *and* has been held for the retention, counted in time that an agent ran
//!    on this folder: a clock that jumps deletes nothing. Trimming keeps the hash before the oldest row, so the chain
//!    still begins somewhere, and takes few rows at a time.
//! 7. When the disk is full, the sale is refused and the next one is tried afresh. When the disk fails (an error of
//!    reading, writing or syncing, or a damaged file), the `Store` takes nothing any more: a failed sync is not repeated,
//!    because the system may have dropped the pages that it could not write.
//!
//! # Layout
//!
//! `schema` opens and migrates; `store` owns the write connection and groups operations into database transactions;
//! `command` carries a till's command out once; `epoch`, `basket`, `sale`, `refund`, `shift`, `day`, `payment`, `kitchen`,
//! `sold_out`, `stock`, `uplink`, `trim`, `notice`, `price_book`, `print_job`, `people`, `permit`,
//! `paired_till`, `audit` are the operations; `view` is all that reads, on the write
//! connection or on a [`Reader`]; `verify` walks the chain.
//!
//! The layer knows no clock, no randomness and no runtime: times and ids come in as arguments.

pub mod audit;
mod basket;
mod basket_document;
mod command;
mod day;
mod digest;
mod drawer;
mod epoch;
mod error;
mod kitchen;
mod kitchen_step;
#[cfg(test)]
mod kitchen_tests;
mod kitchen_view;
mod notice;
#[cfg(test)]
mod on_disk;
mod paired_till;
mod paper;
mod payment;
mod people;
#[cfg(test)]
mod people_tests;
mod permit;
mod price_book;
mod print_job;
mod refund;
mod refund_tender;
mod sale;
mod sale_event;
mod sale_kitchen;
mod schema;
mod shift;
mod shift_report;
mod shift_view;
pub(crate) mod sold_out;
#[cfg(test)]
mod sold_out_tests;
mod stock;
mod store;
#[cfg(test)]
pub(crate) mod testing;
mod trim;
#[cfg(test)]
mod upgrade_tests;
mod uplink;
mod verify;
mod view;

pub use audit::{MarkRow, Noteworthy};
pub use command::{CommandKey, Moment, Once, Refused, RefusedAs};
pub use error::{Error, Failure};
pub use kitchen_step::{SaidBy, VoidedCup};
pub use notice::Notice;
pub use paired_till::TokenHash;
pub use paper::{ForTills, PaperPlan};
pub(crate) use payment::notice_key as payment_notice_key;
pub use payment::{ATTEMPTS_UNSETTLED_MAX, AskAgain, AskReversal, Kept, KeptAttempt};
pub use people::{OperatorChange, PinHash, PinToCheck};
pub use permit::{Approval, Permit};
pub use price_book::KeptBook;
pub use print_job::{NewPrint, PrintJob, PrintJobId, Tried};
pub use refund::RefundRecorded;
pub use sale::{CommandDigest, Recorded};
pub use schema::SCHEMA_VERSION;
pub use shift::CASH_MINOR_MAX;
pub use shift_view::PartOfShift;
pub use stock::{BeginCount, FinishCount, ItemStock, LastCount, StockCheck, StockDifference};
pub use store::{Durability, Head, Rules, Store};
pub use trim::{HEADERS_KEPT_MS, RETENTION_MS_MIN};
pub use uplink::Confirmed;
pub use verify::{Broken, Verified};
pub use view::{EventRow, OutboxDepth, Reader, SaleRecord, View};
