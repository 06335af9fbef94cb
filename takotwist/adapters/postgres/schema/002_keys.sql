-- Messages with keys (`Append.keys` in core/log.py): a later one of a key replaces the earlier,
-- which is deleted at once, and those that are `kept` stay until then, also with ids up to the
-- topic's `removed`.  A topic's `oldest`, `messages` and `bytes` are of what is in its window, so
-- not of these, which have numbers of their own.
--   key   its digest: it may be longer than an index takes
--   kept  true, or null
ALTER TABLE message ADD COLUMN key bytea, ADD COLUMN kept boolean;
ALTER TABLE topic ADD COLUMN kept bigint NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN kept_bytes bigint NOT NULL DEFAULT 0;

-- Not unique: what was removed may still be in the table.
CREATE INDEX message_key ON message (topic, key) WHERE key IS NOT NULL;
CREATE INDEX message_kept ON message (topic, id) WHERE kept;

-- After the clock was set back every topic is planned anew, some of them in each sweep: those
-- with rows up to `planned` were, and null where all are.
ALTER TABLE store ADD COLUMN planned bigint;
