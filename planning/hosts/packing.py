"""Puts items into bins: the same ones into the same bins, whatever else comes or goes, for as long as they fit there.

There is no memory of where anything ran (decisions.md 21), so stability has to come from names alone. Every pair of a
slot and a host has a score, a hash of both names weighted by the host's size (weighted rendezvous hashing). The pairs
are taken from the best score down, each where there is still room: a new host gets slots through its own pairs, a lost
host's slots go to their next pair, and neither disturbs pairs with a better score. What finds no room gets it where
slots that are no larger can give way, and larger ones where its service would else be twice on one host; when that
fails too, stability is given up and everything is packed by first fit, decreasing.

No rule without a memory can do entirely without moves: of three slots that need half a host each, on two hosts, two
have the same favourite host, whatever the rule, and which of them is there depends on the others. On fleets up to
three quarters full, a service that comes or goes moves 0.1 (20 hosts) to 0.6 (3 hosts) slots of others on the mean,
and a host 0.4 % to 7 % of the slots beside its own; tests/property/test_hosts_placement_properties.py holds it to that.
Taking slots in a fixed order, or large ones first, moved two to three times as much.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Surge = Literal["all", "largest"]
Scores = Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One slot to be placed."""

    slot: str
    service: str
    memory: int
    cpu: int
    """Thousandths of a vCPU."""
    surges: bool
    """Whether a release runs a second one beside it: not so for stateful services."""
    hosts: frozenset[str]
    """Where it may go."""
    alone: bool = False
    """Whether a host takes one slot of the service at most."""
    ports: frozenset[str] = frozenset()
    """Ports of the host that it takes, which no other service on the host may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """One host that takes items."""

    name: str
    memory: int
    cpu: int
    """Thousandths of a vCPU."""


@dataclass(slots=True)
class Load:
    """What is on one host."""

    bin: Bin
    surge: Surge
    most: int
    """Slots of one service that fit its network."""
    items: dict[str, Item] = field(default_factory=dict[str, Item])
    steady: int = 0
    cpu: int = 0
    counts: dict[str, int] = field(default_factory=dict[str, int])
    released: dict[str, int] = field(default_factory=dict[str, int])
    """Service → memory that a release of it needs on top."""

    @property
    def extra(self) -> int:
        """Memory kept for a release."""
        sizes = self.released.values()
        return sum(sizes) if self.surge == "all" else max(sizes, default=0)

    def needs(self, item: Item) -> tuple[int, int]:
        """Memory, with the room for a release, and CPU that there would be used with ``item``."""
        if not item.surges:
            return self.steady + item.memory + self.extra, self.cpu + item.cpu
        if self.surge == "all":
            return self.steady + 2 * item.memory + self.extra, self.cpu + item.cpu
        extra = max(self.extra, self.released.get(item.service, 0) + item.memory)
        return self.steady + item.memory + extra, self.cpu + item.cpu

    def fits(self, item: Item) -> bool:
        memory, cpu = self.needs(item)
        if memory > self.bin.memory or cpu > self.bin.cpu or self.bin.name not in item.hosts:
            return False
        count = self.counts.get(item.service, 0)
        if count >= (1 if item.alone else self.most):
            return False
        return not item.ports or not any(
            item.ports & other.ports for other in self.items.values() if other.service != item.service
        )

    def add(self, item: Item) -> None:
        self._change(item, 1)
        self.items[item.slot] = item

    def remove(self, item: Item) -> None:
        self._change(item, -1)
        del self.items[item.slot]

    def _change(self, item: Item, sign: int) -> None:
        self.steady += sign * item.memory
        self.cpu += sign * item.cpu
        self.counts[item.service] = self.counts.get(item.service, 0) + sign
        if item.surges:
            self.released[item.service] = self.released.get(item.service, 0) + sign * item.memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Where the items went, and those that no order found room for."""

    places: Mapping[str, str]
    """Slot → host."""
    left: Sequence[Item]
    by: Literal["scores", "first-fit"]


def pack(items: Iterable[Item], bins: Iterable[Bin], surge: Surge, most: int, seed: str) -> Packed:
    """Place the items. With some left over, ``places`` holds what fits beside them."""
    items = sorted(items, key=lambda item: item.slot)
    bins = sorted(bins, key=lambda one: one.name)

    def empty() -> dict[str, Load]:
        return {one.name: Load(one, surge, most) for one in bins}

    scores = {(item.slot, one.name): _score(seed, item.slot, one) for item in items for one in bins}
    best = _stable(items, empty(), scores)
    if not best.left:
        return best
    for order in _orders(bins):
        for spread in (True, False):
            for hosts in (bins, sorted(bins, key=lambda one: (-one.memory, -one.cpu, one.name))):
                packed = _first_fit(sorted(items, key=order), hosts, empty(), spread=spread)
                if not packed.left:
                    return packed
    return best


def _score(seed: str, slot: str, one: Bin) -> float:
    """Weighted rendezvous hashing: a host wins a slot with a probability that is its share of all the memory."""
    digest = hashlib.blake2b(f"{seed}\0{slot}\0{one.name}".encode(), digest_size=8).digest()
    return max(1, one.memory) / -math.log((int.from_bytes(digest) + 0.5) / 2**64)


