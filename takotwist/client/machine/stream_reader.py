"""Bytes of one SSE response to events and moves of the cursor (protocol, section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from takotwist.client.events import SYNCED, read_message, read_object
from takotwist.client.machine.continuity import Delivery
from takotwist.client.machine.machine import (
    Deliver,
    Move,
)
from takotwist.client.wire import Block, EventStream, RetrySaid


@attrs.define(slots=True)
class StreamReader:
    """Reader of one SSE response."""

    _delivery: Delivery
    _params: Mapping[str, object]
    _stream: EventStream
    _channel: str = ""

    def feed(self, data: bytes) -> Iterator[Deliver | Move | RetrySaid]:
        """The steps that `data` completed, in order.

        :raises ProtocolBroken: a block is no message.  What came before it was given out.
        """
        for said in self._stream.feed(data):
            if isinstance(said, RetrySaid):
                yield said
            elif said.data is not None and said.event == SYNCED:
                yield from self._delivery.synced(said.id, self._channel, dict(self._params))
            elif said.data is None or said.event not in ("", "message", "tako.reset"):
                yield from self._moved(said)
            elif said.event == "tako.reset":
                value = read_object(said.data)
                cursor = said.id or value.get("cursor")
                yield self._delivery.was_reset(str(value.get("reason")), cursor)
            else:
                message = read_message(read_object(said.data), self._params)
                yield from self._delivery.received(message)

    def _moved(self, block: Block) -> list[Deliver | Move]:
        # An empty id would have a browser forget its cursor; nobody may ask that of us.
        return self._delivery.attached(block.id) if block.id else []
