"""Notifications for one user, on all tabs of all of their devices."""

from typing import Any

from takotwist import Grant, VerifyRequest
from takotwist.live import Broadcast, BroadcastChannel, context, function

#: Sessions of an application that has users; yours asks its database.
USERS = {"ann-session": "ann", "bob-session": "bob"}


async def signed_in(request: VerifyRequest[Any]) -> Grant | bool:
    user = USERS.get(request.cookie or "")
    return Grant(subject=user) if user else False


@function(verify=signed_in, cookie="session")
async def on_listen_notifications() -> BroadcastChannel[str]:
    # The key comes from who is signed in, never from what the page says.
    return BroadcastChannel[str](key=f"notifications:{context().subject}")


def notify(user: str, text: str) -> None:
    """Call it from wherever something happens."""
    Broadcast.publish(f"notifications:{user}", text)
