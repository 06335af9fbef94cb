"""Which address is answered by what."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.static import Data

from takotwist import define_channel
from takotwist.errors import ChannelUnknown, NotFound
from takotwist.server.config import Config
from takotwist.server.config.listeners import Http
from takotwist.streams.http.head import HeadFields
from takotwist.testing.world import World
from takotwist.transports.site import CONNECT, ChannelPath, Root, read_path

BASES = ("/_tako/channels/", "/channels/")


class PathTests(SynchronousTestCase):
    """Reading a path."""

    def test_channels(self) -> None:
        """Below each base path is a channel, percent-encoded, or its history."""
        self.assertEqual(read_path(b"/channels/chat", BASES), ChannelPath("chat", None))
        self.assertEqual(read_path(b"/_tako/channels/a%2Eb", BASES), ChannelPath("a.b", None))
        self.assertEqual(
            read_path(b"/channels/chat/history", BASES), ChannelPath("chat", "history")
        )

    def test_others(self) -> None:
        """Everything else is not ours."""
        for path in (b"/", b"/channels/", b"/channels", b"/other/chat"):
            self.assertIsNone(read_path(path, BASES))

    def test_refused(self) -> None:
        """Names that no channel has, and what is not below a channel."""
        for path in (b"/channels/%ff", b"/channels/a%2Fb", b"/channels/.x", b"/channels//history"):
            self.assertRaises(ChannelUnknown, read_path, path, BASES)
        for path in (b"/channels/chat/", b"/channels/chat/members", b"/channels/chat/history/x"):
            self.assertRaises(NotFound, read_path, path, BASES)


class DirectTests(SynchronousTestCase):
    """What is answered without twisted.web when it comes first on its connection."""

    def setUp(self) -> None:
        self.root = Root(World(define_channel("news")).parts.public)

    def test_long_answers(self) -> None:
        """Subscriptions and upgrades are, on every base path, and the shared connection."""
        for path in (b"/channels/news", b"/_tako/channels/news", b"/channels/other", CONNECT):
            self.assertIsNotNone(self.root.direct(path), path)

    def test_others(self) -> None:
        """Nothing else is, neither what is refused by its path alone."""
        for path in (b"/", b"/channels/news/history", b"/channels/news/x", b"/channels/.x"):
            self.assertIsNone(self.root.direct(path), path)

    def test_shared_connection_without_upgrade(self) -> None:
        """What is no upgrade there is left to the resource."""
        answer = self.root.direct(CONNECT)
        assert answer is not None
        self.assertFalse(answer(_Plain()))


class _Plain:
    """A request without an upgrade."""

    requestHeaders = HeadFields({})
    client = None

    def getHost(self) -> None:
        """See `IRequest`."""

    def isSecure(self) -> bool:
        """See `IRequest`."""
        return False


class SiteTests(SynchronousTestCase):
    """What the listeners serve."""

    def test_base_paths(self) -> None:
        """Configured base paths answer, and others do not."""
        config = Config(http=Http(base_paths=("/live/",)))
        world = World(define_channel("news"), config=config)
        self.assertEqual(world.get("/live/news").status, 200)
        self.assertEqual(world.get("/live/news/history").status, 200)
        self.assertEqual(world.get("/channels/news").code, "not-found")

    def test_health(self) -> None:
        """Health on both listeners, metrics on the private one alone."""
        world = World()
        self.assertEqual(world.get("/_tako/health").json["ready"], True)
        self.assertEqual(world.get("/_tako/health", private=True).status, 200)
        self.assertEqual(world.get("/_tako/metrics").code, "not-found")
        self.assertIn(b"tako_connections", world.get("/_tako/metrics", private=True).body)

    def test_elsewhere(self) -> None:
        """An app's own pages answer what is not ours, and never below our path."""
        world = World(define_channel("news"))
        page = Data(b"a page", "text/plain")
        page.isLeaf = True
        world.parts.public.elsewhere = page
        self.assertEqual(world.get("/anything").body, b"a page")
        self.assertEqual(world.get("/_tako/anything").code, "not-found")
        self.assertEqual(world.get("/channels/none").code, "channel-unknown")

    def test_client_script(self) -> None:
        """The JavaScript client by its stable name, and what goes beside it, for any page."""
        for name in ("client.js", "live.js", "webtransport.js", "tabs.js", "offline.js"):
            answer = World().get(f"/_tako/{name}")
            self.assertEqual(answer.status, 200, name)
            self.assertEqual(answer.headers["cache-control"], "no-cache")
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")

    def test_private_is_trusted(self) -> None:
        """Whoever reaches the private listener is asked for no credentials."""
        channel = define_channel("club")
        channel.verify(lambda request: False)
        world = World(channel)
        self.assertEqual(world.get("/channels/club").code, "credentials-missing")
        self.assertEqual(world.get("/channels/club", private=True).status, 200)

    def test_method(self) -> None:
        """A subscription is asked for by GET; another method is told so."""
        answer = World(define_channel("news")).request("PUT", "/channels/news")
        self.assertEqual(
            (answer.status, answer.headers["allow"]), (405, "GET, HEAD, POST, OPTIONS")
        )

    def test_doors_closed(self) -> None:
        """Each admission refuses when the server stops, and says when to come again."""
        world = World(define_channel("news"))
        world.parts.stop_admitting()
        answer = world.get("/channels/news")
        self.assertEqual((answer.status, answer.code), (503, "shutting-down"))
