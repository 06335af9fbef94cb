"""`tako init`: what it writes, and what it leaves alone."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

from takotwist.cli import init
from takotwist.cli.init import TEMPLATES, project_files
from tests.cli.command import CommandTestCase


class InitTests(CommandTestCase):
    """Projects in a folder of the test."""

    def files(self, folder: str) -> set[str]:
        """What is in a folder."""
        root = self.folder / folder
        return {str(one.relative_to(root)) for one in root.rglob("*") if one.is_file()}

    def test_each(self) -> None:
        """Every template has what a project needs, no mark that was not filled in, and says how
        to go on."""
        for name in TEMPLATES:
            done = self.run_command("init", name, "--template", name)
            self.assertEqual(done.exit_code, 0, done.output)
            self.assertIn("tako dev", done.output)
            found = self.files(name)
            needed = {"tako.toml", "channels/chat.py", "tests/test_chat.py", ".gitignore"}
            self.assertLessEqual({*needed, "README.md", "requirements.txt"}, found)
            for file in found:
                text = (self.folder / name / file).read_text()
                self.assertIsNone(re.search(r"\{\{[a-z]", text), file)
                self.assertIn(f"{name}/{file}", done.output)
            self.assertIn("state/", (self.folder / name / ".gitignore").read_text())
            checked = self.run_command("check-config", "--config", f"{name}/tako.toml")
            self.assertEqual(checked.exit_code, 0 if "[app]\nurl" not in self.toml(name) else 1)

    def test_active_environment(self) -> None:
        """Inside a virtual environment nobody is told to make another one; what a shell says of
        one that is gone does not count."""
        environment = self.folder / "env"
        activated = {"VIRTUAL_ENV": str(environment)}
        said = self.run_command("init", "a", **activated).output
        self.assertIn("python3 -m venv .venv", said)
        environment.mkdir()
        (environment / "pyvenv.cfg").write_text("")
        said = self.run_command("init", "b", **activated).output
        self.assertNotIn("python3 -m venv", said)
        self.assertIn(f"Now, in the environment that is active ({environment}):", said)
        self.assertIn("    pip install -r requirements.txt\n    tako dev\n", said)

    def toml(self, name: str) -> str:
        """The configuration of a project."""
        return (self.folder / name / "tako.toml").read_text()

    def test_secret_is_made_once(self) -> None:
        """Processes that begin together sign by one secret, which is whole and its owner's."""
        self.run_command("init", "a", "-t", "flask")
        program = "import own_secret, sys; sys.stdout.buffer.write(own_secret.own_secret())"
        environ = {name: value for name, value in os.environ.items() if name != "SECRET_KEY"}
        running = [
            subprocess.Popen(
                [sys.executable, "-c", program],
                cwd=self.folder / "a",
                env=environ,
                stdout=subprocess.PIPE,
            )
            for _ in range(6)
        ]
        [secret] = {one.communicate()[0] for one in running}
        self.assertEqual(len(secret), 64)
        self.assertEqual(self.files("a/state"), {"cookie-secret"})
        mode = (self.folder / "a/state/cookie-secret").stat().st_mode
        self.assertEqual(mode & 0o077, 0)

    def test_readme_names_files(self) -> None:
        """Files that a README names are there."""
        for template in TEMPLATES:
            made = dict(project_files(template, "shop"))
            named = re.findall(r"^\| `([^`]+)` \|", made["README.md"], re.MULTILINE)
            self.assertGreaterEqual(len(named), 4)
            for one in named:
                if one != "src/takotwist.d.ts":
                    self.assertTrue(any(file.startswith(one) for file in made), (template, one))

    def test_here(self) -> None:
        """Without a folder the project is made here, plain, and nothing is asked."""
        done = self.run_command("init")
        self.assertEqual(done.exit_code, 0, done.output)
        self.assertIn("pages/room.js", self.files("."))
        self.assertNotIn("cd ", done.output)

    def test_nothing_is_overwritten(self) -> None:
        """Where one of the files is there, none is written, and that one is named."""
        self.write("tako.toml", "# mine")
        done = self.run_command("init")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("tako.toml in . would be overwritten", done.output)
        self.assertEqual(self.files("."), {"tako.toml"})
        self.assertEqual((self.folder / "tako.toml").read_text(), "# mine")

    def test_dangling_link(self) -> None:
        """A link to nowhere is something that is there."""
        (self.folder / "README.md").symlink_to("nowhere")
        self.assertEqual(self.run_command("init").exit_code, 1)
        self.assertFalse((self.folder / "tako.toml").exists())

    def test_beside_other_files(self) -> None:
        """What is in nobody's way stays, such as an environment and a repository."""
        (self.folder / ".git").mkdir()
        self.write(".git/config", "x")
        self.assertEqual(self.run_command("init").exit_code, 0)
        self.assertLessEqual({".git/config", "tako.toml"}, self.files("."))

    def test_folder_that_cannot_be_made(self) -> None:
        """A file in the way of a folder is named, and no half of a project stays."""
        self.write("channels", "a file")
        done = self.run_command("init")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("cannot be written", done.output)
        self.assertEqual(self.files("."), {"channels"})

    def test_name(self) -> None:
        """The project has its folder's name, as far as it can stand in a page and a package."""
        made = dict(project_files("react", 'My "Shop" <1>'))
        self.assertIn("<title>My Shop 1</title>", made["index.html"])
        self.assertIn('"name": "my-shop-1"', made["package.json"])
        self.assertIn("<h1>chat</h1>", dict(project_files("plain", "///"))["pages/index.html"])

    def test_next_can_be_typed(self) -> None:
        """What it says to type next is right for a shell, whatever the folder is called."""
        for name in ("a b", "it's $x"):
            said = self.run_command("init", name).output
            [line] = [line for line in said.splitlines() if line.startswith("    cd ")]
            self.assertEqual(shlex.split(line), ["cd", name])

    def test_client_of_a_checkout(self) -> None:
        """A page in React needs the JavaScript package; where it is not built, that comes first."""
        checkout = Path("check out").absolute()
        client = checkout / "clients/js"
        self.patch(init, "_checkout", lambda: checkout)
        build = f"    (cd '{client}' && npm ci && npm run build)\n    npm install\n"
        self.assertIn(build, self.run_command("init", "a", "-t", "react").output)
        self.assertNotIn("npm", self.run_command("init", "b").output)
        (client / "dist").mkdir(parents=True)
        (client / "dist/react.js").touch()
        said = self.run_command("init", "c", "-t", "react").output
        self.assertIn("requirements.txt\n    npm install\n", said)

    def test_asked_in_a_terminal(self) -> None:
        """In a terminal it asks what to begin with."""
        reading, writing = pty.openpty()
        self.addCleanup(os.close, reading)
        asked = subprocess.Popen(
            [str(Path(sys.executable).with_name("tako")), "init", "asked"],
            stdin=writing,
            stdout=writing,
            stderr=writing,
            cwd=self.folder,
        )
        os.close(writing)
        os.write(reading, b"klein\n")
        said = b""
        while b"tako dev" not in said:
            said += os.read(reading, 65_536)
        self.assertEqual(asked.wait(20), 0)
        self.assertIn(b"Template", said)
        self.assertIn("web.py", self.files("asked"))
