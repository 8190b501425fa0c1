-- Roll-ups: what was sold and what came back, summed up off the path of a sale. For reading, start with the views at the end:
-- v_rollup_hours, v_rollup_items, v_rollup_promotions.
--
-- They hold the sums of all applied events up to rollup_state.through, without those of which a row of rollup_marks says that
-- their store's date is to be summed up anew.

-- One row. Whoever writes roll-ups counts version up in the same database transaction, and finds it as it was read.
CREATE TABLE rollup_state (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    -- The number of the newest event that is in the sums.
    through     INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    -- Which of several servers does it, and until when; only to save the others the work.
    worker      INTEGER NOT NULL,
    until_ms    INTEGER NOT NULL,
    -- Business dates before it cannot be summed up anew: what they follow from was dropped.
    facts_from  INTEGER
) STRICT;
INSERT INTO rollup_state VALUES (1, 0, 0, 0, 0, NULL);

-- Dates of stores that are to be summed up anew, as soon as `through` has come to event_no.
CREATE TABLE rollup_marks (
    mark_no        INTEGER PRIMARY KEY AUTOINCREMENT,
    store_no       INTEGER NOT NULL,
    business_date  INTEGER NOT NULL,
    event_no       INTEGER NOT NULL
) STRICT;
CREATE INDEX rollup_marks_in_order ON rollup_marks (business_date, store_no);

-- A refund counts on its own date and hour. hour is that of the store's clock, 0 to 23.
CREATE TABLE rollup_hours (
    store_no            INTEGER NOT NULL,
    business_date       INTEGER NOT NULL,
    hour                INTEGER NOT NULL,
    currency            TEXT NOT NULL,
    sales               INTEGER NOT NULL,
    lines               INTEGER NOT NULL,
    quantity_micro      INTEGER NOT NULL,
    gross_minor         INTEGER NOT NULL,
    tax_minor           INTEGER NOT NULL,
    net_minor           INTEGER NOT NULL,
    refunds             INTEGER NOT NULL,
    refund_gross_minor  INTEGER NOT NULL,
    refund_tax_minor    INTEGER NOT NULL,
    PRIMARY KEY (store_no, business_date, hour, currency)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollup_hours_by_date ON rollup_hours (business_date);

CREATE TABLE rollup_items (
    store_no               INTEGER NOT NULL,
    business_date          INTEGER NOT NULL,
    hour                   INTEGER NOT NULL,
    sku                    TEXT NOT NULL,
    currency               TEXT NOT NULL,
    lines                  INTEGER NOT NULL,
    quantity_micro         INTEGER NOT NULL,
    gross_minor            INTEGER NOT NULL,
    -- What promotions, overrides and the like changed; below zero in the customers' favour.
    adjustment_minor       INTEGER NOT NULL,
    tax_minor              INTEGER NOT NULL,
    refund_lines           INTEGER NOT NULL,
    refund_quantity_micro  INTEGER NOT NULL,
    refund_gross_minor     INTEGER NOT NULL,
    refund_tax_minor       INTEGER NOT NULL,
    PRIMARY KEY (store_no, business_date, hour, sku, currency)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollup_items_by_date ON rollup_items (business_date);

CREATE TABLE rollup_promotions (
    store_no       INTEGER NOT NULL,
    business_date  INTEGER NOT NULL,
    promotion_id   TEXT NOT NULL,
    currency       TEXT NOT NULL,
    -- Sales in which it changed a price.
    sales          INTEGER NOT NULL,
    -- How often it changed the price of a line.
    times          INTEGER NOT NULL,
    -- What it gave away, above zero in the customers' favour.
    given_minor    INTEGER NOT NULL,
    PRIMARY KEY (store_no, business_date, promotion_id, currency)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollup_promotions_by_date ON rollup_promotions (business_date);

-- The events of a message that have no rows.
CREATE INDEX parked_by_event ON parked (event_no) WHERE event_no IS NOT NULL;

CREATE VIEW v_rollup_hours AS
SELECT stores.store_id, date(business_date * 86400, 'unixepoch') AS business_date, hour, currency,
       sales, lines, quantity_micro, gross_minor, tax_minor, net_minor,
       refunds, refund_gross_minor, refund_tax_minor, gross_minor - refund_gross_minor AS turnover_minor
FROM rollup_hours JOIN stores USING (store_no);

CREATE VIEW v_rollup_items AS
SELECT stores.store_id, date(business_date * 86400, 'unixepoch') AS business_date, hour, sku, currency,
       lines, quantity_micro, gross_minor, adjustment_minor, tax_minor,
       refund_lines, refund_quantity_micro, refund_gross_minor, refund_tax_minor
FROM rollup_items JOIN stores USING (store_no);

CREATE VIEW v_rollup_promotions AS
SELECT stores.store_id, date(business_date * 86400, 'unixepoch') AS business_date, promotion_id, currency,
       sales, times, given_minor
FROM rollup_promotions JOIN stores USING (store_no);
