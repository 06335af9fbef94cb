"""The writer of a streamed message without I/O: what gathers, what is sent next, and how it ends.

One call is under way at a time; what is written meanwhile gathers and is the next one, so a
token costs no request.  Rule: a call that was made is sent as it is until it is answered, because
its number stands for what it held.
"""

from __future__ import annotations

from collections import deque
from typing import TypeVar

import attrs
import msgspec

from takotwist.app.stream_call import AppendCall, RenewCall, StreamReply
from takotwist.app.types import to_json
from takotwist.codecs.plain_json import ENCODING_ERRORS, failed_in, is_text
from takotwist.codecs.query import MAX_ERROR_LENGTH
from takotwist.errors import BodyInvalid, MessageTooLarge, StreamEnded, StreamTaken

S = TypeVar("S", str, bytes)

#: Seconds from one append to the next, at least: a reader sees no difference, and a token costs
#: no transaction.
GATHER_SECONDS = 0.04

#: Characters of text, and bytes of values, of one append.
TEXT_CHARACTERS, VALUE_BYTES = 32 * 1024, 64 * 1024

#: Characters, or bytes, that may wait to be sent before `write` waits.
MOST_UNSENT = 256 * 1024

#: A silent writer says so often within its lease that it is there.
RENEWALS = 3


@attrs.define(slots=True, eq=False)
class StreamMachine:
    """One message.

    :ivar text: it is written in strings.
    :ivar epoch: as its opening was answered.
    :ivar lease: seconds.
    :ivar error: why nothing can be written any more.
    :ivar over: nothing is to be sent any more.
    """

    id: str
    text: bool
    gather: float = GATHER_SECONDS
    epoch: int = 0
    lease: float = 15.0
    error: BaseException | None = None
    over: bool = False
    _texts: deque[str] = attrs.field(factory=deque, init=False)
    _values: deque[bytes] = attrs.field(factory=deque, init=False)
    _unsent: int = attrs.field(default=0, init=False)
    _seq: int = attrs.field(default=0, init=False)
    _under_way: AppendCall | RenewCall | None = attrs.field(default=None, init=False)
    _end: tuple[str, str] | None = attrs.field(default=None, init=False)
    _sent_at: float | None = attrs.field(default=None, init=False)
    _appended_at: float | None = attrs.field(default=None, init=False)

    @property
    def cancelled(self) -> bool:
        """`True` where somebody who reads has ended it."""
        return isinstance(self.error, StreamEnded) and self.error.how == "cancelled"

    @property
    def full(self) -> bool:
        """`True` while so much waits that a writer should wait too."""
        return self._unsent >= MOST_UNSENT and not self.over

    @property
    def stored(self) -> bool:
        """`True` where all that was written is stored, or never will be."""
        return self.over or not (self._unsent or isinstance(self._under_way, AppendCall))

    def opened(self, reply: StreamReply, now: float) -> None:
        """The server has it open."""
        self.epoch, self.lease, self._sent_at = reply.epoch, reply.lease, now

    def write(self, value: object) -> None:
        """Have something appended.

        :raises BodyInvalid: it cannot be.
        :raises StreamEnded: :raises StreamTaken: it has ended, or is another one's.
        """
        self.check()
        if self._end is not None:
            raise StreamEnded(how=self._end[0])
        if not self.text:
            try:
                encoded = to_json(value)
            except ENCODING_ERRORS as failed:
                raise BodyInvalid(f"{failed_in(value, 'value', to_json, failed)}.") from None
            self._values.append(encoded)
            self._unsent += len(encoded)
            return
        if not isinstance(value, str) or not is_text(value):
            raise BodyInvalid("A stream of text takes text: say of='values' for anything else.")
        if value:
            self._texts.append(value)
            self._unsent += len(value)

    def end(self, how: str, error: str = "") -> None:
        """End it, behind what was written.  Harmless when repeated."""
        if self._end is None:
            self._end = (how, error)

    def check(self) -> None:
        """Raise why nothing can be written any more, if so."""
        if self.error is not None:
            raise self.error

    def next(self, now: float) -> AppendCall | RenewCall | float | None:
        """A call to be sent now; else seconds until there may be one, or `None` for never."""
        if self.over or self._under_way is not None:
            return None
        if self._unsent or self._end is not None:
            wait = 0.0
            if self._end is None and self._appended_at is not None:
                wait = self._appended_at + self.gather - now
            if wait > 0:
                return wait
            return self._sent(self._append(), now)
        assert self._sent_at is not None
        wait = self._sent_at + self.lease / RENEWALS - now
        return wait if wait > 0 else self._sent(RenewCall(self.id, self.epoch), now)

    def answered(self, answer: StreamReply | BaseException) -> None:
        """The call that was under way was answered, or cannot be."""
        call, self._under_way = self._under_way, None
        if not isinstance(answer, BaseException):
            if isinstance(call, AppendCall):
                self._seq += 1
                self.over = self.over or bool(call.end)
            return
        ending = isinstance(call, AppendCall) and bool(call.end)
        self.failed(answer)
        if isinstance(answer, MessageTooLarge | BodyInvalid) and not ending and not self.over:
            # Nothing of it was stored, and the number is free: readers are told of the end.
            self._end = ("failed", answer.sentence[:MAX_ERROR_LENGTH])
        else:
            # Where there was no answer nobody knows what its number holds; the lease ends it.
            self.over = True

    def failed(self, error: BaseException) -> None:
        """Nothing can be written any more."""
        if self.over:
            return
        if self.error is None:
            self.error = error
        self._texts.clear()
        self._values.clear()
        self._unsent = 0
        self.over = isinstance(error, StreamEnded | StreamTaken)

    def _sent(self, call: AppendCall | RenewCall, now: float) -> AppendCall | RenewCall:
        self._under_way, self._sent_at = call, now
        if isinstance(call, AppendCall):
            self._appended_at = now
        return call

    def _append(self) -> AppendCall:
        values = self._take()
        how, error = "", ""
        if self._end is not None and not self._unsent:
            how, error = self._end
        return AppendCall(self.id, self.epoch, self._seq, values, how, error)

    def _take(self) -> bytes:
        if self.text:
            taken, size = _some(self._texts, TEXT_CHARACTERS)
            if size > TEXT_CHARACTERS:
                last = taken.pop()
                cut = len(last) - (size - TEXT_CHARACTERS)
                taken.append(last[:cut])
                self._texts.appendleft(last[cut:])
                size = TEXT_CHARACTERS
            self._unsent -= size
            return msgspec.json.encode(["".join(taken)]) if taken else b""
        values, size = _some(self._values, VALUE_BYTES)
        self._unsent -= size
        return b"[%b]" % b",".join(values) if values else b""


def _some(waiting: deque[S], most: int) -> tuple[list[S], int]:
    """The first of them, until they have at least `most` together."""
    taken: list[S] = []
    size = 0
    while waiting and size < most:
        taken.append(waiting.popleft())
        size += len(taken[-1])
    return taken, size
