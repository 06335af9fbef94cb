"""Publishes whose heads are known: the answers of the whole way, by the short one."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from takotwist import define_channel
from takotwist.adapters.memory.log import InMemoryReplayLog
from takotwist.codecs.frames import MAX_KEY_LENGTH
from takotwist.server.config import Config
from takotwist.server.config.listeners import Http, Private
from takotwist.server.config.sections import Publish
from takotwist.server.sites import site
from takotwist.streams.http.request import StreamRequest
from takotwist.testing.manual_log import ManualLog
from takotwist.testing.world import BEGINNING, World, WorldClock
from takotwist.transports.publish.known_head import VALUES_READ, KnownHeadPublish
from tests.streams.memory_transport import MemoryTransport

KEY = "a-publish-key-of-these-tests"
OTHER_KEY = "b-publish-key-of-these-tests"
CONFIG = Config(
    publish=Publish(keys=(KEY, OTHER_KEY)),
    http=Http(
        allowed_origins=("https://a.example",),
        allowed_hosts=("a",),
        trusted_proxies=("192.0.2.7",),
    ),
    private=Private(allowed_hosts=("a",)),
)
BODY = b'{"type":"msg","data":1}'
TARGET = b"/channels/news"

ROOM = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def head(*lines: bytes, target: bytes = TARGET, length: int = len(BODY)) -> bytes:
    """A publisher's."""
    usual = (b"Host: a", b"Authorization: Bearer " + KEY.encode())
    return b"\r\n".join(
        [b"POST %b HTTP/1.1" % target, *usual, b"Content-Length: %d" % length, *lines, b"", b""]
    )


class Listener:
    """A server in memory that is sent bytes.

    :param whole: whether everything goes the whole way.
    """

    transport: Any = None

    def __init__(self, *, whole: bool = False, private: bool = False, log: Any = None) -> None:
        channels = define_channel("news"), define_channel("rooms", params=ROOM)
        self.world = World(*channels, config=CONFIG, log=log)
        self.parts = self.world.parts
        routes = self.parts.private if private else self.parts.public
        self.site = site(
            routes, self.parts.reloadable, self.world.clock, self.world.parts.unfinished
        )
        if whole:
            # An access log wants to see every request.
            self.site.on_access = lambda access: None
        self.connect()

    def connect(self) -> None:
        """Go on over a new connection."""
        if self.transport is not None:
            self.transport.hang_up()
        self.transport = MemoryTransport()
        self.transport.connect(self.site.buildProtocol(None))

    def send(self, *pieces: bytes) -> list[tuple[bytes, list[bytes], bytes]]:
        """Send, and what was answered: status, fields but dates, body."""
        for piece in pieces:
            self.transport.deliver(piece)
        got, found = self.transport.take(), []
        while got:
            first, _, rest = got.partition(b"\r\n\r\n")
            status, *lines = first.lower().split(b"\r\n")
            lengths = [line[15:] for line in lines if line.startswith(b"content-length:")]
            length = int(lengths[0]) if lengths else 0
            lines = sorted(line for line in lines if not line.startswith(b"date:"))
            found.append((status, lines, rest[:length]))
            got = rest[length:]
        return found

    def state(self) -> tuple[Any, ...]:
        """What is stored and counted, and whether the connection goes on."""
        metrics, transport = self.parts.metrics, self.transport
        return (
            [self.world.get(f"/channels/{topic}/history", {}).body for topic in _TOPICS],
            dict(metrics.refusals),
            metrics.publishes,
            (transport.connected, transport.disconnecting, transport.reading),
        )


_TOPICS = ("news", "rooms", "rooms?n=1", "rooms?n=2")


