"""Coroutines of an app that gunicorn serves, with each kind of worker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.server_process import free_port, wait_until

TOKEN = "token-of-app-and-server-0123456789"

#: `verify` answers when as many as `together` are being asked at once.
APP = f"""
import asyncio
from takotwist import Grant, define_channel
from takotwist.app.wsgi import internal_app

room = define_channel("room")
asked = []

@room.verify(header="authorization")
async def verify(request):
    asked.append(request.header.value)
    together = int(request.header.scheme)
    while len(asked) < together:
        await asyncio.sleep(0.01)
    name = await asyncio.get_running_loop().run_in_executor(None, str.upper, request.header.value)
    if name == "WRONG":
        raise ValueError("no such user")
    return Grant(subject=name)

application = internal_app(channels=[room], token={TOKEN!r})
"""


class WorkerTests(SynchronousTestCase):
    timeout = 120

    def serve(self, worker: str) -> str:
        """The app's address."""
        folder = Path(tempfile.mkdtemp(prefix="tako-"))
        self.addCleanup(shutil.rmtree, folder)
        (folder / "app.py").write_text(APP)
        port = free_port()
        self.log = folder / "log"
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "app:application", "-k", worker),
                    *("-b", f"127.0.0.1:{port}"),
                ],
                cwd=folder,
                # Newer ones keep a control socket in one of these.
                env={**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)},
                stdout=log,
                stderr=log,
            )

        def stop() -> None:
            process.terminate()
            process.wait(60)

        self.addCleanup(stop)
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: self.registry(url), "the app answers")
        return url

    def registry(self, url: str) -> bool:
        try:
            headers = {"X-Tako-Internal-Token": TOKEN}
            return httpx.get(f"{url}/channels/registry", headers=headers).status_code == 200
        except httpx.TransportError:
            return False

    def ask(self, url: str, name: str, together: int = 1) -> httpx.Response:
        header = {"scheme": str(together), "value": name}
        question = {"channel": "room", "operation": "connect", "params": {}, "header": header}
        return httpx.post(
            f"{url}/channels/authorize",
            json=question,
            headers={"X-Tako-Internal-Token": TOKEN},
            timeout=60,
        )

    def test_gevent(self) -> None:
        """Under gevent, where many requests share a thread, coroutines run side by side."""
        url = self.serve("gevent")
        with ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(lambda n: self.ask(url, f"u{n}", 6), range(6)))
        self.assertEqual([one.status_code for one in answers], [200] * 6)
        self.assertEqual([one.json()["subject"] for one in answers], [f"U{n}" for n in range(6)])
        failed = self.ask(url, "wrong")
        self.assertEqual(failed.status_code, 500)
        self.assertEqual(failed.headers["X-Tako-Internal-Token"], TOKEN)
        wait_until(lambda: "ValueError: no such user" in self.log.read_text(), "the traceback")
        self.assertEqual(self.log.read_text().count("Traceback"), 1)

    def test_threads(self) -> None:
        """In threads of gunicorn's own, each has its loop."""
        url = self.serve("gthread")
        self.assertEqual(self.ask(url, "ann").json()["subject"], "ANN")
        self.assertEqual(self.ask(url, "bob").json()["subject"], "BOB")
