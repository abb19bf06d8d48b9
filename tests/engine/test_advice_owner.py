"""What the docs advise where a server changes hands and where data is given up, done as it is written, by Pulumi.

A fleet of two servers that are there. Each test goes on from where the one before it ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.test_advice import Advised
from tests.engine.test_engine_fleet import STACK, _missing
from tests.hosts.fleet import Fleet
from tests.hosts.shop import UnavailableError, agent_with, prepare

pytestmark = pytest.mark.engine

HOSTS = ("host1", "host2")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    if why := _missing():
        pytest.skip(why)
    try:
        prepare()
        made = Fleet.start(HOSTS)
    except UnavailableError as why:
        pytest.skip(str(why))
    with made:
        yield made


@pytest.fixture(scope="module")
def life(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Advised]:
    with agent_with(fleet.identity) as agent:
        made = Advised(tmp_path_factory.mktemp("advice"), fleet, agent)
        made.project.names = list(HOSTS)
        for name in ("api", "session"):
            made.project.services[name]["place"] = "host1"
        made.up()
        made.redis("host1", "set", "kept", "yes")
        made.redis("host1", "save")
        yield made


class Other(Advised):
    """A stack of another project, on one of the same servers."""

    def __init__(self, root: Path, life: Advised) -> None:
        super().__init__(root, life.fleet, life.agent)
        file = root / "Pulumi.yaml"
        file.write_text(file.read_text().replace("shop", "other"))
        self.pulumi.run("stack", "init", STACK)
        self.project.services = {"web": {**life.project.services["web"], "uses": [], "replicas": 1}}
        self.project.names = ["host2"]


def test_a_server_is_handed_over_by_its_owner(life: Advised, tmp_path: Path) -> None:
    """docs/hosts.md, A server has one owner: freed by its stack, or by hand where that is gone."""
    (other_root := tmp_path / "other").mkdir()
    other = Other(other_root, life)
    before = life.on("host2")
    said = other.up(fails=True)
    assert "belongs to another stack, shop/t" in said
    assert "to hand it over, take it out of that stack and run `up` there, which frees it" in said
    assert life.on("host2") == before
    life.project.names = ["host1"]
    life.up()
    other.up()
    mark = life.fleet["host2"].ssh("cat /etc/quayside/owner")
    # The first one cannot have it back: it is another's now. The state of that one is lost.
    life.project.names = list(HOSTS)
    said = life.up(fails=True)
    assert f"belongs to another stack, {mark}" in said
    (removal,) = re.findall(r"docker ps -aq .*", said)[:1]
    life.fleet["host2"].ssh(removal)  # first: an edge that finds its ports taken once is started by no later `up`
    life.fleet["host2"].ssh("rm /etc/quayside/owner")
    life.up()
    life.serves("1")
    life.changes_nothing()


def test_what_has_data_is_taken_out_for_good(life: Advised) -> None:
    """docs/hosts.md: `quayside:protect: false`, `pulumi up`, and only then out of services.yaml."""
    life.project.services["notes"] = {
        **life.project.services["session"],
        "port": 6380,
        "command": ["redis-server", "--port", "6380"],
        "place": "host2",
    }
    life.up()
    assert life.volumes("host2")
    kept = life.project.services.pop("notes")
    assert "protected" in life.up(fails=True)
    life.project.services["notes"] = kept
    life.project.more = {"protect": False}
    life.up()
    del life.project.services["notes"]
    life.up()
    assert "shop_t_notes" not in life.volumes("host2")
    life.project.more = {}
    life.up()
    assert life.redis("host1", "get", "kept") == "yes"
    life.changes_nothing()


def test_a_stack_is_destroyed_with_its_data_or_without(life: Advised) -> None:
    """docs/hosts.md, Destroying a stack."""
    assert "protected" in life.shell("pulumi destroy --stack t", fails=True)
    life.shell("pulumi destroy --stack t --exclude-protected")
    assert life.volumes("host1") == ["shop_t_session"]
    life.up()
    assert life.redis("host1", "get", "kept") == "yes"
    life.shell("pulumi config set quayside:protect false --stack t && pulumi up --stack t && pulumi destroy --stack t")
    for name in life.project.names:
        assert life.on(name) == {"containers": set(), "networks": set(), "volumes": set()}
        assert life.fleet[name].ssh("ls /etc/quayside/owner || true") == ""
