"""``[lifecycle]``: how long things live, in an operator's units, for every channel or for one.

Rule: the bounds are those of `takotwist.core.channel.Lifecycle`, read from
there.
"""

from __future__ import annotations

import attrs

from takotwist.core.channel import Lifecycle
from takotwist.server.config.kind import Number, Whole
from takotwist.server.config.setting import setting


def _seconds(name: str, meaning: str) -> float:
    least, most = Lifecycle.BOUNDS[name + "_ms"]
    value: float = setting(
        Number(least / 1000, most / 1000),
        getattr(Lifecycle(), name + "_ms") / 1000,
        meaning,
        unit="seconds",
        live=True,
    )
    return value


def _count(name: str, meaning: str, unit: str) -> int:
    value: int = setting(
        Whole(*Lifecycle.BOUNDS[name]), getattr(Lifecycle(), name), meaning, unit=unit, live=True
    )
    return value


@attrs.frozen(kw_only=True)
class LifecycleDefaults:
    """Defaults of channels that do not say otherwise, wherever they are defined."""

    replay_window_seconds: float = _seconds(
        "replay_window", "How far back a client may resume. Older messages are removed."
    )
    replay_max_messages: int = _count(
        "replay_max_messages", "The most messages of one topic that are kept.", "messages"
    )
    replay_max_bytes: int = _count(
        "replay_max_bytes", "The most bytes of one topic that are kept.", "bytes"
    )
    inactivity_ttl_seconds: float = _seconds(
        "inactivity_ttl",
        "A topic without publishes and subscribers for that long is dropped; 0 is never.",
    )
    keepalive_interval_seconds: float = _seconds(
        "keepalive_interval", "How often an idle connection gets a sign of life."
    )
    max_connection_lifetime_seconds: float = _seconds(
        "max_connection_lifetime",
        "After that long a connection is ended, and its client comes back; 0 is never.",
    )

    def lifecycle(self) -> Lifecycle:
        """The same as the rest of the program counts it."""
        return over(Lifecycle(), attrs.asdict(self))


def over(lifecycle: Lifecycle, said: dict[str, float | int]) -> Lifecycle:
    """`lifecycle` with what a section says of the keys above; other keys are left alone."""
    changed: dict[str, int] = {}
    for name in Lifecycle.BOUNDS:
        key = name.removesuffix("_ms") + "_seconds" if name.endswith("_ms") else name
        if key in said:
            value = said[key]
            changed[name] = round(value * 1000) if name.endswith("_ms") else int(value)
    return attrs.evolve(lifecycle, **changed) if changed else lifecycle