class PublishAgainTests(SynchronousTestCase):
    """A publisher that says something else of each request."""

    def setUp(self) -> None:
        self.listener = Listener()
        self.short = 0
        answer = KnownHeadPublish.answer

        def counting(again: KnownHeadPublish, *arguments: Any) -> bool:
            answered = answer(again, *arguments)
            self.short += answered
            return answered

        self.patch(KnownHeadPublish, "answer", counting)

    def publish(self, *lines: bytes, body: bytes = BODY) -> Any:
        """The status of the answer, and its body."""
        ((status, _, answer),) = self.listener.send(head(*lines, length=len(body)) + body)
        return int(status.split()[1]), json.loads(answer)

    def test_traces(self) -> None:
        """Ids of traces and requests, and what a client calls itself, make no difference."""
        for number in range(10):
            status, _ = self.publish(
                b"traceparent: 00-%032x-%016x-01" % (number, number),
                b"X-Request-Id: %d" % number,
                b"User-Agent: client/%d" % number,
                b"Date: Sat, 21 Nov 2026 15:00:%02d GMT" % number,
                b"Last-Event-ID: no cursor %d" % number,
            )
            self.assertEqual(status, 200)
        self.assertEqual(self.short, 9)
        self.assertEqual(
            (len(self.listener.site.known_heads), self.listener.site.known_heads.whole), (1, 0)
        )

    def test_idempotency_key(self) -> None:
        """The same key stores nothing again, and another does, on the short way as on the long."""
        ids = [
            self.publish(b"Idempotency-Key: " + key)[1]["id"] for key in (b"a", b"b", b"a", b" b\t")
        ]
        self.assertEqual(ids, [ids[0], ids[1], ids[0], ids[1]])
        self.assertEqual(self.short, 3)
        self.assertEqual(self.listener.parts.metrics.publishes, 2)

    def test_bad_idempotency_key(self) -> None:
        """A key that is none is refused, whatever came before."""
        self.publish(b"Idempotency-Key: a")
        for key in (b"", b" \t", b"x" * (MAX_KEY_LENGTH + 1)):
            status, refusal = self.publish(b"Idempotency-Key: " + key)
            self.assertEqual((status, refusal["code"]), (400, "body-invalid"))
        self.assertEqual(self.publish(b"Idempotency-Key: " + b"x" * MAX_KEY_LENGTH)[0], 200)
        self.assertEqual(self.short, 1)

    def test_two_idempotency_keys(self) -> None:
        """Two of them are one, joined, as ever."""
        first = self.publish(b"Idempotency-Key: a", b"Idempotency-Key: b")
        self.assertEqual(self.publish(b"Idempotency-Key: a, b"), first)
        self.assertEqual(self.publish(b"Idempotency-Key: a", b"Idempotency-Key: b"), first)
        self.assertNotEqual(self.publish(b"Idempotency-Key: a", b"Idempotency-Key: c"), first)

    def test_pages(self) -> None:
        """A page's answer depends on how it reached the server, so it goes the whole way."""
        for _ in range(3):
            self.assertEqual(self.publish(b"Origin: https://a.example")[0], 200)
        self.assertEqual(self.short, 0)

    def test_another_key(self) -> None:
        """A key of another publisher, or none of ours, is looked at however the rest repeats."""
        self.publish(b"Trace: 1")
        wrong = head(b"Trace: 2").replace(KEY.encode(), b"x" * len(KEY))
        ((status, _, _),) = self.listener.send(wrong + BODY)
        self.assertIn(b" 403 ", status)
        none = head(b"Trace: 2").replace(b"Authorization: Bearer", b"Authorisation: Bearer")
        ((status, _, _),) = self.listener.send(none + BODY)
        self.assertIn(b" 401 ", status)
        self.assertEqual(self.short, 0)

    def test_key_withdrawn_meanwhile(self) -> None:
        """A key that is withdrawn while a message is stored is good for that one alone."""
        clock = WorldClock()
        clock.rightNow = BEGINNING
        log = ManualLog(InMemoryReplayLog(clock))
        listener = Listener(log=log)
        listener.transport.deliver(head(b"Trace: 1") + BODY)
        listener.parts.change(Config(publish=Publish(keys=(OTHER_KEY,))))
        log.settle()
        statuses = [listener.send()[0][0]]
        statuses += [listener.send(head(b"Trace: 1") + BODY)[0][0] for _ in range(2)]
        self.assertEqual([int(status.split()[1]) for status in statuses], [200, 403, 403])

    def test_lines(self) -> None:
        """NDJSON is taken line by line, and not for a message."""
        self.publish(b"Content-Type: application/json", b"Trace: 1")
        lines = head(b"Content-Type: application/x-ndjson", b"Trace: 2")
        self.listener.transport.deliver(lines + BODY)
        self.assertIn(b"Content-Type: application/x-ndjson", self.listener.transport.take())
        self.assertEqual((self.short, self.listener.parts.metrics.publishes), (0, 2))


class _Recording(Headers):
    """Fields that note who was asked for."""

    __slots__ = ("asked",)

    def getRawHeaders(self, name: Any, default: Any = None) -> Any:
        self.asked.add(name.lower() if isinstance(name, bytes) else name.lower().encode())
        return super().getRawHeaders(name, default)

    def hasHeader(self, name: Any) -> bool:
        self.asked.add(name.lower() if isinstance(name, bytes) else name.lower().encode())
        return super().hasHeader(name)

    def getAllRawHeaders(self) -> Any:
        raise AssertionError("a publish does not look at all fields")


