"""Channels over WebTransport, on a clock and a network that the tests move."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from aioquic.quic.events import StreamDataReceived
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant, define_channel
from takotwist.adapters.authorize_local import LocalAuthorizer
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.admin.health import Health
from takotwist.core.channel import Defined, Registry
from takotwist.core.topic import Draft
from takotwist.errors import InternalError
from takotwist.server.compose import compose
from takotwist.server.config import Config, Http, Limits
from takotwist.server.timers import Ticker
from takotwist.streams.http3 import Http3Config
from takotwist.streams.unfinished import Unfinished
from takotwist.streams.webtransport.capsules import CapsuleParser, CloseSession
from takotwist.transports.webtransport import WebTransportTransport
from takotwist.transports.webtransport_lines import Lines
from tests.adapters.stepped_threads import SteppedPool
from tests.settings import change_limits
from tests.streams.http3.wire import Client, Net, UdpClock

ROOM = {
    "type": "object",
    "properties": {"roomId": {"type": "string"}},
    "required": ["roomId"],
}
CHAT = {"channel": "chat", "params": {"roomId": "a"}}
HALL = {"channel": "hall", "params": {"roomId": "a"}}
CLUB = {"channel": "club", "params": {"roomId": "a"}}


def channels() -> list[Any]:
    """One channel for all, one for members, and one where guests listen and members speak."""
    chat, club = define_channel("chat", params=ROOM), define_channel("club", params=ROOM)
    hall = define_channel("hall", params=ROOM)

    async def said(data: Any, context: Any) -> Any:
        return data

    async def verify(request: Any) -> Any:
        given = request.header.value if request.header else request.cookie
        return Grant(subject="m1") if given == "member" else False

    async def may(request: Any) -> bool:
        return request.operation != "publish" or request.header.value == "member"

    for one in (chat, club, hall):
        one.on("msg")(said)
    hall.verify(header="authorization")(may)
    club.verify(header="authorization", cookie="club")(verify)
    return [chat, club, hall]


class Session:
    """A client with one session and its stream."""

    def __init__(self, client: Client, **fields: str) -> None:
        self.client, self.net = client, client.net
        self.id = client.connect("/_tako/connect", **fields)
        self.net.pump()
        self.stream = -1

    @property
    def status(self) -> int | None:
        """Of the answer."""
        return self.client.status(self.id)

    def open(self, data: bytes = b"") -> Session:
        """Open the stream."""
        self.stream = self.client.open(self.id, data)
        self.net.pump()
        return self

    def write(self, data: bytes, end: bool = False) -> None:
        """Bytes on the stream."""
        self.client.quic.send_stream_data(self.stream, data, end_stream=end)
        self.net.pump()

    def send(self, *frames: dict[str, Any]) -> None:
        """Frames on the stream."""
        self.write(b"".join(json.dumps(frame).encode() + b"\n" for frame in frames))

    @property
    def lines(self) -> list[bytes]:
        """All lines that came."""
        return self.client.raw.get(self.stream, b"").split(b"\n")[:-1]

    @property
    def frames(self) -> list[dict[str, Any]]:
        """All frames that came."""
        return [json.loads(line) for line in self.lines if line]

    def texts(self) -> list[str]:
        """What the messages say."""
        return [frame["data"]["text"] for frame in self.frames if "op" not in frame]

    @property
    def closed(self) -> tuple[int, str] | None:
        """How the server closed the session."""
        for capsule in CapsuleParser().feed(self.client.body(self.id)):
            if isinstance(capsule, CloseSession):
                return capsule.code, capsule.reason
        return None


class Heard:
    """A wire that remembers what came."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.received = self.lines.append

    def end(self, refusal: object) -> None:
        """Not here."""

    cut_off = stream_lost = end

    def fell_behind(self) -> None:
        """Not here."""

    caught_up = fell_behind


