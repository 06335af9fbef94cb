"""What a client says to open its objects on a wire, and what it is answered (section 4).

Rule: every object of the question is in the answer, as here or as ended, before
any of them sends.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import msgspec

from takotwist.live.machine.codec import read_trouble, trouble_json
from takotwist.live.machine.frames import NETWORK, Frame, Position
from takotwist.live.sessions import LiveSession

Ref = int | str | None


class Entry(msgspec.Struct):
    """One object: a position, or how it ended at the client."""

    id: str
    seq: int = 0
    bytes: int = 0
    messages: int = 0
    end: msgspec.Raw = msgspec.Raw()


class Op(msgspec.Struct):
    """An op about the session."""

    op: str
    ref: Ref = None
    session: str | None = None
    auth: str | None = None
    open: list[Entry] = []


OPS = msgspec.json.Decoder(Op)


@attrs.define(slots=True, eq=False)
class Opening:
    """An answer.

    :ivar here: the objects that are there, with their positions.
    :ivar ended: the others, with their errors.
    :ivar begin: what is to be done once the answer is on its way.
    """

    here: list[Any] = attrs.field(factory=list)
    ended: list[Any] = attrs.field(factory=list)
    begin: list[Callable[[], None]] = attrs.field(factory=list)

    @classmethod
    def of(cls, session: LiveSession, op: Op) -> Opening:
        """:raises Unreadable: :raises msgspec.DecodeError: an end cannot be read."""
        opening = cls()
        for entry in op.open:
            opening._add(session, entry)
        return opening

    def _add(self, session: LiveSession, entry: Entry) -> None:
        one = session.objects.get(entry.id)
        if entry.end:
            trouble = read_trouble(msgspec.json.decode(entry.end))
            self.ended.append({"id": entry.id, "error": trouble_json(trouble)})
            if one is not None:
                self.begin.append(partial(one.receive, Frame("end", error=trouble)))
        elif one is None:
            self.ended.append({"id": entry.id, "error": trouble_json(NETWORK)})
        elif one.outcome is not None:
            self.ended.append({"id": entry.id, "error": trouble_json(one.outcome[0])})
        else:
            mine = one.position()
            self.here.append(
                {"id": entry.id, "seq": mine.seq, "bytes": mine.bytes, "messages": mine.messages}
            )
            position = Position(entry.seq, entry.bytes, entry.messages)
            self.begin.append(partial(one.attach, position))
