"""One app of Pusher's at work: what is triggered, who is told, and who follows what.

Two ways lead to a client.  What is triggered goes into the log, and from there by the ordinary
fan-out, encoded once for all clients of the app.  What is never stored (members that come and
go, counts, client events unless they are to be stored) is handed to the connections of this
process one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from takotwist.codecs.websocket_frame import text_frame
from takotwist.codecs.wire_forms import WireForm
from takotwist.core.deadlines import Deadlines
from takotwist.core.log import Appended
from takotwist.core.send_queue import FlushBatch
from takotwist.core.topic import EVERYTHING, Draft, Message, Topic
from takotwist.errors import BodyInvalid, Overloaded, VerifyRejected
from takotwist.facades.pusher.apps import PusherApp, PusherSettings
from takotwist.facades.pusher.channels import Channels, Happenings, Nobody, Place
from takotwist.facades.pusher.client import Client
from takotwist.facades.pusher.frames import event_frame
from takotwist.facades.pusher.names import Name
from takotwist.facades.pusher.nodes import Deliver, LeaveOut, OtherNodes
from takotwist.facades.pusher.users import Users
from takotwist.flow.attach import Attacher
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.publish import PublisherService, validate

#: Seconds for which an event that another node has said is waited for.
EXPECTED_SECONDS = 10.0

#: Most messages and bytes of one page, where the last event of a topic is looked for.
PAGE_MESSAGES, PAGE_BYTES = 512, 256 * 1024


@attrs.frozen(slots=True, eq=False)
class _Sender:
    """Sender of one event; equal to itself alone."""

    user_id: str


@attrs.define(slots=True, eq=False)
class Hub:
    """One app.

    :ivar seconds: the clock of `deadlines`.
    :ivar told: who is told what happens.
    :ivar others: the other nodes; `None` where there are none.
    :ivar form: in which its clients take messages.
    :ivar sockets: its connections here, by their ids.
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
    sockets: dict[str, Client] = attrs.field(factory=dict, init=False)
    users: Users = attrs.field(init=False)
    channels: Channels = attrs.field(init=False)
    form: WireForm = attrs.field(init=False)
    _said_by: dict[tuple[str, str, bytes], list[_Sender]] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.form = WireForm(f"pusher {self.app.name}", self._encoded)
        self.users = Users(self.deadlines, self.seconds, self.others)
        self.channels = Channels(
            self.app,
            self.publishing,
            self.attacher,
            self.deadlines,
            self.seconds,
            self.told,
            self.deliver,
            self.others,
        )

    def start(self) -> None:
        """Begin to hear of the other nodes."""
        if self.others is not None:
            self.others.start(self)

    def stop(self) -> None:
        """Tell them nothing more."""
        if self.others is not None:
            self.others.stop()

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
            name, client = self.app.names.name_of(topic), self.sockets.get(left_out)
            if client is not None:
                undo = client.leave_out(name, event, data)
            elif self.others is not None:
                others = self.others
                # In a transaction of its own: of one it may be heard after what it is about.
                said = others.say(LeaveOut(others.node, name, event, data.decode(), left_out))
                return said.addCallback(lambda _: self.trigger(place, event, data))
        lifecycle = self.authorizing.lifecycle(definition)
        stored = self.publishing.publish(
            topic, (Draft(event, data),), lifecycle, newest=definition.newest
        )
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

    def said_elsewhere(
        self, name: str, event: str, data: bytes, user_id: str
    ) -> Deferred[Appended | None]:
        """The same, for the other nodes; fires when they know."""
        if self.others is None:
            return succeed(None)
        node = self.others.node
        return self.others.say(LeaveOut(node, name, event, data.decode(), user_id=user_id))

    def expect(self, said: LeaveOut) -> None:
        """Expect a message that another node has announced; it comes by the log."""
        data = said.data.encode()
        client = self.sockets.get(said.socket_id)
        if client is not None:
            client.leave_out(said.name, said.event, data, said.user_id)
        here = next(iter(self.channels.roster.get(said.name).connections), None)
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

    def deliver_everywhere(self, name: str, payload: bytes, but: Client) -> None:
        """Hand a frame to all who follow a channel, on whatever node."""
        self.deliver(name, payload, but)
        if self.others is not None:
            self.others.say(Deliver(self.others.node, name, payload.decode()))

    def deliver(
        self, name: str, payload: bytes, but: Client | None = None, *, must: bool = False
    ) -> None:
        """Hand a frame to all who follow a channel here.

        :param must: end who cannot take it now, so that it comes back and begins anew.
        """
        self._hand(self.channels.roster.get(name).connections, payload, but, must)

    def _hand(
        self,
        to: Iterable[Client],
        payload: bytes,
        but: Client | None = None,
        must: bool = False,
    ) -> None:
        whole = text_frame(payload)
        for client in list(to):
            if client is not but and not client.push(whole) and must:
                client.end(Overloaded())
        if not self.flush_batch.delivering:
            self.flush_batch.now = self.seconds()
            self.flush_batch.end()


def _after(failure: Failure, undo: Callable[[], None]) -> Failure:
    undo()
    return failure
