"""All sessions, and connection slots for new ones.

Rule: a place is taken before the app is asked, and given back exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import attrs
from twisted.logger import Logger

from takotwist.core.metrics import Metrics
from takotwist.core.send_queue import SendQueue
from takotwist.errors import Refusal
from takotwist.flow.session import Session
from takotwist.flow.session_services import SessionServices

#: Most characters of a subject in the log.
SHOWN_SUBJECT = 64

_ENDED = "{kind} {connection} from {address} ended after {seconds:.1f} s: {why}"
_ENDED_OF = "{kind} {connection} from {address} ({subject}) ended after {seconds:.1f} s: {why}"


@attrs.define(slots=True)
class Sessions:
    """All connections.

    :ivar services: theirs.
    :ivar new_id: a fresh name for a connection.
    """

    services: SessionServices
    metrics: Metrics
    new_id: Callable[[], str]
    _open: dict[Session, None] = attrs.field(factory=dict, init=False)
    #: One for all of them: a bound method for each would cost every connection 64 bytes.
    _on_close: Callable[[Session, str], None] = attrs.field(init=False)
    _logger: Logger = attrs.field(factory=Logger, init=False)

    def __attrs_post_init__(self) -> None:
        self._on_close = self._closed

    def enter(self, address: str) -> None:
        """Take a place for one more connection; `open` uses it, or `leave` gives it back.

        :raises Overloaded: there is none. :raises RateLimited: not for this address.
        """
        self.services.limits.enter(address, self.services.seconds())

    def leave(self, address: str) -> None:
        """Give back a place that no session came to use."""
        self.services.limits.leave(address)

    def open(
        self, kind: str, address: str, send_queue: SendQueue, end: Callable[[Refusal | None], None]
    ) -> Session:
        """A session on a place that was taken with `enter`."""
        now = self.services.seconds()
        session = Session(
            self.new_id(), kind, address, now, send_queue, end, self.services, self._on_close
        )
        send_queue.written_at = now
        self._open[session] = None
        self.metrics.connections[kind] += 1
        self.metrics.connected[kind] += 1
        return session

    def end_subjects(self, subjects: Collection[str], of_channel: Callable[[str], bool]) -> int:
        """End the subscriptions of these subjects, as if their grants had expired.

        :param of_channel: tells whether a channel is meant.
        :return: how many there were.
        """
        ended = 0
        for session in self:
            for subscribed in list(session.subscribed.values()):
                admitted = subscribed.admitted
                channel = admitted.asked.definition.name
                if admitted.grant.subject in subjects and of_channel(channel):
                    subscribed.expired()
                    ended += 1
        return ended

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._open))

    def __len__(self) -> int:
        return len(self._open)

    def _closed(self, session: Session, why: str) -> None:
        self._open.pop(session, None)
        self.metrics.connections[session.kind] -= 1
        self.services.limits.leave(session.address)
        self._logger.info(
            _ENDED if session.subject is None else _ENDED_OF,
            kind=session.kind,
            connection=session.id,
            address=session.address,
            subject=_shown(session.subject),
            seconds=self.services.seconds() - session.opened_at,
            why=why,
        )


def _shown(subject: str | None) -> str | None:
    """A subject is as long as the app makes it."""
    if subject is None or len(subject) <= SHOWN_SUBJECT:
        return subject
    return subject[:SHOWN_SUBJECT] + "..."
