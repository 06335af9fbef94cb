"""npm packages for the programs of pages: those of the client's own tests, and the client."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "js"

#: The client's entries, as they are built for a page.
_BUILD = """
import { writeFileSync } from "node:fs";
import { bundle } from %s;
for (const [name, source] of Object.entries(%s)) {
  writeFileSync(`%s/${name}.js`, await bundle(source));
}
"""


def give_packages(folder: Path, *entries: str) -> None:
    """Make ``node_modules`` in `folder`.

    :param entries: of the client, such as ``streams``.
    """
    subprocess.run(["sh", str(CLIENT / "install")], check=True, timeout=300)
    modules = folder / "node_modules"
    modules.mkdir()
    for each in (CLIENT / "node_modules").iterdir():
        if not each.name.startswith("."):
            (modules / each.name).symlink_to(each)
    ours = modules / "takotwist"
    ours.mkdir()
    package = json.loads((CLIENT / "package.json").read_text())
    sources = {
        name: f"src/{Path(package['exports'][f'./{name}']['default']).stem}.ts" for name in entries
    }
    exports = {f"./{name}": f"./{name}.js" for name in entries}
    manifest = {"name": "takotwist", "type": "module", "exports": exports}
    (ours / "package.json").write_text(json.dumps(manifest))
    build = _BUILD % (json.dumps(str(CLIENT / "build.mjs")), json.dumps(sources), ours)
    subprocess.run(["node", "--input-type=module", "-e", build], check=True, timeout=60)
