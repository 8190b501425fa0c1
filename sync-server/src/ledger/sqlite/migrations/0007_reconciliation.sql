-- What was compared with the stores and differed, and what is to be compared now.

-- A business date of a store of which the ledger held something else than the store. A row for each time that it was found;
-- while it lasts it is the same row.
CREATE TABLE reconciliation (
    reconciliation_no   INTEGER PRIMARY KEY,
    store_no            INTEGER NOT NULL REFERENCES stores,
    business_date       INTEGER NOT NULL,
    found_at_ms         INTEGER NOT NULL,
    -- What differed, in words.
    what                TEXT    NOT NULL,
    -- Sales and refunds of the date, as the store counted them and as the ledger did when it was found.
    store_facts         INTEGER NOT NULL,
    ledger_facts        INTEGER NOT NULL,
    -- Events that the store was asked for again, that came again, and that have their rows again.
    asked_events        INTEGER NOT NULL DEFAULT 0,
    received_events     INTEGER NOT NULL DEFAULT 0,
    restored_events     INTEGER NOT NULL DEFAULT 0,
    -- When ledger and store agreed again; none as long as they do not.
    repaired_at_ms      INTEGER,
    -- What came of it: open, repaired, or why not.
    outcome             TEXT    NOT NULL,
    changed_at_ms       INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX reconciliation_open ON reconciliation (store_no, business_date) WHERE repaired_at_ms IS NULL;
CREATE INDEX reconciliation_by_store ON reconciliation (store_no, business_date);

-- Dates that a person wants to be compared at once.
CREATE TABLE reconciliation_wishes (
    store_no       INTEGER NOT NULL REFERENCES stores,
    business_date  INTEGER NOT NULL,
    wished_at_ms   INTEGER NOT NULL,
    PRIMARY KEY (store_no, business_date)
) STRICT, WITHOUT ROWID;
