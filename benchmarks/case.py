"""One thing that is measured of several servers, in turns."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from benchmarks.generator import Incorrect, folder_for
from benchmarks.outcome import Outcome
from benchmarks.peers.nodes import Centrifugo, TakoPair, TakoWorkers
from benchmarks.peers.others import Autobahn, Limit, Nchan, Node, NodeShared
from benchmarks.peers.peer import Peer
from benchmarks.peers.tako import Tako
from takotwist.tls.development_ca import ensure_development_certificate

#: A server by its name, made in a folder and with the certificate it is to serve TLS by.
MAKERS: Mapping[str, Callable[[Path, Path | None], Peer]] = {
    "takotwist": Tako,
    "takotwist power": lambda folder, pem: Tako(folder, pem, durability="power"),
    "takotwist asyncio": lambda folder, pem: Tako(folder, pem, reactor="asyncio"),
    "takotwist 1 worker": lambda folder, pem: TakoWorkers(folder, pem, workers=1),
    "takotwist 2 workers": lambda folder, pem: TakoWorkers(folder, pem, workers=2),
    "takotwist postgresql": TakoPair,
    "centrifugo postgresql": Centrifugo,
    "nchan": Nchan,
    "node": Node,
    "node-shared": NodeShared,
    "autobahn": Autobahn,
    "limit": Limit,
}


@attrs.frozen
class Case:
    """One line of a scenario.

    :ivar name: for people.
    :ivar peers: names of `MAKERS`, ours first.
    :ivar measure: one measurement.
    :ivar metric: which of its values counts.
    :ivar unit: of the value, after `scale`.
    :ivar lower: whether less is better.
    :ivar fresh: whether each measurement wants servers that were just started.
    """

    name: str
    peers: Sequence[str]
    measure: Callable[[Peer], Mapping[str, Any]]
    metric: str
    unit: str
    lower: bool = False
    tls: bool = False
    scale: float = 1.0
    fresh: bool = False


def run(
    case: Case,
    rounds: int,
    makers: Mapping[str, Callable[[Path, Path | None], Peer]] | None = None,
) -> Outcome:
    """Measure the servers of `case` in turns, `rounds` times.

    :param makers: of the servers; `MAKERS` where absent.
    """
    makers = MAKERS if makers is None else makers
    outcome = Outcome(case.name, case.unit, case.lower, {name: [] for name in case.peers})
    with tempfile.TemporaryDirectory(prefix="takotwist-bench-") as root, ExitStack() as running:
        certificate = certificate_in(Path(root)) if case.tls else None
        peers = {
            name: makers[name](folder_for(Path(root), name.replace(" ", "-")), certificate)
            for name in case.peers
        }
        for peer in peers.values():
            running.callback(peer.stop)
            peer.start()
        for round_ in range(rounds):
            for name, peer in peers.items():
                _take(case, name, peer, outcome)
            print(f"  {case.name}: round {round_ + 1} of {rounds}", file=sys.stderr, flush=True)
    return outcome


def _take(case: Case, name: str, peer: Peer, outcome: Outcome) -> None:
    try:
        measured = case.measure(peer)
    except Incorrect as incorrect:
        outcome.values[name].append(None)
        outcome.wrong.append(f"{name}: {incorrect}")
    else:
        outcome.values[name].append(measured[case.metric] * case.scale)
        for shares, key in ((outcome.server, "core"), (outcome.generator, "generator")):
            if key in measured:
                shares.setdefault(name, []).append(measured[key])
        if "memory" in measured:
            outcome.memory.setdefault(name, []).append([list(one) for one in measured["memory"]])
    if case.fresh:
        peer.stop()
        peer.start()


def certificate_in(folder: Path) -> Path:
    """A certificate for localhost with its key, in one file."""
    files = ensure_development_certificate(folder / "tls", [], datetime.now(UTC))
    both = folder / "both.pem"
    both.write_bytes(files.certificate.read_bytes() + b"\n" + files.key.read_bytes())
    return both
