"""The one channel of this chat: a topic for each room."""

from typing import Literal

from chat.messages import messages
from chat.sessions import sessions
from msgspec import Struct

from takotwist import Grant, Reject, define_channel


class Room(Struct, rename="camel"):
    room_id: Literal["lobby", "random"]


class Said(Struct):
    """What a client sends, and, with the rest filled in, what everybody gets."""

    text: str
    id: str = ""
    author: str = ""
    at: float = 0.0


class Typing(Struct):
    author: str = ""


rooms = define_channel("rooms", params=Room, messages={"said": Said, "typing": Typing})


@rooms.verify(cookie="chat_session")
def verify(request):
    name = sessions.name_in(request.cookie)
    return Grant(subject=name) if name else False


@rooms.on("said")
def said(data: Said, context) -> Said:
    text = data.text.strip()
    if not 1 <= len(text) <= 2000:
        raise Reject("A message has 1 to 2000 characters.")
    return messages.add(context.params.room_id, context.subject, text, Said)


@rooms.on("typing")
def typing(data: Typing, context) -> Typing:
    return Typing(author=context.subject)
