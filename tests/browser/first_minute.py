"""How long a stranger takes from an empty folder to a message in a browser, over HTTPS.

    python -m tests.browser.first_minute

Two runs: with an empty cache of packages, and with what the first one has left there. Each makes an
environment, installs takotwist of this checkout into it, makes a project, starts it, and has two
windows of Chromium talk. What a person needs to type and to read is not in it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.browser.driven import Browser
from tests.sockets.server_process import free_port, wait_until

ROOT = Path(__file__).parents[2]

#: Sends what is typed into a field, once it is there.
TYPED = """(() => {{
  const field = document.querySelector('input[name="{field}"]');
  if (!field || field.form.hidden) return false;
  field.value = "{value}";
  field.form.requestSubmit();
  return true;
}})()"""


class Run:
    """One run.

    :ivar steps: name and seconds of each step, in their order.
    """

    def __init__(self, cache: Path) -> None:
        self.steps: list[tuple[str, float]] = []
        self._cache = cache

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        began = time.monotonic()
        yield
        self.steps.append((name, time.monotonic() - began))

    @property
    def seconds(self) -> float:
        """Of all steps."""
        return sum(seconds for _, seconds in self.steps)

    def go(self, folder: Path) -> None:
        """From `folder`, which is empty, to the message."""
        environ = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
        environ |= {
            "PIP_CACHE_DIR": str(self._cache),
            "XDG_DATA_HOME": str(folder / "home"),
            "PATH": f"{folder / '.venv' / 'bin'}:{environ['PATH']}",
        }
        with self.step("python3 -m venv .venv"):
            subprocess.run([sys.executable, "-m", "venv", ".venv"], cwd=folder, check=True)
        with self.step("pip install 'takotwist[dev]'"):
            _run(folder, environ, "pip", "install", "--quiet", f"{ROOT}[dev]")
        with self.step("tako init chat"):
            _run(folder, environ, "tako", "init", "chat")
        with self.step("tako dev, until it serves"):
            server, port, log = _serve(folder / "chat", environ)
        try:
            with self.step("Chromium, until both windows show the message"):
                self._talk(f"https://localhost:{port}/", folder / "home")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
            log.unlink()

    @staticmethod
    def _talk(url: str, home: Path) -> None:
        browser = Browser(home / "takotwist" / "development-ca.pem")
        try:
            pages = [browser.open(url, apart=True) for _ in range(2)]
            for page, name in zip(pages, ("ada", "bob"), strict=True):
                page.until(TYPED.format(field="name", value=name))
            pages[0].until(TYPED.format(field="text", value="hello"))
            for page in pages:
                page.until("document.querySelector('.messages li')?.textContent === 'adahello'")
        finally:
            browser.close()


def _run(folder: Path, environ: Mapping[str, str], *command: str) -> None:
    subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL)


def _serve(folder: Path, environ: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int, Path]:
    port, log = free_port(), folder / "log"
    command = ["tako", "dev", "--listen", f"tcp:{free_port()}:interface=127.0.0.1"]
    command += ["--tls-listen", f"tcp:{port}:interface=127.0.0.1"]
    with log.open("wb") as out:
        server = subprocess.Popen(command, cwd=folder, env=environ, stdout=out, stderr=out)
    wait_until(lambda: "ready, channels:" in log.read_text(), "the server")
    return server, port, log


def main() -> None:
    """Run twice, and print both as the rows of a table."""
    with tempfile.TemporaryDirectory(prefix="tako-") as cache:
        runs = []
        for _ in range(2):
            with tempfile.TemporaryDirectory(prefix="tako-") as folder:
                run = Run(Path(cache))
                run.go(Path(folder))
                runs.append(run)
    print("| | empty cache of packages | warm |\n|---|---|---|")
    for (name, cold), (_, warm) in zip(*(run.steps for run in runs), strict=True):
        print(f"| {name} | {cold:.1f} s | {warm:.1f} s |")
    print(f"| all | {runs[0].seconds:.0f} s | {runs[1].seconds:.0f} s |")


if __name__ == "__main__":
    main()
