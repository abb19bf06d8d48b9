"""How `make test` spreads the tests over processes: what runs on the one engine, and the fleets, each in a row."""

from __future__ import annotations

import re
import signal
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

TESTS = Path(__file__).parent / "tests"
CONTAINERS = ("engine", "hosts")
SHIFTED = {"test_fleet_burst.py": "engine", "test_apply_fleet.py": "more fleets", "test_registry.py": "more fleets"}
"""Fleets of other rows, so that these are about as long, with the tests without containers after the shortest."""


# A shell that starts this in the background has it ignore Ctrl-C, and so would every process that a test sends one to.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on containers begin first: they take longest, waiting more than they work."""
    items.sort(key=lambda item: item.path.relative_to(TESTS).parts[0] not in CONTAINERS)


class Rows(LoadScopeScheduling):
    """As `--dist loadscope`, with rows of our own. (Marks of `loadgroup` are lost between pytest 9.2 and xdist 3.8.)"""

    def _split_scope(self, nodeid: str) -> str:
        return row(nodeid.partition("::")[0])

    def remove_node(self, node: WorkerController) -> str | None:
        """A test that took its process with it is not run again by the next, and the next, and the next."""
        begun = (unit for unit in self.assigned_work[node].values() if not all(unit.values()))
        unit = next(begun, None)
        if unit is None:
            return super().remove_node(node)
        crashed = next(item for item, done in unit.items() if not done)
        unit[crashed] = True
        super().remove_node(node)
        return crashed


@cache
def row(file: str) -> str:
    """Tests of one row run one after the other. Those without containers stay with their file."""
    folder = Path(file).parent.name
    if folder not in CONTAINERS:
        return file
    name = Path(file).name
    has_fleet = re.search(r"\bFleet\b", (TESTS / folder / name).read_text())
    return SHIFTED.get(name, "fleets" if has_fleet else "engine")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    config.option.loadscopereorder = False
    return Rows(config, log)  # pyright: ignore[reportArgumentType]
