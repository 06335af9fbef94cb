"""The app in this process: its functions of every kind, and all they can do wrong.

Publishing inside the server's process, from both kinds of function.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Context, Grant, Published, Reject, VerifyRequest, define_channel
from takotwist.adapters.authorize_local import LocalPublishing
from takotwist.core.authorization import (
    Drop,
    Fanout,
    Frame,
)
from takotwist.core.authorization import Reject as Rejected
from takotwist.core.topic import Draft, Message, Topic
from takotwist.errors import (
    AuthUnavailable,
    BodyInvalid,
    ChannelUnknown,
    Overloaded,
    StoreUnavailable,
    VerifyRejected,
)
from tests.adapters.local_case import REQUEST, AuthorizeLocalCase, Msg, Room, chat, frame
from tests.adapters.stepped_threads import SteppedReactor


class TestVerify(AuthorizeLocalCase):
    def test_public(self) -> None:
        """A channel without verify lets everyone in."""
        self.assertEqual(self.successResultOf(self.asked(chat())), Grant())

    def test_plain_function_in_thread(self) -> None:
        """A plain verify is run by the pool, and gets typed params and the credential."""
        self.pool.held = True
        channel = chat()
        seen: list[VerifyRequest[Room]] = []

        @channel.verify
        def verify(request: VerifyRequest[Room]) -> Grant:
            seen.append(request)
            return Grant(subject="u1")

        answer = self.asked(channel)
        self.assertNoResult(answer)
        self.pool.step()
        self.assertEqual(self.successResultOf(answer), Grant(subject="u1"))
        self.assertEqual(seen[0].params, Room("a"))
        self.assertEqual(seen[0].operation, "subscribe")
        assert seen[0].header is not None
        self.assertEqual(seen[0].header.value, "s3cret-token")

    def test_coroutine_over_deferreds(self) -> None:
        """An async verify may await a Deferred."""
        channel = chat()
        waits: Deferred[str] = Deferred()

        @channel.verify
        async def verify(request: VerifyRequest[Room]) -> Grant:
            return Grant(subject=await waits)

        answer = self.asked(channel)
        self.assertNoResult(answer)
        waits.callback("u2")
        self.assertEqual(self.successResultOf(answer).subject, "u2")

    def test_inline_callbacks(self) -> None:
        """A verify under inlineCallbacks runs in the reactor, not in a thread."""
        self.pool.held = True
        channel = chat()

        @channel.verify
        @inlineCallbacks
        def verify(request: VerifyRequest[Room]) -> Any:
            yield succeed(None)
            return True

        self.assertEqual(self.successResultOf(self.asked(channel)), Grant())

    def test_callable_object_and_partial(self) -> None:
        """An object with an async call, and a partial of a coroutine, are coroutines too."""
        self.pool.held = True

        class Door:
            async def __call__(self, request: Any) -> bool:
                return True

        async def door(opened: bool, request: Any) -> bool:
            return opened

        for verifier in (Door(), functools.partial(door, True)):
            channel = chat()
            channel.verify(verifier)
            self.assertEqual(self.successResultOf(self.asked(channel)), Grant())

    def test_plain_function_that_returns_a_coroutine(self) -> None:
        """A coroutine made in a thread is awaited in the reactor."""
        channel = chat()

        async def later() -> dict[str, int]:
            return {"subject": 7}

        channel.verify(lambda request: later())
        self.assertEqual(self.successResultOf(self.asked(channel)).subject, "7")

    def test_deferred_from_a_thread(self) -> None:
        """A Deferred made in a thread is refused, and the log says what to write."""
        channel = chat()
        channel.verify(lambda request: succeed(True))
        self.failureResultOf(self.asked(channel), AuthUnavailable)
        self.assertIn("async def", self.logged[0])

    def test_no(self) -> None:
        """False, None, ok: false and Reject all mean no."""

        def reject(request: Any) -> bool:
            raise Reject("not on the list")

        for verifier in (
            lambda request: False,
            lambda request: None,
            lambda request: {"ok": False, "subject": "u"},
            reject,
        ):
            channel = chat()
            channel.verify(verifier)
            failure = self.failureResultOf(self.asked(channel), VerifyRejected)
        self.assertEqual(failure.value.sentence, "not on the list")
        self.assertEqual(self.logged, [])

    def test_failure(self) -> None:
        """A raising verify is no answer; the log has the app's line and no credential."""
        channel = chat()

        @channel.verify
        def verify(request: VerifyRequest[Room]) -> bool:
            assert request.header is not None
            raise ValueError(f"bad token {request.header.value}")

        self.failureResultOf(self.asked(channel), AuthUnavailable)
        self.assertEqual(len(self.logged), 1)
        self.assertIn("verify of channel 'chat' failed", self.logged[0])
        self.assertIn("test_authorize_local.py", self.logged[0])
        self.assertIn("[credential]", self.logged[0])
        self.assertNotIn("s3cret", self.logged[0])
        self.assertNotIn("callable_runner", self.logged[0])

    def test_failure_of_a_coroutine(self) -> None:
        """A coroutine's traceback reaches the log as well."""
        channel = chat()

        @channel.verify
        async def verify(request: VerifyRequest[Room]) -> bool:
            await succeed(None)
            raise KeyError("nobody")

        self.failureResultOf(self.asked(channel), AuthUnavailable)
        self.assertIn('raise KeyError("nobody")', self.logged[0])

    def test_system_exit(self) -> None:
        """An app that exits in verify fails that one request only."""
        channel = chat()

        @channel.verify
        def verify(request: VerifyRequest[Room]) -> bool:
            raise SystemExit(3)

        self.failureResultOf(self.asked(channel), AuthUnavailable)

    def test_unusable_answers(self) -> None:
        """What is neither yes nor no is a failure that says what was expected."""
        for answer in (
            "yes",
            1,
            object(),
            Grant(subject=3.5),  # type: ignore[arg-type]
            Grant(subject="\ud800"),
            Grant(replay_window_ms="1"),  # type: ignore[arg-type]
        ):
            channel = chat()
            channel.verify(lambda request, answer=answer: answer)
            self.failureResultOf(self.asked(channel), AuthUnavailable)
        self.assertEqual(len(self.logged), 6)

    def test_unknown_channel(self) -> None:
        """A name that was not loaded is unknown, for both questions."""
        authorizer = self.authorizer()
        self.failureResultOf(authorizer.authorize(REQUEST), ChannelUnknown)
        self.failureResultOf(authorizer.dispatch(frame()), ChannelUnknown)

    def test_replace(self) -> None:
        """After a reload the new functions are asked."""
        authorizer = self.authorizer()
        authorizer.replace([chat()])
        self.assertEqual(self.successResultOf(authorizer.authorize(REQUEST)), Grant())


