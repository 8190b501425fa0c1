-- Roll-ups: what was sold and what came back, summed up off the path of a sale. For reading, start with the views at the end:
-- v_rollup_hours, v_rollup_items, v_rollup_promotions.
--
-- They hold the sums of all applied events up to rollup_state.through, without those of which a row of rollup_marks says that
-- their store's date is to be summed up anew.

-- Takes so many numbers for events, all behind those taken before and none below `lowest`. The first of them is locked to the
-- end of the transaction, in a range of locks of its own, which tells others that events of these numbers may come yet.
CREATE OR REPLACE FUNCTION take_event_numbers(how_many bigint, lowest bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    taken bigint;
BEGIN
    PERFORM pg_advisory_lock(hashtext('breakwater event numbers'));
    SELECT greatest(last_value + 1, lowest) INTO taken FROM event_numbers;
    PERFORM pg_advisory_xact_lock_shared((1::bigint << 62) + taken);
    PERFORM setval('event_numbers', taken + how_many - 1);
    PERFORM pg_advisory_unlock(hashtext('breakwater event numbers'));
    RETURN taken;
END
$$;

-- The number up to which every event is either there for whoever reads after this, or will never come. The order matters:
-- numbers are locked before the sequence moves, so what the sequence says first is either locked or over.
CREATE FUNCTION settled_event_no() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    newest bigint;
    in_flight bigint;
BEGIN
    SELECT last_value INTO newest FROM event_numbers;
    SELECT min((classid::bigint << 32 | objid::bigint) - (1::bigint << 62)) INTO in_flight FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint BETWEEN 1 << 30 AND (1::bigint << 31) - 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN least(newest, in_flight - 1);
END
$$;

-- One row. Whoever writes roll-ups counts version up in the same database transaction, and finds it as it was read.
CREATE TABLE rollup_state (
    id          integer PRIMARY KEY CHECK (id = 1),
    -- The number of the newest event that is in the sums.
    through     bigint NOT NULL,
    version     bigint NOT NULL,
    -- Which of several servers does it, and until when; only to save the others the work.
    worker      bigint NOT NULL,
    until_ms    bigint NOT NULL,
    -- Business dates before it cannot be summed up anew: what they follow from was dropped.
    facts_from  date
) WITH (fillfactor = 50);
INSERT INTO rollup_state VALUES (1, 0, 0, 0, 0, NULL);

-- Dates of stores that are to be summed up anew, as soon as `through` has come to event_no.
CREATE TABLE rollup_marks (
    mark_no        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    store_no       bigint NOT NULL,
    business_date  date NOT NULL,
    event_no       bigint NOT NULL
);
CREATE INDEX rollup_marks_in_order ON rollup_marks (business_date, store_no);

-- A refund counts on its own date and hour. hour is that of the store's clock, 0 to 23.
CREATE TABLE rollup_hours (
    store_no            bigint NOT NULL,
    business_date       date NOT NULL,
    hour                integer NOT NULL,
    currency            text COLLATE "C" NOT NULL,
    sales               bigint NOT NULL,
    lines               bigint NOT NULL,
    quantity_micro      bigint NOT NULL,
    gross_minor         bigint NOT NULL,
    tax_minor           bigint NOT NULL,
    net_minor           bigint NOT NULL,
    refunds             bigint NOT NULL,
    refund_gross_minor  bigint NOT NULL,
    refund_tax_minor    bigint NOT NULL,
    PRIMARY KEY (store_no, business_date, hour, currency)
) WITH (fillfactor = 80);
CREATE INDEX rollup_hours_by_date ON rollup_hours (business_date);

CREATE TABLE rollup_items (
    store_no               bigint NOT NULL,
    business_date          date NOT NULL,
    hour                   integer NOT NULL,
    sku                    text COLLATE "C" NOT NULL,
    currency               text COLLATE "C" NOT NULL,
    lines                  bigint NOT NULL,
    quantity_micro         bigint NOT NULL,
    gross_minor            bigint NOT NULL,
    -- What promotions, overrides and the like changed; below zero in the customers' favour.
    adjustment_minor       bigint NOT NULL,
    tax_minor              bigint NOT NULL,
    refund_lines           bigint NOT NULL,
    refund_quantity_micro  bigint NOT NULL,
    refund_gross_minor     bigint NOT NULL,
    refund_tax_minor       bigint NOT NULL,
    PRIMARY KEY (store_no, business_date, hour, sku, currency)
) WITH (fillfactor = 80);
CREATE INDEX rollup_items_by_date ON rollup_items (business_date);

CREATE TABLE rollup_promotions (
    store_no       bigint NOT NULL,
    business_date  date NOT NULL,
    promotion_id   text COLLATE "C" NOT NULL,
    currency       text COLLATE "C" NOT NULL,
    -- Sales in which it changed a price.
    sales          bigint NOT NULL,
    -- How often it changed the price of a line.
    times          bigint NOT NULL,
    -- What it gave away, above zero in the customers' favour.
    given_minor    bigint NOT NULL,
    PRIMARY KEY (store_no, business_date, promotion_id, currency)
) WITH (fillfactor = 80);
CREATE INDEX rollup_promotions_by_date ON rollup_promotions (business_date);

-- The events of a message that have no rows.
CREATE INDEX parked_by_event ON parked (event_no) WHERE event_no IS NOT NULL;

CREATE VIEW v_rollup_hours AS
SELECT stores.store_id, business_date, hour, currency,
       sales, lines, quantity_micro, gross_minor, tax_minor, net_minor,
       refunds, refund_gross_minor, refund_tax_minor, gross_minor - refund_gross_minor AS turnover_minor
FROM rollup_hours JOIN stores USING (store_no);

CREATE VIEW v_rollup_items AS
SELECT stores.store_id, business_date, hour, sku, currency,
       lines, quantity_micro, gross_minor, adjustment_minor, tax_minor,
       refund_lines, refund_quantity_micro, refund_gross_minor, refund_tax_minor
FROM rollup_items JOIN stores USING (store_no);

CREATE VIEW v_rollup_promotions AS
SELECT stores.store_id, business_date, promotion_id, currency, sales, times, given_minor
FROM rollup_promotions JOIN stores USING (store_no);
