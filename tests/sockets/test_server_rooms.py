"""Rooms are rooms: nothing of one is ever seen in another."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
from twisted.trial.unittest import SynchronousTestCase
from websockets.sync.client import connect

from tests.sockets.readers import READERS, MuxReader, Reader
from tests.sockets.server_process import ServerProcess

ROOMS = ("a", "b", "a b&c=ä", "")
EACH = 300


class RoomTests(SynchronousTestCase):
    """Rooms of one channel, published to at the same time."""

    def setUp(self) -> None:
        self.server = ServerProcess()
        self.addCleanup(self.server.close)
        self.server.start()

    def publish(self, private: httpx.Client, room: str, first: int, count: int) -> None:
        body = [
            {"type": "msg", "data": {"room": room, "n": n}} for n in range(first, first + count)
        ]
        answer = private.post("/channels/chat", params={"roomId": room}, content=json.dumps(body))
        self.assertEqual(answer.status_code, 200, answer.text)

    def assert_only(self, reader: Reader) -> None:
        self.assertEqual(
            [message["data"] for message in reader.messages],
            [{"room": reader.params["roomId"], "n": n} for n in range(EACH)],
        )

    def readers(self, **options: Any) -> list[Reader]:
        readers = [
            kind(self.server.port, "chat", {"roomId": room}, **options)
            for kind in READERS.values()
            for room in ROOMS
        ]
        for reader in readers:
            self.addCleanup(reader.close)
        return readers

    def test_rooms(self) -> None:
        """Four rooms, also oddly named ones, live, from the replay, and in the history."""
        live = self.readers(cursor="")
        for reader in live:
            reader.begin()
        with self.server.private() as private:
            for first in range(0, EACH, 10):
                for room in ROOMS:
                    self.publish(private, room, first, 10)
        for reader in live:
            reader.read_until(EACH)
            self.assert_only(reader)
        for reader in self.readers():
            reader.begin().read_until(EACH)
            self.assert_only(reader)
        with httpx.Client(base_url=self.server.url, timeout=60) as client:
            for room in ROOMS:
                page = client.get(
                    "/channels/chat/history", params={"roomId": room, "limit": "1000"}
                ).json()
                self.assertEqual(
                    [message["data"] for message in page["messages"]],
                    [{"room": room, "n": n} for n in range(EACH)],
                )
                self.assertIs(page["more"], False)

    def test_one_connection_many_rooms(self) -> None:
        """On a multiplexed connection each message says its room, and is of that room."""
        seen: dict[str, list[int]] = {room: [] for room in ROOMS[:3]}
        names: Any = ["tako.v1"]
        url = f"ws://127.0.0.1:{self.server.port}/_tako/connect"
        with (
            connect(url, subprotocols=names, open_timeout=60) as many,
            self.server.private() as private,
        ):
            for room in seen:
                subscribe = {"op": "subscribe", "channel": "chat", "params": {"roomId": room}}
                many.send(json.dumps(subscribe))

            def publish() -> None:
                for first in range(0, EACH, 10):
                    for room in ROOMS:
                        self.publish(private, room, first, 10)

            self.assertEqual(json.loads(many.recv(60))["op"], "open")
            for _ in seen:
                self.assertEqual(json.loads(many.recv(60))["op"], "ack")
            publishing = threading.Thread(target=publish)
            publishing.start()
            for _ in range(EACH * len(seen)):
                message = json.loads(many.recv(60))
                self.assertEqual(message["params"], {"roomId": message["data"]["room"]})
                seen[message["data"]["room"]].append(message["data"]["n"])
            publishing.join()
        for numbers in seen.values():
            self.assertEqual(numbers, list(range(EACH)))

    def test_what_a_room_member_sends_stays_there(self) -> None:
        """What a client sends is seen in its own room only, by itself too."""
        readers = [MuxReader(self.server.port, "chat", {"roomId": room}, "") for room in "ab"]
        for reader in readers:
            self.addCleanup(reader.close)
            reader.begin()
        for reader, other in zip(readers, "ab", strict=True):
            reader.send(
                {
                    "op": "publish",
                    "channel": "chat",
                    "params": {"roomId": other},
                    "type": "msg",
                    "data": other,
                }
            )
        for reader, room in zip(readers, "ab", strict=True):
            reader.read_until(1)
            self.assertEqual([message["data"] for message in reader.messages], [room])
