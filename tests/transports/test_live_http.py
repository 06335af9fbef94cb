"""The addresses of live objects beside the functions: POSTs upstream, and a page that goes."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live import Channel, NetworkError, PageLeft, function
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.world import World
from takotwist.transports.live.sse import EventStreamWire
from takotwist.transports.wire import WireState
from tests.live.page import SECRET, ClientEnd, Page

LINES = {"Content-Type": "application/x-ndjson"}


class LiveHttpCase(SynchronousTestCase):
    """A page with one channel, on an event stream."""

    def setUp(self) -> None:
        self.closed: list[Any] = []

        @function
        async def on_open() -> Any:
            channel: Channel[Any, Any] = Channel()
            channel.on_close(self.closed.append)
            return channel.client

        self.world = World(functions=[on_open])
        self.page = Page(self.world)
        self.page.connect_sse()
        self.end: ClientEnd = self.page.get("onOpen")
        self.page.pump()
        self.path = f"/_tako/connect/{self.page.upstream}"

    def post(self, path: str, headers: dict[str, str], body: bytes) -> HttpPeer:
        """Send a POST."""
        return self.world.request("POST", path, headers, body)

    @property
    def last(self) -> Any:
        """What came last on the stream."""
        assert self.page.stream is not None
        blocks = self.page.stream.body.strip().split(b"\n\n")
        return msgspec.json.decode(blocks[-1].removeprefix(b"data: "))


class UpstreamTests(LiveHttpCase):
    """``POST /_tako/connect/<key>``."""

    def test_taken(self) -> None:
        """What can be read is taken."""
        self.assertEqual(self.post(self.path, LINES, b'{"op":"pong"}\n').status, 204)
        self.assertEqual(self.closed, [])

    def test_content_type(self) -> None:
        """Another content type is 415, and the wire has been ended, which its last event says."""
        refused = self.post(self.path, {"Content-Type": "text/plain"}, b'{"op":"pong"}\n')
        self.assertEqual((refused.status, refused.json["code"]), (415, "body-invalid"))
        self.assertEqual(self.last, {"op": "close", "code": 4400, "reason": "body-invalid"})
        self.assertEqual(self.post(self.path, LINES, b"x\n").status, 404)

    def test_unreadable(self) -> None:
        """What breaks the protocol is 400, and ends the wire and its objects."""
        frame = {"op": "live", "id": self.end.id, "do": "send", "seq": 9, "data": 1}
        refused = self.post(self.path, LINES, msgspec.json.encode(frame) + b"\n")
        self.assertEqual((refused.status, refused.json["code"]), (400, "body-invalid"))
        self.assertEqual(self.last, {"op": "close", "code": 4400, "reason": "body-invalid"})
        [error] = self.closed
        self.assertIsInstance(error, NetworkError)

    def test_origin(self) -> None:
        """A page of another site cannot send, and does not end anything."""
        foreign = {**LINES, "Origin": "https://evil.example"}
        self.assertEqual(self.post(self.path, foreign, b"x\n").status, 403)
        self.assertEqual(self.post(self.path, LINES, b"").status, 204)


class WireStatesTests(LiveHttpCase):
    """The lifecycle of the wire below."""

    @property
    def wires(self) -> dict[str, EventStreamWire]:
        """The open wires of the server."""
        live = self.world.parts.public.live
        assert live is not None
        return live.sse._wires

    def test_cut(self) -> None:
        """A client that goes ends the wire, once, and nothing keeps it."""
        [wire] = self.wires.values()
        self.assertIs(wire.state, WireState.OPEN)
        speaker = wire.speaker
        assert self.page.stream is not None
        self.page.stream.leave()
        self.assertIs(wire.state, WireState.ENDED)
        self.assertEqual((self.wires, wire.left), ({}, False))
        self.assertIsNot(wire.speaker, speaker)
        wire.abort("late")
        wire.end(None)
        self.assertEqual(self.post(self.path, LINES, b"x\n").status, 404)

    def test_left_while_held(self) -> None:
        """Of POSTs whose clients leave while they are held back nothing stays."""
        [wire] = self.wires.values()
        wire.hold(True)
        for _ in range(5):
            self.post(self.path, LINES, b'{"op":"pong"}\n').leave()
        self.assertEqual(len(wire._free), 0)
        answered = self.post(self.path, LINES, b'{"op":"pong"}\n')
        self.assertEqual((answered.status, len(wire._free)), (0, 1))
        wire.hold(False)
        self.assertEqual((answered.status, len(wire._free)), (204, 0))

    def test_frees_what_waits(self) -> None:
        """A POST that is held back is let go when the wire ends."""
        [wire] = self.wires.values()
        wire.hold(True)
        waiting = wire.free()
        self.assertNoResult(waiting)
        wire.end(None)
        self.successResultOf(waiting)
        self.successResultOf(wire.free())


class LeaveTests(LiveHttpCase):
    """``POST /_tako/connect/leave``."""

    PATH = "/_tako/connect/leave"
    TEXT = {"Content-Type": "text/plain;charset=UTF-8"}

    def body(self, secret: object = SECRET) -> bytes:
        """What a page says."""
        return msgspec.json.encode({"session": secret})

    def gone(self) -> None:
        """The page's objects ended at once, and nothing is left of them."""
        [error] = self.closed
        self.assertIsInstance(error, PageLeft)
        self.page.cut()
        self.world.advance(1)
        self.assertEqual((self.world.live.sessions.objects, len(self.world.live.sessions)), (0, 0))

    def test_while_the_stream_is_there(self) -> None:
        """A page that goes says so, as `sendBeacon` sends it, and its objects end now."""
        self.assertEqual(self.post(self.PATH, self.TEXT, self.body()).status, 204)
        self.gone()

    def test_after_the_stream(self) -> None:
        """Also where its stream is gone before: they do not wait for the reconnect timeout."""
        self.page.cut()
        self.world.advance(1)
        self.assertEqual(self.closed, [])
        self.assertEqual(self.post(self.PATH, self.TEXT, self.body()).status, 204)
        self.gone()

    def test_before_the_attach(self) -> None:
        """Also of objects that no wire has attached yet."""
        other = Page(self.world, "o" * 22)
        other.call("onOpen")
        self.assertEqual(self.post(self.PATH, self.TEXT, self.body("o" * 22)).status, 204)
        self.assertEqual(len(self.closed), 1)
        self.assertEqual(self.end.ended, [])

    def test_tells_nothing(self) -> None:
        """An unknown session is answered likewise, and nobody else's is touched."""
        self.assertEqual(self.post(self.PATH, self.TEXT, self.body("x" * 22)).status, 204)
        self.assertEqual(self.closed, [])

    def test_refused(self) -> None:
        """No secret, no JSON, another site, another type, another method, too much."""
        json = {"Content-Type": "application/json"}
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        foreign = {**self.TEXT, "Origin": "https://evil.example"}
        self.assertEqual(self.post(self.PATH, json, self.body("short")).status, 400)
        self.assertEqual(self.post(self.PATH, json, self.body(7)).status, 400)
        self.assertEqual(self.post(self.PATH, json, b"\xff").status, 400)
        self.assertEqual(self.post(self.PATH, form, self.body()).status, 415)
        self.assertEqual(self.post(self.PATH, foreign, self.body()).status, 403)
        self.assertEqual(self.post(self.PATH, json, b" " * 2000).status, 413)
        self.assertEqual(self.world.get(self.PATH).status, 405)
        self.assertEqual(self.closed, [])
