"""Measurements of several nodes: from one to another, and the work that they are spared.

Rule: where it is not known which node a connection has reached, there are so many that all nodes
have some, and the last one counts.
"""

from __future__ import annotations

import selectors
import socket
import statistics
import time
import tracemalloc
from typing import Any

from benchmarks import requests
from benchmarks.generator import Incorrect, used_since
from benchmarks.peers.peer import Peer

#: Subscribers of a latency, and messages a second.
SUBSCRIBERS, RATE = 8, 50

_TOPIC, _OTHER = b"t00001", b"t00002"


def crosses(peer: Peer, seconds: float = 3.0) -> dict[str, Any]:
    """Publish to one node, and wait for the last subscriber, which is at another.

    Of the result: ``p50`` and ``p99`` of the seconds from a publish to its last delivery.
    """
    ask = peer.subscribe("sse").replace(requests.TOPIC.encode(), _TOPIC)
    unit = peer.publish().unit.replace(requests.TOPIC.encode(), _TOPIC)
    taken = []
    with selectors.DefaultSelector() as selector:
        for _ in range(SUBSCRIBERS):
            one = socket.create_connection(("127.0.0.1", peer.port), timeout=20)
            one.sendall(ask)
            while not one.recv(65536).count(b"\r\n\r\n"):
                pass
            one.setblocking(False)
            selector.register(one, selectors.EVENT_READ)
        publisher = socket.create_connection(("127.0.0.1", peer.other_port), timeout=20)
        publisher.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(int(seconds * RATE)):
            mark = b"~00:%08d" % number
            taken.append(_cross(selector, publisher, unit, mark))
            time.sleep(max(0.0, 1 / RATE - taken[-1]))
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        publisher.close()
    # The first ones open what is opened once.
    cuts = statistics.quantiles(taken[10:], n=100)
    return {"p50": statistics.median(taken[10:]), "p99": cuts[98]}


def _cross(
    selector: selectors.BaseSelector, publisher: socket.socket, unit: bytes, mark: bytes
) -> float:
    began = time.perf_counter()
    publisher.sendall(unit.replace(requests.MARK.encode(), mark))
    seen: set[int] = set()
    while len(seen) < SUBSCRIBERS:
        ready = selector.select(10)
        if not ready:
            raise Incorrect(f"{SUBSCRIBERS - len(seen)} subscribers lack {mark!r}")
        for key, _ in ready:
            if mark in key.fileobj.recv(65536):  # type: ignore[union-attr]
                seen.add(key.fd)
    last = time.perf_counter() - began
    publisher.recv(65536)
    return last


def passes_by(peer: Peer, messages: int = 20_000) -> dict[str, Any]:
    """Publish to one node what nobody at the other follows: the other's CPU for each message.

    Workers share a port, so it is the one of them that had less to do.
    """
    unit = peer.publish("batch").unit.replace(requests.TOPIC.encode(), _OTHER)
    with socket.create_connection(("127.0.0.1", peer.other_port), timeout=20) as publisher:
        _publish(publisher, unit, 10)
        before = peer.cpu_each()
        _publish(publisher, unit, messages // 100)
        time.sleep(0.5)
        used = dict(zip(peer.cpu_each(), used_since(peer, before), strict=True))
    return {"cpu_us": min(used[pid] for pid in peer.nodes) / messages * 1e6}


def _publish(publisher: socket.socket, unit: bytes, times: int) -> None:
    unit = unit.replace(requests.MARK.encode(), b"~00:00000001")
    for _ in range(times):
        publisher.sendall(unit)
        answer = b""
        while b"]" not in answer[-16:]:
            more = publisher.recv(1 << 20)
            if not more:
                raise Incorrect("the publisher's connection ended")
            answer += more


def follows(peer: Peer, topics: int = 10_000) -> dict[str, Any]:
    """Memory of a topic that a node follows, beside its subscribers: ours alone, and in here."""
    from twisted.internet.defer import Deferred, succeed
    from twisted.internet.task import Clock

    from takotwist.adapters.shared.worker_log import WorkerLog
    from takotwist.core.deadlines import Deadlines
    from takotwist.core.tail import Tails
    from takotwist.core.topic import Topic
    from takotwist.flow.followed import FollowedTopics

    del peer

    class Answering(WorkerLog):
        """Has its writer say yes."""

        def _ask(self, frame: Any) -> Deferred[Any]:
            return succeed(None)

    clock = Clock()
    log = Answering(None, clock, "a", lambda: 0.5)  # type: ignore[arg-type]
    deadlines = Deadlines()
    tails = Tails()
    followed = FollowedTopics(log, tails, deadlines, clock.seconds)
    # A subscriber has its topic anyway.
    made = [Topic("bench", {"n": f"{n:06}"}, f"bench/n={n:06}") for n in range(topics)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for topic in made:
        followed.enter(topic)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return {"bytes": held / topics}
