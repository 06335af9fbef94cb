"""Channels between a page and the server, in memory: checks C1 to C16, C23 and C24."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Grant
from takotwist.live import (
    Abort,
    Channel,
    ChannelClosedError,
    ChannelOverflowError,
    Function,
    ListenerError,
    NetworkError,
    Outcome,
    PageLeft,
    UsageError,
    ValidationError,
    context,
    function,
)
from takotwist.live.machine.frames import Trouble
from takotwist.server.config import Config
from takotwist.server.config.limits import Live
from takotwist.testing.world import World
from tests.live.page import ClientEnd, Page


class ChannelCase(SynchronousTestCase):
    """A page, and a function that makes one channel."""

    config = Live()

    def setUp(self) -> None:
        self.channels: list[Channel[Any, Any]] = []
        self.heard: list[Any] = []
        self.closed: list[Any] = []
        self.opened = 0
        self.make: Callable[[], Channel[Any, Any]] = Channel

        @function
        async def on_open() -> Any:
            channel = self.make()
            self.channels.append(channel)
            channel.on_open(self._opened)
            channel.on_close(self.closed.append)
            return {"channel": channel.client}

        self.world = World(config=Config(live=self.config), functions=[on_open])
        self.page = Page(self.world)

    def _opened(self) -> None:
        self.opened += 1

    def get(self, *, connect: bool = True) -> tuple[Channel[Any, Any], ClientEnd]:
        """Both ends of a new channel."""
        if connect and not self.page.attached:
            self.page.connect()
        end = self.page.get("onOpen")
        self.page.pump()
        return self.channels[-1], end

    def hear(self, channel: Channel[Any, Any], answer: Any = None) -> None:
        """Listen to everything."""

        def heard(data: Any) -> Any:
            self.heard.append(data)
            return answer

        channel.listen(heard)
        channel.listen_binary(heard)

    def failure(self, outcome: Outcome[Any]) -> BaseException:
        """What an outcome failed with."""
        self.assertTrue(outcome.done)
        try:
            outcome.result()
        except Exception as error:
            return error
        raise AssertionError("it did not fail")

    def nothing_left(self) -> None:
        """No object, session, timer or subscription is left."""
        self.assertEqual(self.world.live.sessions.objects, 0)
        self.page.cut()
        self.world.advance(1)
        self.assertEqual(len(self.world.live.sessions), 0)
        self.assertEqual(len(self.world.parts.deadlines), 0)
        self.assertEqual(len(self.world.live.services.broadcasts.bus), 0)
        # The requests' own connections time out; then the ticker and the sweeper are left.
        self.world.advance(200)
        self.assertLessEqual(len(self.world.clock.getDelayedCalls()), 2)


class MessageTests(ChannelCase):
    """Messages and answers."""

    def test_c1_order(self) -> None:
        """C1: 10,000 messages, text and bytes mixed, arrive in order, both ways."""
        channel, end = self.get()
        self.hear(channel)
        sent: list[Any] = [n if n % 3 else b"%d" % n for n in range(10_000)]
        for start in range(0, len(sent), 1000):
            for one in sent[start : start + 1000]:
                end.send(one)
                channel.send_binary(one) if isinstance(one, bytes) else channel.send(one)
            self.page.pump()
        self.assertEqual(self.heard, sent)
        self.assertEqual(end.heard, sent)

    def test_c2_acks(self) -> None:
        """C2: the channel's default, the call's override, bytes by the call, last value wins."""
        self.make = lambda: Channel(ack=True)
        channel, end = self.get()
        end.answers = lambda data: {"got": len(data)}
        default, without = channel.send("four"), channel.send("four", ack=False)
        plain, asked = channel.send_binary(b"four"), channel.send_binary(b"four", ack=True)
        self.page.pump()
        results = [one.result() for one in (default, without, plain, asked)]
        self.assertEqual(results, [{"got": 4}, None, None, {"got": 4}])
        channel.listen(lambda data: "first")
        unlisten = channel.listen(lambda data: "second")
        answered = end.send("q", ack=True)
        self.page.pump()
        self.assertEqual(answered.answer, "second")
        unlisten()
        unlisten()
        answered = end.send("q", ack=True)
        self.page.pump()
        self.assertEqual(answered.answer, "first")

    def test_c3_failing_listener(self) -> None:
        """C3: no listener, or one that fails: a generic error; the log has the rest; it goes on."""
        channel, end = self.get()
        nobody = end.send("q", ack=True)
        self.page.pump()
        self.assertEqual(nobody.code, "failed")

        def fail(data: Any) -> None:
            raise ValueError("the password is hunter2")

        unlisten = channel.listen(fail)
        with capturedLogs() as events:
            failed = end.send("q", ack=True)
            end.send("no answer wanted")
            self.page.pump()
        assert failed.trouble is not None
        self.assertNotIn("hunter2", str(failed.trouble))
        self.assertEqual(sum("hunter2" in formatEvent(event) for event in events), 2)
        unlisten()
        self.hear(channel, "well")
        again = end.send("q", ack=True)
        self.page.pump()
        self.assertEqual(again.answer, "well")

    def test_c3_client_fails(self) -> None:
        """C3: an answer of the page that is an error fails the server's send."""
        channel, end = self.get()
        end.answers = None
        waiting = channel.send("q", ack=True)
        self.page.pump()
        [asked] = end.open_requests
        end.act("answer", asked.seq, b"", Trouble("failed"), self.page.now)
        self.page.pump()
        self.assertIsInstance(self.failure(waiting), ListenerError)

    def test_c4_abort_in_listener(self) -> None:
        """C4: `Abort` out of a listener ends both ends with its value, whoever raised it."""
        channel, end = self.get()

        def refuse(data: Any) -> None:
            raise Abort({"why": data})

        channel.listen(refuse)
        pending = channel.send("pending", ack=True)
        end.send("no")
        self.page.pump()
        [error] = self.closed
        self.assertEqual((type(error), error.value), (Abort, {"why": "no"}))
        [trouble] = end.ended
        assert trouble is not None
        self.assertEqual((trouble.code, trouble.value), ("abort", b'{"why":"no"}'))
        self.assertTrue(pending.done)
        self.nothing_left()

    def test_c4_abort_by_the_page(self) -> None:
        """C4: the page's value reaches the server."""
        channel, end = self.get()
        pending = channel.send("q", ack=True)
        end.answers = None
        end.abort("bye")
        self.page.pump()
        self.assertEqual([error.value for error in self.closed], ["bye"])
        error = self.failure(pending)
        self.assertIsInstance(error, Abort)
        self.assertEqual(str(error), "bye")
        self.nothing_left()

    def test_coroutines(self) -> None:
        """A listener may wait; the answer comes when it is done, and credit with it."""
        channel, end = self.get()
        gate: Deferred[str] = Deferred()

        async def slow(data: Any) -> Any:
            return await gate

        channel.listen(slow)
        asked = end.send("q", ack=True)
        self.page.pump()
        self.assertFalse(asked.answered)
        gate.callback("at last")
        self.page.pump()
        self.assertEqual(asked.answer, "at last")

    def test_awaiting_a_send(self) -> None:
        """A send can be awaited where Deferreds are, and an unseen failure says nothing."""
        channel, _end = self.get()
        got: list[Any] = []

        async def ask() -> None:
            got.append(await channel.send("q", ack=True))

        Deferred.fromCoroutine(ask())
        self.page.pump()
        self.assertEqual(got, ["q"])
        with capturedLogs() as events:
            channel.abort()
            for _ in range(3):
                channel.send("nobody looks")
        self.assertEqual(events, [])
        self.assertIsInstance(self.failure(channel.send("x")), ChannelClosedError)
        for wrong in (object(), float("inf")):
            self.assertRaises((TypeError, ValueError), channel.send, wrong)
        self.assertRaises(TypeError, channel.send_binary, "text")


