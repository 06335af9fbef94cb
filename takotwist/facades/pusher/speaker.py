"""One client of Pusher's on its connection.

Rule: what goes wrong about one channel is said about that channel, and closes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.codecs.websocket_frame import text_frame
from takotwist.core.authorization import Grant
from takotwist.core.log import Appended
from takotwist.core.topic import Draft, Topic
from takotwist.errors import (
    BodyInvalid,
    CredentialsMissing,
    MessageTooLarge,
    Overloaded,
    RateLimited,
    Refusal,
    VerifyRejected,
)
from takotwist.facades.pusher.frames import (
    ClientFrame,
    check_event,
    error_frame,
    event_frame,
    frame,
    read_data,
    read_frame,
    stored_value,
)
from takotwist.facades.pusher.hub import Hub, Place
from takotwist.facades.pusher.names import CLIENT_EVENT, Name, is_user_id
from takotwist.facades.pusher.roster import info_of
from takotwist.facades.pusher.signatures import is_signed, of_channel, of_user
from takotwist.facades.pusher.wire import CLIENT_EVENT_REFUSED, PusherWire
from takotwist.flow.authorize import Authorized
from takotwist.flow.refusal import refusal_of
from takotwist.flow.session import Subscribed
from takotwist.transports.admission import CONTROL_TOKENS, Admission, RateRefusals
from takotwist.transports.mux.topics import TopicQueues

_logger = Logger()

#: Characters of a channel's name, as the client said it, that are said back to it.
SHOWN = 200


@attrs.define(slots=True, eq=False)
class _Channel:
    """A channel that the client follows."""

    name: Name
    place: Place
    subscribed: Subscribed
    user_id: str | None


class PusherSpeaker:
    """Speaks to one client.

    :param socket_id: of the connection, as its client and its app call it.
    """

    __slots__ = (
        "_admission",
        "_channels",
        "_hub",
        "_level",
        "_level_at",
        "_limited",
        "_queues",
        "_user",
        "_wire",
        "socket_id",
    )

    def __init__(self, wire: PusherWire, hub: Hub, admission: Admission, socket_id: str) -> None:
        self._wire = wire
        self._hub = hub
        self._admission = admission
        self.socket_id = socket_id
        self._channels: dict[str, _Channel] = {}
        self._queues = TopicQueues(wire.hold)
        self._user: tuple[str, dict[str, Any]] | None = None
        self._limited: RateRefusals | None = None
        self._level, self._level_at = hub.settings.client_event_rate, admission.seconds()

    def begin(self) -> None:
        """Say who it is."""
        timeout = self._hub.settings.activity_timeout
        self._hub.sockets[self.socket_id] = self
        self._wire.send(
            frame(
                "pusher:connection_established",
                {"socket_id": self.socket_id, "activity_timeout": max(1, round(timeout))},
            )
        )
        self._wire.keep_alive(timeout)

    def received(self, text: bytes) -> None:
        """A frame has come."""
        try:
            said = read_frame(text)
        except BodyInvalid as bad:
            if not self._over_rate(1.0):
                self._error(bad.sentence)
            return
        event = said.event
        from_client = event.startswith(CLIENT_EVENT)
        if self._over_rate(1.0 if from_client else CONTROL_TOKENS):
            return
        try:
            if event == "pusher:ping":
                self._wire.send(b'{"event":"pusher:pong","data":"{}"}')
            elif event == "pusher:subscribe":
                self._about(said, self._subscribe)
            elif event == "pusher:unsubscribe":
                self._about(said, self._unsubscribe)
            elif event == "pusher:signin":
                self._sign_in(read_data(said.data))
            elif from_client:
                self._client_event(said)
            elif event != "pusher:pong":
                self._error(f"There is no event {event[:SHOWN]!r} for clients.")
        except Refusal as refusal:
            code = CLIENT_EVENT_REFUSED if from_client else None
            self._error(refusal.sentence, code, said.channel if from_client else None)

    def lost(self) -> None:
        """The connection has gone."""
        self._queues.close()
        for one in list(self._channels):
            self._forget(one)
        self._hub.sockets.pop(self.socket_id, None)
        if self._user is not None:
            self._hub.signed_out(self._user[0], self)

    # for the hub

    def push(self, whole: bytes) -> bool:
        """See `PusherWire.push`."""
        return self._wire.push(whole)

    def end(self, refusal: Refusal) -> None:
        """End the connection."""
        self._wire.end(refusal)

    def leave_out(
        self, name: str, event: str, data: bytes, user_id: str | None = None
    ) -> Callable[[], None] | None:
        """Do not give the client an event of a channel that is about to be stored.

        :return: to be called where it is not stored.
        """
        if name not in self._channels:
            return None
        expected = text_frame(event_frame(name, event, data, user_id))
        self._wire.send_queue.leave_out(expected)
        return partial(self._wire.send_queue.leave_in, expected)

    def topic_of(self, name: str) -> Topic | None:
        """The topic of a channel that the client follows."""
        channel = self._channels.get(name)
        return None if channel is None else channel.place.asked.topic

    # subscriptions

    def _about(self, said: ClientFrame, do: Callable[[Name, dict[str, Any]], Any]) -> None:
        data = read_data(said.data)
        name = Name.of(data.get("channel"))
        self._queues.take(
            name.text, lambda: do(name, data), lambda failure: self._failed(name, failure)
        )

    def _failed(self, name: Name, failure: Failure) -> None:
        refusal = refusal_of(failure, _logger, "a frame of a Pusher client failed")
        self._admission.answers.count(refusal)
        kind = "Error"
        if isinstance(refusal, CredentialsMissing | VerifyRejected):
            kind = "AuthError"
        elif isinstance(refusal, RateLimited | Overloaded):
            kind = "LimitReached"
        told = {"type": kind, "error": refusal.sentence, "status": refusal.http_status}
        self._wire.send(frame("pusher:subscription_error", told, name.text))

    async def _subscribe(self, name: Name, data: dict[str, Any]) -> None:
        hub = self._hub
        if name.text in self._channels:
            self._error(f"Existing subscription to channel {name.text}")
            return
        user_id, info = self._let_in(name, data)
        place = await hub.find(name)
        hub.check_trust(place, name)
        members = hub.members(name.text) if name.presence else {}
        if len(members) >= hub.settings.max_members and user_id not in members:
            raise Overloaded(f"A presence channel has {hub.settings.max_members} members at most.")
        cursor = None
        if name.cache:
            last = await hub.last(place.asked.topic)
            # Begun right before it, so that it is the first to come, and what is stored
            # meanwhile is next.
            cursor = None if last is None else last.id - 1
        wire = self._wire
        subject = user_id or (self._user[0] if self._user is not None else None)
        # Where the topic's channel has presence, its other clients see the member too.
        shown = msgspec.json.decode(info) if name.presence else None

        def opened(_: int, reset: Refusal | None) -> None:
            told = hub.entered(name, place, self, user_id, info)
            wire.send(frame("pusher_internal:subscription_succeeded", told, name.text))
            if name.cache and (cursor is None or reset is not None):
                wire.send(frame("pusher:cache_miss", channel=name.text))
                hub.told.happened("cache_miss", name.text)

        try:
            subscribed = await wire.session.subscribe(
                Authorized(place.asked, Grant(subject=subject, info=shown)),
                cursor,
                True,
                opened,
                wire.end,
                wire.hold,
            )
            if subscribed is not None:
                self._channels[name.text] = _Channel(name, place, subscribed, user_id)
        finally:
            if name.text not in self._channels:
                hub.left(name, self)

    async def _unsubscribe(self, name: Name, data: dict[str, Any]) -> None:
        self._forget(name.text)

    def _forget(self, text: str) -> None:
        channel = self._channels.pop(text, None)
        if channel is not None:
            self._wire.session.unsubscribe(channel.place.asked.topic.key)
            self._hub.left(channel.name, self)

    def _let_in(self, name: Name, data: Mapping[str, Any]) -> tuple[str | None, bytes]:
        """Check the signature.

        :return: the member that the client is, and what it shows, in a presence channel.
        :raises CredentialsMissing: the signature is not the app's.
        """
        if name.user is not None:
            if self._user is None or self._user[0] != name.user:
                raise VerifyRejected("Only the user who has signed in follows this channel.")
            return None, b"null"
        if not name.signed:
            return None, b"null"
        app, shown = self._hub.app, data.get("channel_data")
        if shown is not None and not isinstance(shown, str):
            raise BodyInvalid("channel_data must be a string.")
        text = of_channel(self.socket_id, name.text, shown if name.presence else None)
        if not is_signed(app.key, app.secret, data.get("auth"), text):
            raise CredentialsMissing("The signature of this subscription is not the app's.")
        if not name.presence:
            return None, b"null"
        if shown is None:
            if self._user is None:
                raise BodyInvalid("A presence channel needs channel_data, or a user who signed in.")
            return self._member(self._user[0], info_of(self._user[1], "user_info"))
        said = _object(shown, "channel_data")
        return self._member(said.get("user_id"), info_of(said, "user_info"))

    def _member(self, user_id: object, info: bytes) -> tuple[str, bytes]:
        user_id = _user_id(user_id, "user_id")
        most = self._hub.settings.max_user_info_bytes
        if len(info) > most:
            raise MessageTooLarge(f"user_info has {len(info)} bytes; at most {most} are taken.")
        return user_id, info

    # the user

    def _sign_in(self, data: Mapping[str, Any]) -> None:
        app, shown = self._hub.app, data.get("user_data")
        text = of_user(self.socket_id, shown) if isinstance(shown, str) else ""
        if not text or not is_signed(app.key, app.secret, data.get("auth"), text):
            self._wire.end(CredentialsMissing("The signature of this user is not the app's."))
            return
        assert isinstance(shown, str)
        said = _object(shown, "user_data")
        user_id = _user_id(said.get("id"), "user_data.id")
        if self._user is not None and self._user[0] != user_id:
            raise BodyInvalid("Another user has signed in on this connection.")
        self._user = user_id, said
        self._hub.signed_in(user_id, self)
        self._wire.send(frame("pusher:signin_success", {"user_data": shown}))

    # client events

    def _client_event(self, said: ClientFrame) -> None:
        hub = self._hub
        if not hub.app.client_events:
            raise VerifyRejected("Client events are not enabled for this app.")
        channel = self._channels.get(said.channel or "")
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
            hub.deliver_everywhere(name, event_frame(name, event, data, user_id), self)
            self._told(channel, event, data)

    def _store(self, channel: _Channel, event: str, data: bytes) -> None:
        hub, place, name = self._hub, channel.place, channel.name.text
        topic = place.asked.topic
        undo = self.leave_out(name, event, data, channel.user_id)
        forget = None
        if channel.user_id is not None:
            forget = hub.said_by(topic, event, data, channel.user_id)
            hub.said_elsewhere(name, event, data, channel.user_id)

        def outcome(result: Appended | Refusal | None) -> None:
            if forget is not None:
                forget()
            if isinstance(result, Appended):
                self._told(channel, event, data)
                return
            if undo is not None:
                undo()
            if result is not None and not self._wire.session.closed:
                self._error(result.sentence, CLIENT_EVENT_REFUSED, name)

        if place.rule is not None:
            # The way of the channel's own clients: schema, handlers, log.
            channel.subscribed.frames.received(Draft(event, data), None, outcome)
            return
        storing: Deferred[Appended] = hub.trigger(place, event, data)
        storing.addCallbacks(outcome, lambda failure: outcome(_refusal(failure)))

    def _told(self, channel: _Channel, event: str, data: bytes) -> None:
        more = {} if channel.user_id is None else {"user_id": channel.user_id}
        self._hub.told.happened(
            "client_event",
            channel.name.text,
            event=event,
            data=data.decode(),
            socket_id=self.socket_id,
            **more,
        )

    def _take(self) -> None:
        """:raises RateLimited: the client says too much."""
        rate, now = self._hub.settings.client_event_rate, self._admission.seconds()
        if not rate:
            return
        most = max(rate, 1.0)
        self._level = min(most, self._level + (now - self._level_at) * rate)
        self._level_at = now
        if self._level < 1:
            raise RateLimited(f"A client may send {rate:g} client events a second.")
        self._level -= 1

    def _over_rate(self, tokens: float) -> bool:
        try:
            self._admission.frame_cost(self._wire.session.address, tokens)
        except RateLimited as limited:
            if self._limited is None:
                self._limited = RateRefusals()
            if self._limited.too_many(self._admission.seconds()):
                self._wire.end(limited)
            else:
                self._error(limited.sentence, CLIENT_EVENT_REFUSED)
            return True
        return False

    def _error(self, message: str, code: int | None = None, channel: str | None = None) -> None:
        self._wire.send(error_frame(message, code, channel))


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BodyInvalid(f"{what} must be an object, as JSON.")
    return value


def _user_id(value: object, what: str) -> str:
    """Libraries send numbers too."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not is_user_id(text):
        raise BodyInvalid(f"{what} must have 1 to 128 characters.")
    assert isinstance(text, str)
    return text


def _refusal(failure: Failure) -> Refusal:
    return refusal_of(failure, _logger, "storing a client event failed")
