"""`quayside:protect`: what it keeps from being deleted on Docker hosts, and what `false` lets go."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quayside.lifecycle import Project
from quayside.shell import CommandError
from tests.graph.test_hetzner import COMMAND, VOLUME, Fleet, fleets, rehearsed
from tests.graph.test_local import SERVICES as LOCAL

DISK = "hcloud:index/volume:Volume"
BALANCER = "hcloud:index/loadBalancer:LoadBalancer"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Fleet]:
    return fleets(tmp_path_factory)


@pytest.mark.parametrize("protect", [None, True, False])
def test_data_on_hosts_is_protected_unless_the_stack_says_otherwise(fleet: Any, protect: bool | None) -> None:
    made: Fleet = fleet(lambda _s, c: c.update({} if protect is None else {"protect": protect}))
    kept = protect is not False
    (disk,), (balancer,) = made.of(DISK).values(), made.of(BALANCER).values()
    assert made.of(VOLUME)["db"]["protect"] is kept
    assert (disk["protect"], disk["inputs"]["deleteProtection"]) == (kept, kept)
    assert (balancer["protect"], balancer["inputs"]["deleteProtection"]) == (kept, kept)
    # Docker's volume on that disk is no more than a name for it.
    assert not made.of(VOLUME)["disk"]["protect"]


def test_data_is_not_forgotten_with_what_was_placed_on_its_host_protected_or_not(fleet: Any) -> None:
    for change in (lambda _s, _c: None, lambda _s, c: c.update(protect=False)):
        made: Fleet = fleet(change)
        assert made.of(VOLUME)["db"]["deletedWith"] == ""
        anchor = made.of(COMMAND)["host1-placed"]["urn"]
        assert made.of(VOLUME)["disk"]["deletedWith"] == anchor, "its data is on the disk"


@pytest.mark.parametrize("protect", [None, False])
def test_data_on_a_laptop_is_protected_likewise(tmp_path: Path, protect: bool | None) -> None:
    config = {"cloud": "local", **({} if protect is None else {"protect": protect})}
    services = {"session": copy.deepcopy(LOCAL["session"])}
    found = rehearsed(tmp_path / "p", services, config, {}).resources
    (volume,) = [each for each in found if each["type"] == VOLUME and each["name"] == "session"]
    assert volume["protect"] is (protect is None)


def test_who_would_destroy_a_fleet_is_told_how_to_keep_its_data_and_how_not(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.prod.yaml").write_text("config: {quayside:cloud: hetzner}\n")
    (tmp_path / "Pulumi.yaml").write_text("name: shop\n")
    with pytest.raises(CommandError) as refused:
        Project(tmp_path, "shop", "prod").on_this_machine("destroy")
    assert str(refused.value).splitlines()[1].strip() == (
        "the data of services is protected: with `--exclude-protected` it stays; to delete it as well, first "
        "`pulumi config set quayside:protect false --stack prod && pulumi up --stack prod`"
    )
