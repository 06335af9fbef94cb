"""The first process of a container, as an engine makes it; run by `tests.shipping.container`.

It is started as process 1 of new namespaces, mounts what the container may see, and becomes the
program.  Standard library only: it runs under the interpreter of the tests, as root.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

_DEVICES = ("null", "zero", "full", "random", "urandom")


def mount(*words: str) -> None:
    """mount(8), which must succeed."""
    subprocess.run(["mount", *words], check=True)


def main() -> None:
    """Read what to run from the argument, and become it."""
    wanted = json.loads(sys.argv[1])
    root = wanted["root"]
    mount("--bind", root, root)
    hosts = Path(wanted["hosts"])
    mount("--bind", str(hosts), f"{root}/etc/hosts")
    if wanted["read_only"]:
        mount("-o", "remount,bind,ro", root)
    for folder, place in wanted["volumes"].items():
        mount("--bind", folder, f"{root}{place}")
    mount("-t", "proc", "proc", f"{root}/proc")
    mount("-t", "tmpfs", "-o", "mode=755,size=64k", "dev", f"{root}/dev")
    for name in _DEVICES:
        Path(f"{root}/dev/{name}").touch()
        mount("--bind", f"/dev/{name}", f"{root}/dev/{name}")
    os.mkdir(f"{root}/dev/shm")
    mount("-t", "tmpfs", "shm", f"{root}/dev/shm")
    os.chroot(root)
    os.chdir(wanted["workdir"])
    user, _, group = wanted["user"].partition(":")
    who = ["--reuid", user, "--regid", group, "--clear-groups", "--inh-caps=-all"]
    if wanted["drop_capabilities"]:
        who.append("--bounding-set=-all")
    if wanted["no_new_privileges"]:
        who.append("--no-new-privs")
    program = ["/usr/bin/setpriv", *who, "--", *wanted["command"]]
    os.execve(program[0], program, wanted["environment"])


if __name__ == "__main__":
    main()
