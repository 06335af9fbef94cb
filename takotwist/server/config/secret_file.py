"""Secrets that are kept in files of their own.

Rule: a problem names the file and the line, never what is in it.
"""

from __future__ import annotations

import stat
from pathlib import Path

import attrs

from takotwist.server.config.kind import Unfit
from takotwist.server.config.text_file import decode_text
from takotwist.server.config.web_kind import TOKEN

#: A file with more than this is not one of ours.
LARGEST = 1_048_576


@attrs.frozen(slots=True)
class SecretFile:
    """What was read.

    :ivar secrets: one a line, without comments.
    :ivar warning: empty, or that others may read the file.
    """

    secrets: tuple[str, ...] = attrs.field(repr=False)
    warning: str = ""


def read_secret_file(path: Path) -> SecretFile:
    """Read a file that has one secret a line; empty lines and ``#`` lines do not count.

    :raises ValueError: says why it cannot be used, as it follows the key's name.
    """
    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(path.stat().st_mode)
            content = stream.read(LARGEST + 1)
    except OSError as failure:
        raise ValueError(f"names {path}, which cannot be read: {failure.strerror}") from None
    if len(content) > LARGEST:
        raise ValueError(f"names {path}, which is larger than a file of secrets is")
    try:
        text = decode_text(content)
    except ValueError as bad:
        raise ValueError(f"names {path}, which {bad}") from None
    secrets: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        # One that was put together from several has a mark before each.
        line = line.strip().removeprefix("\ufeff")
        if not line or line.startswith("#"):
            continue
        try:
            secrets.append(TOKEN.read(line, path.parent))
        except Unfit as unfit:
            raise ValueError(f"names {path}, whose line {number} {unfit.needs}") from None
    warning = ""
    if mode & 0o004:
        warning = f"{path} holds secrets and everybody on this machine may read it: chmod 640"
    return SecretFile(tuple(secrets), warning)