def _size(item: Item) -> int:
    return item.memory * (2 if item.surges else 1)


# --- by scores -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Evenly:
    """How many slots of one service a host takes while they are spread evenly: none has two more than another."""

    each: int
    more: int
    """Hosts that take one more than ``each``."""

    def allows(self, count: int) -> bool:
        return count < self.each or (count == self.each and self.more > 0)

    def took(self, count: int) -> None:
        if count == self.each:
            self.more -= 1


def _stable(items: Sequence[Item], loads: Mapping[str, Load], scores: Scores) -> Packed:
    evenly = _evenly(items)
    by_slot = {item.slot: item for item in items}
    places: dict[str, str] = {}
    pairs = sorted(((scores[item.slot, host], item.slot, host) for item in items for host in item.hosts), reverse=True)
    for _, slot, host in pairs:
        if slot in places:
            continue
        item, load = by_slot[slot], loads[host]
        count = load.counts.get(item.service, 0)
        if evenly[item.service].allows(count) and load.fits(item):
            evenly[item.service].took(count)
            load.add(item)
            places[slot] = host
    for item in sorted(items, key=lambda item: (-_size(item), item.slot)):
        if item.slot not in places:
            _make_room(item, loads, scores, places)
    return Packed(places=places, left=[item for item in items if item.slot not in places], by="scores")


def _evenly(items: Iterable[Item]) -> Mapping[str, _Evenly]:
    slots: dict[str, int] = {}
    hosts: dict[str, int] = {}
    for item in items:
        slots[item.service] = slots.get(item.service, 0) + 1
        hosts[item.service] = max(1, len(item.hosts))
    return {name: _Evenly(count // hosts[name], count % hosts[name]) for name, count in slots.items()}


def _make_room(item: Item, loads: Mapping[str, Load], scores: Scores, places: dict[str, str]) -> None:
    """Find a place where fewest slots of the service are, then any; at either, rather a free one than a cleared one."""
    counts = {host: loads[host].counts.get(item.service, 0) for host in item.hosts}
    hosts = sorted(item.hosts, key=lambda host: (counts[host], -scores[item.slot, host]))
    fewest = [host for host in hosts if counts[host] == counts[hosts[0]]]
    for candidates in (fewest, hosts[len(fewest) :]):
        for host in candidates:
            if loads[host].fits(item):
                loads[host].add(item)
                places[item.slot] = host
                return
        for host in candidates:
            if _clear(item, host, loads, scores, places, largest=_size(item)):
                return
        # Two slots on one host, while another host has none, is worse than a larger slot that moves.
        for host in candidates if candidates is fewest else ():
            if _clear(item, host, loads, scores, places, largest=loads[host].bin.memory):
                return


def _clear(
    item: Item, host: str, loads: Mapping[str, Load], scores: Scores, places: dict[str, str], *, largest: int
) -> bool:
    """Let others up to a size give way, those first that are least attached to the host. Enough, or none."""
    load = loads[host]
    others = [other for other in load.items.values() if other.service != item.service and _size(other) <= largest]
    moved: list[tuple[Item, str]] = []
    for other in sorted(others, key=lambda other: (scores[other.slot, host], other.slot)):
        target = _best(other, loads, scores)
        if target is None:
            continue
        load.remove(other)
        loads[target].add(other)
        moved.append((other, target))
        if load.fits(item):
            load.add(item)
            places[item.slot] = host
            places.update((other.slot, target) for other, target in moved)
            return True
    for other, target in moved:
        loads[target].remove(other)
        load.add(other)
    return False


def _best(item: Item, loads: Mapping[str, Load], scores: Scores) -> str | None:
    """The best host with room for it and none of its service."""
    free = [host for host in item.hosts if not loads[host].counts.get(item.service) and loads[host].fits(item)]
    return max(free, key=lambda host: scores[item.slot, host], default=None)


# --- first fit, decreasing -------------------------------------------------------------------------------------------


def _orders(bins: Sequence[Bin]) -> Iterable[Callable[[Item], tuple[float, str]]]:
    memory = max((one.memory for one in bins), default=1) or 1
    cpu = max((one.cpu for one in bins), default=1) or 1
    yield lambda item: (-item.memory, item.slot)
    yield lambda item: (-_size(item), item.slot)
    yield lambda item: (-item.cpu, item.slot)
    yield lambda item: (-max(_size(item) / memory, item.cpu / cpu), item.slot)
    # Those with little choice first.
    yield lambda item: (len(item.hosts) - _size(item) / memory / 2, item.slot)


def _first_fit(items: Iterable[Item], bins: Sequence[Bin], loads: Mapping[str, Load], *, spread: bool) -> Packed:
    places: dict[str, str] = {}
    left: list[Item] = []
    for item in items:
        fitting = [one.name for one in bins if loads[one.name].fits(item)]
        if not fitting:
            left.append(item)
            continue
        host = min(fitting, key=lambda name: loads[name].counts.get(item.service, 0)) if spread else fitting[0]
        loads[host].add(item)
        places[item.slot] = host
    return Packed(places=places, left=left, by="first-fit")
