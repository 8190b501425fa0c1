-- Operators, what they have allowed, and tills that are paired. Moments are milliseconds since 1970 (UTC), positions are
-- those of `event`.

-- Who works in the store. A row stays when somebody leaves: the trail names them.
CREATE TABLE operator (
    operator_id    TEXT    PRIMARY KEY,
    name           TEXT    NOT NULL,
    -- cashier, shift_lead, manager.
    role           TEXT    NOT NULL,
    -- 1 as long as they may sign on.
    active         INTEGER NOT NULL CHECK (active IN (0, 1)),
    -- Argon2id of the PIN, as a PHC string.
    pin_hash       TEXT    NOT NULL,
    -- Wrong PINs since the last right one, and when the last of them was.
    failed         INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
    last_failed_at INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Who is signed on: one operator at a till.
CREATE TABLE sign_on (
    till_id     TEXT    PRIMARY KEY,
    operator_id TEXT    NOT NULL REFERENCES operator (operator_id),
    since       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_on_by_operator ON sign_on (operator_id);

-- What somebody has allowed: one action on one subject at one till, once. A row goes when the events of its time go.
CREATE TABLE approval (
    approval_id BLOB    PRIMARY KEY CHECK (length(approval_id) = 16),
    action      TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    operator_id TEXT    NOT NULL REFERENCES operator (operator_id),
    till_id     TEXT    NOT NULL,
    made_at     INTEGER NOT NULL,
    -- The newest event when it was made: tells the age of the row.
    position    INTEGER NOT NULL,
    -- The command that used it; null as long as none has.
    used_by     BLOB CHECK (length(used_by) = 16)
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_by_position ON approval (position);

-- Tills that may use the local API. Of a token only the BLAKE3 is kept; it is 32 random bytes, which nobody guesses.
CREATE TABLE paired_till (
    till_id    TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL,
    token_hash BLOB    NOT NULL CHECK (length(token_hash) = 32),
    paired_at  INTEGER NOT NULL,
    -- When the token was taken back; null while it holds.
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
