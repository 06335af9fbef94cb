"""Publishes of the app's code in this process: the second sentence, without HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from takotwist.adapters.authorize_local import Store
from takotwist.core.topic import Draft, Message
from takotwist.flow.authorize import Authorizing
from takotwist.flow.publish import Publishing, validate


def storing(authorizing: Authorizing, publishing: Publishing) -> Store:
    """What `LocalPublishing` stores with."""

    async def stored(
        channel: str, params: Mapping[str, Any], drafts: Sequence[Draft], key: str | None
    ) -> Sequence[Message]:
        definition = await authorizing.find(channel)
        asked = authorizing.bind(definition, params)
        validate(definition, drafts)
        lifecycle = authorizing.lifecycle(definition)
        return (await publishing.publish(asked.topic, drafts, lifecycle, key)).messages

    def store(
        channel: str, params: Mapping[str, Any], drafts: Sequence[Draft], key: str | None
    ) -> Deferred[Sequence[Message]]:
        return ensureDeferred(stored(channel, params, drafts, key))

    return store
