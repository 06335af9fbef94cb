"""The objects of one page that live on other nodes, and a relay to each of those.

attach -> a relay to each node that the page's objects name -> their answers, joined with this
node's -> frames both ways -> the wire or a node is gone.  Rules: nothing of an object comes
before the answer that says that it is here; a relay is read no faster than the page, and the
page no faster than a relay; a page whose relay is lost loses its wire, comes back with its
positions, and is told then which nodes are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import attrs
import msgspec
from twisted.internet.defer import (
    Deferred,
    DeferredLock,
    FirstError,
    ensureDeferred,
    gatherResults,
)

from takotwist.core.deadlines import Deadline, Deadlines
from takotwist.core.json_values import Json
from takotwist.errors import Overloaded, Refusal, ShuttingDown, refusal_for
from takotwist.live.machine.codec import trouble_json
from takotwist.live.machine.frames import NETWORK
from takotwist.live.opening import NOTHING_FAR, Entry, FarAnswer, Op
from takotwist.live.peers import Carry, Kind, NodeGone, Outcome, Peers, PeerStream, node_of

#: Seconds for which another node's answer is waited for: a page gives up after ten.
ANSWER_SECONDS = 8.0

#: Pings of a node that may be missed before it is taken for dead.
SILENT_PINGS = 4

#: How a frame of an object begins, as every node writes it.
_LIVE = b'{"op":"live",'


class _Heard(msgspec.Struct):
    op: str
    ref: int | str | None = None
    open: list[Json] = []
    ended: list[Json] = []
    code: str = ""
    error: str = ""


_HEARD = msgspec.json.Decoder(_Heard)


class FarPage(Protocol):
    """The page's own end, on this node."""

    def replaced_elsewhere(self) -> None:
        """Another wire carries the session."""

    def broken(self, reason: str) -> None:
        """The page broke the protocol."""


class FarWire(Protocol):
    """The page's wire."""

    def send(self, frame: bytes) -> None: ...

    def send_binary(self, payload: bytes) -> None: ...

    def abort(self, reason: str) -> None: ...

    def hold(self, full: bool) -> None: ...


