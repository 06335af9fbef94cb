"""An app elsewhere without a network: real HTTP bytes between client and WSGI app."""

from __future__ import annotations

from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.testing import MemoryReactorClock
from twisted.web.wsgi import WSGIResource

from takotwist.adapters.app_client import AppAddress, AppBounds, AppClient

TOKEN = "between-us"
ADDRESS = AppAddress(url="http://app.example:3000", name="demo", token=TOKEN)


class _HereAndNow(MemoryReactorClock):
    """A reactor and a thread pool in one, which do everything at once."""

    def callFromThread(self, function: Any, *args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)

    def callInThread(self, function: Any, *args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)


def wsgi_agent(application: Any) -> RequestTraversalAgent:
    """An agent whose every request is answered by `application`."""
    now = _HereAndNow()
    return RequestTraversalAgent(WSGIResource(now, now, application))


def client_of(agent: Any, clock: Any, **bounds: Any) -> AppClient:
    """A client without chance in its pauses."""
    return AppClient(ADDRESS, agent, clock, lambda: 0.5, AppBounds(**bounds))
