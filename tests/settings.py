"""The server's settings, for parts that are tested without a server."""

from __future__ import annotations

from typing import Any

import attrs

from takotwist.server.config import Config, Limits
from takotwist.server.reloadable import Reloadable


def limited(**limits: Any) -> Reloadable:
    """Settings with these limits, and otherwise the defaults."""
    return Reloadable.of(Config(limits=Limits(**limits)))


def change_limits(settings: Reloadable, **limits: Any) -> None:
    """Have these limits hold from now on, as a reload does."""
    settings.limits = attrs.evolve(settings.limits, **limits)
