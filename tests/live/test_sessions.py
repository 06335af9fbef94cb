"""The table of sessions: whose objects they are, what carries them, and when nothing is left."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.deadlines import Deadlines
from takotwist.errors import BodyInvalid, Overloaded, RateLimited, VerifyRejected
from takotwist.live import Channel, NetworkError
from takotwist.live.broadcast.broadcast import Broadcasts
from takotwist.live.broadcast.bus import Bus
from takotwist.live.functions.function import Verification
from takotwist.live.machine.frames import Bounds, Frame, Position
from takotwist.live.machine.send import Backlog
from takotwist.live.services import LiveServices
from takotwist.live.sessions import MAX_OBJECTS, LiveSession, LiveSessions, key_of

SECRET = "s" * 22
ANN = Verification("onTest", lambda request: True, "authorization", None)


class FakeWire:
    """Notes what a session tells its wire."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, Frame]] = []
        self.was_replaced = False
        self.reasons: list[str] = []

    def transmit(self, name: str, frame: Frame) -> None:
        self.frames.append((name, frame))

    def replaced(self) -> None:
        self.was_replaced = True

    def broken(self, reason: str) -> None:
        self.reasons.append(reason)


class SessionsTests(SynchronousTestCase):
    """Sessions by the hash of their secret."""

    def setUp(self) -> None:
        self.now = 0.0
        self.deadlines = Deadlines()
        names = count(1)
        services = LiveServices(
            Bounds(), lambda: self.now, self.deadlines, Broadcasts(Bus()), Backlog(2**20)
        )
        self.sessions = LiveSessions(services, 3, lambda: f"id{next(names)}")

    def session(self, secret: str = SECRET, subject: str | None = None) -> LiveSession:
        """As a call takes it."""
        return self.sessions.take(secret, subject, ANN if subject else None)

    def admit(self, session: LiveSession) -> Channel[Any, Any]:
        """One more object."""
        channel: Channel[Any, Any] = Channel()
        session.admit(channel)
        return channel

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        for action in self.deadlines.tick(self.now):
            action()

    def test_secrets(self) -> None:
        """A session needs a secret worth the name, and the table does not hold it."""
        for wrong in (None, "", "s" * 21, "s" * 129, "s" * 21 + " ", "ß" * 22):
            self.assertRaises(BodyInvalid, self.sessions.find, wrong)
            self.assertRaises(BodyInvalid, self.sessions.take, wrong, None, None)
            self.assertRaises(BodyInvalid, self.sessions.leave, wrong)
        session = self.session()
        self.assertNotIn(SECRET, repr(session) + repr(self.sessions))
        self.assertNotIn(SECRET.encode(), key_of(SECRET))

    def test_one_subject(self) -> None:
        """A session that belongs to somebody stays theirs; one of nobody may become somebody's."""
        session = self.session()
        self.admit(session)
        self.assertIs(self.session(subject="ann"), session)
        self.assertEqual((session.subject, session.verification), ("ann", ANN))
        self.assertIs(self.session(), session)
        self.assertIs(self.session(subject="ann"), session)
        self.assertRaises(VerifyRejected, self.session, subject="bob")

    def test_bounds(self) -> None:
        """So many sessions, and so many objects of each; a place that is free again is free."""
        sessions = [self.session(letter * 22) for letter in "abc"]
        self.assertRaises(Overloaded, self.session, "d" * 22)
        self.assertRaises(Overloaded, self.sessions.find, "d" * 22)
        for _ in range(MAX_OBJECTS):
            self.admit(sessions[0])
        self.assertRaises(RateLimited, self.admit, sessions[0])
        self.assertEqual(self.sessions.objects, MAX_OBJECTS)
        sessions[0].end(NetworkError())
        self.assertEqual((len(self.sessions), self.sessions.objects), (2, 0))
        self.session("d" * 22)

    def test_wires(self) -> None:
        """Frames go to the newest wire; the one before is told; an old one's end is nothing."""
        session = self.session()
        channel = self.admit(session)
        first, second = FakeWire(), FakeWire()
        session.carry(first)
        channel.attach(Position(0, 1000, 10))
        channel.send(1)
        session.carry(second)
        channel.send(2)
        self.assertEqual([len(first.frames), len(second.frames)], [1, 1])
        self.assertTrue(first.was_replaced)
        session.cut(first)
        self.assertIs(session.wire, second)
        session.broken("why")
        self.assertEqual((first.reasons, second.reasons), ([], ["why"]))
        session.cut(second)
        self.assertIsNone(session.wire)
        channel.send(3)
        self.assertEqual(len(second.frames), 1)

    def test_leaves_the_table(self) -> None:
        """A session is in the table while it has an object or a wire, or is held."""
        session = self.session()
        with session.held():
            session.tidy()
            self.assertEqual(len(self.sessions), 1)
        self.assertEqual(len(self.sessions), 0)
        session, wire = self.sessions.find(SECRET), FakeWire()
        session.carry(wire)
        session.tidy()
        self.assertEqual(len(self.sessions), 1)
        session.cut(wire)
        self.assertEqual(len(self.sessions), 0)
        self.admit(self.session())
        self.advance(5.5)
        self.assertEqual((len(self.sessions), len(self.deadlines)), (0, 0))

    def test_leave(self) -> None:
        """A page that goes takes its objects with it; who is unknown has none."""
        closed: list[Any] = []
        self.admit(self.session()).on_close(closed.append)
        self.sessions.leave("x" * 22)
        self.assertEqual(closed, [])
        self.sessions.leave(SECRET)
        self.assertEqual((len(closed), len(self.sessions)), (1, 0))

    def test_close(self) -> None:
        """When the server stops, every object hears of it."""
        closed: list[Any] = []
        for letter in "abc":
            self.admit(self.session(letter * 22)).on_close(closed.append)
        self.sessions.close()
        self.assertEqual([type(error) for error in closed], [NetworkError] * 3)
        self.assertEqual((len(self.sessions), len(self.deadlines)), (0, 0))

    def test_held_bytes(self) -> None:
        """What waits for pages can be asked for."""
        channel = self.admit(self.session())
        self.assertEqual(self.sessions.held, 0)
        channel.send_binary(b"x" * 1000)
        self.assertEqual(self.sessions.held, 1400)
        self.assertEqual([one.kind for one in self.sessions], ["channel"])

    def test_subjects_ended(self) -> None:
        """The objects of a subject whose credentials are void end; those of others stay."""
        hers, his, free = (
            self.session(letter * 22, subject)
            for letter, subject in (("a", "ann"), ("b", "bob"), ("c", None))
        )
        objects = [self.admit(one) for one in (hers, his, free)]
        self.assertEqual(self.sessions.end_subjects({"ann"}, lambda name: name != "onTest"), 0)
        self.assertEqual(self.sessions.end_subjects({"ann"}, lambda name: name == "onTest"), 1)
        self.assertEqual(len(hers.objects), 0)
        self.assertEqual([len(one.objects) for one in (his, free)], [1, 1])
        self.assertEqual(len(objects), 3)
