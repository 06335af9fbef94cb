"""The replay log's files are lost, replaced or put back between two lives of a server.

Whatever is done to them, and however a life ended: a cursor that was once given out gets
every message that was acknowledged after it, or for certain "too old"; ids never fall.
Each life is a process of its own, so that a kill is one.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import sqlite3
import sys
import traceback
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.sqlite import SqliteReplayLog
from takotwist.errors import ReplayTooOld
from tests.adapters.sqlite.inline_pool import InlinePool
from tests.contracts.replay_log import LOBBY, NOW, SECOND, entry
from tests.faults.seen import say

HOUR = 3600 * SECOND

#: What a life leaves beside the database.
COMPANIONS = ("-wal", "-shm")


def in_a_life_of_its_own(work: Callable[[], Any], *, killed: bool) -> Any:
    """Do `work` in a process that ends at once after it; what `work` returned.

    :param killed: nothing is closed.  Else `work` has to have done so itself.
    """
    here, there = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(here)
            with os.fdopen(there, "wb") as out:
                try:
                    pickle.dump(work(), out)
                except BaseException:
                    pickle.dump(traceback.format_exc(), out)
                    out.flush()
                    os._exit(1)
        finally:
            os._exit(0 if killed or sys.exc_info()[0] is None else 1)
    os.close(there)
    with os.fdopen(here, "rb") as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    result = pickle.loads(text)
    assert status == 0, result
    return result


@attrs.define
class Life:
    """What came of one.

    :ivar head: at the start.
    :ivar ids: of what was published.
    :ivar pages: what each cursor was given, `None` where it was too old.
    :ivar said: to the operator.
    """

    head: int
    ids: list[int]
    pages: dict[int, list[int] | None]
    said: list[str]


@attrs.define
class Place:
    """A server's folder, and all that was ever acknowledged there.

    :ivar known: the ids of messages.
    :ivar cursors: that were given out.
    """

    folder: Path
    durability: str = "commit"
    now: int = NOW
    known: list[int] = attrs.field(factory=list)
    cursors: set[int] = attrs.field(factory=set)

    @property
    def file(self) -> Path:
        return self.folder / "replay.sqlite"

    @property
    def witness(self) -> Path:
        return self.folder / "replay.sqlite.witness"

    def live(self, publish: int, *, killed: bool = False, copy_after: int | None = None) -> Life:
        """Start, publish, look what all cursors get, and end.

        :param copy_after: a copy of the running log is made after so many messages.
        """
        self.now += 10 * SECOND
        life: Life = in_a_life_of_its_own(
            lambda: self._live(publish, killed, copy_after), killed=killed
        )
        self.known += life.ids
        self.cursors.update(life.ids, [life.head])
        return life

    def _live(self, publish: int, killed: bool, copy_after: int | None) -> Life:
        said: list[str] = []
        globalLogPublisher.addObserver(
            lambda event: (
                said.append(formatEvent(event))
                if "takotwist.adapters" in str(event.get("log_namespace"))
                else None
            )
        )
        clock = Clock()
        clock.advance(self.now / SECOND)
        log = SqliteReplayLog(
            self.file, reactor=clock, durability=self.durability, make_pool=InlinePool
        )
        _result(log.start())
        head, ids = log.head, []
        for number in range(publish + 1):
            if number == copy_after:
                self.copy("copy")
            if number < publish:
                [one] = _result(log.append([entry(LOBBY, "x")], self.now))
                ids.append(one.messages[0].id)
        pages = {}
        for cursor in (*self.cursors, head, *ids):
            page = _result(log.read(LOBBY, cursor, 10_000, 2**40))
            try:
                page.judge(cursor)
            except ReplayTooOld:
                pages[cursor] = None
            else:
                pages[cursor] = [message.id for message in page.messages]
        if not killed:
            _result(log.stop())
        return Life(head, ids, pages, said)

    def copy(self, name: str) -> None:
        """As the operator's page says."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / name).unlink()
        db = sqlite3.connect(self.file)
        db.execute("VACUUM INTO ?", (str(self.folder / name),))
        db.close()

    def remove(self, *suffixes: str) -> None:
        for suffix in suffixes:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.file}{suffix}")

    def put(self, name: str) -> None:
        """Put a file in the place of the database, as the operator's page says."""
        self.remove(*COMPANIONS)
        shutil.copy(self.folder / name, self.file)

    def put_back_all(self) -> None:
        """The whole folder is put back from a copy, as a backup program does."""
        aside = self.folder.with_name(self.folder.name + ".aside")
        os.rename(self.folder, aside)
        shutil.copytree(aside, self.folder)
        shutil.rmtree(aside)


def _result(deferred: Any) -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    [result] = results
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


