"""A Flask app with a live score board: the browser's own session decides who may watch."""

from __future__ import annotations

from pathlib import Path

from accounts import COOKIE, cookie_for
from channels.scores import Score, scores
from flask import Flask, Response, jsonify, request

from takotwist.app.wsgi import internal_app

app = Flask(__name__)
app.wsgi_app = internal_app(  # type: ignore[method-assign]
    app.wsgi_app, channels=Path(__file__).parent / "channels"
)


@app.post("/login/<user>")
def login(user: str) -> Response:
    """Log in without a password, as examples do."""
    answer = jsonify(user=user)
    answer.set_cookie(COOKIE, cookie_for(user), httponly=True, samesite="Lax")
    return answer


@app.post("/games/<int:game>/score")
def score(game: int) -> Response:
    """Publish a new score to everybody who watches the game."""
    given = request.get_json()
    message = scores(game=game).publish_sync("score", Score(given["home"], given["away"]))
    return jsonify(id=message.id)
