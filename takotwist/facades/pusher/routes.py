"""The paths of the Pusher protocol: ``/app/KEY`` for clients, ``/apps`` and ``/users`` for apps."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

import attrs

from takotwist.errors import UpgradeRequired
from takotwist.facades.pusher.api import PusherApi
from takotwist.facades.pusher.hub import Hub
from takotwist.facades.pusher.socket import PusherSockets
from takotwist.streams.http.interface import BodyRequest
from takotwist.streams.websocket.handshake import is_upgrade


@attrs.define(slots=True)
class PusherRoutes:
    """See `takotwist.transports.site.Facade`.

    :ivar path: what stands before the paths.
    :ivar hubs: the apps.
    """

    sockets: PusherSockets
    api: PusherApi
    path: bytes
    hubs: Sequence[Hub] = ()

    def start(self) -> None:
        """Begin to hear of the other nodes."""
        for one in self.hubs:
            one.start()

    def stop(self) -> None:
        """Tell them nothing more."""
        for one in self.hubs:
            one.stop()

    def serves(self, path: bytes) -> bool:
        """Tell whether a path is one of these."""
        if not path.startswith(self.path):
            return False
        rest = path[len(self.path) :]
        if rest.startswith((b"/app/", b"/apps/")):
            return True
        return rest.startswith(b"/users/") and rest.endswith(b"/terminate_connections")

    async def answer(self, request: BodyRequest) -> None:
        """Answer a request.

        :raises Refusal: and then nothing has been written.
        """
        rest = request.path[len(self.path) :]
        if not rest.startswith(b"/app/"):
            await self.api.answer(request)
        elif not is_upgrade(request.requestHeaders):
            raise UpgradeRequired
        else:
            key = unquote(rest[len(b"/app/") :].decode("latin-1"), errors="replace")
            await self.sockets.connect(request, key)
