"""Configuration and secrets in files that editors of other systems wrote."""

from __future__ import annotations

import codecs

from hypothesis import given
from hypothesis import strategies as st

from takotwist.server.config.text_file import decode_text
from tests.server.config.folder import FolderTestCase

KEY = "tako_pk_0123456789abcdef"
OTHER = "tako_pk_fedcba9876543210"
TOML = f'[publish]\r\nkeys = ["{KEY}"]\r\n[app]\r\nname = "caf"\r\n'
UTF16 = ("utf-16", "utf-16-le", "utf-16-be", "utf-32")


class TextFileTests(FolderTestCase):
    """``tako.toml``, files of keys, files of one secret."""

    def put(self, name: str, content: bytes) -> None:
        """Write a file as it is."""
        self.write(name, "")
        (self.folder / name).write_bytes(content)

    def test_configuration(self) -> None:
        """A byte order mark is passed over, and lines may end as on Windows."""
        self.put("tako.toml", codecs.BOM_UTF8 + TOML.encode())
        config = self.load()
        self.assertEqual((config.publish.keys, config.app.name), ((KEY,), "caf"))

    def test_secrets(self) -> None:
        """So it is in files of secrets, also within one that was put together."""
        mark = codecs.BOM_UTF8
        self.put("k", mark + f"# ours\r\n{KEY}\r\n".encode() + mark + f"{OTHER}\r\n".encode())
        self.assertEqual(self.load('[publish]\nkeys_file = "k"').publish.keys, (KEY, OTHER))
        self.put("t", mark + b"token\r\n")
        self.assertEqual(self.load('[app]\ntoken_file = "t"').app.token, "token")

    def test_utf16(self) -> None:
        """UTF-16 is named as what it is, and what is in it is not shown."""
        for encoding in UTF16:
            self.put("tako.toml", TOML.encode(encoding))
            [problem] = self.problems()
            said = "tako.toml: is no TOML: it is UTF-16, as Windows writes it; save it as UTF-8"
            self.assertEqual(problem, said, encoding)
            self.put("k", f"{KEY}\r\n".encode(encoding))
            [problem] = self.problems('[publish]\nkeys_file = "k"')
            self.assertIn("publish.keys_file: names k, which is UTF-16", problem)

    def test_no_text(self) -> None:
        """What is neither is told with the place of the fault."""
        self.put("tako.toml", b'[app]\nname = "caf\xe9"\n')
        [problem] = self.problems()
        self.assertEqual(problem, "tako.toml: is no TOML: it is no UTF-8 text: byte 18")

    @given(st.text(st.characters(exclude_characters="\x00\ufeff", codec="utf-8")))
    def test_utf8(self, text: str) -> None:
        """Every text in UTF-8 is read as it is, with a mark or without."""
        for encoding in ("utf-8", "utf-8-sig"):
            self.assertEqual(decode_text(text.encode(encoding)), text)


class AgainTests(FolderTestCase):
    """Read again while it runs (SIGHUP)."""

    def test_empty(self) -> None:
        """A file that said something and is empty is in an editor's hands."""
        running = self.load(TOML)
        for blank in ("", "\n", " \r\n\t"):
            [problem] = self.problems(blank, running=running)
            self.assertIn("tako.toml: is empty; what it said before stays", problem)
        self.assertEqual(self.load("# nothing\n", running=running).publish.keys, ())
        self.assertEqual(self.load("").publish.keys, ())

    def test_gone(self) -> None:
        """So is one that is not there; one that never was may stay away."""
        running = self.load(TOML)
        (self.folder / "tako.toml").unlink()
        [problem] = self.problems(running=running)
        self.assertEqual(problem, "tako.toml: is gone; what it said before stays")
        self.load(running=self.load())

    def test_always_empty(self) -> None:
        """One that never said anything keeps nobody from a reload."""
        self.load("", running=self.load(""))

    def test_keys(self) -> None:
        """Keys are not withdrawn by a file that is being written; a comment withdraws them."""
        self.write("k", KEY)
        toml = '[publish]\nkeys_file = "k"'
        running = self.load(toml)
        self.write("k", "")
        [problem] = self.problems(toml, running=running)
        self.assertIn("k: is empty; what it said before stays", problem)
        self.write("k", "# none\n")
        self.assertEqual(self.load(toml, running=running).publish.keys, ())
