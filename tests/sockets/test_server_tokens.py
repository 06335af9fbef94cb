"""Channels by signed tokens on a real server: no app is asked."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from takotwist.adapters.revocations import revoke
from tests.sockets.server_process import FAST, ServerProcess, wait_until

SECRET = "a-secret-of-more-than-thirty-two-bytes"

FUNCTIONS = """
from takotwist.live import Channel, context, function

@function
async def on_who() -> str:
    return context().subject
"""

PYTHON = """
from takotwist import define_channel

club = define_channel("club")

@club.on("msg")
def said(data, context):
    return {"by": context.subject, "said": data}
"""


class Keys(BaseHTTPRequestHandler):
    """An identity provider's keys, or what is in their place."""

    #: What it does: answers with this, or, where it is `None`, never.
    body: bytes | None = b""
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        body = type(self).body
        if body is None:
            time.sleep(20)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


class TokensTests(SynchronousTestCase):
    """A server with channels of its file, of Python, and functions."""

    def setUp(self) -> None:
        provider = type("Provider", (Keys,), {})
        self.provider: Any = provider
        self.keys_server = ThreadingHTTPServer(("127.0.0.1", 0), provider)
        self.keys_server.daemon_threads = True
        threading.Thread(target=self.keys_server.serve_forever, daemon=True).start()
        self.addCleanup(self.keys_server.server_close)
        self.addCleanup(self.keys_server.shutdown)
        self.key = ECKey.generate_key("P-256", {"kid": "k1"})
        self.publish_key(self.key)
        self.tokens: list[str] = []

    def publish_key(self, *keys: ECKey) -> None:
        """The provider's keys from now on."""
        self.provider.body = json.dumps(
            {"keys": [key.as_dict(private=False) for key in keys]}
        ).encode()

    def start(self, more: str = "") -> None:
        """A server with these keys."""
        port = self.keys_server.server_port
        self.server = ServerProcess(
            f"""
[tokens]
channels = ["chat", "club"]
functions = ["*"]
audience = "tako"
leeway_seconds = 0
jwks_url = "http://127.0.0.1:{port}/keys"
{more}
[channels.chat]
params = {{ roomId = "string" }}
auth = {{ header = "authorization", access_token = true }}
websocket = true
forward_unhandled = true
[channels.open]
public = true
{FAST}""",
            {"club.py": PYTHON},
        )
        self.addCleanup(self.server.close)
        self.server.write("functions/who.py", FUNCTIONS)
        self.server.start()

    def token(self, key: Any = None, *, seconds: float = 60, **changed: Any) -> str:
        """Signed by the provider's key, by another library."""
        key = key or self.key
        head = {"alg": "ES256", "kid": key.kid} if isinstance(key, ECKey) else {"alg": "HS256"}
        every = ["subscribe", "connect", "publish", "history", "call"]
        claims = {
            "sub": "ann",
            "aud": "tako",
            "iat": time.time() - 5,
            "exp": time.time() + seconds,
            "channels": [
                {"channel": "chat", "params": {"roomId": "lobby"}, "operations": every},
                {"channel": "club", "operations": every},
                {"function": "onWho"},
            ],
            **changed,
        }
        token: str = jwt.encode(head, claims, key)
        self.tokens.append(token)
        return token

    def get(self, token: str, path: str = "/channels/chat/history?roomId=lobby") -> httpx.Response:
        """A page of history."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(self.server.url + path, headers=headers, timeout=60)

    def get_open(self) -> httpx.Response:
        """A page of what everybody may read."""
        return httpx.get(f"{self.server.url}/channels/open/history", timeout=60)

    def finish(self) -> None:
        """The server ends as it should, and has said none of the tokens."""
        self.assertEqual(self.server.stop(), 0)
        parts = [
            part for token in self.tokens for part in (token, token.rpartition(".")[2]) if part
        ]
        self.server.assert_clean(SECRET, *parts)

    def socket(self, topic: str, token: str) -> Any:
        """A WebSocket, opened by ``access_token`` where the channel allows it."""
        url = self.server.url.replace("http", "ws")
        return connect(f"{url}/channels/{topic}&access_token={token}", open_timeout=60)

    def test_way_in(self) -> None:
        """One token opens every transport of what it names, and nothing else."""
        self.start()
        good = self.token()
        self.assertEqual(self.get(good).status_code, 200)
        self.assertEqual(self.get(good, "/channels/chat/history?roomId=attic").status_code, 403)
        self.assertEqual(self.get(good, "/channels/club/history").status_code, 200)
        self.assertEqual(self.get_open().status_code, 200)
        bare = httpx.get(f"{self.server.url}/channels/club/history", timeout=60)
        self.assertEqual((bare.status_code, bare.json()["code"]), (401, "credentials-missing"))
        headers = {"Authorization": f"Bearer {good}"}
        called = httpx.post(
            f"{self.server.url}/_tako/functions/onWho",
            json={"args": []},
            headers=headers,
            timeout=60,
        )
        self.assertEqual((called.status_code, called.json()["result"]), (200, "ann"), called.text)
        with self.socket("chat?roomId=lobby", good) as socket:
            socket.send(json.dumps({"type": "msg", "data": "hello"}))
            self.assertEqual(json.loads(socket.recv(timeout=60))["data"], "hello")
        url = self.server.url.replace("http", "ws")
        with connect(f"{url}/channels/club", additional_headers=headers, open_timeout=60) as socket:
            socket.send(json.dumps({"type": "msg", "data": 1}))
            said = json.loads(socket.recv(timeout=60))["data"]
            self.assertEqual(said, {"by": "ann", "said": 1})
        self.finish()

    def test_listener(self) -> None:
        """Who may only listen is not heard."""
        self.start()
        quiet = self.token(channels=[{"channel": "club"}])
        headers = {"Authorization": f"Bearer {quiet}"}
        url = self.server.url.replace("http", "ws")
        with connect(f"{url}/channels/club", additional_headers=headers, open_timeout=60) as socket:
            socket.send(json.dumps({"type": "msg", "data": 1}))
            wait_until(lambda: "ann may not publish to club" in self.server.log, "a refusal")
        self.finish()

    def test_lease(self) -> None:
        """A connection ends with its token."""
        self.start()
        # Now it has the keys, so the handshake is over before the token is.
        self.assertEqual(self.get(self.token()).status_code, 200)
        with self.socket("chat?roomId=lobby", self.token(seconds=3)) as socket:
            closed = self.assertRaises(ConnectionClosed, socket.recv, timeout=60)
            self.assertEqual(closed.rcvd.code, 4401)
        self.finish()

    def test_revoked(self) -> None:
        """Within a second or so nothing is left of a subject that is revoked; others stay."""
        self.start()
        ann, bob = self.token(), self.token(sub="bob")
        with (
            self.socket("chat?roomId=lobby", ann) as hers,
            self.socket("chat?roomId=lobby", bob) as his,
        ):
            revoke(Path(self.server.folder, "state", "revoked-tokens"), "ann", int(time.time()))
            closed = self.assertRaises(ConnectionClosed, hers.recv, timeout=60)
            self.assertEqual(closed.rcvd.code, 4401)
            self.assertEqual(self.get(ann).status_code, 403)
            self.assertEqual(self.get(bob).status_code, 200)
            his.send(json.dumps({"type": "msg", "data": "still here"}))
            self.assertEqual(json.loads(his.recv(timeout=60))["data"], "still here")
        self.assertEqual(self.get(self.token(iat=time.time() + 60)).status_code, 403)
        self.assertIn(
            "tokens of 1 subject were revoked; that ended 1 subscription, and the live"
            " objects of 0 pages",
            self.server.log,
        )
        self.finish()

    def test_void(self) -> None:
        """Nothing that is wrong with a token lets it in, and each has its answer."""
        self.start(f'secrets = ["{SECRET}"]\n')
        other = ECKey.generate_key("P-256", {"kid": "k1"})
        unknown = ECKey.generate_key("P-256", {"kid": "k9"})
        head = "eyJhbGciOiJub25lIn0"
        body = self.token().split(".")[1]
        forged = jwt.encode({"alg": "HS256", "kid": "k1"}, {}, OctKey.import_key("y" * 40))
        now = time.time()
        for token, status, words in (
            (f"{head}.{body}.", 403, "key or an algorithm that is not known"),
            (self.token(other), 403, "signature"),
            (self.token(unknown), 403, "key or an algorithm that is not known"),
            (forged, 403, "another algorithm"),
            (self.token(aud="other"), 403, "audience"),
            (self.token(nbf=now + 100), 403, "not valid yet"),
            (self.token(seconds=-1), 401, "expired"),
            ("not-a-token", 403, "no signed token"),
        ):
            self.tokens.append(token)
            answer = self.get(token)
            self.assertEqual(answer.status_code, status, answer.text)
            self.assertIn(words, answer.json()["error"])
            self.assertNotIn(token, answer.text)
        self.assertEqual(self.get(self.token(OctKey.import_key(SECRET))).status_code, 200)
        self.finish()

    def test_keys_away(self) -> None:
        """Keys that never come, or come wrong, let nobody in and hold nobody else up."""
        self.provider.body = None
        self.start()
        waiting = threading.Thread(target=self.get, args=(self.token(),))
        waiting.start()
        self.assertEqual(self.get_open().status_code, 200)
        self.assertTrue(waiting.is_alive())
        waiting.join()
        answer = self.get(self.token())
        self.assertEqual((answer.status_code, answer.json()["code"]), (503, "auth-unavailable"))
        self.provider.body = b"<html>sorry</html>"
        asked = self.provider.asked
        while self.provider.asked == asked:
            self.assertEqual(self.get(self.token()).status_code, 503)
        self.publish_key(self.key)
        wait_until(lambda: self.get(self.token()).status_code == 200, "keys")
        self.assertIn("it did not answer within 5 s", self.server.log)
        self.finish()

    def test_rotated(self) -> None:
        """A new key counts when the first token by it comes; a reload drops nobody."""
        self.start()
        self.assertEqual(self.get(self.token()).status_code, 200)
        new = ECKey.generate_key("P-256", {"kid": "k2"})
        self.publish_key(self.key, new)
        wait_until(lambda: self.get(self.token(new)).status_code == 200, "the new key")
        with self.socket("chat?roomId=lobby", self.token(new)) as socket:
            self.server.reload()
            self.assertEqual(self.get(self.token(new)).status_code, 200)
            socket.send(json.dumps({"type": "msg", "data": "on"}))
            self.assertEqual(json.loads(socket.recv(timeout=60))["data"], "on")
        self.finish()
