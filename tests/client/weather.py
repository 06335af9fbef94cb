"""Something between a client and its server that answers for it: a portal, a router, a firewall.

The first connections get what is not the server's; later ones are passed on to it.
"""

from __future__ import annotations

import contextlib
import socket
import threading

HTML = b"<html>Log in to the WLAN</html>"


def answer(
    status: bytes, body: bytes = HTML, kind: bytes = b"text/html", more: bytes = b""
) -> bytes:
    """An HTTP answer of somebody else."""
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n%b" % (
        status,
        kind,
        len(body),
        more,
        body,
    )


#: What comes between, by what people call it.
WEATHER = {
    "a captive portal": answer(b"200 OK"),
    "a portal that redirects": answer(b"302 Found", more=b"Location: https://login.example/\r\n"),
    "a gateway that checks tokens": answer(
        b"401 Unauthorized", b'{"message":"no"}', b"application/json"
    ),
    "a firewall": answer(b"403 Forbidden"),
    "a router during a deploy": answer(b"404 Not Found", b"", b"text/plain"),
    "a cache": answer(b"410 Gone"),
    "a proxy that speaks JSON": answer(
        b"400 Bad Request", b'{"code":400,"error":"x"}', b"application/json"
    ),
    "a proxy with codes of its own": answer(
        b"404 Not Found", b'{"code":"no-route"}', b"application/json"
    ),
    "a gateway without its upstream": answer(b"502 Bad Gateway"),
    "a stream of somebody else's type": answer(b"200 OK", b"data: 1\n\n", b"text/plain"),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "a head that is cut in the status": b"HTTP/1.",
    "a head that is cut in a header": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-str",
    "a refusal that is cut in its body": answer(
        b"403 Forbidden", b'{"error":"No.","code":"verify-rejected"}', b"application/json"
    )[:-20],
    "an upgrade by somebody else": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Accept: bm8=\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "nothing": b"",
}


class Front:
    """Stands before a server on this machine.

    :param port: the server's.
    :param weather: what each of the first connections gets, before it is closed.
    """

    def __init__(self, port: int, weather: list[bytes]) -> None:
        self._port = port
        self._weather = list(weather)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    @property
    def left(self) -> int:
        """How many have not been answered otherwise yet."""
        return len(self._weather)

    def __enter__(self) -> Front:
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        for one in [self._listening, *self._sockets]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._sockets.append(client)
                if self._weather:
                    self._start(self._answer, client, self._weather.pop(0))
                    continue
                try:
                    server = socket.create_connection(("localhost", self._port))
                except OSError:
                    client.close()
                    continue
                self._sockets.append(server)
                self._start(self._pump, client, server)
                self._start(self._pump, server, client)

    @staticmethod
    def _answer(client: socket.socket, data: bytes) -> None:
        with contextlib.suppress(OSError):
            client.recv(65_536)
            # In two pieces, as it comes over a network.
            client.sendall(data[: len(data) // 2])
            client.sendall(data[len(data) // 2 :])
            client.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
