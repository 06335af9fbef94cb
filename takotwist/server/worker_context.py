"""Context of a server that is one worker of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs
from twisted.internet.interfaces import IStreamServerEndpoint

if TYPE_CHECKING:
    # What it imports is an extra.
    from takotwist.server.supervisor.quic import WorkerQuic


@attrs.define(slots=True, eq=False)
class WorkerContext:
    """This worker, as the server in it sees it.

    :ivar number: from 1 on, of `count`.
    :ivar slot: of it among all workers that may be there at once, from 0 on.
    :ivar listeners: what takes the connections of each listener, in the order of the server's.
    :ivar quic: its UDP ports, where the server has any.
    :ivar ready: says that it serves.
    """

    number: int
    count: int
    slot: int
    listeners: Sequence[IStreamServerEndpoint]
    ready: Callable[[], None]
    quic: WorkerQuic | None = None
