"""Presence, as the app's code in this process and other nodes reach it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from twisted.internet.defer import ensureDeferred

from takotwist.adapters.authorize_local import Rosters
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.presence import PresenceService
from takotwist.flow.presence_kicks import PresenceKicks
from takotwist.flow.presence_list import PresenceLists
from takotwist.flow.sessions import Sessions
from takotwist.live.peers import Say
from takotwist.server.compose_sentences import Sentences


def kicks_of(
    sentences: Sentences, presence: PresenceService, sessions: Sessions, process: str
) -> PresenceKicks:
    """Members are taken out by it; see `PresenceKicks`."""
    return PresenceKicks(
        presence,
        sessions,
        sentences.authorizing,
        sentences.attacher,
        sentences.publishing,
        process,
    )


def rosters(authorizing: AuthorizerService, lists: PresenceLists, kicks: PresenceKicks) -> Rosters:
    """Member lists, for the app's code in this process."""

    async def members(channel: str, params: Mapping[str, object]) -> Sequence[bytes]:
        asked = authorizing.bind(await authorizing.find(channel), params)
        asked.of_roster()
        return await lists.everybody(asked.topic)

    async def kick(channel: str, params: Mapping[str, object], subject: str) -> int:
        asked = authorizing.bind(await authorizing.find(channel), params)
        asked.of_roster()
        return await kicks.kick(asked.topic, subject)

    return Rosters(
        lambda channel, params: ensureDeferred(members(channel, params)),
        lambda channel, params, subject: ensureDeferred(kick(channel, params, subject)),
    )


def saying(
    authorizing: AuthorizerService, presence: PresenceService
) -> Callable[[Say], Awaitable[None]]:
    """Take the state of a member that comes by another node, which has asked the app for its
    subject."""

    async def say(said: Say) -> None:
        asked = authorizing.bind(await authorizing.find(said.channel), said.params)
        asked.of_roster()
        presence.update_as(asked, said.connection, said.subject, said.state)

    return say
