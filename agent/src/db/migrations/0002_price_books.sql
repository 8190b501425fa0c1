-- The price books by which the store has sold, the newest last. The newest that this program understands is in force.
CREATE TABLE price_book (
    ordinal      INTEGER PRIMARY KEY,
    hash         BLOB    NOT NULL CHECK (length(hash) = 32),
    version      TEXT    NOT NULL,
    activated_at INTEGER NOT NULL,
    -- The document in its canonical form.
    json         BLOB    NOT NULL
) STRICT;
