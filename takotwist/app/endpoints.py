"""Answers of an app elsewhere to the server: registry, authorize, dispatch (protocol, section 9).

Method, path, headers and body in; status, headers and body out; the app's own
function is handed to whoever carries the request (`asgi`, `wsgi`) to be called.
Rule: nothing is said to anybody who does not show the token.
"""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import msgspec

from takotwist.app.calls import (
    Call,
    HandlerCall,
    VerifyCall,
    answered,
    handler_call,
    raised,
    verify_call,
)
from takotwist.app.channel import Channel
from takotwist.app.discovery import discover
from takotwist.app.types import failure_text
from takotwist.codecs.app_json import (
    NO,
    read_frame,
    read_question,
    write_grant,
    write_verdict,
)
from takotwist.codecs.registry_json import write_registry
from takotwist.core.authorization import Grant, Verdict
from takotwist.errors import (
    ChannelUnknown,
    ConfigError,
    MessageTooLarge,
    MethodNotAllowed,
    Refusal,
    VerifyRejected,
)

#: Where server and app show each other their common secret.
TOKEN_HEADER = "X-Tako-Internal-Token"

#: Most bytes of a question; a frame's own limit is the server's.
MAX_BODY_BYTES = 16 * 2**20

_ROUTES = {"registry": "GET", "authorize": "POST", "dispatch": "POST"}

log = logging.getLogger("takotwist.app")


@attrs.frozen(slots=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


@attrs.frozen(slots=True)
class Pending:
    """An answer that waits for the app's own function.

    :ivar call: to be called with its arguments, however it wants to be.
    """

    call: Call[Grant | Verdict]
    _write: Callable[[Any], bytes]
    _answer: Callable[[int, bytes], Answer]

    def returned(self, result: object) -> Answer:
        """The answer when the function returned `result`, awaited."""
        return self._settled(lambda: answered(self.call, result, _log_failure))

    def raised(self, error: BaseException) -> Answer:
        """The answer when the function raised `error`."""
        return self._settled(lambda: raised(self.call, error, _log_failure))

    def _settled(self, outcome: Callable[[], Grant | Verdict]) -> Answer:
        try:
            return self._answer(200, self._write(outcome()))
        except VerifyRejected:
            return self._answer(403, NO)
        except Refusal:
            # The app's own code failed; that it is logged here is all there is to say.
            return self._answer(500, _error("internal-error", "The app failed."))


class InternalEndpoints:
    """Answers for the channels of one app.

    :param channels: a folder, the name of a module, or the channels themselves.
    :param token: the secret in common with the server's ``[app] token``.  Left
        out: ``TAKO_APP_TOKEN``.
    :raises ConfigError: there is no token.
    :raises DefinitionError: the channels cannot be loaded.
    """

    def __init__(
        self, channels: str | Path | Iterable[Channel[Any]] = "channels", token: str | None = None
    ) -> None:
        secret = token or os.environ.get("TAKO_APP_TOKEN")
        if not secret:
            raise ConfigError(
                "there is no token: set it to what the server's [app] token says",
                source="TAKO_APP_TOKEN",
            )
        self._token = secret.encode()
        found = discover(channels).channels if isinstance(channels, str | Path) else channels
        self._channels = {channel.name: channel for channel in found}

    @staticmethod
    def route_of(path: str) -> str | None:
        """The route of `path`, the mount point included; `None` where it has no endpoint."""
        head, _, last = path.rpartition("/")
        return last if last in _ROUTES and head.endswith("/channels") else None

    def admits(self, token: str | None) -> bool:
        """True where it is the server that asks."""
        return hmac.compare_digest((token or "").encode(), self._token)

    def ask(self, route: str, method: str, body: bytes) -> Answer | Pending:
        """Take a request of a server that `admits` let in.

        :param route: as `route_of` said.
        """
        try:
            if method != _ROUTES[route]:
                raise MethodNotAllowed(allow=(_ROUTES[route],))
            if len(body) > MAX_BODY_BYTES:
                raise MessageTooLarge(f"The body has more than {MAX_BODY_BYTES} bytes.")
            if route == "registry":
                definitions = [channel.definition for channel in self._channels.values()]
                return self._answer(200, write_registry(definitions))
            return self._authorize(body) if route == "authorize" else self._dispatch(body)
        except Refusal as refusal:
            return self._answer(refusal.http_status, _error(refusal.code, refusal.sentence))

    def refuse(self) -> Answer:
        """The answer to whoever does not show the token."""
        return Answer(403, _error("forbidden", "This address is for the takotwist server."), _JSON)

    def _authorize(self, body: bytes) -> Answer | Pending:
        request = read_question(body)
        call = verify_call(self._channel(request.channel), request)
        if isinstance(call, VerifyCall):
            return Pending(call, write_grant, self._answer)
        return self._answer(200, write_grant(call))

    def _dispatch(self, body: bytes) -> Answer | Pending:
        frame = read_frame(body)
        call = handler_call(self._channel(frame.channel), frame)
        if isinstance(call, HandlerCall):
            return Pending(call, write_verdict, self._answer)
        return self._answer(200, write_verdict(call))

    def _channel(self, name: str) -> Channel[object]:
        try:
            return self._channels[name]
        except KeyError:
            raise ChannelUnknown(f"There is no channel named {name!r}.") from None

    def _answer(self, status: int, body: bytes) -> Answer:
        return Answer(status, body, (*_JSON, (TOKEN_HEADER, self._token.decode())))


_JSON = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))


def _error(code: str, sentence: str) -> bytes:
    return msgspec.json.encode({"error": sentence, "code": code})


def _log_failure(call: Call[object], error: BaseException) -> None:
    log.error("%s failed\n%s", call.what, failure_text(error, call.secrets))
