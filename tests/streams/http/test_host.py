"""Which names a server answers to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http.host import HostPolicy, host_of, is_host_field, is_loopback

#: Fields of RFC 9112, section 3.2, and the hosts in them.
GOOD = {
    "": "",
    "localhost": "localhost",
    "LocalHost:8080": "localhost",
    "app.example.com.": "app.example.com",
    "192.0.2.1:": "192.0.2.1",
    "[2001:DB8::1]:443": "2001:db8::1",
    "a_b-c~d.example": "a_b-c~d.example",
    "a%20b": "a%20b",
}

BAD = [
    "a b<script>", "localhost/x", "user@host", "a:b", "a:1:2", "a:123456", "::1", "[::1", "[g]",
    "a%2", "a\tb", "a\x00", "a\\b", "a?b", "a#b", "\xe4.example", "http://a", "[::1%25eth0]",
    '"a"', "a|b", "a^b", "`a`", "{a}",
]  # fmt: skip


class FieldTests(SynchronousTestCase):
    """A Host field is read, or is none."""

    def test_good(self) -> None:
        """The host is in lower case, without port, brackets, and the dot of the root."""
        for field, host in GOOD.items():
            self.assertTrue(is_host_field(field.encode()), field)
            self.assertEqual(host_of(field), host)

    def test_bad(self) -> None:
        """What can be no host is told from an empty one."""
        for field in BAD:
            self.assertFalse(is_host_field(field.encode("latin-1")), field)
            self.assertIsNone(host_of(field), field)

    @given(st.text())
    def test_anything(self, field: str) -> None:
        """Nothing that a client sends makes it fail, and no policy but `*` lets it in."""
        host = host_of(field)
        local = host in ("", "localhost") or (host or "").endswith(".localhost")
        self.assertEqual(
            HostPolicy().permits(field, None), not field or local or is_loopback(host), field
        )


class PolicyTests(SynchronousTestCase):
    """What a listener answers to."""

    def permitted(self, policy: HostPolicy, reached: str | None = None) -> list[str]:
        """Of a few hosts, those that are."""
        hosts = [
            "localhost:1", "x.localhost", "localhost.", "127.0.0.1:8080", "127.9.9.9", "[::1]:1",
            "[::ffff:127.0.0.1]", "192.0.2.1", "[2001:db8::1]", "app.example.com",
            "a.app.example.com", "evil.example", "notlocalhost", "localhost.evil.example", "a b",
        ]  # fmt: skip
        return [host for host in hosts if policy.permits(host, reached)]

    LOCAL = [
        "localhost:1", "x.localhost", "localhost.", "127.0.0.1:8080", "127.9.9.9", "[::1]:1",
        "[::ffff:127.0.0.1]",
    ]  # fmt: skip

    def test_empty(self) -> None:
        """Only this machine's own names, and where the request came to."""
        self.assertEqual(self.permitted(HostPolicy.of(())), self.LOCAL)
        self.assertEqual(self.permitted(HostPolicy.of(()), "192.0.2.1"), [*self.LOCAL, "192.0.2.1"])
        self.assertEqual(
            self.permitted(HostPolicy.of(()), "2001:db8:0::1"), [*self.LOCAL, "[2001:db8::1]"]
        )

    def test_listed(self) -> None:
        """A name, all names below one, an address, everything."""
        self.assertEqual(
            self.permitted(HostPolicy.of(["App.Example.com"])), [*self.LOCAL, "app.example.com"]
        )
        self.assertEqual(
            self.permitted(HostPolicy.of(["*.example.com", "192.0.2.1"])),
            [*self.LOCAL, "192.0.2.1", "app.example.com", "a.app.example.com"],
        )
        self.assertIn("evil.example", self.permitted(HostPolicy.of(["*"])))

    def test_addresses(self) -> None:
        """Where every address is right, no other name is."""
        self.assertEqual(
            self.permitted(HostPolicy.of((), any_address=True)),
            [*self.LOCAL, "192.0.2.1", "[2001:db8::1]"],
        )

    def test_none(self) -> None:
        """Who names no host is no browser."""
        self.assertTrue(HostPolicy.of(()).permits(None, None))
        self.assertTrue(HostPolicy.of(()).permits("", None))
