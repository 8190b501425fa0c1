-- The id of each applied sale, so that none is applied twice.
--
-- Ids begin in new_sale_ids, which is small, and move to sale_ids in their order: see sale_ids.rs. An id is in one of the
-- two tables.

CREATE TABLE sale_ids (
    sale_id   BLOB PRIMARY KEY,
    event_no  INTEGER NOT NULL,
    store_no  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE new_sale_ids (
    sale_id   BLOB PRIMARY KEY,
    event_no  INTEGER NOT NULL,
    store_no  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO sale_ids SELECT sale_id, event_no, store_no FROM sales ORDER BY sale_id;

DROP VIEW v_refunds;
DROP INDEX sales_by_id;

CREATE VIEW v_refunds AS
SELECT stores.store_id, date(refunds.business_date * 86400, 'unixepoch') AS business_date,
       datetime(refunds.refunded_at_ms / 1000 + refunds.refunded_offset_s, 'unixepoch') AS refunded_at_local,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(refunds.refund_id, 1, 4)), hex(substr(refunds.refund_id, 5, 2)),
           hex(substr(refunds.refund_id, 7, 2)), hex(substr(refunds.refund_id, 9, 2)), hex(substr(refunds.refund_id, 11, 6)))) AS refund_id,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(refunds.sale_id, 1, 4)), hex(substr(refunds.sale_id, 5, 2)),
           hex(substr(refunds.sale_id, 7, 2)), hex(substr(refunds.sale_id, 9, 2)), hex(substr(refunds.sale_id, 11, 6)))) AS sale_id,
       new_sale_ids.event_no IS NOT NULL OR sale_ids.event_no IS NOT NULL AS sale_is_known, refunds.kind, refunds.till_id,
       CASE WHEN refunds.shift_id IS NOT NULL THEN
           lower(printf('%s-%s-%s-%s-%s', hex(substr(refunds.shift_id, 1, 4)), hex(substr(refunds.shift_id, 5, 2)),
           hex(substr(refunds.shift_id, 7, 2)), hex(substr(refunds.shift_id, 9, 2)), hex(substr(refunds.shift_id, 11, 6)))) END AS shift_id,
       refunds.operator_id, refunds.approver_id, refunds.reason, refunds.note, refunds.receipt_no, refunds.currency,
       refunds.lines, refunds.quantity_micro, refunds.gross_minor, refunds.tax_minor, refunds.net_minor,
       refunds.cash_rounding_minor, refunds.points, refunds.tenders,
       printf('%016x', streams.epoch) AS epoch, refunds.seq, refunds.event_no
FROM refunds JOIN stores USING (store_no) JOIN streams USING (stream_no)
    LEFT JOIN new_sale_ids ON new_sale_ids.sale_id = refunds.sale_id AND new_sale_ids.store_no = refunds.store_no
    LEFT JOIN sale_ids ON sale_ids.sale_id = refunds.sale_id AND sale_ids.store_no = refunds.store_no;
