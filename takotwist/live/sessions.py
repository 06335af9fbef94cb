"""Live sessions: the live objects of each page, the wire that carries them, their metrics.

A session outlives its wires.  Rules: the table holds a hash of the page's secret, and a
session only while it has an object or a wire; an object leaves it when its machine has
nothing left to do.  Metrics are by the names of defined functions, so nothing grows with
what clients send.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Protocol

import attrs
from twisted.logger import Logger

from takotwist.errors import BodyInvalid, Overloaded, RateLimited, VerifyRejected
from takotwist.live.errors import LiveError, NetworkError, PageLeft
from takotwist.live.functions.function import Verification
from takotwist.live.machine.frames import Frame
from takotwist.live.objects.live_object import LiveObject
from takotwist.live.publish_permission import PublishPermission
from takotwist.live.services import LiveServices


@attrs.define(slots=True)
class LiveMetrics:
    """Counters since the start.

    :ivar calls: by function and outcome: ``ok``, ``aborted``, ``refused``,
        ``failed``, ``left``.
    :ivar frames_in: frames of objects that pages sent.
    :ivar frames_out: and that were sent to pages.
    :ivar overflows: messages that were dropped, and objects that ended, because too much waited.
    :ivar reconnects: sessions that came back after a cut.
    """

    calls: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    frames_in: int = 0
    frames_out: int = 0
    overflows: int = 0
    reconnects: int = 0

    def keep(self, names: Collection[str]) -> None:
        """Forget the functions that are not defined any more."""
        for function, outcome in [one for one in self.calls if one[0] not in names]:
            del self.calls[function, outcome]


#: A page's secret: at least 128 bits in base64url.
_SECRET = re.compile(r"[A-Za-z0-9_-]{22,128}")

#: Live objects that one session may have.
MAX_OBJECTS = 1000


class SessionWire(Protocol):
    """The wire of a session, as the session sees it."""

    def transmit(self, name: str, frame: Frame) -> None:
        """Send a frame of an object."""

    def replaced(self) -> None:
        """Give the session up: another wire carries it from now on."""

    def broken(self, reason: str) -> None:
        """The client broke the protocol."""


@attrs.define(slots=True, eq=False)
class LiveSession:
    """One page.

    :ivar subject: whose objects they are; `None` without a `verify`.
    :ivar verification: asks whether a wire is that subject's.
    :ivar wire: what carries its frames now.
    """

    _key: bytes = attrs.field(repr=False)
    subject: str | None
    verification: Verification | None
    _sessions: LiveSessions
    wire: SessionWire | None = None
    _held: int = attrs.field(default=0, init=False)
    objects: dict[str, LiveObject] = attrs.field(factory=dict, init=False)

    def admit(self, one: LiveObject, permission: PublishPermission | None = None) -> None:
        """Hand out a live object.

        :param permission: to publish, of its page; `None` where nobody decides that.
        :raises RateLimited: the session has too many.
        :raises UsageError: JSON cannot carry its messages.
        """
        if len(self.objects) >= MAX_OBJECTS:
            raise RateLimited(f"A page may have {MAX_OBJECTS} live objects.")
        one.check_types()
        name = self._sessions.new_id()
        self.objects[name] = one
        one.settle_in(self._sessions.services, self, name, permission)

    def carry(self, wire: SessionWire) -> None:
        """`wire` carries the session from now on."""
        before, self.wire = self.wire, wire
        if before is not None:
            before.replaced()

    def cut(self, wire: SessionWire) -> None:
        """Detach the objects: `wire` is gone."""
        if self.wire is wire:
            self.wire = None
            for one in list(self.objects.values()):
                one.detach()
            self.tidy()

    def end(self, error: LiveError) -> None:
        """End all objects."""
        for one in list(self.objects.values()):
            one.lose(error)
        self.tidy()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the session in the table while something is decided about it."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self.tidy()

    def tidy(self) -> None:
        """Leave the table when nothing is left."""
        if not self.objects and self.wire is None and not self._held:
            self._sessions.remove(self._key)

    # called by the objects

    def transmit(self, one: LiveObject, frame: Frame) -> None:
        """Send a frame on the wire, where there is one (`ObjectSession`)."""
        if self.wire is not None:
            self.wire.transmit(one.id, frame)

    def forgotten(self, one: LiveObject) -> None:
        """Remove an object that has nothing left to do (`ObjectSession`)."""
        self.objects.pop(one.id, None)
        self.tidy()

    def overflowed(self) -> None:
        """Count an overflow (`ObjectSession`)."""
        self._sessions.tally.overflows += 1

    def broken(self, reason: str) -> None:
        """End the wire for a breach of the protocol (`ObjectSession`)."""
        if self.wire is not None:
            self.wire.broken(reason)


@attrs.define(slots=True, eq=False)
class LiveSessions:
    """All sessions.

    :ivar max_sessions: at once.
    :ivar new_id: a fresh name for an object.
    """

    services: LiveServices
    max_sessions: int
    new_id: Callable[[], str]
    tally: LiveMetrics = attrs.field(factory=LiveMetrics, init=False)
    _table: dict[bytes, LiveSession] = attrs.field(factory=dict, init=False, repr=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def take(
        self, secret: str | None, subject: str | None, verification: Verification | None
    ) -> LiveSession:
        """The session of a caller whose function returned live objects.

        :raises BodyInvalid: there is no good secret.
        :raises VerifyRejected: the session is somebody else's.
        :raises Overloaded: there are too many.
        """
        session = self._session(secret, subject, verification)
        if session.subject is None and subject is not None:
            # The page's first objects were for anybody; from now on they are this one's.
            session.subject, session.verification = subject, verification
        elif subject is not None and session.subject != subject:
            raise VerifyRejected("The session belongs to another subject.")
        return session

    def find(self, secret: str | None) -> LiveSession:
        """The session of a wire; an empty one where it is unknown.

        :raises BodyInvalid: there is no good secret.
        :raises Overloaded: there are too many.
        """
        return self._session(secret, None, None)

    def _session(
        self, secret: str | None, subject: str | None, verification: Verification | None
    ) -> LiveSession:
        key = key_of(secret)
        session = self._table.get(key)
        if session is None:
            if len(self._table) >= self.max_sessions:
                raise Overloaded
            session = self._table[key] = LiveSession(key, subject, verification, self)
        return session

    def leave(self, secret: str | None) -> None:
        """End the objects of a page that goes.  Harmless where it has none.

        :raises BodyInvalid: there is no good secret.
        """
        session = self._table.get(key_of(secret))
        if session is not None:
            session.end(PageLeft())

    def end_subjects(self, subjects: Collection[str], of_function: Callable[[str], bool]) -> int:
        """End the objects of these subjects: their credentials are void.

        :param of_function: tells whether those of a function are meant.
        :return: of how many pages.
        """
        ended = 0
        for session in list(self._table.values()):
            verification = session.verification
            if (
                session.subject in subjects
                and verification is not None
                and of_function(verification.function)
            ):
                session.end(NetworkError("The credentials were revoked."))
                ended += 1
        return ended

    def remove(self, key: bytes) -> None:
        """Drop a session that is empty."""
        self._table.pop(key, None)

    def close(self) -> None:
        """The server stops: every object ends, and its `on_close` runs."""
        for session in list(self._table.values()):
            session.end(NetworkError("The server stops."))

    @property
    def objects(self) -> int:
        """The number of live objects."""
        return sum(len(session.objects) for session in self._table.values())

    @property
    def held(self) -> int:
        """Bytes that wait for pages, or that they may need again."""
        return self.services.backlog.size

    def __iter__(self) -> Iterator[LiveObject]:
        """All live objects."""
        for session in self._table.values():
            yield from session.objects.values()

    def __len__(self) -> int:
        return len(self._table)


def key_of(secret: str | None) -> bytes:
    """The key of a secret in the table.  :raises BodyInvalid: it is none."""
    if secret is None or not _SECRET.fullmatch(secret):
        raise BodyInvalid(
            "The session must be a secret of 22 to 128 characters A-Z, a-z, 0-9, - and _."
        )
    return sha256(secret.encode("ascii")).digest()
