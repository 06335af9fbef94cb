"""Authorizer and publisher for channels of the app in this process.

Rules: the app's code may do anything, and each call still ends, in time, in a
grant, a verdict or one of the port's refusals; what went wrong is in the log
once, with the app's own traceback and without a credential.  The reactor's thread never blocks
and no other thread touches the log; the two forms of publishing each refuse the wrong thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import attrs
import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import blockingCallFromThread
from twisted.logger import Logger
from twisted.python.threadable import isInIOThread
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from takotwist.adapters.callable_runner import (
    DEADLINE,
    CallableRunner,
    Caller,
    DeadlinePassed,
    Raised,
)
from takotwist.app.calls import (
    A,
    Call,
    HandlerCall,
    VerifyCall,
    answered,
    handler_call,
    raised,
    verify_call,
)
from takotwist.app.channel import Channel
from takotwist.app.published import Published
from takotwist.app.stream_call import StreamCall, StreamLine, StreamReply
from takotwist.app.stream_line_twisted import ReactorTime
from takotwist.app.types import failure_text
from takotwist.core.authorization import AuthRequest, Frame, Grant, Verdict
from takotwist.core.counted import counted
from takotwist.core.json_values import JsonObject
from takotwist.core.topic import Draft, Message
from takotwist.errors import AuthUnavailable, ChannelUnknown
from takotwist.interfaces import IReactor
from takotwist.ports import IAuthorizer
from takotwist.trampoline import started, wants_asyncio

T = TypeVar("T")

#: Advice to an operator about code that needs asyncio.
REMEDY = "this reactor does not run it; start with `tako serve` or `twistd --reactor=asyncio tako`"


@implementer(IAuthorizer)
class LocalAuthorizer:
    """Authorizer that calls the functions of channels that were loaded here.

    :param channels: as discovered.
    :param reactor: `IReactorTime` and `IReactorFromThreads`.
    :param pool: a started thread pool for plain functions.
    :param deadline: seconds for one call.
    :param queue: calls that may wait for a slot.
    """

    log = Logger()

    def __init__(
        self,
        channels: Iterable[Channel[object]],
        reactor: IReactor,
        pool: ThreadPool,
        *,
        deadline: float = DEADLINE,
        queue: int = 10_000,
    ) -> None:
        #: Runs them; others on the same threads take their turns beside it.
        self.runner = CallableRunner(reactor, pool, deadline=deadline, queue=queue)
        self._deadline = deadline
        self.replace(channels)

    def replace(self, channels: Iterable[Channel[object]]) -> None:
        """Ask these from now on.  Calls in flight end as they began."""
        self._channels = {channel.name: channel for channel in channels}

    def authorize(self, request: AuthRequest) -> Deferred[Grant]:
        """Implement `IAuthorizer`.  :raises ParamsInvalid: the declared type refuses the params."""
        return started(self._authorize(request))

    def dispatch(self, frame: Frame) -> Deferred[Verdict]:
        """Implement `IAuthorizer`."""
        return started(self._dispatch(frame))

    async def _authorize(self, request: AuthRequest) -> Grant:
        call = verify_call(self._channel(request.channel), request)
        if not isinstance(call, VerifyCall):
            return call
        return await self._made(call, (request.channel, request.address))

    async def _dispatch(self, frame: Frame) -> Verdict:
        call = handler_call(self._channel(frame.channel), frame)
        if not isinstance(call, HandlerCall):
            return call
        return await self._made(call, (frame.channel, frame.address))

    def _channel(self, name: str) -> Channel[object]:
        try:
            return self._channels[name]
        except KeyError:
            raise ChannelUnknown(f"There is no channel named {name!r}.") from None

    async def _made(self, call: Call[A], caller: Caller) -> A:
        try:
            result = await self.runner.run(caller, call.function, *call.arguments)
        except DeadlinePassed:
            self.log.error(
                "{what} did not answer within {deadline}",
                what=call.what,
                deadline=counted(self._deadline, "second"),
            )
            raise AuthUnavailable("The app did not answer in time.") from None
        if not isinstance(result, Raised):
            return answered(call, result, self._log_failure)
        if wants_asyncio(result.error):
            self.log.error("{what} needs asyncio: {remedy}", what=call.what, remedy=REMEDY)
            raise AuthUnavailable
        return raised(call, result.error, self._log_failure)

    def _log_failure(self, call: Call[object], error: BaseException) -> None:
        # As text and not as a Failure, which carries the frames and, in them, the
        # credentials to every observer of the log.
        self.log.error(
            "{what} failed\n{trace}",
            what=call.what,
            trace=failure_text(error, call.secrets),
        )


# publishing

#: Validates and stores on one topic: channel, params, drafts, idempotency key.
Store = Callable[[str, JsonObject, Sequence[Draft], str | None], Deferred[Sequence[Message]]]


@attrs.frozen(slots=True)
class Rosters:
    """Members of a topic, by channel and params.

    :ivar members: what the roster says of each.
    :ivar kick: takes a subject out; the number of its connections.
    """

    members: Callable[[str, JsonObject], Deferred[Sequence[bytes]]]
    kick: Callable[[str, JsonObject, str], Deferred[int]]


class Streams(Protocol):
    """Writers of streamed messages, by channel and params."""

    def ask(self, channel: str, params: JsonObject, call: StreamCall) -> Deferred[StreamReply]:
        """Answer a writer's call."""

    def watch(
        self, channel: str, params: JsonObject, id: str, ended: Callable[[str, str], object]
    ) -> Callable[[], None]:
        """Have `ended` called with how and why, when an end is stored here."""


