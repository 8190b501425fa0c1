-- What people do about parked events: fix, waive, try again. For reading, start with the views v_parked and v_parked_actions.

-- open: it waits for a person. waived: a person has decided that it is never to count. fixed: what counts in its place
-- stands in superseding; the row stays only of events beside the followed history, so that nobody parks them again.
ALTER TABLE parked ADD COLUMN state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'waived', 'fixed'));
-- The kind of event, where its bytes say one; none of what was parked before kinds were noted.
ALTER TABLE parked ADD COLUMN kind text;
CREATE INDEX parked_open ON parked (store_no, parked_at_ms) WHERE state = 'open';

-- Who did what, when and why. Rows are only ever added. The hashes make a chain for each parked event.
CREATE TABLE parked_actions (
    action_no  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parked_no  bigint NOT NULL,
    at_ms      bigint NOT NULL,
    -- tried: it stays parked, with the reason beside this. applied, fixed, waived: what became of it.
    what       text NOT NULL CHECK (what IN ('tried', 'applied', 'fixed', 'waived')),
    who        text NOT NULL,
    why        text NOT NULL,
    -- Why it was parked, after this.
    reason     text NOT NULL,
    detail     text NOT NULL,
    -- Of a fix: the BLAKE3 hashes of the bytes as they came and of those that count.
    original   bytea,
    content    bytea,
    -- Over the hash before and all of this row.
    hash       bytea NOT NULL
);
CREATE INDEX parked_actions_by_event ON parked_actions (parked_no, action_no);

-- What counts in the place of a parked event that was fixed. The bytes as they came stay beside it for ever.
CREATE TABLE superseding (
    -- Under this number its rows stand in the other tables: its own, or a fresh one if it had no place in the history.
    event_no     bigint PRIMARY KEY,
    parked_no    bigint NOT NULL UNIQUE,
    store_no     bigint NOT NULL,
    stream_no    bigint NOT NULL,
    seq          bigint NOT NULL,
    -- That of the store's history at its place.
    hash         bytea NOT NULL,
    fixed_at_ms  bigint NOT NULL,
    is_beside    boolean NOT NULL,
    original     bytea NOT NULL,
    bytes        bytea NOT NULL
);

-- Receipt numbers that were given by parked sales and refunds first. They are among receipt_runs.
CREATE TABLE parked_receipts (
    stream_no   bigint NOT NULL,
    seq         bigint NOT NULL,
    hash        bytea NOT NULL,
    store_no    bigint NOT NULL,
    till_id     text COLLATE "C" NOT NULL,
    receipt_no  bigint NOT NULL,
    PRIMARY KEY (stream_no, seq, hash)
);

CREATE FUNCTION only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is only ever added to', TG_TABLE_NAME;
END $$;
CREATE TRIGGER parked_actions_stay BEFORE UPDATE OR DELETE ON parked_actions
    FOR EACH ROW EXECUTE FUNCTION only_added_to();
CREATE TRIGGER superseding_stays BEFORE UPDATE OR DELETE ON superseding
    FOR EACH ROW EXECUTE FUNCTION only_added_to();

CREATE OR REPLACE VIEW v_parked AS
SELECT parked.parked_no, stores.store_id, hex16(streams.epoch) AS epoch, parked.seq,
       local_time(parked.parked_at_ms, 0) AS parked_at_utc, parked.reason, parked.detail,
       parked.state, parked.kind
FROM parked JOIN stores USING (store_no) JOIN streams USING (stream_no);

CREATE VIEW v_parked_actions AS
SELECT action_no, parked_no, local_time(at_ms, 0) AS at_utc, what, who, why, reason, detail
FROM parked_actions;
