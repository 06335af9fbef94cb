"""Condition of a replay log, told to the operator when it changes and not before.

Rule: a caller of the log only ever sees `StoreUnavailable`; the reason is for the log of the
server, once for each change, and never for a client.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import attrs
from twisted.logger import Logger


class Trouble(Exception):
    """The store cannot be used now.

    :param kind: why: a member of an enumeration whose values are (problem, advice).
    :param detail: what the store or the system said.
    """

    def __init__(self, kind: Enum, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind: Any = kind
        self.detail = detail


@attrs.define(slots=True)
class Condition:
    """The state that was last told.

    :ivar path: of the file, or where the engine is.
    :ivar stopped: the log was, so what fails is no trouble of its store.
    """

    path: str
    stopped: bool = attrs.field(default=False, init=False)
    _troubles: dict[str, Enum] = attrs.field(factory=dict, init=False)

    log = Logger()

    def start(self) -> None:
        """The log begins, and what fails is trouble of its store from now on."""
        self.stopped = False

    def stop(self) -> None:
        """The log ends, and what fails for that is none."""
        self.stopped = True

    def failed(self, side: str, trouble: Trouble) -> None:
        """A call failed.

        :param side: ``write``, ``read`` or ``sweep``: a full disk stops the first and neither a
            read nor a sweep that finds nothing to remove.
        """
        if self.stopped:
            return
        known = trouble.kind in self._troubles.values()
        self._troubles[side] = trouble.kind
        if not known:
            problem, advice = trouble.kind.value
            self.log.error(
                "The replay log {path} is not available: {problem} ({detail})."
                " {advice} It is tried again with every call.",
                path=self.path,
                problem=problem,
                detail=trouble.detail,
                advice=advice,
            )

    def notice(self, sentence: str) -> None:
        """Something happened to the store.  Each is said once.

        :param sentence: goes on after the name of the store.
        """
        self.log.warn("The replay log {path} {sentence}.", path=self.path, sentence=sentence)

    def worked(self, side: str) -> None:
        """A call succeeded.  A store that can be written is taken to be readable too."""
        if not self._troubles:
            return
        self._troubles.pop(side, None)
        if side == "write":
            self._troubles.clear()
        if not self._troubles:
            self.log.info("The replay log {path} is available again.", path=self.path)