class CloseTests(ChannelCase):
    """The graceful end, and what is pending at any end."""

    def test_c5_live_peer(self) -> None:
        """C5: 0 with a peer that agrees; `on_close` once, with nothing; the same answer twice."""
        channel, end = self.get()
        self.hear(channel)
        waiting = channel.send("q", ack=True)
        closing = channel.close()
        self.assertIs(channel.close(), closing)
        self.page.pump()
        self.assertEqual((closing.result(), waiting.result()), (0, "q"))
        self.assertEqual((self.closed, end.ended), ([None], [None]))
        late: list[Any] = []
        channel.on_close(late.append)
        self.assertEqual(late, [None])
        self.nothing_left()

    def test_c5_dead_peer(self) -> None:
        """C5: 1 after exactly the timeout with a peer that says nothing."""
        channel, _ = self.get()
        closing = channel.close(timeout=2)
        self.world.advance(1.75)
        self.assertFalse(closing.done)
        self.world.advance(0.25)
        self.assertEqual(closing.result(), 1)
        [error] = self.closed
        self.assertIsInstance(error, ChannelClosedError)

    def test_c5_for_ever(self) -> None:
        """A close that may take for ever says a number to the page, and harms nobody else."""
        channel, _ = self.get()
        closing = channel.close(float("inf"))
        self.page.pump()
        self.assertEqual((closing.result(), self.closed), (0, [None]))
        self.nothing_left()

    def test_c5_pending_requests_finish(self) -> None:
        """C5: a request that is being answered is answered before the end, both ways."""
        channel, end = self.get()
        gate: Deferred[str] = Deferred()

        async def slow(data: Any) -> Any:
            return await gate

        channel.listen(slow)
        asked = end.send("q", ack=True)
        self.page.pump()
        closing = channel.close()
        self.page.pump()
        self.assertFalse(closing.done)
        gate.callback("done")
        self.page.pump()
        self.assertEqual((asked.answer, closing.result()), ("done", 0))

    def test_c5_close_inside_a_listener(self) -> None:
        """C5: waiting for the close inside a listener, or in `on_close`, does not wait for ever."""
        channel, end = self.get()
        results: list[Any] = []

        async def leave(data: Any) -> Any:
            results.append(await channel.close())

        async def after(error: Any) -> None:
            results.append(await channel.close())

        channel.listen(leave)
        channel.on_close(after)
        asked = end.send("q", ack=True)
        self.page.pump()
        self.assertEqual(results, [0, 0])
        self.assertEqual((asked.code, end.ended), ("closed", [None]))
        self.nothing_left()

    def test_c5_waits_for_on_close(self) -> None:
        """C5: the close is over when what `on_close` began is; an error there is logged."""
        channel, _ = self.get()
        gate: Deferred[None] = Deferred()

        async def slowly() -> None:
            await gate

        def badly() -> None:
            raise ValueError("in on_close")

        channel.on_close(slowly)
        channel.on_close(badly)
        with capturedLogs() as events:
            closing = channel.close()
            self.page.pump()
        self.assertEqual(len(events), 1)
        self.assertFalse(closing.done)
        gate.callback(None)
        self.assertEqual(closing.result(), 0)
        self.nothing_left()

    def test_c5_on_close_that_hangs(self) -> None:
        """C5: what `on_close` began and never ends keeps who closes for five seconds, and then
        it is 1."""
        channel, _ = self.get()
        channel.on_close(lambda: Deferred())
        closing = channel.close()
        self.page.pump()
        self.page.advance(4.75)
        self.assertFalse(closing.done)
        self.page.advance(0.5)
        self.assertEqual(closing.result(), 1)
        self.nothing_left()

    def test_c5_bad_timeout(self) -> None:
        """C5: a timeout that is none is a mistake of the caller."""
        channel, _ = self.get()
        for bad in (-1, float("nan"), "5", True):
            self.assertRaises(UsageError, channel.close, bad)

    def test_c6_pending(self) -> None:
        """C6: what is pending fails with what ended the channel."""
        for end_it, kind in (
            (lambda page, end: end.close(), ChannelClosedError),
            (lambda page, end: end.abort(1), Abort),
            (lambda page, end: page.cut(), NetworkError),
        ):
            channel, end = self.get()
            end.answers = None
            pending = channel.send("q", ack=True)
            self.page.pump()
            end_it(self.page, end)
            self.page.pump()
            self.page.advance(61)
            self.assertIsInstance(self.failure(pending), kind)
            self.assertIsInstance(self.failure(channel.send("later")), ChannelClosedError)

    def test_closed_before_it_was_returned(self) -> None:
        """A channel that its function closed or aborted tells its page so."""
        for end_it, code in (("close", None), ("abort", "abort")):

            def make(end_it: str = end_it) -> Channel[Any, Any]:
                channel: Channel[Any, Any] = Channel()
                getattr(channel, end_it)()
                return channel

            self.make = make
            _, end = self.get()
            [trouble] = end.ended
            self.assertEqual(trouble and trouble.code, code)


