"""A FastAPI app whose rooms are live: it decides who may listen, and publishes what was posted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from accounts import user_of
from channels.chat import Msg, chat
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel

from takotwist.app.asgi import InternalApp

app = FastAPI()
app.add_middleware(InternalApp, channels=Path(__file__).parent / "channels")


class Posted(BaseModel):
    text: str


@app.post("/rooms/{room_id}/messages")
async def post(
    room_id: str, posted: Posted, authorization: Annotated[str, Header()] = ""
) -> dict[str, str]:
    """Publish to everybody in a room, wherever they are connected."""
    author = user_of(authorization.removeprefix("Bearer "))
    if author is None:
        raise HTTPException(401)
    message = await chat(room_id=room_id).publish("msg", Msg(author=author, text=posted.text))
    return {"id": message.id}
