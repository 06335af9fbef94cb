"""Private names of libraries: each with its library and the versions in which it was seen."""

from __future__ import annotations

import ast
import dis
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from pkgutil import walk_packages
from types import CodeType, FunctionType, ModuleType
from typing import Any

from aioquic.h3.connection import H3Connection
from aioquic.quic.connection import QuicConnection
from aioquic.quic.stream import QuicStreamReceiver, QuicStreamSender
from attrs import frozen
from autobahn.twisted.websocket import WebSocketServerProtocol
from OpenSSL import SSL
from psycopg import generators
from twisted.internet import asyncioreactor, endpoints, tcp, unix
from twisted.protocols import basic, tls
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import _http2, http, server

import takotwist
from takotwist.streams import seams

ROOT = Path(takotwist.__file__).parent

#: Distribution: the versions in which all of its names below were seen.
SEEN = {
    "Twisted": ("26.10.0",),
    "pyOpenSSL": ("26.4.0",),
    "aioquic": ("1.7.0", "1.7.2"),
    "autobahn": ("26.10.1", "26.10.2"),
    "psycopg": ("3.3.0", "3.3.9"),
}


@frozen
class Names:
    """Private names of one class or module.

    :ivar owner: has the names.
    :ivar place: the file that uses them, in `takotwist`, without its ending.
    """

    library: str
    owner: Any
    place: str
    names: str


USED = (
    # behind a seam
    Names("Twisted", endpoints, "streams/seams/reactor", "_SystemdParser"),
    Names("Twisted", endpoints._SystemdParser, "streams/seams/reactor", "_sddaemon"),
    Names("Twisted", tcp.Port, "streams/seams/reactor", "_preexistingSocket"),
    Names("Twisted", unix.Port, "streams/seams/reactor", "_preexistingSocket"),
    Names(
        "Twisted", asyncioreactor.AsyncioSelectorReactor, "streams/seams/reactor",
        "_asyncioEventloop",
    ),
    Names("Twisted", server.Request, "streams/seams/request", "_disconnected _encoder"),
    Names("Twisted", http.HTTPChannel, "streams/seams/request", "_networkProducer _dataBuffer"),
    Names("Twisted", _http2.H2Stream, "streams/seams/http2", "_conn"),
    Names(
        "Twisted", _http2.H2Connection, "streams/seams/http2",
        "_consumerBlocked _outboundStreamQueues _requestDone _tryToWriteControlData",
    ),
    Names("Twisted", tcp.Server, "streams/seams/socket", "_tempDataBuffer _tempDataLen"),
    Names(
        "Twisted", tls.BufferingTLSTransport, "streams/seams/socket",
        "_aggregator _appSendBuffer _flushSendBIO _handshakeDone _lostTLSConnection"
        " _tlsConnection",
    ),
    Names("Twisted", tls._AggregateSmallWrites, "streams/seams/socket", "_buffer"),
    Names("pyOpenSSL", SSL, "streams/seams/socket", "_lib _ffi"),
    Names("pyOpenSSL", SSL.Connection, "streams/seams/socket", "_ssl _from_ssl _raise_ssl_error"),
    # in their places: subclasses, and the pipe of an HTTP/2 stream
    Names(
        "Twisted", tls.BufferingTLSTransport, "tls/connection",
        "_aborted _flushReceiveBIO _lostTLSConnection _producer _tlsConnection"
        " _tlsShutdownFinished",
    ),
    Names("pyOpenSSL", SSL, "tls/connection", "_lib"),
    Names("pyOpenSSL", SSL.Connection, "tls/connection", "_ssl _from_ssl _into_ssl"),
    Names(
        "Twisted", http, "streams/http/body_framing",
        "_ChunkedTransferDecoder _MalformedChunkedDataError",
    ),
    Names(
        "Twisted", http._ChunkedTransferDecoder, "streams/http/body_framing",
        "_dataReceived_CHUNK_LENGTH",
    ),
    Names(
        "Twisted", http.HTTPChannel, "streams/http/http1",
        "_abortingCall _buffer _command _dataBuffer _failChooseTransferDecoder"
        " _finishRequestBody _handlingRequest _maybeChooseTransferDecoder _networkProducer _path"
        " _receivedHeaderCount _receivedHeaderSize _respondToBadRequestAndDisconnect"
        " _savedTimeOut _transferDecoder _version _waitingForTransport",
    ),
    Names("Twisted", server.Request, "streams/http/request", "_cleanup _disconnected _handleStar"),
    Names("Twisted", http.HTTPChannel, "streams/http/request", "_send100Continue"),
    Names("Twisted", _http2, "streams/http/http2", "_END_STREAM_SENTINEL"),
    Names("Twisted", _http2.H2Stream, "streams/http/http2", "_request _send100Continue"),
    Names(
        "Twisted", _http2.H2Connection, "streams/http/http2",
        "_abortingCall _handlePriorityUpdate _outboundStreamQueues _reactor _requestAborted"
        " _requestDataReceived _requestDone _requestEnded _requestReceived _sendPrioritisedData"
        " _sendingDeferred _stillProducing _terminate",
    ),
    Names("Twisted", _http2.H2Stream, "streams/http/response", "_conn"),
    Names(
        "Twisted", _http2.H2Connection, "streams/http/response",
        "_outboundStreamQueues _reactor _stillProducing",
    ),
    Names(
        "aioquic", QuicConnection, "streams/http3/quic",
        "_close_event _configuration _crypto_buffers _datagrams_pending _host_cids"
        " _local_initial_source_connection_id _local_max_data _local_max_streams_bidi"
        " _local_max_streams_uni _loss _max_datagram_size"
        " _remote_max_datagram_frame_size _replenish_connection_ids _streams"
        " _write_connection_limits _write_stream_limits",
    ),
    Names("aioquic", QuicStreamReceiver, "streams/http3/quic", "_buffer"),
    Names("aioquic", QuicStreamSender, "streams/http3/quic", "_buffer"),
    Names(
        "aioquic", H3Connection, "streams/http3/streams",
        "_decoder _enable_webtransport _get_local_settings _is_done _local_control_stream_id"
        " _quic _stream _validate_settings",
    ),
    Names(
        "autobahn", WebSocketServerProtocol, "streams/websocket/protocol",
        "_closeConnection _fail_connection _max_message_size_exceeded _perMessageCompress",
    ),
    Names(
        "autobahn", WebSocketServerProtocol, "streams/websocket/upgrade", "_parseExtensionsHeader"
    ),
    Names("Twisted", basic.LineReceiver, "transports/webtransport_lines", "_buffer"),
    # without underscores, and documented as internal
    Names("psycopg", generators, "adapters/postgres/connection", "connect execute"),
)  # fmt: skip


