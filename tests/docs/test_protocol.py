"""The JSON of the protocol's pages, held against the server's own readers and writers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs import app_json
from takotwist.codecs import frames as server_frame
from takotwist.codecs.frames import Bad, read_client_frame
from takotwist.codecs.registry_json import read_registry
from takotwist.codecs.tako_json import (
    encode_message,
    encode_message_with_params,
    encode_messages,
    read_draft,
    read_drafts,
)
from takotwist.codecs.wire_forms import SSE_RAW, Encoded
from takotwist.core.channel import Lifecycle
from takotwist.core.topic import Message, Topic
from takotwist.errors import REFUSALS, ReplayTooOld, refusal_for
from takotwist.transports.sse import KEEPALIVE, preamble
from tests.docs.page import Block, blocks, one

PAGES = ("protocol/README.md", "protocol/http.md", "protocol/websocket.md", "protocol/app.md")


def _message(said: dict[str, Any], params: dict[str, Any] | None = None) -> Message:
    data = json.dumps(said["data"], separators=(",", ":")).encode()
    topic = Topic.of(said["channel"], params or said.get("params", {}))
    return Message(topic, int(said["id"]), said["type"], data)


def _is_message(line: bytes) -> bytes:
    return encode_message(_message(json.loads(line)))


def _is_message_with_params(line: bytes) -> bytes:
    return encode_message_with_params(_message(json.loads(line)))


def _is_client_frame(line: bytes) -> bytes:
    frame = read_client_frame(line, 65536)
    assert not isinstance(frame, Bad), frame
    return line


def _is_refusal(line: bytes) -> bytes:
    said = json.loads(line)
    assert set(said) == {"error", "code"} and said["code"] in REFUSALS, said
    return line


def _is_server_frame(line: bytes) -> bytes:
    said = json.loads(line)
    ref = said.get("ref")
    topic = Topic.of(said["channel"], said["params"]) if "channel" in said else None
    match said["op"]:
        case "open":
            cursor = said.get("cursor")
            return server_frame.open_frame(
                None if cursor is None else int(cursor), said["connection"], Lifecycle()
            )
        case "reset":
            return server_frame.reset_frame(ReplayTooOld(), int(said["cursor"]), ref, topic)
        case "ack" if topic is not None:
            return server_frame.subscribed_frame(
                ref, int(said["cursor"]), topic, Lifecycle(), said.get("subject")
            )
        case "ack":
            stored = said["id"]
            return server_frame.ack_frame(
                ref, None if stored is None else int(stored), stored=stored is not None
            )
        case "synced":
            return server_frame.synced_frame(int(said["cursor"]), ref, topic)
        case "pong":
            return server_frame.pong_frame(ref)
        case "error":
            return server_frame.error_frame(refusal_for(said["code"], said["error"]), ref, topic)
    raise AssertionError(said)


def _is_history(line: bytes) -> bytes:
    said = json.loads(line)
    messages = tuple(map(_message, said["messages"]))
    return b'{"messages":%b,"cursor":"%d","more":false}' % (
        encode_messages(messages),
        messages[-1].id,
    )


def _is_question(line: bytes) -> bytes:
    return app_json.write_question(app_json.read_question(line))


def _is_frame(line: bytes) -> bytes:
    return app_json.write_frame(app_json.read_frame(line))


def _is_verdict(line: bytes) -> bytes:
    return app_json.write_verdict(app_json.read_verdict(line))


def _is_grant(line: bytes) -> bytes:
    app_json.read_grant(line)
    return line


def _is_draft(line: bytes) -> bytes:
    read_draft(line, 65536)
    return line


def _is_drafts(line: bytes) -> bytes:
    drafts, many = read_drafts(line, 65536, 1000)
    assert many and len(drafts) > 1
    return line


def _is_stored_or_refused(line: bytes) -> bytes:
    return _is_message(line) if b'"id"' in line else _is_refusal(line)


def _is_health(line: bytes) -> bytes:
    assert list(json.loads(line)) == ["live", "ready", "store"]
    return line


KINDS: dict[str, Callable[[bytes], bytes]] = {
    "message": _is_message,
    "message with params": _is_message_with_params,
    "client": _is_client_frame,
    "server": _is_server_frame,
    "refusal": _is_refusal,
    "draft": _is_draft,
    "drafts": _is_drafts,
    "stored or refused": _is_stored_or_refused,
    "history": _is_history,
    "health": _is_health,
    "question": _is_question,
    "grant": _is_grant,
    "frame": _is_frame,
    "verdict": _is_verdict,
}


class TestProtocol(SynchronousTestCase):
    def _json(self) -> list[Block]:
        return blocks("json", *PAGES)

    def test_frames(self) -> None:
        """Every line of JSON is what our writer makes, or what our reader takes."""
        seen = set()
        for block in self._json():
            if block.kind == "registry":
                continue
            seen.add(block.kind)
            for line in block.text.encode().splitlines():
                self.assertEqual(KINDS[block.kind](line), line, block.place)
        self.assertEqual(seen, set(KINDS))

    def test_registry(self) -> None:
        """The registry of the page is one that the server takes."""
        news, chat = read_registry(one("protocol/app.md", "registry").text.encode())
        self.assertFalse(news.verified)
        self.assertTrue(chat.bidirectional)
        self.assertEqual(chat.lifecycle.replay_window_ms, 3_600_000)

    def test_event_stream(self) -> None:
        """The event stream of the page is what the server writes, to the byte."""
        message = Message(Topic.of("chat", {"roomId": "lobby"}), 1763700000123456, "msg", b"")
        message = Message(message.topic, message.id, message.type, b'{"text":"hi"}')
        written = (
            preamble(message.topic, None, 1763700000000000)
            + Encoded(message).frame(SSE_RAW)
            + KEEPALIVE
        )
        self.assertEqual(one("protocol/http.md", "sse").text.encode(), written)

    def test_reset_block(self) -> None:
        """So is the block that says that the cursor was too old."""
        topic = Topic.of("chat", {"roomId": "lobby"})
        written = preamble(topic, 1, 1763700000999999, ReplayTooOld())
        self.assertEqual(one("protocol/http.md", "sse reset").text.encode(), written)

    def test_close_codes(self) -> None:
        """The page's table of close codes has every refusal that can close a connection."""
        text = one_page("protocol/websocket.md")
        never = {"refused", "not-found", "method-not-allowed", "upgrade-required"}
        for code, kind in REFUSALS.items():
            # Streamed messages are written over HTTP alone.
            if code not in never and not code.startswith("stream-"):
                rows = [row for row in text.splitlines() if row.startswith(f"| {kind.close_code} ")]
                self.assertTrue(any(f"`{code}`" in row for row in rows), code)


def one_page(name: str) -> str:
    """The text of a page below ``docs``."""
    from tests.docs.page import DOCS

    return (DOCS / name).read_text()
