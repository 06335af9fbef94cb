"""The line of a key in a TOML file: `tomllib` reads values and forgets where they stood.

Rule: a line that is not certain is not said; a file that is no TOML never comes here.
"""

from __future__ import annotations

import re

_PART = r"[A-Za-z0-9_-]+|\"[^\"\\]*\"|'[^']*'"
_DOTTED = rf"(?:{_PART})(?:\s*\.\s*(?:{_PART}))*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")
_MULTILINE = re.compile(r"\"\"\"|'''")


def line_of(text: str, dotted: str) -> int | None:
    """The line in which `dotted` is given a value, or its table begins; from 1.

    A key that is missing is looked for as the table that lacks it.
    """
    wanted = dotted.split(".")
    table: list[str] = []
    best: tuple[int, int] | None = None
    quotes = ""
    for number, line in enumerate(text.splitlines(), 1):
        if quotes:
            if quotes in line:
                quotes = ""
            continue
        header = _HEADER.match(line)
        key = None if header else _KEY.match(line)
        if header:
            table = _parts(header[1])
            found = table
        elif key:
            found = [*table, *_parts(key[1])]
            opened = _MULTILINE.findall(line)
            quotes = opened[0] if len(opened) % 2 else ""
        else:
            continue
        if found == wanted[: len(found)] and (best is None or len(found) > best[0]):
            best = len(found), number
    return best[1] if best else None


def _parts(dotted: str) -> list[str]:
    return [one.strip("\"'") for one in re.findall(_PART, dotted)]
