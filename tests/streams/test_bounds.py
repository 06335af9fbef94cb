"""Bounds of a site that states none: those that the configuration has by default."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import Limits
from takotwist.streams.bounds import DEFAULT_SETTINGS, DefaultBounds


class DefaultsTests(SynchronousTestCase):
    """One default, in two places."""

    def test_as_configured(self) -> None:
        limits = Limits()
        for field in attrs.fields(DefaultBounds):
            bound = getattr(DEFAULT_SETTINGS.limits, field.name)
            self.assertEqual(bound, getattr(limits, field.name), field.name)
