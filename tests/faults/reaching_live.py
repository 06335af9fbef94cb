"""How a page reaches a limit of functions and live objects, and what it is told.

Rule: as for `reaching`, nothing is looked for but the server's own word.
"""

from __future__ import annotations

import contextlib
import json
import time

import httpx
from websockets.exceptions import ConnectionClosed

from tests.faults.at_once import at_once, request
from tests.faults.live_client import LivePage
from tests.faults.reaching import told
from tests.sockets.server_process import ServerProcess

# calls


def call_rate(server: ServerProcess) -> list[str]:
    """Five calls one behind the other."""
    page = LivePage(server)
    return sorted({told(page.call("onEcho", "a")) for _ in range(5)} - {"200"})


def subject_rate(server: ServerProcess) -> list[str]:
    """The same subject from five addresses."""
    page = LivePage(server)
    said = [
        told(page.call("onKnown", "a", **{"Authorization": "x", "X-Forwarded-For": f"10.0.0.{n}"}))
        for n in range(5)
    ]
    assert said[:3] == ["200"] * 3
    # An address of its own is no way around it, and nobody else pays for it.
    assert told(page.call("onEcho", "a", **{"X-Forwarded-For": "10.0.0.99"})) == "200"
    return sorted(set(said) - {"200"})


def call_body(server: ServerProcess) -> list[str]:
    """A call with a long text."""
    page = LivePage(server)
    assert told(page.call("onEcho", "a")) == "200"
    return [told(page.call("onEcho", "a" * 2000))]


def calls(server: ServerProcess) -> list[str]:
    """Thirty at once that take two seconds."""
    body = json.dumps({"args": [2]}).encode()
    path = "/_tako/functions/onSleep"
    asked = [request(path, "x", body, Tako_Session=f"page-{number}") for number in range(30)]
    said = [told(one) for one in at_once(server, asked)]
    # More of them where some have ended before the last has come.
    assert said.count("200") >= 12 + 2, said
    return sorted(set(said) - {"200"})


def call_time(server: ServerProcess) -> list[str]:
    """One that takes longer."""
    return [told(LivePage(server).call("onSleep", 1))]


# pages and their objects


def pages(server: ServerProcess) -> list[str]:
    """Two have an object each; a third calls, and comes with a wire."""
    for _ in range(2):
        LivePage(server).get("onChannel")
    page = LivePage(server)
    said = [told(page.call("onChannel"))]
    refused = page.attach()
    page.leave()
    return [*said, f"{refused['op']} {refused['code']}"]


def objects(server: ServerProcess) -> list[str]:
    """1,001; 1,000 are had."""
    page = LivePage(server)
    said = told(page.call("onChannels", 1001))
    assert told(LivePage(server).call("onChannels", 1000)) == "200"
    return [said]


def listed(server: ServerProcess) -> list[str]:
    """1,001 in `live.attach`, and in `live.open`."""
    said = []
    for op in ("live.attach", "live.open"):
        page = LivePage(server)
        if op == "live.open":
            page.attach()
        else:
            page.connect()
        many = [{"id": str(number)} for number in range(1001)]
        page.say({"op": op, "session": page.secret, "open": many})
        said.append(page.end())
    assert said[0] == said[1], said
    return said[:1]


def secret(server: ServerProcess) -> list[str]:
    """One of 129 characters."""
    return [told(LivePage(server, "s" * 129).call("onChannel"))]


def leave(server: ServerProcess) -> list[str]:
    """A leave of 2,000 bytes."""
    url = f"{server.url}/_tako/connect/leave"
    body = json.dumps({"session": "s" * 2000})
    return [told(httpx.post(url, content=body, headers={"Content-Type": "text/plain"}, timeout=30))]


def _ended(page: LivePage, name: str) -> str:
    """How an object has ended, as an attach is told."""
    [one] = page.attach(name)["ended"]
    assert one["id"] == name
    page.leave()
    return f"ended {one['error']['code']}"


def _pass_a_second(server: ServerProcess) -> None:
    """And have the server know: one that was held up hears who comes before it looks at its timers,
    once."""
    time.sleep(1)
    _ = server.connected


def never_attached(server: ServerProcess) -> list[str]:
    """A page that comes a second after its call."""
    page = LivePage(server)
    name = page.get("onChannel")
    _pass_a_second(server)
    return [_ended(page, name)]


def cut_off(server: ServerProcess) -> list[str]:
    """A page that is away for a second."""
    page = LivePage(server)
    name = page.get("onChannel")
    assert page.attach(name)["open"]
    page.cut()
    _pass_a_second(server)
    return [_ended(page, name)]


def silence(server: ServerProcess) -> list[str]:
    """A page that answers no ping."""
    page = LivePage(server)
    name = page.get("onChannel")
    began = time.monotonic()
    page.attach(name)
    said = page.end()
    assert 1.5 < time.monotonic() - began < 60
    return ["its connection is cut, without a word" if said == "cut" else said]


