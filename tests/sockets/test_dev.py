"""`tako dev`: each change is taken up, and nothing that is wrong ends it."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from threading import Thread

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.dev_process import CHANNEL, DevProcess
from tests.sockets.readers import SseReader

#: An app's own server, of the standard library, that shows what it was asked.
APP = """
import http.server, json, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("upgrade"):
            return self.upgrade()
        length = int(self.headers.get("content-length") or 0)
        body = json.dumps({
            "path": self.path, "method": self.command, "body": self.rfile.read(length).decode(),
            "token": "TAKO_APP_TOKEN" in os.environ, "publish": os.environ.get("TAKO_PUBLISH_URL"),
            **{name: self.headers.get(name) for name in ("host", "x-forwarded-proto", "cookie")},
        }).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("set-cookie", "a=1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def upgrade(self):
        self.close_connection = True
        if self.path != "/hot?a=b" or self.headers["connection"] != "Upgrade":
            return self.send_error(403)
        self.protocol_version = "HTTP/1.1"
        self.send_response(101)
        self.send_header("sec-websocket-accept", self.headers["sec-websocket-key"])
        self.end_headers()
        self.wfile.write(b"hello ")
        while data := self.rfile.read1():
            self.wfile.write(data.upper())
            if b"bye" in data:
                break

server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("the app is up", flush=True)
server.serve_forever()
"""


class DevTestCase(SynchronousTestCase):
    """One `tako dev`."""

    config = ""

    def setUp(self) -> None:
        self.dev = DevProcess()
        self.addCleanup(self.dev.close)
        self.prepare()
        self.dev.start()

    def prepare(self) -> None:
        """Write files before the start."""

    def get(self, path: str) -> httpx.Response:
        """A page, over HTTPS that is verified by the development CA."""
        return httpx.get(f"{self.dev.tls_url}{path}", verify=self.dev.trust, timeout=60)


class DefinitionsTests(DevTestCase):
    """Definitions are read again, and nobody is cut off."""

    def test_under_a_second(self) -> None:
        """A save is in effect in less than a second, and a reader of before stays connected."""
        reader = SseReader(self.dev.port, "first", {})
        self.addCleanup(reader.close)
        reader.begin()
        taken = []
        for number in range(5):
            self.dev.define(f"name{number}")
            taken.append(self.dev.until_defined(f"name{number}"))
        # The quickest: a machine that does much else may be late with any one of them.
        self.assertLess(min(taken), 1.0, taken)
        self.assertEqual(self.dev.log.count("ready, channels:"), 1, "it has started over")
        self.dev.define("first")
        self.dev.until_defined("first")
        with self.dev.private() as private:
            private.post("/channels/first", json={"type": "msg", "data": "still here"})
        reader.read_until(1)
        self.assertEqual((reader.messages[0]["data"], reader.connections), ("still here", 1))
        self.dev.assert_clean()

    def test_ten_broken_saves(self) -> None:
        """Each is said with file and line, what was there goes on, and the next good one counts."""
        broken = [
            ("x = (", "channels/chat.py:1: SyntaxError"),
            ("1 / 0", "channels/chat.py:1: ZeroDivisionError"),
            ("import nothing_here", "channels/chat.py:1: ModuleNotFoundError"),
            ("\n\nname", "channels/chat.py:3: NameError"),
            ("x = 1", "channels/chat.py: the file defines no channel"),
            ("raise SystemExit(3)", "channels/chat.py:1: SystemExit: 3"),
            (CHANNEL.format(name="no name!"), "channels/chat.py:4: "),
            (f"{CHANNEL.format(name='a')}other = define_channel('a')", "is already defined"),
            ("def f(:", "channels/chat.py:1: SyntaxError"),
            ("\0", "channels/chat.py"),
        ]
        for number, (text, said) in enumerate(broken, 1):
            self.dev.write("channels/chat.py", text)
            self.dev.until_said("What ran before goes on.", number)
            self.assertIn(said, self.dev.log)
            self.assertEqual(self.dev.channels, {"first"})
        self.dev.define("second")
        self.dev.until_defined("second")
        self.dev.assert_clean()

    def test_missing_file_comes_later(self) -> None:
        """A definition that needs a module which is written after it is taken up with that."""
        self.dev.write(
            "channels/chat.py", f"from rules import NAME\n{CHANNEL}".replace('"{name}"', "NAME")
        )
        self.dev.until_said("No module named 'rules'")
        self.dev.write("rules.py", 'NAME = "by_rule"')
        self.dev.until_defined("by_rule")

    def test_new_folder(self) -> None:
        """Functions are served as soon as their folder is there."""
        self.dev.write(
            "functions/greet.py",
            "from takotwist.live import function\n\n@function\ndef greet():\n    return 'hello'\n",
        )
        self.dev.until(lambda: "greet()" in self.get("/").text, "the page")

    def test_configuration(self) -> None:
        """A channel of tako.toml is there after a save, and a wrong key is said with its line."""
        self.dev.write_config("[channels.news]\npublic = true\n")
        self.dev.until_defined("news")
        self.dev.write_config("[channels.news]\npublik = true\n")
        self.dev.until_said("tako.toml:2: ")
        self.assertEqual(self.dev.channels, {"first", "news"})


class ModulesTests(DevTestCase):
    """Modules beside the definitions: the server starts over, and clients resume."""

    def prepare(self) -> None:
        self.dev.write("rules.py", 'NAME = "one"')
        self.dev.write(
            "channels/chat.py", f"from rules import NAME\n{CHANNEL}".replace('"{name}"', "NAME")
        )

    def test_starts_over(self) -> None:
        """The process is the same, what it knows is new, and a message of before is kept."""
        with self.dev.private() as private:
            private.post("/channels/one", json={"type": "msg", "data": "kept"})
        pid = self.dev.pid
        self.dev.write("rules.py", 'NAME = "two"\n')
        self.dev.until_defined("two")
        self.assertEqual(self.dev.pid, pid)
        self.dev.write("rules.py", 'NAME = "one"\n')
        self.dev.until_defined("one")
        with self.dev.private() as private:
            kept = private.get("/channels/one/history").json()["messages"]
        self.assertEqual([one["data"] for one in kept], ["kept"])
        self.dev.assert_clean()

    def test_broken(self) -> None:
        """A broken module is found before anything stops."""
        self.dev.write("rules.py", "NAME = (\n")
        self.dev.until_said("rules.py:1: SyntaxError")
        self.assertEqual(self.dev.channels, {"one"})
        self.assertEqual(self.dev.log.count("ready, channels:"), 1)
        self.dev.write("rules.py", 'NAME = "two"\n')
        self.dev.until_defined("two")

    def test_port_that_is_taken(self) -> None:
        """Where the new process cannot begin, it says why, and the next save is tried."""
        self.dev.write_config('[private]\nlisten = ["unix:/proc/nowhere/private.sock"]\n')
        self.dev.until_said("Waiting for the next change.")
        self.dev.write_config("")
        self.dev.until_defined("one")

    def test_ends(self) -> None:
        """Ctrl-C ends it calmly, also after it has started over."""
        self.dev.write("rules.py", 'NAME = "two"\n')
        self.dev.until_defined("two")
        self.dev.signal(signal.SIGINT)
        self.assertEqual(self.dev.wait(), 0)
        self.dev.assert_clean()


class PagesTests(DevTestCase):
    """What browsers are served."""

    def test_start_page(self) -> None:
        """Without pages / shows what is defined, and what is wrong."""
        page = self.get("/")
        self.assertEqual(page.status_code, 200)
        self.assertIn("<code>first()</code>", page.text)
        self.assertIn("channels/chat.py:4", page.text)
        self.dev.write("channels/chat.py", "<b>(")
        self.dev.until_said("What ran before goes on.")
        self.assertIn("channels/chat.py:1: SyntaxError", self.get("/").text)
        self.assertNotIn("<b>", self.get("/").text)

    def test_events(self) -> None:
        """Browsers are told of problems, of their end, and of changed pages."""
        with httpx.stream(
            "GET", f"{self.dev.tls_url}/_tako/dev/events", verify=self.dev.trust, timeout=60
        ) as events:
            lines = (line for line in events.iter_lines() if line.startswith("event: "))
            self.assertEqual(next(lines), "event: pages")
            self.dev.write("channels/chat.py", "x = (")
            self.assertEqual(next(lines), "event: problem")
            self.dev.define("second")
            self.assertEqual(next(lines), "event: solved")
            self.dev.write("pages/style.css", "body {}")
            self.assertEqual(next(lines), "event: pages")

    def test_scripts(self) -> None:
        """The client's script loads that of development, which no other command serves."""
        self.assertIn('import(new URL("dev.js"', self.get("/_tako/client.js").text)
        self.assertIn("EventSource", self.get("/_tako/dev.js").text)

    def test_this_machine_alone(self) -> None:
        """Unless told otherwise it listens on the loopback address only, and keeps its keys."""
        key = self.dev.authority.with_name("development-ca-key.pem")
        self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600)
        inside = [
            str(one) for one in (self.dev.folder / "state").rglob("*-ca*.pem") if one.is_file()
        ]
        self.assertEqual(inside, [])