class ReconnectTests(ChannelCase):
    """Cuts of any length."""

    def test_c7_short_cut(self) -> None:
        """C7: cut for 2 s amid 1,000 sends each way: all, once, in order; opened once."""
        channel, end = self.get()
        self.hear(channel)
        for n in range(1000):
            channel.send(n)
            end.send(n)
            if n == 300:
                # Half of what was sent is lost on the way.
                self.world.advance(0)
            if n == 500:
                socket = self.page.socket
                assert socket is not None
                socket.leave()
                self.page.socket, self.page.attached = None, False
                end.act("detach", self.page.now)
        self.world.advance(2)
        self.page.connect()
        self.page.pump()
        self.assertEqual(self.heard, list(range(1000)))
        self.assertEqual(end.heard, list(range(1000)))
        self.assertEqual((self.opened, end.opened, self.closed), (1, 1, []))

    def test_c7_answers_once(self) -> None:
        """C7: a request answered while the page is away: once at each side."""
        channel, end = self.get()
        gate: Deferred[str] = Deferred()
        calls: list[Any] = []

        async def slow(data: Any) -> Any:
            calls.append(data)
            return await gate

        channel.listen(slow)
        asked = end.send("q", ack=True)
        self.page.pump()
        self.page.cut()
        gate.callback("meanwhile")
        self.world.advance(2)
        self.page.connect()
        self.page.pump()
        self.assertEqual((asked.answer, calls), ("meanwhile", ["q"]))

    def test_c8_long_cut(self) -> None:
        """C8: away for longer than the reconnect timeout: `NetworkError`, at both ends."""
        _channel, end = self.get()
        self.page.cut()
        self.world.advance(59.75)
        self.assertEqual(self.closed, [])
        self.world.advance(0.5)
        [error] = self.closed
        self.assertIsInstance(error, NetworkError)
        self.assertTrue(error.is_channel)
        self.assertIsInstance(error, ConnectionError)
        self.page.connect()
        [trouble] = end.ended
        assert trouble is not None
        self.assertEqual(trouble.code, "network")
        self.nothing_left()

    def test_c9_overflow(self) -> None:
        """C9: offline, too much waits where dropping was asked for: the oldest is dropped and
        told; the channel stays open."""
        self.make = lambda: Channel(buffer_limit=1600, overflow="drop-oldest")
        channel, end = self.get()
        self.page.cut()
        sends = [channel.send(letter * 398) for letter in "abc"]
        raw = channel.send_binary(b"bytes")
        self.assertIsInstance(self.failure(sends[0]), ChannelOverflowError)
        self.page.connect()
        self.page.pump()
        self.assertEqual(end.heard, ["b" * 398, "c" * 398, b"bytes"])
        self.assertEqual([one.result() for one in (*sends[1:], raw)], [None] * 3)
        self.page.cut()
        waiting = channel.send("first")
        too_large = channel.send("x" * 2500)
        for one in (waiting, too_large):
            self.assertIsInstance(self.failure(one), ChannelOverflowError)
        self.page.connect()
        channel.send("still open")
        self.page.pump()
        self.assertEqual(end.heard[3:], ["still open"])

    def test_c10_replay_overflow(self) -> None:
        """C10: a frame too large to be kept got lost: `NetworkError`, and no silent gap."""
        channel, end = self.get()
        channel.send("x" * 1_100_000)
        channel.send("behind it")
        socket = self.page.socket
        assert socket is not None
        socket.leave()
        self.page.socket, self.page.attached = None, False
        end.act("detach", self.page.now)
        self.page.connect()
        self.page.pump()
        self.assertIsInstance(self.closed[0], NetworkError)
        self.assertEqual(end.heard, [])
        self.assertEqual([trouble and trouble.code for trouble in end.ended], ["network"])

    def test_c11_nobody_attaches(self) -> None:
        """C11: nobody attaches within the time: `NetworkError`, and the id is worth nothing."""
        _channel, end = self.get(connect=False)
        self.world.advance(4.75)
        self.assertEqual(self.closed, [])
        self.world.advance(0.5)
        self.assertIsInstance(self.closed[0], NetworkError)
        self.page.connect()
        self.assertEqual([trouble and trouble.code for trouble in end.ended], ["network"])
        self.nothing_left()

    def test_c11_never_returned(self) -> None:
        """C11: a channel that its function kept to itself ends as well."""
        made: list[Channel[Any, Any]] = []

        @function
        async def on_nothing() -> None:
            made.append(Channel())

        self.world.live.replace({one.name: one for one in (on_nothing,)})
        self.assertEqual(self.page.call("onNothing"), (200, {"result": None}))
        made[0].on_close(self.closed.append)
        self.world.advance(6)
        self.assertIsInstance(self.closed[0], NetworkError)

    def test_page_leaves(self) -> None:
        """A page that closes its WebSocket, or says so, ends its channels at once."""
        self.get()
        assert self.page.socket is not None
        self.page.socket.close(1001)
        self.assertIsInstance(self.closed[0], PageLeft)
        self.page.cut()
        self.get()
        self.page.say({"op": "live.leave"})
        self.assertEqual(len(self.closed), 2)
        self.nothing_left()

    def test_c14_silent(self) -> None:
        """C14: a page that says nothing for two intervals has lost its wire, and may come back."""
        channel, end = self.get()
        self.page.pongs = False
        self.page.advance(16)
        assert self.page.socket is not None
        self.assertTrue(self.page.socket.closed)
        self.page.cut()
        channel.send("meanwhile")
        self.page.pongs = True
        self.page.connect()
        self.page.advance(120)
        self.assertEqual((end.heard, self.closed), (["meanwhile"], []))


