-- While ids are ahead of the clock: every id up to `id` was stored at `by_us` or before
-- (`Ages` in core/retention.py).
CREATE TABLE mark (
    id INTEGER PRIMARY KEY,
    by_us INTEGER NOT NULL
);
