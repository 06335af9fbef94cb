"""The app's functions that hear of a channel's messages, and what they answer.

Rule: a message is settled once, when all who heard it have settled; nobody hears of a
message before those who listen to an earlier one have begun.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from twisted.logger import Logger

from takotwist.live.errors import Abort, ValidationError, as_trouble
from takotwist.live.machine.frames import Frame, Trouble
from takotwist.live.objects.callbacks import Round, log_failure
from takotwist.live.objects.message_types import Direction
from takotwist.live.values import NOTHING, Encoded, encode

_log = Logger()

_FAILED = Trouble("failed", None, "The listener failed.")
_NO_LISTENER = Trouble("failed", None, "There is no listener.")


@attrs.define(slots=True, eq=False)
class _Listener:
    # Wrapped, so that one function that listens twice stops listening once.
    callback: Callable[[Any], Any]
    run: Callable[[Callable[[Any], Any], Any], Any]

    def __call__(self, data: Any) -> Any:
        return self.run(self.callback, data)


@attrs.define(slots=True, eq=False)
class Listening:
    """The listeners of one channel.

    :ivar owner: the channel.
    :ivar answer: gets a message's answer as JSON text, or what it failed with.
    :ivar abort: a listener has ended the channel.
    """

    owner: object
    answer: Callable[[Frame, Encoded, Trouble | None], None]
    abort: Callable[[Abort], None]
    _texts: list[_Listener] = attrs.field(factory=list, init=False)
    _binaries: list[_Listener] = attrs.field(factory=list, init=False)
    _misfitted: bool = attrs.field(default=False, init=False)
    #: Coroutines that were made and have not begun: an asyncio loop begins them a turn later.
    _to_begin: int = attrs.field(default=0, init=False)

    def add(self, binary: bool, callback: Callable[[Any], Any]) -> Callable[[], None]:
        """Hear of messages of a kind.

        :return: call it to hear no more.  Harmless when repeated.
        """
        listeners = self._binaries if binary else self._texts
        listener = _Listener(callback, self._run)
        listeners.append(listener)

        def unlisten() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return unlisten

    def clear(self) -> None:
        """Nobody hears of anything any more."""
        self._texts.clear()
        self._binaries.clear()

    def deliver(self, frame: Frame, inbound: Direction) -> None:
        """A message has come."""
        listeners = tuple(self._binaries if frame.binary else self._texts)
        if not listeners:
            self.answer(frame, NOTHING, _NO_LISTENER)
            return
        data: Any = frame.data
        if not frame.binary:
            try:
                data = inbound.read_message(frame.data, frame.values)
            except ValidationError as misfit:
                self._misfit(frame, misfit)
                return
        one = Round(lambda value, error: self._listened(frame, value, error))
        if frame.ack:
            one.one_by_one(listeners, data, self.owner, frame.seq)
        else:
            one.all_at_once(listeners, (data,))

    def _misfit(self, frame: Frame, misfit: ValidationError) -> None:
        if not frame.ack and not self._misfitted:
            # Whoever sent it is not told.  Once, because a page may send many; and the place
            # alone, because the reason may hold what was sent.
            self._misfitted = True
            _log.warn(
                "{owner!r}: a message was dropped: {place} does not fit its type",
                owner=self.owner,
                place=str(misfit).partition(": ")[0],
            )
        self.answer(frame, NOTHING, as_trouble(misfit))

    def _run(self, callback: Callable[[Any], Any], data: Any) -> Any:
        if self._to_begin:
            # Called now it would overtake them; as a coroutine it begins behind them.
            self._to_begin += 1
            return self._in_turn(callback, data)
        result = callback(data)
        if not inspect.isawaitable(result):
            return result
        self._to_begin += 1
        return self._begun(result)

    async def _begun(self, result: Awaitable[Any]) -> Any:
        self._to_begin -= 1
        return await result

    async def _in_turn(self, callback: Callable[[Any], Any], data: Any) -> Any:
        self._to_begin -= 1
        result = callback(data)
        return await result if inspect.isawaitable(result) else result

    def _listened(self, frame: Frame, value: Any, error: BaseException | None) -> None:
        if isinstance(error, Abort):
            try:
                self.abort(error)
            except (TypeError, ValueError) as unusable:
                log_failure(f"the Abort of a listener of {self.owner!r}", unusable)
                self.answer(frame, NOTHING, _FAILED)
        elif error is not None:
            log_failure(f"a listener of {self.owner!r}", error)
            self.answer(frame, NOTHING, _FAILED)
        elif not frame.ack:
            self.answer(frame, NOTHING, None)
        else:
            self._answer_with(frame, value)

    def _answer_with(self, frame: Frame, value: Any) -> None:
        try:
            said = encode(value, "answer")
        except (TypeError, ValueError) as unusable:
            log_failure(f"the answer of a listener of {self.owner!r}", unusable)
            self.answer(frame, NOTHING, _FAILED)
        else:
            self.answer(frame, said, None)