class ValuesReadTests(SynchronousTestCase):
    """Whether all that a publish looks at is known."""

    def asked(self, *lines: bytes, private: bool = False) -> set[bytes]:
        """The fields that a publish with these looked at on the whole way."""
        listener = Listener(whole=True, private=private)
        asked: set[bytes] = set()

        class Request(StreamRequest):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                self.requestHeaders = _Recording()
                self.requestHeaders.asked = asked

        listener.site.requestFactory = Request
        listener.connect()
        ((status, _, _),) = listener.send(head(*lines) + BODY)
        self.assertIn(b" 200 ", status)
        return asked

    def test_values_read(self) -> None:
        """The whole way looks at no field but those whose value counts, those that no
        remembered head has, and those that make no difference to a publish."""
        counts = {b"host", b"connection", *(name.encode() for name in VALUES_READ)}
        nowhere = {b"transfer-encoding", b"expect", b"origin"}
        apart = {b"content-length", b"idempotency-key"}
        no_difference = {b"cookie", b"last-event-id"}
        known = counts | nowhere | apart | no_difference
        for private in (False, True):
            for lines in (
                (),
                (b"Content-Type: application/json", b"Idempotency-Key: a", b"Cookie: a=b"),
                (b"X-Forwarded-For: 203.0.113.1", b"X-Forwarded-Host: a", b"Upgrade: websocket"),
            ):
                asked = self.asked(*lines, private=private)
                self.assertEqual(asked - known, set())
                self.assertTrue(asked >= {b"host", b"connection", b"idempotency-key"})
        # What is looked at besides where there is a page is why none of theirs is remembered.
        self.assertIn(b"x-forwarded-proto", self.asked(b"Origin: https://a.example"))


#: What listeners know when they are compared, and what is sent to them then.
_KNOWN = [
    head(b"Trace: 1") + BODY,
    head(b"Content-Type: application/json", b"Trace: 1", b"Idempotency-Key: k1") + BODY,
    head(b"Connection: keep-alive", b"Cookie: a=b") + BODY,
    head(b"Trace: 1", target=b"/channels/rooms?n=1") + BODY,
    head(b"X: \xff") + BODY,
    head(b"X-Forwarded-Host: a", b"Trace: 1") + BODY,
    head(b"Host: b", target=b"http://b" + TARGET) + BODY,
]

_LINES = st.sampled_from(
    [
        b"Trace: 1", b"Trace: 2", b"Trace:", b"trace: 1", b"Trace : 1", b"Trace: \x00",
        b"Trace: \xff", b"Trace: 1\r\n 2", b"Trace: 1\r\n\tContent-Length: 0",
        b"Trace: 1\nContent-Length: 0", b"Trace: 1\rTransfer-Encoding: chunked",
        b"Content-Type: application/json", b"Content-Type: application/x-ndjson",
        b"Idempotency-Key: k1", b"Idempotency-Key: k2", b"Idempotency-Key:", b"X: \xff",
        b"Idempotency-Key: " + b"k" * (MAX_KEY_LENGTH + 1), b"Idempotency-Key: k1\r\n k",
        b"Connection: keep-alive", b"Connection: close", b"Connection: keep-alive, close",
        b"Connection: x", b"Cookie: a=b", b"Cookie: ;=", b"Transfer-Encoding: chunked",
        b"Transfer-Encoding : chunked", b"transfer-encoding: identity", b"Expect: 100-continue",
        b"Content-Length: 0", b"Content-Length: 23", b"content-length: 23", b"Content_Length: 0",
        b"Origin: https://a.example", b"Origin: https://b.example", b"X-Forwarded-Host: b",
        b"X-Forwarded-Host: a",
        b"Host: b", b"Host: a b<script>", b"Host: a/x", b"Host:", b"Upgrade: websocket",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding:\r\n chunked", b"Content-Length: 1" + b"0" * 30,
        b"Authorization: Bearer nobody", b" folded", b":", b"",
    ]
)  # fmt: skip

