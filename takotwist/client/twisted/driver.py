"""I/O adapter for Twisted: a coroutine a connection, one timer, and subscriptions to await."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, cast

import attrs
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.web.client import Agent

from takotwist.client import driver
from takotwist.client.driver import Connection, SubscriptionState
from takotwist.client.events import Event
from takotwist.client.machine.machine import Connect
from takotwist.client.machine.policy import Policy
from takotwist.client.members import AnyPresence, Room
from takotwist.client.options import SubscriptionOptions
from takotwist.client.subscription import AnyMux, AnySubscription
from takotwist.client.target import Target
from takotwist.client.twisted.carriers import (
    Abortable,
    OneEndpoint,
    carry_sse,
    carry_websocket,
    endpoint_for,
)
from takotwist.client.twisted.in_time import in_time
from takotwist.errors import TakoError
from takotwist.interfaces import Coro


@attrs.define(eq=False)
class Signal:
    """Wakes who waits for news."""

    _waiting: list[Deferred[None]] = attrs.field(factory=list)

    def wait(self) -> Deferred[None]:
        """Fires with the next `fire`."""
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def fire(self) -> None:
        """There is news."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)


@attrs.define(eq=False)
class Line:
    """One connection.  Once cut, it has nothing more to say."""

    driver: Driver
    endpoint: Abortable
    work: Deferred[None] | None = None
    _producer: IPushProducer | None = None
    _send: Callable[[bytes], None] | None = None
    _paused: bool = False
    _cut: bool = False

    def now(self) -> float:
        """The machine's time."""
        return self.driver.now()

    def tell(self, fact: Callable[..., None], *args: object) -> None:
        """Tell the machine a fact, and carry out what it wants then."""
        if not self._cut:
            fact(*args)
            self.driver.pump()
            self.balance()

    def flowing(self, producer: IPushProducer) -> None:
        """Bytes come from here."""
        self._producer = producer
        self.balance()

    def carries(self, send: Callable[[bytes], None]) -> None:
        """Text frames can be sent from now on."""
        self._send = send

    async def sse(self, url: str, headers: Mapping[str, str]) -> None:
        """Make a request for an event stream and read it to its end."""
        client = self.driver.client(self.endpoint)
        await carry_sse(self, self.driver.machine, client, url, headers)

    async def websocket(
        self, url: str, headers: Mapping[str, str], opened: Callable[[str | None], None]
    ) -> None:
        """Open a WebSocket and read it to its end."""
        driver = self.driver
        await carry_websocket(
            self,
            driver.machine,
            driver.reactor,
            self.endpoint,
            url,
            headers,
            driver.policy.max_message_bytes,
            opened,
        )

    def send(self, text: str) -> None:
        """Send a text frame."""
        if self._send is not None:
            self._send(text.encode())

    def balance(self) -> None:
        """Read if the callers have room, and only then."""
        crowded = self.driver.crowded
        if self._cut or self._producer is None or crowded is self._paused:
            return
        self._paused = crowded
        if crowded:
            self.driver.machine.paused()
            self._producer.pauseProducing()
        else:
            self.driver.machine.resumed(self.now())
            self._producer.resumeProducing()
        self.driver.pump()

    def cut(self) -> None:
        """Close it, whatever it is doing."""
        self._cut = True
        # Where there is a connection, its loss ends the work, and the work's end
        # says that no socket is left.
        if not self.endpoint.abort() and self.work is not None:
            self.work.cancel()


