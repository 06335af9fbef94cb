"""How the server ends and changes: calmly, completely, and with a word for what is wrong."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import threading
import time
from typing import Any

import httpx
from httpx_sse import connect_sse
from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.sockets.readers import SseReader
from tests.sockets.server_process import FAST, KEY, KEYS, ServerProcess, wait_until
from tests.sockets.trusted_certificate import write_certificates

MSG = {"type": "msg", "data": {"text": "hi"}}


class StopTests(SynchronousTestCase):
    """A server that is stopped, under ``twistd``."""

    serve = False

    def server(self, config: str = FAST, **options: Any) -> ServerProcess:
        server = ServerProcess(config, serve=self.serve, **options)
        self.addCleanup(server.close)
        return server

    def socket(self, server: ServerProcess, path: str, *names: str) -> Any:
        subprotocols: Any = names or None
        url = f"ws://127.0.0.1:{server.port}{path}"
        return connect(url, subprotocols=subprotocols, open_timeout=60)

    def test_everybody_is_told(self) -> None:
        """SSE ends as a whole response, a WebSocket is closed with 1001, the exit code is 0."""
        server = self.server().start()
        ends: dict[str, object] = {}
        with (
            httpx.Client(base_url=server.url, timeout=60) as client,
            connect_sse(client, "GET", "/channels/chat?roomId=a") as source,
            self.socket(server, "/channels/chat?roomId=a") as plain,
            self.socket(server, "/channels/chat?roomId=a", "tako.v1") as explicit,
            self.socket(server, "/_tako/connect", "tako.v1") as many,
        ):
            wait_until(lambda: server.connected == 4, "four connections")
            server.signal(signal.SIGTERM)
            # A response that was broken off would raise here.
            ends["SSE"] = [event.event for event in source.iter_sse()]
            for name, one in {"plain": plain, "tako.v1": explicit, "mux": many}.items():
                try:
                    while True:
                        one.recv(60)
                except ConnectionClosed as closed:
                    assert closed.rcvd is not None, name
                    ends[name] = (closed.rcvd.code, closed.rcvd.reason)
        self.assertEqual(server.wait(), 0)
        gone = (1001, "shutting-down")
        self.assertEqual(ends, {"SSE": ["tako.open"], "plain": gone, "tako.v1": gone, "mux": gone})
        self.assertIn("stopped", server.log)
        server.assert_clean()

    def test_within_its_deadline(self) -> None:
        """Clients that do not answer do not keep the server: it ends soon, with exit code 0."""
        server = self.server(f"{FAST}drain_seconds = 1\n").start()
        readers = [SseReader(server.port, "news", {}, "") for _ in range(50)]
        for reader in readers:
            self.addCleanup(reader.close)
            reader.begin()
        began = time.monotonic()
        # Nobody reads on, and nobody closes.
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - began, 10)
        server.assert_clean()

    def test_nothing_acknowledged_is_lost(self) -> None:
        """What was acknowledged until the last moment is there after the start; the publish that
        came too late is refused with 503, or finds nobody."""
        server = self.server().start()
        acknowledged: list[str] = []
        refused: list[str] = []

        def publish() -> None:
            with server.private(timeout=60) as private:
                while True:
                    try:
                        answer = private.post("/channels/news", json=MSG)
                    except httpx.TransportError:
                        return
                    if answer.status_code == 200:
                        acknowledged.append(answer.json()["id"])
                    else:
                        refused.append(answer.json()["code"])
                        return

        threads = [threading.Thread(target=publish) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(acknowledged) > 200, "publishes")
        self.assertEqual(server.stop(), 0)
        for thread in threads:
            thread.join()
        self.assertLessEqual(set(refused), {"shutting-down"})
        server.start()
        found: list[str] = []
        with httpx.Client(base_url=server.url, timeout=60) as client:
            more, cursor = True, "0"
            while more:
                page = client.get(f"/channels/news/history?after={cursor}&limit=1000").json()
                found += [message["id"] for message in page["messages"]]
                more, cursor = page["more"], page["cursor"]
        self.assertEqual(set(acknowledged) - set(found), set())
        self.assertEqual(len(found), len(set(found)))
        server.assert_clean()

    def test_second_signal(self) -> None:
        """Whoever is impatient and asks twice, also with Ctrl-C, gets the same calm end."""
        for numbers in (
            (signal.SIGTERM, signal.SIGTERM),
            (signal.SIGINT, signal.SIGINT, signal.SIGINT),
            (signal.SIGTERM, signal.SIGINT, signal.SIGTERM),
        ):
            server = self.server(f"{FAST}drain_seconds = 2\n").start()
            reader = SseReader(server.port, "news", {}, "").begin()
            self.addCleanup(reader.close)
            for number in numbers:
                server.signal(number)
                time.sleep(0.1)
            self.assertEqual(server.wait(), 0, numbers)
            server.assert_clean("ReactorNotRunning", "isn't running")

    def test_signal_during_start(self) -> None:
        """A server that is stopped before it was ready ends all the same."""
        server = self.server().start(ready=False)
        wait_until(lambda: "starting" in server.log.lower() or "serving" in server.log, "a start")
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0)
        server.assert_clean()

    def test_port_in_use(self) -> None:
        """A port that is taken is named, with what to do; the exit code is 1."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            server = self.server(listen=[f"tcp:{port}:interface=127.0.0.1"])
            server.start(ready=False)
            self.assertEqual(server.wait(), 1)
        self.assertIn(f"port {port} is in use", server.log)
        self.assertIn("http.listen", server.log)
        server.assert_clean()

    def test_bad_configuration(self) -> None:
        """A configuration that cannot be used is said, with its key, and the exit code is 1."""
        server = self.server("[limits]\nmax_connections = 0\n")
        server.start(ready=False)
        self.assertEqual(server.wait(), 1)
        self.assertIn("limits.max_connections", server.log)
        server.assert_clean()

    def test_bad_definition(self) -> None:
        """A definition that cannot be loaded is said with its file, and the exit code is 1."""
        server = self.server(channels={"broken.py": "import nothing_of_this_name\n"})
        server.start(ready=False)
        self.assertEqual(server.wait(), 1)
        self.assertIn("broken.py", server.log)
        self.assertIn("nothing_of_this_name", server.log)
        server.assert_clean()


