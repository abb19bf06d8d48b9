"""A failed check of a release, under the real engine: nothing after it moves, and nothing old is deleted."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.engine.cli import Pulumi

PROGRAM = """
import json
from pathlib import Path
import pulumi
from pulumi_command import local
from components.aws.release_check import Release, ReleaseCheck, after_release
from planning.aws.releases import Verdict

plan = json.loads(Path("plan.json").read_text())


class Check(ReleaseCheck):
    def _look(self, release, redeployed):
        return Verdict(action="stale" if plan["bad"] else "done", reason="ECS took the release back")


def release(urn):
    return Release(service="web", cluster="c", name="n", urn=urn, task_definition="t", target_groups=(), seconds=60)


check = Check(lambda name: None)
service = local.Command("service", create="true")
released = service.urn.apply(lambda urn: True if pulumi.runtime.is_dry_run() else check(release(urn)))
# Two that wait for one outcome, as rules and callers do.
for name in ("rule", "caller"):
    local.Command(name, create="true", environment={"V": plan["version"], "A": after_release("a", released)})
if plan["old"]:
    local.Command("old", create="true", delete="touch gone")
"""


@pytest.mark.engine
def test_a_release_that_was_taken_back_stops_every_up_until_it_holds(tmp_path: Path) -> None:
    if shutil.which("pulumi") is None:
        pytest.skip("no pulumi on PATH")
    root = tmp_path / "project"
    root.mkdir()
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
    (root / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "check", "runtime": runtime}))
    (root / "__main__.py").write_text(PROGRAM)
    pulumi = Pulumi(root, "t", "a passphrase")

    def up(version: str, *, bad: bool = False, old: bool = False) -> str:
        (root / "plan.json").write_text(json.dumps({"version": version, "bad": bad, "old": old}))
        return pulumi.up(fails=bad)

    up("1", old=True)
    for _ in range(2):
        said = up("2", bad=True)
        assert "services/web: ECS took the release back" in said
        assert "pulumi refresh --target 'urn:pulumi:t::check::command:local:Command::service'" in said
        assert "Traceback" not in said
        assert pulumi.steps() == []
    assert not (root / "gone").exists()
    up("2")
    assert sorted(pulumi.steps()) == [("deleted", "old"), ("run", "caller"), ("run", "rule")]
    assert (root / "gone").exists()
