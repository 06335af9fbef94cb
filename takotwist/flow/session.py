"""A connection owns subscriptions; a subscription is not a connection.

A session is what all transports have in common: who it is, which topics it
follows, when its credentials end.  Rule: whatever a session has taken (limits,
places in the fan-out, deadlines) is given back by `close`, and only there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from takotwist.core.deadlines import Deadline
from takotwist.core.fanout import Subscription
from takotwist.core.outbox import Outbox
from takotwist.errors import BodyInvalid, CredentialsExpired, RateLimited, Refusal, ReplayTooOld
from takotwist.flow.authorize import Admitted
from takotwist.flow.client_frames import ClientFrames

if TYPE_CHECKING:
    from takotwist.flow.sessions import Sessions

#: What a transport does at the begin of a subscription: the cursor, and the
#: refusal that a reset stands for.
OnOpen = Callable[[int, ReplayTooOld | None], None]


@attrs.define(slots=True, eq=False)
class Subscribed:
    """One topic that a session follows.

    :ivar admitted: the newest grant.
    :ivar frames: the way in for what the client sends on this topic.
    """

    admitted: Admitted
    subscription: Subscription
    frames: ClientFrames
    _expiry: Deadline | None = None


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
    outbox: Outbox
    end: Callable[[Refusal | None], None]
    _sessions: Sessions
    subscribed: dict[str, Subscribed] = attrs.field(factory=dict, init=False)
    _subjects: list[str] = attrs.field(factory=list, init=False)
    _deadlines: dict[str, Deadline] = attrs.field(factory=dict, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    async def subscribe(
        self,
        admitted: Admitted,
        cursor: int | None,
        reset_when_stale: bool,
        on_open: OnOpen,
        on_end: Callable[[Refusal], None],
        on_full: Callable[[bool], None] = lambda full: None,
    ) -> Subscribed | None:
        """Follow a topic.

        :param on_open: called before the first message.
        :param on_end: called when the server ends the subscription.
        :param on_full: see `ClientFrames`.
        :return: `None` where the connection closed meanwhile.
        :raises BodyInvalid: it is followed already. :raises RateLimited: too many are.
        :raises Refusal: the topic cannot be followed from this cursor.
        """
        parts = self._sessions
        topic = admitted.asked.topic
        if topic.key in self.subscribed:
            # Not a rate: a client that tried again would be told the same.
            raise BodyInvalid(f"This connection follows {topic.key} already.")
        if len(self.subscribed) >= parts.max_subscriptions:
            raise RateLimited(f"A connection may follow {parts.max_subscriptions} topics.")
        self._enter_subject(admitted.grant.subject)

        def ended(refusal: Refusal) -> None:
            self.unsubscribe(topic.key)
            on_end(refusal)

        lifecycle = admitted.lifecycle
        subscription = Subscription(
            topic,
            lifecycle.replay_window_ms * 1000,
            self.outbox,
            on_open,
            ended,
            forgotten_when_idle=lifecycle.inactivity_ttl_ms > 0,
        )
        frames = parts.way_in(admitted, on_full)
        subscribed = Subscribed(admitted, subscription, frames)
        self.subscribed[topic.key] = subscribed
        self._watch_expiry(subscribed, ended)
        parts.attaching.attach(subscription)
        began = False
        try:
            began = await parts.attaching.start(subscription, cursor, reset_when_stale)
        finally:
            if not began:
                self.unsubscribe(topic.key)
        return subscribed if began else None

    def unsubscribe(self, key: str) -> bool:
        """Leave a topic.  Whether it was followed."""
        subscribed = self.subscribed.pop(key, None)
        if subscribed is None:
            return False
        self._sessions.attaching.detach(subscribed.subscription)
        subscribed.frames.close()
        if subscribed._expiry is not None:
            subscribed._expiry.cancel()
        return True

    def refresh(self, subscribed: Subscribed, admitted: Admitted) -> None:
        """New credentials for a topic were accepted."""
        subscribed.admitted = subscribed.frames.admitted = admitted
        if subscribed._expiry is not None:
            subscribed._expiry.cancel()
        self._watch_expiry(subscribed, subscribed.subscription.on_end)

    def later(self, name: str, when: float, action: Callable[[], None]) -> None:
        """Do `action` at `when` unless the session closes first.

        :param name: a second deadline of the same name replaces the first.
        """
        self.cancel(name)
        if not self._closed:
            self._deadlines[name] = self._sessions.deadlines.at(when, action)

    def cancel(self, name: str) -> None:
        """Forget a deadline.  Harmless when there is none."""
        deadline = self._deadlines.pop(name, None)
        if deadline is not None:
            deadline.cancel()

    def live_until(self, max_lifetime_ms: int) -> None:
        """End the session normally after its lifetime, spread by a tenth.

        :param max_lifetime_ms: 0 is never.
        """
        if max_lifetime_ms:
            spread = 1 - 0.1 * self._sessions.random()
            self.later(
                "lifetime",
                self.opened_at + max_lifetime_ms / 1000 * spread,
                lambda: self.end(None),
            )

    def close(self, why: str) -> None:
        """The connection is gone.  Harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        for key in list(self.subscribed):
            self.unsubscribe(key)
        for deadline in self._deadlines.values():
            deadline.cancel()
        self._deadlines.clear()
        self.outbox.discard()
        for subject in self._subjects:
            self._sessions.limits.by_subject.leave(subject)
        self._sessions.closed(self, why)

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._closed

    @property
    def subject(self) -> str | None:
        """Who this is, as far as any grant has said."""
        return self._subjects[0] if self._subjects else None

    def _enter_subject(self, subject: str | None) -> None:
        if subject is not None and subject not in self._subjects:
            self._sessions.limits.by_subject.enter(subject)
            self._subjects.append(subject)

    def _watch_expiry(self, subscribed: Subscribed, ended: Callable[[Refusal], None]) -> None:
        expires_at = subscribed.admitted.grant.expires_at
        subscribed._expiry = None
        if expires_at is not None:
            left = expires_at - self._sessions.wall()
            subscribed._expiry = self._sessions.deadlines.at(
                self._sessions.seconds() + left, lambda: ended(CredentialsExpired())
            )
