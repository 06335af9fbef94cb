"""The real server in a process of its own: started, stopped, killed, started again.

It has a folder with ``tako.toml``, ``channels/`` and ``state/``, and keeps its ports
from one start to the next.  Rule: nothing here looks inside the server; what it
is ready for is known by its log, as an operator knows it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.ports import next_port

#: Public channels, one with a handler and one without, and one that asks for a token.
CHANNELS = """
from takotwist import Grant, define_channel

room = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}
chat = define_channel("chat", params=room)
news = define_channel("news")
club = define_channel("club", params=room)

@chat.on("msg")
@club.on("msg")
def said(data, context):
    return data

@club.verify(header="authorization")
def verify(request):
    if request.header.value == "member":
        return Grant(subject="m1")
    return False
"""

#: No limit that one busy machine's test would meet by accident.
FAST = """
[limits]
connect_rate = 0
publish_rate = 0
"""

#: A publish key for the configurations of tests.
KEY = "publish-key-for-tests-0123456789"

KEYS = f'[publish]\nkeys = ["{KEY}"]\n'

_BIN = Path(sys.executable).parent


def free_port(count: int = 1, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that nothing listens on, and no other process of tests is given.

    :param count: ports that follow one another, of which it is the first.
    :param kind: of its sockets; ``SOCK_DGRAM`` for UDP.
    """
    while True:
        port = next_port(count)
        with ExitStack() as probes, suppress(OSError):
            for number in range(port, port + count):
                probe = probes.enter_context(socket.socket(type=kind))
                probe.bind(("127.0.0.1", number))
            return port


def wait_until(
    true: Callable[[], Any], what: str | Callable[[], str], seconds: float = 120.0
) -> Any:
    """Look again and again until `true()` is; its value.

    :param what: is waited for; called where it shows what there was in the end.
    :raises AssertionError: it did not become so in `seconds`.
    """
    until = time.monotonic() + seconds
    while True:
        value = true()
        if value:
            return value
        if time.monotonic() > until:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {seconds} s: {said}")
        time.sleep(0.01)


