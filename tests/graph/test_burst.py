"""A burst as the engine would be told of it: nothing of the permanent hosts depends on it, and it leaves drained."""

from __future__ import annotations

from typing import Any

import pytest

from tests.graph.test_hetzner import COMMAND, CONTAINER, DROPLET, FIREWALL, HOSTS, OFFICE, Change, Fleet, Found, fleets

ROUND = ("admit", "burst", "settle")
"""Steps of permanent hosts that a burst is about."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return fleets(tmp_path_factory)


def _burst(droplets: int) -> Change:
    def change(_services: Any, config: Any) -> None:
        config["burst"]["droplets"] = droplets

    return change


def rented(made: Fleet) -> set[str]:
    return {name for name, row in made.hosts().items() if row["kind"] == "droplet"}


def of_burst(made: Fleet, found: Found) -> bool:
    """Whether a resource is there or changes because of a burst."""
    if found["type"].startswith("digitalocean:") or made.host_of(found) in rented(made):
        return True
    host, _, step = found["name"].rpartition("-")
    if found["type"] == COMMAND:
        # Steps of a host have a hyphen behind its name, and what stands on it an underscore.
        hosts = {found["name"], host, found["name"].partition("_")[0]}
        return bool(hosts & rented(made)) or step in (*ROUND, "open")
    if found["type"] == "pulumi:providers:docker":
        return found["name"] in rented(made)
    return found["type"] == FIREWALL and found["name"] == "mesh-burst"


def before(made: Fleet, found: Found) -> set[str]:
    """URNs of everything that a resource waits for, however far."""
    known: set[str] = set()
    next_ = {found["urn"]}
    while next_:
        urn = next_.pop()
        if urn in known or urn not in made.by_urn:
            continue
        known.add(urn)
        one = made.by_urn[urn]
        next_ |= {*one["dependencies"], one["provider"].rpartition("::")[0]}
    return known - {found["urn"]}


def test_a_burst_changes_nothing_of_permanent_hosts_but_its_own_steps(fleet: Any) -> None:
    none, four = fleet(_burst(0)), fleet(_burst(4))
    assert len(four.of(DROPLET)) == 4
    assert not [urn for urn in none.by_urn if urn not in four.by_urn]
    for urn, found in four.by_urn.items():
        if not found["custom"] or of_burst(four, found):
            continue
        if urn not in none.by_urn:
            # Keys and certificates of droplets, which nothing can keep from being made.
            assert found["type"].startswith("tls:"), found["name"]
            assert any(name in found["name"] for name in rented(four)), found["name"]
            continue
        for key in ("inputs", "provider", "dependencies", "protect", "ignoreChanges"):
            assert none.by_urn[urn][key] == found[key], (found["name"], key)
    steps = {f"{host}-burst" for host in HOSTS}
    differ = {name for name in steps if none.of(COMMAND)[name]["inputs"] != four.of(COMMAND)[name]["inputs"]}
    assert {"host1-burst", "host2-burst", "host3-burst"} <= differ


def test_nothing_of_permanent_hosts_waits_for_a_droplet(fleet: Any) -> None:
    made = fleet(_burst(4))
    mine = {urn for urn, found in made.by_urn.items() if of_burst(made, found)}
    others = [f for f in made.by_urn.values() if f["custom"] and f["urn"] not in mine]
    assert len(others) > 60
    for found in others:
        assert not before(made, found) & mine, found["name"]


def test_all_of_a_burst_waits_for_the_release_of_permanent_hosts(fleet: Any) -> None:
    """The engine starts nothing more once a step failed: what may fail comes after what must not be held up."""
    made = fleet(_burst(4))
    released = {made.of(COMMAND)[f"{host}-forget"]["urn"] for host in HOSTS}
    hcloud = [f for f in made.by_urn.values() if f["custom"] and f["type"].startswith("hcloud:")]
    permanent = {f["urn"] for f in hcloud if not of_burst(made, f)}
    mine = [f for f in made.by_urn.values() if f["custom"] and of_burst(made, f)]
    assert len(mine) > 60
    for found in mine:
        assert released <= before(made, found), found["name"]
    # Records, balancer and firewalls are no steps of a release, and come first as well.
    for droplet in made.of(DROPLET).values():
        assert not permanent - before(made, droplet)


def test_a_droplet_is_sent_to_when_it_has_routed_and_left_alone_before_it_goes(fleet: Any) -> None:
    made = fleet(_burst(2))
    commands = made.of(COMMAND)
    droplets = {found["urn"] for found in made.of(DROPLET).values()}
    for host in HOSTS:
        assert {commands[f"{name}-route"]["urn"] for name in rented(made)} <= set(
            commands[f"{host}-burst"]["dependencies"]
        )
        # What is deleted goes before what it waited for: hosts are closed to a droplet first, and it goes last.
        assert droplets <= before(made, commands[f"{host}-open"])
        assert {commands[f"{other}-burst"]["urn"] for other in HOSTS} <= set(commands[f"{host}-settle"]["dependencies"])
    for name in rented(made):
        accept = set(commands[f"{name}-accept"]["dependencies"])
        assert {commands[f"{host}-{step}"]["urn"] for host in HOSTS for step in ("admit", "open")} <= accept
        assert made.of(FIREWALL)["mesh-burst"]["urn"] in accept
        assert {commands[f"{host}-burst"]["urn"] for host in HOSTS} <= set(commands[f"{name}-forget"]["dependencies"])
        for found in made.on(name):
            assert before(made, found) & droplets


def test_steps_that_take_droplets_out_are_there_when_none_is_left(fleet: Any) -> None:
    """They are updates, and what is deleted is deleted after every update."""
    made = fleet(_burst(0))
    for host in HOSTS:
        for step in ("admit", "burst"):
            assert made.of(COMMAND)[f"{host}-{step}"]["inputs"]["stdin"] == f"#: host {host}\n"
        assert f"{host}-open" not in made.of(COMMAND)
    assert "mesh-burst" not in made.of(FIREWALL)


def test_hosts_are_opened_to_new_droplets_before_they_are_closed_to_old_ones(fleet: Any) -> None:
    two, four = fleet(_burst(2)), fleet(_burst(4))
    for host in HOSTS:
        old, new = (made.of(COMMAND)[f"{host}-open"] for made in (two, four))
        assert new["deleteBeforeReplace"] is False
        assert old["inputs"]["triggers"] != new["inputs"]["triggers"]
        closing = [made["inputs"]["environment"]["QUAYSIDE_CLOSING"] for made in (old, new)]
        assert closing[0] != closing[1]
        for row in (four.hosts()[name] for name in rented(four)):
            assert row["address"] in new["inputs"]["stdin"]
    wall = four.of(FIREWALL)["mesh-burst"]
    assert (wall["deleteBeforeReplace"], wall["replaceOnChanges"]) == (False, ["rules"])
    addresses = {f"{four.hosts()[name]['address']}/32" for name in rented(four)}
    assert {(rule["protocol"], rule.get("port")): set(rule["sourceIps"]) for rule in wall["inputs"]["rules"]} == {
        ("tcp", "8443"): addresses,
        ("icmp", None): addresses,
    }


def test_a_droplet_that_is_declared_down_is_waited_for_by_nobody(fleet: Any) -> None:
    def down(_services: Any, config: Any) -> None:
        config["burst"]["droplets"] = 2
        config["capacity"]["down"] = ["burst1"]

    made = fleet(down)
    dead = {f["urn"] for f in made.on("burst1")}
    dead |= {f["urn"] for name, f in made.of(COMMAND).items() if name.partition("-")[0] == "burst1"}
    for found in made.by_urn.values():
        if found["custom"] and found["urn"] not in dead and found["type"] != "pulumi:providers:docker":
            assert not dead & set(found["dependencies"]), found["name"]
    # It may never have come up: but for what says so, nothing is on it, and what was is forgotten.
    assert not made.on("burst1")
    assert {name for name in made.of(COMMAND) if name.startswith("burst1")} == {"burst1-room", "burst1-leave"}
    whole = fleet(_burst(2))
    anchor = whole.of(COMMAND)["burst1-placed"]["urn"]
    steps = [whole.of(COMMAND)[f"burst1-{step}"] for step in ("files", "accept", "route", "forget")]
    assert {found["deletedWith"] for found in (*whole.on("burst1"), *steps)} == {anchor}
    assert "burst1" not in made.of(COMMAND)["host1-burst"]["inputs"]["stdin"]
    assert "server web.burst2 " in made.of(COMMAND)["host1-burst"]["inputs"]["stdin"]


def test_droplets_admit_the_fleet_and_admins_alone_and_go_with_all_that_is_on_them(fleet: Any) -> None:
    made = fleet(_burst(2))
    walls = made.of("digitalocean:index/firewall:Firewall")
    assert set(walls) == {"burst", "burst-access"}
    assert walls["burst"]["inputs"]["tags"] == walls["burst-access"]["inputs"]["tags"]
    # Of admins: old ranges hold beside new ones until the end of the `up`.
    access = walls["burst-access"]
    assert (access["deleteBeforeReplace"], access["replaceOnChanges"]) == (False, ["inboundRules"])
    opened: dict[tuple[str, str | None], set[str]] = {}
    for rule in [rule for wall in walls.values() for rule in wall["inputs"]["inboundRules"]]:
        opened.setdefault((rule["protocol"], rule.get("portRange")), set()).update(rule["sourceAddresses"])
    edges = {f"{made.hosts()[host]['address']}/32" for host in HOSTS}
    assert opened == {("tcp", "22"): {OFFICE}, ("tcp", "8443"): edges, ("icmp", None): {OFFICE, *edges}}
    for name, droplet in made.of(DROPLET).items():
        anchor = made.of(COMMAND)[f"{name}-placed"]
        assert {found["deletedWith"] for found in made.on(name)} == {anchor["urn"]}
        assert anchor["deletedWith"] == droplet["urn"]
        ports = made.of(CONTAINER)[f"{name}_edge"]["inputs"]["ports"]
        assert [port["external"] for port in ports] == [8443]
