"""What browsers do with streams: seek, reload deep, and come back to events, in Chromium."""

from __future__ import annotations

import wave
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.driven import Browser
from tests.sockets.server_process import ServerProcess

#: A site of the primitives, which notes the ranges that it was asked for.
SITE = """
import json
from pathlib import Path

from klein import Klein
from takotwist.codecs.sse import SseEvent
from takotwist.streams.files import serve_file, static_dir
from takotwist.streams.sse.route import last_event_id, sse

HERE = Path(__file__).parent
app = Klein()
asked = []

async def three(request_version, after):
    for number in range(after + 1, after + 4):
        yield SseEvent(f"{number} {request_version}", id=str(number), retry=50)

@app.route("/ticks")
def ticks(request):
    return sse(request, three(request.clientproto.decode(), int(last_event_id(request) or 0)))

@app.route("/player")
def player(request):
    request.setHeader("Content-Type", "text/html")
    return '<link rel="icon" href="data:,"><video src="/tone.wav" preload="metadata" muted></video>'

@app.route("/tone.wav")
async def tone(request):
    asked_for = request.getHeader("range")
    await serve_file(request, HERE / "tone.wav")
    asked.append([asked_for, request.code])

@app.route("/asked")
def seen(request):
    return json.dumps(asked)

@app.route("/app/", branch=True)
def single_page(request):
    return static_dir(HERE / "app", fallback="index.html")
"""

INDEX = """<!doctype html>
<link rel="icon" href="data:," />
<script src="/app/app.js" defer></script>
<h1></h1>
"""

SCRIPT = "document.querySelector('h1').textContent = location.pathname + location.search;"

SECONDS = 300


class StreamTests(SynchronousTestCase):
    """One browser, one server."""

    def setUp(self) -> None:
        self.server = ServerProcess(tls=True)
        self.addCleanup(self.server.close)
        folder = self.server.folder
        self.server.write_config('[app]\npages = "pages_of_test:app"\n')
        (folder / "pages_of_test.py").write_text(SITE)
        (folder / "app").mkdir()
        (folder / "app" / "index.html").write_text(INDEX)
        (folder / "app" / "app.js").write_text(SCRIPT)
        write_tone(folder / "tone.wav")
        self.server.start()
        self.browser = Browser(self.server.authority)
        self.addCleanup(self.browser.close)

    def test_video_seeks(self) -> None:
        """A <video> knows its length without having it all, and seeks by ranges (206)."""
        for url in (self.server.url, self.server.tls_url):
            page = self.browser.open(f"{url}/player")
            page.run("window.video = document.querySelector('video'), 0")
            page.until("video.readyState >= 1")
            self.assertAlmostEqual(page.run("video.duration"), SECONDS, places=0)
            page.run("video.currentTime = 200, 0")
            page.until("!video.seeking && video.readyState >= 2")
            self.assertAlmostEqual(page.run("video.currentTime"), 200, places=1)
            self.assertEqual(page.errors, [])
            page.close()
        page = self.browser.open(f"{self.server.url}/asked")
        # A range is noted once it was served, or left: of a page that has gone, some time after.
        asked = page.until(
            """fetch("/asked").then((answer) => answer.json()).then((asked) =>
              asked.filter(([one, status]) => status === 206 && one !== "bytes=0-").length >= 2
              && asked)"""
        )
        # What it has in its cache already it asks to be told of by a 304.
        self.assertLessEqual({status for _, status in asked}, {206, 304}, asked)

    def test_single_page_app_reloads_deep(self) -> None:
        """F10: a deep page is the app, also after a reload; a missing script is a 404."""
        for url in (self.server.url, self.server.tls_url):
            page = self.browser.open(f"{url}/app/orders/17?tab=lines")
            title = "document.querySelector('h1').textContent"
            page.until(f"{title} === '/app/orders/17?tab=lines'")
            page.reload()
            page.until(f"{title} === '/app/orders/17?tab=lines'")
            missing = page.run("fetch('/app/missing.js').then(({ status }) => status)")
            self.assertEqual(missing, 404)
            page.close()

    def test_event_source(self) -> None:
        """`EventSource` gets each event once, and goes on after the last one that it saw."""
        for url, version in ((self.server.url, "HTTP/1.1"), (self.server.tls_url, "HTTP/2")):
            page = self.browser.open(f"{url}/app/")
            page.run(
                "window.seen = [], window.source = new EventSource('/ticks'),"
                " source.onmessage = ({ data }) => seen.push(data), 0"
            )
            page.until("seen.length >= 9")
            page.run("source.close()")
            self.assertEqual(page.run("seen.slice(0, 9)"), [f"{n} {version}" for n in range(1, 10)])
            page.close()


def write_tone(path: Path) -> None:
    """Five minutes of sound: what a player seeks in, it seeks in by the bytes of the file."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(44_100)
        second = bytes(range(180)) * (44_100 * 4 // 180)
        for _ in range(SECONDS):
            sound.writeframes(second)
