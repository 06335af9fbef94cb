"""The configuration of a server under development: for this machine, over HTTPS, quick to stop.

Rule: what is configured stays as it is said; only defaults are others than in production.
"""

from __future__ import annotations

import os
import secrets

import attrs

from takotwist.errors import ConfigError
from takotwist.server.config import Config, ConfigProblems
from takotwist.server.config.derive import AUTHORITY_KEY
from takotwist.server.config.user_folder import user_data_folder
from takotwist.server.options import Options

#: Where it listens unless said otherwise.
PLAIN, SECURE = "tcp:8080:interface=127.0.0.1", "tcp:8443:interface=127.0.0.1"

#: Seconds of a stop: nobody is in a hurry to come back at once.
DRAIN_SECONDS = 0.2

#: The variable by which the app's own server and this one know each other.
TOKEN = "TAKO_APP_TOKEN"


class DevelopmentOptions(Options):
    """The options of ``tako serve``, read for ``tako dev``."""

    def load(self, running: Config | None) -> Config:
        """Read flags, environment and file; see `Options`."""
        self["tls"] = True
        try:
            config = super().load(running)
        except ConfigProblems as problems:
            if TOKEN in os.environ or "app.token" not in {one.key for one in problems.problems}:
                raise
            # Server and app are started here, so they need no secret that anybody has to keep.
            # It stays in the environment, for the app and for a process that starts over.
            os.environ[TOKEN] = secrets.token_urlsafe(24)
            config = super().load(running)
        _refuse_authority_in(config)
        said = config.sources
        if "http.listen" not in said:
            config = attrs.evolve(config, http=attrs.evolve(config.http, listen=(PLAIN,)))
        # No certificate of a public authority is obtained from a developer's machine.
        tls = attrs.evolve(config.tls, domains=())
        if said.get("tls.listen", "--tls") == "--tls":
            tls = attrs.evolve(tls, listen=(SECURE,))
        config = attrs.evolve(config, tls=tls)
        # One process: what is made anew is made anew in it, and it is the terminal's.
        config = attrs.evolve(config, server=attrs.evolve(config.server, workers=1))
        if "limits.drain_seconds" not in said:
            limits = attrs.evolve(config.limits, drain_seconds=DRAIN_SECONDS)
            config = attrs.evolve(config, limits=limits)
        return config


def _refuse_authority_in(config: Config) -> None:
    """:raises ConfigError: a CA would be made in the project, from where keys are copied about."""
    folder, authorities = config.folder.resolve(), config.tls.development_ca
    if config.tls.certificate is not None or authorities is None:
        return
    # Somebody's home may be a project; what is hidden below it is not of the project.
    if (authorities / AUTHORITY_KEY).exists() or authorities == user_data_folder(os.environ):
        return
    if not authorities.resolve().is_relative_to(folder):
        return
    raise ConfigError(
        f"a development CA would be made in the project, in {authorities}: name a folder outside,"
        " or set HOME to a folder that is yours",
        key="tls.development_ca",
    )
