"""What live objects count about themselves; who shows it reads it when asked.

Rule: names of functions are those that are defined, so nothing grows with what
clients send.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import attrs


@attrs.define(slots=True)
class LiveTally:
    """Counters since the start.

    :ivar calls: by function and outcome: ``ok``, ``aborted``, ``refused``,
        ``failed``, ``left``.
    :ivar frames_in: frames of objects that pages sent.
    :ivar frames_out: and that were sent to pages.
    :ivar overflows: messages that were dropped, and objects that ended, because too much waited.
    :ivar reconnects: sessions that came back after a cut.
    """

    calls: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    frames_in: int = 0
    frames_out: int = 0
    overflows: int = 0
    reconnects: int = 0

    def keep(self, names: Collection[str]) -> None:
        """Forget the functions that are not defined any more."""
        for function, outcome in [one for one in self.calls if one[0] not in names]:
            del self.calls[function, outcome]
