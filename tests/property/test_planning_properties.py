"""Planning, on generated stacks: stable subnets, exact weights, sound orders, the most specific route."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from planning import Plan, plan
from planning.names import folder_key
from planning.order import creation_order
from planning.placement import canary_count
from planning.routes import Route, find
from planning.subnets import MAX_CONTAINERS, allocate
from planning.weights import MAX_WEIGHT, weights
from settings.parse import parse
from settings.problems import ConfigError
from settings.service import Service
from settings.stack import Stack

FEW = settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))

NAMES = ("a", "b", "cart", "web", "web-1", "web-2", "redis", "x-y-z")
PATHS = ("", "/a", "/a/b", "/a/b/c", "/ab", "/A", "/a.b", "/@x:1+2~")
HOSTS = ("{domain}", "www.{domain}", "*.{domain}", "*.www.{domain}", "a.www.{domain}", "*.test", "other.test")
TEXTS = (
    *("", "plain", "${cart.url}", "${redis.address}", "${web.port}", "${domain}", "$${x}", "${", "${x.y.z}", "${}"),
    *("{{ 1 / 0 }}", "{{ cart.url }}", "{% for x in range(3) %}{{ x }}{% endfor %}", "{{ x", "{{ env.A }}"),
    "é\n#: server x",
)

names = st.sampled_from(NAMES)
texts = st.sampled_from(TEXTS)


def services(*, sound: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Services as services.yaml has them. ``sound``: without references and names that lead nowhere."""
    routes = st.lists(st.builds(str.__add__, st.sampled_from(HOSTS), st.sampled_from(PATHS)), max_size=4, unique=True)
    links = st.lists(names, max_size=3, unique=True)
    env = st.dictionaries(st.sampled_from("ABC"), st.just("x") if sound else texts, max_size=2)
    common = {"image": st.sampled_from(["app", "app:1", "r.test/app:2"])}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "uses": links,
        "after": links,
        "env": env,
        "replicas": st.integers(0, 3 if sound else 40),
        "drain": st.sampled_from(["0s", "5s", "1h"]),
        "memory": st.sampled_from(["6MiB", "64MiB"]),
        "files": st.dictionaries(
            st.sampled_from(["/app/x", "/etc/a/b", "/top"][: 2 if sound else 3]),
            st.builds(lambda text: {"content": text}, st.just("x") if sound else texts),
            max_size=2,
        ),
    }
    http = st.fixed_dictionaries(
        {**common, "port": st.integers(1, 65535)},
        optional={
            **optional,
            "routes": routes,
            "sticky": st.just("1h"),
            "health": st.sampled_from(["/", "/healthz", "/h?a=1&b=%20;c"]),
            "canary": st.fixed_dictionaries(
                {"image": st.just("next"), "share": st.integers(1, 99)}, optional={"env": env}
            ),
        },
    )
    tcp = st.fixed_dictionaries(
        {**common, "port": st.integers(1, 65535), "protocol": st.just("tcp")},
        optional={**optional, "health": st.just({"command": ["true"]})},
    )
    stateful = st.fixed_dictionaries(
        {**common, "port": st.integers(1, 65535), "protocol": st.just("tcp"), "volume": st.just("/data")},
        optional={key: optional[key] for key in ("uses", "after", "env", "drain")},
    )
    worker = st.fixed_dictionaries(
        common, optional={**optional, "network": st.sampled_from(["own", "host"] if not sound else ["own"])}
    )
    found = st.dictionaries(names, st.one_of(http, http, tcp, stateful, worker), max_size=len(NAMES))
    return found.map(_sound) if sound else found


