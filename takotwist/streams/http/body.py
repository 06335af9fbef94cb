"""A request's body on its way to whoever takes it, at their pace.

Rule: a receiver is told of each byte once and in order, then of exactly one end:
`body_end` or `body_lost`; while it has asked for a pause it is told of a loss alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol


class BodyReceiver(Protocol):
    """The receiver of a body, as it comes."""

    def body_chunk(self, data: bytes) -> None:
        """Some of the body, as the network cut it."""

    def body_end(self) -> None:
        """That was the whole body."""

    def body_lost(self) -> None:
        """The client left, or broke its own framing, before the end."""


class RequestBody:
    """Holds what came while nobody could take it: at most what was already on its way.

    :param pause: stop reading from the client.
    :param resume: read on.
    """

    __slots__ = ("_complete", "_held", "_pause", "_paused", "_receiver", "_resume", "_told")

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._pause = pause
        self._resume = resume
        self._held: deque[bytes] = deque()
        self._receiver: BodyReceiver | None = None
        self._paused = False
        self._complete = False
        self._told = False

    def take(self, receiver: BodyReceiver) -> None:
        """Feed `receiver`, beginning with what is held."""
        self._receiver = receiver
        self.go_on()

    @property
    def is_taken(self) -> bool:
        """True if somebody takes it."""
        return self._receiver is not None

    def came(self, data: bytes) -> None:
        """Some of it came."""
        if self._receiver is None or self._paused or self._held:
            self._held.append(data)
            if not self._paused:
                self._pause()
        else:
            self._receiver.body_chunk(data)

    def ended(self) -> None:
        """All of it came."""
        self._complete = True
        self._feed()

    def lost(self) -> None:
        """The rest will not come."""
        if self._receiver is not None and not self._told and not self._complete:
            self._told = True
            self._held.clear()
            self._receiver.body_lost()

    def drop(self) -> None:
        """Nobody wants it any more."""
        self._receiver = None
        self._told = True
        self._held.clear()

    def hold(self) -> None:
        """The receiver asks for a pause."""
        if not self._paused:
            self._paused = True
            if not self._complete:
                self._pause()

    def go_on(self) -> None:
        """The receiver can take more."""
        self._paused = False
        self._feed()
        if not self._paused and not self._complete:
            self._resume()

    def _feed(self) -> None:
        while self._receiver is not None and not self._paused:
            if self._held:
                self._receiver.body_chunk(self._held.popleft())
            else:
                if self._complete and not self._told:
                    self._told = True
                    self._receiver.body_end()
                return
