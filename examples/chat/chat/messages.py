"""The messages that are kept for good, in the app's own table.

The channel delivers and bridges short absences; what must last is the app's.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from chat.people import hue_of

T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    room TEXT NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS message_by_room ON message (room, number);
"""


class Messages:
    """Called from the server's threads, so one lock guards one connection."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.executescript("PRAGMA journal_mode = WAL;" + SCHEMA)

    def add(self, room: str, author: str, text: str, make: Callable[..., T]) -> T:
        """Keep a message and return it as `make` builds it."""
        row = {"id": uuid.uuid4().hex, "author": author, "text": text, "at": time.time()}
        with self._lock, self._database:
            self._database.execute(
                "INSERT INTO message (id, room, author, text, at)"
                " VALUES (:id, :room, :author, :text, :at)",
                row | {"room": room},
            )
        return make(**row, hue=hue_of(author))

    def newest(self, room: str, count: int = 100) -> list[dict[str, Any]]:
        """The newest messages of a room, oldest first."""
        with self._lock:
            rows = self._database.execute(
                "SELECT id, author, text, at FROM message WHERE room = ?"
                " ORDER BY number DESC LIMIT ?",
                (room, count),
            ).fetchall()
        kept = [dict(zip(("id", "author", "text", "at"), row, strict=True)) for row in rows[::-1]]
        return [{**one, "hue": hue_of(one["author"])} for one in kept]


messages = Messages(Path(__file__).parent.parent / "state" / "chat.sqlite")
