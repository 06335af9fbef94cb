"""The grammar of ``text/event-stream``, read in any pieces (WHATWG HTML, section 9.2.6).

Rule: nothing of a block counts before the blank line that ends it, its id least
of all: a cursor taken from half a block would skip the other half.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

import attrs

from takotwist.client.errors import ProtocolBroken

_LINE_END = re.compile("\r\n|\n|\r")


@attrs.frozen(slots=True)
class Block:
    """What stood between two blank lines.

    :ivar event: its name; empty where it has none.
    :ivar data: the lines joined, or `None` where there was no ``data``.
    :ivar id: or `None` where there was no usable one.
    """

    event: str
    data: str | None
    id: str | None


@attrs.frozen(slots=True)
class RetrySaid:
    """The server's ``retry:``, in milliseconds.  It counts from its line on."""

    retry_ms: int


@attrs.define(slots=True)
class EventStream:
    """Bytes in, blocks out.

    :param max_bytes: of one block; more breaks the stream.
    """

    _max_bytes: int
    _decoder: codecs.IncrementalDecoder = attrs.field(
        factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )
    _partial: list[str] = attrs.field(factory=list)
    _size: int = 0
    _after_cr: bool = False
    _begun: bool = False
    _event: str = ""
    _data: list[str] = attrs.field(factory=list)
    _id: str | None = None

    def feed(self, data: bytes) -> Iterator[Block | RetrySaid]:
        """What `data` completed.

        :raises ProtocolBroken: when a block is longer than allowed.
        """
        text = self._decoder.decode(data)
        if not text:
            return
        if not self._begun:
            self._begun = True
            text = text.removeprefix("\ufeff")
        if self._after_cr:
            text = text.removeprefix("\n")
        self._after_cr = data.endswith(b"\r")
        *lines, rest = _LINE_END.split(text)
        for line in lines:
            whole = "".join([*self._partial, line]) if self._partial else line
            self._partial.clear()
            yield from self._line(whole)
        if rest:
            self._partial.append(rest)
            self._count(len(rest))

    def _count(self, more: int) -> None:
        self._size += more
        if self._size > self._max_bytes:
            raise ProtocolBroken(f"The server sent a block of over {self._max_bytes} bytes.")

    def _line(self, line: str) -> Iterator[Block | RetrySaid]:
        if not line:
            if self._data or self._id is not None:
                data = "\n".join(self._data) if self._data else None
                yield Block(self._event, data, self._id)
            self._event, self._id, self._size = "", None, 0
            self._data.clear()
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._count(len(value))
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "event":
            self._event = value
        elif field == "retry" and value.isascii() and value.isdigit():
            yield RetrySaid(int(value[:12]))
