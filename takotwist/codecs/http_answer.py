"""HTTP/1.1 as bytes, from the asking side: one answer.

Knows no socket, so that a thread, an asyncio loop and a reactor read answers alike.
Rejected: the standard library's client, which can only block, and whose errors repeat
the header that they refuse.  Rule: what is no whole answer is an error, never a short one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

#: Most bytes of an answer that are read.
MAX_ANSWER_BYTES = 64 * 2**20

#: Most bytes of an answer's head, and of the line before a chunk.
MAX_HEAD_BYTES = 65_536

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: .*)?")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?")


class BrokenAnswer(ConnectionError):
    """No HTTP answer, or only a part of one, has come."""


@attrs.frozen(slots=True)
class HttpAnswer:
    """:ivar headers: by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@attrs.define(slots=True)
class AnswerReader:
    """Reads one answer, in any pieces.

    :ivar begun: whether anything of it has come.
    :ivar reusable: whether another request may follow on the connection.
    """

    begun: bool = False
    reusable: bool = False
    _data: bytearray = attrs.field(factory=bytearray)
    _status: int = 0
    _headers: dict[str, str] = attrs.field(factory=dict)
    _body: bytearray = attrs.field(factory=bytearray)
    _left: int | None = None
    _chunked: bool = False
    _in_trailer: bool = False

    def feed(self, data: bytes) -> HttpAnswer | None:
        """The answer, where `data` completed it.

        :raises BrokenAnswer: it is none, or too large.
        """
        self.begun = True
        self._data += data
        if not self._status and not self._read_head():
            return None
        whole = self._read_chunks() if self._chunked else self._read_plain()
        if len(self._body) > MAX_ANSWER_BYTES:
            raise BrokenAnswer("the answer is too large")
        return self._answer() if whole else None

    def ended(self) -> HttpAnswer:
        """The connection ended.

        :return: the answer, where its end is that of the connection.
        :raises BrokenAnswer: it was cut.
        """
        if self._status and self._left is None and not self._chunked:
            return self._answer()
        raise BrokenAnswer(
            "the connection was closed within the answer"
            if self.begun
            else "the connection was closed without an answer"
        )

    def _answer(self) -> HttpAnswer:
        # More than was asked for belongs to nobody.
        self.reusable = self.reusable and not self._data
        return HttpAnswer(self._status, self._headers, bytes(self._body))

    def _read_head(self) -> bool:
        while True:
            end = self._data.find(b"\r\n\r\n")
            if max(end, 0 if end >= 0 else len(self._data)) > MAX_HEAD_BYTES:
                raise BrokenAnswer("the head of the answer is too long")
            if end < 0:
                return False
            lines = bytes(self._data[:end]).split(b"\r\n")
            del self._data[: end + 4]
            first = _STATUS_LINE.fullmatch(lines[0])
            if first is None:
                raise BrokenAnswer("the answer is no HTTP")
            status = int(first[2])
            if status >= 200:
                break
            if status == 101:
                raise BrokenAnswer("the answer is an upgrade that nobody asked for")
            # An interim answer; the real one follows.
        self._status, self._headers = status, _fields(lines[1:])
        self._frame(first[1] == b"1")
        return True

    def _frame(self, persistent: bool) -> None:
        said = self._headers.get("connection", "").lower()
        self.reusable = persistent and "close" not in said
        length = self._headers.get("content-length")
        if self._status in (204, 304):
            self._left = 0
        elif "transfer-encoding" in self._headers:
            if self._headers["transfer-encoding"].strip().lower() != "chunked":
                raise BrokenAnswer("the answer has an unknown transfer encoding")
            self._chunked = True
        elif length is not None:
            if not (length.isascii() and length.isdigit() and len(length) < 16):
                raise BrokenAnswer("the answer has an impossible length")
            self._left = int(length)
        else:
            self.reusable = False

    def _read_plain(self) -> bool:
        taken = self._data if self._left is None else self._data[: self._left]
        self._body += taken
        if self._left is None:
            self._data.clear()
            return False
        self._left -= len(taken)
        del self._data[: len(taken)]
        return self._left == 0

    def _read_chunks(self) -> bool:
        while True:
            if self._left:
                taken = self._data[: self._left]
                self._body += taken
                self._left -= len(taken)
                del self._data[: len(taken)]
                if self._left or len(self._body) > MAX_ANSWER_BYTES:
                    return False
            line = self._line()
            if line is None:
                return False
            if self._in_trailer:
                if not line:
                    return True
            elif self._left == 0 and not line:
                # The line end behind a chunk.
                self._left = None
            else:
                size = _CHUNK_SIZE.fullmatch(line)
                if size is None or self._left == 0:
                    raise BrokenAnswer("the answer has a broken chunk")
                self._left = int(size[1], 16)
                if self._left == 0:
                    self._left, self._in_trailer = None, True

    def _line(self) -> bytes | None:
        end = self._data.find(b"\r\n")
        if end > MAX_HEAD_BYTES or (end < 0 and len(self._data) > MAX_HEAD_BYTES):
            raise BrokenAnswer("the answer has a broken chunk")
        if end < 0:
            return None
        line = bytes(self._data[:end])
        del self._data[: end + 2]
        return line


def _fields(lines: list[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or not name:
            raise BrokenAnswer("the answer has a broken header")
        if name == "content-length" and fields.get(name, value) != value:
            raise BrokenAnswer("the answer has two lengths")
        fields[name] = f"{fields[name]}, {value}" if fields.get(name, value) != value else value
    return fields
