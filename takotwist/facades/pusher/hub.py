"""One app of Pusher's at work: what is triggered, who is told, and who follows what.

Two ways lead to a client.  What is triggered goes into the log, and from there by the ordinary
fan-out, encoded once for all clients of the app.  What is never stored (members that come and
go, counts, client events unless they are to be stored) is handed to the connections of this
process one by one.  Rule: who could not be given the coming or going of a member is ended, and
is given the whole list when it is back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from takotwist.codecs.websocket_frame import text_frame
from takotwist.codecs.wire_forms import WireForm
from takotwist.core.deadlines import Deadline, Deadlines
from takotwist.core.log import Appended
from takotwist.core.send_queue import FlushBatch
from takotwist.core.topic import EVERYTHING, Draft, Message, Topic
from takotwist.errors import BodyInvalid, Overloaded, VerifyRejected
from takotwist.facades.pusher.apps import PusherApp, PusherSettings
from takotwist.facades.pusher.frames import event_frame, frame
from takotwist.facades.pusher.members import RosterMembers
from takotwist.facades.pusher.names import Name, Rule
from takotwist.facades.pusher.nodes import Deliver, LeaveOut, OtherNodes, Terminate
from takotwist.facades.pusher.roster import Change, Roster
from takotwist.flow.attach import Attacher
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.publish import PublisherService, validate
from takotwist.flow.topic_request import TopicRequest

if TYPE_CHECKING:
    from takotwist.facades.pusher.speaker import PusherSpeaker

#: Up to so many followers each change of their number is told at once, past it every so often.
COUNTED_AT_ONCE, COUNT_SECONDS = 100, 5.0

#: Seconds for which an event that another node has said is waited for.
EXPECTED_SECONDS = 10.0

#: Most messages and bytes of one page, where the last event of a topic is looked for.
PAGE_MESSAGES, PAGE_BYTES = 512, 256 * 1024


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


@attrs.frozen(slots=True, eq=False)
class _Sender:
    """Who has sent one event; equal to itself alone."""

    user_id: str


@attrs.define(slots=True, eq=False)
class Hub:
    """One app.

    :ivar seconds: the clock of `deadlines`.
    :ivar told: who is told what happens.
    :ivar others: the other nodes; `None` where there are none.
    :ivar form: in which its clients take messages.
    :ivar sockets: its connections here, by their ids; `users`: those that have signed in.
    """

    app: PusherApp
    settings: PusherSettings
    authorizing: AuthorizerService
    publishing: PublisherService
    attacher: Attacher
    flush_batch: FlushBatch
    deadlines: Deadlines
    seconds: Callable[[], float]
    told: Happenings = attrs.field(factory=Nobody)
    others: OtherNodes | None = None
    roster: Roster[PusherSpeaker] = attrs.field(factory=Roster, init=False)
    sockets: dict[str, PusherSpeaker] = attrs.field(factory=dict, init=False)
    users: dict[str, set[PusherSpeaker]] = attrs.field(factory=dict, init=False)
    form: WireForm = attrs.field(init=False)
    _said_by: dict[tuple[str, str, bytes], list[_Sender]] = attrs.field(factory=dict, init=False)
    _rosters: dict[str, RosterMembers] = attrs.field(factory=dict, init=False)
    _counting: dict[str, Deadline] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.form = WireForm(f"pusher {self.app.name}", self._encoded)

    # names

    async def find(self, name: Name) -> Place:
        """The topic of a name.

        :raises ChannelUnknown: :raises ParamsInvalid: the rule leads to none.
        :raises BodyInvalid: the name is one of several spellings, and not the one in use.
        """
        channel, params, rule = self.app.names.place(name.text)
        definition = await self.authorizing.find(channel)
        # As a query has them: text, and remembered.
        asked = self.authorizing.bind_query(definition, {key: [params[key]] for key in params})
        usual = self.app.names.name_of(asked.topic)
        if usual != name.text:
            # Its events would come under the usual name, which the client does not know.
            raise BodyInvalid(f"The name of this channel is {usual!r}.")
        return Place(asked, rule)

    def check_trust(self, place: Place, name: Name) -> None:
        """See that a signature is enough.

        :raises VerifyRejected: the channel asks the app, and nobody said that a signature of
            Pusher's stands for that.
        """
        if place.rule is None or not place.asked.definition.verified:
            return
        if not (place.rule.trust_signature and name.signed):
            raise VerifyRejected(
                f"The channel {place.rule.channel!r} asks its app who may follow it; a signature"
                " stands for that where the rule says trust_signature = true."
            )

    # what is triggered

    def check(self, place: Place, event: str, data: bytes) -> None:
        """:raises BodyInvalid: the channel does not take such an event."""
        validate(place.asked.definition, [Draft(event, data)])

    def trigger(
        self, place: Place, event: str, data: bytes, left_out: str | None = None
    ) -> Deferred[Appended]:
        """Store an event that was checked, which is then delivered.

        :param data: as it stands in the log.
        :param left_out: the id of the connection that is not given it.
        """
        definition, topic = place.asked.definition, place.asked.topic
        undo: Callable[[], None] | None = None
        if left_out is not None:
            name, speaker = self.app.names.name_of(topic), self.sockets.get(left_out)
            if speaker is not None:
                undo = speaker.leave_out(name, event, data)
            elif self.others is not None:
                others = self.others
                others.say(LeaveOut(others.node, name, event, data.decode(), left_out))
        lifecycle = self.authorizing.lifecycle(definition)
        stored = self.publishing.publish(topic, (Draft(event, data),), lifecycle)
        if undo is not None:
            stored.addErrback(_after, undo)
        return stored

    def said_by(self, topic: Topic, event: str, data: bytes, user_id: str) -> Callable[[], None]:
        """The next such message is an event of a member.

        :return: to be called when it has come, or will not.
        """
        key = (topic.key, event, data)
        mine = _Sender(user_id)
        self._said_by.setdefault(key, []).append(mine)

        def forget() -> None:
            # Where nobody follows it here it was never encoded.
            waiting = self._said_by.get(key, [])
            if mine in waiting:
                waiting.remove(mine)
                if not waiting:
                    del self._said_by[key]

        return forget

    def said_elsewhere(self, name: str, event: str, data: bytes, user_id: str) -> None:
        """The same, for the other nodes."""
        if self.others is not None:
            node = self.others.node
            self.others.say(LeaveOut(node, name, event, data.decode(), user_id=user_id))

    def expect(self, said: LeaveOut) -> None:
        """What another node has just said is to come by the log."""
        data = said.data.encode()
        speaker = self.sockets.get(said.socket_id)
        if speaker is not None:
            speaker.leave_out(said.name, said.event, data, said.user_id)
        here = next(iter(self.roster.get(said.name).connections), None)
        topic = None if here is None else here.topic_of(said.name)
        if said.user_id is not None and topic is not None:
            forget = self.said_by(topic, said.event, data, said.user_id)
            self.deadlines.at(self.seconds() + EXPECTED_SECONDS, forget)

    def _encoded(self, message: Message) -> bytes:
        topic = message.topic
        user_id = None
        if self._said_by:
            key = (topic.key, message.type, message.data)
            waiting = self._said_by.get(key)
            if waiting:
                user_id = waiting.pop(0).user_id
                if not waiting:
                    del self._said_by[key]
        name = self.app.names.name_of(topic)
        return text_frame(event_frame(name, message.type, message.data, user_id))

    async def last(self, topic: Topic) -> Message | None:
        """The newest message of a topic, which may be long ago.

        An id is a time, so it is looked for from now back, each time four times as far.
        """
        log = self.publishing.log
        span = 1_000_000
        after = log.head
        while after > EVERYTHING:
            after = max(EVERYTHING, after - span)
            span *= 4
            page = await log.read(topic, after, PAGE_MESSAGES, PAGE_BYTES)
            # What is not fanned out yet comes live.
            page = page.up_to(log.head)
            newest = page.messages[-1] if page.messages else None
            while page.more and newest is not None:
                page = await log.read(topic, newest.id, PAGE_MESSAGES, PAGE_BYTES)
                page = page.up_to(log.head)
                newest = page.messages[-1] if page.messages else newest
            if newest is not None:
                return newest
            if after <= page.removed:
                return None
        return None

    # what is not stored

    def deliver_everywhere(self, name: str, payload: bytes, but: PusherSpeaker) -> None:
        """Hand a frame to all who follow a channel, on whatever node."""
        self.deliver(name, payload, but)
        if self.others is not None:
            self.others.say(Deliver(self.others.node, name, payload.decode()))

    def deliver(
        self, name: str, payload: bytes, but: PusherSpeaker | None = None, *, must: bool = False
    ) -> None:
        """Hand a frame to all who follow a channel here.

        :param must: end who cannot take it now, so that it comes back and begins anew.
        """
        self._hand(self.roster.get(name).connections, payload, but, must)

    def _hand(
        self,
        to: Iterable[PusherSpeaker],
        payload: bytes,
        but: PusherSpeaker | None = None,
        must: bool = False,
    ) -> None:
        whole = text_frame(payload)
        for speaker in list(to):
            if speaker is not but and not speaker.push(whole) and must:
                speaker.end(Overloaded())
        if not self.flush_batch.delivering:
            self.flush_batch.now = self.seconds()
            self.flush_batch.end()

    # who follows

    def entered(
        self, name: Name, place: Place, speaker: PusherSpeaker, user_id: str | None, info: bytes
    ) -> dict[str, object]:
        """A connection follows a channel.

        :return: what it is told of it.
        """
        change = self.roster.enter(name.text, speaker, user_id, info)
        has_presence = place.asked.definition.presence is not None and self.publishing.log.keyed
        if name.presence and has_presence and name.text not in self._rosters:
            of_channel = RosterMembers(
                name.text, place.asked.topic, self, self.publishing, self.attacher
            )
            self._rosters[name.text] = of_channel
            of_channel.start()
        if change.member is not None and change.member.user_id not in self._away(name.text):
            self._joined(name.text, change.member.user_id, change.member.info, speaker)
        self._occupancy(name, change)
        return {"presence": self._presence(name.text)} if name.presence else {}

    def left(self, name: Name, speaker: PusherSpeaker) -> None:
        """It does so no longer."""
        change = self.roster.leave(name.text, speaker)
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

    def _joined(self, name: str, user_id: str, info: bytes, but: PusherSpeaker | None) -> None:
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

    def _tell(self, name: str, event: str, data: bytes, but: PusherSpeaker | None) -> None:
        said = {"event": f"pusher_internal:{event}", "channel": name, "data": data.decode()}
        self.deliver(name, _json(said), but, must=True)

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
        else:
            self._count_soon(name)

    def _count_soon(self, name: Name) -> None:
        if not self.app.subscription_count or name.presence or name.text in self._counting:
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
        self.told.happened("subscription_count", name, subscription_count=str(count))

    def signed_in(self, user_id: str, speaker: PusherSpeaker) -> None:
        """A connection is this user's."""
        self.users.setdefault(user_id, set()).add(speaker)

    def signed_out(self, user_id: str, speaker: PusherSpeaker) -> None:
        """It has gone."""
        of_user = self.users.get(user_id)
        if of_user is not None:
            of_user.discard(speaker)
            if not of_user:
                del self.users[user_id]

    def terminate(self, user_id: str) -> None:
        """End the connections of a user, on whatever node."""
        self.terminate_here(user_id)
        if self.others is not None:
            self.others.say(Terminate(self.others.node, user_id))

    def terminate_here(self, user_id: str) -> None:
        """End those on this node."""
        for speaker in list(self.users.get(user_id, ())):
            speaker.end(VerifyRejected("The app has ended the connections of this user."))


def _after(failure: Failure, undo: Callable[[], None]) -> Failure:
    undo()
    return failure


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _text(value: str) -> bytes:
    return msgspec.json.encode(value)
