"""One member of a topic, as one node of the server knows it."""

from __future__ import annotations

import attrs

from takotwist.core.roster_messages import Entry

#: In the place of the id of the message that said something first: none has yet, and one is about
#: to.
NEW, UNDER_WAY = 0, -1


@attrs.define(slots=True, eq=False)
class Member:
    """One subject, as this node knows it.

    :ivar since: when it came, unix time in milliseconds.
    :ivar info: what the app says of it, JSON.
    :ivar state: what it says of itself, JSON.
    :ivar connections: by name.
    :ivar gone_at: when the last of them went, while it is waited for.
    :ivar info_id: and `state_id`: of the message that said them first, or `NEW`, `UNDER_WAY`;
        where that is not certain, an id before which no message has.
    :ivar stored: what of it the log holds; `None` where nothing is.
    :ivar doubtful: whether the log may hold something else: it did not say.
    """

    since: int
    info: bytes | None = None
    state: bytes | None = None
    info_id: int = NEW
    state_id: int = NEW
    connections: set[str] = attrs.field(factory=set)
    gone_at: float | None = None
    stored: bytes | None = None
    doubtful: bool = False

    @property
    def here(self) -> bool:
        """Present, or waited for."""
        return bool(self.connections) or self.gone_at is not None

    @property
    def new(self) -> bool:
        """Something was said that is in no message yet."""
        return (self.info is not None and self.info_id == NEW) or (
            self.state is not None and self.state_id == NEW
        )

    def adopt(self, entry: Entry) -> None:
        """The log holds this of it: take what is newer, and what was only repeated here."""
        if entry.info is not None and (
            self.info_id < entry.info_id if self.info_id > 0 else self.info in (None, entry.info)
        ):
            self.info, self.info_id = entry.info, entry.info_id
        if entry.state is not None and (
            self.state_id < entry.state_id
            if self.state_id > 0
            else self.state in (None, entry.state)
        ):
            self.state, self.state_id = entry.state, entry.state_id

    def take(self) -> None:
        """All that was said is about to be stored."""
        self.info_id = self.info_id or UNDER_WAY
        self.state_id = self.state_id or UNDER_WAY

    def settle(self, id: int) -> None:
        """Settle a pending change: this message, or one after it, has it."""
        if self.info_id == UNDER_WAY:
            self.info_id = id
        if self.state_id == UNDER_WAY:
            self.state_id = id
