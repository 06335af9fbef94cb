"""``[streams]`` of the configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import ConfigProblems, load_config

ON = '[streams]\npath = "/streams"\n'


class StreamsTests(SynchronousTestCase):
    """What may be said."""

    def refused(self, text: str) -> str:
        """Why a configuration cannot be used."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "tako.toml").write_text(text)
        return str(self.assertRaises(ConfigProblems, load_config, {}, {}, folder))

    def test_path_of_its_own(self) -> None:
        """Nothing else is served below it, nor it below anything else."""
        for path in ("/channels", "/channels/streams", "/_tako/streams"):
            self.assertIn("meets /", self.refused(f'[streams]\npath = "{path}"\n'), path)

    def test_sizes(self) -> None:
        """An append fits into a stream and into a request."""
        small = "[limits]\nmax_body_bytes = 2048\n"
        self.assertIn("limits.max_body_bytes", self.refused(f"{ON}{small}"))
        stream = "max_stream_bytes = 4096\n"
        self.assertIn("streams.max_stream_bytes", self.refused(f"{ON}{stream}"))

    def test_imports_nothing(self) -> None:
        """A server without a path of them imports nothing of its routes."""
        program = (
            "import sys; import takotwist.server.service, takotwist.server.compose;"
            "print([one for one in sys.modules if one.endswith('durable_streams.routes') or"
            " one.endswith('compose_streams')])"
        )
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        self.assertEqual(ran.stdout.strip(), b"[]")
