"""A channel with its params bound: what an app publishes to.

Rule: data is checked here, before it leaves the process, so that the error has
the traceback of the line that made the data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, overload

import attrs

from takotwist.app.presence import Member
from takotwist.app.published import Published, Publishing
from takotwist.app.publisher import environment_publisher
from takotwist.app.type_parameters import M, OfPayloads
from takotwist.core.json_values import JsonObject
from takotwist.core.topic import Draft, Topic

if TYPE_CHECKING:
    from takotwist.app.channel import Channel


#: Nothing was given; `None` is data.
_NOTHING: object = object()


@attrs.frozen(slots=True, eq=False)
class BoundChannel(OfPayloads[M]):
    """A channel with its params; made by calling the channel.

    In the server's process messages go straight to its log; from elsewhere over
    HTTP to where ``TAKO_PUBLISH_URL`` points.  Wherever it runs, a publish has
    succeeded when its message is durably stored.

    :ivar params: the validated params, by their names on the wire.
    """

    channel: Channel[Any, ..., M]
    params: JsonObject

    @property
    def topic(self) -> Topic:
        """Topic of its messages (protocol, section 1)."""
        definition = self.channel.definition
        kept = definition.partition_by
        return Topic.of(
            definition.name,
            {name: v for name, v in self.params.items() if kept is None or name in kept},
        )

    @overload
    async def publish(self, message: M, /, *, idempotency_key: str | None = ...) -> Published: ...

    @overload
    async def publish(
        self, type: str, data: M, *, idempotency_key: str | None = ...
    ) -> Published: ...

    async def publish(
        self, type: Any, data: Any = _NOTHING, *, idempotency_key: str | None = None
    ) -> Published:
        """Store and deliver one message.

        :param type: a payload alone, an instance of the class that one message type declares;
            or the message type, with the payload as `data`.
        :param data: of the type declared for `type`, or what JSON would carry.
        :param idempotency_key: the same key on the same topic within the replay
            window stores nothing and gives the first answer again.
        :return: the message as stored.
        :raises BodyInvalid: names the path inside ``data``.
        :raises Refusal: any other refusal of the server.
        :raises Unreachable: the server could not be reached, after retries.
        """
        messages = [type if data is _NOTHING else (type, data)]
        return (await self.publish_many(messages, idempotency_key=idempotency_key))[0]

    async def publish_many(
        self, messages: Iterable[M | tuple[str, M]], *, idempotency_key: str | None = None
    ) -> list[Published]:
        """Store and deliver messages in one transaction, all or none.

        :param messages: payloads, or pairs of type and data, in order.
        :raises: as `publish`.
        """
        drafts = self._drafts(messages)
        return await self._publishing().publish_soon(
            self.channel.name, self.params, drafts, idempotency_key
        )

    @overload
    def publish_sync(self, message: M, /, *, idempotency_key: str | None = ...) -> Published: ...

    @overload
    def publish_sync(
        self, type: str, data: M, *, idempotency_key: str | None = ...
    ) -> Published: ...

    def publish_sync(
        self, type: Any, data: Any = _NOTHING, *, idempotency_key: str | None = None
    ) -> Published:
        """As `publish`, for plain functions: returns when the message is stored."""
        messages = [type if data is _NOTHING else (type, data)]
        return self.publish_many_sync(messages, idempotency_key=idempotency_key)[0]

    def publish_many_sync(
        self, messages: Iterable[M | tuple[str, M]], *, idempotency_key: str | None = None
    ) -> list[Published]:
        """As `publish_many`, for plain functions."""
        drafts = self._drafts(messages)
        return self._publishing().publish_now(
            self.channel.name, self.params, drafts, idempotency_key
        )

    async def presence(self) -> list[Member[Any, Any]]:
        """Who is at the topic: in order of their last changes.

        :raises TransportNotEnabled: the channel has no presence.
        :raises StoreUnavailable: the server's log cannot be read.
        """
        said = await self._publishing().members_soon(self.channel.name, self.params)
        return [self.channel.read_member(one) for one in said]

    async def kick(self, subject: str) -> int:
        """Take a member out: it leaves at once, and its subscriptions to the topic end.

        Whether it may come back is what `verify` decides.

        :return: how many connections it had on this node.
        """
        return await self._publishing().kick_soon(self.channel.name, self.params, subject)

    def _drafts(self, messages: Iterable[object]) -> tuple[Draft, ...]:
        return tuple(
            Draft(kind, self.channel.write_data(kind, data))
            for kind, data in map(self._pair, messages)
        )

    def _pair(self, message: object) -> tuple[str, object]:
        if isinstance(message, tuple) and len(message) == 2 and isinstance(message[0], str):
            return message
        return self.channel.type_of(message), message

    def _publishing(self) -> Publishing:
        return self.channel.publishing or environment_publisher()
