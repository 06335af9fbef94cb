"""The page that follows one message, function by function, as the tracer sees it.

Order is that of the first call; lines are counted by a test and not written down, so that the
page changes only where the journey does.
"""

# ruff: noqa: E501  (the page has longer lines than the code)

from __future__ import annotations

import inspect
from types import CodeType

from tests.docs.test_architecture import Trace, publish

_HEAD = """\
# One message, function by function

This page is made by `python -m tests.docs.generated`; do not edit it.

A publish of which the server knows the head already, from the socket of its publisher into the log and to the
sockets of three readers, two event streams and a WebSocket. These functions run, in this order, and no others
of the package. Together they are under {most:,} lines, which is an hour's reading; a test counts them. Paths are
below `takotwist/`.

A server in production has `adapters/sqlite/log.py` in the place of the log in memory: `append` there hands the
batch to `adapters/sqlite/writer.py` in a thread of its own, and reports it when the transaction has committed.
"""

#: What a newcomer can be asked to read.
MOST_LINES = 1_500


def journey() -> list[CodeType]:
    """The functions, in the order of their first call."""
    # Once before, so that caches of the process hide no function.
    publish(known=True)
    codes = publish(known=True).codes
    return [code for code in codes if not code.co_name.startswith("<")]


def lines(codes: list[CodeType]) -> int:
    """Lines of their source, those in another of them counted once."""
    spans = {
        (code.co_filename, number)
        for code in codes
        for text, first in [inspect.getsourcelines(code)]
        for number in range(first, first + len(text))
    }
    return len(spans)


def one_message() -> str:
    """The page."""
    rows: list[tuple[str, list[str]]] = []
    for code in journey():
        file = Trace.name_of(code)
        if not rows or rows[-1][0] != file:
            rows.append((file, []))
        name = code.co_qualname.replace(".<locals>.", ".")
        rows[-1][1].append(f"`{name}`")
    table = "\n".join(f"| `{file}` | {', '.join(names)} |" for file, names in rows)
    return f"{_HEAD.format(most=MOST_LINES)}\n| file | functions |\n|---|---|\n{table}\n"
