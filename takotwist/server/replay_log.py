"""The replay log that the configuration names: a file of this server, or a PostgreSQL for several.

Each is imported where it is used alone: PostgreSQL's client is an extra, and the supervisor of
workers has no log.
"""

from __future__ import annotations

import random
import secrets
import socket
from collections.abc import Callable
from typing import IO

from takotwist.interfaces import IReactor
from takotwist.ports import IReplayLog
from takotwist.server.config import Config
from takotwist.server.state_lock import lock_log

#: Makes the log of a process: of the configuration, for a reactor, by unix time in seconds.
MakeLog = Callable[[Config, IReactor, Callable[[], float]], IReplayLog]


def replay_log(config: Config, reactor: IReactor, wall: Callable[[], float]) -> IReplayLog:
    """The log of this process.

    :param wall: unix time in seconds.
    """
    replay = config.replay
    if replay.url is None:
        from takotwist.adapters.sqlite.log import SqliteReplayLog

        return SqliteReplayLog(
            replay.path, reactor=reactor, wall=wall, durability=replay.durability
        )
    from takotwist.adapters.postgres.engine import Times
    from takotwist.adapters.postgres.log import PostgresReplayLog

    return PostgresReplayLog(
        replay.url,
        # A name that no process had before: the store knows batches by it.
        node=f"{socket.gethostname()}-{secrets.token_urlsafe(9)}",
        reactor=reactor,
        random=random.random,
        schema=replay.schema,
        times=Times(replay.connect_timeout_seconds, replay.statement_timeout_seconds),
        power=replay.durability == "power",
    )


def lock_for(config: Config) -> IO[str] | None:
    """The lock on the log's file; none where several servers share the log.

    :raises ConfigError: another server has it.
    """
    return lock_log(config.replay.path) if config.replay.url is None else None
