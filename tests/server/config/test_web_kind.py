"""URLs, origins, networks and hosts are checked where they enter."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config.kind import Kind, Unfit
from takotwist.server.config.web_kind import (
    TOKEN,
    Definitions,
    Endpoint,
    HeaderName,
    Host,
    HttpUrl,
    Network,
    Origin,
    PrivateHost,
    Proxy,
    UrlPath,
)

HERE = Path("/folder")


class WebKindTests(SynchronousTestCase):
    """What fits, in the form in which it is used."""

    def _all_refused(self, kind: Kind, values: list[object]) -> None:
        for value in values:
            error = self.assertRaises(Unfit, kind.read, value, HERE)
            self.assertIn("must be", error.needs, value)

    def test_url(self) -> None:
        """An app's URL has no slash at its end, and nothing that would be sent by accident."""
        self.assertEqual(HttpUrl().read("http://h:3000/", HERE), "http://h:3000")
        self.assertEqual(HttpUrl().read("https://h/api", HERE), "https://h/api")
        self._all_refused(
            HttpUrl(), ["h:3000", "ftp://h", "http://", "http://h:99999", "http://h/?a=b", 3, ""]
        )

    def test_password_in_a_url_is_not_repeated(self) -> None:
        """A URL with a user is refused without showing the password."""
        error = self.assertRaises(Unfit, HttpUrl().read, "http://u:hunter2@h", HERE)
        self.assertNotIn("hunter2", " ".join(error.sentences()))

    def test_origin_is_as_a_browser_says_it(self) -> None:
        """Lower case, and without the port that the scheme means anyway."""
        self.assertEqual(
            Origin().read("HTTPS://App.Example.com:443", HERE), "https://app.example.com"
        )
        self.assertEqual(Origin().read("http://localhost:3000", HERE), "http://localhost:3000")
        self.assertEqual(Origin().read("*", HERE), "*")
        self._all_refused(Origin(), ["app.example.com", "https://a.b/", "https://*.b", "null"])

    def test_host(self) -> None:
        """A name, all below one, or an address; in lower case, and never with a port."""
        for good, read in (
            ("Chat.Example.com", "chat.example.com"),
            ("*.example.com", "*.example.com"),
            ("tako_1", "tako_1"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("*", "*"),
        ):
            self.assertEqual(Host().read(good, HERE), read)
        self._all_refused(
            Host(), ["a:80", "https://a", "a/b", "*a.b", "a.*", "", "a..b", "-a", 3, "[::1]:1"]
        )

    def test_header_name(self) -> None:
        """One name, in lower case; `*` is a name that would not do what it seems to."""
        self.assertEqual(HeaderName().read("X-App-Version", HERE), "x-app-version")
        self._all_refused(HeaderName(), ["", "a b", "a:", "a,b", "\xe4", "a" * 101, 3])

    def test_network(self) -> None:
        """One address is a network of one."""
        self.assertEqual(Network().read("10.1.2.3/8", HERE), ip_network("10.0.0.0/8"))
        self.assertEqual(Network().read("::1", HERE), ip_network("::1/128"))
        self._all_refused(Network(), ["localhost", "10.0.0.0/33", 10])

    def test_proxy(self) -> None:
        """A proxy is at an address, or at the other end of a Unix socket."""
        self.assertEqual(Proxy().read("10.1.2.3", HERE), ip_network("10.1.2.3/32"))
        self.assertEqual(Proxy().read("unix", HERE), "unix")
        self._all_refused(Proxy(), ["Unix", "localhost", 10])

    def test_url_path(self) -> None:
        """A base path begins and ends with a slash and climbs nowhere."""
        self.assertEqual(UrlPath().read("/_tako/channels/", HERE), "/_tako/channels/")
        self.assertEqual(UrlPath().read("/", HERE), "/")
        self._all_refused(UrlPath(), ["channels", "/a", "a/", "/../", "/a/./", "//", "/a b/"])

    def test_development_host_is_private(self) -> None:
        """The development CA signs for no name that belongs to somebody."""
        self.assertEqual(PrivateHost().read("App.Test", HERE), "app.test")
        self.assertEqual(PrivateHost().read("192.168.1.5", HERE), "192.168.1.5")
        self.assertEqual(PrivateHost().read("*.app.localhost", HERE), "*.app.localhost")
        self._all_refused(PrivateHost(), ["example.com", "8.8.8.8", "a_b.test", "test.", "-a.test"])

    def test_token_is_fit_for_a_header(self) -> None:
        """A token with a space or a line's end would break the header that carries it."""
        self.assertEqual(TOKEN.read("tako_pk_a-b.c~", HERE), "tako_pk_a-b.c~")
        self._all_refused(TOKEN, ["", "a b", "a\nb", "ä"])

    def test_endpoint(self) -> None:
        """A socket's path becomes absolute; a bad endpoint is named with its fault."""
        self.assertEqual(Endpoint().read("unix:a.sock", HERE), "unix:/folder/a.sock")
        error = self.assertRaises(Unfit, Endpoint().read, "tcp:x", HERE)
        self.assertIn("is 'tcp:x', which must have a port", error.needs)

    def test_definitions(self) -> None:
        """A folder or file that exists is a place; other words are a module."""
        folder = Path(self.mktemp())
        (folder / "channels").mkdir(parents=True)
        (folder / "one.py").touch()
        self.assertEqual(Definitions().read("channels", folder), folder / "channels")
        self.assertEqual(Definitions().read("one.py", folder), folder / "one.py")
        self.assertEqual(Definitions().read("my.channels", folder), "my.channels")
        self._all_refused(Definitions(), ["./missing", "missing.py/", ""])
