"""Every code of Pusher's: when it is said, and of those that are not the page says why."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import AuthUnavailable, Overloaded, StoreUnavailable
from takotwist.facades.pusher.wire import close_code
from takotwist.server.config import Config, Limits
from tests.facades.pusher.here import KEY, Client, Here

PAGE = Path(__file__).parents[3] / "docs" / "protocol" / "pusher.md"

#: All that Pusher's documents list.
CODES = {
    4000, 4001, 4003, 4004, 4005, 4006, 4007, 4008, 4009,
    4100, 4200, 4201, 4202, 4301, 4302,
}  # fmt: skip


def closed(client: Client) -> int:
    """The code of a connection that was closed at once, which an error has said before."""
    *_, error = client.socket.frames
    assert client.socket.close_reason is not None
    code, _ = client.socket.close_reason
    assert (error["event"], error["data"]["code"]) == ("pusher:error", code)
    return int(code)


def stays(client: Client) -> int:
    """The code of an error, with the connection open."""
    assert client.socket.close_reason is None
    error = client.events[-1]
    assert error["event"] == "pusher:error"
    return int(error["data"]["code"])


def at(target: str, **app: Any) -> int:
    """Of a connection to a path."""
    return closed(Client(Here.of(**app).world.connect(target)))


def full() -> int:
    here = Here.of(config=Config(limits=Limits(max_connections=1)))
    here.connect()
    return closed(here.connect())


def full_app() -> int:
    here = Here.of(max_connections=1)
    here.connect()
    return closed(here.connect())


def origin() -> int:
    here = Here.of(pusher={"allowed_origins": ("https://a.example",)})
    return closed(here.connect(headers={"Origin": "https://b.example"}))


def forged_user() -> int:
    client = Here.of().connect()
    client.say("pusher:signin", {"auth": f"{KEY}:{'0' * 64}", "user_data": '{"id":"ann"}'})
    return closed(client)


def terminated() -> int:
    here = Here.of()
    client = here.connect()
    client.sign_in({"id": "ann"})
    here.api("POST", "/apps/7/users/ann/terminate_connections", {})
    return closed(client)


def client_event() -> int:
    client = Here.of().connect()
    client.subscribe("news")
    client.say("client-hi", {}, channel="news")
    return stays(client)


def watchlist() -> int:
    client = Here.of(watchlists=True, pusher={"max_watchlist": 1}).connect()
    client.sign_in({"id": "ann", "watchlist": ["bob", "eve"]})
    return stays(client)


SAID: dict[int, list[Callable[[], int]]] = {
    4000: [lambda: at(f"/app/{KEY}?protocol=7", tls_only=True)],
    4001: [lambda: at("/app/other?protocol=7")],
    4003: [lambda: at(f"/app/{KEY}?protocol=7", enabled=False)],
    4005: [lambda: at(f"/app/{KEY}/more?protocol=7")],
    4006: [
        lambda: at(f"/app/{KEY}?protocol=7&client=js&version=8.6.0%20;x"),
        lambda: at(f"/app/{KEY}?protocol=7&version={'1' * 100}"),
    ],
    4007: [
        lambda: at(f"/app/{KEY}?protocol=3"),
        lambda: at(f"/app/{KEY}?protocol=8"),
        lambda: at(f"/app/{KEY}?protocol=seven"),
    ],
    4008: [lambda: at(f"/app/{KEY}"), lambda: at(f"/app/{KEY}?protocol=")],
    4009: [origin, forged_user, terminated],
    4100: [full, full_app],
    4301: [client_event],
    4302: [watchlist],
}


class CodesTests(SynchronousTestCase):
    """The table."""

    def test_said(self) -> None:
        """Each has what makes the server say it."""
        for code, cases in SAID.items():
            for number, case in enumerate(cases):
                with self.subTest(code=code, number=number):
                    self.assertEqual(case(), code)

    def test_page(self) -> None:
        """The page has each of them, and those that are never said with the reason."""
        section = PAGE.read_text().partition("### How a connection ends\n")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| ([\d, ]+?) \| (.+?) \|", section, re.M)
        found = {int(code): why for codes, why in rows for code in codes.split(", ")}
        never = {code for code, why in found.items() if why.startswith("never: ")}
        self.assertEqual(found.keys() - {1001}, CODES)
        self.assertEqual(never, CODES - SAID.keys())

    def test_passing(self) -> None:
        """What may be otherwise in a moment does not keep a client away."""
        for refusal in (Overloaded(), StoreUnavailable(), AuthUnavailable("away")):
            self.assertEqual(close_code(refusal), 4100)
        self.assertEqual(close_code(None), 4200)

    def test_versions(self) -> None:
        """What libraries send is taken."""
        here = Here.of()
        for version in ("8.6.0", "7.0.3-beta.1", "2.4.4", "1.0_x", "10.1.5+2", "4", ""):
            client = here.connect(f"protocol=7&client=js&version={version}")
            self.assertEqual(client.socket.frames[0]["event"], "pusher:connection_established")
