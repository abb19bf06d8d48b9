"""Ports of a service without a volume: a door publishes them, so that its replicas are still released create-first."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rehearsal.errors import RehearsalError
from tests.graph.test_hetzner import COMMAND, CONFIG, CONTAINER, DIGEST, OFFICE, SERVICES, Fleet, rehearsed

PORTS = [{"port": 9000, "sources": [OFFICE]}, {"port": 25, "sources": ["0.0.0.0/0"]}]

Change = Callable[[dict[str, Any], dict[str, Any]], None]


def fleet(root: Path, change: Change | None = None) -> Fleet:
    services, config = copy.deepcopy(SERVICES), copy.deepcopy(CONFIG)
    services["api"]["ports"] = copy.deepcopy(PORTS)
    if change is not None:
        change(services, config)
    return Fleet(rehearsed(root / "p", services, config))


def test_the_door_has_the_ports_and_the_replicas_are_released_create_first(tmp_path: Path) -> None:
    made = fleet(tmp_path)
    hosts = {host for slot, host in made.replicas().items() if slot.startswith("api")}
    assert len(hosts) == 2, "one a host"
    containers = made.of(CONTAINER)
    assert {name for name in containers if "door" in name} == {f"{host}_api_door" for host in hosts}
    for host in hosts:
        door = containers[f"{host}_api_door"]
        assert made.host_of(door) == host
        assert [(port["external"], port["internal"]) for port in door["inputs"]["ports"]] == [(25, 25), (9000, 9000)]
        assert door["deleteBeforeReplace"]
        assert door["inputs"]["readOnly"]
        assert door["inputs"]["memory"] == 64
        (replica,) = [c for name, c in containers.items() if name.startswith(f"{host}_api-")]
        assert "ports" not in replica["inputs"]
        assert replica["deleteBeforeReplaceDefined"]
        assert not replica["deleteBeforeReplace"]
        assert replica["inputs"]["networksAdvanced"][0]["aliases"] == ["api"]
        assert door["inputs"]["networksAdvanced"][0]["name"] == replica["inputs"]["networksAdvanced"][0]["name"]
        edge = containers[f"{host}_edge"]["inputs"].get("ports", [])
        assert not {port["external"] for port in edge} & {25, 9000}, "never the edge's own list"
    # Also of a service without ports: the first one would replace its containers.
    others = [c for name, c in containers.items() if "-web" in name]
    assert all(c["inputs"]["networksAdvanced"][0]["aliases"] == ["web"] for c in others)


def test_a_release_leaves_the_door_as_it_is(tmp_path: Path) -> None:
    def release(services: dict[str, Any], _config: Any) -> None:
        services["api"]["image"] = f"api{DIGEST[:-1]}0"
        services["api"]["env"] = {"A": "1"}

    before, after = fleet(tmp_path), fleet(_folder(tmp_path, "after"), release)
    doors = [urn for urn, found in before.by_urn.items() if found["name"].endswith("_door") and found["custom"]]
    assert len(doors) == 2
    for urn in doors:
        assert before.by_urn[urn]["inputs"] == after.by_urn[urn]["inputs"]


def test_the_named_ranges_alone_are_let_in_on_its_hosts(tmp_path: Path) -> None:
    made = fleet(tmp_path)
    for name in ("host1", "host2", "host3", "box"):
        script = made.of(COMMAND)[name]["inputs"]["stdin"]
        here = any(slot.startswith("api") and host == name for slot, host in made.replicas().items())
        rule = f"-A QUAYSIDE-DOCKER -s {OFFICE} -p tcp -m conntrack --ctstate DNAT --ctorigdstport 9000 -j RETURN"
        assert (rule in script) == here
        assert ("--ctorigdstport 25 " in script) == here


def test_its_memory_is_counted(tmp_path: Path) -> None:
    def none(services: dict[str, Any], _config: Any) -> None:
        del services["api"]["ports"]

    def used(made: Fleet) -> int:
        rows: Any = made.report.outputs["placement"]
        return sum(int(row["used"].split()[0]) for row in rows)

    assert used(fleet(tmp_path)) - used(fleet(_folder(tmp_path, "none"), none)) == 2 * 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s, _c: s["api"]["ports"].append({"port": 53, "protocol": "udp", "sources": [OFFICE]}),
            "services/api/ports/2/protocol: cannot be udp for a service without volume on a network of its own",
        ),
        (
            lambda s, _c: s["api"].update(canary={"image": f"api{DIGEST}", "share": 10}),
            "services/api/ports: cannot be combined with canary",
        ),
    ],
)
def test_what_a_door_cannot_do_is_refused(change: Change, message: str, tmp_path: Path) -> None:
    with pytest.raises(RehearsalError) as refused:
        fleet(tmp_path, change)
    assert message in str(refused.value)


def _folder(root: Path, name: str) -> Path:
    (root / name).mkdir()
    return root / name
