"""How a client reaches a limit, and what it is told: with other people's clients.

Each function takes a server whose limit is low and returns what was said, in the form
of `tests.faults.limits`.  Rule: nothing is looked for but the server's own word.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h2.events
import httpx
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from hyperframe.frame import (
    DataFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.codecs.websocket_reader import client_frame
from tests.faults.at_once import at_once, request
from tests.sockets.readers import SseReader
from tests.sockets.server_process import KEY as KEY
from tests.sockets.server_process import KEYS as KEYS
from tests.sockets.server_process import ServerProcess, wait_until

CHAT = "/channels/chat?roomId=lobby"
CLUB = "/channels/club?roomId=lobby"
SLOW = "/channels/slow"
MEMBER = {"Authorization": "Bearer member"}

#: A channel whose app takes its time, beside those of `server_process`.
SLOW_CHANNEL = """
import time
from takotwist import define_channel

slow = define_channel("slow")

@slow.verify(header="authorization")
def verify(request):
    time.sleep(3)
    return True
"""

MSG = {"type": "msg", "data": 1}

#: Seconds that a server may take for a word, on a machine that does much else.
PATIENCE = 60.0


def told(answer: httpx.Response) -> str:
    """A refusal as the table has it; the status alone of what is none."""
    if answer.status_code < 400:
        return str(answer.status_code)
    said = answer.json()
    assert set(said) == {"error", "code"}, said
    if answer.status_code in (429, 503):
        assert int(answer.headers["Retry-After"]) >= 1
    return f"{answer.status_code} {said['code']}"


def websocket(
    server: ServerProcess,
    path: str,
    *,
    explicit: bool = True,
    headers: dict[str, str] = MEMBER,
) -> ClientConnection:
    """An open WebSocket."""
    url = f"ws://127.0.0.1:{server.port}{path}"
    return connect(
        url,
        subprotocols=[Subprotocol("tako.v1")] if explicit else None,
        max_size=None,
        additional_headers=headers,
        open_timeout=PATIENCE,
        # What closes it is the server alone.
        ping_interval=None,
    )


def closing(one: ClientConnection) -> str:
    """How the server closes, whatever it says before."""
    try:
        while True:
            one.recv(PATIENCE)
    except ConnectionClosed as closed:
        assert closed.rcvd is not None, "no close frame"
        return f"close {closed.rcvd.code} {closed.rcvd.reason}".strip()


def op(one: ClientConnection, wanted: str = "error") -> dict[str, Any]:
    """The next control frame of this kind."""
    while True:
        said: dict[str, Any] = json.loads(one.recv(PATIENCE))
        if said.get("op") == wanted:
            return said


def post(server: ServerProcess, content: Any, path: str = CHAT, **headers: str) -> httpx.Response:
    """Publish on the private listener."""
    body = content if isinstance(content, str | bytes) else json.dumps(content)
    with server.private(timeout=PATIENCE) as private:
        return private.post(path, content=body, headers=headers)


@contextlib.contextmanager
def subscribed(server: ServerProcess, path: str, headers: dict[str, str]) -> Iterator[str]:
    """An SSE subscription while in it, and what it was told."""
    url = f"{server.url}{path}"
    with (
        httpx.Client(timeout=PATIENCE) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        # The iterator lives as long as the subscription: it ends what it reads from.
        chunks = answer.iter_raw()
        if answer.status_code >= 400:
            answer.read()
        else:
            next(chunks)
        yield told(answer)


def _one_too_many(server: ServerProcess, path: str) -> list[str]:
    """What an SSE and a WebSocket are told."""
    with subscribed(server, path, MEMBER) as sse:
        pass
    with websocket(server, path) as one:
        return [sse, closing(one)]


# connections


def connections(server: ServerProcess) -> list[str]:
    """Three are there; one more is told, as SSE and as a WebSocket."""
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            assert stack.enter_context(subscribed(server, CHAT, {})) == "200"
        try:
            with websocket(server, CHAT, explicit=False):
                raise AssertionError("a plain WebSocket got in")
        except InvalidStatus as refused:
            assert refused.response.status_code in (429, 503)
        said = _one_too_many(server, CHAT)
    wait_until(lambda: server.connected == 0, "that they are gone")
    return said


def subjects(server: ServerProcess) -> list[str]:
    """Two of one subject are there; one more is told, whatever it comes by."""
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            assert stack.enter_context(subscribed(server, CLUB, MEMBER)) == "200"
        said = _one_too_many(server, CLUB)
        with websocket(server, "/_tako/connect") as one:
            one.send(_subscribe("lobby", "club"))
            return [*said, f"error {op(one)['code']}"]


def connect_rate(server: ServerProcess) -> list[str]:
    """Four at once; more are told."""
    for _ in range(4):
        with subscribed(server, CHAT, {}) as said:
            assert said == "200"
    return _one_too_many(server, CHAT)


def _subscribe(room: str, channel: str = "chat") -> str:
    topic = {"channel": channel, "params": {"roomId": room}}
    return json.dumps({"op": "subscribe", "ref": room, **topic})


def subscriptions(server: ServerProcess) -> list[str]:
    """Three topics; a fourth is told, and there is room when one is left."""
    with websocket(server, "/_tako/connect") as one:
        for room in "abc":
            one.send(_subscribe(room))
            assert op(one, "ack")["ref"] == room
        one.send(_subscribe("d"))
        said = op(one)
        assert said["ref"] == "d"
        leave = {"op": "unsubscribe", "channel": "chat", "params": {"roomId": "a"}, "ref": 1}
        one.send(json.dumps(leave))
        assert op(one, "ack")["ref"] == 1
        one.send(_subscribe("d"))
        assert op(one, "ack")["ref"] == "d"
        return [f"error {said['code']}"]


def topics(server: ServerProcess) -> list[str]:
    """Three are followed, by whomever; one more is told, and there is room when one is left."""
    with contextlib.ExitStack() as stack:
        for room in "abc":
            path = f"/channels/chat?roomId={room * 5}"
            assert stack.enter_context(subscribed(server, path, {})) == "200"
        said = _one_too_many(server, CHAT)
        with websocket(server, "/_tako/connect") as one:
            one.send(_subscribe("lobby"))
            error = op(one)
            stack.close()
            wait_until(lambda: server.connected == 1, "that they are gone")
            one.send(_subscribe("lobby"))
            assert op(one, "ack")["ref"] == "lobby"
            return [*said, f"error {error['code']}"]


def topic_name(server: ServerProcess) -> list[str]:
    """By each way in: to follow, to publish, to read."""
    room = "r" * 200
    path = f"/channels/chat?roomId={room}"
    said = _one_too_many(server, path)
    others = {told(post(server, MSG, path))}
    with httpx.Client(timeout=PATIENCE) as client:
        others.add(told(client.get(f"{server.url}/channels/chat/history?roomId={room}")))
    assert others == {said[0]}, others
    errors = set()
    with websocket(server, "/_tako/connect") as one:
        for name in ("subscribe", "publish", "unsubscribe", "auth"):
            topic = {"channel": "chat", "params": {"roomId": room}, "auth": "x"}
            one.send(json.dumps({"op": name, "ref": 1, **topic, **MSG}))
            error = op(one)
            assert "206 bytes; at most 100" in error["error"], error
            errors.add(f"error {error['code']}")
        one.send(_subscribe("lobby"))
        assert op(one, "ack")["ref"] == "lobby"
    return [*said, *errors]


def topic_names(server: ServerProcess) -> list[str]:
    """Of three topics the third is too much."""
    with websocket(server, "/_tako/connect") as one:
        for room in ("a" * 50, "b" * 50):
            one.send(_subscribe(room))
            assert op(one, "ack")["ref"] == room
        one.send(_subscribe("c" * 50))
        return [f"error {op(one)['code']}"]


def credentials(server: ServerProcess) -> list[str]:
    """In the first frame, and in one of many topics."""
    with websocket(server, CLUB, explicit=False, headers={}) as one:
        one.send(json.dumps({"type": "tako.auth", "token": "t" * 8193}))
        said = closing(one)
    with websocket(server, "/_tako/connect") as one:
        one.send(json.dumps({**json.loads(_subscribe("lobby", "club")), "auth": "t" * 8193}))
        return [said, f"error {op(one)['code']}"]


def auth_frame(server: ServerProcess) -> list[str]:
    """A WebSocket that does not say who it is."""
    with websocket(server, CLUB, explicit=False, headers={}) as one:
        return [closing(one)]


def lifetime(server: ServerProcess) -> list[str]:
    """A WebSocket that stays."""
    with websocket(server, CHAT, explicit=False) as one:
        return [closing(one)]


# sizes


def message(server: ServerProcess) -> list[str]:
    """Published, sent with tako.v1, and sent without."""
    large = {"type": "msg", "data": "x" * 1100}
    published = told(post(server, large))
    with websocket(server, CHAT) as one:
        one.send(json.dumps(large))
        error = op(one)
    with websocket(server, CHAT, explicit=False) as one:
        one.send(json.dumps(large))
        return [published, f"error {error['code']}", closing(one)]


def frame(server: ServerProcess) -> list[str]:
    """Whole and in fragments, on a channel."""
    said = []
    for pieces in ("x" * 4100, ["x" * 1000] * 5):
        with websocket(server, CHAT) as one:
            with contextlib.suppress(ConnectionClosed):
                one.send(pieces)
            said.append(" ".join(closing(one).split()[:2]))
    assert said[0] == said[1], said
    return said[:1]


def body(server: ServerProcess) -> list[str]:
    """An array of messages that are small."""
    return [told(post(server, [MSG] * 200))]


def ndjson_line(server: ServerProcess) -> list[str]:
    """The second of two lines; the first is stored."""
    lines = json.dumps(MSG) + "\n" + "x" * 6000
    answer = post(server, lines, **{"Content-Type": "application/x-ndjson"})
    first, second = map(json.loads, answer.text.splitlines())
    assert first["data"] == 1
    return [f"line {second['code']}"]


def _head(*heads: Sequence[tuple[str, str]]) -> Callable[[ServerProcess], list[str]]:
    """Heads that are too large over HTTP/1.1 and over HTTP/2, whose connection goes on."""

    def reach(server: ServerProcess) -> list[str]:
        said = set()
        for http2 in (False, True):
            with httpx.Client(
                verify=server.trust, http1=not http2, http2=http2, timeout=PATIENCE
            ) as client:
                for fields in heads:
                    answer = client.get(f"{server.tls_url}{CHAT}", headers=list(fields))
                    said.add(told(answer))
                health = client.get(f"{server.tls_url}/_tako/health")
                assert health.status_code == 200
                assert health.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        return sorted(said)

    return reach


head = _head([(f"X-{number}", "x" * 100) for number in range(30)], [("X-Long", "~" * 3000)])
head_lines = _head([(f"X-{number}", "x") for number in range(110)])


def head_time(server: ServerProcess) -> list[str]:
    """A head that trickles, a byte a second."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as one:
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ":
            with contextlib.suppress(ConnectionError):
                one.sendall(bytes([byte]))
            one.settimeout(1)
            try:
                status, _, rest = one.recv(4096).partition(b"\r\n")
            except TimeoutError:
                continue
            said = json.loads(rest.partition(b"\r\n\r\n")[2])
            return [f"{status.split()[1].decode()} {said['code']}"]
    return ["nothing"]


