"""An error in an app's code or configuration, as it is shown to its author.

Rule: the place is read from the sentence, which begins with it wherever the error was found: in
this process, or by a check in another one.
"""

from __future__ import annotations

import re
from pathlib import Path

import attrs

_PLACE = re.compile(r"(?P<file>/.+?):(?P<line>\d+): (?P<what>.*)", re.DOTALL)

#: Lines shown before that of the error.
BEFORE = 2


@attrs.frozen(slots=True)
class Problem:
    """Problem of an app under development.

    :ivar text: the whole sentence, or several, a line each.
    :ivar file: and `line`: the place, where there is one; `what`: the rest.
    """

    text: str
    file: Path | None = None
    line: int = 0
    what: str = ""

    @classmethod
    def of(cls, text: str) -> Problem:
        """Read a sentence."""
        text = text.removeprefix("takotwist: ").strip()
        found = _PLACE.match(text)
        if found is None:
            return cls(text, what=text)
        return cls(text, Path(found["file"]), int(found["line"]), found["what"])

    def shown(self, folder: Path) -> str:
        """The sentence with the path relative to `folder`, and the lines of the place."""
        if self.file is None:
            return self.what
        file = self.file
        if file.is_relative_to(folder):
            file = file.relative_to(folder)
        return "\n".join([f"{file}:{self.line}: {self.what}", *self.excerpt()])

    def excerpt(self) -> list[str]:
        """The line of the error, marked, and some before it; nothing where it cannot be read."""
        try:
            lines = self.file.read_text("utf-8").splitlines() if self.file else []
        except (OSError, UnicodeDecodeError):
            return []
        if not 1 <= self.line <= len(lines):
            return []
        first = max(1, self.line - BEFORE)
        return [
            f"  {'>' if number == self.line else ' '} {number:4} | {lines[number - 1]}"
            for number in range(first, self.line + 1)
        ]
