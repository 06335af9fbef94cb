"""Back-pressure on a client: the bounds at which its connection is not read, side by side.

    frames -> wire -> in-flight frames -> queue of a subscription -> handler -> log
               ^      of a multiplexed            |
               |      connection                  |
               +--- hold ---- 32 ----- hold ----- 64

A WebSocket to one channel has the queue alone.  Two bounds and not one, because they hold
different things: a frame in flight waits for the app (who may subscribe or publish) or for
the frame before it on its topic, and one slow topic must not use up what the others need;
a queued frame is authorized already, or waits behind the one that is being asked about, and
waits for its handler.  One bound for both would either let a client have 64 questions to the
app open at once, or stop reading it at a burst of 32 messages.

What holds is counted (`ReadHolds`): the connection is read on when the last lets go.
"""

from __future__ import annotations

#: Frames of one multiplexed connection that are being answered at once.
MAX_FRAMES_IN_FLIGHT = 32

#: Frames of one subscription that wait for its handler.
MAX_FRAMES_QUEUED = 64


class ReadHolds:
    """Base of a connection that is not read while anything holds it.

    A base and not a part: one object less for each connection.
    """

    __slots__ = ("_holds",)

    def __init__(self) -> None:
        self._holds = 0

    def hold(self, full: bool) -> None:
        """Stop reading from the client, or let go.

        :raises ValueError: nothing was held that could be let go.
        """
        if full:
            self._holds += 1
            if self._holds == 1:
                self._pause_reading()
        elif self._holds == 0:
            raise ValueError("nothing holds this connection")
        else:
            self._holds -= 1
            if self._holds == 0:
                self._resume_reading()

    def _pause_reading(self) -> None:
        """Read no more; harmless when the connection has gone."""
        raise NotImplementedError

    def _resume_reading(self) -> None:
        """Read on; harmless when the connection has gone."""
        raise NotImplementedError
