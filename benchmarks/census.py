"""Counts, by type, what a server's process holds; imported by the server under measurement.

On ``SIGUSR1`` it writes ``census.json`` into the current folder.  Rule: it only looks
on; what Python's collector does not know (what C libraries allocate) it cannot see.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

CENSUS = Path("census.json")

#: Set on a type whose instances hold their attributes in an array beside them (CPython).
_INLINE_VALUES = 1 << 4


def install() -> None:
    """From now on `SIGUSR1` has the census taken."""
    signal.signal(signal.SIGUSR1, _take)


def _take(_: int, __: FrameType | None) -> None:
    gc.collect()
    written = CENSUS.with_suffix(".part")
    written.write_text(json.dumps({"types": take(), "lines": _lines()}))
    written.rename(CENSUS)


def take() -> dict[str, tuple[int, int]]:
    """The number of objects of each type, and their bytes.

    Strings, numbers and the like are not known to the collector; they are counted by
    what refers to them, each once.
    """
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    values: dict[type, int] = {}
    known = gc.get_objects()
    seen = {id(one) for one in known}
    seen |= {id(seen), id(known), id(counts), id(sizes), id(values)}

    def count(one: Any) -> None:
        kind = type(one)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        counts[name] += 1
        sizes[name] += sys.getsizeof(one) + (
            _inline(one, values) if kind.__flags__ & _INLINE_VALUES else 0
        )

    for one in known:
        if one is seen or one is counts or one is sizes or one is values:
            continue
        count(one)
        for part in gc.get_referents(one):
            if id(part) not in seen and not gc.is_tracked(part):
                seen.add(id(part))
                count(part)
    return {name: (number, sizes[name]) for name, number in counts.items()}


def _inline(one: Any, values: dict[type, int]) -> int:
    """Bytes of the attributes that stand beside an object, of which `getsizeof` knows nothing.

    To ask makes a dictionary of them, so one object of each type is asked for all.
    """
    kind = type(one)
    if kind not in values:
        if any(type(part) is dict for part in gc.get_referents(one)):
            return 0
        values[kind] = sys.getsizeof(one.__dict__) - sys.getsizeof({})
    return values[kind]


def _lines() -> dict[str, tuple[int, int]]:
    """Blocks and bytes by the line that allocated them, where Python traces allocations."""
    if not tracemalloc.is_tracing():
        return {}
    return {
        f"{entry.traceback[0].filename}:{entry.traceback[0].lineno}": (entry.count, entry.size)
        for entry in tracemalloc.take_snapshot().statistics("lineno")
    }
