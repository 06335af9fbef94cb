"""What a wire says about live objects: attach, open, frames, silence, and what breaks it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.deadlines import Deadlines
from takotwist.errors import AuthUnavailable, Refusal
from takotwist.live import Channel
from takotwist.live.broadcast.broadcast import Broadcasts
from takotwist.live.broadcast.bus import Bus
from takotwist.live.functions.function import Verification
from takotwist.live.link import TRANSITIONS, Link, LinkState, LiveSettings
from takotwist.live.machine.codec import write_binary
from takotwist.live.machine.frames import Bounds, Frame
from takotwist.live.machine.send import Backlog
from takotwist.live.services import LiveServices
from takotwist.live.sessions import MAX_OBJECTS, LiveSessions

SECRET = "s" * 22
ANN = Verification("onTest", lambda request: True, "authorization", None)


class FakeWire:
    """Notes what is written; a clock for what is to be done later."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.bytes: list[bytes] = []
        self.ended: list[Refusal | None] = []
        self.aborted: list[str] = []
        self.paused = False
        self.due: dict[str, tuple[float, Callable[[], None]]] = {}

    def send(self, frame: bytes) -> None:
        self.said.append(msgspec.json.decode(frame))

    def send_binary(self, payload: bytes) -> None:
        self.bytes.append(payload)

    def end(self, refusal: Refusal | None) -> None:
        self.ended.append(refusal)

    def abort(self, reason: str) -> None:
        self.aborted.append(reason)

    def later(self, name: str, when: float, action: Callable[[], None]) -> None:
        self.due[name] = (when, action)


