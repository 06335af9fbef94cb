from __future__ import annotations

import struct
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http.limits import HttpLimits
from takotwist.streams.websocket.route import ConnectionClosed, Deflate, WebSocket, WebSocketConfig
from tests.codecs.websocket_reader import client_frame
from tests.streams.websocket_client import WebSocketExchange, deflated, inflated

QUIET = WebSocketConfig(ping_interval=None)


async def _echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


class ConversationTests(SynchronousTestCase):
    """W1: messages, pings and closes, both ways."""

    def test_echo(self) -> None:
        """Text comes back as text and bytes as bytes."""
        client = WebSocketExchange(_echo, QUIET)
        self.assertEqual(client.head[0], 101)
        self.assertEqual(
            client.head[1]["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".lower()
        )
        client.text("grüße")
        client.send(client_frame(2, b"\x00\xff"))
        self.assertEqual(client.said(), [(1, "grüße".encode()), (2, b"\x00\xff")])

    def test_sent_behind_the_handshake(self) -> None:
        """A client that does not wait for the answer to its handshake is heard all the same."""
        client = WebSocketExchange(_echo, QUIET, connect=False)
        head = (
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        client.transport.deliver(head.encode() + client_frame(1, b"early"))
        self.assertTrue(client.transport.take().endswith(b"\r\n\r\n\x81\x05early"))

    def test_ping_is_answered(self) -> None:
        """A ping gets its pong."""
        client = WebSocketExchange(_echo, QUIET)
        client.send(client_frame(9, b"abc"))
        self.assertEqual(client.said(), [(10, b"abc")])

    def test_close_by_the_client(self) -> None:
        """A close is echoed with its code and reason; the handler sees its loop end."""
        ends: list[Any] = []

        async def handler(ws: WebSocket) -> None:
            async for _ in ws:
                pass
            ends.append((ws.close_code, ws.close_reason))

        client = WebSocketExchange(handler, QUIET)
        client.close(3456, b"so long")
        self.assertEqual(client.said(), [(8, struct.pack("!H", 3456) + b"so long")])
        self.assertFalse(client.transport.connected)
        self.assertEqual(ends, [(3456, "so long")])
        self.successResultOf(client.over)
        self.assertEqual(client.clock.getDelayedCalls(), [])

    def test_close_without_a_code(self) -> None:
        """A close without a code is 1005."""
        ends: list[Any] = []

        async def handler(ws: WebSocket) -> None:
            try:
                await ws.receive()
            except ConnectionClosed as closed:
                ends.append((closed.code, closed.reason))

        client = WebSocketExchange(handler, QUIET)
        client.close(None)
        self.assertEqual(ends, [(1005, "")])

    def test_close_by_the_server(self) -> None:
        """The handler's close goes out with code and reason, and waits for the client's."""
        done: list[Any] = []

        async def handler(ws: WebSocket) -> None:
            await ws.close(4001, "bye")
            done.append(ws.close_code)

        client = WebSocketExchange(handler, QUIET)
        self.assertEqual(client.said(), [(8, struct.pack("!H", 4001) + b"bye")])
        self.assertEqual(done, [])
        client.close(4001)
        self.assertEqual(done, [4001])
        self.assertFalse(client.transport.connected)
        self.assertFalse(client.transport.aborted)

    def test_close_that_is_not_answered(self) -> None:
        """A client that does not answer a close is dropped when its time is over."""
        ends: list[Any] = []

        async def handler(ws: WebSocket) -> None:
            await ws.close()
            ends.append(ws.close_code)

        client = WebSocketExchange(handler, QUIET)
        client.clock.advance(4.9)
        self.assertTrue(client.transport.connected)
        client.clock.advance(0.2)
        self.assertTrue(client.transport.aborted)
        self.assertEqual(ends, [1006])

    def test_client_that_just_goes(self) -> None:
        """A client that hangs up is 1006, and everything that waits is told."""
        ends: list[Any] = []

        async def handler(ws: WebSocket) -> None:
            async for _ in ws:
                pass
            ends.append(ws.close_code)

        client = WebSocketExchange(handler, QUIET)
        client.transport.hang_up()
        self.assertEqual(ends, [1006])
        self.successResultOf(client.over)
        self.assertEqual(client.clock.getDelayedCalls(), [])

    def test_handler_returns(self) -> None:
        """When the handler is done, the connection is closed with 1000."""

        async def handler(ws: WebSocket) -> None:
            await ws.send_json({"a": [1, None]})

        client = WebSocketExchange(handler, QUIET)
        self.assertEqual(client.said(), [(1, b'{"a":[1,null]}'), (8, struct.pack("!H", 1000))])

    def test_handler_fails(self) -> None:
        """When it fails, with 1011, and only the log has the reason."""

        async def handler(ws: WebSocket) -> None:
            raise RuntimeError("secret")

        client = WebSocketExchange(handler, QUIET)
        said = client.said()
        self.assertEqual(said, [(8, struct.pack("!H", 1011) + b"internal-error")])
        client.close(1011)
        self.successResultOf(client.over)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_handler_that_waits_elsewhere(self) -> None:
        """A handler that waits for something else is cancelled when the client goes."""
        waiting: Deferred[None] = Deferred()
        ends: list[str] = []

        async def handler(ws: WebSocket) -> None:
            try:
                await waiting
            finally:
                ends.append("ended")

        client = WebSocketExchange(handler, QUIET)
        client.transport.hang_up()
        self.assertEqual(ends, ["ended"])
        self.successResultOf(client.over)

    def test_handler_that_cleans_up(self) -> None:
        """One that was told of the end, and is at its last work, is not."""
        saving: Deferred[None] = Deferred()
        ends: list[str] = []

        async def handler(ws: WebSocket) -> None:
            async for _ in ws:
                pass
            await saving
            ends.append("saved")

        client = WebSocketExchange(handler, QUIET)
        client.transport.hang_up()
        self.assertNoResult(client.over)
        saving.callback(None)
        self.assertEqual(ends, ["saved"])
        self.successResultOf(client.over)

    def test_send_after_the_end(self) -> None:
        """Sending to a client that has gone raises, and says how it went."""
        ends: list[Any] = []

        async def handler(ws: WebSocket) -> None:
            async for _ in ws:
                pass
            try:
                await ws.send("x")
            except ConnectionClosed as closed:
                ends.append(closed.code)

        client = WebSocketExchange(handler, QUIET)
        client.close(1000)
        self.assertEqual(ends, [1000])

    def test_ping(self) -> None:
        """The handler can ask for a pong."""
        ponged: list[str] = []

        async def handler(ws: WebSocket) -> None:
            await ws.ping()
            ponged.append("pong")
            await ws.ping()

        client = WebSocketExchange(handler, QUIET)
        self.assertEqual(client.said(), [(9, b"1")])
        client.send(client_frame(10, b"1"))
        self.assertEqual((ponged, client.said()), (["pong"], [(9, b"2")]))
        client.transport.hang_up()
        self.successResultOf(client.over)

    def test_the_router_is_told(self) -> None:
        """Whoever waits for the request's end learns of the connection's, before the handler."""
        order: list[str] = []

        async def handler(ws: WebSocket) -> None:
            async for _ in ws:
                pass
            order.append("handler")

        client = WebSocketExchange(handler, QUIET, connect=False)
        original = client.site.resource.render

        def render(request: Any) -> Any:
            request.notifyFinish().addErrback(lambda _: order.append("router"))
            return original(request)

        client.site.resource.render = render
        client.handshake()
        client.transport.hang_up()
        self.assertEqual(order, ["router", "handler"])


class OriginTests(SynchronousTestCase):
    """W3: which pages may connect."""

    def _status(self, allowed: Any, *lines: str) -> int:
        config = WebSocketConfig(allowed_origins=allowed, ping_interval=None)
        return WebSocketExchange(_echo, config, *lines).head[0]

    def test_listed(self) -> None:
        """A listed origin in any spelling; nobody else, and not somebody without one."""
        listed = ["https://app.example.com"]
        self.assertEqual(self._status(listed, "Origin: HTTPS://APP.example.com:443"), 101)
        self.assertEqual(self._status(listed, "Origin: https://evil.example"), 403)
        self.assertEqual(self._status(listed, "Origin: null"), 403)
        self.assertEqual(self._status(listed), 403)

    def test_own(self) -> None:
        """Without a list, the server's own pages, and programs, which state none."""
        self.assertEqual(self._status(None, "Origin: http://example.com"), 101)
        self.assertEqual(self._status(None, "Origin: https://example.com"), 403)
        self.assertEqual(self._status(None, "Origin: null"), 403)
        self.assertEqual(self._status(None), 101)
        self.assertEqual(
            self._status(None, "Origin: http://example.com", "Origin: http://evil.example"), 403
        )

    def test_all(self) -> None:
        """``*`` lets everybody in."""
        self.assertEqual(self._status("*", "Origin: null"), 101)

    def test_answer(self) -> None:
        """The refusal is a plain answer, after which the connection is good for another request."""
        client = WebSocketExchange(_echo, QUIET, "Origin: https://evil.example")
        self.assertEqual(client.head[0], 403)
        client.handshake()
        self.assertEqual(client.head[0], 101)


class SubprotocolTests(SynchronousTestCase):
    """W2."""

    def test_server_order(self) -> None:
        """The client offers v1, v2; the server lists v2, v1: v2 is agreed on, and told."""
        config = WebSocketConfig(subprotocols=("v2", "v1"), ping_interval=None)
        agreed: list[Any] = []

        async def handler(ws: WebSocket) -> None:
            agreed.append(ws.subprotocol)

        client = WebSocketExchange(handler, config, "Sec-WebSocket-Protocol: v1, v2")
        self.assertEqual(client.head[1]["sec-websocket-protocol"], "v2")
        self.assertEqual(agreed, ["v2"])
        other = WebSocketExchange(handler, config, "Sec-WebSocket-Protocol: v3")
        self.assertEqual(other.head[0], 101)
        self.assertNotIn("sec-websocket-protocol", other.head[1])


class LimitTests(SynchronousTestCase):
    """W4: sizes, plain and deflated."""

    def _closed_with(
        self, config: WebSocketConfig, *frames: bytes, lines: tuple[str, ...] = ()
    ) -> Any:
        client = WebSocketExchange(_echo, config, *lines)
        client.send(*frames)
        code = client.closed_with()
        if code is not None:
            # The client answers the close, and the connection ends without a wait.
            client.close(code)
            self.assertFalse(client.transport.connected)
            self.assertEqual(client.clock.getDelayedCalls(), [])
        return code

    def test_message(self) -> None:
        """A message over the limit is closed with 1009, whole or in fragments."""
        config = WebSocketConfig(max_message_size=2000, ping_interval=None)
        self.assertIsNone(self._closed_with(config, client_frame(1, b"x" * 2000)))
        self.assertEqual(self._closed_with(config, client_frame(1, b"x" * 5000)), 1009)
        self.assertEqual(
            self._closed_with(
                config, client_frame(1, b"x" * 1500, fin=False), client_frame(0, b"x" * 1500)
            ),
            1009,
        )

    def test_frame(self) -> None:
        """A frame over its own limit too."""
        config = WebSocketConfig(max_frame_size=1000, ping_interval=None)
        self.assertEqual(self._closed_with(config, client_frame(2, b"x" * 1001)), 1009)

    def test_refused_at_the_head(self) -> None:
        """A frame that announces too much is refused before it comes."""
        client = WebSocketExchange(_echo, WebSocketConfig(max_frame_size=1000, ping_interval=None))
        client.send(b"\x82\xff" + struct.pack("!Q", 1 << 40) + b"mask")
        self.assertEqual(client.closed_with(), 1009)

    def test_deflated(self) -> None:
        """The limit holds for what a compressed message becomes."""
        config = WebSocketConfig(max_message_size=2000, deflate=Deflate(), ping_interval=None)
        lines = ("Sec-WebSocket-Extensions: permessage-deflate",)
        small = client_frame(1, deflated(b"x" * 2000), rsv=4)
        large = client_frame(1, deflated(b"x" * 5000), rsv=4)
        bomb = client_frame(1, deflated(b"x" * 50_000_000), rsv=4)
        self.assertIsNone(self._closed_with(config, small, lines=lines))
        self.assertEqual(self._closed_with(config, large, lines=lines), 1009)
        self.assertEqual(self._closed_with(config, bomb, lines=lines), 1009)


class TimeTests(SynchronousTestCase):
    """W5, W6, W10: the times of a connection, all on the given clock."""

    def test_half_a_handshake(self) -> None:
        """W5: a handshake that stops half way is let go at the site's head timeout."""
        client = WebSocketExchange(_echo, connect=False, limits=HttpLimits(head_timeout=10))
        client.transport.deliver(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: webso")
        client.clock.advance(10)
        self.assertFalse(client.transport.connected)

    def test_answer_that_is_not_taken(self) -> None:
        """W5: a client that does not take the answer is dropped at the upgrade timeout."""
        client = WebSocketExchange(_echo, WebSocketConfig(upgrade_timeout=10), connect=False)
        client.transport.block()
        client.ask_upgrade()
        client.clock.pump([0.5] * 19)
        self.assertTrue(client.transport.connected)
        client.clock.pump([0.5, 0.5])
        self.assertTrue(client.transport.aborted)
        self.assertEqual(client.clock.getDelayedCalls(), [])

    def test_answer_taken_late(self) -> None:
        """One that takes it in time goes on."""
        client = WebSocketExchange(_echo, WebSocketConfig(upgrade_timeout=10), connect=False)
        client.transport.block()
        client.ask_upgrade()
        client.clock.advance(5)
        client.transport.unblock()
        client.clock.pump([0.5] * 20)
        self.assertTrue(client.transport.connected)

    def test_no_pong(self) -> None:
        """W6: a client that never pongs is dropped after interval and timeout: 1006."""
        client = WebSocketExchange(_echo, WebSocketConfig(ping_interval=30, pong_timeout=10))
        client.clock.advance(0)
        client.clock.advance(30)
        self.assertEqual(client.said(), [(9, b"")])
        client.clock.advance(9)
        self.assertTrue(client.transport.connected)
        client.clock.advance(1)
        self.assertTrue(client.transport.aborted)
        self.assertEqual(client.clock.getDelayedCalls(), [])

    def test_pongs(self) -> None:
        """One that does is asked every interval; a message is as good as a pong."""
        client = WebSocketExchange(_echo, WebSocketConfig(ping_interval=30, pong_timeout=10))
        client.clock.advance(0)
        for answer in (client_frame(10), client_frame(1, b"hello"), client_frame(10)):
            client.clock.pump([1] * 30)
            self.assertEqual(client.said(), [(9, b"")])
            client.send(answer)
            client.heard()
        self.assertTrue(client.transport.connected)

    def test_interval(self) -> None:
        """Pings are one interval apart."""
        client = WebSocketExchange(_echo, WebSocketConfig(ping_interval=30, pong_timeout=10))
        client.clock.advance(0)
        pinged = []
        for second in range(1, 100):
            client.clock.advance(1)
            if (9, b"") in client.said():
                pinged.append(second)
                client.send(client_frame(10))
        self.assertEqual(pinged, [30, 60, 90])

    def test_lifetime(self) -> None:
        """W10: at the end of its lifetime a connection is closed with 1001."""
        client = WebSocketExchange(_echo, WebSocketConfig(max_lifetime=3600, ping_interval=None))
        client.clock.advance(3599)
        self.assertEqual(client.said(), [])
        client.clock.advance(1)
        self.assertEqual(client.closed_with(), 1001)
        client.close(1001)
        self.successResultOf(client.over)
        self.assertEqual(client.clock.getDelayedCalls(), [])


class PaceTests(SynchronousTestCase):
    """Nobody's slowness costs the other's memory."""

    def test_slow_client(self) -> None:
        """Sending waits for a client that does not read."""
        sent: list[int] = []

        async def handler(ws: WebSocket) -> None:
            for number in range(100):
                await ws.send(b"x" * 10000)
                sent.append(number)

        client = WebSocketExchange(handler, QUIET, connect=False)
        client.transport.block()
        client.ask_upgrade()
        self.assertLess(len(sent), 10)
        client.transport.unblock()
        self.assertEqual(len(sent), 100)

    def test_slow_client_that_pings(self) -> None:
        """A client that pings and does not read gets the last pong when it reads."""
        client = WebSocketExchange(_echo, QUIET)
        client.transport.block()
        client.send(client_frame(2, b"x" * 70000))
        before = len(client.transport.dataBuffer)
        for number in range(1000):
            client.send(client_frame(9, b"%d" % number))
        self.assertEqual(len(client.transport.dataBuffer), before)
        client.transport.unblock()
        self.assertEqual(client.said()[-1], (10, b"999"))

    def test_slow_handler(self) -> None:
        """A handler that does not receive is not read for, and then gets everything in order."""
        go: Deferred[None] = Deferred()
        got: list[Any] = []

        async def handler(ws: WebSocket) -> None:
            await go
            async for message in ws:
                got.append(message)

        client = WebSocketExchange(handler, WebSocketConfig(max_queued=10, ping_interval=None))
        for number in range(30):
            client.text(str(number))
        self.assertFalse(client.transport.reading)
        go.callback(None)
        self.assertEqual(got, [str(number) for number in range(30)])
        self.assertTrue(client.transport.reading)

    def test_slow_handler_and_pings(self) -> None:
        """While it is not read for, a client is not dropped for its silence."""

        async def handler(ws: WebSocket) -> None:
            await Deferred()

        client = WebSocketExchange(handler, WebSocketConfig(max_queued=1, ping_interval=30))
        client.text("x")
        client.clock.advance(0)
        client.clock.pump([10] * 20)
        self.assertTrue(client.transport.connected)
        client.transport.hang_up()


class DeflateTests(SynchronousTestCase):
    """W7: compression, where both want it."""

    def _client(self, offer: str, **options: Any) -> WebSocketExchange:
        config = WebSocketConfig(
            deflate=Deflate(**{"compress_from": 0, **options}), ping_interval=None
        )
        return WebSocketExchange(_echo, config, f"Sec-WebSocket-Extensions: {offer}")

    def _agreed(self, offer: str, **options: Any) -> str | None:
        return self._client(offer, **options).head[1].get("sec-websocket-extensions")

    def test_off(self) -> None:
        """Not configured: not agreed, and a compressed frame is a protocol error."""
        client = WebSocketExchange(_echo, QUIET, "Sec-WebSocket-Extensions: permessage-deflate")
        self.assertNotIn("sec-websocket-extensions", client.head[1])
        client.send(client_frame(1, deflated(b"x"), rsv=4))
        self.assertEqual(client.closed_with(), 1002)

    def test_echo(self) -> None:
        """Compressed both ways, plain messages among them, with the window kept between."""
        client = self._client("permessage-deflate; client_max_window_bits")
        self.assertEqual(client.head[1]["sec-websocket-extensions"], "permessage-deflate")
        text = b"to be or not to be " * 20
        client.send(client_frame(1, deflated(text), rsv=4), client_frame(1, b"plain"))
        first, second = client.heard()
        self.assertEqual((first.rsv, inflated(first.payload)), (4, text))
        self.assertEqual(second.rsv, 4)

    def test_short_messages_stay_plain(self) -> None:
        """What is not worth it is not compressed."""
        client = self._client("permessage-deflate", compress_from=10)
        client.text("short")
        client.text("not so short")
        self.assertEqual([frame.rsv for frame in client.heard()], [0, 4])

    def test_window_bits(self) -> None:
        """Window bits are as small as either side asks, and announced."""
        self.assertEqual(
            self._agreed("permessage-deflate; server_max_window_bits=10"),
            "permessage-deflate; server_max_window_bits=10",
        )
        self.assertEqual(
            self._agreed("permessage-deflate", server_max_window_bits=11),
            "permessage-deflate; server_max_window_bits=11",
        )
        self.assertEqual(
            self._agreed(
                "permessage-deflate; client_max_window_bits=10", client_max_window_bits=12
            ),
            "permessage-deflate; client_max_window_bits=10",
        )
        self.assertEqual(
            self._agreed("permessage-deflate", client_max_window_bits=12), "permessage-deflate"
        )

    def test_window_bits_are_kept(self) -> None:
        """What goes out can be inflated with the window that was agreed on."""
        client = self._client("permessage-deflate; server_max_window_bits=9")
        text = bytes(range(256)) * 40
        client.send(client_frame(2, text))
        self.assertEqual(inflated(client.heard()[0].payload, 9), text)

    def test_context_takeover(self) -> None:
        """Without takeover each message stands alone, and that is announced."""
        client = self._client("permessage-deflate", server_context_takeover=False)
        self.assertIn("server_no_context_takeover", client.head[1]["sec-websocket-extensions"])
        for _ in range(2):
            client.text("the same again")
            self.assertEqual(inflated(client.heard()[0].payload), b"the same again")
        self.assertIn(
            "client_no_context_takeover",
            str(self._agreed("permessage-deflate", client_context_takeover=False)),
        )

    def test_bad_offers(self) -> None:
        """An offer that is malformed or cannot be met is declined; the next one is looked at."""
        for offer in (
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; unknown",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-bzip2",
            ";;,=",
        ):
            self.assertIsNone(self._agreed(offer), offer)
        self.assertEqual(
            self._agreed("permessage-deflate; unknown, permessage-deflate"), "permessage-deflate"
        )

    def test_corrupt(self) -> None:
        """Data that is no deflate is closed with 1007."""
        client = self._client("permessage-deflate")
        client.send(client_frame(1, b"\xff\xff\xff\xff\xff", rsv=4))
        self.assertEqual(client.closed_with(), 1007)
