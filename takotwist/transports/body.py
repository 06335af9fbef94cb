"""A request's body, whole, within its bound."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from takotwist.errors import MessageTooLarge


class _Whole:
    def __init__(self, limit: int) -> None:
        self.done: Deferred[bytes] = Deferred()
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def body_chunk(self, data: bytes) -> None:
        self._size += len(data)
        if self.done.called:
            return
        if self._size > self._limit:
            self._parts.clear()
            self.done.errback(MessageTooLarge(f"A body may have {self._limit} bytes here."))
        else:
            self._parts.append(data)

    def body_end(self) -> None:
        if not self.done.called:
            self.done.callback(b"".join(self._parts))

    def body_lost(self) -> None:
        if not self.done.called:
            self.done.errback(CancelledError())


def whole_body(request: Any, limit: int) -> Deferred[bytes]:
    """Read the body of a `StreamRequest`.

    :param limit: in bytes.
    :raises MessageTooLarge: it has more.
    """
    whole = _Whole(limit)
    request.stream_body(whole)
    return whole.done
