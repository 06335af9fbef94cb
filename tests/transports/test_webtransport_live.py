"""Live objects over WebTransport: frames both ways, pressure, and how a client goes."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

from twisted.internet.defer import ensureDeferred

from takotwist.live import Channel, function
from takotwist.live.functions.calls import Caller
from takotwist.server.compose_live import BATCH_FACTOR
from takotwist.streams.http3 import Http3Config
from takotwist.streams.webtransport.capsules import encode_close
from takotwist.transports.webtransport import WebTransportTransport
from tests.streams.http3.wire import Net
from tests.transports.test_webtransport import ChannelsCase, Session

SECRET = "s" * 22
WINDOW = {"bytes": 8 * 2**20, "messages": 1000}


class LiveCase(ChannelsCase):
    """A server with one function, whose channel the test holds."""

    def setUp(self) -> None:
        super().setUp()
        self.live = self.parts.live
        most = BATCH_FACTOR * self.parts.reloadable.live.max_message_bytes
        admission = self.parts.public.sse.admission
        self.transport = WebTransportTransport(admission, self.clock, self.parts.unfinished, most)
        self.net = Net(
            routes=[self.transport.route()],
            config=Http3Config(idle_timeout=1000, keepalive=400),
            clock=self.clock,
        )
        self.heard: list[Any] = []
        self.ended: list[Any] = []

        @function
        async def on_test() -> Any:
            self.channel: Channel[Any, Any] = Channel()
            self.channel.listen(self.heard.append)
            self.channel.listen_binary(self.heard.append)
            self.channel.on_close(self.ended.append)
            return self.channel.client

        self.live.replace({"onTest": on_test})

    def attached(self) -> tuple[Session, str]:
        """A session that carries the channel."""
        caller = Caller("192.0.2.7", SECRET, {}, lambda name: None)
        called = ensureDeferred(self.live.calls.call("onTest", b"{}", caller))
        _, body = self.successResultOf(called)
        [entry] = json.loads(body)["live"]
        session = self.session()
        self.attach(session, entry["id"])
        return session, entry["id"]

    def attach(self, session: Session, name: str, seq: int = 0) -> None:
        """Attach the channel."""
        entry = {"id": name, "seq": seq, **WINDOW}
        session.send({"op": "live.attach", "ref": 1, "session": SECRET, "open": [entry]})

    def binaries(self, session: Session) -> list[bytes]:
        """The data of binary frames that came."""
        frames = [b64decode(line[1:]) for line in session.lines if line[:1] == b"~"]
        return [frame[2 + frame[1] + 4 :] for frame in frames]

    def texts_of(self, session: Session) -> list[dict[str, Any]]:
        """The text frames that came."""
        return [json.loads(line) for line in session.lines if line[:1] == b"{"]


class LiveTests(LiveCase):
    """One channel on one session."""

    def test_both_ways(self) -> None:
        """Text and binary frames go both ways, as lines."""
        session, name = self.attached()
        session.send({"op": "live", "id": name, "do": "send", "seq": 1, "data": "ä"})
        frame = bytes([1, len(name)]) + name.encode() + (2).to_bytes(4, "big") + b"\n\xff"
        session.write(b"~" + b64encode(frame) + b"\n")
        self.assertEqual(self.heard, ["ä", b"\n\xff"])
        self.channel.send({"n": 1})
        self.channel.send_binary(b"\x00\n")
        self.net.pump()
        self.assertEqual(self.texts_of(session)[-1]["data"], {"n": 1})
        self.assertEqual(self.binaries(session), [b"\x00\n"])

    def test_large(self) -> None:
        """A message may be as large as the configuration says, though a channel's may not."""
        session, name = self.attached()
        most = self.parts.reloadable.live.max_message_bytes
        frame = bytes([1, len(name)]) + name.encode() + (1).to_bytes(4, "big") + b"x" * most
        session.write(b"~" + b64encode(frame) + b"\n")
        self.net.pump(2)
        self.assertEqual([len(data) for data in self.heard], [most])
        self.channel.send_binary(b"y" * most)
        self.net.pump(2)
        self.assertEqual([len(data) for data in self.binaries(session)], [most])

    def test_pressure(self) -> None:
        """What a client does not take waits; all of it comes, once and in order."""
        session, _ = self.attached()
        self.net.drop = lambda data: True
        sent = [self.channel.send(f"{number:04}" + "x" * 2400) for number in range(100)]
        [ours] = self.parts.sessions
        self.assertTrue(ours.send_queue.paused)
        self.assertEqual([one.done for one in sent], [True] * 27 + [False] * 73)
        self.net.drop = lambda data: False
        self.net.pump(8, 0.02)
        datas = [frame["data"] for frame in self.texts_of(session) if frame["op"] == "live"]
        self.assertEqual([int(data[:4]) for data in datas], list(range(100)))

    def test_left(self) -> None:
        """A client that closes its session as who leaves ends its objects at once."""
        session, _ = self.attached()
        session.client.h3.send_data(session.id, encode_close(1000, ""), end_stream=True)
        self.net.pump(1)
        self.assertEqual(len(self.ended), 1)
        self.assert_nothing_left()

    def test_cut(self) -> None:
        """A client that is merely gone gets what it missed on its next session."""
        session, name = self.attached()
        session.client.quic.close()
        self.net.pump(1)
        self.channel.send("missed")
        self.assertEqual(self.ended, [])
        again = self.session()
        self.attach(again, name)
        self.assertEqual(self.texts_of(again)[-1]["data"], "missed")

    def test_silent(self) -> None:
        """A client that answers no ping is dropped, and its objects wait for it."""
        self.attached()
        self.net.pump(16, 0.5)
        self.assertEqual(len(self.parts.sessions), 0)
        self.assertEqual(self.ended, [])
