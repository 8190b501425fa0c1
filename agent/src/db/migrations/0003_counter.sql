-- Commands that were carried out, with what was answered. A row goes when the events of its time go.
CREATE TABLE command (
    command_id BLOB    NOT NULL PRIMARY KEY CHECK (length(command_id) = 16),
    -- BLAKE3 of the command.
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    -- The newest event when it was carried out: tells the age of the row.
    position   INTEGER NOT NULL,
    -- JSON.
    answer     BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX command_by_position ON command (position);

-- Shifts: one operator on one till. A till that ever had one sells within shifts only.
CREATE TABLE shift (
    shift_id        BLOB    NOT NULL PRIMARY KEY CHECK (length(shift_id) = 16),
    till_id         TEXT    NOT NULL,
    operator_id     TEXT,
    -- Its opening in the history, and its Z report there; none while it is open.
    opened_position INTEGER NOT NULL,
    closed_position INTEGER,
    opened_at       INTEGER NOT NULL,
    opened_offset_s INTEGER NOT NULL,
    business_date   INTEGER NOT NULL,
    float_minor     INTEGER NOT NULL CHECK (float_minor >= 0),
    z_no            INTEGER,
    -- The Z report as JSON.
    report          BLOB,
    amendments      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX shift_open ON shift (till_id) WHERE closed_position IS NULL;
CREATE UNIQUE INDEX shift_by_z ON shift (till_id, z_no) WHERE z_no IS NOT NULL;
CREATE INDEX shift_by_date ON shift (business_date);

-- What goes on from one Z report of a till to the next. They only grow, but for what comes back.
CREATE TABLE till_book (
    till_id           TEXT    NOT NULL PRIMARY KEY,
    z_no              INTEGER NOT NULL,
    grand_total_minor INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Cash that moved without a sale; kinds are paid_in, paid_out, drop, no_sale.
CREATE TABLE cash_movement (
    position     INTEGER PRIMARY KEY,
    shift_id     BLOB    NOT NULL,
    kind         TEXT    NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0)
) STRICT;
CREATE INDEX cash_movement_by_shift ON cash_movement (shift_id);

-- The shift in which a sale counts, and the basket of which it was made.
ALTER TABLE sale ADD COLUMN shift_id BLOB;
ALTER TABLE sale ADD COLUMN basket_id BLOB;

CREATE TABLE refund (
    position      INTEGER PRIMARY KEY,
    refund_id     BLOB    NOT NULL UNIQUE CHECK (length(refund_id) = 16),
    -- BLAKE3 of the command.
    digest        BLOB    NOT NULL CHECK (length(digest) = 32),
    sale_id       BLOB    NOT NULL CHECK (length(sale_id) = 16),
    shift_id      BLOB,
    business_date INTEGER NOT NULL,
    -- What the till was answered, as JSON.
    answer        BLOB    NOT NULL
) STRICT;
CREATE INDEX refund_by_sale ON refund (sale_id);

-- Units that came back, of all tills. Lines and units count from zero.
CREATE TABLE returned_unit (
    sale_id BLOB    NOT NULL CHECK (length(sale_id) = 16),
    line    INTEGER NOT NULL,
    unit    INTEGER NOT NULL,
    PRIMARY KEY (sale_id, line, unit)
) STRICT, WITHOUT ROWID;

-- What has gone back of a sale, by kind of tender.
CREATE TABLE refund_tender (
    sale_id      BLOB    NOT NULL CHECK (length(sale_id) = 16),
    kind         TEXT    NOT NULL,
    amount_minor INTEGER NOT NULL,
    PRIMARY KEY (sale_id, kind)
) STRICT, WITHOUT ROWID;

ALTER TABLE day_total ADD COLUMN refunds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE day_total ADD COLUMN refund_gross_minor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE day_total ADD COLUMN refund_tax_minor INTEGER NOT NULL DEFAULT 0;

-- Business dates that were closed, and what came into them afterwards.
CREATE TABLE day_closed (
    business_date INTEGER PRIMARY KEY,
    closed_at     INTEGER NOT NULL,
    amendments    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Baskets: the document is JSON, the columns are what is looked for.
CREATE TABLE basket (
    basket_id  BLOB    NOT NULL PRIMARY KEY CHECK (length(basket_id) = 16),
    -- Whether it is open or held.
    alive      INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    -- The newest event when it changed last: tells its age.
    position   INTEGER NOT NULL,
    document   BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX basket_alive ON basket (basket_id) WHERE alive = 1;
CREATE INDEX basket_over ON basket (position) WHERE alive = 0;
