"""One file as the answer to one request, over HTTP/1.1 in memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from takotwist.streams.files import response as respond
from takotwist.streams.files import serve_file
from takotwist.streams.files.headers import format_http_date
from tests.streams.files.exchange import NOW, Connection, Reply, ask, open_below, parse

CONTENT = bytes(range(256)) * 4
MODIFIED = 784_111_777
SAME_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


class One(Resource):
    """Serves one file at every path."""

    isLeaf = True

    def __init__(self, path: Path, **options: object) -> None:
        super().__init__()
        self.path = path
        self.options = options
        self.results: list[object] = []
        self.deferred: Deferred[bool] | None = None

    def render(self, request: Request) -> int:
        self.deferred = serve_file(request, self.path, **self.options)  # type: ignore[arg-type]
        self.deferred.addBoth(self.results.append)
        return NOT_DONE_YET


class Files(SynchronousTestCase):
    """A file of 1,024 bytes."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.write("data.txt", CONTENT)
        self.resource = One(self.path)

    def write(self, name: str, content: bytes, modified: int = MODIFIED) -> Path:
        """A file with a known time."""
        path = self.folder / name
        path.write_bytes(content)
        os.utime(path, (modified, modified))
        return path

    def ask(self, method: str = "GET", **headers: str) -> Reply:
        """Ask for the file."""
        return ask(self.resource, "/", method, **headers)


class Whole(Files):
    """Without conditions and ranges."""

    def test_get(self) -> None:
        """A file is sent whole, described, and not to be sniffed."""
        reply = self.ask()
        self.assertEqual((reply.status, reply.body), (200, CONTENT))
        for name, value in (
            ("content-length", "1024"),
            ("content-type", "text/plain; charset=utf-8"),
            ("last-modified", SAME_DATE),
            ("accept-ranges", "bytes"),
            ("cache-control", "no-cache"),
            ("x-content-type-options", "nosniff"),
        ):
            self.assertEqual(reply.headers[name], value)
        self.assertRegex(reply.headers["etag"], r'^"[^"]+"$')
        self.assertEqual(self.resource.results, [True])

    def test_head(self) -> None:
        """F11: HEAD has every header of GET, length included, and no body; it has no ranges."""
        got, head = self.ask(), self.ask("HEAD")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(
            {k: v for k, v in head.headers.items() if k != "date"},
            {k: v for k, v in got.headers.items() if k != "date"},
        )
        self.assertEqual(self.ask("HEAD", Range="bytes=0-9").status, 200)

    def test_other_methods(self) -> None:
        """OPTIONS tells the methods; the others are refused with them."""
        options = self.ask("OPTIONS")
        self.assertEqual((options.status, options.body), (204, b""))
        for method in ("POST", "PUT", "DELETE", "PATCH", "BREW"):
            refused = self.ask(method)
            self.assertEqual(refused.status, 405)
            self.assertEqual(refused.headers["allow"], options.headers["allow"])
        self.assertEqual(options.headers["allow"], "GET, HEAD, OPTIONS")

    def test_empty(self) -> None:
        """F2: an empty file is an empty 200; every range of it is unsatisfiable."""
        self.resource.path = self.write("empty", b"")
        reply = self.ask()
        self.assertEqual(
            (reply.status, reply.body, reply.headers["content-length"]), (200, b"", "0")
        )
        for value in ("bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"):
            reply = self.ask(Range=value)
            self.assertEqual(reply.status, 416)
            self.assertEqual(reply.headers["content-range"], "bytes */0")

    def test_name_and_type(self) -> None:
        """F14: an app can give a name and a type; a hostile name stays inside its header."""
        self.resource.options = {
            "filename": 'ä"\r\nX-Evil: 1.txt',
            "disposition": "attachment",
            "content_type": "text/x-test",
            "cache_control": None,
        }
        reply = self.ask()
        self.assertEqual(reply.headers["content-type"], "text/x-test")
        self.assertNotIn("x-evil", reply.headers)
        self.assertNotIn("cache-control", reply.headers)
        self.assertEqual(
            reply.headers["content-disposition"],
            "attachment; filename=\"a_X-Evil_ 1.txt\"; filename*=UTF-8''%C3%A4%22X-Evil%3A%201.txt",
        )

    def test_file_from_the_future(self) -> None:
        """Last-Modified is never later than the answer's own date."""
        self.patch(respond.time, "time", lambda: NOW)
        self.write("data.txt", CONTENT, modified=int(NOW) + 1000)
        self.assertEqual(self.ask().headers["last-modified"], format_http_date(NOW).decode())

    def test_impossible_type(self) -> None:
        """A mistake of the app in the middle of an answer leaves no file open."""
        self.resource.options = {"content_type": "text/\u20ac"}
        self.assertEqual(self.ask().status, 500)
        self.assertEqual(len(self.flushLoggedErrors(UnicodeEncodeError)), 1)
        self.assertEqual(open_below(self.folder), [])

    def test_unknown_coding(self) -> None:
        """A coding without a known suffix is a mistake of the app, named at once."""
        self.resource.options = {"precompressed": ("deflate",)}
        self.assertEqual(self.ask().status, 500)
        (error,) = self.flushLoggedErrors(ValueError)
        self.assertIn("deflate", str(error.value))


