"""Paths of the Pusher protocol."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.facades.pusher.routes import PusherRoutes
from tests.facades.pusher.here import KEY, Here


class _App:
    """An app, as far as routes know it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def start(self) -> None:
        """See `Hub`."""
        self.told.append("start")

    def stop(self) -> None:
        """See `Hub`."""
        self.told.append("stop")


def routes(path: bytes = b"", *apps: _App) -> PusherRoutes:
    nothing: Any = None
    more: Any = apps
    return PusherRoutes(nothing, nothing, path, more)


class RoutesTests(SynchronousTestCase):
    """By path alone."""

    def test_paths(self) -> None:
        """Those of clients, of apps, and the one that is about a user without its app."""
        served = [
            b"/app/key",
            b"/app/",
            b"/apps/1/events",
            b"/apps/1/users/ann/terminate_connections",
            b"/users/ann/terminate_connections",
        ]
        for path in served:
            self.assertTrue(routes().serves(path), path)
            self.assertTrue(routes(b"/pusher").serves(b"/pusher" + path), path)
            self.assertFalse(routes(b"/pusher").serves(path), path)
        for path in (b"/", b"/app", b"/apps", b"/application/x", b"/users/ann", b"/channels/app/"):
            self.assertFalse(routes().serves(path), path)

    def test_apps(self) -> None:
        """Each app hears of other nodes from the start to the stop."""
        apps = [_App(), _App()]
        both = routes(b"", *apps)
        both.start()
        both.stop()
        self.assertEqual([one.told for one in apps], [["start", "stop"]] * 2)


class AnswerTests(SynchronousTestCase):
    """Which part answers."""

    def test_key(self) -> None:
        """The key of a path is unquoted, whatever bytes are in it."""
        here = Here.of()
        quoted = "".join(f"%{ord(letter):02x}" for letter in KEY)
        socket = here.world.connect(f"/app/{quoted}?protocol=7")
        self.assertEqual(socket.frames[0]["event"], "pusher:connection_established")
        wrong = here.world.connect("/app/%ff%fe?protocol=7")
        self.assertEqual(wrong.frames[0]["data"]["code"], 4001)

    def test_kinds(self) -> None:
        """A client's path without an upgrade is told so; an app's without a signature is not in."""
        here = Here.of()
        self.assertEqual(here.world.get(f"/app/{KEY}?protocol=7").status, 426)
        self.assertEqual(here.world.get("/apps/7/channels").status, 401)
        self.assertEqual(here.world.get("/users/ann").status, 404)