def array(server: ServerProcess) -> list[str]:
    """1,001 messages at once, of which none is stored."""
    return [told(post(server, [MSG] * 1001))]


def history(server: ServerProcess) -> list[str]:
    """A page of 1,001."""
    with httpx.Client(timeout=PATIENCE) as client:
        return [told(client.get(f"{server.url}/channels/chat/history?roomId=lobby&limit=1001"))]


def idempotency_key(server: ServerProcess) -> list[str]:
    """One of 256 characters."""
    return [told(post(server, MSG, **{"Idempotency-Key": "k" * 256}))]


def kind(server: ServerProcess) -> list[str]:
    """A type of 129 characters."""
    return [told(post(server, {"type": "t" * 129, "data": 1}))]


# rates and queues


def frame_rate(server: ServerProcess) -> list[str]:
    """Five frames at once: in the plain dialect, and in tako.v1."""
    said = []
    with websocket(server, CHAT, explicit=False) as one:
        # It may have been closed before the last of them.
        with contextlib.suppress(ConnectionClosed):
            for _ in range(5):
                one.send(json.dumps(MSG))
        said.append(closing(one))
    with websocket(server, CHAT) as one:
        one.send(json.dumps({**MSG, "ref": 1}))
        error = op(one)
        assert error["retryAfterMs"] > 0
        return [*said, f"error {error['code']}"]


