"""Record of a scenario's outcomes, kept as JSON beside its plot, and on the page.

Rule: figures on the page stand between two marks and are written by `write_page`
alone; what is between the parts is people's.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import attrs

from benchmarks import goals
from benchmarks.outcome import Outcome

DOCS = Path(__file__).parents[1] / "docs"
PAGE, FOLDER = DOCS / "performance.md", DOCS / "performance"

_REGION = re.compile(r"(<!-- figures: (\S+) -->\n).*?(<!-- end of figures -->\n)", re.DOTALL)


@attrs.frozen
class Record:
    """One scenario, measured.

    :ivar taken: the day.
    :ivar took: seconds.
    :ivar machine: on what.
    """

    scenario: str
    taken: str
    took: float
    machine: str
    outcomes: Sequence[Outcome]

    def save(self, folder: Path) -> None:
        """As ``SCENARIO.json`` in `folder`."""
        text = json.dumps(attrs.asdict(self), indent=1, ensure_ascii=False)
        (folder / f"{self.scenario}.json").write_text(text + "\n")

    @classmethod
    def load(cls, file: Path) -> Record:
        """Read what was saved."""
        fields = json.loads(file.read_text())
        outcomes = [Outcome(**outcome) for outcome in fields.pop("outcomes")]
        return cls(**fields, outcomes=outcomes)

    def table(self, pictures: str) -> list[str]:
        """For the page, in Markdown.

        :param pictures: the folder of the plots, as seen from the page.
        """
        lines = [f"Taken {self.taken} in {self.took:,.0f} seconds.", ""]
        for outcome in self.outcomes:
            lines += outcome.table()
        return [*lines, f"![{self.scenario}]({pictures}/{self.scenario}.svg)"]


def stored(folder: Path, scenarios: Iterable[str]) -> dict[str, Record]:
    """The stored records of `scenarios`, as far as they were measured."""
    files = {name: folder / f"{name}.json" for name in scenarios}
    return {name: Record.load(file) for name, file in files.items() if file.exists()}


def outcomes(records: Mapping[str, Record]) -> dict[str, Sequence[Outcome]]:
    """By scenario."""
    return {name: record.outcomes for name, record in records.items()}


def write_page(page: Path, records: Mapping[str, Record], pictures: str = "performance") -> None:
    """Rewrite the figures on `page` that `records` has; `goals` is of all of them."""

    def region(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        if name == "goals":
            lines = goals.table(outcomes(records))
        elif name == "machine":
            days: dict[str, list[str]] = {}
            for record in records.values():
                days.setdefault(record.machine, []).append(record.scenario)
            lines = [f"- {', '.join(names)}: {machine}." for machine, names in days.items()]
        elif name in records:
            lines = records[name].table(pictures)
        else:
            return str(found[0])
        return begin + "\n" + "\n".join(lines).strip("\n") + "\n\n" + end

    page.write_text(_REGION.sub(region, page.read_text()))


def today() -> str:
    """As it is written in a record."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def machine() -> str:
    """The machine that the figures were taken on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores = len(re.findall(r"^processor", Path("/proc/cpuinfo").read_text(), re.MULTILINE))
    parts = [
        f"{cores} cores of {model[1] if model else platform.machine()}",
        f"Linux {platform.release()}",
        f"Python {platform.python_version()}",
        f"Twisted {version('twisted')}",
        *(_says(command) for command in (["nginx", "-v"], ["node", "--version"])),
    ]
    return ", ".join(parts)


def _says(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    name = command[0]
    return f"{name} " + (done.stdout + done.stderr).strip().rpartition("/")[2].lstrip("v")
