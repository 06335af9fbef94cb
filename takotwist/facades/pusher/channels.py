"""The channels of one app: who follows them, and who is a member, on whatever node.

Rule: who could not be given the coming or going of a member is ended, and is given the whole
list when it is back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import attrs
import msgspec

from takotwist.core.deadlines import Deadline, Deadlines
from takotwist.facades.pusher.apps import PusherApp
from takotwist.facades.pusher.client import Client
from takotwist.facades.pusher.frames import frame
from takotwist.facades.pusher.members import RosterMembers
from takotwist.facades.pusher.names import Name, Rule
from takotwist.facades.pusher.nodes import Away, OtherNodes
from takotwist.facades.pusher.roster import Change, Roster
from takotwist.flow.attach import Attacher
from takotwist.flow.publish import PublisherService
from takotwist.flow.topic_request import TopicRequest

#: Up to so many followers each change of their number is told at once, past it every so often.
COUNTED_AT_ONCE, COUNT_SECONDS = 100, 5.0


class Happenings(Protocol):
    """Whoever is told what happens in an app's channels, but for who comes and goes."""

    def happened(self, kind: str, name: str, **more: str) -> None:
        """Take note.

        :param kind: as Pusher's webhooks call it, such as ``cache_miss``.
        """


class Nobody:
    """Is told, and does nothing."""

    def happened(self, kind: str, name: str, **more: str) -> None:
        """See `Happenings`."""


@attrs.frozen(slots=True)
class Place:
    """The topic of a name.

    :ivar rule: which led there; `None` where the topic is of the channel of our own.
    """

    asked: TopicRequest
    rule: Rule | None


class DeliverHere(Protocol):
    """Hands a frame to all who follow a channel here (`Hub.deliver`)."""

    def __call__(
        self, name: str, payload: bytes, but: Client | None = None, *, must: bool = False
    ) -> None: ...


