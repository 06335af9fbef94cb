"""A channel with its params bound: what an app publishes to.

Rule: data is checked here, before it leaves the process, so that the error has
the traceback of the line that made the data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, overload

import attrs

from takotwist.app.presence import Member
from takotwist.app.published import Published, Publishing
from takotwist.app.publisher import environment_publisher
from takotwist.app.stream_machine import GATHER_SECONDS
from takotwist.app.stream_writer import BlockingMessageWriter, MessageWriter, Of, open_call
from takotwist.app.type_parameters import M, OfPayloads
from takotwist.core.channel import ChannelDefinition
from takotwist.core.json_values import JsonObject
from takotwist.core.topic import Draft, Topic


class BindableChannel(Protocol):
    """A `Channel`, as far as what is published to one topic of it needs it."""

    @property
    def name(self) -> str: ...
    @property
    def definition(self) -> ChannelDefinition: ...
    @property
    def publishing(self) -> Publishing | None: ...

    def type_of(self, message: object) -> str: ...
    def write_data(self, type: str, data: object, /) -> bytes: ...
    def read_member(self, data: bytes, /) -> Member[Any, Any]: ...


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

    channel: BindableChannel
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
    async def publish(
        self,
        message: M,
        /,
        *,
        idempotency_key: str | None = ...,
        key: str | None = ...,
        delete: bool = ...,
    ) -> Published: ...

    @overload
    async def publish(
        self,
        type: str,
        data: M,
        *,
        idempotency_key: str | None = ...,
        key: str | None = ...,
        delete: bool = ...,
    ) -> Published: ...

    async def publish(
        self,
        type: Any,
        data: Any = _NOTHING,
        *,
        idempotency_key: str | None = None,
        key: str | None = None,
        delete: bool = False,
    ) -> Published:
        """Store and deliver one message.

        :param type: a payload alone, an instance of the class that one message type declares;
            or the message type, with the payload as `data`.
        :param data: of the type declared for `type`, or what JSON would carry.
        :param idempotency_key: the same key on the same topic within the replay
            window stores nothing and gives the first answer again.
        :param key: in a channel with `Newest`, what it replaces the earlier message of.  Left
            out: the value of the field that the channel names, if it does.
        :param delete: there, end the key: the message is delivered, and nothing of the key is
            kept once the replay window has passed.
        :return: the message as stored.
        :raises BodyInvalid: names the path inside ``data``.
        :raises Refusal: any other refusal of the server.
        :raises Unreachable: the server could not be reached, after retries.
        """
        drafts = self._one(type, data, key, delete)
        return (await self._publish(drafts, idempotency_key))[0]

    async def publish_many(
        self, messages: Iterable[M | tuple[str, M]], *, idempotency_key: str | None = None
    ) -> list[Published]:
        """Store and deliver messages in one transaction, all or none.

        :param messages: payloads, or pairs of type and data, in order.
        :raises: as `publish`.
        """
        return await self._publish(self._drafts(messages), idempotency_key)

    @overload
    def publish_sync(
        self,
        message: M,
        /,
        *,
        idempotency_key: str | None = ...,
        key: str | None = ...,
        delete: bool = ...,
    ) -> Published: ...

    @overload
    def publish_sync(
        self,
        type: str,
        data: M,
        *,
        idempotency_key: str | None = ...,
        key: str | None = ...,
        delete: bool = ...,
    ) -> Published: ...

    def publish_sync(
        self,
        type: Any,
        data: Any = _NOTHING,
        *,
        idempotency_key: str | None = None,
        key: str | None = None,
        delete: bool = False,
    ) -> Published:
        """As `publish`, for plain functions: returns when the message is stored."""
        drafts = self._one(type, data, key, delete)
        return self._publish_sync(drafts, idempotency_key)[0]

    def publish_many_sync(
        self, messages: Iterable[M | tuple[str, M]], *, idempotency_key: str | None = None
    ) -> list[Published]:
        """As `publish_many`, for plain functions."""
        return self._publish_sync(self._drafts(messages), idempotency_key)

    def stream(
        self,
        type: str,
        *,
        of: Of = "text",
        id: str | None = None,
        meta: object = None,
        resume: bool = False,
        gather: float = GATHER_SECONDS,
    ) -> MessageWriter:
        """A message that is written bit by bit, for coroutines::

            async with chat(room_id="lobby").stream("answer") as out:
                await out.write(token)

        :param type: the message type, as of a publish.
        :param of: ``text``, or ``values``: anything that JSON can carry, one after the other.
        :param id: names it within the topic: a second writer with it is refused, or takes it
            over.  Left out: a name that nobody else has.
        :param meta: goes with it: what it is an answer to, who asked.
        :param resume: take it over where it is open; the writer before is locked out.
        :param gather: seconds that lie between two appends at least.
        :raises BodyInvalid: `meta` is no JSON.  What else is refused, by entering the block.
        """
        call = open_call(type, of, id, meta, resume)
        publishing = self._publishing()
        name, params = self.channel.name, self.params
        return MessageWriter(lambda: publishing.stream_line(name, params), call, gather)

    def stream_sync(
        self,
        type: str,
        *,
        of: Of = "text",
        id: str | None = None,
        meta: object = None,
        resume: bool = False,
        gather: float = GATHER_SECONDS,
    ) -> BlockingMessageWriter:
        """As `stream`, for plain functions: ``with ... as out: out.write(token)``."""
        call = open_call(type, of, id, meta, resume)
        publishing = self._publishing()
        name, params = self.channel.name, self.params
        return BlockingMessageWriter(
            lambda call: publishing.stream_now(name, params, call), call, gather
        )

    async def presence(self) -> list[Member[Any, Any]]:
        """The members at the topic, in order of their last changes.

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

    async def _publish(
        self, drafts: tuple[Draft, ...], idempotency_key: str | None
    ) -> list[Published]:
        return await self._publishing().publish_soon(
            self.channel.name, self.params, drafts, idempotency_key
        )

    def _publish_sync(
        self, drafts: tuple[Draft, ...], idempotency_key: str | None
    ) -> list[Published]:
        return self._publishing().publish_now(
            self.channel.name, self.params, drafts, idempotency_key
        )

    def _one(self, type: Any, data: Any, key: str | None, delete: bool) -> tuple[Draft, ...]:
        [draft] = self._drafts([type if data is _NOTHING else (type, data)])
        return (Draft(draft.type, draft.data, key, delete),)

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
