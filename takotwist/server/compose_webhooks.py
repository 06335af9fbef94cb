"""The parts list of webhooks.  Imported where an endpoint is configured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any
from urllib.parse import unquote_plus

import attrs
import msgspec
from twisted.internet.defer import Deferred, ensureDeferred

from takotwist.codecs.webhook import Happening, of_pusher, read_secret, standard
from takotwist.core.channel import Lifecycle
from takotwist.core.deadlines import Deadline, Deadlines
from takotwist.core.metrics import Metrics
from takotwist.core.topic import INTERNAL
from takotwist.flow.gather import gather
from takotwist.flow.lease import Lease
from takotwist.flow.occupancy import Occupancy, Tell
from takotwist.flow.publish import PublisherService
from takotwist.flow.shared_keys import SharedKeys
from takotwist.flow.webhooks import Courier, Endpoint
from takotwist.ports import IWebhookSender
from takotwist.server.compose_sentences import Sentences
from takotwist.server.config.config import Config
from takotwist.server.config.pusher import PusherAppKeys
from takotwist.server.config.webhooks import EndpointKeys

#: Seconds between two looks at what is occupied, and at the store.
LOOK_SECONDS = 1.0

#: Of the server's time no more than one part in so many is spent on that.
LOOK_SHARE = 50

#: Seconds whose refusals are one event.
REFUSED_SECONDS = 10.0

TOPIC_EVENTS = ("topic.vacated", "topic.occupied")

#: Order among events that are about no topic.
SERVER = "~server"


@attrs.define(slots=True, eq=False)
class AppEvents:
    """Events of an app of Pusher's (`takotwist.facades.pusher.hub.Happenings`)."""

    courier: Courier

    def happened(self, kind: str, name: str, **more: str) -> None:
        """See `Happenings`."""
        said: dict[str, object] = {"channel": name, **more}
        if "subscription_count" in more:
            said["subscription_count"] = int(more["subscription_count"])
        self.courier.put(kind, msgspec.json.encode(said), name)

    def happened_once(self, key: str, kind: str, name: str, **more: str) -> Deferred[None]:
        """The same, however often it is repeated; fires when it is stored.

        :param key: is of this event alone.
        """
        data = msgspec.json.encode({"channel": name, **more})
        return ensureDeferred(self.courier.put_once(kind, data, name, key))


