//! The statements of a group in SQLite. Those that each sale needs are prepared once and kept.

use rusqlite::{CachedStatement, Connection};

use super::During;
use crate::ledger::LedgerError;

macro_rules! statements {
    ($($name:ident: $sql:expr;)*) => {
        pub(super) struct Statements<'c> {
            $(pub(super) $name: CachedStatement<'c>,)*
        }

        impl<'c> Statements<'c> {
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
    newest_moved_id: "SELECT max(sale_id) FROM sale_ids";
    is_moved_id: "SELECT EXISTS (SELECT 1 FROM sale_ids WHERE sale_id = ?1)";
    add_sale_id: "INSERT INTO new_sale_ids VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    add_line: "INSERT INTO sale_lines VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    park: "INSERT INTO parked (parked_no, store_no, stream_no, seq, hash, parked_at_ms, reason, detail, event_no, bytes,
            kind)
        VALUES (1 + max(ifnull((SELECT max(parked_no) FROM parked), 0),
            ifnull((SELECT max(parked_no) FROM parked_applied), 0)), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
        ON CONFLICT (stream_no, seq, hash) DO NOTHING";
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
        forked_events = forked_events + ?6, last_sale_at_ms = ifnull(?7, last_sale_at_ms),
        taken_at_health = taken_at_health + ?8 WHERE store_no = ?1";
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

pub(super) const STOCK_ADDED: &str = "INSERT INTO stock_added VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET
    added_micro = added_micro + excluded.added_micro";

pub(super) const ADD_REFUND_TOTALS: &str =
    "INSERT INTO day_totals (store_no, business_date, currency, sales, lines, quantity_micro,
        gross_minor, tax_minor, net_minor, refunds, refund_gross_minor, refund_tax_minor)
    VALUES (?1, ?2, ?3, 0, 0, 0, 0, 0, 0, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
        refunds = refunds + excluded.refunds, refund_gross_minor = refund_gross_minor + excluded.refund_gross_minor,
        refund_tax_minor = refund_tax_minor + excluded.refund_tax_minor";

pub(super) const Z_RUNS_AT: &str =
    "SELECT first_no, last_no FROM z_runs WHERE store_no = ?1 AND till_id = ?2 AND first_no <= ?3
    ORDER BY first_no DESC";

pub(super) const PUT_Z_RUN: &str =
    "INSERT INTO z_runs VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET last_no = excluded.last_no";

pub(super) const DROP_Z_RUN: &str = "DELETE FROM z_runs WHERE store_no = ?1 AND till_id = ?2 AND first_no = ?3";

pub(super) const ADD_DUPLICATE_Z: &str = "INSERT INTO duplicate_z VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";

pub(super) const REFUNDED_SALE: &str =
    "SELECT refunds, gross_minor, tax_minor, sale_event_no, is_over FROM refunded_sales
    WHERE store_no = ?1 AND sale_id = ?2";

pub(super) const REFUNDED_LINES: &str = "SELECT sale_line, quantity_micro, gross_minor FROM refunded_lines
    WHERE store_no = ?1 AND sale_id = ?2";

pub(super) const PUT_REFUNDED: &str =
    "INSERT INTO refunded_sales VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET
    refunds = excluded.refunds, gross_minor = excluded.gross_minor, tax_minor = excluded.tax_minor,
    sale_event_no = excluded.sale_event_no, is_over = excluded.is_over";

pub(super) const PUT_REFUNDED_LINE: &str =
    "INSERT INTO refunded_lines VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
    quantity_micro = excluded.quantity_micro, gross_minor = excluded.gross_minor";

/// A sale counts for the refunds of its own store.
pub(super) const SALE_EVENT: &str = "SELECT event_no FROM new_sale_ids WHERE sale_id = ?2 AND store_no = ?1
    UNION ALL SELECT event_no FROM sale_ids WHERE sale_id = ?2 AND store_no = ?1";

pub(super) const SOLD: &str = "SELECT gross_minor FROM sales WHERE event_no = ?1";

pub(super) const SOLD_LINES: &str = "SELECT quantity_micro, gross_minor FROM sale_lines
    WHERE line_no BETWEEN ?1 * 1024 AND ?1 * 1024 + 1023 ORDER BY line_no";

pub(super) const COUNT_WAITING: &str =
    "UPDATE store_state SET refunds_waiting = refunds_waiting + ?2 WHERE store_no = ?1";
