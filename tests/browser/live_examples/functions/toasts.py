"""Notifications that follow a page's visit, to all tabs of its user."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from takotwist import Grant, VerifyRequest
from takotwist.live import BroadcastChannel, context, function


async def signed_in(request: VerifyRequest[Any]) -> Grant | bool:
    return Grant(subject="ann") if request.cookie == "ann-session" else False


@function(name="onListenToasts", verify=signed_in, cookie="session")
async def on_listen_toasts() -> BroadcastChannel[str]:
    broadcast = BroadcastChannel[str](key=f"toasts:{context().subject}")

    async def greet() -> None:
        await deferLater(reactor, 1)
        broadcast.publish("hello")
        await deferLater(reactor, 1)
        broadcast.publish("world")

    broadcast.on_open(greet)
    return broadcast
