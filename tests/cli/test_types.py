"""`tako types`: types of other languages."""

from __future__ import annotations

from tests.cli.command import CommandTestCase

CHANNEL = """
from takotwist import define_channel

room = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}
rooms_for_types = define_channel("rooms-for-types", params=room)
"""


class TypesTests(CommandTestCase):
    """Writing them, from the definitions of a folder."""

    def setUp(self) -> None:
        super().setUp()
        (self.folder / "channels_for_types").mkdir()
        self.write("channels_for_types/rooms.py", CHANNEL)
        self.write(
            "tako.toml", '[app]\nchannels = "channels_for_types"\n\n[channels.abc]\npublic = true\n'
        )

    def test_typescript(self) -> None:
        """TypeScript is printed, of channels in Python and in the configuration, by name."""
        text = self.run_command("types").stdout
        self.assertIn("export type RoomsForTypesParams = {\n  readonly roomId: string;\n};", text)
        self.assertLess(text.index("AbcParams"), text.index("RoomsForTypesParams"))

    def test_file(self) -> None:
        """Python goes into a file, and what was there before is gone."""
        self.write("types.py", "x" * 10_000)
        said = self.run_command("types", "--lang", "py", "-o", "types.py")
        self.assertEqual(said.exit_code, 0, said.output)
        self.assertEqual(said.stdout, "")
        written = (self.folder / "types.py").read_text()
        self.assertIn('RoomsForTypesParams = TypedDict("RoomsForTypesParams", {', written)
        self.assertNotIn("xx", written)

    def test_file_that_cannot_be(self) -> None:
        """What hinders the writing is said in a sentence."""
        said = self.run_command("types", "-o", "no-such-folder/types.ts")
        self.assertEqual((said.exit_code, said.stdout), (1, ""))
        self.assertIn(
            "no-such-folder/types.ts cannot be written: No such file or directory", said.stderr
        )

    def test_broken_channel(self) -> None:
        """A definition that cannot be read is named, without a traceback."""
        self.write("channels_for_types/rooms.py", "1 / 0\n")
        said = self.run_command("types")
        self.assertEqual(said.exit_code, 1)
        self.assertIn("rooms.py", said.stderr)
        self.assertNotIn("Traceback", said.output)
