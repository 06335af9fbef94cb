"""A folder as a resource: names, indexes, redirects, the fallback, and what is refused.

From URL segments to names: what is refused before anything is looked up.
"""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from klein import Klein
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request
from zope.interface.verify import verifyObject

from takotwist.streams.files import StaticDir, static_dir
from takotwist.streams.files.folder import Inside, Refused, resolve
from tests.streams.files.exchange import Reply, ask, open_below

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Folders(SynchronousTestCase):
    """A folder with a few files, and a secret beside it."""

    def setUp(self) -> None:
        self.outside = Path(self.mktemp())
        self.folder = self.outside / "www"
        (self.folder / "sub dir" / "deep").mkdir(parents=True)
        (self.folder / ".git").mkdir()
        (self.folder / ".well-known").mkdir()
        for name, content in (
            *(
                ("www/index.html", b"home"),
                ("www/app.js", b"js"),
                ("www/sub dir/index.html", b"sub"),
            ),
            *(("www/.env", b"secret"), ("www/.git/config", b"secret"), ("secret.txt", b"secret")),
            *(("www/.well-known/x", b"public"), ("www/100%.txt", b"percent"), ("www/ü.txt", b"u")),
        ):
            (self.outside / name).write_bytes(content)
        self.resource: IResource = static_dir(self.folder)

    def ask(self, target: str, method: str = "GET", **headers: str) -> Reply:
        """Ask for `target`."""
        return ask(self.resource, target, method, **headers)

    def assert_refused(self, *targets: str) -> None:
        """Each is a 404 that says nothing, with and without a browser's Accept."""
        for target in targets:
            for headers in ({}, {"Accept": BROWSER}):
                reply = self.ask(target, **headers)
                self.assertEqual((reply.status, reply.body), (404, b"404 Not Found\n"), target)


class Names(Folders):
    """What can be had."""

    def test_interface(self) -> None:
        """It is a resource for any place in a tree, and takes no children."""
        verifyObject(IResource, self.resource)
        assert isinstance(self.resource, StaticDir)
        self.assertRaises(TypeError, self.resource.putChild, b"x", Resource())

    def test_files(self) -> None:
        """Files are found by their decoded names."""
        for target, body in (
            *(("/app.js", b"js"), ("/app.js?v=1", b"js"), ("/sub%20dir/index.html", b"sub")),
            *(("/100%25.txt", b"percent"), ("/%C3%BC.txt", b"u"), ("/.well-known/x", b"public")),
        ):
            self.assertEqual(self.ask(target).body, body, target)

    def test_index(self) -> None:
        """A folder's URL is answered by its index."""
        self.assertEqual(self.ask("/").body, b"home")
        reply = self.ask("/sub%20dir/")
        self.assertEqual(
            (reply.body, reply.headers["content-type"]), (b"sub", "text/html; charset=utf-8")
        )

    def test_no_listing(self) -> None:
        """A folder without an index is a 404, and so is a file with a slash."""
        self.assert_refused("/sub%20dir/deep/", "/app.js/", "/nothing", "/nothing/")

    def test_own_index(self) -> None:
        """Index names are tried in order; one that is a folder is passed over."""
        (self.folder / "first.html").mkdir()
        self.resource = static_dir(self.folder, index=("first.html", "app.js"))
        self.assertEqual(self.ask("/").body, b"js")
        self.resource = static_dir(self.folder, index=())
        self.assert_refused("/")

    def test_methods(self) -> None:
        """GET, HEAD and OPTIONS, and a 405 that says so."""
        head = self.ask("/app.js", "HEAD")
        self.assertEqual((head.status, head.body, head.headers["content-length"]), (200, b"", "2"))
        self.assertEqual(self.ask("/app.js", "OPTIONS").headers["allow"], "GET, HEAD, OPTIONS")
        self.assertEqual(self.ask("/app.js", "DELETE").status, 405)

    def test_cache_control_by_name(self) -> None:
        """Names with a hash can be kept for ever, the rest asked for each time."""

        def control(name: str) -> str:
            return "immutable" if name.endswith(".js") else "no-cache"

        self.resource = static_dir(self.folder, cache_control=control)
        self.assertEqual(self.ask("/app.js").headers["cache-control"], "immutable")
        self.assertEqual(self.ask("/").headers["cache-control"], "no-cache")

    def test_cache_control_that_fails(self) -> None:
        """A mistake of the app in the middle of an answer leaves no file open."""

        def control(name: str) -> str:
            raise KeyError(name)

        self.resource = static_dir(self.folder, cache_control=control)
        self.assertEqual(self.ask("/app.js").status, 500)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(open_below(self.folder), [])

    def test_sidecars(self) -> None:
        """F8: sidecars are used without asking for it, and Vary says so in any case."""
        (self.folder / "app.js.br").write_bytes(b"brotli")
        reply = self.ask("/app.js", Accept_Encoding="gzip, br")
        self.assertEqual((reply.body, reply.headers["content-encoding"]), (b"brotli", "br"))
        self.assertEqual(reply.headers["content-type"], "text/javascript; charset=utf-8")
        self.assertEqual(self.ask("/app.js").headers["vary"], "Accept-Encoding")

    def test_folder_must_exist(self) -> None:
        """A folder or fallback that is not there is an error at once."""
        self.assertRaises(NotADirectoryError, static_dir, self.folder / "nothing")
        self.assertRaises(NotADirectoryError, static_dir, self.folder / "app.js")
        self.assertRaises(FileNotFoundError, static_dir, self.folder, fallback="nothing.html")
        self.assertRaises(FileNotFoundError, static_dir, self.folder, fallback="../secret.txt")

    def test_unreadable(self) -> None:
        """A file that may not be read is a 403, and the log says why."""
        refusal = PermissionError(13, "Permission denied")
        real_open = os.open

        def guarded(path: bytes, flags: int) -> int:
            if path.endswith(b"app.js"):
                raise refusal
            return real_open(path, flags)

        self.patch(os, "open", guarded)
        self.assertEqual(self.ask("/app.js").status, 403)

    def test_out_of_descriptors(self) -> None:
        """A server without a free descriptor asks to come back."""

        def exhausted(path: bytes, flags: int) -> int:
            raise OSError(24, "Too many open files")

        self.patch(os, "open", exhausted)
        reply = self.ask("/app.js")
        self.assertEqual((reply.status, reply.headers["retry-after"]), (503, "1"))


