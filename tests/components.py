"""Runs a function as a Pulumi program under the rehearsal, and finds what it registered. For tests of components."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rehearsal import Report
from rehearsal.config import read_stack
from rehearsal.monitor import RecordingMonitor
from rehearsal.preview import rehearse
from rehearsal.program import run_program
from rehearsal.record import Registration
from rehearsal.simulate import simulate
from rehearsal.simulate_aws import Aws
from rehearsal.values import secrets_in, shown

Found = dict[str, Any]


class Run:
    """Runs a function as a Pulumi program. `problems` are refused unless asked for."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self._patch = root, monkeypatch
        (root / "Pulumi.yaml").write_text("name: fx\nruntime: python\n")
        (root / "Pulumi.t.yaml").write_text("config:\n  aws:region: eu-central-1\n")
        (root / "__main__.py").write_text("import component_program\ncomponent_program.main()\n")

    def __call__(self, main: Callable[[], None]) -> Resources:
        found = self.problems(main)
        assert [str(problem) for problem in found.report.problems] == []
        return found

    def problems(self, main: Callable[[], None]) -> Resources:
        self._prepare(main)
        return Resources(rehearse("t", self.root))

    def update(self, main: Callable[[], None]) -> list[str]:
        """What the program logs when it is not a preview."""
        self._prepare(main)
        config, aws = read_stack(self.root, "t"), Aws("eu-central-1")
        monitor = RecordingMonitor("fx", "t", lambda found: simulate(found, aws), aws.call)
        return run_program(config, monitor, preview=False)

    def _prepare(self, main: Callable[[], None]) -> None:
        module = types.ModuleType("component_program")
        module.main = main  # type: ignore[attr-defined]
        self._patch.setitem(sys.modules, "component_program", module)


class Resources:
    def __init__(self, report: Report) -> None:
        self.report = report
        self.all: list[Found] = report.resources

    def of(self, type_: str) -> dict[str, Found]:
        """By name; `type_` in full, such as `hcloud:index/server:Server`."""
        return {found["name"]: found for found in self.all if found["type"] == type_}

    def one(self, type_: str) -> Found:
        (found,) = self.of(type_).values()
        return found

    def count(self) -> dict[str, int]:
        """Type without package and module → how many there are, components left out."""
        found: dict[str, int] = {}
        for resource in self.all:
            if resource["custom"]:
                package, _, rest = resource["type"].partition(":")
                kind = f"{package} {rest.rpartition(':')[2]}"
                found[kind] = found.get(kind, 0) + 1
        return found

    def registration(self, found: Found) -> Registration:
        (one,) = [other for other in self.report.registrations if other.urn == found["urn"]]
        return one

    def secret_inputs(self, found: Found) -> set[str]:
        """Inputs with a secret anywhere inside."""
        return {key for key, value in self.registration(found).inputs.items() if secrets_in(value)}

    def plain(self) -> str:
        """All that the state has unencrypted of every input."""
        return repr([shown(one.inputs) for one in self.report.registrations])

    def needs(self, found: Found) -> set[str]:
        """Types with names of everything that must exist before `found`, however far away."""
        by_urn = {one.urn: one for one in self.report.registrations}
        seen: dict[str, None] = {}
        todo = list(self.registration(found).needs)
        while todo:
            urn = todo.pop()
            if urn in by_urn and urn not in seen:
                seen[urn] = None
                todo += by_urn[urn].needs
        return {f"{by_urn[urn].type.rpartition(':')[2]} {by_urn[urn].name}" for urn in seen}
