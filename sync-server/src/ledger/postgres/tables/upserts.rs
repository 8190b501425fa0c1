//! The statements that write what was kept back. Each takes its rows as arrays, one for each column.

pub(super) const STREAMS: &str = "INSERT INTO streams (stream_no, store_no, epoch, applied_seq, applied_hash, base_hash, first_seen_ms,
        reported_head, opened_at_ms, opened_why, previous_epoch, previous_seq, previous_hash, successors, continued_at)
    SELECT * FROM unnest(?1::bigint[], ?2::bigint[], ?3::bigint[], ?4::bigint[], ?5::bytea[], ?6::bytea[], ?7::bigint[],
        ?8::bigint[], ?9::bigint[], ?10::text[], ?11::bigint[], ?12::bigint[], ?13::bytea[], ?14::bigint[], ?15::bigint[])
    ON CONFLICT (stream_no) DO UPDATE SET applied_seq = excluded.applied_seq, applied_hash = excluded.applied_hash,
        base_hash = excluded.base_hash, reported_head = excluded.reported_head, opened_at_ms = excluded.opened_at_ms,
        opened_why = excluded.opened_why, previous_epoch = excluded.previous_epoch, previous_seq = excluded.previous_seq,
        previous_hash = excluded.previous_hash, successors = excluded.successors, continued_at = excluded.continued_at";

pub(super) const LOSSES: &str =
    "INSERT INTO losses SELECT * FROM unnest(?1::bigint[], ?2::bigint[], ?3::bigint[], ?4::bigint[])
    ON CONFLICT DO NOTHING";

pub(super) const STATES: &str =
    "UPDATE store_state SET last_contact_ms = new.last_contact_ms, applied_events = new.applied_events,
        applied_sales = new.applied_sales, parked_events = new.parked_events, forked_events = new.forked_events,
        refunds_waiting = new.refunds_waiting, last_sale_at_ms = new.last_sale_at_ms,
        taken_at_health = taken_at_health + new.taken_more
    FROM unnest(?1::bigint[], ?2::bigint[], ?3::bigint[], ?4::bigint[], ?5::bigint[], ?6::bigint[], ?7::bigint[],
            ?8::bigint[], ?9::bigint[])
        AS new (store_no, last_contact_ms, applied_events, applied_sales, parked_events, forked_events, refunds_waiting,
            last_sale_at_ms, taken_more)
    WHERE store_state.store_no = new.store_no";

pub(super) const HEALTH: &str = "UPDATE store_state SET health_at_ms = new.health_at_ms, clock_ms = new.clock_ms,
        clock_offset_s = new.clock_offset_s, clock_ahead_ms = new.clock_ahead_ms,
        protocol_version = coalesce(new.protocol_version, store_state.protocol_version),
        agent_version = new.agent_version, epoch = new.epoch, head_seq = new.head_seq,
        outbox_events = new.outbox_events, outbox_oldest_ms = new.outbox_oldest_ms,
        disk_free_bytes = new.disk_free_bytes, taken_at_health = new.taken_at_health
    FROM unnest(?1::bigint[], ?2::bigint[], ?3::bigint[], ?4::bigint[], ?5::bigint[], ?6::bigint[], ?7::text[],
            ?8::bigint[], ?9::bigint[], ?10::bigint[], ?11::bigint[], ?12::bigint[], ?13::bigint[])
        AS new (store_no, health_at_ms, clock_ms, clock_offset_s, clock_ahead_ms, protocol_version, agent_version, epoch,
            head_seq, outbox_events, outbox_oldest_ms, disk_free_bytes, taken_at_health)
    WHERE store_state.store_no = new.store_no";

pub(super) const TOTALS: &str = "INSERT INTO day_totals SELECT * FROM unnest(?1::bigint[], ?2::date[], ?3::text[], ?4::bigint[],
        ?5::bigint[], ?6::bigint[], ?7::bigint[], ?8::bigint[], ?9::bigint[], ?10::bigint[], ?11::bigint[], ?12::bigint[])
    ON CONFLICT (store_no, business_date, currency) DO UPDATE SET sales = day_totals.sales + excluded.sales,
        lines = day_totals.lines + excluded.lines,
        quantity_micro = day_totals.quantity_micro + excluded.quantity_micro,
        gross_minor = day_totals.gross_minor + excluded.gross_minor,
        tax_minor = day_totals.tax_minor + excluded.tax_minor, net_minor = day_totals.net_minor + excluded.net_minor,
        refunds = day_totals.refunds + excluded.refunds,
        refund_gross_minor = day_totals.refund_gross_minor + excluded.refund_gross_minor,
        refund_tax_minor = day_totals.refund_tax_minor + excluded.refund_tax_minor";

