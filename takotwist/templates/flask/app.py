"""The app: it says who may come in, publishes, and has the pages.

In production a proxy sends /_tako/ and /channels/ to takotwist and the rest here; `tako dev` does
the same.
"""

from pathlib import Path

from channels.chat import Msg, chat
from flask import Flask, abort, jsonify, request
from people import COOKIE, cookie_for, is_name, name_in
from takotwist.app.wsgi import internal_app

HERE = Path(__file__).parent

app = Flask(__name__, static_folder="pages", static_url_path="")
app.wsgi_app = internal_app(app.wsgi_app, channels=HERE / "channels")


@app.get("/")
def index():
    return app.send_static_file("index.html")


@app.post("/login")
def login():
    # A form of another site cannot send JSON (415 here), so it cannot log anybody in.
    given = request.get_json()
    name = given.get("name") if isinstance(given, dict) else None
    if not is_name(name):
        abort(400)
    answer = jsonify(name=name)
    secure = request.headers.get("x-forwarded-proto") == "https"
    answer.set_cookie(COOKIE, cookie_for(name), httponly=True, samesite="Lax", secure=secure)
    return answer


@app.get("/me")
def me():
    answer = jsonify(name=name_in(request.cookies.get(COOKIE)))
    answer.cache_control.no_store = True
    return answer


@app.post("/announce/<room_id>")
def announce(room_id):
    """Publish from the app: `curl -X POST http://127.0.0.1:3000/announce/lobby`."""
    said = chat(room_id=room_id).publish_sync("msg", Msg(text="Hello!", author="the app"))
    return jsonify(id=said.id)
