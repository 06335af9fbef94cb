"""The replay log in one SQLite file."""

from takotwist.adapters.sqlite.log import SqliteReplayLog

__all__ = ["SqliteReplayLog"]
