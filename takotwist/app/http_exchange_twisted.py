"""HTTP exchanges on a Twisted reactor.

Rejected: Twisted's own `Agent`, whose bodies are written by a cooperator of the global
reactor, and whose answers would have to be brought into the publisher's form.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar, cast

from OpenSSL.SSL import Error as TlsError
from service_identity import VerificationError
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from takotwist.app.awaited_exchange import MAX_IN_FLIGHT, AwaitedExchange, Turns
from takotwist.app.http_address import Address
from takotwist.app.http_exchange import MAX_IDLE
from takotwist.client.twisted.carriers import secured, sentence_of
from takotwist.client.twisted.in_time import in_time
from takotwist.client.twisted.own_lookups import OwnLookups
from takotwist.codecs.http_answer import AnswerReader, HttpAnswer

T = TypeVar("T")


class _Connection(Protocol):
    """One connection, with at most one request under way."""

    transport: Any

    def __init__(self) -> None:
        self.lost = False
        self._reader: AnswerReader | None = None
        self._asked: Deferred[tuple[HttpAnswer, bool]] | None = None

    def ask(self, request: bytes) -> Deferred[tuple[HttpAnswer, bool]]:
        """Send it; fires with the answer, and whether the connection may be kept."""
        self._reader = AnswerReader()
        asked: Deferred[tuple[HttpAnswer, bool]] = Deferred(lambda _: self._forgotten())
        self._asked = asked
        self.transport.write(request)
        return asked

    def _forgotten(self) -> None:
        # First, so that its end is nothing that a cancelled Deferred is told.
        self._reader = self._asked = None
        self.abort()

    def abort(self) -> None:
        """Close it at once."""
        self.lost = True
        self.transport.abortConnection()

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        if self._reader is None:
            # Nobody asked.
            self.abort()
            return
        try:
            answer = self._reader.feed(data)
        except OSError as broken:
            self._fail(broken)
            self.abort()
            return
        if answer is not None:
            self._answered(answer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        if self._reader is None:
            return
        try:
            self._answered(self._reader.ended())
        except OSError as cut:
            lost = reason.value
            self._fail(cut if self._reader.begun or lost is None else _as_os_error(lost))

    def _answered(self, answer: HttpAnswer) -> None:
        reader, self._reader = self._reader, None
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.callback((answer, reader is not None and reader.reusable))

    def _fail(self, error: Exception) -> None:
        self._reader = None
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.errback(error)


def _apart(doing: Deferred[None]) -> Deferred[None]:
    """The answer of `doing`, which cancelling does not reach."""
    answer: Deferred[None] = Deferred()
    doing.addCallbacks(answer.callback, answer.errback)
    return answer


class TwistedExchange(AwaitedExchange):
    """Exchanges with one server.

    :param endpoint: where it is, if the address alone does not say.
    """

    def __init__(
        self,
        reactor: Any,
        address: Address,
        endpoint: IStreamClientEndpoint | None = None,
        in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        super().__init__(address, in_flight)
        self._reactor = reactor
        self._endpoint = endpoint or _endpoint_of(reactor, address)
        self._own_turns = Turns(DeferredSemaphore(in_flight))
        self._idle: list[_Connection] = []

    def spawn(self, work: Coroutine[Any, Any, None]) -> Callable[[], Awaitable[None]]:
        """See `AwaitedExchange`."""
        return partial(_apart, ensureDeferred(work))

    def now(self) -> float:
        """The reactor's clock."""
        return float(self._reactor.seconds())

    def _turns(self) -> Turns:
        return self._own_turns

    def _sleep(self, seconds: float) -> Awaitable[None]:
        return deferLater(self._reactor, seconds)

    def _call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], object]:
        call = self._reactor.callLater(max(0.0, seconds), action)
        return lambda: call.cancel() if call.active() else None

    async def _in_time(self, work: Awaitable[T], seconds: float) -> T:
        # The awaitables here are Deferreds and coroutines that await them.
        return await in_time(self._reactor, seconds, ensureDeferred(cast(Any, work)))

    def close(self) -> None:
        """Close what is idle."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.abort()

    async def _exchanged(self, request: bytes) -> HttpAnswer:
        connection = self._take() or await self._connected()
        answer, reusable = await connection.ask(request)
        if reusable and not connection.lost and len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.transport.loseConnection()
        return answer

    async def _connected(self) -> _Connection:
        made = _Connection()
        try:
            await self._endpoint.connect(Factory.forProtocol(lambda: made))
        except CancelledError:
            raise
        except Exception as failed:
            raise _as_os_error(failed) from None
        return made

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.lost:
                return connection
        return None


def _endpoint_of(reactor: Any, address: Address) -> IStreamClientEndpoint:
    if address.unix_path is not None:
        return UNIXClientEndpoint(reactor, address.unix_path)
    host, port = address.host, address.port
    plain = HostnameEndpoint(OwnLookups(reactor, host, port), host, port)
    return secured(plain, host, address.ca_file) if address.tls is not None else plain


def _as_os_error(failed: BaseException) -> OSError:
    sentence = sentence_of(failed)
    refused = isinstance(failed, VerificationError) or (
        isinstance(failed, TlsError) and "certificate verify failed" in sentence
    )
    return ssl.SSLCertVerificationError(sentence) if refused else OSError(sentence)
