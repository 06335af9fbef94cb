"""What one end sends: waiting, numbered, kept until it is reported (section 6).

Rule: a frame gets its number when it is put on a wire and not before, so a
newer one is never on a wire before an older one that may be needed again.
"""

from __future__ import annotations

from collections import deque

import attrs

from takotwist.live.machine.credit import Outflow
from takotwist.live.machine.frames import CLOSED, OVERFLOW, Frame, Position, Trouble
from takotwist.live.machine.lanes import Item, Replay, Waiting
from takotwist.live.machine.outputs import Answered, Failed, Output, Sent, Transmit
from takotwist.live.machine.settings import Bounds


class Outgoing:
    """The sending half of a `Machine`.

    :param out: where outputs go, a list that the machine empties.
    :ivar pending: our requests without an answer yet: sequence number -> handle.
    """

    __slots__ = ("_answers", "_last", "_outflow", "_replay", "_waiting", "out", "pending")

    def __init__(self, bounds: Bounds, out: list[Output]) -> None:
        self.out = out
        self.pending: dict[int, object | None] = {}
        self._last = 0
        self._waiting = Waiting((bounds.buffer, bounds.buffer_binary))
        self._answers: deque[Frame] = deque()
        self._replay = Replay((bounds.replay, bounds.replay_binary))
        self._outflow = Outflow()

    @property
    def waits(self) -> bool:
        """Whether messages would be sent if they could."""
        return bool(self._waiting)

    @property
    def owes(self) -> bool:
        """Whether something of ours is under way: a message, an answer, a request."""
        return bool(self._waiting or self._answers or self.pending)

    @property
    def ready(self) -> bool:
        """Whether nothing stands before a further message, and there is credit for one."""
        return not self._waiting and not self._answers and self._outflow.open

    def fits(self, frame: Frame) -> bool:
        """Whether it could be sent again."""
        return self._replay.fits(frame)

    @property
    def held(self) -> int:
        """Bytes that wait, or that may have to be sent again."""
        return self._waiting.size + self._replay.size

    def push(self, frame: Frame, handle: object | None) -> None:
        """Let a message wait for its turn."""
        self._waiting.push(Item(frame, handle))

    def push_answer(self, frame: Frame) -> None:
        """Let an answer wait; it needs no credit."""
        self._answers.append(frame)

    def over(self, binary: bool) -> bool:
        """Whether more waits in a lane than may."""
        return self._waiting.over(binary)

    def drop_oldest(self, binary: bool) -> None:
        """Fail the oldest waiting message of a lane."""
        self.fail(self._waiting.drop_oldest(binary).handle, OVERFLOW)

    @property
    def answers(self) -> int:
        """How many answers wait."""
        return len(self._answers)

    def flush(self) -> list[int]:
        """Send what can be sent.

        :return: the requests whose answers were put on the wire.
        """
        while (item := self._waiting.head()) is not None:
            if not self._replay.fits(item.frame) or (item.counts and not self._outflow.open):
                break
            self._waiting.pop()
            self._send(item)
        answered = []
        while self._answers and self._replay.fits(self._answers[0]):
            answered.append(self.number(self._answers.popleft()).of)
        return answered

    def number(self, frame: Frame) -> Frame:
        """Put a frame on the wire, as the next one."""
        self._last += 1
        frame = attrs.evolve(frame, seq=self._last)
        self._replay.keep(frame)
        self.out.append(Transmit(frame))
        return frame

    def again(self, position: Position) -> bool:
        """Send again what the other side lacks.

        :return: `False` where some of it is not here any more; then nothing was sent.
        """
        self._outflow.granted(position)
        if not self._replay.report(position.seq):
            return False
        frames = [frame for frame in self._replay.missing() if frame is not None]
        if len(frames) < len(self._replay):
            return False
        self.out += [Transmit(frame) for frame in frames]
        return True

    def granted(self, position: Position) -> bool:
        """The other side has told its position.  `False` where it cannot be."""
        self._outflow.granted(position)
        # A position may come late, behind a newer one of another wire.
        return position.seq <= self._replay.reported or self._replay.report(position.seq)

    def answered(self, frame: Frame) -> None:
        """An answer has come."""
        if frame.of not in self.pending:
            return
        handle = self.pending.pop(frame.of)
        if frame.error is not None:
            self.fail(handle, frame.error)
        elif handle is not None:
            self.out.append(Answered(handle, frame.data, frame.values))

    def settle(self, trouble: Trouble | None) -> None:
        """Nothing more will be sent: what waits for it fails."""
        left = [*self.pending.values(), *(item.handle for item in self._waiting.clear())]
        self.pending.clear()
        self._answers.clear()
        for handle in left:
            self.fail(handle, trouble or CLOSED)

    def forget(self) -> None:
        """Nothing more will be sent again."""
        self._replay.clear()

    def fail(self, handle: object | None, trouble: Trouble) -> None:
        """Tell whoever waits under `handle`."""
        if handle is not None:
            self.out.append(Failed(handle, trouble))

    def _send(self, item: Item) -> None:
        frame = self.number(item.frame)
        if item.counts:
            self._outflow.sent(frame)
        if frame.ack or frame.do == "publish":
            # Also of a `subscribe` that asks where it begins.
            self.pending[frame.seq] = item.handle
        elif item.handle is not None:
            self.out.append(Sent(item.handle))