class PressureTests(ChannelCase):
    """C12: slow listeners."""

    config = Live(window_messages=10, buffer_limit=1_000_000)

    def test_c12_server_sends(self) -> None:
        """C12: an awaited loop stops at the window; what is not awaited waits, bounded."""
        channel, end = self.get()
        end.reads = False
        done: list[int] = []

        async def loop() -> None:
            with contextlib.suppress(ChannelOverflowError):
                for n in range(3000):
                    await channel.send(n)
                    done.append(n)

        Deferred.fromCoroutine(loop())
        self.page.pump()
        self.assertEqual(len(done), 1024)
        end.read()
        self.page.pump()
        self.assertGreater(len(done), 1024)
        outcomes = [channel.send("x" * 1000) for _ in range(2000)]
        self.assertIsInstance(self.failure(outcomes[0]), ChannelOverflowError)
        self.assertTrue(all(one.done for one in outcomes))
        self.page.pump()
        self.assertEqual([trouble and trouble.code for trouble in end.ended], ["overflow"])

    def test_c12_page_sends(self) -> None:
        """C12: the server's listener waits: the page is held at the window, and goes on."""
        channel, end = self.get()
        gates: list[Deferred[None]] = []

        async def slow(data: Any) -> None:
            gate: Deferred[None] = Deferred()
            gates.append(gate)
            await gate

        channel.listen(slow)
        results = [end.send(n) for n in range(30)]
        self.page.pump()
        self.assertEqual((len(gates), sum(one.sent for one in results)), (10, 10))
        for gate in gates[:5]:
            gate.callback(None)
        self.page.pump()
        self.assertEqual(sum(one.sent for one in results), 13)
        for _ in range(30):
            for gate in gates:
                if not gate.called:
                    gate.callback(None)
            self.page.pump()
        self.assertTrue(all(one.sent for one in results))

    def test_full_socket(self) -> None:
        """While the page's socket is full nothing more is written to it."""
        channel, end = self.get()
        assert self.page.socket is not None
        self.page.socket.stop_reading()
        before = len(self.page.socket.received)
        waiting = channel.send("x")
        self.assertEqual(len(self.page.socket.received), before)
        self.assertFalse(waiting.done)
        self.page.socket.read_on()
        self.page.pump()
        self.assertEqual((end.heard, waiting.done), (["x"], True))


