"""`Presence`: what a channel says of who is at its topics.

Members are declared as params and messages are: by any type that JSON can carry.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Generic, Literal, TypeVar

import attrs

from takotwist.app.types import Declared, P, declare
from takotwist.core.channel import PresenceRules
from takotwist.core.params import PayloadSchema, Schema
from takotwist.errors import DefinitionError

N = TypeVar("N")
S = TypeVar("S")


@attrs.frozen(slots=True, kw_only=True)
class Presence:
    """Presence of a channel; give it to `define_channel`.

    Who follows a topic and has a subject (`Grant.subject`) is a member, whatever number of
    connections it has; others are counted.

    :ivar info: the type of what the app says of a member (`Grant.info`), such as name and
        avatar.  Left out: anything.
    :ivar state: the type of what a member says of itself, such as a cursor.  Left out: anything.
    :ivar grace: who is back within it has not been away: seconds, or a `timedelta`.
    :ivar max_members: most members of a topic; who comes then is counted only.
    :ivar events: whether changes can be followed; else only the list can be asked for.
    :ivar mode: ``members``, or ``count``: nobody is named, and the number of connections
        alone is told, for large audiences.
    """

    info: object = None
    state: object = None
    grace: float | timedelta = 10.0
    max_members: int = 1_000
    events: bool = True
    mode: Literal["members", "count"] = "members"


@attrs.frozen(slots=True)
class Member(Generic[N, S]):
    """One who is here.

    :ivar subject: as `verify` named it.
    :ivar info: what the app said of it, as the declared type; `None` where it said nothing.
    :ivar state: what it said of itself, as the declared type; `None` where it said nothing.
    :ivar since: when it came, unix time in seconds.
    """

    subject: str
    info: N
    state: S
    since: float


@attrs.frozen(slots=True)
class MemberEvent(Generic[P]):
    """A member came or left; what `Channel.on_join` and `Channel.on_leave` are called with.

    :ivar id: the same when it is told again.
    :ivar kind: ``join`` or ``leave``.
    :ivar params: of the topic, as the declared type.
    :ivar member: of a leave the subject alone is known.
    """

    id: str
    kind: Literal["join", "leave"]
    channel: str
    params: P
    member: Member[Any, Any]


def rules_of(
    said: Presence | str | bool | None,
) -> tuple[PresenceRules | None, Declared | None, Declared | None]:
    """The rules as plain data, and the declared types of info and state.

    :param said: `True` for `Presence` as it is, ``"count"`` for its `mode`.
    :raises DefinitionError: names the argument.
    """
    if said is None or said is False:
        return None, None, None
    if said is True:
        said = Presence()
    if said == "count":
        said = Presence(mode="count")
    if not isinstance(said, Presence):
        raise DefinitionError(f"presence must be a Presence, True or 'count', not {said!r}")
    if said.mode not in ("members", "count"):
        raise DefinitionError(f"presence: mode must be 'members' or 'count', not {said.mode!r}")
    info, state = _declared(said.info, "info"), _declared(said.state, "state")
    rules = PresenceRules(
        info=_schema(info, "info"),
        state=_schema(state, "state"),
        grace_ms=_milliseconds(said.grace),
        max_members=said.max_members,
        events=bool(said.events),
        counts_all=said.mode == "count",
    )
    return rules, info, state


def _declared(kind: object, what: str) -> Declared | None:
    return None if kind is None else declare(kind, f"presence {what}")


def _schema(declared: Declared | None, what: str) -> PayloadSchema | None:
    if declared is None:
        return None
    return PayloadSchema(Schema.of(declared.document, f"the schema of presence {what}"))


def _milliseconds(said: float | timedelta) -> int:
    seconds = said.total_seconds() if isinstance(said, timedelta) else said
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds != seconds:
        raise DefinitionError(f"presence: grace must be seconds or a timedelta, not {said!r}")
    return round(min(max(seconds, -1.0), 1e9) * 1000)
