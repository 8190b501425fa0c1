//! The statements of a group, prepared once and kept, and the rows that they write and read.

use std::collections::HashSet;
use std::fmt::Write as _;

use pos_model::{ChainHash, Epoch, SaleId, Seq, StoreId, TillId};
use protocol::latest::{Mark, Predecessor, SaleCompleted, SaleLine, Tender};
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::fault::{During, is_known_key};
use super::numbers::Runs;
use crate::ledger::LedgerError;

/// Where a fact with an id is held, such as a sale.
pub(super) struct FactPlace {
    pub(super) store: String,
    pub(super) store_no: i64,
    pub(super) epoch: Epoch,
    pub(super) seq: Seq,
    pub(super) event_no: i64,
}

impl FactPlace {
    /// From store, epoch, number there, number of the event and number of the store.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            store: row.get(0)?,
            epoch: Epoch::from_sql(row.get(1)?),
            seq: Seq::from_sql(row.get(2)?),
            event_no: row.get(3)?,
            store_no: row.get(4)?,
        })
    }
}

/// A stream as the path of a batch needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamRow {
    pub(super) stream_no: i64,
    pub(super) applied: Mark,
    pub(super) base_hash: ChainHash,
}

/// A sale and its place.
#[derive(Debug)]
pub(super) struct SaleRow<'g> {
    pub(super) event_no: i64,
    pub(super) store_no: i64,
    pub(super) stream_no: i64,
    pub(super) seq: Seq,
    pub(super) receipt_no: i64,
    pub(super) lines: i64,
    pub(super) sale: &'g SaleCompleted,
}

/// A message and what of it is new.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchRow<'a> {
    pub(super) first_event_no: i64,
    pub(super) stream_no: i64,
    pub(super) first_seq: Seq,
    pub(super) events: usize,
    pub(super) skip: usize,
    pub(super) frame: &'a [u8],
}

/// Why an event is parked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parking<'a> {
    /// A word for machines.
    pub(super) reason: &'static str,
    /// Words for people.
    pub(super) detail: &'a str,
}

/// How much of a detail is kept. It may repeat what somebody sent.
const DETAIL_CHARS_MAX: usize = 400;

macro_rules! statements {
    ($($name:ident: $sql:expr;)*) => {
        pub(super) struct Rows<'c> {
            $(pub(super) $name: CachedStatement<'c>,)*
        }

        impl<'c> Rows<'c> {
            pub(super) fn prepare(connection: &'c Connection) -> Result<Self, LedgerError> {
                Ok(Self { $($name: connection.prepare_cached($sql).during("prepare statement")?,)* })
            }
        }
    };
}

