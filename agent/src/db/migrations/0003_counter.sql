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
