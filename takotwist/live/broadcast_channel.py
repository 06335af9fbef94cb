"""`BroadcastChannel`: one client's membership of a broadcast key.

Rule: the key stays on the server; the client has an id that is good for its
own session alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar, get_args

import msgspec

from takotwist.app.declared import to_json
from takotwist.live.broadcast import Broadcast, Receipt, Unsubscribe, subscribe_to
from takotwist.live.bus import Bus, Publication
from takotwist.live.errors import UsageError, ValidationError, as_trouble
from takotwist.live.frames import Frame, Info, Trouble
from takotwist.live.live_object import LiveObject
from takotwist.live.message_types import ANYTHING, Direction, direction_of
from takotwist.live.outcome import Outcome

M = TypeVar("M")


class BroadcastChannel(LiveObject, Generic[M]):
    """A member of the group of `key`; return it from a function.

    Both ends publish and subscribe, and every message reaches every member, the one who
    published it included.  ``BroadcastChannel[Message]`` checks what the client publishes.

    :param key: whoever knows it is in the group: derive it from what the server knows.
    :param buffer_limit: as of `Channel`; a member that is further behind is cut off with
        `ChannelOverflowError`.
    """

    kind = "broadcast"

    def __init__(self, *, key: str, buffer_limit: int | None = None) -> None:
        if not isinstance(key, str) or not key:
            raise UsageError("key must be a text that is not empty")
        super().__init__(buffer_limit)
        self.key = key
        self._subscriptions: list[Unsubscribe] = []
        self._members: dict[str, Unsubscribe] = {}

    def publish(self, data: Any) -> Outcome[Receipt]:
        """Give `data` to every member; also when this one is closing or closed."""
        try:
            encoded = to_json(data)
        except (TypeError, ValueError) as unusable:
            return Outcome.failed(unusable)
        return Outcome.of(Receipt.of(self.key, self._bus.publish(self.key, encoded, False)))

    def publish_binary(self, data: bytes | bytearray | memoryview) -> Outcome[Receipt]:
        """The same for bytes."""
        try:
            raw = bytes(memoryview(data))
        except TypeError as unusable:
            return Outcome.failed(unusable)
        return Outcome.of(Receipt.of(self.key, self._bus.publish(self.key, raw, True)))

    def subscribe(self, callback: Callable[[Any, Receipt], Any]) -> Unsubscribe:
        """Hear of every later message, until this member is closed.

        :return: call it to subscribe no more.
        """
        return self._subscribe(False, callback)

    def subscribe_binary(self, callback: Callable[[bytes, Receipt], Any]) -> Unsubscribe:
        """The same for bytes."""
        return self._subscribe(True, callback)

    def _subscribe(self, binary: bool, callback: Callable[[Any, Receipt], Any]) -> Unsubscribe:
        if self._machine.ended:
            return lambda: None
        unsubscribe = subscribe_to(self._bus, self.key, binary, callback)
        self._subscriptions.append(unsubscribe)

        def leave() -> None:
            if unsubscribe in self._subscriptions:
                self._subscriptions.remove(unsubscribe)
            unsubscribe()

        return leave

    def _wrong(self, *_: Any, **__: Any) -> NoReturn:
        raise UsageError("a BroadcastChannel has publish and subscribe, not send and listen")

    send = send_binary = listen = listen_binary = _wrong

    @property
    def client(self) -> NoReturn:
        """A broadcast is the same at both ends."""
        raise UsageError("return the BroadcastChannel itself: it is the same at both ends")

    # inside

    @property
    def _bus(self) -> Bus:
        return Broadcast.bus if self._home is None else self._home.bus

    def _inbound(self) -> Direction:
        said = get_args(getattr(self, "__orig_class__", None))
        return direction_of(said[0]) if said else ANYTHING

    def _deliver(self, frame: Frame) -> None:
        if frame.do == "publish":
            self._publish_for_client(frame)
        elif frame.do == "subscribe":
            self._join(frame)
        elif frame.do == "unsubscribe":
            self._leave(frame.kind)
        else:
            self._settled(frame, None, Trouble("failed", None, "This is a broadcast channel."))

    def _publish_for_client(self, frame: Frame) -> None:
        try:
            if not frame.binary:
                self._inbound().read_message(frame.data)
        except ValidationError as misfit:
            self._answer(frame, None, as_trouble(misfit))
            return
        self._answer(frame, self._bus.publish(self.key, frame.data, frame.binary), None)

    def _answer(self, frame: Frame, info: Info | None, trouble: Trouble | None) -> None:
        data = b""
        if info is not None:
            data = msgspec.json.encode(
                {"seq": info.seq, "timestamp": info.timestamp, "epoch": info.epoch}
            )
        self._act(self._machine.answer, frame.seq, data, trouble, self._clock())

    def _join(self, frame: Frame) -> None:
        if frame.kind not in self._members:
            binary = frame.kind == "binary"
            self._members[frame.kind] = self._bus.subscribe(self.key, binary, self._tell_client)

    def _leave(self, kind: str) -> None:
        leave = self._members.pop(kind, None)
        if leave is not None:
            leave()

    def _tell_client(self, publication: Publication) -> None:
        frame = Frame(
            "published", data=publication.data, binary=publication.binary, info=publication.info
        )
        self._act(self._machine.send, frame, None, self._clock())

    def _ended(self, trouble: Trouble | None) -> None:
        for kind in list(self._members):
            self._leave(kind)
        subscriptions, self._subscriptions = self._subscriptions, []
        for unsubscribe in subscriptions:
            unsubscribe()
        super()._ended(trouble)
