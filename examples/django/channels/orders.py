"""Changes of an order, for the customer whose it is.

The browser's Django session is the credential: no second login, no token.
"""

from __future__ import annotations

from importlib import import_module

from django.conf import settings
from msgspec import Struct

from takotwist import Grant, VerifyRequest, define_channel


class Order(Struct):
    number: int


class State(Struct):
    state: str


#: Whose orders these are.  A real app asks its models.
OWNERS = {1: "alice", 2: "bob"}

orders = define_channel("orders", params=Order, messages={"state": State})


@orders.verify(cookie=settings.SESSION_COOKIE_NAME)
def verify(request: VerifyRequest[Order]) -> Grant | bool:
    sessions = import_module(settings.SESSION_ENGINE)
    user = sessions.SessionStore(request.cookie).get("user")
    if user is None or OWNERS.get(request.params.number) != user:
        return False
    return Grant(subject=user)
