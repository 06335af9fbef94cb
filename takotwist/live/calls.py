"""One call of a function: verify, arguments, the function, its result.

Rule: the caller gets a result, the value of an `Abort`, or one generic
sentence; what went wrong in the function is in the log and nowhere else.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from typing import Any

import attrs
import msgspec
from twisted.logger import Logger

from takotwist.app.calls import Reject, UnusableAnswer, grant_of
from takotwist.app.failure_text import failure_text
from takotwist.app.given import VerifyRequest
from takotwist.core.authorization import HeaderCredential
from takotwist.errors import (
    AuthUnavailable,
    BodyInvalid,
    CredentialsMissing,
    InternalError,
    NotFound,
    Refusal,
    VerifyRejected,
)
from takotwist.live.call_context import CallContext, Running, run_in, wait_in
from takotwist.live.errors import Abort, NetworkError
from takotwist.live.function import Function, Verification
from takotwist.live.home import Home
from takotwist.live.result import answer_json, take_apart
from takotwist.live.sessions import LiveSessions

#: Runs a function of the app with its bounds; fails with what it raised.
Run = Callable[[Callable[[], Any]], Awaitable[Any]]


@attrs.frozen(slots=True)
class Caller:
    """Who calls, as their request says.

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


_BODY = msgspec.json.Decoder(_Body)


@attrs.define(slots=True, eq=False)
class Calls:
    """Answers calls.

    :ivar functions: by name; replaced as a whole on a reload.
    :ivar new_id: a fresh name for a call.
    """

    home: Home
    sessions: LiveSessions
    run: Run
    new_id: Callable[[], str]
    functions: Mapping[str, Function[..., Any]] = attrs.field(factory=dict)
    _log: Logger = attrs.field(factory=Logger, init=False)

    async def call(self, name: str, body: bytes, caller: Caller) -> tuple[int, bytes]:
        """Call a function.

        :return: HTTP status and body.
        :raises Refusal: it cannot be called like this, or failed.
        """
        function = self.functions.get(name)
        if function is None:
            raise NotFound(f"There is no function {name!r}.")
        args, named = self._arguments(function, body)
        subject = await self._subject(function, caller)
        running = Running(
            self.home,
            CallContext(
                name, self.new_id(), subject, caller.address, caller.headers, caller.cookie
            ),
        )
        try:
            result = await self.run(_bound(function, running, args, named))
            encoded, found = take_apart(result)
            if found:
                session = self.sessions.take(caller.secret, subject, function.verification)
                with session.held():
                    for place in found:
                        session.admit(place.one)
            self._begin_unreturned(running)
        except BaseException as error:
            for one in running.created:
                one.lose(NetworkError("The call failed."))
            if isinstance(error, Abort):
                return 422, _abort_json(error)
            if isinstance(error, Refusal) or not isinstance(error, Exception):
                raise
            self._log.error(
                "function {name} failed, call {call}\n{trace}",
                name=name,
                call=running.context.request_id,
                trace=failure_text(error, ()),
            )
            raise InternalError("The function failed; the server's log has the reason.") from None
        return 200, answer_json(encoded, found)

    async def subject_of(
        self,
        verification: Verification,
        header: Callable[[str], str | None],
        cookie: Callable[[str], str | None],
        name: str,
    ) -> str | None:
        """Ask the app who this is.

        :param name: what it is asked for: a function's name, or nothing at an attach.
        :raises CredentialsMissing: :raises VerifyRejected: :raises AuthUnavailable: as they say.
        """
        said = header(verification.header) if verification.header else None
        baked = cookie(verification.cookie) if verification.cookie else None
        if said is None and baked is None and (verification.header or verification.cookie):
            raise CredentialsMissing("This function needs credentials.")
        asked: VerifyRequest[Any] = VerifyRequest(
            channel=name,
            operation="call",
            params={},
            header=None if said is None else HeaderCredential.split(said),
            cookie=baked,
        )
        verify = verification.verify
        try:
            waits = inspect.iscoroutinefunction(verify)
            answer = await self.run(_waiting(verify, asked) if waits else lambda: verify(asked))
            return grant_of(answer).subject
        except Reject as rejected:
            raise VerifyRejected(rejected.reason) from None
        except Refusal:
            raise
        except UnusableAnswer as unusable:
            self._log.error("verify of a function: {reason}", reason=str(unusable))
        except Exception as error:
            secrets = tuple(one for one in (said, baked) if one)
            self._log.error(
                "verify of a function failed\n{trace}", trace=failure_text(error, secrets)
            )
        raise AuthUnavailable("The app failed while authorizing.")

    async def _subject(self, function: Function[..., Any], caller: Caller) -> str | None:
        if function.verification is None:
            return None
        return await self.subject_of(
            function.verification, caller.headers.get, caller.cookie, function.name
        )

    @staticmethod
    def _arguments(function: Function[..., Any], body: bytes) -> tuple[list[Any], dict[str, Any]]:
        try:
            said = _BODY.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
            raise BodyInvalid(f"The body is not a call: {bad}.") from None
        named = {name: bytes(data) for name, data in said.named.items()}
        return function.bind([bytes(data) for data in said.args], named)

    def _begin_unreturned(self, running: Running) -> None:
        """What was made and not returned waits no longer than what was."""
        for one in running.created:
            if not one.id:
                one.wait_unreturned(self.home)


def _bound(
    function: Function[..., Any], running: Running, args: list[Any], named: dict[str, Any]
) -> Callable[[], Any]:
    wrapped = function.wrapped
    if inspect.iscoroutinefunction(wrapped):

        async def wait() -> Any:
            return await wait_in(running, lambda: wrapped(*args, **named))

        return wait
    # A thread has no context of its own: it gets a copy of this one.
    return lambda: copy_context().run(run_in, running, lambda: wrapped(*args, **named))


def _waiting(verify: Callable[..., Any], asked: Any) -> Callable[[], Any]:
    async def wait() -> Any:
        return await verify(asked)

    return wait


def _abort_json(error: Abort) -> bytes:
    try:
        value = msgspec.json.encode(error.value)
    except TypeError:
        value = b"null"
    return msgspec.json.encode(
        {"error": str(error), "code": "aborted", "value": msgspec.Raw(value)}
    )
