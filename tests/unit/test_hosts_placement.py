"""Which slot runs on which host: exact small fleets, and messages word for word."""

from fractions import Fraction
from typing import Any

import pytest

from planning.hosts.fleet import fleet
from planning.hosts.model import Placement
from planning.hosts.placement import place
from settings.stack import Stack
from settings.units import GIB, MIB

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
FIXED = 512 * MIB + 256 * MIB  # what the system and the edge keep, beside a twentieth


def server(name: str, mib: int = 4096, cpu: float = 4, **values: Any) -> dict[str, Any]:
    """A server with just so much memory for containers."""
    total = (mib * MIB + FIXED) * 20 // 19
    total += mib * MIB + FIXED - (total - total // 20)
    address = f"203.0.113.{sum(map(ord, name)) % 250 + 1}"
    return {"name": name, "address": address, "cpu": cpu, "memory": total, "host_key": KEY, **values}


def stack(services: dict[str, Any], *servers: dict[str, Any], **values: Any) -> Stack:
    capacity = {"existing": servers, **values.pop("capacity", {})}
    return Stack.model_validate(
        {
            "project": "shop",
            "name": "staging",
            "cloud": "hetzner",
            "services": {
                name: {"image": "a", "memory": 256 * MIB, **service, **({"port": 80} if "port" not in service else {})}
                for name, service in services.items()
            },
            "capacity": capacity,
            **values,
        }
    )


def placed(services: dict[str, Any], *servers: dict[str, Any], **values: Any) -> Placement:
    found, problems = _place(stack(services, *servers, **values))
    assert not problems, problems
    return found


def wrong(services: dict[str, Any], *servers: dict[str, Any], **values: Any) -> list[str]:
    return [str(problem) for problem in _place(stack(services, *servers, **values))[1]]


def _place(made: Stack) -> tuple[Placement, list[Any]]:
    hosts, problems = fleet(made)
    assert not problems, problems
    return place(made, hosts)


# --- where -----------------------------------------------------------------------------------------------------------


def test_replicas_are_spread_and_keep_their_names() -> None:
    found = placed({"web": {"replicas": 3, "canary": {"image": "b", "share": 10}}}, *map(server, "abcd"))
    assert list(found.slots) == ["web-1", "web-2", "web-3", "web-canary1"]
    assert set(found.slots.values()) == set("abcd")
    assert found.stable


def test_more_replicas_than_hosts_are_spread_evenly() -> None:
    found = placed({"web": {"replicas": 7}}, *map(server, "abc"))
    assert sorted(map(len, found.services["web"].values())) == [2, 2, 3]


def test_place_pins_to_a_host_or_a_group() -> None:
    services = {
        "db": {"volume": "/data", "place": "a"},
        "web": {"replicas": 4, "place": "front"},
        "worker": {"place": "c"},
    }
    found = placed(services, *map(server, "abcd"), capacity={"groups": {"front": ["b", "d"]}})
    assert found.slots["db-1"] == "a"
    assert found.slots["worker-1"] == "c"
    assert {host: len(slots) for host, slots in found.services["web"].items()} == {"b": 2, "d": 2}


def test_a_stateful_service_may_name_a_group_of_one() -> None:
    found = placed({"db": {"volume": "/d", "place": "data"}}, server("a"), capacity={"groups": {"data": ["a"]}})
    assert found.slots == {"db-1": "a"}


def test_draining_and_down_hosts_get_nothing() -> None:
    found = placed({"web": {"replicas": 6}}, *map(server, "abcd"), capacity={"drain": ["a"], "down": ["d"]})
    assert set(found.slots.values()) == {"b", "c"}
    assert list(found.use) == ["b", "c"]


def test_what_a_dead_host_had_is_elsewhere() -> None:
    servers = [*map(server, "abcd")]
    after = placed({"web": {"replicas": 8}}, *servers, capacity={"down": ["b"]})
    assert len(after.slots) == 8
    assert "b" not in after.slots.values()
    assert after.stranded == {}


def test_what_has_its_data_on_a_dead_host_runs_nowhere_and_the_others_do() -> None:
    services = {"db": {"volume": "/d", "place": "b"}, "old": {"volume": "/d", "place": "b", "replicas": 0}, "web": {}}
    for named in ("b", "data"):
        services["db"]["place"] = named
        found = placed(services, *map(server, "ab"), capacity={"down": ["b"], "groups": {"data": ["b"]}})
        assert found.slots == {"web-1": "a"}
        assert found.services["db"] == {}
        assert found.stranded == {"b": ("db-1",)}


def test_of_a_dead_droplet_nothing_is_kept() -> None:
    found = placed({"web": {"replicas": 4}}, server("a"), burst=burst(2), capacity={"down": ["burst1"]})
    assert found.stranded == {}
    assert set(found.slots.values()) == {"a", "burst2"}


def test_published_ports_and_the_host_s_network_want_a_host_of_their_own() -> None:
    ports = [{"port": 25, "sources": ["0.0.0.0/0"]}]
    services = {"mail": {"replicas": 2, "ports": ports}, "other": {"ports": ports}, "probe": {"replicas": 3}}
    services["probe"] |= {"network": "host", "port": None}
    found = placed(services, *map(server, "abc"))
    assert found.slots["other-1"] not in {found.slots["mail-1"], found.slots["mail-2"]}
    assert len({found.slots[f"probe-{number}"] for number in (1, 2, 3)}) == 3


def test_use_counts_what_runs_and_the_room_for_a_release() -> None:
    services = {"db": {"volume": "/d", "place": "a", "memory": 1024 * MIB}, "web": {"place": "a", "cpu": 0.5}}
    services["api"] = {"place": "a", "memory": 512 * MIB}
    use = placed(services, server("a")).use["a"]
    assert use.slots == ("api-1", "db-1", "web-1")
    assert (use.memory, use.surge) == (1792 * MIB, 768 * MIB)
    assert use.memory_total == 4096 * MIB
    assert use.memory_free == 1536 * MIB
    assert (use.cpu, use.cpu_total) == (1.0, 4)
    assert placed(services, server("a"), surge="largest").use["a"].surge == 512 * MIB


def test_what_only_fits_by_first_fit_fits() -> None:
    # 600 + 400 and 500 + 500, all of it twice; no release, since they are stateful.
    services = {
        name: {"memory": size * MIB, "replicas": 1} for name, size in zip("abcd", (600, 400, 500, 500), strict=True)
    }
    for seed in range(30):
        found = placed({f"{name}{seed}": one for name, one in services.items()}, server("x", 2000), server("y", 2000))
        assert {use.memory + use.surge for use in found.use.values()} == {2000 * MIB}


# --- burst -----------------------------------------------------------------------------------------------------------


def burst(droplets: int, size: str = "s-4vcpu-8gb") -> dict[str, Any]:
    return {"droplets": droplets, "size": size, "services": ["web"]}


def test_a_droplet_adds_replicas_for_its_vcpu_and_moves_none() -> None:
    services = {"web": {"replicas": 6}, "api": {"replicas": 3}}
    quiet = placed(services, *map(server, "abc"))
    peak = placed(services, *map(server, "abc"), burst=burst(2))
    # Six replicas on twelve vCPU are two on four.
    assert peak.burst == ("web_1_burst1", "web_2_burst1", "web_1_burst2", "web_2_burst2")
    assert {slot: host for slot, host in peak.slots.items() if slot not in peak.burst} == quiet.slots
    assert peak.services["web"]["burst1"] == ("web_1_burst1", "web_2_burst1")
    # 255 of them each: of one size.
    assert len(set(peak.shares["web"].values())) == 1
    assert "burst1" not in peak.shares["api"]


def test_a_droplet_s_share_goes_by_vcpu_even_where_its_replica_is_a_fraction_of_one() -> None:
    found = placed({"web": {"replicas": 2}}, server("a", cpu=16), server("b", cpu=16), burst=burst(1))
    assert found.burst == ("web_1_burst1",)
    assert found.shares["web"] == {"a": 256, "b": 256, "burst1": 64}
    assert found.weights == {"web-1": 256, "web-2": 256, "web_1_burst1": 64}


def test_a_droplet_takes_as_many_as_fit() -> None:
    found = placed({"web": {"replicas": 12}}, server("a", 8192), burst=burst(1, "s-4vcpu-8gb"))
    assert len(found.burst) == 12
    small = placed({"web": {"replicas": 12, "memory": 256 * MIB}}, server("a", 8192), burst=burst(1, "c-2"))
    # 4GiB less a twentieth, 512MiB and the edge: 3123MiB, and each needs 512MiB with its release.
    assert len(small.burst) == 6


def test_a_draining_droplet_is_empty_and_others_do_not_change() -> None:
    full = placed({"web": {"replicas": 4}}, server("a"), burst=burst(2))
    less = placed({"web": {"replicas": 4}}, server("a"), burst=burst(2), capacity={"drain": ["burst2"]})
    assert less.slots == {slot: host for slot, host in full.slots.items() if host != "burst2"}


def test_an_existing_server_can_play_a_droplet() -> None:
    found = placed({"web": {"replicas": 2}}, server("a"), server("b", burst=True), burst=burst(0))
    assert found.burst == ("web_1_b", "web_2_b")


# --- weights ---------------------------------------------------------------------------------------------------------


def test_a_canary_gets_its_share_of_hosts_and_droplets_together() -> None:
    services = {"web": {"replicas": 4, "canary": {"image": "b", "share": 10}}}
    found = placed(services, *map(server, "abc"), burst=burst(2))
    canary, total = found.weights["web-canary1"], sum(found.weights.values())
    assert abs(Fraction(canary, total) - Fraction(1, 10)) < Fraction(1, 500)
    assert sum(found.shares["web"].values()) == total
    assert max(found.shares["web"].values()) <= 256


def test_traffic_moves_between_groups() -> None:
    values = {"capacity": {"groups": {"old": ["a"], "new": ["b"]}}, "traffic": {"old": 0, "new": 1}}
    services = {"web": {"replicas": 2}, "db": {"volume": "/d", "place": "a"}}
    found = placed(services, server("a"), server("b"), **values)
    assert found.shares["web"] == {"a": 0, "b": 256}
    # What is there alone is still used from there.
    assert found.shares["db"] == {"a": 256}


# --- problems --------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_told_with_numbers() -> None:
    assert wrong({"web": {"replicas": 3, "memory": 1500 * MIB}}, server("a"), server("b", 3500)) == [
        "services/web/memory: 1 of its 3 replicas would find no room: each needs 1500MiB, as much again for a release "
        "(surge: all), and 0.25 vCPU. The closest is a, which lacks 1904MiB: it has 4096MiB and 4 vCPU for "
        "containers, with 1500MiB and 0.25 vCPU in use and 1500MiB kept for a release\n"
        "    lower services/web/memory or its replicas, add a host or take a larger type, or set quayside:surge to "
        "largest"
    ]


def test_cpu_does_not_fit() -> None:
    assert wrong({"web": {"cpu": 5}}, server("a"), surge="largest") == [
        "services/web/cpu: its replica would find no room: each needs 256MiB, as much again for a release "
        "(surge: largest), and 5 vCPU. The closest is a, which lacks 1 vCPU: it has 4096MiB and 4 vCPU for "
        "containers, with 0MiB and 0 vCPU in use and 0MiB kept for a release\n"
        "    lower services/web/cpu or its replicas, add a host or take a larger type"
    ]


@pytest.mark.parametrize(
    ("services", "values", "message"),
    [
        (
            {"db": {"volume": "/d", "place": "a"}},
            {"capacity": {"drain": ["a"]}},
            "services/db/place: a is draining (quayside:capacity/drain), and the data of db is there\n"
            "    take a out of capacity.drain; or move db with its data to another host first "
            '(docs/hosts.md, "Draining and removing a host")',
        ),
        (
            {"db": {"volume": "/d", "place": "both"}},
            {"capacity": {"groups": {"both": ["a", "b"]}}},
            "services/db/place: both is 2 hosts (a, b); a service with a volume lives on exactly one\n"
            "    name the host that has its data",
        ),
        (
            {"web": {"place": "a"}},
            {"capacity": {"drain": ["a"]}},
            "services/web/place: a is draining, and web may run nowhere else\n"
            "    name another host or group, or add one to the group",
        ),
        (
            {"web": {"replicas": 3, "ports": [{"port": 25}]}},
            {},
            "services/web/replicas: should be at most 2, got 3: with ports a host takes one, and there are 2 hosts\n"
            "    lower it, or remove ports",
        ),
        (
            {"web": {"replicas": 40, "memory": 6 * MIB, "cpu": 0.01}},
            {},
            "services/web/replicas: 40 replicas on 2 hosts are too many: a host's network of a service holds 29, and a "
            "release needs room for two of each\n    at most 14 a host, canaries included",
        ),
        (
            {"web": {"ports": [{"port": 25}], "place": "a"}, "mail": {"ports": [{"port": 25}], "place": "a"}},
            {},
            "services/web/ports: its replica would share a port of a with another service\n"
            "    publish another port, or place the two on different hosts",
        ),
        (
            {"web": {"memory": 4 * GIB - 1200 * MIB}},
            {"burst": burst(1, "s-2vcpu-4gb")},
            "quayside:burst/size: one replica of web needs 5792MiB with the room for a release (surge: all), and "
            "burst1 has 3123MiB of its 4096MiB for containers\n    take a larger size, or name fewer services",
        ),
    ],
)
def test_a_problem(services: dict[str, Any], values: dict[str, Any], message: str) -> None:
    assert wrong(services, server("a", 8192), server("b", 8192), **values) == [message]


def test_a_burst_host_is_no_place() -> None:
    services = {"web": {}, "api": {"place": "b"}}
    assert wrong(services, server("a"), server("b", burst=True), burst=burst(0)) == [
        "services/api/place: b takes part in bursts, and runs what quayside:burst/services names\n"
        "    name a permanent host or group"
    ]
