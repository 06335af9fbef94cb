"""Types of value: read from TOML or from text, or refused in words.

TOML brings typed values; the environment and flags bring text, which
`from_text` turns into the value that TOML would have.
Rule: a type says what it needs and never what it got, because what it got may
be a secret; the reader adds that where it may be shown.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from pathlib import Path
from typing import Any

import attrs

#: Placeholder of a value that its error need not, or must not, repeat.
UNSAID = object()


class Unfit(ValueError):
    """A value does not fit.

    :ivar needs: "must be ...".
    :ivar value: the part that does not fit, or `UNSAID`.
    :ivar more: what else in the same value does not fit.
    """

    def __init__(self, needs: str, value: object = UNSAID, more: tuple[Unfit, ...] = ()) -> None:
        super().__init__(needs)
        self.needs = needs
        self.value = value
        self.more = more

    def sentences(self, *, secret: bool = False) -> list[str]:
        """The faults, a sentence each, with the values unless they are secret."""
        shown = not secret and self.value is not UNSAID
        mine = f"{self.needs}, not {reprlib.repr(self.value)}" if shown else self.needs
        return [mine, *(one for unfit in self.more for one in unfit.sentences(secret=secret))]


class Kind:
    """One type of value."""

    #: The type in one or two words, for the reference.
    word: str = "value"

    @property
    def allowed(self) -> str:
        """Allowed values in words, as they follow "must be"."""
        return f"a {self.word}"

    def from_text(self, text: str) -> object:
        """The value that TOML would have; text that is none stays text, for `read` to refuse."""
        return text

    def read(self, value: object, folder: Path) -> Any:
        """The value as the program uses it.

        :param folder: the base of a relative path.
        :raises Unfit: it does not fit.
        """
        raise NotImplementedError

    def refuse(self, value: object) -> Unfit:
        """The error for a value of the wrong type or range."""
        return Unfit(f"must be {self.allowed}", value)


@attrs.frozen(slots=True)
class Text(Kind):
    """A string.

    :ivar pattern: what the whole of it must match.
    :ivar needs: the pattern in words.
    """

    pattern: str = r"[^\x00-\x1f\x7f]+"
    needs: str = "text of one line, not empty"
    word = "text"

    @property
    def allowed(self) -> str:
        return self.needs

    def read(self, value: object, folder: Path) -> str:
        if isinstance(value, str) and re.fullmatch(self.pattern, value):
            return value
        raise self.refuse(value)


@attrs.frozen(slots=True)
class Whole(Kind):
    """A whole number."""

    least: int = 0
    most: int = 2**53
    word = "whole number"

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def from_text(self, text: str) -> object:
        return int(text) if re.fullmatch(r"[+-]?[0-9][0-9_]{0,19}", text.strip()) else text

    def read(self, value: object, folder: Path) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.refuse(value)
        if not self.least <= value <= self.most:
            raise self.refuse(value)
        return value


@attrs.frozen(slots=True)
class WholeOrAuto(Whole):
    """A whole number, or the word for one that the machine decides."""

    word = 'whole number or "auto"'

    @property
    def allowed(self) -> str:
        return f'{super().allowed}, or "auto"'

    def read(self, value: object, folder: Path) -> Any:
        return value if value == "auto" else super().read(value, folder)


@attrs.frozen(slots=True)
class Number(Kind):
    """A number that may have a fraction, such as seconds."""

    least: float = 0
    most: float = 1e9
    word = "number"

    @property
    def allowed(self) -> str:
        return f"a number from {self.least:g} to {self.most:.10g}"

    def from_text(self, text: str) -> object:
        try:
            return float(text)
        except ValueError:
            return text

    def read(self, value: object, folder: Path) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self.refuse(value)
        if not (math.isfinite(value) and self.least <= value <= self.most):
            raise self.refuse(value)
        return float(value)


@attrs.frozen(slots=True)
class Flag(Kind):
    """Yes or no."""

    word = "true or false"
    _words = {"true": True, "yes": True, "on": True, "1": True} | {
        "false": False,
        "no": False,
        "off": False,
        "0": False,
    }

    @property
    def allowed(self) -> str:
        return "true or false"

    def from_text(self, text: str) -> object:
        return self._words.get(text.strip().lower(), text)

    def read(self, value: object, folder: Path) -> bool:
        if isinstance(value, bool):
            return value
        raise self.refuse(value)


@attrs.frozen(slots=True)
class Choice(Kind):
    """One of a few words."""

    words: tuple[str, ...]
    word = "word"

    @property
    def allowed(self) -> str:
        return " or ".join(f'"{word}"' for word in self.words)

    def read(self, value: object, folder: Path) -> str:
        if isinstance(value, str) and value in self.words:
            return value
        raise self.refuse(value)


@attrs.frozen(slots=True)
class Location(Kind):
    """A path of a file or folder; it need not exist."""

    word = "path"

    def read(self, value: object, folder: Path) -> Path:
        if isinstance(value, str) and value and "\x00" not in value:
            return folder / Path(value).expanduser()
        raise self.refuse(value)


@attrs.frozen(slots=True)
class Listed(Kind):
    """A list whose items are of one type; as text, commas between them or a JSON array."""

    item: Kind
    least: int = 0

    @property
    def word(self) -> str:  # type: ignore[override]
        return f"list of {self.item.word}"

    @property
    def allowed(self) -> str:
        return f"a list, each item {self.item.allowed}"

    def from_text(self, text: str) -> object:
        if text.lstrip().startswith("["):
            try:
                return json.loads(text)
            except ValueError:
                return text
        return [self.item.from_text(part.strip()) for part in text.split(",") if part.strip()]

    def read(self, value: object, folder: Path) -> tuple[object, ...]:
        if not isinstance(value, (list, tuple)):
            raise self.refuse(value)
        if len(value) < self.least:
            raise Unfit(f"must have at least {self.least} item", value)
        items, wrong = [], []
        for position, one in enumerate(value, 1):
            try:
                items.append(self.item.read(one, folder))
            except Unfit as unfit:
                wrong.append(Unfit(f"item {position} {unfit.needs}", unfit.value))
        if wrong:
            raise Unfit(wrong[0].needs, wrong[0].value, tuple(wrong[1:]))
        return tuple(items)


@attrs.frozen(slots=True)
class Table(Kind):
    """A TOML table, read further by the code that declares it."""

    word = "table"

    def read(self, value: object, folder: Path) -> dict[str, object]:
        if isinstance(value, dict):
            return value
        raise self.refuse(value)
