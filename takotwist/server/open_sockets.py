"""Listeners over TCP and Unix sockets, from their opening to their close.

Those of a server, or of the supervisor of several workers.  Rule: a socket file that is not
ours is neither removed nor replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import ensureDeferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.errors import TakoError
from takotwist.interfaces import IReactor
from takotwist.server.listen import Listen, Listening, open_listener, open_listeners
from takotwist.server.sockets import FileId, file_id, reserve_path


@attrs.define(slots=True, eq=False)
class OpenSockets:
    """The listeners.

    :param on_open: is told each that was opened, its number among `wanted` first.
    :ivar opened: those that are open, in the order of `wanted`.
    """

    _reactor: IReactor
    _wanted: Sequence[Listen]
    _on_open: Callable[[int, Listening], object]
    opened: Sequence[Listening] = attrs.field(default=(), init=False)
    #: Which socket file is ours, by its path.
    _socket_files: dict[str, FileId | None] = attrs.field(factory=dict, init=False)
    _said: str = attrs.field(default="", init=False)
    _closed: bool = attrs.field(default=False, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def open(self) -> None:
        """Open all of them, and read from none.

        :raises TakoError: one cannot be opened; then none is.
        """
        opening = ensureDeferred(open_listeners(self._reactor, self._wanted))
        failures: list[Failure] = []

        def opened(listening: Sequence[Listening]) -> None:
            self.opened = listening
            for at, one in enumerate(listening):
                one.port.stopReading()
                self._note(at, one)

        opening.addCallbacks(opened, failures.append)
        if failures:
            failures[0].raiseException()

    def read(self) -> None:
        """Let in whoever waits, and all who come."""
        for one in self.opened:
            one.port.startReading()

    def abandon(self) -> None:
        """Stop listening, before the reactor runs."""
        for one in self.opened:
            maybeDeferred(one.port.stopListening)

    async def look_after(self) -> None:
        """Listen again at each Unix path whose socket was removed, once its folder is there."""
        for at, one in enumerate(self.opened):
            path = one.path
            if path is None or self._is_ours(one) or self._closed:
                continue
            if file_id(path) is not None or not os.path.isdir(os.path.dirname(path) or "."):
                # Somebody else's, who may be serving it; or not the time yet.
                continue
            try:
                if one.port.connected:
                    reserve_path(path)
                    await maybeDeferred(one.port.stopListening)
                again = await open_listener(self._reactor, one.listen)
            except (TakoError, OSError) as bad:
                if str(bad) != self._said:
                    self._said = str(bad)
                    self._log.warn("{path} was removed: {bad}", path=path, bad=str(bad))
                continue
            if self._closed:
                await maybeDeferred(again.port.stopListening)
                return
            self.opened = [*self.opened[:at], again, *self.opened[at + 1 :]]
            self._note(at, again)
            self._said = ""
            self._log.warn("{path} was removed; it is served again", path=path)

    async def close(self) -> None:
        """Accept nobody more; connections stay."""
        self._closed = True
        for one in self.opened:
            # What waits in a socket of systemd's stays there for our successor.
            one.port.stopReading()
            if self._is_ours(one):
                # Else Twisted would remove what is another's, or fail where there is nothing.
                await maybeDeferred(one.port.stopListening)

    def _is_ours(self, one: Listening) -> bool:
        """True if the file at a listener's Unix path, where it has one, is its socket."""
        return one.path is None or file_id(one.path) == self._socket_files.get(one.path)

    def _note(self, at: int, one: Listening) -> None:
        self._on_open(at, one)
        if one.path is not None:
            self._socket_files[one.path] = file_id(one.path)
