"""`Broadcast`: publish and subscribe by key, on the server alone.

Rule: whoever knows a key hears and says everything on it, so a key is derived
from what the server knows, never from what a client sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import msgspec

from takotwist.app.declared import to_json
from takotwist.live.bus import Bus, Publication
from takotwist.live.callbacks import Round, log_failure
from takotwist.live.frames import Info
from takotwist.live.outcome import Outcome


@attrs.frozen(slots=True)
class Receipt:
    """Where a publication stands.

    :ivar seq: counts the publications of the key from 1, of both kinds.
    :ivar timestamp: milliseconds since the epoch.
    :ivar epoch: another number when the count has begun anew: at a restart, or after the
        key was not used for long.
    """

    key: str
    seq: int
    timestamp: int
    epoch: int

    @classmethod
    def of(cls, key: str, info: Info) -> Receipt:
        """For the server's side: the wire never has the key."""
        return cls(key, info.seq, info.timestamp, info.epoch)


Unsubscribe = Callable[[], None]


class Broadcast:
    """A keyed bus for this process.  It has no instances."""

    bus: Bus = Bus()

    def __init__(self) -> None:
        raise TypeError("Broadcast has no instances: use its methods, or BroadcastChannel(key=...)")

    @classmethod
    def publish(cls, key: str, data: Any) -> Outcome[Receipt]:
        """Give `data` to every subscriber of `key`, servers' and clients'.

        :return: the receipt; there once the message is accepted.  It fails where JSON has
            no form for `data`.
        """
        try:
            encoded = to_json(data)
        except (TypeError, ValueError) as unusable:
            return Outcome.failed(unusable)
        return Outcome.of(Receipt.of(key, cls.bus.publish(key, encoded, False)))

    @classmethod
    def publish_binary(cls, key: str, data: bytes | bytearray | memoryview) -> Outcome[Receipt]:
        """The same for bytes."""
        try:
            raw = bytes(memoryview(data))
        except TypeError as unusable:
            return Outcome.failed(unusable)
        return Outcome.of(Receipt.of(key, cls.bus.publish(key, raw, True)))

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
        data = publication.data if binary else msgspec.json.decode(publication.data)
        receipt = Receipt.of(key, publication.info)
        Round(settled).all_at_once((callback,), (data, receipt))

    return bus.subscribe(key, binary, member)
