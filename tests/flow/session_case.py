"""Sessions over the delivery path, for tests: one connection or many, with small limits."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.authorization import AuthRequest, Frame, Grant
from takotwist.core.channel import ChannelDefinition, Lifecycle, Registry
from takotwist.core.limits import ConnectionLimits, TopicNames
from takotwist.core.send_queue import SendQueue
from takotwist.core.topic import Topic
from takotwist.errors import (
    Refusal,
)
from takotwist.flow.authorize import Authorized, AuthorizerService
from takotwist.flow.channel_states import ChannelStates
from takotwist.flow.session import Session
from takotwist.flow.session_services import SessionServices
from takotwist.flow.sessions import Sessions
from takotwist.flow.topic_request import TopicRequest
from tests.flow.delivery_world import PLAIN, DeliveryWorld
from tests.settings import limited

ADDRESS = "192.0.2.1"
CHANNEL = ChannelDefinition(name="chat")


class App:
    """An app that nobody asks here."""

    def authorize(self, request: AuthRequest) -> Deferred[Grant]:
        """See `IAuthorizer`."""
        raise NotImplementedError

    def dispatch(self, frame: Frame) -> Deferred[Any]:
        """See `IAuthorizer`."""
        raise NotImplementedError


class SessionTestCase(SynchronousTestCase):
    """Sessions over the delivery path, with small limits."""

    def setUp(self) -> None:
        self.world = DeliveryWorld(100_000, Lifecycle())
        settings = limited(
            max_connections=3,
            max_connections_per_address=2,
            max_connections_per_subject=1,
            connect_rate=0,
            max_subscriptions_per_connection=2,
            max_subscriptions=4,
            max_topic_bytes_total=10_000,
            max_topic_bytes_per_connection=60,
        )
        self.limits = ConnectionLimits(settings)
        self.names = TopicNames(settings)
        self.ends: list[Refusal | None] = []
        app: Any = App()
        no_presence: Any = None
        world = self.world
        services = SessionServices(
            self.limits,
            settings,
            self.names,
            world.attacher,
            world.publishing,
            AuthorizerService(Registry(), app, world.metrics, world.clock.seconds, settings),
            app,
            no_presence,
            world.deadlines,
            world.clock.seconds,
            world.clock.seconds,
            lambda: 0.5,
            ChannelStates(world.log, app, settings, world.clock.seconds),
        )
        self.sessions = Sessions(services, world.metrics, iter("abcdefgh").__next__)

    def open(self, address: str = ADDRESS) -> Session:
        """One more connection."""
        self.sessions.enter(address)
        queue = SendQueue(1000, self.world.flush_batch)
        self.received: list[bytes] = []
        queue.connect(PLAIN, self.received.append)
        return self.sessions.open("sse", address, queue, self.ends.append)

    def authorized(self, room: str = "a", **grant: Any) -> Authorized:
        """The app has let in who asks for `room`."""
        params = {"roomId": room}
        return Authorized(TopicRequest(CHANNEL, params, Topic.of("chat", params)), Grant(**grant))

    def subscribe(
        self, session: Session, authorized: Authorized, cursor: int | None = None
    ) -> tuple[list[Any], list[Refusal]]:
        """What a subscription begins with or is refused with, and its ends."""
        begun: list[Any] = []
        ends: list[Refusal] = []
        subscribing = ensureDeferred(
            session.subscribe(
                authorized, cursor, False, lambda at, reset: begun.append(at), ends.append
            )
        )
        subscribing.addCallbacks(begun.append, lambda failure: begun.append(failure.value))
        return begun, ends

    def advance(self, seconds: float) -> None:
        """Time passes, in one tick."""
        self.world.clock.advance(seconds)
        for action in self.world.deadlines.tick(self.world.clock.seconds()):
            action()
