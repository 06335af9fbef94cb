"""Files that change below a project's folder, told in the reactor.

Folders are watched each by itself, and not with all that is below them: node_modules and virtual
environments have more than a system lets one program watch.  Rule: a file is told of once it
is at rest, and one that changed while folders were looked for again is told of too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Event, Thread

from twisted.application.service import Service
from twisted.logger import Logger
from watchfiles import watch

from takotwist.interfaces import IReactor

#: Folders of tools, which have nothing that an author writes.
NOT_WATCHED = frozenset(
    ("node_modules", "__pycache__", "site-packages", "venv", "env", "dist", "build", "htmlcov")
)

#: Most folders that are watched.
MAX_FOLDERS = 2_000

#: Milliseconds: a change is told of after so long without another, and never later than that.
REST_MS, LATEST_MS = 40, 400

#: Milliseconds after which an idle watcher looks whether it is to end.
IDLE_MS = 300

log = Logger()


def folders_of(root: Path, without: Iterable[Path] = ()) -> list[Path]:
    """The folders below `root` that are watched, and itself.

    :param without: such as the state folder.
    """
    ignored = set(without)
    found: list[Path] = []
    for place, names, _ in os.walk(root):
        found.append(Path(place))
        if len(found) == MAX_FOLDERS:
            log.warn(
                "{root} has more than {most} folders; changes in the others are not seen",
                root=str(root),
                most=MAX_FOLDERS,
            )
            break
        names[:] = sorted(
            name
            for name in names
            if not name.startswith(".")
            and name not in NOT_WATCHED
            and Path(place, name) not in ignored
        )
    return found


class FileWatch(Service):
    """Tells which files have changed.

    :param root: the project's folder.
    :param without: folders that are not looked at.
    :param changed: called in the reactor with the files.
    """

    def __init__(
        self,
        root: Path,
        without: Iterable[Path],
        reactor: IReactor,
        changed: Callable[[frozenset[Path]], object],
    ) -> None:
        self._root, self._without = root.resolve(), frozenset(one.resolve() for one in without)
        self._reactor, self._changed = reactor, changed
        self._ending = Event()
        self._folders = folders_of(self._root, self._without)
        # From now on: what changes before the watching has begun is seen by its stamp.
        self._stamps = dict(_stamps(self._folders))
        self._thread = Thread(target=self._run, name="takotwist-watch", daemon=True)

    def startService(self) -> None:
        """Begin to watch."""
        Service.startService(self)
        self._thread.start()

    def stopService(self) -> None:
        """End it, without waiting: the thread looks in a moment, and keeps no process alive."""
        Service.stopService(self)
        self._ending.set()

    def end(self) -> None:
        """End it, and wait for its end."""
        self._ending.set()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """True until the thread has ended."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._watch()
        except Exception:
            log.failure("watching files failed")

    def _watch(self) -> None:
        """Watch the folders that there are, until there are others."""
        watching = watch(
            *self._folders,
            watch_filter=None,
            debounce=LATEST_MS,
            step=REST_MS,
            stop_event=self._ending,
            rust_timeout=IDLE_MS,
            yield_on_timeout=True,
            recursive=False,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        first = True
        for changes in watching:
            paths = {Path(path) for _, path in changes}
            if first:
                first = False
                now = dict(_stamps(self._folders))
                paths |= {path for path, stamp in now.items() if self._stamps.get(path) != stamp}
                paths |= self._stamps.keys() - now.keys()
            if paths:
                self._reactor.callFromThread(self._changed, frozenset(paths))
            if any(path.is_dir() or path in self._folders for path in paths):
                self._stamps = dict(_stamps(self._folders))
                self._folders = folders_of(self._root, self._without)
                return


def _stamps(folders: Iterable[Path]) -> Iterator[tuple[Path, tuple[int, int]]]:
    """A stamp of each file, which differs where its content does."""
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_file():
                        status = entry.stat()
                        yield Path(entry.path), (status.st_mtime_ns, status.st_size)
        except OSError:
            continue  # it went away meanwhile