class VersionsTests(SynchronousTestCase):
    """Every private name in use is there, and is known."""

    def test_each_is_there(self) -> None:
        """A library that has dropped or renamed one is found here, and not in production."""
        for used in USED:
            there = attributes(used.owner)
            for name in used.names.split():
                at = f"{used.library} {version(used.library)}, seen in {SEEN[used.library]}"
                self.assertIn(name, there, f"{used.owner} ({at}), used by {used.place}")

    def test_each_is_used(self) -> None:
        """A name that is used no more leaves the table."""
        for used in USED:
            text = (ROOT / f"{used.place}.py").read_text()
            for name in used.names.split():
                self.assertIn(name, text, used.place)

    def test_places_outside_the_seams(self) -> None:
        """The seams' own docstring names the files that keep private names for themselves."""
        outside = {one.place for one in USED if not one.place.startswith("streams/seams/")}
        for place in outside:
            self.assertIn(f"`{place}`", seams.__doc__ or "")

    def test_no_other_is_read(self) -> None:
        """A private attribute that nothing of ours defines is one of the table, in that place."""
        ours = {name for tree in trees().values() for name in defined(tree)}
        for place, tree in trees().items():
            for line, name in read(tree):
                self.assertIn(name, ours | known_in(place), f"{place}:{line}")

    def test_no_other_of_a_base_class(self) -> None:
        """A subclass overrides or uses no private name of its base that is not in the table.

        That includes a name of its own that happens to be one of the base's.
        """
        for place, kind, foreign in subclasses():
            theirs = {name for base in foreign for name in attributes(base) if is_private(name)}
            body = ast.parse(textwrap.dedent(inspect.getsource(kind)))
            mine = set(defined(body)) | {
                node.attr
                for node in ast.walk(body)
                if isinstance(node, ast.Attribute)
                and is_private(node.attr)
                and ast.unparse(node.value) in OWN
            }
            self.assertEqual(mine & theirs - known_in(place), set(), f"{place}: {kind.__name__}")


#: What stands for the object itself.
OWN = ("self", "cls", "super()")

#: Interpreter and standard library: documented there, whatever the underscore.
DOCUMENTED = {"_getframe"}


def is_private(name: str) -> bool:
    """True for one leading underscore."""
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


def known_in(place: str) -> set[str]:
    """Names of the table for one file."""
    return {name for one in USED if one.place == place for name in one.names.split()}


@cache
def trees() -> dict[str, ast.Module]:
    """Every file of the package, by its place."""
    return {
        str(path.relative_to(ROOT).with_suffix("")): ast.parse(path.read_text())
        for path in sorted(ROOT.rglob("*.py"))
    }


def read(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Private names that a file reads of anything or imports from others, with their lines."""
    for node in ast.walk(tree):
        names: list[object] = []
        if isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("takotwist"):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
            names = [one.value for one in node.args[1:2] if isinstance(one, ast.Constant)]
        for name in names:
            if isinstance(name, str) and is_private(name):
                assert hasattr(node, "lineno")
                yield node.lineno, name


def defined(tree: ast.AST) -> Iterator[str]:
    """Names that a file defines: functions, classes, variables, and attributes of `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and is_private(node.attr)
            and ast.unparse(node.value) in OWN
        ):
            yield node.attr


def subclasses() -> Iterator[tuple[str, type, list[type]]]:
    """Classes of the package with bases of the libraries: place, class, those bases."""
    libraries = ("twisted.", "OpenSSL.", "aioquic.", "autobahn.", "h2.", "klein.")
    for found in walk_packages(takotwist.__path__, "takotwist."):
        if found.name.endswith("__main__"):
            continue
        module = import_module(found.name)
        for kind in vars(module).values():
            if inspect.isclass(kind) and kind.__module__ == found.name:
                foreign = [one for one in kind.__mro__ if one.__module__.startswith(libraries)]
                if foreign:
                    place = Path(module.__file__ or "").relative_to(ROOT).with_suffix("")
                    yield str(place), kind, foreign


@cache
def attributes(owner: Any) -> set[str]:
    """Names that a module has, or a class and its instances: those that a method sets too."""
    if isinstance(owner, ModuleType):
        return set(vars(owner))
    found: set[str] = set()
    for one in owner.__mro__:
        found |= {*vars(one), *vars(one).get("__annotations__", ())}
        for value in vars(one).values():
            function = inspect.unwrap(value) if callable(value) else value
            function = getattr(function, "fget", None) or getattr(function, "__func__", function)
            if isinstance(function, FunctionType):
                found |= set(stored(function.__code__))
    return found


def stored(code: CodeType) -> Iterator[str]:
    """Attributes that a function sets, on whatever object."""
    for step in dis.get_instructions(code):
        if step.opname == "STORE_ATTR":
            yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from stored(inner)
