"""What every `IAuthorizer` promises, whatever carries the question to the app.

A subclass mixes this with a test case and says how channels become an
authorizer, and how its threads and connections are pumped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from takotwist import (
    Channel,
    Context,
    Grant,
    Reject,
    State,
    StateRequest,
    VerifyRequest,
    define_channel,
)
from takotwist.core.authorization import AuthRequest, Drop, Fanout, Frame, HeaderCredential
from takotwist.core.authorization import Reject as Rejected
from takotwist.errors import (
    AuthUnavailable,
    BodyInvalid,
    ChannelUnknown,
    ParamsInvalid,
    VerifyRejected,
)
from takotwist.ports import IAuthorizer


class Room(msgspec.Struct, rename="camel"):
    room_id: str
    count: int = 10


class Even(msgspec.Struct):
    n: int

    def __post_init__(self) -> None:
        if self.n % 2:
            raise ValueError("n is odd")


class Msg(msgspec.Struct):
    text: Annotated[str, msgspec.Meta(max_length=20)]


def _reject(reason: str) -> None:
    raise Reject(reason)


if TYPE_CHECKING:
    Case = SynchronousTestCase
else:
    Case = object


class AuthorizerContract(Case):
    """The suite."""

    def authorizer(self, channels: Sequence[Channel[Any]]) -> Any:
        """An authorizer that asks these channels."""
        raise NotImplementedError

    def settle(self, answer: Deferred[Any]) -> Deferred[Any]:
        """Pump until `answer` is there."""
        return answer

    def chat(self) -> Channel[Room]:
        return define_channel("chat", params=Room, messages={"msg": Msg})

    def authorize(self, channel: Channel[Any], /, **request: Any) -> Deferred[Grant]:
        given: dict[str, Any] = {
            "channel": "chat",
            "operation": "subscribe",
            "params": {"roomId": "a", "count": 10},
            **request,
        }
        return self.settle(self.authorizer([channel]).authorize(AuthRequest(**given)))

    def dispatch(self, channel: Channel[Any], data: bytes, type: str = "msg") -> Deferred[Any]:
        frame = Frame("chat", {"roomId": "a", "count": 10}, type, data, "u1")
        return self.settle(self.authorizer([channel]).dispatch(frame))

    def test_interface(self) -> None:
        """It provides the port."""
        verifyObject(IAuthorizer, self.authorizer([]))

    def test_question_arrives_whole(self) -> None:
        """The app sees channel, operation, typed params, header and cookie as they were."""
        seen: list[VerifyRequest[Room]] = []
        channel = self.chat()

        @channel.verify
        def verify(request: VerifyRequest[Room]) -> bool:
            seen.append(request)
            return True

        credentials = (
            (HeaderCredential("abc", "Bearer"), "sid=é"),
            (HeaderCredential("plain"), None),
            (None, ""),
            (None, None),
        )
        for operation in ("subscribe", "connect", "publish", "history"):
            for header, cookie in credentials:
                seen.clear()
                asked = self.authorize(channel, operation=operation, header=header, cookie=cookie)
                self.assertEqual(self.successResultOf(asked), Grant())
                self.assertEqual(
                    seen,
                    [
                        VerifyRequest(
                            channel="chat",
                            operation=operation,
                            params=Room("a", 10),
                            header=header,
                            cookie=cookie,
                        )
                    ],
                )

    def test_grant_arrives_whole(self) -> None:
        """Subject, expiry and lifecycle of the app's grant reach the server."""
        grant = Grant(
            subject="ünal",
            expires_at=1_763_700_000.5,
            replay_window_ms=1,
            inactivity_ttl_ms=2,
            keepalive_interval_ms=3000,
            max_connection_lifetime_ms=4,
        )
        channel = self.chat()
        channel.verify(lambda request: grant)
        self.assertEqual(self.successResultOf(self.authorize(channel)), grant)

    def test_state(self) -> None:
        """The app is asked for the state of a topic as of a cursor, and says itself as of when it
        is where it knows better."""
        seen: list[StateRequest[Room]] = []
        channel = self.chat()

        @channel.state(of=Msg)
        def state(request: StateRequest[Room]) -> Msg | State:
            seen.append(request)
            return State(Msg("x"), "5") if len(seen) > 1 else Msg("x")

        for answer in (b'{"data":{"text":"x"}}', b'{"data":{"text":"x"},"cursor":"5"}'):
            asked = self.dispatch(channel, b'{"cursor":"7"}', "tako.state")
            self.assertEqual(self.successResultOf(asked), Fanout(answer))
        expected = StateRequest(channel="chat", params=Room("a", 10), cursor="7")
        self.assertEqual(seen, [expected, expected])

    def test_no_state(self) -> None:
        """A function that fails or gives what is none, and a channel without one, are told apart
        from an app that says why there is none."""
        for given, kind in [
            (lambda request: Msg("x" * 21), Drop),
            (lambda request: {"text": 5}, Drop),
            (lambda request: 1 / 0, Drop),
            (lambda request: _reject("none here"), Rejected),
        ]:
            channel = self.chat()
            channel.state(given, of=Msg)
            asked = self.dispatch(channel, b'{"cursor":"7"}', "tako.state")
            self.assertIsInstance(self.successResultOf(asked), kind)
        asked = self.dispatch(self.chat(), b'{"cursor":"7"}', "tako.state")
        self.assertIsInstance(self.successResultOf(asked), Drop)

    def test_impossible_expiry(self) -> None:
        """An end that is no time in unix seconds is no answer; milliseconds are none."""
        for end in (1e308, float("nan"), float("inf"), -1, "1763700000", True, 1_763_700_000_000):
            channel = self.chat()
            channel.verify(lambda request, end=end: {"expiresAt": end})
            self.failureResultOf(self.authorize(channel), AuthUnavailable)

    def test_mapping_as_answer(self) -> None:
        """A mapping in the words of the protocol is an answer as well."""
        channel = self.chat()
        channel.verify(lambda request: {"subject": 7, "replayWindowMs": 5})
        expected = Grant(subject="7", replay_window_ms=5)
        self.assertEqual(self.successResultOf(self.authorize(channel)), expected)

    def test_no(self) -> None:
        """A no is a no."""
        for answer in (False, None, {"ok": False}):
            channel = self.chat()
            channel.verify(lambda request, answer=answer: answer)
            self.failureResultOf(self.authorize(channel), VerifyRejected)

    def test_reject_in_verify(self) -> None:
        """Raising Reject is a no."""
        channel = self.chat()

        @channel.verify
        def verify(request: VerifyRequest[Room]) -> bool:
            raise Reject("not you")

        self.failureResultOf(self.authorize(channel), VerifyRejected)

    def test_coroutine(self) -> None:
        """Coroutines are awaited."""
        channel = self.chat()

        @channel.verify
        async def verify(request: VerifyRequest[Room]) -> Grant:
            return Grant(subject=request.params.room_id)

        self.assertEqual(self.successResultOf(self.authorize(channel)).subject, "a")

    def test_failing_verify(self) -> None:
        """A verify that fails is no answer, neither yes nor no."""
        for verifier in (lambda request: 1 / 0, lambda request: "perhaps"):
            channel = self.chat()
            channel.verify(verifier)
            self.failureResultOf(self.authorize(channel), AuthUnavailable)

    def test_public(self) -> None:
        """A channel without verify lets everybody in."""
        self.assertEqual(self.successResultOf(self.authorize(self.chat())), Grant())

    def test_unknown(self) -> None:
        """A channel that the app does not define is unknown."""
        self.failureResultOf(self.authorize(self.chat(), channel="other"), ChannelUnknown)
        other = define_channel("other")
        self.failureResultOf(self.dispatch(other, b"1"), ChannelUnknown)

    def test_params_that_only_the_type_refuses(self) -> None:
        """A check of the declared type itself names the param's fault."""
        channel = define_channel("chat", params=Even)
        channel.verify(lambda request: True)
        refused = self.failureResultOf(self.authorize(channel, params={"n": 1}), ParamsInvalid)
        self.assertIn("n is odd", refused.value.sentence)

    def test_fanout(self) -> None:
        """What the handler returns comes back as JSON; it saw data and context typed."""
        seen: list[Any] = []
        channel = self.chat()

        @channel.on("msg")
        def handle(data: Msg, context: Context[Room]) -> Msg:
            seen.append((data, context))
            return Msg(f"<{data.text}>")

        verdict = self.successResultOf(self.dispatch(channel, '{"text":"hé\\n"}'.encode()))
        self.assertEqual(verdict, Fanout('{"text":"<hé\\n>"}'.encode()))
        context = Context(channel="chat", type="msg", params=Room("a", 10), subject="u1")
        self.assertEqual(seen, [(Msg("hé\n"), context)])

    def test_every_json_value_passes(self) -> None:
        """Any JSON value goes through unchanged, except null, which drops."""
        channel = define_channel("chat", params=Room)
        channel.on("msg")(lambda data, context: data)
        for data in (b"0", b"false", b'""', b"[]", b"{}", b'[null,{"a":1.5}]', b'"\xe2\x80\xa8"'):
            self.assertEqual(self.successResultOf(self.dispatch(channel, data)), Fanout(data))
        self.assertEqual(self.successResultOf(self.dispatch(channel, b"null")), Drop())

    def test_reject(self) -> None:
        """The sender's reason comes back."""
        channel = self.chat()

        @channel.on("msg")
        async def handle(data: Msg, context: Context[Room]) -> Msg:
            raise Reject("too loud")

        verdict = self.successResultOf(self.dispatch(channel, b'{"text":"hi"}'))
        self.assertEqual(verdict, Rejected("too loud"))

    def test_failing_handler(self) -> None:
        """A handler that raises drops the frame, and the server knows that it failed."""
        channel = self.chat()
        channel.on("msg")(lambda data, context: 1 / 0)
        verdict = self.successResultOf(self.dispatch(channel, b'{"text":"hi"}'))
        assert isinstance(verdict, Drop)
        self.assertIn("ZeroDivisionError", str(verdict.error))

    def test_payload_that_does_not_fit(self) -> None:
        """A payload that does not fit is the sender's error, with its path."""
        channel = self.chat()
        channel.on("msg")(lambda data, context: data)
        for data in (b'{"text":5}', b'{"text":"%s"}' % (b"x" * 21), b"{}"):
            refused = self.failureResultOf(self.dispatch(channel, data), BodyInvalid)
            self.assertIn("data", refused.value.sentence)

    def test_type_without_handler(self) -> None:
        """Is dropped, or passed on where the channel says so."""
        channel = self.chat()
        self.assertEqual(self.successResultOf(self.dispatch(channel, b"{}", "other")), Drop())
        loud = define_channel("chat", params=Room, forward_unhandled=True)
        self.assertEqual(self.successResultOf(self.dispatch(loud, b"{}", "x")), Fanout(b"{}"))
