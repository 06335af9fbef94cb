"""The measurements beside the fan-out: connecting, resuming, holding, slow readers."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from benchmarks import requests
from benchmarks.generator import Incorrect, Load, fan_out, used_since
from benchmarks.peers.peer import Peer, Publish


def connects(peer: Peer, kind: str, seconds: float = 1.5) -> dict[str, Any]:
    """Connections opened, answered and closed, 64 at a time."""
    load = Load(
        peer,
        mode="connect",
        parallel=64,
        subscribe=peer.subscribe(kind),
        ready=peer.ready[kind],
        seconds=seconds,
    )
    with load:
        load.expect("READY")
        load.go()
        load.expect("BEGIN")
        before = peer.cpu_each()
        load.go()
        result = load.result()
    used_each = used_since(peer, before)
    used = sum(used_each)
    if result["failed"]:
        raise Incorrect(f"{peer.name}: {result['failed']} connections ended early")
    result["busiest_rate"] = result["handshakes"] / max(used_each)
    result["rate"] = result["handshakes"] / result["seconds"]
    result["core"] = used / result["seconds"]
    result["cpu_us"] = used / max(1, result["handshakes"]) * 1e6
    return result


def holds(
    peer: Peer, kind: str, connections: int, seconds: float, before: int = 100
) -> dict[str, Any]:
    """Memory of connections that do nothing, and the CPU of a server that has them.

    :param before: connections that are there already, so that what the first of all
        loads counts for nobody.
    """
    with _held(peer, kind, before) as few:
        empty = peer.resident()
        with _held(peer, kind, connections) as many:
            time.sleep(3)
            held = peer.resident()
            spent, began = peer.cpu(), time.monotonic()
            time.sleep(seconds)
            used, took = peer.cpu() - spent, time.monotonic() - began
            many.go()
            failed = many.result()["failed"]
        few.go()
        failed += few.result()["failed"]
    if failed:
        raise Incorrect(f"{peer.name}: {failed} connections ended")
    return {"bytes": (held - empty) / connections, "core": used / took}


def _held(peer: Peer, kind: str, connections: int) -> Load:
    load = Load(
        peer,
        mode="hold",
        subscribers=connections,
        subscribe=peer.subscribe(kind),
        ready=peer.ready[kind],
    )
    load.expect("READY")
    load.go()
    return load


def resumes(peer: Peer, clients: int, behind: int) -> dict[str, Any]:
    """All clients come back after a restart, each `behind` messages late."""
    way = peer.publish()
    first = _publish(peer, way, 1)
    _publish(peer, way, behind)
    peer.stop()
    peer.start()
    asks = peer.subscribe("sse").replace(b"\r\n\r\n", b"\r\nLast-Event-ID: %b\r\n\r\n" % first)
    before = peer.cpu()
    load = Load(
        peer,
        mode="resume",
        subscribers=clients,
        subscribe=asks,
        ready=peer.ready["sse"],
        expect=behind,
    )
    with load:
        load.expect("READY")
        load.go()
        result = load.result()
    if result["failed"] or result["done"] != clients:
        raise Incorrect(f"{peer.name}: {result}")
    result["core"] = (peer.cpu() - before) / result["seconds"]
    return result


def _publish(peer: Peer, way: Publish, times: int) -> bytes:
    """Publish over a blocking socket; the last message's id."""
    unit = way.unit.replace(requests.MARK.encode(), b"~00:00000001")
    with socket.create_connection(("127.0.0.1", peer.port), timeout=20) as client:
        answer = b""
        for _ in range(times):
            client.sendall(unit)
            answer = b""
            while not answer.endswith(b"}"):
                answer += client.recv(65536)
    stored = json.loads(answer.partition(b"\r\n\r\n")[2])
    return str(stored["id"]).encode()


def grows(peer: Peer, minutes: float) -> dict[str, Any]:
    """Mixed load for a while: how much the memory of the second half grew over the first.

    Subscribers of all kinds come and go; each round publishes to a thousand of them.
    Memory is taken when they have gone, after each part of a round, so what grows is
    what connections leave behind.  Nothing is run before to warm up: the window, the
    tail and the store's pages are full after the first rounds, which are in the first half.
    """
    memory: list[tuple[float, int]] = []
    began = time.monotonic()

    def look() -> None:
        memory.append((round(time.monotonic() - began, 1), peer.resident()))

    while time.monotonic() < began + minutes * 60:
        for kind in peer.subscribes:
            fan_out(peer, kind, 1000, 16, seconds=1)
            look()
            connects(peer, kind, 0.5)
            look()
        fan_out(peer, "sse", 1000, 16, slow=100, seconds=1)
        look()
    middle = (time.monotonic() - began) / 2
    before = max(held for when, held in memory if when <= middle)
    after = max(held for when, held in memory if when > middle)
    return {"growth": after / before, "bytes": after, "memory": memory}
