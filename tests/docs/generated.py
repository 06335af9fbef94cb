"""The pages that are written by the program they describe.

    python -m tests.docs.generated        # writes them

Rule: a test holds the pages equal to this, so nobody edits them by hand.
"""

# ruff: noqa: E501  (the pages have longer lines than the code)

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click

from takotwist.admin.metrics import Gauges, LiveCollector, MetricsCollector, WebhooksCollector
from takotwist.cli import main
from takotwist.core.deadlines import Deadlines
from takotwist.core.log import LogStats
from takotwist.core.metrics import Metrics
from takotwist.errors import REFUSALS, Refusal, Retry
from takotwist.live.broadcast.broadcast import Broadcasts
from takotwist.live.broadcast.bus import Bus
from takotwist.live.machine.frames import Bounds
from takotwist.live.machine.send import Backlog
from takotwist.live.services import LiveServices
from takotwist.live.sessions import LiveSessions
from takotwist.server.config.reference import as_markdown
from takotwist.server.options import Options
from takotwist.server.worker import SHARED
from takotwist.streams.unfinished import CLOSE_CODE, Cut
from tests.docs.api_page import api
from tests.docs.message_page import one_message
from tests.docs.page import DOCS
from tests.docs.states_page import states
from tests.faults.limits import LIMITS

_BY_HAND = "This page is made by `python -m tests.docs.generated`; do not edit it."

_CONFIGURATION = f"""\
# Configuration

{_BY_HAND}

The server reads `tako.toml` in its working folder, or the file of `--config`. The environment wins over the
file, and flags win over the environment. An unknown key, a wrong type or an impossible value is an error at
start that names the file, the key and what is allowed.

- `tako check-config` shows what would run, or all that is wrong, your definitions included. It opens and changes
  nothing.
- `tako config-doc` prints this page in a terminal; with `--format toml`, as a file to begin with.
- In the environment a list is separated by commas: `TAKO_HTTP_LISTEN=tcp:8080,tcp:8081`.
- Relative paths are relative to the folder of the file.
- "Change: on SIGHUP" means that `kill -HUP` takes up a new value without dropping a connection. A file that is empty or
  gone at that moment, as editors leave it while they write, is not taken up: what runs stays, and the log says so.
- Files are UTF-8, with a byte order mark or without, and lines may end as on Windows.

"""

_CLI = f"""\
# Commands

{_BY_HAND}

`tako` is for people; `twistd tako` is the same server for a service manager. Both read the same
[configuration](configuration.md).

"""

_ERRORS = f"""\
# Errors

{_BY_HAND}

Every refusal has a code. It is the same word over HTTP (`{{"error": "<one sentence>", "code": "<code>"}}`), as the
reason of a WebSocket close, in an `error` frame of `tako.v1`, and as an exception in Python
(`takotwist.errors`). Go by the code; the sentence is for people and may change.

| retry | what a client does |
|---|---|
{{retries}}

An HTTP answer with the status 429 or 503 carries `Retry-After`, in whole seconds; an `error` frame carries
`retryAfterMs`. Neither is ever a promise that it works then.

| code | HTTP | close | retry | class | when |
|---|---|---|---|---|---|
{{rows}}

`refused` (in Python `Refusal` itself) is the code of what has no better one: over HTTP of 408, a head or a body that
came too slowly, of 431, a head that is too large, and of 501, a method of HTTP/3 that is none of ours. Go by the
status there.

Ends of a WebSocket, or of a WebTransport session, that no refusal stands behind:

| close | reason | when | come back? |
|---|---|---|---|
| 1000 | `connection expired` | The connection's lifetime is over. | at once |
| 1001 | `no answer to keepalives` | WebTransport: nothing was acknowledged for two keepalives. | with backoff |
| 1003 | `text-frames-only` | A binary frame was sent. | no |
| 1008 | `too many pings` | A thousand of WebSocket's own pings and pongs came within ten seconds. | with backoff |
{{cuts}}
| 1013 | `stream-missing` | WebTransport: the session has no stream in time. | with backoff |
| 1002, 1007, 1009 | | The WebSocket protocol itself was broken; 1009 with the reason `message-too-large` is the refusal. | with backoff |

Over HTTP a body that comes too slowly is a 408 `refused`, and a line of NDJSON is `refused` alone.

Beside `Refusal` there are, in Python only:

| class | when |
|---|---|
{{others}}

What only clients raise is in [the page of the Python client](../howto/python-client.md).
"""

