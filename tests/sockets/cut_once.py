"""A relay that cuts connections exactly where a test says, and not by chance."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress


class CutOnce:
    """Passes bytes on to a port of 127.0.0.1; cuts where the server says certain ones.

    A needle is used once.  The connection on which it comes is cut right behind it.

    :ivar cuts: how many connections it has cut.
    """

    def __init__(self, to: int, *needles: bytes) -> None:
        self._to, self._needles = to, list(needles)
        self.cuts = 0
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._begin(self._accept)

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                near.close()
                continue
            self._sockets += [near, far]
            self._begin(self._pass, near, far, False)
            self._begin(self._pass, far, near, True)

    def _pass(self, source: socket.socket, target: socket.socket, watched: bool) -> None:
        said = b""
        with suppress(OSError):
            while data := source.recv(65_536):
                before, said = len(said), said + data
                end = self._end_in(said) if watched else None
                target.sendall(data if end is None else data[: max(0, end - before)])
                if end is not None:
                    break
                said = said[-256:]
        for one in (source, target):
            _end(one)

    def _end_in(self, said: bytes) -> int | None:
        """Where to cut; `None`: nowhere."""
        with self._lock:
            for needle in self._needles:
                at = said.find(needle)
                if at >= 0:
                    self._needles.remove(needle)
                    self.cuts += 1
                    return at + len(needle)
        return None

    def close(self) -> None:
        """End it and every connection."""
        for one in (self._listening, *self._sockets):
            _end(one)
        for thread in self._threads:
            thread.join(5)
        for one in (self._listening, *self._sockets):
            one.close()


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
