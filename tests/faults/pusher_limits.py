"""The limits of the Pusher protocol; see `tests.faults.limits`."""

from __future__ import annotations

from tests.faults import reaching_pusher
from tests.faults.limit import Limit
from tests.faults.reaching_pusher import APP


def _with(line: str) -> str:
    return f"[pusher]\n{line}\n{APP}"


#: Their lines.
PUSHER_LIMITS = (
    Limit(
        "Pusher: connections of one app",
        "max_connections of the app",
        ("close 4100",),
        reaching_pusher.connections,
        f"{APP}max_connections = 2",
    ),
    Limit(
        "Pusher: data of an event, triggered or sent by a client",
        "pusher.max_event_bytes",
        ("413 message-too-large", "error 4301"),
        reaching_pusher.event,
        _with("max_event_bytes = 128"),
    ),
    Limit(
        "Pusher: channels of one event",
        "pusher.max_channels_per_event",
        ("400 body-invalid",),
        reaching_pusher.channels,
        _with("max_channels_per_event = 2"),
    ),
    Limit(
        "Pusher: events of one batch",
        "pusher.max_batch",
        ("400 body-invalid",),
        reaching_pusher.batch,
        _with("max_batch = 2"),
    ),
    Limit(
        "Pusher: members of a presence channel",
        "pusher.max_members",
        ("error LimitReached 503",),
        reaching_pusher.members,
        _with("max_members = 1"),
    ),
    Limit(
        "Pusher: user_info of a member",
        "pusher.max_user_info_bytes",
        ("error Error 413",),
        reaching_pusher.user_info,
        _with("max_user_info_bytes = 64"),
    ),
    Limit(
        "Pusher: users of a watchlist",
        "pusher.max_watchlist",
        ("error 4302",),
        reaching_pusher.watchlist,
        f"{_with('max_watchlist = 2')}watchlists = true",
    ),
    Limit(
        "Pusher: client events of one connection",
        "pusher.client_event_rate",
        ("error 4301",),
        reaching_pusher.client_events,
        f"[limits]\npublish_rate = 0\n{_with('client_event_rate = 2')}",
    ),
)
