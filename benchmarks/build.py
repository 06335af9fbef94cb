"""The tools in C, compiled when they are first needed."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


@cache
def compiled(source: Path) -> Path:
    """The program made of `source`, in a folder of this run."""
    folder = Path(tempfile.mkdtemp(prefix="takotwist-benchmarks-"))
    program = folder / source.stem
    libraries = ["-lssl", "-lcrypto", "-lm"] if source.stem == "load" else []
    subprocess.run(["cc", "-O2", "-o", program, source, *libraries], check=True)
    return program


def generator() -> Path:
    """The load generator."""
    return compiled(_HERE / "load.c")
