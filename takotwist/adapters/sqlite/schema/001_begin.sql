-- One row about the log as a whole.
--   began    the id at which this file was made: nothing before it was ever in it
--   head     the highest id ever given out
--   removed  the watermark of every topic that has no row: `began`, or the highest
--            head of a topic that was dropped since
--   boot     which run of the machine may hold commits that are not on the disk
--            yet; empty when the log was closed in order
CREATE TABLE store (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    began INTEGER NOT NULL,
    head INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    boot TEXT NOT NULL DEFAULT ''
);

-- One row a topic: the numbers beside its messages, its bounds as last told, and
-- when a sweep shall look at it (never later than there is something to do).
CREATE TABLE topic (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    head INTEGER NOT NULL,
    oldest INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    active_us INTEGER NOT NULL,
    due_us INTEGER NOT NULL,
    replay_window_ms INTEGER NOT NULL,
    inactivity_ttl_ms INTEGER NOT NULL,
    replay_max_messages INTEGER NOT NULL,
    replay_max_bytes INTEGER NOT NULL
);

CREATE INDEX topic_due ON topic (due_us);

-- Clustered by topic and id, so that a replay is one contiguous read and a
-- removal one contiguous delete.  No index on time: the id is the time.
-- `size` is the size that counts for the bounds; `data` comes last, because it
-- alone may run over onto pages of its own.
-- The first message of an append with an idempotency key carries the key and how
-- many messages the append had: so a key lives exactly as long as its messages.
CREATE TABLE message (
    topic INTEGER NOT NULL,
    id INTEGER NOT NULL,
    size INTEGER NOT NULL,
    type TEXT NOT NULL,
    idempotency_key TEXT,
    span INTEGER,
    data BLOB NOT NULL,
    PRIMARY KEY (topic, id)
) WITHOUT ROWID;

CREATE UNIQUE INDEX message_idempotency_key ON message (topic, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
