"""A cursor that cannot be answered completely gets a definite answer, on every transport."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
from httpx_sse import connect_sse
from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.sockets.server_process import FAST, ServerProcess, wait_until

CHANNELS = """
from takotwist import define_channel

room = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}
brief = define_channel("brief", params=room, replay_window=1)
idle = define_channel("idle", params=room, inactivity_ttl=3)
few = define_channel("few", params=room, replay_max_messages=5)

@brief.on("msg")
@idle.on("msg")
@few.on("msg")
def said(data, context):
    return data
"""

CONFIG = f"{FAST}\n[replay]\nsweep_interval_seconds = 0.1\n"


class GoneTests(SynchronousTestCase):
    """An old cursor after its messages have gone."""

    def setUp(self) -> None:
        self.server = ServerProcess(CONFIG, {"rooms.py": CHANNELS})
        self.addCleanup(self.server.close)
        self.server.start()

    def publish(self, channel: str, count: int = 3) -> list[str]:
        with self.server.private() as private:
            answer = private.post(
                f"/channels/{channel}?roomId=a",
                content=json.dumps([{"type": "msg", "data": n} for n in range(count)]),
            )
        self.assertEqual(answer.status_code, 200, answer.text)
        return [message["id"] for message in answer.json()]

    def address(self, channel: str, **query: str) -> str:
        return str(httpx.URL(f"/channels/{channel}", params={"roomId": "a", **query}))

    def closed(self, path: str, subprotocol: str | None = None) -> tuple[int, str]:
        """How a WebSocket to `path` ends that should get nothing."""
        names: Any = [subprotocol] if subprotocol else None
        url = f"ws://127.0.0.1:{self.server.port}{path}"
        with connect(url, subprotocols=names, open_timeout=60) as socket:
            with self.assertRaises(ConnectionClosed) as ended:
                socket.recv(60)
            assert ended.exception.rcvd is not None
            return ended.exception.rcvd.code, ended.exception.rcvd.reason

    def history_status(self, channel: str, cursor: str) -> int:
        with httpx.Client(base_url=self.server.url, timeout=60) as client:
            path = f"/channels/{channel}/history?roomId=a&after={cursor}"
            return client.get(path).status_code

    def assert_too_old(self, channel: str, cursor: str) -> None:
        """Every transport refuses `cursor`, and every one can begin anew from it."""
        with httpx.Client(base_url=self.server.url, timeout=60) as client:
            for answer in (
                client.get(self.address(channel), headers={"Last-Event-ID": cursor}),
                client.get(self.address(channel, last_event_id=cursor)),
                client.get(self.address(channel, last_message_id=cursor)),
                client.get(f"/channels/{channel}/history?roomId=a&after={cursor}"),
            ):
                self.assertEqual((answer.status_code, answer.json()["code"]), GONE, answer.url)
        path = self.address(channel, last_message_id=cursor)
        self.assertEqual(self.closed(path), (4410, "replay-too-old"))
        self.assertEqual(self.closed(path, "tako.v1"), (4410, "replay-too-old"))
        self.assert_reset(channel, cursor)

    def assert_reset(self, channel: str, cursor: str) -> None:
        path = self.address(channel, last_message_id=cursor, stale="reset")
        with (
            httpx.Client(base_url=self.server.url, timeout=60) as client,
            connect_sse(client, "GET", path) as source,
            self.socket(path) as explicit,
            self.socket("/_tako/connect") as many,
        ):
            events = (event for event in source.iter_sse() if event.data)
            first = next(events)
            self.assertEqual(first.event, "tako.reset")
            told = json.loads(first.data)
            self.assertEqual((told["reason"], first.id), ("replay-too-old", told["cursor"]))

            opened, reset = json.loads(explicit.recv(60)), json.loads(explicit.recv(60))
            self.assertEqual(opened["op"], "open")
            self.assertEqual(reset, {"op": "reset", **told})

            self.assertEqual(json.loads(many.recv(60))["op"], "open")
            subscribe = {"op": "subscribe", "channel": channel, "params": {"roomId": "a"}}
            many.send(json.dumps({**subscribe, "ref": "x", "cursor": cursor}))
            error = json.loads(many.recv(60))
            self.assertEqual(
                (error["op"], error["ref"], error["code"]), ("error", "x", "replay-too-old")
            )
            many.send(json.dumps({**subscribe, "ref": "y", "cursor": cursor, "stale": "reset"}))
            ack, reset = json.loads(many.recv(60)), json.loads(many.recv(60))
            self.assertEqual((ack["op"], ack["ref"]), ("ack", "y"))
            self.assertEqual((reset["op"], reset["reason"]), ("reset", "replay-too-old"))

            (now,) = self.publish(channel, 1)
            self.assertEqual(next(events).id, now)
            self.assertEqual(json.loads(explicit.recv(60))["id"], now)
            self.assertEqual(json.loads(many.recv(60))["id"], now)

    def socket(self, path: str) -> Any:
        names: Any = ["tako.v1"]
        url = f"ws://127.0.0.1:{self.server.port}{path}"
        return connect(url, subprotocols=names, open_timeout=60)

    def test_all_expired(self) -> None:
        """After every message of a topic has left its window."""
        first, *_ = self.publish("brief")
        wait_until(lambda: self.history_status("brief", first) == 410, "the window passes")
        self.assert_too_old("brief", first)

    def test_dropped_by_inactivity(self) -> None:
        """After the topic was dropped because nobody used it."""
        first, *_ = self.publish("idle")
        self.assertEqual(self.history_status("idle", first), 200)
        wait_until(lambda: self.history_status("idle", first) == 410, "the topic is dropped")
        self.assert_too_old("idle", first)

    def test_pushed_out(self) -> None:
        """After so many messages came that the topic keeps no longer what the client missed."""
        first, *_ = self.publish("few", 3)
        self.publish("few", 5)
        wait_until(lambda: self.history_status("few", first) == 410, "the oldest go")
        self.assert_too_old("few", first)

    def test_database_deleted(self) -> None:
        """After the database file was deleted between a stop and a start."""
        first, *_, last = self.publish("few")
        self.server.stop()
        for file in (self.server.folder / "state").glob("replay.sqlite*"):
            file.unlink()
        self.server.start()
        # Ids go on rising, so that the new ones are not taken for older ones.
        self.assertGreater(int(self.publish("few", 1)[0]), int(last))
        for cursor in (first, last):
            self.assert_too_old("few", cursor)

    def test_last_message_is_never_too_old(self) -> None:
        """Who has seen the last message before it expired has missed nothing, and is let in."""
        *_, last = self.publish("brief")
        wait_until(lambda: self.history_status("brief", str(int(last) - 1)) == 410, "it expires")
        time.sleep(0.2)
        with (
            httpx.Client(base_url=self.server.url, timeout=60) as client,
            connect_sse(client, "GET", self.address("brief", last_event_id=last)) as source,
        ):
            self.assertEqual(source.response.status_code, 200)
            (now,) = self.publish("brief", 1)
            messages = (event for event in source.iter_sse() if event.event == "message")
            self.assertEqual(next(messages).id, now)


GONE = (410, "replay-too-old")
