"""Errors of live objects, of sends and of calls.

    TakoError
    ├── Abort                 either side said so; carries a value
    ├── NetworkError          the connection was lost for too long (also a ConnectionError)
    ├── PageLeft              the page was left, or closed what it had of live objects
    ├── ChannelClosedError    the object is closed, or is closing
    ├── ChannelOverflowError  too much waited: the object has ended, or dropped a send
    ├── ValidationError       data or an answer did not fit its declared type
    ├── ListenerError         the other side's listener failed, or there is none
    ├── ReplayError           a durable broadcast could not begin where it was asked to
    └── UsageError            the call makes no sense on this object

Rule: each leaf but the last has one code on the wire (protocol, live objects,
section 5; that of `ReplayError` is a message of ``failed``, section 8), and
`as_error` and `as_trouble` are the only translation.
"""

from __future__ import annotations

from takotwist.errors import REFUSALS, TakoError
from takotwist.live.machine.frames import Trouble
from takotwist.live.values import decode, encode, read_marks


class LiveError(TakoError):
    """The root of the tree above."""


class Abort(LiveError):
    """One side ended the object on purpose, or refused a call.

    :ivar value: what it said; anything that JSON can carry, and dates and bytes.
    """

    def __init__(self, value: object = None, message: str | None = None) -> None:
        self.value = value
        if message is None:
            said = value.get("message") if isinstance(value, dict) else value
            message = said if isinstance(said, str) else "Aborted"
        super().__init__(message)


class NetworkError(LiveError, ConnectionError):
    """The connection was lost for longer than the object waits, or never made.

    :ivar is_channel: it is a live object's and not a plain call's.
    """

    def __init__(self, message: str = "The connection was lost.", *, is_channel: bool = True):
        self.is_channel = is_channel
        super().__init__(message)


class PageLeft(LiveError):
    """The page was left, or closed what it had of live objects: nothing is wrong."""

    def __init__(self, message: str = "The page was left.") -> None:
        super().__init__(message)


class ChannelClosedError(LiveError):
    """A send on a closed object, or what was under way when it closed."""

    def __init__(self, message: str = "The channel is closed.") -> None:
        super().__init__(message)


class ChannelOverflowError(LiveError):
    """Too much waited: the object has ended, or has dropped this send where it was made to."""

    def __init__(self, message: str = "More waits than the buffer holds.") -> None:
        super().__init__(message)


class ValidationError(LiveError):
    """Data or an answer does not fit its declared type; names the path."""

    def __init__(self, message: str = "The data does not fit its type.") -> None:
        super().__init__(message)


class ListenerError(LiveError):
    """The listener that should have answered failed, or there is none; its side knows more."""

    def __init__(self, message: str = "The listener failed.") -> None:
        super().__init__(message)


class ReplayError(LiveError):
    """A durable member cannot go on from its cursor; nothing was skipped unseen.

    :ivar code: ``replay-too-old``, ``cursor-invalid`` or ``store-unavailable``.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class UsageError(LiveError, TypeError):
    """The call makes no sense on this object."""


_BY_CODE: dict[str, type[LiveError]] = {
    "network": NetworkError,
    "left": PageLeft,
    "closed": ChannelClosedError,
    "overflow": ChannelOverflowError,
    "validation": ValidationError,
    "failed": ListenerError,
}


def as_error(trouble: Trouble) -> LiveError:
    """The exception for an error of the wire."""
    if trouble.code == "abort":
        value = None
        if trouble.value:
            value = decode(trouble.value, read_marks(trouble.values), None)
        return Abort(value, trouble.message)
    if trouble.code == "failed" and trouble.message in REFUSALS:
        return ReplayError(trouble.message)
    kind = _BY_CODE.get(trouble.code, ListenerError)
    return kind(trouble.message) if trouble.message else kind()


def as_trouble(error: LiveError) -> Trouble:
    """The error of the wire for an exception."""
    if isinstance(error, Abort):
        plain = Abort(error.value)
        message = None if str(plain) == str(error) else str(error)
        said = encode(error.value, "value")
        return Trouble("abort", said.data, message, said.values)
    if isinstance(error, ReplayError):
        return Trouble("failed", None, error.code)
    for code, kind in _BY_CODE.items():
        if isinstance(error, kind):
            return Trouble(code, None, str(error))
    return Trouble("failed")
