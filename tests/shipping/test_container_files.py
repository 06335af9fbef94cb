"""The container files, their steps run and their images used as people use them.

No engine is needed: see `tests.shipping.image`.  One test does all of it, because its images take
most of the time.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shlex
import subprocess
import sys
from pathlib import Path
from shutil import rmtree
from typing import Any

import yaml
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from takotwist.admin.health import HEALTH_PATH
from tests.docs.page import blocks, one, write_project
from tests.docs.running import eventually
from tests.shipping.container import Container, Pod
from tests.shipping.dockerfile import context_files
from tests.shipping.image import Builder, Image

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "fastapi"
COMPOSE = EXAMPLE / "compose.yaml"
PAGE = ROOT / "docs" / "howto" / "docker.md"


class LintTests(SynchronousTestCase):
    """What can be said of the files as they stand."""

    def test_hadolint(self) -> None:
        """hadolint has nothing to say, not even as information."""
        tool = Path(sys.executable).with_name("hadolint")
        files = [str(ROOT / "Dockerfile"), str(EXAMPLE / "Dockerfile")]
        ran = subprocess.run([str(tool), *files], capture_output=True, text=True, check=False)
        self.assertEqual((ran.returncode, ran.stdout + ran.stderr), (0, ""))

    def test_context(self) -> None:
        """What a build sees are files of the project: no database, no key, no environment."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        seen = {str(name) for name in context_files(ROOT)}
        self.assertEqual(seen - set(listed.stdout.split("\0")), set())
        for wanted in ("setup.cfg", "takotwist/static/client.js", "takotwist/py.typed"):
            self.assertIn(wanted, seen)
        self.assertFalse([name for name in seen if name.startswith(("tests", ".git", "clients"))])

    def test_kubernetes(self) -> None:
        """The pod of the page is closed as the image is, and asks and mounts what is there."""
        (block,) = blocks("yaml", "howto/docker.md")
        (container,) = yaml.safe_load(block.text)["containers"]
        closed = container["securityContext"]
        self.assertTrue(closed["runAsNonRoot"] and closed["readOnlyRootFilesystem"])
        text = (ROOT / "Dockerfile").read_text()
        places = [mount["mountPath"] for mount in container["volumeMounts"]]
        self.assertEqual([f"VOLUME {json.dumps(places)}" in text], [True])
        for probe in ("readinessProbe", "livenessProbe"):
            asked = container[probe]["httpGet"]
            self.assertEqual(asked["path"].partition("?")[0], HEALTH_PATH)
            self.assertIn(f"EXPOSE {asked['port']} ", text)


