-- What happens at the counter beside sales: refunds, shifts, cash, stock, sold-out articles, audit marks. For reading, start
-- with the views at the end: v_refunds, v_refund_lines, v_over_refunds, v_shifts, v_z_taxes, v_z_tenders, v_z_adjustments,
-- v_shift_amendments, v_day_closes, v_cash_movements, v_stock_movements, v_stock_counts, v_stock_added, v_sold_out, v_audit.
--
-- Units are those of the sales: amounts in the currency's minor unit, quantities in millionths of an item's base unit, times
-- in milliseconds since 1970 (UTC) with the store's offset in seconds, business dates in days since 1970-01-01.
-- Every row has the number of its event, and its place in the store's history: stream_no and seq.

CREATE TABLE refunds (
    event_no             INTEGER PRIMARY KEY,
    refund_id            BLOB NOT NULL,
    -- The sale of which something came back. It may be parked, or not have arrived.
    sale_id              BLOB NOT NULL,
    store_no             INTEGER NOT NULL,
    stream_no            INTEGER NOT NULL,
    seq                  INTEGER NOT NULL,
    -- refund, void or other.
    kind                 TEXT NOT NULL,
    business_date        INTEGER NOT NULL,
    refunded_at_ms       INTEGER NOT NULL,
    refunded_offset_s    INTEGER NOT NULL,
    till_id              TEXT NOT NULL,
    shift_id             BLOB,
    operator_id          TEXT,
    -- Who allowed it, where that was somebody else.
    approver_id          TEXT,
    reason               TEXT NOT NULL,
    note                 TEXT NOT NULL,
    receipt_no           INTEGER NOT NULL,
    currency             TEXT NOT NULL,
    lines                INTEGER NOT NULL,
    -- What came back, above zero.
    quantity_micro       INTEGER NOT NULL,
    gross_minor          INTEGER NOT NULL,
    tax_minor            INTEGER NOT NULL,
    net_minor            INTEGER NOT NULL,
    cash_rounding_minor  INTEGER NOT NULL,
    points               INTEGER NOT NULL,
    -- A JSON array of [kind, amount that went back].
    tenders              TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX refunds_by_id ON refunds (refund_id);
CREATE INDEX refunds_by_sale ON refunds (sale_id);
CREATE INDEX refunds_by_store ON refunds (store_no, event_no);

CREATE TABLE refund_lines (
    -- 1024 * event_no of the refund + position of the line, from 0.
    line_no         INTEGER PRIMARY KEY,
    -- The position of the line in the sale, from 0.
    sale_line       INTEGER NOT NULL,
    sku             TEXT NOT NULL,
    name            TEXT NOT NULL,
    -- A JSON array: which units of the line, from 0.
    units           TEXT NOT NULL,
    quantity_micro  INTEGER NOT NULL,
    gross_minor     INTEGER NOT NULL,
    tax_minor       INTEGER NOT NULL,
    tax_group       TEXT NOT NULL,
    tax_rate_ppm    INTEGER NOT NULL,
    -- restocked, wasted or other.
    goods           TEXT NOT NULL,
    -- A JSON array of [item, millionths] that went back into stock; none if nothing did.
    restocked       TEXT
) STRICT;

CREATE TABLE shift_opens (
    event_no         INTEGER PRIMARY KEY,
    shift_id         BLOB NOT NULL,
    store_no         INTEGER NOT NULL,
    stream_no        INTEGER NOT NULL,
    seq              INTEGER NOT NULL,
    till_id          TEXT NOT NULL,
    operator_id      TEXT,
    business_date    INTEGER NOT NULL,
    opened_at_ms     INTEGER NOT NULL,
    opened_offset_s  INTEGER NOT NULL,
    currency         TEXT NOT NULL,
    float_minor      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX shift_opens_by_id ON shift_opens (shift_id);
CREATE INDEX shift_opens_by_store ON shift_opens (store_no, event_no);

-- The Z report of a shift, as the till closed it. What was found out later stands in shift_amendments.
CREATE TABLE z_reports (
    event_no                  INTEGER PRIMARY KEY,
    shift_id                  BLOB NOT NULL,
    store_no                  INTEGER NOT NULL,
    stream_no                 INTEGER NOT NULL,
    seq                       INTEGER NOT NULL,
    till_id                   TEXT NOT NULL,
    -- Per till, from one, without gaps.
    z_no                      INTEGER NOT NULL,
    operator_id               TEXT,
    closed_by                 TEXT,
    -- On which the shift was opened.
    business_date             INTEGER NOT NULL,
    opened_at_ms              INTEGER NOT NULL,
    opened_offset_s           INTEGER NOT NULL,
    closed_at_ms              INTEGER NOT NULL,
    closed_offset_s           INTEGER NOT NULL,
    currency                  TEXT NOT NULL,
    sales                     INTEGER NOT NULL,
    sales_gross_minor         INTEGER NOT NULL,
    sales_tax_minor           INTEGER NOT NULL,
    refunds                   INTEGER NOT NULL,
    refunds_gross_minor       INTEGER NOT NULL,
    refunds_tax_minor         INTEGER NOT NULL,
    quantity_micro            INTEGER NOT NULL,
    -- The drawer: expected = float + cash_sales + paid_in - cash_refunds - paid_out - drops,
    -- difference = counted - expected.
    float_minor               INTEGER NOT NULL,
    cash_sales_minor          INTEGER NOT NULL,
    cash_refunds_minor        INTEGER NOT NULL,
    paid_in_minor             INTEGER NOT NULL,
    paid_out_minor            INTEGER NOT NULL,
    drops_minor               INTEGER NOT NULL,
    expected_minor            INTEGER NOT NULL,
    counted_minor             INTEGER NOT NULL,
    difference_minor          INTEGER NOT NULL,
    opened_without_sale       INTEGER NOT NULL,
    -- The lowest and the highest receipt number of the shift; zero if it gave none.
    receipt_no_first          INTEGER NOT NULL,
    receipt_no_last           INTEGER NOT NULL,
    -- What the till has sold less what came back, since its first sale.
    grand_total_before_minor  INTEGER NOT NULL,
    grand_total_after_minor   INTEGER NOT NULL,
    -- The hash of the store's history just before the report.
    history                   BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX z_reports_by_id ON z_reports (shift_id);
CREATE INDEX z_reports_by_store ON z_reports (store_no, event_no);

-- What a Z report adds up: sales less refunds.
CREATE TABLE z_taxes (
    event_no      INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    tax_group     TEXT NOT NULL,
    tax_rate_ppm  INTEGER NOT NULL,
    gross_minor   INTEGER NOT NULL,
    tax_minor     INTEGER NOT NULL,
    PRIMARY KEY (event_no, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE z_tenders (
    event_no      INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    count         INTEGER NOT NULL,
    amount_minor  INTEGER NOT NULL,
    PRIMARY KEY (event_no, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE z_adjustments (
    event_no      INTEGER NOT NULL,
    position      INTEGER NOT NULL,
    reason        TEXT NOT NULL,
    promotion_id  TEXT,
    count         INTEGER NOT NULL,
    -- Negative in the customers' favour.
    amount_minor  INTEGER NOT NULL,
    PRIMARY KEY (event_no, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE shift_amendments (
    event_no          INTEGER PRIMARY KEY,
    movement_id       BLOB NOT NULL,
    shift_id          BLOB NOT NULL,
    store_no          INTEGER NOT NULL,
    stream_no         INTEGER NOT NULL,
    seq               INTEGER NOT NULL,
    till_id           TEXT NOT NULL,
    z_no              INTEGER NOT NULL,
    operator_id       TEXT,
    approver_id       TEXT,
    amended_at_ms     INTEGER NOT NULL,
    amended_offset_s  INTEGER NOT NULL,
    reason            TEXT NOT NULL,
    note              TEXT NOT NULL,
    -- What the count should have been, if it was the count.
    counted_minor     INTEGER
) STRICT;
CREATE UNIQUE INDEX shift_amendments_by_id ON shift_amendments (movement_id);
CREATE INDEX shift_amendments_by_shift ON shift_amendments (shift_id);

CREATE TABLE day_closes (
    event_no             INTEGER PRIMARY KEY,
    store_no             INTEGER NOT NULL,
    stream_no            INTEGER NOT NULL,
    seq                  INTEGER NOT NULL,
    business_date        INTEGER NOT NULL,
    operator_id          TEXT,
    closed_at_ms         INTEGER NOT NULL,
    closed_offset_s      INTEGER NOT NULL,
    currency             TEXT NOT NULL,
    sales                INTEGER NOT NULL,
    sales_gross_minor    INTEGER NOT NULL,
    sales_tax_minor      INTEGER NOT NULL,
    refunds              INTEGER NOT NULL,
    refunds_gross_minor  INTEGER NOT NULL,
    refunds_tax_minor    INTEGER NOT NULL,
    -- A JSON array of [till, number of the Z report].
    shifts               TEXT NOT NULL
) STRICT;

-- Cash that came into a drawer or left it without a sale.
CREATE TABLE cash_movements (
    event_no        INTEGER PRIMARY KEY,
    movement_id     BLOB NOT NULL,
    shift_id        BLOB NOT NULL,
    store_no        INTEGER NOT NULL,
    stream_no       INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    business_date   INTEGER NOT NULL,
    moved_at_ms     INTEGER NOT NULL,
    moved_offset_s  INTEGER NOT NULL,
    till_id         TEXT NOT NULL,
    operator_id     TEXT,
    approver_id     TEXT,
    -- paid_in, paid_out or drop.
    kind            TEXT NOT NULL,
    amount_minor    INTEGER NOT NULL,
    reason          TEXT NOT NULL,
    note            TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX cash_movements_by_id ON cash_movements (movement_id);

-- Stock that came in or went out without a sale.
CREATE TABLE stock_movements (
    event_no        INTEGER PRIMARY KEY,
    movement_id     BLOB NOT NULL,
    store_no        INTEGER NOT NULL,
    stream_no       INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    business_date   INTEGER NOT NULL,
    moved_at_ms     INTEGER NOT NULL,
    moved_offset_s  INTEGER NOT NULL,
    till_id         TEXT NOT NULL,
    operator_id     TEXT,
    -- received and transferred_in add, wasted and transferred_out use.
    kind            TEXT NOT NULL,
    reason          TEXT,
    reference       TEXT NOT NULL,
    -- The store at the other end of a transfer, by its id.
    other_store     TEXT,
    note            TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX stock_movements_by_id ON stock_movements (movement_id);

CREATE TABLE stock_movement_items (
    event_no        INTEGER NOT NULL,
    position        INTEGER NOT NULL,
    item_id         TEXT NOT NULL,
    quantity_micro  INTEGER NOT NULL,
    -- Where it was known how much should come.
    expected_micro  INTEGER,
    PRIMARY KEY (event_no, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE stock_counts (
    event_no          INTEGER PRIMARY KEY,
    movement_id       BLOB NOT NULL,
    store_no          INTEGER NOT NULL,
    stream_no         INTEGER NOT NULL,
    seq               INTEGER NOT NULL,
    business_date     INTEGER NOT NULL,
    began_at_ms       INTEGER NOT NULL,
    began_offset_s    INTEGER NOT NULL,
    counted_at_ms     INTEGER NOT NULL,
    counted_offset_s  INTEGER NOT NULL,
    till_id           TEXT NOT NULL,
    operator_id       TEXT,
    -- What stands in the store's history at or before this place is in the count.
    frontier_epoch    INTEGER NOT NULL,
    frontier_seq      INTEGER NOT NULL,
    note              TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX stock_counts_by_id ON stock_counts (movement_id);

CREATE TABLE stock_count_items (
    event_no        INTEGER NOT NULL,
    position        INTEGER NOT NULL,
    item_id         TEXT NOT NULL,
    counted_micro   INTEGER NOT NULL,
    -- What should have been there; none before the first count.
    expected_micro  INTEGER,
    PRIMARY KEY (event_no, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE sold_out_changes (
    event_no          INTEGER PRIMARY KEY,
    store_no          INTEGER NOT NULL,
    stream_no         INTEGER NOT NULL,
    seq               INTEGER NOT NULL,
    changed_at_ms     INTEGER NOT NULL,
    changed_offset_s  INTEGER NOT NULL,
    -- sku, option or item.
    what              TEXT NOT NULL,
    code              TEXT NOT NULL,
    -- 1 if it is sold out.
    sold_out          INTEGER NOT NULL,
    -- How many are left to sell, where that is counted down.
    remaining         INTEGER,
    till_id           TEXT,
    operator_id       TEXT
) STRICT;

-- What somebody may have to answer for later.
CREATE TABLE audit_marks (
    event_no         INTEGER PRIMARY KEY,
    store_no         INTEGER NOT NULL,
    stream_no        INTEGER NOT NULL,
    seq              INTEGER NOT NULL,
    marked_at_ms     INTEGER NOT NULL,
    marked_offset_s  INTEGER NOT NULL,
    action           TEXT NOT NULL,
    till_id          TEXT,
    operator_id      TEXT,
    approver_id      TEXT,
    reason           TEXT,
    subject          TEXT NOT NULL,
    detail           TEXT NOT NULL,
    -- What it was worth, in minor units of the store's currency.
    amount_minor     INTEGER
) STRICT;

-- Effects. As with sales, each is a counter that only moves in the database transaction that applies the event.
-- A refund counts on its own business date. Sales less refunds: gross_minor - refund_gross_minor.
ALTER TABLE day_totals ADD COLUMN refunds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE day_totals ADD COLUMN refund_gross_minor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE day_totals ADD COLUMN refund_tax_minor INTEGER NOT NULL DEFAULT 0;

-- Stock added per epoch: the other half of the counter of which stock_used is one. Wasted and transferred stock is used.
CREATE TABLE stock_added (
    stream_no      INTEGER NOT NULL,
    business_date  INTEGER NOT NULL,
    item_id        TEXT NOT NULL,
    added_micro    INTEGER NOT NULL,
    PRIMARY KEY (stream_no, business_date, item_id)
) STRICT, WITHOUT ROWID;

-- What came back of a sale of the store, over all its refunds.
CREATE TABLE refunded_sales (
    store_no       INTEGER NOT NULL,
    sale_id        BLOB NOT NULL,
    refunds        INTEGER NOT NULL,
    gross_minor    INTEGER NOT NULL,
    tax_minor      INTEGER NOT NULL,
    -- The sale, once it is applied.
    sale_event_no  INTEGER,
    -- 1 if more came back than was sold: of the whole, or of a line.
    is_over        INTEGER NOT NULL,
    PRIMARY KEY (store_no, sale_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX refunded_sales_over ON refunded_sales (store_no) WHERE is_over = 1;

CREATE TABLE refunded_lines (
    store_no        INTEGER NOT NULL,
    sale_id         BLOB NOT NULL,
    -- The position of the line in the sale, from 0.
    sale_line       INTEGER NOT NULL,
    quantity_micro  INTEGER NOT NULL,
    gross_minor     INTEGER NOT NULL,
    PRIMARY KEY (store_no, sale_id, sale_line)
) STRICT, WITHOUT ROWID;

-- Rows of refunded_sales whose sale is not applied.
ALTER TABLE store_state ADD COLUMN refunds_waiting INTEGER NOT NULL DEFAULT 0;
CREATE INDEX store_state_waiting ON store_state (store_no) WHERE refunds_waiting > 0;

-- The numbers of the Z reports, as unbroken runs: more than one run of a till means missing reports.
CREATE TABLE z_runs (
    store_no  INTEGER NOT NULL,
    till_id   TEXT NOT NULL,
    first_no  INTEGER NOT NULL,
    last_no   INTEGER NOT NULL,
    PRIMARY KEY (store_no, till_id, first_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX z_gaps ON z_runs (store_no) WHERE first_no > 1;

-- Z reports whose number an earlier one of the same till has too.
CREATE TABLE duplicate_z (
    store_no  INTEGER NOT NULL,
    till_id   TEXT NOT NULL,
    z_no      INTEGER NOT NULL,
    event_no  INTEGER NOT NULL,
    PRIMARY KEY (store_no, till_id, z_no, event_no)
) STRICT, WITHOUT ROWID;

-- Events of a kind that the program did not know when they came. A later program applies them.
CREATE INDEX parked_unknown ON parked (event_no) WHERE reason = 'unknown_kind';

-- Events that were parked and have been applied since.
CREATE TABLE parked_applied (
    parked_no      INTEGER PRIMARY KEY,
    store_no       INTEGER NOT NULL,
    event_no       INTEGER NOT NULL,
    parked_at_ms   INTEGER NOT NULL,
    reason         TEXT NOT NULL,
    applied_at_ms  INTEGER NOT NULL
) STRICT;

-- For people. Amounts stay in minor units; dates and times become text, identifiers become readable.

DROP VIEW v_day_totals;
CREATE VIEW v_day_totals AS
SELECT stores.store_id, date(business_date * 86400, 'unixepoch') AS business_date,
       currency, sales, lines, quantity_micro, gross_minor, tax_minor, net_minor,
       refunds, refund_gross_minor, refund_tax_minor,
       -- Sales less refunds, tax included, and the tax in it.
       gross_minor - refund_gross_minor AS turnover_minor, tax_minor - refund_tax_minor AS turnover_tax_minor
FROM day_totals JOIN stores USING (store_no);

CREATE VIEW v_refunds AS
SELECT stores.store_id, date(refunds.business_date * 86400, 'unixepoch') AS business_date,
       datetime(refunds.refunded_at_ms / 1000 + refunds.refunded_offset_s, 'unixepoch') AS refunded_at_local,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(refunds.refund_id, 1, 4)), hex(substr(refunds.refund_id, 5, 2)),
           hex(substr(refunds.refund_id, 7, 2)), hex(substr(refunds.refund_id, 9, 2)), hex(substr(refunds.refund_id, 11, 6)))) AS refund_id,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(refunds.sale_id, 1, 4)), hex(substr(refunds.sale_id, 5, 2)),
           hex(substr(refunds.sale_id, 7, 2)), hex(substr(refunds.sale_id, 9, 2)), hex(substr(refunds.sale_id, 11, 6)))) AS sale_id,
       sales.event_no IS NOT NULL AS sale_is_known, refunds.kind, refunds.till_id,
       CASE WHEN refunds.shift_id IS NOT NULL THEN
           lower(printf('%s-%s-%s-%s-%s', hex(substr(refunds.shift_id, 1, 4)), hex(substr(refunds.shift_id, 5, 2)),
           hex(substr(refunds.shift_id, 7, 2)), hex(substr(refunds.shift_id, 9, 2)), hex(substr(refunds.shift_id, 11, 6)))) END AS shift_id,
       refunds.operator_id, refunds.approver_id, refunds.reason, refunds.note, refunds.receipt_no, refunds.currency,
       refunds.lines, refunds.quantity_micro, refunds.gross_minor, refunds.tax_minor, refunds.net_minor,
       refunds.cash_rounding_minor, refunds.points, refunds.tenders,
       printf('%016x', streams.epoch) AS epoch, refunds.seq, refunds.event_no
FROM refunds JOIN stores USING (store_no) JOIN streams USING (stream_no)
    LEFT JOIN sales ON sales.sale_id = refunds.sale_id AND sales.store_no = refunds.store_no;

CREATE VIEW v_refund_lines AS
SELECT stores.store_id, date(refunds.business_date * 86400, 'unixepoch') AS business_date,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(refunds.refund_id, 1, 4)), hex(substr(refunds.refund_id, 5, 2)),
           hex(substr(refunds.refund_id, 7, 2)), hex(substr(refunds.refund_id, 9, 2)), hex(substr(refunds.refund_id, 11, 6)))) AS refund_id,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(refunds.sale_id, 1, 4)), hex(substr(refunds.sale_id, 5, 2)),
           hex(substr(refunds.sale_id, 7, 2)), hex(substr(refunds.sale_id, 9, 2)), hex(substr(refunds.sale_id, 11, 6)))) AS sale_id,
       (refund_lines.line_no & 1023) + 1 AS position, refund_lines.sale_line + 1 AS sale_position,
       refund_lines.sku, refund_lines.name, refund_lines.units, refund_lines.quantity_micro, refunds.currency,
       refund_lines.gross_minor, refund_lines.tax_minor, refund_lines.tax_group, refund_lines.tax_rate_ppm,
       refund_lines.goods, refund_lines.restocked
FROM refund_lines JOIN refunds ON refunds.event_no = refund_lines.line_no >> 10 JOIN stores USING (store_no);

-- Sales of which more came back than was sold.
CREATE VIEW v_over_refunds AS
SELECT stores.store_id,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(refunded_sales.sale_id, 1, 4)), hex(substr(refunded_sales.sale_id, 5, 2)),
           hex(substr(refunded_sales.sale_id, 7, 2)), hex(substr(refunded_sales.sale_id, 9, 2)), hex(substr(refunded_sales.sale_id, 11, 6)))) AS sale_id,
       sales.currency, sales.gross_minor AS sold_minor, refunded_sales.gross_minor AS refunded_minor, refunded_sales.refunds
FROM refunded_sales JOIN stores USING (store_no) JOIN sales ON sales.event_no = refunded_sales.sale_event_no
WHERE refunded_sales.is_over = 1;

-- A row for each shift: one that is open has no report, and one whose opening never arrived has what its report says.
CREATE VIEW v_shifts AS
SELECT stores.store_id, date(ifnull(z.business_date, o.business_date) * 86400, 'unixepoch') AS business_date,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(id, 1, 4)), hex(substr(id, 5, 2)),
           hex(substr(id, 7, 2)), hex(substr(id, 9, 2)), hex(substr(id, 11, 6)))) AS shift_id,
       ifnull(z.till_id, o.till_id) AS till_id, z.z_no, ifnull(z.operator_id, o.operator_id) AS operator_id, z.closed_by,
       datetime(ifnull(z.opened_at_ms, o.opened_at_ms) / 1000 + ifnull(z.opened_offset_s, o.opened_offset_s),
           'unixepoch') AS opened_at_local,
       datetime(z.closed_at_ms / 1000 + z.closed_offset_s, 'unixepoch') AS closed_at_local,
       ifnull(z.currency, o.currency) AS currency, ifnull(z.float_minor, o.float_minor) AS float_minor,
       z.sales, z.sales_gross_minor, z.sales_tax_minor, z.refunds, z.refunds_gross_minor, z.refunds_tax_minor,
       z.quantity_micro, z.cash_sales_minor, z.cash_refunds_minor, z.paid_in_minor, z.paid_out_minor, z.drops_minor,
       z.expected_minor, z.counted_minor, z.difference_minor, z.opened_without_sale, z.receipt_no_first, z.receipt_no_last,
       z.grand_total_before_minor, z.grand_total_after_minor,
       (SELECT count(*) FROM shift_amendments AS a WHERE a.shift_id = z.shift_id AND a.store_no = z.store_no) AS amendments,
       o.event_no AS opened_event_no, z.event_no AS closed_event_no
FROM (SELECT shift_id AS id, store_no FROM shift_opens UNION SELECT shift_id, store_no FROM z_reports) AS shifts
    JOIN stores USING (store_no)
    LEFT JOIN shift_opens AS o ON o.shift_id = id AND o.store_no = shifts.store_no
    LEFT JOIN z_reports AS z ON z.shift_id = id AND z.store_no = shifts.store_no;

CREATE VIEW v_z_taxes AS
SELECT stores.store_id, z_reports.till_id, z_reports.z_no,
       date(z_reports.business_date * 86400, 'unixepoch') AS business_date,
       z_taxes.tax_group, z_taxes.tax_rate_ppm, z_reports.currency, z_taxes.gross_minor, z_taxes.tax_minor
FROM z_taxes JOIN z_reports USING (event_no) JOIN stores USING (store_no);

CREATE VIEW v_z_tenders AS
SELECT stores.store_id, z_reports.till_id, z_reports.z_no,
       date(z_reports.business_date * 86400, 'unixepoch') AS business_date,
       z_tenders.kind, z_tenders.count, z_reports.currency, z_tenders.amount_minor
FROM z_tenders JOIN z_reports USING (event_no) JOIN stores USING (store_no);

CREATE VIEW v_z_adjustments AS
SELECT stores.store_id, z_reports.till_id, z_reports.z_no,
       date(z_reports.business_date * 86400, 'unixepoch') AS business_date,
       z_adjustments.reason, z_adjustments.promotion_id, z_adjustments.count, z_reports.currency,
       z_adjustments.amount_minor
FROM z_adjustments JOIN z_reports USING (event_no) JOIN stores USING (store_no);

CREATE VIEW v_shift_amendments AS
SELECT stores.store_id,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(shift_id, 1, 4)), hex(substr(shift_id, 5, 2)),
           hex(substr(shift_id, 7, 2)), hex(substr(shift_id, 9, 2)), hex(substr(shift_id, 11, 6)))) AS shift_id, till_id, z_no,
       datetime(amended_at_ms / 1000 + amended_offset_s, 'unixepoch') AS amended_at_local,
       operator_id, approver_id, reason, note, counted_minor, event_no