_CHANGES = st.sampled_from(
    [
        (b"", b""), (b"", b""), (b"", b""), (b"", b""),
        (TARGET, b"/channels/rooms?n=2"), (TARGET, b"/channels/rooms?n=x"), (TARGET, b"/"),
        (TARGET, b"/channels/rooms?n=1&stale=reset"), (TARGET, b"/channels/none"),
        (TARGET, b"/channels/news\xa0"), (TARGET, b"/channels/news x"), (TARGET, b"*"),
        (TARGET, b"http://b/channels/news"), (TARGET, b"/channels/news?\rTrace: 1"),
        (b"HTTP/1.1", b"HTTP/1.0"), (b"POST", b"post"), (b"\r\n", b"\n"), (b"Host: a\r\n", b""),
        (b"Content-Length: 23", b"Content-Length: 0"), (b"Content-Length: 23\r\n", b""),
        (b"Content-Length: 23", b"Content-Length: 22"), (b"Length: 23", b"Length: 24"),
        (b"Length: 23", b"Length: +23"), (b"Length: 23", b"Length: 023"), (b"-", b"_"),
        (b"Length: 23", b"Length: 0x17"), (b"Length: 23", b"Length:\t23"), (b"Bearer", b"bearer"),
        (b"Length: 23", b"Length: 99999"), (b"Length: 23", b"Length: 9" + b"9" * 30),
        (b"Host: a", b"Host: a b<script>"), (b"Host: a", b"Host: a/x"), (b"Host: a", b"Host: b"),
        (b"Host: a", b"Host:"), (b"Host: a", b"Host:\r\n a"), (KEY.encode(), OTHER_KEY.encode()),
        (b'"data"', b'"dada"'),
        (b"a-publish", b"x-publish"), (b'{"type"', b'["type"'), (BODY, b"0\r\n\r\n"), (b": ", b":"),
    ]
)  # fmt: skip


def _sent(lines: list[bytes], change: tuple[bytes, bytes], apart: int) -> list[bytes]:
    """A request that is nearly a known one, with another behind it, in two pieces or one."""
    old, new = change
    data = (head(*lines) + BODY).replace(old, new) if old else head(*lines) + BODY
    data += head(b"Trace: behind") + BODY
    return [data[:apart], data[apart:]] if 0 < apart < len(data) else [data]


_SENT = st.builds(
    _sent,
    st.one_of(
        st.sampled_from(
            [
                [b"Trace: 3"],
                [b"Content-Type: application/json", b"Trace: 4", b"Idempotency-Key: k2"],
                [b"Connection: keep-alive", b"Cookie: c"],
                [b"Connection: close", b"Cookie: c"],
                [b"Host: b"],
                [b"X-Forwarded-Host: a", b"Trace: 7"],
                [b"X-Forwarded-Host: b", b"Trace: 7"],
                [b"Content-Type: application/x-ndjson", b"Trace: 6", b"Idempotency-Key: k3"],
            ]
        ),
        st.lists(_LINES, max_size=4),
        st.builds(
            lambda line, lines: [line, *lines], st.just(b"Trace: 5"), st.lists(_LINES, max_size=1)
        ),
    ),
    _CHANGES,
    st.one_of(st.just(0), st.integers(1, 300)),
)


class AgreementTests(SynchronousTestCase):
    """No client can tell by an answer whether its head is known."""

    def test_told_to_go_on(self) -> None:
        """Who expects it is told each time, and not left to wait with the body."""
        listener = Listener()
        asked = head(b"Expect: 100-continue")
        for _ in range(3):
            listener.connect()
            ((status, _, _),) = listener.send(asked)
            self.assertIn(b" 100 ", status)
            ((status, _, _),) = listener.send(BODY)
            self.assertIn(b" 200 ", status)

    def test_agreement(self) -> None:
        """Heads of every kind are answered, stored and counted as on the whole way."""
        answer, short = KnownHeadPublish.answer, []

        def counting(again: KnownHeadPublish, *arguments: Any) -> bool:
            answered = answer(again, *arguments)
            short.append(answered)
            return answered

        self.patch(KnownHeadPublish, "answer", counting)

        @settings(max_examples=150)
        @given(st.lists(_SENT, min_size=1, max_size=6))
        def agree(requests: list[list[bytes]]) -> None:
            known, whole = Listener(), Listener(whole=True)
            for one in (known, whole):
                for data in _KNOWN:
                    one.send(data)
            for pieces in requests:
                for one in (known, whole):
                    one.connect()
                self.assertEqual(known.send(*pieces), whole.send(*pieces))
                self.assertEqual(known.state(), whole.state())
            for one in (known, whole):
                one.transport.hang_up()

        agree()
        # Else nothing was compared.
        self.assertGreater(sum(short), 200)
        self.assertIn(False, short)