class RefusedTests(Folders):
    """F9: ways out of the folder."""

    def test_upwards(self) -> None:
        """F9: dots, plain or encoded, lead nowhere."""
        self.assert_refused(
            *("/../secret.txt", "/%2e%2e/secret.txt", "/.%2e/secret.txt", "/..%2fsecret.txt"),
            *("/sub%20dir/../../secret.txt", "/sub%20dir/../app.js", "/./app.js", "/%2e/app.js"),
        )

    def test_twice_encoded(self) -> None:
        """F9: what is encoded twice is decoded once, and then no such file."""
        self.assert_refused(
            "/%252e%252e/secret.txt", "/..%252fsecret.txt", "/%252e%252e%252fsecret.txt"
        )

    def test_backslashes(self) -> None:
        """F9: backslashes are no separators, and refused."""
        self.assert_refused("/..\\secret.txt", "/%5c..%5csecret.txt", "/..%5csecret.txt", "/a%5cb")

    def test_absolute(self) -> None:
        """F9: a name that would be absolute is refused."""
        secret = str((self.outside / "secret.txt").absolute())
        self.assert_refused("//etc/passwd", "/" + secret, "/%2fetc%2fpasswd", "///app.js", "/C:/x")

    def test_controls(self) -> None:
        """F9: NUL and other control characters are refused."""
        self.assert_refused("/app.js%00", "/app.js%00.txt", "/a%0ab", "/a%7f")

    def test_dot_files(self) -> None:
        """F9: files and folders with a leading dot do not exist, but for .well-known."""
        self.assert_refused("/.env", "/.git/config", "/%2egit/config", "/.git/", "/.git")
        self.assertEqual(self.ask("/.well-known/x").status, 200)

    def test_too_long(self) -> None:
        """A name longer than a file system takes is refused."""
        self.assert_refused("/" + "a" * 300, "/" + "/".join(["a" * 200] * 30))

    def test_links_out(self) -> None:
        """F9: a link that leads out is refused: as a file, a folder, an index and a sidecar."""
        (self.folder / "link.txt").symlink_to(self.outside.absolute() / "secret.txt")
        (self.folder / "relative.txt").symlink_to("../secret.txt")
        (self.folder / "up").symlink_to(self.outside.absolute())
        (self.folder / "sub dir" / "index.html").unlink()
        (self.folder / "sub dir" / "index.html").symlink_to(self.outside.absolute() / "secret.txt")
        self.assert_refused(
            *("/link.txt", "/relative.txt", "/up/secret.txt", "/up", "/up/", "/sub%20dir/")
        )
        (self.folder / "app.js.gz").symlink_to(self.outside.absolute() / "secret.txt")
        reply = self.ask("/app.js", Accept_Encoding="gzip")
        self.assertEqual((reply.status, reply.body), (200, b"js"))

    def test_never_the_fallback(self) -> None:
        """F9: what is refused is a 404 even where there is a fallback."""
        self.resource = static_dir(self.folder, fallback="index.html")
        (self.folder / "link").symlink_to(self.outside.absolute() / "secret.txt")
        self.assert_refused("/../secret", "/%2e%2e/secret", "/..%2fsecret", "/.git", "//etc/passwd")

    def test_links_inside(self) -> None:
        """A link that stays inside works."""
        (self.folder / "link.js").symlink_to("app.js")
        (self.folder / "alias").symlink_to("sub dir")
        self.assertEqual(self.ask("/link.js").body, b"js")
        self.assertEqual(self.ask("/alias/").body, b"sub")

    def test_switched_link(self) -> None:
        """A folder that is itself a link may be switched to the next release."""
        current, release = self.outside / "current", self.outside / "release2"
        release.mkdir()
        (release / "app.js").write_bytes(b"new")
        current.symlink_to("www")
        self.resource = static_dir(current)
        self.assertEqual(self.ask("/app.js").body, b"js")
        current.unlink()
        current.symlink_to("release2")
        self.assertEqual(self.ask("/app.js").body, b"new")
        self.assert_refused("/%C3%BC.txt")

    def test_other_folder_with_the_same_beginning(self) -> None:
        """F9: a folder beside it whose name begins alike is outside."""
        (self.outside / "www-private").mkdir()
        (self.outside / "www-private" / "x").write_bytes(b"secret")
        (self.folder / "x").symlink_to(self.outside.absolute() / "www-private" / "x")
        self.assert_refused("/x")


