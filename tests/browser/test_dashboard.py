"""The dashboard example in Chromium."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.browser.driven import Browser
from tests.browser.example_server import example_server


class DashboardTests(SynchronousTestCase):
    """`examples/dashboard`."""

    def test_page(self) -> None:
        """It shows this machine, and goes on by itself after a restart of the server."""
        server = example_server("dashboard")
        self.addCleanup(server.close)
        server.start()
        browser = Browser(server.authority)
        self.addCleanup(browser.close)
        page = browser.open(server.tls_url, height=420)
        page.until("document.querySelector('#cpu .value').textContent.endsWith('%')")
        for panel, what in (("memory", "GiB in use"), ("cpu", "cores"), ("load", "runnable")):
            self.assertIn(what, page.run(f"document.querySelector('#{panel} .detail').textContent"))
        page.until("document.getElementById('state').dataset.state === 'open'")
        server.stop()
        page.until("document.getElementById('state').dataset.state === 'reconnecting'")
        server.start()
        page.until("document.getElementById('state').dataset.state === 'open'")
        self.assertEqual(page.errors, [])
        server.assert_clean()
