"""The priority of a listener rule, from its route alone (decisions.md 23).

A listener asks its rules in the order of their priorities, and `planning.routes` lets the most specific route answer.
So there is a band of numbers for every degree of being specific, and a route's place in its band is its hash: nothing
that is added, removed or reordered moves another rule. Two routes on one number are an error that a pin settles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from planning.routes import Route
from settings.problems import Problem

EXACT = (500, 1000, 1500, 3000, 6000, 13000, 20000)
"""Sizes for exact hosts with paths of 6, 5, … 0 parts. What people write most has the most room: 75 routes collide with
90 % in 1,250 numbers, and with 13 % in 20,000."""
WILDCARD = (150, 200, 300, 600)
"""Sizes for hosts with `*` and paths of 3, 2, 1, 0 parts, for each of 5, 4, 3, 2 labels behind the `*.`."""
LABELS = (5, 4, 3, 2)
LAST = 50000
NATIVE = 10
"""Each band's first tenth is for rules that ECS moves. So a route that becomes native, or is it no longer, has another
rule on another number: AWS has no two on one, and Pulumi makes the new before it deletes the old. While both are there,
it is the native one that answers: it is made with all requests on the group that serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A route that needs a priority, and what its rule matches beside it."""

    route: Route
    pattern: str
    """As written, `{domain}` and all."""
    pin: int | None = None
    also: Sequence[Route] = ()
    """Of the same band: routes that one rule carries for several hosts."""
    native: bool = False
    """Whether ECS moves the rule."""

    @property
    def at(self) -> str:
        return f"services/{self.route.service}/priority"

    @property
    def routes(self) -> Sequence[Route]:
        return (self.route, *self.also)


def depth(route: Route) -> int:
    return len([part for part in route.path.split("/") if part])


def labels(route: Route) -> int | None:
    """Labels behind the ``*.`` of a host; None for exact hosts."""
    return route.host.count(".") if route.host.startswith("*.") else None


def band(route: Route, *, native: bool = False) -> range | None:
    """The numbers kept for routes as specific as this one; None for what is deeper or longer than any band."""
    count = labels(route)
    if depth(route) >= (len(EXACT) if count is None else len(WILDCARD)) or not (count is None or count in LABELS):
        return None
    return _nearest(route, native=native)


def slot(route: Route, *, native: bool = False) -> int:
    """The number that belongs to a route: a place in its band, or in the nearest one."""
    numbers = _nearest(route, native=native)
    digest = hashlib.sha256(f"{route.host}{route.path}".encode()).digest()
    return numbers[int.from_bytes(digest[:8]) % len(numbers)]


def assign(claims: Iterable[Claim]) -> tuple[Mapping[tuple[str, str], int], list[Problem]]:
    """Host and path → priority, for the routes of one balancer; and what stands in the way.

    The result does not depend on the order of the claims. A route twice is `planning.routes.check_routes`' business.
    """
    distinct = {
        (claim.route.host, claim.route.path): claim
        for claim in sorted(claims, key=lambda claim: (claim.route.host, claim.route.path, claim.route.service))
    }
    table = _Table(list(distinct.values()))
    problems = [*table.unpinned(), *table.pinned(), *table.homeless()]
    return {key: table.numbers[claim] for key, claim in distinct.items() if claim in table.numbers}, problems


def overlap(one: Route, other: Route) -> bool:
    """Whether some request matches both."""
    paths = sorted((one.path.rstrip("/"), other.path.rstrip("/")), key=len)
    nested = paths[0] == paths[1] or paths[1].startswith(f"{paths[0]}/")
    return nested and (one.host == other.host or covers(one.host, other.host) or covers(other.host, one.host))


def covers(wide: str, host: str) -> bool:
    return wide.startswith("*.") and host.removeprefix("*").endswith(wide[1:])


def _nearest(route: Route, *, native: bool) -> range:
    count = labels(route)
    if count is None:
        start, sizes = 1, EXACT
    else:
        block = LABELS.index(min(max(count, LABELS[-1]), LABELS[0]))
        start, sizes = 1 + sum(EXACT) + block * sum(WILDCARD), WILDCARD
    place = len(sizes) - 1 - min(depth(route), len(sizes) - 1)
    start += sum(sizes[:place])
    ordinary = start + sizes[place] // NATIVE
    return range(start, ordinary) if native else range(ordinary, start + sizes[place])


class _Table:
    """The numbers of one balancer while they are given out."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.claims = claims
        self.numbers: dict[Claim, int] = {}
        for claim in claims:
            if claim.pin is not None:
                self.numbers[claim] = claim.pin
            elif band(claim.route) is not None:
                self.numbers[claim] = slot(claim.route, native=claim.native)
        self.owners: dict[int, Claim] = {}
        self.taken = set(self.numbers.values())
        """Numbers that some route has, or that some message proposes."""
        self.proposals: dict[Claim, int | None] = {}

    def unpinned(self) -> Iterator[Problem]:
        for claim in self.claims:
            if claim.pin is not None or claim not in self.numbers:
                continue
            owner = self.owners.setdefault(self.numbers[claim], claim)
            if owner is not claim:
                yield Problem(
                    claim.at,
                    f'"{claim.pattern}" and {_said(owner, claim)} both fall on priority {self.numbers[claim]}',
                    f"pin one of them: {claim.at}: {self._pin(claim)}",
                )

    def pinned(self) -> Iterator[Problem]:
        for claim in self.claims:
            number = claim.pin
            if number is None:
                continue
            at = f"{claim.at}/{claim.pattern}"
            owner = self.owners.setdefault(number, claim)
            if owner is not claim:
                yield Problem(at, f"{number} is the priority of {_said(owner, claim)}", self._write(claim))
            for other, is_more_specific in self._overlapping(claim):
                theirs = self.numbers.get(other)
                wrong = theirs is not None and (number < theirs if is_more_specific else number > theirs)
                if theirs is None or not wrong or (other.pin is not None and other.pattern < claim.pattern):
                    continue  # of two pins, one is told
                when, what = ("before", "more") if is_more_specific else ("after", "less")
                yield Problem(
                    at,
                    f"{number} is asked {when} {_said(other, claim)} at {theirs}, which is {what} specific "
                    "and matches the same requests",
                    self._write(claim),
                )

    def homeless(self) -> Iterator[Problem]:
        for claim in self.claims:
            if claim in self.numbers:
                continue
            count, parts = labels(claim.route), depth(claim.route)
            most = (len(EXACT) if count is None else len(WILDCARD)) - 1
            if parts > most:
                what = f"{parts} parts in its path, and up to {most} have one"
            else:
                what = f"{count} labels behind its *, and {LABELS[-1]}–{LABELS[0]} have one"
            yield Problem(
                claim.at,
                f'"{claim.pattern}" has no priority of its own: it has {what}',
                f"pin it: {claim.at}: {self._pin(claim)}",
            )

    def _overlapping(self, claim: Claim) -> Iterator[tuple[Claim, bool]]:
        """Other claims that match some of the same requests, and whether each is the more specific one."""
        for other in self.claims:
            if other is claim:
                continue
            pairs = ((one, two) for one in claim.routes for two in other.routes if overlap(one, two))
            pair = next(pairs, None)
            if pair is not None:
                yield other, pair[1].specificity < pair[0].specificity

    def _proposal(self, claim: Claim) -> int | None:
        """A free number, the same in every message about this claim."""
        if claim not in self.proposals:
            self.proposals[claim] = self._free(claim)
        return self.proposals[claim]

    def _free(self, claim: Claim) -> int | None:
        """A number that nobody has and that keeps the order: in the claim's own band, or else anywhere."""
        low, high = 0, LAST + 1
        for other, is_more_specific in self._overlapping(claim):
            theirs = self.numbers.get(other)
            if theirs is not None:
                low, high = (max(low, theirs), high) if is_more_specific else (low, min(high, theirs))
        numbers, start = _nearest(claim.route, native=claim.native), slot(claim.route, native=claim.native)
        for number in (*range(start, numbers.stop), *range(numbers.start, start), *range(low + 1, high)):
            if low < number < high and number not in self.taken:
                self.taken.add(number)
                return number
        return None

    def _pin(self, claim: Claim) -> str:
        return f'{{"{claim.pattern}": {self._proposal(claim) or "…"}}}'

    def _write(self, claim: Claim) -> str:
        free = self._proposal(claim)
        return f"write {free}" if free is not None else "no number is free between its neighbours: pin those as well"


def _said(other: Claim, claim: Claim) -> str:
    """The other route, as it reads in a message about this one."""
    return f'"{other.pattern}"' + ("" if other.route.service == claim.route.service else f" of {other.route.service}")
