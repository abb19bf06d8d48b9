"""What AWS allows on one load balancer, and which services to move where it is too much.

Nobody is moved implicitly: a message names services that together free enough, and the balancers that take them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from planning.aws import priorities
from planning.aws.certificates import certificates
from planning.routes import Route
from settings.problems import Problem
from settings.stack import Stack

TARGET_GROUPS = 100
"""Target groups of an Application Load Balancer; not adjustable (AWS: "Quotas for your Application Load Balancers")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one service takes of its balancer."""

    groups: int
    public: int
    """Listener rules for its routes."""
    health: int
    """Listener rules for its health."""
    targets: int
    routes: Sequence[Route]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    measure: Callable[[Sequence[Load]], int]
    most: int
    path: str
    said: Callable[[Sequence[Load]], str]
    raised: str
    """What helps beside moving."""


def check_limits(loads: Mapping[str, tuple[int, Load]], stack: Stack) -> Iterator[Problem]:
    """``loads``: service → its balancer, and what it takes there."""
    limits = _limits(stack)
    used = {number for number, _ in loads.values()}
    free = (number for number in count(1) if number not in used)
    for number in sorted(used):
        here = {name: load for name, (own, load) in sorted(loads.items()) if own == number}
        broken = [limit for limit in limits if limit.measure(list(here.values())) > limit.most]
        if not broken:
            continue
        moves = _moves(here, limits, broken, stack.domain, free)
        advice = " and ".join(f"balancer: {target} for {', '.join(names)}" for target, names in moves.items())
        for limit in broken:
            yield Problem(
                limit.path,
                f"balancer {number} {limit.said(list(here.values()))}",
                f"set {advice}{limit.raised}" if advice else _stuck(limit),
            )
    existing = len(stack.balancer.certificates) - 1
    if existing > stack.quotas.certificates_per_balancer:
        yield Problem(
            "quayside:balancer/certificates",
            f"{existing} certificates beside the default one; a balancer may have "
            f"{stack.quotas.certificates_per_balancer}",
            "have AWS raise the quota, and set quayside:quotas/certificates_per_balancer to it",
        )


def _stuck(limit: _Limit) -> str:
    raised = f"{limit.raised.removeprefix(', or ')}, or " if limit.raised else ""
    return f"its services share their hosts, so that none can move alone: {raised}give some a host of their own"


def _limits(stack: Stack) -> Sequence[_Limit]:
    quotas = stack.quotas
    raised = ", or have AWS raise the quota and set {} to it"

    def rules(loads: Sequence[Load]) -> int:
        # AWS counts the rules of all listeners, but for the default ones.
        return sum(load.public + load.health for load in loads)

    def extra(loads: Sequence[Load]) -> int:
        hosts = {route.host for load in loads for route in load.routes}
        return 0 if stack.balancer.certificates else max(0, len(certificates(hosts, stack.domain)) - 1)

    def rules_said(loads: Sequence[Load]) -> str:
        public = sum(load.public for load in loads)
        return (
            f"needs {rules(loads)} listener rules, {public} for routes and {rules(loads) - public} for health, "
            f"and may have {quotas.rules_per_balancer}"
        )

    return (
        _Limit(
            measure=lambda loads: sum(load.groups for load in loads),
            most=TARGET_GROUPS,
            path="quayside:balancer",
            said=lambda loads: (
                f"needs {sum(load.groups for load in loads)} target groups, and AWS allows {TARGET_GROUPS}, always"
            ),
            raised="",
        ),
        _Limit(
            measure=rules,
            most=quotas.rules_per_balancer,
            path="quayside:quotas/rules_per_balancer",
            said=rules_said,
            raised=raised.format("quayside:quotas/rules_per_balancer"),
        ),
        _Limit(
            measure=extra,
            most=quotas.certificates_per_balancer,
            path="quayside:quotas/certificates_per_balancer",
            said=lambda loads: (
                f"needs {extra(loads)} certificates beside the default one, and may have "
                f"{quotas.certificates_per_balancer}"
            ),
            raised=raised.format("quayside:quotas/certificates_per_balancer"),
        ),
        _Limit(
            measure=lambda loads: sum(load.targets for load in loads),
            most=quotas.targets_per_balancer,
            path="quayside:quotas/targets_per_balancer",
            said=lambda loads: (
                f"may have {sum(load.targets for load in loads)} targets at once, counting every replica and its "
                f"replacement in a release, and is allowed {quotas.targets_per_balancer}"
            ),
            raised=raised.format("quayside:quotas/targets_per_balancer"),
        ),
    )


def _moves(
    here: Mapping[str, Load], limits: Sequence[_Limit], broken: Sequence[_Limit], domain: str, free: Iterator[int]
) -> Mapping[int, Sequence[str]]:
    """Balancer → services to move there: those that free most, but the stack's own domain last."""

    def fits(units: Sequence[Sequence[str]]) -> bool:
        loads = [here[name] for unit in units for name in unit]
        return all(limit.measure(loads) <= limit.most for limit in limits)

    def weight(unit: Sequence[str]) -> float:
        rest = [load for name, load in here.items() if name not in unit]
        return -sum(limit.measure(rest) / limit.most for limit in broken)

    def home(unit: Sequence[str]) -> bool:
        return any(route.host == domain for name in unit for route in here[name].routes)

    units = sorted(_units(here), key=lambda unit: (home(unit), -weight(unit), unit))
    moving: list[Sequence[str]] = []
    staying = [unit for unit in units if fits([unit])]
    stuck = [unit for unit in units if not fits([unit])]
    while staying and len(staying) + len(stuck) > 1 and not fits([*staying, *stuck]):
        moving.append(staying.pop(0))
    if not fits([*staying, *stuck]):
        return {}
    targets: dict[int, list[Sequence[str]]] = {}
    for unit in moving:
        target = next((number for number, there in targets.items() if fits([*there, unit])), None)
        targets.setdefault(next(free) if target is None else target, []).append(unit)
    return {target: sorted(name for unit in there for name in unit) for target, there in targets.items()}


def _units(here: Mapping[str, Load]) -> Sequence[Sequence[str]]:
    """Services that only move together, since a host leads to one balancer."""
    units: list[set[str]] = []
    hosts: list[set[str]] = []
    for name, load in here.items():
        own = {route.host for route in load.routes}
        tied = [index for index, others in enumerate(hosts) if any(_tied(one, two) for one in own for two in others)]
        units.append({name}.union(*(units[index] for index in tied)))
        hosts.append(own.union(*(hosts[index] for index in tied)))
        for index in reversed(tied):
            del units[index], hosts[index]
    return [sorted(unit) for unit in units]


def _tied(one: str, two: str) -> bool:
    return one == two or priorities.covers(one, two) or priorities.covers(two, one)
