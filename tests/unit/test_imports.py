"""Data flows settings → planning → components → platforms → __main__, and pure packages stay pure."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPURE = {"pulumi", "os", "socket", "subprocess", "urllib", "http", "requests", "boto3", "docker", "asyncio", "pathlib"}


def imported(path: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def modules(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"no modules in {package}: this test would pass on nothing"
    return found


@pytest.mark.parametrize("path", modules("planning"), ids=lambda p: p.name)
def test_planning_is_pure(path: Path) -> None:
    used = roots(path)
    assert not {name for name in used if name in IMPURE or name.startswith("pulumi")}
    assert not used & {"components", "platforms", "rehearsal", "quayside"}


@pytest.mark.parametrize("path", modules("settings"), ids=lambda p: p.name)
def test_settings_know_nothing_later_and_only_load_knows_pulumi(path: Path) -> None:
    used = roots(path)
    assert not used & {"planning", "components", "platforms", "rehearsal", "quayside"}
    if path.name != "load.py":
        assert not {name for name in used if name.startswith("pulumi")}


@pytest.mark.parametrize("path", modules("components"), ids=lambda p: p.name)
def test_components_know_no_platform(path: Path) -> None:
    assert not roots(path) & {"platforms", "rehearsal", "quayside"}


def test_main_is_about_ten_lines() -> None:
    lines = [line for line in (ROOT / "__main__.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 12


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports each by its name alone: the second of two is an error, when both are collected."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
