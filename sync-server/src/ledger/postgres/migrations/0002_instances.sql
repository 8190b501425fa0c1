-- Several servers on one database: who lives, and who consumes which partition of the topic space.
--
-- Times in these tables are by the database's clock, which all of them share. Rows are rewritten every few seconds, so half
-- of each page is left free.

CREATE FUNCTION clock_ms() RETURNS bigint LANGUAGE sql VOLATILE
    RETURN (extract(epoch FROM clock_timestamp()) * 1000)::bigint;

-- A row for each run of a server. One that ends in order takes its row away; one that dies leaves it behind for an hour.
CREATE TABLE instances (
    -- A random number of the run.
    instance_id    bigint PRIMARY KEY,
    name           text NOT NULL,
    version        text NOT NULL,
    -- Its link to the broker: none is kept, it stands, or it has not stood for a while.
    broker         text NOT NULL CHECK (broker IN ('none', 'up', 'down')),
    started_at_ms  bigint NOT NULL,
    renewed_at_ms  bigint NOT NULL,
    expires_at_ms  bigint NOT NULL
) WITH (fillfactor = 50);

-- A row for each partition, for ever. It is free if it has no holder, or its time is over.
CREATE TABLE partition_leases (
    partition      integer PRIMARY KEY CHECK (partition BETWEEN 0 AND 63),
    holder         bigint,
    -- Counts every taking over.
    fence          bigint NOT NULL DEFAULT 0,
    taken_at_ms    bigint NOT NULL DEFAULT 0,
    renewed_at_ms  bigint NOT NULL DEFAULT 0,
    -- Of a partition that was given back, when that was.
    expires_at_ms  bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO partition_leases (partition) SELECT generate_series(0, 63);

-- One row. Whoever finds that the database lacks what had been committed in it writes another random number here, so that
-- every server asks its stores anew.
CREATE TABLE ledger_incarnation (
    id      integer PRIMARY KEY CHECK (id = 1),
    number  bigint NOT NULL
);
INSERT INTO ledger_incarnation VALUES (1, (random() * 9e15)::bigint);
