"""Who is here, as one who reads a roster's messages knows it."""

from __future__ import annotations

import attrs

from takotwist.core.roster_messages import LEAVE, Entry, read_entry


@attrs.define(slots=True, eq=False)
class View:
    """Who is here, as one who reads a roster's messages knows it, in whatever order of keys.

    A member is here while any node says so; what counts of it is said by the newest message.

    :ivar members: subject -> node -> the entry, and the id of its message.
    :ivar counts: connections that are no members, by node.
    """

    members: dict[str, dict[str, tuple[int, Entry]]] = attrs.field(factory=dict, init=False)
    counts: dict[str, int] = attrs.field(factory=dict, init=False)

    def apply(self, id: int, kind: str, data: bytes) -> tuple[str, str] | None:
        """Take the next message.

        :return: what it changes for who looks at members: ``join``, ``leave`` or ``update``,
            and the subject; `None` where that is nothing.  An update may be to what was known.
        """
        entry = read_entry(data)
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
            self.members[subject] = {entry.on: (id, entry)}
            return "join", subject
        nodes[entry.on] = id, entry
        return "update", subject

    def newest(self, subject: str) -> Entry:
        """What counts of a member.

        Of info and state each the newest that was said: a tab that was opened on another node
        has said nothing yet, and takes nothing back by that.
        """
        said = [entry for _, entry in sorted(self.members[subject].values(), key=_by_id)]
        since = min(entry.since for entry in said)
        info = next((entry.info for entry in reversed(said) if entry.info is not None), None)
        state = next((entry.state for entry in reversed(said) if entry.state is not None), None)
        return Entry(subject, said[-1].on, since, info, state, None)

    @property
    def count(self) -> int:
        """All connections that are no members."""
        return sum(self.counts.values())


def _by_id(one: tuple[int, Entry]) -> int:
    return one[0]
