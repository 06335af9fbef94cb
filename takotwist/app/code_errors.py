"""Location of an error in an app's code: the file and the line that its author can change.

A traceback goes through this project, the import system and libraries; of all that only the last
step in the app's own files helps.  Rule: one sentence, and what to do where that is known.
"""

from __future__ import annotations

import sys
import traceback
from functools import cache
from pathlib import Path

import attrs

from takotwist.errors import DefinitionError


@cache
def _not_the_app() -> frozenset[str]:
    """Folders of code that is not the app's: of Python, of what was installed, and ours.

    Asked for when something is wrong: `sysconfig` takes milliseconds to load, of every start.
    """
    import sysconfig

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return frozenset({*map(sysconfig.get_path, names), str(Path(__file__).resolve().parents[1])})


@attrs.frozen(slots=True)
class CodeError:
    """Error that was raised while code of the app was read or called.

    :ivar place: file and line, or the file, or the module's name.
    :ivar what: what is wrong there, and what to do.
    """

    place: str
    what: str


def code_error(error: BaseException, reading: str) -> CodeError:
    """Place and words of `error`.

    :param reading: the file or module that was read, for where there is no better place.
    """
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    file, line = reading, None
    if isinstance(error, SyntaxError):
        what = f"{type(error).__name__}: {error.msg}"
        file, line = error.filename or reading, error.lineno
    else:
        steps = [
            step for step in traceback.extract_tb(error.__traceback__) if is_of_app(step.filename)
        ]
        if steps:
            file, line = steps[-1].filename, steps[-1].lineno
    if isinstance(error, DefinitionError):
        what = error.reason
        if error.place is not None:
            return CodeError(error.place, what)
    elif isinstance(error, ModuleNotFoundError):
        what += (
            f" (correct the name, or install it for this Python:"
            f" {sys.executable} -m pip install {(error.name or '...').partition('.')[0]})"
        )
    if file != reading and Path(reading).is_absolute():
        what += f" (read for {reading})"
    return CodeError(f"{file}:{line}" if line is not None else file, what)


def is_of_app(file: str) -> bool:
    """True for a file that whoever writes the app would change."""
    return Path(file).is_absolute() and not any(
        Path(file).is_relative_to(folder) for folder in _not_the_app()
    )
