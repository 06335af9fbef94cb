"""Publishing by the app's code in this process, without HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred, ensureDeferred

from takotwist.adapters.authorize_local import Store
from takotwist.core.topic import Draft, Message
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.publish import PublisherService, validate


def storing(authorizing: AuthorizerService, publishing: PublisherService) -> Store:
    """Publisher for the app's code in this process: the second sentence, without HTTP."""

    async def stored(
        channel: str, params: Mapping[str, object], drafts: Sequence[Draft], key: str | None
    ) -> Sequence[Message]:
        definition = await authorizing.find(channel)
        asked = authorizing.bind(definition, params)
        validate(definition, drafts)
        lifecycle = authorizing.lifecycle(definition)
        stored = publishing.publish(asked.topic, drafts, lifecycle, key, newest=definition.newest)
        return (await stored).messages

    def store(
        channel: str, params: Mapping[str, object], drafts: Sequence[Draft], key: str | None
    ) -> Deferred[Sequence[Message]]:
        return ensureDeferred(stored(channel, params, drafts, key))

    return store
