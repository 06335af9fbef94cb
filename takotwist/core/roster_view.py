"""Member list as a reader of a roster's messages builds it."""

from __future__ import annotations

import attrs

from takotwist.core.roster_messages import LEAVE, Entry, read_entry

_NOTHING: tuple[int, bytes | None] = (0, None)


@attrs.define(slots=True, eq=False)
class View:
    """Member list of one reader, whatever the order of keys.

    A member is here while any node says so; what counts of it is what was said last.

    :ivar members: subject -> node -> the entry.
    :ivar counts: connections that are no members, by node.
    """

    members: dict[str, dict[str, Entry]] = attrs.field(factory=dict, init=False)
    counts: dict[str, int] = attrs.field(factory=dict, init=False)

    def apply(self, id: int, kind: str, data: bytes) -> tuple[str, str] | None:
        """Take the next message.

        :return: what it changes for who looks at members: ``join``, ``leave`` or ``update``,
            and the subject; `None` where that is nothing.  An update may be to what was known.
        """
        entry = read_entry(data, id)
        if entry.count is not None:
            self.counts[entry.on] = entry.count
            if not entry.count:
                del self.counts[entry.on]
            return None
        assert entry.subject is not None
        subject, nodes = entry.subject, self.members.get(entry.subject)
        if kind == LEAVE:
            if nodes is None or nodes.pop(entry.on, None) is None:
                return None
            if nodes:
                # Where what it said was the newest, another counts now.
                return "update", subject
            del self.members[subject]
            return "leave", subject
        if nodes is None:
            self.members[subject] = {entry.on: entry}
            return "join", subject
        nodes[entry.on] = entry
        return "update", subject

    def newest(self, subject: str) -> Entry:
        """The entry of a member that counts.

        Of info and state each the newest that was said: a tab that was opened on another node
        has said nothing yet, and takes nothing back by that.
        """
        said = self.members[subject].values()
        infos = [(one.info_id, one.info) for one in said if one.info is not None]
        states = [(one.state_id, one.state) for one in said if one.state is not None]
        (_, info), (_, state) = max(infos, default=_NOTHING), max(states, default=_NOTHING)
        _, on = max((max(one.info_id, one.state_id), one.on) for one in said)
        return Entry(subject, on, min(one.since for one in said), info, state, None)

    @property
    def count(self) -> int:
        """All connections that are no members."""
        return sum(self.counts.values())
