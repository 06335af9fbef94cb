"""Readers of a stream that wait for what comes, on a server in memory."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, define_channel
from takotwist.testing.world import World
from tests.facades.durable_streams.here import Here


class LiveTests(SynchronousTestCase):
    """Readers that wait."""

    def setUp(self) -> None:
        self.here = Here()
        self.here.ask("PUT", body=b"one")

    def test_events(self) -> None:
        """What is there, what comes, and the end, after which the response is over."""
        peer = self.here.ask("GET", "ann/1?offset=-1&live=sse")
        self.here.ask("POST", body="zwö".encode() + b"\n lf")
        self.here.ask("POST", body=b"last", Stream_Closed="true")
        events = self.here.events(peer)
        self.assertEqual(
            [said for kind, said in events if kind == "data"], ["one", "zwö\n lf", "last"]
        )
        controls = [said for kind, said in events if kind == "control"]
        self.assertEqual([said.get("upToDate") for said in controls], [True] * 3)
        self.assertEqual([said.get("streamClosed") for said in controls], [None, None, True])
        self.assertTrue(peer.ended)
        again = self.here.ask("GET", f"ann/1?offset={controls[-1]['streamNextOffset']}&live=sse")
        [(_, only)] = self.here.events(again)
        self.assertTrue(only["streamClosed"] and again.ended)

    def test_events_end_in_time(self) -> None:
        """An event stream is ended, and its client goes on where it was."""
        peer = self.here.ask("GET", "ann/1?offset=now&live=sse")
        self.here.world.advance(59)
        self.assertFalse(peer.ended)
        self.assertGreater(peer.comments, 2)
        self.here.world.advance(2)
        self.assertTrue(peer.ended)
        self.assertEqual(len(self.here.world.parts.sessions), 0)

    def test_deleted_under_a_reader(self) -> None:
        """Ends its response, and its next request finds nothing."""
        peer = self.here.ask("GET", "ann/1?offset=now&live=sse")
        poll = self.here.ask("GET", "ann/1?offset=now&live=long-poll")
        self.here.ask("DELETE")
        self.assertTrue(peer.ended)
        self.assertEqual(poll.status, 404)
        self.assertEqual(self.here.ask("GET", "ann/1?offset=now&live=sse").status, 404)

    def test_long_poll(self) -> None:
        """Waits for the next chunk, for the end, or for its time; nothing of it stays."""
        waiting = self.here.ask("GET", "ann/1?offset=now&live=long-poll")
        self.assertFalse(waiting.answered)
        self.here.ask("POST", body=b"two")
        self.assertEqual((waiting.status, waiting.body), (200, b"two"))
        late = self.here.ask("GET", "ann/1?offset=now&live=long-poll")
        self.here.world.advance(21)
        self.assertEqual((late.status, late.headers["stream-up-to-date"]), (204, "true"))
        left = self.here.ask("GET", "ann/1?offset=now&live=long-poll")
        left.leave()
        ended = self.here.ask("GET", "ann/1?offset=now&live=long-poll")
        self.here.ask("POST", Stream_Closed="true")
        self.assertEqual((ended.status, ended.headers["stream-closed"]), (204, "true"))
        self.assertEqual(len(self.here.world.parts.sessions), 0)

    def test_grant_ends(self) -> None:
        """A reader whose credentials end is ended."""
        path = {"type": "object", "properties": {"path": {"type": "string"}}}
        channel = define_channel("streams", params=path)
        begun = World().clock.seconds()

        @channel.verify
        def verify(request: Any) -> Grant:
            return Grant(subject="ann", expires_at=begun + 5)

        here = Here(channel, channel="streams")
        here.ask("PUT")
        peer = here.ask("GET", "ann/1?offset=-1&live=sse", headers={"Authorization": "Bearer a"})
        here.world.advance(4)
        self.assertEqual((peer.status, peer.ended), (200, False))
        here.world.advance(2)
        self.assertTrue(peer.ended)

    def test_offsets_of_another_stream(self) -> None:
        """An offset of the stream that was there before is too old; one of none is refused."""
        old = self.here.ask("HEAD").headers["stream-next-offset"]
        self.here.ask("DELETE")
        self.here.ask("PUT", body=b"new")
        self.assertEqual(self.here.ask("GET", f"ann/1?offset={old}").status, 410)
        self.assertEqual(self.here.ask("GET", "ann/1?offset=9007199254740991").status, 400)
        self.assertEqual(self.here.ask("GET").body, b"new")
