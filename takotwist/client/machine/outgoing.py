"""Publishes on their way out, over however many connections it takes.

Rule: a publish is sent again only with its own idempotency key, and only where
the server knows such keys; so it is stored once or its caller is told.

Refused for now, such as for a rate that a long outage's publishes are over, a publish stays
where it stood; after the server's time its topic goes on one publish at a time, until none
waits.  Sent all together they would be refused all together, again and again, and one that
slips through would overtake those before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs
import msgspec

from takotwist.client.errors import NoAnswer, OutgoingFull, SubscriptionClosed
from takotwist.client.machine.link import Retries
from takotwist.client.machine.machine import Settle
from takotwist.client.machine.outcome import Action, Outcome
from takotwist.client.machine.policy import Policy
from takotwist.codecs.plain_json import is_text
from takotwist.codecs.query import check_key
from takotwist.codecs.tako_json import check_type, encode_value
from takotwist.errors import (
    BodyInvalid,
    CredentialsExpired,
    MessageTooLarge,
    ShuttingDown,
    TakoError,
    refusal_for,
)


@attrs.define(slots=True, eq=False)
class Publish:
    """One publish.

    :ivar number: how caller and machine call it.
    :ivar topic: number of its topic, on a multiplexed connection.
    :ivar key: its idempotency key, the same at each sending.
    :ivar ref: of its last sending on the present connection, or `None`.
    :ivar sent_at: when that was.
    """

    number: int
    topic: int
    type: str
    data: msgspec.Raw = attrs.field(repr=False)
    key: str
    ref: int | None = None
    sent_at: float = 0.0

    @property
    def size(self) -> int:
        """Bytes, for the bound."""
        return len(self.type) + len(memoryview(self.data))


@attrs.define(slots=True, eq=False)
class Pace:
    """A topic whose publishes go one at a time.

    :ivar resume_at: until then none is sent; `None` where one may be.
    """

    retries: Retries
    resume_at: float | None = None


#: Refusals of one whose topic, or connection, is about to begin anew.
_BEGINS_ANEW = frozenset({ShuttingDown.code, CredentialsExpired.code})


def is_for_now(outcome: Outcome) -> bool:
    """The same publish may be taken later.

    Not so for ``internal-error``, which says no time: the next try would fail like this one."""
    return outcome.code in _BEGINS_ANEW or (
        outcome.action is Action.BACKOFF and outcome.wait_ms is not None
    )


@attrs.define(slots=True)
class Outgoing:
    """The publishes that have no outcome yet, oldest first.

    :param random: gives a float in [0, 1).
    """

    _policy: Policy
    _make_key: Callable[[], str]
    _random: Callable[[], float]
    _pending: dict[int, Publish] = attrs.field(factory=dict)
    _by_ref: dict[int, Publish] = attrs.field(factory=dict)
    #: By topic, until none of its publishes is left.
    _paces: dict[int, Pace] = attrs.field(factory=dict)
    _bytes: int = 0
    _count: int = 0

    def add(self, type: str, data: object, key: str | None = None, topic: int = 0) -> Publish:
        """Take a publish.

        :param data: any JSON value, or what msgspec can make one of.
        :raises BodyInvalid: it is no JSON, or `type` or `key` is none; says where.
        :raises MessageTooLarge: the server would not take it.
        :raises OutgoingFull: too many wait.
        """
        if not isinstance(type, str) or not is_text(type):
            raise BodyInvalid(f"type {type!r} is no text.")
        check_type(type)
        if key is not None:
            check_key(key)
        encoded, most = encode_value(data), self._policy.max_data_bytes
        if len(encoded) > most:
            raise MessageTooLarge(f"data has {len(encoded)} bytes; at most {most} are taken.")
        key = key or self._make_key()
        publish = Publish(self._count, topic, type, msgspec.Raw(encoded), key)
        if (
            len(self._pending) >= self._policy.max_publishes
            or self._bytes + publish.size > self._policy.max_publish_bytes
        ):
            raise OutgoingFull(f"{len(self._pending)} publishes wait; this one was not taken.")
        self.number()
        self._pending[publish.number] = publish
        self._bytes += publish.size
        return publish

    def number(self) -> int:
        """A number that nothing else has, of what is to be settled."""
        self._count += 1
        return self._count - 1

    def unsent(self, topic: int = 0) -> Iterator[Publish]:
        """Those of `topic` to send now, oldest first; all that are not under way, where it is not
        paced."""
        pace = self._paces.get(topic)
        if pace is not None and pace.resume_at is not None:
            return
        for publish in list(self._pending.values()):
            if publish.topic != topic:
                continue
            if publish.ref is None:
                yield publish
            if pace is not None:
                return

    def sent(self, publish: Publish, ref: int, now: float) -> None:
        """`publish` is under way and will be answered by `ref`."""
        publish.ref, publish.sent_at = ref, now
        self._by_ref[ref] = publish

    def acked(self, ref: object, id: str | None) -> Iterator[Settle]:
        """The server stored what it answers by `ref`; nothing where that is no publish."""
        publish = self._answered(ref)
        if publish is not None:
            pace = self._paces.get(publish.topic)
            if pace is not None:
                pace.retries.succeeded()
            self.done(publish)
            yield Settle(publish.number, id)

    def failed(self, ref: object, outcome: Outcome, now: float) -> Iterator[Settle]:
        """The server refused what it answers by `ref`; nothing where that is no publish, or where
        it is sent again later."""
        publish = self._answered(ref)
        if publish is None:
            return
        if not is_for_now(outcome):
            self.done(publish)
            yield Settle(publish.number, error=refusal_for(outcome.code, outcome.sentence))
            return
        publish.ref = None
        pace = self._paces.get(publish.topic)
        if pace is None:
            pace = self._paces[publish.topic] = Pace(Retries(self._policy, self._random))
        if pace.resume_at is None:
            pace.resume_at = now + pace.retries.delay(outcome, stable=False)

    @property
    def resume_at(self) -> float | None:
        """Time at which the first topic that waits may go on; see `ready`."""
        times = [pace.resume_at for pace in self._paces.values() if pace.resume_at is not None]
        return min(times, default=None)

    def ready(self, now: float) -> list[int]:
        """The paced topics that may send their next publish."""
        for pace in self._paces.values():
            if pace.resume_at is not None and pace.resume_at <= now:
                pace.resume_at = None
        return [topic for topic, pace in self._paces.items() if pace.resume_at is None]

    @property
    def overdue_at(self) -> float | None:
        """Time at which the first that is under way has waited too long for its answer."""
        # They are answered in any order and sent in this one.
        first = next(iter(self._by_ref.values()), None)
        return None if first is None else first.sent_at + self._policy.answer_ms

    def overdue(self, now: float) -> Iterator[Settle]:
        """Those whose answer is not waited for any longer.  Not sent again by itself: a server
        that answers everything else has refused it in a way that cannot be told."""
        while (at := self.overdue_at) is not None and at <= now:
            publish = next(iter(self._by_ref.values()))
            self.done(publish)
            seconds = self._policy.answer_ms / 1000
            error = NoAnswer(
                f"The publish had no answer within {seconds:g} s; it may have been stored.",
                publish.key,
            )
            yield Settle(publish.number, error=error)

    def _answered(self, ref: object) -> Publish | None:
        return self._by_ref.pop(ref, None) if isinstance(ref, int) else None

    def done(self, publish: Publish) -> None:
        """`publish` has its outcome."""
        if self._pending.pop(publish.number, None) is not None:
            self._bytes -= publish.size
        if publish.ref is not None:
            self._by_ref.pop(publish.ref, None)
        topic = publish.topic
        if topic in self._paces and not any(one.topic == topic for one in self._pending.values()):
            del self._paces[topic]

    def connection_lost(self) -> None:
        """No answer will come any more: all are unsent again."""
        self._by_ref.clear()
        for publish in self._pending.values():
            publish.ref = None
        for pace in self._paces.values():
            pace.resume_at = None

    def give_up(self, error: TakoError | None, topic: int = 0) -> list[Settle]:
        """Those of `topic` will never be sent.

        :param error: why, or `None` where the caller wished it.
        """
        error = error or SubscriptionClosed("The subscription was closed.")
        given_up = [publish for publish in self._pending.values() if publish.topic == topic]
        for publish in given_up:
            self.done(publish)
        return [Settle(publish.number, error=error) for publish in given_up]

    def __len__(self) -> int:
        return len(self._pending)
