"""Member list of a topic as a whole, in pages, and its changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from takotwist.core.roster_messages import COUNT, LEAVE, Entry, entry_data, read_entry, roster_of
from takotwist.core.roster_view import View
from takotwist.core.topic import EVERYTHING, Topic
from takotwist.errors import CursorInvalid, Refusal, TransportNotEnabled
from takotwist.flow.authorize import Authorized
from takotwist.flow.presence_store import whole_topic
from takotwist.flow.read_log import MAX_BYTES
from takotwist.flow.session import OnOpen, Session, Subscribed
from takotwist.ports import IReplayLog

#: Most messages in one read of what has changed since the first page.
REST = 10_000


@attrs.frozen(slots=True)
class RosterPage:
    """A part of the list of who is here.

    :ivar members: entries of members; one may be there for each node.
    :ivar guests: connections that are no members, as far as this page tells.
    :ivar cursor: of the roster: all pages together are the list as of then, and some newer
        entries, which the changes after it bring again.
    :ivar after: where the next page begins; `None` where this is the last.
    """

    members: Sequence[Entry]
    guests: int
    cursor: int
    after: int | None


@attrs.frozen(slots=True)
class PresenceLists:
    """Reads rosters."""

    log: IReplayLog

    async def everybody(self, topic: Topic) -> list[bytes]:
        """All members, each once: what their rosters say of them.

        :raises StoreUnavailable: the log failed.
        """
        check_keyed(self.log)
        view = View()
        for message in await whole_topic(self.log, roster_of(topic)):
            view.apply(message.id, message.type, message.data)
        return [entry_data(view.newest(subject)) for subject in view.members]

    async def page(
        self, topic: Topic, limit: int, after: int = EVERYTHING, as_of: int = 0
    ) -> RosterPage:
        """A part of who is here, in the order of their newest changes.

        :param limit: most entries; the last page has more, where more has changed since the
            first: those change on, and a list in pages would never end.
        :param after: and `as_of`: of the page before, its `after` and `cursor`.
        :raises ReplayTooOld: who left since the first page may be missing; begin again.
        :raises CursorInvalid: no page ended there. :raises StoreUnavailable: the log failed.
        """
        check_keyed(self.log)
        page = await self.log.read(roster_of(topic), after, limit, MAX_BYTES)
        page = page.up_to(max(self.log.head, as_of))
        if as_of > page.head or (after and after > page.head):
            raise CursorInvalid("after: no page ended there.")
        if after:
            page.judge(max(after, as_of))
        cursor, messages = as_of or page.head, list(page.messages)
        while page.more and messages and messages[-1].id > cursor:
            page = await self.log.read(roster_of(topic), messages[-1].id, REST, MAX_BYTES)
            page = page.up_to(max(self.log.head, cursor))
            page.judge(max(messages[-1].id, cursor))
            messages += page.messages
        members: list[Entry] = []
        guests = 0
        for message in messages:
            entry = read_entry(message.data, message.id)
            if message.type == COUNT:
                guests += entry.count or 0
            elif message.type != LEAVE:
                members.append(entry)
        more = messages[-1].id if page.more and messages else None
        return RosterPage(members, guests, cursor, more)


def check_keyed(log: IReplayLog) -> None:
    """:raises TransportNotEnabled: the replay log cannot hold rosters."""
    if not log.keyed:
        raise TransportNotEnabled("The server's replay log cannot hold who is here yet.")


async def follow_roster(
    session: Session,
    admitted: Authorized,
    cursor: int | None,
    reset_when_stale: bool,
    on_open: OnOpen,
    on_end: Callable[[Refusal], None],
    on_live: Callable[[], None],
) -> Subscribed | None:
    """Follow a roster; see `Session.subscribe`.

    :param cursor: `None` for all who are there.
    :raises TransportNotEnabled: the channel's rosters can only be asked for.
    """
    check_keyed(session.presence.store.log)
    rules = admitted.asked.definition.presence
    if rules is None or not rules.events:
        raise TransportNotEnabled("The changes of who is here cannot be followed in this channel.")
    return await session.subscribe(
        admitted,
        EVERYTHING if cursor is None else cursor,
        reset_when_stale,
        on_open,
        on_end,
        on_live=on_live,
    )
