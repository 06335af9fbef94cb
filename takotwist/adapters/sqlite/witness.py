"""A few numbers beside the database file, by which an older or another file is known.

A file alone cannot tell that it is yesterday's copy, that its -wal was removed, or that
it is another server's: its rows agree with each other.  So what was given out is noted
outside of it: which run of a server wrote last, and the highest id that was acknowledged.
Rule: an id is noted here before anybody is told of it, and after its commit; so a file
that is whole never knows less than its witness, however the process ended.

(A generation in each cursor was the alternative: an id is a number of 53 bits, and the
microseconds since 1970 leave it no room.)

The note of an id is one `pwrite`, which the end of the process does not undo.  The end of
the machine may.  For that there is `reserved`, which is forced to the disk before the
first id of its block is given out, so that ids never fall, whatever the clock says then.
"""

from __future__ import annotations

import errno
import os
import re
import zlib
from contextlib import suppress
from enum import Enum

import attrs

from takotwist.core.topic import MAX_ID

#: Ids, which are microseconds, that are reserved at a time: a minute.  That is one
#: `fdatasync` a minute, and so far may ids be ahead of the clock after a loss.
BLOCK = 60_000_000

#: One sector, which a disk writes whole or not at all; and where the highest id stands in it
#: once more, so that to note one is to write these few bytes.
_SIZE, _HEAD_AT = 512, 384

#: All bits of an id.
_ONES = MAX_ID

#: A server may be writing while `tako log verify` looks.
_LOOKS = 3

_FORM = re.compile(
    rb"takotwist witness 1 run=(\w*) next=(\w*) head=(\d+) reserved=(\d+) boot=(\S*)"
    rb" inode=(\d+) crc=([0-9a-f]{8})\n\0*(\d+) (\d+)\n\0*"
)


@attrs.define(slots=True)
class Account:
    """Contents of a witness.  Only `head` changes; it does with each transaction.

    :ivar run: whose writes the file has.
    :ivar next: the run that was about to take the file over.
    :ivar head: the highest id whose message was acknowledged.  Right as long as the
        machine has not stopped since.
    :ivar reserved: no id above was ever given out.
    :ivar boot: in which run of the machine `head` is right; empty where it is forever.
    """

    run: str = ""
    next: str = ""
    head: int = 0
    reserved: int = 0
    boot: str = ""

    def given(self, boot: str) -> int:
        """No id above this one was ever given out.

        :param boot: this run of the machine.
        """
        return self.head if self.boot in ("", boot) else max(self.head, self.reserved)


@attrs.frozen(slots=True)
class Found:
    """Account that a database file gives of itself.

    :ivar began: the id at which it was made.
    :ivar head: the highest id that it knows of.
    :ivar run: who wrote it last.
    :ivar boot: the run of the machine whose commits may not be on the disk.
    """

    began: int
    head: int
    run: str
    boot: str


class Doubt(Enum):
    """Why messages that were acknowledged may be missing from a file."""

    OLDER = (
        "is older than what was given out: an older copy was put in its place, or its -wal"
        " was removed"
    )
    FOREIGN = (
        "is not as this server left it: an older copy, or another server's, was put in its place,"
        " or its -wal was removed"
    )
    NO_WITNESS = (
        "has no witness file beside it, so it may be an older copy, or come from elsewhere"
        " (`tako log import` takes over without loss what `tako log export` made)"
    )
    BAD_WITNESS = "has a witness file beside it that cannot be read, so it may be an older copy"
    COPIED = "was copied together with its witness file, so it may be older than what was given out"
    MACHINE = "was not closed in order before the machine stopped, so its last messages may be gone"