class Ranges(Files):
    """Parts of a file."""

    def test_single(self) -> None:
        """F1: each form of a range is a 206 with the right bytes and Content-Range."""
        for value, start, stop in (
            *(("0-9", 0, 10), ("5-", 5, 1024), ("-5", 1019, 1024), ("0-0", 0, 1)),
            *(("0-999999", 0, 1024), ("-999999", 0, 1024)),
        ):
            reply = self.ask(Range=f"bytes={value}")
            self.assertEqual((reply.status, reply.body), (206, CONTENT[start:stop]), value)
            self.assertEqual(reply.headers["content-range"], f"bytes {start}-{stop - 1}/1024")
            self.assertEqual(reply.headers["content-length"], str(stop - start))
            self.assertEqual(reply.headers["content-type"], "text/plain; charset=utf-8")
            for name in ("etag", "last-modified", "cache-control"):
                self.assertIn(name, reply.headers)

    def test_unsatisfiable(self) -> None:
        """F2: a range past the end is a 416 that tells the size and nothing of the file's type."""
        phrase = f"416 {HTTPStatus(416).phrase}\n".encode()  # Python 3.13 words it anew
        for value in ("1024-", "5000-6000", "-0"):
            reply = self.ask(Range=f"bytes={value}")
            self.assertEqual(reply.status, 416, value)
            self.assertEqual(reply.headers["content-range"], "bytes */1024")
            self.assertEqual(reply.headers["cache-control"], "no-store")
            self.assertEqual(reply.body, phrase)
            self.assertNotIn("etag", reply.headers)

    def test_malformed(self) -> None:
        """F3: a range that cannot be read is ignored, and the file is sent whole."""
        for value in ("bytes=abc", "items=0-1", "bytes=9-3", "bytes=0-1,x"):
            reply = self.ask(Range=value)
            self.assertEqual((reply.status, reply.body), (200, CONTENT), value)

    def test_repeated_header(self) -> None:
        """F3: two Range headers are no Range header."""
        connection = Connection(self.resource)
        connection.protocol.dataReceived(
            b"GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\nRange: bytes=0-1\r\n\r\n"
        )
        self.assertEqual(parse(connection.received()).status, 200)

    def test_several(self) -> None:
        """Ranges far apart come as multipart/byteranges, whose length is right."""
        reply = self.ask(Range="bytes=500-503,0-1")
        kind, _, boundary = reply.headers["content-type"].partition("; boundary=")
        self.assertEqual((reply.status, kind), (206, "multipart/byteranges"))
        self.assertNotIn("content-range", reply.headers)
        self.assertEqual(reply.headers["content-length"], str(len(reply.body)))
        mark = boundary.encode()
        self.assertEqual(
            reply.body,
            b"--%(b)s\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Range: bytes 500-503/1024\r\n\r\n%(one)s\r\n"
            b"--%(b)s\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Range: bytes 0-1/1024\r\n\r\n%(two)s\r\n--%(b)s--\r\n"
            % {b"b": mark, b"one": CONTENT[500:504], b"two": CONTENT[:2]},
        )

    def test_several_that_become_one(self) -> None:
        """Ranges that touch are one range, and then no multipart."""
        reply = self.ask(Range="bytes=0-9,10-19,2000-")
        self.assertEqual(reply.headers["content-range"], "bytes 0-19/1024")
        self.assertEqual(reply.body, CONTENT[:20])

    def test_if_range(self) -> None:
        """F4: the same strong tag gives the range; anything else the whole file."""
        etag = self.ask().headers["etag"]
        for value, status in (
            *((etag, 206), (SAME_DATE, 206), ("W/" + etag, 200), ('"other"', 200)),
            *(("Sun, 06 Nov 1994 08:49:36 GMT", 200), ("nonsense", 200)),
        ):
            reply = self.ask(Range="bytes=1-2", If_Range=value)
            self.assertEqual(reply.status, status, value)
            self.assertEqual(reply.body, CONTENT[1:3] if status == 206 else CONTENT)

    def test_if_range_of_a_changed_file(self) -> None:
        """F4: a download is not resumed with the bytes of another version."""
        etag = self.ask().headers["etag"]
        self.write("data.txt", CONTENT[::-1])
        os.utime(self.path, ns=(0, MODIFIED * 10**9 + 1))
        reply = self.ask(Range="bytes=100-", If_Range=etag)
        self.assertEqual((reply.status, reply.body), (200, CONTENT[::-1]))


