"""The reader of Dockerfiles: what it takes, and that it passes over nothing."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.shipping.dockerfile import context_files, instructions, stages, substituted


class DockerfileTests(SynchronousTestCase):
    """Lines, flags, stages."""

    def test_lines(self) -> None:
        """A line goes on behind a backslash, over comments; a list is JSON, else words."""
        text = 'FROM a\nRUN one && \\\n# said\n    two\n\nCMD ["x", "y z"]\nEXPOSE 80 443\n'
        _, run, command, ports = instructions(text)
        self.assertEqual((run.line, run.text.split()), (2, ["one", "&&", "two"]))
        self.assertEqual((command.line, command.words), (6, ["x", "y z"]))
        self.assertEqual(ports.words, ["80", "443"])

    def test_flags_and_pairs(self) -> None:
        """Flags stand before arguments; a value may be quoted."""
        (copy,) = instructions("COPY --from=build --link a b")
        self.assertEqual((dict(copy.flags), copy.text), ({"from": "build", "link": ""}, "a b"))
        (label,) = instructions('LABEL x.y="two words" \\\n      z=1')
        self.assertEqual(label.pairs, {"x.y": "two words", "z": "1"})

    def test_stages(self) -> None:
        """A stage has its name or number, and its base what the arguments before say."""
        text = "ARG TAG=old\nFROM debian:${TAG} AS build\nRUN x\nFROM debian:$TAG\n"
        first, second = stages(text, {})
        self.assertEqual((first.name, first.base), ("build", "debian:old"))
        self.assertEqual((second.name, second.base), ("1", "debian:old"))
        self.assertEqual(stages(text, {"TAG": "new"})[1].base, "debian:new")
        self.assertEqual(stages(text, {"OTHER": "new"})[1].base, "debian:old")

    def test_unknown(self) -> None:
        """What is not understood is an error with its line."""
        for text, said in (
            ("FROM a\nADD x y", "line 2: ADD is not known here"),
            ("RUN x", "line 1: RUN before the first FROM"),
        ):
            wrong = self.assertRaises(ValueError, stages, text, {})
            self.assertEqual(str(wrong), said)

    def test_substituted(self) -> None:
        """Both forms, and one without a value is empty."""
        self.assertEqual(substituted("$A/${B}c$D.", {"A": "1", "B": "2"}), "1/2c.")


class IgnoredTests(SynchronousTestCase):
    """What a build sees."""

    def seen(self, ignoring: str | None, *names: str) -> set[str]:
        """Of a folder with these files."""
        folder = Path(self.mktemp())
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("")
        if ignoring is not None:
            (folder / ".dockerignore").write_text(ignoring)
        return {str(name) for name in context_files(folder)}

    def test_last_line_decides(self) -> None:
        """An exception lets in what a line before kept out, until a later one keeps it out."""
        seen = self.seen(
            "# all\n*\n!app\n!one.txt\n**/*.key\n**/state\n",
            "one.txt", "two.txt", "app/main.py", "app/a.key", "app/x/b.key", "app/x/state/db",
            "app/x/c.py", "other/app/d.py",
        )  # fmt: skip
        self.assertEqual(seen, {"one.txt", "app/main.py", "app/x/c.py"})

    def test_without(self) -> None:
        """Without the file it sees everything."""
        self.assertEqual(self.seen(None, "a", "b/c"), {"a", "b/c"})