statements! {
    find_store: "SELECT store_no FROM stores WHERE store_id = ?1";
    add_store: "INSERT INTO stores (store_id, name, status, added_at_ms) VALUES (?1, '', 'active', ?2)";
    add_state: "INSERT INTO store_state (store_no, last_contact_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    stores_waiting: "SELECT store_no FROM store_state WHERE refunds_waiting > 0";
    last_event_no: "SELECT ifnull(max(event_no), 0) FROM events";
    find_stream: "SELECT stream_no, applied_seq, applied_hash, base_hash FROM streams WHERE store_no = ?1 AND epoch = ?2";
    add_stream: "INSERT INTO streams (store_no, epoch, applied_seq, applied_hash, base_hash, first_seen_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    move_cursor: "UPDATE streams SET applied_seq = ?2, applied_hash = ?3, base_hash = ?4 WHERE stream_no = ?1";
    open_stream: "UPDATE streams SET opened_at_ms = ?2, opened_why = ?3, previous_epoch = ?4, previous_seq = ?5,
        previous_hash = ?6 WHERE stream_no = ?1";
    continue_stream: "UPDATE streams SET successors = successors + 1, continued_at = min(continued_at, ?3)
        WHERE store_no = ?1 AND epoch = ?2";
    report_head: "UPDATE streams SET reported_head = max(reported_head, ?3) WHERE store_no = ?1 AND epoch = ?2
        AND reported_head < ?3";
    find_batch: "SELECT first_seq, first_event_no, events FROM batches WHERE stream_no = ?1 AND first_seq <= ?2
        ORDER BY first_seq DESC LIMIT 1";
    add_batch: "INSERT INTO batches (first_event_no, stream_no, first_seq, events, received_at_ms, frame_skip, frame)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    event_hash: "SELECT hash FROM events WHERE event_no = ?1";
    add_event: "INSERT INTO events (event_no, hash) VALUES (?1, ?2)";
    add_sale: "INSERT INTO sales VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
        ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)";
    add_line: "INSERT INTO sale_lines VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    sale_place: "SELECT stores.store_id, streams.epoch, sales.seq, event_no, sales.store_no FROM sales JOIN stores USING (store_no)
        JOIN streams USING (stream_no) WHERE sale_id = ?1";
    park: "INSERT INTO parked (parked_no, store_no, stream_no, seq, hash, parked_at_ms, reason, detail, event_no, bytes)
        VALUES (1 + max(ifnull((SELECT max(parked_no) FROM parked), 0),
            ifnull((SELECT max(parked_no) FROM parked_applied), 0)), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (stream_no, seq, hash) DO NOTHING";
    lost: "SELECT max(from_seq, ?2), min(to_seq, ?3) FROM losses
        WHERE stream_no = ?1 AND from_seq <= ?3 AND to_seq >= ?2 ORDER BY from_seq LIMIT 1";
    found: "SELECT hash FROM parked WHERE stream_no = ?1 AND seq = ?2 AND reason = 'found' ORDER BY parked_no LIMIT 1";
    is_parked: "SELECT EXISTS (SELECT 1 FROM parked WHERE stream_no = ?1 AND seq = ?2 AND hash = ?3)";
    add_loss: "INSERT INTO losses (stream_no, from_seq, to_seq, noticed_at_ms) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO NOTHING";
    report_receipt: "INSERT INTO receipt_heads (store_no, till_id, receipt_no) VALUES (?1, ?2, ?3)
        ON CONFLICT DO UPDATE SET receipt_no = excluded.receipt_no WHERE excluded.receipt_no > receipt_no";
    known_receipts: "SELECT heads.till_id, max(heads.receipt_no), max(heads.z_no),
            ifnull((SELECT grand_total_after_minor FROM z_reports WHERE store_no = ?1
                AND z_reports.till_id = heads.till_id ORDER BY z_reports.z_no DESC LIMIT 1), 0)
        FROM (
            SELECT till_id, last_no AS receipt_no, 0 AS z_no FROM receipt_runs WHERE store_no = ?1
            UNION ALL SELECT till_id, receipt_no, 0 FROM receipt_heads WHERE store_no = ?1
            UNION ALL SELECT till_id, 0, last_no FROM z_runs WHERE store_no = ?1) AS heads
        GROUP BY heads.till_id ORDER BY heads.till_id";
    note_health: "UPDATE store_state SET health_at_ms = ?2, clock_ms = ?3, clock_offset_s = ?4, clock_ahead_ms = ?5,
        protocol_version = ifnull(?6, protocol_version), agent_version = ?7, epoch = ?8, head_seq = ?9,
        outbox_events = ?10, outbox_oldest_ms = ?11, disk_free_bytes = ?12,
        taken_at_health = applied_events + parked_events WHERE store_no = ?1";
    count_store: "UPDATE store_state SET last_contact_ms = max(last_contact_ms, ?2),
        applied_events = applied_events + ?3, applied_sales = applied_sales + ?4, parked_events = parked_events + ?5,
        forked_events = forked_events + ?6, last_sale_at_ms = ifnull(?7, last_sale_at_ms) WHERE store_no = ?1";
    add_totals: "INSERT INTO day_totals (store_no, business_date, currency, sales, lines, quantity_micro, gross_minor,
        tax_minor, net_minor) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET
        sales = sales + excluded.sales, lines = lines + excluded.lines,
        quantity_micro = quantity_micro + excluded.quantity_micro, gross_minor = gross_minor + excluded.gross_minor,
        tax_minor = tax_minor + excluded.tax_minor, net_minor = net_minor + excluded.net_minor";
    add_used: "INSERT INTO stock_used VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET
        used_micro = used_micro + excluded.used_micro";
    receipt_runs_at: "SELECT first_no, last_no FROM receipt_runs WHERE store_no = ?1 AND till_id = ?2 AND first_no <= ?3
        ORDER BY first_no DESC";
    put_receipt_run: "INSERT INTO receipt_runs VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET
        last_no = excluded.last_no";
    drop_receipt_run: "DELETE FROM receipt_runs WHERE store_no = ?1 AND till_id = ?2 AND first_no = ?3";
    add_duplicate_receipt: "INSERT INTO duplicate_receipts VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
}

