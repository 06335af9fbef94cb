"""`BroadcastChannel`: one client's membership in the group of a broadcast key.

Rule: the key stays on the server; the client has an id that is good for its
own session alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar, get_args

import msgspec

from takotwist.core.topic import parse_cursor
from takotwist.errors import Refusal, ReplayTooOld
from takotwist.live.broadcast.broadcast import (
    Broadcasts,
    Receipt,
    Unsubscribe,
    default_broadcasts,
    durable_of,
    give,
    receipt_of,
    subscribe_to,
)
from takotwist.live.broadcast.bus import Publication, check_key
from takotwist.live.broadcast.durable import Replay
from takotwist.live.broadcast.membership import Membership
from takotwist.live.errors import ReplayError, UsageError, ValidationError, as_trouble
from takotwist.live.machine.frames import Frame, Info, Trouble
from takotwist.live.objects.live_object import LiveObject, Overflow
from takotwist.live.objects.outcome import ANYTHING, Direction, Outcome, direction_of
from takotwist.live.values import NOTHING, Encoded, encode

M = TypeVar("M")


class BroadcastChannel(LiveObject, Generic[M]):
    """A member of the group of `key`; return it from a function.

    Both ends publish and subscribe, and every message reaches every member, the one who
    published it included.  ``BroadcastChannel[Message]`` checks what the client publishes.

    :param key: whoever knows it is in the group: derive it from what the server knows.
    :param buffer_limit: as of `Channel`; a member that is further behind ends with
        `ChannelOverflowError`, unless it is durable: then it goes on from the log.
    :param overflow: as of `Channel`: with ``"drop-oldest"`` such a member misses the oldest
        instead, and sees it by ``info.seq``.  Not for what is kept.
    :param replay: keep the messages of this key in the server's log, so that a member
        may begin after a cursor, and a publication is accepted when it is stored.  Say it
        wherever the key is used.
    :param after: the cursor after which the client begins, and before which it cannot; 0
        for all that is kept.  `None`: it begins with what comes, or where it asks to.
    :raises UsageError: an argument cannot be, or no server is there to keep anything.
    :raises CursorInvalid: `after` is no cursor; the caller is told so.
    """

    kind = "broadcast"

    def __init__(
        self,
        *,
        key: str,
        buffer_limit: int | None = None,
        replay: Replay | None = None,
        after: str | int | None = None,
        overflow: Overflow = "end",
    ) -> None:
        check_key(key)
        if replay is None and after is not None:
            raise UsageError("after needs replay: without it nothing is kept")
        if replay is not None and overflow != "end":
            raise UsageError("overflow: a member goes on from the log, and drops nothing")
        begins = None if after is None else parse_cursor(after, "after")
        super().__init__(buffer_limit, overflow)
        self.key = key
        self.durable = replay is not None
        self._replay = replay
        self._pacing = False
        self._subscriptions: list[Unsubscribe] = []
        self._members: dict[str, Unsubscribe] = {}
        self._membership: Membership | None = None
        if replay is not None:
            log = durable_of(self._broadcasts, key, replay).log
            self._membership = Membership(
                log, key, replay, begins, self._tell_when_ready, self._lose_place
            )

    def publish(self, data: object) -> Outcome[Receipt]:
        """Give `data` to every member; also when this one is closing or closed.

        :raises TypeError: :raises ValueError: JSON has no form for `data`.
        """
        return receipt_of(
            self.key, give(self._broadcasts, self.key, encode(data), False, self._replay)
        )

    def publish_binary(self, data: bytes | bytearray | memoryview) -> Outcome[Receipt]:
        """Publish bytes; as `publish`."""
        raw = Encoded(bytes(memoryview(data)))
        return receipt_of(self.key, give(self._broadcasts, self.key, raw, True, self._replay))

    def subscribe(self, callback: Callable[[Any, Receipt], object]) -> Unsubscribe:
        """Subscribe to every later message, until this member is closed.

        :return: call it to unsubscribe.
        """
        return self._subscribe(False, callback)

    def subscribe_binary(self, callback: Callable[[bytes, Receipt], object]) -> Unsubscribe:
        """Subscribe to bytes; as `subscribe`."""
        return self._subscribe(True, callback)

    def _subscribe(self, binary: bool, callback: Callable[[Any, Receipt], object]) -> Unsubscribe:
        if self._machine.ended:
            return lambda: None
        unsubscribe = subscribe_to(self._broadcasts, self.key, binary, callback)
        self._subscriptions.append(unsubscribe)

        def leave() -> None:
            if unsubscribe in self._subscriptions:
                self._subscriptions.remove(unsubscribe)
            unsubscribe()

        return leave

    def _wrong(self, *_: object, **__: object) -> NoReturn:
        raise UsageError("a BroadcastChannel has publish and subscribe, not send and listen")

    send = send_binary = listen = listen_binary = _wrong

    @property
    def client(self) -> NoReturn:
        """A broadcast is the same at both ends."""
        raise UsageError("return the BroadcastChannel itself: it is the same at both ends")

    # private

    @property
    def _broadcasts(self) -> Broadcasts:
        return default_broadcasts() if self._services is None else self._services.broadcasts

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
            self._answer(frame, NOTHING, Trouble("failed", None, "This is a broadcast channel."))

    def _publish_for_client(self, frame: Frame) -> None:
        try:
            if not frame.binary:
                self._inbound().read_message(frame.data, frame.values)
        except ValidationError as misfit:
            self._answer(frame, NOTHING, as_trouble(misfit))
            return
        said = Encoded(frame.data, frame.values)
        stored = give(self._broadcasts, self.key, said, frame.binary, self._replay)
        stored.then(lambda: self._published(frame, stored))

    def _published(self, frame: Frame, stored: Outcome[Info]) -> None:
        try:
            said = msgspec.json.encode(stored.result().said)
        except Refusal as refusal:
            self._answer(frame, NOTHING, Trouble("failed", None, refusal.code))
        else:
            self._answer(frame, Encoded(said), None)

    def _join(self, frame: Frame) -> None:
        if self._membership is not None:
            self._membership.join(
                frame.kind,
                frame.cursor,
                frame.reset,
                lambda place, was_reset: self._say_place(frame, place, was_reset),
            )
            return
        if frame.kind not in self._members:
            binary = frame.kind == "binary"
            self._members[frame.kind] = self._broadcasts.bus.subscribe(
                self.key, binary, self._tell_client
            )
        self._answer(frame, Encoded(b"{}"), None)

    def _leave(self, kind: str) -> None:
        if self._membership is not None:
            self._membership.leave(kind)
        leave = self._members.pop(kind, None)
        if leave is not None:
            leave()

    def _say_place(self, frame: Frame, place: int, was_reset: bool) -> None:
        said = {"cursor": str(place)}
        if was_reset:
            said["reset"] = ReplayTooOld.code
        self._answer(frame, Encoded(msgspec.json.encode(said)), None)

    def _tell_client(self, publication: Publication) -> None:
        self._act(self._machine.send, _published(publication), None, self._clock())

    def _tell_when_ready(self, publication: Publication) -> bool:
        ready = self._machine.would_send(_published(publication))
        if ready:
            self._tell_client(publication)
        return ready

    def _lose_place(self, refusal: Refusal) -> None:
        self.lose(ReplayError(refusal.code))

    def _acted(self) -> None:
        membership = self._membership
        if membership is None or self._pacing:
            return
        # What it gives is an act again.
        self._pacing = True
        try:
            membership.go_on()
            membership.pace(self._machine.ready)
        finally:
            self._pacing = False

    def _ended(self) -> None:
        if self._membership is not None:
            self._membership.end()
        for kind in list(self._members):
            self._leave(kind)
        subscriptions, self._subscriptions = self._subscriptions, []
        for unsubscribe in subscriptions:
            unsubscribe()


def _published(publication: Publication) -> Frame:
    return Frame(
        "published",
        data=publication.data,
        binary=publication.binary,
        info=publication.info,
        values=publication.values,
    )