class LinkTests(SynchronousTestCase):
    """One wire of one page."""

    def setUp(self) -> None:
        self.now = 0.0
        names = count(1)
        services = LiveServices(
            Bounds(), lambda: self.now, Deadlines(), Broadcasts(Bus()), Backlog(2**20)
        )
        self.sessions = LiveSessions(services, 10, lambda: f"id{next(names)}")
        self.asked: list[str | None] = []
        self.answer: Callable[[], Deferred[str | None]] = lambda: succeed("ann")
        self.closed: list[Any] = []
        self.wire, self.link = self.open()

    def open(self) -> tuple[FakeWire, Link]:
        """A further wire."""
        wire = FakeWire()
        settings = LiveSettings({"pingIntervalMs": 5000}, 5.0, 1000)

        def verify(verification: Verification, auth: str | None, gone: Any) -> Deferred[str | None]:
            self.asked.append(auth)
            return self.answer()

        return wire, Link(wire, self.sessions, settings, verify)

    def channel(self, subject: str | None = None) -> Channel[Any, Any]:
        """An object of the page."""
        one: Channel[Any, Any] = Channel()
        one.on_close(self.closed.append)
        session = self.sessions.take(SECRET, subject, ANN if subject else None)
        session.admit(one)
        return one

    def say(self, op: str, link: Link | None = None, **fields: Any) -> None:
        """A text frame comes."""
        text = msgspec.json.encode({"op": op, **fields})
        doing = (link or self.link).received(op, text)
        if doing is not None:
            ensureDeferred(doing)

    def attach(self, *ids: str, link: Link | None = None, **more: Any) -> None:
        """Attach these."""
        entries = [{"id": id, "seq": 0, "bytes": 10_000, "messages": 100} for id in ids]
        self.say("live.attach", link, ref=1, session=SECRET, open=entries, **more)

    def broken(self) -> None:
        """The wire has been ended for good, and the page's objects with it."""
        [refusal] = self.wire.ended
        assert refusal is not None
        self.assertEqual(refusal.code, "body-invalid")
        self.assertEqual(self.sessions.objects, 0)

    def test_attach_and_open(self) -> None:
        """Every object of the question is in the answer, before it sends anything."""
        first = self.channel()
        first.send("waited")
        self.attach(first.id, "unknown")
        second = self.channel()
        self.say("live.open", ref="x", open=[{"id": second.id, "seq": 0}])
        answer, sent, opened = self.wire.said
        self.assertEqual((answer["op"], answer["ref"]), ("live.attached", 1))
        self.assertEqual([one["id"] for one in answer["open"]], [first.id])
        self.assertEqual(answer["ended"], [{"id": "unknown", "error": {"code": "network"}}])
        self.assertEqual(answer["settings"], {"pingIntervalMs": 5000})
        self.assertEqual((sent["id"], sent["data"]), (first.id, "waited"))
        self.assertEqual((opened["op"], opened["ref"]), ("live.opened", "x"))
        self.assertEqual([one["id"] for one in opened["open"]], [second.id])

    def test_ended_at_the_client(self) -> None:
        """An object that ended at the client ends here, with its error."""
        one = self.channel()
        end = {"id": one.id, "end": {"code": "abort", "value": 7}}
        self.say("live.attach", session=SECRET, open=[end])
        self.assertEqual(self.wire.said[0]["ended"], [{"id": one.id, "error": end["end"]}])
        self.assertEqual([error.value for error in self.closed], [7])

    def test_unreadable_end(self) -> None:
        """An end that is none breaks the protocol, and nothing is logged as a failure of ours."""
        one = self.channel()
        self.say("live.attach", session=SECRET, open=[{"id": one.id, "end": 5}])
        self.broken()

    def test_not_listed(self) -> None:
        """What was attached before and is not listed now has ended at the page."""
        one, two = self.channel(), self.channel()
        self.attach(one.id)
        _, link = self.open()
        self.attach(two.id, link=link)
        self.assertEqual(len(self.closed), 1)
        self.assertEqual(list(self.sessions), [two])

    def test_replaced(self) -> None:
        """The older wire says its last word, and what still comes there is ignored."""
        one = self.channel()
        self.attach(one.id)
        wire, link = self.open()
        self.attach(one.id, link=link)
        self.assertEqual(self.wire.said[-1], {"op": "live.fin"})
        self.say("live", id=one.id, do="send", seq=9, data=1)
        self.link.lost(left=True)
        self.assertEqual((self.wire.ended, wire.ended, self.closed), ([], [], []))

    def test_verified(self) -> None:
        """A wire of somebody else is refused, with a word; the objects wait for the right one."""
        one = self.channel("ann")
        self.answer = lambda: succeed("bob")
        self.attach(one.id, auth="Bearer bob")
        self.assertEqual(self.wire.said[0]["code"], "verify-rejected")
        self.answer = lambda: succeed("ann")
        self.attach(one.id, auth="Bearer ann")
        self.assertEqual(self.wire.said[1]["op"], "live.attached")
        self.assertEqual(self.asked, ["Bearer bob", "Bearer ann"])

    def test_could_not_be_verified(self) -> None:
        """Where the app could not be asked the same wire may try again, and loses nothing."""
        one = self.channel("ann")
        one.send("kept")
        self.answer = lambda: fail(AuthUnavailable())
        self.attach(one.id)
        refused = self.wire.said.pop()
        self.assertEqual((refused["op"], refused["ref"]), ("live.refused", 1))
        self.assertEqual((refused["code"], self.wire.ended), ("auth-unavailable", []))
        self.answer = lambda: succeed("ann")
        self.attach(one.id)
        self.assertEqual([one["op"] for one in self.wire.said], ["live.attached", "live"])

    def test_gone_while_verified(self) -> None:
        """A wire that goes while the app is asked takes nothing over."""
        one = self.channel("ann")
        waiting: Deferred[str | None] = Deferred()
        self.answer = lambda: waiting
        self.attach(one.id)
        self.say("live", id=one.id, do="send", seq=1, data=1)
        self.link.lost(left=False)
        waiting.callback("ann")
        self.assertEqual((self.wire.said, self.wire.ended), ([], []))
        self.assertFalse(one.was_attached)

    def test_unknown_session(self) -> None:
        """A secret that the server does not know has no objects, and leaves none behind."""
        self.attach("id7")
        self.assertEqual(self.wire.said[0]["open"], [])
        self.assertEqual(len(self.sessions), 1)
        self.link.lost(left=False)
        self.assertEqual(len(self.sessions), 0)

    def test_bad_secret(self) -> None:
        """What is no secret is refused with a word."""
        self.say("live.attach", ref=3, session="short", open=[])
        self.assertEqual((self.wire.said[0]["op"], self.wire.said[0]["ref"]), ("live.refused", 3))

    def test_too_many(self) -> None:
        """A question with more objects than there may be ends the wire."""
        self.channel()
        self.attach(*(f"id{n}" for n in range(MAX_OBJECTS + 1)))
        self.broken()

    def test_frames(self) -> None:
        """Frames go to their object; one whose id is unknown is nobody's."""
        one = self.channel()
        heard: list[Any] = []
        one.listen(heard.append)
        one.listen_binary(heard.append)
        self.attach(one.id)
        self.say("live", id=one.id, do="send", seq=1, data="a")
        self.link.received_binary(write_binary(one.id, Frame("send", 2, b"b", True)))
        self.say("live", id="stray", do="send", seq=9, data="x")
        one.send_binary(b"c")
        self.assertEqual(heard, ["a", b"b"])
        self.assertEqual((len(self.wire.bytes), self.wire.ended), (1, []))

    def test_breaks(self) -> None:
        """What breaks the protocol ends the wire and the objects."""
        large = "x" * 2000
        for op, fields in (
            ("live.attach", {"session": SECRET}),
            ("live.jump", {}),
            ("live.open", {"open": 5}),
            ("live", {"id": "ID", "do": "send", "seq": 3, "data": 1}),
            ("live", {"id": "ID", "do": "send", "seq": 1, "data": large}),
            ("live", {"id": "ID", "do": "credit", "at": 9, "bytes": 1, "messages": 1}),
        ):
            with self.subTest(op=op, fields=fields):
                self.setUp()
                one = self.channel()
                self.attach(one.id)
                self.say(op, **{**fields, **({"id": one.id} if "id" in fields else {})})
                self.broken()
        self.setUp()
        self.channel()
        self.link.received_binary(b"\x09")
        [refusal] = self.wire.ended
        assert refusal is not None
        self.assertEqual(refusal.code, "body-invalid")

    def test_before_the_attach(self) -> None:
        """Live frames before an attach end the wire; while it is verified they are ignored."""
        for op in ("live", "live.open"):
            with self.subTest(op=op):
                self.setUp()
                self.say(op, id="x", do="send", seq=1, data=1)
                self.assertEqual(len(self.wire.ended), 1)

    def test_leaves(self) -> None:
        """A page that leaves ends its objects; so does a close that says so; a cut does not."""
        for how in (
            lambda: self.say("live.leave"),
            lambda: self.link.lost(left=True),
        ):
            self.setUp()
            self.attach(self.channel().id)
            how()
            self.assertEqual(len(self.closed), 1)
        self.setUp()
        self.attach(self.channel().id)
        self.link.lost(left=False)
        self.assertEqual((self.closed, self.sessions.objects), ([], 1))

    def test_states(self) -> None:
        """Attached when verified and new again when refused; replaced by another wire; gone."""
        one = self.channel("ann")
        waiting: Deferred[str | None] = Deferred()
        self.answer = lambda: waiting
        states = [self.link.state]
        self.attach(one.id)
        states.append(self.link.state)
        waiting.callback("bob")
        states.append(self.link.state)
        self.answer = lambda: succeed("ann")
        self.attach(one.id)
        states.append(self.link.state)
        _, link = self.open()
        self.attach(one.id, link=link)
        states.append(self.link.state)
        self.link.lost(left=False)
        states.append(self.link.state)
        new, attaching, attached = LinkState.NEW, LinkState.ATTACHING, LinkState.ATTACHED
        self.assertEqual(
            states, [new, attaching, new, attached, LinkState.REPLACED, LinkState.GONE]
        )
        self.assertIs(link.state, attached)

    def test_no_other_states(self) -> None:
        """A transition that the table does not have is refused, each of them."""
        for state in LinkState:
            for to in set(LinkState) - TRANSITIONS[state]:
                self.link.state = state
                with self.assertRaises(RuntimeError):
                    self.link._enter(to)
                self.assertIs(self.link.state, state)

    def test_gone_is_final(self) -> None:
        """A wire that has gone is lost once, and what still comes there does nothing."""
        one = self.channel()
        self.attach(one.id)
        self.link.lost(left=False)
        said = len(self.wire.said)
        self.link.lost(left=True)
        self.attach(one.id)
        self.say("live", id=one.id, do="send", seq=9, data=1)
        self.say("live.open", open=[])
        self.link.transmit(one.id, Frame("send", data=b"1"))
        self.assertEqual((len(self.wire.said), self.wire.ended, self.closed), (said, [], []))
        self.assertIs(self.link.state, LinkState.GONE)

    def test_pings(self) -> None:
        """A ping every interval, with what was not reported; silence for two drops the wire."""
        one = self.channel()
        one.listen(lambda data: None)
        self.attach(one.id)
        self.say("live", id=one.id, do="send", seq=1, data="a")
        self.beat()
        self.assertEqual(
            [said.get("do", said["op"]) for said in self.wire.said[-2:]], ["credit", "ping"]
        )
        self.link.heard()
        self.beat()
        self.assertEqual(self.wire.aborted, [])
        self.beat()
        self.assertEqual(self.wire.aborted, ["silent"])

    def test_pressure(self) -> None:
        """A wire that is full gets no pings and no messages; it is not taken for dead."""
        one = self.channel()
        self.attach(one.id)
        self.wire.paused = True
        self.link.block(True)
        one.send("later")
        for _ in range(4):
            self.beat()
        self.assertEqual((len(self.wire.said), self.wire.aborted), (1, []))
        self.link.block(False)
        self.assertEqual(self.wire.said[-1]["data"], "later")

    def beat(self) -> None:
        """The next ping is due."""
        self.now, action = self.wire.due.pop("live ping")
        action()
