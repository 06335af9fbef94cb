"""Asks the app where it is in this process.

Rule: the app's code may do anything, and each call still ends, in time, in a
grant, a verdict or one of the port's refusals; what went wrong is in the log
once, with the app's own traceback and without a credential.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from takotwist.adapters.callable_runner import (
    DEADLINE,
    CallableRunner,
    DeadlinePassed,
    Raised,
    Turn,
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
from takotwist.app.failure_text import failure_text
from takotwist.core.authorization import AuthRequest, Frame, Grant, Verdict
from takotwist.errors import AuthUnavailable, ChannelUnknown
from takotwist.ports import IAuthorizer
from takotwist.trampoline import started, wants_asyncio

#: What an operator does about code that needs asyncio.
REMEDY = "this reactor does not run it; start with `tako serve` or `twistd --reactor=asyncio tako`"


@implementer(IAuthorizer)
class LocalAuthorizer:
    """Calls the functions of channels that were loaded here.

    :param channels: as discovered.
    :param reactor: `IReactorTime` and `IReactorFromThreads`.
    :param pool: a started thread pool for plain functions.
    :param deadline: seconds for one call.
    :param queue: calls that may wait for their turn.
    """

    log = Logger()

    def __init__(
        self,
        channels: Iterable[Channel[Any]],
        reactor: Any,
        pool: ThreadPool,
        *,
        deadline: float = DEADLINE,
        queue: int = 10_000,
    ) -> None:
        #: Runs them; others on the same threads take their turns beside it.
        self.runner = CallableRunner(reactor, pool, deadline=deadline, queue=queue)
        self._deadline = deadline
        self.replace(channels)

    def replace(self, channels: Iterable[Channel[Any]]) -> None:
        """From now on ask these.  Calls under way end as they began."""
        self._channels = {channel.name: channel for channel in channels}

    def authorize(self, request: AuthRequest) -> Deferred[Grant]:
        """See `IAuthorizer`.  :raises ParamsInvalid: the declared type refuses the params."""
        return started(self._authorize(request))

    def dispatch(self, frame: Frame) -> Deferred[Verdict]:
        """See `IAuthorizer`."""
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

    def _channel(self, name: str) -> Channel[Any]:
        try:
            return self._channels[name]
        except KeyError:
            raise ChannelUnknown(f"There is no channel named {name!r}.") from None

    async def _made(self, call: Call[A], turn: Turn) -> A:
        try:
            result = await self.runner.run(turn, call.function, *call.arguments)
        except DeadlinePassed:
            self.log.error(
                "{what} did not answer within {deadline} seconds",
                what=call.what,
                deadline=self._deadline,
            )
            raise AuthUnavailable("The app did not answer in time.") from None
        if not isinstance(result, Raised):
            return answered(call, result, self._log_failure)
        if wants_asyncio(result.error):
            self.log.error("{what} needs asyncio: {remedy}", what=call.what, remedy=REMEDY)
            raise AuthUnavailable
        return raised(call, result.error, self._log_failure)

    def _log_failure(self, call: Call[Any], error: BaseException) -> None:
        # As text and not as a Failure, which carries the frames and, in them, the
        # credentials to every observer of the log.
        self.log.error(
            "{what} failed\n{trace}",
            what=call.what,
            trace=failure_text(error, call.secrets),
        )
