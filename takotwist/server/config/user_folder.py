"""The user's own data folder, which all of a user's projects share.

By the XDG Base Directory specification.  Rule: a folder of somebody else is not it,
although the environment may say so: sudo can leave HOME as it was, and what root then
made there its owner could not read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def user_data_folder(environ: Mapping[str, str]) -> Path | None:
    """Ours in the user's data folder; `None` for a user who has no home that is its own."""
    given, home = environ.get("XDG_DATA_HOME", ""), environ.get("HOME", "")
    if given.startswith("/"):
        return Path(given) / "takotwist"
    if home.startswith("/") and _is_own(Path(home)):
        return Path(home) / ".local" / "share" / "takotwist"
    return None


def _is_own(folder: Path) -> bool:
    try:
        return folder.stat().st_uid == os.geteuid() and os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        return False
