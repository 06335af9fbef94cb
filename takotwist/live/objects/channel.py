"""`Channel`: a two-way pipe between the server and the one client that gets it, with listeners.

Rule: a message is settled once, when all its listeners have; no listener gets a message
before the listeners of an earlier one have begun.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar, get_args

import attrs
from twisted.logger import Logger

from takotwist.core.json_values import Json
from takotwist.live.errors import Abort, ValidationError, as_trouble
from takotwist.live.machine.frames import Frame, Trouble
from takotwist.live.objects.callbacks import Dispatch, log_failure
from takotwist.live.objects.live_object import LiveObject, Overflow
from takotwist.live.objects.outcome import ANYTHING, Direction, Outcome, direction_of
from takotwist.live.values import NOTHING, Encoded, encode

_log = Logger()

_FAILED = Trouble("failed", None, "The listener failed.")
_NO_LISTENER = Trouble("failed", None, "There is no listener.")


@attrs.define(slots=True, eq=False)
class _Listener:
    # Wrapped, so that one function that listens twice stops listening once.
    callback: Callable[[Any], Any]
    run: Callable[[Callable[[Any], Any], Any], Any]

    def __call__(self, data: object) -> Any:
        return self.run(self.callback, data)


@attrs.define(slots=True, eq=False)
class Listeners:
    """The listeners of one channel.

    :ivar owner: the channel.
    :ivar answer: settles a message, with its answer as JSON text or its error.
    :ivar abort: ends the channel, where a listener raised `Abort`.
    """

    owner: object
    answer: Callable[[Frame, Encoded, Trouble | None], None]
    abort: Callable[[Abort], None]
    _texts: list[_Listener] = attrs.field(factory=list, init=False)
    _binaries: list[_Listener] = attrs.field(factory=list, init=False)
    _misfitted: bool = attrs.field(default=False, init=False)
    #: Coroutines that were made and have not begun: an asyncio loop begins them a turn later.
    _to_begin: int = attrs.field(default=0, init=False)

    def add(self, binary: bool, callback: Callable[[Any], object]) -> Callable[[], None]:
        """Add a listener of text or of binary messages.

        :return: call it to remove the listener.  Harmless when repeated.
        """
        listeners = self._binaries if binary else self._texts
        listener = _Listener(callback, self._run)
        listeners.append(listener)

        def unlisten() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return unlisten

    def clear(self) -> None:
        """Remove all listeners."""
        self._texts.clear()
        self._binaries.clear()

    def deliver(self, frame: Frame, inbound: Direction) -> None:
        """Dispatch a message to its listeners."""
        listeners = tuple(self._binaries if frame.binary else self._texts)
        if not listeners:
            self.answer(frame, NOTHING, _NO_LISTENER)
            return
        data: Json = frame.data
        if not frame.binary:
            try:
                data = inbound.read_message(frame.data, frame.values)
            except ValidationError as misfit:
                self._misfit(frame, misfit)
                return
        one = Dispatch(lambda value, error: self._listened(frame, value, error))
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

    def _run(self, callback: Callable[[object], object], data: object) -> object:
        if self._to_begin:
            # Called now it would overtake them; as a coroutine it begins behind them.
            self._to_begin += 1
            return self._in_turn(callback, data)
        result = callback(data)
        if not inspect.isawaitable(result):
            return result
        self._to_begin += 1
        return self._begun(result)

    async def _begun(self, result: Awaitable[object]) -> object:
        self._to_begin -= 1
        return await result

    async def _in_turn(self, callback: Callable[[object], object], data: object) -> object:
        self._to_begin -= 1
        result = callback(data)
        return await result if inspect.isawaitable(result) else result

    def _listened(self, frame: Frame, value: object, error: BaseException | None) -> None:
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

    def _answer_with(self, frame: Frame, value: object) -> None:
        try:
            said = encode(value, "answer")
        except (TypeError, ValueError) as unusable:
            log_failure(f"the answer of a listener of {self.owner!r}", unusable)
            self.answer(frame, NOTHING, _FAILED)
        else:
            self.answer(frame, said, None)


C = TypeVar("C")
S = TypeVar("S")


class ClientEnd(Generic[C, S]):
    """The client's end of a channel, as a function returns it, with its types.

    A plain class, because an attrs one would be written as an object of its fields.
    """

    __slots__ = ("channel",)

    def __init__(self, channel: LiveObject) -> None:
        self.channel = channel


class Channel(LiveObject, Generic[C, S]):
    """The server's end of a channel; return `channel.client` from a function.

    ``Channel[ClientToServer, ServerToClient]`` takes a type for each direction:
    ``Callable[[Message], Answer]``, or the message's alone.  Messages and answers that
    come in are checked against them.

    :param ack: whether `send` asks for an answer where it does not say.
    :param buffer_limit: bytes that may wait, of texts and of binary data each, while there is
        no client or it has no capacity; a message counts for its data and 400 more.  Default:
        the configuration's.
    :param overflow: what happens where more would wait, at both ends: ``"end"`` ends the
        channel with `ChannelOverflowError`, so nothing is missed unseen; ``"drop-oldest"``
        keeps it open, and fails the oldest sends that wait.
    """

    kind = "channel"

    def __init__(
        self, *, ack: bool = False, buffer_limit: int | None = None, overflow: Overflow = "end"
    ) -> None:
        super().__init__(buffer_limit, overflow)
        self.ack = ack
        self._listeners = Listeners(self, self._answer, self.lose)

    @property
    def client(self) -> ClientEnd[C, S]:
        """The client's end, to be returned from a function."""
        return ClientEnd(self)

    def send(self, data: object, *, ack: bool | None = None) -> Outcome[Any]:
        """Send a message.

        :param data: anything that JSON can carry, and dates and bytes.
        :param ack: whether to ask for an answer; `None` is the channel's own.
        :return: await it, or do not.  Without an answer it is there when the client
            has capacity for the message; with one it is the answer.  It fails with
            `ChannelClosedError`, `ChannelOverflowError` (too much waited), `NetworkError`,
            `Abort`, and where an answer was asked for with `ValidationError` or
            `ListenerError`.
        :raises TypeError: :raises ValueError: JSON has no form for `data`; here, because
            whoever does not await the send would not hear of it.
        """
        asks = self.ack if ack is None else ack
        return self._send(_message(data, asks), Outcome())

    def send_binary(
        self, data: bytes | bytearray | memoryview, *, ack: bool = False
    ) -> Outcome[Any]:
        """Send bytes; as `send`, but the channel's own `ack` does not hold for it."""
        frame = Frame("send", data=bytes(memoryview(data)), binary=True, ack=ack)
        return self._send(frame, Outcome())

    def listen(self, callback: Callable[[Any], object]) -> Callable[[], None]:
        """Add a listener of messages.

        What it returns is the answer, where one is asked for (the last listener's).  A
        coroutine is waited for.  Raising `Abort` ends the channel with its value.

        :return: call it to remove the listener.
        """
        return self._listeners.add(False, callback)

    def listen_binary(self, callback: Callable[[bytes], object]) -> Callable[[], None]:
        """Add a listener of bytes; as `listen`."""
        return self._listeners.add(True, callback)

    # private

    def _direction(self, index: int) -> Direction:
        said = get_args(getattr(self, "__orig_class__", None))
        return direction_of(said[index]) if said else ANYTHING

    def _inbound(self) -> Direction:
        return self._direction(0)

    def _outbound(self) -> Direction:
        return self._direction(1)

    def _deliver(self, frame: Frame) -> None:
        if frame.do == "send":
            self._listeners.deliver(frame, self._inbound())
        else:
            self._answer(frame, NOTHING, Trouble("failed", None, "This is a channel."))

    def _ended(self) -> None:
        self._listeners.clear()


def _message(data: object, ack: bool) -> Frame:
    said = encode(data)
    return Frame("send", data=said.data, ack=ack, values=said.values)