def control_rate(server: ServerProcess) -> list[str]:
    """What cannot be read, in the plain dialect; and a topic that is followed and left."""
    with websocket(server, CHAT, explicit=False) as one:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(5):
                one.send("no JSON")
        said = closing(one)
    with websocket(server, "/_tako/connect") as one:
        # Of the three one is left by now, or a little more.
        for room in ("a", "b", "c", "d", "e", "f", "g", "h"):
            one.send(_subscribe(room))
        error = op(one)
        assert error["retryAfterMs"] > 0
        return [said, f"error {error['code']}"]


def refused_frames(server: ServerProcess) -> list[str]:
    """More than a thousand frames too fast, in both kinds of connections."""
    said = []
    for path in (CHAT, "/_tako/connect"):
        with websocket(server, path) as one:
            with contextlib.suppress(ConnectionClosed):
                for number in range(2000):
                    one.send(json.dumps({"op": "ping", "ref": number}))
            said.append(closing(one))
    return sorted(set(said))


def pings(server: ServerProcess) -> list[str]:
    """A thousand and one."""
    with websocket(server, CHAT) as one:
        with contextlib.suppress(ConnectionError):
            for _ in range(11):
                one.socket.sendall(client_frame(9, b"x") * 100)
        return [closing(one)]


def publish_rate(server: ServerProcess) -> list[str]:
    """Five publishes one behind the other."""
    key = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(timeout=PATIENCE) as client:
        answers = [client.post(f"{server.url}{CHAT}", json=MSG, headers=key) for _ in range(5)]
    return sorted({told(answer) for answer in answers} - {"200"})