@attrs.define(eq=False)
class Driver(driver.Driver):
    """Driver on a Twisted reactor.

    :ivar reactor: time and connections.
    :ivar endpoint: where the server is.
    """

    reactor: Any = attrs.field(kw_only=True)
    endpoint: IStreamClientEndpoint = attrs.field(kw_only=True)
    _timer: IDelayedCall | None = attrs.field(default=None, init=False)
    _work: dict[Deferred[None], Callable[[], None]] = attrs.field(factory=dict, init=False)

    @classmethod
    def on(
        cls,
        reactor: object,
        connection: Connection,
        policy: Policy,
        target: Target,
        ca_file: str | None,
        endpoint: IStreamClientEndpoint | None,
    ) -> Driver:
        """A driver; see `takotwist.client.twisted.connect`."""
        endpoint = endpoint or endpoint_for(reactor, target, ca_file)
        return cls(connection, policy, target, ca_file, reactor=reactor, endpoint=endpoint)

    def now(self) -> float:
        """The machine's time."""
        return float(self.reactor.seconds()) * 1000

    def client(self, endpoint: IStreamClientEndpoint) -> HTTPClient:
        """An HTTP client that uses one connection for one request."""
        return HTTPClient(Agent.usingEndpointFactory(self.reactor, OneEndpoint(endpoint)))

    def made_room(self) -> None:
        """Look again whether reading may go on."""
        if isinstance(self._line, Line):
            self._line.balance()

    def outcome(
        self, subscription: SubscriptionState, begin: Callable[[], int]
    ) -> Deferred[str | None]:
        """Begin something; fires with its outcome."""
        try:
            number = begin()
        except TakoError as refused:
            return fail(refused)
        outcome: Deferred[str | None] = Deferred(lambda _: subscription.publishes.pop(number, None))
        subscription.publishes[number] = outcome
        self.pump()
        self.made_room()
        return outcome

    def resolve(self, future: Any, id: str | None, error: Exception | None) -> None:
        """A publish has its outcome."""
        if error is None:
            future.callback(id)
        else:
            future.errback(error)

    async def close(self) -> None:
        """Let go of everything; returns when nothing of ours is under way."""
        self.set_timer(None)
        for work, cancel in list(self._work.items()):
            cancel()
            await work

    def ask(self, function: Callable[..., object], *args: object) -> Deferred[object]:
        """Call a function of the caller's, whose result may have to be waited for."""
        return maybeDeferred(function, *args)

    async def in_time(self, function: Callable[[], object], seconds: float) -> Any:
        """As `ask`.  :raises TimeoutError: it has not answered in time."""
        return await in_time(self.reactor, seconds, maybeDeferred(function))

    def run(self, work: Coro[None], cancel: Callable[[], None] | None = None) -> Deferred[None]:
        """Run a coroutine that ends with us.

        :param cancel: how, where cancelling it is not enough.
        """
        running = Deferred.fromCoroutine(work)
        self._work[running] = cancel or running.cancel

        def ended(result: object) -> None:
            del self._work[running]
            if isinstance(result, Failure) and not result.check(CancelledError):
                # Not the network's doing: a header that cannot be sent, a callable
                # that gives what is no credentials.
                self.give_up_all(cast(Exception, result.value))

        running.addBoth(ended)
        return running

    def open_line(self, connect: Connect) -> Line:
        """Begin a connection."""
        line = Line(self, Abortable(self.endpoint))
        # Not at once: what follows in `pump` must find the line in its place.
        self._line = line
        line.work = self.run(self.connection.carry(self, connect, line), line.cut)
        return line

    def set_timer(self, at: float | None) -> None:
        """Call `woke` at this time of the machine, and at no other."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if at is not None:
            delay = max(0.0, at / 1000 - self.reactor.seconds())
            self._timer = self.reactor.callLater(delay, self.woke)


@attrs.define(eq=False)
class Presence(AnyPresence):
    """Members of a topic that is followed; `Subscription.presence`."""

    _waking: Signal = attrs.field(factory=Signal, init=False)

    async def whole(self) -> Self:
        """Wait until the list is whole.

        :raises TakoError: it cannot be had; says why.
        """
        while not self.synced:
            self._check()
            await self._waking.wait()
        return self

    def _changed(self) -> None:
        self._waking.fire()


@attrs.define(eq=False)
class Subscription(AnySubscription[Driver, Presence]):
    """Messages of one topic, over as many connections as it takes.

    ``async for event in subscription`` yields `Message` and `Reset`; it ends when
    the subscription is closed and raises what it was refused with.  Use it in
    ``async with``, or call `close` when done.
    """

    _news: Signal = attrs.field(factory=Signal, init=False)

    @property
    def _wake(self) -> Callable[[], None]:
        return self._news.fire

    def publish(
        self, type: str, data: object, *, idempotency_key: str | None = None
    ) -> Deferred[str | None]:
        """Publish on the topic.

        Waits for a connection where there is none.  Over a cut it is sent again with
        the same idempotency key, so it is stored once.

        :return: fires with the stored message's id; with `None` where the app's handler
            dropped it or the server, in plain mode, does not say.
        :raises BodyInvalid: it is no message.  :raises OutgoingFull: too many wait.
        :raises Refusal: the server does not want it.
        """
        begin = self._publishing(type, data, idempotency_key)
        return self._driver.outcome(self._subscription_state, begin)

    def __aiter__(self) -> Self:
        self.start()
        return self

    async def __anext__(self) -> Event:
        while (event := self._take()) is None:
            await self._news.wait()
        return event

    def _follow(
        self,
        room: Room,
        options: SubscriptionOptions,
        begin: Callable[[SubscriptionOptions], int],
    ) -> Presence:
        return Presence(room, options, begin)


@attrs.define(eq=False)
class Mux(AnyMux[Driver, Subscription]):
    """A connection for many topics; use it in ``async with``.

    Every subscription must be read: past the bound of one that is not, nothing more
    is read for any.
    """

    def _subscription(
        self, options: SubscriptionOptions, begin: Callable[[SubscriptionOptions], int]
    ) -> Subscription:
        return Subscription(self._driver, options, begin, own=False)
