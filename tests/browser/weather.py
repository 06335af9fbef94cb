"""A proxy whose weather a test makes: good, or somebody else's answer, or an answer that is cut."""

from __future__ import annotations

import contextlib
import socket
import threading

#: What something between answers in the server's place.
PORTAL = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n"
    b"Connection: close\r\n\r\n<html>Sign in</html>"
)


class WeatherProxy:
    """Passes connections on to `to`, while nothing is in between.

    :ivar between: what happens to connections from now on: `None` passes them on; a number
        lets that many bytes of the server's answer through and cuts; bytes are the answer.
    :ivar met: how many connections had other weather than good.
    """

    def __init__(self, to: int) -> None:
        self.between: int | bytes | None = None
        self.met = 0
        self._to = to
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut what is open."""
        cut, self._open = self._open, []
        for one in cut:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        between = self.between
        with contextlib.suppress(OSError), client:
            if between is not None:
                self.met += 1
            if isinstance(between, bytes):
                client.recv(65536)
                client.sendall(between)
                return
            with socket.create_connection(("127.0.0.1", self._to)) as server:
                self._open.append(server)
                threading.Thread(target=_pass, args=(client, server, None), daemon=True).start()
                _pass(server, client, between)


def _pass(source: socket.socket, target: socket.socket, most: int | None) -> None:
    """Until its end, or for so many bytes."""
    with contextlib.suppress(OSError):
        left = most
        while left is None or left > 0:
            data = source.recv(65536 if left is None else left)
            if not data:
                break
            target.sendall(data)
            left = None if left is None else left - len(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        source.shutdown(socket.SHUT_RDWR)
