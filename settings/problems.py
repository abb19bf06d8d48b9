"""What is wrong with a configuration: every problem at once, each with its path, what is allowed, and the fix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to mend, at one place of the configuration."""

    path: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"{self.path}: {self.message}"
        return f"{line}\n    {self.fix}" if self.fix else line


class ConfigError(Exception):
    """The configuration cannot be carried out. Holds every problem, so that one edit can mend them all."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__(str(self))

    def __str__(self) -> str:
        count = len(self.problems)
        head = "1 problem in the configuration" if count == 1 else f"{count} problems in the configuration"
        return "\n".join([head, *(f"  {line}" for p in self.problems for line in str(p).splitlines())])
