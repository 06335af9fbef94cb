"""What holds for all apps: by default what the configuration's defaults are."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.facades.pusher.apps import PusherApp, PusherSettings
from takotwist.facades.pusher.names import Names
from takotwist.server.config.pusher import Pusher, PusherAppKeys

#: As a setting is called in the configuration, where that is another name.
CALLED = {"activity_timeout": "activity_timeout_seconds", "max_channels": "max_channels_per_event"}


class DefaultsTests(SynchronousTestCase):
    """One default, in two places."""

    def test_settings(self) -> None:
        settings, config = PusherSettings(), Pusher()
        for field in attrs.fields(PusherSettings):
            expected = getattr(config, CALLED.get(field.name, field.name))
            self.assertEqual(getattr(settings, field.name), expected, field.name)

    def test_app(self) -> None:
        """Nothing is allowed that was not asked for."""
        app = PusherApp(name="main", id="1", key="k", secret="s", names=Names("main", ()))
        keys = PusherAppKeys(name="main", id="1", key="k" * 20, secret="s" * 20)
        for field in attrs.fields(PusherApp):
            if field.name not in ("id", "key", "name", "names", "secret"):
                self.assertEqual(getattr(app, field.name), getattr(keys, field.name), field.name)
