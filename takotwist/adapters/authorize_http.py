"""Authorizer over HTTP for an app elsewhere, its registry, and the router between two authorizers.

Of the protocol it is section 9.  Rules: a refusal is only what the app says is one; whatever
else comes back, or does not, is `AuthUnavailable`, so the client comes again, and nobody is let
in or sent away by a fault.  The last registry that could be read stays in force until a whole
new one has been read, so an app that is away or wrong takes no channel down.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from takotwist.adapters.app_client import AppAnswer, AppClient
from takotwist.adapters.sdk_refusals import is_sdk_refusal
from takotwist.codecs.app_json import (
    read_grant,
    read_verdict,
    says_no,
    write_frame,
    write_question,
)
from takotwist.codecs.registry_json import read_registry
from takotwist.core.authorization import AuthRequest, Frame, Grant, Verdict
from takotwist.core.channel import ChannelDefinition, Defined, Registry
from takotwist.errors import (
    AuthUnavailable,
    BodyInvalid,
    ChannelUnknown,
    ParamsInvalid,
    VerifyRejected,
    refusal_for,
)
from takotwist.ports import IAuthorizer

AUTHORIZE_PATH = "/channels/authorize"
DISPATCH_PATH = "/channels/dispatch"


@implementer(IAuthorizer)
class HttpAuthorizer:
    """Authorizer that asks through one `AppClient`."""

    def __init__(self, client: AppClient) -> None:
        self._client = client

    def authorize(self, request: AuthRequest) -> Deferred[Grant]:
        """Implement `IAuthorizer`."""
        return Deferred.fromCoroutine(self._authorize(request))

    def dispatch(self, frame: Frame) -> Deferred[Verdict]:
        """Implement `IAuthorizer`.  :raises ChannelUnknown: the app has no such channel."""
        return Deferred.fromCoroutine(self._dispatch(frame))

    async def _authorize(self, request: AuthRequest) -> Grant:
        answer = await self._client.ask(
            "POST",
            AUTHORIZE_PATH,
            write_question(request),
            without_token=is_sdk_refusal,
            caller=(request.channel, request.address),
        )
        if answer.status == 404:
            raise ChannelUnknown(f"The app has no channel named {request.channel!r}.")
        if answer.status == 403 or says_no(answer.body):
            raise VerifyRejected
        if answer.status != 200:
            raise self._failed(AUTHORIZE_PATH, answer)
        try:
            return read_grant(answer.body)
        except BodyInvalid as bad:
            raise self._client.unusable(bad.sentence) from None

    async def _dispatch(self, frame: Frame) -> Verdict:
        answer = await self._client.ask(
            "POST",
            DISPATCH_PATH,
            write_frame(frame),
            repeatable=False,
            caller=(frame.channel, frame.address),
        )
        if answer.status == 404:
            raise ChannelUnknown(f"The app has no channel named {frame.channel!r}.")
        if answer.status != 200:
            raise self._failed(DISPATCH_PATH, answer)
        try:
            return read_verdict(answer.body)
        except BodyInvalid as bad:
            raise self._client.unusable(bad.sentence) from None

    def _failed(self, path: str, answer: AppAnswer) -> AuthUnavailable:
        if answer.status == 400:
            _raise_for(answer)
        return self._client.unusable(f"{path} answered {answer.status}")


def _raise_for(answer: AppAnswer) -> None:
    """Raise what an app says of params or a payload that its own types refuse.

    An addition to section 9, for types that check more than their schema can say.

    :raises ParamsInvalid: or `BodyInvalid`, in the app's words.
    """
    try:
        value: object = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if isinstance(value, dict) and value.get("code") in (BodyInvalid.code, ParamsInvalid.code):
        sentence = value.get("error")
        raise refusal_for(value["code"], sentence if isinstance(sentence, str) else None)


@implementer(IAuthorizer)
@attrs.define(slots=True)
class AuthorizerRouter:
    """Router to the authorizer of a channel: tokens (`Defined.by_token`) or app (`Defined.local`).

    :ivar registry: the server's own, so that a reload is seen at once.
    :ivar elsewhere: `None` where no app is configured.
    """

    registry: Registry
    local: IAuthorizer
    elsewhere: IAuthorizer | None = None
    _by_token: Callable[[AuthRequest], Deferred[Grant]] | None = attrs.field(
        default=None, init=False
    )

    def replace_tokens(self, check: Callable[[AuthRequest], Deferred[Grant]] | None) -> None:
        """Check tokens by this from now on; `None` where no channel is by tokens."""
        self._by_token = check

    def authorize(self, request: AuthRequest) -> Deferred[Grant]:
        """Implement `IAuthorizer`."""
        try:
            if self.registry.get(request.channel).by_token:
                assert self._by_token is not None
                return self._by_token(request)
            return self._owner(request.channel).authorize(request)
        except ChannelUnknown as unknown:
            return fail(unknown)

    def dispatch(self, frame: Frame) -> Deferred[Verdict]:
        """Implement `IAuthorizer`."""
        try:
            return self._owner(frame.channel).dispatch(frame)
        except ChannelUnknown as unknown:
            return fail(unknown)

    def _owner(self, channel: str) -> IAuthorizer:
        defined = self.registry.get(channel)
        if defined.local:
            return self.local
        if self.elsewhere is None:
            raise ChannelUnknown(f"Channel {channel!r} has no app that could be asked.")
        return self.elsewhere


REGISTRY_PATH = "/channels/registry"

#: Most bytes of a registry.
MAX_REGISTRY_BYTES = 16 * 2**20

#: Seconds between two readings that unknown channel names may cause.
UNKNOWN_INTERVAL = 1.0


class HttpRegistry:
    """The registry of an app elsewhere, as last read.

    :param dispatches: false where the app does not take its clients' frames; then they
        are published as they came.
    :ivar defined: its channels; empty before the first time.
    """

    def __init__(self, client: AppClient, clock: IReactorTime, *, dispatches: bool = True) -> None:
        self._client = client
        self._dispatches = dispatches
        self._clock = clock
        self._read_at: float | None = None
        self._reading = False
        self._waiting: list[Deferred[bool]] = []
        self._body = b""
        self.defined: tuple[Defined, ...] = ()

    def reload(self) -> Deferred[bool]:
        """Read it now: at start, on SIGHUP, or when the app asks.

        Callers that ask while it is being read get the same answer.

        :return: true where it says something else than before.
        :raises AuthUnavailable: it cannot be read; the log has the reason.
        """
        answer: Deferred[bool] = Deferred(self._waiting.remove)
        self._waiting.append(answer)
        if not self._reading:
            self._reading = True
            self._read_at = self._clock.seconds()
            Deferred.fromCoroutine(self._read()).addBoth(self._tell)
        return answer

    def reload_for_unknown(self) -> Deferred[bool]:
        """Read it because a channel is unknown, but not more than once a second.

        A client that asks for made-up names must not make the app work.

        :raises AuthUnavailable: as `reload`.
        """
        now = self._clock.seconds()
        recent = self._read_at is not None and now - self._read_at < UNKNOWN_INTERVAL
        return succeed(False) if recent and not self._reading else self.reload()

    async def _read(self) -> bool:
        answer = await self._client.ask("GET", REGISTRY_PATH, max_answer_bytes=MAX_REGISTRY_BYTES)
        if answer.status != 200:
            raise self._client.unusable(f"{REGISTRY_PATH} answered {answer.status}")
        if answer.body == self._body:
            return False
        try:
            definitions = read_registry(answer.body)
        except BodyInvalid as bad:
            raise self._client.unusable(bad.sentence) from None
        place = f"{self._client.address.url}{REGISTRY_PATH}"
        if not self._dispatches:
            definitions = tuple(map(_forwarding, definitions))
        self.defined = tuple(Defined(one, place, local=False) for one in definitions)
        self._body = answer.body
        return True

    def _tell(self, result: bool | Failure) -> None:
        self._reading = False
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer.callback(result)


def _forwarding(definition: ChannelDefinition) -> ChannelDefinition:
    if not definition.bidirectional:
        return definition
    return attrs.evolve(definition, handlers=frozenset(), forward_unhandled=True)
