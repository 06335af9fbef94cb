"""What is checked before the app is asked, and the place that a connection takes."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.errors import OriginRejected, Overloaded, ShuttingDown
from takotwist.server.config import Config
from takotwist.server.config.limits import Limits
from takotwist.testing.world import World
from takotwist.transports.admission import Admission


class Request:
    """Somebody, perhaps a page."""

    def __init__(self, origin: str | None = None) -> None:
        self.origin = origin

    def getHeader(self, name: str) -> str | None:
        """See `IRequest`."""
        return self.origin if name == "origin" else None


class TestAdmission(SynchronousTestCase):
    """`Admission` of a server with one place."""

    def setUp(self) -> None:
        self.world = World(define_channel("chat"), config=Config(limits=Limits(max_connections=1)))
        self.admission: Admission = self.world.parts.admissions[0]
        self.admission.address = lambda request: "192.0.2.9"
        self.admission.allows = lambda request, origin: origin == "https://ours"
        self.request: Any = Request()

    def test_place_given_back(self) -> None:
        """A place that is not used is given back, whatever happened in between."""
        for _ in range(3):
            with self.assertRaises(KeyError), self.admission.enter(self.request):
                raise KeyError
        with self.admission.enter(self.request) as place:
            self.assertFalse(place.used)

    def test_place_used(self) -> None:
        """A place that is used stays taken until its session ends."""
        with self.admission.enter(self.request) as place:
            session = place.open("test", self.admission.new_send_queue(), lambda refusal: None)
        with self.assertRaises(Overloaded), self.admission.enter(self.request):
            self.fail("there is no place")
        session.close("over")
        with self.admission.enter(self.request):
            pass

    def test_draining(self) -> None:
        """A server that stops takes nobody."""
        self.admission.draining = True
        with self.assertRaises(ShuttingDown), self.admission.enter(self.request):
            self.fail("nobody is taken")

    def test_origin(self) -> None:
        """Pages of other origins are refused; what has no origin is no page."""
        told: list[str] = []
        self.admission.origin_refused = lambda request, origin: told.append(origin)
        pages: list[Any] = [Request(), Request("https://ours"), Request("https://other")]
        self.admission.check_origin(pages[0])
        self.admission.check_origin(pages[1])
        refused = self.assertRaises(OriginRejected, self.admission.check_origin, pages[2])
        self.assertIn("'https://other'", refused.sentence)
        self.assertEqual(told, ["https://other"])
