"""The HTTP API, for the libraries of an app's own servers: ``/apps/ID/...``.

Rule: nothing of a request is looked at before its signature was found good, but for which app
it is for.  Every answer has a JSON body, because libraries read one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote

import attrs
import msgspec
from twisted.internet.defer import Deferred

from takotwist.core.log import Appended
from takotwist.errors import (
    BodyInvalid,
    CredentialsMissing,
    MessageTooLarge,
    MethodNotAllowed,
    NotFound,
    VerifyRejected,
)
from takotwist.facades.pusher.frames import check_event, shown, stored, stored_value
from takotwist.facades.pusher.hub import Hub
from takotwist.facades.pusher.names import Name
from takotwist.facades.pusher.signatures import Unsigned, check_request, raw_fields
from takotwist.flow.gather import gather
from takotwist.streams.http.interface import BodyRequest
from takotwist.transports.responses import Responses

_TERMINATE = "terminate_connections"

#: What may be asked about a channel.
USER_COUNT, SUBSCRIPTION_COUNT, CACHE = "user_count", "subscription_count", "cache"


@attrs.frozen(slots=True)
class _Event:
    """One event to be triggered."""

    names: tuple[Name, ...]
    event: str
    data: bytes
    socket_id: str | None
    info: frozenset[str]


@attrs.define(slots=True)
class PusherApi:
    """Answers requests to the API.

    :ivar by_id: the apps, and `by_key`.
    :ivar path: what stands before ours, such as ``/pusher``.
    :ivar wall: unix time in seconds.
    :ivar cost: counts events against the rate of an app: its name, and how many.
    """

    answers: Responses
    by_id: Mapping[str, Hub]
    by_key: Mapping[str, Hub]
    path: str
    wall: Callable[[], float]
    cost: Callable[[str, int], None]

    async def answer(self, request: BodyRequest) -> None:
        """Answer a request.

        :raises Refusal: and then nothing has been written.
        """
        path = request.path[len(self.path) :]
        parts = [unquote(one, errors="replace") for one in path.decode("latin-1").split("/")[1:]]
        query = request.uri.partition(b"?")[2]
        body = request.content.read() if request.method == b"POST" else b""
        if parts[0] == "users":
            # The Python library leaves the app out of this one.
            key = dict(raw_fields(query)).get(b"auth_key", b"").decode("latin-1")
            hub, rest = self.by_key.get(key), parts
        else:
            hub, rest = self.by_id.get(parts[1] if len(parts) > 1 else ""), parts[2:]
        if hub is None:
            raise NotFound("There is no app with this id.")
        self._check(hub, request, path, query, body)
        self._send(request, await self._do(hub, request, rest, query, body))

    def _check(
        self, hub: Hub, request: BodyRequest, path: bytes, query: bytes, body: bytes
    ) -> None:
        app = hub.app
        if dict(raw_fields(query)).get(b"auth_key", b"").decode("latin-1") != app.key:
            raise CredentialsMissing("auth_key is not the key of this app.")
        # Whoever puts something before our path signs with it or without.
        paths = {path, request.path}
        for last, one in enumerate(sorted(paths), 1):
            try:
                check_request(app.secret, request.method, one, query, body, self.wall())
                break
            except Unsigned as bad:
                if last == len(paths):
                    raise CredentialsMissing(str(bad)) from None
        if not app.enabled:
            raise VerifyRejected("The app is disabled.")

    async def _do(
        self, hub: Hub, request: BodyRequest, rest: list[str], query: bytes, body: bytes
    ) -> object:
        match rest:
            case ["events"]:
                _only(request, b"POST")
                return await self._events(hub, _read(body))
            case ["batch_events"]:
                _only(request, b"POST")
                return await self._batch(hub, _read(body))
            case ["channels"]:
                _only(request, b"GET")
                return self._channels(hub, _query(query))
            case ["channels", name]:
                _only(request, b"GET")
                return await self._channel(hub, Name.of(name), _query(query))
            case ["channels", name, "users"]:
                _only(request, b"GET")
                return self._users(hub, Name.of(name))
            case ["users", user_id, last] if last == _TERMINATE:
                _only(request, b"POST")
                hub.users.terminate(user_id)
                return {}
            case ["connections"]:
                _only(request, b"GET")
                return {"connections": len(hub.sockets)}
        raise NotFound

    def _send(self, request: BodyRequest, value: object) -> None:
        self.answers.json(request, msgspec.json.encode(value))

    # events

    async def _events(self, hub: Hub, said: Mapping[str, object]) -> object:
        one = self._event(hub, said)
        await self._trigger(hub, [one])
        if not one.info:
            return {}
        return {"channels": {name.text: self._facts(hub, name, one.info) for name in one.names}}

    async def _batch(self, hub: Hub, said: Mapping[str, object]) -> object:
        batch = said.get("batch")
        if not isinstance(batch, list) or not batch:
            raise BodyInvalid("batch must be a list of events.")
        if len(batch) > hub.settings.max_batch:
            raise BodyInvalid(f"A batch has {hub.settings.max_batch} events at most.")
        events = [self._event(hub, one) for one in batch]
        await self._trigger(hub, events)
        if not any(one.info for one in events):
            return {}
        return {"batch": [self._facts(hub, one.names[0], one.info) for one in events]}

    def _event(self, hub: Hub, said: object) -> _Event:
        if not isinstance(said, dict):
            raise BodyInvalid("An event must be an object.")
        named = said.get("channels", said.get("channel"))
        listed = named if isinstance(named, list) else [named]
        most = hub.settings.max_channels
        if not 1 <= len(listed) <= most:
            raise BodyInvalid(f"An event is for 1 to {most} channels.")
        names = tuple(dict.fromkeys(map(Name.of, listed)))
        event = check_event(said.get("name"))
        given = said.get("data")
        if given is None:
            raise BodyInvalid("data is missing.")
        if isinstance(given, str):
            size, data = len(given.encode()), stored(given)
        else:
            data = stored_value(msgspec.json.encode(given))
            size = len(data)
        if size > hub.settings.max_event_bytes:
            raise MessageTooLarge(
                f"data has {size} bytes; at most {hub.settings.max_event_bytes} are taken."
            )
        socket_id = said.get("socket_id")
        if socket_id is not None and not isinstance(socket_id, str):
            raise BodyInvalid("socket_id must be a string.")
        info = _info(said.get("info"))
        for name in names:
            _check_info(name, info)
        return _Event(names, event, data, socket_id, info)

    async def _trigger(self, hub: Hub, events: Iterable[_Event]) -> None:
        """Store all of them, or say which could not be."""
        found = [(await hub.find(name), name, one) for one in list(events) for name in one.names]
        for place, _, one in found:
            hub.check(place, one.event, one.data)
        self.cost(hub.app.name, len(found))
        storing: list[Deferred[Appended]] = []
        for place, _, one in found:
            storing.append(hub.trigger(place, one.event, one.data, one.socket_id))
        await gather(storing)

    # channels

    def _channels(self, hub: Hub, query: Mapping[str, str]) -> object:
        prefix, info = query.get("filter_by_prefix", ""), _info(query.get("info"))
        if USER_COUNT in info and not prefix.startswith("presence-"):
            raise BodyInvalid("user_count is for presence channels: filter_by_prefix=presence-")
        return {
            "channels": {
                name: _counts(hub, name, info)
                for name in sorted(hub.channels.followed())
                if name.startswith(prefix)
            }
        }

    async def _channel(self, hub: Hub, name: Name, query: Mapping[str, str]) -> object:
        info = _info(query.get("info"))
        _check_info(name, info)
        facts = {"occupied": hub.channels.followers(name.text) > 0, **self._facts(hub, name, info)}
        if CACHE in info and name.cache:
            place = await hub.find(name)
            last = await hub.last(place.asked.topic)
            if last is not None:
                facts["cache"] = {"data": shown(last.data), "event": last.type}
        return facts

    def _users(self, hub: Hub, name: Name) -> object:
        if not name.presence:
            raise BodyInvalid("Users are those of a presence channel.")
        return {"users": [{"id": one} for one in hub.channels.members(name.text)]}

    @staticmethod
    def _facts(hub: Hub, name: Name, info: frozenset[str]) -> dict[str, object]:
        return _counts(hub, name.text, info)


def _counts(hub: Hub, name: str, info: frozenset[str]) -> dict[str, object]:
    counts: dict[str, object] = {}
    if USER_COUNT in info:
        counts[USER_COUNT] = len(hub.channels.members(name))
    if SUBSCRIPTION_COUNT in info:
        counts[SUBSCRIPTION_COUNT] = hub.channels.followers(name)
    return counts


def _only(request: BodyRequest, method: bytes) -> None:
    if request.method != method:
        raise MethodNotAllowed(allow=(method.decode("ascii"),))


def _read(body: bytes) -> Mapping[str, object]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BodyInvalid(f"The body must be JSON: {bad}") from None
    if not isinstance(value, dict):
        raise BodyInvalid("The body must be an object.")
    return value


def _query(query: bytes) -> Mapping[str, str]:
    return {
        unquote(name.decode("latin-1")): unquote(value.decode("latin-1"))
        for name, value in raw_fields(query)
    }


def _info(text: object) -> frozenset[str]:
    if text is None or text == "":
        return frozenset()
    if not isinstance(text, str):
        raise BodyInvalid("info must be names with commas between them.")
    return frozenset(one.strip() for one in text.split(","))


def _check_info(name: Name, info: frozenset[str]) -> None:
    if USER_COUNT in info and not name.presence:
        raise BodyInvalid("user_count is for presence channels.")
