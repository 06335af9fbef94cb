"""Callbacks of the app: whatever one does, the object goes on."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.deadlines import Deadline
from takotwist.live.errors import Abort, LiveError, NetworkError, PageLeft
from takotwist.live.objects.callbacks import (
    Dispatch,
    LifetimeCallbacks,
    accepts_argument,
    call,
    closing,
    listening_to,
    log_failure,
)
from takotwist.trampoline import drive


class CallTests(SynchronousTestCase):
    """One function of the app."""

    def test_accepts_argument(self) -> None:
        """Those that can be called with one; what cannot be told counts as such."""

        def none() -> None: ...

        def optional(error: Any = None) -> None: ...

        def by_name(*, error: Any) -> None: ...

        for callback, accepts in (
            (none, False),
            (optional, True),
            (by_name, False),
            (lambda error: None, True),
            ([].append, True),
            (dict, True),
        ):
            self.assertEqual(accepts_argument(callback), accepts, callback)

    def test_plain(self) -> None:
        """A plain one gives its value, and what it raises is raised."""
        self.assertEqual(call(lambda data: data + 1, (1,)), (2, None))
        self.assertRaises(ZeroDivisionError, call, lambda: 1 // 0, ())

    def test_waiting(self) -> None:
        """A coroutine is waited for."""
        waiting: Deferred[int] = Deferred()

        async def later() -> int:
            return await waiting

        value, waits = call(later, ())
        assert waits is not None
        self.assertIsNone(value)
        self.assertNoResult(waits)
        waiting.callback(5)
        self.assertEqual(self.successResultOf(waits), 5)

    def test_log(self) -> None:
        """A failure is one line with the app's traceback; a page that left is no failure."""
        with capturedLogs() as logs:
            log_failure("a callback", ValueError("why"))
            log_failure("a callback", PageLeft())
        [event] = logs
        self.assertEqual(event["what"], "a callback")
        self.assertIn("ValueError: why", event["trace"])


class DispatchTests(SynchronousTestCase):
    """One message, and its listeners."""

    def setUp(self) -> None:
        self.done: list[tuple[Any, BaseException | None]] = []
        self.dispatch = Dispatch(lambda value, error: self.done.append((value, error)))
        self.order: list[Any] = []
        self.waits: list[Deferred[Any]] = []

    def listener(self, name: str, waits: bool = False) -> Any:
        """A listener that notes that it was called and answers its name."""
        if not waits:
            return lambda data: self.order.append((name, data)) or name

        async def later(data: Any) -> str:
            self.order.append((name, data))
            waiting: Deferred[Any] = Deferred()
            self.waits.append(waiting)
            await waiting
            return name

        return later

    def failing(self, data: Any) -> None:
        """A listener that fails."""
        raise ZeroDivisionError

    def test_one_by_one(self) -> None:
        """Each after the one before has settled; the last one's value is the answer."""
        listeners = [self.listener("a", waits=True), self.listener("b"), self.listener("c")]
        self.dispatch.one_by_one(listeners, 1, self, 7)
        self.assertEqual((self.order, self.done), ([("a", 1)], []))
        self.waits[0].callback(None)
        self.assertEqual(self.order, [("a", 1), ("b", 1), ("c", 1)])
        self.assertEqual(self.done, [("c", None)])

    def test_first_error_ends_a_request(self) -> None:
        """Nobody after one that failed is asked, whether it waited or not."""
        for waits in (False, True):
            self.setUp()
            first = self.listener("a", waits) if waits else self.failing
            self.dispatch.one_by_one([first, self.listener("b")], 1, self, 7)
            if waits:
                self.waits[0].errback(ZeroDivisionError())
            [(value, error)] = self.done
            self.assertIsNone(value)
            self.assertIsInstance(error, ZeroDivisionError)
            self.assertNotIn(("b", 1), self.order)

    def test_nobody_listens(self) -> None:
        """A request without listeners is answered with nothing."""
        self.dispatch.one_by_one([], 1, self, 7)
        self.assertEqual(self.done, [(None, None)])

    def test_listening_to(self) -> None:
        """Each listener of a request, also behind one that waits, can tell which one it is
        answering; nobody else can."""
        seen: list[Any] = []

        async def first(data: Any) -> None:
            waiting: Deferred[Any] = Deferred()
            self.waits.append(waiting)
            await waiting
            seen.append(listening_to.get())

        self.dispatch.one_by_one([first, lambda _: seen.append(listening_to.get())], 1, self, 7)
        self.assertIsNone(listening_to.get())
        self.waits[0].callback(None)
        self.assertEqual(seen, [(self, 7), (self, 7)])
        self.assertIsNone(listening_to.get())

    def test_all_at_once(self) -> None:
        """All are called in order, and it is done when all have settled."""
        listeners = [self.listener("a", waits=True), self.listener("b", waits=True)]
        self.dispatch.all_at_once([*listeners, self.listener("c")], (1,))
        self.assertEqual(self.order, [("a", 1), ("b", 1), ("c", 1)])
        self.waits[1].callback(None)
        self.assertEqual(self.done, [])
        self.waits[0].callback(None)
        self.assertEqual(self.done, [(None, None)])

    def test_errors_of_a_message(self) -> None:
        """One that fails keeps no other from being called; the first error is told, once."""
        listeners = [self.failing, self.listener("a", waits=True), self.listener("b")]
        self.dispatch.all_at_once(listeners, (1,))
        self.assertEqual(self.order, [("a", 1), ("b", 1)])
        self.assertEqual(self.done, [])
        self.waits[0].errback(ValueError())
        [(value, error)] = self.done
        self.assertIsNone(value)
        self.assertIsInstance(error, ZeroDivisionError)

    def test_message_to_nobody(self) -> None:
        """It is done."""
        self.dispatch.all_at_once([], (1,))
        self.assertEqual(self.done, [(None, None)])

    def test_a_fault_of_ours(self) -> None:
        """Where `done` itself fails it is logged, and no Deferred is left with it."""

        def fail(value: Any, error: BaseException | None) -> None:
            raise LookupError

        Dispatch(fail).one_by_one([self.listener("a", waits=True)], 1, self, 7)
        self.waits[0].callback(None)
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)