impl<'c> Rows<'c> {
    /// The statements on the runs of receipt numbers.
    pub(super) fn receipt_runs(&mut self) -> Runs<'_, 'c> {
        Runs {
            at: &mut self.receipt_runs_at,
            put: &mut self.put_receipt_run,
            drop: &mut self.drop_receipt_run,
            add_duplicate: &mut self.add_duplicate_receipt,
        }
    }

    /// The stores that have refunds of which the sale is not applied: few, and none as a rule.
    pub(super) fn stores_waiting(&mut self) -> Result<HashSet<i64>, LedgerError> {
        let doing = "read the stores with refunds of unknown sales";
        let rows = self.stores_waiting.query_map([], |row| row.get(0)).during(doing)?;
        rows.collect::<rusqlite::Result<_>>().during(doing)
    }

    /// The number of a store; a new one if it is not known.
    pub(super) fn store_no(&mut self, store: &StoreId, now_ms: i64) -> Result<i64, LedgerError> {
        let doing = "find store";
        let found = self.find_store.query_row([store.as_str()], |row| row.get(0)).optional().during(doing)?;
        let store_no = match found {
            Some(store_no) => store_no,
            None => self.add_store.insert(params![store.as_str(), now_ms]).during("add store")?,
        };
        self.add_state.execute(params![store_no, now_ms]).during("add the store's state")?;
        Ok(store_no)
    }

    pub(super) fn next_event_no(&mut self) -> Result<i64, LedgerError> {
        let last: i64 = self.last_event_no.query_row([], |row| row.get(0)).during("read the last event number")?;
        Ok(last + 1)
    }

