"""One call of the app's own code: what goes in, and what its answer means.

In process and behind HTTP the same two calls are made; who makes them chooses
thread, event loop and deadline.  Rule: nothing is run in here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal, NoReturn, Protocol, TypeVar
from uuid import UUID

import attrs
import msgspec

from takotwist.app.channel import Channel
from takotwist.app.state import StateRequest
from takotwist.app.types import Context, VerifyRequest, to_builtins
from takotwist.codecs.plain_json import ENCODING_ERRORS, failed_in, is_text
from takotwist.core.authorization import (
    STATE,
    AuthRequest,
    Drop,
    Fanout,
    Frame,
    Grant,
    Verdict,
    check_expiry,
)
from takotwist.core.authorization import Reject as Rejected
from takotwist.core.channel import Lifecycle
from takotwist.core.roster_messages import JOIN, LEAVE
from takotwist.errors import AuthUnavailable, BodyInvalid, TakoError, VerifyRejected

A = TypeVar("A", covariant=True)

#: Names in the answer of protocol, section 9 -> fields of a `Grant`.
GRANT_FIELDS = {
    "subject": "subject",
    "info": "info",
    "expiresAt": "expires_at",
    "replayWindowMs": "replay_window_ms",
    "inactivityTtlMs": "inactivity_ttl_ms",
    "keepaliveIntervalMs": "keepalive_interval_ms",
    "maxConnectionLifetimeMs": "max_connection_lifetime_ms",
}


class Reject(TakoError):
    """Raise it in a handler to refuse a frame and tell its sender why; in `verify`, to say no.

    :param reason: one sentence.  It goes to the client.
    """

    def __init__(self, reason: str) -> None:
        self.reason = str(reason)
        super().__init__(self.reason)


class UnusableAnswer(Exception):
    """The app's function returned something that means nothing here."""


class Call(Protocol[A]):
    """One call under way.

    :ivar what: which function of which channel, for a log.
    :ivar secrets: texts that must not get into a log with the app's own error.
    """

    @property
    def what(self) -> str: ...
    @property
    def function(self) -> Callable[..., object]: ...
    @property
    def arguments(self) -> tuple[object, ...]: ...
    @property
    def secrets(self) -> tuple[str, ...]: ...

    def returned(self, result: object) -> A:
        """Outcome of a returned value.  :raises UnusableAnswer: nothing."""

    def refused(self, reason: str) -> A:
        """Outcome of a `Reject`."""

    def failed(self, error: BaseException) -> A:
        """Outcome of any other exception; it has been logged."""


@attrs.frozen(slots=True)
class VerifyCall:
    """A channel's `verify` with its request."""

    what: str
    function: Callable[..., object]
    arguments: tuple[object, ...]
    secrets: tuple[str, ...] = attrs.field(repr=False)

    def returned(self, result: object) -> Grant:
        """:raises VerifyRejected: the answer is no."""
        return grant_of(result)

    def refused(self, reason: str) -> NoReturn:
        """:raises VerifyRejected: always."""
        raise VerifyRejected(reason)

    def failed(self, error: BaseException) -> NoReturn:
        """:raises AuthUnavailable: always, because a failure is no answer."""
        raise AuthUnavailable("The app failed while authorizing.")


@attrs.frozen(slots=True)
class HandlerCall:
    """A channel's handler with a frame."""

    what: str
    function: Callable[..., object]
    arguments: tuple[object, ...]
    _write: Callable[[object], bytes]
    secrets: tuple[str, ...] = ()

    def returned(self, result: object) -> Verdict:
        return Drop() if result is None else Fanout(self._write(result))

    def refused(self, reason: str) -> Verdict:
        return Rejected(reason)

    def failed(self, error: BaseException) -> Verdict:
        return Drop(f"{self.what} failed: {type(error).__name__}")


def verify_call(channel: Channel[object], request: AuthRequest) -> VerifyCall | Grant:
    """The call that answers `request`; at once a grant where the channel is public.

    :raises ParamsInvalid: the declared type refuses what its schema let through.
    """
    verifier = channel.verifier
    if verifier is None:
        return Grant()
    given: VerifyRequest[object] = VerifyRequest(
        channel=request.channel,
        operation=request.operation,
        params=channel.read_params(request.params),
        header=request.header,
        cookie=request.cookie,
    )
    secrets = (request.header.value if request.header else "", request.cookie or "")
    return VerifyCall(f"verify of channel {channel.name!r}", verifier, (given,), secrets)


