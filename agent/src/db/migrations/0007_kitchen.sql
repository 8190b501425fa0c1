-- What is made in the kitchen and at the bar, and what is sold out.

-- Orders that were sent to the stations: baskets, and sales without one.
CREATE TABLE kitchen_order (
    ordinal       INTEGER PRIMARY KEY,
    order_id      BLOB    NOT NULL UNIQUE CHECK (length(order_id) = 16),
    pickup_no     INTEGER NOT NULL,
    business_date INTEGER NOT NULL,
    label         TEXT,
    takeaway      INTEGER NOT NULL CHECK (takeaway IN (0, 1)),
    channel       TEXT    NOT NULL,
    sent_at       INTEGER NOT NULL,
    -- When the last cup moved.
    changed_at    INTEGER NOT NULL,
    -- The newest event when it was sent: tells the age of the row.
    position      INTEGER NOT NULL,
    -- How many cups it has ever had; how many are still to be made; how many the customer still waits for.
    cups          INTEGER NOT NULL,
    waiting       INTEGER NOT NULL,
    live          INTEGER NOT NULL
) STRICT;
CREATE INDEX kitchen_order_by_pickup_no ON kitchen_order (pickup_no);
CREATE INDEX kitchen_order_ready ON kitchen_order (changed_at) WHERE live > 0 AND waiting = 0;

-- What is made and handed over as one piece.
CREATE TABLE cup (
    order_no       INTEGER NOT NULL REFERENCES kitchen_order (ordinal) ON DELETE CASCADE,
    -- Which one of its order, from one.
    number         INTEGER NOT NULL,
    cup_id         BLOB    NOT NULL UNIQUE CHECK (length(cup_id) = 16),
    line_id        BLOB    NOT NULL CHECK (length(line_id) = 16),
    -- Which one of its line, from one.
    unit           INTEGER NOT NULL,
    station        TEXT    NOT NULL,
    sku            TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    -- The names of what was chosen, as a JSON array.
    options        TEXT    NOT NULL,
    note           TEXT,
    quantity_micro INTEGER NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('queued', 'making', 'ready', 'handed', 'voided', 'discarded')),
    -- Since when it is in that state, and who said so.
    changed_at     INTEGER NOT NULL,
    till_id        TEXT,
    operator_id    TEXT,
    PRIMARY KEY (order_no, number)
) STRICT, WITHOUT ROWID;
-- What stations have before them.
CREATE INDEX cup_shown ON cup (order_no) WHERE state IN ('queued', 'making', 'ready', 'voided');

-- What is sold out, or is counted down.
CREATE TABLE sold_out (
    what        TEXT    NOT NULL CHECK (what IN ('sku', 'option', 'item')),
    code        TEXT    NOT NULL,
    -- How much may still be sold; zero is sold out.
    left_micro  INTEGER NOT NULL CHECK (left_micro >= 0),
    -- The last business date on which it holds; null if somebody has to take it back.
    until_date  INTEGER,
    -- The event that said so.
    version     INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    till_id     TEXT,
    operator_id TEXT,
    PRIMARY KEY (what, code)
) STRICT, WITHOUT ROWID;
