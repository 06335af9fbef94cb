"""`Broadcast`: publish and subscribe by key, on the server alone.

Rule: whoever knows a key hears and says everything on it, so a key is derived
from what the server knows, never from what a client sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.logger import Logger

from takotwist.errors import Refusal
from takotwist.live.broadcast.bus import Bus, Publication, check_key
from takotwist.live.broadcast.durable import Durable
from takotwist.live.broadcast.stored import Replay
from takotwist.live.errors import UsageError
from takotwist.live.machine.frames import Info
from takotwist.live.objects.callbacks import Round, log_failure
from takotwist.live.objects.outcome import Outcome
from takotwist.live.values import Encoded, decode, encode, read_marks


@attrs.frozen(slots=True)
class Receipt:
    """Where a publication stands.

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


class Broadcast:
    """A keyed bus for this process.  It has no instances."""

    bus: Bus = Bus()

    def __init__(self) -> None:
        raise TypeError("Broadcast has no instances: use its methods, or BroadcastChannel(key=...)")

    @classmethod
    def publish(cls, key: str, data: Any, *, replay: Replay | None = None) -> Outcome[Receipt]:
        """Give `data` to every subscriber of `key`, servers' and clients'.

        :param replay: keep it, as the `BroadcastChannel`s of this key say; left out it is
            kept where the key was used with one in this process.
        :return: the receipt; there once the message is accepted, which of a durable key is
            when it is stored.  It fails with a `takotwist.Refusal` where it cannot be
            stored; then nobody gets it.
        :raises TypeError: :raises ValueError: JSON has no form for `data`.
        :raises UsageError: the key cannot be one, or no server is there to keep anything.
        """
        return receipt_of(key, give(cls.bus, key, encode(data), False, replay))

    @classmethod
    def publish_binary(
        cls, key: str, data: bytes | bytearray | memoryview, *, replay: Replay | None = None
    ) -> Outcome[Receipt]:
        """The same for bytes."""
        raw = Encoded(bytes(memoryview(data)))
        return receipt_of(key, give(cls.bus, key, raw, True, replay))

    @classmethod
    def subscribe(cls, key: str, callback: Callable[[Any, Receipt], Any]) -> Unsubscribe:
        """Hear of every later message of `key`.

        :param callback: gets the message and its `Receipt`; may be a coroutine function.
        :return: call it to subscribe no more.
        """
        return subscribe_to(cls.bus, key, False, callback)

    @classmethod
    def subscribe_binary(cls, key: str, callback: Callable[[bytes, Receipt], Any]) -> Unsubscribe:
        """The same for bytes."""
        return subscribe_to(cls.bus, key, True, callback)


def durable_of(bus: Bus, key: str, replay: Replay) -> Durable:
    """Declare a key durable.

    :raises UsageError: the key cannot be one, or no server is there to keep anything.
    """
    if bus.durable is None:
        raise UsageError("replay: messages are kept by a server, and none runs in this process")
    check_key(key)
    durable = bus.durable
    bus.run(lambda: durable.declare(key, replay))
    return durable


def give(
    bus: Bus, key: str, said: Encoded, binary: bool, replay: Replay | None = None
) -> Outcome[Info]:
    """Publish, on the log where the key is durable."""
    outcome: Outcome[Info] = Outcome()
    if replay is not None:
        durable_of(bus, key, replay)
    check_key(key)

    def publish() -> None:
        durable = bus.durable
        if durable is None or key not in durable:
            outcome.resolve(bus.publish(key, said.data, binary, said.values))
        else:
            durable.publish(key, said, binary, outcome)

    # A plain function runs in a thread, and sockets are the reactor's.
    bus.run(publish)
    return outcome


def receipt_of(key: str, stored: Outcome[Info]) -> Outcome[Receipt]:
    """The same for the app."""
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
    bus: Bus,
    key: str,
    binary: bool,
    callback: Callable[[Any, Receipt], Any],
) -> Unsubscribe:
    """Subscribe a function of the app, guarded."""

    def settled(_: Any, error: BaseException | None) -> None:
        if error is not None:
            log_failure("a subscriber of a broadcast", error)

    def member(publication: Publication) -> None:
        # Decoded for each: what one of them changes, the others do not see.
        data: Any = publication.data
        if not binary:
            data = decode(publication.data, read_marks(publication.values), None)
        receipt = Receipt.of(key, publication.info)
        Round(settled).all_at_once((callback,), (data, receipt))

    return bus.subscribe(key, binary, member)
