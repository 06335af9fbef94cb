"""Joins and leaves, told once for all nodes: to the app's hooks, and to webhooks.

Each node says what changes of its own members, in a topic that all share, before the change
itself is stored; so a change that is stored is told, however the node ends in between.  One node,
which has the lease, reads that topic in order and adds it up: a member that is on two nodes has
come with the first and leaves with the last.  What it has found goes to the outboxes
(`flow.webhooks`) under a key that follows from the change, so it is there once, whoever finds it.

Rules: what was added up is recorded after it was told, and how far is noted after that; so the
next one begins where nothing is missing.  Both are stored only where nobody else has stored them
since: whoever stood still meanwhile, and lost the lease, takes back nothing of what another has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.channel import MINUTE_MS, Lifecycle
from takotwist.core.json_values import JsonObject
from takotwist.core.log import Appended
from takotwist.core.roster_messages import JOIN, LEAVE, Change
from takotwist.core.topic import EVERYTHING, Draft, Message, Topic
from takotwist.errors import Refusal, ReplayTooOld
from takotwist.flow.attach import Attacher
from takotwist.flow.gather import gather
from takotwist.flow.lease import Lease
from takotwist.flow.listening import Listening
from takotwist.flow.passes import Passes
from takotwist.flow.presence_hooks import LIFECYCLE, Hooked
from takotwist.flow.publish import PublisherService
from takotwist.flow.webhooks import DONE_LIFECYCLE, LOOK_SECONDS, Courier

#: What nodes say; who is there, as it was told; and how far.  Not channels' names.
_CHANGES, _THERE, _DONE = (Topic.of(f"~member-{one}", {}) for one in ("changes", "there", "done"))

_THERE_LIFECYCLE = Lifecycle(replay_window_ms=MINUTE_MS)

KINDS = {JOIN: "join", LEAVE: "leave"}

_STEP, _PAGE_MESSAGES, _PAGE_BYTES = 64, 512, 256 * 1024


class _Changed(msgspec.Struct):
    """A change of a node's own members.

    :ivar hooks: the app has functions that are to be told.
    """

    channel: str
    params: JsonObject
    member: msgspec.Raw
    hooks: bool


class _Member(msgspec.Struct):
    subject: str
    on: str = ""


class _LostLease(Exception):
    """Another node tells, or has."""


class _There(msgspec.Struct, frozen=True):
    """Location of one member that was told of.

    :ivar at: the id of the change that was added last.
    """

    key: str
    nodes: list[str]
    at: int


_CHANGED, _MEMBER, _IS_THERE = map(msgspec.json.Decoder, (_Changed, _Member, _There))


@attrs.define(slots=True, eq=False)
class MemberEvents:
    """Events of members.

    :ivar hooks: the outbox of the app's functions.
    :ivar native: outboxes of webhooks.
    """

    publishing: PublisherService
    attacher: Attacher
    lease: Lease
    hooks: Courier
    native: Sequence[Courier] = ()
    _there: dict[str, _There] = attrs.field(factory=dict, init=False)
    _done: int = attrs.field(default=EVERYTHING, init=False)
    #: Up to where this node knows what is recorded, and what is noted.
    _there_at: int = attrs.field(default=EVERYTHING, init=False)
    _done_at: int = attrs.field(default=EVERYTHING, init=False)
    _resumed: bool = attrs.field(default=False, init=False)
    #: The last read has not come to the end.
    _behind: bool = attrs.field(default=True, init=False)
    _active: bool = attrs.field(default=False, init=False)
    _passes: Passes = attrs.field(init=False)
    _listening: Listening = attrs.field(init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def __attrs_post_init__(self) -> None:
        self._passes = Passes(
            self._work, self.attacher.deadlines, self.publishing.seconds, self._not_worked
        )
        self._listening = Listening(
            self.attacher,
            self.publishing.flush_batch,
            _CHANGES,
            LIFECYCLE,
            lambda kind, data: self._activate(),
            self._passes.look,
        )

    def start(self) -> None:
        """Tell what an earlier run has not told."""
        if self.publishing.log.everything:
            self.hooks.start()
        else:
            self._listening.start()

    def stop(self) -> None:
        """Tell no more; what is left is in the log."""
        self._passes.stop()
        self._listening.stop()
        self.hooks.stop()

    def put(self, topic: Topic, changes: Sequence[Change], hooks: bool) -> None:
        """Changes are about to be stored; to be called before that, in the same turn.

        Where they are not stored the changes are not either, and both come again.
        """
        drafts = []
        for change in changes:
            kind = KINDS.get(change.type)
            if kind is not None and (hooks or any(map(_wants(kind), self.native))):
                member = msgspec.Raw(change.data)
                said = _Changed(topic.channel, dict(topic.params), member, hooks)
                if self.publishing.log.everything:
                    for courier, event, data in self._told(topic, kind, said):
                        courier.put(event, data, topic.key, again=False)
                else:
                    drafts.append(Draft(kind, msgspec.json.encode(said)))
        if drafts:
            storing = self.publishing.publish(_CHANGES, drafts, LIFECYCLE)
            storing.addCallbacks(lambda _: self._activate(), lambda _: None)

    def _told(self, topic: Topic, kind: str, said: _Changed) -> list[tuple[Courier, str, bytes]]:
        """The couriers to be told of a change, with kind and data."""
        told = []
        if said.hooks:
            hooked = Hooked(said.channel, said.params, said.member)
            told.append((self.hooks, kind, msgspec.json.encode(hooked)))
        native = {"topic": topic.key, "channel": topic.channel, "member": said.member}
        data = msgspec.json.encode(native)
        told += [(one, _EVENTS[kind], data) for one in self.native if _wants(kind)(one)]
        return told

    # one for all nodes

    def _activate(self) -> None:
        """There are members: from now on this node may be the one."""
        if not self._active and not self._passes.stopped:
            self._active = True
            self.hooks.start()
        self._passes.look()

    def _not_worked(self, failure: Failure) -> None:
        self._resumed = False
        if not failure.check(Refusal, _LostLease):
            self._log.failure("telling who came and left failed", failure)

    async def _work(self) -> None:
        if not self._active:
            # Where no node has members nothing is written, and nobody needs a lease.
            if await self._left():
                self._activate()
            return
        self._passes.look_in(LOOK_SECONDS)
        if not await self.lease.renew():
            self._resumed = False
            return
        if not self._resumed:
            await self._resume()
        log = self.publishing.log
        while self.lease.held and not self._passes.stopped:
            page = await log.read(_CHANGES, self._done, _STEP, _PAGE_BYTES)
            page = page.up_to(log.head)
            behind, self._behind = self._behind, page.more
            if not page.messages:
                return
            try:
                # Else nothing was lost, as in `Courier`.
                if behind:
                    page.judge(self._done)
            except ReplayTooOld:
                self._log.error("who came and left was not told: more than the outbox keeps")
                self._there.clear()
            await self._add_up(page.messages)

    async def _left(self) -> bool:
        """Tell whether an earlier run, or another node, has left work."""
        await self._read_done()
        page = await self.publishing.log.read(_CHANGES, self._done, 1, _PAGE_BYTES)
        return bool(page.messages)

    async def _read_done(self) -> None:
        page = await self.publishing.log.read(_DONE, EVERYTHING, _PAGE_MESSAGES, _PAGE_BYTES)
        self._done = int(page.messages[-1].data) if page.messages else EVERYTHING
        self._done_at = page.head

    async def _resume(self) -> None:
        # Before the rest: so who has recorded since is noticed.
        page = await self.publishing.log.read(_THERE, EVERYTHING, 1, _PAGE_BYTES)
        self._there_at = page.head
        await self._read_done()
        self._there = {}
        after, more = EVERYTHING, True
        while more:
            page = await self.publishing.log.read(_THERE, after, _PAGE_MESSAGES, _PAGE_BYTES)
            for message in page.messages:
                one = _IS_THERE.decode(message.data)
                self._there[one.key] = one
                after = message.id
            more = page.more
        self._resumed = self._behind = True

    async def _add_up(self, messages: Sequence[Message]) -> None:
        telling: list[Deferred[Any]] = []
        changed: dict[str, _There] = {}
        for message in messages:
            said = _CHANGED.decode(message.data)
            member = _MEMBER.decode(said.member)
            topic = Topic.of(said.channel, said.params)
            key = f"{topic.key}\n{member.subject}"
            before = changed.get(key) or self._there.get(key) or _There(key, [], EVERYTHING)
            if message.id <= before.at:
                continue
            nodes = set(before.nodes)
            (nodes.add if message.type == "join" else nodes.discard)(member.on)
            changed[key] = _There(key, sorted(nodes), message.id)
            if bool(nodes) != bool(before.nodes):
                telling += [
                    ensureDeferred(courier.put_once(event, data, topic.key, f"{message.id}"))
                    for courier, event, data in self._told(topic, message.type, said)
                ]
        await gather(telling)
        await self._record(list(changed.values()))
        for key, one in changed.items():
            if one.nodes:
                self._there[key] = one
            else:
                self._there.pop(key, None)
        last = messages[-1].id
        stored = await self.publishing.publish(
            _DONE, [Draft("done", b"%d" % last)], DONE_LIFECYCLE, after=self._done_at
        )
        self._done, self._done_at = last, _id_of(stored)

    async def _record(self, changed: Sequence[_There]) -> None:
        for kept in (True, False):
            some = [one for one in changed if bool(one.nodes) is kept]
            if some:
                stored = await self.publishing.publish(
                    _THERE,
                    [Draft("there" if kept else "gone", msgspec.json.encode(one)) for one in some],
                    _THERE_LIFECYCLE,
                    keys=tuple(one.key for one in some),
                    kept=kept,
                    after=self._there_at,
                )
                self._there_at = _id_of(stored)


def _id_of(stored: Appended) -> int:
    """The last of what was stored.

    :raises _LostLease: another node has stored something.
    """
    if not stored.messages:
        raise _LostLease
    return stored.messages[-1].id


_EVENTS = {"join": "member.joined", "leave": "member.left"}


def _wants(kind: str) -> Callable[[Courier], bool]:
    return lambda courier: courier.endpoint.wants(_EVENTS[kind])
