"""A chat: everybody in the room hears everybody, oneself included."""

from msgspec import Struct

from takotwist.live import BroadcastChannel, function


class ChatMessage(Struct):
    user: str
    text: str


@function
async def on_join_chat(room: str, username: str) -> BroadcastChannel[ChatMessage]:
    # Rooms here are open to all.  Where they are not, check the caller before this line:
    # whoever has the channel is in the room.
    chat = BroadcastChannel[ChatMessage](key=f"chat:{room}")
    chat.on_open(lambda: chat.publish(ChatMessage("system", f"{username} joined")))
    chat.on_close(lambda: chat.publish(ChatMessage("system", f"{username} left")))
    return chat
