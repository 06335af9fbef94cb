"""``[pusher]``: apps of the Pusher protocol, and the rules that map names to channels.

Rules: values alone, so that a server without an app imports nothing of the facade; a secret is
in no error.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from takotwist.core.channel import ChannelDefinition, Defined
from takotwist.core.params import Params
from takotwist.server.config.kind import (
    Choice,
    Flag,
    Kind,
    Listed,
    Location,
    Number,
    Text,
    Unfit,
    Whole,
)
from takotwist.server.config.setting import Key, keys_of, setting
from takotwist.server.config.tables import read_table, read_tables
from takotwist.server.config.web_kind import TOKEN, HttpUrl, Origin

#: The channel whose topics are the names without a rule.
CHANNEL = "pusher"

_CHANNEL_NAME = Text(r"[A-Za-z0-9][A-Za-z0-9._~:@-]{0,127}", "a channel's name")


#: As Pusher's webhooks call them.
PUSHER_EVENTS = (
    "channel_occupied",
    "channel_vacated",
    "member_added",
    "member_removed",
    "client_event",
    "cache_miss",
    "subscription_count",
)


@attrs.frozen(kw_only=True)
class PusherAppKeys:
    """One app, as its libraries and clients know it."""

    name: str = ""
    id: str = setting(
        Text(r"[A-Za-z0-9_-]{1,64}", "1 to 64 of A-Z a-z 0-9 _ -"),
        "",
        "The app's id, in the paths of its HTTP API. Digits alone, because the Python library"
        " takes no other.",
        derived="none: it must be said",
    )
    key: str = setting(
        Text(r"[A-Za-z0-9_-]{1,128}", "1 to 128 of A-Z a-z 0-9 _ -"),
        "",
        "The app's key, which every page shows.",
        derived="none: it must be said",
    )
    secret: str | None = setting(
        TOKEN, None, "The app's secret. Better in secret_file.", secret=True
    )
    secret_file: Path | None = setting(Location(), None, "A file that holds only the secret.")
    enabled: bool = setting(Flag(), True, "false: everybody is told that the app is disabled.")
    client_events: bool = setting(
        Flag(), False, "Whether clients may say something to each other (client events)."
    )
    store_client_events: bool = setting(
        Flag(),
        False,
        "Whether client events are stored in the log and can be followed and resumed, where no"
        " rule of pusher.map says it. If not, they reach only who is connected.",
    )
    subscription_count: bool = setting(
        Flag(), False, "Whether clients are told how many follow a channel."
    )
    watchlists: bool = setting(
        Flag(),
        False,
        "Whether a user who signs in with a watchlist is told which of its users are online.",
    )
    max_connections: int = setting(
        Whole(0, 10_000_000),
        0,
        "The app's connections at the same time; 0 is no limit beside those of limits.",
        unit="connections",
    )
    tls_only: bool = setting(Flag(), False, "Whether who comes without TLS is turned away.")
    webhook_url: str | None = setting(
        HttpUrl(), None, "Where the app is told what happens in its channels, in Pusher's form."
    )
    webhook_events: tuple[str, ...] = setting(
        Listed(Choice(PUSHER_EVENTS)), (), "The events that it is told of.", derived="all"
    )
    webhook_private: bool = setting(
        Flag(), False, "Whether that may be at an address that is not public, such as 10.0.0.7."
    )


@attrs.frozen(kw_only=True)
class PusherMapKeys:
    """A rule that maps names of Pusher channels to a channel, in the order of no importance: the
    longest literal beginning wins."""

    pattern: str = setting(
        Text(r"[-a-zA-Z0-9_=@,.;{}]{1,200}", "a channel's name, with {param} where a param stands"),
        "",
        "Such as private-chat-{roomId}.",
        derived="none: it must be said",
    )
    channel: str = setting(
        _CHANNEL_NAME, "", "The channel, defined anywhere.", derived="none: it must be said"
    )
    trust_signature: bool = setting(
        Flag(),
        False,
        "Whether a signature of Pusher's lets into a channel that asks its app (verify). Without"
        " it such a channel is refused to Pusher's clients.",
    )
    store_client_events: bool = setting(
        Flag(),
        False,
        "Whether client events go the way of the channel's own frames: schema, handler, log.",
    )
    apps: tuple[str, ...] = setting(
        Listed(_CHANNEL_NAME), (), "The apps that it is for, by their names here.", derived="all"
    )


APP_KEYS: dict[str, Key] = {key.name: key for key in keys_of(PusherAppKeys, "pusher.apps.NAME")}
MAP_KEYS: dict[str, Key] = {key.name: key for key in keys_of(PusherMapKeys, "pusher.map")}


@attrs.frozen(slots=True)
class Apps(Kind):
    """The apps, one table each."""

    word = "table of tables"

    def read(self, value: object, folder: Path) -> tuple[PusherAppKeys, ...]:
        apps = read_tables(PusherAppKeys, APP_KEYS, value, folder, "pusher.apps")
        for app in apps:
            if not (app.id and app.key):
                raise Unfit(f"pusher.apps.{app.name} needs id and key")
            if (app.secret is None) == (app.secret_file is None):
                raise Unfit(f"pusher.apps.{app.name} needs secret_file or secret, and not both")
        for field in ("id", "key"):
            if len({getattr(app, field) for app in apps}) != len(apps):
                raise Unfit(f"has two apps with one {field}")
        return tuple(apps)


@attrs.frozen(slots=True)
class Rules(Kind):
    """The rules, one table each."""

    word = "list of tables"

    def read(self, value: object, folder: Path) -> tuple[PusherMapKeys, ...]:
        if not isinstance(value, list):
            raise Unfit("must be tables, each [[pusher.map]]")
        rules = []
        for number, table in enumerate(value, 1):
            rule = read_table(PusherMapKeys, MAP_KEYS, table, folder, f"table {number}")
            if not (rule.pattern and rule.channel):
                raise Unfit(f"table {number} needs pattern and channel")
            if rule.trust_signature and not rule.pattern.startswith(("private-", "presence-")):
                raise Unfit(
                    f"table {number} trusts a signature, and names that begin neither with"
                    " private- nor with presence- have none"
                )
            rules.append(rule)
        return tuple(rules)


@attrs.frozen(kw_only=True)
class Pusher:
    """The Pusher protocol, for clients and libraries that people have: pusher-js, Laravel Echo."""

    apps: tuple[PusherAppKeys, ...] = setting(
        Apps(),
        (),
        "The apps, a table each: [pusher.apps.NAME]. Without one nothing of Pusher's is served.",
        derived="none",
        secret=True,
    )
    map: tuple[PusherMapKeys, ...] = setting(
        Rules(),
        (),
        "Rules that map names to channels, a table each: [[pusher.map]]. A name without a rule is"
        " a topic of the channel pusher, such as pusher?app=main&name=news.",
        derived="none",
    )
    path: str = setting(
        Text(r"(/[A-Za-z0-9._~-]{1,64}){0,4}", "empty, or a path such as /pusher"),
        "",
        "What stands before /app/ and /apps/ (wsPath and httpPath of pusher-js).",
    )
    allowed_origins: tuple[str, ...] = setting(
        Listed(Origin(), least=1),
        ("*",),
        "Pages of which origins may connect. Every page, as with Pusher itself: a connection"
        " carries no cookie of its visitor, and what is private needs a signature.",
    )
    activity_timeout_seconds: float = setting(
        Number(5, 600),
        30.0,
        "After so much silence a client asks whether the server is there. Keep it below the idle"
        " timeout of a proxy in front.",
        unit="seconds",
    )
    max_event_bytes: int = setting(
        Whole(128, 2**20),
        10 * 2**10,
        "The largest data of an event, triggered or sent by a client.",
        unit="bytes",
    )
    max_channels_per_event: int = setting(
        Whole(1, 1_000), 100, "Channels that one request may trigger an event on.", unit="channels"
    )
    max_batch: int = setting(
        Whole(1, 1_000), 10, "Events of one batch of the HTTP API.", unit="events"
    )
    max_members: int = setting(
        Whole(1, 100_000),
        100,
        "Members of a presence channel; each that comes is told to all others.",
        unit="members",
    )
    max_user_info_bytes: int = setting(
        Whole(16, 64 * 2**10),
        1024,
        "The largest user_info of a member.",
        unit="bytes",
    )
    max_watchlist: int = setting(
        Whole(1, 10_000), 100, "Users of the watchlist of one who signs in.", unit="users"
    )
    client_event_rate: float = setting(
        Number(0, 10_000),
        10.0,
        "Client events of one connection, beside limits.publish_rate; 0 is no limit of its own.",
        unit="events a second",
    )

    @property
    def channels(self) -> tuple[Defined, ...]:
        """The channel of names without a rule."""
        if not self.apps:
            return ()
        words = {"type": "string"}
        definition = ChannelDefinition(
            name=CHANNEL,
            params=Params.of(
                {
                    "type": "object",
                    "properties": {"app": words, "name": words},
                    "required": ["app", "name"],
                }
            ),
            verified=True,
            said=frozenset(),
        )
        return (Defined(definition, "[pusher]", local=False),)
