from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.files.policy import Policy

NOSNIFF = (b"X-Content-Type-Options", b"nosniff")


class PolicyTests(SynchronousTestCase):
    """The headers that every answer about a file has."""

    def test_defaults(self) -> None:
        """A file may be stored, is asked for anew each time, and is what its name says."""
        self.assertEqual(
            Policy().headers_for("a.txt", ()), [NOSNIFF, (b"Cache-Control", b"no-cache")]
        )

    def test_cache_control_by_name(self) -> None:
        """A callable decides for each file, and `None` sends no header."""
        policy = Policy(
            cache_control=lambda name: "max-age=9" if name.endswith(".js") else None,
        )
        self.assertIn((b"Cache-Control", b"max-age=9"), policy.headers_for("a.js", ()))
        self.assertEqual(policy.headers_for("a.html", ()), [NOSNIFF])

    def test_no_cache_control(self) -> None:
        """`None` for all files sends none."""
        self.assertEqual(Policy(cache_control=None).headers_for("a", ()), [NOSNIFF])

    def test_vary(self) -> None:
        """Where sidecars are looked for, every answer depends on Accept-Encoding; one line."""
        plain, packed = Policy(cache_control=None), Policy(None, precompressed=("br",))
        self.assertEqual(plain.headers_for("a", (b"Accept",))[1:], [(b"Vary", b"Accept")])
        self.assertEqual(packed.headers_for("a", ())[1:], [(b"Vary", b"Accept-Encoding")])
        self.assertEqual(
            packed.headers_for("a", (b"Accept",))[1:], [(b"Vary", b"Accept, Accept-Encoding")]
        )

    def test_further_headers(self) -> None:
        """The app's own come first; the value that is shared is not changed by an answer."""
        policy = Policy(headers=((b"X-Frame-Options", b"DENY"),))
        first = policy.headers_for("a", ())
        first.append((b"X-Other", b"1"))
        self.assertEqual(policy.headers_for("a", ())[0], (b"X-Frame-Options", b"DENY"))
        self.assertNotIn((b"X-Other", b"1"), policy.headers_for("a", ()))

    def test_unknown_coding(self) -> None:
        """A coding without a known suffix is refused when the value is made."""
        self.assertRaises(ValueError, Policy, precompressed=("lzma",))
