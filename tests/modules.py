"""Modules that a test has written itself."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType


def forget_modules(folder: Path) -> None:
    """Have nothing imported any more that was read from below `folder`.

    Rejected: to forget all that was not there before the test.  It may be the first that needs a
    library, and a second copy of that has exceptions which nobody catches.
    """
    # As text: there are thousands of modules.
    below = tuple(f"{one}/" for one in (folder, folder.resolve()))
    for name, module in list(sys.modules.items()):
        if any(f"{place}/".startswith(below) for place in _places(module)):
            del sys.modules[name]


def _places(module: ModuleType | None) -> list[str]:
    # Some stand-ins for a module raise where they have no such attribute, or have another type.
    known = getattr(module, "__dict__", {})
    places = [known.get("__file__"), *(known.get("__path__") or ())]
    return [place for place in places if isinstance(place, str)]
