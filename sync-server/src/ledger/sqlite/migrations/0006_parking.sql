-- What people do about parked events: fix, waive, try again. For reading, start with the views v_parked and v_parked_actions.

-- open: it waits for a person. waived: a person has decided that it is never to count. fixed: what counts in its place
-- stands in superseding; the row stays only of events beside the followed history, so that nobody parks them again.
ALTER TABLE parked ADD COLUMN state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'waived', 'fixed'));
-- The kind of event, where its bytes say one; none of what was parked before kinds were noted.
ALTER TABLE parked ADD COLUMN kind TEXT;
CREATE INDEX parked_open ON parked (store_no, parked_at_ms) WHERE state = 'open';

-- Who did what, when and why. Rows are only ever added. The hashes make a chain for each parked event.
CREATE TABLE parked_actions (
    action_no  INTEGER PRIMARY KEY,
    parked_no  INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    -- tried: it stays parked, with the reason beside this. applied, fixed, waived: what became of it.
    what       TEXT NOT NULL CHECK (what IN ('tried', 'applied', 'fixed', 'waived')),
    who        TEXT NOT NULL,
    why        TEXT NOT NULL,
    -- Why it was parked, after this.
    reason     TEXT NOT NULL,
    detail     TEXT NOT NULL,
    -- Of a fix: the BLAKE3 hashes of the bytes as they came and of those that count.
    original   BLOB,
    content    BLOB,
    -- Over the hash before and all of this row.
    hash       BLOB NOT NULL
) STRICT;
CREATE INDEX parked_actions_by_event ON parked_actions (parked_no, action_no);

-- What counts in the place of a parked event that was fixed. The bytes as they came stay beside it for ever.
CREATE TABLE superseding (
    -- Under this number its rows stand in the other tables: its own, or a fresh one if it had no place in the history.
    event_no        INTEGER PRIMARY KEY,
    parked_no       INTEGER NOT NULL UNIQUE,
    store_no        INTEGER NOT NULL,
    stream_no       INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    -- That of the store's history at its place.
    hash            BLOB NOT NULL,
    fixed_at_ms     INTEGER NOT NULL,
    is_beside       INTEGER NOT NULL,
    original        BLOB NOT NULL,
    bytes           BLOB NOT NULL
) STRICT;

-- Receipt numbers that were given by parked sales and refunds first. They are among receipt_runs.
CREATE TABLE parked_receipts (
    stream_no   INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    hash        BLOB NOT NULL,
    store_no    INTEGER NOT NULL,
    till_id     TEXT NOT NULL,
    receipt_no  INTEGER NOT NULL,
    PRIMARY KEY (stream_no, seq, hash)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER parked_actions_stay BEFORE UPDATE ON parked_actions
BEGIN SELECT RAISE(ABORT, 'what people did is only ever added to'); END;
CREATE TRIGGER parked_actions_are_kept BEFORE DELETE ON parked_actions
BEGIN SELECT RAISE(ABORT, 'what people did is only ever added to'); END;
CREATE TRIGGER superseding_stays BEFORE UPDATE ON superseding
BEGIN SELECT RAISE(ABORT, 'a fix is only ever added'); END;
CREATE TRIGGER superseding_is_kept BEFORE DELETE ON superseding
BEGIN SELECT RAISE(ABORT, 'a fix is only ever added'); END;

DROP VIEW v_parked;
CREATE VIEW v_parked AS
SELECT parked.parked_no, stores.store_id, printf('%016x', streams.epoch) AS epoch, parked.seq,
       datetime(parked.parked_at_ms / 1000, 'unixepoch') AS parked_at_utc, parked.reason, parked.detail,
       parked.state, parked.kind
FROM parked JOIN stores USING (store_no) JOIN streams USING (stream_no);

CREATE VIEW v_parked_actions AS
SELECT action_no, parked_no, datetime(at_ms / 1000, 'unixepoch') AS at_utc, what, who, why, reason, detail
FROM parked_actions;
