"""What has to hold before a server is rebuilt, asked of a real host: one an `up`, and drained by an earlier one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal import ApplyError, apply
from tests.hosts.fleet import Fleet, Host
from tests.hosts.shop import IMAGES

pytestmark = pytest.mark.docker

PROGRAM = """
import json
from pathlib import Path
import pulumi, pulumi_random as random
from components.docker.connection import Connection, ConnectionArgs
from components.hetzner.rebuild import Generations, GenerationsArgs, RebuildArgs, drained

plan = json.loads(Path("plan.json").read_text())
generations = Generations("generations", GenerationsArgs(hosts=plan["generations"]))
for name, generation in plan["generations"].items():
    connection = Connection(
        ConnectionArgs(address=plan["address"], host_key=plan["host_key"], identity=plan["identity"])
    )
    args = RebuildArgs(
        identity=plan["identity"], stack="shop/t", down=name in plan["down"], generations=generations
    )
    after = drained(name, generation, ("cx33", "fsn1"), args, connection, generations)
    # In the server's place: what is replaced when the generation changes.
    made = random.RandomId(
        name, byte_length=8, keepers={"generation": str(generation)}, opts=pulumi.ResourceOptions(depends_on=[after])
    )
    pulumi.export(name, made.hex)
"""


class Servers:
    def __init__(self, root: Path, host: Host, fleet: Fleet) -> None:
        self.root, self.host = root, host
        self.plan: dict[str, Any] = {
            "generations": {"web1": 0, "web2": 0},
            "down": [],
            "address": host.address,
            "host_key": host.host_key,
            "identity": str(fleet.identity),
        }
        (root / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
        (root / "Pulumi.t.yaml").write_text("config: {}\n")
        (root / "__main__.py").write_text(PROGRAM)

    def up(self) -> dict[str, Any]:
        (self.root / "plan.json").write_text(json.dumps(self.plan))
        return dict(apply("t", self.root, progress=lambda _event: None).outputs)

    def refused(self) -> str:
        with pytest.raises(ApplyError) as caught:
            self.up()
        return str(caught.value)

    def run(self, role: str, slot: str) -> str:
        labels = {"stack": "shop/t", "role": role, "service": slot.partition("-")[0], "slot": slot}
        given = [word for key, value in labels.items() for word in ("--label", f"dev.quayside.{key}={value}")]
        return self.host.docker("run", "-d", *given, IMAGES[1], "sleep", "1000")


@pytest.fixture
def servers(fleet: Fleet, tmp_path: Path) -> Iterator[Servers]:
    host = fleet["host1"]
    yield Servers(tmp_path, host, fleet)
    if not host.up:
        host.restart()
    if found := host.docker("ps", "-aq"):
        host.docker("rm", "-f", *found.split())


def test_one_server_is_rebuilt_an_up_and_drained_before(servers: Servers) -> None:
    first = servers.up()
    web = servers.run("service", "web-1")
    servers.run("stateful", "session-1")
    servers.run("edge", "")
    assert servers.up() == first

    servers.plan["generations"] = {"web1": 1, "web2": 1}
    said = servers.refused()
    assert "one host is rebuilt at a time, and the generations of web1 web2 changed" in said
    servers.plan["generations"] = {"web1": 1, "web2": 0}
    said = servers.refused()
    assert "web1 is to be rebuilt (generation 0 to 1), and is not drained, so nothing was done: web-1" in said
    assert "session-1" not in said
    assert "capacity.drain: [web1]" in said
    servers.plan["generations"] = {"web1": 0, "web2": 0}
    assert servers.up() == first

    servers.host.docker("rm", "-f", web)
    servers.plan["generations"] = {"web1": 1, "web2": 0, "web3": 4}  # one that is new has no other to wait for
    second = servers.up()
    assert second["web1"] != first["web1"]
    assert second["web2"] == first["web2"]
    servers.plan["generations"]["web2"] = 1
    assert servers.up()["web2"] != first["web2"]


def test_a_dead_server_is_rebuilt_once_it_was_declared_down(servers: Servers) -> None:
    first = servers.up()
    servers.host.kill()
    servers.plan["generations"]["web1"] = 1
    said = servers.refused()
    assert "cannot see whether web1" in said
    assert "declare it down" in said
    servers.plan["down"] = ["web1"]
    assert "take it out of capacity.down to have it rebuilt" in servers.refused()
    servers.plan["generations"]["web1"] = 0
    assert servers.up() == first
    servers.plan |= {"down": [], "generations": {"web1": 1, "web2": 0}}
    assert servers.up()["web1"] != first["web1"]
