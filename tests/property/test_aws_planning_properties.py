"""Planning on AWS, on generated stacks: the rules route as planned, nothing moves, nothing flows without a cause."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from planning.aws.balancers import balancers, is_native
from planning.aws.model import BalancerPlan, Rule, SecurityPlan
from planning.aws.names import short
from planning.aws.network import LETTERS, network
from planning.aws.priorities import LAST, Claim, assign, band, overlap, slot
from planning.aws.schedule import aws_cron
from planning.aws.security import security, who
from planning.flows import INTERNET, WORLD, Flow
from planning.routes import Route, find, table
from settings.problems import Problem
from settings.service import Service
from settings.stack import Stack

FEW = settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))

DIGEST = "sha256:" + "a" * 64
NAMES = ("a", "b", "cart", "web", "web-1", "redis", "x-y-z", "jobs")
HOSTS = (
    *("{domain}", "www.{domain}", "a.www.{domain}", "b.a.www.{domain}", "other.test", "a.other.test"),
    *("*.{domain}", "*.www.{domain}", "*.a.www.{domain}", "*.eu.other.test"),
)
PATHS = ("", "/a", "/a/b", "/a/b/c", "/ab", "/A", "/a.b", "/@x:1+2~", "/a/bc")
DEEP = ("/a/b/c/d", "/a/b/c/d/e", "/a/b/c/d/e/f")
QUOTAS = {"rules_per_balancer": 1000, "certificates_per_balancer": 100, "rules_per_security_group": 1000}


def stack(services: Mapping[str, Any], **values: Any) -> Stack:
    given = {"project": "shop", "name": "prod", "cloud": "aws", "domain": "example.test", "region": "eu-central-1"}
    return Stack.model_validate({**given, "services": services, "quotas": QUOTAS, **values})


def routes(least: int = 0) -> st.SearchStrategy[list[str]]:
    pattern = st.builds(str.__add__, st.sampled_from(HOSTS), st.sampled_from(PATHS))
    deep = st.builds(str.__add__, st.sampled_from(HOSTS[:6]), st.sampled_from(DEEP))
    return st.lists(st.one_of(pattern, pattern, deep), min_size=least, max_size=5, unique=True)


def services(*, native: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """Services as a stack has them, each route with one owner."""
    egress = st.lists(
        st.fixed_dictionaries(
            {"to": st.sampled_from(["198.51.100.0/24", "203.0.113.7/32", WORLD])},
            optional={"port": st.sampled_from([0, 443, 5432]), "protocol": st.sampled_from(["tcp", "udp"])},
        ),
        max_size=3,
    )
    common = {"image": st.sampled_from([f"r.test/app@{DIGEST}", f"r.test:5000/app@{DIGEST}"])}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "uses": st.lists(st.sampled_from(NAMES), max_size=3, unique=True),
        "egress": egress,
        "on": st.sampled_from(["ec2", "fargate"]),
        "exec": st.booleans(),
        "replicas": st.one_of(st.integers(0, 3), st.just({"min": 1, "max": 4})),
    }
    strategies = ["rolling", "canary", "blue_green", "linear"] if native else ["rolling"]
    http = st.fixed_dictionaries(
        {**common, "port": st.integers(1, 65535)},
        optional={
            **optional,
            "routes": routes(),
            "network": st.sampled_from(["own", "awsvpc", "bridge", "host"]),
            "rollout": st.sampled_from(strategies).map(lambda strategy: {"strategy": strategy}),
        },
    )
    shared = st.fixed_dictionaries(
        {
            **common,
            "port": st.integers(1, 65535),
            "canary": st.integers(1, 99).map(lambda share: {"image": f"r.test/next@{DIGEST}", "share": share}),
        },
        optional={**optional, "routes": routes()},
    )
    tcp = st.fixed_dictionaries(
        {**common, "port": st.integers(1, 65535), "protocol": st.just("tcp")},
        optional={**optional, "volume": st.just("/data"), "replicas": st.just(1)},
    )
    worker = st.fixed_dictionaries(common, optional=optional)
    found = st.dictionaries(st.sampled_from(NAMES), st.one_of(http, http, shared, tcp, worker), max_size=len(NAMES))
    return found.map(_owned)


def _owned(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    owned: set[str] = set()
    for name, service in found.items():
        service["uses"] = [other for other in service.get("uses", ()) if found.get(other, {}).get("port")]
        if "routes" in service:
            service["routes"] = [route for route in service["routes"] if route not in owned]
            owned.update(service["routes"])
        elif service.get("port") and service.get("protocol") != "tcp":
            owned.add(f"{name}.{{domain}}")
    return found


def told(problems: Sequence[Problem]) -> set[str]:
    """Which settings are to blame: the last part of every path."""
    return {problem.path.rsplit("/", 1)[-1] for problem in problems}


# --- rules route as planned -------------------------------------------------------------------------------------------

REQUESTS = [
    (host, path)
    for host in (
        *("example.test", "www.example.test", "a.www.example.test", "b.a.www.example.test", "x.example.test"),
        *("c.b.a.www.example.test", "web.example.test", "other.test", "a.other.test", "x.eu.other.test", "nowhere"),
        *("eu.other.test", "wwwexample.test", "EXAMPLE.test"),
    )
    for path in (
        *("/", "/a", "/a/", "/a/b", "/a/b/", "/a/bc", "/a/bcd", "/a/b/c/d", "/a/b/c/d/e/f/g", "/ab", "/abc", "/A"),
        *("/A/b", "/a.b", "/axb", "/@x:1+2~/y", "//a", "/a//b"),
    )
]


def routed(*, native: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """Services with many routes that overlap."""
    common = {"image": st.just(f"r.test/app@{DIGEST}"), "port": st.just(8080)}
    many = st.fixed_dictionaries({**common, "routes": routes(least=1)})
    path = st.sampled_from(PATHS)
    alike = st.lists(st.sampled_from(HOSTS[:6]), min_size=1, max_size=3, unique=True)
    moved = st.fixed_dictionaries(
        {
            **common,
            "routes": st.builds(lambda hosts, path: [f"{host}{path}" for host in hosts], alike, path),
            "rollout": st.just({"strategy": "canary"}),
        }
    )
    kinds = st.one_of(many, many, moved) if native else many
    return st.dictionaries(st.sampled_from(NAMES), kinds, min_size=3, max_size=len(NAMES)).map(_routed)


def _routed(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: service for name, service in _owned(found).items() if service["routes"]}


def alb(rules: Sequence[Rule], host: str, path: str) -> str | None:
    """What an Application Load Balancer does: rules by priority; `*` any characters and `?` one; hosts in any case."""
    for rule in sorted(rules, key=lambda rule: rule.priority):
        by_host = any(fnmatchcase(host.lower(), pattern.lower()) for pattern in rule.hosts)
        if by_host and (not rule.paths or any(fnmatchcase(path, pattern) for pattern in rule.paths)):
            return rule.service
    return None


@MANY
@given(routed())
def test_a_balancer_routes_as_planned(found: dict[str, Any]) -> None:
    given = stack(found)
    plans, problems = balancers(given)
    assume(not problems)
    public = table(given.services, given.domain)
    answered: set[str | None] = set()
    for host, path in REQUESTS:
        route = find(public, host.lower(), path)
        expected = route.service if route else None
        answered |= {expected}
        assert [alb(plan.rules, host, path) for plan in plans] == [expected], (host, path)
    assert answered != {None}


@MANY
@given(routed(native=False), st.lists(st.integers(1, 3), min_size=8, max_size=8))
def test_of_several_balancers_dns_finds_the_right_one(found: dict[str, Any], numbers: list[int]) -> None:
    homes: dict[str, int] = {}
    for number, service in zip(numbers, found.values(), strict=False):
        # Mostly, what shares a host is on one balancer; where wildcards lead elsewhere is for the plan to see.
        service["balancer"] = homes.get(service["routes"][0].partition("/")[0], number)
        service["routes"] = [
            r for r in service["routes"] if homes.get(r.partition("/")[0]) in {None, service["balancer"]}
        ]
        homes.update(dict.fromkeys((r.partition("/")[0] for r in service["routes"]), service["balancer"]))
    given = stack(found)
    plans, problems = balancers(given)
    assume(not problems)
    public = table(given.services, given.domain)
    for host, path in REQUESTS:
        route = find(public, host.lower(), path)
        # DNS: a name's own record, or else the longest wildcard above it.
        names = [host.lower(), *(f"*.{host.lower().split('.', cut)[-1]}" for cut in range(1, host.count(".") + 1))]
        plan = next((plan for name in names for plan in plans if name in plan.hosts), None)
        answer = alb(plan.rules, host, path) if plan else None
        assert answer == (route.service if route else None), (host, path)


# --- priorities -------------------------------------------------------------------------------------------------------

parts = st.sampled_from(["a", "b", "ab", "x.y"])
exact_routes = st.builds(
    lambda host, path: Route(host=host, path="/" + "/".join(path), service="s"),
    st.sampled_from(["e.test", "a.e.test", "b.a.e.test", "o.test"]),
    st.lists(parts, max_size=6),
)
wild_routes = st.builds(
    lambda host, path: Route(host=f"*.{host}", path="/" + "/".join(path), service="s"),
    st.sampled_from(["e.test", "a.e.test", "b.a.e.test", "c.b.a.e.test"]),
    st.lists(parts, max_size=3),
)
some_routes = st.lists(st.one_of(exact_routes, wild_routes), max_size=20, unique_by=lambda r: (r.host, r.path))


def claims(found: Sequence[Route]) -> list[Claim]:
    return [Claim(route=route, pattern=f"{route.host}{route.path}") for route in found]


@MANY
@given(some_routes)
def test_the_more_specific_route_is_asked_first(found: list[Route]) -> None:
    numbers, problems = assign(claims(found))
    assert len(numbers) == len(found)
    assert all(1 <= number <= LAST for number in numbers.values())
    assert len(problems) == len(found) - len(set(numbers.values()))
    for one, other in combinations(sorted(found, key=lambda route: route.specificity), 2):
        if overlap(one, other):
            assert numbers[one.host, one.path] < numbers[other.host, other.path]


@MANY
@given(some_routes, some_routes, st.randoms(use_true_random=False))
def test_no_priority_moves_when_others_come_go_or_change_places(some: list[Route], more: list[Route], by: Any) -> None:
    both = list({(route.host, route.path): route for route in [*some, *more]}.values())
    by.shuffle(both)
    few, all_of_them = assign(claims(some))[0], assign(claims(both))[0]
    assert all(all_of_them[key] == number for key, number in few.items())
    assert assign(claims(both)) == assign(claims(both[::-1]))


@MANY
@given(some_routes, st.lists(st.tuples(st.integers(0, 19), st.integers(1, LAST)), max_size=4))
def test_a_pin_is_refused_or_keeps_the_order(found: list[Route], pins: list[tuple[int, int]]) -> None:
    given = claims(found)
    for index, pin in pins:
        if index < len(given):
            given[index] = Claim(route=given[index].route, pattern=given[index].pattern, pin=pin)
    numbers, problems = assign(given)
    broken = len(numbers.values()) != len(set(numbers.values())) or any(
        numbers[one.host, one.path] > numbers[other.host, other.path]
        for one, other in combinations(sorted(found, key=lambda route: route.specificity), 2)
        if overlap(one, other)
    )
    assert bool(problems) == broken


@MANY
@given(some_routes, st.integers(1, LAST), st.integers(0, 19))
@example([Route(host="e.test", path="/p120", service="s"), Route(host="e.test", path="/p144", service="s")], 7, 0)
def test_what_a_message_proposes_settles_it(found: list[Route], pin: int, index: int) -> None:
    given = claims(found)
    if index < len(given):
        given[index] = Claim(route=given[index].route, pattern=given[index].pattern, pin=pin)
    _, problems = assign(given)
    for _ in range(4):
        if not problems:
            return
        path, fix = problems[0].path, problems[0].fix
        number = int(re.findall("[0-9]+", fix)[-1])
        (chosen,) = (c for c in given if f'"{c.pattern}": ' in fix or path.endswith(f"/priority/{c.pattern}"))
        given[given.index(chosen)] = Claim(route=chosen.route, pattern=chosen.pattern, pin=number)
        _, problems = assign(given)
    assert not problems


@FEW
@given(st.integers(7, 30), st.integers(0, 10), st.booleans())
def test_nothing_is_so_deep_that_no_pin_is_proposed(depth: int, above: int, wild: bool) -> None:
    host = "*.e.test" if wild else "e.test"
    found = [Route(host=host, path="/" + "/".join("a" * n), service="s") for n in (depth, *range(min(above, depth)))]
    given = [Claim(route=route, pattern=route.path) for route in found]
    numbers, problems = assign(given)
    lost = [claim for claim in given if band(claim.route) is None]
    assert len(problems) == len(lost) == len(given) - len(numbers)
    assert all(re.search(": [0-9]+}$", problem.fix) for problem in problems)


def test_300_services_on_four_balancers_keep_every_limit() -> None:
    """With the quota of rules raised to 200; at its default of 100, a balancer has room for 50 of these services."""
    found = {
        f"team{number % 4}-service{number}": {
            "image": f"r.test/app@{DIGEST}",
            "port": 8080,
            "routes": [f"team{number % 4}.{{domain}}/service{number}"],
            "balancer": number % 4 + 1,
            "egress": [],
        }
        for number in range(300)
    }
    given = stack(found, quotas={"rules_per_balancer": 200, "rules_per_security_group": 100})
    plans, problems = balancers(given)
    # About one in five such balancers has two routes on one number; the pins that the messages propose settle it.
    for problem in problems:
        assert "both fall on priority" in problem.message
        service, pattern, number = re.findall(r'services/(.*)/priority: {"(.*)": ([0-9]+)}', problem.fix)[0]
        found[service]["priority"] = {pattern: int(number)}
    given = stack(found, quotas={"rules_per_balancer": 200, "rules_per_security_group": 100})
    plans, problems = balancers(given)
    assert problems == []
    assert [len(plan.rules) for plan in plans] == [75] * 4
    for plan in plans:
        numbers = [rule.priority for rule in plan.rules]
        assert len(plan.target_groups) <= 100
        assert len(plan.rules) + len(plan.health_rules) <= 200
        assert len(set(numbers)) == 75
        assert len(plan.certificates) == 1
        names = [group.name for group in plan.target_groups]
        assert len(set(names)) == 75
        assert all(len(name) <= 24 for name in names)
    guarded, problems = security(given, plans)
    assert problems == []
    assert max(Counter(flow.source for flow in guarded.flows).values()) == 75


# --- balancers --------------------------------------------------------------------------------------------------------


def _rules(plans: Sequence[BalancerPlan]) -> dict[str, int]:
    return {rule.name: rule.priority for plan in plans for rule in plan.rules}


@MANY
@given(services())
def test_a_plan_of_balancers_holds_together(found: dict[str, Any]) -> None:
    given = stack(found)
    plans, problems = balancers(given)
    assume(not problems)
    groups = {group.name: group for plan in plans for group in plan.target_groups}
    assert len(groups) == sum(len(plan.target_groups) for plan in plans)
    for plan in plans:
        own = {group.name for group in plan.target_groups}
        tied = [name for rule in plan.health_rules for name in rule.target_groups]
        assert sorted(tied) == sorted(own)  # each once, before any task starts; both colours, too
        numbers = [rule.priority for rule in plan.rules]
        assert numbers == sorted(set(numbers))
        for rule in plan.rules:
            assert set(rule.forward) <= own
            assert sum(rule.forward.values()) == 100
            assert len(rule.hosts) + len(rule.paths) <= 5
            assert rule.native == is_native(given.services[rule.service])
            assert all(groups[name].service == rule.service for name in rule.forward)


@MANY
@given(services(), services(), st.randoms(use_true_random=False))
def test_other_services_move_nothing(some: dict[str, Any], more: dict[str, Any], by: Any) -> None:
    both = _owned({**some, **{f"more-{name}": {**service, "uses": []} for name, service in more.items()}})
    for name, service in both.items():
        if not service.get("routes") and name not in some:
            service.pop("routes", None)
    names = list(both)
    by.shuffle(names)
    few, problems = balancers(stack(some))
    all_of_them, others = balancers(stack({name: both[name] for name in names}))
    assume(not problems and not others)
    assert _rules(few).items() <= _rules(all_of_them).items()
    slots = {name: r.priority for plan in few for r in plan.health_rules for name in r.target_groups}
    assert (
        slots.items()
        <= {name: r.priority for plan in all_of_them for r in plan.health_rules for name in r.target_groups}.items()
    )
    assert balancers(stack(both)) == balancers(stack({name: both[name] for name in names}))


@MANY
@given(st.sets(st.from_regex(r"[a-z][a-z0-9-]{0,38}[a-z0-9]", fullmatch=True), max_size=30))
def test_short_names_stay_apart(names: set[str]) -> None:
    assert len({short(name) for name in names}) == len(names)
    assert all(len(short(name)) <= 24 and not short(name).endswith("-") for name in names)


# --- network ----------------------------------------------------------------------------------------------------------

letters = st.lists(st.sampled_from(LETTERS), min_size=2, max_size=3, unique=True)
ranges = st.builds(
    lambda prefix, index: str(list(ipaddress.IPv4Network("10.0.0.0/12").subnets(new_prefix=prefix))[index]),
    st.integers(16, 20),
    st.integers(0, 15),
)


@MANY
@given(ranges, letters)
def test_subnets_stay_inside_the_range_and_never_overlap_or_move(vpc: str, zones: list[str]) -> None:
    plan = network(stack({}, network={"range": vpc}, capacity={"zones": zones}))
    every = [ipaddress.IPv4Network(subnet) for zone in plan.zones for subnet in (zone.public, zone.private)]
    whole = ipaddress.IPv4Network(vpc)
    assert all(subnet.subnet_of(whole) for subnet in every)
    assert not any(one.overlaps(other) for one, other in combinations(every, 2))
    assert all(subnet.prefixlen <= 27 for subnet in every)  # what a balancer's subnet needs
    for zone in plan.zones:
        others = [letter for letter in LETTERS if letter != zone.letter][:2]
        assert zone in network(stack({}, network={"range": vpc}, capacity={"zones": [*others, zone.letter]})).zones
    assert set(plan.nat) == {zone.letter for zone in plan.zones}


# --- flows ------------------------------------------------------------------------------------------------------------


def _served(end: str, given: Stack) -> list[tuple[str, Service]]:
    """The services whose tasks are in a group."""
    if end == "instances":
        return [(name, s) for name, s in given.services.items() if s.network in {"bridge", "host"}]
    name = end.removeprefix("service-")
    return [(name, given.services[name])] if end.startswith("service-") else []


def declared(flow: Flow, given: Stack) -> bool:
    """Whether something that a person wrote, or ECS itself, is the cause of a flow. Written anew, from the design."""
    source, target = _served(flow.source, given), _served(flow.target, given)
    private, fargate = given.network.nat == "none", any(s.on == "fargate" for _, s in source)

    def is_door(service: Service) -> bool:
        door = (32768, 65535) if service.network == "bridge" else (service.port, service.port)
        return flow.protocol == "tcp" and (flow.first, flow.last) == door

    if flow.target.startswith("balancer-"):
        return flow.source in given.balancer.allow and flow.protocol == "tcp" and flow.first == flow.last in {80, 443}
    if flow.source.startswith("balancer-"):
        return any(s.protocol == "http" and s.port and is_door(s) for _, s in target)
    if target:
        return any(other in s.uses and is_door(service) for other, service in target for _, s in source)
    if flow.target.startswith("data-"):
        name = flow.target.removeprefix("data-")
        return any(n == name and s.volume for n, s in source) and flow.first == flow.last == 2049
    if flow.target in {"endpoints", "s3"}:
        needed = flow.source == "instances" or fargate or any(s.exec or s.egress is None for _, s in source)
        return private and needed and (flow.protocol, flow.first, flow.last) == ("tcp", 443, 443)
    if flow.protocol == "all":
        return flow.target == WORLD and any(s.egress is None for _, s in source)
    written = any(
        flow.target == one.to and flow.protocol == one.protocol and one.port in {0, flow.first}
        for _, s in source
        for one in s.egress or ()
    )
    return written or (
        flow.source == "instances" and not private and flow.target == WORLD and flow.first in {443, 5000}
    )


@MANY
@given(services(), st.booleans(), st.booleans(), st.sampled_from([(WORLD,), ("198.51.100.0/24", "192.0.2.0/24")]))
def test_nothing_flows_without_a_declared_cause(
    found: dict[str, Any], private: bool, pool: bool, allow: tuple[str, ...]
) -> None:
    capacity = {"instances": {"types": ["m7g.large"], "max": 3}} if pool else {}
    given = stack(
        found, capacity=capacity, network={"nat": "none" if private else "one"}, balancer={"allow": list(allow)}
    )
    plans, _ = balancers(given)
    plan, problems = security(given, plans)
    assert told(problems) <= {"egress"}
    for flow in plan.flows:
        assert declared(flow, given), flow
        assert flow.source != flow.target or _served(flow.source, given)
        assert re.fullmatch(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}", flow.why)
    keys = [(flow.source, flow.target, flow.protocol, flow.first, flow.last) for flow in plan.flows]
    assert len(set(keys)) == len(keys)
    ends = {end for flow in plan.flows for end in (flow.source, flow.target) if "/" not in end} - {"s3"}
    assert ends <= set(plan.groups)
    assert all(set(groups) <= set(plan.groups) and len(groups) <= 5 for groups in plan.members.values())
    assert {row["from"] for row in who(plan)} <= {*plan.groups, *allow, INTERNET}
    _what_is_declared_flows(plan, given)


def _what_is_declared_flows(plan: SecurityPlan, given: Stack) -> None:
    pairs = {(flow.source, flow.target) for flow in plan.flows}
    group = {name: (groups[0] if groups else "instances") for name, groups in plan.members.items()}
    for name, service in given.services.items():
        assert all((group[name], group[used]) in pairs for used in service.uses)
        if service.port is not None and service.protocol == "http":
            assert (f"balancer-{service.balancer}", group[name]) in pairs
        if service.on == "fargate" and given.network.nat == "none" and group[name] != "instances":
            assert {(group[name], "endpoints"), (group[name], "s3")} <= pairs


# --- times ------------------------------------------------------------------------------------------------------------


def _part(part: str, first: int, last: int, names: Sequence[str], offset: int) -> set[int]:
    base, _, step = part.partition("/")
    low, _, high = base.partition("-")

    def number(text: str) -> int:
        return names.index(text) + offset if text in names else int(text)

    if low in {"*", "?"}:
        return set(range(first, last + 1, int(step or 1)))
    start = number(low)
    end = number(high) if high else last if step else start
    return set(range(start, end + 1, int(step or 1)))


def _set(text: str, first: int, last: int, names: Sequence[str] = (), offset: int = 0) -> set[int]:
    return set[int]().union(*(_part(part, first, last, names, offset) for part in text.split(",")))


DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
YEAR = [date(2028, 1, 1) + timedelta(days=day) for day in range(366)]


def cron_times(fields: Sequence[str]) -> tuple[set[int], set[int], set[date]]:
    """Minutes, hours and days of a year, as cron(8) has them; at most one of the fields for days is set."""
    days = _set(fields[2], 1, 31)
    months, weekdays = _set(fields[3], 1, 12, MONTHS, 1), {day % 7 for day in _set(fields[4], 0, 6, DAYS)}
    found = {day for day in YEAR if day.month in months and day.day in days and day.isoweekday() % 7 in weekdays}
    return _set(fields[0], 0, 59), _set(fields[1], 0, 23), found


def aws_times(expression: str) -> tuple[set[int], set[int], set[date]]:
    """Likewise for AWS's form: Sunday is 1, and one field for days is `?`."""
    fields = expression.removeprefix("cron(").removesuffix(")").split()
    assert [fields[2], fields[4]].count("?") == 1
    assert fields[5] == "*"
    days, months = _set(fields[2], 1, 31), _set(fields[3], 1, 12, MONTHS, 1)
    weekdays = _set(fields[4], 1, 7, DAYS, 1)
    found = {day for day in YEAR if day.month in months and day.day in days and day.isoweekday() % 7 + 1 in weekdays}
    return _set(fields[0], 0, 59), _set(fields[1], 0, 23), found


