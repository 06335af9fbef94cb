"""Finding channels in a folder or a module, and each way a file can be wrong."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.discovery import discover
from takotwist.errors import DefinitionError
from tests.modules import forget_modules

CHAT = """
from takotwist import define_channel
chat = define_channel("chat")
"""


class DiscoveryCase(SynchronousTestCase):
    """A project folder of its own, and an interpreter that is as it was afterwards."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp()).resolve()
        self.name = f"channels_{self.id().rpartition('.')[2]}"
        self.folder = self.root / self.name
        self.folder.mkdir(parents=True)
        path, here = list(sys.path), os.getcwd()

        def restore() -> None:
            forget_modules(self.root)
            sys.path[:] = path
            os.chdir(here)

        self.addCleanup(restore)

    def write(self, name: str, text: str = CHAT) -> Path:
        file = self.root / name if "/" in name else self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
        return file

    def names(self, again: bool = False) -> list[str]:
        return [one.name for one in discover(self.folder, again=again).channels]

    def refused(self) -> DefinitionError:
        return self.assertRaises(DefinitionError, discover, self.folder)


class TestFolder(DiscoveryCase):
    def test_found(self) -> None:
        """Every file is read, in order; one file may define several channels."""
        self.write("b.py")
        self.write(
            "a.py",
            """
            from takotwist import define_channel
            one = define_channel("one")
            two = define_channel("two")
            """,
        )
        self.write("_shared.py", "x = 1")
        self.write("notes.txt", "not Python")
        self.assertEqual(self.names(), ["one", "two", "chat"])
        defined = discover(self.folder).defined
        self.assertTrue(all(one.local for one in defined))
        self.assertTrue(defined[0].place.endswith("a.py:3"))

    def test_empty(self) -> None:
        """A folder without files has no channels, and that is no error."""
        self.assertEqual(self.names(), [])

    def test_mounted_config_map(self) -> None:
        """As Kubernetes mounts it, with links into a hidden folder; and when that is switched."""
        for version, name in (("..1", "old"), ("..2", "new")):
            self.write(f"{self.folder}/{version}/chat.py", CHAT.replace("chat", name))
        (self.folder / "..data").symlink_to("..1")
        (self.folder / "chat.py").symlink_to("..data/chat.py")
        self.assertEqual(self.names(), ["old"])
        (self.folder / "..next").symlink_to("..2")
        (self.folder / "..next").rename(self.folder / "..data")
        self.assertEqual(self.names(again=True), ["new"])

    def test_what_tools_leave_behind(self) -> None:
        """Hidden files and folders, locks and copies of editors, and caches are not looked at."""
        self.write("chat.py")
        (self.folder / ".#chat.py").symlink_to("ann@host.4711:1764489600")
        for name in (".hidden.py", "._chat.py", "#chat.py#", "chat.py~", ".chat.py.swp"):
            self.write(name, "nonsense(")
        for folder in (".git", ".ipynb_checkpoints", "__pycache__", "_private"):
            self.write(f"{self.folder}/{folder}/chat.py", "nonsense(")
        self.write(f"{self.folder}/notes/.old.py", "nonsense(")
        self.assertEqual(self.names(), ["chat"])
        os.chdir(self.root)
        sys.path.insert(0, str(self.root))
        self.assertEqual([one.name for one in discover(self.name).channels], ["chat"])

    def test_same_objects_as_an_import(self) -> None:
        """The app imports the very objects that were discovered."""
        self.write("chat.py")
        found = discover(self.folder).channels[0]
        self.assertIs(__import__(f"{self.name}.chat").chat.chat, found)
        self.assertIs(discover(self.folder).channels[0], found)

    def test_files_reach_each_other(self) -> None:
        """A file imports its neighbours and the app's modules beside the folder."""
        self.write(f"{self.root}/app_settings.py", "NAME = 'rooms'")
        self.write(
            "a.py", "from .b import rooms\nfrom ._shared import NAME\nassert NAME == 'rooms'"
        )
        self.write(
            "b.py",
            """
            from takotwist import define_channel
            from ._shared import NAME
            rooms = define_channel(NAME)
            """,
        )
        self.write("_shared.py", "from app_settings import NAME")
        self.assertEqual(self.names(), ["rooms"])

    def test_own_init(self) -> None:
        """A folder may be a package with an __init__ of its own."""
        self.write("__init__.py", "NAME = 'chat'")
        self.write(
            "chat.py",
            """
            from takotwist import define_channel
            from . import NAME
            chat = define_channel(NAME)
            """,
        )
        self.assertEqual(self.names(), ["chat"])

    def test_name_taken_by_another_package(self) -> None:
        """A folder named like an installed package shadows nothing and is still read."""
        folder = self.root / "json"
        self.write(f"{folder}/chat.py")
        self.write(f"{folder}/rooms.py", "from .chat import chat")
        self.assertEqual([one.name for one in discover(folder).channels], ["chat"])
        self.assertIn("dumps", vars(__import__("json")))
        again = discover(folder, again=True)
        self.assertEqual([one.name for one in again.channels], ["chat"])