class AppElsewhereTests(DevTestCase):
    """The app's own server runs beside, and answers all other paths."""

    def prepare(self) -> None:
        self.dev.write("app.py", APP)
        self.dev.write_config(
            f'[app]\nurl = "http://127.0.0.1:{self.dev.app_port}"\n'
            f'[dev]\nrun = ["python app.py {self.dev.app_port}"]\n'
        )

    def test_pages(self) -> None:
        """The app gets the host that the browser asked, its cookies, and the secrets to answer."""
        self.dev.until_said("the app is up")
        answer = httpx.post(
            f"{self.dev.tls_url}/orders?a=b",
            content="x" * 100_000,
            headers={"cookie": "b=2"},
            verify=self.dev.trust,
            timeout=60,
        )
        said = answer.json()
        self.assertEqual(said.pop("body"), "x" * 100_000)
        self.assertEqual(
            said,
            {
                "path": "/orders?a=b",
                "method": "POST",
                "host": f"localhost:{self.dev.tls_port}",
                "x-forwarded-proto": "https",
                "cookie": "b=2",
                "token": True,
                "publish": f"unix:{self.dev.folder.resolve()}/state/private.sock",
            },
        )
        self.assertEqual(answer.headers["set-cookie"], "a=1")
        self.dev.assert_clean()

    def test_websocket(self) -> None:
        """A WebSocket of the app is its own: what either writes, and its end, are passed on."""
        self.dev.until_said("the app is up")
        with self._handshake("/hot?a=b", b"bye") as page:
            read = page.makefile("rb")
            self.assertEqual(read.readline(), b"HTTP/1.1 101 Switching Protocols\r\n")
            fields = list(iter(read.readline, b"\r\n"))
            self.assertIn(b"sec-websocket-accept: a-key\r\n", fields)
            self.assertEqual(read.read(), b"hello BYE")
        with self._handshake("/other") as page:
            self.assertEqual(page.makefile("rb").readline(), b"HTTP/1.1 403 Forbidden\r\n")
        # A page that leaves in the midst is not in the way of the next.
        self._handshake("/hot?a=b", b"x").close()
        with self._handshake("/hot?a=b", b"bye") as page:
            self.assertTrue(page.makefile("rb").read().endswith(b"hello BYE"))
        self.dev.assert_clean()

    def test_websocket_at_a_pace(self) -> None:
        """More than the connections have room for waits until it is read, and all of it comes."""
        self.dev.until_said("the app is up")
        sent = b"x" * 5_000_000 + b" bye"
        with self._handshake("/hot?a=b", tls=False) as page:
            sending = Thread(target=page.sendall, args=(sent,))
            sending.start()
            # Long enough for it to come to a stop, and right too where it has not.
            sending.join(0.5)
            got = page.makefile("rb").read()
            sending.join()
        self.assertTrue(got.endswith(b"hello " + sent.upper()))

    def _handshake(self, target: str, more: bytes = b"", *, tls: bool = True) -> socket.socket:
        """A connection on which a WebSocket was asked for, and `more` was sent behind that."""
        port = self.dev.tls_port if tls else self.dev.port
        page = socket.create_connection(("localhost", port), timeout=60)
        if tls:
            page = self.dev.trust.wrap_socket(page, server_hostname="localhost")
        head = (
            f"GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\n"
            "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a-key\r\n\r\n"
        )
        page.sendall(head.encode() + more)
        return page

    def test_app_away(self) -> None:
        """While the app does not answer, a page says so and asks again."""
        self.dev.until_said("the app is up")
        [pid] = [
            int(one)
            for one in os.listdir("/proc")
            if one.isdigit() and f"app.py\0{self.dev.app_port}" in _command_of(one)
        ]
        os.kill(pid, signal.SIGKILL)
        self.dev.until_said("| ended with -9")
        answer = self.get("/")
        self.assertEqual(answer.status_code, 502)
        self.assertIn(f"Nothing answers at http://127.0.0.1:{self.dev.app_port}", answer.text)
        self.dev.write("app.py", APP + "\n")
        self.dev.until_said("the app is up", 2)
        self.dev.until(lambda: self.get("/").status_code == 200, "the page")

    def test_other_command(self) -> None:
        """A command that is changed takes the place of the one before."""
        self.dev.until_said("the app is up")
        self.dev.write_config(
            f'[app]\nurl = "http://127.0.0.1:{self.dev.app_port}"\n'
            f'[dev]\nrun = ["python -u app.py {self.dev.app_port}"]\n'
        )
        self.dev.until_said("dev.run has changed: starting over")
        self.dev.until_said("the app is up", 2)

    def test_ends_with_it(self) -> None:
        """The app ends with the server."""
        self.dev.until_said("the app is up")
        self.assertEqual(self.dev.stop(), 0)
        self.assertRaises(httpx.ConnectError, httpx.get, f"http://127.0.0.1:{self.dev.app_port}/")

    def test_killed(self) -> None:
        """``kill -9`` leaves no command behind."""
        self.dev.until_said("the app is up")
        self.dev.kill()

        def gone() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.dev.app_port)) != 0

        self.dev.until(gone, "the end of the app")

    def test_ends_with_its_terminal(self) -> None:
        """A terminal that is closed leaves neither on its ports."""
        self.dev.until_said("the app is up")
        self.dev.signal(signal.SIGHUP)
        self.assertEqual(self.dev.wait(), 0)
        self.assertRaises(httpx.ConnectError, httpx.get, f"http://127.0.0.1:{self.dev.app_port}/")


class TypesTests(DevTestCase):
    """TypeScript types are written again with each change."""

    def prepare(self) -> None:
        self.dev.write_config('[dev]\ntypes = "web/takotwist.d.ts"\n')

    def test_written(self) -> None:
        """The file is there after the start, and has what is defined now."""
        file = self.dev.folder / "web" / "takotwist.d.ts"
        self.dev.until(file.exists, "the page")
        self.assertIn("first: {", file.read_text())
        self.dev.define("second")
        began = time.monotonic()
        self.dev.until(lambda: "second: {" in file.read_text(), "the page")
        self.assertLess(time.monotonic() - began, 20)


def _command_of(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""