class Redirects(Folders):
    """From ``/dir`` to ``/dir/``."""

    def test_slash(self) -> None:
        """A folder asked for without its slash is a permanent redirect, query kept."""
        reply = self.ask("/sub%20dir?a=1&b=//x")
        self.assertEqual((reply.status, reply.headers["location"]), (308, "./sub%20dir/?a=1&b=//x"))
        self.assertEqual(self.ask("/sub%20dir").headers["location"], "./sub%20dir/")

    def test_never_elsewhere(self) -> None:
        """No name of a folder makes the redirect lead to another host or scheme."""
        for name in ("evil.com", "http:", "javascript:x", "@evil", "a?b", "a#b"):
            (self.folder / name).mkdir()
        self.assertEqual(self.ask("//evil.com").status, 404)
        self.assertEqual(self.ask("//evil.com/..").status, 404)
        self.assertEqual(self.ask("/evil.com").headers["location"], "./evil.com/")
        self.assertEqual(self.ask("/http:").headers["location"], "./http%3A/")
        self.assertEqual(self.ask("/javascript:x").headers["location"], "./javascript%3Ax/")
        self.assertEqual(self.ask("/a%3fb").headers["location"], "./a%3Fb/")
        self.assertEqual(self.ask("/a%23b").headers["location"], "./a%23b/")

    def test_mounted(self) -> None:
        """The folder's own URL without a slash is redirected too."""
        root = Resource()
        root.putChild(b"static", self.resource)
        self.resource = root
        self.assertEqual(self.ask("/static").headers["location"], "./static/")
        self.assertEqual(self.ask("/static/").body, b"home")
        self.assertEqual(self.ask("/static/app.js").body, b"js")


