"""Requests of other nodes to this one: the door behind the listener for peers.

A page whose wire is on another node comes in as a wire of its own, with its client's
credentials and address; so verification, limits and back-pressure are those of every wire.
A POST of frames for an event stream that is here, or of a member's state, and a page's leave,
are answered by one `Outcome`.  Rule: who knows the secret of this node is another node, so what
it says of a client is believed, and what it counted (connections, rates) is not counted again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hmac import compare_digest

import attrs
import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.deadlines import Deadline, Deadlines
from takotwist.errors import NotFound, Refusal, ShuttingDown
from takotwist.flow.refusal import refusal_of
from takotwist.flow.topic_request import RequestCredentials
from takotwist.interfaces import Coro
from takotwist.live.link import Link, LiveWire
from takotwist.live.peers import (
    Carry,
    Greeting,
    Kind,
    Leave,
    Lines,
    Outcome,
    PeerListener,
    PeerStream,
    Say,
    Show,
)
from takotwist.transports.live.frames import LiveFrames
from takotwist.transports.live.routes import LiveRoutes

_log = Logger()


def _say(stream: PeerStream, outcome: Outcome) -> None:
    stream.send(Kind.END, msgspec.msgpack.encode(outcome))
    stream.close()


def _outcome_of(refusal: Refusal | None) -> Outcome:
    if refusal is None:
        return Outcome()
    return Outcome(refusal.code, refusal.sentence, refusal.http_status)


@attrs.define(slots=True, eq=False)
class PeerDoor:
    """Answers the other nodes.

    :ivar name: of this node; `secret` is what others know it by.
    :ivar link: makes the speaker of live objects on a wire.
    :ivar pages: this node's own pages, by what they are asked for as.
    :ivar say: lets a member say something of itself.
    """

    name: str
    secret: str
    link: Callable[[LiveWire, RequestCredentials, str], Link]
    routes: LiveRoutes
    deadlines: Deadlines
    pages: Mapping[str, Callable[[], Awaitable[bytes]]]
    say: Callable[[Say], Awaitable[None]]
    wires: set[PeerWire] = attrs.field(factory=set, init=False)

    def stop(self) -> None:
        """The server stops, and its objects have ended: let go of the pages."""
        for wire in list(self.wires):
            wire.end(ShuttingDown())

    def accept(self, greeting: Greeting, stream: PeerStream) -> PeerListener:
        """A connection of another node has said what it is for."""
        proven = compare_digest(greeting.secret.encode(), self.secret.encode())
        if greeting.node != self.name or not proven:
            _say(stream, Outcome(gone=True))
        elif isinstance(greeting, Carry):
            presented = RequestCredentials(greeting.headers.get, greeting.cookies.get)
            wire = PeerWire(self, stream, presented, greeting.address)
            self.wires.add(wire)
            return wire
        elif isinstance(greeting, Lines):
            self._answer(stream, self._lines(greeting))
        elif isinstance(greeting, Leave):
            self._answer(stream, self._leave(greeting))
        elif isinstance(greeting, Show):
            self._answer(stream, self._show(greeting))
        elif isinstance(greeting, Say):
            self._answer(stream, self._said(greeting))
        return _Deaf()

    async def _lines(self, said: Lines) -> bytes:
        await self.routes.sse.take(said.key, said.content_type, said.body)
        return b""

    async def _leave(self, said: Leave) -> bytes:
        self.routes.leaving.sessions.leave(said.session)
        return b""

    async def _show(self, said: Show) -> bytes:
        page = self.pages.get(said.what)
        if page is None:
            raise NotFound
        return await page()

    async def _said(self, said: Say) -> bytes:
        await self.say(said)
        return b""

    def _answer(self, stream: PeerStream, work: Coro[bytes]) -> None:
        async def answer() -> None:
            try:
                body = await work
            except Exception:
                _say(stream, _outcome_of(refusal_of(Failure(), _log, "answering a node failed")))
            else:
                _say(stream, Outcome(body=body))

        ensureDeferred(answer())


class _Deaf:
    """Listens to a connection that has nothing more to say."""

    def received(self, kind: Kind, payload: bytes) -> None:
        """Nothing comes."""

    def pressure(self, full: bool) -> None:
        """One answer is sent."""

    def lost(self) -> None:
        """It was answered, or will be to nobody."""


class PeerWire:
    """A page's wire that another node carries (`LiveWire`), and its connection's listener."""

    def __init__(
        self, door: PeerDoor, stream: PeerStream, presented: RequestCredentials, address: str
    ) -> None:
        self.left = False
        self._door = door
        self._stream = stream
        self._open = True
        self._deadlines: dict[str, Deadline] = {}
        self._link = door.link(self, presented, address)
        self._frames = LiveFrames(self, self._link)

    on_pressure: Callable[[bool], None]

    # LiveWire

    @property
    def paused(self) -> bool:
        """See `LiveWire`."""
        return self._stream.full

    def send(self, frame: bytes) -> None:
        """See `LiveWire`."""
        self._stream.send(Kind.TEXT, frame)

    def send_binary(self, payload: bytes) -> None:
        """See `LiveWire`."""
        self._stream.send(Kind.BINARY, payload)

    def end(self, refusal: Refusal | None) -> None:
        """See `LiveWire`; the other node ends the client's wire for the same reason."""
        if self._gone():
            _say(self._stream, _outcome_of(refusal))

    def abort(self, reason: str) -> None:
        """See `LiveWire`."""
        if self._gone():
            self._stream.abort()

    def later(self, name: str, when: float, action: Callable[[], None]) -> None:
        """See `LiveWire`."""
        before = self._deadlines.pop(name, None)
        if before is not None:
            before.cancel()
        if self._open:
            self._deadlines[name] = self._door.deadlines.at(when, action)

    def hold(self, full: bool) -> None:
        """See `LiveWire`."""
        self._stream.hold(full)

    # PeerListener

    def received(self, kind: Kind, payload: bytes) -> None:
        """See `PeerListener`."""
        if kind is Kind.TEXT:
            self._frames.take(payload, self._track)
        elif kind is Kind.BINARY:
            self._frames.take_binary(payload)
        elif kind is Kind.LEFT:
            self.left = True
        elif kind is Kind.BROKEN:
            self._link.broken(payload.decode("utf-8", "replace"))

    def pressure(self, full: bool) -> None:
        """See `PeerListener`."""
        self._link.block(full)

    def lost(self) -> None:
        """See `PeerListener`."""
        self._gone()

    # private

    def _track(self, doing: Coro[None]) -> None:
        ensureDeferred(doing).addErrback(
            lambda failure: _log.failure("a frame of another node failed", failure)
        )

    def _gone(self) -> bool:
        """The wire has ended; tell whether it was open."""
        if not self._open:
            return False
        self._open = False
        for one in self._deadlines.values():
            one.cancel()
        self._deadlines.clear()
        self._door.wires.discard(self)
        self._frames.lost()
        return True
