"""Asks the app where it is elsewhere, over HTTP (protocol, section 9).

Rule: a refusal is only what the app says is one.  Whatever else comes back, or
does not, is `AuthUnavailable`: the client comes again, nobody is let in or sent
away by a fault.
"""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from zope.interface import implementer

from takotwist.adapters.app_client import AppAnswer, AppClient
from takotwist.adapters.original_answers import is_original
from takotwist.codecs.app_json import (
    read_grant,
    read_verdict,
    says_no,
    write_frame,
    write_question,
)
from takotwist.core.authorization import AuthRequest, Frame, Grant, Verdict
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
    """Asks through one `AppClient`."""

    def __init__(self, client: AppClient) -> None:
        self._client = client

    def authorize(self, request: AuthRequest) -> Deferred[Grant]:
        """See `IAuthorizer`."""
        return Deferred.fromCoroutine(self._authorize(request))

    def dispatch(self, frame: Frame) -> Deferred[Verdict]:
        """See `IAuthorizer`.  :raises ChannelUnknown: the app has no such channel."""
        return Deferred.fromCoroutine(self._dispatch(frame))

    async def _authorize(self, request: AuthRequest) -> Grant:
        answer = await self._client.ask(
            "POST",
            AUTHORIZE_PATH,
            write_question(request),
            without_token=is_original,
            turn=(request.channel, request.address),
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
            turn=(frame.channel, frame.address),
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
        value: Any = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if isinstance(value, dict) and value.get("code") in (BodyInvalid.code, ParamsInvalid.code):
        sentence = value.get("error")
        raise refusal_for(value["code"], sentence if isinstance(sentence, str) else None)
