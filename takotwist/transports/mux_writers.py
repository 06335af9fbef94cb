"""The topics that a connection publishes to, and what it was granted for them.

Rule: a grant is remembered as long as it holds and no longer, and for a bounded
number of topics; whatever is forgotten is only asked for again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from takotwist.flow.authorize import Admitted, Asked
from takotwist.flow.client_frames import ClientFrames
from takotwist.transports.admission import Admission
from takotwist.transports.wire import Wire

#: Topics for which a connection's grant to publish is remembered.
MAX_WRITERS = 32


class MuxWriters:
    """Of one connection.  A topic that is subscribed has its way in by that."""

    __slots__ = ("_admission", "_asked", "_own", "_wire")

    def __init__(self, wire: Wire, admission: Admission) -> None:
        self._wire = wire
        self._admission = admission
        self._own: dict[str, ClientFrames] = {}
        self._asked: dict[str, Asked] = {}

    def known(self, spelled: str) -> ClientFrames | None:
        """The way in to a topic that was published to before, with the grant that there is.

        :param spelled: as it was when it was remembered.
        :return: `None` where the topic must be found, or the app asked.
        """
        asked = self._asked.get(spelled)
        if asked is None:
            return None
        topic = asked.topic.key
        subscribed = self._wire.session.subscribed.get(topic)
        frames = self._own.get(topic) if subscribed is None else subscribed.frames
        if (
            frames is None
            or not self._admission.authorizing.current(asked.definition)
            or (subscribed is None and self._expired(frames))
        ):
            del self._asked[spelled]
            return None
        return frames

    def remember(self, spelled: str, asked: Asked) -> None:
        """A message has gone in to a topic that a frame spelled so."""
        if len(self._asked) >= MAX_WRITERS:
            del self._asked[next(iter(self._asked))]
        self._asked[spelled] = asked

    async def way_in(
        self, asked: Asked, authorize: Callable[[], Awaitable[Admitted]]
    ) -> ClientFrames:
        """Where to put a message: the subscription's way in, or one for publishing alone.

        :param authorize: asks the app, where nothing else lets the message in.
        """
        topic = asked.topic.key
        subscribed = self._wire.session.subscribed.get(topic)
        if subscribed is not None:
            return subscribed.frames
        frames = self._own.pop(topic, None)
        if frames is None or self._expired(frames):
            frames = self._admission.sessions.way_in(await authorize(), self._wire.hold)
        self._own[topic] = frames
        if len(self._own) > MAX_WRITERS:
            # What it still holds is finished; only the grant is asked for again.
            del self._own[next(iter(self._own))]
        return frames

    def close(self) -> None:
        """The connection has gone."""
        for frames in self._own.values():
            frames.close()
        self._own.clear()

    def _expired(self, frames: ClientFrames) -> bool:
        return frames.permission.expired