class ChannelsCase(SynchronousTestCase):
    """A server in memory."""

    limits = Limits()

    def setUp(self) -> None:
        self.clock = UdpClock()
        self.clock.advance(1_700_000_000)  # also the time of day, of which messages have their ids
        self._port = 50_000
        found = self.channels()
        names = count(1)
        log = InMemoryReplayLog(self.clock)
        self.parts = compose(
            Config(limits=self.limits, http=Http(allowed_origins=("https://app.example",))),
            reactor=self.clock,
            wall=self.clock.seconds,
            random=lambda: 0.5,
            new_id=lambda: f"c{next(names)}",
            log=log,
            registry=Registry.of(Defined(one.definition, "here", True) for one in found),
            authorizer=LocalAuthorizer(found, self.clock, SteppedPool()),
            pool=SteppedPool(),
            health=lambda: Health(True),
        )
        self.successResultOf(log.start(self.parts.follower))
        self.parts.presence.start()
        self.addCleanup(self.parts.presence.stop)
        parts = self.parts
        ticker = Ticker(parts.deadlines, parts.flush_batch, parts.metrics, self.clock)
        ticker.startService()
        self.addCleanup(ticker.stopService)
        admission = parts.public.sse.admission
        self.transport = WebTransportTransport(
            admission, self.clock, parts.unfinished, check_access=parts.public.check_access
        )
        self.net = Net(
            routes=[self.transport.route()],
            config=Http3Config(idle_timeout=1000, keepalive=400),
            clock=self.clock,
        )

    def channels(self) -> list[Any]:
        """Of the server."""
        return channels()

    def client(self) -> Client:
        """A new client, from a port of its own."""
        self._port += 1
        return self.net.client(("192.0.2.7", self._port))

    def session(self, **fields: str) -> Session:
        """A session of a new client; its stream is open."""
        return Session(self.client(), **fields).open()

    def follow(self, session: Session, topic: dict[str, Any] = CHAT, **fields: Any) -> None:
        """Subscribe."""
        session.send({"op": "subscribe", "ref": "s", **topic, **fields})

    def publish(self, *texts: str) -> None:
        """From the server's own side."""
        for text in texts:
            self.clock.advance(0)
            one = Draft("msg", json.dumps({"text": text}).encode())
            stored: Deferred[Any] = self.parts.store("chat", {"roomId": "a"}, [one], None)
            self.successResultOf(stored)
            self.parts.flush_batch.end()

    def assert_nothing_left(self) -> None:
        """No session, no place, no topic, no speaker."""
        self.assertEqual(len(self.parts.sessions), 0)
        self.assertEqual(self.parts.limits.open, 0)
        self.assertEqual(list(self.parts.fanout.keys()), [])