_LIMITS = f"""\
# Limits

{_BY_HAND}

Everything that a stranger can make grow has a bound, and whoever reaches one is told which. Each line is gone
through on a real server by `tests/faults/test_limits.py`, with other people's clients; the server serves on.

- `429` and `503` carry `Retry-After`; an `error` frame carries `retryAfterMs`. The words are those of
  [the table of errors](errors.md); `refused` is what has no better one.
- `close` is how a WebSocket is closed, `error` a frame that answers a frame: it closes nothing.
- `end` is the end of one live object, `ended` what its page is told that comes too late, `live.refused` the answer to
  `live.attach`: [live objects on the wire](../protocol/live-objects.md).
- Of several answers, the first is for HTTP; a plain WebSocket that is refused before its upgrade gets it too.
- Addresses are those of the clients only where [`trusted_proxies`](configuration.md#http) names your proxy. One of IPv6
  stands for its /64.
- A default of 0 is no limit. The keys, with what they allow, are in [the configuration](configuration.md#limits).

| what | default | key | what its client is told |
|---|---|---|---|
{{rows}}

With several [workers](../howto/scale-out.md) these are shared out among them, so that they hold for the whole server:
{{shared}}. All others, those by address, subject and key among them, hold for each worker.

These refuse nobody:

- Events for one endpoint of webhooks past `webhooks.max_events`, `webhooks.max_bytes` or `webhooks.keep_seconds`: the oldest
  are dropped, and counted. 1,000 are in memory at once, and 1,000 that the log does not take; 16 are posted at once.
- A client of Pusher's for whom too much waits is given no client events of others meanwhile; where it could not be told of
  a member it is closed with 4100.
- A connection with many topics has 32 frames answered at once, a subscription has 64 that wait for its handler, or
  for the app to say whether this client may publish; past that its socket is not read until some are done.
- Of the calls of your app that may be under way (16 threads, 1,000 coroutines, `app.max_concurrency` requests), one
  channel or function has three quarters at most. Turns go round by channel, and in each by the client's address, so
  who asks for a slow one, or often, waits and keeps nobody else waiting.
- A client that reads no pong is given one for many pings.
- Four answers of the history are read from the log at once; others wait, and past 1,000 who wait are `overloaded`.
- Packets of QUIC connections that are not known are answered by 20,000 stateless resets at once, and 2,000 more a second,
  each smaller than its packet.
- The log takes 100 lines of one kind at once for one address, and 10 more a second; 1,000 and 100 for all; 20 and 1 of
  those with a traceback. What was left out is counted, and said.
- `limits.tail_bytes` and `limits.tail_total_bytes` are messages kept in memory; what they do not hold comes from the log.
- Short of file descriptors, accepting pauses: who connects waits in the kernel's queue, and who is there is served.
- A page whose live object is on another node waits 8 s for that node's answer, and is told to try again; a node that
  misses four pings on such a connection is taken for dead, and the page comes back.
- What is published on a broadcast that is not durable is kept for 10 seconds where the server has several nodes.
- Counters of 10,000 keys of broadcasts that nobody listens to are kept; one that was dropped begins anew, with another
  `epoch`.
"""

_RETRY = {
    Retry.NEVER: "Nothing: the same request gets the same answer.",
    Retry.WITH_BACKOFF: "Tries again, later each time, with jitter.",
    Retry.WITH_NEW_CREDENTIALS: "Gets new credentials and tries again.",
    Retry.WITHOUT_CURSOR: "Reloads its state and begins without a cursor.",
}


def configuration() -> str:
    """``docs/reference/configuration.md``."""
    return _CONFIGURATION + as_markdown()


def _sentence(kind: type) -> str:
    first = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split("\n:")[0]
    return " ".join(first.split()).replace("``", "`").split(":param")[0].strip()


#: Reasons for which a frame is not waited for any longer, but for those that are refusals too.
_CUTS = {
    Cut.TOO_SLOW: "A frame began and came on by less than `limits.input_rate` over"
    " `limits.input_seconds`.",
}


