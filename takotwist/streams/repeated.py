"""Heads of requests that were answered before, and a short way to answer them again.

A program that posts sends the same head thousands of times, byte for byte, and
reading it costs more than all that follows.  Rule: a head is remembered only
after a request with it went the whole way, and whoever answers it again can
always say no, upon which the request goes the whole way too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

#: Longer heads are not remembered, and not more than so many: a head is of one topic, and
#: only of a publisher whose key was good.
MAX_HEAD, MAX_HEADS = 2048, 8192

#: Bodies longer than this are not: they come in many pieces anyway.
MAX_BODY = 64 * 1024

#: Answers one more request with a known head: its body, and what to call once with
#: the whole answer.  `False` where it cannot; then nothing has happened.
AnswerAgain = Callable[[bytes, Callable[[bytes], None]], bool]


@attrs.frozen(slots=True)
class Known:
    """A head that was answered.

    :ivar length: of the body that goes with it.
    """

    length: int
    answer: AnswerAgain


class RepeatedHeads:
    """The heads that one site remembers; the oldest is forgotten first."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}
        self.get = self._known.get

    def remember(self, head: bytes, known: Known) -> None:
        """Answer `head` that way from now on."""
        self._known.pop(head, None)
        if len(self._known) >= MAX_HEADS:
            del self._known[next(iter(self._known))]
        self._known[head] = known

    def forget(self, head: bytes) -> None:
        """It is to go the whole way again."""
        self._known.pop(head, None)

    def __len__(self) -> int:
        return len(self._known)


def body_length(request: Any) -> int | None:
    """Length of the body of a request that may be answered again, or `None`.

    :param request: of HTTP/1.1, on a connection that stays open.
    """
    headers = request.requestHeaders
    lengths: list[bytes] = headers.getRawHeaders(b"content-length") or []
    if (
        request.method != b"POST"
        or request.clientproto != b"HTTP/1.1"
        or len(lengths) != 1
        or headers.hasHeader(b"transfer-encoding")
        or headers.hasHeader(b"expect")
        or headers.hasHeader(b"connection")
    ):
        return None
    length = int(lengths[0])
    return length if length <= MAX_BODY else None