class ContainerTests(SynchronousTestCase):
    """The images, built and run."""

    timeout = 900

    def setUp(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("making a root file system needs root")
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.addCleanup(rmtree, self.folder)

    def pod(self, *names: str) -> Pod:
        """A network of its own."""
        folder = self.folder / f"pod-{secrets.token_hex(4)}"
        folder.mkdir()
        pod = Pod(folder, *names)
        self.addCleanup(pod.close)
        return pod

    def becomes_healthy(self, container: Container) -> None:
        """Wait until its own check is content."""

        def healthy() -> bool:
            assert container.running, container.said
            return container.healthy()

        try:
            eventually(healthy, "healthy")
        except AssertionError as never:
            raise AssertionError(f"{never}\n{container.said}") from None

    def test_images(self) -> None:
        """They are built; the server runs closed, and with the app beside as compose says."""
        builder = Builder(ROOT, self.folder)
        server = builder.build(ROOT / "Dockerfile")
        self.check_image(server)
        self.check_page(server)
        self.check_compose(builder, server)

    def check_image(self, image: Image) -> None:
        """Small, and nothing in it that installs, compiles or belongs to the build."""
        size = sum(
            path.lstat().st_blocks * 512
            for path in (image.root / "opt").rglob("*")
            if not path.is_symlink()
        )
        self.assertLess(size, 100_000_000)
        for absent in ("opt/pip", "src", "usr/bin/gcc", "usr/bin/pip3"):
            self.assertFalse((image.root / absent).exists(), absent)
        for left in ("site-packages/pip", "twisted/test", "tests"):
            self.assertEqual(list((image.root / "opt").rglob(left)), [], left)
        self.assertEqual(image.environment["TAKO_STATE_DIR"], image.volumes[0])

    def check_page(self, server: Image) -> None:
        """The page's own image as the page runs it: nobody's rights, nothing that can be written
        but the volume, and everything works."""
        pod = self.pod("news")
        project = pod.folder / "project"
        write_project(PAGE, project)
        image = Builder(project, self.folder, {"takotwist": server}).build(project / "Dockerfile")
        how, patience = _run_options(one("howto/docker.md", "run").text)
        container = pod.start("news", image, **how)
        self.becomes_healthy(container)
        self.assertEqual(container.status("Uid").split(), ["10001"] * 4)
        self.assertEqual(container.status("CapBnd"), "0" * 16)
        self.assertEqual(container.status("NoNewPrivs"), "1")
        self.assertEqual(container.status("NSpid").split()[-1], "1")
        for place in ("/x", "/tmp/x", "/opt/takotwist/x", "/app/x"):
            tried = container.execute("touch", place)
            self.assertIn("Read-only file system", tried.stderr, place)
        server = pod.url("news", 8080)
        self.assertTrue(json.loads(pod.ask(f"{server}/_tako/health"))["ready"], container.said)
        docker, execute, name, *publish = shlex.split(one("howto/docker.md", "publish").text)
        self.assertEqual((docker, execute, name), ("docker", "exec", "news"))
        stored = container.execute(*publish)
        self.assertEqual(stored.returncode, 0, stored.stderr)
        self.assertEqual(container.stop(patience), 0, container.said)
        # A new container finds what the old one stored, and a check of none says so.
        again = pod.start("news", image, **how)
        self.becomes_healthy(again)
        self.assertIn('"it works"', pod.ask(f"{server}/channels/news/history"))
        wrong = again.execute("tako", "health", "--server", "http://127.0.0.1:1")
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("no server answers at http://127.0.0.1:1", wrong.stderr)

    def check_compose(self, builder: Builder, server: Image) -> None:
        """What is posted to the app reaches who listens at the server, both closed."""
        secrets_file = {name: secrets.token_hex(32) for name in _variables()}
        services = _services(secrets_file)
        self.assertEqual(set(services), {"tako", "app"})
        images = {"tako": server}
        made = services["app"]["build"]
        self.assertEqual((EXAMPLE / made["context"]).resolve(), ROOT)
        self.assertEqual((EXAMPLE / services["tako"]["build"]).resolve(), ROOT)
        images["app"] = builder.build(ROOT / made["dockerfile"])
        pod = self.pod(*services)
        running = {}
        for name, service in services.items():
            self.assertEqual(service["cap_drop"], ["ALL"])
            self.assertEqual(service["security_opt"], ["no-new-privileges:true"])
            for port in service["ports"]:
                self.assertIn(int(port.partition(":")[2]), images[name].ports)
            for volume in service.get("volumes", ()):
                self.assertIn(volume.partition(":")[2], images[name].volumes)
            running[name] = pod.start(
                name,
                images[name],
                environment=service["environment"],
                read_only=service["read_only"],
                drop_capabilities=True,
                no_new_privileges=True,
            )
        self.becomes_healthy(running["tako"])
        listener = pod.curl(
            "-H", "Authorization: Bearer token-of-bob",
            f"{pod.url('tako', 8080)}/channels/chat?roomId=lobby&lastEventId=0",
        )  # fmt: skip
        self.addCleanup(listener.communicate)
        self.addCleanup(listener.kill)
        posted = pod.ask(
            "-H", "Authorization: Bearer token-of-alice", "-H", "Content-Type: application/json",
            "-d", '{"text":"hi"}', f"{pod.url('app', 3000)}/rooms/lobby/messages",
        )  # fmt: skip
        assert listener.stdout is not None
        heard = next(line for line in listener.stdout if '"text":"hi"' in line)
        self.assertIn(json.loads(posted)["id"], heard)
        for secret in secrets_file.values():
            self.assertNotIn(secret, running["app"].said + running["tako"].said)
        grace = services["tako"]["stop_grace_period"]
        self.assertEqual(running["tako"].stop(float(grace.removesuffix("s"))), 0)


def _run_options(text: str) -> tuple[dict[str, Any], float]:
    """What ``docker run`` of a page means to a container, and how long a stop may take."""
    (line,) = [line for line in text.replace("\\\n", "").splitlines() if "docker run" in line]
    parser = argparse.ArgumentParser()
    for flag in ("--detach", "--read-only"):
        parser.add_argument(flag, action="store_true")
    for flag in ("--name", "--cap-drop", "--security-opt", "--volume", "--publish"):
        parser.add_argument(flag)
    parser.add_argument("--stop-timeout", type=float)
    parser.add_argument("image")
    said = parser.parse_args(shlex.split(line)[2:])
    # A named volume is what the image's own is without a name.
    assert said.volume == f"{said.name}:/var/lib/takotwist"
    how = {
        "read_only": said.read_only,
        "drop_capabilities": said.cap_drop == "ALL",
        "no_new_privileges": said.security_opt == "no-new-privileges",
    }
    return how, said.stop_timeout


def _variables() -> set[str]:
    """The variables that the compose file asks for."""
    return set(re.findall(r"\$\{(\w+):\?[^}]*\}", COMPOSE.read_text()))


def _services(values: dict[str, str]) -> dict[str, Any]:
    """The services of the compose file, its variables filled in."""
    text = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: values[found[1]], COMPOSE.read_text())
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services
