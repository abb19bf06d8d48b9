"""Load balancers: their target groups, listener rules and certificates, and what is too much for one of them.

Every HTTP service is behind the balancer that it names. Routes make public rules; beside those, every target group is
tied to its balancer on a listener that nobody can reach, so that a release is gate, then switch (`HealthRule`). A
native rollout has no such rule: the one rule that ECS moves ties both its groups.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from planning import placement
from planning.aws import priorities
from planning.aws.balancer_limits import Load, check_limits
from planning.aws.certificates import LONGEST, certificates
from planning.aws.model import BalancerPlan, HealthRule, Rule, TargetGroup
from planning.aws.names import short
from planning.aws.priorities import Claim
from planning.aws.tasks import network_mode
from planning.routes import Route, service_routes
from settings.problems import Problem
from settings.service import Autoscale, Service
from settings.stack import Stack
from settings.types import nearest

NATIVE = ("blue_green", "canary", "linear")
CONDITION_VALUES = 5
"""Values of a rule's conditions, hosts and paths together; not adjustable. (So are 5 wildcards, which are never more:
a rule has one path with `*`, and its hosts.)"""
HOST_LENGTH = 128
"""Characters of a host in a condition. (Paths may have as many, and settings allow fewer.)"""


def is_native(service: Service) -> bool:
    """Whether ECS itself moves the requests, from one target group to the other."""
    return service.rollout is not None and service.rollout.strategy in NATIVE


def is_balanced(service: Service) -> bool:
    return service.port is not None and service.protocol == "http"


def balancers(stack: Stack) -> tuple[Sequence[BalancerPlan], list[Problem]]:
    """The balancers in order, and every problem. Where there is any, the plan is not to be carried out."""
    owners = _owners(stack)
    behind = {name: _behind(name, stack, owners) for name, s in sorted(stack.services.items()) if is_balanced(s)}
    numbers = sorted({one.number for one in behind.values()})
    problems = [problem for name, one in behind.items() for problem in _check(name, one, stack)]
    problems += _twins(stack.services)
    problems += _same_groups(behind)
    problems += _elsewhere(behind)
    problems += check_limits({name: (one.number, one.load) for name, one in behind.items()}, stack)
    plans: list[BalancerPlan] = []
    for number in numbers:
        here = [one for one in behind.values() if one.number == number]
        found, clashes = priorities.assign(claim for one in here for claim in one.claims)
        problems += clashes
        rules = [_rule(one, claim, found) for one in here for claim in one.claims]
        groups = [group for one in here for group in one.groups]
        hosts = sorted({route.host for one in here for route in one.routes})
        existing = stack.balancer.certificates
        plans.append(
            BalancerPlan(
                number=number,
                name=f"balancer-{number}",
                target_groups=groups,
                rules=sorted((rule for rule in rules if rule is not None), key=lambda rule: rule.priority),
                health_rules=_health_rules(number, groups),
                certificates=() if existing else certificates(hosts, stack.domain),
                existing_certificates=existing,
                hosts=hosts,
            )
        )
    return plans, problems


@dataclass(frozen=True, slots=True, kw_only=True)
class _Behind:
    """What one service has behind its balancer."""

    number: int
    native: bool
    routes: Sequence[Route]
    patterns: Sequence[str]
    groups: Sequence[TargetGroup]
    forward: Mapping[str, int]
    claims: Sequence[Claim]
    load: Load


def _owners(stack: Stack) -> Mapping[str, Mapping[str, str]]:
    """Host → path → the service that has it."""
    owners: dict[str, dict[str, str]] = {}
    for name, service in sorted(stack.services.items()):
        for route in service_routes(name, service, stack.domain):
            owners.setdefault(route.host, {})[route.path] = name
    return owners


def _folded(written: Mapping[str, Route], owners: Mapping[str, Mapping[str, str]]) -> Mapping[str, Route]:
    """Without the routes that lead where the request would go anyway: `{domain}/app` beside `{domain}`."""
    return {pattern: route for pattern, route in written.items() if _above(route, owners[route.host]) != route.service}


def _above(route: Route, paths: Mapping[str, str]) -> str | None:
    """Whose request it would be if the route were not there."""
    path = route.path
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        if path in paths:
            return paths[path]
    return None


def _behind(name: str, stack: Stack, owners: Mapping[str, Mapping[str, str]]) -> _Behind:
    service = stack.services[name]
    native = is_native(service)
    written = _written_routes(name, service, stack.domain)
    if native:
        written = _folded(written, owners)
    groups = _target_groups(name, service)
    share = service.canary.share if service.canary else 0
    pins = service.priority
    if native and written:
        (pattern, first), *rest = written.items()
        also = tuple(route for _, route in rest)
        claims = [Claim(route=first, pattern=pattern, pin=pins.get(pattern), also=also, native=True)]
    else:
        claims = [Claim(route=route, pattern=pattern, pin=pins.get(pattern)) for pattern, route in written.items()]
    return _Behind(
        number=service.balancer,
        native=native,
        routes=tuple(written.values()),
        patterns=tuple(written),
        groups=groups,
        forward={group.name: 100 - share if group.role == "primary" else share for group in groups},
        claims=claims,
        load=Load(
            groups=len(groups),
            public=len(claims),
            health=len(groups),
            targets=_most_targets(service),
            routes=tuple(written.values()),
        ),
    )


def _written_routes(name: str, service: Service, domain: str) -> Mapping[str, Route]:
    """Pattern as written → route; a route that is written in two ways counts once."""
    routes = service_routes(name, service, domain)
    patterns = (f"{name}.{{domain}}",) if service.routes is None else service.routes
    distinct: dict[tuple[str, str], tuple[str, Route]] = {}
    for pattern, route in zip(patterns, routes, strict=False):  # no default route on the host's network
        distinct.setdefault((route.host, route.path), (pattern, route))
    return dict(distinct.values())


def _target_groups(name: str, service: Service) -> Sequence[TargetGroup]:
    """AWS lets a group be on one balancer only, so one that moves is another group: its name says the balancer."""
    prefix = "" if service.balancer == 1 else f"{service.balancer}-"
    kind = "ip" if network_mode(service) == "awsvpc" else "instance"
    groups = [TargetGroup(name=short(f"{prefix}{name}"), service=name, role="primary", target_type=kind)]
    if is_native(service):
        second = short(f"{prefix}{name}-alt")
        groups.append(TargetGroup(name=second, service=name, role="alternate", target_type=kind))
    elif service.canary is not None:
        second = short(f"{prefix}{name}-canary")
        groups.append(TargetGroup(name=second, service=name, role="canary", target_type=kind))
    return groups


def _most_targets(service: Service) -> int:
    """Targets at the busiest moment: all that scaling allows, and as many again while they are replaced."""
    most = placement.replica_count(service)
    if isinstance(service.replicas, Autoscale):
        scheduled = (bounds for one in service.replicas.schedule for bounds in (one.min, one.max or 0))
        most = max([service.replicas.max, *scheduled])
    canaries = placement.canary_count(service)  # they do not scale
    return (most + canaries) * (1 if service.volume else 2)


def _rule(one: _Behind, claim: Claim, found: Mapping[tuple[str, str], int]) -> Rule | None:
    route = claim.route
    priority = found.get((route.host, route.path))
    if priority is None:
        return None  # a problem says why
    name = f"{one.number}:{route.host}{route.path}"
    return Rule(
        # A native rule leads to its own service's groups for good, so that another service's is another rule.
        name=f"{name}:{route.service}" if one.native else name,
        priority=priority,
        hosts=list(dict.fromkeys(route.host for route in claim.routes)),
        paths=() if route.path == "/" else (route.path, f"{route.path}/*"),
        service=route.service,
        forward=one.forward,
        native=one.native,
    )


def _health_rules(number: int, groups: Iterable[TargetGroup]) -> Sequence[HealthRule]:
    """Groups of one number share a rule. (Six would be too many for its action; of 100, no six ever meet in 50,000.)"""
    slots: dict[int, list[str]] = {}
    for group in groups:
        digest = hashlib.sha256(group.name.encode()).digest()
        slots.setdefault(1 + int.from_bytes(digest[:8]) % priorities.LAST, []).append(group.name)
    return [
        HealthRule(name=f"{number}:health/{slot}", priority=slot, target_groups=sorted(names))
        for slot, names in sorted(slots.items())
    ]


def _check(name: str, one: _Behind, stack: Stack) -> Iterator[Problem]:
    service = stack.services[name]
    at = f"services/{name}"
    for pattern in service.priority:
        if service.routes is None and pattern not in one.patterns:  # settings check those that are written
            close = nearest(pattern, one.patterns)
            yield Problem(f"{at}/priority/{pattern}", "is no route of this service", f"did you mean {close}?")
    for pattern, host in dict(zip(one.patterns, (route.host for route in one.routes), strict=True)).items():
        if len(host) > HOST_LENGTH:
            yield Problem(
                f"{at}/routes", f'"{pattern}" has {len(host)} characters in its host; AWS takes {HOST_LENGTH} at most'
            )
        elif not re.fullmatch("[a-z]+", host.rpartition(".")[2]) or "." not in host:
            yield Problem(
                f"{at}/routes",
                f'"{pattern}" has a host that AWS does not take: letters alone, behind a dot, end it; got "{host}"',
            )
        elif len(host) > LONGEST and not stack.balancer.certificates:
            yield Problem(
                f"{at}/routes",
                f'"{pattern}" has {len(host)} characters in its host; ACM makes certificates for {LONGEST} at most',
                "name an existing certificate in quayside:balancer/certificates",
            )
    if one.native:
        yield from _check_native(at, service, one)


def _check_native(at: str, service: Service, one: _Behind) -> Iterator[Problem]:
    strategy = service.rollout.strategy if service.rollout else ""
    otherwise = f"or set {at}/rollout/strategy to rolling"
    if not one.routes:
        yield Problem(
            f"{at}/rollout/strategy",
            f"{strategy} moves the requests of a route, and this service has none",
            f"add a route, {otherwise}",
        )
        return
    paths = sorted({route.path for route in one.routes})
    if len(paths) > 1:
        yield Problem(
            f"{at}/routes",
            f"{strategy} needs one listener rule, which ECS moves; {len(paths)} paths need {len(paths)}: "
            f"{', '.join(paths)}",
            f"keep one path here and give the others to another service, {otherwise}",
        )
        return
    values = 0 if paths == ["/"] else 2
    if len(one.routes) + values > CONDITION_VALUES:
        with_paths = f" and the {values} values of {paths[0]}" if values else ""
        yield Problem(
            f"{at}/routes",
            f"{strategy} needs one listener rule, which ECS moves; it holds {CONDITION_VALUES} values, and "
            f"{len(one.routes)} hosts{with_paths} are {len(one.routes) + values}",
            f"keep {CONDITION_VALUES - values} hosts, {otherwise}",
        )
    if len({priorities.labels(route) for route in one.routes}) > 1:
        hosts = ", ".join(route.host for route in one.routes)
        yield Problem(
            f"{at}/routes",
            f"{strategy} needs one listener rule, which ECS moves, and one priority cannot be right for {hosts}: "
            "exact hosts come before those with *, and longer ones before shorter",
            f"keep hosts of one kind here, {otherwise}",
        )
    first = one.patterns[0]
    for pattern in service.priority:
        if pattern in one.patterns[1:]:
            yield Problem(
                f"{at}/priority/{pattern}", f'is part of the rule of "{first}"', f'pin "{first}", or list it first'
            )


def _twins(services: Mapping[str, Service]) -> Iterator[Problem]:
    """Services whose name is what another one's second target group is called."""
    for name, service in sorted(services.items()):
        role = "canary" if service.canary else "alt" if is_native(service) else ""
        twin = f"{name}-{role}"
        if role and twin in services:
            what = "canary" if service.canary else "second target group"
            yield Problem(f"services/{twin}", f"is what {name}'s {what} is called", f"rename {twin}")


