-- Price books by which stores sell, for computing their prices again; and what came out otherwise.

CREATE TABLE price_books (
    hash         BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    version      TEXT    NOT NULL,
    added_at_ms  INTEGER NOT NULL,
    -- The document in its canonical form.
    json         BLOB    NOT NULL
) STRICT;

-- A sale that does not cost what its price book says. The sale stays as it is.
CREATE TABLE price_differences (
    sale_id         BLOB    PRIMARY KEY CHECK (length(sale_id) = 16),
    store_no        INTEGER NOT NULL REFERENCES stores,
    found_at_ms     INTEGER NOT NULL,
    sold_minor      INTEGER NOT NULL,
    computed_minor  INTEGER NOT NULL,
    -- The first thing that differs.
    what            TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX price_differences_by_store ON price_differences (store_no, found_at_ms);
