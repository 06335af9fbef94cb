"""Folders that the server makes for its own files."""

from __future__ import annotations

from pathlib import Path

from takotwist.errors import ConfigError


def make_folder(folder: Path) -> None:
    """Make a folder that only the server's user may look into, where it is missing.

    :raises ConfigError: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as failure:
        raise ConfigError(
            f"cannot be made: {failure.strerror}", key="state_dir", source=str(folder)
        ) from None
