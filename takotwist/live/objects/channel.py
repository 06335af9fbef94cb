"""`Channel`: a two-way pipe between the server and the one client that gets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, get_args

from takotwist.live.machine.frames import Frame, Trouble
from takotwist.live.objects.listening import Listening
from takotwist.live.objects.live_object import LiveObject, Overflow
from takotwist.live.objects.message_types import ANYTHING, Direction, direction_of
from takotwist.live.objects.outcome import Outcome
from takotwist.live.values import NOTHING, encode

C = TypeVar("C")
S = TypeVar("S")


class ClientEnd(Generic[C, S]):
    """What a function returns for a channel: the other end of it, with its types.

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
        self._listening = Listening(self, self._answer, self.lose)

    @property
    def client(self) -> ClientEnd[C, S]:
        """The client's end, to be returned from a function."""
        return ClientEnd(self)

    def send(self, data: Any, *, ack: bool | None = None) -> Outcome[Any]:
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

    def listen(self, callback: Callable[[Any], Any]) -> Callable[[], None]:
        """Hear of messages.

        What it returns is the answer, where one is asked for (the last listener's).  A
        coroutine is waited for.  Raising `Abort` ends the channel with its value.

        :return: call it to listen no more.
        """
        return self._listening.add(False, callback)

    def listen_binary(self, callback: Callable[[bytes], Any]) -> Callable[[], None]:
        """Hear of bytes; as `listen`."""
        return self._listening.add(True, callback)

    # inside

    def _direction(self, index: int) -> Direction:
        said = get_args(getattr(self, "__orig_class__", None))
        return direction_of(said[index]) if said else ANYTHING

    def _inbound(self) -> Direction:
        return self._direction(0)

    def _outbound(self) -> Direction:
        return self._direction(1)

    def _deliver(self, frame: Frame) -> None:
        if frame.do == "send":
            self._listening.deliver(frame, self._inbound())
        else:
            self._answer(frame, NOTHING, Trouble("failed", None, "This is a channel."))

    def _ended(self) -> None:
        self._listening.clear()


def _message(data: Any, ack: bool) -> Frame:
    said = encode(data)
    return Frame("send", data=said.data, ack=ack, values=said.values)
