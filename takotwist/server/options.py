"""The flags of ``twistd tako``.

Rule: a flag is only noted here; what it means, and whether it fits, is decided
where file and environment are read too.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from twisted.python import usage

from takotwist.server.config import Config, load_config
from takotwist.server.log import ServerLog, take_over

LONGDESC = """\
Durable realtime channels over SSE and WebSocket.

Without any flag it reads ./tako.toml if there is one, takes the channel
definitions in ./channels/, serves plain HTTP on port 8080, and keeps its
database in ./state/.

With --tls it serves HTTPS on port 8443 too. Where no certificate is given, it
makes a development CA and a certificate for localhost in the state folder and
says how to trust it.

Flags win over TAKO_<SECTION>_<KEY> in the environment, which wins over the
file. `tako check-config` shows what would run; `tako config-doc` explains every
key.

Flags of twistd itself come before the word tako: -n stays in the foreground,
--logfile and --pidfile name files, and --reactor chooses the reactor. The
default, epoll, is the fastest; asyncio coroutines in channel definitions need
--reactor=asyncio.

    twistd -n tako --tls
    twistd -n --reactor=asyncio tako --config /etc/tako/tako.toml
"""


class Options(usage.Options):
    """Flags for `takotwist.server.config.load_config`."""

    synopsis = "[twistd options] tako [options]"
    longdesc = LONGDESC

    optFlags = [["tls", None, "Serve HTTPS, on port 8443 unless said otherwise."]]
    optParameters = [
        ["config", "c", None, "The configuration file. [default: tako.toml if it is there]"],
        ["certificate", None, None, "The certificate and its chain (PEM)."],
        ["key", None, None, "The certificate's private key (PEM)."],
        ["state-dir", None, None, "The folder of the database and the development CA."],
        [
            "app-url",
            None,
            None,
            "Where the app answers that authorizes, such as http://127.0.0.1:3000.",
        ],
        ["channels", None, None, "The folder or dotted module with the channel definitions."],
        ["log-format", None, None, "text or json."],
        ["workers", None, None, "Worker processes: a number, or auto for one for each CPU."],
    ]

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self["listen"] = []
        self["tls-listen"] = []
        self._config: Config | None = None
        self._log: ServerLog | None = None
        #: The name of this process in the log, where a server has several.
        self.process = ""

    def opt_listen(self, endpoint: str) -> None:
        """Serve plain HTTP here, such as tcp:8080. May be given several times."""
        self["listen"].append(endpoint)

    def opt_tls_listen(self, endpoint: str) -> None:
        """Serve HTTPS here, such as tcp:443. May be given several times."""
        self["tls-listen"].append(endpoint)

    def postOptions(self) -> None:
        """Write the log our way, wherever twistd's own flags send it."""
        parent = getattr(self, "parent", None)
        if isinstance(parent, MutableMapping):
            take_over(parent, self.log)

    def config(self) -> Config:
        """The configuration that these flags, the environment and the file make together.

        Read once: the log's format is needed after ``makeService``, and must be of the same file.

        :raises ConfigProblems: says all that is wrong.
        """
        if self._config is None:
            self._config = self.load(None)
        return self._config

    def load(self, running: Config | None) -> Config:
        """Read flags, environment and file.

        :param running: the configuration that holds now, where they are read again.
        :raises ConfigProblems: says all that is wrong.
        """
        return load_config(self, os.environ, os.getcwd(), running)

    def config_again(self) -> Config:
        """The configuration as file and environment say it now (SIGHUP).

        :raises ConfigProblems: says all that is wrong; what was read before stays.
        """
        self._config = self.load(self._config)
        self.log().apply(self._config)
        return self._config

    def log(self) -> ServerLog:
        """The log that twistd writes through; on SIGHUP it is given the new configuration."""
        if self._log is None:
            self._log = ServerLog(self.config(), self.process)
        return self._log
