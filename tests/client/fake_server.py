"""A small server of the protocol, in a thread of its own, for tests of the I/O adapters.

Keeps messages in a list and does what it is told: refuse, cut, fall silent.  It
is no model of the real server; the tests that need one use the real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
import threading
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

# Says that it does not speak the subprotocol, which is what some tests are about.
logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)


class FakeServer:
    """One channel, ``chat``, whose topics are told apart by ``roomId``.

    :ivar removed: cursors below this are too old.
    :ivar plain: whether the WebSocket ignores ``tako.v1``.
    :ivar refusals: answers to give first, one a connection: ``(status, code)`` for SSE,
        ``(close code, reason)`` for WebSocket.
    :ivar seen: the cursor, headers and frames that came.
    """

    def __init__(self, *, path: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.log: list[dict[str, Any]] = []
        self.keys: dict[str, str] = {}
        self.removed = 0
        self.plain = False
        self.handlers = True
        self.refusals: list[tuple[int, str]] = []
        self.seen: list[Any] = []
        self.connections = 0
        self._path, self._tls = path, tls
        self._live: set[tuple[str, Callable[[dict[str, Any]], None], Callable[[], None]]] = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    # For the tests' own thread.

    def __enter__(self) -> FakeServer:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it is."""
        if self._path:
            return f"unix:{self._path}"
        return f"{'https' if self._tls else 'http'}://localhost:{self._port}"

    def publish(self, text: str, room: str = "a") -> str:
        """Store and fan out one message; gives its id."""
        return self._soon(lambda: self._append("msg", {"text": text}, room))

    def cut(self) -> None:
        """Cut every connection."""
        self._soon(lambda: [abort() for _, _, abort in list(self._live)])

    def _soon(self, work: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(60)

    # In its thread.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        app = web.Application()
        app.router.add_get("/_tako/channels/{channel}", self._channel)
        app.router.add_get("/_tako/channels/{channel}/history", self._history)
        app.router.add_get("/_tako/connect", self._connect)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site: web.BaseSite
        if self._path:
            site = web.UnixSite(runner, self._path)
        else:
            site = web.TCPSite(runner, "localhost", 0, ssl_context=self._tls)
        await site.start()
        if not self._path:
            self._port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        for _, _, abort in list(self._live):
            abort()
        await runner.cleanup()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _append(self, type: str, data: Any, room: str, key: str | None = None) -> str:
        if key is not None and key in self.keys:
            return self.keys[key]
        new = str(100 + len(self.log) + 1)
        if key is not None:
            self.keys[key] = new
        message = {"id": new, "channel": "chat", "type": type, "data": data}
        self.log.append({"room": room, "message": message})
        for to, send, _ in list(self._live):
            if to == room:
                send(message)
        return new

    @property
    def _head(self) -> str:
        return str(100 + len(self.log))

    def _after(self, room: str, cursor: str) -> list[dict[str, Any]]:
        return [
            one["message"]
            for one in self.log
            if one["room"] == room and int(one["message"]["id"]) > int(cursor)
        ]

    def _too_old(self, cursor: str | None) -> bool:
        return cursor not in (None, "0") and int(cursor or 0) < self.removed

    async def _channel(self, request: web.Request) -> web.StreamResponse:
        self.connections += 1
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._websocket(request)
        return await self._sse(request)

    async def _history(self, request: web.Request) -> web.Response:
        messages = self._after(request.query["roomId"], request.query.get("after", "0"))
        limit = int(request.query.get("limit", "100"))
        page = messages[:limit]
        cursor = page[-1]["id"] if page else self._head
        return web.json_response(
            {"messages": page, "cursor": cursor, "more": len(messages) > limit}
        )

    async def _sse(self, request: web.Request) -> web.StreamResponse:
        self.seen.append({k.lower(): v for k, v in request.headers.items()})
        if self.refusals:
            status, code = self.refusals.pop(0)
            return web.json_response({"error": "No.", "code": code}, status=status)
        room, cursor = request.query["roomId"], request.headers.get("Last-Event-ID")
        reset = self._too_old(cursor)
        if reset and request.query.get("stale") != "reset":
            return web.json_response({"error": "Old.", "code": "replay-too-old"}, status=410)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        entry = (room, queue.put_nowait, lambda: _abort(request))
        self._live.add(entry)
        start = self._head if reset or cursor is None else cursor
        try:
            await response.write(b"retry: 100\n\n")
            if reset:
                said = json.dumps({"reason": "replay-too-old", "cursor": start})
                await response.write(f"event: tako.reset\ndata: {said}\n\n".encode())
            await response.write(f"id: {start}\n\n".encode())
            for message in self._after(room, start):
                queue.put_nowait(message)
            while (message := await queue.get()) is not None:
                await response.write(
                    f"id: {message['id']}\ndata: {json.dumps(message)}\n\n".encode()
                )
        except ConnectionError:
            pass
        finally:
            self._live.discard(entry)
        return response

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        self.seen.append({k.lower(): v for k, v in request.headers.items()})
        ws = web.WebSocketResponse(protocols=() if self.plain else ("tako.v1",), heartbeat=None)
        await ws.prepare(request)
        if not self.handlers:
            await ws.close(code=4400, message=b"transport-not-enabled")
            return ws
        if self.refusals:
            code, reason = self.refusals.pop(0)
            await ws.close(code=code, message=reason.encode())
            return ws
        room, cursor = request.query["roomId"], request.query.get("last_message_id")
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        entry = (room, queue.put_nowait, lambda: _abort(request))
        self._live.add(entry)
        reset = self._too_old(cursor)
        start = self._head if reset or cursor is None else cursor
        if not self.plain:
            queue.put_nowait(_open(start))
            if reset:
                queue.put_nowait({"op": "reset", "reason": "replay-too-old", "cursor": start})
        for message in self._after(room, start):
            queue.put_nowait(message)

        def received(frame: dict[str, Any]) -> None:
            if frame["type"] == "tako.auth":
                return
            new = self._append(frame["type"], frame["data"], room, frame.get("idempotencyKey"))
            if "ref" in frame:
                queue.put_nowait({"op": "ack", "ref": frame["ref"], "id": new})

        try:
            await self._converse(ws, queue, received)
        finally:
            self._live.discard(entry)
        return ws

    async def _connect(self, request: web.Request) -> web.WebSocketResponse:
        self.connections += 1
        ws = web.WebSocketResponse(protocols=("tako.v1",))
        await ws.prepare(request)
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        queue.put_nowait(_open(None))
        entries: dict[str, Any] = {}

        def received(frame: dict[str, Any]) -> None:
            room, ref = str(frame.get("params", {}).get("roomId")), frame["ref"]
            if frame["op"] == "subscribe":
                if room == "forbidden":
                    refused = {"op": "error", "ref": ref, "code": "verify-rejected", "error": "No."}
                    queue.put_nowait(refused)
                    return
                start = frame.get("cursor") or self._head
                params = {"roomId": room}
                queue.put_nowait({"op": "ack", "ref": ref, "cursor": start, "params": params})

                def send(message: dict[str, Any]) -> None:
                    queue.put_nowait({**message, "params": params})

                entries[room] = (room, send, lambda: _abort(request))
                self._live.add(entries[room])
                for message in self._after(room, start):
                    send(message)
            elif frame["op"] == "unsubscribe":
                self._live.discard(entries.pop(room, None))
                queue.put_nowait({"op": "ack", "ref": ref})
            elif frame["op"] == "publish":
                key = frame.get("idempotencyKey")
                new = self._append(frame["type"], frame["data"], room, key)
                queue.put_nowait({"op": "ack", "ref": ref, "id": new})
            elif frame["op"] == "ping":
                queue.put_nowait({"op": "pong", "ref": ref})

        try:
            await self._converse(ws, queue, received)
        finally:
            for entry in entries.values():
                self._live.discard(entry)
        return ws

    async def _converse(
        self,
        ws: web.WebSocketResponse,
        queue: asyncio.Queue[dict[str, Any]],
        received: Callable[[dict[str, Any]], None],
    ) -> None:
        async def write() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    await ws.send_str(json.dumps(await queue.get()))

        writer = asyncio.create_task(write())
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    frame = json.loads(message.data)
                    self.seen.append(frame)
                    received(frame)
        finally:
            writer.cancel()


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _open(cursor: str | None) -> dict[str, Any]:
    frame = {"op": "open", "connection": "c", "lifecycle": {"keepaliveIntervalMs": 25_000}}
    return frame if cursor is None else {**frame, "cursor": cursor}