# what pages send


def message(server: ServerProcess) -> list[str]:
    """Data of 1,100 bytes."""
    page = LivePage(server)
    name = page.get("onChannel")
    page.attach(name)
    page.send(name, "send", "x" * 1100)
    return [page.end()]


def frame(server: ServerProcess) -> list[str]:
    """A frame of 6,000 bytes."""
    page = LivePage(server)
    page.attach()
    page.say({"op": "subscribe", "channel": "x" * 6000})
    return [" ".join(page.end().split()[:2])]


def batch(server: ServerProcess) -> list[str]:
    """A POST of 3,000 bytes, beside an event stream."""
    url = f"{server.url}/_tako/connect"
    head = {"Accept": "text/event-stream"}
    with httpx.Client(timeout=60) as client, client.stream("GET", url, headers=head) as stream:
        lines = stream.iter_lines()
        opened = json.loads(next(line for line in lines if line.startswith("data:"))[5:])
        assert opened["maxBatchBytes"] == 2048
        said = client.post(
            f"{url}/{opened['upstream']}",
            content=b"\n" * 3000,
            headers={"Content-Type": "application/x-ndjson"},
        )
        return [told(said)]


def _ahead(server: ServerProcess, size: int) -> list[str]:
    page = LivePage(server)
    name = page.get("onNever")
    page.attach(name)
    # It may be cut off before the last of them.
    with contextlib.suppress(ConnectionClosed):
        for _ in range(10):
            page.send(name, "send", "x" * size)
    return [page.end()]


def window_bytes(server: ServerProcess) -> list[str]:
    """Ten messages of 600 bytes to a listener that takes its time."""
    return _ahead(server, 600)


def window_messages(server: ServerProcess) -> list[str]:
    """Ten small ones."""
    return _ahead(server, 1)


def requests(server: ServerProcess) -> list[str]:
    """Twenty that subscribe, from a page that reports nothing."""
    page = LivePage(server)
    name = page.get("onGroup")
    page.attach(name)
    with contextlib.suppress(ConnectionClosed):
        for _ in range(20):
            page.send(name, "subscribe", kind="text", ack=True)
    return [page.end()]


# what is kept for pages


def _member(server: ServerProcess, kind: str) -> tuple[LivePage, str]:
    page = LivePage(server)
    name = page.get("onGroup")
    page.attach(name, credit=0)
    page.send(name, "subscribe", kind=kind, ack=True)
    page.until("live", do="ack")
    return page, name


def _waiting(server: ServerProcess, kind: str) -> list[str]:
    page, _ = _member(server, kind)
    assert told(page.call("onPublish", 10, 500, kind == "binary")) == "200"
    error = page.until("live", do="end")["error"]
    page.leave()
    return [f"end {error['code']}"]


def waiting_text(server: ServerProcess) -> list[str]:
    """A member without credit, and 5,000 bytes of text."""
    return _waiting(server, "text")


def waiting_binary(server: ServerProcess) -> list[str]:
    """The same with bytes."""
    return _waiting(server, "binary")


def waiting_in_all(server: ServerProcess) -> list[str]:
    """A member without credit, and two texts of 600,000 bytes."""
    page, _ = _member(server, "text")
    assert told(page.call("onPublish", 2, 600_000, False)) == "200"
    error = page.until("live", do="end")["error"]
    page.leave()
    return [f"end {error['code']}"]


def waiting_of_channel(server: ServerProcess) -> list[str]:
    """A page without credit, to which ten messages of 500 bytes are sent."""
    page = LivePage(server)
    name = page.get("onTalk", 10, 500, False, "drop-oldest")
    page.attach(name, credit=0)
    page.say({"op": "live", "id": name, "do": "credit", "at": 0, "bytes": 99999, "messages": 99})
    heard = [page.until("live", do="send")["data"][0]]
    while heard[-1] != 9:
        heard.append(page.until("live", do="send")["data"][0])
    lost = [number for number in range(10) if number not in heard]
    assert page.call("onLost").json()["result"] == len(lost) > 0
    assert heard == list(range(len(lost), 10))
    page.leave()
    return ["only the newest come; the app is told of each that does not"]


def _replay(server: ServerProcess, binary: bool) -> list[str]:
    """A message that is larger than what is kept, and a page that lost it."""
    page = LivePage(server)
    name = page.get("onTalk", 1, 5000, binary)
    page.attach(name)
    if binary:
        page.until_binary()
    else:
        page.until("live", do="send")
    page.cut()
    page.attach(name)
    error = page.until("live", do="end")["error"]
    page.leave()
    return [f"end {error['code']}"]


def replay_text(server: ServerProcess) -> list[str]:
    """One of text."""
    return _replay(server, False)


def replay_binary(server: ServerProcess) -> list[str]:
    """One of bytes."""
    return _replay(server, True)
