"""``python -m tests.faults.fuzz NAME [options of libFuzzer]``: one parser, guided by coverage.

Needs ``pip install atheris``.  Without a name: the names.
"""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> None:
    """Fuzz until something is found."""
    import atheris  # a tool for the hand, in no extra

    with atheris.instrument_imports(include=["takotwist"]):
        from tests.faults.fuzz.parsers import PARSERS, read
    if not arguments or arguments[0] not in PARSERS:
        raise SystemExit("one of: " + ", ".join(PARSERS))
    name = arguments[0]
    for seed in PARSERS[name].seeds:
        read(name, seed)
    atheris.Setup([sys.argv[0], *arguments[1:]], lambda data: read(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
