"""Cost of a server before anybody has connected: time to be ready, CPU and memory.

    python -m benchmarks.start [--rounds N] [COMMIT]

COMMIT and the checkout as it is are started in turns, in a folder with one channel, by the same
Python and the same libraries; prints medians with quartiles, and as a multiple of COMMIT's.  A
figure of this kind moves by some percent with what else the machine does; CPU time moves less than
the clock's.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parent.parent

CHANNEL = 'from takotwist import define_channel\nnews = define_channel("news")\n'

PROGRAM = "from takotwist.cli import main; main()"

_MOST_SECONDS = 60.0


@attrs.frozen
class Start:
    """One start.

    :ivar seconds: from the fork to the first answer that it is ready.
    :ivar cpu: of the process until then, in seconds.
    :ivar megabytes: of its memory then (RSS).
    """

    seconds: float
    cpu: float
    megabytes: float


def start(checkout: Path) -> Start:
    """Start the server of a checkout once, and end it.

    :raises RuntimeError: it did not become ready.
    """
    with tempfile.TemporaryDirectory(prefix="tako-start") as name:
        folder = Path(name)
        (folder / "channels").mkdir()
        (folder / "channels" / "news.py").write_text(CHANNEL)
        port = _free_port()
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("TAKO_")
        }
        environment |= {
            "PYTHONPATH": str(checkout),
            "TAKO_HTTP_LISTEN": f"tcp:{port}:interface=127.0.0.1",
        }
        with (folder / "log").open("wb") as log:
            began = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, "serve"],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            while not _ready(port):
                if process.poll() is not None or time.monotonic() > began + _MOST_SECONDS:
                    raise RuntimeError(f"{checkout}: {(folder / 'log').read_text()}")
                time.sleep(0.002)
            return Start(time.monotonic() - began, _cpu(process.pid), _memory(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(_MOST_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(b"GET /_tako/health HTTP/1.0\r\n\r\n")
        return connection.recv(64).startswith((b"HTTP/1.0 200", b"HTTP/1.1 200"))
    return False


def _cpu(pid: int) -> float:
    # Its 14th and 15th word; the second is a name in brackets, which may hold spaces.
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("Rss:"))
    return int(kilobytes) / 1024


@contextmanager
def checkout_of(commit: str) -> Iterator[Path]:
    """The files of a commit, in a folder of their own for so long."""
    with tempfile.TemporaryDirectory(prefix="tako-commit") as name:
        archive = subprocess.run(
            ["git", "archive", "--format=tar", commit, "takotwist", "twisted"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            check=True,
        )
        subprocess.run(["tar", "--extract", "-C", name], input=archive.stdout, check=True)
        yield Path(name)


def measure(checkouts: dict[str, Path], rounds: int) -> dict[str, list[Start]]:
    """Start all of them in turns; the first round is not counted, because it fills caches."""
    found: dict[str, list[Start]] = {name: [] for name in checkouts}
    for number in range(rounds + 1):
        for name, checkout in checkouts.items():
            one = start(checkout)
            if number:
                found[name].append(one)
    return found


def table(found: dict[str, list[Start]]) -> Iterator[str]:
    """Lines for people; multiples are of the first of `found`."""
    first = next(iter(found.values()))
    for field, unit in (("seconds", "s to ready"), ("cpu", "s of CPU"), ("megabytes", "MB")):
        base = statistics.median(getattr(one, field) for one in first)
        for name, starts in found.items():
            values = [getattr(one, field) for one in starts]
            low, middle, high = statistics.quantiles(values, n=4)
            yield (
                f"{name:12} {middle:8.2f} {unit:10} ({low:.2f} to {high:.2f}),"
                f" {middle / base:.3f} times"
            )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("commit", nargs="?", metavar="COMMIT", default="HEAD")
    parser.add_argument("--rounds", type=int, default=15, help="starts of each (15)")
    asked = parser.parse_args()
    if asked.rounds < 2:
        parser.error("--rounds: quartiles need two")
    with checkout_of(asked.commit) as before:
        found = measure({asked.commit: before, "checkout": ROOT}, asked.rounds)
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
