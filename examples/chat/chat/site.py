"""The chat's own pages: logging in, the messages that are kept, and the files."""

from __future__ import annotations

import json
from pathlib import Path

from klein import Klein
from twisted.internet.threads import deferToThread

from chat.messages import messages
from chat.sessions import sessions
from takotwist.streams.files import static_dir

site = Klein()
ROOMS = ("lobby", "random")


def answer(request, value, status=200):
    request.setResponseCode(status)
    request.setHeader("Content-Type", "application/json")
    request.setHeader("Cache-Control", "no-store")
    return json.dumps(value)


def name_of(request):
    cookie = request.getCookie(b"chat_session")
    return sessions.name_in(cookie.decode()) if cookie else None


@site.route("/login", methods=["POST"])
def login(request):
    # A form of another site cannot send this content type, so it cannot log anybody in.
    if request.getHeader("content-type") != "application/json":
        return answer(request, {"error": "JSON is wanted"}, 415)
    try:
        name = json.load(request.content)["name"].strip()
    except (ValueError, KeyError, TypeError, AttributeError):
        return answer(request, {"error": "a name is wanted"}, 400)
    if not 1 <= len(name) <= 40:
        return answer(request, {"error": "a name has 1 to 40 characters"}, 400)
    request.addCookie(
        "chat_session",
        sessions.cookie_for(name),
        path="/",
        httpOnly=True,
        secure=request.isSecure(),
        sameSite="lax",
    )
    return answer(request, {"name": name})


@site.route("/me")
def me(request):
    return answer(request, {"name": name_of(request)})


@site.route("/messages/<room>")
def kept(request, room):
    if name_of(request) is None:
        return answer(request, {"error": "log in first"}, 401)
    if room not in ROOMS:
        return answer(request, {"error": "there is no such room"}, 404)
    reading = deferToThread(messages.newest, room)
    return reading.addCallback(lambda newest: answer(request, newest))


@site.route("/", branch=True)
def files(request):
    return static_dir(Path(__file__).parent.parent / "pages")