@attrs.define(slots=True, eq=False)
class Elsewhere:
    """The objects elsewhere of one wire's page.

    :ivar headers: of the wire, and its cookies: other nodes verify by them.
    :ivar address: of the client.
    :ivar seconds: the clock of `deadlines`.
    :ivar ping_interval: of all nodes, in seconds.
    """

    peers: Peers
    deadlines: Deadlines
    seconds: Callable[[], float]
    wire: FarWire
    page: FarPage
    headers: Mapping[str, str | None] = attrs.field(repr=False)
    cookies: Mapping[str, str] = attrs.field(repr=False)
    address: str
    ping_interval: float
    blocked: bool = attrs.field(default=False, init=False)
    _session: str | None = attrs.field(default=None, init=False, repr=False)
    _auth: str | None = attrs.field(default=None, init=False, repr=False)
    _relays: dict[str, Relay] = attrs.field(factory=dict, init=False)
    _ends: int = attrs.field(default=0, init=False)
    #: What is asked is answered before anything else is: what a relay brings belongs to one.
    _turns: DeferredLock = attrs.field(factory=DeferredLock, init=False)

    def concerns(self, op: Op) -> bool:
        """Tell whether one of these objects is on another node."""
        return any(self._is_far(entry.id) for entry in op.open)

    async def attach(self, op: Op) -> FarAnswer:
        """Ask the other nodes to attach what they hold.

        :raises Refusal: one of them refuses the session, or cannot be asked now.
        """
        self._session, self._auth = op.session, op.auth
        return await self._ask(op.open)

    async def open(self, op: Op, answer: Callable[[FarAnswer], None]) -> None:
        """Ask the other nodes to open what they hold; as `attach`.

        :param answer: tells the page, before anything else is asked.
        """
        await self._turns.acquire()
        try:
            answer(await self._ask(op.open))
            self.flow()
        finally:
            self._turns.release()

    def flow(self) -> None:
        """The page has the answer to what was asked: let through what follows it."""
        for relay in self._relays.values():
            relay.answered = False
            relay.hold(self.blocked)

    def forward(self, name: str, raw: bytes, binary: bool) -> bool:
        """Pass a frame on to its object; tell whether that is elsewhere."""
        if not self._is_far(name):
            return False
        relay = self._relays.get(node_of(name) or "")
        if relay is not None:
            relay.send(Kind.BINARY if binary else Kind.TEXT, raw)
        return True

    def block(self, blocked: bool) -> None:
        """Back-pressure: the page takes no more for now, or does again."""
        self.blocked = blocked
        for relay in self._relays.values():
            relay.hold(blocked or relay.answered)

    def leave(self) -> None:
        """The page says that it goes."""
        for relay in self._relays.values():
            relay.send(Kind.TEXT, b'{"op":"live.leave"}')

    def broken(self, reason: str) -> None:
        """The page broke the protocol, and loses its objects on all nodes."""
        self._end(Kind.BROKEN, reason.encode("utf-8", "replace"))

    def end(self, *, left: bool = False) -> None:
        """The wire is gone, or carries nothing any more.  Harmless when repeated.

        :param left: the page has gone for good.
        """
        self._end(Kind.LEFT if left else None)

    # called by the relays

    def lost(self, relay: Relay) -> None:
        """A relay's connection has gone."""
        if self.forget(relay):
            self.wire.abort("the way to another node was cut")

    def forget(self, relay: Relay) -> bool:
        """Use a relay no more; tell whether it was used."""
        used = self._relays.get(relay.node) is relay
        if used:
            del self._relays[relay.node]
        return used

    # private

    def _end(self, last: Kind | None, payload: bytes = b"") -> None:
        self._ends += 1
        relays, self._relays = self._relays, {}
        for relay in relays.values():
            if last is not None:
                relay.send(last, payload)
            relay.end()

    def _is_far(self, name: str) -> bool:
        node = node_of(name)
        return node is not None and node != self.peers.name

    async def _ask(self, entries: Sequence[Entry]) -> FarAnswer:
        by_node: dict[str, list[Entry]] = {}
        for entry in entries:
            if self._is_far(entry.id):
                by_node.setdefault(node_of(entry.id) or "", []).append(entry)
        if not by_node:
            return NOTHING_FAR
        asking = [ensureDeferred(self._ask_one(*one)) for one in by_node.items()]
        try:
            answers = await gatherResults(asking, consumeErrors=True)
        except FirstError as first:
            first.subFailure.raiseException()
        return FarAnswer(
            [one for answer in answers for one in answer.here],
            [one for answer in answers for one in answer.ended],
        )

    async def _ask_one(self, node: str, entries: Sequence[Entry]) -> FarAnswer:
        relay = self._relays.get(node)
        op: dict[str, object] = {"op": "live.open", "ref": 0, "open": entries}
        try:
            if relay is None:
                op = {**op, "op": "live.attach", "session": self._session, "auth": self._auth}
                relay = await self._connect(node)
            heard = await relay.ask(msgspec.json.encode(op))
        except NodeGone:
            return FarAnswer(
                ended=[{"id": one.id, "error": trouble_json(NETWORK)} for one in entries]
            )
        return FarAnswer(heard.open, heard.ended)

    async def _connect(self, node: str) -> Relay:
        relay = Relay(self, node)
        greeting = Carry(node, self.headers, self.cookies, self.address)
        ends = self._ends
        relay.stream = await self.peers.connect(greeting, relay)
        if ends != self._ends:
            # The wire has gone meanwhile, or the session was refused.
            relay.end()
            raise Overloaded
        self._relays[node] = relay
        return relay


