"""One call of a function: what its caller gets, what is counted, and what is left of it."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.deadlines import Deadlines
from takotwist.errors import (
    BodyInvalid,
    InternalError,
    NotFound,
    Overloaded,
    Refusal,
    VerifyRejected,
)
from takotwist.live import Abort, Channel, UsageError, context, function
from takotwist.live.broadcast.broadcast import Broadcasts
from takotwist.live.broadcast.bus import Bus
from takotwist.live.functions.calls import Caller, Calls
from takotwist.live.functions.function import Function
from takotwist.live.functions.verifier import Verifier
from takotwist.live.machine.frames import Bounds
from takotwist.live.machine.send import Backlog
from takotwist.live.services import LiveServices
from takotwist.live.sessions import LiveSessions

SECRET = "s" * 22


class CallsTests(SynchronousTestCase):
    """`Calls.call`, with functions that run in the caller's turn."""

    def setUp(self) -> None:
        self.now = 0.0
        self.deadlines = Deadlines()
        services = LiveServices(
            Bounds(), lambda: self.now, self.deadlines, Broadcasts(Bus()), Backlog(2**20)
        )
        names = iter(range(1000))
        self.sessions = LiveSessions(services, 10, lambda: f"o{next(names)}")
        self.costs: list[str] = []

        async def run(caller: str, address: str, work: Any) -> Any:
            result = work()
            return await result if hasattr(result, "__await__") else result

        self.calls = Calls(
            services,
            self.sessions,
            run,
            Verifier(run),
            lambda: "call-1",
            self.costs.append,
        )

    def serve(self, *functions: Function[..., Any]) -> None:
        """Serve these functions."""
        self.calls.replace({one.name: one for one in functions})

    def call(
        self, name: str, body: object = b"{}", secret: str | None = SECRET, token: str = ""
    ) -> Deferred[tuple[int, bytes]]:
        """Call one."""
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"authorization": token} if token else {}
        caller = Caller("192.0.2.1", secret, headers, lambda name: None)
        return ensureDeferred(self.calls.call(name, raw, caller))

    def counted(self) -> dict[tuple[str, str], int]:
        """Calls by function and outcome."""
        return dict(self.sessions.tally.calls)

    def test_result(self) -> None:
        """Arguments go in by place and by name, and the result comes out as JSON."""

        @function
        async def on_add(a: int, b: int = 1) -> int:
            return a + b

        self.serve(on_add)
        for body, result in (
            ({"args": [2]}, 3),
            ({"args": [2, 3]}, 5),
            ({"args": [2], "named": {"b": 5}}, 7),
        ):
            status, answer = self.successResultOf(self.call("onAdd", body))
            self.assertEqual((status, msgspec.json.decode(answer)["result"]), (200, result))
        self.assertEqual(self.counted(), {("onAdd", "ok"): 3})

    def test_unknown(self) -> None:
        """There is no such function; its name, which is the caller's, is not counted."""
        self.failureResultOf(self.call("onNothing"), NotFound)
        self.assertEqual(self.counted(), {})

    def test_wrong_arguments(self) -> None:
        """They are refused, named, and the function does not run."""
        ran: list[int] = []

        @function
        async def on_take(a: int) -> None:
            ran.append(a)

        self.serve(on_take)
        for body in (b"", b"[]", b"\xff", b'{"args": ["x"]}', b"{}", b'{"args": [1, 2]}'):
            self.failureResultOf(self.call("onTake", body), BodyInvalid)
        self.assertEqual(ran, [])
        self.assertEqual(self.counted(), {("onTake", "refused"): 6})

    @given(st.binary(max_size=60))
    def test_any_body(self, body: bytes) -> None:
        """No bytes make a call do anything but run or be refused."""

        @function
        async def on_take(a: Any = None) -> int:
            return 1

        self.serve(on_take)
        answer = self.call("onTake", body)
        results: list[Any] = []
        answer.addBoth(results.append)
        [result] = results
        if not isinstance(result, tuple):
            self.assertTrue(result.check(BodyInvalid), result)

    def test_failure_says_nothing(self) -> None:
        """The reason is in the log with the call's name, and not in the answer."""

        @function
        async def on_break() -> None:
            raise ValueError("the password is x")

        self.serve(on_break)
        with capturedLogs() as logs:
            failure = self.failureResultOf(self.call("onBreak"), InternalError)
        self.assertNotIn("password", failure.getErrorMessage())
        [event] = logs
        text = formatEvent(event)
        self.assertIn("call-1", text)
        self.assertIn("ValueError", text)
        self.assertEqual(self.counted(), {("onBreak", "failed"): 1})

    def test_wrong_result(self) -> None:
        """A result that the annotation forbids is a failure of the function."""
        wrong: Any = "text"

        @function
        async def on_number() -> int:
            return wrong

        self.serve(on_number)
        with capturedLogs() as logs:
            self.failureResultOf(self.call("onNumber"), InternalError)
        self.assertIn("what its annotation forbids", formatEvent(logs[0]))

    def test_abort(self) -> None:
        """What the function aborts with reaches the caller, if JSON has a form for it."""
        said: list[Any] = [{"field": "a"}]

        @function
        async def on_refuse() -> None:
            raise Abort(said[0], "Not so.")

        self.serve(on_refuse)
        status, answer = self.successResultOf(self.call("onRefuse"))
        self.assertEqual(status, 422)
        self.assertEqual(
            msgspec.json.decode(answer),
            {"error": "Not so.", "code": "aborted", "value": {"field": "a"}},
        )
        said[0] = object()
        with capturedLogs():
            self.failureResultOf(self.call("onRefuse"), InternalError)
        self.assertEqual(self.counted(), {("onRefuse", "aborted"): 1, ("onRefuse", "failed"): 1})

    def test_refusal_passes(self) -> None:
        """A refusal keeps its code; it is no failure of the function."""

        @function
        async def on_busy() -> None:
            raise Overloaded("Later.")

        self.serve(on_busy)
        self.failureResultOf(self.call("onBusy"), Overloaded)
        self.assertEqual(self.counted(), {("onBusy", "refused"): 1})

    def test_verified(self) -> None:
        """The subject is known to the function, and pays for the call."""
        subjects: list[str | None] = []

        async def verify(request: Any) -> Any:
            return {"subject": request.header.value} if request.header.value == "ann" else False

        @function(verify=verify)
        async def on_who() -> None:
            subjects.append(context().subject)

        self.serve(on_who)
        self.successResultOf(self.call("onWho", token="Bearer ann"))
        self.failureResultOf(self.call("onWho", token="Bearer bob"), VerifyRejected)
        self.failureResultOf(self.call("onWho"), Refusal)
        self.assertEqual((subjects, self.costs), (["ann"], ["ann"]))
        self.assertEqual(self.counted(), {("onWho", "ok"): 1, ("onWho", "refused"): 2})

    def test_context_is_of_the_call(self) -> None:
        """It is there while the function runs, in a plain function too, and not later."""

        @function
        def on_plain() -> str:
            return f"{context().function} {context().request_id} {context().address}"

        self.serve(on_plain)
        _, answer = self.successResultOf(self.call("onPlain"))
        self.assertEqual(msgspec.json.decode(answer)["result"], "onPlain call-1 192.0.2.1")
        self.assertRaises(UsageError, context)

    def test_objects(self) -> None:
        """What is returned belongs to the page's session, which needs a secret."""

        @function
        async def on_open() -> Any:
            return {"one": Channel().client, "two": [Channel().client]}

        self.serve(on_open)
        self.successResultOf(self.call("onOpen"))
        self.assertEqual(len(self.sessions.find(SECRET).objects), 2)
        self.failureResultOf(self.call("onOpen", secret=None), BodyInvalid)
        self.assertEqual(len(self.sessions.find(SECRET).objects), 2)

    def test_nothing_is_left_of_a_failure(self) -> None:
        """Objects that a function made before it failed have ended."""
        made: list[Channel[Any, Any]] = []
        closed: list[object] = []

        @function
        async def on_half() -> None:
            made.append(Channel())
            made[0].on_close(closed.append)
            raise ValueError

        self.serve(on_half)
        with capturedLogs():
            self.failureResultOf(self.call("onHalf"), InternalError)
        self.assertTrue(made[0].is_closed)
        self.assertEqual(len(closed), 1)
        self.assertEqual(len(self.deadlines), 0)

    def test_not_returned(self) -> None:
        """An object that was made and not returned ends when nobody can attach to it in time."""
        made: list[Channel[Any, Any]] = []

        @function
        async def on_keep() -> None:
            made.append(Channel())

        self.serve(on_keep)
        self.successResultOf(self.call("onKeep"))
        self.assertFalse(made[0].is_closed)
        self.now += 1000
        for action in self.deadlines.tick(self.now):
            action()
        self.assertTrue(made[0].is_closed)

    def test_left(self) -> None:
        """A caller who leaves has the function cancelled, unless it is to finish."""
        waiting: Deferred[None] = Deferred()
        ended: list[str] = []

        async def wait() -> None:
            try:
                await waiting
            except CancelledError:
                ended.append("cancelled")
                raise
            ended.append("finished")

        @function
        async def on_wait() -> None:
            await wait()

        @function(finish=True)
        async def on_finish() -> None:
            await wait()

        self.serve(on_wait, on_finish)
        call = self.call("onFinish")
        call.cancel()
        self.failureResultOf(call, CancelledError)
        self.assertEqual(ended, [])
        waiting.callback(None)
        self.assertEqual(ended, ["finished"])
        waiting = Deferred()
        call = self.call("onWait")
        call.cancel()
        self.failureResultOf(call, CancelledError)
        self.assertEqual(ended, ["finished", "cancelled"])
        self.assertEqual(self.counted(), {("onFinish", "left"): 1, ("onWait", "left"): 1})

    def test_replaced(self) -> None:
        """A call under way ends as it began; counts of functions that are gone go."""
        waiting: Deferred[None] = Deferred()

        @function
        async def on_old() -> int:
            await waiting
            return 1

        @function
        async def on_new() -> int:
            return 2

        self.serve(on_old)
        self.sessions.tally.calls["onOld", "ok"] += 1
        call = self.call("onOld")
        self.serve(on_new)
        self.assertEqual(self.counted(), {})
        waiting.callback(None)
        self.assertEqual(self.successResultOf(call)[0], 200)
        self.failureResultOf(self.call("onOld"), NotFound)
