"""The configuration as a subcommand gets it: read, or every problem printed and the end.

Rule: a wrong configuration is the operator's, so it never shows a traceback.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from takotwist.errors import ConfigError
from takotwist.server.config import Config, load_config

#: The option that names the file.
config_option: Callable[[object], Any] = click.option(
    "-c",
    "--config",
    metavar="FILE",
    help="The configuration file.  [default: tako.toml if it is there]",
)


def configured(**flags: object) -> Config:
    """Read the configuration of this folder and environment.

    :param flags: as `load_config` takes them, with underscores.
    :raises SystemExit: with 1, after all problems were printed.
    """
    try:
        return load_config(flags, os.environ, os.getcwd())
    except ConfigError as bad:
        for line in str(bad).splitlines():
            click.echo(line, err=True)
        raise SystemExit(1) from None