class Conditional(Files):
    """Preconditions, seen from outside."""

    def test_not_modified(self) -> None:
        """F5: a matching tag is a 304 with the headers a cache needs and no body."""
        etag = self.ask().headers["etag"]
        for value in (etag, "W/" + etag, f'"x", {etag}', "*"):
            reply = self.ask(If_None_Match=value, If_Modified_Since="Sat, 05 Nov 1994 00:00:00 GMT")
            self.assertEqual((reply.status, reply.body), (304, b""), value)
            self.assertEqual(reply.headers["etag"], etag)
            self.assertEqual(reply.headers["cache-control"], "no-cache")
            self.assertIn("date", reply.headers)
            self.assertNotIn("content-length", reply.headers)
            self.assertNotIn("content-type", reply.headers)

    def test_tag_beats_date(self) -> None:
        """F5: a tag that does not match is a 200, whatever the date says."""
        reply = self.ask(If_None_Match='"x"', If_Modified_Since=SAME_DATE)
        self.assertEqual(reply.status, 200)

    def test_dates(self) -> None:
        """F7: the three forms of a date work in If-Modified-Since."""
        for value in (SAME_DATE, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"):
            self.assertEqual(self.ask(If_Modified_Since=value).status, 304, value)
        self.assertEqual(self.ask(If_Modified_Since="Sun, 06 Nov 1994 08:49:36 GMT").status, 200)

    def test_failed(self) -> None:
        """F6: If-Match with a weak tag, and a file changed since a date, are 412s."""
        etag = self.ask().headers["etag"]
        self.assertEqual(self.ask(If_Match=etag).status, 200)
        self.assertEqual(self.ask(If_Match="W/" + etag).status, 412)
        reply = self.ask(If_Unmodified_Since="Sun, 06 Nov 1994 08:49:36 GMT")
        self.assertEqual((reply.status, reply.body), (412, b"412 Precondition Failed\n"))

    def test_condition_before_range(self) -> None:
        """A 304 or 412 wins over a range."""
        etag = self.ask().headers["etag"]
        self.assertEqual(self.ask(If_None_Match=etag, Range="bytes=0-1").status, 304)
        self.assertEqual(self.ask(If_Match='"x"', Range="bytes=5000-").status, 412)


class Codings(Files):
    """Sidecars."""

    def setUp(self) -> None:
        super().setUp()
        self.write("data.txt.br", b"brotli", MODIFIED + 5)
        self.write("data.txt.gz", b"gzipped", MODIFIED)
        self.resource.options = {"precompressed": ("br", "gzip")}

    def test_negotiation(self) -> None:
        """F8: weights choose the sidecar; type, tag, Vary and length are right for each."""
        tags = set()
        for header, coding, body in (
            *(("gzip, br", "br", b"brotli"), ("gzip;q=1, br;q=0.5", "gzip", b"gzipped")),
            *(("br;q=0, gzip", "gzip", b"gzipped"), ("br;q=0.0, *", "gzip", b"gzipped")),
            *(("*", "br", b"brotli"), ("deflate", None, CONTENT), ("", None, CONTENT)),
        ):
            reply = self.ask(Accept_Encoding=header)
            self.assertEqual((reply.status, reply.body), (200, body), header)
            self.assertEqual(reply.headers.get("content-encoding"), coding, header)
            self.assertEqual(reply.headers["content-type"], "text/plain; charset=utf-8")
            self.assertEqual(reply.headers["vary"], "Accept-Encoding")
            self.assertEqual(reply.headers["content-length"], str(len(body)))
            self.assertEqual(reply.headers["last-modified"], SAME_DATE)
            tags.add(reply.headers["etag"])
        self.assertEqual(len(tags), 3)

    def test_vary_everywhere(self) -> None:
        """F8: whatever the answer about the file, it says that it depends on Accept-Encoding."""
        etag = self.ask().headers["etag"]
        for status, headers in (
            *((200, {}), (206, {"Range": "bytes=0-1"}), (416, {"Range": "bytes=9999-"})),
            *((304, {"If_None_Match": etag}), (412, {"If_Match": '"x"'})),
            (406, {"Accept_Encoding": "identity;q=0, *;q=0"}),
        ):
            reply = self.ask(**headers)
            self.assertEqual((reply.status, reply.headers["vary"]), (status, "Accept-Encoding"))

    def test_range_is_of_the_original(self) -> None:
        """A range is taken from the original, even where a sidecar would be sent whole."""
        reply = self.ask(Accept_Encoding="br", Range="bytes=0-3")
        self.assertEqual((reply.status, reply.body), (206, CONTENT[:4]))
        self.assertNotIn("content-encoding", reply.headers)

    def test_resuming_a_sidecar(self) -> None:
        """F4: the tag of a sidecar never gives a range of the original."""
        etag = self.ask(Accept_Encoding="br").headers["etag"]
        reply = self.ask(Accept_Encoding="br", Range="bytes=3-", If_Range=etag)
        self.assertEqual((reply.status, reply.body), (200, CONTENT))

    def test_revalidating_a_sidecar(self) -> None:
        """F8: each coding is revalidated by its own tag."""
        etag = self.ask(Accept_Encoding="br").headers["etag"]
        self.assertEqual(self.ask(Accept_Encoding="br", If_None_Match=etag).status, 304)
        self.assertEqual(self.ask(Accept_Encoding="gzip", If_None_Match=etag).status, 200)

    def test_stale_sidecar(self) -> None:
        """F8: a sidecar older than its original is never sent; the next best is."""
        self.write("data.txt.br", b"yesterday", MODIFIED - 1)
        self.assertEqual(self.ask(Accept_Encoding="br, gzip").body, b"gzipped")
        self.write("data.txt.gz", b"yesterday", MODIFIED - 1)
        reply = self.ask(Accept_Encoding="br, gzip")
        self.assertEqual((reply.body, reply.headers["vary"]), (CONTENT, "Accept-Encoding"))

    def test_sidecar_without_original(self) -> None:
        """A sidecar alone is no file."""
        self.path.unlink()
        self.assertEqual(self.ask(Accept_Encoding="br").status, 404)


class Refusals(Files):
    """When there is no file to send."""

    def test_missing(self) -> None:
        """A file that is not there is a short 404, not to be stored."""
        self.path.unlink()
        reply = self.ask()
        self.assertEqual((reply.status, reply.body), (404, b"404 Not Found\n"))
        self.assertEqual(reply.headers["cache-control"], "no-store")
        self.assertEqual(reply.headers["content-type"], "text/plain; charset=utf-8")
        head = self.ask("HEAD")
        self.assertEqual((head.status, head.body), (404, b""))
        self.assertEqual(head.headers["content-length"], "14")

    def test_no_regular_file(self) -> None:
        """A folder and a pipe are no files, and a pipe does not hang the server."""
        self.resource.path = self.folder
        self.assertEqual(self.ask().status, 404)
        os.mkfifo(self.folder / "pipe")
        self.resource.path = self.folder / "pipe"
        self.assertEqual(self.ask().status, 404)

    def test_own_page(self) -> None:
        """An app can render its own error pages."""

        def page(request: Request, status: int) -> tuple[str, bytes]:
            return "text/html; charset=utf-8", b"<h1>%d</h1>" % status

        self.resource.options = {"render_error": page}
        self.assertEqual(self.ask(Range="bytes=9999-").body, b"<h1>416</h1>")
        self.path.unlink()
        reply = self.ask()
        self.assertEqual((reply.status, reply.body), (404, b"<h1>404</h1>"))
        self.assertEqual(reply.headers["content-type"], "text/html; charset=utf-8")

    def test_own_page_that_fails(self) -> None:
        """An error page that fails is logged, and the plain one is sent."""

        def page(request: Request, status: int) -> tuple[str, bytes]:
            raise KeyError("template")

        self.resource.options = {"render_error": page}
        self.path.unlink()
        self.assertEqual(self.ask().body, b"404 Not Found\n")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_reader_already_gone(self) -> None:
        """A reader that left while the app made up its mind costs nothing and no error."""
        waiting: Deferred[None] = Deferred()
        results: list[object] = []

        class Slow(Resource):
            isLeaf = True

            def render(slf, request: Request) -> int:
                waiting.addCallback(lambda _: serve_file(request, self.path))
                waiting.addBoth(results.append)
                return NOT_DONE_YET

        connection = Connection(Slow())
        connection.send("/")
        connection.disconnect()
        waiting.callback(None)
        self.assertEqual(results, [False])


class FromKlein(Files):
    """Inside a Klein route."""

    def route(self, function: Callable[[Request], object]) -> IResource:
        """An app with one route."""
        app = Klein()
        app.route("/file")(lambda request: function(request))
        resource: IResource = app.resource()
        return resource

    def test_small_and_large(self) -> None:
        """A route returns what `serve_file` returns, for bodies of any size."""
        app = self.route(lambda request: serve_file(request, self.path))
        self.assertEqual(ask(app, "/file").body, CONTENT)
        self.path.write_bytes(CONTENT * 1000)
        reply = ask(app, "/file", Range="bytes=-300000")
        self.assertEqual((reply.status, reply.body), (206, (CONTENT * 1000)[-300000:]))
        self.assertEqual(ask(app, "/file", "HEAD").headers["content-length"], "1024000")

    def test_coroutine(self) -> None:
        """A route that is a coroutine can await it."""

        async def route(request: Request) -> None:
            await serve_file(request, self.path)

        self.assertEqual(ask(self.route(route), "/file").body, CONTENT)

    def test_reader_leaves(self) -> None:
        """A reader that leaves in the middle leaves no error behind, and no open file."""
        self.path.write_bytes(CONTENT * 1000)
        app = self.route(lambda request: serve_file(request, self.path))
        connection = Connection(app)
        connection.send("/file")
        connection.transport.read()
        connection.disconnect()
        self.assertEqual(open_below(self.folder), [])
        self.assertEqual(connection.clock.getDelayedCalls(), [])


class Cancelling(Files):
    """The Deferred of an answer under way."""

    def test_cancel(self) -> None:
        """Cancelling it cuts the reader off, so that it does not take a part for the whole."""
        self.path.write_bytes(CONTENT * 1000)
        connection = Connection(self.resource)
        connection.send("/")
        assert self.resource.deferred is not None
        self.assertEqual(self.resource.results, [])
        self.resource.deferred.cancel()
        self.assertTrue(connection.transport.aborting)
        self.assertIsInstance(getattr(self.resource.results[0], "value", None), CancelledError)
