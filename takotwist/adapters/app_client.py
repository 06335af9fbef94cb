"""HTTP client of an app elsewhere, one question at a time (protocol, section 9).

Bounded in number, in time, in retries and in the size of the answer.  Rule: an
answer counts only when it carries our token back, compared in constant time;
else it is not from our app but from whatever else listens there.  A caller may name
answers that need none.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy

import attrs
from treq.client import HTTPClient, IndexableCookieJar  # type: ignore[attr-defined]
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    DNSLookupError,
)
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.client import RequestNotSent  # type: ignore[attr-defined]
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer
from zope.interface import implementer

from takotwist.adapters.bounded_body import BodyTooLarge, bounded_body
from takotwist.adapters.callable_runner import Caller
from takotwist.adapters.concurrency_limit import ConcurrencyLimit
from takotwist.errors import AuthUnavailable, ConfigError

#: Header in which server and app show each other their common secret.
TOKEN_HEADER = "X-Tako-Internal-Token"

#: Seconds before the first further attempt; doubled for each.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 1.0

#: Seconds before the log says the same again, and how many reasons are remembered.
_COMPLAINT_INTERVAL = 30.0
_MAX_COMPLAINTS = 32

#: Statuses of a proxy while the app behind it is away.
_AWAY = frozenset({502, 503, 504})

#: Nothing of the request has left, so the app cannot have seen it.
_NOT_SENT = (ConnectError, DNSLookupError, RequestNotSent)


@attrs.frozen(slots=True, kw_only=True)
class AppAddress:
    """Address of an app, and its name and secret.

    :ivar url: ``http://``, ``https://``, with a path that goes before ours.
    :ivar name: the app's name, sent as ``Host: <name>.tako``.
    :ivar token: the common secret.
    :raises ConfigError: there is no token, and with none anything would pass for our app.
    """

    url: str
    name: str
    token: str = attrs.field(repr=False)

    @token.validator
    def _is_there(self, attribute: object, token: str) -> None:
        if not token:
            raise ConfigError("an app elsewhere needs a token in common with us", key="app.token")


@attrs.frozen(slots=True, kw_only=True)
class AppBounds:
    """Bounds of what is asked of the app.

    :ivar deadline: seconds for one question, its retries included.  Waiting for
        a place is not: after a restart everybody comes at once, and is served in turn.
    :ivar concurrency: questions under way at once.
    :ivar queue: questions that wait for a place; one more is `Overloaded`.
    :ivar patience: seconds that a question may wait for a place.
    :ivar max_answer_bytes: most bytes of an answer.
    """

    deadline: float = 5.0
    concurrency: int = 64
    queue: int = 10_000
    patience: float = 30.0
    max_answer_bytes: int = 1 * 2**20


@attrs.frozen(slots=True)
class AppAnswer:
    """An answer of our app."""

    status: int
    body: bytes


#: Tells whether an answer counts without the token: by status, content type and body.
WithoutToken = Callable[[int, str, bytes], bool]


def _never(status: int, content_type: str, body: bytes) -> bool:
    """No answer counts without the token."""
    return False


@attrs.frozen(slots=True)
class _Question:
    """Arguments of one `AppClient.ask`."""

    method: str
    path: str
    body: bytes | None
    repeatable: bool
    limit: int
    without_token: WithoutToken
    caller: Caller


class _Again(Exception):
    """This attempt failed in a way that another may not."""


class AppClient:
    """Client of one app.

    :param agent: connects; see `app_agent`.
    :param jitter: a number from 0 to 1, so that many do not come back together.
    """

    log = Logger()

    def __init__(
        self,
        address: AppAddress,
        agent: IAgent,
        clock: IReactorTime,
        jitter: Callable[[], float],
        bounds: AppBounds = AppBounds(),
    ) -> None:
        self._address = address
        self._clock = clock
        self._jitter = jitter
        self._bounds = bounds
        self._line = ConcurrencyLimit(
            clock, places=bounds.concurrency, length=bounds.queue, patience=bounds.patience
        )
        # A jar that takes nothing: one user's cookie must not go out with another's question.
        jar = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=()))
        self._http = HTTPClient(agent, cookiejar=jar, data_to_body_producer=ready_body)
        self._complained_at: dict[str, float] = {}

    @property
    def address(self) -> AppAddress:
        """The address that is asked."""
        return self._address

    def replace(self, address: AppAddress) -> None:
        """Ask at this address from now on.  Questions in flight end as they began."""
        self._address = address

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        repeatable: bool = True,
        max_answer_bytes: int | None = None,
        without_token: WithoutToken = _never,
        caller: Caller = ("", ""),
    ) -> Deferred[AppAnswer]:
        """Ask once, with retries inside the deadline.

        :param repeatable: false where the app may not be asked twice; then only what
            surely never reached it is tried again.
        :param without_token: true for an answer that counts although our token is not there.
        :param caller: for fair queueing: the channel, and the address that asks.
        :raises AuthUnavailable: no answer, not in time, or not of our app.
        :raises Overloaded: too many wait already.
        """
        limit = max_answer_bytes or self._bounds.max_answer_bytes
        question = _Question(method, path, body, repeatable, limit, without_token, caller)
        return Deferred.fromCoroutine(self._in_turn(question))

    async def _in_turn(self, question: _Question) -> AppAnswer:
        channel, address = question.caller
        await self._line.enter(channel, address)
        path = question.path
        try:
            attempts = Deferred.fromCoroutine(self._attempts(question))
            deadline = self._clock.callLater(self._bounds.deadline, attempts.cancel)
            try:
                return await attempts
            except CancelledError:
                if deadline.active():
                    raise
                self._complain(f"{path} was not answered within {self._bounds.deadline:g} s")
                raise AuthUnavailable("The app did not answer in time.") from None
            finally:
                if deadline.active():
                    deadline.cancel()
        finally:
            self._line.leave(channel)

    async def _attempts(self, question: _Question) -> AppAnswer:
        give_up, pause = self._clock.seconds() + self._bounds.deadline, _FIRST_PAUSE
        while True:
            try:
                answer = await self._attempt(question)
            except _Again as failed:
                wait = pause * (0.5 + self._jitter())
                if self._clock.seconds() + wait >= give_up:
                    self._complain(str(failed))
                    raise AuthUnavailable from None
                pause = min(pause * 2, _LONGEST_PAUSE)
                await deferLater(self._clock, wait)
            else:
                return answer

    async def _attempt(self, question: _Question) -> AppAnswer:
        """:raises _Again: it may be tried again. :raises AuthUnavailable: it may not."""
        path, body, repeatable = question.path, question.body, question.repeatable
        headers = Headers(
            {TOKEN_HEADER: [self._address.token], "Host": [f"{self._address.name}.tako"]}
        )
        if body is not None:
            headers.setRawHeaders("Content-Type", ["application/json"])
        try:
            response = await self._http.request(
                question.method,
                f"{self._address.url.rstrip('/')}{path}",
                headers=headers,
                data=body,
                allow_redirects=False,
                unbuffered=True,
                # Without it treq reaches for the process's reactor.
                reactor=self._clock,  # type: ignore[arg-type]  # only its time is used
            )
            received = await bounded_body(response, question.limit)
        except BodyTooLarge:
            raise self.unusable(f"{path} answered with more than {question.limit} bytes") from None
        except Exception as broken:
            if was_cancelled(broken):
                raise CancelledError from None
            reason = f"{path} could not be asked: {broken or type(broken).__name__}"
            if repeatable or isinstance(broken, _NOT_SENT):
                raise _Again(reason) from None
            raise self.unusable(reason) from None
        # As bytes: whatever else listens there may send what is no text.
        token = response.headers.getRawHeaders(TOKEN_HEADER.encode(), [b""])[0]
        is_ours = hmac.compare_digest(token, self._address.token.encode())
        content_type = response.headers.getRawHeaders(b"content-type", [b""])[0].decode("latin-1")
        if not is_ours and question.without_token(response.code, content_type, received):
            return AppAnswer(response.code, received)
        if repeatable and (response.code in _AWAY or (response.code >= 500 and not is_ours)):
            # An app of ours that answers 500 has failed on this question and would
            # fail on it again; anything else stands in front of an app that is away.
            raise _Again(f"{path} answered {response.code}")
        if not is_ours:
            raise self.unusable(
                f"{path} answered {response.code} without our {TOKEN_HEADER}: either something"
                " else listens there or the app has another token"
            )
        return AppAnswer(response.code, received)

    def unusable(self, reason: str) -> AuthUnavailable:
        """Say in the log what of an answer is wrong, and give the error to raise."""
        self._complain(reason)
        return AuthUnavailable("The app's answer cannot be used.")

    def _complain(self, reason: str) -> None:
        # Ten thousand clients that come back to an app that is away are one line, and
        # so are those whom an app serves by halves.
        now = self._clock.seconds()
        if now - self._complained_at.get(reason, -_COMPLAINT_INTERVAL) < _COMPLAINT_INTERVAL:
            return
        if len(self._complained_at) >= _MAX_COMPLAINTS:
            self._complained_at.clear()
        self._complained_at[reason] = now
        self.log.error("the app at {url}: {reason}", url=self._address.url, reason=reason)


@implementer(IBodyProducer)
@attrs.frozen(slots=True)
class _ReadyBody:
    """Request body that is all there already.

    Twisted's own producer for bytes hands them out by the process's global
    scheduler, which neither a test's clock nor an argument can replace.
    """

    _body: bytes

    @property
    def length(self) -> int:
        return len(self._body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """There is nothing left to pause."""

    def resumeProducing(self) -> None:
        """There is nothing left to resume."""

    def stopProducing(self) -> None:
        """There is nothing left to stop."""


def ready_body(body: bytes) -> IBodyProducer:
    """`body` for an `IAgent`."""
    return _ReadyBody(body)


def was_cancelled(error: Exception) -> bool:
    """`True` if a request failed because it was cancelled."""
    # What a cancelled request fails with depends on how far it had come.
    reasons = getattr(error, "reasons", ())
    return isinstance(error, CancelledError | ConnectingCancelledError) or any(
        reason.check(CancelledError) for reason in reasons
    )