FROM shift_amendments JOIN stores USING (store_no);

CREATE VIEW v_day_closes AS
SELECT stores.store_id, date(business_date * 86400, 'unixepoch') AS business_date,
       datetime(closed_at_ms / 1000 + closed_offset_s, 'unixepoch') AS closed_at_local, operator_id, currency,
       sales, sales_gross_minor, sales_tax_minor, refunds, refunds_gross_minor, refunds_tax_minor, shifts, event_no
FROM day_closes JOIN stores USING (store_no);

CREATE VIEW v_cash_movements AS
SELECT stores.store_id, date(business_date * 86400, 'unixepoch') AS business_date,
       datetime(moved_at_ms / 1000 + moved_offset_s, 'unixepoch') AS moved_at_local,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(movement_id, 1, 4)), hex(substr(movement_id, 5, 2)),
           hex(substr(movement_id, 7, 2)), hex(substr(movement_id, 9, 2)), hex(substr(movement_id, 11, 6)))) AS movement_id,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(shift_id, 1, 4)), hex(substr(shift_id, 5, 2)),
           hex(substr(shift_id, 7, 2)), hex(substr(shift_id, 9, 2)), hex(substr(shift_id, 11, 6)))) AS shift_id,
       till_id, operator_id, approver_id, kind, amount_minor, reason, note, event_no
