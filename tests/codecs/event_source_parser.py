"""What a conforming browser makes of an event stream (WHATWG HTML, section 9.2.6).

Written from the standard and not from our writer, so that it can judge it.
"""

from __future__ import annotations

import attrs


@attrs.define
class Parsed:
    """Everything that a stream did to an EventSource.

    :ivar events: name, data and last event id of each that was dispatched.
    :ivar retries: reconnection times, in milliseconds.
    :ivar comments: text behind the colon.
    """

    events: list[tuple[str, str, str]] = attrs.field(factory=list)
    retries: list[int] = attrs.field(factory=list)
    comments: list[str] = attrs.field(factory=list)
    last_event_id: str = ""


def parse(stream: bytes) -> Parsed:
    """Parse a whole stream."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    parsed = Parsed()
    name, data, last_id = "", "", ""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    # What follows the last line end is an unfinished line, and is dropped.
    for line in lines[:-1]:
        if not line:
            parsed.last_event_id = last_id
            if data:
                parsed.events.append((name or "message", data.removesuffix("\n"), last_id))
            name = data = ""
            continue
        if line.startswith(":"):
            parsed.comments.append(line[1:])
            continue
        field, colon, value = line.partition(":")
        if colon:
            value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data += value + "\n"
        elif field == "id":
            if "\x00" not in value:
                last_id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            parsed.retries.append(int(value))
    return parsed
