"""Goes on deciding after one decision failed, so that every problem is told at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from settings.problems import ConfigError, Problem

T = TypeVar("T")


def collect(problems: list[Problem], decide: Callable[[], T], otherwise: T) -> T:
    """What ``decide`` returns; where it raises, its problems are added and ``otherwise`` stands in."""
    try:
        return decide()
    except ConfigError as error:
        problems += error.problems
        return otherwise
