"""``[webhooks]``: endpoints that are told what happens, by the Standard Webhooks form."""

from __future__ import annotations

from pathlib import Path

import attrs

from takotwist.codecs.webhook import read_secret
from takotwist.server.config.kind import Choice, Flag, Kind, Listed, Location, Number, Unfit, Whole
from takotwist.server.config.setting import Key, keys_of, setting
from takotwist.server.config.tables import read_tables
from takotwist.server.config.web_kind import TOKEN, HttpUrl

MIB = 2**20

EVENTS = (
    "topic.occupied",
    "topic.vacated",
    "member.joined",
    "member.left",
    "connection.refused",
    "store.unavailable",
)


@attrs.frozen(kw_only=True)
class EndpointKeys:
    """One endpoint."""

    name: str = ""
    url: str = setting(
        HttpUrl(), "", "Where events are posted to.", derived="none: it must be said"
    )
    secret: str | None = setting(
        TOKEN,
        None,
        "What they are signed with: whsec_ and 24 to 64 bytes in base64. Better in secret_file.",
        secret=True,
    )
    secret_file: Path | None = setting(
        Location(),
        None,
        "A file with one secret a line; while one is exchanged for another it has both, and each"
        " signs.",
    )
    events: tuple[str, ...] = setting(
        Listed(Choice(EVENTS)), (), "The events that it is told of.", derived="all"
    )
    private: bool = setting(
        Flag(), False, "Whether it may be at an address that is not public, such as 10.0.0.7."
    )
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)


ENDPOINT_KEYS: dict[str, Key] = {
    key.name: key for key in keys_of(EndpointKeys, "webhooks.endpoints.NAME")
}


@attrs.frozen(slots=True)
class Endpoints(Kind):
    """The endpoints, one table each."""

    word = "table of tables"

    def read(self, value: object, folder: Path) -> tuple[EndpointKeys, ...]:
        read = read_tables(EndpointKeys, ENDPOINT_KEYS, value, folder, "webhooks.endpoints")
        endpoints = []
        for one in read:
            what = f"webhooks.endpoints.{one.name}"
            if not one.url or one.url.startswith("unix:"):
                raise Unfit(f"{what} needs url, http or https")
            if (one.secret is None) == (one.secret_file is None):
                raise Unfit(f"{what} needs secret_file or secret, and not both")
            if one.secret is not None:
                try:
                    read_secret(one.secret)
                except ValueError as bad:
                    raise Unfit(f"{what} has secret, which {bad}") from None
                one = attrs.evolve(one, secrets=(one.secret,))
            endpoints.append(one)
        return tuple(endpoints)


@attrs.frozen(kw_only=True)
class Webhooks:
    """Events for an app, posted to it: at least once, in order for a topic, signed."""

    endpoints: tuple[EndpointKeys, ...] = setting(
        Endpoints(),
        (),
        "The endpoints, a table each: [webhooks.endpoints.NAME].",
        derived="none",
        secret=True,
    )
    keep_seconds: float = setting(
        Number(60, 30 * 86_400),
        86_400.0,
        "How long an event is tried again before it is dropped.",
        unit="seconds",
    )
    max_events: int = setting(
        Whole(100, 10_000_000),
        100_000,
        "Events that wait for one endpoint; past it the oldest are dropped.",
        unit="events",
    )
    max_bytes: int = setting(
        Whole(64 * 1024, 2**40), 64 * MIB, "The same, counted in bytes.", unit="bytes"
    )
    timeout_seconds: float = setting(
        Number(1, 60), 15.0, "How long an endpoint may take to answer.", unit="seconds"
    )
