"""Plain HTTP/3 requests reach the resources of a site."""

from __future__ import annotations

import json
from pathlib import Path

from aioquic.h3.connection import ErrorCode
from aioquic.quic.events import StopSendingReceived, StreamReset
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from takotwist.streams.files import static_dir
from takotwist.streams.http3 import Http3Config
from takotwist.streams.sse.stream import EventStream
from tests.streams.http3.resources import Open, Recorder
from tests.streams.http3.wire import Net

TOO_LARGE = "A body may have 10 bytes here."


class RequestTests(SynchronousTestCase):
    """What a resource sees, and what the client gets."""

    def test_get(self) -> None:
        """A GET has its method, its path with the query, and HTTP/3 for a protocol."""
        client = Net(Recorder()).client()
        stream = client.request("/a/b?c=d")
        client.net.pump()
        self.assertEqual(client.status(stream), 200)
        self.assertEqual(client.body(stream), b"GET|/a/b?c=d|HTTP/3|0|")
        self.assertTrue(client.ended(stream))

    def test_fields(self) -> None:
        """``Host`` comes from the authority, split cookies are one, others are as sent."""
        recorder = Recorder()
        client = Net(recorder).client()
        client.request(cookie="a=1; b=2", x_thing="yes")
        client.net.pump()
        [request] = recorder.requests
        self.assertEqual(request.getHeader("host"), "localhost")
        self.assertEqual(request.getHeader("x-thing"), "yes")
        self.assertEqual(request.getCookie(b"b"), b"2")
        self.assertEqual(request.getClientAddress().host, "192.0.2.7")

    def test_body(self) -> None:
        """A body of many packets arrives whole."""
        client = Net(Recorder()).client()
        stream = client.request("/", "POST", b"x" * 100_000)
        client.net.pump(1)
        self.assertIn(b"|100000|", client.body(stream))

    def test_body_announced_too_large(self) -> None:
        """A body that says it is over the bound is refused before it is sent."""
        client = Net(Recorder(), config=Http3Config(max_body_bytes=10)).client()
        stream = client.request("/", "POST", b"x" * 11, content_length="11")
        client.net.pump()
        self.assertEqual(client.status(stream), 413)
        self.assertEqual(json.loads(client.body(stream)), {"error": TOO_LARGE})

    def test_body_too_large(self) -> None:
        """A body that goes over the bound is refused, and its sender stopped."""
        recorder = Recorder()
        client = Net(recorder, config=Http3Config(max_body_bytes=10)).client()
        stream = client.request("/", "POST", b"x" * 300_000)
        client.net.pump()
        self.assertEqual(client.status(stream), 413)
        self.assertEqual(json.loads(client.body(stream)), {"error": TOO_LARGE})
        stopped = client.quic_event(StopSendingReceived, stream)
        self.assertEqual(stopped.error_code, ErrorCode.H3_NO_ERROR)
        self.assertEqual(recorder.requests, [])
        other = client.request()
        client.net.pump()
        self.assertEqual(client.status(other), 200)

    def test_head(self) -> None:
        """HEAD gives the head only, whatever the resource writes."""
        resource = Open()
        client = Net(resource).client()
        stream = client.request("/", "HEAD")
        client.net.pump()
        # Without a content-length, because aioquic's client takes that for the
        # length of what it gets, HEAD or not.
        resource.request.write(b"the body")
        resource.request.finish()
        client.net.pump()
        self.assertEqual(client.status(stream), 200)
        self.assertEqual(client.body(stream), b"")
        self.assertTrue(client.ended(stream))

    def test_unknown_path(self) -> None:
        """The site's own 404 is the answer."""
        client = Net(Resource()).client()
        stream = client.request("/nothing")
        client.net.pump()
        self.assertEqual(client.status(stream), 404)

    def test_no_path(self) -> None:
        """A path that is none is answered 400."""
        client = Net(Recorder()).client()
        stream = client.request("nothing")
        client.net.pump()
        self.assertEqual(client.status(stream), 400)

    def test_expect_continue(self) -> None:
        """A client that waits for leave to send gets it."""
        client = Net(Recorder()).client()
        stream = client.request("/", "POST", b"x", expect="100-continue")
        client.net.pump()
        self.assertEqual(client.statuses(stream), [100, 200])

    def test_connection_fields_are_dropped(self) -> None:
        """Fields of HTTP/1 that a resource sets do not make the response malformed."""
        resource = Open()
        client = Net(resource).client()
        stream = client.request()
        client.net.pump()
        resource.request.setHeader("connection", "keep-alive")
        resource.request.setHeader("X-Mixed-Case", "kept")
        resource.request.finish()
        client.net.pump()
        self.assertNotIn(b"connection", client.headers(stream))
        self.assertEqual(client.headers(stream)[b"x-mixed-case"], b"kept")

    def test_klein(self) -> None:
        """A Klein app answers, late as well."""
        app = Klein()
        later: Deferred[bytes] = Deferred()
        app.route("/late/<int:number>")(lambda request, number: later)
        client = Net(app.resource()).client()
        stream = client.request("/late/7")
        client.net.pump()
        self.assertIsNone(client.status(stream))
        later.callback(b"now")
        client.net.pump()
        self.assertEqual(client.body(stream), b"now")

    def test_events(self) -> None:
        """Server-sent events come one by one, unframed, and stop when the client leaves."""
        resource = Open()
        client = Net(resource).client()
        stream = client.request("/events")
        client.net.pump()
        events = EventStream(resource.request)
        self.assertTrue(events.open())
        self.assertEqual(events.framing, "raw")
        events.write(b"data: 1\n\n")
        client.net.pump()
        self.assertEqual(client.body(stream), b"data: 1\n\n")
        self.assertFalse(client.ended(stream))
        closed: list[bool] = []
        events.on_closed(lambda: closed.append(True))
        client.quic.stop_stream(stream, ErrorCode.H3_REQUEST_CANCELLED)
        client.net.pump()
        self.assertEqual(closed, [True])

    def test_secure(self) -> None:
        """A resource is told that the request came over TLS, and on which address."""
        resource = Open()
        client = Net(resource).client()
        client.request()
        client.net.pump()
        self.assertTrue(resource.request.isSecure())
        self.assertEqual(resource.request.getHost().port, 443)

    def test_files(self) -> None:
        """A folder is served at the reader's pace, ranges and validators included."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "big").write_bytes(bytes(range(256)) * 4000)
        net = Net()
        net.site.resource = static_dir(folder, reactor=net.clock)
        client = net.client()
        whole, part = client.request("/big"), client.request("/big", range="bytes=1000-1009")
        net.pump(5)
        self.assertEqual(client.body(whole), bytes(range(256)) * 4000)
        self.assertEqual((client.status(part), len(client.body(part))), (206, 10))
        again = client.request("/big", if_none_match=client.headers(whole)[b"etag"].decode())
        net.pump()
        self.assertEqual(client.status(again), 304)

    def test_file_that_shrinks(self) -> None:
        """A file that is cut while it is sent ends in a reset, never in a shorter body."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "big").write_bytes(b"x" * 3_000_000)
        net = Net()
        net.site.resource = static_dir(folder, reactor=net.clock)
        client = net.client()
        stream = client.request("/big")
        net.pump(0.03)
        (folder / "big").write_bytes(b"")
        net.pump(5)
        self.assertIsNotNone(client.quic_event(StreamReset, stream))
        self.assertFalse(client.ended(stream))
        self.assertEqual(net.server.connections, 1)

    def test_event_stream_abort(self) -> None:
        """An event stream that is dropped is reset; the connection stays."""
        resource = Open()
        client = Net(resource).client()
        stream = client.request("/events")
        client.net.pump()
        events = EventStream(resource.request)
        events.open()
        events.abort()
        client.net.pump()
        reset = client.quic_event(StreamReset, stream)
        self.assertEqual(reset.error_code, ErrorCode.H3_INTERNAL_ERROR)
        self.assertEqual(client.net.server.connections, 1)

    def test_reset_tells_the_resource(self) -> None:
        """`notifyFinish` fires when the client resets its request, or stops the response."""
        for leave in ("reset_stream", "stop_stream"):
            resource = Open()
            client = Net(resource).client()
            stream = client.request("/")
            client.net.pump()
            if leave == "reset_stream":
                client.quic.reset_stream(stream, ErrorCode.H3_REQUEST_CANCELLED)
            client.quic.stop_stream(stream, ErrorCode.H3_REQUEST_CANCELLED)
            client.net.pump()
            self.assertIsInstance(resource.ended[0], Failure)
            self.assertFalse(client.net.server.protocol.connections[0].busy)

    def test_connection_lost_tells_the_resource(self) -> None:
        """`notifyFinish` fires when the whole connection closes."""
        resource = Open()
        client = Net(resource).client()
        client.request("/")
        client.net.pump()
        client.quic.close()
        client.net.pump()
        self.assertIsInstance(resource.ended[0], Failure)

    def test_failing_resource(self) -> None:
        """A resource that raises is answered 500; the connection goes on."""

        class Failing(Resource):
            isLeaf = True

            def render_GET(self, request: object) -> bytes:
                raise RuntimeError("on purpose")

        client = Net(Failing()).client()
        stream = client.request("/")
        client.net.pump()
        self.assertEqual(client.status(stream), 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_malformed_form(self) -> None:
        """A multipart body that is none is answered 400."""
        client = Net(Recorder()).client()
        stream = client.request("/", "POST", b"nonsense", content_type="multipart/form-data")
        client.net.pump()
        self.assertEqual(client.status(stream), 400)