def _leaves(kind: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for below in kind.__subclasses__():
        if below.__module__ == "takotwist.errors":
            yield below
            yield from _leaves(below)


def errors() -> str:
    """``docs/reference/errors.md``."""
    from takotwist.errors import ConfigError, DefinitionError, Unreachable

    rows = [
        f"| `{one.code}` | {one.http_status} | {one.close_code} | {one.retry.value} |"
        f" `{one.__name__}` | {_sentence(one)} |"
        for one in _leaves()
    ]
    cuts = [
        f"| {CLOSE_CODE} | `{cut.value}` | {_CUTS[cut]} | with backoff |"
        for cut in Cut
        if cut.value not in REFUSALS
    ]
    retries = [f"| {one.value} | {text} |" for one, text in _RETRY.items()]
    others = [
        f"| `{one.__name__}` | {_sentence(one)} |"
        for one in (Unreachable, DefinitionError, ConfigError)
    ]
    return (
        _ERRORS.replace("{rows}", "\n".join(rows))
        .replace("{retries}", "\n".join(retries))
        .replace("{cuts}", "\n".join(cuts))
        .replace("{others}", "\n".join(others))
    )


def limits() -> str:
    """``docs/reference/limits.md``."""
    shared = ", ".join(f"`{dotted}`" for dotted in SHARED)
    rows = "\n".join(limit.row for limit in LIMITS)
    return _LIMITS.replace("{rows}", rows).replace("{shared}", shared)


def _commands(
    command: click.Command, path: tuple[str, ...], parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    settings = {**command.context_settings, "max_content_width": 96, "terminal_width": 96}
    context = click.Context(command, parent=parent, info_name=path[-1], **settings)
    yield " ".join(path), command.get_help(context).rstrip()
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _commands(below, (*path, name), context)


def cli() -> str:
    """``docs/reference/cli.md``."""
    parts = [_CLI]
    for name, text in _commands(main, ("tako",)):
        parts.append(f"## `{name}`\n\n```text\n{text}\n```\n\n")
    options = "\n".join(_plugin_options())
    parts.append(
        "## `twistd tako`\n\nFlags of twistd itself (`-n`, `--pidfile`, `--logfile`,"
        " `--reactor`) come before the word `tako`, these after it:\n\n| flag | meaning |\n"
        f"|---|---|\n{options}\n"
    )
    return "".join(parts)


def _plugin_options() -> Iterator[str]:
    flags = [(name, text, False) for name, _, text in Options.optFlags]
    flags += [(name, text, True) for name, _, _, text in Options.optParameters]
    flags += [
        (name.removeprefix("opt_").replace("_", "-"), inspect.getdoc(method) or "", True)
        for name, method in inspect.getmembers(Options, inspect.isfunction)
        if name in ("opt_listen", "opt_tls_listen")
    ]
    for name, text, takes_value in sorted(flags):
        yield f"| `--{name}{'=' if takes_value else ''}` | {text} |"


class _Endpoint:
    """One endpoint of webhooks, for the names of its metrics."""

    name, waiting = "app", 0
    counts: Counter[str] = Counter()


def metrics() -> str:
    """The table of ``docs/howto/monitoring.md``."""
    metrics = Metrics()
    collector = MetricsCollector(
        metrics, lambda: Gauges(0, 0, 0, True, 0), lambda: LogStats(0, 0, 0)
    )
    metrics.refusals["rate-limited"] = metrics.cuts["too-slow"] = 1
    rows = []
    home = LiveServices(Bounds(), lambda: 0.0, Deadlines(), Broadcasts(Bus()), Backlog(0))
    live = LiveCollector(LiveSessions(home, 1, str))
    live.sessions.tally.calls["onJoin", "ok"] = 1
    webhooks = WebhooksCollector([_Endpoint()])
    for metric in (*collector.collect(), *live.collect(), *webhooks.collect()):
        suffix = "_total" if metric.type == "counter" else ""
        labels = sorted({name for sample in metric.samples for name in sample.labels} - {"le"})
        shown = f"{{{','.join(labels)}}}" if labels else ""
        rows.append(f"| `{metric.name}{suffix}{shown}` | {metric.type} | {metric.documentation} |")
    return "\n".join(rows)


PAGES: Mapping[Path, Callable[[], str]] = {
    DOCS / "architecture" / "one-message.md": one_message,
    DOCS / "architecture" / "states.md": states,
    DOCS / "reference" / "configuration.md": configuration,
    DOCS / "reference" / "errors.md": errors,
    DOCS / "reference" / "limits.md": limits,
    DOCS / "reference" / "cli.md": cli,
    DOCS / "reference" / "python-docstrings.md": api,
}

if __name__ == "__main__":
    for path, make in PAGES.items():
        path.write_text(make())
        print(path)
