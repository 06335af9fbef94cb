"""``[server]``, ``[publish]``, ``[replay]`` and ``[log]``: short sections, one class each.

Rule: a default is safe on a small VPS that faces the internet; whatever opens
something wider is said by the operator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs

from takotwist.server.config.kind import Choice, Listed, Location, Number, Text, Whole, WholeOrAuto
from takotwist.server.config.setting import setting
from takotwist.server.config.web_kind import TOKEN, Endpoint

#: Worker processes of one server; each connection id of QUIC names its worker in one byte.
MOST_WORKERS = 64


@attrs.frozen(kw_only=True)
class Server:
    """The processes of the server."""

    workers: int | Literal["auto"] = setting(
        WholeOrAuto(1, MOST_WORKERS),
        1,
        'Worker processes that serve, beside one that supervises them; "auto" is one for each'
        " CPU that the server may use. 1 is a single process and no supervisor.",
        unit="processes",
    )
    peer_listen: str | None = setting(
        Endpoint(),
        None,
        'Where this server listens for other servers on the same store, such as "tcp:7070:'
        'interface=10.0.0.5", in a network that only they can reach: they know each other by a'
        " secret in the store, but nothing is encrypted. Workers take the ports from there on, one"
        " each, and as many more while a rolling restart replaces them. Without it, workers of this"
        " machine listen for each other in the state folder, and nobody else.",
    )
    peer_url: str | None = setting(
        Text(r"[^\s/]+:[0-9]{1,5}", "host:port"),
        None,
        "How the other servers reach peer_listen, as host:port.",
        derived="the interface and port of peer_listen",
    )


@attrs.frozen(kw_only=True)
class Publish:
    """Publishing over the public listeners."""

    keys: tuple[str, ...] = setting(
        Listed(TOKEN),
        (),
        "Publish keys; `tako keys new` makes one. Without any, nobody publishes over the public"
        " listeners.",
        secret=True,
        live=True,
    )
    keys_file: Path | None = setting(
        Location(),
        None,
        "A file with one key a line, in addition to keys; # begins a comment.",
        live=True,
    )
    rate: float = setting(
        Number(0, 1e6),
        0.0,
        "Messages a second that one key may publish; 0 is no limit.",
        unit="messages a second",
        live=True,
    )
    burst: int = setting(
        Whole(1, 1_000_000),
        1_000,
        "Messages that may come at once before that rate holds.",
        unit="messages",
        live=True,
    )
    stream_idle_seconds: float = setting(
        Number(1, 366 * 86_400),
        3600.0,
        "How long an NDJSON publish may be quiet; then a last line says that it is over.",
        unit="seconds",
        live=True,
    )
    stream_seconds: float = setting(
        Number(1, 366 * 86_400),
        86_400.0,
        "How long an NDJSON publish may go on in all.",
        unit="seconds",
        live=True,
    )


@attrs.frozen(kw_only=True)
class Replay:
    """The replay log."""

    path: Path = setting(
        Location(), Path(), "The database file.", derived="STATE_DIR/replay.sqlite"
    )
    url: str | None = setting(
        Text(
            r"postgres(ql)?://[^\x00-\x20\x7f]+",
            "an address such as postgresql://host/database",
        ),
        None,
        "A PostgreSQL that several servers share, in place of the file. Keys of libpq may follow as"
        " a query, such as ?sslmode=verify-full. Needs pip install 'takotwist[postgres]'.",
        secret=True,
    )
    schema: str = setting(
        Text(r"[a-z_][a-z0-9_]{0,40}", "a name of at most 41 of a-z, 0-9 and _, no digit first"),
        "takotwist",
        "The schema in that database in which everything is. It is made where it is missing.",
    )
    connect_timeout_seconds: float = setting(
        Number(0.1, 300),
        5.0,
        "How long a connection to one address of PostgreSQL may take.",
        unit="seconds",
    )
    statement_timeout_seconds: float = setting(
        Number(0.1, 300),
        5.0,
        "How long PostgreSQL may take for one call. A publish is refused (store-unavailable) after"
        " this and the time for a connection at the latest.",
        unit="seconds",
    )
    durability: Literal["commit", "power"] = setting(
        Choice(("commit", "power")),
        "commit",
        'What an acknowledged message survives: "commit" the death of the process,'
        ' "power" also that of the machine, at about a tenth of the speed for single messages.'
        ' With PostgreSQL "commit" is what its synchronous_commit says; "power" turns that on'
        " where it is off.",
    )
    sweep_interval_seconds: float = setting(
        Number(0.1, 3600),
        1.0,
        "How often old messages are removed; a window may be exceeded by that much.",
        unit="seconds",
    )


@attrs.frozen(kw_only=True)
class Log:
    """The server's own log."""

    format: str = setting(
        Choice(("text", "json")), "text", "One readable line an event, or one JSON object."
    )
    level: str = setting(
        Choice(("debug", "info", "warn", "error", "critical")),
        "info",
        "The least that is written.",
        live=True,
    )
