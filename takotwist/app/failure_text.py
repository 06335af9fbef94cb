"""A failure of the app's code as text for a log.

Rule: only the app's own frames, no values of variables, and none of the
credentials of the request, even where the app put one into its message.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

_OURS = str(Path(__file__).resolve().parent.parent)

#: Frames that begin every traceback here and tell nothing of the app.
_CARRIERS = (
    "/twisted/internet/",
    "/twisted/python/",
    "/twisted/_threads/",
    "/asyncio/",
    "/concurrent/futures/",
)


def failure_text(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """The traceback of `error`, from the app's first frame on.

    :param secrets: texts to be blotted out.
    """
    lines = traceback.format_exception(type(error), error, _app_part(error.__traceback__))
    text = "".join(lines).rstrip()
    for secret in secrets:
        # A secret of a letter or two hides nothing and would blot out every word.
        if len(secret) > 3:
            text = text.replace(secret, "[credential]")
    return text


def _app_part(trace: TracebackType | None) -> TracebackType | None:
    step = trace
    while step is not None and _is_carrier(step.tb_frame.f_code.co_filename):
        step = step.tb_next
    return step


def _is_carrier(filename: str) -> bool:
    return filename.startswith(_OURS) or any(part in filename for part in _CARRIERS)
