"""Several workers behind one supervisor, in real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from twisted.trial.unittest import TestCase

from takotwist.server.supervisor.handing import LYING
from tests.ready import ready
from tests.sockets.server_process import FAST, ServerProcess, free_port, wait_until
from tests.sockets.supervised_process import SupervisedServer

SUBSCRIBE = b"GET /channels/news HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


def sockets_of(pid: int) -> int:
    """Sockets that a process has open."""
    found = 0
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += os.readlink(one).startswith("socket:")
        except FileNotFoundError:
            continue
    return found


def running(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Base(TestCase):
    """One server for a test."""

    timeout = 120

    def serve(self, *, start: bool = True, **options: object) -> SupervisedServer:
        """Start one."""
        server = SupervisedServer(**options)  # type: ignore[arg-type]
        self.addCleanup(server.close)
        if start:
            server.start()
        return server

    def ask(self, server: ServerProcess) -> int:
        """A request on a connection of its own; its status."""
        return httpx.get(f"{server.url}/channels/news/history", timeout=60).status_code

    @contextmanager
    def asking(self, server: ServerProcess) -> Iterator[list[object]]:
        """New connections all the time; yields what became of them."""
        seen: list[object] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                try:
                    seen.append(self.ask(server))
                except httpx.HTTPError as failure:
                    seen.append(repr(failure))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield seen
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def more(self, seen: list[object], count: int = 10) -> None:
        """Wait for so many more."""
        before = len(seen)
        wait_until(lambda: len(seen) > before + count, "answers")

    def logged(self, server: ServerProcess, pattern: str, count: int = 1) -> None:
        """Wait until the log has it so often."""
        wait_until(
            lambda: len(re.findall(pattern, server.log)) >= count,
            lambda: f"{pattern!r} in the log:\n{server.log}",
        )


class SpreadTests(Base):
    """Who serves a connection."""

    def _connect(self, server: ServerProcess, stack: ExitStack, count: int) -> list[socket.socket]:
        made = []
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", server.port), 60)
            stack.enter_context(one)
            one.sendall(SUBSCRIBE)
            # Each before the next: of many at once, a worker that the machine lets wait gets fewer.
            self.assertTrue(one.recv(4096).startswith(b"HTTP/1.1 200"), "served")
            made.append(one)
        return made

    def test_even(self) -> None:
        """Each has as many as the others, to the one; after some have left too."""
        server = self.serve(workers=3)
        pids = [server.workers[number] for number in (1, 2, 3)]
        before = [sockets_of(pid) for pid in pids]

        def have() -> list[int]:
            return [sockets_of(pid) - idle for pid, idle in zip(pids, before, strict=True)]

        with ExitStack() as stack:
            made = self._connect(server, stack, 60)
            self.assertEqual(have(), [20, 20, 20])
            # All those of one worker, or of any: whoever has fewer gets the next.
            for one in made[:30]:
                one.close()
            wait_until(lambda: sum(have()) == 30, "closed connections")
            self._connect(server, stack, 30)
            self.assertEqual(have(), [20, 20, 20])

    def test_busy(self) -> None:
        """Who takes nothing soon gets nothing more, and has what it was given when it goes on."""
        server = self.serve()
        pid = server.workers[1]
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        with ExitStack() as stack:
            made = []
            for _ in range(2 * (LYING + 2)):
                one = socket.create_connection(("127.0.0.1", server.port), 60)
                made.append(stack.enter_context(one))
                one.sendall(SUBSCRIBE)
            # As many as the other one was given; the rest lies there.
            wait_until(
                lambda: len(ready([one.fileno() for one in made])[0]) >= LYING + 2, "answers"
            )
            self._connect(server, stack, 10)
            os.kill(pid, signal.SIGCONT)
            for one in made:
                self.assertTrue(one.recv(4096).startswith(b"HTTP/1.1 200"), "served")

    def test_private(self) -> None:
        """The private socket is served too, and a socket file that was removed is made again."""
        server = self.serve()
        with server.private() as private:
            self.assertTrue(private.get("/_tako/health").json()["ready"])
        server.private_socket.unlink()
        self.logged(server, "private.sock was removed; it is served again")
        with server.private() as private:
            self.assertTrue(private.get("/_tako/health").json()["ready"])
        self.assertEqual(server.stop(), 0)
        self.assertFalse(server.private_socket.exists())
        server.assert_clean()


class KindsOfListenersTests(Base):
    """Listeners of every kind are handed on."""

    def test_tls(self) -> None:
        """TLS, by a development certificate that one process has made for all."""
        server = self.serve(tls=True, workers=3)
        for _ in range(6):
            with httpx.Client(verify=server.trust, timeout=60) as client:
                answer = client.get(f"{server.tls_url}/channels/news/history")
                self.assertEqual(answer.status_code, 200)
        server.assert_clean()

    def test_ipv6_and_proxy_protocol(self) -> None:
        """IPv6; and the PROXY protocol, by which the client's own address counts."""
        server = self.serve(
            start=False,
            config=FAST + 'max_connections_per_address = 1\n[http]\ntrusted_proxies = ["::1"]\n',
        )
        other = free_port()
        server.listen = [
            f"tcp6:{server.port}:interface=\\:\\:1",
            f"haproxy:tcp6:{other}:interface=\\:\\:1",
        ]
        server.start()
        answer = httpx.get(f"http://[::1]:{server.port}/channels/news/history", timeout=60)
        self.assertEqual(answer.status_code, 200)
        statuses = []
        with ExitStack() as stack:
            for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"):
                one = stack.enter_context(socket.create_connection(("::1", other), 60))
                one.sendall(b"PROXY TCP4 %s 192.0.2.9 999 80\r\n" % address.encode() + SUBSCRIBE)
                statuses.append(one.recv(4096).split(b"\r\n")[0])
        self.assertEqual(statuses, [b"HTTP/1.1 200 OK"] * 4)

    def test_unix(self) -> None:
        """A public Unix socket, with the mode that it is to have."""
        server = self.serve(listen=["unix:public.sock:mode=660"])
        path = server.folder / "public.sock"
        self.assertEqual(path.stat().st_mode & 0o777, 0o660)
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, timeout=60) as client:
            answer = client.get("http://localhost/channels/news/history")
        self.assertEqual(answer.status_code, 200)
        self.assertEqual(server.stop(), 0)
        self.assertFalse(path.exists())

    def test_port_in_use(self) -> None:
        """A port that another has is said, before any worker starts."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server = self.serve(start=False, listen=[f"tcp:{port}:interface=127.0.0.1"])
            server.start(ready=False)
            self.assertEqual(server.wait(), 1)
        self.assertIn(f"port {port} is in use", server.log)
        self.assertNotIn("worker-", server.log)


class ThreadsAsking:
    """Many requests at once, a thread each."""

    def __init__(self, ask: Callable[[], object], count: int) -> None:
        self.seen: list[object] = []
        self._threads = [
            threading.Thread(target=lambda: self.seen.append(ask())) for _ in range(count)
        ]

    def __enter__(self) -> ThreadsAsking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        for thread in self._threads:
            thread.join()


class DeathTests(Base):
    """Processes that die."""

    def test_killed(self) -> None:
        """A worker that was killed is started again; meanwhile nobody is refused."""
        server = self.serve(serve=True)
        killed = server.workers[1]
        with self.asking(server) as seen:
            self.more(seen)
            os.kill(killed, signal.SIGKILL)
            self.logged(server, r"worker-1 was killed by SIGKILL; it is started again in 0\.5")
            self.more(seen)
            self.logged(server, "worker-1 is ready", 2)
            self.more(seen)
        # One request may have been under way there.
        lost = [one for one in seen if one != 200]
        self.assertLessEqual(len(lost), 2, seen)
        for one in lost:
            self.assertNotIn("ConnectError", str(one))
        self.assertNotEqual(server.workers[1], killed)
        self.assertEqual(server.stop(), 0)
        server.assert_clean()

    def test_all_killed(self) -> None:
        """With no worker there whoever connects waits for the next one."""
        server = self.serve()
        for pid in server.workers.values():
            os.kill(pid, signal.SIGKILL)
        self.logged(server, "was killed by SIGKILL", 2)
        self.assertEqual(self.ask(server), 200)

    def test_supervisor_killed(self) -> None:
        """Without a supervisor the workers end, so the next server finds its ports free."""
        server = self.serve()
        pids = list(server.workers.values())
        server.kill()
        wait_until(lambda: not any(map(running, pids)), "the end of the workers")
        server.start()
        self.assertEqual(self.ask(server), 200)

    def test_failing_at_start(self) -> None:
        """A server whose workers cannot start ends, with a sentence and an exit code."""
        for serve in (True, False):
            server = self.serve(start=False, serve=serve)
            server.failing.write_text("3")
            server.start(ready=False)
            self.assertEqual(server.wait(), 1)
            self.assertRegex(
                server.log,
                r"worker-\d ended \(exit code 3\) before the server was ready\. The server ends",
            )
            server.assert_clean()

    def test_failing_later(self) -> None:
        """While another serves, one that cannot start is tried again and again."""
        server = self.serve()
        server.failing.write_text("4")
        os.kill(server.workers[2], signal.SIGKILL)
        self.logged(server, r"worker-2 ended \(exit code 4\); it is started again in 2\.0 seconds")
        self.assertEqual(self.ask(server), 200)
        server.failing.unlink()
        self.logged(server, "worker-2 is ready", 2)


class WriterTests(Base):
    """A process that the workers need: there before them, and until they have ended."""

    def _order(self, server: ServerProcess, words: str) -> list[str]:
        return re.findall(rf"(writer|worker-\d)\b.*{words}", server.log)

    def test_order(self) -> None:
        """First to be ready, last to stop, also where all get SIGTERM at once."""
        server = self.serve(writer=True)
        ready = self._order(server, "is ready")
        self.assertEqual((ready[0], sorted(ready[1:])), ("writer", ["worker-1", "worker-2"]))
        # As systemd does by KillMode=control-group.
        for pid in (server.processes["writer"], server.pid, *server.workers.values()):
            os.kill(pid, signal.SIGTERM)
        self.assertEqual(server.wait(), 0)
        stopped = self._order(server, "] stopped")
        self.assertEqual((sorted(stopped[:2]), stopped[2:]), (["worker-1", "worker-2"], ["writer"]))
        server.assert_clean()

    def test_killed(self) -> None:
        """It is started again, and the workers stay."""
        server = self.serve(writer=True)
        before = server.processes
        os.kill(before["writer"], signal.SIGKILL)
        self.logged(server, "writer is ready", 2)
        after = server.processes
        self.assertNotEqual(before.pop("writer"), after.pop("writer"))
        self.assertEqual(before, after)

    def test_rolling_restart(self) -> None:
        """It is replaced first, by one that starts when it has ended."""
        server = self.serve(writer=True)
        before = set(server.processes.values())
        server.signal(signal.SIGUSR2)
        self.logged(server, "rolling restart: done")
        after = set(server.processes.values())
        self.assertEqual((len(after), before & after), (3, set()))
        self.assertEqual(self._order(server, "is ready")[3:], ["writer", "worker-1", "worker-2"])
        server.signal(signal.SIGHUP)
        self.logged(server, "writer .*the configuration was read again")


class SignalTests(Base):
    """Signals to the one process that the service manager knows."""

    def test_stop(self) -> None:
        """SIGTERM and Ctrl-C stop all calmly."""
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.serve(serve=number is signal.SIGINT)
            pids = list(server.workers.values())
            server.signal(number)
            self.assertEqual(server.wait(), 0)
            self.assertEqual([pid for pid in pids if running(pid)], [])
            self.assertEqual(len(re.findall("WorkerService. stopped", server.log)), 2)
            server.assert_clean()

    def test_reload(self) -> None:
        """SIGHUP reaches all; a file that is wrong reaches none."""
        server = self.serve()
        server.write(
            "channels/more.py",
            'from takotwist import define_channel\nmore = define_channel("more")',
        )
        server.signal(signal.SIGHUP)
        self.logged(server, "worker-1 .*the configuration was read again")
        self.logged(server, "worker-2 .*the configuration was read again")
        url = f"{server.url}/channels/more/history"
        answers = {httpx.get(url, timeout=60).status_code for _ in range(6)}
        self.assertEqual(answers, {200})
        server.write_config("[limits]\nmax_connections = 0\n")
        server.signal(signal.SIGHUP)
        self.logged(server, r"Supervisor\] not reloaded: .*max_connections")
        server.write_config(FAST + "[server]\nworkers = 3\n")
        self.assertEqual(len(re.findall("was read again", server.log)), 2)
        server.assert_clean()

    def test_rolling_restart(self) -> None:
        """SIGUSR2 replaces one after the other; nobody is refused, and none of both is cut."""
        server = self.serve(workers=3, config=FAST + "drain_seconds = 1\n")
        before, sockets = dict(server.workers), sockets_of(server.pid)
        with self.asking(server) as seen, ExitStack() as stack:
            self.more(seen)
            held = [
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 60))
                for _ in range(6)
            ]
            server.signal(signal.SIGUSR2)
            self.logged(server, "rolling restart: done")
            self.more(seen)
            # They connected before, and said nothing: whoever had them has gone.
            for one in held:
                self.assertEqual(one.recv(1), b"")
        self.assertEqual(set(seen), {200}, seen)
        self.assertEqual(sorted(server.workers), [1, 2, 3])
        self.assertFalse(set(before.values()) & set(server.workers.values()))
        order = re.findall(r"worker-(\d) is ready", server.log)[3:]
        self.assertEqual(order, ["1", "2", "3"])
        # Once more: each goes back to the slot that it had first.
        server.signal(signal.SIGUSR2)
        self.logged(server, "rolling restart: done", 2)
        self.assertEqual(self.ask(server), 200)
        # What belonged to those who have gone is gone.
        wait_until(lambda: sockets_of(server.pid) == sockets, "the sockets of the beginning")
        self.assertEqual(server.stop(), 0)
        server.assert_clean()

    def test_rolling_restart_off(self) -> None:
        """A successor that cannot start changes nothing: those who serve go on."""
        server = self.serve()
        before = server.workers
        server.failing.write_text("5")
        server.signal(signal.SIGUSR2)
        self.logged(
            server,
            r"rolling restart is off: the successor of worker-1 ended \(exit code 5\) before it",
        )
        self.assertEqual(server.workers, before)
        self.assertEqual(self.ask(server), 200)
        server.failing.unlink()
        server.signal(signal.SIGUSR2)
        self.logged(server, "rolling restart: done")

    def test_log_file(self) -> None:
        """Where twistd writes a file, what the workers say is in it too."""
        server = self.serve(start=False, twistd=["--logfile=server.log"])
        server.start(ready=False)
        file = server.folder / "server.log"

        def ready() -> bool:
            return file.exists() and "ready, with 2 workers" in file.read_text()

        wait_until(ready, "a server that is ready")
        self.assertEqual(server.stop(), 0)
        text = file.read_text()
        self.assertEqual(len(re.findall(r"info  worker-\d \[.*ready, channels: chat", text)), 2)
        self.assertEqual(len(re.findall(r"info  worker-\d \[.*\] stopped", text)), 2)
        self.assertEqual(server.log, "")

    def test_json(self) -> None:
        """In JSON the process is a field."""
        server = self.serve(arguments=["--log-format=json"])
        self.assertEqual(server.stop(), 0)
        lines = [json.loads(line) for line in server.log.splitlines()]
        self.assertEqual({line.get("process") for line in lines}, {None, "worker-1", "worker-2"})


class ServiceManagerTests(Base):
    """What systemd is told, and what it passes."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="tako")
        self.addCleanup(folder.cleanup)
        self.path = f"{folder.name}/notify"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(self.path)
        self.manager.settimeout(60)

    def _told(self) -> dict[str, str]:
        pairs = (line.partition("=") for line in self.manager.recv(4096).decode().splitlines())
        return {name: value for name, _, value in pairs}

    def test_notify(self) -> None:
        """READY comes once all are ready, RELOADING and READY around a reload, STOPPING first."""
        server = self.serve(start=False)
        server.start(ready=False, env={"NOTIFY_SOCKET": self.path})
        told = self._told()
        self.assertEqual(len(re.findall(r"worker-\d is ready", server.log)), 2)
        self.assertEqual(told["READY"], "1")
        self.assertEqual(told["MAINPID"], str(server.pid))
        self.assertEqual(told["STATUS"], "serving, with 2 workers")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        server.signal(signal.SIGHUP)
        told = self._told()
        self.assertEqual(told["RELOADING"], "1")
        self.assertGreaterEqual(int(told["MONOTONIC_USEC"]), before)
        self.assertEqual(self._told()["READY"], "1")
        self.assertEqual(len(re.findall("was read again", server.log)), 2)
        server.signal(signal.SIGTERM)
        self.assertEqual(self._told(), {"STOPPING": "1"})
        self.assertEqual(server.wait(), 0)
        self.manager.setblocking(False)
        self.assertRaises(BlockingIOError, self.manager.recv, 1)

    def test_notify_alone(self) -> None:
        """A server without workers says the same, so a unit need not change with their number."""
        server = ServerProcess()
        self.addCleanup(server.close)
        server.start(ready=False, env={"NOTIFY_SOCKET": self.path})
        told = self._told()
        self.assertEqual((told["READY"], told["MAINPID"]), ("1", str(server.pid)))
        self.assertIn("ready, channels:", server.log)
        server.signal(signal.SIGHUP)
        self.assertEqual(self._told()["RELOADING"], "1")
        self.assertEqual(self._told()["READY"], "1")
        server.signal(signal.SIGTERM)
        self.assertEqual(self._told(), {"STOPPING": "1"})

    def test_passed_sockets(self) -> None:
        """Sockets of systemd's are served by the workers, and outlive a restart of all."""
        held = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(held.close)
        server = self.serve(start=False, listen=["systemd:domain=INET:index=0"])
        server.port = held.getsockname()[1]
        program = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3);"
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='http');"
            "os.execv(sys.argv[2], sys.argv[2:])"
        )

        def start() -> None:
            server.start(before=["-c", program, str(held.fileno())], pass_fds=(held.fileno(), 3))

        start()
        self.assertEqual([self.ask(server) for _ in range(4)], [200] * 4)
        self.assertEqual(server.stop(), 0)
        late = ThreadsAsking(lambda: self.ask(server), 2)
        with late:
            start()
        self.assertEqual(late.seen, [200, 200])
        environ = Path(f"/proc/{server.workers[1]}/environ").read_bytes()
        self.assertNotIn(b"LISTEN_FDS", environ)
