"""All connections: their places, what is counted of them, and who is ended."""

from __future__ import annotations

from typing import Any

from takotwist.errors import (
    CredentialsExpired,
    Overloaded,
    RateLimited,
)
from takotwist.flow.sessions import SHOWN_SUBJECT
from tests.flow.session_case import ADDRESS, SessionTestCase


class TestSessions(SessionTestCase):
    """All connections, within their limits."""

    def test_slots(self) -> None:
        """A slot is taken before the session, bounded in all and by address, and given back."""
        for address in (ADDRESS, ADDRESS):
            self.sessions.enter(address)
        self.assertRaises(RateLimited, self.sessions.enter, ADDRESS)
        self.sessions.enter("198.51.100.1")
        self.assertRaises(Overloaded, self.sessions.enter, "203.0.113.1")
        self.sessions.leave(ADDRESS)
        self.sessions.enter("203.0.113.1")
        self.assertEqual(self.limits.open, 3)

    def test_iteration_while_they_close(self) -> None:
        """All sessions can be closed in one loop over them."""
        for _ in range(2):
            self.open()
        for session in self.sessions:
            session.close("stopping")
        self.assertEqual(len(self.sessions), 0)
        self.assertEqual(self.world.metrics.connected["sse"], 2)

    def test_log_line(self) -> None:
        """The line of a connection names its subject, cut where it is long."""
        lines: list[dict[str, Any]] = []

        class Log:
            def info(self, text: str, **fields: Any) -> None:
                lines.append({"text": text.format(**fields), **fields})

        log: Any = Log()
        self.sessions._logger = log
        self.open().close("gone")
        session = self.open()
        self.world.log.head = 1
        self.subscribe(session, self.authorized(subject="x" * 200))
        session.close("gone")
        self.assertEqual(lines[0]["text"], f"sse a from {ADDRESS} ended after 0.0 s: gone")
        self.assertEqual(lines[1]["subject"], "x" * SHOWN_SUBJECT + "...")

    def test_opened(self) -> None:
        """Each has a name of its own, and counts from its beginning as one that was written to."""
        self.advance(7.0)
        one, other = self.open(), self.open()
        self.assertEqual((one.id, other.id), ("a", "b"))
        self.assertEqual(list(self.sessions), [one, other])
        self.assertEqual(one.send_queue.written_at, self.world.clock.seconds())
        metrics = self.world.metrics
        self.assertEqual((metrics.connections["sse"], metrics.connected["sse"]), (2, 2))
        one.close("gone")
        self.assertEqual((metrics.connections["sse"], metrics.connected["sse"]), (1, 2))
        self.assertEqual((list(self.sessions), self.limits.open), ([other], 1))

    def test_end_subjects(self) -> None:
        """Who is named is ended on the channels that are meant, as at the end of the grant."""
        self.world.log.head = 1
        ann, bob, nobody = self.open(), self.open("198.51.100.1"), self.open("198.51.100.1")
        _, ends = self.subscribe(ann, self.authorized("a", subject="ann"))
        _, more = self.subscribe(ann, self.authorized("b", subject="ann"))
        _, others = self.subscribe(bob, self.authorized("a", subject="bob"))
        _, guests = self.subscribe(nobody, self.authorized("a"))
        self.assertEqual(self.sessions.end_subjects({"ann"}, lambda name: name != "chat"), 0)
        self.assertEqual(self.sessions.end_subjects({"eve"}, lambda name: True), 0)
        self.assertEqual((ends, more), ([], []))
        self.assertEqual(self.sessions.end_subjects({"ann", "eve"}, lambda name: True), 2)
        self.assertEqual([type(one) for one in ends + more], [CredentialsExpired] * 2)
        self.assertEqual((ann.subscribed, others, guests), ({}, [], []))
        self.assertEqual(self.sessions.end_subjects({"ann"}, lambda name: True), 0)
