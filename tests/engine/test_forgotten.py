"""What an engine deletes with a call and what it only forgets: the real one and the rehearsal alike."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import rehearsal
from tests.engine.cli import Pulumi

PROGRAM = """
import json
from pathlib import Path
import pulumi
from pulumi_command import local

plan = json.loads(Path("plan.json").read_text())
class Part(pulumi.ComponentResource):
    def __init__(self):
        super().__init__("test:index:Part", "part")
        how = plan["how"]
        more = {"deleted_with": self} if how == "deleted_with" else {"retain_on_delete": how == "retain"}
        local.Command(
            "step", create="echo made >>log", delete="echo gone >>log", triggers=[plan["version"]],
            opts=pulumi.ResourceOptions(
                parent=self, delete_before_replace=plan["first"],
                ignore_changes=["*"] if how else None, **more,
            ),
        )
if plan["there"]:
    Part()
"""


class Deployed:
    """A Command in a component, whose script says what it did."""

    def __init__(self, root: Path, up: Callable[[], object]) -> None:
        self.root, self._up = root, up

    def up(self, version: int, how: str = "", *, there: bool = True, first: bool = False) -> list[str]:
        """What the command has done so far. `how` is what keeps a call away while its host is dead."""
        plan = {"version": version, "how": how, "there": there, "first": first}
        (self.root / "plan.json").write_text(json.dumps(plan))
        self._up()
        return (self.root / "log").read_text().split()


@pytest.fixture(params=["rehearsal", pytest.param("pulumi", marks=pytest.mark.engine)])
def deployed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    root = tmp_path / "project"
    root.mkdir()
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
    (root / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "forgotten", "runtime": runtime}))
    (root / "Pulumi.t.yaml").write_text("config: {}\n")
    (root / "__main__.py").write_text(PROGRAM)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "correct horse")
    if request.param == "rehearsal":
        return Deployed(root, lambda: rehearsal.apply("t", root, progress=lambda _event: None))
    if shutil.which("pulumi") is None:
        pytest.skip("the Pulumi CLI is not on PATH")
    return Deployed(root, Pulumi(root, "t", "correct horse").up)


@pytest.mark.parametrize("first", [False, True])
def test_what_was_retained_is_left_behind_when_it_is_replaced(deployed: Deployed, first: bool) -> None:
    """The engine goes by what the state says. So a fleet does not retain what is on a host that is down."""
    deployed.up(1)
    assert deployed.up(2, "retain") == ["made"]
    assert deployed.up(3, first=first) == ["made", "made"]


@pytest.mark.parametrize("first", [False, True])
def test_what_goes_with_its_component_is_deleted_when_it_is_replaced(deployed: Deployed, first: bool) -> None:
    deployed.up(1)
    assert deployed.up(2, "deleted_with") == ["made"]
    assert sorted(deployed.up(3, first=first)) == ["gone", "made", "made"]


def test_what_goes_with_its_component_is_forgotten_with_it(deployed: Deployed) -> None:
    deployed.up(1)
    assert deployed.up(2, "deleted_with") == ["made"]
    assert deployed.up(2, there=False) == ["made"]
