"""Files against nginx: one large file, and many small ones, in one run.

    python benchmarks/files.py [--rounds 5] [--large-mb 1024] [--small 20000]

Starts nginx (one worker) and our own server in a process each, over one folder, and asks
them in turn, so that what else the machine does hits both.  Prints medians and ratios;
compare ratios only, and only within one run.

CPU is the server's own user and system time: a client in Python is too slow to drive nginx
to its limit with small files, so their rate says little there and their CPU says all.
"""

from __future__ import annotations

import argparse
import os
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SMALL_BYTES = 10_240
CONNECTIONS = 32
TICKS = os.sysconf("SC_CLK_TCK")

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
user root;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; root {folder}/www; etag on; }}
}}
"""

SERVER = """
import sys
from twisted.internet import epollreactor
epollreactor.install()
from twisted.internet import reactor
from twisted.web.server import Site
from takotwist.streams.files import static_dir

class Quiet(Site):
    def log(self, request):
        "As nginx here: no access log."

reactor.listenTCP(int(sys.argv[2]), Quiet(static_dir(sys.argv[1], precompressed=())),
                  interface="127.0.0.1")
reactor.run()
"""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    """Run a server until it answers; give the pid that does its work."""
    process = subprocess.Popen(command)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            raise SystemExit(f"{command[0]} does not answer on port {port}")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield int(children[0]) if children else process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def fetch_large(port: int, size: int) -> None:
    """Read one large file and throw it away inside the kernel."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        left = size - len(head.partition(b"\r\n\r\n")[2])
        buffer = bytearray(4_194_304)
        while left:
            got = connection.recv_into(buffer, min(left, len(buffer)), socket.MSG_TRUNC)
            if not got:
                raise SystemExit("the large file ended early")
            left -= got


def fetch_small(port: int, requests: int) -> None:
    """Ask for a small file again and again over some connections that are kept open."""
    request = b"GET /small.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"
    selector = selectors.DefaultSelector()
    expected: dict[socket.socket, int] = {}
    for _ in range(CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(request)
        selector.register(connection, selectors.EVENT_READ)
        expected[connection] = 0
    asked, answered = CONNECTIONS, 0
    buffer = bytearray(65536)
    while answered < requests:
        for key, _ in selector.select():
            connection = key.fileobj  # type: ignore[assignment]
            got = connection.recv_into(buffer)
            if not got:
                raise SystemExit("a connection was closed")
            if expected[connection] == 0:
                head = buffer.index(b"\r\n\r\n") + 4
                if not buffer.startswith(b"HTTP/1.1 200"):
                    raise SystemExit(bytes(buffer[:head]).decode())
                expected[connection] = head + SMALL_BYTES
            expected[connection] -= got
            if expected[connection] == 0:
                answered += 1
                if asked < requests:
                    connection.sendall(request)
                    asked += 1
    for connection in expected:
        connection.close()


def measure(pid: int, work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the wall clock, and seconds of the server's CPU."""
    cpu, wall = cpu_seconds(pid), time.perf_counter()
    work()
    return time.perf_counter() - wall, cpu_seconds(pid) - cpu


def report(title: str, unit: str, figures: dict[str, list[tuple[float, float]]], per: int) -> None:
    """Medians and their ratios."""
    print(title)
    medians = {}
    for name, rounds in figures.items():
        wall = statistics.median(seconds for seconds, _ in rounds)
        cpu = statistics.median(seconds for _, seconds in rounds)
        medians[name] = wall, cpu
        print(f"  {name:10} {per / wall:10.0f} {unit}/s   CPU {cpu / per * 1e6:8.1f} us/{unit}")
    ours, theirs = medians["takotwist"], medians["nginx"]
    print(
        f"  takotwist / nginx: rate {theirs[0] / ours[0]:.2f}x, "
        f"CPU {ours[1] / max(theirs[1], 1 / TICKS):.2f}x"
    )


def main() -> None:
    """Run it."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--large-mb", type=int, default=1024)
    options.add_argument("--small", type=int, default=20_000)
    chosen = options.parse_args()
    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if nginx is None:
        raise SystemExit("nginx is not installed")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        www = Path(folder, "www")
        www.mkdir()
        (www / "small.bin").write_bytes(os.urandom(SMALL_BYTES))
        with open(www / "large.bin", "wb") as large:
            block = os.urandom(1_048_576)
            for _ in range(chosen.large_mb):
                large.write(block)
        ports = {"takotwist": free_port(), "nginx": free_port()}
        Path(folder, "nginx.conf").write_text(NGINX.format(folder=folder, port=ports["nginx"]))
        Path(folder, "server.py").write_text(SERVER)
        ours = [sys.executable, f"{folder}/server.py", str(www), str(ports["takotwist"])]
        theirs = [nginx, "-c", f"{folder}/nginx.conf", "-p", folder]
        with running(ours, ports["takotwist"]) as our_pid, running(theirs, ports["nginx"]) as pid:
            pids = {"takotwist": our_pid, "nginx": pid}
            size = chosen.large_mb * 1_048_576
            for port in ports.values():  # warm: page cache, and what is imported late
                fetch_large(port, size)
                fetch_small(port, 500)
            large_runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ports}
            small_runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ports}
            for _ in range(chosen.rounds):
                for name, port in ports.items():
                    large_runs[name].append(
                        measure(pids[name], lambda port=port: fetch_large(port, size))
                    )
                    small_runs[name].append(
                        measure(pids[name], lambda port=port: fetch_small(port, chosen.small))
                    )
    report(f"one file of {chosen.large_mb} MB", "MB", large_runs, chosen.large_mb)
    report(
        f"files of {SMALL_BYTES} bytes, {CONNECTIONS} connections", "file", small_runs, chosen.small
    )


if __name__ == "__main__":
    main()
