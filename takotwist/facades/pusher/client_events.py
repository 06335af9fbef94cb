"""Events that clients say to each other."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.log import Appended
from takotwist.core.topic import Draft
from takotwist.errors import MessageTooLarge, RateLimited, Refusal, VerifyRejected
from takotwist.facades.pusher.channels import Place
from takotwist.facades.pusher.client import Client
from takotwist.facades.pusher.frames import ClientFrame, check_event, event_frame, stored_value
from takotwist.facades.pusher.hub import Hub
from takotwist.facades.pusher.names import Name
from takotwist.flow.refusal import refusal_of
from takotwist.flow.session import Subscribed

_logger = Logger()


@attrs.define(slots=True, eq=False)
class FollowedChannel:
    """A channel that the client follows."""

    name: Name
    place: Place
    subscribed: Subscribed
    user_id: str | None


@attrs.define(slots=True, eq=False)
class ClientEvents:
    """Events of one client for others.

    :ivar closed: `True` once its connection has gone.
    :ivar seconds: a clock for durations.
    :ivar refuse: tells it that an event was refused, and of which channel.
    """

    _hub: Hub
    _client: Client
    _closed: Callable[[], bool]
    _seconds: Callable[[], float]
    _refuse: Callable[[Refusal, str | None], None]
    _level: float = attrs.field(init=False)
    _level_at: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._level, self._level_at = self._hub.settings.client_event_rate, self._seconds()

    def said(self, said: ClientFrame, channel: FollowedChannel | None) -> None:
        """The client has said one.

        :param channel: for which it is; `None` where the client does not follow it.
        :raises Refusal: it is not passed on.
        """
        hub = self._hub
        if not hub.app.client_events:
            raise VerifyRejected("Client events are not enabled for this app.")
        if channel is None:
            raise VerifyRejected("A client event is for a channel that its client follows.")
        if not channel.name.takes_client_events:
            raise VerifyRejected("Client events are for private and presence channels.")
        event = check_event(said.event)
        self._take()
        data = stored_value(bytes(said.data))
        most = hub.settings.max_event_bytes
        if len(data) > most:
            raise MessageTooLarge(f"data has {len(data)} bytes; at most {most} are taken.")
        name, user_id = channel.name.text, channel.user_id
        rule = channel.place.rule
        if rule.store_client_events if rule is not None else hub.app.store_client_events:
            self._store(channel, event, data)
        else:
            hub.deliver_everywhere(name, event_frame(name, event, data, user_id), self._client)
            self._told(channel, event, data)

    def _store(self, channel: FollowedChannel, event: str, data: bytes) -> None:
        hub, place, name = self._hub, channel.place, channel.name.text
        topic = place.asked.topic
        undo = self._client.leave_out(name, event, data, channel.user_id)
        forget = None
        known: Deferred[Appended | None] = succeed(None)
        if channel.user_id is not None:
            forget = hub.said_by(topic, event, data, channel.user_id)
            known = hub.said_elsewhere(name, event, data, channel.user_id)

        def outcome(result: Appended | Refusal | None) -> None:
            if forget is not None:
                forget()
            if isinstance(result, Appended):
                self._told(channel, event, data)
                return
            if undo is not None:
                undo()
            if result is not None and not self._closed():
                self._refuse(result, name)

        def store(_: object) -> None:
            if place.rule is None:
                storing = hub.trigger(place, event, data)
                storing.addCallbacks(outcome, lambda failure: outcome(_refusal(failure)))
            elif self._closed():
                outcome(None)
            else:
                # The way of the channel's own clients: schema, handlers, log.
                channel.subscribed.frames.received(Draft(event, data), None, outcome)

        known.addCallback(store)

    def _told(self, channel: FollowedChannel, event: str, data: bytes) -> None:
        more = {} if channel.user_id is None else {"user_id": channel.user_id}
        self._hub.told.happened(
            "client_event",
            channel.name.text,
            event=event,
            data=data.decode(),
            socket_id=self._client.socket_id,
            **more,
        )

    def _take(self) -> None:
        """:raises RateLimited: the client says too much."""
        rate, now = self._hub.settings.client_event_rate, self._seconds()
        if not rate:
            return
        most = max(rate, 1.0)
        self._level = min(most, self._level + (now - self._level_at) * rate)
        self._level_at = now
        if self._level < 1:
            raise RateLimited(f"A client may send {rate:g} client events a second.")
        self._level -= 1


def _refusal(failure: Failure) -> Refusal:
    return refusal_of(failure, _logger, "storing a client event failed")
