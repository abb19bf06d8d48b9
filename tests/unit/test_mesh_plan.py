"""A fleet's plan: what each host has, sends and lets in."""

from __future__ import annotations

from typing import Any

import pytest

from planning import plan
from planning.hosts.plan import Passage, plan_hosts
from settings.problems import ConfigError, Problem
from tests.mesh import fleet, host, placed, planned, stack

WEB: dict[str, Any] = {"image": "web", "port": 8000}
SHOP: dict[str, Any] = {
    "web": {**WEB, "uses": ("cart",), "env": {"CART": "${cart.url}"}, "replicas": 2},
    "cart": {**WEB, "routes": (), "uses": ("session",)},
    "session": {"image": "redis", "port": 6379, "protocol": "tcp", "volume": "/data", "place": "b"},
}
WHERE = {
    "web-1": ("web", "a"),
    "web-2": ("web", "b"),
    "web_1_c": ("web", "c"),
    "cart-1": ("cart", "b"),
    "session-1": ("session", "b"),
}
HOSTS = fleet(host("a"), host("b"), host("c", burst=True))


def test_each_host_has_its_own_slots_with_the_weights_of_the_fleet() -> None:
    found = planned(SHOP, HOSTS, placed(WHERE, {"web-2": 5, "web_1_c": 9}))
    slots = {
        name: [(slot.name, slot.weight) for service in one.services.values() for slot in service.slots]
        for name, one in found.hosts.items()
    }
    assert {name: sorted(of) for name, of in slots.items()} == {
        "a": [("web-1", 1)],
        "b": [("cart-1", 1), ("session-1", 1), ("web-2", 5)],
        "c": [("web_1_c", 9)],
    }
    burst = found.hosts["c"].services["web"].slots[0]
    assert (burst.image, burst.env, burst.canary) == ("web", {"CART": "http://cart"}, False)


def test_a_service_is_the_same_on_every_host_and_as_on_one() -> None:
    found = planned(SHOP, HOSTS, placed(WHERE))
    subnets = {one.services["web"].subnet for one in found.hosts.values()}
    assert len(subnets) == 1
    assert {one.edge_subnet for one in found.hosts.values()} == {next(iter(found.hosts.values())).edge_subnet}
    web = found.hosts["c"].services["web"]
    assert web.subnet is not None
    assert web.hosts == {"cart": web.subnet.edge}
    alone = plan(stack(SHOP), {}).services["web"]
    assert (alone.subnet, alone.hosts, alone.files, alone.urls) == (web.subnet, web.hosts, web.files, web.urls)


def test_a_host_reaches_what_its_services_use_and_an_entry_what_is_public() -> None:
    found = planned(SHOP, HOSTS, placed(WHERE))
    assert {name: (one.entry, list(one.wants)) for name, one in found.hosts.items()} == {
        "a": (True, ["cart", "web"]),
        "b": (True, ["cart", "session", "web"]),
        "c": (False, ["cart"]),
    }
    assert [(one.sender, one.receiver, one.service) for one in found.passages] == [
        ("a", "b", "cart"),
        ("a", "b", "web"),
        ("a", "c", "web"),
        ("b", "a", "web"),
        ("b", "c", "web"),
        ("c", "b", "cart"),
    ]


def test_droplets_reach_no_other_droplets() -> None:
    hosts = fleet(host("a"), host("b"), host("c", burst=True), host("d", burst=True))
    where = {**WHERE, "web_1_d": ("web", "d"), "cart_1_c": ("cart", "c"), "cart_1_d": ("cart", "d")}
    found = planned(SHOP, hosts, placed(where))
    assert {one.receiver for one in found.passages if one.sender == "c"} == {"b"}
    assert {one.receiver for one in found.passages if (one.sender, one.service) == ("a", "cart")} == {"b", "c", "d"}


def test_behind_a_balancer_the_created_hosts_are_the_entries() -> None:
    hosts = fleet(host("a", kind="created"), host("b"), host("c", burst=True), balancer="lb11")
    found = planned(SHOP, hosts, placed(WHERE))
    assert [name for name, one in found.hosts.items() if one.entry] == ["a"]


def test_a_host_that_is_down_keeps_what_has_its_data_there_and_nobody_sends_there() -> None:
    hosts = fleet(host("a"), host("b"), host("d", down=True), host("e", burst=True, down=True))
    where = {slot: at for slot, at in WHERE.items() if slot not in {"web_1_c", "session-1"}}
    services = {**SHOP, "session": {**SHOP["session"], "place": "d"}}
    found = planned(services, hosts, placed(where, stranded={"d": ("session-1",)}))
    slots = {
        name: sorted(slot.name for service in found.hosts[name].services.values() for slot in service.slots)
        for name in "abde"
    }
    assert slots == {"a": ["web-1"], "b": ["cart-1", "web-2"], "d": [], "e": []}
    assert list(found.hosts["d"].services) == ["session"]
    assert not {"d", "e"} & {end for one in found.passages for end in (one.sender, one.receiver)}
    assert [slot.name for slot in found.slots("session", "d")] == []


def test_a_service_with_a_volume_and_no_replica_stays_where_its_data_is() -> None:
    services = {**SHOP, "session": {**SHOP["session"], "replicas": 0}}
    where = {slot: at for slot, at in WHERE.items() if slot != "session-1"}
    found = planned(services, HOSTS, placed(where))
    assert [name for name, one in found.hosts.items() if "session" in one.services] == ["b"]
    assert found.hosts["b"].services["session"].slots == []
    assert "session" in found.hosts["b"].wants


def test_services_come_in_the_order_of_creation_on_every_host() -> None:
    services = {**SHOP, "web": {**SHOP["web"], "after": ("session",)}, "session": SHOP["session"]}
    found = planned(services, HOSTS, placed(WHERE))
    order = list(found.hosts["b"].services)
    assert order.index("session") < order.index("web")


def test_public_addresses_begin_with_https_where_visitors_come_by_it() -> None:
    found = plan_hosts(stack(SHOP), {}, HOSTS, placed(WHERE), https=True)
    assert found.services["web"].urls == ["https://web.example.test/"]
    assert found.reach[0].address == "https://web.example.test/"


def test_every_problem_is_told_at_once() -> None:
    services = {
        "web": {**WEB, "uses": ("nothing",)},
        "cache": {"image": "cache", "port": 8443, "protocol": "tcp"},
    }
    known = Problem("services/web/place", "there is no host")
    with pytest.raises(ConfigError) as raised:
        plan_hosts(stack(services), {}, HOSTS, placed({}), [known])
    assert [problem.path for problem in raised.value.problems] == [
        "services/cache/port",
        "services/web/place",
        "services/web/uses/0",
    ]
    assert raised.value.problems[0].message == "port 8443 is the edge's own"


def test_passages_are_sorted() -> None:
    found = planned(SHOP, HOSTS, placed(WHERE)).passages
    assert found == sorted(found)
    assert Passage(sender="c", receiver="b", service="session") not in found