class ServeStopTests(StopTests):
    """The same under ``tako serve``."""

    serve = True


#: `slow` asks the app, which answers once the file `gate` is there.
SLOW = """
import os
from twisted.internet import reactor, task
from takotwist import Grant, define_channel

slow = define_channel("slow")

@slow.verify(header="authorization")
async def wait(request):
    open("asked", "w").close()
    while not os.path.exists("gate"):
        await task.deferLater(reactor, 0.02)
    return Grant(subject="m1")
"""
ASK = b"GET /channels/slow HTTP/1.1\nHost: localhost\nAuthorization: me\n\n"


class UnderWayTests(SynchronousTestCase):
    """Requests that the server has taken when it is stopped."""

    def test_under_way(self) -> None:
        """A request that has begun before the stop is answered, whenever its rest comes."""
        server = ServerProcess()
        self.addCleanup(server.close)
        server.start()
        asked = (
            f"GET /channels/news/history HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            "Connection: close\r\n\r\n"
        ).encode()
        with socket.create_connection(("127.0.0.1", server.port), 60) as begun:
            begun.sendall(asked[:20])
            # One that came later has been answered: the server has read this one too.
            httpx.get(f"{server.url}/channels/news/history", timeout=60)
            server.signal(signal.SIGTERM)
            wait_until(lambda: "SIGTERM: stopping" in server.log, "a stop")
            begun.sendall(asked[20:])
            answer = b""
            while piece := begun.recv(4096):
                answer += piece
        self.assertEqual(answer[:12], b"HTTP/1.1 200")
        self.assertEqual(server.wait(), 0)
        server.assert_clean()

    def test_waits_for_the_app(self) -> None:
        """A subscription that waits for the app's answer is answered, and told of the stop."""
        server = ServerProcess(channels={"slow.py": SLOW})
        self.addCleanup(server.close)
        server.start()
        with socket.create_connection(("127.0.0.1", server.port), 60) as one:
            one.sendall(ASK.replace(b"\n", b"\r\n"))
            wait_until((server.folder / "asked").exists, "the app to be asked")
            server.signal(signal.SIGTERM)
            wait_until(lambda: "SIGTERM: stopping" in server.log, "a stop")
            server.write("gate", "")
            answer = b""
            while piece := one.recv(4096):
                answer += piece
        self.assertEqual(answer[:12], b"HTTP/1.1 200")
        self.assertIn(b"event: tako.open", answer)
        self.assertTrue(answer.endswith(b"\r\n0\r\n\r\n"), answer)
        self.assertEqual(server.wait(), 0)
        server.assert_clean()


