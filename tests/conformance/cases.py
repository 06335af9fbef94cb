"""Reads ``cases.txt``: what a client sends and what a conforming server says.

Rule: a case knows no endpoint; how a message is told there is an `Envelope`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from tests.codecs.websocket_reader import client_frame

FILE = Path(__file__).parent / "cases.txt"

#: Where a case without a place is tried.
ENDPOINTS = ("streams", "plain", "explicit", "mux")

#: What a message is on the wire of an endpoint: its text, and how many bytes it is to
#: have at least -> what is before and behind the text.
Envelope = Callable[[str], tuple[bytes, bytes, bytes]]

_TOKEN = re.compile(
    r"(?P<name>[a-z]+)\((?P<inside>[^)]*)\)(?P<rest>.*)|(?P<text>[^#~]+)(?P<more>.*)"
)
_REST = re.compile(r"(?:#(?P<part>\d+|\*)/(?P<of>\d+))?(?P<changes>(?:~[a-z]+\d*)*)$")
_CHANGE = re.compile(r"~([a-z]+)(\d*)")
_OPCODES = {"raw": 1, "binary": 2, "begin": 1, "more": 0, "end": 0, "ping": 9, "pong": 10}


@attrs.frozen
class Token:
    """One frame or message of a case, as it is written."""

    written: str
    name: str
    inside: str
    part: str | None = None
    of: int = 1
    changes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_text(cls, written: str) -> Token:
        """:raises ValueError: it is none."""
        whole = _TOKEN.fullmatch(written)
        rest = whole and _REST.match(whole["rest"] or whole["more"] or "")
        if whole is None or rest is None:
            raise ValueError(written)
        return cls(
            written,
            whole["name"] or "text",
            whole["text"] if whole["name"] is None else whole["inside"],
            rest["part"],
            int(rest["of"] or 1),
            tuple(_CHANGE.findall(rest["changes"])),
        )

    @property
    def payload(self) -> bytes:
        """Of a frame that is written as it is."""
        return as_bytes(self.inside)

    def message(self, envelope: Envelope) -> tuple[bytes, bytes, bytes]:
        """What is before, in and behind the text of a message."""
        match self.name:
            case "hex":
                before, _, behind = envelope("")
                return before, bytes.fromhex(self.inside), behind
            case "point":
                return envelope(chr(int(self.inside, 16)))
            case "size":
                return sized(int(self.inside), envelope)
            case _:
                return envelope(self.inside)

    def frames(self, envelope: Envelope) -> Iterator[bytes]:
        """The frames on the wire."""
        if self.name in ("text", "hex", "point", "size"):
            yield from self._fragments(*self.message(envelope))
        elif self.name == "op":
            opcode, _, payload = self.inside.partition(",")
            yield self._frame(int(opcode), payload.encode())
        elif self.name == "close":
            code, _, reason = self.inside.partition(",")
            stated = struct.pack("!H", int(code)) if code else b""
            yield self._frame(8, stated + as_bytes(reason))
        elif self.name == "closing":
            yield self._frame(8, bytes.fromhex(self.inside))
        else:
            fin = self.name not in ("begin", "more")
            yield self._frame(_OPCODES[self.name], self.payload, fin=fin)

    def _fragments(self, before: bytes, text: bytes, behind: bytes) -> Iterator[bytes]:
        # The text is cut, and its envelope stays whole, as it is nothing to look at.
        step = max(1, len(text) // self.of)
        ends = [min(len(text), step * number) for number in range(1, self.of)] + [len(text)]
        pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        pieces[0] = before + pieces[0]
        pieces[-1] += behind
        chosen = range(self.of) if self.part in (None, "*") else [int(self.part or 0) - 1]
        for number in chosen:
            yield self._frame(0 if number else 1, pieces[number], fin=number == self.of - 1)

    def _frame(self, opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
        changes = dict(self.changes)
        frame = client_frame(
            opcode,
            payload,
            fin=fin and "nofin" not in changes,
            rsv=int(changes.get("rsv", 0)),
            masked="unmasked" not in changes,
            length_bytes=int(changes["len"]) if "len" in changes else None,
        )
        return frame[: len(frame) - int(changes.get("cut", 0))]


@attrs.frozen
class Case:
    """One line.

    :ivar sends: the client's frames; `says`: what is expected.
    :ivar where: names of endpoints.
    """

    number: str
    what: str
    sends: tuple[Token, ...]
    says: tuple[Token, ...]
    where: tuple[str, ...]

    @property
    def name(self) -> str:
        """For who reads of a failure."""
        return f"{self.number} {self.what}"


def sized(size: int, envelope: Envelope) -> tuple[bytes, bytes, bytes]:
    """A message of so many bytes: of stars, or with blanks behind it in its envelope."""
    before, text, behind = envelope("size")
    if not before:
        return b"", b"*" * size, b""
    if not size:
        return b"", b"", b""
    # JSON allows blanks behind; as part of what is cut.
    whole = before + text + behind
    return b"", whole + b" " * (size - len(whole)), b""


def as_bytes(written: str) -> bytes:
    """``x*125``, and ``\\x00`` for bytes."""
    text, times, count = written.partition("*")
    return text.encode().decode("unicode_escape").encode("latin-1") * (int(count) if times else 1)


def read_cases(text: str | None = None) -> list[Case]:
    """All cases.  :raises ValueError: names the line that is none."""
    cases = []
    for line in (FILE.read_text() if text is None else text).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        try:
            number, what, sends, says, *where = (part.strip() for part in line.split("|"))
            places = tuple(where[0].split()) if where and where[0] else ENDPOINTS
            if not set(places) <= set(ENDPOINTS):
                raise ValueError(places)
            cases.append(
                Case(
                    number,
                    what,
                    tuple(map(Token.of_text, sends.split())),
                    tuple(map(Token.of_text, says.split())),
                    places,
                )
            )
        except ValueError as bad:
            raise ValueError(f"{line}: {bad}") from bad
    return cases