class Witness:
    """The file.

    :param path: of the database file that it is about.
    :ivar says: `None` where there is none that can be believed.
    :ivar doubt: what is wrong with it.
    """

    def __init__(self, path: str) -> None:
        self.path = f"{path}.witness"
        self.says: Account | None = None
        self.doubt: Doubt | None = None
        self._descriptor: int | None = None
        self._inode: int | None = None

    def load(self) -> None:
        """Read it, unless this process has it already.

        :raises OSError: it is there and cannot be opened.
        """
        if self._descriptor is not None or self.says is not None:
            return
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            self.doubt = Doubt.NO_WITNESS
            return
        try:
            inode = os.fstat(descriptor).st_ino
            found = None
            for _ in range(_LOOKS):
                found = found or _read(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor, self._inode = descriptor, inode
        if found is None:
            self.doubt = Doubt.BAD_WITNESS
            return
        run, following, boot = (found[at].decode("ascii", "replace") for at in (1, 2, 5))
        head = max(int(found[3]), int(found[8]))
        self.says = Account(run, following, head, int(found[4]), boot)
        self.doubt = None if int(found[6]) == inode else Doubt.COPIED

    def write(self, account: Account) -> None:
        """Have it say this, on the disk.

        :raises OSError: it cannot be written; it says what it said, or this.
        """
        descriptor, inode = self._opened()
        text = (
            f"takotwist witness 1 run={account.run} next={account.next} head={account.head}"
            f" reserved={account.reserved} boot={account.boot} inode={inode} crc="
        ).encode("ascii")
        text += b"%08x\n" % zlib.crc32(text)
        sector = (text.ljust(_HEAD_AT, b"\0") + _noted(account.head)).ljust(_SIZE, b"\0")
        if os.pwrite(descriptor, sector, 0) != _SIZE:
            raise OSError(errno.ENOSPC, "the witness was not written whole")
        os.fdatasync(descriptor)
        self.says, self.doubt = account, None

    def note(self, head: int) -> None:
        """Have it say that `head` was given out, in a way that survives the process.

        :raises OSError: it cannot be written.
        """
        descriptor, _ = self._opened()
        assert self.says is not None
        text = _noted(head)
        if os.pwrite(descriptor, text, _HEAD_AT) != len(text):
            raise OSError(errno.ENOSPC, "the witness was not written whole")
        self.says.head = head

    def accept(self, account: Account) -> None:
        """From now on this is true; it is written when it has to be."""
        self.says, self.doubt = account, None

    def keep(self) -> bool:
        """Make it again where somebody removed it from under us; whether that was so.

        :raises OSError: it cannot be made.
        """
        if self.says is None or self._descriptor is None:
            return False
        try:
            if os.stat(self.path).st_ino == self._inode:
                return False
        except FileNotFoundError:
            pass
        self.close()
        self.write(self.says)
        return True

    def close(self) -> None:
        """Let go of the file.  What it says is still known."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    def _opened(self) -> tuple[int, int]:
        if self._descriptor is None or self._inode is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            descriptor = self._descriptor = os.open(self.path, flags, 0o600)
            self._inode = os.fstat(descriptor).st_ino
            sync_folder(self.path)
        return self._descriptor, self._inode


def _read(descriptor: int) -> re.Match[bytes] | None:
    found = _FORM.fullmatch(os.pread(descriptor, _SIZE, 0))
    if found is None or int(found[7], 16) != zlib.crc32(found[0][: found.start(7)]):
        return None
    # The id and its complement: one that is half another is none.
    return found if int(found[8]) ^ int(found[9]) == _ONES else None


def _noted(head: int) -> bytes:
    return b"%016d %016d\n" % (head, head ^ _ONES)


def sync_folder(path: str) -> None:
    """Have the name of the file at `path` on the disk."""
    folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def doubt_about(found: Found, witness: Witness, boot: str) -> Doubt | None:
    """The reason to doubt that the file has all ids that were given out, or has removed them;
    `None` where it has.

    :param boot: this run of the machine.
    """
    account = witness.says
    if account is not None and witness.doubt is None:
        ours = found.run == account.run or (found.run != "" and found.run == account.next)
        # One that was made just now begins after all that was given out.
        new = found.run == "" and found.began > account.given(boot)
        if not ours and not new:
            return Doubt.FOREIGN
        if found.head < account.head:
            return Doubt.OLDER
    elif witness.doubt is Doubt.NO_WITNESS and not found.run:
        # New, or written by a version that knew no witnesses.
        pass
    elif witness.doubt is not None:
        return witness.doubt
    if found.boot not in ("", boot):
        return Doubt.MACHINE
    return None


def lost_up_to(doubt: Doubt, found: Found, witness: Witness, boot: str, now_us: int) -> int:
    """The id up to which messages may be missing, where there is a doubt."""
    given = witness.says.given(boot) if witness.says is not None else 0
    if doubt in (Doubt.OLDER, Doubt.FOREIGN):
        return max(found.head, given)
    return max(found.head, given, now_us)
