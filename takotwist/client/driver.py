"""Driver of a client machine, whatever the loop: carries out its intents.

The I/O adapters (asyncio, Twisted) share it; each adds connections, a timer, and its own
way to wait.  Rule: intents are carried out here and decided nowhere here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from takotwist.client.credentials import Credentials, CredentialsValue, value_of
from takotwist.client.errors import Gone, NoAnswer
from takotwist.client.machine.machine import (
    AskCredentials,
    AskGone,
    Connect,
    Deliver,
    Drop,
    Intent,
    Machine,
    Move,
    Send,
    Settle,
    Stop,
)
from takotwist.client.machine.policy import OnGone, Policy
from takotwist.client.receive_queue import ReceiveQueue
from takotwist.client.target import Target

if TYPE_CHECKING:
    # Nobody need load Twisted for an annotation.
    from takotwist.interfaces import Coro

#: What a caller wants when continuity ends: a word, or a callable that gets the
#: `Gone` and gives the cursor to go on from, or `None` for live; it may be awaited.
GoneChoice = OnGone | Callable[[Gone], object]


def mode_of(choice: GoneChoice) -> OnGone:
    """:raises ValueError: when it is none of the choices."""
    if callable(choice):
        return "ask"
    if choice not in ("reset", "raise"):
        raise ValueError("on_gone must be 'reset', 'raise' or a callable")
    return choice


@attrs.define(eq=False)
class SubscriptionState:
    """Receive queue and callbacks of one subscription.

    :ivar news: called when there is something to take.
    :ivar publishes: futures of the loop's own kind, by number: of publishes, and of all else
        that has an outcome.
    """

    queue: ReceiveQueue
    credentials: Credentials = attrs.field(repr=False)
    on_gone: GoneChoice
    news: Callable[[], None]
    publishes: dict[int, Any] = attrs.field(factory=dict)


class Line(Protocol):
    """One connection, or the attempt at one."""

    def tell(self, fact: Callable[..., None], *args: object) -> None:
        """Tell the machine a fact, and carry out what it wants then; nothing once it is cut."""

    async def sse(self, url: str, headers: Mapping[str, str]) -> None:
        """Make a request for an event stream and read it to its end."""

    async def websocket(
        self, url: str, headers: Mapping[str, str], opened: Callable[[str | None], None]
    ) -> None:
        """Open a WebSocket and read it to its end.

        :param opened: called with the subprotocol that the server chose.
        """

    def send(self, text: str) -> None:
        """Send a text frame."""

    def cut(self) -> None:
        """Close it, whatever it is doing, and say nothing more of it."""


class Connection(Protocol):
    """A machine, with each of its topics by number."""

    @property
    def machine(self) -> Machine:
        """The machine that is driven."""

    async def carry(self, driver: Driver, connect: Connect, line: Line) -> None:
        """Make a connection and read it to its end."""

    async def ask_credentials(self, driver: Driver, topic: int) -> None:
        """Ask for a topic's credentials and tell the machine."""

    def trouble(self, topic: int) -> str | None:
        """Why a topic is being tried again, in words for a person."""

    def publish(self, topic: int, type: str, data: object, key: str | None, now: float) -> int:
        """Take a publish; its outcome comes as `Settle` with the number returned.

        :raises TakoError: it cannot be taken.
        """

    def say(self, topic: int, state: object, now: float) -> int:
        """The caller says something of itself at a topic; as `publish`."""

    def subject(self, topic: int) -> str | None:
        """The subject of the caller at a topic, as far as the server has named it."""

    def refreshed(self, topic: int, token: str) -> None:
        """There are new credentials of a topic."""

    def gone_answered(self, topic: int, cursor: str | None, now: float) -> None:
        """The app answered `AskGone`: where to go on, `None` for live."""

    def left(self, topic: int) -> None:
        """The caller wants no more of a topic."""


