"""The authorizer contract where the app is in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import Channel
from takotwist.adapters.authorize_local import LocalAuthorizer
from tests.adapters.stepped_threads import SteppedPool, SteppedReactor
from tests.contracts.authorizer import AuthorizerContract


class TestLocalAuthorizer(AuthorizerContract, SynchronousTestCase):
    """Called directly."""

    def authorizer(self, channels: Sequence[Channel[Any]]) -> Any:
        pool: Any = SteppedPool()
        return LocalAuthorizer(channels, SteppedReactor(), pool)
