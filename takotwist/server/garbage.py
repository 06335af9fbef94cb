"""How often Python looks for garbage in cycles.

Its default is made for scripts: at every 700 new objects it looks, and whatever
was loaded at the start is looked through again and again.  A server makes
thousands of objects for each second of handshakes, nearly all of which go by
themselves.
"""

from __future__ import annotations

import gc

#: New objects until the youngest are looked through; then how often the older are.
YOUNG, MIDDLE, OLD = 10_000, 20, 20


def settle_garbage() -> None:
    """What is loaded now stays; look less often from here on.  For whole processes only."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
