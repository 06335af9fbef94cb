"""A server in memory with an app of Pusher's, and what its two sides sign."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from hashlib import md5, sha256
from typing import Any

import attrs

from takotwist.app.channel import Channel
from takotwist.server.config import Config
from takotwist.server.config.pusher import Pusher, PusherAppKeys, PusherMapKeys
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.memory_socket import MemorySocket
from takotwist.testing.world import World

SUCCEEDED = "pusher_internal:subscription_succeeded"

ID, KEY, SECRET = "7", "public-key", "not-for-anybody"

APP = PusherAppKeys(name="main", id=ID, key=KEY, secret=SECRET, client_events=True)


def signed(text: str, secret: str = SECRET) -> str:
    """The signature of a text, made without the program."""
    return hmac.new(secret.encode(), text.encode(), sha256).hexdigest()


def frame_data(frame: Mapping[str, Any]) -> Any:
    """The data of a frame, which is a string of JSON within JSON."""
    return json.loads(frame["data"])


@attrs.define
class Client:
    """One client of Pusher's."""

    socket: MemorySocket

    @property
    def socket_id(self) -> str:
        """Of the connection."""
        return str(frame_data(self.socket.frames[0])["socket_id"])

    @property
    def events(self) -> list[Any]:
        """All frames but the first."""
        return self.socket.frames[1:]

    def say(self, event: str, data: object, **more: object) -> None:
        """Send a frame."""
        self.socket.say({"event": event, "data": data, **more})

    def subscribe(self, name: str, channel_data: object = None, **more: object) -> None:
        """Follow a channel, signed where its name needs it."""
        data: dict[str, object] = {"channel": name, **more}
        if name.startswith(("private-", "presence-")) and "auth" not in data:
            text = f"{self.socket_id}:{name}"
            if channel_data is not None:
                data["channel_data"] = json.dumps(channel_data)
                text += f":{data['channel_data']}"
            data["auth"] = f"{KEY}:{signed(text)}"
        self.say("pusher:subscribe", data)

    def sign_in(self, user: Mapping[str, object]) -> None:
        """Say who it is."""
        shown = json.dumps(user)
        auth = f"{KEY}:{signed(f'{self.socket_id}::user::{shown}')}"
        self.say("pusher:signin", {"auth": auth, "user_data": shown})


@attrs.define
class Here:
    """A server with one app."""

    world: World

    @classmethod
    def of(
        cls,
        *channels: Channel[Any],
        rules: tuple[PusherMapKeys, ...] = (),
        config: Config | None = None,
        pusher: Mapping[str, Any] | None = None,
        world: Mapping[str, Any] | None = None,
        **app: Any,
    ) -> Here:
        """:param app: what differs in the app; `pusher`: in what holds for all; `world`: beside."""
        keys = Pusher(apps=(attrs.evolve(APP, **app),), map=rules, **(pusher or {}))
        config = attrs.evolve(config or Config(), pusher=keys)
        return cls(World(*channels, config=config, **(world or {})))

    def connect(self, query: str = "protocol=7&client=js&version=8.6.0", **more: Any) -> Client:
        """Connect as ``pusher-js`` does."""
        return Client(self.world.connect(f"/app/{KEY}?{query}", **more))

    def api(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        **wrong: str,
    ) -> HttpPeer:
        """A signed request to the HTTP API.

        :param wrong: fields of the query that are not what they should be.
        """
        content = b"" if body is None else json.dumps(body).encode()
        fields = {
            "auth_key": KEY,
            "auth_timestamp": str(int(self.world.clock.seconds())),
            "auth_version": "1.0",
            "body_md5": md5(content, usedforsecurity=False).hexdigest(),
            **(query or {}),
            **{name: text for name, text in wrong.items() if name != "auth_signature"},
        }
        plain = "&".join(f"{name}={fields[name]}" for name in sorted(fields))
        signature = wrong.get("auth_signature") or signed(f"{method}\n{path}\n{plain}")
        headers = {"Content-Type": "application/json"}
        return self.world.request(
            method, f"{path}?{plain}&auth_signature={signature}", headers, content
        )

    def trigger(self, channel: str, event: str, data: object, **more: object) -> HttpPeer:
        """Trigger an event as a library does."""
        text = data if isinstance(data, str) else json.dumps(data)
        body = {"name": event, "channels": [channel], "data": text, **more}
        return self.api("POST", f"/apps/{ID}/events", body)
