-- The central ledger. For reading, start with the views at the end: v_sales, v_sale_lines, v_day_totals, v_stock_used.
--
-- Every event gets a number, event_no, from one counter, and all large tables grow at their right end only: that is what
-- makes them fast to write. Amounts are integers of the currency's minor unit, quantities integers of a
-- millionth, times milliseconds since 1970 (UTC), business dates days since 1970-01-01.

CREATE TABLE stores (
    store_no        INTEGER PRIMARY KEY,
    store_id        TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    status          TEXT NOT NULL CHECK (status IN ('active', 'revoked')),
    -- What the store's secret is checked against; none until it has enrolled.
    secret_hash     BLOB,
    added_at_ms     INTEGER NOT NULL,
    enrolled_at_ms  INTEGER
) STRICT;

CREATE TABLE claim_codes (
    code_hash      BLOB PRIMARY KEY,
    store_no       INTEGER NOT NULL REFERENCES stores,
    created_at_ms  INTEGER NOT NULL,
    expires_at_ms  INTEGER NOT NULL,
    used_at_ms     INTEGER
) STRICT, WITHOUT ROWID;

-- One row. It counts changes of stores and secrets, so that a running server notices what another process changed.
CREATE TABLE registry (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    version  INTEGER NOT NULL
) STRICT;
INSERT INTO registry VALUES (1, 0);

-- What a store said of itself last, and how much of it has been applied.
CREATE TABLE store_state (
    store_no           INTEGER PRIMARY KEY REFERENCES stores,
    last_contact_ms    INTEGER NOT NULL,
    applied_events     INTEGER NOT NULL DEFAULT 0,
    applied_sales      INTEGER NOT NULL DEFAULT 0,
    parked_events      INTEGER NOT NULL DEFAULT 0,
    forked_events      INTEGER NOT NULL DEFAULT 0,
    last_sale_at_ms    INTEGER,
    -- From the last Hello or Heartbeat.
    health_at_ms       INTEGER,
    clock_ms           INTEGER,
    clock_offset_s     INTEGER,
    clock_ahead_ms     INTEGER,
    protocol_version   INTEGER,
    agent_version      TEXT,
    epoch              INTEGER,
    head_seq           INTEGER,
    outbox_events      INTEGER,
    outbox_oldest_ms   INTEGER,
    disk_free_bytes    INTEGER,
    -- applied_events + parked_events when it was said: what came since is off the outbox.
    taken_at_health    INTEGER
) STRICT;

-- One epoch of one store, and the cursor in it: every event up to applied_seq is applied or parked.
CREATE TABLE streams (
    stream_no          INTEGER PRIMARY KEY,
    store_no           INTEGER NOT NULL REFERENCES stores,
    epoch              INTEGER NOT NULL,
    applied_seq        INTEGER NOT NULL DEFAULT 0,
    applied_hash       BLOB NOT NULL,
    -- The hash before the first event.
    base_hash          BLOB NOT NULL,
    first_seen_ms      INTEGER NOT NULL,
    -- The newest event that the store has ever reported there.
    reported_head      INTEGER NOT NULL DEFAULT 0,
    -- From its first event, EpochOpened.
    opened_at_ms       INTEGER,
    opened_why         TEXT,
    previous_epoch     INTEGER,
    previous_seq       INTEGER,
    previous_hash      BLOB,
    -- How many epochs name this one as the one before them, and the earliest place at which they go on.
    successors         INTEGER NOT NULL DEFAULT 0,
    continued_at       INTEGER NOT NULL DEFAULT 9223372036854775807,
    UNIQUE (store_no, epoch)
) STRICT;
-- An epoch that went on behind the place from which the next one started, or has two that follow it: a folder was put
-- back or copied.
CREATE INDEX streams_went_back ON streams (store_no) WHERE applied_seq > continued_at;
CREATE INDEX streams_forked ON streams (store_no) WHERE successors > 1;
CREATE INDEX streams_behind ON streams (store_no) WHERE reported_head > applied_seq;