class FrameTests(ChannelsCase):
    """What is said on the stream."""

    def test_open(self) -> None:
        """The first frame says who the connection is and how long it lives."""
        session = self.session()
        self.assertEqual(session.frames[0]["op"], "open")
        self.assertEqual(session.frames[0]["connection"], "c1")
        self.assertEqual(self.parts.metrics.connections["webtransport"], 1)

    def test_publish(self) -> None:
        """Who follows a topic gets what is published to it, the publisher too."""
        one, other = self.session(), self.session()
        self.follow(one)
        self.follow(other)
        one.send({"op": "publish", "ref": 2, "type": "msg", "data": {"text": "a\nb"}, **CHAT})
        self.assertEqual((one.texts(), other.texts()), (["a\nb"], ["a\nb"]))
        [ack] = [frame for frame in one.frames if frame.get("ref") == 2]
        self.assertEqual(ack["op"], "ack")

    def test_from_the_latest_state(self) -> None:
        """A topic is followed from its last message, and it is said when that is all."""
        self.publish("one", "two")
        session = self.session()
        self.follow(session, cursor="newest")
        self.publish("three")
        self.net.pump()
        self.assertEqual(session.texts(), ["two", "three"])
        ops = [frame.get("op", "message") for frame in session.frames]
        self.assertEqual(ops, ["open", "ack", "message", "synced", "message"])

    def test_guests_listen(self) -> None:
        """Who follows a topic may not therefore speak there: the app is asked for that too."""
        outcomes = {}
        for token in ("guest", "member"):
            session = self.session()
            self.follow(session, HALL, auth=token)
            session.send(
                {"op": "publish", "ref": 2, "type": "msg", "data": {"text": token}, **HALL}
            )
            answers = [frame for frame in session.frames if frame.get("ref") == 2]
            outcomes[token] = [frame.get("code", frame["op"]) for frame in answers]
            self.assertIsNone(session.closed)
        self.assertEqual(outcomes, {"guest": ["verify-rejected"], "member": ["ack"]})
        self.assertEqual(session.texts(), ["member"])

    def test_cut_anywhere(self) -> None:
        """Frames may come cut at any byte, and many at once."""
        session = self.session()
        text = json.dumps({"op": "subscribe", "ref": 1, **CHAT}) + "\n\r\n"
        text += json.dumps({"op": "ping", "ref": "ä"}, ensure_ascii=False) + "\r\n"
        for byte in text.encode():
            self.client_bytes(session, bytes([byte]))
        self.assertEqual(
            [(frame["op"], frame.get("ref")) for frame in session.frames],
            [("open", None), ("ack", 1), ("pong", "ä")],
        )
        session.send(*({"op": "ping", "ref": ref} for ref in range(500)))
        self.assertEqual([frame["ref"] for frame in session.frames[3:]], list(range(500)))

    def client_bytes(self, session: Session, data: bytes) -> None:
        """Write, and let it arrive alone."""
        session.client.quic.send_stream_data(session.stream, data)
        self.net.pump(0.005)

    def test_many_at_once(self) -> None:
        """More frames than are worked on at once are all answered, in order on one topic."""
        session = self.session()
        self.follow(session)
        session.send(
            *(
                {"op": "publish", "ref": n, "type": "msg", "data": {"text": str(n)}, **CHAT}
                for n in range(150)
            )
        )
        self.net.pump(1)
        self.assertEqual(session.texts(), [str(n) for n in range(150)])

    def test_bad_frame(self) -> None:
        """A line that is no frame is answered, and the connection stays."""
        session = self.session()
        session.write(b"{\xff\n")
        session.send({"op": "ping", "ref": 1})
        self.assertEqual([frame["op"] for frame in session.frames], ["open", "error", "pong"])

    def test_unfinished(self) -> None:
        """A line that begins and does not come on closes the session; whole ones do not."""
        session = self.session()
        frame = json.dumps({"op": "ping", "ref": 1}).encode() + b"\n"
        session.write(frame + frame[:9])
        self.assertEqual(self.parts.unfinished.held, 9)
        session.write(frame[9:])
        self.assertEqual((self.parts.unfinished.held, self.parts.unfinished.waited_for), (0, 0))
        session.write(b"x" * 100)
        self.net.pump(31, 0.1)
        self.assertEqual(session.closed, (1013, "too-slow"))
        self.assertEqual((self.parts.unfinished.held, self.parts.unfinished.waited_for), (0, 0))
        self.assertEqual(self.parts.metrics.cuts, {"too-slow": 1})

    def test_unfinished_too_much(self) -> None:
        """Past what is held in all, the largest is closed."""
        session = self.session()
        change_limits(self.parts.reloadable, max_unfinished_bytes=1000)
        session.write(b"x" * 1001)
        self.assertEqual(session.closed, (1013, "overloaded"))
        self.assertEqual(self.parts.unfinished.held, 0)

    def test_too_long(self) -> None:
        """A line that is far too long closes the session as WebSocket's 1009 does."""
        session = self.session()
        session.write(b"x" * (5 * self.limits.max_message_bytes))
        self.net.pump(3)
        self.assertEqual(session.closed, (1009, "message-too-large"))
        self.assert_nothing_left()

    def test_resume(self) -> None:
        """A client that comes back with its cursor gets what it missed, in order."""
        first = self.session()
        self.follow(first)
        self.publish("one")
        self.net.pump()
        cursor = first.frames[-1]["id"]
        first.client.quic.close()
        self.net.pump(1)
        self.assert_nothing_left()
        self.publish(*map(str, range(300)))
        second = self.session()
        self.follow(second, cursor=cursor)
        self.net.pump(2)
        self.publish("live")
        self.net.pump()
        self.assertEqual(second.texts(), [*map(str, range(300)), "live"])