class Fallback(Folders):
    """F10: single page apps."""

    def setUp(self) -> None:
        super().setUp()
        self.resource = static_dir(self.folder, fallback="/index.html", precompressed=())

    def test_navigation(self) -> None:
        """F10: a browser that navigates to a page that is no file gets the app."""
        for target in ("/app/route", "/nothing/", "/users/42?tab=1"):
            reply = self.ask(target, Accept=BROWSER)
            self.assertEqual((reply.status, reply.body), (200, b"home"), target)
            self.assertEqual(reply.headers["vary"], "Accept, Sec-Fetch-Mode")
        self.assertEqual(self.ask("/app/route", "HEAD", Accept=BROWSER).status, 200)

    def test_not_for_assets(self) -> None:
        """F10: a missing script is a 404 and not a page."""
        self.assert_refused("/missing.js", "/assets/missing.css")

    def test_not_for_scripts(self) -> None:
        """F10: what a script fetches is a 404 where it is missing."""
        for headers in (
            *({}, {"Accept": "*/*"}, {"Accept": "application/json"}, {"Accept": "text/htmlx"}),
            {"Accept": BROWSER, "Sec_Fetch_Mode": "cors"},
        ):
            reply = self.ask("/api/thing", **headers)
            self.assertEqual(reply.status, 404, headers)
            self.assertEqual(reply.headers["vary"], "Accept, Sec-Fetch-Mode")
        reply = self.ask("/api/thing", Accept=BROWSER, Sec_Fetch_Mode="navigate")
        self.assertEqual(reply.status, 200)

    def test_files_first(self) -> None:
        """F10: a file that is there is sent, whoever asks."""
        self.assertEqual(self.ask("/app.js", Accept=BROWSER).body, b"js")
        self.assertNotIn("vary", self.ask("/app.js", Accept=BROWSER).headers)


class FromKlein(Folders):
    """A folder below a Klein route."""

    def setUp(self) -> None:
        super().setUp()
        app, files = Klein(), static_dir(self.folder)

        @app.route("/files/", branch=True)
        def route(request: Request) -> StaticDir:
            return files

        self.resource = app.resource()

    def test_route(self) -> None:
        """A route with ``branch=True`` returns the folder, whole and in parts."""
        self.assertEqual(self.ask("/files/app.js").body, b"js")
        self.assertEqual(self.ask("/files/").body, b"home")
        self.assertEqual(self.ask("/files/app.js", Range="bytes=1-").body, b"s")
        self.assertEqual(self.ask("/files/app.js", "HEAD").headers["content-length"], "2")
        self.assertEqual(self.ask("/files/sub%20dir").headers["location"], "./sub%20dir/")

    def test_refused(self) -> None:
        """F9: Klein's own decoding opens no way out either."""
        self.assert_refused(
            *("/files/..%2fsecret.txt", "/files/%2e%2e/secret.txt", "/files/.env"),
            *("/files/%252e%252e/secret.txt", "/files/%5c..%5csecret.txt", "/files/app.js%00"),
        )


class Resolve(SynchronousTestCase):
    """F9: names inside, and everything else."""

    def test_names(self) -> None:
        """Plain names are joined; a slash at the end asks for a folder."""
        for segments, relative, is_folder in (
            *(([], b"", False), ([b""], b"", True), ([b"a"], b"a", False)),
            *(([b"a", b"b c.txt"], b"a/b c.txt", False), ([b"a", b""], b"a", True)),
            *(([b"a%2e"], b"a%2e", False), ([b"\xc3\xbc"], b"\xc3\xbc", False)),
            ([b".well-known", b"x"], b".well-known/x", False),
        ):
            self.assertEqual(resolve(segments), Inside(relative, is_folder), segments)

    def test_refused(self) -> None:
        """F9: dots, slashes, backslashes, NUL, controls, dot files, drives, empty names."""
        for segment in (
            *(b".", b"..", b".git", b".env", b"...", b"a/b", b"../x", b"/etc", b"a\\b", b"..\\"),
            *(b"\\", b"a\x00", b"a\nb", b"\x7f", b"x" * 256),
        ):
            self.assertIsInstance(resolve([segment]), Refused, segment)
            self.assertIsInstance(resolve([b"a", segment, b"b"]), Refused, segment)
        for segments in (
            *([b"", b"etc", b"passwd"], [b"a", b"", b"b"], [b"", b""], [b"C:", b"x"]),
            *([b"a", b".well-known"], [b".well-known", b".x"], [b"x" * 250] * 20),
        ):
            self.assertIsInstance(resolve(segments), Refused, segments)

    @given(st.lists(st.binary(max_size=8), max_size=5))
    def test_any_segments(self, segments: list[bytes]) -> None:
        """Whatever is asked, a name that is let through goes down only."""
        found = resolve(segments)
        if isinstance(found, Inside):
            self.assertFalse(found.relative.startswith(b"/"))
            self.assertNotIn(b"\x00", found.relative)
            parts = found.relative.split(b"/") if found.relative else []
            self.assertFalse({b"", b".", b".."} & set(parts))
