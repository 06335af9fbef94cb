"""The whole configuration as one value, and the list of its keys.

Rule: a `Config` is complete and checked; nothing more is asked of the file, the environment or
the flags.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from takotwist.core.channel import Defined
from takotwist.server.config.app import App
from takotwist.server.config.dev import Dev
from takotwist.server.config.kind import Location
from takotwist.server.config.lifecycle import LifecycleDefaults
from takotwist.server.config.limits import Limits, Live
from takotwist.server.config.listeners import Http, Http3, Private, Tls
from takotwist.server.config.pusher import Pusher
from takotwist.server.config.sections import Log, Publish, Replay, Server
from takotwist.server.config.setting import Key, keys_of, setting
from takotwist.server.config.streams import Streams
from takotwist.server.config.tokens import Tokens
from takotwist.server.config.webhooks import Webhooks


@attrs.frozen(kw_only=True)
class Config:
    """A complete configuration.

    :ivar channels: the channels that the file defines.
    :ivar file: the file that was read, or `None`.
    :ivar folder: the base of relative paths of the file, and of defaults.
    :ivar sources: dotted key -> the source of its value, for those that were given.
    :ivar warnings: a sentence for each value that works and is probably not meant.
    """

    state_dir: Path = setting(
        Location(),
        Path("state"),
        "The folder of the database, the development CA and the private socket.",
        derived='systemd\'s STATE_DIRECTORY where it is set, else "state"',
    )
    app: App = attrs.field(factory=App)
    tokens: Tokens = attrs.field(factory=Tokens)
    server: Server = attrs.field(factory=Server)
    http: Http = attrs.field(factory=Http)
    tls: Tls = attrs.field(factory=Tls)
    http3: Http3 = attrs.field(factory=Http3)
    private: Private = attrs.field(factory=Private)
    publish: Publish = attrs.field(factory=Publish)
    replay: Replay = attrs.field(factory=Replay)
    lifecycle: LifecycleDefaults = attrs.field(factory=LifecycleDefaults)
    limits: Limits = attrs.field(factory=Limits)
    live: Live = attrs.field(factory=Live)
    pusher: Pusher = attrs.field(factory=Pusher)
    webhooks: Webhooks = attrs.field(factory=Webhooks)
    streams: Streams = attrs.field(factory=Streams)
    log: Log = attrs.field(factory=Log)
    dev: Dev = attrs.field(factory=Dev)
    channels: tuple[Defined, ...] = ()
    file: Path | None = None
    folder: Path = Path()
    sources: Mapping[str, str] = attrs.field(factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def defined(self) -> tuple[Defined, ...]:
        """The channels of the file, and those that come with what it configures."""
        default = self.lifecycle.lifecycle()
        return (
            *self.channels,
            *(
                attrs.evolve(one, definition=one.definition.with_defaults(default))
                for one in self.pusher.channels
            ),
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """All values that are in no log, whoever writes a line."""
        found = (
            *self.publish.keys,
            self.app.token,
            *self.tokens.secrets,
            *(one.secret for one in self.pusher.apps),
            *(secret for one in self.webhooks.endpoints for secret in one.secrets),
        )
        return tuple(filter(None, found))

    def source(self, *keys: str) -> str | None:
        """The source of the first of `keys` that was given a value."""
        return next((self.sources[key] for key in keys if key in self.sources), None)

    def value(self, key: Key) -> Any:
        """The value of `key`."""
        return getattr(getattr(self, key.section) if key.section else self, key.name)


#: section name -> its class, in the order of the reference.
SECTIONS: Mapping[str, type[attrs.AttrsInstance]] = {
    "app": App,
    "tokens": Tokens,
    "server": Server,
    "http": Http,
    "tls": Tls,
    "http3": Http3,
    "private": Private,
    "publish": Publish,
    "replay": Replay,
    "lifecycle": LifecycleDefaults,
    "limits": Limits,
    "live": Live,
    "pusher": Pusher,
    "webhooks": Webhooks,
    "streams": Streams,
    "log": Log,
    "dev": Dev,
}

#: dotted key -> its declaration, in the same order; channels are not among them.
KEYS: Mapping[str, Key] = {
    key.dotted: key
    for name, section in [("", Config), *SECTIONS.items()]
    for key in keys_of(section, name)
}


def needs_restart(running: Config, wanted: Config) -> Iterator[str]:
    """The dotted keys that differ and that SIGHUP does not change."""
    for dotted, key in KEYS.items():
        if not key.setting.live and running.value(key) != wanted.value(key):
            yield dotted
