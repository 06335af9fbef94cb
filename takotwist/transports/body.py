"""A request's body, whole, within its bound and at its pace."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from takotwist.errors import MessageTooLarge, Overloaded, Refusal
from takotwist.streams.unfinished import REFUSED, Cut, Incoming


class BodyTooSlow(Refusal):
    """A body came too slowly to be waited for."""

    http_status, _sentence, _ = REFUSED[Cut.TOO_SLOW]
    default_sentence = _sentence


def refusal_of_cut(why: Cut) -> Refusal:
    """What a body is refused with that is not waited for."""
    return BodyTooSlow() if why is Cut.TOO_SLOW else Overloaded(REFUSED[why][1])


class _Whole:
    def __init__(self, request: Any, limit: int) -> None:
        self.done: Deferred[bytes] = Deferred()
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._incoming: Incoming = request.site.unfinished.begin(self._cut_off)

    def body_chunk(self, data: bytes) -> None:
        self._size += len(data)
        if self.done.called:
            return
        if self._size > self._limit:
            self._fail(MessageTooLarge(f"A body may have {self._limit} bytes here."))
        else:
            self._parts.append(data)
            self._incoming.holds(self._size)

    def body_end(self) -> None:
        self._incoming.end()
        if not self.done.called:
            self.done.callback(b"".join(self._parts))

    def body_lost(self) -> None:
        if not self.done.called:
            self._fail(CancelledError())

    def _cut_off(self, why: Cut) -> None:
        self._fail(refusal_of_cut(why))

    def _fail(self, why: Exception) -> None:
        self._incoming.end()
        self._parts.clear()
        self.done.errback(why)


def whole_body(request: Any, limit: int) -> Deferred[bytes]:
    """Read the body of a `StreamRequest`.

    :param limit: in bytes.
    :raises MessageTooLarge: it has more.
    :raises BodyTooSlow: :raises Overloaded: it is not waited for any longer.
    """
    if (request.stated_length or 0) > limit:
        raise MessageTooLarge(f"A body may have {limit} bytes here.")
    whole = _Whole(request, limit)
    request.stream_body(whole)
    return whole.done
