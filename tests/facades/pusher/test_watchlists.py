"""Watchlists: who is told which users are online."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.facades.pusher.here import Client, Here, frame_data


class WatchlistTests(SynchronousTestCase):
    """Who is told which users are online."""

    def setUp(self) -> None:
        self.here = Here.of(watchlists=True)
        self.ann = self.here.connect()

    def told(self, client: Client) -> list[Any]:
        """What a client was told of others."""
        name = "pusher_internal:watchlist_events"
        events = [frame_data(one) for one in client.events if one["event"] == name]
        return [(e["name"], e["user_ids"]) for one in events for e in one["events"]]

    def test_watchlist(self) -> None:
        """At the sign-in, when one comes, and when one has had no connection for a while."""
        bob = self.here.connect()
        bob.sign_in({"id": "bob"})
        self.ann.sign_in({"id": "ann", "watchlist": ["bob", "eve", 7]})
        self.assertEqual(self.told(self.ann), [("online", ["bob"])])
        eve = self.here.connect()
        eve.sign_in({"id": "eve"})
        other = self.here.connect()
        other.sign_in({"id": "joe"})
        self.assertEqual(self.told(self.ann)[1:], [("online", ["eve"])])
        # Back before anybody would have noticed.
        eve.socket.close()
        self.here.world.advance(1)
        eve = self.here.connect()
        eve.sign_in({"id": "eve"})
        self.here.world.advance(10)
        self.assertEqual(len(self.told(self.ann)), 2)
        tab = self.here.connect()
        tab.sign_in({"id": "eve"})
        eve.socket.close()
        self.here.world.advance(10)
        self.assertEqual(len(self.told(self.ann)), 2)
        tab.socket.close()
        self.here.world.advance(10)
        self.assertEqual(self.told(self.ann)[2:], [("offline", ["eve"])])
        self.assertEqual(self.told(bob), [])

    def test_forgotten(self) -> None:
        """Who has gone is told no more, and nothing is kept for it."""
        self.ann.sign_in({"id": "ann", "watchlist": ["bob"]})
        self.ann.socket.close()
        bob = self.here.connect()
        bob.sign_in({"id": "bob", "watchlist": ["ann"]})
        bob.socket.close()
        self.here.world.advance(10)
        self.assertEqual(len(self.told(self.ann)), 0)
        [hub] = self.here.world.parts.public.facades[0].sockets.by_key.values()  # type: ignore[attr-defined]
        self.assertEqual(len(hub.users.watchlists), 0)

    def test_not_enabled(self) -> None:
        here = Here.of()
        bob, ann = here.connect(), here.connect()
        bob.sign_in({"id": "bob"})
        ann.sign_in({"id": "ann", "watchlist": ["bob"]})
        self.assertEqual(self.told(ann), [])

    def test_replaced(self) -> None:
        """Who signs in once more has the newest list."""
        self.ann.sign_in({"id": "ann", "watchlist": ["bob"]})
        self.ann.sign_in({"id": "ann", "watchlist": ["eve"]})
        for name in ("bob", "eve"):
            self.here.connect().sign_in({"id": name})
        self.assertEqual(self.told(self.ann), [("online", ["eve"])])