class TestAgain(DiscoveryCase):
    def test_changes_are_seen(self) -> None:
        """Read again, a file saved in the same second with the same length is seen."""
        self.write("chat.py", CHAT.replace("chat", "aaaa"))
        self.assertEqual(self.names(), ["aaaa"])
        self.write("chat.py", CHAT.replace("chat", "bbbb"))
        self.assertEqual(self.names(), ["aaaa"])
        self.assertEqual(self.names(again=True), ["bbbb"])

    def test_a_mistake_keeps_what_was(self) -> None:
        """A file that cannot be read anew leaves the modules that were loaded."""
        self.write("chat.py")
        before = discover(self.folder).channels[0]
        self.write("chat.py", "nonsense(")
        self.assertRaises(DefinitionError, discover, self.folder, again=True)
        self.assertIs(sys.modules[f"{self.name}.chat"].chat, before)

    def test_removed_file(self) -> None:
        """Read again, a file that is gone defines nothing."""
        self.write("chat.py")
        other = self.write("other.py", CHAT.replace("chat", "other"))
        self.assertEqual(self.names(), ["chat", "other"])
        other.unlink()
        self.assertEqual(self.names(again=True), ["chat"])


class TestMistakes(DiscoveryCase):
    def test_no_definition(self) -> None:
        """A file without a channel is named, with what to do."""
        file = self.write("chat.py", "from takotwist import define_channel\ndefine_channel('x')")
        refused = self.refused()
        self.assertEqual(refused.place, str(file))
        self.assertIn("keep the result of define_channel in a variable", refused.reason)

    def test_duplicate(self) -> None:
        """Two channels of one name are an error that names both places."""
        self.write("a.py")
        self.write("b.py")
        refused = self.refused()
        self.assertIn("b.py:3", str(refused.place))
        self.assertIn("a.py:3", refused.reason)

    def test_nested(self) -> None:
        """Python files in a nested folder are not passed over in silence."""
        self.write("chat.py")
        self.write(f"{self.folder}/sub/more.py")
        self.assertIn("sub", str(self.refused().place))

    def test_reserved_param(self) -> None:
        """A reserved param is an error with its line."""
        self.write(
            "chat.py",
            """
            from takotwist import define_channel
            chat = define_channel(
                "chat", params={"type": "object", "properties": {"access_token": {}}}
            )
            """,
        )
        refused = self.refused()
        self.assertRegex(refused.reason, r"^param 'access_token' is reserved")
        self.assertTrue(str(refused.place).endswith("chat.py:3"), refused.place)

    def test_import_error(self) -> None:
        """Whatever a file raises is an error with its line."""
        for text, line, part in (
            ("import nothing_of_it", 1, "ModuleNotFoundError: No module named 'nothing_of_it' ("),
            ("x = 1\n\nx / 0", 3, "ZeroDivisionError: division by zero"),
            ("x = 1\nx +* 2", 2, "SyntaxError"),
            ("import sys\nsys.exit(2)", 2, "SystemExit: 2"),
            ("from . import nobody", 1, "ImportError"),
        ):
            self.write("chat.py", text)
            refused = self.refused()
            self.assertTrue(refused.reason.startswith(part), refused.reason)
            self.assertTrue(str(refused.place).endswith(f"chat.py:{line}"), refused.place)

    def test_mistake_in_another_module(self) -> None:
        """Where the file only imports what is wrong, the place is there, and the file is named."""
        file = self.write("chat.py", "from . import _broken")
        self.write("_broken.py", "def f():\n    return 1 / 0\nf()")
        refused = self.refused()
        self.assertTrue(str(refused.place).endswith("_broken.py:2"), refused.place)
        self.assertEqual(
            refused.reason, f"ZeroDivisionError: division by zero (read for {file.resolve()})"
        )

    def test_file_name(self) -> None:
        """A file whose name Python cannot import is named."""
        self.write("my-chat.py")
        self.assertIn("my-chat.py", str(self.refused().place))


