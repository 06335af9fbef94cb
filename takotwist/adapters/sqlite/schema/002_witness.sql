-- What the witness beside the file is held to (`witness.py`).
--   run    which run of a server wrote last; empty before the first publish of one
--          that knows of witnesses
--   moved  set in a file that `tako log export` made, and not yet taken up anywhere
ALTER TABLE store ADD COLUMN run TEXT NOT NULL DEFAULT '';
ALTER TABLE store ADD COLUMN moved TEXT NOT NULL DEFAULT '';