    pub(super) fn stream(&mut self, store_no: i64, epoch: Epoch) -> Result<Option<StreamRow>, LedgerError> {
        let read = |row: &Row<'_>| {
            let seq = Seq::from_sql(row.get(1)?);
            Ok((row.get(0)?, seq, hash_of(row.get_ref(2)?), hash_of(row.get_ref(3)?)))
        };
        let found = self.find_stream.query_row(params![store_no, epoch.to_sql()], read).optional();
        let Some((stream_no, seq, hash, base_hash)) = found.during("read cursor")? else { return Ok(None) };
        Ok(Some(StreamRow { stream_no, applied: Mark { seq, hash: hash? }, base_hash: base_hash? }))
    }

    pub(super) fn add_stream(
        &mut self,
        store_no: i64,
        epoch: Epoch,
        applied: Mark,
        base_hash: ChainHash,
        now_ms: i64,
    ) -> Result<i64, LedgerError> {
        let Mark { seq, hash } = applied;
        let row = params![store_no, epoch.to_sql(), seq.to_sql(), hash.as_bytes(), base_hash.as_bytes(), now_ms];
        self.add_stream.insert(row).during("add epoch")
    }

    pub(super) fn move_cursor(
        &mut self,
        stream_no: i64,
        applied: Mark,
        base_hash: ChainHash,
    ) -> Result<(), LedgerError> {
        let row = params![stream_no, applied.seq.to_sql(), applied.hash.as_bytes(), base_hash.as_bytes()];
        self.move_cursor.execute(row).during("move cursor").map(drop)
    }

    pub(super) fn open_stream(
        &mut self,
        stream_no: i64,
        at_ms: i64,
        why: &str,
        previous: Option<&Predecessor>,
    ) -> Result<(), LedgerError> {
        let epoch = previous.map(|previous| previous.epoch.to_sql());
        let seq = previous.map(|previous| previous.seq.to_sql());
        let hash = previous.map(|previous| previous.hash.as_bytes());
        self.open_stream.execute(params![stream_no, at_ms, why, epoch, seq, hash]).during("note epoch").map(drop)
    }

    /// Notes at an epoch that another one goes on from it; says whether the epoch is known.
    pub(super) fn continue_stream(&mut self, store_no: i64, previous: &Predecessor) -> Result<bool, LedgerError> {
        let row = params![store_no, previous.epoch.to_sql(), previous.seq.to_sql()];
        self.continue_stream.execute(row).during("tie epoch to the one before").map(|rows| rows > 0)
    }

    pub(super) fn report_head(&mut self, store_no: i64, epoch: Epoch, head: Seq) -> Result<(), LedgerError> {
        self.report_head.execute(params![store_no, epoch.to_sql(), head.to_sql()]).during("note head").map(drop)
    }

    /// The hash of the followed history at a number, if the event there was taken in.
    pub(super) fn held(&mut self, stream_no: i64, seq: Seq) -> Result<Option<ChainHash>, LedgerError> {
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let found = self.find_batch.query_row(params![stream_no, seq.to_sql()], read).optional();
        let Some((first_seq, first_event_no, events)) = found.during("find batch")? else { return Ok(None) };
        let offset = seq.to_sql() - first_seq;
        if offset >= events {
            return Ok(None);
        }
        let read = |row: &Row<'_>| row.get_ref(0).map(hash_of);
        self.event_hash.query_row([first_event_no + offset], read).during("read hash")?.map(Some)
    }

    pub(super) fn add_batch(&mut self, row: &BatchRow<'_>, now_ms: i64) -> Result<(), LedgerError> {
        let BatchRow { first_event_no, stream_no, first_seq, events, skip, frame } = *row;
        let small = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (events, skip) = (small(events), small(skip));
        self.add_batch
            .execute(params![first_event_no, stream_no, first_seq.to_sql(), events, now_ms, skip, frame])
            .during("insert batch")
            .map(drop)
    }

    pub(super) fn add_event(&mut self, event_no: i64, hash: &ChainHash) -> Result<(), LedgerError> {
        self.add_event.execute(params![event_no, hash.as_bytes()]).during("insert event").map(drop)
    }

    /// Adds the header of a sale; `false` if the ledger has a sale of this id.
    pub(super) fn add_sale(&mut self, row: &SaleRow<'_>, text: &mut String) -> Result<bool, LedgerError> {
        let sale = row.sale;
        tenders_as_json(&sale.tenders, text);
        let imported = sale.imported.as_ref();
        let added = self.add_sale.execute(params![
            row.event_no,
            sale.sale_id.as_bytes(),
            row.store_no,
            row.stream_no,
            row.seq.to_sql(),
            sale.business_date.days(),
            sale.sold_at.utc_ms,
            sale.sold_at.offset_s,
            sale.till_id.as_str(),
            sale.operator_id.as_ref().map(pos_model::OperatorId::as_str),
            sale.channel.as_str(),
            sale.member_tag,
            row.receipt_no,
            sale.pickup_no,
            sale.currency.as_str(),
            row.lines,
            sale.totals.quantity.micro(),
            sale.totals.gross_minor.minor(),
            sale.totals.tax_minor.minor(),
            sale.totals.net_minor.minor(),
            sale.change_minor.minor(),
            text.as_str(),
            sale.price_book_version,
            imported.map(|imported| &imported.source),
            imported.map(|imported| &imported.reference),
        ]);
        match added {
            Err(error) if is_known_key(&error) => Ok(false),
            added => added.during("insert sale").map(|_| true),
        }
    }

    pub(super) fn add_lines(
        &mut self,
        event_no: i64,
        lines: &[SaleLine],
        text: &mut String,
    ) -> Result<(), LedgerError> {
        for (line, line_no) in lines.iter().zip(event_no * 1024..) {
            options_as_json(line, text);
            let options = (!text.is_empty()).then_some(text.as_str());
            // Adjustments explain the price; a sum that does not fit explains nothing, and the gross stands beside it.
            let adjustments =
                line.adjustments.iter().fold(0i64, |sum, one| sum.saturating_add(one.amount_minor.minor()));
            self.add_line
                .execute(params![
                    line_no,
                    line.sku.as_str(),
                    line.name,
                    line.quantity.micro(),
                    line.unit_price_minor.minor(),
                    line.gross_minor.minor(),
                    line.tax_minor.minor(),
                    line.tax_group.as_str(),
                    line.tax_rate_ppm,
                    adjustments,
                    options,
                ])
                .during("insert sale line")?;
        }
        Ok(())
    }

    /// Where the sale with this id is: store, epoch, number there, number of its event.
    pub(super) fn sale_place(&mut self, sale_id: &SaleId) -> Result<FactPlace, LedgerError> {
        self.sale_place.query_row([sale_id.as_bytes()], FactPlace::read).during("read the sale with this id")
    }

    /// Parks an event; says whether it was not parked before.
    #[expect(clippy::too_many_arguments, reason = "they are the row's columns")]
    pub(super) fn park(
        &mut self,
        store_no: i64,
        stream_no: i64,
        seq: Seq,
        hash: &ChainHash,
        now_ms: i64,
        parking: Parking<'_>,
        event_no: Option<i64>,
        bytes: Option<&[u8]>,
    ) -> Result<bool, LedgerError> {
        let detail: String = parking.detail.chars().take(DETAIL_CHARS_MAX).collect();
        let (seq, hash) = (seq.to_sql(), hash.as_bytes());
        let row = params![store_no, stream_no, seq, hash, now_ms, parking.reason, detail, event_no, bytes];
        self.park.execute(row).during("park event").map(|rows| rows > 0)
    }

    /// Whether an event at this place with this history is parked.
    pub(super) fn is_parked(&mut self, stream_no: i64, mark: Mark) -> Result<bool, LedgerError> {
        let place = params![stream_no, mark.seq.to_sql(), mark.hash.as_bytes()];
        self.is_parked.query_row(place, |row| row.get(0)).during("look for a parked event")
    }

    /// The first run of lost places within `from..=to`.
    pub(super) fn lost(&mut self, stream_no: i64, from: Seq, to: Seq) -> Result<Option<(Seq, Seq)>, LedgerError> {
        let place = params![stream_no, from.to_sql(), to.to_sql()];
        let run = self.lost.query_row(place, |row| Ok((Seq::from_sql(row.get(0)?), Seq::from_sql(row.get(1)?))));
        run.optional().during("look for lost events")
    }

    /// The history up to a lost place, if its event has turned up since.
    pub(super) fn found(&mut self, stream_no: i64, seq: Seq) -> Result<Option<ChainHash>, LedgerError> {
        let doing = "look for a found event";
        let mut rows = self.found.query(params![stream_no, seq.to_sql()]).during(doing)?;
        let row = rows.next().during(doing)?;
        row.map(|row| hash_of(row.get_ref(0).during(doing)?)).transpose()
    }

    pub(super) fn add_loss(&mut self, stream_no: i64, from: Seq, to: Seq, now_ms: i64) -> Result<(), LedgerError> {
        self.add_loss.execute(params![stream_no, from.to_sql(), to.to_sql(), now_ms]).during("note loss").map(drop)
    }

    pub(super) fn report_receipt(&mut self, store_no: i64, till: &TillId, receipt_no: i64) -> Result<(), LedgerError> {
        self.report_receipt.execute(params![store_no, till.as_str(), receipt_no]).during("note receipt").map(drop)
    }
}

/// A hash that this program wrote.
pub(super) fn hash_of(value: ValueRef<'_>) -> Result<ChainHash, LedgerError> {
    let damaged = LedgerError::Damaged { what: "hash" };
    value.as_blob().ok().and_then(ChainHash::from_slice).ok_or(damaged)
}

/// `[["cash",500],["card",120]]`. Kinds are made of letters that need no escape.
pub(super) fn tenders_as_json(tenders: &[Tender], text: &mut String) {
    text.clear();
    text.push('[');
    for (index, tender) in tenders.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(text, "{comma}[\"{}\",{}]", tender.kind, tender.amount_minor.minor()).expect("a string takes all");
    }
    text.push(']');
}

/// `["large","no-ice"]`, or nothing.
fn options_as_json(line: &SaleLine, text: &mut String) {
    text.clear();
    if line.options.is_empty() {
        return;
    }
    for (index, option) in line.options.iter().enumerate() {
        text.push_str(if index == 0 { "[\"" } else { "\",\"" });
        // A code has no control characters.
        for c in option.code.as_str().chars() {
            if matches!(c, '"' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
    }
    text.push_str("\"]");
}