class LifetimeTests(SynchronousTestCase):
    """`on_open`, `on_close`, and what `close` comes to."""

    def setUp(self) -> None:
        self.late: list[Any] = []
        self.cancelled: list[Deadline] = []
        self.owner = object()
        self.life = LifetimeCallbacks(self.owner, self.patience)
        self.heard: list[Any] = []

    def patience(self, action: Any) -> Deadline:
        """A timeout that the test lets pass."""
        deadline = Deadline(action)
        self.late.append(deadline)
        return deadline

    def test_open(self) -> None:
        """Each once: those before the first attach at it, a late one at once."""
        self.life.on_open(lambda: self.heard.append("early"))
        self.assertEqual(self.heard, [])
        self.life.open()
        self.life.on_open(lambda: self.heard.append("late"))
        self.assertEqual(self.heard, ["early", "late"])

    def test_never_opened(self) -> None:
        """One that ended before its first attach calls no `on_open`, then or later."""
        self.life.on_open(lambda: self.heard.append("early"))
        self.life.end(None)
        self.life.on_open(lambda: self.heard.append("late"))
        self.assertEqual(self.heard, [])

    def test_close(self) -> None:
        """Each once, with the error where it takes one; a late one at once."""
        error = NetworkError()
        self.life.on_close(self.heard.append)
        self.life.on_close(lambda: self.heard.append("no argument"))
        self.life.end(error)
        self.life.on_close(lambda why: self.heard.append(("late", why)))
        self.assertEqual(self.heard, [error, "no argument", ("late", error)])

    def test_result(self) -> None:
        """0 for a graceful end, else 1."""
        for error, code in ((None, 0), (Abort("x"), 1)):
            life = LifetimeCallbacks(self.owner, self.patience)
            assert error is None or isinstance(error, LiveError)
            life.end(error)
            assert life.closed is not None
            self.assertEqual(self._value(life), code)
        self.assertEqual(self.late, [])

    def _value(self, life: LifetimeCallbacks) -> Any:
        async def wait() -> Any:
            assert life.closed is not None
            return await life.closed

        return self.successResultOf(drive(wait()))

    def test_waits_for_on_close(self) -> None:
        """`close` is done when all of `on_close` are, and the timeout is given up."""
        waiting: Deferred[None] = Deferred()

        async def later() -> None:
            await waiting
            self.heard.append("done")

        self.life.on_close(later)
        self.life.end(None)
        [deadline] = self.late
        self.assertEqual(self.heard, [])
        waiting.callback(None)
        self.assertEqual(self.heard, ["done"])
        self.assertEqual(self._value(self.life), 0)
        self.assertIsNone(deadline.action)

    def test_on_close_takes_too_long(self) -> None:
        """Then `close` is 1, and what comes later changes nothing."""
        waiting: Deferred[None] = Deferred()

        async def later() -> None:
            await waiting

        self.life.on_close(later)
        self.life.end(None)
        self.late[0].action()
        self.assertEqual(self._value(self.life), 1)
        waiting.callback(None)
        self.assertEqual(self._value(self.life), 1)

    def test_one_that_fails(self) -> None:
        """It is a line in the log that names the object, and the others are called."""
        failing: Deferred[None] = Deferred()

        async def later() -> None:
            await failing

        def fail() -> None:
            raise ZeroDivisionError

        self.life.on_close(fail)
        self.life.on_close(later)
        self.life.on_close(lambda: self.heard.append("called"))
        with capturedLogs() as logs:
            self.life.end(None)
            failing.errback(LookupError())
        self.assertEqual(self.heard, ["called"])
        self.assertEqual(self._value(self.life), 0)
        self.assertEqual([event["what"] for event in logs], [f"a callback of {self.owner!r}"] * 2)

    def test_closing(self) -> None:
        """While its `on_close` runs, and not before or after, an object is the closing one."""
        self.life.on_open(lambda: self.heard.append(closing.get()))
        self.life.open()
        self.life.on_close(lambda: self.heard.append(closing.get()))
        self.life.end(None)
        self.assertEqual(self.heard, [None, self.owner])
        self.assertIsNone(closing.get())
