"""The live session on one wire (protocol, live objects, sections 3 and 4).

attach -> verify -> the session moves to this wire -> each object sends what was
missed -> frames both ways -> cut.  Rules: a client that breaks the protocol loses its
wire and its objects; one that is merely late or gone does not.  Every object that a
client asks to open is in the answer, as here or as ended, before any of them sends.

Lifecycle of a link (`TRANSITIONS`):

    NEW        ``live.attach`` -> ATTACHING; a frame of an object is a breach
    ATTACHING  verified -> ATTACHED; refused -> NEW
    ATTACHED   another wire carries the session -> REPLACED
    any        the wire is gone -> GONE, which is final

Rule: the session is a link's exactly while it is ATTACHED, and frames that come while it is
ATTACHING or REPLACED are dropped: their client asks for them again.

`LiveWire` is the port of the connection; its transport decides what it is made of.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Protocol

import attrs
import msgspec

from takotwist.core.json_values import Json
from takotwist.errors import BodyInvalid, Refusal, VerifyRejected
from takotwist.interfaces import Coro
from takotwist.live.elsewhere import Elsewhere, FarPage
from takotwist.live.errors import NetworkError, PageLeft
from takotwist.live.functions.function import Verification
from takotwist.live.machine.codec import (
    Unreadable,
    read_binary,
    read_text,
    write_binary,
    write_text,
)
from takotwist.live.machine.frames import Frame
from takotwist.live.opening import NOTHING_FAR, OPS, FarAnswer, Op, OpenAnswer
from takotwist.live.sessions import MAX_OBJECTS, LiveSession, LiveSessions
from takotwist.states import Transitions, moved


class LiveWire(Protocol):
    """One connection, as live objects need it."""

    @property
    def paused(self) -> bool:
        """Back-pressure: the client reads slower than is written."""

    def send(self, frame: bytes) -> None:
        """Write a text frame."""

    def send_binary(self, payload: bytes) -> None:
        """Write a binary frame."""

    def end(self, refusal: Refusal | None) -> None:
        """End the connection for a reason."""

    def abort(self, reason: str) -> None:
        """Drop the client without a word."""

    def later(self, name: str, when: float, action: Callable[[], None]) -> None:
        """Do something at a time, unless the connection has gone."""

    def hold(self, full: bool) -> None:
        """Back-pressure upstream: stop reading from the client, or let go."""


@attrs.frozen(slots=True)
class LiveSettings:
    """Settings that clients are told, and limits of wires.

    :ivar told: the settings of ``live.attached``.
    :ivar ping_interval: seconds.
    :ivar max_message_bytes: most bytes of one message's data.
    """

    told: object
    ping_interval: float
    max_message_bytes: int


_UNREADABLE = (Unreadable, msgspec.DecodeError, UnicodeDecodeError, RecursionError)

#: Asks whether a wire is the subject's: verification, ``auth``, and whether it has gone
#: meanwhile, to its subject.
Verify = Callable[[Verification, str | None, Callable[[], bool]], Awaitable[str | None]]


class LinkState(Enum):
    """State of a link."""

    NEW = "new"
    #: The app is asked whether the session is the client's.
    ATTACHING = "attaching"
    ATTACHED = "attached"
    #: Another wire carries the session.
    REPLACED = "replaced"
    GONE = "gone"


#: What may follow each state of a link.
TRANSITIONS: Transitions[LinkState] = {
    LinkState.NEW: frozenset({LinkState.ATTACHING, LinkState.GONE}),
    LinkState.ATTACHING: frozenset({LinkState.NEW, LinkState.ATTACHED, LinkState.GONE}),
    LinkState.ATTACHED: frozenset({LinkState.REPLACED, LinkState.GONE}),
    LinkState.REPLACED: frozenset({LinkState.GONE}),
    LinkState.GONE: frozenset(),
}


class Link:
    """A wire and the live session that it carries.

    :ivar state: changed by `_enter` alone.
    """

    __slots__ = (
        "_far",
        "_heard_at",
        "_session",
        "_sessions",
        "_settings",
        "_verify",
        "_wire",
        "state",
    )

    def __init__(
        self,
        wire: LiveWire,
        sessions: LiveSessions,
        settings: LiveSettings,
        verify: Verify,
        far: Callable[[FarPage], Elsewhere] | None = None,
    ) -> None:
        self._wire = wire
        self._sessions = sessions
        self._settings = settings
        self._verify = verify
        self.state = LinkState.NEW
        #: There exactly while the link is attached.
        self._session: LiveSession | None = None
        self._far = None if far is None else far(self)
        self._heard_at = sessions.services.seconds()

    # called by the wire

    def received(self, op: str, text: bytes) -> Coro[None] | None:
        """Take a text frame whose op begins with ``live``.

        :return: the rest of the work, where the app is to be asked.
        """
        self.heard()
        try:
            if op == "live":
                self._frame(*read_text(text), text)
            elif op == "live.attach":
                said = OPS.decode(text)
                if self.state is not LinkState.NEW:
                    self._break("live.attach came twice")
                else:
                    self._enter(LinkState.ATTACHING)
                    return self._attach(said)
            elif op == "live.open":
                return self._open(OPS.decode(text))
            elif op == "live.leave":
                if self._session is not None:
                    self._session.end(PageLeft())
                if self._far is not None:
                    self._far.leave()
            else:
                self._break(f"there is no op {op!r}")
        except _UNREADABLE as bad:
            self._break(str(bad))
        return None

    def received_binary(self, payload: bytes) -> None:
        """Take a binary frame."""
        self.heard()
        try:
            self._frame(*read_binary(payload), payload)
        except Unreadable as bad:
            self._break(str(bad))

    def heard(self) -> None:
        """Note that the client is alive."""
        self._heard_at = self._sessions.services.seconds()

    def block(self, blocked: bool) -> None:
        """Back-pressure: the wire takes no more for now, or does again."""
        if self._session is not None:
            for one in list(self._session.objects.values()):
                one.block(blocked)
        if self._far is not None:
            self._far.block(blocked)

    def lost(self, *, left: bool) -> None:
        """The wire is gone.

        :param left: the page has gone, and will not come again.
        """
        if self.state is LinkState.GONE:
            return
        session = self._session
        self._enter(LinkState.GONE)
        if self._far is not None:
            self._far.end(left=left)
        if session is not None:
            if left:
                session.end(PageLeft())
            session.cut(self)

    # called by the session

    def transmit(self, name: str, frame: Frame) -> None:
        """Send a frame of an object (`SessionWire`)."""
        if self.state is LinkState.GONE:
            return
        self._sessions.tally.frames_out += 1
        if frame.binary:
            self._wire.send_binary(write_binary(name, frame))
        else:
            self._wire.send(write_text(name, frame))

    def replaced(self) -> None:
        """Give the session up to another wire (`SessionWire`)."""
        self._enter(LinkState.REPLACED)
        if self._far is not None:
            self._far.end()
        self._wire.send(b'{"op":"live.fin"}')

    # called by what is elsewhere

    def replaced_elsewhere(self) -> None:
        """Another wire carries the session, on another node (`FarPage`)."""
        session = self._session
        if session is not None:
            self.replaced()
            session.cut(self)

    def broken(self, reason: str) -> None:
        """End the wire for a breach of the protocol (`SessionWire`)."""
        self._break(reason)

    # private

    def _enter(self, state: LinkState) -> None:
        self.state = moved(TRANSITIONS, self.state, state)
        if state is not LinkState.ATTACHED:
            self._session = None

    def _frame(self, name: str, frame: Frame, raw: bytes) -> None:
        if self._session is None:
            if self.state is LinkState.NEW:
                self._break("a live frame before live.attach")
            return
        if frame.size > self._settings.max_message_bytes:
            self._break("data is larger than maxMessageBytes")
            return
        one = self._session.objects.get(name)
        if one is None and self._far is not None and self._far.forward(name, raw, frame.binary):
            return
        self._sessions.tally.frames_in += 1
        if one is not None:
            one.receive(frame)

    async def _attach(self, op: Op) -> None:
        try:
            session = self._sessions.find(op.session)
            with session.held():
                await self._check(session, op.auth)
                far = NOTHING_FAR
                if self._far is not None and self.state is LinkState.ATTACHING:
                    far = await self._far.attach(op)
                if self.state is LinkState.ATTACHING:
                    self._take(session, op, far)
        except Refusal as refusal:
            if self.state is LinkState.ATTACHING:
                self._enter(LinkState.NEW)
                if self._far is not None:
                    self._far.end()
            refused = {"op": "live.refused", "ref": op.ref}
            self._say({**refused, "code": refusal.code, "error": refusal.sentence})
        except _UNREADABLE as bad:
            self._break(str(bad))

    def _take(self, session: LiveSession, op: Op, far: FarAnswer) -> None:
        self._enter(LinkState.ATTACHED)
        self._session = session
        if session.wire is None and any(one.was_attached for one in session.objects.values()):
            self._sessions.tally.reconnects += 1
        session.carry(self)
        listed = {entry.id for entry in op.open}
        for name, one in list(session.objects.items()):
            if name not in listed and one.was_attached:
                one.lose(NetworkError())
        self._answer("live.attached", op, far, settings=self._settings.told)
        if self._far is not None:
            self._far.flow()
        self.heard()
        self._beat_later()

    async def _check(self, session: LiveSession, auth: str | None) -> None:
        """:raises Refusal: the wire is not the subject's."""
        if session.subject is None or session.verification is None:
            return
        subject = await self._verify(session.verification, auth, self._is_gone)
        if subject != session.subject:
            raise VerifyRejected("The session belongs to another subject.")

    def _is_gone(self) -> bool:
        return self.state is LinkState.GONE

    def _open(self, op: Op) -> Coro[None] | None:
        if self._session is None:
            if self.state is LinkState.NEW:
                self._break("live.open before live.attach")
        elif self._far is not None and self._far.concerns(op):
            return self._open_far(self._far, op)
        else:
            self._answer("live.opened", op, NOTHING_FAR)
        return None

    async def _open_far(self, elsewhere: Elsewhere, op: Op) -> None:
        def answer(far: FarAnswer) -> None:
            if self._session is not None:
                self._answer("live.opened", op, far)

        try:
            await elsewhere.open(op, answer)
        except Refusal as refusal:
            # An answer can only say "here" or "ended", and neither is known: it comes again.
            self._wire.abort(refusal.code)
        except _UNREADABLE as bad:
            self._break(str(bad))

    def _answer(self, name: str, op: Op, far: FarAnswer, **more: object) -> None:
        """Answer which objects are here and which have ended, then resume each."""
        assert self._session is not None
        if len(op.open) > MAX_OBJECTS:
            self._break(f"open lists more than {MAX_OBJECTS} objects")
            return
        opening = OpenAnswer.of(self._session, op, far)
        self._say({"op": name, "ref": op.ref, "open": opening.here, "ended": opening.ended, **more})
        for begin in opening.begin:
            begin()
            if self._session is None:
                return
        if self._wire.paused:
            self.block(True)

    def _beat_later(self) -> None:
        when = self._sessions.services.seconds() + self._settings.ping_interval
        self._wire.later("live ping", when, self._beat)

    def _beat(self) -> None:
        if self.state is LinkState.GONE:
            return
        silent = self._sessions.services.seconds() - self._heard_at
        if not self._wire.paused:
            # Behind a full buffer a ping would be as late as everything else.
            if silent >= 2 * self._settings.ping_interval:
                self._wire.abort("silent")
                return
            objects: Sequence[Json] = ()
            if self._session is not None:
                objects = list(self._session.objects.values())
            for one in objects:
                one.report()
            self._wire.send(b'{"op":"ping"}')
        self._beat_later()

    def _break(self, reason: str) -> None:
        """End the wire for good, and the session with it."""
        if self.state is LinkState.GONE:
            return
        session = self._session
        if session is not None:
            session.end(NetworkError("The page broke the protocol."))
        if self._far is not None:
            self._far.broken(reason)
        self._wire.end(BodyInvalid(f"live: {reason}"))

    def _say(self, frame: object) -> None:
        self._wire.send(msgspec.json.encode(frame))
