"""The score of a game.  Nobody sends to it, so it is served over SSE."""

from __future__ import annotations

from dataclasses import dataclass

from accounts import COOKIE, user_of

from takotwist import Grant, VerifyRequest, define_channel


@dataclass
class Game:
    game: int


@dataclass
class Score:
    home: int
    away: int


scores = define_channel("scores", params=Game, messages={"score": Score}, replay_window=3600)


@scores.verify(cookie=COOKIE)
def verify(request: VerifyRequest[Game]) -> Grant | None:
    user = user_of(request.cookie)
    return Grant(subject=user) if user else None
