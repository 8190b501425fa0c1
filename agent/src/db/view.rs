//! All that reads. The same functions serve the write connection and read-only ones.

use std::fmt;
use std::path::Path;

use pos_model::{BusinessDate, ChainHash, Epoch, Money, Place, Quantity, RefundId, SaleId, Seq, TillId};
use protocol::latest::local_api::{DayTotals, SaleReceipt};
use protocol::latest::{Batch, EpochReport};
use protocol::latest::{DecodeError, Event, EventBody, ReceiptHead, SaleCompleted, decode_event};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::error::{Doing, Error};
use super::notice::Notice;
use super::price_book::KeptBook;
use super::sale::{CommandDigest, read_receipt};
use super::schema;

/// A connection that only reads. Any number of them may be open beside the [`super::Store`], also from other processes.
pub struct Reader {
    connection: Connection,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens the database file, which must exist.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).doing("open the database for reading")?;
        schema::prepare_reader(&connection)?;
        Ok(Self { connection })
    }

    /// Everything that can be read. Each call sees the state at its beginning, and holds it no longer than it takes:
    /// a reader that stays keeps the log from being emptied.
    pub fn view(&self) -> View<'_> {
        View::new(&self.connection)
    }
}

/// The books, for reading.
#[derive(Clone, Copy)]
pub struct View<'c> {
    pub(super) connection: &'c Connection,
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

/// A sale as it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct SaleRecord {
    /// What the till was answered.
    pub receipt: SaleReceipt,
    /// The whole sale; `None` once its event has been trimmed and only the header is left.
    pub sale: Option<SaleCompleted>,
    /// Whether the centre has confirmed it.
    pub synced: bool,
}

/// What the centre has not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxDepth {
    /// How many events.
    pub events: u64,
    /// When the oldest of them was recorded, in milliseconds since 1970 (UTC).
    pub oldest_ms: Option<i64>,
}

/// An event, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Where it stands.
    pub place: Place,
    /// Its kind.
    pub kind: String,
    /// When it was recorded, in milliseconds since 1970 (UTC).
    pub recorded_at_ms: i64,
    /// The hash of the history up to it.
    pub hash: ChainHash,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether the centre has confirmed it.
    pub confirmed: bool,
}

impl EventRow {
    /// What the bytes say.
    pub fn event(&self) -> Result<Event, DecodeError> {
        decode_event(&self.bytes)
    }
}

/// An epoch as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct EpochRow {
    pub(super) ordinal: i64,
    pub(super) base: i64,
    pub(super) report: EpochReport,
}

/// The head of an epoch that is over is stored. That of the newest follows from the newest event, unless that has been
/// trimmed and only the hash before it is left.
macro_rules! epochs {
    ($rest:literal) => {
        concat!(
            "SELECT ordinal, epoch, base, first_held, hash_before, acked, coalesce(head, max(first_held - 1,
                coalesce((SELECT max(position) FROM event), 0) - base)) AS head FROM epoch ",
            $rest
        )
    };
}

