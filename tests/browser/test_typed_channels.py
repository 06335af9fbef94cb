"""What ``tako types`` writes of channels, read by the compiler of TypeScript.

Rule: a wrong name, param, type or payload is an error where it is written, without a cast and
without an import: the file among the page's sources is enough.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

HERE = Path(__file__).with_name("typed_channels")
CLIENT = Path(__file__).parents[2] / "clients" / "js"
#: Of the environment that runs the tests, which need not be on the path.
TAKO = Path(sys.executable).with_name("tako")
MODULES = CLIENT / "node_modules"
TSC = MODULES / ".bin" / "tsc"

COMPILER = {
    "target": "ES2022",
    "module": "ESNext",
    "moduleResolution": "Bundler",
    "lib": ["ES2023", "DOM", "DOM.Iterable"],
    "jsx": "react-jsx",
    "strict": True,
    "noEmit": True,
    "types": [],
    "paths": {
        "takotwist": ["./package/index.d.ts"],
        "takotwist/node": ["./package/node.d.ts"],
        "takotwist/react": ["./package/react.d.ts"],
        "react": [str(MODULES / "@types" / "react" / "index.d.ts")],
        "react/jsx-runtime": [str(MODULES / "@types" / "react" / "jsx-runtime.d.ts")],
        "ws": [str(MODULES / "@types" / "ws" / "index.d.ts")],
    },
}


class TypedChannelsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        shutil.copytree(HERE, self.folder, ignore=shutil.ignore_patterns("__pycache__"))

    def run_program(self, *command: str | Path) -> None:
        """:raises AssertionError: it failed."""
        done = subprocess.run(
            [str(part) for part in command], cwd=self.folder, capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def compiled(self) -> None:
        """:raises AssertionError: the compiler found something."""
        options = {"compilerOptions": COMPILER, "include": ["*.ts", "*.tsx"]}
        (self.folder / "tsconfig.json").write_text(json.dumps(options))
        self.run_program(TSC, "-p", ".")

    def test_compiled(self) -> None:
        """Right calls compile under --strict, and each wrong one does not."""
        # The package's declarations, as they are published.
        build = ("-p", CLIENT / "tsconfig.build.json", "--emitDeclarationOnly")
        self.run_program(TSC, *build, "--outDir", self.folder.resolve() / "package")
        self.run_program(TAKO, "types", "-o", "takotwist.d.ts")
        self.compiled()
        # The compiler was there: where nothing is registered, any name and payload will do.
        (self.folder / "takotwist.d.ts").unlink()
        (self.folder / "right.tsx").unlink()
        with self.assertRaisesRegex(AssertionError, r"wrong\.tsx.*TS2578"):
            self.compiled()
