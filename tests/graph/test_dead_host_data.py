"""What a page says of data on a dead host, followed to the letter; and hosts called as services are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.graph.test_hetzner import CONTAINER, KEY, SERVER, fleets

DISK = "hcloud:index/volume:Volume"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return fleets(tmp_path_factory)


def test_the_disk_of_a_dead_made_host_moves_with_place_and_keeps_its_data(fleet: Any) -> None:
    def down(_services: Any, config: Any) -> None:
        config["capacity"]["down"] = ["host1"]

    def moved(services: Any, config: Any) -> None:
        down(services, config)
        services["disk"]["place"] = "host2"

    before, after = fleet(down), fleet(moved)
    (note,) = (str(note) for note in before.report.notes if "disk is UNAVAILABLE" in str(note))
    assert "its disk is attached there, with all its data. Restore no backup" in note
    old, new = before.of(DISK)["disk"], after.of(DISK)["disk"]
    assert old["urn"] == new["urn"], "the same disk"
    assert old["protect"] is new["protect"] is True
    assert after.of(SERVER)["host2"]["urn"] in new["dependencies"]
    changed = {key for key in old["inputs"] if old["inputs"][key] != new["inputs"][key]}
    assert changed <= {"serverId"}, "attached elsewhere, and nothing that would make it anew"
    assert "host2_disk-1" in after.of(CONTAINER)


def test_hosts_and_services_may_be_called_as_each_others_parts(fleet: Any) -> None:
    """`web` of host `eu-a` and `a-web` of host `eu` would be one resource if names were joined by a hyphen."""

    def change(services: Any, config: Any) -> None:
        names = ("eu", "eu-web", "eu-edge", "ca-2024", "ca", "site", "mesh-eu")
        address = (f"203.0.113.{number}" for number in range(20, 60))
        config["capacity"]["existing"] += [
            {"name": name, "address": next(address), "cpu": 8, "memory": "16GiB", "host_key": KEY} for name in names
        ]
        plain = services["web"] | {"routes": [], "uses": [], "after": [], "secrets": {}}
        for name in ("web-1", "a", "web-web", "registry-x"):
            services[name] = plain | {"replicas": 9}
        services["web-a"] = plain | {"replicas": 9, "ports": [{"port": 8000, "sources": ["198.51.100.0/28"]}]}

    made = fleet(change)
    urns = [found["urn"] for found in made.report.resources]
    assert len(urns) == len(set(urns))
    # And on each engine no two things have one name.
    for type_ in ("docker:index/container:Container", "docker:index/network:Network", "docker:index/volume:Volume"):
        named = [
            (found["inputs"]["name"], found["provider"])
            for found in made.report.resources
            if found["type"] == type_ and found["inputs"].get("name")
        ]
        assert len(named) == len(set(named)), type_
