"""Limits of who is here; see `tests.faults.limits`."""

from __future__ import annotations

from tests.faults import reaching_presence
from tests.faults.limit import Limit

#: What the channel of these says is in `tests.faults.reaching_presence`.
PRESENCE_LIMITS: tuple[Limit, ...] = (
    Limit(
        "what the app says of a member",
        "limits.max_presence_info_bytes",
        ("503 auth-unavailable",),
        reaching_presence.info,
        "[limits]\nmax_presence_info_bytes = 50",
    ),
    Limit(
        "what a member says of itself",
        "limits.max_presence_state_bytes",
        ("error message-too-large",),
        reaching_presence.state,
        "[limits]\nmax_presence_state_bytes = 100",
    ),
    Limit(
        "members of a topic on one node, where the channel does not say (here 1)",
        "1,000",
        ("listed ada", "counted 1"),
        reaching_presence.members,
    ),
    Limit(
        "time between two changes of who is at a topic",
        "limits.presence_interval_seconds",
        ("told together",),
        reaching_presence.states,
        "[limits]\npresence_interval_seconds = 1",
    ),
    Limit(
        "deliveries of who is at a topic",
        "limits.presence_deliveries_per_second",
        ("told together",),
        reaching_presence.states,
        "[limits]\npresence_deliveries_per_second = 1",
    ),
    Limit(
        "time between two numbers of who is no member",
        "limits.presence_count_interval_seconds",
        ("told together",),
        reaching_presence.guests,
        "[limits]\npresence_count_interval_seconds = 2",
    ),
)
