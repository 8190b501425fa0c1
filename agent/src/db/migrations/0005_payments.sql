-- Attempts at payment terminals. A row is here before the terminal hears of the attempt.
CREATE TABLE attempt (
    attempt_id    BLOB    NOT NULL PRIMARY KEY CHECK (length(attempt_id) = 16),
    sale_id       BLOB    NOT NULL CHECK (length(sale_id) = 16),
    till_id       TEXT    NOT NULL,
    operator_id   TEXT,
    kind          TEXT    NOT NULL,
    amount_minor  INTEGER NOT NULL CHECK (amount_minor > 0),
    terminal      TEXT    NOT NULL,
    asked_at      INTEGER NOT NULL,
    asked_offset_s INTEGER NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('asked', 'approved', 'declined', 'unknown', 'reversed')),
    -- Why it is to be reversed, once it is. It is never taken back.
    reversal      TEXT,
    reference     TEXT,
    detail        TEXT,
    odd_answers   INTEGER NOT NULL,
    -- Whether its sale was paid with it. Then nothing of it changes any more.
    used          INTEGER NOT NULL CHECK (used IN (0, 1)),
    -- The newest event when it was asked for: tells the age of the row.
    position      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_by_sale ON attempt (sale_id);
CREATE INDEX attempt_by_position ON attempt (position);
-- Those of which something is still to come: an answer, a reversal, or the sale that uses it.
CREATE INDEX attempt_unsettled ON attempt (asked_at) WHERE used = 0 AND state IN ('asked', 'approved', 'unknown');
