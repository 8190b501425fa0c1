-- The store's books. Dates are days since 1970-01-01, moments are milliseconds since 1970 (UTC), amounts are minor units,
-- quantities are millionths, epochs are 64 random bits as a signed number.

-- One row: what holds for the whole folder.
CREATE TABLE folder (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    currency   TEXT    NOT NULL,
    -- For how long an agent has run on this folder. Retention is counted on this clock, which nobody can set.
    running_ms INTEGER NOT NULL
) STRICT;

-- The runs of the agent, in order of birth. An epoch's events hold the positions from base + 1 on, without gaps;
-- seq = position - base.
CREATE TABLE epoch (
    ordinal     INTEGER PRIMARY KEY,
    epoch       INTEGER NOT NULL UNIQUE,
    base        INTEGER NOT NULL UNIQUE,
    -- The last seq of an epoch that is over; null for the newest one.
    head        INTEGER,
    -- The oldest seq still held, and the hash of the history before it.
    first_held  INTEGER NOT NULL CHECK (first_held >= 1),
    hash_before BLOB    NOT NULL CHECK (length(hash_before) = 32),
    -- The newest seq that the centre has confirmed.
    acked       INTEGER NOT NULL CHECK (acked >= 0)
) STRICT;

-- Outbox, audit trail and archive in one: what happened, in order, as the bytes that are sent.
-- hash = BLAKE3(hash of the row before, bytes).
CREATE TABLE event (
    position    INTEGER PRIMARY KEY,
    kind        TEXT    NOT NULL,
    recorded_at INTEGER NOT NULL,
    hash        BLOB    NOT NULL CHECK (length(hash) = 32),
    bytes       BLOB    NOT NULL
) STRICT;

-- What a till was answered, by which a repeated command is recognised. Lines and tenders are in the event.
CREATE TABLE sale (
    position      INTEGER PRIMARY KEY,
    sale_id       BLOB    NOT NULL UNIQUE CHECK (length(sale_id) = 16),
    -- BLAKE3 of the command.
    digest        BLOB    NOT NULL CHECK (length(digest) = 32),
    till_id       TEXT    NOT NULL,
    receipt_no    INTEGER NOT NULL,
    pickup_no     INTEGER NOT NULL,
    business_date INTEGER NOT NULL,
    recorded_at   INTEGER NOT NULL,
    total_minor   INTEGER NOT NULL,
    tax_minor     INTEGER NOT NULL,
    change_minor  INTEGER NOT NULL,
    UNIQUE (till_id, receipt_no)
) STRICT;

-- The newest numbers. They only grow.
CREATE TABLE till_head (
    till_id    TEXT    PRIMARY KEY,
    receipt_no INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pickup_head (
    business_date INTEGER PRIMARY KEY,
    pickup_no     INTEGER NOT NULL
) STRICT;

-- Sums per business date.
CREATE TABLE day_total (
    business_date INTEGER PRIMARY KEY,
    sales         INTEGER NOT NULL,
    lines         INTEGER NOT NULL,
    units_micro   INTEGER NOT NULL,
    gross_minor   INTEGER NOT NULL,
    tax_minor     INTEGER NOT NULL
) STRICT;

-- What sales took from stock: a grow-only counter per epoch, so that copies of a folder never hide each other's use.
CREATE TABLE stock_usage (
    business_date INTEGER NOT NULL,
    item_id       TEXT    NOT NULL,
    epoch         INTEGER NOT NULL,
    used_micro    INTEGER NOT NULL CHECK (used_micro >= 0),
    PRIMARY KEY (business_date, item_id, epoch)
) STRICT, WITHOUT ROWID;

-- Which position was the newest when the folder's clock stood where: tells the age of an event.
CREATE TABLE age_mark (
    running_ms INTEGER PRIMARY KEY,
    position   INTEGER NOT NULL
) STRICT;

-- What a person has to know or do, until it is settled.
CREATE TABLE notice (
    key  TEXT    PRIMARY KEY,
    at   INTEGER NOT NULL,
    text TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- For people with a SQLite shell.
CREATE VIEW outbox AS
SELECT printf('%016x', epoch.epoch)       AS epoch,
       event.position - epoch.base        AS seq,
       event.kind                         AS kind,
       event.recorded_at                  AS recorded_at,
       length(event.bytes)                AS bytes,
       event.position - epoch.base <= epoch.acked AS confirmed
FROM event
JOIN epoch ON epoch.ordinal = (SELECT ordinal FROM epoch AS e WHERE e.base < event.position ORDER BY e.base DESC LIMIT 1);