class WireTests(ChannelCase):
    """C13, C15: which wire carries what."""

    def test_c13_upgrade(self) -> None:
        """C13: SSE first, WebSocket amid the traffic: nothing lost, doubled or out of order."""
        self.page.connect_sse()
        channel, end = self.get(connect=False)
        self.hear(channel)
        self.assertEqual(self.opened, 1)
        for n in range(100):
            channel.send(n)
            end.send(n if n % 2 else b"%d" % n)
        self.page.post()
        for n in range(100, 200):
            channel.send(n)
            end.send(n)
        # What was not posted yet is sent again over the new wire.
        self.page._lines.clear()
        self.page.connect()
        for n in range(200, 300):
            channel.send(n)
            end.send(n)
        self.page.pump()
        self.assertEqual(end.heard, list(range(300)))
        mixed = [n if n % 2 else b"%d" % n for n in range(100)]
        self.assertEqual(self.heard, mixed + list(range(100, 300)))
        self.assertIn({"op": "live.fin"}, self.page.ops)
        self.assertEqual((self.opened, self.closed), (1, []))

    def test_c13_stays_on_sse(self) -> None:
        """C13: where WebSocket is blocked all of it works over SSE and POST."""
        self.page.connect_sse()
        channel, end = self.get(connect=False)
        self.hear(channel, "yes")
        asked = end.send(b"\x00\xff", ack=True)
        self.page.pump()
        channel.send_binary(b"\r\n\r\ndata: x")
        channel.send("a\nb")
        self.page.advance(60)
        self.assertEqual((asked.answer, self.heard), ("yes", [b"\x00\xff"]))
        self.assertEqual(end.heard, [b"\r\n\r\ndata: x", "a\nb"])
        self.page.cut()
        channel.send("meanwhile")
        self.page.connect_sse()
        self.assertEqual(end.heard[2:], ["meanwhile"])
        channel.close()
        self.page.pump()
        self.nothing_left()

    def test_posts(self) -> None:
        """A POST for a wire that has ended, or of another type, is refused."""
        self.page.connect_sse()
        path = f"/_tako/connect/{self.page.upstream}"
        lines = {"Content-Type": "application/x-ndjson"}
        self.assertEqual(self.world.request("POST", path + "x", lines, b"x\n").status, 404)
        foreign = {**lines, "Origin": "https://evil.example"}
        self.assertEqual(self.world.request("POST", path, foreign, b"x\n").status, 403)
        large = self.world.request("POST", path, lines, b"x" * (2 * 1024 * 1024 + 1))
        self.assertEqual(large.status, 413)
        self.page.cut()
        self.assertEqual(self.world.request("POST", path, lines, b"x\n").status, 404)

    def test_c15_violations(self) -> None:
        """C15: what breaks the protocol ends the wire and its objects; a stray id does not."""
        bad: list[Any] = [
            {"op": "live", "id": "ID", "do": "send", "seq": 5, "data": 1},
            {"op": "live", "id": "ID", "do": "jump", "seq": 1},
            {"op": "live", "id": "ID", "do": "send", "data": 1},
            {"op": "live.attach", "session": self.page.secret, "open": []},
            {"op": "live.jump"},
            '{"op":"live","id":"ID","do":"send","seq":1,"data":[1,\n2]}',
        ]
        for one in bad:
            _, end = self.get()
            count = len(self.closed)
            text = one.replace("ID", end.id) if isinstance(one, str) else one
            self.page.say({**text, "id": end.id} if isinstance(text, dict) else text)
            assert self.page.socket is not None
            self.assertEqual(self.page.socket.close_reason, (4400, "body-invalid"), one)
            self.assertEqual(len(self.closed), count + 1)
            self.page.cut()
        early = self.world.connect("/_tako/connect", subprotocol="tako.v1")
        early.say({"op": "live", "id": "x", "do": "ended"})
        self.assertEqual(early.close_reason, (4400, "body-invalid"))
        _, end = self.get()
        self.page.say({"op": "live", "id": "nobody", "do": "send", "seq": 9, "data": 1})
        self.page.advance(1)
        assert self.page.socket is not None
        self.assertIsNone(self.page.socket.close_reason)

    def test_c16_other_session(self) -> None:
        """C16: an id attaches nobody: another page with its own secret is told it is unknown."""
        channel, end = self.get()
        thief = Page(self.world, "t" * 22)
        stolen = thief.ends[end.id] = ClientEnd(thief, end.id, thief.bounds)
        thief.connect()
        self.assertEqual([trouble and trouble.code for trouble in stolen.ended], ["network"])
        channel.send("secret")
        thief.pump()
        self.page.pump()
        self.assertEqual((stolen.heard, end.heard), ([], ["secret"]))

    def test_c16_other_subject(self) -> None:
        """C16: with the secret but as somebody else, a wire does not get the objects."""

        @function(verify=lambda request: Grant(subject=request.header.value))
        async def on_mine() -> Any:
            channel: Channel[Any, Any] = Channel()
            self.channels.append(channel)
            return channel.client

        self.world.live.replace({"onMine": on_mine})
        mine = Page(self.world, Authorization="Bearer ann")
        end = mine.get("onMine")
        [channel] = self.channels
        bob = Page(self.world, Authorization="Bearer bob")
        bob.ends[end.id] = ClientEnd(bob, end.id, bob.bounds)
        bob.connect()
        [refused] = [op for op in bob.ops if op["op"] == "live.refused"]
        self.assertEqual(refused["code"], "verify-rejected")
        self.assertEqual(bob.call("onMine")[0], 403)
        mine.connect()
        channel.send("hello")
        mine.pump()
        self.assertEqual(end.heard, ["hello"])
        # A browser's WebSocket has no such header: the attach says it.
        del mine.headers["Authorization"]
        mine.cut()
        mine.connect(auth="Bearer ann")
        channel.send("again")
        mine.pump()
        self.assertEqual(end.heard, ["hello", "again"])


