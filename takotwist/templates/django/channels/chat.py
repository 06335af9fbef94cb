"""A chat: each room is a topic of its own, for whoever is logged in.

The browser's Django session is the credential: no second login, no token.
"""

from importlib import import_module
from typing import Annotated

from django.conf import settings
from msgspec import Meta, Struct
from takotwist import Context, Grant, VerifyRequest, define_channel


class Room(Struct, rename="camel"):
    """What makes the topic: `room_id` here is `roomId` on the page."""

    room_id: Annotated[str, Meta(min_length=1, max_length=40)]


class Msg(Struct):
    text: Annotated[str, Meta(min_length=1, max_length=500)]
    author: str = ""


chat = define_channel("chat", params=Room, messages={"msg": Msg})


@chat.verify(cookie=settings.SESSION_COOKIE_NAME)
def verify(request: VerifyRequest[Room]) -> Grant | bool:
    """Who may come in: asked once for each connection. The subject is who it is from now on."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(request.cookie)
    name = session.get("name")
    return Grant(subject=name) if name else False


@chat.on("msg")
def said(data: Msg, context: Context[Room]) -> Msg:
    """What a page sends comes here before anybody sees it; what is returned is stored and sent."""
    return Msg(text=data.text, author=context.subject or "")