class CredentialTests(ChannelsCase):
    """Who somebody is."""

    def answer(self, session: Session, **fields: str) -> str:
        """What becomes of a subscribe to the members' channel."""
        self.follow(session, CLUB, **fields)
        frame = session.frames[-1]
        return str(frame.get("code", frame["op"]))

    def test_of_the_request(self) -> None:
        """A header or a cookie of the request counts for all topics."""
        self.assertEqual(self.answer(self.session(authorization="Bearer member")), "ack")
        self.assertEqual(self.answer(self.session(cookie="a=b; club=member")), "ack")
        self.assertEqual(self.answer(self.session(cookie="club=x")), "verify-rejected")

    def test_of_the_topic(self) -> None:
        """Credentials may come with the frame, and with another for the next."""
        session = self.session()
        self.assertEqual(self.answer(session), "credentials-missing")
        self.assertEqual(self.answer(session, auth="Bearer nobody"), "verify-rejected")
        self.assertEqual(self.answer(session, auth="Bearer member"), "ack")


class AdmissionTests(ChannelsCase):
    """Who gets in, before the 200."""

    limits = Limits(max_connections=3, connect_rate=0.01, connect_burst=5)

    def status(self, **fields: str) -> int | None:
        """The answer to a session of a new client."""
        return Session(self.client(), **fields).status

    def test_origin(self) -> None:
        """Pages of other origins get 403; allowed ones, and programs, get in."""
        self.assertEqual(self.status(origin="https://evil.example"), 403)
        self.assertEqual(self.status(origin="https://app.example"), 200)
        self.assertEqual(self.status(), 200)
        self.assertEqual(self.parts.metrics.refusals["origin-rejected"], 1)

    def test_host(self) -> None:
        """With the development certificate a name that is none of ours gets 403."""
        self.assertEqual(self.status(authority="evil.example"), 403)
        self.assertEqual(self.parts.metrics.refusals["host-rejected"], 1)

    def test_full(self) -> None:
        """Beyond the server's connections the answer is 503, and a place that is left is free."""
        sessions = [Session(self.client()) for _ in range(3)]
        self.assertEqual(self.status(), 503)
        sessions[0].client.quic.close()
        self.net.pump(2)
        self.assertEqual(self.status(), 200)

    def test_rate(self) -> None:
        """Who comes too often gets 429."""
        for _ in range(5):
            session = self.session()
            session.client.quic.close()
            self.net.pump(0.01)
        self.assertEqual(self.status(), 429)

    def test_draining(self) -> None:
        """A server that stops takes nobody."""
        self.parts.stop_admitting()
        self.assertEqual(self.status(), 503)
        self.assert_nothing_left()

    def test_query(self) -> None:
        """A query that cannot be read is a bad request."""
        client = self.client()
        session = client.connect("/_tako/connect?access_token=%ff")
        self.net.pump()
        self.assertEqual(client.status(session), 400)


