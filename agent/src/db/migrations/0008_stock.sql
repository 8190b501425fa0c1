-- What was added to stock, and what was counted. Quantities are millionths of an item's base unit.

-- Beside stock_usage, and of the same form: what deliveries, transfers and returns added, a grow-only counter per epoch.
CREATE TABLE stock_added (
    business_date INTEGER NOT NULL,
    item_id       TEXT    NOT NULL,
    epoch         INTEGER NOT NULL,
    added_micro   INTEGER NOT NULL CHECK (added_micro >= 0),
    PRIMARY KEY (business_date, item_id, epoch)
) STRICT, WITHOUT ROWID;

-- The counters of business dates that are past. Housekeeping moves them here, so that stock_usage and stock_added hold some
-- weeks and are quick to add up. A counter may have a part here and a part there: it is the sum of both.
CREATE TABLE stock_past (
    business_date INTEGER NOT NULL,
    item_id       TEXT    NOT NULL,
    epoch         INTEGER NOT NULL,
    added_micro   INTEGER NOT NULL CHECK (added_micro >= 0),
    used_micro    INTEGER NOT NULL CHECK (used_micro >= 0),
    PRIMARY KEY (business_date, item_id, epoch)
) STRICT, WITHOUT ROWID;

-- Per item, all that was ever moved to stock_past; it stays when rows there are let go.
CREATE TABLE stock_past_total (
    item_id     TEXT    PRIMARY KEY,
    added_micro INTEGER NOT NULL CHECK (added_micro >= 0),
    used_micro  INTEGER NOT NULL CHECK (used_micro >= 0)
) STRICT, WITHOUT ROWID;

-- Stock that moved without a sale, by the place of its event in the history.
CREATE TABLE stock_movement (
    position      INTEGER PRIMARY KEY,
    movement_id   BLOB    NOT NULL UNIQUE CHECK (length(movement_id) = 16),
    business_date INTEGER NOT NULL,
    kind          TEXT    NOT NULL,
    till_id       TEXT    NOT NULL,
    operator_id   TEXT,
    reason        TEXT,
    reference     TEXT    NOT NULL,
    other_store   TEXT,
    note          TEXT    NOT NULL,
    moved_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX stock_movement_by_date ON stock_movement (business_date, position);

CREATE TABLE stock_moved_item (
    position       INTEGER NOT NULL,
    -- From zero, as it was said.
    place          INTEGER NOT NULL,
    item_id        TEXT    NOT NULL,
    quantity_micro INTEGER NOT NULL,
    expected_micro INTEGER,
    PRIMARY KEY (position, place)
) STRICT, WITHOUT ROWID;

-- How many refunds of a business date put something back into stock: tells whether all of their events are still held.
CREATE TABLE stock_restocked (
    business_date INTEGER PRIMARY KEY,
    refunds       INTEGER NOT NULL
) STRICT;

-- Counts: open ones, and the newest of those that are over.
CREATE TABLE stock_count (
    count_id          BLOB    NOT NULL PRIMARY KEY CHECK (length(count_id) = 16),
    state             TEXT    NOT NULL CHECK (state IN ('open', 'finished', 'abandoned')),
    till_id           TEXT    NOT NULL,
    operator_id       TEXT,
    -- 1 if only certain items were to be counted.
    is_partial        INTEGER NOT NULL CHECK (is_partial IN (0, 1)),
    -- The newest event that it has seen: its position, and the same as epoch and seq.
    frontier_position INTEGER NOT NULL,
    frontier_epoch    INTEGER NOT NULL,
    frontier_seq      INTEGER NOT NULL,
    began_at          INTEGER NOT NULL,
    began_offset_s    INTEGER NOT NULL,
    ended_at          INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX stock_count_by_end ON stock_count (state, ended_at);

-- The items of a count: what the counters came to at its frontier; once it is finished, those that were counted.
CREATE TABLE stock_count_item (
    count_id       BLOB    NOT NULL,
    item_id        TEXT    NOT NULL,
    added_micro    INTEGER NOT NULL,
    used_micro     INTEGER NOT NULL,
    counted_micro  INTEGER,
    expected_micro INTEGER,
    PRIMARY KEY (count_id, item_id)
) STRICT, WITHOUT ROWID;

-- The count that holds for an item.
CREATE TABLE stock_last_count (
    item_id       TEXT    PRIMARY KEY,
    count_id      BLOB    NOT NULL CHECK (length(count_id) = 16),
    -- Where the event of its end stands.
    position      INTEGER NOT NULL,
    counted_micro INTEGER NOT NULL,
    -- What the counters came to at its frontier.
    added_micro   INTEGER NOT NULL,
    used_micro    INTEGER NOT NULL,
    counted_at    INTEGER NOT NULL,
    business_date INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every counter, whichever table holds it: one row for each part.
CREATE VIEW stock_day AS
SELECT business_date, item_id, epoch, 0 AS added_micro, used_micro FROM stock_usage
UNION ALL SELECT business_date, item_id, epoch, added_micro, 0 FROM stock_added
UNION ALL SELECT business_date, item_id, epoch, added_micro, used_micro FROM stock_past;
