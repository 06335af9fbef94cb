"""One client of Pusher's on its connection.

Rule: what goes wrong about one channel is said about that channel, and closes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import msgspec
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.codecs.websocket_frame import text_frame
from takotwist.core.authorization import Grant
from takotwist.core.topic import Topic
from takotwist.errors import (
    BodyInvalid,
    CredentialsMissing,
    Overloaded,
    RateLimited,
    Refusal,
    VerifyRejected,
)
from takotwist.facades.pusher.client_events import ClientEvents, FollowedChannel
from takotwist.facades.pusher.credentials import User, let_in, sign_in
from takotwist.facades.pusher.frames import (
    ClientFrame,
    error_frame,
    event_frame,
    frame,
    read_data,
    read_frame,
)
from takotwist.facades.pusher.hub import Hub
from takotwist.facades.pusher.names import CLIENT_EVENT, Name
from takotwist.facades.pusher.watchlists import read_watchlist
from takotwist.facades.pusher.wire import CLIENT_EVENT_REFUSED, WATCHLIST_TOO_LONG, PusherWire
from takotwist.flow.authorize import Authorized
from takotwist.flow.refusal import refusal_of
from takotwist.interfaces import Coro
from takotwist.transports.admission import CONTROL_TOKENS, Admission, RateRefusals
from takotwist.transports.mux.topics import TopicQueues

_logger = Logger()

#: Characters of a channel's name, as the client said it, that are said back to it.
SHOWN = 200


class PusherSpeaker:
    """Speaks to one client.

    :param socket_id: of the connection, as its client and its app call it.
    """

    __slots__ = (
        "_admission",
        "_channels",
        "_events",
        "_hub",
        "_limited",
        "_queues",
        "_user",
        "_watched",
        "_wire",
        "socket_id",
    )

    def __init__(self, wire: PusherWire, hub: Hub, admission: Admission, socket_id: str) -> None:
        self._wire = wire
        self._hub = hub
        self._admission = admission
        self.socket_id = socket_id
        self._channels: dict[str, FollowedChannel] = {}
        self._queues = TopicQueues(wire.hold)
        self._user: User | None = None
        self._watched: tuple[str, ...] = ()
        self._limited: RateRefusals | None = None
        self._events = ClientEvents(
            hub, self, lambda: wire.session.closed, admission.seconds, self._refused_event
        )

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
                self._events.said(said, self._channels.get(said.channel or ""))
            elif event != "pusher:pong":
                self._error(f"There is no event {event[:SHOWN]!r} for clients.")
        except Refusal as refusal:
            if from_client:
                self._refused_event(refusal, said.channel)
            else:
                self._error(refusal.sentence)

    def lost(self) -> None:
        """The connection has gone."""
        self._queues.close()
        for one in list(self._channels):
            self._forget(one)
        self._hub.sockets.pop(self.socket_id, None)
        if self._user is not None:
            self._hub.users.watchlists.unwatch(self, self._watched)
            self._hub.users.signed_out(self._user[0], self)

    # for the hub

    def push(self, whole: bytes) -> bool:
        """See `PusherWire.push`."""
        return self._wire.push(whole)

    def tell(self, said: bytes) -> None:
        """Say something to the client."""
        self._wire.send(said)

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

    def _about(
        self, said: ClientFrame, do: Callable[[Name, dict[str, object]], Coro[None]]
    ) -> None:
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

    async def _subscribe(self, name: Name, data: dict[str, object]) -> None:
        hub = self._hub
        if name.text in self._channels:
            self._error(f"Existing subscription to channel {name.text}")
            return
        user_id, info = let_in(hub.app, hub.settings, self.socket_id, self._user, name, data)
        place = await hub.find(name)
        hub.check_trust(place, name)
        members = hub.channels.members(name.text) if name.presence else {}
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
            told = hub.channels.entered(name, place, self, user_id, info)
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
                self._channels[name.text] = FollowedChannel(name, place, subscribed, user_id)
        finally:
            if name.text not in self._channels:
                hub.channels.left(name, self)

    async def _unsubscribe(self, name: Name, data: dict[str, object]) -> None:
        self._forget(name.text)

    def _forget(self, text: str) -> None:
        channel = self._channels.pop(text, None)
        if channel is not None:
            self._wire.session.unsubscribe(channel.place.asked.topic.key)
            self._hub.channels.left(channel.name, self)

    # the user

    def _sign_in(self, data: Mapping[str, object]) -> None:
        try:
            user_id, said = sign_in(self._hub.app, self.socket_id, data)
        except CredentialsMissing as forged:
            self._wire.end(forged)
            return
        if self._user is not None and self._user[0] != user_id:
            raise BodyInvalid("Another user has signed in on this connection.")
        self._user = user_id, said
        self._hub.users.signed_in(user_id, self)
        self._wire.send(frame("pusher:signin_success", {"user_data": data["user_data"]}))
        if self._hub.app.watchlists:
            self._watch(read_watchlist(said))

    def _watch(self, users: tuple[str, ...]) -> None:
        watchlists, most = self._hub.users.watchlists, self._hub.settings.max_watchlist
        watchlists.unwatch(self, self._watched)
        self._watched = ()
        if len(users) > most:
            self._error(f"A watchlist has {most} users at most.", WATCHLIST_TOO_LONG)
        else:
            self._watched = users
            watchlists.watch(self, users)

    def _over_rate(self, tokens: float) -> bool:
        try:
            self._admission.frame_cost(self._wire.session.address, tokens)
        except RateLimited as limited:
            if self._limited is None:
                self._limited = RateRefusals()
            if self._limited.too_many(self._admission.seconds()):
                self._wire.end(limited)
            else:
                self._refused_event(limited, None)
            return True
        return False

    def _error(self, message: str, code: int | None = None, channel: str | None = None) -> None:
        self._wire.send(error_frame(message, code, channel))

    def _refused_event(self, refusal: Refusal, channel: str | None) -> None:
        self._error(refusal.sentence, CLIENT_EVENT_REFUSED, channel)
