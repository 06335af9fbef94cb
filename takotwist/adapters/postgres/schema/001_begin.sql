-- The functions that are there, by their digest, and when a node of that version was last here.
CREATE TABLE code (
    digest text PRIMARY KEY,
    used_us bigint NOT NULL
);

-- One row about the log as a whole.  Every append and every sweep holds it, so all nodes'
-- transactions pass one after the other and ids rise in the order of commits.
--   began    the id at which this log was made: nothing before it was ever in it
--   head     the highest id ever given out
--   removed  the watermark of every topic that has no row: `began`, or the highest head of a
--            topic that was dropped since
--   floor    below it every cursor is too old, in whatever topic: what was stored up to it may
--            have been lost with another run of the engine
--   fence    which run of the engine it is (function `fence`)
--   looked_us, ahead  how ids and clock stood at the last sweep (`Ages` in core/retention.py)
CREATE TABLE store (
    only_row integer PRIMARY KEY CHECK (only_row = 1),
    began bigint NOT NULL,
    head bigint NOT NULL,
    removed bigint NOT NULL,
    floor bigint NOT NULL DEFAULT 0,
    fence text NOT NULL,
    looked_us bigint NOT NULL DEFAULT 0,
    ahead boolean NOT NULL DEFAULT false
) WITH (fillfactor = 10);

-- One row a topic: the numbers beside its messages, its bounds as last told, and when a sweep
-- shall look at it (never later than there is something to do).
--   digest   of the key, which may be longer than an index takes
--   epoch, seq  the place of the newest numbered message; an epoch begins with the count
--   removed  the highest id that may have been removed.  Such a message is not there for readers
--            any more, and stays in its table for nodes that are about to report it:
--   doomed, doomed_us  what was removed by then may go when nodes have had time to report it
--   purged   the highest id that may be gone from the table too
--   watched_us  when a node last said that it has no subscribers any more
CREATE TABLE topic (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL,
    key text NOT NULL,
    head bigint NOT NULL DEFAULT 0,
    epoch bigint NOT NULL DEFAULT 0,
    seq bigint NOT NULL DEFAULT 0,
    oldest bigint NOT NULL DEFAULT 0,
    messages bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    removed bigint NOT NULL,
    doomed bigint NOT NULL,
    doomed_us bigint NOT NULL DEFAULT 0,
    purged bigint NOT NULL,
    active_us bigint NOT NULL DEFAULT 0,
    watched_us bigint NOT NULL DEFAULT 0,
    due_us bigint NOT NULL DEFAULT 4611686018427387904,
    replay_window_ms bigint NOT NULL,
    inactivity_ttl_ms bigint NOT NULL,
    replay_max_messages bigint NOT NULL,
    replay_max_bytes bigint NOT NULL
) WITH (fillfactor = 70);

CREATE UNIQUE INDEX topic_digest ON topic (digest);
CREATE INDEX topic_due ON topic (due_us);

-- `size` is the size that counts for the bounds.  Types and keys are bytes, because they may
-- hold what `text` cannot.  The first message of an append with an idempotency key carries the
-- key and how many messages the append had: so a key lives exactly as long as its messages.
CREATE TABLE message (
    topic bigint NOT NULL,
    id bigint NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    size bigint NOT NULL,
    span integer,
    type bytea NOT NULL,
    idempotency_key bytea,
    data bytea NOT NULL,
    PRIMARY KEY (topic, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- Not compressed: that would be done while every other publish waits.
ALTER TABLE message ALTER COLUMN data SET STORAGE EXTERNAL;

-- Not unique: what was removed may still be in the table.
CREATE INDEX message_idempotency_key ON message (topic, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- While ids are ahead of the clock: every id up to `id` was stored at `by_us` or before.
CREATE TABLE mark (
    id bigint PRIMARY KEY,
    by_us bigint NOT NULL
);

-- One row a transaction that stored something, for nodes that missed its notification: the ids
-- from after `prev` to `head`, and the rows of the topics, with the begin of the digest of those
-- that are new.
CREATE TABLE batch (
    head bigint PRIMARY KEY,
    prev bigint NOT NULL,
    made_us bigint NOT NULL,
    touched text NOT NULL
);

-- Messages that may be deleted now, which needs nobody to wait.
CREATE TABLE trash (
    topic bigint NOT NULL,
    up_to bigint NOT NULL,
    PRIMARY KEY (topic, up_to)
);

-- The last batch of each node with its answer, so that one whose answer was lost is not stored
-- a second time.
CREATE TABLE writer (
    node text PRIMARY KEY,
    number bigint NOT NULL,
    used_us bigint NOT NULL,
    prev bigint NOT NULL,
    head bigint NOT NULL,
    base bigint NOT NULL,
    repeated integer[] NOT NULL,
    rows bigint[] NOT NULL,
    epochs bigint[] NOT NULL,
    seqs bigint[] NOT NULL
) WITH (fillfactor = 50);

-- The nodes that are there; one whose `until_us` has passed is not.
CREATE TABLE node (
    id text PRIMARY KEY,
    since_us bigint NOT NULL,
    until_us bigint NOT NULL,
    info bytea NOT NULL
) WITH (fillfactor = 50);

-- Topics with an inactivity ttl that have subscribers on a node.
CREATE TABLE lease (
    topic bigint NOT NULL,
    node text NOT NULL,
    PRIMARY KEY (topic, node)
);

CREATE INDEX lease_node ON lease (node);

-- Messages that applications published within transactions of their own (`tako_publish`), until
-- a node has moved them over.
--   refused  why a node could not: it stays here until somebody looks, or a server starts anew
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel text NOT NULL,
    params text NOT NULL,
    type text NOT NULL,
    data text NOT NULL,
    idempotency_key text,
    made timestamptz NOT NULL DEFAULT now(),
    refused text
);

CREATE INDEX outbox_waiting ON outbox (id) WHERE refused IS NULL;

-- The one node that moves them, so that they keep their order.
CREATE TABLE mover (
    only_row integer PRIMARY KEY CHECK (only_row = 1),
    node text NOT NULL,
    until_us bigint NOT NULL
) WITH (fillfactor = 10);

INSERT INTO mover VALUES (1, '', 0);

-- Publish within the application's own transaction: the message is there when that commits, and
-- never was where it does not.  It holds nothing that other publishes wait for.
-- With the rights of the log's owner, for roles that may use this schema and nothing in it.
CREATE FUNCTION tako_publish(
    channel text, params json, type text, data json, idempotency_key text DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
#variable_conflict use_variable
DECLARE
    number bigint;
BEGIN
    IF channel IS NULL OR params IS NULL OR type IS NULL OR data IS NULL THEN
        RAISE EXCEPTION 'channel, params, type and data must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    INSERT INTO outbox (channel, params, type, data, idempotency_key)
        VALUES (channel, params::text, type, data::text, idempotency_key)
        RETURNING outbox.id INTO number;
    PERFORM pg_notify(current_schema() || '_outbox', '');
    RETURN number;
END
$$;

-- No temporary table of a caller's is taken for one of ours.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION tako_publish SET search_path = %I, pg_temp', current_schema());
END
$$;