-- What a message brought: event first_event_no + n is number first_seq + n of the stream, and stands at place
-- frame_skip + n in the frame.
CREATE TABLE batches (
    first_event_no  INTEGER PRIMARY KEY,
    stream_no       INTEGER NOT NULL,
    first_seq       INTEGER NOT NULL,
    events          INTEGER NOT NULL,
    received_at_ms  INTEGER NOT NULL,
    -- Events at the frame's beginning that were there already.
    frame_skip      INTEGER NOT NULL,
    -- The message as it came over the wire, compressed: it holds every event's bytes as the store committed them.
    frame           BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX batches_by_place ON batches (stream_no, first_seq);

-- Every event of every history that is followed.
CREATE TABLE events (
    event_no  INTEGER PRIMARY KEY,
    -- BLAKE3(hash of the event before, bytes of the event).
    hash      BLOB NOT NULL
) STRICT;

CREATE TABLE sales (
    event_no            INTEGER PRIMARY KEY,
    sale_id             BLOB NOT NULL,
    store_no            INTEGER NOT NULL,
    stream_no           INTEGER NOT NULL,
    seq                 INTEGER NOT NULL,
    business_date       INTEGER NOT NULL,
    sold_at_ms          INTEGER NOT NULL,
    sold_offset_s       INTEGER NOT NULL,
    till_id             TEXT NOT NULL,
    operator_id         TEXT,
    channel             TEXT NOT NULL,
    member_tag          TEXT,
    receipt_no          INTEGER NOT NULL,
    pickup_no           INTEGER NOT NULL,
    currency            TEXT NOT NULL,
    lines               INTEGER NOT NULL,
    quantity_micro      INTEGER NOT NULL,
    gross_minor         INTEGER NOT NULL,
    tax_minor           INTEGER NOT NULL,
    net_minor           INTEGER NOT NULL,
    change_minor        INTEGER NOT NULL,
    -- A JSON array of [kind, amount handed over].
    tenders             TEXT NOT NULL,
    price_book_version  TEXT,
    -- Where an imported sale was read from.
    imported_source     TEXT,
    imported_reference  TEXT
) STRICT;
CREATE UNIQUE INDEX sales_by_id ON sales (sale_id);

CREATE TABLE sale_lines (
    -- 1024 * event_no of the sale + position of the line, from 0.
    line_no           INTEGER PRIMARY KEY,
    sku               TEXT NOT NULL,
    name              TEXT NOT NULL,
    quantity_micro    INTEGER NOT NULL,
    unit_price_minor  INTEGER NOT NULL,
    gross_minor       INTEGER NOT NULL,
    tax_minor         INTEGER NOT NULL,
    tax_group         TEXT NOT NULL,
    tax_rate_ppm      INTEGER NOT NULL,
    -- The sum of what changed the price; the reasons stand in the event.
    adjustment_minor  INTEGER NOT NULL,
    -- A JSON array of the codes of the chosen options; none if nothing was chosen.
    options           TEXT
) STRICT;

-- What could not be applied. A sale is a fact: it waits here, with the reason, for a person.
CREATE TABLE parked (
    parked_no     INTEGER PRIMARY KEY,
    store_no      INTEGER NOT NULL,
    stream_no     INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    hash          BLOB NOT NULL,
    parked_at_ms  INTEGER NOT NULL,
    reason        TEXT NOT NULL,
    detail        TEXT NOT NULL,
    -- Its number, if it has a place in the history that the ledger follows: its bytes are in the frame. Else the bytes.
    event_no      INTEGER,
    bytes         BLOB,
    UNIQUE (stream_no, seq, hash)
) STRICT;
CREATE INDEX parked_by_store ON parked (store_no, parked_no);

-- Events that a store no longer held when the ledger asked for them.
CREATE TABLE losses (
    stream_no      INTEGER NOT NULL,
    from_seq       INTEGER NOT NULL,
    to_seq         INTEGER NOT NULL,
    noticed_at_ms  INTEGER NOT NULL,
    PRIMARY KEY (stream_no, from_seq)
) STRICT, WITHOUT ROWID;

-- Effects of the sales. Each is a counter that only moves in the database transaction that applies the sale.
CREATE TABLE day_totals (
    store_no        INTEGER NOT NULL,
    business_date   INTEGER NOT NULL,
    currency        TEXT NOT NULL,
    sales           INTEGER NOT NULL,
    lines           INTEGER NOT NULL,
    quantity_micro  INTEGER NOT NULL,
    gross_minor     INTEGER NOT NULL,
    tax_minor       INTEGER NOT NULL,
    net_minor       INTEGER NOT NULL,
    PRIMARY KEY (store_no, business_date, currency)
) STRICT, WITHOUT ROWID;

CREATE INDEX day_totals_by_date ON day_totals (business_date);

-- Stock used per epoch: the actors of a counter that any replay or reordering leaves alone.
CREATE TABLE stock_used (
    stream_no      INTEGER NOT NULL,
    business_date  INTEGER NOT NULL,
    item_id        TEXT NOT NULL,
    used_micro     INTEGER NOT NULL,
    PRIMARY KEY (stream_no, business_date, item_id)
) STRICT, WITHOUT ROWID;

-- The receipt numbers of the applied sales, as unbroken runs: more than one run of a till means missing receipts.
CREATE TABLE receipt_runs (
    store_no  INTEGER NOT NULL,
    till_id   TEXT NOT NULL,
    first_no  INTEGER NOT NULL,
    last_no   INTEGER NOT NULL,
    PRIMARY KEY (store_no, till_id, first_no)
) STRICT, WITHOUT ROWID;

-- A run that does not begin at 1 lies behind a gap.
CREATE INDEX receipt_gaps ON receipt_runs (store_no) WHERE first_no > 1;

-- The newest receipt number that a store has reported of a till.
CREATE TABLE receipt_heads (
    store_no    INTEGER NOT NULL,
    till_id     TEXT NOT NULL,
    receipt_no  INTEGER NOT NULL,
    PRIMARY KEY (store_no, till_id)
) STRICT, WITHOUT ROWID;

-- Sales whose receipt number an earlier one of the same till has too.
CREATE TABLE duplicate_receipts (
    store_no    INTEGER NOT NULL,
    till_id     TEXT NOT NULL,
    receipt_no  INTEGER NOT NULL,
    event_no    INTEGER NOT NULL,
    PRIMARY KEY (store_no, till_id, receipt_no, event_no)
) STRICT, WITHOUT ROWID;

-- For people. Amounts stay in minor units; dates and times become text, identifiers become readable.

CREATE VIEW v_sales AS
SELECT stores.store_id,
       date(sales.business_date * 86400, 'unixepoch') AS business_date,
       datetime(sales.sold_at_ms / 1000 + sales.sold_offset_s, 'unixepoch') AS sold_at_local,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(sales.sale_id, 1, 4)), hex(substr(sales.sale_id, 5, 2)),
           hex(substr(sales.sale_id, 7, 2)), hex(substr(sales.sale_id, 9, 2)), hex(substr(sales.sale_id, 11, 6)))) AS sale_id,
       sales.till_id, sales.operator_id, sales.channel, sales.member_tag, sales.receipt_no, sales.pickup_no,
       sales.currency, sales.lines, sales.quantity_micro, sales.gross_minor, sales.tax_minor, sales.net_minor,
       sales.change_minor, sales.tenders, sales.price_book_version, sales.imported_source, sales.imported_reference,
       printf('%016x', streams.epoch) AS epoch, sales.seq, sales.event_no
