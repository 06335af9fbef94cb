"""Lines of keys in TOML files."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config.toml_lines import line_of

TEXT = """\
# a comment = 1
state_dir = "state"
note = \'\'\'
[app]
name = "not here"
\'\'\'

[app]  # the app
name = "demo"
"channels" = "channels"

[http]
listen = ["tcp:8080"]

[channels.news]
public = true
log.level = "info"
"""

NAMES = st.lists(st.from_regex(r"[a-z_-]{1,8}", fullmatch=True), min_size=1, unique=True)


class LineTests(SynchronousTestCase):
    """Where the keys of one file are."""

    def test_lines(self) -> None:
        """Keys in tables, quoted, dotted, and tables themselves; not what stands in a text."""
        tomllib.loads(TEXT)
        for dotted, line in {
            "state_dir": 2,
            "app": 8,
            "app.name": 9,
            "app.channels": 10,
            "http.listen": 13,
            "channels.news": 15,
            "channels.news.public": 16,
            "channels.news.log.level": 17,
            "app.missing": 8,
            "missing": None,
            "missing.key": None,
        }.items():
            self.assertEqual(line_of(TEXT, dotted), line, dotted)

    @given(NAMES, st.integers(0, 3))
    def test_each_key(self, names: list[str], blank: int) -> None:
        """Every key of a table has the line in which it stands."""
        text = "[t]\n" + "".join(f"{name} = 1\n" + "\n" * blank for name in names)
        tomllib.loads(text)
        for index, name in enumerate(names):
            self.assertEqual(line_of(text, f"t.{name}"), 2 + index * (1 + blank))