@attrs.define(slots=True, eq=False)
class Webhooks:
    """All endpoints, and what they are told of.

    :ivar native: couriers of endpoints that are told of the whole server.
    :ivar of_apps: by the names of apps of Pusher's.
    :ivar node: the name of this node, where there are several.
    """

    native: tuple[Courier, ...]
    of_apps: Mapping[str, Courier]
    sender: IWebhookSender
    publishing: PublisherService
    metrics: Metrics
    deadlines: Deadlines
    node: str
    lease: Lease
    topics: SharedKeys
    _watched: list[Occupancy] = attrs.field(factory=list, init=False)
    _next: Deadline | None = attrs.field(default=None, init=False)
    _refused: Counter[str] = attrs.field(factory=Counter, init=False)
    _refused_at: float = attrs.field(default=0.0, init=False)
    _failing_since: float | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self._tells_topics:
            self._watch("topics", self.topics.keys, self._topic)

    @property
    def _tells_topics(self) -> bool:
        return any(one.endpoint.wants(kind) for one in self.native for kind in TOPIC_EVENTS)

    @property
    def couriers(self) -> tuple[Courier, ...]:
        """All of them."""
        return (*self.native, *self.of_apps.values())

    def app_events(self, app: str) -> AppEvents | None:
        """The receiver of events of an app of Pusher's."""
        courier = self.of_apps.get(app)
        return None if courier is None else AppEvents(courier)

    def watch_app(
        self,
        app: str,
        channels: Callable[[], Iterable[str]],
        members: Callable[[], Iterable[tuple[str, str]]],
    ) -> None:
        """Tell an app what is occupied, and who comes and goes.

        :param members: pairs of channel and user.
        """
        courier = self.of_apps.get(app)
        if courier is None:
            return
        events = AppEvents(courier)

        def channel(name: str, occupied: bool, key: str) -> Deferred[Any]:
            kind = "channel_occupied" if occupied else "channel_vacated"
            return events.happened_once(key, kind, name)

        def member(pair: str, is_there: bool, key: str) -> Deferred[Any]:
            name, _, user_id = pair.partition("\n")
            kind = "member_added" if is_there else "member_removed"
            return events.happened_once(key, kind, name, user_id=user_id)

        self._watch(f"channels {app}", lambda: frozenset(channels()), channel)
        self._watch(
            f"members {app}",
            lambda: frozenset(f"{name}\n{user_id}" for name, user_id in members()),
            member,
        )

    def start(self) -> None:
        """Begin."""
        if self._tells_topics:
            self.topics.start()
        for courier in self.couriers:
            courier.start()
        self._refused = Counter(self.metrics.refusals)
        self._refused_at = self.publishing.seconds()
        self._look()

    def stop(self) -> None:
        """End: what was not taken is in the log."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self.topics.stop()
        for courier in self.couriers:
            courier.stop()

    def _watch(self, name: str, source: Callable[[], Collection[str]], tell: Tell) -> None:
        # All nodes know of all, so one of them is enough: the one that delivers.
        lease = self.lease
        self._watched.append(Occupancy(name, source, tell, self.publishing, lambda: lease.held))

    def _look(self) -> None:
        now = self.publishing.seconds()
        try:
            self._look_at_all(now)
        finally:
            # Of a very large server what is looked at is looked at less often.
            pause = max(LOOK_SECONDS, LOOK_SHARE * (self.publishing.seconds() - now))
            self._next = self.deadlines.at(now + pause, self._look)

    def _look_at_all(self, now: float) -> None:
        self._look_at_store()
        if self._tells_topics:
            self.topics.look()
        for one in self._watched:
            one.look()
        if now >= self._refused_at + REFUSED_SECONDS:
            self._look_at_refusals(now)

    def _look_at_store(self) -> None:
        wall = self.publishing.wall()
        if not self.publishing.storing:
            if self._failing_since is None:
                self._failing_since = wall
                self._tell("store.unavailable", {"since": wall}, SERVER)
        else:
            self._failing_since = None

    def _look_at_refusals(self, now: float) -> None:
        self._refused_at = now
        since, self._refused = self._refused, Counter(self.metrics.refusals)
        fresh = {code: n - since[code] for code, n in self._refused.items() if n > since[code]}
        if fresh:
            self._tell("connection.refused", {"refusals": fresh}, SERVER)

    def _topic(self, topic: str, occupied: bool, key: str) -> Deferred[Any]:
        channel = unquote_plus(topic.partition("?")[0])
        data = msgspec.json.encode({"topic": topic, "channel": channel})
        kind = TOPIC_EVENTS[occupied]
        return gather(
            ensureDeferred(courier.put_once(kind, data, topic, key)) for courier in self.native
        )

    def _tell(
        self, kind: str, said: Mapping[str, object], order: str, *, again: bool = True
    ) -> None:
        data = msgspec.json.encode({**said, "node": self.node} if self.node else said)
        for courier in self.native:
            courier.put(kind, data, order, again=again)


def compose_webhooks(
    config: Config,
    sentences: Sentences,
    random: Callable[[], float],
    sender: IWebhookSender,
    lease: Lease,
    node: str,
    process: str,
) -> Webhooks:
    """Webhooks of a configuration.

    :param lease: of whoever tells.
    :param node: the name of this node among those that share the log; empty where there is one.
    :param process: a name of this process that no other has.
    """
    keys, publishing, deadlines = config.webhooks, sentences.publishing, sentences.deadlines
    lifecycle = Lifecycle(
        replay_window_ms=round(keys.keep_seconds * 1000),
        replay_max_messages=keys.max_events,
        replay_max_bytes=keys.max_bytes,
    )

    def courier(endpoint: Endpoint) -> Courier:
        return Courier(endpoint, publishing, deadlines, random, lease)

    wall = publishing.wall
    native = tuple(courier(_native(one, lifecycle, sender, wall)) for one in keys.endpoints)
    of_apps = {
        app.name: courier(_of_app(app, lifecycle, sender))
        for app in config.pusher.apps
        if app.webhook_url
    }

    def topics() -> frozenset[str]:
        keys = (audience.topic.key for audience in sentences.fanout.audiences())
        # Those of the server's own, and rosters, begin with what no channel's name does.
        return frozenset(key for key in keys if not key.startswith(INTERNAL))

    shared = SharedKeys.of("topics", topics, process, publishing, sentences.attacher)
    metrics = sentences.metrics
    return Webhooks(native, of_apps, sender, publishing, metrics, deadlines, node, lease, shared)


def _native(
    one: EndpointKeys, lifecycle: Lifecycle, sender: IWebhookSender, wall: Callable[[], float]
) -> Endpoint:
    secrets = tuple(map(read_secret, one.secrets))

    def deliver(happening: Happening) -> Deferred[tuple[int, float]]:
        body, headers = standard(secrets, happening, wall())
        return sender.post(one.url, headers, body, one.private)

    return Endpoint(
        name=one.name, deliver=deliver, events=frozenset(one.events), lifecycle=lifecycle
    )


def _of_app(app: PusherAppKeys, lifecycle: Lifecycle, sender: IWebhookSender) -> Endpoint:
    def deliver(happening: Happening) -> Deferred[tuple[int, float]]:
        body, headers = of_pusher(app.key, app.secret or "", happening)
        return sender.post(app.webhook_url or "", headers, body, app.webhook_private)

    return Endpoint(
        name=f"pusher {app.name}",
        deliver=deliver,
        events=frozenset(app.webhook_events),
        lifecycle=lifecycle,
    )
