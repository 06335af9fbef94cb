"""What a contributor is told works: tests and benchmarks that are named, hooks, news fragments."""

from __future__ import annotations

import configparser
import re
import tomllib

from twisted.trial.runner import TestLoader
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.scenarios import SCENARIOS
from tests.docs.page import DOCS, ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text()


class TestContributing(SynchronousTestCase):
    def test_named_tests(self) -> None:
        """The commands for tests name tests that there are, in Python and in TypeScript."""
        names = re.findall(r"twisted\.trial(?: -j\d)? (tests[\w.]+)", PAGE)
        self.assertEqual(len(names), 3)
        loader = TestLoader()
        for name in names:
            self.assertGreater(loader.loadByName(name, recurse=True).countTestCases(), 0, name)
        for path in re.findall(r"vitest run (\S+)", PAGE):
            self.assertTrue((ROOT / "clients" / "js" / path).exists(), path)

    def test_benchmark(self) -> None:
        """The scenario of the example is one."""
        found = re.search(r"python -m benchmarks .* (\w+)$", PAGE, re.MULTILINE)
        assert found
        self.assertIn(found[1], SCENARIOS)

    def test_environments(self) -> None:
        """The environments that the page names are in tox.ini, and coverage has a floor."""
        tox = (ROOT / "tox.ini").read_text()
        for name in re.findall(r"tox run -e (\w+)", PAGE):
            self.assertIn(f"[testenv:{name}", tox)
        settings = configparser.ConfigParser()
        settings.read(ROOT / "setup.cfg")
        self.assertGreater(settings.getfloat("coverage:report", "fail_under"), 50)
        self.assertEqual(settings["coverage:run"]["source"], "takotwist")

    def test_hooks(self) -> None:
        """Hooks before a commit run tools of the checkout: nothing is fetched."""
        text = (ROOT / ".pre-commit-config.yaml").read_text()
        self.assertEqual(re.findall(r"repo: (\S+)", text), ["local"])
        languages = re.findall(r"language: (\S+)", text)
        self.assertEqual(languages, ["system"] * 4)
        settings = configparser.ConfigParser()
        settings.read(ROOT / "setup.cfg")
        extra = settings["options.extras_require"]["lint"]
        for tool in re.findall(r"entry: \.venv/bin/([\w-]+)", text):
            if tool == "python":
                continue
            self.assertIn({"lint-imports": "import-linter"}.get(tool, tool), extra)

    def test_news(self) -> None:
        """Each fragment is of a kind that the page names, and its section has a place to go."""
        with (ROOT / "towncrier.toml").open("rb") as file:
            settings = tomllib.load(file)["tool"]["towncrier"]
        kinds = [one["directory"] for one in settings["type"]]
        news = PAGE.partition("## News\n")[2].partition("\n## ")[0]
        for kind in kinds:
            self.assertIn(f"`{kind}`", news)
        changes = (ROOT / settings["filename"]).read_text()
        self.assertEqual(changes.count(settings["start_string"]), 1)
        for fragment in (ROOT / settings["directory"]).iterdir():
            if fragment.name != ".gitkeep":
                self.assertRegex(fragment.name, rf"^(\d+|\+[\w-]+)\.({'|'.join(kinds)})(\.\d+)?$")
                self.assertTrue(fragment.read_text().strip(), fragment.name)

    def test_recipes(self) -> None:
        """There is a recipe for each kind of thing that is added often."""
        part = PAGE.partition("## Where a new thing goes\n")[2].partition("\n## ")[0]
        for thing in ("transport", "log", "key of the configuration", "subcommand"):
            self.assertRegex(part, rf"### A {thing}\n\n1\. ")
        self.assertTrue((DOCS / "newsfragments").is_dir())
