"""Requests with a head that was answered before: the same answers, by a shorter way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from takotwist.streams.http.known_heads import MAX_BODY, MAX_HEADS, KnownHeads
from takotwist.streams.http.limits import HttpLimits
from tests.streams.exchange import Answering, Http1Exchange

#: An answer as the short way makes it.
SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"


class Echo:
    """Answers with the body, and asks to be asked again the short way."""

    def __init__(self) -> None:
        self.long: list[bytes] = []
        self.short: list[bytes] = []
        self.waiting: list[tuple[bytes, Callable[[bytes], None]]] = []
        self.heads: list[bytes] = []
        self.targets: list[bytes] = []
        self.says_no = False
        self.remembers = True
        self.waits = False

    def __call__(self, request: Any) -> Any:
        body = request.content.read()
        self.long.append(body)
        if self.remembers:
            request.remember(self.again)
        request.setHeader(b"content-length", b"%d" % len(body))
        request.write(body)
        request.finish()
        return NOT_DONE_YET

    def again(self, head: bytes, target: bytes, body: bytes, done: Callable[[bytes], None]) -> bool:
        if self.says_no:
            return False
        self.heads.append(head)
        self.targets.append(target)
        self.short.append(body)
        if self.waits:
            self.waiting.append((body, done))
        else:
            done(SHORT % (len(body), body))
        return True

    def answer_one(self) -> None:
        body, done = self.waiting.pop(0)
        done(SHORT % (len(body), body))


def post(body: bytes, *lines: str, path: str = "/") -> bytes:
    """A whole request."""
    head = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1") + body


class RepeatedTests(SynchronousTestCase):
    """One connection of a client that sends the same head again and again."""

    def setUp(self) -> None:
        self.echo = Echo()
        self.exchange = Http1Exchange(self.echo)

    def test_leaving(self) -> None:
        """A server that stops answers in full, with a word of the connection's end; also where a
        part of the request was there before."""
        for before in (0, 3):
            self.setUp()
            data = post(b"body")
            self.ask(data)
            self.exchange.transport.deliver(data[: len(data) - before] if before else b"")
            self.exchange.site.keep_no_longer()
            self.exchange.transport.deliver(data[-before:] if before else data)
            status, fields, body = self.exchange.answer()
            self.assertEqual((status, fields["connection"], body), (200, "close", b"body"))
            self.assertFalse(self.exchange.transport.connected)
            self.assertEqual(self.exchange.clock.getDelayedCalls(), [])
            self.assertEqual((self.echo.long, self.echo.short), ([b"body"] * 2, []))

    def ask(self, data: bytes) -> bytes:
        """Send, and the bodies that came back."""
        self.exchange.transport.deliver(data)
        return self.bodies()

    def bodies(self) -> bytes:
        """What was answered, without the heads."""
        got, found = self.exchange.transport.take(), b""
        while got:
            head, _, rest = got.partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 200 OK"), head)
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            found += rest[:length] + b" "
            got = rest[length:]
        return found

    def test_second_time(self) -> None:
        """The first request goes the whole way, and those like it the short one."""
        for body in (b"one", b"two", b"six"):
            self.assertEqual(self.ask(post(body)), body + b" ")
        self.assertEqual(self.echo.long, [b"one"])
        self.assertEqual(self.echo.short, [b"two", b"six"])

    def test_another_head(self) -> None:
        """A head that differs in a single byte goes the whole way."""
        self.ask(post(b"one"))
        self.ask(post(b"two", "X: y"))
        self.ask(post(b"six", "X:  y"))
        self.ask(post(b"ten", "x: y"))
        self.assertEqual(self.echo.short, [])

    def test_another_target(self) -> None:
        """Where it posts to may differ: whoever answers is told."""
        self.ask(post(b"one", path="/a?n=1"))
        self.assertEqual(self.ask(post(b"two", path="/b?n=2")), b"two ")
        self.assertEqual(self.echo.targets, [b"/b?n=2"])

    def test_another_length(self) -> None:
        """How much it posts may differ too."""
        for body in (b"one", b"", b"a longer body", b"x" * MAX_BODY):
            self.assertEqual(self.ask(post(body)), body + b" ")
        self.assertEqual(self.echo.long, [b"one"])

    def test_odd_length(self) -> None:
        """A length that is spelled unusually, or said twice, goes the whole way."""
        self.ask(post(b"one"))
        for line in ("Content-Length:  3", "Content-Length: 03", "Content-Length: 3 "):
            odd = post(b"one").replace(b"Content-Length: 3", line.encode())
            self.assertEqual(self.ask(odd), b"one ")
        self.exchange.transport.deliver(post(b"one", "Content-Length: 3"))
        self.assertTrue(self.exchange.transport.take().startswith(b"HTTP/1.1 400 "))
        self.assertEqual(self.echo.short, [])

    def test_another_version(self) -> None:
        """A request of HTTP/1.0 is not taken for one of HTTP/1.1."""
        self.ask(post(b"one"))
        self.exchange.transport.deliver(post(b"two").replace(b"HTTP/1.1", b"HTTP/1.0"))
        self.assertEqual(self.echo.long, [b"one", b"two"])

    def test_in_pieces(self) -> None:
        """However the network cuts the requests, each is answered once, in order."""
        stream = b"".join(post(b"%03d" % number) for number in range(20))
        for size in (1, 7, 40, 66, 67, 68, 130, 1000):
            self.setUp()
            got = self.ask(post(b"xxx"))
            for at in range(0, len(stream), size):
                got += self.ask(stream[at : at + size])
            self.assertEqual(got.split(), [b"xxx", *(b"%03d" % number for number in range(20))])
            self.assertEqual(len(self.echo.long) + len(self.echo.short), 21)

    def test_body_behind_its_head(self) -> None:
        """A client that sends head and body apart is answered the short way too."""
        self.ask(post(b"one"))
        request = post(b"two")
        self.assertEqual(self.ask(request[:-3]), b"")
        self.assertEqual(self.ask(request[-3:]), b"two ")
        self.assertEqual(self.echo.short, [b"two"])

    def test_no(self) -> None:
        """What the short way will not do goes the whole way, with all that came behind it."""
        self.ask(post(b"one"))
        self.echo.says_no = True
        self.assertEqual(self.ask(post(b"two") + post(b"six")), b"two six ")
        self.assertEqual(self.echo.long, [b"one", b"two", b"six"])

    def test_pipelined_while_answering(self) -> None:
        """What comes behind a request that is being answered waits for its turn."""
        self.ask(post(b"one"))
        self.echo.waits = True
        self.assertEqual(self.ask(post(b"two") + post(b"six", "X: y")), b"")
        self.assertEqual(self.ask(post(b"ten")), b"")
        self.assertEqual(self.echo.short, [b"two"])
        self.echo.answer_one()
        self.assertEqual(self.bodies(), b"two six ")
        self.echo.answer_one()
        self.assertEqual(self.bodies(), b"ten ")

    def test_much_behind(self) -> None:
        """A client that sends without end while it waits is not read from."""
        self.ask(post(b"one"))
        self.echo.waits = True
        self.ask(post(b"two"))
        self.ask(post(b"y" * 60_000, "X: y"))
        self.assertFalse(self.exchange.transport.reading)
        self.echo.answer_one()
        self.assertTrue(self.exchange.transport.reading)
        self.assertEqual(self.bodies(), b"two " + b"y" * 60_000 + b" ")

    def test_head_of_another(self) -> None:
        """In one read, the second request's answer is not remembered under the first's head."""
        self.echo.remembers = False
        first, second = post(b"one", path="/first"), post(b"two", "X: y", path="/second")
        render = self.echo.__call__

        def remember_the_second(request: Any) -> Any:
            self.echo.remembers = request.path == b"/second"
            return render(request)

        self.exchange = Http1Exchange(remember_the_second)
        self.assertEqual(self.ask(first + second), b"one two ")
        self.assertEqual(self.ask(first), b"one ")
        self.assertEqual(self.echo.short, [])

    def test_slow_answer(self) -> None:
        """The idle timeout does not cut a request that is being answered."""
        self.ask(post(b"one"))
        self.echo.waits = True
        self.ask(post(b"two"))
        for _ in range(10):
            self.exchange.clock.advance(60)
        self.echo.answer_one()
        self.assertEqual(self.bodies(), b"two ")

    def test_half_a_body(self) -> None:
        """A client that does not finish its body is told so, and let go."""
        self.ask(post(b"one"))
        self.exchange.transport.deliver(post(b"two")[:-1])
        for _ in range(10):
            self.exchange.clock.advance(60)
        self.assertTrue(self.exchange.transport.take().startswith(b"HTTP/1.1 408 "))

    def test_idle(self) -> None:
        """A connection that is silent after a short answer is closed."""
        self.ask(post(b"one"))
        self.ask(post(b"two"))
        for _ in range(10):
            self.exchange.clock.advance(60)
        self.assertFalse(self.exchange.transport.connected)

    def test_gone(self) -> None:
        """An answer for a client that has gone goes nowhere, and what came behind is not begun."""
        self.ask(post(b"one"))
        self.echo.waits = True
        self.ask(post(b"two") + post(b"six"))
        self.exchange.transport.hang_up()
        self.echo.answer_one()
        self.assertEqual(self.echo.short, [b"two"])
        self.assertEqual(self.exchange.clock.getDelayedCalls(), [])

    def test_not_remembered(self) -> None:
        """What may mean something else the next time is not remembered."""
        for line in (
            "Connection: close",
            "Connection: keep-alive, close",
            "Connection: Upgrade",
            "Expect: 100-continue",
            "Transfer-Encoding: identity",
            "X: \xff",
            "X: folded\r\n line",
        ):
            self.setUp()
            self.exchange.transport.deliver(post(b"one", line))
            self.assertEqual(len(self.exchange.site.known_heads), 0, line)

    def test_absolute_target(self) -> None:
        """What is right of the head of an absolute target, which names the host, is not
        taken to be right where the Host field must."""
        for line in (b"Host: b\r\n", b"Host: a\r\n"):
            self.setUp()
            absolute = post(b"one", path="http://a/").replace(b"Host: a\r\n", line)
            self.assertEqual(self.ask(absolute), b"one ")
            self.exchange.transport.deliver(post(b"two").replace(b"Host: a\r\n", line))
            self.assertEqual(self.echo.short, [])

    def test_keep_alive(self) -> None:
        """A client that says what is so anyway, that the connection stays, is answered shortly."""
        for body in (b"one", b"two"):
            self.assertEqual(self.ask(post(body, "Connection: Keep-Alive")), body + b" ")
        self.assertEqual(self.echo.short, [b"two"])

    def test_too_large_here(self) -> None:
        """A head that is larger than the site takes is refused, known or not."""
        self.exchange = Http1Exchange(self.echo, HttpLimits(max_head=100))
        self.ask(post(b"one"))
        self.exchange.transport.deliver(post(b"two", path="/" + "x" * 70))
        self.assertTrue(self.exchange.transport.take().startswith(b"HTTP/1.1 431 "))
        self.assertEqual(self.echo.short, [])


class AlikeTests(RepeatedTests):
    """A client whose heads differ in what is not read, on a site that was told what is."""

    def setUp(self) -> None:
        self.echo = Echo()
        self.exchange = Http1Exchange(self.echo, values_read=["X"])
        self.known_heads: KnownHeads = self.exchange.site.known_heads

    def test_values(self) -> None:
        """The value of a field that is not read is any; whoever answers is shown the head."""
        for number in range(20):
            head = post(b"one", "X: y", f"Trace: {number}")
            self.assertEqual(self.ask(head), b"one ")
        self.assertEqual(len(self.echo.long), 1)
        heads = [post(b"one", "X: y", f"Trace: {number}")[:-3] for number in range(1, 20)]
        self.assertEqual(self.echo.heads, heads)

    def test_other_shapes(self) -> None:
        """Another field, name, order or read value is another head; and so is all that is odd."""
        usual = ("X: y", "Trace: 1")
        for lines in (
            ("X: z", "Trace: 1"),
            ("X:y", "Trace: 1"),
            ("X: y", "trace: 1"),
            ("X: y", "Trace: 1", "Trace: 1"),
            ("Trace: 1", "X: y"),
            ("X: y",),
            ("X: y", "Trace: 1", "x: y"),
            ("X: y", "Trace: 1\r\n 2"),
            ("X: y", "Trace: \xfc"),
            ("X: y", "Host: b", "Trace: 1"),
            ("X: y", "Trace: 1", "Transfer-Encoding: identity"),
            ("X: y", "Trace: 1", "Expect: 100-continue"),
            ("X: y", "Trace: 1", "Connection: close"),
        ):
            self.setUp()
            self.ask(post(b"one", *usual))
            self.exchange.transport.deliver(post(b"two", *lines))
            self.assertEqual(self.echo.short, [], lines)

    def test_nothing_is_smuggled(self) -> None:
        """What is refused, or read as another body, without a known head is so with one."""
        for line in (
            "Trace: 1\nTransfer-Encoding: chunked",
            "Trace: 1\rTransfer-Encoding: chunked",
            "Trace: 1\r\nTransfer-Encoding : chunked",
            "Trace: 1\r\nTransfer-Encoding: chunked",
            "Trace: 1\r\nContent-Length: 0",
            "Trace: 1\x00",
            "Trace : 1",
            ": 1",
        ):
            self.setUp()
            self.ask(post(b"one", "Trace: 1"))
            self.exchange.transport.deliver(post(b"two", line))
            self.assertTrue(self.exchange.transport.take().startswith(b"HTTP/1.1 400 "), line)
            self.assertEqual(self.echo.short, [], line)

    def test_table(self) -> None:
        """Heads that never come again take no place; one that does is known byte for byte."""
        for number in range(MAX_HEADS * 2 + 10):
            self.known_heads.remember(post(b"", f"Trace: {number}"), self.echo.again)
            self.assertIsNotNone(self.known_heads.get(post(b"", f"Trace: -{number}")))
            self.assertLessEqual(len(self.known_heads._once), MAX_HEADS)
        self.assertEqual((len(self.known_heads), self.known_heads.whole), (1, 0))
        for _ in range(3):
            self.assertIsNotNone(self.known_heads.get(post(b"", "Trace: same")))
            self.assertIsNotNone(self.known_heads.get(post(b"", "Trace: same too")))
        self.assertEqual((len(self.known_heads), self.known_heads.whole), (1, 2))

    def test_bounded(self) -> None:
        """The oldest head is forgotten for the newest."""
        for number in range(MAX_HEADS + 10):
            self.known_heads.remember(post(b"", f"X: {number}"), self.echo.again)
            for _ in range(2):
                self.known_heads.get(post(b"", f"X: {number}"))
        self.assertEqual((len(self.known_heads), self.known_heads.whole), (MAX_HEADS, MAX_HEADS))
        self.assertIsNone(self.known_heads.get(post(b"", "X: 9")))
        self.assertIsNotNone(self.known_heads.get(post(b"", "X: 10")))

    def test_body_behind_a_new_head(self) -> None:
        """A body that comes in pieces does not make its head one that came again."""
        self.ask(post(b"one", "Trace: 1"))
        for number in range(2, 5):
            request = post(b"two", f"Trace: {number}")
            self.assertEqual(self.ask(request[:-3]), b"")
            self.assertEqual(self.ask(request[-3:-1]), b"")
            self.assertEqual(self.ask(request[-1:]), b"two ")
        self.assertEqual(self.echo.short, [b"two"] * 3)
        self.assertEqual(self.known_heads.whole, 0)

    def test_newest_answer(self) -> None:
        """After a request went the whole way again it is its answer that is given, to all."""
        for _ in range(3):
            self.ask(post(b"one", "Trace: 1"))
        self.assertEqual(self.known_heads.whole, 1)
        first, self.echo = self.echo, Echo()
        first.says_no = True
        self.exchange.site.resource = Answering(self.echo)
        for _ in range(2):
            for number in range(3):
                self.ask(post(b"two", f"Trace: {number}"))
        self.assertEqual(len(first.short), 2)
        self.assertEqual((len(self.echo.long), len(self.echo.short)), (2, 4))
