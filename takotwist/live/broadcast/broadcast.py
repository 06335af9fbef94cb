"""`Broadcast`: publish and subscribe by key on the server.

Rule: whoever knows a key hears and says everything on it, so a key is derived from what
the server knows, never from what a client sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.logger import Logger

from takotwist.errors import Refusal
from takotwist.live.broadcast.bus import Bus, Publication, check_key
from takotwist.live.broadcast.durable import Durable, Replay
from takotwist.live.errors import UsageError
from takotwist.live.machine.frames import Info
from takotwist.live.objects.callbacks import Dispatch, log_failure
from takotwist.live.objects.outcome import Outcome
from takotwist.live.values import Encoded, decode, encode, read_marks


@attrs.frozen(slots=True)
class Receipt:
    """The place of a publication among those of its key.

    :ivar seq: counts the publications of the key from 1, of both kinds.
    :ivar timestamp: milliseconds since the epoch.
    :ivar epoch: another number when the count has begun anew: at a restart, or after the
        key was not used for long; of a durable key only where nothing of it was kept.
    :ivar cursor: of a durable key: where whoever has this goes on.
    """

    key: str
    seq: int
    timestamp: int
    epoch: int
    cursor: str | None = None

    @classmethod
    def of(cls, key: str, info: Info) -> Receipt:
        """For the server's side: the wire never has the key."""
        cursor = None if info.cursor is None else str(info.cursor)
        return cls(key, info.seq, info.timestamp, info.epoch, cursor)


Unsubscribe = Callable[[], None]

_log = Logger()


def _now(call: Callable[[], None]) -> None:
    call()


@attrs.frozen(slots=True, eq=False)
class Broadcasts:
    """The keys of a server.

    :ivar bus: delivers to the subscribers.
    :ivar durable: the keys whose publications are kept; `None` without a server.
    :ivar run: calls a function in the reactor's thread, now where that is this one.
    """

    bus: Bus
    durable: Durable | None = None
    run: Callable[[Callable[[], None]], None] = _now


#: Of the process.  Code of the app may subscribe while it is imported, before a server is there.
_default = Broadcasts(Bus())


def default_broadcasts() -> Broadcasts:
    """The keys of this process: `Broadcast` looks them up at each call."""
    return _default


def set_default_broadcasts(broadcasts: Broadcasts) -> None:
    """`Broadcast` means these from now on: it has no instances, so the newest server's."""
    global _default
    _default = broadcasts


class Broadcast:
    """A keyed bus for all nodes of the server.  It has no instances."""

    def __init__(self) -> None:
        raise TypeError("Broadcast has no instances: use its methods, or BroadcastChannel(key=...)")

    @classmethod
    def publish(cls, key: str, data: object, *, replay: Replay | None = None) -> Outcome[Receipt]:
        """Give `data` to every subscriber of `key`, servers' and clients'.

        :param replay: keep it, as the `BroadcastChannel`s of this key say; left out it is
            kept where the key was used with one in this process.
        :return: the receipt; there once the message is accepted, which of a durable key, and
            of every key where the server has several nodes, is when it is stored.  It fails
            with a `takotwist.Refusal` where it cannot be stored; then nobody gets it.
        :raises TypeError: :raises ValueError: JSON has no form for `data`.
        :raises UsageError: the key cannot be one, or no server is there to keep anything.
        """
        return receipt_of(key, give(default_broadcasts(), key, encode(data), False, replay))

    @classmethod
    def publish_binary(
        cls, key: str, data: bytes | bytearray | memoryview, *, replay: Replay | None = None
    ) -> Outcome[Receipt]:
        """Publish bytes; as `publish`."""
        raw = Encoded(bytes(memoryview(data)))
        return receipt_of(key, give(default_broadcasts(), key, raw, True, replay))

    @classmethod
    def subscribe(cls, key: str, callback: Callable[[Any, Receipt], object]) -> Unsubscribe:
        """Subscribe to every later message of `key`.

        :param callback: gets the message and its `Receipt`; may be a coroutine function.
        :return: call it to subscribe no more.
        """
        return subscribe_to(default_broadcasts(), key, False, callback)

    @classmethod
    def subscribe_binary(
        cls, key: str, callback: Callable[[bytes, Receipt], object]
    ) -> Unsubscribe:
        """Subscribe to bytes; as `subscribe`."""
        return subscribe_to(default_broadcasts(), key, True, callback)


def durable_of(broadcasts: Broadcasts, key: str, replay: Replay) -> Durable:
    """Declare a key durable.

    :raises UsageError: the key cannot be one, or no server is there to keep anything.
    """
    durable = broadcasts.durable
    if durable is None:
        raise UsageError("replay: messages are kept by a server, and none runs in this process")
    check_key(key)
    broadcasts.run(lambda: durable.declare(key, replay))
    return durable


def give(
    broadcasts: Broadcasts, key: str, said: Encoded, binary: bool, replay: Replay | None = None
) -> Outcome[Info]:
    """Publish on the bus, or by the log where that takes the key."""
    outcome: Outcome[Info] = Outcome()
    if replay is not None:
        durable_of(broadcasts, key, replay)
    check_key(key)

    def publish() -> None:
        durable = broadcasts.durable
        if durable is None or not durable.takes(key):
            outcome.resolve(broadcasts.bus.publish(key, said.data, binary, said.values))
        else:
            durable.publish(key, said, binary, outcome)

    # A plain function runs in a thread, and sockets are the reactor's.
    broadcasts.run(publish)
    return outcome


def receipt_of(key: str, stored: Outcome[Info]) -> Outcome[Receipt]:
    """The receipt of a stored publication, as the app sees it."""
    receipt: Outcome[Receipt] = Outcome()

    def settle() -> None:
        receipt.take(stored, lambda info: Receipt.of(key, info))
        try:
            receipt.result()
        except Refusal as refusal:
            # Nobody need await it, and then nobody else would hear of it.
            _log.warn("a publication was not stored: {code}", code=refusal.code)

    stored.then(settle)
    return receipt


def subscribe_to(
    broadcasts: Broadcasts,
    key: str,
    binary: bool,
    callback: Callable[[Any, Receipt], object],
) -> Unsubscribe:
    """Subscribe a function of the app; its failures are logged."""

    def settled(_: object, error: BaseException | None) -> None:
        if error is not None:
            log_failure("a subscriber of a broadcast", error)

    def member(publication: Publication) -> None:
        # Decoded for each: what one of them changes, the others do not see.
        data: object = publication.data
        if not binary:
            data = decode(publication.data, read_marks(publication.values), None)
        receipt = Receipt.of(key, publication.info)
        Dispatch(settled).all_at_once((callback,), (data, receipt))

    check_key(key)
    subscription = _Subscribed()
    # A plain function runs in a thread, and the log is followed in the reactor's.
    broadcasts.run(lambda: subscription.begin(broadcasts.bus, key, binary, member))
    return lambda: broadcasts.run(subscription.end)


@attrs.define(slots=True, eq=False)
class _Subscribed:
    """A subscription that may be ended before it has begun."""

    _leave: Unsubscribe | None = attrs.field(default=None, init=False)
    _ended: bool = attrs.field(default=False, init=False)

    def begin(
        self, bus: Bus, key: str, binary: bool, member: Callable[[Publication], None]
    ) -> None:
        if not self._ended:
            self._leave = bus.subscribe(key, binary, member)

    def end(self) -> None:
        self._ended = True
        if self._leave is not None:
            self._leave()