pub(super) const STOCK_USED: &str =
    "INSERT INTO stock_used SELECT * FROM unnest(?1::bigint[], ?2::date[], ?3::text[], ?4::bigint[])
    ON CONFLICT (stream_no, business_date, item_id) DO UPDATE SET
        used_micro = stock_used.used_micro + excluded.used_micro";

pub(super) const STOCK_ADDED: &str =
    "INSERT INTO stock_added SELECT * FROM unnest(?1::bigint[], ?2::date[], ?3::text[], ?4::bigint[])
    ON CONFLICT (stream_no, business_date, item_id) DO UPDATE SET
        added_micro = stock_added.added_micro + excluded.added_micro";

pub(super) fn drop_runs(table: &str) -> String {
    format!(
        "DELETE FROM {table} USING unnest(?1::bigint[], ?2::text[], ?3::bigint[]) AS gone (store_no, till_id, first_no)
        WHERE {table}.store_no = gone.store_no AND {table}.till_id = gone.till_id AND {table}.first_no = gone.first_no"
    )
}

pub(super) fn put_runs(table: &str) -> String {
    format!(
        "INSERT INTO {table} SELECT * FROM unnest(?1::bigint[], ?2::text[], ?3::bigint[], ?4::bigint[])
        ON CONFLICT (store_no, till_id, first_no) DO UPDATE SET last_no = excluded.last_no"
    )
}

pub(super) const DUPLICATE_RECEIPTS: &str = "INSERT INTO duplicate_receipts
    SELECT * FROM unnest(?1::bigint[], ?2::text[], ?3::bigint[], ?4::bigint[]) ON CONFLICT DO NOTHING";

pub(super) const DUPLICATE_Z: &str = "INSERT INTO duplicate_z
    SELECT * FROM unnest(?1::bigint[], ?2::text[], ?3::bigint[], ?4::bigint[]) ON CONFLICT DO NOTHING";

pub(super) const HEADS: &str = "INSERT INTO receipt_heads SELECT * FROM unnest(?1::bigint[], ?2::text[], ?3::bigint[])
    ON CONFLICT (store_no, till_id) DO UPDATE SET receipt_no = excluded.receipt_no
        WHERE excluded.receipt_no > receipt_heads.receipt_no";

pub(super) const REFUNDED: &str =
    "INSERT INTO refunded_sales SELECT * FROM unnest(?1::bigint[], ?2::uuid[], ?3::bigint[], ?4::bigint[],
        ?5::bigint[], ?6::bigint[], ?7::smallint[])
    ON CONFLICT (store_no, sale_id) DO UPDATE SET refunds = excluded.refunds, gross_minor = excluded.gross_minor,
        tax_minor = excluded.tax_minor, sale_event_no = excluded.sale_event_no, is_over = excluded.is_over";

pub(super) const REFUNDED_LINES: &str = "INSERT INTO refunded_lines
    SELECT * FROM unnest(?1::bigint[], ?2::uuid[], ?3::bigint[], ?4::bigint[], ?5::bigint[])
    ON CONFLICT (store_no, sale_id, sale_line) DO UPDATE SET quantity_micro = excluded.quantity_micro,
        gross_minor = excluded.gross_minor";

pub(super) const PARK: &str =
    "INSERT INTO parked (store_no, stream_no, seq, hash, parked_at_ms, reason, detail, event_no, bytes, kind)
    SELECT * FROM unnest(?1::bigint[], ?2::bigint[], ?3::bigint[], ?4::bytea[], ?5::bigint[], ?6::text[], ?7::text[],
        ?8::bigint[], ?9::bytea[], ?10::text[]) ON CONFLICT (stream_no, seq, hash) DO NOTHING";
