"""Problems of a configuration, all of them at once.

An operator who fixes one line and is then told of the next loses patience, so
problems are collected and raised together.
Rule: a problem names its source, its key and what would be allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

import attrs

from takotwist.errors import ConfigError


class ConfigProblems(ConfigError):
    """The configuration cannot be used; `str` has one line a problem.

    :param problems: at least one.
    """

    def __init__(self, problems: Iterable[ConfigError]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(first.reason, key=first.key, source=first.source)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


@attrs.define(slots=True)
class Collected:
    """Problems found so far."""

    problems: list[ConfigError] = attrs.field(factory=list)

    def add(self, reason: str, *, key: str | None = None, source: str | None = None) -> None:
        """Remember one problem; the same one twice is one."""
        problem = ConfigError(reason, key=key, source=source)
        if str(problem) not in map(str, self.problems):
            self.problems.append(problem)

    def raise_if_any(self, line: Callable[[ConfigError], int | None]) -> None:
        """:raises ConfigProblems: when something was added.

        :param line: the line of a problem in its source, where it has one.
        """
        if self.problems:
            raise ConfigProblems(
                problem
                if (number := line(problem)) is None
                else ConfigError(
                    problem.reason, key=problem.key, source=f"{problem.source}:{number}"
                )
                for problem in self.problems
            )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` where a known word is near, else the empty string."""
    near = get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
