"""Publishes on their way out, over however many connections it takes.

Rule: a publish is sent again only with its own idempotency key, and only where
the server knows such keys; so it is stored once or its caller is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import msgspec

from takotwist.client.errors import NoAnswer, OutgoingFull, SubscriptionClosed
from takotwist.client.machine.machine import Settle
from takotwist.client.machine.policy import Policy
from takotwist.codecs.plain_json import is_text
from takotwist.codecs.query import check_key
from takotwist.codecs.tako_json import check_type, encode_value
from takotwist.errors import BodyInvalid, MessageTooLarge, TakoError


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


@attrs.define(slots=True)
class Outgoing:
    """The publishes that have no outcome yet, oldest first."""

    _policy: Policy
    _make_key: Callable[[], str]
    _pending: dict[int, Publish] = attrs.field(factory=dict)
    _by_ref: dict[int, Publish] = attrs.field(factory=dict)
    _bytes: int = 0
    _count: int = 0

    def add(self, type: str, data: Any, key: str | None = None, topic: int = 0) -> Publish:
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
        self._count += 1
        self._pending[publish.number] = publish
        self._bytes += publish.size
        return publish

    def unsent(self, topic: int = 0) -> Iterator[Publish]:
        """Those of `topic` that are not under way on the present connection, oldest first."""
        for publish in list(self._pending.values()):
            if publish.topic == topic and publish.ref is None:
                yield publish

    def sent(self, publish: Publish, ref: int, now: float) -> None:
        """`publish` is under way and will be answered by `ref`."""
        publish.ref, publish.sent_at = ref, now
        self._by_ref[ref] = publish

    def acked(self, ref: object, id: str | None) -> Iterator[Settle]:
        """The server stored what it answers by `ref`; nothing where that is no publish."""
        for publish in self._answered(ref):
            yield Settle(publish.number, id)

    def failed(self, ref: object, error: TakoError) -> Iterator[Settle]:
        """The server refused what it answers by `ref`; nothing where that is no publish."""
        for publish in self._answered(ref):
            yield Settle(publish.number, error=error)

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

    def _answered(self, ref: object) -> Iterator[Publish]:
        publish = self._by_ref.get(ref) if isinstance(ref, int) else None
        if publish is not None:
            self.done(publish)
            yield publish

    def done(self, publish: Publish) -> None:
        """`publish` has its outcome."""
        if self._pending.pop(publish.number, None) is not None:
            self._bytes -= publish.size
        if publish.ref is not None:
            self._by_ref.pop(publish.ref, None)

    def connection_lost(self) -> None:
        """No answer will come any more: all are unsent again."""
        self._by_ref.clear()
        for publish in self._pending.values():
            publish.ref = None

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
