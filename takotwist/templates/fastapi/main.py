"""The app: it says who may come in, publishes, and has the pages.

In production a proxy sends /_tako/ and /channels/ to takotwist and the rest here; `tako dev` does
the same.
"""

from pathlib import Path

from channels.chat import Msg, chat
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.staticfiles import StaticFiles
from people import COOKIE, cookie_for, is_name, name_in
from takotwist.app.asgi import InternalApp

HERE = Path(__file__).parent

app = FastAPI()
app.add_middleware(InternalApp, channels=HERE / "channels")


@app.post("/login")
async def login(request: Request, response: Response):
    # A form of another site cannot send this content type, so it cannot log anybody in.
    if request.headers.get("content-type") != "application/json":
        raise HTTPException(415)
    try:
        name = (await request.json())["name"]
    except (ValueError, KeyError, TypeError):
        name = None
    if not is_name(name):
        raise HTTPException(400)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, cookie_for(name), httponly=True, samesite="lax", secure=secure)
    return {"name": name}


@app.get("/me")
async def me(request: Request, response: Response):
    response.headers["cache-control"] = "no-store"
    return {"name": name_in(request.cookies.get(COOKIE))}


@app.post("/announce/{room_id}")
async def announce(room_id: str):
    """Publish from the app: `curl -X POST http://127.0.0.1:3000/announce/lobby`."""
    message = await chat(room_id=room_id).publish("msg", Msg(text="Hello!", author="the app"))
    return {"id": message.id}


app.mount("/", StaticFiles(directory=HERE / "pages", html=True))