class TestModule(DiscoveryCase):
    def setUp(self) -> None:
        super().setUp()
        os.chdir(self.root)

    def test_single_module(self) -> None:
        """A dotted name may be one module."""
        self.write(f"{self.root}/{self.name}_mod.py")
        found = discover(f"{self.name}_mod").channels
        self.assertEqual([one.name for one in found], ["chat"])

    def test_file(self) -> None:
        """One file is enough for a small app."""
        file = self.write(f"{self.root}/{self.name}_file.py")
        for source in (file, str(file), file.name):
            self.assertEqual([one.name for one in discover(source).channels], ["chat"])
        for name in ("json.py", "my-chat.py", "chat.txt"):
            wrong = self.write(f"{self.root}/{name}")
            refused = self.assertRaises(DefinitionError, discover, wrong)
            self.assertEqual(refused.place, str(wrong))
        self.assertIn("dumps", vars(__import__("json")))

    def test_package(self) -> None:
        """Of a package, it and its direct modules are read; re-exports count once."""
        package = self.root / f"{self.name}_app" / "live"
        self.write(f"{package.parent}/__init__.py", "")
        self.write(f"{package}/__init__.py", "from .chat import chat")
        self.write(f"{package}/chat.py")
        self.write(f"{package}/rooms.py", CHAT.replace("chat", "rooms"))
        self.write(f"{package}/_inner.py", "1 / 0")
        name = f"{self.name}_app.live"
        self.assertEqual([one.name for one in discover(name).channels], ["chat", "rooms"])
        self.write(f"{package}/rooms.py", CHAT.replace("chat", "halls"))
        found = discover(name, again=True).channels
        self.assertEqual([one.name for one in found], ["chat", "halls"])

    def test_missing(self) -> None:
        """A name that is no folder and no module is said as it was given."""
        for name in ("nobody_has_this", "nobody_has_this.either", "not a name/at all"):
            self.assertIn(repr(name), self.assertRaises(DefinitionError, discover, name).reason)

    def test_dangling_link(self) -> None:
        """A link that leads nowhere is said to be one, and where it leads; a folder or a pipe with
        the name of a file is none.  None of them is waited for."""
        file = self.folder / "news.py"
        file.symlink_to("/nowhere/news.py")
        error = self.assertRaises(DefinitionError, discover, self.folder)
        self.assertEqual(error.place, str(file))
        self.assertIn("a link to /nowhere/news.py, which is not there", str(error))
        file.unlink()
        for make in (os.mkfifo, os.mkdir):
            make(file)
            error = self.assertRaises(DefinitionError, discover, self.folder)
            self.assertIn("it is no file; move it away", str(error))
            (os.rmdir if file.is_dir() else os.unlink)(file)
        link = self.folder / "definitions"
        link.symlink_to("/nowhere")
        error = self.assertRaises(DefinitionError, discover, link)
        self.assertIn("a link to /nowhere", str(error))

    def test_without_channels(self) -> None:
        """A module without any channel is an error: it was named on purpose."""
        self.write(f"{self.root}/{self.name}_none.py", "x = 1")
        refused = self.assertRaises(DefinitionError, discover, f"{self.name}_none")
        self.assertIn("defines no channel", refused.reason)
