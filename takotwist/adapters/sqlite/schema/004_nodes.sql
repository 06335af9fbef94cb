-- Numbered topics (`Append.numbered` in core/log.py): the place of the newest such message,
-- and of each; null where there is none.
ALTER TABLE topic ADD COLUMN epoch INTEGER;
ALTER TABLE topic ADD COLUMN seq INTEGER;
ALTER TABLE message ADD COLUMN epoch INTEGER;
ALTER TABLE message ADD COLUMN seq INTEGER;
-- The last batch of each process that appends through the log's writer, with its answer: a
-- batch whose answer was lost is asked about again, and must not be stored twice.
CREATE TABLE batch (
    node TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    stored_us INTEGER NOT NULL,
    answer BLOB NOT NULL
) WITHOUT ROWID;
