"""An app's own pages, served beside its channels.

Rule: a folder is served as files, a module's resource as it is; either is asked
only for paths that are not the server's own.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, cast

from twisted.web.resource import IResource

from takotwist.errors import ConfigError
from takotwist.streams.files import static_dir


def load_pages(source: Path | str | None, folder: Path) -> IResource | None:
    """What answers the paths that are not the server's.

    :param source: a folder, or ``module:name`` of a resource, a Klein app, or a
        function that returns one of them.
    :param folder: that of the configuration file; modules are looked for there too.
    :raises ConfigError: it cannot be loaded; names what is wrong.
    """
    if source is None:
        return None
    if isinstance(source, Path):
        return cast(IResource, static_dir(source))
    module_name, _, name = source.partition(":")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        found: Any = getattr(importlib.import_module(module_name), name)
        if callable(found) and not IResource.providedBy(found) and not hasattr(found, "resource"):
            found = found()
    except Exception as failure:
        raise ConfigError(
            f"cannot be loaded: {type(failure).__name__}: {failure}", key="app.pages", source=source
        ) from failure
    if hasattr(found, "resource"):
        found = found.resource()
    if not IResource.providedBy(found):
        raise ConfigError(
            f"is {type(found).__name__}, which is neither a twisted.web resource nor a Klein app",
            key="app.pages",
            source=source,
        )
    return found
