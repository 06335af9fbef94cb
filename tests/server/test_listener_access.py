"""Who is turned away before any route: by host, and on the private listener by origin."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.live import function
from takotwist.server.config import Config
from takotwist.server.config.listeners import Http, Private, Tls
from takotwist.testing.memory_peer import HttpPeer
from takotwist.testing.world import World

NEWS = "/channels/news"
EVIL = {"Host": "evil.example:8080"}
PAGE = {"Origin": "http://evil.example"}
LOCAL = "127.0.0.1"

#: Everything that a listener answers: method, target, fields of its own.
REQUESTS: list[tuple[str, str, Mapping[str, str]]] = [
    ("GET", NEWS, {}),
    ("POST", NEWS, {}),
    ("OPTIONS", NEWS, {}),
    ("HEAD", NEWS, {}),
    ("GET", f"{NEWS}/history", {}),
    ("GET", "/_tako/health", {}),
    ("GET", "/_tako/client.js", {}),
    ("GET", "/_tako/metrics", {}),
    ("GET", "/_tako/admin/channels", {}),
    ("GET", "/_tako/connect", {"Accept": "text/event-stream"}),
    ("POST", "/_tako/functions/add", {"Content-Type": "application/json"}),
    ("GET", "/nothing", {}),
]


class DoorTests(SynchronousTestCase):
    """Over HTTP and as a WebSocket, on each listener."""

    def world(self, config: Config | None = None) -> World:
        """A public channel and a function."""

        @function
        async def add(first: int, second: int) -> int:
            return first + second

        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.events = events
        chat = define_channel("chat")
        chat.on("msg")(lambda data, context: data)
        return World(define_channel("news"), chat, config=config, functions=[add])

    def codes(self, world: World, headers: Mapping[str, str], **more: object) -> set[str | None]:
        """What all requests are answered."""
        found = set()
        for method, target, own in REQUESTS:
            body = b'{"type":"msg","data":1}' if method == "POST" else b""
            peer = world.request(method, target, {**own, **headers}, body, **more)  # type: ignore[arg-type]
            found.add(self.code(peer) if method != "HEAD" else str(peer.status))
        for target in (NEWS, "/channels/chat", "/_tako/connect"):
            found.add(world.connect(target, headers, **more).code)  # type: ignore[arg-type]
            explicit = world.connect(target, headers, subprotocol="tako.v1", **more)  # type: ignore[arg-type]
            close = explicit.close_reason
            found.add(close and close[1])
        return found

    @staticmethod
    def code(peer: HttpPeer) -> str | None:
        """The code of a refusal, read where the answer is JSON alone."""
        return peer.code if peer.status >= 400 else None

    @property
    def said(self) -> list[str]:
        """The kinds of warnings."""
        return [one["log_format"] for one in self.events if one["log_level"].name == "warn"]

    # private

    def test_private_page(self) -> None:
        """A page is refused, whatever it asks for, also one of the listener's own address."""
        world = self.world()
        for origin in ("http://evil.example", "http://127.0.0.1:80", "null", ""):
            codes = self.codes(world, {"Origin": origin}, private=True)
            self.assertEqual(codes, {"origin-rejected", "403"}, origin)
        self.assertEqual(world.parts.metrics.publishes, 0)

    def test_private_host(self) -> None:
        """So is a name that somebody has led to this machine."""
        world = self.world()
        self.assertEqual(self.codes(world, EVIL, private=True), {"host-rejected", "403"})
        self.assertEqual(world.parts.metrics.publishes, 0)
        for host in ("localhost:9000", "127.0.0.1", "[::1]:1", "LOCALHOST"):
            peer = world.get("/_tako/metrics", {"Host": host}, private=True)
            self.assertEqual(peer.status, 200, host)

    def test_private_lists(self) -> None:
        """Both lists make exceptions, which SIGHUP changes."""
        listed = Config(
            private=Private(
                allowed_hosts=("evil.example",), allowed_origins=("http://evil.example",)
            )
        )
        world = self.world(listed)

        def statuses() -> list[int]:
            both = {**EVIL, **PAGE}
            asked = world.get("/_tako/metrics", both, private=True)
            return [asked.status, world.request("POST", NEWS, both, MSG, private=True).status]

        self.assertEqual(statuses(), [200, 200])
        preflight = world.request("OPTIONS", NEWS, PAGE, private=True)
        self.assertEqual(preflight.headers["access-control-allow-origin"], PAGE["Origin"])
        world.parts.change(Config())
        self.assertEqual(statuses(), [403, 403])

    def test_private_known_head(self) -> None:
        """A head that is known by its shape is not, with an origin or for another host."""
        world = self.world()
        for _ in range(3):
            self.assertEqual(world.request("POST", NEWS, {}, MSG, private=True).status, 200)
        for more in (EVIL, PAGE):
            self.assertEqual(world.request("POST", NEWS, more, MSG, private=True).status, 403)
        self.assertEqual(world.parts.metrics.publishes, 3)

    def test_cors_lists_apart(self) -> None:
        """A page that the public listeners serve is none for the private one."""
        world = self.world(Config(http=Http(allowed_origins=("http://evil.example",))))
        peer = world.get(NEWS, PAGE, private=True)
        self.assertEqual(peer.code, "origin-rejected")
        self.assertNotIn("access-control-allow-origin", peer.headers)

    # public

    def test_public_from_this_machine(self) -> None:
        """A browser here that was led to us by another's name is told so."""
        world = self.world()
        codes = self.codes(world, EVIL, address=LOCAL)
        self.assertEqual(codes, {"host-rejected", "403"})
        self.assertEqual(world.get(NEWS, {"Host": "192.0.2.77"}, address=LOCAL).status, 200)
        self.assertEqual(world.get(NEWS, {"Host": "x.localhost:1"}, address=LOCAL).status, 200)

    def test_public_deployment(self) -> None:
        """From elsewhere, or through a proxy here, every host is answered."""
        world = self.world(Config(http=Http(trusted_proxies=("127.0.0.1",))))  # type: ignore[arg-type]
        self.assertNotIn("host-rejected", self.codes(world, EVIL, address=LOCAL))
        self.assertNotIn("host-rejected", self.codes(self.world(), EVIL))

    def test_public_forged_proxy(self) -> None:
        """A page cannot say that it is a proxy."""
        forged = {**EVIL, "X-Forwarded-Host": "localhost", "X-Forwarded-For": "192.0.2.1"}
        self.assertEqual(self.world().get(NEWS, forged, address=LOCAL).code, "host-rejected")

    def test_public_own_hosts(self) -> None:
        """Hosts of pages that may connect, and of the certificate, are ours."""
        config = Config(
            http=Http(allowed_origins=("http://app.example:3000",)),
            tls=Tls(hosts=("dev.test",), domains=("chat.example",)),
        )
        world = self.world(config)
        for host in ("app.example", "dev.test", "chat.example"):
            self.assertEqual(world.get(NEWS, {"Host": host}, address=LOCAL).status, 200)
        self.assertEqual(world.get(NEWS, {"Host": "evil.example"}, address=LOCAL).status, 403)

    def test_public_list(self) -> None:
        """Where hosts are listed they are asked of everybody, as the client behind a proxy."""
        http = Http(allowed_hosts=("a.example",), trusted_proxies=("192.0.2.7",))  # type: ignore[arg-type]
        world = self.world(Config(http=http))
        ours, behind = {"Host": "a.example"}, {"Host": "up", "X-Forwarded-Host": "a.example"}
        self.assertEqual(world.get(NEWS, ours).status, 200)
        self.assertEqual(world.get(NEWS, EVIL).code, "host-rejected")
        self.assertEqual(world.get(NEWS, behind, address="192.0.2.7").status, 200)
        self.assertEqual(world.get(NEWS, behind).code, "host-rejected")
        world.parts.change(Config())
        self.assertEqual(world.get(NEWS, EVIL).status, 200)

    # origins

    def test_origin_is_named(self) -> None:
        """Who is refused for an origin is told which, over HTTP, and in a frame before the
        close; the operator is told as what the server was reached, and what to look at."""
        proxies = Http(trusted_proxies=("192.0.2.7",))  # type: ignore[arg-type]
        world = self.world(Config(http=proxies))
        page = {"Origin": "https://app.example", "Host": "app.example"}
        behind = {**page, "X-Forwarded-Proto": "https"}
        self.assertEqual(world.get(NEWS, behind, address="192.0.2.7").status, 200)
        for headers in (page, behind):
            answer = world.get(NEWS, headers)
            self.assertIn("'https://app.example'", answer.json["error"])
        (said,) = [one for one in self.events if "a page of" in one["log_format"]]
        self.assertEqual((said["origin"], said["own"]), (page["Origin"], "http://app.example"))
        for key in ("http.allowed_origins", "http.trusted_proxies"):
            self.assertIn(key, said["log_format"])
        socket = world.connect("/channels/chat", page, subprotocol="tako.v1")
        self.assertEqual(socket.close_reason, (4403, "origin-rejected"))
        self.assertEqual(socket.ops[0]["code"], "origin-rejected")
        self.assertIn("'https://app.example'", socket.ops[0]["error"])

    def test_long_origin(self) -> None:
        """A long one is repeated in part."""
        world = self.world()
        answer = world.get(NEWS, {"Origin": "https://" + "a" * 3000})
        self.assertLess(len(answer.body), 400)
        self.assertLess(len(self.events[-1]["origin"]), 250)

    # what the operator is told

    def test_said_once_a_minute(self) -> None:
        """Each kind is one line, with the key to look at, and the next says how many there were."""
        world = self.world()
        for _ in range(5):
            world.get(NEWS, EVIL, address=LOCAL)
            world.get(NEWS, PAGE, private=True)
        self.assertEqual(len(self.said), 2)
        self.assertIn("http.allowed_hosts", str([one.get("key") for one in self.events]))
        world.advance(60)
        world.get(NEWS, EVIL, address=LOCAL)
        self.assertEqual(len(self.said), 3)
        self.assertEqual(self.events[-1]["again"], " (4 more since the last such line)")


MSG = {"type": "msg", "data": 1}
