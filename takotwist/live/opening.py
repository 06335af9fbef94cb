"""Objects that a page asks to open, and the answer.

Rule: every object that a client asks to open is in the answer, as here or as ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import attrs
import msgspec

from takotwist.core.json_values import Json
from takotwist.live.machine.codec import read_trouble, trouble_json
from takotwist.live.machine.frames import NETWORK, Frame, Position
from takotwist.live.sessions import LiveSession

Ref = int | str | None


class Entry(msgspec.Struct, omit_defaults=True):
    """One object to open: the client's position, or its end at the client."""

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


@attrs.frozen(slots=True)
class FarAnswer:
    """Answer of other nodes about the objects that they hold, as it stands on the wire."""

    here: Sequence[object] = ()
    ended: Sequence[Json] = ()


#: No object is elsewhere.
NOTHING_FAR = FarAnswer()


@attrs.define(slots=True, eq=False)
class OpenAnswer:
    """The answer to ``live.attach`` and ``live.open``.

    :ivar here: the objects that are there, with their positions.
    :ivar ended: the others, with their errors.
    :ivar begin: calls that are due once the answer is on its way.
    """

    here: list[object] = attrs.field(factory=list)
    ended: list[object] = attrs.field(factory=list)
    begin: list[Callable[[], None]] = attrs.field(factory=list)

    @classmethod
    def of(cls, session: LiveSession, op: Op, far: FarAnswer) -> OpenAnswer:
        """The answer, with what other nodes have said.

        :raises Unreadable: :raises msgspec.DecodeError: an end cannot be read.
        """
        opening = cls([*far.here], [*far.ended])
        answered = {one["id"] for one in (*far.here, *far.ended)}
        for entry in op.open:
            if entry.id not in answered:
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
