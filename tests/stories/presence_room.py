"""A channel with presence in memory, and who watches its roster."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, Presence, VerifyRequest, define_channel
from takotwist.core.roster_view import View
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.memory_socket import MemorySocket
from takotwist.testing.world import World

ROOM = "/channels/chat?roomId=a"
WHO = "/channels/chat/presence?roomId=a"


class User(msgspec.Struct):
    name: str


class Cursor(msgspec.Struct):
    x: int


class Room(msgspec.Struct, rename="camel"):
    room_id: str


def chat(**options: Any) -> Any:
    """A channel where a token is a name, and who has none is let in as nobody.

    What the app shows of them may follow the name, behind a colon.
    """
    rules = Presence(info=User, state=Cursor, **options)
    channel = define_channel("chat", params=Room, forward_unhandled=True, presence=rules)

    @channel.verify(query_token=True)
    def verify(request: VerifyRequest[Room]) -> Grant:
        name = request.header.value if request.header else ""
        if name == "guest":
            return Grant()
        subject, _, shown = name.partition(":")
        return Grant(subject=subject, info=User(shown or subject.title()))

    return channel


class Watcher:
    """Follows a roster on a connection with many topics, as a client does."""

    def __init__(self, world: World, name: str = "guest") -> None:
        self.world = world
        self.socket: MemorySocket = world.connect(
            "/_tako/connect", {"Authorization": name}, subprotocol="tako.v1"
        )
        self.view, self.events = View(), []
        self._seen = 0
        self.cursor: str | None = None
        self.synced = False

    def follow(self, cursor: str | None = None) -> Watcher:
        frame = {"op": "subscribe", "ref": 1, "channel": "chat", "params": {"roomId": "a"}}
        self.socket.say({**frame, "presence": True, "stale": "reset", "cursor": cursor})
        return self

    def join(self) -> Watcher:
        frame = {"op": "subscribe", "ref": 2, "channel": "chat", "params": {"roomId": "a"}}
        self.socket.say(frame)
        return self

    def say(self, state: object, ref: int = 3) -> None:
        frame = {"op": "presence", "ref": ref, "channel": "chat", "params": {"roomId": "a"}}
        self.socket.say({**frame, "state": state})

    def read(self) -> list[str]:
        """Take what has come; the names of who is here."""
        frames = self.socket.frames
        for frame in frames[self._seen :]:
            if frame.get("op") == "reset":
                self.view = View()
            if frame.get("op") == "synced":
                self.synced = True
            if "op" not in frame and frame["type"].startswith("tako."):
                data = msgspec.json.encode(frame["data"])
                event = self.view.apply(int(frame["id"]), frame["type"], data)
                self.cursor = frame["id"]
                if event is not None:
                    self.events.append(event)
        self._seen = len(frames)
        return sorted(self.view.members)


class PresenceCase(SynchronousTestCase):
    options: dict[str, Any] = {}

    def setUp(self) -> None:
        self.log: Any = None
        self.start()

    def start(self, **more: Any) -> None:
        self.world = World(chat(**self.options), log=self.log, **more)
        self.log = self.world.parts.log

    def stream(self, name: str, target: str = ROOM) -> HttpPeer:
        return self.world.subscribe(target, {"Authorization": name})

    def who(self, name: str = "guest") -> list[str]:
        answer = self.world.get(WHO, {"Authorization": name})
        self.assertEqual(answer.status, 200, answer.received)
        return sorted(member["subject"] for member in answer.json["members"])

    def quiet(self) -> None:
        self.world.advance(15)
