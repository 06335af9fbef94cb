"""Images made without a container engine: the steps of a Dockerfile, in folders.

The base is a minimal Debian made by debootstrap, which is what the image of its name is.  Each
``RUN`` is run by ``chroot`` as root in namespaces of its own; what it mounts is gone with it.
"""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import attrs

from tests.shipping.dockerfile import Instruction, context_files, stages, substituted

#: Where the certificates are that this machine's pip trusts, inside of a step.
_CA = "/run/ca-of-this-machine.pem"

_STEP = """
set -e
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount --bind /etc/resolv.conf "$1/etc/resolv.conf"
[ ! -f "$3" ] || { touch "$1$4"; mount --bind "$3" "$1$4"; }
exec chroot "$1" /bin/sh -c "cd '$2'
$5"
"""

#: What a step gets of the environment: how packages are reached, and nothing of the user's.
_NETWORK = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "http_proxy",
            "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")  # fmt: skip


def run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """Run to the end; its output.

    :raises AssertionError: it failed; shows what it said.
    """
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def base_root(tag: str, folder: Path) -> Path:
    """A minimal Debian, as the image ``debian:TAG`` is one."""
    assert shutil.which("debootstrap", path="/usr/sbin:/sbin:/usr/bin"), "apt install debootstrap"
    root = folder / tag
    if not root.exists():
        suite = tag.removesuffix("-slim")
        run("/usr/sbin/debootstrap", "--variant=minbase", suite, str(root))
        for archive in (root / "var/cache/apt/archives").glob("*.deb"):
            archive.unlink()
    return root


@attrs.define
class Image:
    """A root file system, and how it wants to be run."""

    root: Path
    environment: dict[str, str] = attrs.Factory(
        lambda: {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    workdir: str = "/"
    user: str = "0:0"
    volumes: list[str] = attrs.Factory(list)
    ports: list[int] = attrs.Factory(list)
    stop_signal: signal.Signals = signal.SIGTERM
    entrypoint: list[str] = attrs.Factory(list)
    command: list[str] = attrs.Factory(list)
    health: list[str] = attrs.Factory(list)


class Builder:
    """Builds Dockerfiles of one context.

    :param folder: for the roots; the caller's to remove.
    :param images: that a ``FROM`` may name, beside Debian.
    """

    def __init__(
        self, context: Path, folder: Path, images: Mapping[str, Image] | None = None
    ) -> None:
        self._context, self._folder, self._images = context, folder, images or {}
        self._files = context_files(context)

    def build(self, dockerfile: Path, arguments: Mapping[str, str] | None = None) -> Image:
        """Run all steps; the image of the last stage."""
        built: dict[str, Image] = {}
        image = Image(Path())
        for stage in stages(dockerfile.read_text(), arguments or {}):
            base = self._base(stage.base)
            image = built[stage.name] = copy.deepcopy(base)
            image.root = Path(tempfile.mkdtemp(prefix=f"{stage.name}-", dir=self._folder))
            run("cp", "--archive", "--no-target-directory", str(base.root), str(image.root))
            step = _Steps(self._context, self._files, image, built, arguments or {})
            for one in stage.instructions:
                getattr(step, f"do_{one.name}")(one)
        return image

    def _base(self, name: str) -> Image:
        if name in self._images:
            return self._images[name]
        kind, _, tag = name.partition(":")
        assert kind == "debian", f"no way to make {name} here"
        return Image(base_root(tag, self._folder))


class _Steps:
    """The instructions of one stage, carried out; a flag that none asks for is an error."""

    def __init__(
        self,
        context: Path,
        files: set[object],
        image: Image,
        built: Mapping[str, Image],
        arguments: Mapping[str, str],
    ) -> None:
        self._context, self._files, self._image = context, files, image
        self._built, self._given, self._arguments = built, arguments, dict[str, str]()

    def _text(self, one: Instruction, *flags: str) -> str:
        assert set(one.flags) <= set(flags), f"line {one.line}: {set(one.flags)} are not known here"
        return substituted(one.text, self._arguments | self._image.environment)

    def do_ARG(self, one: Instruction) -> None:
        self._text(one)
        name = one.text.partition("=")[0]
        value = one.pairs.get(name, "")
        self._arguments[name] = self._given.get(name, value)

    def do_ENV(self, one: Instruction) -> None:
        self._text(one)
        self._image.environment |= {
            name: substituted(value, self._image.environment) for name, value in one.pairs.items()
        }

    def do_WORKDIR(self, one: Instruction) -> None:
        self._image.workdir = self._text(one)
        self._inside(self._image.workdir).mkdir(parents=True, exist_ok=True)

    def do_RUN(self, one: Instruction) -> None:
        assert not one.flags and not one.text.startswith("["), f"line {one.line}"
        image = self._image
        certificates = os.environ.get("PIP_CERT", "")
        environment = {name: os.environ[name] for name in _NETWORK if name in os.environ}
        environment |= {"PIP_CERT": _CA} if certificates else {}
        environment |= self._arguments | image.environment
        assert image.user == "0:0", f"line {one.line}: RUN after USER is not known here"
        run(
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "--", "/bin/sh", "-c", _STEP,
            "step", str(image.root), image.workdir, certificates, _CA, one.text,
            environment=environment,
        )  # fmt: skip
        (image.root / _CA.lstrip("/")).unlink(missing_ok=True)

    def do_COPY(self, one: Instruction) -> None:
        *sources, target = self._text(one, "from").split()
        into = self._inside(target)
        if "from" in one.flags:
            (source,) = sources
            into.parent.mkdir(parents=True, exist_ok=True)
            other = self._built[one.flags["from"]].root
            run("cp", "--archive", f"{other}{source}", str(into))
            return
        for source in sources:
            path = self._context / source
            if path.is_file():
                chosen = {path: into / path.name if target.endswith("/") else into}
            else:
                below = (self._context / str(name) for name in self._files)
                chosen = {
                    file: into / file.relative_to(path)
                    for file in below
                    if file.is_relative_to(path)
                }
            assert chosen, f"line {one.line}: nothing of {source} is in the context"
            for file, place in chosen.items():
                name = file.relative_to(self._context)
                assert name.as_posix() in map(str, self._files), f"{name} is not in the context"
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, place)

    def do_LABEL(self, one: Instruction) -> None:
        self._text(one)

    def do_VOLUME(self, one: Instruction) -> None:
        self._text(one)
        self._image.volumes += one.words

    def do_EXPOSE(self, one: Instruction) -> None:
        self._image.ports += map(int, self._text(one).split())

    def do_USER(self, one: Instruction) -> None:
        self._image.user = self._text(one)

    def do_STOPSIGNAL(self, one: Instruction) -> None:
        self._image.stop_signal = signal.Signals[self._text(one)]

    def do_HEALTHCHECK(self, one: Instruction) -> None:
        self._text(one, "interval", "timeout", "start-period")
        kind, _, words = one.text.partition(" ")
        assert kind == "CMD", f"line {one.line}"
        self._image.health = attrs.evolve(one, text=words).words

    def do_ENTRYPOINT(self, one: Instruction) -> None:
        self._text(one)
        self._image.entrypoint = one.words

    def do_CMD(self, one: Instruction) -> None:
        self._text(one)
        self._image.command = one.words

    def _inside(self, path: str) -> Path:
        """A path of the image, out of here."""
        at = path if path.startswith("/") else f"{self._image.workdir}/{path}"
        return Path(f"{self._image.root}{os.path.normpath(at)}")