def _sound(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Only what planning accepts: `uses` of reachable services, `after` without cycles, each route and port once."""
    order, ports, routes = list(found), set[int](), set[str]()
    for number, (name, service) in enumerate(found.items()):
        service["uses"] = [used for used in service.get("uses", ()) if found.get(used, {}).get("port")]
        service["after"] = [other for other in service.get("after", ()) if other in order[:number]]
        if service.get("protocol") == "tcp":
            while service["port"] in {*ports, 80, 9901, 9902, 9903, 10080}:
                service["port"] = service["port"] % 65535 + 1
            ports.add(service["port"])
        if "routes" in service:
            service["routes"] = [route for route in service["routes"] if route not in routes]
            routes.update(service["routes"])
        elif service.get("port") and service.get("protocol") != "tcp":
            routes.add(f"{name}.{{domain}}")
    return found


def parsed(found: Mapping[str, Any], **config: Any) -> Stack:
    return parse(
        project="shop",
        stack="local",
        services=json.dumps({"services": found}),
        config={"cloud": "local", "domain": "example.test", **config},
        secrets=[],
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A stack that can be carried out."""
    # What is left to chance: about 1 % of stacks have two names on one subnet.
    planned = planned_or_problems(parsed(draw(services(sound=True))))
    if isinstance(planned, ConfigError):
        assume({problem.path for problem in planned.problems} != {"quayside:subnets"})
        raise planned
    return planned


def planned_or_problems(stack: Stack) -> Plan | ConfigError:
    try:
        return plan(stack, {})
    except ConfigError as error:
        return error


@MANY
@given(
    services(sound=False), st.sampled_from([{}, {"memory": "64MiB"}, {"subnets": "10.0.0.0/24"}, {"surge": "largest"}])
)
def test_planning_ends_with_a_plan_or_with_problems_a_person_can_read(
    found: dict[str, Any], config: dict[str, Any]
) -> None:
    assume(found)
    try:
        stack = parsed(found, **config)
    except ConfigError:
        return  # tests/property/test_settings_total.py
    planned = planned_or_problems(stack)
    if isinstance(planned, Plan):
        assert set(planned.services) == set(found)
        return
    assert planned.problems
    assert all(problem.path and problem.message for problem in planned.problems)
    assert not any(word in str(planned) for word in ("Traceback", "<class", "object at 0x"))


def test_the_edge_alone_may_not_fit() -> None:
    assert isinstance(planned_or_problems(parsed({}, memory="64MiB")), ConfigError)


def test_two_services_never_claim_one_slot() -> None:
    web = {"image": "app", "port": 80, "canary": {"image": "next", "share": 10}}
    planned = planned_or_problems(parsed({"web": web, "web-canary": {"image": "app"}}))
    if isinstance(planned, Plan):
        slots = [slot.name for service in planned.services.values() for slot in service.slots]
        assert len(set(slots)) == len(slots)


@FEW
@given(plans())
def test_a_plan_holds_together(planned: Plan) -> None:
    seen: list[str] = []
    for name, service in planned.services.items():
        assert set(service.settings.after) <= set(seen)
        seen.append(name)
        assert len({slot.name for slot in service.slots}) == len(service.slots)
        assert set(service.hosts) == set(service.settings.uses)
        if service.subnet is not None:
            assert set(service.hosts.values()) <= {service.subnet.edge}
        for caller in service.callers:
            assert name in planned.services[caller].settings.uses
    slots = [slot.name for service in planned.services.values() for slot in service.slots]
    assert len(set(slots)) == len(slots)


# --- subnets ---------------------------------------------------------------------------------------------------------

service_names = st.from_regex(r"[a-z][a-z0-9-]{0,9}[a-z0-9]", fullmatch=True)


@MANY
@given(st.sets(service_names, max_size=30), st.sets(service_names, max_size=30))
def test_subnets_are_disjoint_and_do_not_move(some: set[str], more: set[str]) -> None:
    try:
        first, both = allocate("10.128.0.0/9", "shop/local", some), allocate("10.128.0.0/9", "shop/local", some | more)
    except ConfigError:
        assume(False)
        raise
    assert all(both[name] == subnet for name, subnet in first.items())
    networks = sorted(ipaddress.IPv4Network(subnet.cidr) for subnet in both.values())
    assert all(one.broadcast_address < other.network_address for one, other in pairwise(networks))
    pool = ipaddress.IPv4Network("10.128.0.0/9")
    for subnet in both.values():
        network, dynamic = ipaddress.IPv4Network(subnet.cidr), ipaddress.IPv4Network(subnet.containers)
        assert network.subnet_of(pool)
        assert dynamic.subnet_of(network)
        for fixed in (subnet.gateway, subnet.edge):
            assert ipaddress.IPv4Address(fixed) in network
            assert ipaddress.IPv4Address(fixed) not in dynamic


@MANY
@given(st.sets(service_names, min_size=6, max_size=12))
def test_a_clash_of_subnets_names_both(some: set[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        allocate("10.0.0.0/24", "shop/local", some)  # four subnets
    for problem in caught.value.problems:
        assert sum(f'"{name}"' in problem.message for name in some) == 2


# --- weights ---------------------------------------------------------------------------------------------------------


def share_of(replicas: int, canaries: int, replica: int, canary: int) -> Fraction:
    return Fraction(canaries * canary, replicas * replica + canaries * canary)


@pytest.mark.parametrize("share", range(1, 100))
def test_a_planned_canary_gets_its_share(share: int) -> None:
    for replicas in range(1, MAX_CONTAINERS // 2):
        service = Service.model_validate({"image": "a", "replicas": replicas, "canary": {"image": "b", "share": share}})
        canaries = canary_count(service)
        replica, canary = weights(replicas, canaries, share)
        assert 1 <= replica <= MAX_WEIGHT
        assert 1 <= canary <= MAX_WEIGHT
        ratio = Fraction((100 - share) * canaries, share * replicas)
        got, wanted = share_of(replicas, canaries, replica, canary), Fraction(share, 100)
        if max(ratio.numerator, ratio.denominator) <= MAX_WEIGHT:
            assert got == wanted
        else:
            assert abs(got - wanted) < Fraction(1, 1000)  # a tenth of a percentage point


@MANY
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 99))
def test_no_other_weights_come_closer(replicas: int, canaries: int, share: int) -> None:
    # Planned canaries are never further apart than 1 to 99.
    assume(Fraction(1, MAX_WEIGHT) <= Fraction((100 - share) * canaries, share * replicas) <= MAX_WEIGHT)
    replica, canary = weights(replicas, canaries, share)
    assert 1 <= min(replica, canary) <= max(replica, canary) <= MAX_WEIGHT
    # As large as they can be: HAProxy skips turns with small ones.
    assert 2 * max(replica, canary) > MAX_WEIGHT
    wanted = Fraction((100 - share) * canaries, share * replicas)  # replica ÷ canary
    small = min(wanted, 1 / wanted)
    got = Fraction(min(replica, canary), max(replica, canary))
    assert (replica <= canary) == (wanted <= 1)
    closest = min(
        (abs(Fraction(round(small * large) or 1, large) - small) for large in range(1, MAX_WEIGHT + 1)),
    )
    assert abs(got - small) <= closest


# --- order -----------------------------------------------------------------------------------------------------------

graphs = st.integers(1, 12).flatmap(
    lambda size: st.dictionaries(
        st.integers(0, size - 1), st.sets(st.integers(0, size - 1), max_size=3), min_size=size, max_size=size
    )
)


@MANY
@given(graphs)
def test_creation_order_respects_after_or_shows_a_true_cycle(numbered: dict[int, set[int]]) -> None:
    after = {f"s{name}": [f"s{other}" for other in others] for name, others in numbered.items()}
    try:
        order = creation_order(after)
    except ConfigError as error:
        told = set[str]()
        for problem in error.problems:
            cycle = problem.message.removeprefix("cycle: ").split(" → ")
            assert cycle[0] == cycle[-1]
            assert len(cycle) > 1
            assert all(later in after[earlier] for earlier, later in pairwise(cycle))
            assert problem.path == f"services/{cycle[0]}/after"
            assert not told & set(cycle)
            told |= set(cycle)
        # And no cycle is left untold: without the services of those that were, there is an order.
        creation_order({name: sorted(set(others) - told) for name, others in after.items() if name not in told})
        return
    assert sorted(order) == sorted(after)
    assert all(order.index(other) < order.index(name) for name, others in after.items() for other in others)
    assert order == creation_order(dict(reversed(after.items())))


# --- routes ----------------------------------------------------------------------------------------------------------


def most_specific(routes: Sequence[Route], host: str, path: str) -> set[str]:
    """By its definition: exact hosts, then longer wildcards; then longer paths."""
    labels = host.split(".")

    def rank(route: Route) -> tuple[int, int] | None:
        pattern = route.host.split(".")
        if pattern[0] == "*":
            if len(labels) < len(pattern) or labels[-len(pattern) + 1 :] != pattern[1:]:
                return None
            host_rank = len(pattern)
        elif pattern == labels:
            host_rank = 1000
        else:
            return None
        wanted = [part for part in route.path.split("/") if part]
        return (host_rank, len(wanted)) if path.split("/")[1 : len(wanted) + 1] == wanted else None

    ranked = [(rank(route), route.service) for route in routes]
    best = max((found for found, _ in ranked if found is not None), default=None)
    return {service for found, service in ranked if found is not None and found == best}


hosts = st.sampled_from(
    [
        *("example.test", "www.example.test", "a.www.example.test", "b.a.www.example.test", "x.example.test"),
        *("web.example.test", "other.test", "nowhere", "test", "wwwexample.test"),
    ]
)
paths = st.sampled_from(
    ["/", "/a", "/a/", "/a/b", "/a/b/", "/a/bc", "/a/b/c/d", "/ab", "/abc", "/A", "/a.b", "/@x:1+2~/y", "//a"]
)


@FEW
@given(plans(), st.lists(st.tuples(hosts, paths), min_size=5, max_size=5))
def test_the_most_specific_route_answers(planned: Plan, requests: list[tuple[str, str]]) -> None:
    for host, path in requests:
        found = find(planned.routes, host, path)
        assert ({found.service} if found else set()) == most_specific(planned.routes, host, path)


@MANY
@given(folders=st.sets(st.text("/-_.xdu2D\u00e9", max_size=8), min_size=2, max_size=20))
def test_no_two_folders_have_one_name(folders: set[str]) -> None:
    keys = {folder_key(folder) for folder in folders}
    assert len(keys) == len(folders)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]*", key) for key in keys)
