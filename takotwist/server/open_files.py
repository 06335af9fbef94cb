"""How many files, and so connections, this process may have open.

Systems start a process with a soft limit of 1024 and a hard one far above,
because of programs that still use select(); this one uses epoll.
Rule: what does not fit is said at the start, not found out at the peak.
"""

from __future__ import annotations

import resource
from pathlib import Path

import attrs

#: Files that are no connections: database and journal, listeners, requests to the app, the log.
RESERVED = 256

#: What an unlimited process may have, where the system does not say.
FALLBACK = 1_048_576


@attrs.frozen(slots=True)
class OpenFiles:
    """The limit that holds.

    :ivar limit: files that this process may have open.
    """

    limit: int

    @property
    def connections(self) -> int:
        """Connections that fit beside everything else."""
        return max(self.limit - RESERVED, self.limit // 2)

    def shortage(self, max_connections: int) -> str | None:
        """A sentence when the configured number of connections does not fit."""
        if max_connections <= self.connections:
            return None
        return (
            f"limits.max_connections is {max_connections}, and this process may have"
            f" {self.limit} files open, enough for {self.connections} connections. Set"
            f" LimitNOFILE={max_connections + RESERVED} in the systemd unit, or lower"
            " limits.max_connections."
        )


def raise_open_files(nr_open: Path = Path("/proc/sys/fs/nr_open")) -> OpenFiles:
    """Raise the soft limit to the hard one.

    :param nr_open: where Linux says what a process may have at most, for a hard limit of
        "unlimited".
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _most(nr_open) if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            # A container may forbid it; what is left is still enough to start.
            wanted = soft
    return OpenFiles(wanted if soft == resource.RLIM_INFINITY else max(soft, wanted))


def _most(nr_open: Path) -> int:
    try:
        return int(nr_open.read_text())
    except (OSError, ValueError):
        return FALLBACK
