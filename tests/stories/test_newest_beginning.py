"""Subscriptions that begin with the latest state, on every transport in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Newest, define_channel
from takotwist.testing.world import World

#: Follow a channel from its latest state: the data of messages so far, the cursor at which it
#: was said that they are the whole state, and what was said of a reset.
Seen = tuple[list[Any], str | None, str | None]
Follow = Callable[[World, str], Callable[[], Seen]]


def _events(world: World, target: str) -> Callable[[], Seen]:
    reader = world.subscribe(target, {"Accept": "text/event-stream"})
    assert reader.status == 200, reader.received

    def seen() -> Seen:
        said = {event.name: event for event in reader.events}
        synced, reset = said.get("tako.synced"), said.get("tako.reset")
        data = [one["data"] for one in reader.messages]
        return data, synced and synced.id, reset and reset.name

    return seen


def by_sse(world: World, channel: str) -> Callable[[], Seen]:
    return _events(world, f"/channels/{channel}?last_message_id=newest")


def by_header(world: World, channel: str) -> Callable[[], Seen]:
    reader = world.subscribe(f"/channels/{channel}", {"Last-Event-ID": "newest"})
    return lambda: ([one["data"] for one in reader.messages], None, None)


def _frames(socket: Any) -> Seen:
    said = {frame["op"]: frame for frame in socket.frames if "op" in frame}
    synced, reset = said.get("synced"), said.get("reset")
    data = [one["data"] for one in socket.frames if "op" not in one]
    return data, synced and synced["cursor"], reset and reset["op"]


def by_socket(world: World, channel: str) -> Callable[[], Seen]:
    target = f"/channels/{channel}?last_message_id=newest"
    socket = world.connect(target, subprotocol="tako.v1")
    return lambda: _frames(socket)


def by_plain_socket(world: World, channel: str) -> Callable[[], Seen]:
    socket = world.connect(f"/channels/{channel}?last_message_id=newest")
    return lambda: _frames(socket)


def by_mux(world: World, channel: str) -> Callable[[], Seen]:
    socket = world.connect("/_tako/connect", subprotocol="tako.v1")
    socket.say({"op": "subscribe", "ref": 1, "channel": channel, "cursor": "newest"})
    return lambda: _frames(socket)


WAYS: list[Follow] = [by_sse, by_header, by_socket, by_plain_socket, by_mux]
#: Those that say that the state is whole.
TELLING: list[Follow] = [by_sse, by_socket, by_mux]


class BeginningTests(SynchronousTestCase):
    """The latest state, and then what follows."""

    def setUp(self) -> None:
        self.world = World(
            define_channel(
                "board", newest=Newest(key="id"), forward_unhandled=True, replay_window=60
            ),
            define_channel("news", forward_unhandled=True, replay_window=60),
        )

    def set(self, id: str, value: int) -> str:
        return str(self.world.publish("/channels/board", "set", {"id": id, "value": value})["id"])

    def delete(self, id: str) -> None:
        body = {"type": "gone", "data": {"id": id}, "delete": True}
        answer = self.world.request("POST", "/channels/board", body=body, private=True)
        self.assertEqual(answer.status, 200)

    def test_of_keys(self) -> None:
        """The newest of each key, and then each message once."""
        for id, value in [("a", 1), ("b", 2), ("a", 3)]:
            last = self.set(id, value)
        self.world.advance(600)
        readers = [(way, way(self.world, "board")) for way in WAYS]
        self.set("b", 4)
        for way, seen in readers:
            data, synced, _ = seen()
            pairs = [(one["id"], one["value"]) for one in data]
            self.assertEqual(pairs, [("b", 2), ("a", 3), ("b", 4)], way.__name__)
            if way in TELLING:
                self.assertEqual(synced, last, way.__name__)

    def test_of_messages(self) -> None:
        """Without keys the last message, and then each message once."""
        for number in range(3):
            last = self.world.publish("/channels/news", "msg", number)["id"]
        readers = [(way, way(self.world, "news")) for way in WAYS]
        self.world.publish("/channels/news", "msg", 3)
        for way, seen in readers:
            data, synced, _ = seen()
            self.assertEqual(data, [2, 3], way.__name__)
            if way in TELLING:
                self.assertEqual(synced, last, way.__name__)

    def test_of_nothing(self) -> None:
        """Where nothing is kept the state is whole at once."""
        self.world.publish("/channels/news", "msg", 1)
        self.world.advance(120)
        for channel in ("news", "board"):
            readers = [(way, way(self.world, channel)) for way in TELLING]
            for way, seen in readers:
                data, synced, _ = seen()
                self.assertEqual((data, synced is None), ([], False), way.__name__)
        seen = by_mux(self.world, "news")
        self.world.publish("/channels/news", "msg", 2)
        self.assertEqual(seen()[0], [2])

    def test_resumed_after_it_was_whole(self) -> None:
        """The cursor that is told with the whole state is good, although what was deleted
        before it has gone: whoever comes back with it has missed nothing."""
        self.set("a", 1)
        self.set("b", 1)
        self.delete("b")
        self.world.advance(120)
        for way in TELLING:
            data, synced, _ = way(self.world, "board")()
            self.assertEqual([one["id"] for one in data], ["a"])
            again = self.world.subscribe(f"/channels/board?last_message_id={synced}")
            self.assertEqual((again.status, again.messages), (200, []), way.__name__)

    def test_too_old(self) -> None:
        """Who missed a deletion for good is told so, and begins with the whole state."""
        old = self.set("b", 1)
        self.set("a", 1)
        self.delete("b")
        self.world.advance(120)
        target = f"/channels/board?last_message_id={old}"
        self.assertEqual(self.world.subscribe(target).code, "replay-too-old")
        data, synced, reset = _events(self.world, f"{target}&stale=reset")()
        self.assertEqual(([one["id"] for one in data], reset), (["a"], "tako.reset"))
        self.assertIsNotNone(synced)
        socket = self.world.connect("/_tako/connect", subprotocol="tako.v1")
        frame = {"op": "subscribe", "ref": 1, "channel": "board", "cursor": old, "stale": "reset"}
        socket.say(frame)
        data, synced, reset = _frames(socket)
        self.assertEqual(([one["id"] for one in data], reset), (["a"], "reset"))
        self.assertIsNotNone(synced)

    def test_no_place_in_history(self) -> None:
        """History is read from a cursor; this is none."""
        answer = self.world.get("/channels/news/history?after=newest")
        self.assertEqual((answer.status, answer.code), (400, "cursor-invalid"))

    def test_roster(self) -> None:
        """Of who is here it is what no cursor is: all who are there."""
        world = World(define_channel("room", presence=True))
        seen = _events(world, "/channels/room/presence?last_message_id=newest")
        self.assertIsNotNone(seen()[1])
