"""Check of a commit's subject, as the commit-msg hook calls it: component first, 72 characters.

python tests/commit_subject.py .git/COMMIT_EDITMSG
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

#: What `git log --oneline` and a list of changes show whole.
LONGEST = 72

#: The component, a colon, and what is done to it.
_FORM = re.compile(r"[A-Za-z0-9][\w ./,+-]*: \S")

#: Written by git itself: of a merge and of a revert, and in front of a subject to join later.
_BY_GIT = re.compile(r"(Merge |Revert \")")
_TO_JOIN = re.compile(r"^((fixup|squash|amend)! )+")


def subject_of(message: str) -> str:
    """The first line that git takes: not an empty one, nor a comment."""
    lines = (line.strip() for line in message.splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


def fault(subject: str) -> str | None:
    """What is wrong with a subject, in a sentence; `None` where nothing is."""
    if not subject or _BY_GIT.match(subject):
        # Git itself refuses an empty one.
        return None
    subject = _TO_JOIN.sub("", subject)
    if len(subject) > LONGEST:
        return f"The subject has {len(subject)} characters; it may have {LONGEST}."
    if not _FORM.match(subject):
        return "The subject begins with its component: `fanout: call socket.send directly`."
    return None


def main(path: str) -> int:
    """Check the message in a file; the exit code of the hook."""
    found = fault(subject_of(Path(path).read_text("utf-8", "replace")))
    if found is not None:
        print(found, file=sys.stderr)
    return int(found is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