FROM sales JOIN stores USING (store_no) JOIN streams USING (stream_no);

CREATE VIEW v_sale_lines AS
SELECT stores.store_id,
       date(sales.business_date * 86400, 'unixepoch') AS business_date,
       lower(printf('%s-%s-%s-%s-%s', hex(substr(sales.sale_id, 1, 4)), hex(substr(sales.sale_id, 5, 2)),
           hex(substr(sales.sale_id, 7, 2)), hex(substr(sales.sale_id, 9, 2)), hex(substr(sales.sale_id, 11, 6)))) AS sale_id,
       (sale_lines.line_no & 1023) + 1 AS position,
       sale_lines.sku, sale_lines.name, sale_lines.options, sale_lines.quantity_micro, sales.currency,
       sale_lines.unit_price_minor, sale_lines.adjustment_minor, sale_lines.gross_minor, sale_lines.tax_minor,
       sale_lines.tax_group, sale_lines.tax_rate_ppm
FROM sale_lines JOIN sales ON sales.event_no = sale_lines.line_no >> 10 JOIN stores USING (store_no);

CREATE VIEW v_day_totals AS
SELECT stores.store_id, date(business_date * 86400, 'unixepoch') AS business_date,
       currency, sales, lines, quantity_micro, gross_minor, tax_minor, net_minor
FROM day_totals JOIN stores USING (store_no);

CREATE VIEW v_stock_used AS
SELECT stores.store_id, date(stock_used.business_date * 86400, 'unixepoch') AS business_date, stock_used.item_id,
       sum(stock_used.used_micro) AS used_micro
FROM stock_used JOIN streams USING (stream_no) JOIN stores USING (store_no)
GROUP BY stores.store_id, stock_used.business_date, stock_used.item_id;

CREATE VIEW v_parked AS
SELECT parked.parked_no, stores.store_id, printf('%016x', streams.epoch) AS epoch, parked.seq,
       datetime(parked.parked_at_ms / 1000, 'unixepoch') AS parked_at_utc, parked.reason, parked.detail
FROM parked JOIN stores USING (store_no) JOIN streams USING (stream_no);
