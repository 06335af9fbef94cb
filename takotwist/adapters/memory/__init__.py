"""The replay log in memory."""

from takotwist.adapters.memory.log import InMemoryReplayLog

__all__ = ["InMemoryReplayLog"]
