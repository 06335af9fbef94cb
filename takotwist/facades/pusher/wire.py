"""A connection of Pusher's: its close codes, and the send queue that leaves out.

What ``pusher-js`` does by the code: after 4000 to 4099 it never comes back, after 4100, 1001
and a lost connection it waits one second, and after 4200 three milliseconds.  So 4200 is said to
one connection at a time, whose lifetime is over, and never to all: a server that stops says 1001.
"""

from __future__ import annotations

from takotwist.errors import (
    CredentialsExpired,
    CredentialsMissing,
    OriginRejected,
    Refusal,
    ShuttingDown,
    VerifyRejected,
)
from takotwist.facades.pusher.frames import error_frame
from takotwist.facades.pusher.send_queue import PusherSendQueue
from takotwist.transports.admission import Admission
from takotwist.transports.wire import WebSocketWire

TLS_ONLY, NO_APP, DISABLED, BAD_PATH, BAD_VERSION = 4000, 4001, 4003, 4005, 4006
BAD_PROTOCOL, NO_PROTOCOL, UNAUTHORIZED = 4007, 4008, 4009
OVER_CAPACITY, COME_BACK = 4100, 4200
CLIENT_EVENT_REFUSED, WATCHLIST_TOO_LONG = 4301, 4302

_UNAUTHORIZED = (CredentialsExpired, CredentialsMissing, OriginRejected, VerifyRejected)


def close_code(refusal: Refusal | None) -> int:
    """The code that ends a connection."""
    if refusal is None:
        return COME_BACK
    if isinstance(refusal, ShuttingDown):
        return refusal.close_code
    return UNAUTHORIZED if isinstance(refusal, _UNAUTHORIZED) else OVER_CAPACITY


class PusherWire(WebSocketWire):
    """One connection."""

    __slots__ = ()

    send_queue: PusherSendQueue

    def __init__(self, admission: Admission) -> None:
        super().__init__(admission)
        self.send_queue = PusherSendQueue(admission.outbox_bytes, admission.flush_batch)

    def push(self, whole: bytes) -> bool:
        """Take a whole frame, to be written when its turn ends.

        :return: `False` where the client reads slower than is written, and it was not taken.
        """
        return self._connection is None or self.send_queue.push(whole)

    def end(self, refusal: Refusal | None) -> None:
        """Close with Pusher's code, which is said in a frame as well."""
        connection = self._connection
        if connection is None:
            return
        code, reason = close_code(refusal), "connection expired"
        if refusal is not None:
            reason = refusal.sentence
            if not isinstance(refusal, ShuttingDown):
                self._admission.answers.count(refusal)
                self.send(error_frame(reason, code))
        self.send_queue.flush()
        connection.close(code, reason)
        self._gone(reason)