def handler_call(channel: Channel[object], frame: Frame) -> HandlerCall | Verdict:
    """The call that handles `frame`; at once a verdict where no handler is asked.

    :raises BodyInvalid: the payload does not fit; names the path.
    :raises ParamsInvalid: the declared type refuses what its schema let through.
    """
    if frame.type in (JOIN, LEAVE):
        return _hook_call(channel, frame)
    if frame.type == STATE:
        return _state_call(channel, frame)
    handler = channel.handlers.get(frame.type)
    if handler is None and not channel.definition.forward_unhandled:
        return Drop()
    data = channel.read_data(frame.type, frame.data)
    if handler is None:
        return Fanout(frame.data)
    context: Context[object] = Context(
        channel=frame.channel,
        type=frame.type,
        params=channel.read_params(frame.params),
        subject=frame.subject,
    )

    def write(result: object) -> bytes:
        try:
            return channel.write_data(frame.type, result)
        except BodyInvalid as misfit:
            # The app's mistake, not the sender's, who would be told otherwise.
            raise UnusableAnswer(f"it returned what is no payload: {misfit.sentence}") from None

    what = f"handler of {frame.type!r} of channel {channel.name!r}"
    return HandlerCall(what, handler, (data, context), write)


def _hook_call(channel: Channel[object], frame: Frame) -> HandlerCall | Verdict:
    """The call that tells of a member."""
    kind: Literal["join", "leave"] = "join" if frame.type == JOIN else "leave"
    hook = channel.hooks.get(kind)
    if hook is None:
        return Drop()
    event = channel.member_event(kind, channel.read_params(frame.params), frame.data)
    what = f"on_{kind} of channel {channel.name!r}"
    return HandlerCall(what, hook, (event,), lambda result: b"null")


def _state_call(channel: Channel[object], frame: Frame) -> HandlerCall | Verdict:
    """The call that asks for the state of a topic."""
    state = channel.state_function
    if state is None:
        return Drop("the channel has no state")
    params = channel.read_params(frame.params)
    cursor = msgspec.json.decode(frame.data)["cursor"]
    request: StateRequest[object] = StateRequest(channel=channel.name, params=params, cursor=cursor)

    def write(result: object) -> bytes:
        try:
            return state.write(result)
        except BodyInvalid as misfit:
            raise UnusableAnswer(f"it returned what is no state: {misfit.sentence}") from None

    return _StateCall(f"state of channel {channel.name!r}", state.function, (request,), write)


class _StateCall(HandlerCall):
    """As a handler's, for which nothing is a state like any other."""

    __slots__ = ()

    def returned(self, result: object) -> Verdict:
        return Fanout(self._write(result))


def answered(
    call: Call[A], result: object, log: Callable[[Call[object], BaseException], None]
) -> A:
    """The meaning of what the app's function returned.

    :param log: called where that means nothing, which is then a failure.
    """
    try:
        return call.returned(result)
    except UnusableAnswer as unusable:
        log(call, unusable)
        return call.failed(unusable)


def raised(
    call: Call[A], error: BaseException, log: Callable[[Call[object], BaseException], None]
) -> A:
    """The meaning of what the app's function raised.

    :param log: called unless the app said no on purpose.
    """
    if isinstance(error, Reject):
        return call.refused(error.reason)
    if isinstance(error, VerifyRejected):
        return call.refused(error.sentence)
    log(call, error)
    return call.failed(error)


def grant_of(answer: object) -> Grant:
    """Grant that `verify` returned.

    :raises VerifyRejected: it says no.
    :raises UnusableAnswer: it says neither.
    """
    if answer is True:
        return Grant()
    if answer is None or answer is False:
        raise VerifyRejected
    if isinstance(answer, Mapping):
        if answer.get("ok", True) is not True:
            raise VerifyRejected
        said = {ours: answer[wire] for wire, ours in GRANT_FIELDS.items() if wire in answer}
        answer = Grant(**said)
    if not isinstance(answer, Grant):
        raise UnusableAnswer(
            "verify must return a Grant, True, False, None or a mapping,"
            f" not {type(answer).__name__}"
        )
    for name in Lifecycle.BOUNDS:
        value = getattr(answer, name, None)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise UnusableAnswer(f"{name} must be whole milliseconds, not {value!r}")
    subject, expires_at = _subject(answer.subject), _expires_at(answer.expires_at)
    info = _info(answer.info)
    same = subject is answer.subject and expires_at is answer.expires_at and info is None
    if same:
        return answer
    return attrs.evolve(answer, subject=subject, expires_at=expires_at, info=info)


def _info(said: object) -> object:
    if said is None:
        return None
    try:
        return to_builtins(said)
    except ENCODING_ERRORS as failed:
        raise UnusableAnswer(f"{failed_in(said, 'info', to_builtins, failed)}") from None


def _subject(said: object) -> str | None:
    # A user's id is seldom text in a database, and its text is what was meant.
    if isinstance(said, UUID) or (isinstance(said, int) and not isinstance(said, bool)):
        return str(said)
    if said is None or (isinstance(said, str) and is_text(said)):
        return said
    if isinstance(said, str):
        # It is stored with what others are told of it, and that is JSON.
        raise UnusableAnswer("subject: half of a surrogate pair is no text")
    raise UnusableAnswer(f"subject must be text, not {type(said).__name__}")


def _expires_at(said: object) -> float | None:
    if said is None:
        return None
    if isinstance(said, datetime):
        if said.tzinfo is None:
            raise UnusableAnswer("expires_at is a datetime without a time zone")
        said = said.timestamp()
    try:
        return check_expiry(said)
    except ValueError as wrong:
        raise UnusableAnswer(f"expires_at {wrong}") from None
