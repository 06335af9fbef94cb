"""Questions to the app, and its answers (protocol, section 9).

Rule: these values hold credentials, so none of them has a `repr` that shows one.
"""

from __future__ import annotations

from typing import Literal

import attrs

from takotwist.core.channel import Lifecycle
from takotwist.core.json_values import JsonObject

#: Seconds before the app is asked again about a client that it did not let publish.  Without
#: it every message of a guest would be a question; without an end, who becomes a member
#: while connected could not speak before they come again.
REFUSED_SECONDS = 10.0

#: The last second of the year 9999, in unix seconds; what is later was meant otherwise.
LATEST_EXPIRY = 253_402_300_799

Operation = Literal[
    "subscribe",
    "connect",
    "publish",
    "history",
    "presence",
    "call",
    "create",
    "append",
    "read",
    "delete",
    "cancel",
]


@attrs.frozen(slots=True)
class HeaderCredential:
    """The declared header, split once at the first space.

    :ivar value: the whole header where it has no space.
    :ivar scheme: what stands before the space, such as ``Bearer``.
    """

    value: str = attrs.field(repr=False)
    scheme: str | None = None

    @classmethod
    def split(cls, text: str) -> HeaderCredential:
        """Read a header's text (protocol, section 3)."""
        scheme, space, value = text.strip().partition(" ")
        return cls(value.strip(), scheme) if space else cls(scheme)


@attrs.frozen(slots=True)
class AuthRequest:
    """One question to the app: may this one do that here?

    :ivar params: all validated params, those outside the topic included.
    :ivar address: from where it is asked.  The app is not told: turns are shared out by it.
    """

    channel: str
    operation: Operation
    params: JsonObject
    header: HeaderCredential | None = None
    cookie: str | None = attrs.field(default=None, repr=False)
    address: str = ""


@attrs.frozen(slots=True, kw_only=True)
class Grant:
    """The app's yes.

    :ivar subject: who this is, as the app names them; stamped on the connection.
    :ivar info: what others are told of the subject where the channel has presence: a value
        that JSON can carry.
    :ivar expires_at: unix seconds after which the grant is void, or `None`.
    :ivar replay_window_ms: and the rest: overrides of the channel's lifecycle for
        this connection, `None` where the channel's own holds.
    """

    subject: str | None = None
    info: object = None
    expires_at: float | None = None
    replay_window_ms: int | None = None
    inactivity_ttl_ms: int | None = None
    keepalive_interval_ms: int | None = None
    max_connection_lifetime_ms: int | None = None

    def lifecycle(self, of_channel: Lifecycle) -> Lifecycle:
        """The channel's lifecycle with this grant's overrides, kept within bounds."""
        said: dict[str, int] = {}
        for name, (least, most) in Lifecycle.BOUNDS.items():
            value = getattr(self, name, None)
            if value is not None:
                said[name] = min(max(int(value), least), most)
        return attrs.evolve(of_channel, **said) if said else of_channel

    def out_of_bounds(self) -> list[tuple[str, int, int]]:
        """Overrides that `lifecycle` does not take as they are: name, what was said, what holds."""
        found = []
        for name, (least, most) in Lifecycle.BOUNDS.items():
            value = getattr(self, name, None)
            if value is not None and not least <= value <= most:
                found.append((name, value, min(max(value, least), most)))
        return found


def check_expiry(said: object) -> float:
    """A grant's end as the app says it.

    :raises ValueError: it is no time in unix seconds, such as one in milliseconds.
    """
    if isinstance(said, bool) or not isinstance(said, int | float):
        raise ValueError(f"must be unix seconds, not {type(said).__name__}")
    # Comparisons are false for NaN.
    if not 0 <= said <= LATEST_EXPIRY:
        raise ValueError(f"must be unix seconds up to the year 9999, not {said!r}")
    return said


#: Type of the frame by which the app is asked for the state of a topic, and of the message that
#: clients are given; no client's.
STATE = "tako.state"


@attrs.frozen(slots=True)
class Frame:
    """A client's frame on its way to the app's handler, or a question of the server's own.

    :ivar data: one JSON value, encoded.
    :ivar address: as of an `AuthRequest`.
    """

    channel: str
    params: JsonObject
    type: str
    data: bytes
    subject: str | None = None
    address: str = ""


@attrs.frozen(slots=True)
class Fanout:
    """Store and deliver `data` (encoded JSON) under the frame's type."""

    data: bytes


@attrs.frozen(slots=True)
class Drop:
    """The frame goes nowhere.

    :ivar error: why, where something failed rather than decided; it is logged.
    """

    error: str | None = None


@attrs.frozen(slots=True)
class Reject:
    """The frame is refused, and its sender told why."""

    reason: str


Verdict = Fanout | Drop | Reject