@attrs.frozen(slots=True)
class _LocalLine(ReactorTime):
    """A writer's way, in the reactor's thread; see `StreamLine`."""

    _streams: Streams
    _channel: str
    _params: JsonObject

    def ask(self, call: StreamCall, told: Callable[[StreamReply | BaseException], None]) -> None:
        asked = self._streams.ask(self._channel, self._params, call)
        asked.addCallbacks(told, lambda failure: told(failure.value))

    def waiting(self) -> tuple[Awaitable[None], Callable[[], None]]:
        waiting: Deferred[None] = Deferred()
        return _awaitable(waiting), lambda: None if waiting.called else waiting.callback(None)

    def watch(self, id: str, ended: Callable[[str, str], object]) -> Callable[[], None]:
        return self._streams.watch(self._channel, self._params, id, ended)


@attrs.frozen(slots=True)
class LocalPublishing:
    """Publisher of the app's code in this process, straight to the log; see `Channel.bind`.

    :param reactor: `IReactorFromThreads`.
    :param store: the server's own publish.
    :param in_reactor: true in the reactor's thread.
    """

    _reactor: IReactor
    _store: Store
    _in_reactor: Callable[[], bool] = isInIOThread
    _rosters: Rosters | None = attrs.field(default=None, kw_only=True)
    _streams: Streams | None = attrs.field(default=None, kw_only=True)

    def publish_soon(
        self,
        channel: str,
        params: Mapping[str, object],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> Awaitable[list[Published]]:
        """Implement `Publishing`.

        :return: an asyncio future inside an asyncio task, a Deferred elsewhere: a coroutine
            that Twisted drives cannot wait for a future, also under the asyncio reactor.
        """
        if not self._in_reactor():
            raise RuntimeError(
                "publish() is for coroutines; in a plain function use publish_sync()"
            )
        return _awaitable(self._stored(channel, params, drafts, idempotency_key))

    def members_soon(self, channel: str, params: JsonObject) -> Awaitable[Sequence[bytes]]:
        """Implement `Publishing`."""
        return _awaitable(self._known("presence").members(channel, params))

    def kick_soon(self, channel: str, params: JsonObject, subject: str) -> Awaitable[int]:
        """Implement `Publishing`."""
        return _awaitable(self._known("kick").kick(channel, params, subject))

    def stream_line(self, channel: str, params: JsonObject) -> StreamLine:
        """Implement `Publishing`."""
        if not self._in_reactor() or self._streams is None:
            raise RuntimeError(
                "stream() is for coroutines in the server's process; in a plain function use"
                " stream_sync()"
            )
        return _LocalLine(self._reactor, self._streams, channel, params)

    def stream_now(self, channel: str, params: JsonObject, call: StreamCall) -> StreamReply:
        """Implement `Publishing`."""
        if self._in_reactor() or self._streams is None:
            raise RuntimeError(
                "stream_sync() would block the server; in a coroutine use `async with stream()`"
            )
        ask: Callable[..., object] = self._streams.ask
        reply = blockingCallFromThread(self._reactor, ask, channel, params, call)
        assert isinstance(reply, StreamReply)
        return reply

    def _known(self, what: str) -> Rosters:
        if not self._in_reactor() or self._rosters is None:
            raise RuntimeError(f"{what}() is for coroutines in the server's process")
        return self._rosters

    def publish_now(
        self,
        channel: str,
        params: Mapping[str, object],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> list[Published]:
        """Implement `Publishing`."""
        if self._in_reactor():
            raise RuntimeError(
                "publish_sync() would block the server; in a coroutine use `await publish()`"
            )
        published: list[Published] = blockingCallFromThread(
            self._reactor, self._stored, channel, params, drafts, idempotency_key
        )
        return published

    def _stored(
        self,
        channel: str,
        params: Mapping[str, object],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> Deferred[list[Published]]:
        return maybeDeferred(self._store, channel, params, drafts, idempotency_key).addCallback(
            lambda messages: [
                Published(
                    str(message.id),
                    message.topic.channel,
                    message.type,
                    msgspec.json.decode(message.data),
                )
                for message in messages
            ]
        )


def _awaitable(doing: Deferred[T]) -> Awaitable[T]:
    """An awaitable for the caller's kind of coroutine; see `LocalPublishing.publish_soon`."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return doing
    return doing if task is None else doing.asFuture(task.get_loop())
