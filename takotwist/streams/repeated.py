"""Heads of requests that were answered before, and a short way to answer them again.

A program that posts sends the same head thousands of times but for where it posts
to and how much, and reading it costs more than all that follows.  Rule: the rest
of a head is known, byte for byte, only after a request with it went the whole
way, and whoever answers it again can always say no, upon which the request goes
the whole way too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

#: Longer heads are not remembered, and not more than so many: a head is of one publisher,
#: whose key was good.
MAX_HEAD, MAX_HEADS = 2048, 4096

#: Bodies longer than this are not answered the short way: they come in many pieces anyway.
MAX_BODY = 64 * 1024

#: Answers one more request with a known head: its target, its body, and what to call
#: once with the whole answer.  `False` where it cannot; then nothing has happened.
AnswerAgain = Callable[[bytes, bytes, Callable[[bytes], None]], bool]

#: A request with a known head: what answers it, its target, and the length of its body.
Known = tuple[AnswerAgain, bytes, int]

#: The first line of this name.  A head with two of them is never remembered, and what is
#: cut out of a head is the digits alone, so no two heads are mistaken for each other.
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: (0|[1-9][0-9]{0,4})\r\n")


class RepeatedHeads:
    """The heads that one site remembers; the oldest is forgotten first."""

    def __init__(self) -> None:
        self._known: dict[bytes, AnswerAgain] = {}

    def get(self, head: bytes) -> Known | None:
        """How to answer a request with `head`, which begins with ``POST``; `None` if unknown."""
        parts = _parts(head)
        if parts is None:
            return None
        rest, target, length = parts
        answer = self._known.get(rest)
        return None if answer is None or length > MAX_BODY else (answer, target, length)

    def remember(self, head: bytes, answer: AnswerAgain) -> None:
        """Answer `head` that way from now on, whatever its target and its length."""
        parts = _parts(head)
        if parts is None:
            return
        rest = parts[0]
        self._known.pop(rest, None)
        if len(self._known) >= MAX_HEADS:
            del self._known[next(iter(self._known))]
        self._known[rest] = answer

    def forget(self, head: bytes) -> None:
        """It is to go the whole way again."""
        parts = _parts(head)
        if parts is not None:
            self._known.pop(parts[0], None)

    def __len__(self) -> int:
        return len(self._known)


def _parts(head: bytes) -> tuple[bytes, bytes, int] | None:
    """A head's fields without the digits of its length, its target, and its length."""
    line = head.find(b"\r\n")
    length = _LENGTH.search(head, line)
    if length is None or head[line - 9 : line] != b" HTTP/1.1":
        return None
    start, end = length.span(1)
    return head[line:start] + head[end:], head[5 : line - 9], int(head[start:end])


def may_be_repeated(request: Any) -> bool:
    """Whether another request with this head may be answered by the short way.

    :param request: of HTTP/1.1, on a connection that stays open.
    """
    headers = request.requestHeaders
    return (
        request.method == b"POST"
        and request.clientproto == b"HTTP/1.1"
        and len(headers.getRawHeaders(b"content-length") or ()) == 1
        and not headers.hasHeader(b"transfer-encoding")
        and not headers.hasHeader(b"expect")
        and not headers.hasHeader(b"connection")
    )