@attrs.define(slots=True, eq=False)
class Channels:
    """All that are followed.

    :ivar seconds: the clock of `deadlines`.
    :ivar told: who is told what happens.
    :ivar deliver: tells who follows a channel here.
    :ivar others: the other nodes; `None` where there are none.
    :ivar roster: who follows them here.
    """

    app: PusherApp
    publishing: PublisherService
    attacher: Attacher
    deadlines: Deadlines
    seconds: Callable[[], float]
    told: Happenings
    deliver: DeliverHere
    others: OtherNodes | None
    roster: Roster[Client] = attrs.field(factory=Roster, init=False)
    _rosters: dict[str, RosterMembers] = attrs.field(factory=dict, init=False)
    _counting: dict[str, Deadline] = attrs.field(factory=dict, init=False)
    #: Of those that are counted, what has changed here: the app is told by the node where it has.
    _changed_here: set[str] = attrs.field(factory=set, init=False)

    def entered(
        self, name: Name, place: Place, client: Client, user_id: str | None, info: bytes
    ) -> dict[str, object]:
        """A connection follows a channel.

        :return: what it is told of it.
        """
        change = self.roster.enter(name.text, client, user_id, info)
        has_presence = place.asked.definition.presence is not None and self.publishing.log.keyed
        if name.presence and has_presence and name.text not in self._rosters:
            of_channel = RosterMembers(
                name.text, place.asked.topic, self, self.publishing, self.attacher
            )
            self._rosters[name.text] = of_channel
            of_channel.start()
        if change.member is not None and change.member.user_id not in self._away(name.text):
            self._joined(name.text, change.member.user_id, change.member.info, client)
        self._occupancy(name, change)
        return {"presence": self._presence(name.text)} if name.presence else {}

    def left(self, name: Name, client: Client) -> None:
        """It does so no longer.  Harmless where it did not: nobody is told of that."""
        if client not in self.roster.get(name.text).connections:
            return
        change = self.roster.leave(name.text, client)
        if change.member is not None and change.member.user_id not in self._away(name.text):
            self._gone(name.text, change.member.user_id)
        self._occupancy(name, change)

    def elsewhere_changed(self, name: str, before: Mapping[str, msgspec.Raw]) -> None:
        """Something has changed in a channel that is not of its connections here.

        :param before: all members before that.
        """
        if name not in self.roster:
            return
        after = self.members(name)
        for user_id, info in after.items():
            if user_id not in before:
                self._joined(name, user_id, bytes(info), None)
        for user_id in before:
            if user_id not in after:
                self._gone(name, user_id)
        self._count_soon(Name.of(name))

    def here(self) -> Iterable[str]:
        """Channels that are followed on this node."""
        return self.roster.names()

    def state_here(self, name: str) -> Away | None:
        """The followers of a channel on this node; `None` where it has none."""
        followed = self.roster.get(name)
        if not followed.connections:
            return None
        members = {one.user_id: msgspec.Raw(one.info) for one in followed.members.values()}
        return Away(len(followed.connections), members)

    def _joined(self, name: str, user_id: str, info: bytes, but: Client | None) -> None:
        joined = b'{"user_id":%b,"user_info":%b}' % (_text(user_id), info)
        self._tell(name, "member_added", joined, but)

    def _gone(self, name: str, user_id: str) -> None:
        self._tell(name, "member_removed", b'{"user_id":%b}' % _text(user_id), None)

    def _away(self, name: str) -> Mapping[str, msgspec.Raw]:
        """Members that are there by something else than connections of this process."""
        away = {} if self.others is None else self.others.members(name)
        of_channel = self._rosters.get(name)
        return away if of_channel is None else {**away, **of_channel.shown}

    def _presence(self, name: str) -> dict[str, object]:
        """The members of all nodes, as who comes is told of them."""
        members = self.members(name)
        return {"ids": list(members), "hash": members, "count": len(members)}

    def members(self, name: str) -> dict[str, msgspec.Raw]:
        """The members of a channel, on whatever node, and what they show."""
        here = self.roster.get(name).members.values()
        return {**self._away(name), **{one.user_id: msgspec.Raw(one.info) for one in here}}

    def followers(self, name: str) -> int:
        """The connections that follow a channel, on whatever node."""
        here = len(self.roster.get(name).connections)
        return here if self.others is None else here + self.others.count(name)

    def followed(self) -> set[str]:
        """All channels that are followed, on whatever node."""
        here = set(self.roster.names())
        return here if self.others is None else here | self.others.names()

    def all_members(self) -> set[tuple[str, str]]:
        """Channels and their members, on whatever node."""
        here = set(self.roster.members())
        return here if self.others is None else here | set(self.others.all_members())

    def _tell(self, name: str, event: str, data: bytes, but: Client | None) -> None:
        said = {"event": f"pusher_internal:{event}", "channel": name, "data": data.decode()}
        self.deliver(name, msgspec.json.encode(said), but, must=True)

    def _occupancy(self, name: Name, change: Change) -> None:
        if self.others is not None:
            self.others.changed(name.text)
        if change.vacated:
            of_channel = self._rosters.pop(name.text, None)
            if of_channel is not None:
                of_channel.stop()
            waiting = self._counting.pop(name.text, None)
            if waiting is not None:
                waiting.cancel()
            self._changed_here.discard(name.text)
            if self._counted(name) and (left := self.followers(name.text)):
                self._tell_count(name.text, left)
        elif self._counted(name):
            self._changed_here.add(name.text)
            self._count_soon(name)

    def _counted(self, name: Name) -> bool:
        return self.app.subscription_count and not name.presence

    def _count_soon(self, name: Name) -> None:
        if not self._counted(name) or name.text in self._counting:
            return
        # When this turn's answers are out, at least: who comes is told that it is in first.
        few = self.followers(name.text) <= COUNTED_AT_ONCE
        when = self.seconds() + (0 if few else COUNT_SECONDS)
        self._counting[name.text] = self.deadlines.at(when, lambda: self._count(name.text))

    def _count(self, name: str) -> None:
        self._counting.pop(name, None)
        count = self.followers(name)
        told = {"subscription_count": count}
        self.deliver(name, frame("pusher_internal:subscription_count", told, name))
        if name in self._changed_here:
            self._changed_here.discard(name)
            self._tell_count(name, count)

    def _tell_count(self, name: str, count: int) -> None:
        self.told.happened("subscription_count", name, subscription_count=str(count))


def _text(value: str) -> bytes:
    return msgspec.json.encode(value)