class EndTests(ChannelsCase):
    """How a connection ends."""

    def test_no_stream(self) -> None:
        """A session without a stream is closed after a while."""
        session = Session(self.client())
        self.net.pump(4.5, 0.1)
        self.assertIsNone(session.closed)
        self.net.pump(1, 0.1)
        self.assertEqual(session.closed, (1013, "stream-missing"))
        self.assert_nothing_left()

    def test_second_stream(self) -> None:
        """A second stream is refused; the first goes on."""
        session = self.session()
        second = session.client.open(session.id, b'{"op":"ping"}\n')
        self.net.pump()
        self.assertIsNone(session.client.quic_event(StreamDataReceived, second))
        session.send({"op": "ping", "ref": 1})
        self.assertEqual(session.frames[-1]["op"], "pong")

    def test_stop(self) -> None:
        """What was published before a stop arrives before its close."""
        session = self.session()
        self.follow(session)
        self.publish(*map(str, range(200)))
        for one in self.parts.sessions:
            one.end(None)
        self.net.pump(1)
        self.assertEqual(session.texts(), [*map(str, range(200))])
        self.assertEqual(session.closed, (1000, "connection expired"))
        self.assert_nothing_left()

    def test_refusal(self) -> None:
        """A refusal closes with its code and name, and is counted."""
        session = self.session()
        for one in self.parts.sessions:
            one.end(InternalError())
            one.end(InternalError())
        self.net.pump(1)
        self.assertEqual(session.closed, (1011, "internal-error"))
        self.assertEqual(self.parts.metrics.refusals["internal-error"], 1)

    def test_client_ends_its_stream(self) -> None:
        """A client that ends its stream has left."""
        session = self.session()
        self.follow(session)
        session.write(b"", end=True)
        self.net.pump(1)
        self.assertEqual(session.closed, (1000, ""))
        self.assert_nothing_left()

    def test_client_closes(self) -> None:
        """A client that closes its session leaves nothing behind."""
        session = self.session()
        self.follow(session)
        session.client.h3.send_data(session.id, b"", end_stream=True)
        self.net.pump(1)
        self.assert_nothing_left()
        self.publish("nobody hears it")

    def test_lifetime(self) -> None:
        """A connection ends normally after its lifetime."""
        session = self.session()
        self.net.pump(7200, 5)
        self.assertEqual(session.closed, (1000, "connection expired"))


class LinesTests(SynchronousTestCase):
    """What comes on a stream, as lines."""

    def test_not_read(self) -> None:
        """No time passes for a line that has begun while its stream is not read."""
        clock = Clock()
        told, unfinished = Heard(), Unfinished(clock)
        lines = Lines(told, 1000, unfinished)
        lines.makeConnection(StringTransport())
        lines.dataReceived(b"one\ntw")
        lines.pauseProducing()
        clock.advance(100)
        self.assertEqual((unfinished.held, unfinished.waited_for), (2, 0))
        lines.resumeProducing()
        clock.advance(29)
        lines.dataReceived(b"o\nthr")
        self.assertEqual(told.lines, [b"one", b"two"])
        lines.pauseProducing()
        lines.connectionLost()
        self.assertEqual((unfinished.held, unfinished.waited_for), (0, 0))
        self.assertEqual(clock.getDelayedCalls(), [])


class PressureTests(ChannelsCase):
    """Slow and silent clients."""

    def test_slow(self) -> None:
        """A client that takes nothing for a while is not written to, and misses nothing."""
        session = self.session()
        self.follow(session)
        texts = [f"{number:04}" + "x" * 4000 for number in range(200)]
        self.net.drop = lambda data: True
        self.publish(*texts)
        self.net.pump(0.1)
        [ours] = self.parts.sessions
        self.assertTrue(ours.send_queue.paused)
        self.assertEqual(self.parts.metrics.catch_ups, 1)
        self.net.drop = lambda data: False
        self.net.pump(20, 0.02)
        self.assertEqual(session.texts(), texts)

    def test_silent(self) -> None:
        """A client that says nothing stays for as long as it takes keepalives."""
        session = self.session()
        self.net.pump(300, 0.5)
        self.assertIsNone(session.closed)
        self.assertEqual(len([line for line in session.lines if not line]), 11)
        self.assertEqual(len(self.parts.sessions), 1)

    def test_dead(self) -> None:
        """A client that takes none of two intervals is let go."""
        self.session()
        self.net.drop = lambda data: True
        self.net.pump(50, 0.5)
        self.assertEqual(len(self.parts.sessions), 1)
        self.net.pump(30, 0.5)
        self.assert_nothing_left()
