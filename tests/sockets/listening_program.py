"""A program that listens as the server does, for tests that need a process of its own.

    python -m tests.sockets.listening_program ENDPOINT...

Prints each address, then echoes; ends when its standard input is closed.  With
PASSED_FDS and PASSED_NAMES in the environment it first arranges these
descriptors as systemd would (sd_listen_fds(3)), and begins anew; with no names,
as other activators do.
"""

from __future__ import annotations

import os
import sys


def as_systemd_would(descriptors: list[int], names: str) -> None:
    """Put `descriptors` at 3 and up, name this process as their receiver, and begin anew."""
    for at, descriptor in enumerate(descriptors):
        os.dup2(descriptor, 3 + at)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PASSED_")}
    environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(descriptors))}
    if names:
        environ["LISTEN_FDNAMES"] = names
    os.execve(
        sys.executable,
        [sys.executable, "-m", "tests.sockets.listening_program", *sys.argv[1:]],
        environ,
    )


def main(endpoints: list[str]) -> None:
    """Listen and echo."""
    from twisted.internet import reactor, stdio
    from twisted.internet.defer import ensureDeferred
    from twisted.internet.protocol import Protocol
    from twisted.internet.task import react

    from takotwist.errors import ConfigError
    from takotwist.server.listen import Listen, close_listeners, open_listeners
    from tests.sockets.echo import EchoFactory

    async def run() -> None:
        from twisted.internet.defer import Deferred

        factory = EchoFactory()
        try:
            opened = await open_listeners(
                reactor, [Listen(endpoint=one, factory=factory) for one in endpoints]
            )
        except ConfigError as bad:
            print(bad, flush=True)
            return
        print(" ".join(one.address for one in opened), flush=True)
        ended: Deferred[None] = Deferred()

        class Input(Protocol):
            def connectionLost(self, reason: object = None) -> None:
                ended.callback(None)

        stdio.StandardIO(Input())
        await ended
        await close_listeners(opened)

    react(lambda _: ensureDeferred(run()))


if __name__ == "__main__":
    if "PASSED_FDS" in os.environ:
        as_systemd_would(
            [int(one) for one in os.environ["PASSED_FDS"].split(",")], os.environ["PASSED_NAMES"]
        )
    main(sys.argv[1:])
