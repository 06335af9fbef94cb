"""The suite for servers of the Durable Streams protocol, unmodified, on a real server.

Rule: what this server leaves out is named here by the suite's own groups; every other case has
to pass, and the numbers are those that the documentation says.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.faults.seen import say
from tests.sockets.server_process import FAST, KEY, KEYS, ServerProcess

FOLDER = Path(__file__).with_name("durable_streams")
INSTALL = Path(__file__).parents[2] / "clients" / "js" / "install"

#: The suite waits five seconds at most for a long-poll that nothing comes to, asks as a page of
#: another origin, and appends 10 MB at once, which may be refused; but a client that sends on
#: while it is refused may find the connection closed, and miss the answer.
CONFIG = f"""{FAST}max_body_bytes = 16777216
[http]
allowed_origins = ["*"]
[streams]
path = "/v1/stream"
channel = "streams"
long_poll_seconds = 3
max_append_bytes = 16777216
max_stream_bytes = 67108864
"""

#: Lets everybody do everything: the suite has no credentials.
STREAMS = """
from takotwist import define_channel

path = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
streams = define_channel("streams", params=path)

@streams.verify(header=None)
def verify(request):
    return request.operation in ("create", "append", "read", "delete")
"""

#: Groups of the suite that are left out: streams that begin as a part of another one, and
#: subscriptions of workers, which the suite itself skips.
FORKS, SUBSCRIPTIONS = "Fork - ", "Reserved subscription APIs"

#: Cases that are not left out.
CORE = 250


class SuiteTests(SynchronousTestCase):
    """The suite."""

    timeout = 600

    def test_suite(self) -> None:
        """Every case passes but those of forks and subscriptions."""
        subprocess.run(["sh", str(INSTALL), str(FOLDER)], check=True, timeout=300)
        server = ServerProcess(CONFIG, {"streams.py": STREAMS})
        self.addCleanup(server.close)
        server.start()
        report = server.folder / "report.json"
        program = FOLDER / "node_modules" / ".bin" / "vitest"
        arguments = ["run", "suite.test.mjs", "--reporter=json", f"--outputFile={report}"]
        # Where the suite names no time it is vitest's: five seconds, which a busy machine may take.
        arguments += ["--testTimeout=60000", "--hookTimeout=60000"]
        ran = subprocess.run(
            [str(program), *arguments],
            cwd=FOLDER,
            env={**os.environ, "DS_URL": server.url},
            capture_output=True,
            timeout=540,
        )
        self.assertTrue(report.exists(), ran.stderr.decode()[-2000:])
        [run] = json.loads(report.read_text())["testResults"]
        core: Counter[str] = Counter()
        wrong = []
        for case in run["assertionResults"]:
            group = case["ancestorTitles"][0]
            if group.startswith(FORKS) or group == SUBSCRIPTIONS:
                continue
            core[case["status"]] += 1
            if case["status"] != "passed":
                wrong.append(f"{group}: {case['title']}: {case['failureMessages'][:1]}")
        say("cases of the Durable Streams suite that pass", f"{core['passed']} of {core.total()}")
        self.assertEqual(wrong, [])
        self.assertEqual(core, {"passed": CORE})
        server.assert_clean()


class KilledTests(SynchronousTestCase):
    """A stream and whoever writes it, through the death of the server."""

    timeout = 120

    def test_killed(self) -> None:
        """What was acknowledged is there, a retry of what may not have been is stored once, and
        the end is one."""
        server = ServerProcess(f'{FAST}{KEYS}[streams]\npath = "/streams"\n')
        self.addCleanup(server.close)
        server.start()
        address = f"{server.url}/streams/answers/7"
        allowed = {"Authorization": f"Bearer {KEY}", "Content-Type": "text/plain"}

        def write(number: int, **more: str) -> int:
            producer = {
                "Producer-Id": "model",
                "Producer-Epoch": "0",
                "Producer-Seq": str(number),
            }
            return httpx.post(
                address,
                headers={**allowed, **producer, **more},
                content=f"{number} ",
                timeout=30,
            ).status_code

        self.assertEqual(httpx.put(address, headers=allowed, timeout=30).status_code, 201)
        for number in range(20):
            self.assertEqual(write(number), 200)
        for number in range(20, 60, 10):
            server.kill()
            server.start()
            # The answer to the last one may have been lost.
            self.assertEqual(write(number - 1), 204)
            for each in range(number, number + 10):
                self.assertEqual(write(each), 200)
        end = {"Stream-Closed": "true"}
        self.assertEqual(write(60, **end), 200)
        server.kill()
        server.start()
        self.assertEqual(write(60, **end), 204)
        self.assertEqual(write(61), 409)
        whole = httpx.get(address, headers=allowed, timeout=30)
        self.assertEqual(whole.text, "".join(f"{number} " for number in range(61)))
        self.assertEqual(whole.headers["Stream-Closed"], "true")