class CallTests(ChannelCase):
    """Calls, whatever they return."""

    def serve(self, *functions: Function[..., Any]) -> None:
        """Serve these."""
        self.world.live.replace({one.name: one for one in functions})

    def test_results(self) -> None:
        """Plain functions and coroutines; objects anywhere; nothing in data passes for one."""

        class Pair(Struct):
            left: Any
            text: str

        @function
        def on_plain(a: int, b: int = 2, *, c: int = 3) -> int:
            return a * 100 + b * 10 + c

        @function
        async def on_deep() -> Any:
            one: Channel[Any, Any] = Channel(ack=True)
            return {"list": [1, Pair(one.client, '{"path":["channel"]}')]}

        @function
        async def on_wrong() -> Any:
            return Channel()

        self.serve(on_plain, on_deep, on_wrong)
        self.assertEqual(self.page.call("onPlain", 1), (200, {"result": 123}))
        self.assertEqual(on_plain(1, 1, c=1), 111)
        _, body = self.page.call("onDeep")
        self.assertEqual(
            body["result"], {"list": [1, {"left": None, "text": '{"path":["channel"]}'}]}
        )
        [live] = body["live"]
        self.assertEqual(
            (live["path"], live["kind"], live["ack"]), (["list", 1, "left"], "channel", True)
        )
        self.assertEqual(self.page.call("onWrong")[0], 500)

    def test_bad_calls(self) -> None:
        """Arguments that do not fit are named; nothing runs."""
        ran: list[int] = []

        @function
        async def on_add(number: int) -> None:
            ran.append(number)

        self.serve(on_add)
        for args, place in (((), "number is missing"), (("x",), "args[0]"), ((1, 2), "takes 1")):
            status, body = self.page.call("onAdd", *args)
            self.assertEqual((status, body["code"]), (400, "body-invalid"))
            self.assertIn(place, body["error"])
        self.assertEqual(self.page.call("onNothing")[0], 404)
        self.assertEqual(ran, [])

    def test_cross_site(self) -> None:
        """What a form of another site can send is refused."""
        self.serve(function(name="onRun")(lambda: self.heard.append(1)))
        path, json = "/_tako/functions/onRun", "application/json"
        for headers, status in (
            ({"Content-Type": "text/plain"}, 415),
            ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
            ({}, 415),
            ({"Content-Type": json, "Origin": "https://evil.example"}, 403),
            ({"Content-Type": json, "Origin": "http://localhost"}, 200),
        ):
            self.assertEqual(self.world.request("POST", path, headers, b"{}").status, status)
        self.assertEqual(self.world.get(path).status, 405)
        self.assertEqual(self.heard, [1])

    def test_failures(self) -> None:
        """`Abort` gives its value; anything else a generic error and a line in the log."""

        @function
        async def on_abort() -> None:
            raise Abort({"left": 3}, "Not now.")

        @function
        async def on_fail() -> None:
            raise ValueError("hunter2")

        self.serve(on_abort, on_fail)
        status, body = self.page.call("onAbort")
        expected = {"error": "Not now.", "code": "aborted", "value": {"left": 3}}
        self.assertEqual((status, body), (422, expected))
        with capturedLogs() as events:
            status, body = self.page.call("onFail")
        self.assertEqual((status, body["code"]), (500, "internal-error"))
        self.assertNotIn("hunter2", body["error"])
        self.assertEqual(sum("hunter2" in formatEvent(event) for event in events), 1)

    def test_context(self) -> None:
        """The function sees who calls; a listener later does not."""

        @function(verify=lambda request: {"subject": request.cookie}, cookie="user")
        async def on_who() -> Any:
            here = context()
            return [here.subject, here.header("X-Thing"), here.cookie("user"), here.function]

        self.serve(on_who)
        _, body = self.page.call("onWho", Cookie="user=ann", **{"X-Thing": "y"})
        self.assertEqual(body["result"], ["ann", "y", "ann", "onWho"])
        self.assertRaises(UsageError, context)

    def test_rate_and_size(self) -> None:
        """Calls are bounded in size, and in number by address."""
        self.serve(function(name="onRun")(lambda: None))
        statuses = {self.page.call("onRun")[0] for _ in range(300)}
        self.assertEqual(statuses, {200, 429})
        self.world.advance(10)
        large = self.world.request(
            "POST",
            "/_tako/functions/onRun",
            {"Content-Type": "application/json"},
            b" " * (256 * 1024 + 1),
        )
        self.assertEqual(large.status, 413)