def _mind_hangup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class ServerProcess:
    """One server and its folder.

    :param config: text of ``tako.toml``, without listeners.
    :param channels: files of the channels folder; `None` for no such folder.
    :param serve: start it by ``tako serve`` and not by ``twistd -n tako``.
    :param tls: serve HTTPS too, by the development CA.
    :param listen: endpoints in place of the one port for plain HTTP.
    """

    #: What it logs once it serves; with several workers the supervisor does, once all do.
    READY = "ready, channels:"
    ALL_READY = "ready, with"

    def __init__(
        self,
        config: str = FAST,
        channels: Mapping[str, str] | None = {"rooms.py": CHANNELS},
        *,
        serve: bool = False,
        tls: bool = False,
        listen: Sequence[str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tako-"))
        self.port = free_port()
        self.tls_port = free_port() if tls else 0
        self._serve = serve
        self.listen = listen
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._begun_at = 0
        self.write_config(config)
        if channels is not None:
            (self.folder / "channels").mkdir()
            for name, text in channels.items():
                self.write(f"channels/{name}", text)

    def write_config(self, config: str) -> None:
        """Write another ``tako.toml``."""
        self.write("tako.toml", f'state_dir = "state"\n{config}')

    def write(self, path: str, text: str) -> None:
        """Write a file of its folder."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    @property
    def command(self) -> list[str]:
        """How it is started."""
        begin = ["tako", "serve"] if self._serve else ["twistd", "-n", "--pidfile=", "tako"]
        begin[0] = str(_BIN / begin[0])
        listen = self.listen
        if listen is None:
            listen = [f"tcp:{self.port}:interface=127.0.0.1"]
        for endpoint in listen:
            begin += ["--listen", endpoint]
        if self.tls_port:
            begin += ["--tls", "--tls-listen", f"tcp:{self.tls_port}:interface=127.0.0.1"]
        return [*begin, *self._arguments]

    @property
    def url(self) -> str:
        """Of plain HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        """Of HTTPS."""
        return f"https://localhost:{self.tls_port}"

    @property
    def authority(self) -> Path:
        """The development CA's certificate."""
        return self.folder / "data" / "takotwist" / "development-ca.pem"

    @property
    def trust(self) -> ssl.SSLContext:
        """What a client trusts that trusts the development CA."""
        return ssl.create_default_context(cafile=str(self.authority))

    @property
    def private_socket(self) -> Path:
        """The private listener."""
        return self.folder / "state" / "private.sock"

    def private(self, **options: Any) -> httpx.Client:
        """A client of the private listener; close it."""
        options.setdefault("timeout", 30)
        transport = httpx.HTTPTransport(uds=str(self.private_socket))
        return httpx.Client(transport=transport, base_url="http://private", **options)

    # its life

    def start(
        self, *, ready: bool = True, before: Sequence[str] = (), **options: Any
    ) -> ServerProcess:
        """Start it.

        :param ready: wait until it serves.
        :param before: arguments of a Python that executes the command which follows them.
        :param options: of `subprocess.Popen`.
        :raises AssertionError: it does not come up; holds its log.
        """
        self._begun_at = len(self.log)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            # The tests are run under nohup, and `tako dev` would keep to that.
            options.setdefault("preexec_fn", _mind_hangup)
        environ = {key: value for key, value in os.environ.items() if not key.startswith("TAKO_")}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*([sys.executable, *before] if before else ()), *self.command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **environ,
                    "XDG_DATA_HOME": str(self.folder / "data"),
                    # For `wait`.
                    "PYTHONFAULTHANDLER": "1",
                    **options.pop("env", {}),
                },
                **options,
            )
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, seconds: float = 120.0) -> None:
        """Wait until it serves, with all its workers: one that ends before ends the server."""
        config = (self.folder / "tako.toml").read_text()
        several = "--workers" in self._arguments or "\nworkers = " in config
        said = self.ALL_READY if several else self.READY

        def ready() -> bool:
            assert self.pid and self._process is not None
            if self._process.poll() is not None:
                raise AssertionError(f"the server ended:\n{self.log}")
            return said in self.log[self._begun_at :]

        wait_until(ready, lambda: f"a server that is ready:\n{self.log}", seconds)

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None, "not started"
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def wait(self, seconds: float = 120.0) -> int:
        """Wait for its end; the exit code.

        :raises AssertionError: it does not end; holds its log, and where its threads are.
        """
        assert self._process is not None, "not started"
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGABRT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            raise AssertionError(f"no end within {seconds} s:\n{self.log}") from None
        self._process = None
        return code

    def stop(self) -> int:
        """Stop it as a service manager would; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop and start, on the same ports and state."""
        self.stop()
        self.start()

    def reload(self) -> None:
        """SIGHUP, and wait until it was taken up."""
        before = self.log.count("the configuration was read again")
        self.signal(signal.SIGHUP)
        wait_until(
            lambda: self.log.count("the configuration was read again") > before,
            lambda: f"a reload:\n{self.log}",
        )

    def close(self) -> None:
        """Kill it where it runs, and remove the folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # what can be seen of it

    @property
    def log(self) -> str:
        """All that it has said."""
        file = self.folder / "log"
        # Its last line may still be being written.
        return file.read_text(errors="replace") if file.exists() else ""

    @property
    def memory(self) -> int:
        """Its resident memory in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    @property
    def connected(self) -> int:
        """Connections that it holds, as its metrics count them."""
        with self.private() as private:
            text = private.get("/_tako/metrics").text
        return int(
            sum(
                float(line.rpartition(" ")[2])
                for line in text.splitlines()
                if line.startswith("tako_connections{")
            )
        )

    def assert_clean(self, *secrets: str) -> None:
        """The log has nothing in it that nobody thought of, and none of `secrets`.

        :raises AssertionError: shows what is there.
        """
        log = self.log
        for bad in ("Traceback", "Unhandled", *secrets):
            if bad in log:
                at = log.index(bad)
                raise AssertionError(f"{bad!r} is in the log:\n{log[max(0, at - 500) : at + 3000]}")