FROM cash_movements JOIN stores USING (store_no);

-- A row for each item.
CREATE VIEW v_stock_movements AS
SELECT stores.store_id, date(business_date * 86400, 'unixepoch') AS business_date,
       datetime(moved_at_ms / 1000 + moved_offset_s, 'unixepoch') AS moved_at_local,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(movement_id, 1, 4)), hex(substr(movement_id, 5, 2)),
           hex(substr(movement_id, 7, 2)), hex(substr(movement_id, 9, 2)), hex(substr(movement_id, 11, 6)))) AS movement_id,
       kind, item_id, quantity_micro, expected_micro, reason, reference, other_store, till_id, operator_id, note, event_no
FROM stock_movements JOIN stock_movement_items USING (event_no) JOIN stores USING (store_no);

CREATE VIEW v_stock_counts AS
SELECT stores.store_id, date(business_date * 86400, 'unixepoch') AS business_date,
       datetime(counted_at_ms / 1000 + counted_offset_s, 'unixepoch') AS counted_at_local,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(movement_id, 1, 4)), hex(substr(movement_id, 5, 2)),
           hex(substr(movement_id, 7, 2)), hex(substr(movement_id, 9, 2)), hex(substr(movement_id, 11, 6)))) AS movement_id,
       item_id, counted_micro, expected_micro, counted_micro - expected_micro AS difference_micro,
       printf('%016x', frontier_epoch) AS frontier_epoch, frontier_seq, till_id, operator_id, note, event_no
FROM stock_counts JOIN stock_count_items USING (event_no) JOIN stores USING (store_no);

CREATE VIEW v_stock_added AS
SELECT stores.store_id, date(stock_added.business_date * 86400, 'unixepoch') AS business_date, stock_added.item_id,
       sum(stock_added.added_micro) AS added_micro
FROM stock_added JOIN streams USING (stream_no) JOIN stores USING (store_no)
GROUP BY stores.store_id, stock_added.business_date, stock_added.item_id;

CREATE VIEW v_sold_out AS
SELECT stores.store_id, datetime(changed_at_ms / 1000 + changed_offset_s, 'unixepoch') AS changed_at_local,
       what, code, sold_out, remaining, till_id, operator_id, event_no
FROM sold_out_changes JOIN stores USING (store_no);

CREATE VIEW v_audit AS
SELECT stores.store_id, datetime(marked_at_ms / 1000 + marked_offset_s, 'unixepoch') AS marked_at_local,
       action, till_id, operator_id, approver_id, reason, subject, detail, amount_minor,
       printf('%016x', streams.epoch) AS epoch, seq, event_no
FROM audit_marks JOIN stores USING (store_no) JOIN streams USING (stream_no);