def questions(server: ServerProcess) -> list[str]:
    """Forty, each with a token of its own, who are to be let in by an app that is slow."""
    said = {told(one) for one in at_once(server, [request(SLOW, n) for n in range(40)])}
    assert "200" in said, said
    return sorted(said - {"200"})


def questions_of_one_channel(server: ServerProcess) -> list[str]:
    """Thirty-nine of one channel, whose app is slow; who asks for another one meanwhile is let
    in."""
    asked = [*(request(SLOW, number) for number in range(39)), request(CLUB, "member")]
    *said, other = map(told, at_once(server, asked))
    assert "200" in said and other == "200", (said, other)
    return sorted({*said} - {"200"})


def app_time(server: ServerProcess) -> list[str]:
    """One who is to be let in by an app that takes too long."""
    with subscribed(server, SLOW, MEMBER) as said:
        return [said]


def appends(server: ServerProcess) -> list[str]:
    """Sixteen who publish without a pause, until one is refused."""
    return _publishing_hard(server, "x")


def append_bytes(server: ServerProcess) -> list[str]:
    """The same, with messages of which one has room."""
    return _publishing_hard(server, "x" * 60_000)


def _publishing_hard(server: ServerProcess, data: str) -> list[str]:
    until = time.monotonic() + PATIENCE

    def ask(number: int) -> str:
        with websocket(server, f"/channels/chat?roomId=r{number}") as one:
            op(one, "open")
            while time.monotonic() < until and not over:
                for _ in range(20):
                    one.send(json.dumps({"type": "msg", "data": data, "ref": 1}))
                for _ in range(20):
                    answer = json.loads(one.recv(PATIENCE))
                    while "op" not in answer:
                        answer = json.loads(one.recv(PATIENCE))
                    if answer["op"] == "error":
                        over.append(answer["code"])
        return "200"

    over: list[str] = []
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(ask, range(4))) == {"200"}
    return [f"error {code}" for code in sorted(set(over))]


