"""Containers without an engine: an image's program in namespaces, closed as ``docker run`` says.

A pod is what compose makes of a project: a network for each container, all joined by a bridge, on
which a service is found by its name.  Rule: nothing of it is seen from outside of the pod's own
network namespace, so no port or address of this machine is taken.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.docs.running import eventually
from tests.shipping.image import Image, run

_HERE = Path(__file__).parent


class Network:
    """A network namespace, held by a process that only waits."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "--", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        eventually(lambda: os.readlink(self.path) != own, "a network namespace")
        self.ip("link set lo up")

    @property
    def pid(self) -> int:
        """The process that holds it."""
        return self._holder.pid

    @property
    def path(self) -> str:
        """Its file, for nsenter."""
        return f"/proc/{self.pid}/ns/net"

    def ip(self, words: str) -> None:
        """ip(8) inside."""
        run("nsenter", f"--net={self.path}", "ip", *words.split())

    def close(self) -> None:
        """Let it go; the kernel takes its ends of the cables with it."""
        self._holder.kill()
        self._holder.wait(10)


class Pod:
    """The machine that containers run on, as far as they see one another.

    :param folder: for volumes and output; the caller's to remove after `close`.
    :param names: of the services.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self._running: list[Container] = []
        self._machine = Network()
        self._networks = {name: Network() for name in names}
        self._addresses = {name: f"10.89.0.{number}" for number, name in enumerate(names, 2)}
        lines = [f"{at} {name}" for name, at in self._addresses.items()]
        self.hosts = folder / "hosts"
        self.hosts.write_text("\n".join(["127.0.0.1 localhost", *lines]) + "\n")
        self._machine.ip("link add bridge0 type bridge")
        self._machine.ip("address add 10.89.0.1/24 dev bridge0")
        self._machine.ip("link set bridge0 up")
        for name, network in self._networks.items():
            end = f"to-{name}"
            self._machine.ip(f"link add {end} type veth peer name eth0 netns {network.pid}")
            self._machine.ip(f"link set {end} master bridge0 up")
            network.ip(f"address add {self._addresses[name]}/24 dev eth0")
            network.ip("link set eth0 up")

    def network(self, name: str) -> str:
        """The file of a service's network namespace."""
        return self._networks[name].path

    def url(self, name: str, port: int) -> str:
        """Where a service answers, as seen from the machine."""
        return f"http://{self._addresses[name]}:{port}"

    def start(self, name: str, image: Image, **how: object) -> Container:
        """Start a container; see `Container`."""
        container = Container(self, name, image, **how)  # type: ignore[arg-type]
        self._running.append(container)
        return container

    def curl(self, *words: str) -> subprocess.Popen[str]:
        """curl on the machine that the containers run on; tries until somebody answers."""
        again = ("--fail", "--retry", "30", "--retry-delay", "1", "--retry-connrefused")
        enter = ("nsenter", f"--net={self._machine.path}")
        return subprocess.Popen(
            [*enter, "curl", "--silent", "--show-error", "--no-buffer", *again, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, *words: str) -> str:
        """What curl got, which must be an answer."""
        asking = self.curl(*words)
        said, wrong = asking.communicate(timeout=60)
        logs = "".join(one.said for one in self._running)
        assert asking.returncode == 0, f"{words}: {said}{wrong}\n{logs}"
        return said

    def close(self) -> None:
        """End all of it."""
        for container in self._running:
            container.kill()
        for network in (*self._networks.values(), self._machine):
            network.close()


class Container:
    """An image that runs.

    :param environment: in addition to the image's.
    """

    def __init__(
        self,
        pod: Pod,
        name: str,
        image: Image,
        *,
        environment: Mapping[str, str] | None = None,
        read_only: bool = False,
        drop_capabilities: bool = False,
        no_new_privileges: bool = False,
    ) -> None:
        self._pod, self._image = pod, image
        self.output = pod.folder / f"{name}.log"
        self._environment = {**image.environment, **(environment or {})}
        wanted = {
            "root": str(image.root),
            "hosts": str(pod.hosts),
            "read_only": read_only,
            "volumes": {str(self._volume(name, place)): place for place in image.volumes},
            "workdir": image.workdir,
            "user": image.user,
            "drop_capabilities": drop_capabilities,
            "no_new_privileges": no_new_privileges,
            "command": [*image.entrypoint, *image.command],
            "environment": self._environment,
        }
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                ["nsenter", f"--net={pod.network(name)}", "unshare", "--mount", "--pid", "--ipc",
                 "--uts", "--fork", "--kill-child", "--", sys.executable, str(_HERE / "enter.py"),
                 json.dumps(wanted)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    def _volume(self, name: str, place: str) -> Path:
        """A named volume: at first what the image has in its place, owner and mode with it."""
        folder = self._pod.folder / f"{name}{place.replace('/', '-')}"
        if not folder.exists():
            source = Path(f"{self._image.root}{place}")
            shutil.copytree(source, folder)
            status = source.stat()
            os.chown(folder, status.st_uid, status.st_gid)
        return folder

    @property
    def said(self) -> str:
        """What it printed so far."""
        return self.output.read_text(errors="replace")

    @property
    def process_one(self) -> int:
        """Its first process, by its number on this machine."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")

        def inside() -> int:
            """Not before it sees the container's root and no more of the machine's."""
            assert self.running, self.said
            for one in children.read_text().split():
                if os.readlink(f"/proc/{one}/root") != "/":
                    return int(one)
            return 0

        return eventually(inside, "the container has begun")

    def status(self, word: str) -> str:
        """A line of the first process's status in ``/proc``."""
        lines = Path(f"/proc/{self.process_one}/status").read_text().splitlines()
        return next(line for line in lines if line.startswith(f"{word}:")).partition("\t")[2]

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command inside, as ``docker exec``, by the container's user."""
        user, _, group = self._image.user.partition(":")
        at = str(self.process_one)
        return subprocess.run(
            ["nsenter", "--target", at, "--mount", "--net", "--pid", "--root", "--wd",
             "/usr/bin/setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--",
             *command],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )  # fmt: skip

    def healthy(self) -> bool:
        """What the image's own check says."""
        return self.execute(*self._image.health).returncode == 0

    @property
    def running(self) -> bool:
        """Whether its program has not ended."""
        return self._process.poll() is None

    def stop(self, seconds: float) -> int:
        """As ``docker stop``: the image's signal to the first process; its exit status.

        :raises subprocess.TimeoutExpired: it did not end in time.
        """
        os.kill(self.process_one, self._image.stop_signal)
        return self._process.wait(seconds)

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self.running:
            # By its own number: where it has changed its user, as setpriv does, the kernel has
            # forgotten the signal that `--kill-child` asked for.
            with suppress(AssertionError, OSError):
                os.kill(self.process_one, signal.SIGKILL)
            self._process.kill()
        self._process.wait(10)
