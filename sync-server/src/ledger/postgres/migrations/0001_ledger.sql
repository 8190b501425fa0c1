-- The central ledger in PostgreSQL. For reading, start with the views at the end: v_sales, v_sale_lines, v_day_totals,
-- v_stock_used, v_refunds, v_shifts and the others.
--
-- Amounts are integers of the currency's minor unit, quantities integers of a millionth, times milliseconds since 1970 (UTC)
-- with the store's offset in seconds. Every event has a number, event_no, that grows with time in each store; its upper
-- part, event_no >> 40, is the month of its arrival, counted from January 2020.
--
-- The large tables are partitioned by month, so that a month can be dropped: what was sold by business date, messages by
-- arrival. They carry no index that a sale would have to keep up, but one: fact_ids. Rows of a date that no month is kept
-- for, such as one of a wrong clock, lie in the partition whose name ends with _other.
--
-- Whoever writes for a store holds the store's row of store_state; all that a group changes belongs to the stores that it
-- holds. So two servers on one database take turns store by store, in one order, and never wait for each other in a circle.

CREATE FUNCTION hex16(number bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN lpad(to_hex(number), 16, '0');

-- The time on the store's clock; none if the clock showed what no calendar has.
CREATE FUNCTION local_time(at_ms bigint, offset_s bigint) RETURNS timestamp LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN at_ms BETWEEN -62135596800000 AND 253402300799000 AND offset_s BETWEEN -86400 AND 86400
        THEN timestamp '1970-01-01' + (at_ms / 1000 + offset_s) * interval '1 second' END;

CREATE TABLE stores (
    store_no        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    store_id        text COLLATE "C" NOT NULL UNIQUE,
    name            text NOT NULL,
    status          text NOT NULL CHECK (status IN ('active', 'revoked')),
    -- What the store's secret is checked against; none until it has enrolled.
    secret_hash     bytea,
    added_at_ms     bigint NOT NULL,
    enrolled_at_ms  bigint
);

CREATE TABLE claim_codes (
    code_hash      bytea PRIMARY KEY,
    store_no       bigint NOT NULL REFERENCES stores,
    created_at_ms  bigint NOT NULL,
    expires_at_ms  bigint NOT NULL,
    used_at_ms     bigint
);
CREATE INDEX claim_codes_by_store ON claim_codes (store_no);

-- One row. It counts changes of stores and secrets, so that a running server notices what another process changed. Whoever
-- changes the registry holds it.
CREATE TABLE registry (
    id       integer PRIMARY KEY CHECK (id = 1),
    version  bigint NOT NULL
);
INSERT INTO registry VALUES (1, 0);

-- What a store said of itself last, and how much of it has been applied. Half of each page is left free, so that a row is
-- rewritten beside itself, and no index hears of it.
CREATE TABLE store_state (
    store_no           bigint PRIMARY KEY REFERENCES stores,
    last_contact_ms    bigint NOT NULL,
    applied_events     bigint NOT NULL DEFAULT 0,
    applied_sales      bigint NOT NULL DEFAULT 0,
    parked_events      bigint NOT NULL DEFAULT 0,
    forked_events      bigint NOT NULL DEFAULT 0,
    -- Rows of refunded_sales whose sale is not applied.
    refunds_waiting    bigint NOT NULL DEFAULT 0,
    last_sale_at_ms    bigint,
    -- From the last Hello or Heartbeat.
    health_at_ms       bigint,
    clock_ms           bigint,
    clock_offset_s     bigint,
    clock_ahead_ms     bigint,
    protocol_version   bigint,
    agent_version      text,
    epoch              bigint,
    head_seq           bigint,
    outbox_events      bigint,
    outbox_oldest_ms   bigint,
    disk_free_bytes    bigint,
    -- applied_events + parked_events when it was said: what came since is off the outbox.
    taken_at_health    bigint
) WITH (fillfactor = 50);
CREATE INDEX store_state_waiting ON store_state (store_no) WHERE refunds_waiting > 0;

-- Numbers of epochs are taken by the handful, to save asking for each.
CREATE SEQUENCE stream_numbers INCREMENT BY 32;

-- One epoch of one store, and the cursor in it: every event up to applied_seq is applied or parked.
CREATE TABLE streams (
    stream_no          bigint PRIMARY KEY,
    store_no           bigint NOT NULL REFERENCES stores,
    epoch              bigint NOT NULL,
    applied_seq        bigint NOT NULL,
    applied_hash       bytea NOT NULL,
    -- The hash before the first event.
    base_hash          bytea NOT NULL,
    first_seen_ms      bigint NOT NULL,
    -- The newest event that the store has ever reported there.
    reported_head      bigint NOT NULL,
    -- From its first event, EpochOpened.
    opened_at_ms       bigint,
    opened_why         text,
    previous_epoch     bigint,
    previous_seq       bigint,
    previous_hash      bytea,
    -- How many epochs name this one as the one before them, and the earliest place at which they go on.
    successors         bigint NOT NULL,
    continued_at       bigint NOT NULL,
    -- What indexes look at, kept apart from what moves with each message: it seldom changes.
    went_back          boolean GENERATED ALWAYS AS (applied_seq > continued_at) STORED,
    is_behind          boolean GENERATED ALWAYS AS (reported_head > applied_seq) STORED,
    UNIQUE (store_no, epoch)
) WITH (fillfactor = 50);
CREATE INDEX streams_went_back ON streams (store_no) WHERE went_back;
CREATE INDEX streams_forked ON streams (store_no) WHERE successors > 1;
CREATE INDEX streams_behind ON streams (store_no) WHERE is_behind;

CREATE SEQUENCE event_numbers;

-- Takes so many numbers for events, all behind those taken before and none below `lowest`. The lock is held for this moment
-- only, and not to the end of the transaction.
CREATE FUNCTION take_event_numbers(how_many bigint, lowest bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    taken bigint;
BEGIN
    PERFORM pg_advisory_lock(hashtext('breakwater event numbers'));
    SELECT greatest(last_value + 1, lowest) INTO taken FROM event_numbers;
    PERFORM setval('event_numbers', taken + how_many - 1);
    PERFORM pg_advisory_unlock(hashtext('breakwater event numbers'));
    RETURN taken;
END
$$;

-- What a message brought: event first_event_no + n is number first_seq + n of the stream, and stands at place
-- frame_skip + n in the frame.
CREATE TABLE batches (
    first_event_no  bigint PRIMARY KEY,
    stream_no       bigint NOT NULL,
    first_seq       bigint NOT NULL,
    events          bigint NOT NULL,
    received_at_ms  bigint NOT NULL,
    -- Events at the frame's beginning that were there already.
    frame_skip      bigint NOT NULL,
    -- BLAKE3 over the history up to the last event; those before it follow from the frame.
    last_hash       bytea NOT NULL,
    -- The message as it came over the wire, compressed: it holds every event's bytes as the store committed them.
    frame           bytea NOT NULL
) PARTITION BY RANGE (first_event_no);
CREATE TABLE batches_other PARTITION OF batches DEFAULT;
-- A frame is compressed already.
ALTER TABLE batches ALTER COLUMN frame SET STORAGE EXTERNAL;
ALTER TABLE batches_other ALTER COLUMN frame SET STORAGE EXTERNAL;
CREATE INDEX batches_by_place ON batches (stream_no, first_seq);

-- The ids of all facts that happen once, whatever a till says again. Sales are kind 0.
CREATE TABLE fact_ids (
    id        uuid NOT NULL,
    kind      smallint NOT NULL,
    event_no  bigint NOT NULL,
    store_no  bigint NOT NULL,
    PRIMARY KEY (id, kind)
);

CREATE TABLE sales (
    event_no            bigint NOT NULL,
    sale_id             uuid NOT NULL,
    store_no            bigint NOT NULL,
    stream_no           bigint NOT NULL,
    seq                 bigint NOT NULL,
    business_date       date NOT NULL,
    sold_at_ms          bigint NOT NULL,
    sold_offset_s       integer NOT NULL,
    till_id             text NOT NULL,
    operator_id         text,
    channel             text NOT NULL,
    member_tag          text,
    receipt_no          bigint NOT NULL,
    pickup_no           bigint NOT NULL,
    currency            text NOT NULL,
    lines               integer NOT NULL,
    quantity_micro      bigint NOT NULL,
    gross_minor         bigint NOT NULL,
    tax_minor           bigint NOT NULL,
    net_minor           bigint NOT NULL,
    change_minor        bigint NOT NULL,
    -- A JSON array of [kind, amount handed over].
    tenders             text NOT NULL,
    price_book_version  text,
    -- Where an imported sale was read from.
    imported_source     text,
    imported_reference  text
) PARTITION BY RANGE (business_date);
CREATE TABLE sales_other PARTITION OF sales DEFAULT;
-- Rows lie in the order of their events, so a summary of each megabyte finds them; a sale pays nothing for it.
CREATE INDEX sales_by_event ON sales USING brin (event_no) WITH (autosummarize = on);

CREATE TABLE sale_lines (
    -- 1024 * event_no of the sale + position of the line, from 0.
    line_no           bigint NOT NULL,
    -- That of the sale.
    business_date     date NOT NULL,
    sku               text NOT NULL,
    name              text NOT NULL,
    quantity_micro    bigint NOT NULL,
    unit_price_minor  bigint NOT NULL,
    gross_minor       bigint NOT NULL,
    tax_minor         bigint NOT NULL,
    tax_group         text NOT NULL,
    tax_rate_ppm      bigint NOT NULL,
    -- The sum of what changed the price; the reasons stand in the event.
    adjustment_minor  bigint NOT NULL,
    -- A JSON array of the codes of the chosen options; none if nothing was chosen.
    options           text
) PARTITION BY RANGE (business_date);
CREATE TABLE sale_lines_other PARTITION OF sale_lines DEFAULT;
CREATE INDEX sale_lines_by_line ON sale_lines USING brin (line_no) WITH (autosummarize = on);

-- What could not be applied. A sale is a fact: it waits here, with the reason, for a person.
CREATE TABLE parked (
    parked_no     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    store_no      bigint NOT NULL,
    stream_no     bigint NOT NULL,
    seq           bigint NOT NULL,
    hash          bytea NOT NULL,
    parked_at_ms  bigint NOT NULL,
    reason        text NOT NULL,
    detail        text NOT NULL,
    -- Its number, if it has a place in the history that the ledger follows: its bytes are in the frame. Else the bytes.
    event_no      bigint,
    bytes         bytea,
    UNIQUE (stream_no, seq, hash)
);
CREATE INDEX parked_by_store ON parked (store_no, parked_no);
-- Events of a kind that the program did not know when they came. A later program applies them.
CREATE INDEX parked_unknown ON parked (event_no) WHERE reason = 'unknown_kind';

-- Events that were parked and have been applied since.
CREATE TABLE parked_applied (
    parked_no      bigint PRIMARY KEY,
    store_no       bigint NOT NULL,
    event_no       bigint NOT NULL,
    parked_at_ms   bigint NOT NULL,
    reason         text NOT NULL,
    applied_at_ms  bigint NOT NULL
);

-- Events that a store no longer held when the ledger asked for them.
CREATE TABLE losses (
    stream_no      bigint NOT NULL,
    from_seq       bigint NOT NULL,
    to_seq         bigint NOT NULL,
    noticed_at_ms  bigint NOT NULL,
    PRIMARY KEY (stream_no, from_seq)
);

-- Effects of the events. Each is a counter that only moves in the database transaction that applies the event.
-- A refund counts on its own business date. Sales less refunds: gross_minor - refund_gross_minor.
CREATE TABLE day_totals (
    store_no            bigint NOT NULL,
    business_date       date NOT NULL,
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
    PRIMARY KEY (store_no, business_date, currency)
) WITH (fillfactor = 80);
CREATE INDEX day_totals_by_date ON day_totals (business_date);

-- Stock used per epoch: the actors of a counter that any replay or reordering leaves alone.
CREATE TABLE stock_used (
    stream_no      bigint NOT NULL,
    business_date  date NOT NULL,
    item_id        text COLLATE "C" NOT NULL,
    used_micro     bigint NOT NULL,
    PRIMARY KEY (stream_no, business_date, item_id)
) PARTITION BY RANGE (business_date);
CREATE TABLE stock_used_other PARTITION OF stock_used DEFAULT;

-- Stock added per epoch: the other half of the counter of which stock_used is one. Wasted and transferred stock is used.
CREATE TABLE stock_added (
    stream_no      bigint NOT NULL,
    business_date  date NOT NULL,
    item_id        text COLLATE "C" NOT NULL,
    added_micro    bigint NOT NULL,
    PRIMARY KEY (stream_no, business_date, item_id)
) PARTITION BY RANGE (business_date);
CREATE TABLE stock_added_other PARTITION OF stock_added DEFAULT;

-- The receipt numbers of the applied sales, as unbroken runs: more than one run of a till means missing receipts.
CREATE TABLE receipt_runs (
    store_no  bigint NOT NULL,
    till_id   text COLLATE "C" NOT NULL,
    first_no  bigint NOT NULL,
    last_no   bigint NOT NULL,
    PRIMARY KEY (store_no, till_id, first_no)
) WITH (fillfactor = 70);
-- A run that does not begin at 1 lies behind a gap.
CREATE INDEX receipt_gaps ON receipt_runs (store_no) WHERE first_no > 1;

-- The newest receipt number that a store has reported of a till.
CREATE TABLE receipt_heads (
    store_no    bigint NOT NULL,
    till_id     text COLLATE "C" NOT NULL,
    receipt_no  bigint NOT NULL,
    PRIMARY KEY (store_no, till_id)
) WITH (fillfactor = 70);

-- Sales and refunds whose receipt number an earlier one of the same till has too.
CREATE TABLE duplicate_receipts (
    store_no    bigint NOT NULL,
    till_id     text COLLATE "C" NOT NULL,
    receipt_no  bigint NOT NULL,
    event_no    bigint NOT NULL,
    PRIMARY KEY (store_no, till_id, receipt_no, event_no)
);

-- The numbers of the Z reports, as unbroken runs: more than one run of a till means missing reports.
CREATE TABLE z_runs (
    store_no  bigint NOT NULL,
    till_id   text COLLATE "C" NOT NULL,
    first_no  bigint NOT NULL,
    last_no   bigint NOT NULL,
    PRIMARY KEY (store_no, till_id, first_no)
) WITH (fillfactor = 70);
CREATE INDEX z_gaps ON z_runs (store_no) WHERE first_no > 1;

-- Z reports whose number an earlier one of the same till has too.
CREATE TABLE duplicate_z (
    store_no  bigint NOT NULL,
    till_id   text COLLATE "C" NOT NULL,
    z_no      bigint NOT NULL,
    event_no  bigint NOT NULL,
    PRIMARY KEY (store_no, till_id, z_no, event_no)
);

-- What came back of a sale of the store, over all its refunds.
CREATE TABLE refunded_sales (
    store_no       bigint NOT NULL,
    sale_id        uuid NOT NULL,
    refunds        bigint NOT NULL,
    gross_minor    bigint NOT NULL,
    tax_minor      bigint NOT NULL,
    -- The sale, once it is applied.
    sale_event_no  bigint,
    -- 1 if more came back than was sold: of the whole, or of a line.
    is_over        smallint NOT NULL,
    PRIMARY KEY (store_no, sale_id)
);
CREATE INDEX refunded_sales_over ON refunded_sales (store_no) WHERE is_over = 1;

CREATE TABLE refunded_lines (
    store_no        bigint NOT NULL,
    sale_id         uuid NOT NULL,
    -- The position of the line in the sale, from 0.
    sale_line       bigint NOT NULL,
    quantity_micro  bigint NOT NULL,
    gross_minor     bigint NOT NULL,
    PRIMARY KEY (store_no, sale_id, sale_line)
);

-- Price books by which stores sell, for computing their prices again; and what came out otherwise.
CREATE TABLE price_books (
    hash         bytea PRIMARY KEY CHECK (length(hash) = 32),
    version      text NOT NULL,
    added_at_ms  bigint NOT NULL,
    -- The document in its canonical form.
    json         bytea NOT NULL
);

-- A sale that does not cost what its price book says. The sale stays as it is.
CREATE TABLE price_differences (
    sale_id         uuid PRIMARY KEY,
    store_no        bigint NOT NULL REFERENCES stores,
    found_at_ms     bigint NOT NULL,
    sold_minor      bigint NOT NULL,
    computed_minor  bigint NOT NULL,
    -- The first thing that differs.
    what            text NOT NULL
);
CREATE INDEX price_differences_by_store ON price_differences (store_no, found_at_ms);

-- What happens at the counter beside sales. Every row has the number of its event, and its place in the store's history.

CREATE TABLE refunds (
    event_no             bigint PRIMARY KEY,
    refund_id            uuid NOT NULL,
    -- The sale of which something came back. It may be parked, or not have arrived.
    sale_id              uuid NOT NULL,
    store_no             bigint NOT NULL,
    stream_no            bigint NOT NULL,
    seq                  bigint NOT NULL,
    -- refund, void or other.
    kind                 text NOT NULL,
    business_date        date NOT NULL,
    refunded_at_ms       bigint NOT NULL,
    refunded_offset_s    bigint NOT NULL,
    till_id              text NOT NULL,
    shift_id             uuid,
    operator_id          text,
    -- Who allowed it, where that was somebody else.
    approver_id          text,
    reason               text NOT NULL,
    note                 text NOT NULL,
    receipt_no           bigint NOT NULL,
    currency             text NOT NULL,
    lines                bigint NOT NULL,
    -- What came back, above zero.
    quantity_micro       bigint NOT NULL,
    gross_minor          bigint NOT NULL,
    tax_minor            bigint NOT NULL,
    net_minor            bigint NOT NULL,
    cash_rounding_minor  bigint NOT NULL,
    points               bigint NOT NULL,
    -- A JSON array of [kind, amount that went back].
    tenders              text NOT NULL
);
CREATE INDEX refunds_by_sale ON refunds (sale_id);
CREATE INDEX refunds_by_store ON refunds (store_no, event_no);

CREATE TABLE refund_lines (
    -- 1024 * event_no of the refund + position of the line, from 0.
    line_no         bigint PRIMARY KEY,
    -- The position of the line in the sale, from 0.
    sale_line       bigint NOT NULL,
    sku             text NOT NULL,
    name            text NOT NULL,
    -- A JSON array: which units of the line, from 0.
    units           text NOT NULL,
    quantity_micro  bigint NOT NULL,
    gross_minor     bigint NOT NULL,
    tax_minor       bigint NOT NULL,
    tax_group       text NOT NULL,
    tax_rate_ppm    bigint NOT NULL,
    -- restocked, wasted or other.
    goods           text NOT NULL,
    -- A JSON array of [item, millionths] that went back into stock; none if nothing did.
    restocked       text
);

CREATE TABLE shift_opens (
    event_no         bigint PRIMARY KEY,
    shift_id         uuid NOT NULL,
    store_no         bigint NOT NULL,
    stream_no        bigint NOT NULL,
    seq              bigint NOT NULL,
    till_id          text NOT NULL,
    operator_id      text,
    business_date    date NOT NULL,
    opened_at_ms     bigint NOT NULL,
    opened_offset_s  bigint NOT NULL,
    currency         text NOT NULL,
    float_minor      bigint NOT NULL
);
CREATE INDEX shift_opens_by_shift ON shift_opens (shift_id);
CREATE INDEX shift_opens_by_store ON shift_opens (store_no, event_no);

-- The Z report of a shift, as the till closed it. What was found out later stands in shift_amendments.
CREATE TABLE z_reports (
    event_no                  bigint PRIMARY KEY,
    shift_id                  uuid NOT NULL,
    store_no                  bigint NOT NULL,
    stream_no                 bigint NOT NULL,
    seq                       bigint NOT NULL,
    till_id                   text NOT NULL,
    -- Per till, from one, without gaps.
    z_no                      bigint NOT NULL,
    operator_id               text,
    closed_by                 text,
    -- On which the shift was opened.
    business_date             date NOT NULL,
    opened_at_ms              bigint NOT NULL,
    opened_offset_s           bigint NOT NULL,
    closed_at_ms              bigint NOT NULL,
    closed_offset_s           bigint NOT NULL,
    currency                  text NOT NULL,
    sales                     bigint NOT NULL,
    sales_gross_minor         bigint NOT NULL,
    sales_tax_minor           bigint NOT NULL,
    refunds                   bigint NOT NULL,
    refunds_gross_minor       bigint NOT NULL,
    refunds_tax_minor         bigint NOT NULL,
    quantity_micro            bigint NOT NULL,
    -- The drawer: expected = float + cash_sales + paid_in - cash_refunds - paid_out - drops,
    -- difference = counted - expected.
    float_minor               bigint NOT NULL,
    cash_sales_minor          bigint NOT NULL,
    cash_refunds_minor        bigint NOT NULL,
    paid_in_minor             bigint NOT NULL,
    paid_out_minor            bigint NOT NULL,
    drops_minor               bigint NOT NULL,
    expected_minor            bigint NOT NULL,
    counted_minor             bigint NOT NULL,
    difference_minor          bigint NOT NULL,
    opened_without_sale       bigint NOT NULL,
    -- The lowest and the highest receipt number of the shift; zero if it gave none.
    receipt_no_first          bigint NOT NULL,
    receipt_no_last           bigint NOT NULL,
    -- What the till has sold less what came back, since its first sale.
    grand_total_before_minor  bigint NOT NULL,
    grand_total_after_minor   bigint NOT NULL,
    -- The hash of the store's history just before the report.
    history                   bytea NOT NULL
);
CREATE INDEX z_reports_by_shift ON z_reports (shift_id);
CREATE INDEX z_reports_by_store ON z_reports (store_no, event_no);
-- The newest report of a till, which each store is told when it connects.
CREATE INDEX z_reports_by_till ON z_reports (store_no, till_id, z_no);

-- What a Z report adds up: sales less refunds.
CREATE TABLE z_taxes (
    event_no      bigint NOT NULL,
    position      bigint NOT NULL,
    tax_group     text NOT NULL,
    tax_rate_ppm  bigint NOT NULL,
    gross_minor   bigint NOT NULL,
    tax_minor     bigint NOT NULL,
    PRIMARY KEY (event_no, position)
);

CREATE TABLE z_tenders (
    event_no      bigint NOT NULL,
    position      bigint NOT NULL,
    kind          text NOT NULL,
    count         bigint NOT NULL,
    amount_minor  bigint NOT NULL,
    PRIMARY KEY (event_no, position)
);

CREATE TABLE z_adjustments (
    event_no      bigint NOT NULL,
    position      bigint NOT NULL,
    reason        text NOT NULL,
    promotion_id  text,
    count         bigint NOT NULL,
    -- Negative in the customers' favour.
    amount_minor  bigint NOT NULL,
    PRIMARY KEY (event_no, position)
);

CREATE TABLE shift_amendments (
    event_no          bigint PRIMARY KEY,
    movement_id       uuid NOT NULL,
    shift_id          uuid NOT NULL,
    store_no          bigint NOT NULL,
    stream_no         bigint NOT NULL,
    seq               bigint NOT NULL,
    till_id           text NOT NULL,
    z_no              bigint NOT NULL,
    operator_id       text,
    approver_id       text,
    amended_at_ms     bigint NOT NULL,
    amended_offset_s  bigint NOT NULL,
    reason            text NOT NULL,
    note              text NOT NULL,
    -- What the count should have been, if it was the count.
    counted_minor     bigint
);
CREATE INDEX shift_amendments_by_shift ON shift_amendments (shift_id);

CREATE TABLE day_closes (
    event_no             bigint PRIMARY KEY,
    store_no             bigint NOT NULL,
    stream_no            bigint NOT NULL,
    seq                  bigint NOT NULL,
    business_date        date NOT NULL,
    operator_id          text,
    closed_at_ms         bigint NOT NULL,
    closed_offset_s      bigint NOT NULL,
    currency             text NOT NULL,
    sales                bigint NOT NULL,
    sales_gross_minor    bigint NOT NULL,
    sales_tax_minor      bigint NOT NULL,
    refunds              bigint NOT NULL,
    refunds_gross_minor  bigint NOT NULL,
    refunds_tax_minor    bigint NOT NULL,
    -- A JSON array of [till, number of the Z report].
    shifts               text NOT NULL
);

-- Cash that came into a drawer or left it without a sale.
CREATE TABLE cash_movements (
    event_no        bigint PRIMARY KEY,
    movement_id     uuid NOT NULL,
    shift_id        uuid NOT NULL,
    store_no        bigint NOT NULL,
    stream_no       bigint NOT NULL,
    seq             bigint NOT NULL,
    business_date   date NOT NULL,
    moved_at_ms     bigint NOT NULL,
    moved_offset_s  bigint NOT NULL,
    till_id         text NOT NULL,
    operator_id     text,
    approver_id     text,
    -- paid_in, paid_out or drop.
    kind            text NOT NULL,
    amount_minor    bigint NOT NULL,
    reason          text NOT NULL,
    note            text NOT NULL
);

-- Stock that came in or went out without a sale.
CREATE TABLE stock_movements (
    event_no        bigint PRIMARY KEY,
    movement_id     uuid NOT NULL,
    store_no        bigint NOT NULL,
    stream_no       bigint NOT NULL,
    seq             bigint NOT NULL,
    business_date   date NOT NULL,
    moved_at_ms     bigint NOT NULL,
    moved_offset_s  bigint NOT NULL,
    till_id         text NOT NULL,
    operator_id     text,
    -- received and transferred_in add, wasted and transferred_out use.
    kind            text NOT NULL,
    reason          text,
    reference       text NOT NULL,
    -- The store at the other end of a transfer, by its id.
    other_store     text,
    note            text NOT NULL
);

CREATE TABLE stock_movement_items (
    event_no        bigint NOT NULL,
    position        bigint NOT NULL,
    item_id         text NOT NULL,
    quantity_micro  bigint NOT NULL,
    -- Where it was known how much should come.
    expected_micro  bigint,
    PRIMARY KEY (event_no, position)
);

CREATE TABLE stock_counts (
    event_no          bigint PRIMARY KEY,
    movement_id       uuid NOT NULL,
    store_no          bigint NOT NULL,
    stream_no         bigint NOT NULL,
    seq               bigint NOT NULL,
    business_date     date NOT NULL,
    began_at_ms       bigint NOT NULL,
    began_offset_s    bigint NOT NULL,
    counted_at_ms     bigint NOT NULL,
    counted_offset_s  bigint NOT NULL,
    till_id           text NOT NULL,
    operator_id       text,
    -- What stands in the store's history at or before this place is in the count.
    frontier_epoch    bigint NOT NULL,
    frontier_seq      bigint NOT NULL,
    note              text NOT NULL
);

CREATE TABLE stock_count_items (
    event_no        bigint NOT NULL,
    position        bigint NOT NULL,
    item_id         text NOT NULL,
    counted_micro   bigint NOT NULL,
    -- What should have been there; none before the first count.
    expected_micro  bigint,
    PRIMARY KEY (event_no, position)
);

CREATE TABLE sold_out_changes (
    event_no          bigint PRIMARY KEY,
    store_no          bigint NOT NULL,
    stream_no         bigint NOT NULL,
    seq               bigint NOT NULL,
    changed_at_ms     bigint NOT NULL,
    changed_offset_s  bigint NOT NULL,
    -- sku, option or item.
    what              text NOT NULL,
    code              text NOT NULL,
    -- 1 if it is sold out.
    sold_out          bigint NOT NULL,
    -- How many are left to sell, where that is counted down.
    remaining         bigint,
    till_id           text,
    operator_id       text
);

-- What somebody may have to answer for later.
CREATE TABLE audit_marks (
    event_no         bigint PRIMARY KEY,
    store_no         bigint NOT NULL,
    stream_no        bigint NOT NULL,
    seq              bigint NOT NULL,
    marked_at_ms     bigint NOT NULL,
    marked_offset_s  bigint NOT NULL,
    action           text NOT NULL,
    till_id          text,
    operator_id      text,
    approver_id      text,
    reason           text,
    subject          text NOT NULL,
    detail           text NOT NULL,
    -- What it was worth, in minor units of the store's currency.
    amount_minor     bigint
);

-- Adds a partition to a table, for values from `low` up to, and without, `high` of its key, and takes over what lies in the
-- partition for all the rest. Says whether it was not there yet.
CREATE FUNCTION add_partition(parent text, suffix text, key text, low text, high text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    name text := parent || '_' || suffix;
    other text := parent || '_other';
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Whoever comes second finds it done.
    PERFORM pg_advisory_xact_lock(hashtext('breakwater partitions'));
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', name, parent);
    EXECUTE format('WITH moved AS (DELETE FROM %I WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
        other, key, low, key, high, name);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name, low, high);
    RETURN true;
END
$$;

-- For people. Amounts stay in minor units.

CREATE VIEW v_sales AS
SELECT stores.store_id, sales.business_date, local_time(sales.sold_at_ms, sales.sold_offset_s) AS sold_at_local,
       sales.sale_id, sales.till_id, sales.operator_id, sales.channel, sales.member_tag, sales.receipt_no, sales.pickup_no,
       sales.currency, sales.lines, sales.quantity_micro, sales.gross_minor, sales.tax_minor, sales.net_minor,
       sales.change_minor, sales.tenders::jsonb AS tenders, sales.price_book_version, sales.imported_source,
       sales.imported_reference, hex16(streams.epoch) AS epoch, sales.seq, sales.event_no
FROM sales JOIN stores USING (store_no) JOIN streams USING (stream_no);

CREATE VIEW v_sale_lines AS
SELECT stores.store_id, sales.business_date, sales.sale_id, (sale_lines.line_no & 1023) + 1 AS position,
       sale_lines.sku, sale_lines.name, sale_lines.options::jsonb AS options, sale_lines.quantity_micro, sales.currency,
       sale_lines.unit_price_minor, sale_lines.adjustment_minor, sale_lines.gross_minor, sale_lines.tax_minor,
       sale_lines.tax_group, sale_lines.tax_rate_ppm
FROM sale_lines JOIN sales ON sales.event_no = sale_lines.line_no >> 10 AND sales.business_date = sale_lines.business_date
    JOIN stores USING (store_no);

CREATE VIEW v_stock_used AS
SELECT stores.store_id, stock_used.business_date, stock_used.item_id, sum(stock_used.used_micro) AS used_micro
FROM stock_used JOIN streams USING (stream_no) JOIN stores USING (store_no)
GROUP BY stores.store_id, stock_used.business_date, stock_used.item_id;

CREATE VIEW v_parked AS
SELECT parked.parked_no, stores.store_id, hex16(streams.epoch) AS epoch, parked.seq,
       local_time(parked.parked_at_ms, 0) AS parked_at_utc, parked.reason, parked.detail
FROM parked JOIN stores USING (store_no) JOIN streams USING (stream_no);

CREATE VIEW v_day_totals AS
SELECT stores.store_id, business_date,
       currency, sales, lines, quantity_micro, gross_minor, tax_minor, net_minor,
       refunds, refund_gross_minor, refund_tax_minor,
       -- Sales less refunds, tax included, and the tax in it.
       gross_minor - refund_gross_minor AS turnover_minor, tax_minor - refund_tax_minor AS turnover_tax_minor
FROM day_totals JOIN stores USING (store_no);

CREATE VIEW v_refunds AS
SELECT stores.store_id, refunds.business_date,
       local_time(refunds.refunded_at_ms, refunds.refunded_offset_s) AS refunded_at_local,
       refunds.refund_id,
       refunds.sale_id,
       sold.event_no IS NOT NULL AS sale_is_known, refunds.kind, refunds.till_id, refunds.shift_id,
       refunds.operator_id, refunds.approver_id, refunds.reason, refunds.note, refunds.receipt_no, refunds.currency,
       refunds.lines, refunds.quantity_micro, refunds.gross_minor, refunds.tax_minor, refunds.net_minor,
       refunds.cash_rounding_minor, refunds.points, refunds.tenders::jsonb AS tenders,
       hex16(streams.epoch) AS epoch, refunds.seq, refunds.event_no
FROM refunds JOIN stores USING (store_no) JOIN streams USING (stream_no)
    LEFT JOIN fact_ids AS sold ON sold.id = refunds.sale_id AND sold.kind = 0 AND sold.store_no = refunds.store_no;

CREATE VIEW v_refund_lines AS
SELECT stores.store_id, refunds.business_date,
       refunds.refund_id,
       refunds.sale_id,
       (refund_lines.line_no & 1023) + 1 AS position, refund_lines.sale_line + 1 AS sale_position,
       refund_lines.sku, refund_lines.name, refund_lines.units::jsonb AS units, refund_lines.quantity_micro, refunds.currency,
       refund_lines.gross_minor, refund_lines.tax_minor, refund_lines.tax_group, refund_lines.tax_rate_ppm,
       refund_lines.goods, refund_lines.restocked::jsonb AS restocked
FROM refund_lines JOIN refunds ON refunds.event_no = refund_lines.line_no >> 10 JOIN stores USING (store_no);

-- Sales of which more came back than was sold.
CREATE VIEW v_over_refunds AS
SELECT stores.store_id,
       refunded_sales.sale_id,
       sales.currency, sales.gross_minor AS sold_minor, refunded_sales.gross_minor AS refunded_minor, refunded_sales.refunds
FROM refunded_sales JOIN stores USING (store_no) JOIN sales ON sales.event_no = refunded_sales.sale_event_no
WHERE refunded_sales.is_over = 1;

-- A row for each shift: one that is open has no report, and one whose opening never arrived has what its report says.
CREATE VIEW v_shifts AS
SELECT stores.store_id, coalesce(z.business_date, o.business_date) AS business_date,
       id AS shift_id,
       coalesce(z.till_id, o.till_id) AS till_id, z.z_no, coalesce(z.operator_id, o.operator_id) AS operator_id, z.closed_by,
       local_time(coalesce(z.opened_at_ms, o.opened_at_ms), coalesce(z.opened_offset_s, o.opened_offset_s)) AS opened_at_local,
       local_time(z.closed_at_ms, z.closed_offset_s) AS closed_at_local,
       coalesce(z.currency, o.currency) AS currency, coalesce(z.float_minor, o.float_minor) AS float_minor,
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
       z_reports.business_date,
       z_taxes.tax_group, z_taxes.tax_rate_ppm, z_reports.currency, z_taxes.gross_minor, z_taxes.tax_minor
FROM z_taxes JOIN z_reports USING (event_no) JOIN stores USING (store_no);

CREATE VIEW v_z_tenders AS
SELECT stores.store_id, z_reports.till_id, z_reports.z_no,
       z_reports.business_date,
       z_tenders.kind, z_tenders.count, z_reports.currency, z_tenders.amount_minor
FROM z_tenders JOIN z_reports USING (event_no) JOIN stores USING (store_no);

CREATE VIEW v_z_adjustments AS
SELECT stores.store_id, z_reports.till_id, z_reports.z_no,
       z_reports.business_date,
       z_adjustments.reason, z_adjustments.promotion_id, z_adjustments.count, z_reports.currency,
       z_adjustments.amount_minor
FROM z_adjustments JOIN z_reports USING (event_no) JOIN stores USING (store_no);

CREATE VIEW v_shift_amendments AS
SELECT stores.store_id,
       shift_id, till_id, z_no,
       local_time(amended_at_ms, amended_offset_s) AS amended_at_local,
       operator_id, approver_id, reason, note, counted_minor, event_no
FROM shift_amendments JOIN stores USING (store_no);

CREATE VIEW v_day_closes AS
SELECT stores.store_id, business_date,
       local_time(closed_at_ms, closed_offset_s) AS closed_at_local, operator_id, currency,
       sales, sales_gross_minor, sales_tax_minor, refunds, refunds_gross_minor, refunds_tax_minor, shifts::jsonb AS shifts, event_no
FROM day_closes JOIN stores USING (store_no);

CREATE VIEW v_cash_movements AS
SELECT stores.store_id, business_date,
       local_time(moved_at_ms, moved_offset_s) AS moved_at_local,
       movement_id,
       shift_id,
       till_id, operator_id, approver_id, kind, amount_minor, reason, note, event_no
FROM cash_movements JOIN stores USING (store_no);

-- A row for each item.
CREATE VIEW v_stock_movements AS
SELECT stores.store_id, business_date,
       local_time(moved_at_ms, moved_offset_s) AS moved_at_local,
       movement_id,
       kind, item_id, quantity_micro, expected_micro, reason, reference, other_store, till_id, operator_id, note, event_no
FROM stock_movements JOIN stock_movement_items USING (event_no) JOIN stores USING (store_no);

CREATE VIEW v_stock_counts AS
SELECT stores.store_id, business_date,
       local_time(counted_at_ms, counted_offset_s) AS counted_at_local,
       movement_id,
       item_id, counted_micro, expected_micro, counted_micro - expected_micro AS difference_micro,
       hex16(frontier_epoch) AS frontier_epoch, frontier_seq, till_id, operator_id, note, event_no
FROM stock_counts JOIN stock_count_items USING (event_no) JOIN stores USING (store_no);

CREATE VIEW v_stock_added AS
SELECT stores.store_id, stock_added.business_date, stock_added.item_id,
       sum(stock_added.added_micro) AS added_micro
FROM stock_added JOIN streams USING (stream_no) JOIN stores USING (store_no)
GROUP BY stores.store_id, stock_added.business_date, stock_added.item_id;

CREATE VIEW v_sold_out AS
SELECT stores.store_id, local_time(changed_at_ms, changed_offset_s) AS changed_at_local,
       what, code, sold_out = 1 AS sold_out, remaining, till_id, operator_id, event_no
FROM sold_out_changes JOIN stores USING (store_no);

CREATE VIEW v_audit AS
SELECT stores.store_id, local_time(marked_at_ms, marked_offset_s) AS marked_at_local,
       action, till_id, operator_id, approver_id, reason, subject, detail, amount_minor,
       hex16(streams.epoch) AS epoch, seq, event_no
FROM audit_marks JOIN stores USING (store_no) JOIN streams USING (stream_no);