# what is kept


def replay(server: ServerProcess) -> list[str]:
    """A cursor from before what is kept."""
    first = post(server, {"type": "msg", "data": "x" * 300}).json()["id"]
    for _ in range(10):
        post(server, {"type": "msg", "data": "x" * 300})
    path = f"{CHAT}&last_message_id={first}"

    def gone() -> str:
        with subscribed(server, path, {}) as said:
            return said if said != "200" else ""

    said = wait_until(gone, "that it is too old")
    with websocket(server, path) as one:
        return [said, closing(one)]


def send_queue(server: ServerProcess) -> list[str]:
    """One who reads nothing of 3 MB, and then everything."""
    reader = SseReader(server.port, "chat", {"roomId": "lobby"}, "0", receive_buffer=4096).begin()
    try:
        before = server.memory
        for number in range(50):
            post(server, {"type": "msg", "data": [number, "x" * 60_000]})
        assert server.memory - before < 20 << 20
        reader.read_until(50)
        assert [one["data"][0] for one in reader.messages] == list(range(50))
    finally:
        reader.close()
    return ["goes on from the log when it reads"]


# HTTP/2


def _goaway(server: ServerProcess, sent: Callable[[H2Connection], bytes], *, begin: bool) -> str:
    """What ends a connection that sends this.

    :param begin: whether it begins as it should.
    """
    context = server.trust
    context.set_alpn_protocols(["h2"])
    raw = socket.create_connection(("127.0.0.1", server.tls_port), timeout=PATIENCE)
    with context.wrap_socket(raw, server_hostname="localhost") as one:
        http = H2Connection(H2Configuration(client_side=True))
        http.initiate_connection()
        first = http.data_to_send()
        one.sendall((first if begin else b"") + sent(http))
        with contextlib.suppress(ConnectionError):
            while data := one.recv(65536):
                with contextlib.suppress(ProtocolError):
                    for event in http.receive_data(data):
                        if isinstance(event, h2.events.ConnectionTerminated):
                            assert not one.recv(65536), "it goes on"
                            assert event.error_code is not None
                            return f"GOAWAY {getattr(event.error_code, 'name', event.error_code)}"
        return "no GOAWAY"


def _request(http: H2Connection, *fields: tuple[str, str]) -> bytes:
    head = [(":method", "GET"), (":path", CHAT), (":scheme", "https"), (":authority", "localhost")]
    http.send_headers(http.get_next_available_stream_id(), [*head, *fields], end_stream=True)
    return http.data_to_send()


def http2_head(server: ServerProcess) -> list[str]:
    """A head of 20,000 bytes."""
    return [_goaway(server, lambda http: _request(http, ("x-long", "~" * 20000)), begin=True)]


def http2_streams(server: ServerProcess) -> list[str]:
    """101 subscriptions on one connection."""
    return [_goaway(server, lambda http: b"".join(_request(http) for _ in range(101)), begin=True)]


def http2_pings(server: ServerProcess) -> list[str]:
    """Frames of each kind, past the bound."""
    said = {
        _goaway(server, lambda _, frame=frame: frame.serialize() * 3000, begin=True)  # type: ignore[misc]
        for frame in (
            PingFrame(0, b"12345678"),
            SettingsFrame(0),
            RstStreamFrame(1),
            PriorityFrame(1, depends_on=3),
            DataFrame(1),
            WindowUpdateFrame(0, 1),
        )
    }
    return sorted(said)


def http2_preface(server: ServerProcess) -> list[str]:
    """Half a preface, and half a head."""

    def half_a_head(http: H2Connection) -> bytes:
        return _request(http)[:-3]

    halves = [(lambda _: b"PRI * HTTP/2.0\r\n", False), (half_a_head, True)]
    with ThreadPoolExecutor(2) as threads:
        ended = threads.map(lambda half: _goaway(server, half[0], begin=half[1]), halves)
        return sorted(set(ended))
