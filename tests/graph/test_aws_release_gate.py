"""An `up` on AWS goes no further than a release that ECS did not make good: the program itself, run as an update."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pytest

from components.aws.release_check import Release, ReleaseCheck
from rehearsal.config import read_stack
from rehearsal.errors import RehearsalError
from rehearsal.monitor import RecordingMonitor
from rehearsal.program import run_program
from rehearsal.simulate import simulate
from rehearsal.simulate_aws import Aws

REPOSITORY = Path(__file__).parents[2]
DIGEST = "sha256:" + "0f" * 32
SERVICES = f"""\
services:
  web:
    image: "web@{DIGEST}"
    on: fargate
    port: 8080
    routes: [shop.example.com]
    uses: [cart]
    canary: {{image: "web@{DIGEST}", share: 10}}
  cart: {{image: "cart@{DIGEST}", on: fargate, port: 8080, routes: [shop.example.com/cart]}}
"""
PROD = """\
config:
  aws:region: eu-central-1
  quayside:cloud: aws
  quayside:domain: example.com
  quayside:capacity: {zones: 2, fargate: {}}
"""
RULES = "aws:lb/listenerRule:ListenerRule"
CART, WEB = "1:shop.example.com/cart", "1:shop.example.com/"


class Up:
    """One run of the program as an update. `failing` releases end as their service's check ends them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (root / "Pulumi.yaml").write_text("name: fx\nruntime: python\n")
        (root / "services.yaml").write_text(SERVICES)
        (root / "Pulumi.prod.yaml").write_text(PROD)
        (root / "__main__.py").write_text((REPOSITORY / "__main__.py").read_text())
        self.root, self._patch = root, monkeypatch
        self.checked: list[Release] = []

    def __call__(self, failing: str = "") -> tuple[set[tuple[str, str]], str]:
        """Type and name of each resource that was registered, and what the run ended with."""

        async def check(_self: ReleaseCheck, release: Release) -> bool:
            self.checked.append(release)
            if release.urn.endswith(f"::{failing}"):
                raise pulumi.RunError(f"services/{release.service}: taken back")
            return True

        self._patch.setattr(ReleaseCheck, "__call__", check)
        aws = Aws("eu-central-1")
        monitor = RecordingMonitor("fx", "prod", lambda found: simulate(found, aws), aws.call)
        said = ""
        try:
            run_program(read_stack(self.root, "prod"), monitor, preview=False)
        except RehearsalError as error:
            said = str(error)
        return {(found.type, found.name) for found in monitor.recorded}, said


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Up:
    return Up(tmp_path, monkeypatch)


def test_every_ecs_service_is_looked_at_with_its_revision_and_target_groups(up: Up) -> None:
    made, said = up()
    assert said == ""
    assert {(RULES, CART), (RULES, WEB)} <= made
    assert sorted(release.service for release in up.checked) == ["cart", "web", "web"]
    for release in up.checked:
        assert ":task-definition/" in release.task_definition
        assert [":targetgroup/" in group for group in release.target_groups] == [True]
        assert release.urn.startswith("urn:pulumi:prod::fx::")
        assert release.seconds > 900


def test_no_public_rule_and_no_caller_follows_a_release_that_failed(up: Up) -> None:
    made, said = up(failing="cart")
    assert said == "services/cart: taken back"  # the message alone, no traceback
    assert (RULES, CART) not in made
    assert ("aws:ecs/service:Service", "web") not in made


def test_a_service_that_is_good_is_not_held_up_by_its_caller(up: Up) -> None:
    made, said = up(failing="web")
    assert said == "services/web: taken back"
    assert (RULES, WEB) not in made


def test_a_canary_is_looked_at_as_well(up: Up) -> None:
    made, _ = up(failing="web-canary")
    assert (RULES, WEB) not in made
