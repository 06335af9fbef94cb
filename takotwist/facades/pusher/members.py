"""Members of a channel with presence, as Pusher's clients see them.

A rule may lead the name of a presence channel to a channel of the app's that has presence of its
own.  Its roster, a topic of the log, is followed like any other: so who is there by whatever
client is shown to Pusher's.  (A member by Pusher's protocol is in the roster too, and so leaves
after the channel's grace.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import attrs
import msgspec

from takotwist.core.channel import Lifecycle
from takotwist.core.roster_messages import LEAVE, read_entry, roster_of, say
from takotwist.core.roster_view import View
from takotwist.core.topic import EVERYTHING, Topic
from takotwist.flow.attach import Attacher
from takotwist.flow.listening import Listening
from takotwist.flow.publish import PublisherService


class MemberChanges(Protocol):
    """The channels of an app, as far as their rosters need them."""

    def members(self, name: str) -> Mapping[str, msgspec.Raw]: ...
    def elsewhere_changed(self, name: str, before: Mapping[str, msgspec.Raw]) -> None: ...


@attrs.define(slots=True, eq=False)
class RosterMembers:
    """Members in the roster of one topic.

    :ivar name: of the channel.
    :ivar changes: is told of each.
    :ivar shown: members, and what they show.
    """

    name: str
    topic: Topic
    changes: MemberChanges
    publishing: PublisherService
    attacher: Attacher
    shown: dict[str, msgspec.Raw] = attrs.field(factory=dict, init=False)
    _view: View = attrs.field(factory=View, init=False)
    #: By node and subject: a member may be on several.
    _stale: set[tuple[str, str]] = attrs.field(factory=set, init=False)
    _listening: Listening = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._listening = Listening(
            self.attacher,
            self.publishing.flush_batch,
            roster_of(self.topic),
            Lifecycle(),
            self._take,
            self._again,
            EVERYTHING,
            self._drop_stale,
        )

    def start(self) -> None:
        """Follow it."""
        self._listening.start()

    def stop(self) -> None:
        """Nobody wants to know any more."""
        self._listening.stop()

    def _again(self) -> None:
        self._stale = {(on, one) for one, nodes in self._view.members.items() for on in nodes}

    def _drop_stale(self) -> None:
        """The list is whole: who was known before, and was not said again, has gone."""
        stale, self._stale = self._stale, set()
        for on, subject in stale:
            self._view.apply(0, LEAVE, say(on, subject=subject))
        if stale:
            self._show({subject for _, subject in stale})

    def _take(self, kind: str, data: bytes) -> None:
        change = self._view.apply(self._listening.id, kind, data)
        if change is not None:
            _, subject = change
            self._stale.discard((read_entry(data).on, subject))
            self._show([subject])

    def _show(self, subjects: Iterable[str]) -> None:
        before = self.changes.members(self.name)
        for subject in subjects:
            if subject in self._view.members:
                info = self._view.newest(subject).info
                self.shown[subject] = msgspec.Raw(info or b"null")
            else:
                self.shown.pop(subject, None)
        self.changes.elsewhere_changed(self.name, before)
