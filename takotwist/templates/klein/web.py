"""The app's own pages, in the server's process: logging in, and the files."""

import json
from pathlib import Path

from klein import Klein
from people import COOKIE, cookie_for, is_name, name_in
from takotwist.streams.files import static_dir

site = Klein()


@site.route("/login", methods=["POST"])
def login(request):
    # A form of another site cannot send this content type, so it cannot log anybody in.
    if request.getHeader("content-type") != "application/json":
        return answer(request, {"error": "JSON is wanted"}, 415)
    try:
        name = json.load(request.content)["name"]
    except (ValueError, KeyError, TypeError):
        name = None
    if not is_name(name):
        return answer(request, {"error": "a name is wanted"}, 400)
    secure = request.isSecure()
    request.addCookie(
        COOKIE, cookie_for(name), path="/", httpOnly=True, sameSite="lax", secure=secure
    )
    return answer(request, {"name": name})


@site.route("/me")
def me(request):
    cookie = request.getCookie(COOKIE.encode())
    return answer(request, {"name": name_in(cookie.decode()) if cookie else None})


@site.route("/", branch=True)
def files(request):
    return static_dir(Path(__file__).parent / "pages")


def answer(request, value, status=200):
    request.setResponseCode(status)
    request.setHeader("content-type", "application/json")
    request.setHeader("cache-control", "no-store")
    return json.dumps(value)
