"""Discovery of what an app defines, in a folder or in modules: channels, and functions.

A folder is read as the package of its name, with the folder that holds it on
the import path: so its files reach the app's own modules, each other
(``from .rooms import rooms``), and the app elsewhere reaches the very same
objects (``from channels.chat import chat``).  Rules: all or nothing, a file that
cannot be used is an error with its name, and what was loaded before stays; and one name
is one object, whichever modules it is seen in.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeVar

import attrs

from takotwist.app.channel import Channel
from takotwist.app.code_errors import code_error
from takotwist.core.channel import Defined
from takotwist.errors import DefinitionError


class Named(Protocol):
    """Definition that is looked for: it has a name, and a place for people."""

    @property
    def name(self) -> str: ...

    @property
    def place(self) -> str: ...


N = TypeVar("N", bound=Named)


def collected(
    modules: Iterable[tuple[str, ModuleType]], kind: type[N], what: str, how: str, *, each: bool
) -> dict[str, N]:
    """Definitions of a kind in modules, by name, in the order of files and of lines.

    One object may be seen in several modules, by import; two objects may not have one name.

    :param what: names the kind for people; `how` says how one is made.
    :param each: whether each module must have one.
    :raises DefinitionError: names the file, or where both objects are defined.
    """
    by_name: dict[str, N] = {}
    place = ""
    for place, module in modules:
        found = [value for value in vars(module).values() if isinstance(value, kind)]
        if each and not found:
            raise DefinitionError(
                f"the file defines no {what}; {how}, or begin the file's name with an underscore",
                place=place,
            )
        for one in found:
            first = by_name.setdefault(one.name, one)
            if first is not one:
                raise DefinitionError(
                    f"{what.split()[0]} {one.name!r} is already defined in {first.place}",
                    place=one.place,
                )
    if not by_name and not each:
        raise DefinitionError(f"the module defines no {what}", place=place or None)
    return by_name


T = TypeVar("T")

#: Said of definitions that are not there, with their name.
_NOWHERE = "there is no folder and no module {!r}: make it, or correct the name"

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@attrs.frozen(slots=True)
class Discovered:
    """Definitions that were found, in the order of files and of lines.

    :ivar channels: the objects, with the app's functions.
    """

    channels: tuple[Channel[object], ...]

    @property
    def defined(self) -> tuple[Defined, ...]:
        """The same as data, for a `Registry`."""
        return tuple(Defined(one.definition, one.place, local=True) for one in self.channels)


def discover(source: str | Path, *, again: bool = False) -> Discovered:
    """Load all channels of `source`.

    Of a folder every ``*.py`` is read, except those whose name begins with an
    underscore or a dot; of a package every direct submodule and the package itself.

    :param source: a folder, one file, or the dotted name of a module or package.
    :param again: read the files anew, as on SIGHUP, instead of taking modules that
        are loaded already.  Only the definitions' own modules are read anew.
    :raises DefinitionError: names the file and, where there is one, the line.
    """
    how = "keep the result of define_channel in a variable"

    def collect(modules: Iterable[tuple[str, ModuleType]], each: bool) -> Discovered:
        found = collected(modules, Channel, "channel", how, each=each)
        return Discovered(tuple(found.values()))

    return load(source, collect, again=again)


def load(
    source: str | Path,
    collect: Callable[[Iterable[tuple[str, ModuleType]], bool], T],
    *,
    again: bool = False,
) -> T:
    """Load the modules of `source`, as `discover` does, and collect something of them.

    :param collect: gets place and module of each while they are loaded, and whether
        each of them must have something.
    :raises DefinitionError: and then what was loaded before stays.
    """
    folder = Path(source)
    text = str(source)
    with _import_settings():
        if folder.is_dir():
            package = _package_name(folder.resolve())
            with _set_aside(package, again):
                return collect(_folder_modules(folder.resolve(), package), True)
        if folder.is_file():
            with _set_aside(folder.stem, again):
                return collect(_file_module(folder.resolve()), True)
        if _DOTTED.fullmatch(text):
            _add_to_path(Path.cwd())
            with _set_aside(text, again):
                return collect(_dotted_modules(text), False)
    if folder.is_symlink():
        raise DefinitionError(_leads_nowhere(folder))
    raise DefinitionError(_NOWHERE.format(text))


def _folder_modules(folder: Path, package: str) -> Iterator[tuple[str, ModuleType]]:
    try:
        everything = sorted(filter(_is_looked_at, folder.iterdir()))
    except OSError as cannot:
        raise DefinitionError(f"cannot be read: {cannot.strerror}", place=str(folder)) from None
    for inner in everything:
        if inner.is_dir() and any(map(_is_looked_at, inner.glob("*.py"))):
            raise DefinitionError(
                "definitions are not looked for in nested folders; move its files up, or"
                " name a package outside this folder",
                place=str(inner),
            )
    _add_to_path(folder.parent)
    _ensure_package(folder, package)
    for file in everything:
        if file.suffix != ".py":
            continue
        if not file.stem.isidentifier():
            raise DefinitionError("the name of the file cannot be imported", place=str(file))
        if not file.is_file():
            # An import would say that there is no such module.
            said = _leads_nowhere(file) if file.is_symlink() else "it is no file; move it away"
            raise DefinitionError(said, place=str(file))
        yield str(file), _imported(f"{package}.{file.stem}", str(file))


def _leads_nowhere(link: Path) -> str:
    return f"it is a link to {os.readlink(link)}, which is not there; make that, or remove the link"


def _file_module(file: Path) -> Iterator[tuple[str, ModuleType]]:
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise DefinitionError("the name of the file cannot be imported", place=str(file))
    _add_to_path(file.parent)
    module = _imported(file.stem, str(file))
    if Path(module.__file__ or "").resolve() != file:
        raise DefinitionError("another module has the name of this file", place=str(file))
    yield str(file), module


def _dotted_modules(name: str) -> Iterator[tuple[str, ModuleType]]:
    top = _imported(name, name)
    yield name, top
    for path in getattr(top, "__path__", ()):
        for file in sorted(filter(_is_looked_at, Path(path).glob("*.py"))):
            yield str(file), _imported(f"{name}.{file.stem}", str(file))


def _is_looked_at(path: Path) -> bool:
    """True where it is neither private nor what a tool has left behind.

    A dot begins what editors, file systems and Kubernetes (``..data``) put there.
    """
    return not path.name.startswith((".", "_"))


def _imported(name: str, place: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name and (name == missing.name or name.startswith(f"{missing.name}.")):
            raise DefinitionError(_NOWHERE.format(name)) from None
        raise _unusable(missing, place) from missing
    except (Exception, SystemExit) as broken:
        raise _unusable(broken, place) from broken


def _unusable(error: BaseException, place: str) -> DefinitionError:
    found = code_error(error, place)
    return DefinitionError(found.what, place=found.place)


def _package_name(folder: Path) -> str:
    """The package that `folder` is read as; always the same for the same folder."""
    name = folder.name
    taken = None
    if name.isidentifier():
        loaded = sys.modules.get(name)
        try:
            spec = loaded.__spec__ if loaded else importlib.util.find_spec(name)
        except (ImportError, ValueError):
            spec = None
        places = getattr(loaded, "__path__", None) or (spec and spec.submodule_search_locations)
        is_other = loaded is not None or spec is not None
        if not is_other or str(folder) in [str(Path(p).resolve()) for p in places or ()]:
            return name
        taken = name
    # Another package has the name (Django Channels is a `channels` as well): then the
    # files reach each other by relative imports, and nobody's import is shadowed.
    suffix = sha256(str(folder).encode()).hexdigest()[:8]
    return f"takotwist_{re.sub(r'[^0-9A-Za-z]', '_', taken or name)}_{suffix}"


def _ensure_package(folder: Path, package: str) -> None:
    if package in sys.modules:
        return
    init = folder / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        package, init if init.exists() else None, submodule_search_locations=[str(folder)]
    ) or importlib.machinery.ModuleSpec(package, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    if spec.loader is not None and init.exists():
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as broken:
            del sys.modules[package]
            raise _unusable(broken, str(init)) from broken


def _add_to_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@contextmanager
def _set_aside(package: str, again: bool) -> Iterator[None]:
    """Let modules be loaded anew, and put the old ones back where that fails."""
    old = {
        name: module
        for name, module in sys.modules.items()
        if name == package or name.startswith(f"{package}.")
    }
    if again:
        for name in old:
            del sys.modules[name]
        importlib.invalidate_caches()
    try:
        yield
    except BaseException:
        for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
            del sys.modules[name]
        sys.modules.update(old)
        parent, _, name = package.rpartition(".")
        if parent in sys.modules and package in old:
            setattr(sys.modules[parent], name, old[package])
        raise


@contextmanager
def _import_settings() -> Iterator[None]:
    """Without compiled files: one is told apart by whole seconds and the source's size,
    so a definition saved twice in a second would be read as it was."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
