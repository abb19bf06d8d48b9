"""How `make test` spreads the tests over processes: what runs on the one engine, and the fleets, each in a row."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent / "tests"


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups in it
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on containers begin first: they take longest, waiting more than they work. Others stay with their file."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: item.path.relative_to(TESTS).parts[0] not in ("engine", "hosts"))


def _group(item: pytest.Item) -> str:
    folder, *_ = item.path.relative_to(TESTS).parts
    if folder not in ("engine", "hosts"):
        return item.path.stem
    has_fleet = "fleet" in getattr(item, "fixturenames", ()) or hasattr(getattr(item, "module", None), "Fleet")
    return "fleet" if has_fleet else "engine"
