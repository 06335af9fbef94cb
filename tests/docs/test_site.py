"""The documentation as a site: it builds without a warning, and has all that the pages have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.api_page import MODULES
from tests.docs.page import ROOT, pages


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """The command of CONTRIBUTING, for these folders."""
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", str(ROOT / "docs/site"),
         str(source), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


class TestSite(SynchronousTestCase):
    timeout = 600

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def test_builds(self) -> None:
        """Every page is in it and in its contents, with search and the API from the docstrings."""
        site = self.folder / "site"
        done = build(ROOT, site)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        index = (site / "docs" / "README.html").read_text()
        contents = index.partition("sidebar-tree")[2].partition("</aside>")[0]
        for page in pages():
            name = page.relative_to(ROOT).with_suffix(".html")
            self.assertTrue((site / name).exists(), name)
        for place in ("tutorial", "howto/docker", "reference/limits", "architecture/glossary"):
            self.assertIn(f'href="{place}.html"', contents)
        self.assertIn("docs/README.html", (site / "index.html").read_text())
        words = (site / "searchindex.js").read_text()
        for wanted in ("docs/reference/python-docstrings", '"kubernet"', '"drain_second"'):
            self.assertIn(wanted, words)
        api = (site / "docs" / "reference" / "python-docstrings.html").read_text()
        for module in MODULES:
            self.assertIn(f">{module}</span>", api)

    def test_broken_link(self) -> None:
        """A link to no page, to no file or to no heading fails it, and so does a page that no index
        has."""
        for number, (wrong, said) in enumerate(
            (
                ("[a](nowhere.md)", "nowhere"),
                ("[a](../nowhere.py)", "nowhere.py"),
                ("[a](other.md#no-heading)", "no-heading"),
                ("", "other.md: WARNING: document isn't included in any toctree"),
            )
        ):
            source = self.folder / str(number)
            (source / "docs").mkdir(parents=True)
            (source / "docs" / "other.md").write_text("# Other\n")
            linked = "[other](other.md)" if wrong else ""
            (source / "docs" / "README.md").write_text(f"# Pages\n\n{linked} {wrong}\n")
            done = build(source, self.folder / "site")
            self.assertNotEqual(done.returncode, 0, wrong)
            self.assertIn(said, done.stderr)
