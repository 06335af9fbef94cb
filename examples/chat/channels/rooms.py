"""The one channel of this chat: a topic for each room."""

from typing import Literal

from chat.messages import messages
from chat.people import hue_of
from chat.sessions import sessions
from msgspec import Struct

from takotwist import Grant, Presence, Reject, define_channel


class Room(Struct, rename="camel"):
    room_id: Literal["lobby", "random"]


class Said(Struct):
    """Message of a client and, with the rest filled in, the one that everybody gets."""

    text: str
    id: str = ""
    author: str = ""
    hue: int = 0
    at: float = 0.0


class Person(Struct):
    """Person in a room, as the app describes them."""

    name: str
    hue: int


class Doing(Struct):
    """State of a person: above 0 while they type."""

    typing: int = 0


people = Presence(info=Person, state=Doing)
rooms = define_channel("rooms", params=Room, messages={"said": Said}, presence=people)


@rooms.verify(cookie="chat_session")
def verify(request):
    name = sessions.name_in(request.cookie)
    if not name:
        return False
    return Grant(subject=name, info=Person(name, hue_of(name)))


@rooms.on("said")
def said(data: Said, context) -> Said:
    text = data.text.strip()
    if not 1 <= len(text) <= 2000:
        raise Reject("A message has 1 to 2000 characters.")
    return messages.add(context.params.room_id, context.subject, text, Said)
