"""A session: one connection, with the subscriptions that it owns.

It is what all transports have in common: who it is, which topics it follows, when
its credentials end.  Rule: whatever a session has taken (limits,
places in the fan-out, deadlines) is given back by `close`, and only there; and what
was part of it goes then, not when Python next looks for cycles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs
from twisted.internet.defer import Deferred, succeed

from takotwist.core.counted import counted
from takotwist.core.deadlines import Deadline
from takotwist.core.fanout import Subscription
from takotwist.core.send_queue import SendQueue
from takotwist.core.topic import Topic
from takotwist.errors import BodyInvalid, CredentialsExpired, RateLimited, Refusal, VerifyRejected
from takotwist.flow.authorize import Authorized
from takotwist.flow.client_frames import ClientFrames
from takotwist.flow.presence import PresenceService
from takotwist.flow.session_services import SessionServices

#: Called at the beginning of a subscription with the cursor, and with the refusal that a
#: reset stands for.
OnOpen = Callable[[int, Refusal | None], None]


@attrs.define(slots=True, eq=False)
class Subscribed:
    """One topic that a session follows.

    :ivar admitted: the newest grant.
    """

    admitted: Authorized
    _session: Session
    _on_end: Callable[[Refusal], None]
    _on_full: Callable[[bool], None]
    _name_bytes: int
    subscription: Subscription = attrs.field(init=False)
    _frames: ClientFrames | None = attrs.field(default=None, init=False)
    _expiry: Deadline | None = attrs.field(default=None, init=False)
    _renewals: int = attrs.field(default=0, init=False)

    @property
    def frames(self) -> ClientFrames:
        """The way in for what the client sends on this topic.

        Made when something comes: most connections only listen.
        """
        if self._frames is None:
            session = self._session
            self._frames = session._services.way_in(self.admitted, session.address, self._on_full)
            if self.subscription.ended:
                self._frames.close()
            self._frames.pause(self._renewals > 0)
        return self._frames

    def ended(self, refusal: Refusal) -> None:
        """The server ends the subscription.  Harmless when the topic was left."""
        if not self._session.follows(self):
            return
        if self._frames is not None:
            self._frames.end(refusal)
        decided = isinstance(refusal, CredentialsExpired | VerifyRejected)
        self._session.leave(self, lost=not decided)
        self._on_end(refusal)

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Let frames wait while new credentials are asked about.

        A client that has just signed in speaks as who it is now, and not as the guest
        that it was when the connection began.
        """
        self._renewals += 1
        try:
            if self._frames is not None:
                self._frames.pause(True)
            yield
        finally:
            self._renewals -= 1
            if self._frames is not None:
                self._frames.pause(self._renewals > 0)

    def finished(self) -> Deferred[None]:
        """Wait until what the client has sent on this topic is done."""
        return succeed(None) if self._frames is None else self._frames.finished()

    def expired(self) -> None:
        """The grant is void."""
        self.ended(CredentialsExpired())

    def watch_expiry(self) -> None:
        """End the subscription when its grant is void."""
        parts, expires_at = self._session._services, self.admitted.grant.expires_at
        self.forget_expiry()
        if expires_at is not None:
            left = expires_at - parts.wall()
            self._expiry = parts.deadlines.at(parts.seconds() + left, self.expired)

    def forget_expiry(self) -> None:
        """It has left, or has a newer grant.  Harmless when nothing is watched."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def refreshed(self, admitted: Authorized) -> None:
        """New credentials were accepted."""
        self.admitted = admitted
        if self._frames is not None:
            self._frames.permission.renew(admitted)
        self.watch_expiry()

    def left(self) -> None:
        """The topic is no longer followed."""
        if self._frames is not None and self._session.closed:
            self._frames.close()
        # Else what the client said before it left is finished, and answered.
        self.forget_expiry()
        # It and its subscription know each other, and only a collector would part them.
        self.subscription.on_end = _nothing_more


def _begun(cursor: int, reset: Refusal | None) -> None:
    """The `on_open` of a subscription that has begun."""


def _nothing_more(refusal: Refusal | None) -> None:
    """The `on_end` of what has ended."""


def _always_reads(full: bool) -> None:
    """The `on_full` of a connection that cannot stop reading."""


@attrs.define(slots=True, eq=False)
class Session:
    """One connection.

    :ivar id: names the connection in logs and to its client.
    :ivar kind: ``sse``, ``websocket``, ``mux``.
    :ivar address: of the peer, as limits count it.
    :ivar opened_at: seconds.
    :ivar end: ends the connection; the refusal is the reason, `None` for a normal end.
    """

    id: str
    kind: str
    address: str
    opened_at: float
    send_queue: SendQueue
    end: Callable[[Refusal | None], None]
    _services: SessionServices
    _on_close: Callable[[Session, str], None]
    subscribed: dict[str, Subscribed] = attrs.field(factory=dict, init=False)
    #: Bytes of the names of topics that are held for this connection.
    _name_bytes: int = attrs.field(default=0, init=False)
    # Tuples, as both have one entry or two for as long as the connection lasts.
    _subjects: tuple[str, ...] = attrs.field(default=(), init=False)
    _deadlines: tuple[tuple[str, Deadline], ...] = attrs.field(default=(), init=False)
    _closed: bool = attrs.field(default=False, init=False)

    async def subscribe(
        self,
        admitted: Authorized,
        cursor: int | None,
        reset_when_stale: bool,
        on_open: OnOpen,
        on_end: Callable[[Refusal], None],
        on_full: Callable[[bool], None] = _always_reads,
        on_live: Callable[[], None] | None = None,
    ) -> Subscribed | None:
        """Follow a topic.

        :param on_open: called before the first message.
        :param on_end: called when the server ends the subscription.
        :param on_full: see `ClientFrames`.
        :param on_live: called when all that was there at the beginning has been given.
        :return: `None` where the connection has closed, or the topic was left meanwhile.
        :raises BodyInvalid: it is followed already. :raises RateLimited: too many are.
        :raises Refusal: the topic cannot be followed from this cursor.
        """
        if self._closed:
            # What it took would never be given back.
            return None
        parts = self._services
        topic = admitted.asked.topic
        if topic.key in self.subscribed:
            # Not a rate: a client that tried again would be told the same.
            raise BodyInvalid(f"This connection follows {topic.key} already.")
        most = parts.settings.limits.max_subscriptions_per_connection
        if len(self.subscribed) >= most:
            raise RateLimited(f"A connection may follow {counted(most, 'topic')}.")
        self._enter_subject(admitted.grant.subject)
        size = admitted.asked.name_bytes
        self.hold_name(size)

        lifecycle = admitted.lifecycle
        subscribed = Subscribed(admitted, self, on_end, on_full, size)
        subscription = subscribed.subscription = Subscription(
            topic,
            lifecycle.replay_window_ms * 1000,
            self.send_queue,
            on_open,
            subscribed.ended,
            forgotten_when_idle=lifecycle.inactivity_ttl_ms > 0 and not admitted.asked.roster,
            keyed=admitted.asked.keyed,
            on_live=on_live,
            state=(
                None if admitted.asked.definition.state is None else parts.state_of(admitted.asked)
            ),
        )
        self.subscribed[topic.key] = subscribed
        subscribed.watch_expiry()
        parts.attacher.attach(subscription)
        began = False
        try:
            began = await parts.attacher.start(subscription, cursor, reset_when_stale)
        finally:
            # It is called once, and holds what only the handshake needed.
            subscription.on_open = _begun
            if not began:
                self.leave(subscribed)
        if began and admitted.asked.definition.presence is not None:
            # With the newest grant: there may have been another meanwhile.
            parts.presence.entered(self.id, subscribed.admitted)
        return subscribed if began else None

    def unsubscribe(self, key: str) -> bool:
        """Leave a topic.  Whether it was followed."""
        subscribed = self.subscribed.get(key)
        return subscribed is not None and self.leave(subscribed)

    def follows(self, subscribed: Subscribed) -> bool:
        """`False` once its topic was left, also where it is followed anew."""
        return self.subscribed.get(subscribed.subscription.topic.key) is subscribed

    def leave(self, subscribed: Subscribed, *, lost: bool = False) -> bool:
        """Leave what is followed.  Whether it still was.

        :param lost: nobody decided that; who is a member there may come back.
        """
        if not self.follows(subscribed):
            return False
        del self.subscribed[subscribed.subscription.topic.key]
        self.let_go_of_name(subscribed._name_bytes)
        self._services.attacher.detach(subscribed.subscription)
        subscribed.left()
        if subscribed.admitted.asked.definition.presence is not None:
            self._services.presence.left(self.id, subscribed.admitted, for_good=not lost)
        return True

    def position(self, topic: Topic) -> int:
        """Up to where a topic that is followed has been given."""
        return self.subscribed[topic.key].subscription.replay.position

    def refresh(self, subscribed: Subscribed, admitted: Authorized) -> bool:
        """New credentials for a topic were accepted.

        :return: `False` where it was left meanwhile, and they are of no use.
        :raises RateLimited: their subject has as many connections as it may; nothing has changed.
        """
        if not self.follows(subscribed):
            return False
        before = subscribed.admitted
        self._enter_subject(admitted.grant.subject)
        subscribed.refreshed(admitted)
        self._leave_subject(before.grant.subject)
        if admitted.asked.definition.presence is not None:
            self._services.presence.renewed(self.id, before, admitted)
        return True

    def hold_name(self, size: int) -> None:
        """The name of a topic is kept for this connection, until it is let go of.

        :param size: bytes.
        :raises RateLimited: :raises Overloaded: there is no room for it.
        """
        self._services.names.enter(size, self._name_bytes)
        self._name_bytes += size

    def remember_name(self, size: int) -> bool:
        """The same for what is only remembered, and may as well be forgotten.

        :return: whether there is room; else it is not kept.
        """
        plenty = self._services.names.has_plenty(size, self._name_bytes)
        if plenty:
            self.hold_name(size)
        return plenty

    def let_go_of_name(self, size: int) -> None:
        """It is not kept any longer."""
        self._services.names.leave(size)
        self._name_bytes -= size

    def later(self, name: str, when: float, action: Callable[[], None]) -> None:
        """Do `action` at `when` unless the session closes first.

        :param name: a second deadline of the same name replaces the first.
        """
        self.cancel(name)
        if not self._closed:
            self._deadlines += ((name, self._services.deadlines.at(when, action)),)

    def cancel(self, name: str) -> None:
        """Forget a deadline.  Harmless when there is none."""
        for one in self._deadlines:
            if one[0] == name:
                one[1].cancel()
                self._deadlines = tuple(other for other in self._deadlines if other is not one)
                return

    def live_until(self, max_lifetime_ms: int) -> None:
        """End the session normally after its lifetime, spread by a tenth.

        :param max_lifetime_ms: 0 is never.
        """
        if max_lifetime_ms:
            spread = 1 - 0.1 * self._services.random()
            self.later(
                "lifetime",
                self.opened_at + max_lifetime_ms / 1000 * spread,
                self._outlived,
            )

    def close(self, why: str) -> None:
        """The connection is gone.  Harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        for subscribed in list(self.subscribed.values()):
            self.leave(subscribed, lost=True)
        for _, deadline in self._deadlines:
            deadline.cancel()
        self._deadlines = ()
        self.send_queue.discard()
        for subject in self._subjects:
            self._services.limits.leave_subject(subject)
        self._on_close(self, why)
        # Whoever closes a session ends its connection, which knows the session.
        self.end = _nothing_more

    @property
    def presence(self) -> PresenceService:
        """Presence of the topics that it follows."""
        return self._services.presence

    @property
    def closed(self) -> bool:
        """`True` once the connection is gone."""
        return self._closed

    @property
    def subject(self) -> str | None:
        """The subject, as far as any grant has named one."""
        return self._subjects[0] if self._subjects else None

    def _enter_subject(self, subject: str | None) -> None:
        if subject is not None and subject not in self._subjects:
            self._services.limits.enter_subject(subject)
            self._subjects += (subject,)

    def _leave_subject(self, subject: str | None) -> None:
        """Leave a subject unless something is still followed as it."""
        subjects = {one.admitted.grant.subject for one in self.subscribed.values()}
        if subject in self._subjects and subject not in subjects:
            self._services.limits.leave_subject(subject)
            self._subjects = tuple(one for one in self._subjects if one != subject)

    def _outlived(self) -> None:
        self.end(None)
