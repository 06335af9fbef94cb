"""Every row of the protocol's two tables of refusals, asked for with other people's clients."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

import attrs
import httpx
from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.sockets.server_process import KEY, KEYS, ServerProcess, wait_until

CHANNELS = """
from takotwist import Grant, define_channel

room = {
    "type": "object",
    "properties": {"roomId": {"type": "string", "minLength": 1}, "count": {"type": "integer"}},
    "required": ["roomId"],
}
text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
chat = define_channel("chat", params=room, messages={"msg": text})
club = define_channel("club", params=room)
cookie = define_channel("cookie", params=room)
news = define_channel("news")
brief = define_channel("brief", replay_window=0, replay_max_messages=1)

@chat.on("msg")
@club.on("msg")
@cookie.on("msg")
@brief.on("msg")
def said(data, context):
    return data

@club.verify(header="authorization", query_token=True)
def verify_club(request):
    return request.header.value == "member-secret"

@cookie.verify(cookie="session")
def verify_cookie(request):
    return request.cookie == "cookie-secret"
"""

CONFIG = f"""
{KEYS}
[http]
allowed_origins = ["https://good.example"]
[limits]
connect_rate = 0
max_message_bytes = 1000
max_body_bytes = 4096
publish_rate = 0.5
publish_burst = 6
"""

ROOM = "roomId=lobby"
WRONG_KEY = "wrong-publish-key-secret"
BEARER = {"Authorization": f"Bearer {KEY}"}
JSON = {"Content-Type": "application/json"}

#: What must never be in the log.
SECRETS = (KEY, WRONG_KEY, "member-secret", "wrong-secret", "cookie-secret", "token-secret")


@attrs.frozen
class Ask:
    """One request, and the answer it must get.

    :ivar names: what the sentence must name.
    :ivar has: headers that the answer must have.
    """

    status: int
    code: str
    path: str
    headers: dict[str, str] = attrs.field(factory=dict)
    method: str = "GET"
    body: Any = None
    names: str = ""
    has: tuple[str, ...] = ()


def post(status: int, code: str, body: Any, **more: Any) -> Ask:
    """A publish to the chat."""
    path = more.pop("path", f"/channels/chat?{ROOM}")
    headers = {**BEARER, **more.pop("headers", {})}
    if not isinstance(body, str | bytes):
        body = json.dumps(body)
    return Ask(status, code, path, headers, "POST", body, **more)


MSG = {"type": "msg", "data": {"text": "hi"}}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
FUTURE = str(2**53 - 1)

HTTP = {
    "a param is missing": Ask(400, "params-invalid", "/channels/chat", names="roomId"),
    "a param is too short": Ask(400, "params-invalid", "/channels/chat?roomId=", names="roomId"),
    "a param has the wrong type": Ask(
        400, "params-invalid", f"/channels/chat?{ROOM}&count=ten", names="count"
    ),
    "a param comes twice": Ask(
        400, "params-invalid", f"/channels/chat?{ROOM}&roomId=b", names="roomId"
    ),
    "a query that is no text": Ask(400, "params-invalid", "/channels/chat?roomId=%ff"),
    "a query without end": Ask(400, "params-invalid", "/channels/chat?" + "a=1&" * 101),
    "history with a bad limit": Ask(
        400, "params-invalid", f"/channels/chat/history?{ROOM}&limit=0", names="limit"
    ),
    "a cursor that is no id": Ask(
        400, "cursor-invalid", f"/channels/chat?{ROOM}", {"Last-Event-ID": "x"}, names="Last-Event"
    ),
    "a negative cursor": Ask(
        400, "cursor-invalid", f"/channels/chat?{ROOM}&last_event_id=-1", names="last_event_id"
    ),
    "a cursor that nobody gave out": Ask(
        400, "cursor-invalid", f"/channels/chat?{ROOM}&last_message_id={FUTURE}"
    ),
    "history after such a cursor": Ask(
        400, "cursor-invalid", f"/channels/chat/history?{ROOM}&after={FUTURE}"
    ),
    "history after no number": Ask(
        400, "cursor-invalid", f"/channels/chat/history?{ROOM}&after=x", names="after"
    ),
    "another word for stale": Ask(
        400, "cursor-invalid", f"/channels/chat?{ROOM}&stale=yes", names="stale"
    ),
    "WebSocket of a channel without handlers": Ask(
        400, "transport-not-enabled", "/channels/news", UPGRADE
    ),
    "a handshake without its key": Ask(
        400,
        "body-invalid",
        f"/channels/chat?{ROOM}",
        {key: value for key, value in UPGRADE.items() if key != "Sec-WebSocket-Key"},
        names="Sec-WebSocket-Key",
    ),
    "many topics without tako.v1": Ask(
        400, "body-invalid", "/_tako/connect", UPGRADE, names="Sec-WebSocket-Protocol"
    ),
    "a body that is no JSON": post(400, "body-invalid", "{"),
    "an empty body": post(400, "body-invalid", ""),
    "a body that is no text": post(400, "body-invalid", b"\xff\xfe"),
    "an empty batch": post(400, "body-invalid", []),
    "a batch with one bad message": post(400, "body-invalid", [MSG, {"type": "msg"}]),
    "no type": post(400, "body-invalid", {"data": 1}, names="type"),
    "no data": post(400, "body-invalid", {"type": "msg"}, names="data"),
    "a type of the server's": post(
        400, "body-invalid", {"type": "tako.x", "data": 1}, names="tako."
    ),
    "a type that is too long": post(400, "body-invalid", {"type": "x" * 129, "data": 1}),
    "NaN": post(400, "body-invalid", '{"type":"msg","data":{"text":NaN}}'),
    "a payload that does not fit": post(
        400, "body-invalid", {"type": "msg", "data": {"text": 1}}, names="text"
    ),
    "a type that the channel does not have": post(
        400, "body-invalid", {"type": "other", "data": 1}, names="other"
    ),
    "a deeply nested payload": post(
        400, "body-invalid", '{"type":"msg","data":' + "[" * 1500 + "]" * 1500 + "}"
    ),
    "an endless idempotency key": post(
        400, "body-invalid", MSG, headers={"Idempotency-Key": "k" * 256}, names="Idempotency-Key"
    ),
    "no credentials": Ask(
        401, "credentials-missing", f"/channels/club?{ROOM}", has=("WWW-Authenticate",)
    ),
    "no cookie": Ask(
        401, "credentials-missing", f"/channels/cookie?{ROOM}", {"Cookie": "other=token-secret"}
    ),
    "no credentials for history": Ask(
        401, "credentials-missing", f"/channels/club/history?{ROOM}", has=("WWW-Authenticate",)
    ),
    "no publish key": Ask(
        401,
        "credentials-missing",
        f"/channels/chat?{ROOM}",
        JSON,
        "POST",
        json.dumps(MSG),
        has=("WWW-Authenticate",),
    ),
    "the app says no": Ask(
        403, "verify-rejected", f"/channels/club?{ROOM}", {"Authorization": "Bearer wrong-secret"}
    ),
    "the app says no to a token": Ask(
        403, "verify-rejected", f"/channels/club?{ROOM}&access_token=token-secret"
    ),
    "the app says no to a cookie": Ask(
        403, "verify-rejected", f"/channels/cookie?{ROOM}", {"Cookie": "session=wrong-secret"}
    ),
    "a wrong publish key": post(
        403, "verify-rejected", MSG, headers={"Authorization": f"Bearer {WRONG_KEY}"}
    ),
    "a page from elsewhere": Ask(
        403, "origin-rejected", f"/channels/chat?{ROOM}", {"Origin": "https://bad.example"}
    ),
    "a page from elsewhere by WebSocket": Ask(
        403,
        "origin-rejected",
        f"/channels/chat?{ROOM}",
        {**UPGRADE, "Origin": "https://bad.example"},
    ),
    "no such channel": Ask(404, "channel-unknown", "/channels/nothing"),
    "no such channel by WebSocket": Ask(404, "channel-unknown", "/channels/nothing", UPGRADE),
    "no such channel to publish": post(404, "channel-unknown", MSG, path="/channels/nothing"),
    "a channel name with a slash in it": Ask(404, "channel-unknown", "/channels/a%2Fb"),
    "a channel without a name": Ask(404, "channel-unknown", "/channels//history"),
    "a channel name that is no text": Ask(404, "channel-unknown", "/channels/%ff"),
    "history of no such channel": Ask(404, "channel-unknown", "/channels/nothing/history"),
    "nothing below a channel": Ask(404, "not-found", "/channels/chat/members"),
    "nothing at all": Ask(404, "not-found", "/nothing"),
    "nothing below our own path": Ask(404, "not-found", "/_tako/nothing"),
    "the metrics, in public": Ask(404, "not-found", "/_tako/metrics"),
    "DELETE of a channel": Ask(
        405, "method-not-allowed", f"/channels/chat?{ROOM}", method="DELETE", has=("Allow",)
    ),
    "POST to a history": Ask(
        405,
        "method-not-allowed",
        f"/channels/chat/history?{ROOM}",
        BEARER,
        "POST",
        json.dumps(MSG),
        has=("Allow",),
    ),
    "a message that is too large": post(
        413, "message-too-large", {"type": "msg", "data": {"text": "x" * 1000}}
    ),
    "a body that is too large": post(413, "message-too-large", [MSG] * 400),
    "no upgrade where only WebSocket is": Ask(
        426, "upgrade-required", "/_tako/connect", has=("Upgrade",)
    ),
    "another version of WebSocket": Ask(
        426,
        "upgrade-required",
        f"/channels/chat?{ROOM}",
        {**UPGRADE, "Sec-WebSocket-Version": "8"},
        has=("Sec-WebSocket-Version",),
    ),
}

#: A WebSocket, what it sends, and how it is closed: path, frames, code, reason.
CLOSES: dict[str, tuple[str, list[Any], int, str]] = {
    "a first frame of another kind": (f"club?{ROOM}", [MSG], 4400, "auth-frame-malformed"),
    "a first frame that is no JSON": (f"club?{ROOM}", ["{"], 4400, "auth-frame-malformed"),
    "an auth frame without a token": (
        f"club?{ROOM}",
        [{"type": "tako.auth"}],
        4400,
        "auth-frame-malformed",
    ),
    "an auth frame with a bad cursor": (
        f"club?{ROOM}",
        [{"type": "tako.auth", "token": "Bearer member-secret", "lastMessageId": "x"}],
        4400,
        "auth-frame-malformed",
    ),
    "an auth frame with a wrong token": (
        f"club?{ROOM}",
        [{"type": "tako.auth", "token": "Bearer wrong-secret"}],
        4403,
        "verify-rejected",
    ),
    "a cursor that nobody gave out": (
        f"club?{ROOM}",
        [{"type": "tako.auth", "token": "Bearer member-secret", "lastMessageId": FUTURE}],
        4400,
        "cursor-invalid",
    ),
    "a frame larger than any message": (f"chat?{ROOM}", ["x" * 20_000], 1009, ""),
    "a frame of bytes": (f"chat?{ROOM}", [b"{}"], 1003, "text-frames-only"),
}

#: The same where the upgrade itself is refused, which tako.v1 tells by its close.
EXPLICIT_CLOSES: dict[str, tuple[str, int, str]] = {
    "a param is missing": ("/channels/chat", 4422, "params-invalid"),
    "no such channel": ("/channels/nothing", 4404, "channel-unknown"),
    "no handlers": ("/channels/news", 4400, "transport-not-enabled"),
    "no cookie": (f"/channels/cookie?{ROOM}", 4401, "credentials-missing"),
    "a wrong token": (
        f"/channels/club?{ROOM}&access_token=token-secret",
        4403,
        "verify-rejected",
    ),
    "a bad cursor": (f"/channels/chat?{ROOM}&last_message_id=x", 4400, "cursor-invalid"),
}


class RefusalTests(SynchronousTestCase):
    """One server, asked for everything that it must refuse."""

    def setUp(self) -> None:
        self.server = ServerProcess(CONFIG, {"rooms.py": CHANNELS})
        self.addCleanup(self.server.close)
        self.server.start()
        self.addCleanup(self.look_at_log)

    def look_at_log(self) -> None:
        self.server.assert_clean(*SECRETS)

    def socket(self, path: str, subprotocol: str | None = None, **options: Any) -> Any:
        names: Any = [subprotocol] if subprotocol else None
        url = f"ws://127.0.0.1:{self.server.port}{path}"
        return connect(url, subprotocols=names, open_timeout=60, **options)

    def closing(self, socket: Any) -> tuple[int, str]:
        """How the server closes."""
        with self.assertRaises(ConnectionClosed) as closed:
            while True:
                socket.recv(60)
        received = closed.exception.rcvd
        assert received is not None, "no close frame came"
        return received.code, received.reason

    def test_http(self) -> None:
        """Each refusal over HTTP has its status, its code and a sentence that names what is bad."""
        wrong = []
        with httpx.Client(base_url=self.server.url, timeout=60) as client:
            for what, ask in HTTP.items():
                answer = client.request(ask.method, ask.path, headers=ask.headers, content=ask.body)
                try:
                    told = answer.json()
                    assert set(told) == {"error", "code"}, told
                    assert (answer.status_code, told["code"]) == (ask.status, ask.code)
                    assert ask.names in told["error"], told
                    assert not any(secret in answer.text for secret in SECRETS), told
                    for header in ask.has:
                        assert header in answer.headers, f"no {header}"
                except (AssertionError, ValueError) as bad:
                    wrong.append(f"{what}: {answer.status_code} {answer.text[:200]} {bad}")
        self.assertEqual(wrong, [])

    def test_closes(self) -> None:
        """Each refusal on an open WebSocket is a close with its code and reason."""
        wrong = []
        for what, (path, frames, code, reason) in CLOSES.items():
            with self.socket(f"/channels/{path}") as socket:
                for frame in frames:
                    socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
                closing = self.closing(socket)
            if closing[0] != code or not closing[1].startswith(reason):
                wrong.append(f"{what}: {closing}, not {(code, reason)}")
        self.assertEqual(wrong, [])

    def test_refused_upgrades(self) -> None:
        """With tako.v1 a refused upgrade is an accepted one that is closed with its code; without
        it, the HTTP answer."""
        wrong = []
        for what, (path, code, reason) in EXPLICIT_CLOSES.items():
            with self.socket(path, "tako.v1") as socket:
                closing = self.closing(socket)
            if closing != (code, reason):
                wrong.append(f"{what}: {closing}, not {(code, reason)}")
            with self.assertRaises(InvalidStatus) as refused:
                self.socket(path)
            told = json.loads(refused.exception.response.body or b"{}")
            if told.get("code") != reason:
                wrong.append(f"{what}, plain: {told}")
        self.assertEqual(wrong, [])

    def test_origin_of_a_socket(self) -> None:
        """A page from elsewhere is closed with 4403 on tako.v1; a page that may is served."""
        path = f"/channels/chat?{ROOM}"
        with self.socket(path, "tako.v1", origin="https://bad.example") as socket:
            self.assertEqual(self.closing(socket), (4403, "origin-rejected"))
        with self.socket(path, "tako.v1", origin="https://good.example") as socket:
            self.assertEqual(json.loads(socket.recv(60))["op"], "open")

    def test_too_old(self) -> None:
        """A cursor outside the window: 410, and 4410 on both kinds of WebSocket."""
        body = json.dumps([{"type": "msg", "data": n} for n in range(3)])
        with httpx.Client(base_url=self.server.url, timeout=60) as client:
            answer = client.post("/channels/brief", content=body, headers=BEARER)
            first = answer.json()[0]["id"]
            path = f"/channels/brief?last_message_id={first}"
            answer = wait_until(
                lambda: (found := client.get(path)).status_code == 410 and found, "too old"
            )
            self.assertEqual(answer.json()["code"], "replay-too-old")
        for subprotocol in (None, "tako.v1"):
            with self.socket(path, subprotocol) as socket:
                self.assertEqual(self.closing(socket), (4410, "replay-too-old"))

    def test_rate(self) -> None:
        """Frames that come too fast: 4429 on a plain WebSocket, an error with its code else."""
        with self.socket(f"/channels/chat?{ROOM}") as socket:
            for _ in range(10):
                socket.send(json.dumps(MSG))
            self.assertEqual(self.closing(socket), (4429, "rate-limited"))
        with self.socket(f"/channels/chat?{ROOM}", "tako.v1") as socket:
            for ref in range(10):
                socket.send(json.dumps({**MSG, "ref": ref}))
            codes = []
            while not codes:
                frame = json.loads(socket.recv(60))
                if frame.get("op") == "error":
                    codes.append(frame["code"])
                    self.assertGreater(frame["retryAfterMs"], 0)
            self.assertEqual(codes, ["rate-limited"])

    def test_errors_on_one_topic(self) -> None:
        """On a connection with many topics a refusal answers its frame, and nothing else ends."""
        asks: dict[str, dict[str, Any]] = {
            "channel-unknown": {"op": "subscribe", "channel": "nothing"},
            "params-invalid": {"op": "subscribe", "channel": "chat"},
            "credentials-missing": {
                "op": "subscribe",
                "channel": "club",
                "params": {"roomId": "lobby"},
            },
            "verify-rejected": {
                "op": "subscribe",
                "channel": "club",
                "params": {"roomId": "lobby"},
                "auth": "Bearer wrong-secret",
            },
            "cursor-invalid": {
                "op": "subscribe",
                "channel": "chat",
                "params": {"roomId": "lobby"},
                "cursor": FUTURE,
            },
            "not-found": {"op": "unsubscribe", "channel": "brief"},
            "transport-not-enabled": {
                "op": "publish",
                "channel": "news",
                "type": "msg",
                "data": 1,
            },
            "body-invalid": {"op": "dance"},
            "message-too-large": {
                "op": "publish",
                "channel": "chat",
                "params": {"roomId": "lobby"},
                "type": "msg",
                "data": "x" * 2000,
            },
        }
        with self.socket("/_tako/connect", "tako.v1") as socket:
            self.assertEqual(json.loads(socket.recv(60))["op"], "open")
            socket.send(json.dumps({"op": "subscribe", "ref": "n", "channel": "news"}))
            self.assertEqual(json.loads(socket.recv(60))["op"], "ack")
            for code, ask in asks.items():
                socket.send(json.dumps({**ask, "ref": code}))
                answer = json.loads(socket.recv(60))
                self.assertEqual(
                    (answer["op"], answer["ref"], answer["code"]), ("error", code, code), answer
                )
            with httpx.Client(base_url=self.server.url, timeout=60) as client:
                client.post("/channels/news", content=json.dumps(MSG), headers=BEARER)
            self.assertEqual(json.loads(socket.recv(60))["channel"], "news")

    def test_not_http(self) -> None:
        """What is no HTTP at all, or half of it, gets a short answer or none, and no traceback."""
        for sent in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"POST /channels/chat?roomId=a HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n",
        ):
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as one:
                one.sendall(sent)
                answer = b""
                # A reset may come before the end, and before we have said all.
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    while data := one.recv(4096):
                        answer += data
            self.assertNotIn(b"<html", answer.lower(), sent[:40])
            self.assertTrue(
                not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505")),
                answer[:100],
            )
