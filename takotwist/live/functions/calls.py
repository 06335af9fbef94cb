"""One call of a function: verify, arguments, the function, its result.

Rule: the caller gets a result, the value of an `Abort`, or one generic
sentence; what went wrong in the function is in the log and nowhere else.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from typing import TypeVar

import attrs
import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.app.types import failure_text
from takotwist.core.json_values import Json
from takotwist.errors import BodyInvalid, InternalError, NotFound, Refusal
from takotwist.live.errors import Abort, NetworkError, PageLeft
from takotwist.live.functions.call_context import CallContext, RunningCall, run_in, wait_in
from takotwist.live.functions.function import Function
from takotwist.live.functions.results import WrongResult, answer_json, take_apart
from takotwist.live.functions.verifier import Run, Verifier
from takotwist.live.publish_permission import PublishPermission
from takotwist.live.services import LiveServices
from takotwist.live.sessions import LiveSessions
from takotwist.live.values import Mark, encode
from takotwist.trampoline import started


@attrs.frozen(slots=True)
class Caller:
    """The caller, as their request says.

    :ivar secret: of the page's live session, where it has one.
    :ivar headers: by lower-case name.
    """

    address: str
    secret: str | None = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    cookie: Callable[[str], str | None] = attrs.field(repr=False)


class _Body(msgspec.Struct):
    args: list[msgspec.Raw] = []
    named: dict[str, msgspec.Raw] = {}
    values: list[Mark] = []


T = TypeVar("T")

_FAILED = "The function failed; the server's log has the reason."

_BODY = msgspec.json.Decoder(_Body)


@attrs.define(slots=True, eq=False)
class Calls:
    """Answers calls.

    :ivar cost: counts a call against its subject's rate.
    :ivar verifier: asks the app who calls.
    :ivar new_id: a fresh name for a call.
    """

    services: LiveServices
    sessions: LiveSessions
    run: Run
    verifier: Verifier
    new_id: Callable[[], str]
    cost: Callable[[str], None] = lambda subject: None
    _functions: Mapping[str, Function[..., object]] = attrs.field(factory=dict, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def replace(self, functions: Mapping[str, Function[..., object]]) -> None:
        """From now on serve these.  Calls under way end as they began."""
        self._functions = functions
        self.sessions.tally.keep(functions)

    async def call(self, name: str, body: bytes, caller: Caller) -> tuple[int, bytes]:
        """Call a function.

        :return: HTTP status and body.
        :raises Refusal: it cannot be called like this, or failed.
        """
        function = self._functions.get(name)
        if function is None:
            raise NotFound(f"There is no function {name!r}.")
        outcome = "refused"
        running = RunningCall(
            self.services,
            CallContext(name, self.new_id(), None, caller.address, caller.headers, caller.cookie),
        )
        try:
            args, named = self._arguments(function, body)
            asked = started(self._subject(function, caller, running))
            subject = await _until_left(asked, running, finishes=False)
            running.context = attrs.evolve(running.context, subject=subject)
            outcome = "failed"
            work = started(self._run(function, running, args, named, caller.secret))
            # A thread cannot be cancelled.
            finishes = function.finish or not inspect.iscoroutinefunction(function.wrapped)
            answer: bytes = await _until_left(work, running, finishes=finishes)
            outcome = "ok"
            return 200, answer
        except Abort as error:
            try:
                answer = _abort_json(error)
            except (TypeError, ValueError) as unusable:
                self._log_failure(running.context, unusable)
                raise InternalError(_FAILED) from None
            outcome = "aborted"
            return 422, answer
        except CancelledError:
            outcome = "left"
            raise
        except InternalError:
            raise
        except Refusal:
            outcome = "refused"
            raise
        finally:
            self.sessions.tally.calls[name, outcome] += 1

    async def _run(
        self,
        function: Function[..., object],
        running: RunningCall,
        args: list[object],
        named: dict[str, Json],
        secret: str | None,
    ) -> bytes:
        """The answer.  :raises Abort: :raises Refusal: and then nothing is left of the call."""
        try:
            call = _bound(function, running, args, named)
            result = await self.run(function.name, running.context.address, call)
            if running.left:
                raise PageLeft
            encoded, found = take_apart(result, function.returned)
            if found:
                subject = running.context.subject
                session = self.sessions.take(secret, subject, function.verification)
                permission = self._permission(function, running.context)
                with session.held():
                    for place in found:
                        session.admit(place.one, permission)
            self._begin_unreturned(running)
            return answer_json(encoded, found)
        except BaseException as error:
            for one in running.created:
                one.lose(PageLeft() if running.left else NetworkError("The call failed."))
            if isinstance(error, Abort | Refusal) or not isinstance(error, Exception):
                raise
            if running.left and isinstance(error, CancelledError | PageLeft):
                raise
            self._log_failure(running.context, error)
            raise InternalError(_FAILED) from None

    def _log_failure(self, context: CallContext, error: Exception) -> None:
        if isinstance(error, WrongResult):
            self._log.error(
                "function {name} returned what its annotation forbids: {misfit}, call {call}",
                name=context.function,
                misfit=str(error),
                call=context.request_id,
            )
        else:
            self._log.error(
                "function {name} failed, call {call}\n{trace}",
                name=context.function,
                call=context.request_id,
                trace=failure_text(error, ()),
            )

    def _permission(
        self, function: Function[..., object], context: CallContext
    ) -> PublishPermission | None:
        """The permission to publish on the call's objects, asked with the call's credentials."""
        verification = function.verification
        if verification is None:
            return None
        # Only what is presented is kept, and not all of the request.
        header = context.header(verification.header) if verification.header else None
        cookie = context.cookie(verification.cookie) if verification.cookie else None

        def ask() -> Awaitable[str | None]:
            return self.verifier.subject_of(
                verification,
                lambda name: header,
                lambda name: cookie,
                context.address,
                lambda: False,
                "publish",
            )

        return PublishPermission(function.name, context.subject, ask, self.services.seconds)

    async def _subject(
        self, function: Function[..., object], caller: Caller, running: RunningCall
    ) -> str | None:
        if function.verification is None:
            return None
        subject = await self.verifier.subject_of(
            function.verification,
            caller.headers.get,
            caller.cookie,
            caller.address,
            lambda: running.left,
        )
        if subject is not None:
            self.cost(subject)
        return subject

    @staticmethod
    def _arguments(
        function: Function[..., object], body: bytes
    ) -> tuple[list[object], dict[str, Json]]:
        try:
            said = _BODY.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
            raise BodyInvalid(f"The body is not a call: {bad}.") from None
        named = {name: bytes(data) for name, data in said.named.items()}
        return function.bind([bytes(data) for data in said.args], named, said.values)

    def _begin_unreturned(self, running: RunningCall) -> None:
        """Start the attach timeout of objects that were made and not returned."""
        for one in running.created:
            if not one.id:
                one.wait_unreturned(self.services)


def _bound(
    function: Function[..., object],
    running: RunningCall,
    args: list[object],
    named: dict[str, Json],
) -> Callable[[], object]:
    wrapped = function.wrapped
    if inspect.iscoroutinefunction(wrapped):

        async def wait() -> object:
            return await wait_in(running, lambda: wrapped(*args, **named))

        return wait
    # A thread has no context of its own: it gets a copy of this one.
    return lambda: copy_context().run(run_in, running, lambda: wrapped(*args, **named))


def _until_left(work: Deferred[T], running: RunningCall, *, finishes: bool) -> Deferred[T]:
    """The answer of a call; cancelling it says that the caller has left."""

    def left(_: Deferred[object]) -> None:
        running.left = True
        if not finishes:
            work.cancel()

    answer: Deferred[T] = Deferred(left)

    def done(result: T | Failure) -> None:
        # Whoever has left hears nothing; what went wrong in the function is in the log.
        if not running.left:
            answer.callback(result)

    work.addBoth(done)
    return answer


def _abort_json(error: Abort) -> bytes:
    said = encode(error.value, "value")
    body = {"error": str(error), "code": "aborted", "value": msgspec.Raw(said.data)}
    return msgspec.json.encode(body | ({"values": msgspec.Raw(said.values)} if said.values else {}))
