"""A server in memory with durable streams, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from takotwist import define_channel
from takotwist.app.channel import Channel
from takotwist.server.config import Config
from takotwist.server.config.listeners import Http
from takotwist.server.config.sections import Publish
from takotwist.server.config.streams import Streams
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.world import World

KEY = "a-publish-key-of-32-characters-or"
ALLOWED = {"Authorization": f"Bearer {KEY}"}
TEXT = {"Content-Type": "text/plain"}
PAGE = "https://app.example"


def streams_channel(asked: list[tuple[str, str]] | None = None) -> Channel[Any]:
    """Lets Ann do everything with her own streams, and Bob read them."""
    path = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    channel = define_channel("streams", params=path)

    @channel.verify(header="x-user")
    def verify(request: Any) -> bool:
        if asked is not None:
            asked.append((request.operation, request.params["path"]))
        who = request.header.value
        mine = bool(request.params["path"].startswith(f"{who}/"))
        return mine or (who == "bob" and request.operation == "read")

    return channel


class Here:
    """A server with streams."""

    def __init__(self, *channels: Channel[Any], world: World | None = None, **more: Any) -> None:
        self.world = world or World(*channels, config=self.config(**more))

    @staticmethod
    def config(**more: Any) -> Config:
        """:param more: of the section."""
        return Config(
            streams=Streams(path="/streams", **more),
            publish=Publish(keys=(KEY,)),
            http=Http(allowed_origins=(PAGE,)),
        )

    def ask(
        self,
        method: str,
        path: str = "ann/1",
        body: bytes = b"",
        headers: Mapping[str, str] = ALLOWED,
        **more: str,
    ) -> HttpPeer:
        """A request; `more` are further headers, with _ for -."""
        extra = {name.replace("_", "-"): text for name, text in more.items()}
        said = {**(TEXT if body or method == "PUT" else {}), **headers, **extra}
        return self.world.request(method, f"/streams/{path}", said, body)

    def events(self, peer: HttpPeer) -> list[tuple[str, Any]]:
        """Of an event stream; the data of control events is read."""
        read: list[tuple[str, Any]] = []
        for block in peer.body.decode().split("\n\n"):
            lines = [line.partition(":")[::2] for line in block.split("\n")]
            kind = "".join(text.strip() for name, text in lines if name == "event")
            data = "\n".join(text.removeprefix(" ") for name, text in lines if name == "data")
            if kind:
                read.append((kind, json.loads(data) if kind == "control" else data))
        return read
