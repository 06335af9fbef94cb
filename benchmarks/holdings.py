"""Memory that one idle connection holds, by type.

    python -m benchmarks.holdings [--connections N] [--tls] [--lines] [KIND ...]

Starts our server, opens connections, and prints for each kind (sse, websocket, mux) the
private memory of the process, and the objects of the process, each divided by the
connections.  ``--lines`` has Python trace allocations and prints where they were made;
the bytes of the process then mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.case import certificate_in
from benchmarks.generator import Incorrect, Load, folder_for
from benchmarks.peers.tako import CHANNELS, Tako

COUNTING = """
from benchmarks import census
census.install()
"""

Counts = Mapping[str, tuple[int, int]]


class Counted(Tako):
    """Our server, which tells what it holds.

    :param lines: whether Python shall trace its allocations.
    """

    def __init__(self, folder: Path, certificate: Path | None, lines: bool) -> None:
        super().__init__(folder, certificate)
        self._lines = lines
        (folder / "channels" / "bench.py").write_text(CHANNELS + COUNTING)

    def environment(self) -> Mapping[str, str]:
        root = str(Path(__file__).parents[1])
        tracing = {"PYTHONTRACEMALLOC": "1"} if self._lines else {}
        return {**super().environment(), "PYTHONPATH": root, **tracing}

    def census(self) -> tuple[Counts, Counts]:
        """Its objects by type and by line."""
        file = self.folder / "census.json"
        file.unlink(missing_ok=True)
        os.kill(self.pids[0], signal.SIGUSR1)
        until = time.monotonic() + 60
        while not file.exists():
            if time.monotonic() > until:
                raise Incorrect("the server gave no census")
            time.sleep(0.05)
        taken = json.loads(file.read_text())
        return taken["types"], taken["lines"]


def holdings(peer: Counted, kind: str, connections: int) -> tuple[int, Counts, Counts]:
    """Bytes of the process for each connection, and what came by type and by line."""
    # What is made once is made by the first connections.
    with _held(peer, kind, 64):
        pass
    time.sleep(0.5)
    memory = peer.resident()
    before = peer.census()
    with _held(peer, kind, connections):
        held = peer.resident()
        after = peer.census()
    return (held - memory) // connections, *(
        _difference(new, old) for new, old in zip(after, before, strict=True)
    )


@contextmanager
def _held(peer: Counted, kind: str, connections: int) -> Iterator[None]:
    """While so many connections are open."""
    load = Load(
        peer,
        mode="hold",
        subscribers=connections,
        subscribe=peer.subscribe(kind),
        ready=peer.ready[kind],
    )
    with load:
        load.expect("READY")
        load.go()
        # It reads one line at a time only where it has to wait for it.
        time.sleep(1)
        yield
        load.go()
        load.result()


def _difference(after: Counts, before: Counts) -> Counts:
    return {
        name: (count - before.get(name, (0, 0))[0], size - before.get(name, (0, 0))[1])
        for name, (count, size) in after.items()
    }


def table(counts: Counts, connections: int) -> list[str]:
    """Lines of what every second connection or more holds, the largest first."""
    lines = [f"{'bytes':>9} {'number':>8}"]
    for name, (count, size) in sorted(counts.items(), key=lambda item: -item[1][1]):
        if count >= connections / 2:
            lines.append(f"{size / connections:9,.0f} {count / connections:8.2f}  {name}")
    total = sum(size for _, size in counts.values())
    return [*lines, f"{total / connections:9,.0f} {'':8}  all of it"]


def main() -> None:
    """Print what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.holdings", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("kinds", nargs="*", help=", ".join(Tako.subscribes))
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--lines", action="store_true", help="by line that allocated too")
    asked = parser.parse_args()
    for unknown in set(asked.kinds) - set(Tako.subscribes):
        parser.error(f"no such kind: {unknown} (there are: {', '.join(Tako.subscribes)})")
    for kind in asked.kinds or Tako.subscribes:
        with tempfile.TemporaryDirectory(prefix="takotwist-holdings-") as root:
            certificate = certificate_in(Path(root)) if asked.tls else None
            peer = Counted(folder_for(Path(root), "server"), certificate, asked.lines)
            try:
                peer.start()
                memory, types, lines = holdings(peer, kind, asked.connections)
            finally:
                peer.stop()
        print(f"{kind}{' over TLS' if asked.tls else ''}: {memory:,} bytes of the process each")
        print("\n".join(table(types, asked.connections)))
        if lines:
            print("\n".join(table(lines, asked.connections)))


if __name__ == "__main__":
    main()