@attrs.define(eq=False)
class Driver(ABC):
    """One machine, its present connection and the receive queues of its topics.

    :ivar connection: whose machine is driven.
    :ivar subscriptions: subscriptions by number, from their begin to their end.
    """

    connection: Connection
    policy: Policy
    target: Target
    ca_file: str | None = None
    subscriptions: dict[int, SubscriptionState] = attrs.field(factory=dict, init=False)
    _line: Line | None = attrs.field(default=None, init=False)
    _pumping: bool = attrs.field(default=False, init=False)

    @property
    def machine(self) -> Machine:
        """The machine that is driven."""
        return self.connection.machine

    def pump(self) -> None:
        """Carry out what the machine wants."""
        # A caller who is woken within may publish within; what follows from that
        # comes after the intents that are under way.
        if self._pumping:
            return
        self._pumping = True
        try:
            while intents := self.machine.intents():
                for intent in intents:
                    self._carry_out(intent)
        finally:
            self._pumping = False
        self.set_timer(self.machine.wake_at)

    def woke(self) -> None:
        """The timer has come."""
        self.machine.woke(self.now())
        self.pump()

    @property
    def crowded(self) -> bool:
        """Back-pressure: nothing more should be read.  Never while a publish waits for its answer,
        which may be behind the messages: a caller that waits for it would wait forever."""
        return any(
            subscription.queue.full and not subscription.publishes
            for subscription in self.subscriptions.values()
        )

    def took(self, subscription: SubscriptionState) -> None:
        """A caller took an event."""
        if subscription.queue.drained:
            self.made_room()

    def give_up_all(self, error: Exception) -> None:
        """Something failed that is not the network's doing and would fail again."""
        for topic in list(self.subscriptions):
            self.give_up(topic, error)

    @abstractmethod
    def now(self) -> float:
        """The machine's time."""

    @abstractmethod
    def set_timer(self, at: float | None) -> None:
        """Call `woke` at this time of the machine, and at no other."""

    @abstractmethod
    def open_line(self, connect: Connect) -> Line:
        """Begin a connection."""

    @abstractmethod
    def made_room(self) -> None:
        """Look again whether reading may go on."""

    @abstractmethod
    def outcome(self, subscription: SubscriptionState, begin: Callable[[], int]) -> Awaitable[Any]:
        """The outcome of something that the caller begins, once there is one.

        :param begin: gives its number; what it raises is the outcome.
        """

    @abstractmethod
    def resolve(self, future: object, id: str | None, error: Exception | None) -> None:
        """A publish has its outcome."""

    @abstractmethod
    def ask(self, function: Callable[..., object], *args: object) -> Awaitable[Any]:
        """Call a function of the caller's, whose result may have to be waited for."""

    @abstractmethod
    def run(self, work: Coro[None]) -> object:
        """Run a coroutine that ends with us; what fails in it is given up."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything; returns when nothing of ours is under way."""

    @abstractmethod
    async def in_time(self, function: Callable[[], object], seconds: float) -> Any:
        """As `ask`.  :raises TimeoutError: it has not answered in time."""

    async def value_of(self, credentials: Credentials) -> CredentialsValue:
        """The value, asked for anew where it comes from a callable.

        :raises NoAnswer: it does not give one in time.
        """
        seconds = self.policy.credentials_ms / 1000
        try:
            return await value_of(credentials, lambda ask: self.in_time(ask, seconds))
        except TimeoutError:
            raise NoAnswer(f"The credentials were not given within {seconds:g} s.") from None

    def give_up(self, topic: int, error: Exception) -> None:
        """The caller's own callable failed: that subscription is over."""
        subscription = self.subscriptions.get(topic)
        if subscription is not None:
            subscription.queue.end(error)
            self.connection.left(topic)
            self.pump()

    async def _ask_credentials(self, topic: int) -> None:
        await self.connection.ask_credentials(self, topic)
        self.pump()

    async def _ask_gone(self, gone: Gone, topic: int, choice: Callable[[Gone], object]) -> None:
        try:
            cursor = await self.ask(choice, gone)
        except Exception as failed:
            self.give_up(topic, failed)
        else:
            self.connection.gone_answered(topic, cursor, self.now())
            self.pump()

    def _carry_out(self, intent: Intent) -> None:
        match intent:
            case Connect():
                self._line = self.open_line(intent)
            case Drop():
                line, self._line = self._line, None
                if line is not None:
                    line.cut()
            case Send(text):
                if self._line is not None:
                    self._line.send(text)
            case Settle(number, id, error):
                for subscription in self.subscriptions.values():
                    if number in subscription.publishes:
                        self.resolve(subscription.publishes.pop(number), id, error)
            case AskCredentials(topic):
                self.run(self._ask_credentials(topic))
            case AskGone(gone, topic):
                choice = self.subscriptions[topic].on_gone if topic in self.subscriptions else None
                if isinstance(gone, Gone) and callable(choice):
                    self.run(self._ask_gone(gone, topic, choice))
            case Deliver() | Move() | Stop():
                self._for_subscription(intent)

    def _for_subscription(self, intent: Deliver | Move | Stop) -> None:
        subscription = self.subscriptions.get(intent.topic)
        if subscription is None:
            return
        match intent:
            case Deliver(event, cursor):
                subscription.queue.put(event, cursor)
            case Move(cursor):
                subscription.queue.move(cursor)
            case Stop(error):
                subscription.queue.end(error)
                # Not in `close`: that may be called while intents before this one wait.
                del self.subscriptions[intent.topic]
                self.made_room()
        subscription.news()
