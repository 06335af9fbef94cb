"""A reader that stops reading costs the server nothing, and misses nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import h2.config
import h2.connection
import h2.events
from twisted.trial.unittest import SynchronousTestCase

from tests.codecs.event_source_parser import parse
from tests.sockets.readers import ExplicitReader, Reader, SseReader, WebSocketReader
from tests.sockets.server_process import ServerProcess, wait_until

#: 8 MB, in messages of about 16 KB, and a window that holds them.
COUNT, SIZE = 512, 16_000

CONFIG = """
[limits]
connect_rate = 0
tail_total_bytes = 1048576
max_body_bytes = 4194304
[lifecycle]
replay_max_bytes = 67108864
"""

ROOM = {"roomId": "slow"}


class H2Reader:
    """SSE over HTTP/2 and TLS, by another's HTTP/2.

    The whole connection's window is wide open, as a browser's is; only the socket is not read.

    :ivar messages: all that was seen.
    """

    def __init__(self, server: ServerProcess) -> None:
        trust = server.trust
        trust.set_alpn_protocols(["h2"])
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        raw.connect(("127.0.0.1", server.tls_port))
        self._socket = trust.wrap_socket(raw, server_hostname="localhost")
        assert self._socket.selected_alpn_protocol() == "h2"
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(2**24)
        self._h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**24})
        self._h2.send_headers(
            1,
            [
                (":method", "GET"),
                (":path", "/channels/chat?roomId=slow&last_event_id=0"),
                (":scheme", "https"),
                (":authority", "localhost"),
            ],
            end_stream=True,
        )
        self._flush()
        self._body = b""
        self.messages: list[dict[str, object]] = []
        while b"retry:" not in self._body:
            self.read()

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())

    def read(self) -> None:
        self._socket.settimeout(30)
        data = self._socket.recv(65536)
        assert data, "the server has closed"
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self._body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self._flush()

    def read_until(self, count: int) -> None:
        # Before the messages stands the event that says where the stream begins.
        while self._body.count(b"\n\n") < count + 1:
            self.read()
        self.messages = [
            json.loads(data) for name, data, _ in parse(self._body).events if name == "message"
        ]

    def close(self) -> None:
        self._socket.close()


class SlowReaderTests(SynchronousTestCase):
    """Readers that stop while 8 MB are published to their topic."""

    def setUp(self) -> None:
        self.server = ServerProcess(CONFIG, tls=True)
        self.addCleanup(self.server.close)
        self.server.start()

    def publish(self, first: int, count: int, room: str = "slow") -> None:
        with self.server.private(timeout=60) as private:
            for start in range(first, first + count, 16):
                body = [
                    {"type": "msg", "data": {"n": n, "text": "x" * SIZE}}
                    for n in range(start, start + 16)
                ]
                answer = private.post(f"/channels/chat?roomId={room}", content=json.dumps(body))
                self.assertEqual(answer.status_code, 200, answer.text)

    def stop_reading(self, opened: Callable[[], Reader | H2Reader]) -> None:
        # The same work once without a reader, so that what the server keeps for itself
        # (SQLite's cache, tails, the allocator's arenas) is there already.
        for room in ("warm", "warmer"):
            self.publish(0, COUNT, room)
        reader = opened()
        self.addCleanup(reader.close)
        before = self.server.memory
        self.publish(0, COUNT)
        grown = self.server.memory - before
        self.assertLess(grown, 4 * 2**20, f"{grown / 2**20:.1f} MB")
        reader.read_until(COUNT)
        self.assertEqual(
            [message["data"]["n"] for message in reader.messages],  # type: ignore[index]
            list(range(COUNT)),
        )
        self.publish(COUNT, 16)
        reader.read_until(COUNT + 16)
        self.server.assert_clean()

    def slow(self, kind: type[Reader]) -> Callable[[], Reader]:
        return lambda: kind(self.server.port, "chat", ROOM, "", receive_buffer=65536).begin()

    def test_sse(self) -> None:
        """Over SSE on HTTP/1.1."""
        self.stop_reading(self.slow(SseReader))

    def test_sse_http2(self) -> None:
        """Over SSE on HTTP/2 and TLS, where the server's library would take all of it."""
        self.stop_reading(lambda: H2Reader(self.server))

    def test_websocket(self) -> None:
        """Over a plain WebSocket."""
        self.stop_reading(self.slow(WebSocketReader))

    def test_explicit(self) -> None:
        """Over tako.v1."""
        self.stop_reading(self.slow(ExplicitReader))

    def test_passed_by(self) -> None:
        """A reader that the window has passed by is ended, and told 410 when it resumes."""
        self.server.write_config(CONFIG.replace("67108864", "1048576"))
        self.server.restart()
        reader = self.slow(SseReader)()
        self.addCleanup(reader.close)
        self.publish(0, COUNT)
        with self.assertRaises(Exception) as ended:
            reader.read_until(COUNT)
        self.assertEqual(type(ended.exception).__name__, "Cut")
        self.assertLess(len(reader.messages), COUNT)
        numbers = [message["data"]["n"] for message in reader.messages]
        self.assertEqual(numbers, list(range(len(numbers))))

        def status() -> int:
            try:
                reader.begin()
            except Exception as cut:
                return int(getattr(cut, "status", 0))
            reader.cut()
            return 200

        wait_until(lambda: status() == 410, "410")
