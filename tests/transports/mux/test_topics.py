"""Work queues and publish grants of a multiplexed connection."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.core.channel import Registry
from takotwist.flow.back_pressure import MAX_FRAMES_IN_FLIGHT
from takotwist.server.config import Config
from takotwist.server.config.limits import Limits
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.world import BEGINNING, World, WorldClock
from takotwist.transports.mux import topics
from takotwist.transports.mux.topics import INTAKE_TRANSITIONS, Intake, TopicQueues


class TopicQueuesTests(SynchronousTestCase):
    """Frames, each of which waits until the test lets it go on."""

    def setUp(self) -> None:
        self.held: list[bool] = []
        self.done: list[str] = []
        self.cancelled: list[str] = []
        self.failures: list[Failure] = []
        self.waits: dict[str, Deferred[None]] = {}
        self.queues = TopicQueues(self.held.append)

    async def work(self, name: str) -> None:
        self.waits[name] = Deferred(lambda _: self.cancelled.append(name))
        await self.waits[name]
        self.done.append(name)

    def take(self, topic: str, name: str) -> None:
        self.queues.take(topic, lambda: self.work(name), self.failures.append)

    def test_in_turn(self) -> None:
        """Of one topic the second begins when the first is done; another topic waits for none."""
        self.take("a", "first")
        self.take("a", "second")
        self.take("b", "other")
        self.assertEqual(list(self.waits), ["first", "other"])
        self.waits["other"].callback(None)
        self.waits["first"].callback(None)
        self.assertEqual(list(self.waits), ["first", "other", "second"])
        self.assertEqual([self.queues.busy("a"), self.queues.busy("b")], [True, False])
        self.waits["second"].callback(None)
        self.assertEqual(self.done, ["other", "first", "second"])
        self.assertFalse(self.queues.busy("a"))

    def test_failed(self) -> None:
        """What fails is told, and the next one of its topic has its turn."""
        self.take("a", "first")
        self.take("a", "second")
        self.waits["first"].errback(ValueError("no"))
        self.assertEqual([failure.type for failure in self.failures], [ValueError])
        self.waits["second"].callback(None)
        self.assertEqual(self.done, ["second"])

    def test_held(self) -> None:
        """Nothing more is read while as much is under way as may be."""
        for number in range(MAX_FRAMES_IN_FLIGHT):
            self.assertEqual(self.held, [])
            self.take(str(number), str(number))
        self.assertEqual(self.held, [True])
        self.waits["3"].callback(None)
        self.assertEqual(self.held, [True, False])

    def test_held_by_any(self) -> None:
        """Whatever was the last that may be, it is counted when it begins and when it ends."""
        for number in range(MAX_FRAMES_IN_FLIGHT - 1):
            self.take(str(number), str(number))
        self.queues.track(self.work("tracked"))
        self.assertEqual(self.held, [True])
        self.take("one more", "one more")
        self.waits["3"].callback(None)
        self.assertEqual(self.held, [True])
        self.waits["tracked"].callback(None)
        self.assertEqual(self.held, [True, False])

    def test_cancelled(self) -> None:
        """A connection that goes takes all of it along, and nobody is told."""
        self.take("a", "first")
        self.take("b", "other")
        self.queues.track(self.work("tracked"))
        self.queues.close()
        self.assertEqual((self.done, self.failures), ([], []))
        self.assertEqual(sorted(self.cancelled), ["first", "other", "tracked"])

    def test_nothing_is_begun_by_the_end(self) -> None:
        """What waited for its turn does not get it because what was before it was cancelled."""
        topics = [str(number) for number in range(10)]
        for topic in topics:
            self.take(topic, topic)
            self.take(topic, f"{topic} again")
        self.queues.close()
        self.assertEqual(list(self.waits), topics)
        self.assertEqual(sorted(self.cancelled), topics)
        self.assertEqual((self.done, self.failures), ([], []))

    def test_states(self) -> None:
        """Reading, full, reading again, closed; what it held is not let go once more."""
        states = [self.queues.state]
        for number in range(MAX_FRAMES_IN_FLIGHT):
            self.take(str(number), str(number))
        states.append(self.queues.state)
        self.waits["0"].callback(None)
        states.append(self.queues.state)
        self.take("0", "again")
        self.queues.close()
        states.append(self.queues.state)
        self.assertEqual(states, [Intake.READING, Intake.FULL, Intake.READING, Intake.CLOSED])
        self.assertEqual(self.held, [True, False, True])

    def test_no_other_states(self) -> None:
        """A transition that the table does not have is refused, each of them."""
        for state in Intake:
            for to in set(Intake) - INTAKE_TRANSITIONS[state]:
                queues = TopicQueues(self.held.append)
                queues.state = state
                with self.assertRaises(RuntimeError):
                    queues._become(to)
                self.assertIs(queues.state, state)

    def test_nothing_after_the_end(self) -> None:
        """Work for a connection that has gone is not begun, and it cannot go twice."""
        self.queues.close()
        self.take("a", "late")
        self.assertEqual((self.waits, self.queues.busy("a")), ({}, False))
        self.assertRaises(RuntimeError, self.queues.close)


class PublishGrantsTests(SynchronousTestCase):
    """A channel whose grants end after a minute."""

    def setUp(self) -> None:
        self.asked = 0
        self.writes: list[bytes] = []
        write = StringTransport.write

        def noted(transport: StringTransport, data: bytes) -> None:
            self.writes.append(data)
            write(transport, data)

        self.patch(StringTransport, "write", noted)
        clock = WorldClock()
        clock.rightNow = BEGINNING
        self.log = ManualLog(InMemoryReplayLog(clock))
        self.world = World(self.channel(), config=Config(limits=self.limits()), log=self.log)
        self.socket = self.world.connect("/_tako/connect", subprotocol="tako.v1")
        self.socket.say({"type": "tako.auth", "token": "Bearer x"})

    def limits(self) -> Limits:
        return Limits(publish_rate=0.001, publish_burst=6)

    def channel(self) -> Any:
        room = {"type": "object", "properties": {"roomId": {"type": "string"}}}
        chat = define_channel("chat", params=room)

        async def verify(request: Any) -> Grant:
            self.asked += 1
            return Grant(expires_at=self.world.clock.seconds() + 60)

        chat.verify(header="authorization")(verify)
        chat.on("msg")(lambda data, context: data)
        return chat

    def publish(self, ref: int, room: str = "a") -> None:
        frame = {"op": "publish", "ref": ref, "channel": "chat", "params": {"roomId": room}}
        self.socket.say({**frame, "type": "msg", "data": ref})

    def answers(self) -> list[tuple[str, int]]:
        self.log.settle()
        return [(op["op"], op["ref"]) for op in self.socket.ops[1:] if "ref" in op]

    def test_in_order(self) -> None:
        """The app is asked once, and all are stored in the order in which they were sent."""
        for ref in range(5):
            self.publish(ref)
        self.assertEqual(self.answers(), [("ack", ref) for ref in range(5)])
        page = self.log.read(self.topic(), 0, 10, 10_000)
        self.log.settle()
        stored = [one.data for one in self.successResultOf(page).messages]
        self.assertEqual((stored, self.asked), ([b"%d" % ref for ref in range(5)], 1))

    def topic(self) -> Any:
        registry = self.world.parts.registry
        definition = registry.get("chat").definition
        return self.world.parts.authorizing.bind(definition, {"roomId": "a"}).topic

    def test_expired(self) -> None:
        """When the grant has ended the app is asked again."""
        for ref in range(3):
            self.publish(ref)
        self.world.advance(61)
        self.publish(3)
        self.publish(4)
        self.assertEqual((self.answers()[-1], self.asked), (("ack", 4), 2))

    def test_bounded(self) -> None:
        """Of more topics than are remembered the oldest is asked for again, and the newest not."""
        self.patch(topics, "MAX_WRITERS", 2)
        for ref, room in enumerate("abcca"):
            self.publish(ref, room)
        self.assertEqual(self.answers(), [("ack", ref) for ref in range(5)])
        self.assertEqual(self.asked, 4)

    def test_rate(self) -> None:
        """Each counts against the limit, and one too many is told so."""
        for ref in range(8):
            self.publish(ref)
        self.assertEqual(sorted(self.answers())[-2:], [("error", 6), ("error", 7)])
        self.assertEqual(
            {op["code"] for op in self.socket.ops if op["op"] == "error"}, {"rate-limited"}
        )

    def test_definition_gone(self) -> None:
        """A channel that is no longer there is an error, whatever was granted."""
        self.publish(1)
        self.publish(2)
        self.world.parts.registry.replace(Registry())
        self.publish(3)
        self.assertEqual(self.answers(), [("error", 3), ("ack", 1), ("ack", 2)])

    def test_answers_leave_together(self) -> None:
        """The answers to what one commit stored, and its messages, are one write."""
        self.socket.say({"op": "subscribe", "ref": 0, "channel": "chat", "params": {"roomId": "a"}})
        self.publish(1)
        self.answers()
        # While this one commits the others gather.
        self.publish(2)
        self.publish(3)
        self.publish(4)
        self.log.report()
        before = len(self.writes)
        self.log.report()
        self.assertEqual(len(self.writes), before + 1)
        self.assertEqual(self.answers()[-2:], [("ack", 3), ("ack", 4)])
        self.assertEqual([one["data"] for one in self.socket.messages], [1, 2, 3, 4])


class NamesTests(SynchronousTestCase):
    """The names of the topics that a connection follows and publishes to."""

    def setUp(self) -> None:
        room = {"type": "object", "properties": {"roomId": {"type": "string"}}}
        chat = define_channel("chat", params=room)
        chat.on("msg")(lambda data, context: data)
        limits = Limits(publish_rate=0, max_topic_bytes=64, max_topic_bytes_per_connection=1200)
        self.world = World(chat, config=Config(limits=limits))
        self.names = self.world.parts.sessions.services.names
        self.socket = self.world.connect("/_tako/connect", subprotocol="tako.v1")

    def say(self, op: str, room: str) -> dict[str, Any]:
        topic = {"channel": "chat", "params": {"roomId": room}}
        self.socket.say({"op": op, "ref": room, **topic, "type": "msg", "data": 1})
        self.world.advance(0)
        said: dict[str, Any] = [op for op in self.socket.ops if op.get("ref") == room][-1]
        return said

    def test_all_are_given_back(self) -> None:
        """Whatever is followed, left, and published to, nothing is held when it has gone."""
        for number in range(200):
            room = f"{number % 50:040}"
            for op in ("publish", "subscribe", "publish", "unsubscribe")[: 2 + number % 3]:
                self.say(op, room)
            self.assertLessEqual(self.names.bytes, 1200)
            self.assertGreater(self.names.bytes, 0)
        self.socket.leave()
        self.assertEqual((self.names.count, self.names.bytes), (0, 0))

    def test_publishing_leaves_room_to_follow(self) -> None:
        """Names that are only remembered take half of the room, and publishing goes on."""
        for number in range(40):
            self.assertEqual(self.say("publish", f"p{number:039}")["op"], "ack")
        self.assertLessEqual(self.names.bytes, 600)
        said = [self.say("subscribe", f"s{number:039}")["op"] for number in range(12)]
        self.assertEqual(said[:11], ["ack"] * 11)
        while said[-1] == "ack":
            said.append(self.say("subscribe", f"s{len(said):039}")["op"])
        self.assertEqual(said[-1], "error")
        self.assertEqual(self.say("publish", "p" * 40)["op"], "ack")
