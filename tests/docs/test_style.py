"""What every page has in common."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import ROOT, blocks_of, pages


class TestStyle(SynchronousTestCase):
    def test_title(self) -> None:
        """A page begins with its title, and has one."""
        for page in pages():
            prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
            titles = re.findall(r"^# .+$", prose, re.MULTILINE)
            self.assertEqual(len(titles), 1, page)
            self.assertTrue(prose.startswith("# "), page)

    def test_language(self) -> None:
        """Every block says its language."""
        known = {
            "python", "toml", "sh", "json", "js", "ts", "tsx", "html", "nginx", "caddy", "ini",
            "yaml", "http", "text", "mermaid", "dockerfile",
        }  # fmt: skip
        for page in pages():
            for block in blocks_of(page):
                self.assertIn(block.language, known, block.place)

    def test_no_trailing_space(self) -> None:
        """No line ends in white space, and no tab hides in a page."""
        for page in pages():
            for number, line in enumerate(page.read_text().splitlines(), 1):
                self.assertEqual(line, line.rstrip(), f"{page.relative_to(ROOT)}:{number}")
                self.assertNotIn("\t", line, f"{page.relative_to(ROOT)}:{number}")