def field(first: int, last: int, names: Sequence[str] = (), offset: int = 0) -> st.SearchStrategy[str]:
    value = st.integers(first, last)
    step = st.integers(1, 9).map(lambda number: f"/{number}")
    span = st.tuples(value, value).map(lambda ends: f"{min(ends)}-{max(ends)}")
    named = st.lists(st.integers(0, len(names) - 1), min_size=1, max_size=2).map(
        lambda chosen: "-".join(names[index] for index in sorted(chosen))
    )
    part = st.one_of(
        *(value.map(str), span, st.just("*"), st.builds(str.__add__, st.one_of(span, st.just("*")), step)),
        *([named] if names else []),
    )
    return st.lists(part, min_size=1, max_size=3).map(",".join)


@MANY
@given(st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12, MONTHS, 1), field(0, 7, DAYS)), st.booleans())
def test_times_mean_the_same_on_aws(fields: tuple[str, ...], by_weekday: bool) -> None:
    chosen = [*fields]
    chosen[2 if by_weekday else 4] = "*"
    assert aws_times(aws_cron(" ".join(chosen))) == cron_times(chosen)


@MANY
@given(st.text(alphabet="0123456789*/,-LW#?AFJRUN ", max_size=20))
def test_any_text_is_translated_or_refused(text: str) -> None:
    try:
        expression = aws_cron(text)
    except ValueError as error:
        message = str(error)
        assert "should" in message or "AWS" in message or "step" in message or "aws" in message
        return
    assert re.fullmatch(r"cron\(\S+( \S+){5}\)", expression)


def test_the_slot_of_a_route_is_its_own() -> None:
    """Whoever owns it: the rule stays when the route changes hands."""
    one, other = (Route(host="e.test", path="/a", service=name) for name in ("web", "cart"))
    assert slot(one) == slot(other)