@attrs.define(slots=True, eq=False)
class Relay:
    """The way to one other node, for one page; hears its connection (`PeerListener`).

    :ivar answered: it has answered, and the page does not know yet.
    """

    _owner: Elsewhere
    node: str
    stream: PeerStream | None = attrs.field(default=None, init=False)
    answered: bool = attrs.field(default=False, init=False)
    _answer: Deferred[_Heard] | None = attrs.field(default=None, init=False)
    _watch: Deadline | None = attrs.field(default=None, init=False)
    _late: Deadline | None = attrs.field(default=None, init=False)
    _heard_at: float = attrs.field(default=0.0, init=False)
    _held: bool = attrs.field(default=False, init=False)
    _full: bool = attrs.field(default=False, init=False)
    _over: bool = attrs.field(default=False, init=False)

    def ask(self, op: bytes) -> Deferred[_Heard]:
        """Ask, and hold back what follows the answer until `hold` lets it go.

        :return: fails with a `Refusal` or with `NodeGone`.
        """
        answer = self._answer = Deferred()
        owner = self._owner
        if self._watch is None:
            self._heard_at = owner.seconds()
            self._watch_later()
        if self._over:
            self._fail(NodeGone())
            return answer
        self._late = owner.deadlines.at(
            owner.seconds() + ANSWER_SECONDS, lambda: self._fail(Overloaded())
        )
        self.send(Kind.TEXT, op)
        return answer

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send a frame to the node."""
        if self.stream is not None and not self._over:
            self.stream.send(kind, payload)

    def hold(self, held: bool) -> None:
        """Stop reading, or go on."""
        if self.stream is not None and held != self._held and not self._over:
            self._held = held
            self._heard_at = self._owner.seconds()
            self.stream.hold(held)

    def end(self) -> None:
        """Close the connection."""
        if not self._over:
            self._finish()
            if self.stream is not None:
                self.stream.close()

    # PeerListener

    def received(self, kind: Kind, payload: bytes) -> None:
        """See `PeerListener`."""
        owner = self._owner
        self._heard_at = owner.seconds()
        if kind is Kind.BINARY:
            owner.wire.send_binary(payload)
        elif kind is Kind.TEXT and payload.startswith(_LIVE):
            owner.wire.send(payload)
        elif kind is Kind.TEXT:
            self._op(payload)
        elif kind is Kind.END:
            said = msgspec.msgpack.decode(payload, type=Outcome)
            # What it held has ended, and the page was told.
            self._fail(NodeGone())
            if said.code not in ("", ShuttingDown.code):
                owner.page.broken(said.sentence.removeprefix("live: "))

    def pressure(self, full: bool) -> None:
        """See `PeerListener`."""
        if full != self._full and not self._over:
            self._full = full
            self._owner.wire.hold(full)

    def lost(self) -> None:
        """See `PeerListener`."""
        if not self._over:
            self._finish()
            self._owner.lost(self)

    # private

    def _op(self, payload: bytes) -> None:
        heard = _HEARD.decode(payload)
        if heard.op in ("live.attached", "live.opened") and self._answer is not None:
            self.answered = True
            self.hold(True)
            self._settle().callback(heard)
        elif heard.op == "live.refused":
            self._fail(refusal_for(heard.code, heard.error))
        elif heard.op == "ping":
            self.send(Kind.TEXT, b'{"op":"pong"}')
        elif heard.op == "live.fin":
            self._owner.page.replaced_elsewhere()

    def _settle(self) -> Deferred[_Heard]:
        answer, self._answer = self._answer, None
        if self._late is not None:
            self._late.cancel()
        assert answer is not None
        return answer

    def _fail(self, error: Refusal | NodeGone) -> None:
        answer = None if self._answer is None else self._settle()
        self._owner.forget(self)
        self.end()
        if answer is not None:
            answer.errback(error)

    def _finish(self) -> None:
        self._over = True
        if self._watch is not None:
            self._watch.cancel()
        if self._full:
            self._full = False
            self._owner.wire.hold(False)
        if self._answer is not None:
            # The node went away while it was asked: who asks again finds out whether it died.
            self._settle().errback(Overloaded())

    def _watch_later(self) -> None:
        when = self._owner.seconds() + SILENT_PINGS * self._owner.ping_interval / 2
        self._watch = self._owner.deadlines.at(when, self._look)

    def _look(self) -> None:
        owner = self._owner
        silent = owner.seconds() - self._heard_at
        if not self._held and silent >= SILENT_PINGS * owner.ping_interval:
            assert self.stream is not None
            self.stream.abort()
            self.lost()
        else:
            self._watch_later()
