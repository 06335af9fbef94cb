"""The publisher over real sockets: TCP, TLS and a Unix socket, connections kept and lost."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import socketserver
import ssl
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Publisher
from takotwist.errors import ConfigError, Unreachable
from tests.sockets.trusted_certificate import write_certificates


class _Answering(http.server.BaseHTTPRequestHandler):
    """Stores nothing and says that it did."""

    protocol_version = "HTTP/1.1"
    server: Any

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def address_string(self) -> str:
        return "somebody"

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        drafts = json.loads(self.rfile.read(length))
        self.server.seen.append((self.path, self.headers["Idempotency-Key"]))
        if self.server.hang_up_before_answering:
            self.server.hang_up_before_answering = False
            self.close_connection = True
            return
        body = json.dumps([{"id": "1", "channel": "chat", **draft} for draft in drafts]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        # Closing without saying so is what a server does whose idle time is over.
        self.close_connection = self.server.hang_up_after_answering

    def log_message(self, *args: Any) -> None:
        """Nothing."""


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True

    def __init__(self, address: Any) -> None:
        if isinstance(address, str):
            self.address_family = 1
        self.seen: list[tuple[str, str]] = []
        self.connections = 0
        self.hang_up_before_answering = False
        self.hang_up_after_answering = False
        super().__init__(address, _Answering)


class TestPublisherOverSockets(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def serve(self, address: Any = ("127.0.0.1", 0), wrap: Any = None) -> _Server:
        server = _Server(address)
        if wrap is not None:
            server.socket = wrap(server.socket)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        return server

    def publish(self, publisher: Publisher) -> None:
        self.assertEqual(publisher.publish("chat", {"room": "a"}, "msg", 1).data, 1)

    def test_connection_is_kept(self) -> None:
        """Publishes in a row go over one connection."""
        server = self.serve()
        publisher = Publisher(f"http://127.0.0.1:{server.server_address[1]}")
        for _ in range(3):
            self.publish(publisher)
        self.assertEqual(server.connections, 1)
        self.assertEqual(server.seen[0][0], "/_tako/channels/chat?room=a")

    def test_idle_connection_was_closed(self) -> None:
        """A kept connection that the server has closed meanwhile costs a retry, not an error."""
        server = self.serve()
        server.hang_up_after_answering = True
        publisher = Publisher(f"http://127.0.0.1:{server.server_address[1]}")
        for _ in range(3):
            self.publish(publisher)
        self.assertEqual(server.connections, 3)

    def test_answer_was_lost(self) -> None:
        """A publish whose answer got lost is repeated under the same idempotency key."""
        server = self.serve()
        server.hang_up_before_answering = True
        self.publish(Publisher(f"http://127.0.0.1:{server.server_address[1]}"))
        (_, first), (_, second) = server.seen
        self.assertEqual(first, second)

    def test_unix_socket(self) -> None:
        """The private socket is spoken to without any port."""
        path = str(self.folder / "private.sock")
        server = self.serve(path)
        publisher = Publisher(f"unix:{path}")
        self.publish(publisher)
        self.publish(publisher)
        self.assertEqual(server.connections, 1)

    def test_tls(self) -> None:
        """TLS is verified: the authority has to be trusted and the name has to be right."""
        authority, chain = write_certificates(self.folder, "localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        server = self.serve(wrap=lambda plain: context.wrap_socket(plain, server_side=True))
        port = server.server_address[1]
        self.publish(Publisher(f"https://localhost:{port}", ca_file=str(authority)))
        for url, trusted in (
            (f"https://localhost:{port}", None),
            (f"https://127.0.0.1:{port}", str(authority)),
        ):
            publisher = Publisher(url, ca_file=trusted)
            failed = self.assertRaises(Unreachable, publisher.publish, "chat", None, "msg", 1)
            self.assertIn("CERTIFICATE_VERIFY_FAILED", str(failed))
        self.assertRaises(ConfigError, Publisher, "https://a", ca_file="/no/such/file")

    def test_nobody_there(self) -> None:
        """Nobody listening is an error that says so, after the publisher's patience."""
        publisher = Publisher(f"unix:{self.folder / 'none.sock'}", patience=0.2)
        failed = self.assertRaises(Unreachable, publisher.publish, "chat", None, "msg", 1)
        self.assertIn("No such file", str(failed))

    def test_patience_with_a_server_that_drips(self) -> None:
        """A server that sends a byte now and then does not hold a publish beyond its patience, and
        the wait is said within a second."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        stop = threading.Event()

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\n" * 100:
                    connection.send(bytes([byte]))
                    if stop.wait(0.05):
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)
        publisher = Publisher(f"http://127.0.0.1:{listening.getsockname()[1]}", patience=4)
        begun = time.monotonic()
        with self.assertLogs("takotwist.publisher") as logged:
            self.assertRaises(Unreachable, publisher.publish, "chat", None, "msg", 1)
        self.assertLess(time.monotonic() - begun, 20)
        self.assertLess(logged.records[0].created, time.time() - 1)

    def test_after_a_fork(self) -> None:
        """A forked worker does not speak on its parent's connection."""
        server = self.serve()
        publisher = Publisher(f"http://127.0.0.1:{server.server_address[1]}")
        self.publish(publisher)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                publisher.publish("chat", None, "msg", 1)
                status = 0
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.publish(publisher)
        self.assertEqual(server.connections, 2)
