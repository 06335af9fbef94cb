"""The outbox in PostgreSQL: an application publishes in a transaction, a node moves it over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from takotwist.adapters.postgres.engine import Engine
from takotwist.adapters.postgres.entries import PARAMETERS, Batch
from takotwist.adapters.postgres.link import Link
from takotwist.adapters.postgres.values import (
    int8,
    int8s,
    read_byteas,
    read_int8s,
    texts,
)
from takotwist.core.log import Append
from takotwist.core.outbox import Outgoing

#: Messages, and bytes of data, that are moved in one transaction: no publish waits long for it.
STEP_MESSAGES, STEP_BYTES = 128, 256 * 1024


class PostgresOutbox:
    """See `IOutbox`; raises `Trouble`.

    What is moved is a batch like those of a node, under a name of its own: so a move whose answer
    was lost is not done twice.

    :param readers: gives a connection.
    :param node: the name of this one.
    """

    def __init__(self, engine: Engine, readers: Callable[[], Link], node: str) -> None:
        self._engine = engine
        self._readers = readers
        self._node = f"{node}/outbox"
        self._number = 0
        self._outgoing = engine.function("outgoing", 3)
        self._append = engine.function("append", PARAMETERS)
        self._refuse = engine.function("refuse", 2)
        self._retry = engine.function("retry", 0)

    async def outgoing(self) -> Sequence[Outgoing]:
        """See `IOutbox`."""
        parameters = [self._node.encode(), int8(STEP_MESSAGES), int8(STEP_BYTES)]
        result = await self._engine.call(self._readers(), self._outgoing, parameters)
        columns = [read_byteas(result.get_value(0, at)) for at in range(2, 7)]
        return [
            Outgoing(number, channel.decode(), params, kind.decode(), data, key.decode() or None)
            for number, channel, params, kind, data, key in zip(
                read_int8s(result.get_value(0, 1)), *columns, strict=True
            )
        ]

    async def move(
        self, moved: Sequence[tuple[Outgoing, Append]], refused: Sequence[tuple[Outgoing, str]]
    ) -> None:
        """See `IOutbox`."""
        if moved:
            self._number += 1
            batch = Batch([append for _, append in moved])
            parameters = batch.parameters(
                self._node, self._number, self._engine.seen, [one.id for one, _ in moved]
            )
            await self._engine.call(self._readers(), self._append, parameters)
        if refused:
            parameters = [
                int8s([one.id for one, _ in refused]),
                texts([reason for _, reason in refused]),
            ]
            await self._engine.call(self._readers(), self._refuse, parameters)

    async def retry(self) -> None:
        """See `IOutbox`."""
        await self._engine.call(self._readers(), self._retry)
