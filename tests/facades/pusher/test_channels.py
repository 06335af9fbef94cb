"""Who follows the channels of an app: members, counts, and what is told of them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import Config, Limits
from tests.facades.pusher.here import SUCCEEDED, Here, frame_data


class PresenceTests(SynchronousTestCase):
    """Members are users, whatever number of connections each has."""

    def test_members(self) -> None:
        here = Here.of()
        ann, tab, bob = here.connect(), here.connect(), here.connect()
        ann.subscribe("presence-x", {"user_id": "ann", "user_info": {"name": "Ann"}})
        tab.subscribe("presence-x", {"user_id": "ann"})
        bob.subscribe("presence-x", {"user_id": 7})
        told = frame_data(bob.events[0])["presence"]
        self.assertEqual(
            told, {"ids": ["ann", "7"], "hash": {"ann": {"name": "Ann"}, "7": None}, "count": 2}
        )
        [added] = ann.events[1:]
        self.assertEqual(added["event"], "pusher_internal:member_added")
        self.assertEqual(frame_data(added), {"user_id": "7", "user_info": None})
        users = here.api("GET", "/apps/7/channels/presence-x/users").json
        self.assertEqual(users, {"users": [{"id": "ann"}, {"id": "7"}]})
        ann.socket.close()
        self.assertEqual(len(bob.events), 1)
        tab.socket.leave()
        [removed] = bob.events[1:]
        self.assertEqual(removed["event"], "pusher_internal:member_removed")
        self.assertEqual(frame_data(removed), {"user_id": "ann"})

    def test_by_user(self) -> None:
        """Who has signed in needs no channel_data."""
        client = Here.of().connect()
        client.sign_in({"id": "ann", "user_info": {"name": "Ann"}})
        client.subscribe("presence-x")
        self.assertEqual(
            frame_data(client.events[-1])["presence"]["hash"], {"ann": {"name": "Ann"}}
        )

    def test_refused(self) -> None:
        here = Here.of(pusher={"max_members": 1, "max_user_info_bytes": 64})
        client = here.connect()
        for data in (
            None,
            {"user_id": ""},
            {"user_info": {}},
            [],
            {"user_id": "x" * 129},
            {"user_id": "a", "user_info": "x" * 100},
        ):
            client.subscribe("presence-x", data)
            self.assertEqual(client.events[-1]["event"], "pusher:subscription_error", data)
        client.subscribe("presence-x", {"user_id": "ann"})
        other, tab = here.connect(), here.connect()
        other.subscribe("presence-x", {"user_id": "bob"})
        self.assertEqual(frame_data(other.events[-1])["type"], "LimitReached")
        tab.subscribe("presence-x", {"user_id": "ann"})
        self.assertEqual(tab.events[-1]["event"], SUCCEEDED)


class CountTests(SynchronousTestCase):
    """How many follow a channel."""

    def test_count(self) -> None:
        here = Here.of(subscription_count=True)
        first, second = here.connect(), here.connect()
        first.subscribe("news")
        here.world.advance(1)
        second.subscribe("news")
        here.world.advance(1)
        second.say("pusher:unsubscribe", {"channel": "news"})
        here.world.advance(1)
        counts = [frame_data(one) for one in first.events[1:]]
        self.assertEqual(counts, [{"subscription_count": n} for n in (1, 2, 1)])

    def test_refused(self) -> None:
        """Who could not follow a channel has changed nothing: nobody is told of a number."""
        limits = Limits(max_subscriptions_per_connection=1)
        here = Here.of(subscription_count=True, config=Config(limits=limits))
        first, second = here.connect(), here.connect()
        first.subscribe("news")
        second.subscribe("other")
        here.world.advance(1)
        facade: Any = here.world.parts.public.facades[0]
        told: list[Any] = []
        for hub in facade.sockets.by_key.values():
            self.patch(hub.channels.told, "happened", lambda *args, **more: told.append(args))
        before = len(first.events)
        for name in ("news", "nobody-here"):
            second.subscribe(name)
            self.assertEqual(second.events[-1]["event"], "pusher:subscription_error")
        here.world.advance(10)
        self.assertEqual((told, first.events[before:]), ([], []))