def _same_groups(behind: Mapping[str, _Behind]) -> Iterator[Problem]:
    """A long name is cut, and a hash put behind: as good as never the same twice, and refused if it is."""
    owners: dict[str, str] = {}
    for name, one in behind.items():
        for group in one.groups:
            owner = owners.setdefault(group.name, name)
            # The canary's and the second group's of a short name are `_twins`.
            if owner != name and name not in {f"{owner}-canary", f"{owner}-alt"}:
                yield Problem(
                    f"services/{name}", f"has a target group called {group.name}, as {owner} has", "rename it"
                )


def _elsewhere(behind: Mapping[str, _Behind]) -> Iterator[Problem]:
    """DNS leads a host to one balancer, so all that can answer for it has to be there."""
    homes: dict[str, dict[int, str]] = {}
    whole: set[str] = set()
    for name, one in behind.items():
        for route in one.routes:
            homes.setdefault(route.host, {}).setdefault(one.number, name)
            whole |= {route.host} if route.path == "/" else set()
    for host, numbers in sorted(homes.items()):
        (number, owner), *others = sorted(numbers.items())
        for other, name in others:
            yield Problem(
                f"services/{name}/balancer",
                f"{host} leads to balancer {number}, where {owner} has it, so a route on balancer {other} gets no "
                "requests",
                f"set balancer: {number}, or take the route out",
            )
        if host in whole:
            continue  # nothing falls through to a wildcard
        for wide, others_numbers in sorted(homes.items()):
            if wide != host and priorities.covers(wide, host) and number not in others_numbers:
                wide_number, wide_owner = min(others_numbers.items())
                yield Problem(
                    f"services/{owner}/balancer",
                    f"{host} leads to balancer {number}, and what its routes leave over is for {wide} of {wide_owner} "
                    f"on balancer {wide_number}",
                    f"set balancer: {wide_number}, or add a route for the whole of {host}",
                )
