"""`tako init` as a new user has it: each template runs, passes its tests, works in Chromium."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.browser.driven import Browser
from tests.sockets.dev_process import DevProcess

CLIENT = Path(__file__).parents[2] / "clients" / "js"
_BIN = Path(sys.executable).parent


class Project(DevProcess):
    """A project that ``tako init`` has made, under ``tako dev``.

    :param template: what it begins with.
    """

    def __init__(self, template: str) -> None:
        super().__init__()
        shutil.rmtree(self.folder)
        self.init = subprocess.run(
            [str(_BIN / "tako"), "init", str(self.folder), "--template", template],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        # The ports of the template are those that a developer has free, and not a test machine.
        for name in ("tako.toml", "vite.config.js", "package.json"):
            file = self.folder / name
            if file.exists():
                # In one go: the port itself may have one of them in it.
                file.write_text(re.sub("3000|5173", str(self.app_port), file.read_text()))


class TemplateTests(SynchronousTestCase):
    """Each template, from an empty folder to a message between two people."""

    def run_in(self, folder: Path, *command: str) -> str:
        """Run a command of the README in the project; what it printed."""
        environ = {**os.environ, "PATH": f"{_BIN}:{os.environ['PATH']}", "PYTHONPATH": ""}
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def check(self, template: str) -> Project:
        """Its own tests pass, and two people talk over HTTPS."""
        project = Project(template)
        self.addCleanup(project.close)
        said = self.run_in(project.folder, "python", "-m", "unittest")
        self.assertRegex(said, r"Ran [3-9] tests")
        if template == "react":
            self.install(project)
        project.start()
        project.until(lambda: self.serves(project), "the page")
        browser = Browser(project.authority)
        self.addCleanup(browser.close)
        pages = [browser.open(f"{project.tls_url}/", apart=True) for _ in range(2)]
        for page, name in zip(pages, ("ada", "bob"), strict=True):
            page.until(_FILLED.format(field="name", value=name))
            page.until(_IS_OPEN)
        pages[0].until(_FILLED.format(field="text", value="hello from ada"))
        for page in pages:
            page.until(
                "document.querySelector('.messages li')?.textContent === 'adahello from ada'"
            )
            self.assertEqual(page.errors, [])
        project.assert_clean()
        return project

    def serves(self, project: Project) -> bool:
        """Whether the page is there: the app beside may take longer than the server."""
        try:
            answer = httpx.get(f"{project.tls_url}/", verify=project.trust, timeout=20)
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def install(self, project: Project) -> None:
        """What `npm install` would put there, out of what the client's own tests use."""
        modules = project.folder / "node_modules"
        modules.mkdir()
        for one in (CLIENT / "node_modules").iterdir():
            (modules / one.name).symlink_to(one)
        if not (CLIENT / "dist" / "react.js").exists():
            self.run_in(CLIENT, "npm", "run", "build")
        (modules / "takotwist").symlink_to(CLIENT)

    def test_plain(self) -> None:
        """A channel and a page."""
        self.check("plain")

    def test_fastapi(self) -> None:
        """The app runs beside, and publishes too."""
        project = self.check("fastapi")
        answer = httpx.post(f"{project.tls_url}/announce/lobby", verify=project.trust, timeout=30)
        self.assertTrue(int(answer.json()["id"]))

    def test_django(self) -> None:
        """By Django's sessions."""
        project = self.check("django")
        answer = httpx.post(f"{project.tls_url}/announce/lobby", verify=project.trust, timeout=30)
        self.assertTrue(int(answer.json()["id"]))

    def test_flask(self) -> None:
        """The app runs beside, and publishes too."""
        project = self.check("flask")
        answer = httpx.post(f"{project.tls_url}/announce/lobby", verify=project.trust, timeout=30)
        self.assertTrue(int(answer.json()["id"]))

    def test_klein(self) -> None:
        """The page is in the server's process."""
        self.check("klein")

    def test_react(self) -> None:
        """By Vite; what the page publishes is checked by the types of the channel."""
        project = self.check("react")
        project.stop()
        self.run_in(project.folder, "npm", "run", "--silent", "build")
        self.assertTrue((project.folder / "dist" / "index.html").exists())
        page = project.folder / "src" / "chat.tsx"
        page.write_text(page.read_text().replace("{ author, text }", "{ author, txt: text }"))
        wrong = subprocess.run(
            ["node_modules/.bin/tsc"],
            cwd=project.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertNotEqual(wrong.returncode, 0)
        self.assertIn("txt", wrong.stdout)


#: True once the field is there; then it is filled in and its form sent.
_FILLED = """(() => {{
  const field = document.querySelector('input[name="{field}"]');
  if (!field || field.form.hidden) return false;
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  set.call(field, "{value}");
  field.dispatchEvent(new Event("input", {{ bubbles: true }}));
  field.form.requestSubmit();
  return true;
}})()"""

_IS_OPEN = "document.querySelector('.state')?.dataset.state === 'open'"