class TestDispatch(AuthorizeLocalCase):
    def handled(self, handler: Any, given: Frame | None = None) -> Any:
        channel = chat()
        channel.on("msg")(handler)
        return self.authorizer(channel).dispatch(given or frame())

    def test_fanout(self) -> None:
        """What a handler returns is fanned out; it gets typed data and its context."""
        seen: list[Any] = []

        def handler(data: Msg, context: Context[Room]) -> Msg:
            seen.append((data, context))
            return Msg(data.text.upper())

        verdict = self.successResultOf(self.handled(handler))
        self.assertEqual(verdict, Fanout(b'{"text":"HI"}'))
        self.assertEqual(
            seen,
            [(Msg("hi"), Context(channel="chat", type="msg", params=Room("a"), subject="u1"))],
        )

    def test_none_drops(self) -> None:
        """Returning nothing drops the frame, and that is no error."""
        self.assertEqual(self.successResultOf(self.handled(lambda data, context: None)), Drop())

    def test_reject(self) -> None:
        """Reject tells the sender why."""

        def handler(data: Msg, context: Context[Room]) -> Msg:
            raise Reject("too loud")

        self.assertEqual(self.successResultOf(self.handled(handler)), Rejected("too loud"))
        self.assertEqual(self.logged, [])

    def test_raising_drops_and_is_logged(self) -> None:
        """A failing handler drops the frame; the log has channel, type and traceback."""

        async def handler(data: Msg, context: Context[Room]) -> Msg:
            raise RuntimeError("database is down")

        verdict = self.successResultOf(self.handled(handler))
        assert isinstance(verdict, Drop) and verdict.error is not None
        self.assertIn("RuntimeError", verdict.error)
        self.assertIn("handler of 'msg' of channel 'chat' failed", self.logged[0])
        self.assertIn("database is down", self.logged[0])

    def test_payload_that_does_not_fit(self) -> None:
        """A frame whose payload fails its type is refused, naming the path."""
        failure = self.failureResultOf(
            self.handled(lambda data, context: data, frame(b'{"text":5}')), BodyInvalid
        )
        self.assertIn("data.text", failure.value.sentence)

    def test_returned_payload_that_does_not_fit(self) -> None:
        """A handler that returns what its own type refuses fails; the sender is not blamed."""
        verdict = self.successResultOf(self.handled(lambda data, context: {"text": 5}))
        self.assertIsInstance(verdict, Drop)
        self.assertIn("data.text", self.logged[0])

    def test_unhandled_type(self) -> None:
        """A type without a handler is dropped, or passed on where the channel says so."""
        quiet = define_channel("chat", params=Room)
        loud = define_channel("chat", params=Room, forward_unhandled=True)
        for channel, verdict in ((quiet, Drop()), (loud, Fanout(b"[1]"))):
            answer = self.authorizer(channel).dispatch(frame(b"[1]", "other"))
            self.assertEqual(self.successResultOf(answer), verdict)

    def test_overload(self) -> None:
        """A line that is full refuses instead of growing."""
        self.pool.held = True
        channel = chat()
        channel.on("msg")(lambda data, context: data)
        authorizer = self.authorizer(channel)
        authorizer.runner._threads._length = 1
        waiting = [authorizer.dispatch(frame()) for _ in range(3)]
        self.failureResultOf(authorizer.dispatch(frame()), Overloaded)
        while self.pool.work:
            self.pool.step()
        self.assertEqual(len([self.successResultOf(one) for one in waiting]), 3)