class ReloadTests(SynchronousTestCase):
    """SIGHUP, under live connections."""

    def setUp(self) -> None:
        self.server = ServerProcess(f"{FAST}{KEYS}", tls=True)
        self.addCleanup(self.server.close)
        self.server.start()

    def publish(self, key: str, channel: str = "news") -> int:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=self.server.url, timeout=60) as client:
            return client.post(f"/channels/{channel}", json=MSG, headers=headers).status_code

    def test_keys_origins_definitions_limits(self) -> None:
        """Keys, origins, definitions and limits change; who is connected stays connected."""
        reader = SseReader(self.server.port, "news", {}, "").begin()
        self.addCleanup(reader.close)
        page = {"Origin": "https://new.example"}
        with httpx.Client(base_url=self.server.url, timeout=60) as client:
            self.assertEqual(client.get("/channels/more/history").status_code, 404)
            answer = client.get("/channels/news/history", headers=page)
            self.assertEqual(answer.status_code, 403)

            self.server.write_config(
                f"{FAST}max_message_bytes = 200\n"
                '[publish]\nkeys = ["another-key-0123456789abcdef"]\n'
                '[http]\nallowed_origins = ["https://new.example"]\n'
            )
            (self.server.folder / "channels" / "more.py").write_text(
                'from takotwist import define_channel\nmore = define_channel("more")\n'
            )
            self.server.reload()

            self.assertEqual(client.get("/channels/more/history").status_code, 200)
            answer = client.get("/channels/news/history", headers=page)
            self.assertEqual(answer.status_code, 200)
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "https://new.example")
            headers = {"Authorization": "Bearer another-key-0123456789abcdef"}
            large = json.dumps({"type": "msg", "data": "x" * 300})
            answer = client.post("/channels/news", content=large, headers=headers)
            self.assertEqual(answer.status_code, 413)
        self.assertEqual(self.publish(KEY), 403)
        self.assertEqual(self.publish("another-key-0123456789abcdef"), 200)
        reader.read_until(1)
        self.server.assert_clean(KEY, "another-key-0123456789abcdef")

    def test_bad_reload(self) -> None:
        """What cannot be used is said in the log and changes nothing."""
        self.server.write_config("[limits]\nmax_connections = 'many'\n")
        self.server.signal(signal.SIGHUP)
        wait_until(lambda: "limits.max_connections" in self.server.log, "a complaint")
        self.assertEqual(self.publish(KEY), 200)
        self.server.write_config(f"{FAST}{KEYS}")
        (self.server.folder / "channels" / "rooms.py").write_text("this is no Python")
        self.server.signal(signal.SIGHUP)
        wait_until(lambda: self.server.log.count("not reloaded") >= 2, "another complaint")
        self.assertEqual(self.publish(KEY), 200)
        self.server.assert_clean(KEY)

    def test_certificate(self) -> None:
        """A new certificate is shown to who comes now; who is connected stays connected."""
        server = self.server
        server.stop()
        authority, chain = write_certificates(server.folder, "localhost")
        old = authority.read_bytes()
        own = f'[tls]\ncertificate = "{chain}"\nkey = "{chain}"\n'
        server.write_config(f"{FAST}{KEYS}{own}")
        server.start()

        def trusts(pem: bytes) -> bool:
            trust = ssl.create_default_context(cadata=pem.decode())
            try:
                with (
                    socket.create_connection(("127.0.0.1", server.tls_port)) as raw,
                    trust.wrap_socket(raw, server_hostname="localhost"),
                ):
                    return True
            except ssl.SSLCertVerificationError:
                return False

        self.assertTrue(trusts(old))
        trust = ssl.create_default_context(cadata=old.decode())
        with (
            httpx.Client(base_url=server.tls_url, verify=trust, timeout=60) as client,
            connect_sse(client, "GET", "/channels/news") as source,
        ):
            write_certificates(server.folder, "localhost")
            server.reload()
            self.assertTrue(trusts(authority.read_bytes()))
            self.assertFalse(trusts(old))
            self.assertEqual(self.publish(KEY), 200)
            message = next(event for event in source.iter_sse() if event.event == "message")
            self.assertEqual(json.loads(message.data)["data"], MSG["data"])
        server.assert_clean()


class SocketActivationTests(SynchronousTestCase):
    """Sockets that systemd holds, while the server behind them is exchanged."""

    def test_nobody_is_refused(self) -> None:
        """Through a stop and a start every connection is taken: some only wait."""
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            held.listen(128)
            port = held.getsockname()[1]
            server = ServerProcess(
                f"{FAST}drain_seconds = 0\n", listen=["systemd:domain=INET:index=0"]
            )
            self.addCleanup(server.close)
            server.port = port
            # What systemd does: the descriptor is 3, and its count is told (sd_listen_fds(3)).
            self._start(server, held)
            statuses: list[object] = []
            over = threading.Event()

            def ask() -> None:
                while not over.is_set():
                    try:
                        # A connection each: one that is kept may be closed at the stop.
                        answer = httpx.get(f"{server.url}/channels/news/history", timeout=60)
                        statuses.append(answer.status_code)
                    except httpx.ConnectError as refused:
                        statuses.append(repr(refused))
                    except httpx.TransportError:
                        # It was answered to just when the server ended: not a refusal.
                        statuses.append("ended")

            threads = [threading.Thread(target=ask) for _ in range(3)]
            for thread in threads:
                thread.start()
            for _ in range(2):
                self._answers(statuses)
                self.assertEqual(server.stop(), 0)
                self._start(server, held)
            self._answers(statuses)
            over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(set(statuses) - {200, 503}, set(), statuses)
        server.assert_clean()

    def _answers(self, statuses: list[object]) -> None:
        before = len(statuses)
        wait_until(lambda: len(statuses) > before + 20, "answers")

    def _start(self, server: ServerProcess, held: socket.socket) -> None:
        program = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3);"
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='http');"
            "os.execv(sys.argv[2], sys.argv[2:])"
        )
        server.start(before=["-c", program, str(held.fileno())], pass_fds=(held.fileno(), 3))
