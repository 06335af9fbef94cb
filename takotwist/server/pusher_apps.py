"""Apps of the Pusher protocol, of a configuration.  Imported where one is configured."""

from __future__ import annotations

from takotwist.errors import ConfigError
from takotwist.facades.pusher.apps import PusherApp
from takotwist.facades.pusher.names import Names, Rule
from takotwist.server.config.pusher import Pusher, PusherAppKeys


def pusher_apps(config: Pusher) -> list[PusherApp]:
    """The apps of a configuration.

    :raises ConfigError: a rule cannot be used; says which.
    """
    rules: list[tuple[Rule, tuple[str, ...]]] = []
    known = {app.name for app in config.apps}
    for number, one in enumerate(config.map, 1):
        strangers = set(one.apps) - known
        if strangers:
            raise ConfigError(
                f"table {number} names the app {min(strangers)!r}, which is not configured",
                key="pusher.map",
            )
        try:
            rule = Rule(one.pattern, one.channel, one.trust_signature, one.store_client_events)
        except ValueError as bad:
            raise ConfigError(
                f"table {number} has a pattern, which {bad}", key="pusher.map"
            ) from None
        rules.append((rule, one.apps or tuple(known)))
    return [_app(app, [rule for rule, apps in rules if app.name in apps]) for app in config.apps]


def _app(app: PusherAppKeys, rules: list[Rule]) -> PusherApp:
    try:
        names = Names.of(app.name, rules)
    except ValueError as bad:
        raise ConfigError(f"{bad} (app {app.name})", key="pusher.map") from None
    return PusherApp(
        name=app.name,
        id=app.id,
        key=app.key,
        secret=app.secret or "",
        names=names,
        enabled=app.enabled,
        client_events=app.client_events,
        store_client_events=app.store_client_events,
        subscription_count=app.subscription_count,
        watchlists=app.watchlists,
        max_connections=app.max_connections,
        tls_only=app.tls_only,
    )
