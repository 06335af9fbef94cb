"""The page at ``/`` of a server without pages of its own, for whoever has just started it.

Rule: it is for this machine alone, and while no certificate is configured; anybody else gets the
answer that every unknown path has.  What is defined here is told by ``tako dev`` only.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

import attrs

import takotwist
from takotwist.errors import NotFound
from takotwist.server.reloadable import Reloadable
from takotwist.streams.http.host import HostPolicy, is_loopback
from takotwist.streams.http.interface import ReadableRequest, Request
from takotwist.streams.http.peer import asked_host

#: Localhost and the loopback addresses.
_THIS_MACHINE = HostPolicy()

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>takotwist</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 4rem auto; padding: 0 1rem;
  color: #222; background: #fff }}
code, pre {{ font: 14px/1.5 ui-monospace, monospace; background: #f3f1ee; border-radius: 4px }}
code {{ padding: .1em .3em }} pre {{ padding: .8em 1em; overflow: auto }}
dt {{ margin-top: .6em; font-weight: 600 }} dd {{ margin: 0; color: #555 }}
.wrong {{ border-left: 4px solid #c0392b; padding-left: 1em; white-space: pre-wrap }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #ddd; background: #1b1b1d }} code, pre {{ background: #2a2a2e }}
  dd {{ color: #aaa }} a {{ color: #8ab4f8 }} }}
</style>
<h1>takotwist {version} runs here</h1>
{body}
<h2>Where to read on</h2>
<ul>
<li>{docs}
<li><code>tako --help</code> lists the commands, <code>tako config-doc</code> explains every key
<li><a href="/_tako/health">/_tako/health</a> says whether it is well
</ul>
</html>
"""

_NOTHING = """\
<p>It has no pages of its own. Files in a folder <code>pages</code> are served with
<code>[app] pages = "pages"</code> in <code>tako.toml</code>.</p>
<p>While you write an app, <code>tako dev</code> shows here what is defined, takes up each change,
and says what is wrong with it.</p>
"""


def render(body: str) -> bytes:
    """The page with `body`, which is HTML."""
    # Not at the top: it takes milliseconds to load, of every start.
    from importlib.metadata import version

    docs = Path(takotwist.__file__).resolve().parents[1] / "docs" / "README.md"
    where = (
        f"The documentation is in <code>{escape(str(docs))}</code>"
        if docs.is_file()
        else "The documentation is in the folder <code>docs</code> of takotwist's repository"
    )
    return _PAGE.format(version=escape(version("takotwist")), body=body, docs=where).encode()


def answer_page(request: Request, page: bytes) -> None:
    """Send the page, which may load nothing but the server's own scripts."""
    headers = request.responseHeaders
    headers.setRawHeaders("Content-Type", ["text/html; charset=utf-8"])
    headers.setRawHeaders("Content-Length", [str(len(page))])
    headers.setRawHeaders("Cache-Control", ["no-store"])
    headers.setRawHeaders(
        "Content-Security-Policy",
        [
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self';"
            " frame-ancestors 'none'"
        ],
    )
    if request.method != b"HEAD":
        request.write(page)
    request.finish()


@attrs.frozen(slots=True)
class StartPage:
    """The page of ``tako serve`` and ``twistd tako``."""

    reloadable: Reloadable

    async def __call__(self, request: Request) -> None:
        """Answer.

        :raises NotFound: the request is not from this machine, or a certificate is configured.
        """
        if request.method not in (b"GET", b"HEAD") or not self._is_developer(request):
            raise NotFound
        answer_page(request, render(_NOTHING))

    def _is_developer(self, request: ReadableRequest) -> bool:
        reloadable = self.reloadable
        peer = getattr(request.client, "host", None)
        if not reloadable.development or peer is None or reloadable.proxies.trusts(peer):
            return False
        host = asked_host(request)
        return is_loopback(peer) and bool(host) and _THIS_MACHINE.permits(host, None)