class TestLocalPublishing(SynchronousTestCase):
    def setUp(self) -> None:
        self.in_reactor = True
        self.stored: list[Any] = []
        self.answer: Deferred[None] = succeed(None)
        self.chat = define_channel(
            "chat", params={"type": "object", "properties": {"room": {}, "extra": {}}}
        )
        self.chat.bind(LocalPublishing(SteppedReactor(), self.store, lambda: self.in_reactor))

    def store(
        self, channel: str, params: Mapping[str, Any], drafts: Sequence[Draft], key: str | None
    ) -> Deferred[Sequence[Message]]:
        self.stored.append((channel, params, drafts, key))
        messages = [
            Message(Topic.of(channel, params), number, draft.type, draft.data)
            for number, draft in enumerate(drafts, 1)
        ]
        return self.answer.addCallback(lambda _: messages)

    def test_awaited_in_the_reactor(self) -> None:
        """A coroutine over Deferreds awaits the stored message."""
        self.answer = Deferred()
        waiting = Deferred.fromCoroutine(
            self.chat(room="a").publish("msg", {"n": 1}, idempotency_key="k")
        )
        self.assertNoResult(waiting)
        self.answer.callback(None)
        self.assertEqual(self.successResultOf(waiting), Published("1", "chat", "msg", {"n": 1}))
        self.assertEqual(self.stored, [("chat", {"room": "a"}, (Draft("msg", b'{"n":1}'),), "k")])

    def test_awaited_in_asyncio(self) -> None:
        """Under the asyncio reactor any asyncio code may await it, gather included."""

        async def main() -> list[Published]:
            bound = self.chat(room="a")
            return await asyncio.gather(bound.publish("a", 1), bound.publish("b", 2))

        self.assertEqual([one.type for one in asyncio.run(main())], ["a", "b"])

    def test_blocking_in_a_thread(self) -> None:
        """A plain function, which runs in a thread, blocks until it is stored."""
        self.in_reactor = False
        self.assertEqual(self.chat(room="a").publish_sync("msg", 1).id, "1")

    def test_failure(self) -> None:
        """A store that cannot be used is an error of the publish."""
        for failing in (True, False):
            self.in_reactor = failing
            self.answer = Deferred()
            self.answer.errback(StoreUnavailable())
            if failing:
                waiting = Deferred.fromCoroutine(self.chat(room="a").publish("msg", 1))
                self.failureResultOf(waiting, StoreUnavailable)
            else:
                self.assertRaises(StoreUnavailable, self.chat(room="a").publish_sync, "msg", 1)

    def test_wrong_thread(self) -> None:
        """Each form refuses the thread in which it would do harm, and names the other."""
        blocked = self.assertRaises(RuntimeError, self.chat(room="a").publish_sync, "msg", 1)
        self.assertIn("await publish()", str(blocked))
        self.in_reactor = False
        waiting = Deferred.fromCoroutine(self.chat(room="a").publish("msg", 1))
        self.assertIn("publish_sync()", str(self.failureResultOf(waiting, RuntimeError).value))
        self.assertEqual(self.stored, [])
