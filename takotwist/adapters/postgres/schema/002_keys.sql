-- Messages with keys (`Append.keys` in core/log.py): a later one of a key replaces the earlier,
-- which is deleted at once, and those that are `kept` stay until then, also with ids up to the
-- topic's `removed`.  A topic's `oldest`, `messages` and `bytes` are of what is in its window, so
-- not of these, which have numbers of their own.
-- `kept` is true or null.  The digest of a message's key is where other messages have their
-- idempotency key, with which such a message is not sent, and has no `span`: a column and an index
-- of its own would cost each message that has neither.
ALTER TABLE message ADD COLUMN kept boolean;
ALTER TABLE topic ADD COLUMN kept bigint NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN kept_bytes bigint NOT NULL DEFAULT 0;

-- After the clock was set back every topic is planned anew, some of them in each sweep: those
-- with rows up to `planned` were, and null where all are.
ALTER TABLE store ADD COLUMN planned bigint;
