-- What was compared with the stores and differed, and what is to be compared now.

-- A business date of a store of which the ledger held something else than the store. A row for each time that it was found;
-- while it lasts it is the same row.
CREATE TABLE reconciliation (
    reconciliation_no   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    store_no            bigint NOT NULL REFERENCES stores,
    business_date       date   NOT NULL,
    found_at_ms         bigint NOT NULL,
    -- What differed, in words.
    what                text   NOT NULL,
    -- Sales and refunds of the date, as the store counted them and as the ledger did when it was found.
    store_facts         bigint NOT NULL,
    ledger_facts        bigint NOT NULL,
    -- Events that the store was asked for again, that came again, and that have their rows again.
    asked_events        bigint NOT NULL DEFAULT 0,
    received_events     bigint NOT NULL DEFAULT 0,
    restored_events     bigint NOT NULL DEFAULT 0,
    -- When ledger and store agreed again; none as long as they do not.
    repaired_at_ms      bigint,
    -- What came of it: open, repaired, or why not.
    outcome             text   NOT NULL,
    changed_at_ms       bigint NOT NULL
);
CREATE UNIQUE INDEX reconciliation_open ON reconciliation (store_no, business_date) WHERE repaired_at_ms IS NULL;
CREATE INDEX reconciliation_by_store ON reconciliation (store_no, business_date);

-- Dates that a person wants to be compared at once.
CREATE TABLE reconciliation_wishes (
    store_no       bigint NOT NULL REFERENCES stores,
    business_date  date   NOT NULL,
    wished_at_ms   bigint NOT NULL,
    PRIMARY KEY (store_no, business_date)
);