def foreign(place: Place) -> None:
    """Another server's log of the same time is put in the place of this one's."""
    other = Place(place.folder / "other", now=place.now + 5 * SECOND)
    other.folder.mkdir(exist_ok=True)
    other.live(3)
    shutil.copy(other.file, place.folder / "theirs")
    place.put("theirs")


def all_that_knew(place: Place) -> None:
    """An older copy, and no witness.  Nothing that is left knows the last ids but the clock."""
    place.put("copy")
    place.remove(".witness")
    place.now = max([place.now, *place.known])


HARMS: dict[str, Callable[[Place], None]] = {
    "nothing": lambda place: None,
    "an older copy put in place": lambda place: place.put("copy"),
    "the -wal removed": lambda place: place.remove(*COMPANIONS),
    "the database removed": lambda place: place.remove(""),
    "the database removed with its -wal": lambda place: place.remove("", *COMPANIONS),
    "the witness removed": lambda place: place.remove(".witness"),
    "the witness emptied": lambda place: os.truncate(place.witness, 0),
    "the witness garbled": lambda place: place.witness.write_bytes(b"\xff" * 512),
    "an older copy put in place, and the witness removed": all_that_knew,
    "another server's log put in place": foreign,
    "the whole folder put back": Place.put_back_all,
}

CLOCKS = {"on": 10 * SECOND, "an hour back": -HOUR}


class LossTests(SynchronousTestCase):
    """Each life is followed by something that is done to the files, and that by another life."""

    def place(self, durability: str = "commit") -> Place:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        return Place(folder, durability)

    def check(self, place: Place, life: Life, *, whole: bool) -> None:
        """What cursors got.

        :param whole: nothing was lost, so nothing may be too old.
        """
        known = [*place.known]
        self.assertEqual(known, sorted(set(known)), "ids fall or repeat")
        for cursor, page in life.pages.items():
            if page is None:
                self.assertFalse(whole, f"{cursor} is too old without a reason: {life.said}")
            else:
                self.assertEqual(page, [one for one in known if one > cursor], "a silent hole")

    def test_every_combination(self) -> None:
        """Stopped or killed, each harm, with the clock on or behind: every cursor is right, and
        what happened is said in one line."""
        seen: dict[str, set[str]] = {}
        for durability, killed, harm, clock in product(
            ("commit", "power"), (False, True), HARMS, CLOCKS
        ):
            with self.subTest(durability=durability, killed=killed, harm=harm, clock=clock):
                place = self.place(durability)
                place.live(4, killed=killed, copy_after=2)
                place.live(3, killed=killed)
                place.now += CLOCKS[clock]
                HARMS[harm](place)
                again = place.live(2)
                # Stopped in order, there is no -wal to lose.
                whole = harm == "nothing" or (harm == "the -wal removed" and not killed)
                self.check(place, again, whole=whole)
                self.assertEqual(len(again.said), 0 if whole else 1, (harm, again.said))
                if not whole:
                    self.assertIn(str(place.file), again.said[0])
                    self.assertIn("Every cursor from before is too old", again.said[0])
                    seen.setdefault(harm, set()).add(again.said[0].partition("sqlite ")[2])
                    self.assertTrue(all(again.pages[one] is None for one in place.known[:-3]))
                # It was dealt with: a life after that has nothing to doubt.
                cursors = place.known[-2:]
                after = place.live(1)
                self.assertEqual(after.said, [])
                self.check(place, after, whole=False)
                self.assertTrue(all(after.pages[one] is not None for one in cursors))
        for harm, lines in seen.items():
            say(harm, " / ".join(sorted(lines)))

    STEPS = st.lists(
        st.tuples(
            st.integers(0, 3),
            st.booleans(),
            st.one_of(st.none(), st.integers(0, 3)),
            st.one_of(st.just("nothing"), st.sampled_from(sorted(HARMS))),
            st.sampled_from(sorted(CLOCKS)),
        ),
        min_size=1,
        max_size=5,
    )

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS, st.sampled_from(["commit", "power"]))
    def test_one_after_the_other(
        self, steps: Sequence[tuple[int, bool, int | None, str, str]], durability: str
    ) -> None:
        """Any number of lives, with anything done between them."""
        place = self.place(durability)
        whole = True
        for publish, killed, copy_after, harm, clock in steps:
            life = place.live(publish, killed=killed, copy_after=copy_after)
            self.check(place, life, whole=whole)
            if harm.startswith("an older copy") and not (place.folder / "copy").exists():
                continue
            place.now += CLOCKS[clock]
            HARMS[harm](place)
            whole = whole and harm == "nothing"
        self.check(place, place.live(2), whole=whole)

    def test_kill_at_the_first_start(self) -> None:
        """A server that was killed before it published anything has nothing to doubt."""
        place = self.place()
        place.live(0, killed=True)
        again = place.live(1, killed=True)
        self.assertEqual(again.said, [])
        self.check(place, again, whole=True)
        self.check(place, place.live(1), whole=True)