class Question(Struct):
    number: int


class ValidationTests(ChannelCase):
    """C24."""

    def test_c24_validation(self) -> None:
        """C24: what does not fit never reaches a listener; who asked is told; credit comes back."""
        self.make = lambda: Channel[Callable[[Question], int], Callable[[str], int]]()
        channel, end = self.get()
        self.hear(channel, 1)
        for _ in range(3000):
            end.send({"number": "x"})
        bad = end.send({"number": "x"}, ack=True)
        self.page.advance(20)
        good = end.send({"number": 7}, ack=True)
        self.page.pump()
        self.assertEqual((bad.code, good.answer, self.heard), ("validation", 1, [Question(7)]))
        end.answers = lambda data: "no number"
        asked = channel.send("q", ack=True)
        self.page.pump()
        self.assertIsInstance(self.failure(asked), ValidationError)
        self.assertFalse(channel.is_closed)


class LeftoverTests(ChannelCase):
    """C23."""

    def test_c23_nothing_left(self) -> None:
        """C23: a thousand channels opened and ended in every way leave nothing."""
        self.config = Live(call_rate=0)
        self.setUp()
        ways: list[Callable[[Channel[Any, Any], ClientEnd], Any]] = [
            lambda channel, end: channel.close(),
            lambda channel, end: end.close(),
            lambda channel, end: (channel.close(), end.close()),
            lambda channel, end: channel.abort(1),
            lambda channel, end: end.abort(1),
            lambda channel, end: channel.send("pending", ack=True),
        ]
        self.page.connect()
        for n in range(1000):
            channel, end = self.get()
            end.answers = None
            channel.on_open(lambda: None)
            channel.send(n)
            ways[n % len(ways)](channel, end)
            if n % 100 == 99:
                self.page.pump()
                self.page.cut()
                self.page.connect()
        self.page.pump()
        self.page.cut()
        self.world.advance(130)
        self.assertEqual(len(self.closed), 1000)
        self.nothing_left()
