"""The address of a server: what is one, and that an error never repeats it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.http_address import Address, request_bytes
from takotwist.errors import ConfigError


class AddressTests(SynchronousTestCase):
    """`Address.of`."""

    def test_http(self) -> None:
        """Host, port and path, with the usual ports."""
        for url, host, port, path, authority in (
            ("http://example.com", "example.com", 80, "", "example.com"),
            ("https://example.com/a b", "example.com", 443, "/a%20b", "example.com"),
            ("http://example.com:8080/base", "example.com", 8080, "/base", "example.com:8080"),
            ("https://[2001:DB8::1]:444", "2001:db8::1", 444, "", "[2001:db8::1]:444"),
            ("http://bücher.example", "xn--bcher-kva.example", 80, "", "xn--bcher-kva.example"),
        ):
            one = Address.of(url)
            self.assertEqual((one.host, one.port, one.base_path), (host, port, path), url)
            self.assertEqual(one.authority, authority)
            self.assertEqual(one.tls is not None, url.startswith("https"))
            self.assertEqual(one.server, f"{url.partition(':')[0]}://{authority}")

    def test_unix(self) -> None:
        """A path of a socket."""
        one = Address.of("unix:/run/tako.sock")
        self.assertEqual((one.unix_path, one.authority), ("/run/tako.sock", "localhost"))
        self.assertEqual(one.server, "unix:/run/tako.sock")

    def test_wrong(self) -> None:
        """What is no address is refused, and not repeated: a key is given here by mistake."""
        wrong: Any
        for wrong in (
            "s3cret-key-s3cret-key",
            "ftp://s3cret.example",
            "http://",
            "http://user:s3cret@example.com",
            "http://example.com/?key=s3cret",
            "http://example.com/#s3cret",
            "http://example.com:s3cret",
            "http://[s3cret",
            "http://s3 cret.example",
            "unix:",
            "unix://s3cret/path",
            "unix:/s3cret\0",
            "unix:/s3cret\ud800",
            None,
            5,
        ):
            error = self.assertRaises(ConfigError, Address.of, wrong)
            self.assertEqual((error.key, error.source), ("url", "Publisher"))
            self.assertNotIn("s3cret", str(error), wrong)

    def test_ca_file(self) -> None:
        """A file that cannot be used is named as what it is."""
        error = self.assertRaises(ConfigError, Address.of, "https://example.com", "/none/such")
        self.assertEqual(error.key, "ca_file")


class RequestTests(SynchronousTestCase):
    """`request_bytes`."""

    def setUp(self) -> None:
        self.address = Address.of("http://example.com")

    def test_request(self) -> None:
        """A head with its host, and the length of a body; of an empty POST too, and of no GET."""
        self.assertEqual(
            request_bytes(self.address, "POST", "/a", {"X-A": "b"}, b"xyz"),
            b"POST /a HTTP/1.1\r\nHost: example.com\r\nX-A: b\r\nContent-Length: 3\r\n\r\nxyz",
        )
        self.assertIn(b"Content-Length: 0", request_bytes(self.address, "POST", "/", {}, b""))
        self.assertNotIn(b"Content-Length", request_bytes(self.address, "GET", "/", {}, b""))

    def test_header_that_cannot_be_sent(self) -> None:
        """Nothing splits a head, and the error does not repeat the value."""
        for value in ("s3cret\r\nX-Evil: 1", "s3cret\n", "s3crét", "s3cret\0"):
            error = self.assertRaises(
                ValueError, request_bytes, self.address, "GET", "/", {"Authorization": value}, b""
            )
            self.assertIn("Authorization", str(error))
            self.assertNotIn("s3cr", str(error))
