"""The configuration: declared once, read from file, environment and flags.

`load_config` is all that the rest of the server needs.  `setting` declares a
key, `load` reads the three sources, `derive` and `check` complete and check,
`reference` prints every key.
"""

from takotwist.server.config.app import App
from takotwist.server.config.config import KEYS, SECTIONS, Config, needs_restart
from takotwist.server.config.dev import Dev
from takotwist.server.config.lifecycle import LifecycleDefaults
from takotwist.server.config.limits import Limits
from takotwist.server.config.listeners import Http, Http3, Private, Tls
from takotwist.server.config.load import load_config
from takotwist.server.config.problems import ConfigProblems
from takotwist.server.config.sections import Log, Publish, Replay

__all__ = [
    "KEYS",
    "SECTIONS",
    "App",
    "Config",
    "ConfigProblems",
    "Dev",
    "Http",
    "Http3",
    "LifecycleDefaults",
    "Limits",
    "Log",
    "Private",
    "Publish",
    "Replay",
    "Tls",
    "load_config",
    "needs_restart",
]
