-- Messages with keys (`Append.keys` in core/log.py): a later one of a key replaces the earlier,
-- and those of which `kept` is set stay until then.  A topic's `oldest`, `messages` and `bytes`
-- are of what is in its window, so not of these, which have numbers of their own.
ALTER TABLE message ADD COLUMN key TEXT;
ALTER TABLE message ADD COLUMN kept INTEGER;
ALTER TABLE topic ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN kept_bytes INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX message_key ON message (topic, key) WHERE key IS NOT NULL;