impl<'c> View<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection }
    }

    // ---- sales ----

    /// A sale by its id.
    pub fn sale(&self, sale_id: SaleId) -> Result<Option<SaleRecord>, Error> {
        let found = self
            .connection
            .prepare_cached(
                "SELECT till_id, receipt_no, pickup_no, business_date, currency, total_minor, tax_minor, change_minor,
                    sale.recorded_at, sale.cash_rounding_minor, event.bytes,
                    coalesce((SELECT sale.position - e.base <= e.acked FROM epoch AS e WHERE e.base < sale.position
                        ORDER BY e.base DESC LIMIT 1), 1)
                 FROM sale CROSS JOIN folder LEFT JOIN event USING (position) WHERE sale_id = ?1",
            )
            .and_then(|mut select| {
                select
                    .query_row([sale_id.as_bytes()], |row| {
                        Ok((read_receipt(sale_id, row), row.get::<_, Option<Vec<u8>>>(10)?, row.get::<_, bool>(11)?))
                    })
                    .optional()
            })
            .doing("read a sale")?;
        let Some((receipt, bytes, synced)) = found else { return Ok(None) };
        let sale = bytes.map(|bytes| decode_sale(sale_id, &bytes)).transpose()?;
        Ok(Some(SaleRecord { receipt: receipt?, sale, synced }))
    }

    /// The sale that has this receipt; none if no sale has, or its header was let go.
    pub fn sale_of_receipt(&self, till_id: &TillId, receipt_no: u64) -> Result<Option<SaleId>, Error> {
        let Ok(receipt_no) = i64::try_from(receipt_no) else { return Ok(None) };
        let found: Option<[u8; 16]> = self
            .connection
            .prepare_cached("SELECT sale_id FROM sale WHERE till_id = ?1 AND receipt_no = ?2")
            .and_then(|mut select| select.query_row((till_id.as_str(), receipt_no), |row| row.get(0)).optional())
            .doing("look for a receipt")?;
        Ok(found.map(|id| SaleId::new(uuid::Uuid::from_bytes(id))))
    }

    /// The refund whose slip has this number; none if no refund has, or it was let go. It reads all refunds that are kept:
    /// for the few times that somebody asks.
    pub fn refund_of_receipt(&self, till_id: &TillId, receipt_no: u64) -> Result<Option<RefundId>, Error> {
        let Ok(receipt_no) = i64::try_from(receipt_no) else { return Ok(None) };
        let found: Option<[u8; 16]> = self
            .connection
            .prepare_cached(
                "SELECT refund_id FROM refund
                 WHERE answer ->> 'till_id' = ?1 AND answer ->> 'receipt_no' = ?2",
            )
            .and_then(|mut select| select.query_row((till_id.as_str(), receipt_no), |row| row.get(0)).optional())
            .doing("look for a refund's slip")?;
        Ok(found.map(|id| RefundId::new(uuid::Uuid::from_bytes(id))))
    }

    /// The sums of the business dates from `from` to `to`, both included; dates without a sale are left out.
    pub fn totals(&self, from: BusinessDate, to: BusinessDate) -> Result<Vec<DayTotals>, Error> {
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT business_date, sales, lines, units_micro, gross_minor, tax_minor FROM day_total
                 WHERE business_date BETWEEN ?1 AND ?2 ORDER BY business_date",
            )
            .doing("read the sums")?;
        let rows = select
            .query_map([from.days(), to.days()], |row| {
                let (gross, tax): (i64, i64) = (row.get(4)?, row.get(5)?);
                Ok(DayTotals {
                    business_date: BusinessDate::from_days(row.get(0)?),
                    sales: row.get::<_, i64>(1)?.unsigned_abs(),
                    lines: row.get::<_, i64>(2)?.unsigned_abs(),
                    units: Quantity::from_micro(row.get(3)?).into(),
                    gross_minor: Money::from_minor(gross),
                    tax_minor: Money::from_minor(tax),
                    net_minor: Money::from_minor(gross.saturating_sub(tax)),
                })
            })
            .doing("read the sums")?;
        rows.collect::<Result<_, _>>().doing("read the sums")
    }

    /// The newest receipt number of each till.
    pub fn receipt_heads(&self) -> Result<Vec<ReceiptHead>, Error> {
        let mut select = self
            .connection
            .prepare_cached("SELECT till_id, receipt_no FROM till_head ORDER BY till_id")
            .doing("read the receipt numbers")?;
        let rows = select
            .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
            .doing("read the receipt numbers")?;
        rows.map(|row| {
            let (till_id, receipt_no) = row.doing("read the receipt numbers")?;
            let till_id = till_id.parse().map_err(|_| Error::Damaged(format!("till {till_id:?} is none")))?;
            Ok(ReceiptHead::new(till_id, receipt_no.unsigned_abs()))
        })
        .collect()
    }

    /// The price books that are kept, the newest first.
    pub fn price_books(&self) -> Result<Vec<KeptBook>, Error> {
        super::price_book::price_books(self.connection)
    }

    /// What a till was answered for a sale, and the digest of the command that it was answered for.
    pub fn receipt(&self, sale_id: SaleId) -> Result<Option<(SaleReceipt, CommandDigest)>, Error> {
        super::sale::find_receipt(self.connection, sale_id)
    }

    /// What a person has to know or do.
    pub fn notices(&self) -> Result<Vec<Notice>, Error> {
        let mut select = self
            .connection
            .prepare_cached("SELECT key, at, text FROM notice ORDER BY at, key")
            .doing("read the notices")?;
        let rows = select
            .query_map([], |row| Ok(Notice { key: row.get(0)?, at_ms: row.get(1)?, text: row.get(2)? }))
            .doing("read the notices")?;
        rows.collect::<Result<_, _>>().doing("read the notices")
    }

    // ---- outbox ----

    /// What is held of each epoch, in order of birth; fully confirmed ones too, as long as one event of them is held.
    pub fn epochs(&self) -> Result<Vec<EpochReport>, Error> {
        Ok(self.epoch_rows()?.into_iter().map(|row| row.report).collect())
    }

    pub(super) fn epoch_rows(&self) -> Result<Vec<EpochRow>, Error> {
        let mut select = self.connection.prepare_cached(epochs!("ORDER BY ordinal")).doing("read the epochs")?;
        let rows = select.query_map([], |row| Ok(read_epoch(row))).doing("read the epochs")?;
        rows.map(|row| row.doing("read the epochs")?).collect()
    }

    pub(super) fn newest_epoch(&self) -> Result<Option<EpochRow>, Error> {
        self.one_epoch(epochs!("ORDER BY ordinal DESC LIMIT 1"), &[])
    }

    pub(super) fn epoch_row(&self, epoch: Epoch) -> Result<Option<EpochRow>, Error> {
        self.one_epoch(epochs!("WHERE epoch = ?1"), &[&epoch.to_sql()])
    }

    fn one_epoch(&self, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Result<Option<EpochRow>, Error> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut select| select.query_row(params, |row| Ok(read_epoch(row))).optional())
            .doing("read an epoch")?
            .transpose()
    }

    pub(super) fn hash_at(&self, position: i64) -> Result<ChainHash, Error> {
        let bytes: [u8; 32] = self
            .connection
            .prepare_cached("SELECT hash FROM event WHERE position = ?1")
            .and_then(|mut select| select.query_row([position], |row| row.get(0)))
            .doing("read a hash")?;
        Ok(ChainHash::from_bytes(bytes))
    }

    /// A run of events from `from` on: at most `events_max`, and at most `bytes_max` of their bytes, but always one.
    /// `None` if the epoch is not held, or no event of it from there on.
    pub fn take_batch(
        &self,
        epoch: Epoch,
        from: Seq,
        events_max: u32,
        bytes_max: usize,
    ) -> Result<Option<Batch>, Error> {
        self.consistent(|view| {
            let Some(row) = view.epoch_row(epoch)? else { return Ok(None) };
            let report = row.report;
            if from < report.first_held || from > report.head || events_max == 0 {
                return Ok(None);
            }
            let prev_hash = if from == report.first_held {
                report.hash_before
            } else {
                view.hash_at(row.base + from.previous().to_sql())?
            };
            let mut select = view
                .connection
                .prepare_cached("SELECT bytes FROM event WHERE position BETWEEN ?1 AND ?2 ORDER BY position LIMIT ?3")
                .doing("read a batch")?;
            let mut rows = select
                .query(params![row.base + from.to_sql(), row.base + report.head.to_sql(), events_max])
                .doing("read a batch")?;
            let mut events = Vec::new();
            let mut room = bytes_max;
            while let Some(row) = rows.next().doing("read a batch")? {
                let bytes = row.get_ref(0).and_then(|value| Ok(value.as_blob()?)).doing("read a batch")?;
                match room.checked_sub(bytes.len()) {
                    Some(left) => room = left,
                    None if events.is_empty() => room = 0,
                    None => break,
                }
                events.push(bytes.to_vec().into());
            }
            Ok(Some(Batch { epoch, first_seq: from, prev_hash, events }))
        })
    }

    /// How much the centre has not confirmed.
    pub fn outbox_depth(&self) -> Result<OutboxDepth, Error> {
        self.consistent(|view| {
            let (events, oldest): (i64, Option<i64>) = view
                .connection
                .prepare_cached(concat!(
                    "SELECT coalesce(sum(max(0, head - acked)), 0), min(CASE WHEN head > acked THEN base + acked + 1 END)
                     FROM (",
                    epochs!(""),
                    ")"
                ))
                .and_then(|mut select| select.query_row([], |row| Ok((row.get(0)?, row.get(1)?))))
                .doing("count the outbox")?;
            let oldest_ms = view
                .connection
                .prepare_cached("SELECT recorded_at FROM event WHERE position = ?1")
                .and_then(|mut select| select.query_row([oldest], |row| row.get(0)).optional())
                .doing("find the oldest event of the outbox")?;
            Ok(OutboxDepth { events: events.unsigned_abs(), oldest_ms })
        })
    }

    /// Events in order, for people: those after `after` (all of them if `None`), at most `rows_max`; only those which
    /// the centre has not confirmed if `unconfirmed_only`.
    pub fn events(&self, after: Option<Place>, unconfirmed_only: bool, rows_max: u32) -> Result<Vec<EventRow>, Error> {
        self.consistent(|view| {
            let mut rows = Vec::new();
            let mut reached = after.is_none();
            for epoch in view.epoch_rows()? {
                let report = epoch.report;
                let mut from = report.first_held;
                if let Some(place) = after.filter(|place| place.epoch == report.epoch) {
                    reached = true;
                    from = from.max(place.seq.next());
                }
                if unconfirmed_only {
                    from = from.max(report.acked.next());
                }
                let room = u64::from(rows_max).saturating_sub(u64::try_from(rows.len()).unwrap_or(u64::MAX));
                if reached && room > 0 && from <= report.head {
                    view.push_events(&epoch, from, room, &mut rows)?;
                }
            }
            Ok(rows)
        })
    }

    /// When the event before one was recorded, and when that one was, in milliseconds since 1970 (UTC). None if either is
    /// not held.
    pub fn recorded_around(&self, place: Place) -> Result<Option<(i64, i64)>, Error> {
        self.consistent(|view| {
            let Some(epoch) = view.epoch_row(place.epoch)? else { return Ok(None) };
            let position = epoch.base + place.seq.to_sql();
            view.connection
                .prepare_cached(
                    "SELECT before.recorded_at, event.recorded_at FROM event JOIN event AS before
                        ON before.position = event.position - 1 WHERE event.position = ?1",
                )
                .and_then(|mut select| select.query_row([position], |row| Ok((row.get(0)?, row.get(1)?))).optional())
                .doing("read when events were recorded")
        })
    }

    /// One event.
    pub fn event(&self, place: Place) -> Result<Option<EventRow>, Error> {
        self.consistent(|view| {
            let Some(epoch) = view.epoch_row(place.epoch)? else { return Ok(None) };
            let mut rows = Vec::new();
            if (epoch.report.first_held..=epoch.report.head).contains(&place.seq) {
                view.push_events(&epoch, place.seq, 1, &mut rows)?;
            }
            Ok(rows.pop())
        })
    }

    /// The event at a position, which must be of this epoch.
    pub(super) fn event_at(&self, epoch: &EpochRow, position: i64) -> Result<Option<EventRow>, Error> {
        let mut rows = Vec::new();
        self.push_events(epoch, Seq::from_sql(position - epoch.base), 1, &mut rows)?;
        Ok(rows.pop())
    }

    fn push_events(&self, epoch: &EpochRow, from: Seq, rows_max: u64, into: &mut Vec<EventRow>) -> Result<(), Error> {
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT position, kind, recorded_at, hash, bytes FROM event
                 WHERE position BETWEEN ?1 AND ?2 ORDER BY position LIMIT ?3",
            )
            .doing("read the events")?;
        let report = epoch.report;
        let found = select
            .query_map(
                params![
                    epoch.base + from.to_sql(),
                    epoch.base + report.head.to_sql(),
                    i64::try_from(rows_max).unwrap_or(i64::MAX)
                ],
                |row| {
                    let seq = Seq::from_sql(row.get::<_, i64>(0)? - epoch.base);
                    Ok(EventRow {
                        place: Place { epoch: report.epoch, seq },
                        kind: row.get(1)?,
                        recorded_at_ms: row.get(2)?,
                        hash: ChainHash::from_bytes(row.get(3)?),
                        bytes: row.get(4)?,
                        confirmed: seq <= report.acked,
                    })
                },
            )
            .doing("read the events")?;
        for row in found {
            into.push(row.doing("read the events")?);
        }
        Ok(())
    }

    /// Runs several statements on one state of the books.
    pub(super) fn consistent<T>(&self, read: impl FnOnce(&Self) -> Result<T, Error>) -> Result<T, Error> {
        if !self.connection.is_autocommit() {
            return read(self);
        }
        // Dropping it ends the transaction; nothing was written, so there is nothing to lose.
        let _state = self.connection.unchecked_transaction().doing("begin to read")?;
        read(self)
    }
}

fn decode_sale(sale_id: SaleId, bytes: &[u8]) -> Result<SaleCompleted, Error> {
    match decode_event(bytes) {
        Ok(Event { body: EventBody::SaleCompleted(sale), .. }) => Ok(*sale),
        Ok(_) => Err(Error::Damaged(format!("sale {sale_id} points at another kind of event"))),
        Err(error) => Err(Error::Damaged(format!("the event of sale {sale_id}: {error}"))),
    }
}

fn read_epoch(row: &Row<'_>) -> Result<EpochRow, Error> {
    let read = || -> rusqlite::Result<EpochRow> {
        Ok(EpochRow {
            ordinal: row.get(0)?,
            base: row.get(2)?,
            report: EpochReport {
                epoch: Epoch::from_sql(row.get(1)?),
                first_held: Seq::from_sql(row.get(3)?),
                hash_before: ChainHash::from_bytes(row.get(4)?),
                acked: Seq::from_sql(row.get(5)?),
                head: Seq::from_sql(row.get(6)?),
            },
        })
    };
    read().doing("read an epoch")
}
