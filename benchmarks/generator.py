"""Runs the load generator against one server, and takes the server's CPU meanwhile."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.build import generator
from benchmarks.peers.peer import GENERATOR_CORE, Peer, bound


class Incorrect(Exception):
    """A message was lost, doubled or out of order, or a connection ended."""


class Load:
    """One run of the generator.

    :param options: as ``load.c`` names them; bytes are put into files.
    """

    def __init__(self, peer: Peer, **options: Any) -> None:
        self._peer = peer
        arguments = ["tls=1"] if peer.certificate else []
        for name, value in options.items():
            if isinstance(value, bytes):
                file = peer.folder / f"{name}.request"
                file.write_bytes(value)
                value = file
            arguments.append(f"{name}={value}")
        self._process = subprocess.Popen(
            [
                *bound(GENERATOR_CORE if peer.core else ""),
                str(generator()),
                str(peer.port),
                *arguments,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Incorrect(f"the generator against {self._peer.name} ended: it says why above")
        return line.strip()

    def expect(self, word: str) -> None:
        """Wait until it says `word`."""
        line = self._line()
        assert line == word, f"{line!r} where {word!r} was to come"

    def go(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """The measurements."""
        outcome: dict[str, Any] = json.loads(self._line())
        self.close()
        return outcome

    def close(self) -> None:
        """End it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.close()


def fan_out(
    peer: Peer,
    kind: str,
    subscribers: int,
    publishers: int,
    publish: str = "single",
    check: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Subscribers, publishers, and everything that arrives checked.

    Of the result: ``core`` and ``generator`` are the share of a core that the server
    and the generator were busy, ``cpu_us`` is the server's CPU for each delivery, and
    ``busiest_rate`` the deliveries in a second of CPU of its busiest process: what it would
    do with a core for each.

    :param kind: of subscriber.
    :param publish: how it is published.
    :raises Incorrect: something is missing, doubled or out of order.
    """
    way = peer.publish(publish)
    load = Load(
        peer,
        subscribers=subscribers,
        publishers=publishers,
        subscribe=peer.subscribe(kind),
        ready=peer.ready[kind],
        publish=way.unit,
        open=way.open,
        opened=way.opened,
        ack=way.ack,
        batch=way.batch,
        per_ack=way.per_ack,
        window=way.window,
        **options,
    )
    with load:
        load.expect("READY")
        load.go()
        load.expect("BEGIN")
        before = peer.cpu_each()
        load.go()
        load.expect("END")
        used_each = used_since(peer, before)
        used = sum(used_each)
        load.go()
        result = load.result()
    wrong = result["wrong"], result["missing"], result["failed"]
    if check and any(wrong):
        raise Incorrect(f"{peer.name}, {kind}: wrong, missing, failed = {wrong}")
    result["cpu"] = used
    result["core"] = used / result["seconds"]
    result["cpu_us"] = used / max(1, result["deliveries"]) * 1e6
    result["rate"] = result["deliveries"] / result["seconds"]
    result["published_rate"] = result["published"] / result["seconds"]
    result["busiest_rate"] = result["deliveries"] / max(used_each)
    result["busiest_published"] = result["published"] / max(used_each)
    return result


def used_since(peer: Peer, before: Mapping[int, float]) -> list[float]:
    """Seconds of CPU that each process of a server has used since `before`."""
    return [now - before.get(pid, 0.0) for pid, now in peer.cpu_each().items()]


def folder_for(root: Path, name: str) -> Path:
    """A server's own folder."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
