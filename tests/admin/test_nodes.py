"""Pages of a server of several nodes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from takotwist import define_channel
from takotwist.admin.channels import CHANNELS_PATH, ChannelsPage
from takotwist.admin.metrics import Gauges, MetricsPage
from takotwist.admin.nodes import (
    NODES_PATH,
    Answered,
    NodeInfo,
    NodesPage,
    read_info,
    this_process,
)
from takotwist.admin.together import JoinedMetrics
from takotwist.core.channel import Registry
from takotwist.core.fanout import FanOut
from takotwist.core.log import LogStats
from takotwist.core.metrics import Metrics
from takotwist.core.node import Node
from takotwist.core.send_queue import FlushBatch
from takotwist.errors import StoreUnavailable
from takotwist.testing.world import BEGINNING, World

OWN = NodeInfo("a", "box:1", "box", "unix:a", 1, 10, "1", "p", 100.0, True, 5_000_000, 3, 2, 1)
OTHER = msgspec.structs.replace(OWN, id="b", label="box:2", worker=2, pid=11, head=2_000_000)
DEAD = msgspec.structs.replace(OWN, id="c", label="box:3", worker=3, pid=12, ready=False)


class Others:
    """Other nodes, one of which does not answer."""

    def __init__(self, **bodies: bytes) -> None:
        self.bodies = bodies

    async def ask(self, what: str) -> Sequence[Answered]:
        return [Answered(OTHER, self.bodies[what]), Answered(DEAD, None)]


def get(page: Any, **args: bytes) -> bytes:
    request = DummyRequest([b""])
    request.args = {name.encode(): [value] for name, value in args.items()}
    page.render(request)
    return b"".join(request.written)


class NodesPageTests(SynchronousTestCase):
    """The list of nodes."""

    def test_several(self) -> None:
        """Each by what it says now, or said last; and how far it is behind the store."""
        said = msgspec.structs.replace(OTHER, connections=7)
        page = NodesPage(
            lambda: OWN, lambda: succeed(6_000_000), Others(node=msgspec.msgpack.encode(said))
        )
        shown = json.loads(get(page))
        self.assertTrue(shown["store_available"])
        own, other, dead = shown["nodes"]
        self.assertEqual((own["node"], own["here"], own["behind_seconds"]), ("box:1", True, 1.0))
        self.assertEqual((other["connections"], other["here"]), (7, False))
        self.assertEqual((other["behind_seconds"], other["since"]), (4.0, 100.0))
        self.assertEqual((dead["node"], dead["answered"]), ("box:3", False))
        self.assertEqual([other["answered"], other["worker"], other["pid"]], [True, 2, 11])

    def test_store_away(self) -> None:
        """Nobody knows how far they are behind."""
        away: Deferred[int] = fail(StoreUnavailable())
        shown = json.loads(get(NodesPage(lambda: OWN, lambda: away, None)))
        [own] = shown["nodes"]
        self.assertEqual((shown["store_available"], own["behind_seconds"]), (False, None))

    def test_not_heard_of_yet(self) -> None:
        """How far a node is behind that has told no head is unknown, and not its whole past."""
        new = msgspec.structs.replace(OWN, head=0)
        [own] = json.loads(get(NodesPage(lambda: new, lambda: succeed(6_000_000), None)))["nodes"]
        self.assertIsNone(own["behind_seconds"])

    def test_one_process(self) -> None:
        """A server of one process is one node; the public listeners have no such page."""
        world = World(define_channel("news"))
        world.subscribe("/channels/news")
        [one] = world.get(NODES_PATH, private=True).json["nodes"]
        self.assertEqual((one["ready"], one["subscriptions"], one["topics"]), (True, 1, 1))
        self.assertEqual((one["since"], one["behind_seconds"]), (BEGINNING, 0.0))
        self.assertEqual(one["node"], this_process().label)
        self.assertEqual(world.get(NODES_PATH).status, 404)

    def test_unreadable(self) -> None:
        """A node that has said nothing yet, or what only a later version can read."""
        self.assertIsNone(read_info(Node("x", 1.0, b"")))
        self.assertIsNone(read_info(Node("x", 1.0, b"\xff\xff")))
        later = {**msgspec.to_builtins(OWN), "more": 1}
        self.assertEqual(read_info(Node("x", 1.0, msgspec.msgpack.encode(later))), OWN)


class MetricsTests(SynchronousTestCase):
    """The metrics of several nodes."""

    def page(self, metrics: Metrics, others: Others | None) -> MetricsPage:
        return MetricsPage(
            metrics,
            lambda: Gauges(1, 2, 3, True, 4),
            lambda: succeed(LogStats(1, 2, 3)),
            own=lambda: OWN,
            others=others,
        )

    def setUp(self) -> None:
        mine, theirs = Metrics(publishes=7), Metrics(publishes=5)
        for one, seconds in ((mine, 0.002), (theirs, 99.0)):
            one.connections["sse"] += 3
            one.commit_seconds.observe(seconds)
        text = get(self.page(theirs, None)).replace(b"tako_ready 1.0", b"tako_ready 0.0")
        self.both = self.page(mine, Others(metrics=text))
        self.own = get(self.page(mine, None))

    def samples(self, **args: bytes) -> Mapping[tuple[str, ...], float]:
        text = get(self.both, **args).decode()
        return {
            (sample.name, *[value for _, value in sorted(sample.labels.items())]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def test_each(self) -> None:
        """Each by its label, and which of them answers."""
        samples = self.samples()
        self.assertEqual(samples["tako_publishes_total", "box:1"], 7)
        self.assertEqual(samples["tako_publishes_total", "box:2"], 5)
        self.assertEqual(samples["tako_connections", "box:2", "sse"], 3)
        self.assertEqual(samples["tako_commit_seconds_bucket", "+Inf", "box:2"], 1)
        up = [samples["tako_node_up", f"box:{number}"] for number in (1, 2, 3)]
        self.assertEqual(up, [1, 1, 0])
        self.assertNotIn(("tako_publishes_total",), samples)

    def test_label_twice(self) -> None:
        """A worker and its successor have one label, and each sample is there once."""
        replaced = msgspec.structs.replace(DEAD, label=OTHER.label)
        self.patch(sys.modules[__name__], "DEAD", replaced)
        lines = [one for one in get(self.both).decode().splitlines() if one[:1] != "#"]
        names = [line.rpartition(" ")[0] for line in lines]
        self.assertEqual(sorted(set(names)), sorted(names))
        self.assertEqual(self.samples()["tako_node_up", "box:2"], 1)

    def test_sum(self) -> None:
        """As one: what adds up is added; the store is one; ready is who all are."""
        samples = self.samples(nodes=b"sum")
        for name, value in {
            ("tako_publishes_total",): 12,
            ("tako_connections", "sse"): 6,
            ("tako_commit_seconds_count",): 2,
            ("tako_commit_seconds_bucket", "0.0025"): 1,
            ("tako_stored_messages",): 2,
            ("tako_ready",): 0,
            ("tako_tail_bytes",): 6,
        }.items():
            self.assertEqual(samples[name], value, name)

    def test_own(self) -> None:
        """Of one process, or of this node alone, the page is as it always was."""
        names = [line.split()[0] for line in self.own.splitlines()]
        own = get(self.both, nodes=b"own")
        self.assertEqual([line.split()[0] for line in own.splitlines()], names)
        self.assertNotIn(b"node=", own)
        self.assertNotIn(b"tako_node_up", own)

    def test_two_of_one_label(self) -> None:
        """While a worker takes over from another, both are counted."""
        text = "# TYPE tako_topics gauge\ntako_topics 2\n"
        joined = JoinedMetrics([("box:1", text), ("box:1", text)], each=True)
        [family] = joined.collect()
        [sample] = family.samples
        self.assertEqual((sample.labels, sample.value), ({"node": "box:1"}, 4))


class ChannelsTests(SynchronousTestCase):
    """The list of channels of several nodes."""

    def test_joined(self) -> None:
        """Subscribers are summed, and shown by node; a channel that only another node has is
        there too."""
        world = World(define_channel("chat"), define_channel("news"))
        for _ in range(2):
            world.subscribe("/channels/chat")
        own = world.get(CHANNELS_PATH, private=True).json
        self.assertNotIn("nodes", own["channels"][0])
        theirs = json.loads(json.dumps(own).replace('"news"', '"newer"'))
        theirs["channels"][0]["subscribers"] = 5
        theirs["topics"] = [
            {"topic": "chat", "subscribers": 4},
            {"topic": "chat?x=1", "subscribers": 1},
        ]
        theirs["topics_in_all"] = 9
        page = ChannelsPage(
            world.parts.registry,
            world.parts.fanout,
            lambda: OWN,
            Others(channels=json.dumps(theirs).encode()),
        )
        both = json.loads(get(page))
        self.assertEqual(
            [(one["channel"], one["subscribers"]) for one in both["channels"]],
            [("chat", 7), ("newer", 0), ("news", 0)],
        )
        self.assertEqual(both["channels"][0]["nodes"], {"box:1": 2, "box:2": 5})
        self.assertEqual(
            both["topics"],
            [
                {"topic": "chat", "subscribers": 6, "nodes": {"box:1": 2, "box:2": 4}},
                {"topic": "chat?x=1", "subscribers": 1, "nodes": {"box:2": 1}},
            ],
        )
        self.assertEqual(both["topics_in_all"], 9)

    def test_nobody_answers(self) -> None:
        """What is on this node is shown."""

        class Silent(Others):
            async def ask(self, what: str) -> Sequence[Answered]:
                return [Answered(DEAD, None)]

        page = ChannelsPage(Registry.of([]), FanOut(FlushBatch()), lambda: OWN, Silent())
        self.assertEqual(json.loads(get(page)), {"channels": [], "topics": [], "topics_in_all": 0})
