"""How a client reaches the limits of HTTP/3; see `reaching`."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted, QuicEvent
from aioquic.quic.packet import QuicErrorCode

from tests.sockets.server_process import ServerProcess

#: A port for it, which the log names.
HTTP3 = '[http3]\nlisten = ["udp:0:interface=127.0.0.1"]\n'


class Http3Socket:
    """One connection of aioquic's client, moved by hand; close it."""

    def __init__(self, server: ServerProcess) -> None:
        found = re.search(r"serving https://127\.0\.0\.1:(\d+) \(HTTP/3\)", server.log)
        assert found is not None, server.log
        configuration = QuicConfiguration(alpn_protocols=["h3"], server_name="localhost")
        configuration.load_verify_locations(cafile=str(server.authority))
        self.quic = QuicConnection(configuration=configuration)
        self._address = ("127.0.0.1", int(found[1]))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(0.2)
        self.quic.connect(self._address, now=time.monotonic())

    def close(self) -> None:
        """Leave without a word."""
        self._socket.close()

    def events(self, seconds: float = 60.0) -> Iterator[QuicEvent]:
        """What happens."""
        quic, until = self.quic, time.monotonic() + seconds
        while time.monotonic() < until and quic._close_event is None:
            for data, _ in quic.datagrams_to_send(now=time.monotonic()):
                self._socket.sendto(data, self._address)
            try:
                data = self._socket.recv(65536)
                quic.receive_datagram(data, self._address, now=time.monotonic())
            except TimeoutError:
                due = quic.get_timer()
                if due is not None and due <= time.monotonic():
                    quic.handle_timer(now=time.monotonic())
            while (event := quic.next_event()) is not None:
                yield event

    def connected(self) -> str:
        """Whether it gets in."""
        for event in self.events():
            if isinstance(event, HandshakeCompleted):
                return "open"
        close = self.quic._close_event
        return "nothing" if close is None else QuicErrorCode(close.error_code).name


def http3_connections(server: ServerProcess) -> list[str]:
    """Three are there; one more is told."""
    with contextlib.ExitStack() as stack:

        def one() -> str:
            return stack.enter_context(contextlib.closing(Http3Socket(server))).connected()

        assert [one() for _ in range(3)] == ["open"] * 3
        return [one()]
