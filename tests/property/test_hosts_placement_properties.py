"""Placement, on generated fleets: nothing overfull, replicas spread, and as few moves as can be without a memory.

That some moves cannot be avoided is shown in planning/hosts/packing.py, so the bounds are of three kinds: strict ones
where every slot has its favourite host, strict ones on a single fleet that allow for chance, and close ones on the mean
of many fleets of fixed seeds.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from planning.hosts.fleet import fleet
from planning.hosts.misfits import MOST
from planning.hosts.model import Placement
from planning.hosts.packing import Bin, Item, Load, Packed, pack
from planning.hosts.placement import place
from settings.stack import Stack

FEW = settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))

Surge = Literal["all", "largest"]
SURGES: tuple[Surge, ...] = ("all", "largest")
Services = Mapping[str, Sequence[Item]]


def items_of(name: str, memory: int, count: int, hosts: frozenset[str], **values: object) -> list[Item]:
    made = Item(slot="", service=name, memory=memory, cpu=100, surges=True, hosts=hosts)
    return [replace(made, slot=f"{name}-{number}", **values) for number in range(1, count + 1)]  # type: ignore[arg-type]


def run(services: Services, bins: Sequence[Bin], surge: Surge = "all") -> Packed:
    """Place services, every slot of which may go anywhere."""
    names = frozenset(one.name for one in bins)
    items = [replace(item, hosts=names) for of in services.values() for item in of]
    return pack(items, bins, surge, MOST, "shop/staging")


def full(services: Services, bins: Sequence[Bin]) -> float:
    """How full the fleet is, with the room for a release of everything."""
    return sum(2 * item.memory for of in services.values() for item in of) / sum(one.memory for one in bins)


def moved(before: Packed, after: Packed) -> set[str]:
    return {slot for slot, host in before.places.items() if after.places.get(slot, host) != host}


# --- fleets ----------------------------------------------------------------------------------------------------------


SIZES = (4096, 8192, 16384)


def a_fleet(
    rng: random.Random, hosts: int, fill: float, sizes: Sequence[int] = SIZES, largest: int = 512
) -> tuple[Services, list[Bin]]:
    """Hosts filled with services of one to four replicas, each of up to an eighth of the smallest host."""
    bins = [Bin(name=f"host{number}", memory=rng.choice(sizes), cpu=10**6) for number in range(1, hosts + 1)]
    names = frozenset(one.name for one in bins)
    services: dict[str, Sequence[Item]] = {}
    while True:
        name = f"s{rng.randrange(10**6)}"
        count = rng.randint(1, min(4, hosts))
        made = items_of(name, rng.choice([size for size in (64, 128, 256, 512) if size <= largest]), count, names)
        if full({**services, name: made}, bins) > fill:
            return services, bins
        services[name] = made


@st.composite
def fleets(draw: st.DrawFn, sizes: Sequence[int] = SIZES, least: int = 2) -> tuple[Services, list[Bin]]:
    seed = draw(st.integers(0, 2**32))
    return a_fleet(random.Random(seed), draw(st.integers(least, 8)), draw(st.floats(0.1, 0.75)), sizes)


@st.composite
def tight(draw: st.DrawFn) -> tuple[list[Item], list[Bin], Surge]:
    """Anything at all, overfull fleets included: pins, ports, stateful services, large items."""
    bins = [
        Bin(name=f"host{number}", memory=draw(st.integers(50, 400)), cpu=draw(st.integers(100, 2000)))
        for number in range(1, draw(st.integers(1, 5)) + 1)
    ]
    names = [one.name for one in bins]
    items: list[Item] = []
    for number in range(draw(st.integers(0, 8))):
        items += items_of(
            f"s{number}",
            draw(st.integers(1, 150)),
            draw(st.integers(1, 4)),
            frozenset(draw(st.sets(st.sampled_from(names), min_size=1))),
            cpu=draw(st.sampled_from([0, 100, 400])),
            surges=draw(st.booleans()),
            alone=draw(st.sampled_from([False, False, True])),
            ports=draw(st.sampled_from([frozenset(), frozenset(), frozenset({"tcp/25"})])),
        )
    return items, bins, draw(st.sampled_from(SURGES))


# --- never too much --------------------------------------------------------------------------------------------------


@MANY
@given(tight())
def test_no_host_is_ever_given_more_than_it_has(case: tuple[list[Item], list[Bin], Surge]) -> None:
    items, bins, surge = case
    packed = pack(items, bins, surge, MOST, "x")
    assert {*packed.places, *(item.slot for item in packed.left)} == {item.slot for item in items}
    assert not packed.places.keys() & {item.slot for item in packed.left}
    for one in bins:
        here = [item for item in items if packed.places.get(item.slot) == one.name]
        release = Counter[str]()
        for item in here:
            release[item.service] += item.memory if item.surges else 0
        extra = sum(release.values()) if surge == "all" else max(release.values(), default=0)
        assert sum(item.memory for item in here) + extra <= one.memory
        assert sum(item.cpu for item in here) <= one.cpu
        assert all(one.name in item.hosts for item in here)
        services = Counter(item.service for item in here)
        assert all(count <= MOST for count in services.values())
        assert all(services[item.service] == 1 for item in here if item.alone)
        owners = Counter(port for port, _ in {(port, item.service) for item in here for port in item.ports})
        assert all(count == 1 for count in owners.values())


def first_fit(items: Sequence[Item], bins: Sequence[Bin], surge: Surge) -> bool:
    """The measure: first fit, decreasing, as textbooks have it."""
    loads = {one.name: Load(one, surge, MOST) for one in bins}
    for item in sorted(items, key=lambda item: (-item.memory, item.slot)):
        fitting = next((load for load in loads.values() if load.fits(item)), None)
        if fitting is None:
            return False
        fitting.add(item)
    return True


@MANY
@given(tight(), st.randoms())
def test_whatever_first_fit_decreasing_fits_fits(case: tuple[list[Item], list[Bin], Surge], rng: random.Random) -> None:
    items, bins, surge = case
    for order in (
        sorted(bins, key=lambda one: one.name),
        sorted(bins, key=lambda one: (-one.memory, -one.cpu, one.name)),
    ):
        if first_fit(items, order, surge):
            assert not pack(items, bins, surge, MOST, f"{rng.random()}").left


@MANY
@given(tight(), st.randoms())
def test_the_order_of_files_does_not_matter(case: tuple[list[Item], list[Bin], Surge], rng: random.Random) -> None:
    items, bins, surge = case
    first = pack(items, bins, surge, MOST, "x")
    rng.shuffle(items)
    rng.shuffle(bins)
    assert pack(items, bins, surge, MOST, "x") == first


# --- spread ----------------------------------------------------------------------------------------------------------


def assert_spread(services: Services, packed: Packed, bins: Sequence[Bin]) -> None:
    for of in services.values():
        on = Counter(packed.places[item.slot] for item in of)
        assert len(on) == min(len(of), len(bins))
        assert max(on.values()) <= -(-len(of) // len(bins))


# Of hosts of one size: with others, the small ones may have no room for a replica of every service.
@MANY
@given(fleets(sizes=[4096]))
# A small slot whose only host without one of its service is full of larger slots.
@example(a_fleet(random.Random(447), 2, 0.75, [4096]))
@example(a_fleet(random.Random(326), 4, 0.75, [4096]))
def test_replicas_are_on_different_hosts_while_there_are_any(case: tuple[Services, list[Bin]]) -> None:
    services, bins = case
    packed = run(services, bins)
    assert not packed.left
    assert packed.by == "scores"
    assert_spread(services, packed, bins)


@FEW
@given(fleets(sizes=[8192]))
def test_spread_is_kept_when_hosts_come_and_go(case: tuple[Services, list[Bin]]) -> None:
    services, bins = case
    for others in ([*bins, Bin(name="new", memory=8192, cpu=10**6)], bins[1:]):
        if full(services, others) <= 0.75:
            assert_spread(services, run(services, others), others)


# --- moves: where every slot has its favourite host, strictly ---------------------------------------------------------


@FEW
@given(st.sets(st.integers(0, 10**6), min_size=1, max_size=40), st.integers(1, 12), st.integers(0, 10**6))
def test_with_room_for_all_only_what_must_moves(numbers: set[int], hosts: int, unrelated: int) -> None:
    bins = [Bin(name=f"host{number}", memory=1000 * (1 + number % 3), cpu=10**6) for number in range(1, hosts + 1)]
    names = frozenset(one.name for one in bins)
    services = {f"s{number}": items_of(f"s{number}", 1, 1, names) for number in numbers}
    before = run(services, bins)
    new = Bin(name="new", memory=2000, cpu=10**6)
    after = run(services, [*bins, new])
    assert all(after.places[slot] == "new" for slot in moved(before, after))
    gone = run(services, bins[1:]) if hosts > 1 else before
    assert all(before.places[slot] == bins[0].name for slot in moved(before, gone))
    other = run({**services, "other": items_of("other", 1 + unrelated % 100, 1, names)}, bins)
    assert not moved(before, other)


# --- moves: up to three quarters full ---------------------------------------------------------------------------------


@MANY
@given(fleets(least=3))
def test_moves_stay_in_bounds_on_every_fleet(case: tuple[Services, list[Bin]]) -> None:
    services, bins = case
    before = run(services, bins)
    total = len(before.places)
    new = Bin(name="new", memory=8192, cpu=10**6)
    share = new.memory / (new.memory + sum(one.memory for one in bins))
    # The fair share and four standard deviations of chance, and a quarter of the slots for those that give way.
    chance = 4 * (total * share) ** 0.5 + 1
    assert len(moved(before, run(services, [*bins, new]))) <= total * share + chance + total / 4
    for lost in bins:
        others = [one for one in bins if one is not lost]
        if full(services, others) <= 0.75:
            own = {slot for slot, host in before.places.items() if host == lost.name}
            assert len(moved(before, run(services, others)) - own) <= chance + total / 4
    for name in list(services)[:3]:
        fewer = {other: of for other, of in services.items() if other != name}
        assert len(moved(before, run(fewer, bins))) <= 4 + total / 4


def several(hosts: int, fill: float) -> Iterator[tuple[Services, list[Bin]]]:
    for seed in range(40 if hosts <= 10 else 12):
        yield a_fleet(random.Random(seed), hosts, fill)


@pytest.mark.parametrize(
    ("hosts", "fill", "added", "others", "unrelated"),
    # For a new host, in fair shares; of slots on other hosts, when one is lost; by a service that goes.
    [
        *[(3, 0.5, 1.35, 0.06, 0.5), (3, 0.75, 1.5, 0.08, 1.0), (5, 0.75, 1.5, 0.06, 1.0)],
        *[(10, 0.75, 1.3, 0.03, 1.0), (20, 0.5, 1.2, 0.02, 0.6), (20, 0.75, 1.3, 0.02, 1.0)],
    ],
)
def test_moves_are_few_on_the_mean(hosts: int, fill: float, added: float, others: float, unrelated: float) -> None:
    fair = came = strays = slots = changes = disturbed = 0.0
    for services, bins in several(hosts, fill):
        before = run(services, bins)
        assert before.by == "scores"
        new = Bin(name="new", memory=8192, cpu=10**6)
        after = run(services, [*bins, new])
        fair += len(before.places) * new.memory / (new.memory + sum(one.memory for one in bins))
        came += len(moved(before, after))
        # Backwards it is the loss of a host.
        strays += sum(after.places[slot] != "new" for slot in moved(before, after))
        slots += len(before.places)
        for name in list(services)[:3]:
            without = run({other: of for other, of in services.items() if other != name}, bins)
            changes += 1
            disturbed += len(moved(before, without))
    print(
        f"{hosts} hosts {fill}: {came / fair:.2f} fair shares, {strays / slots:.3f} others, {disturbed / changes:.2f}"
    )
    assert came <= added * fair
    assert strays <= others * slots
    assert disturbed <= unrelated * changes


# --- whole stacks ----------------------------------------------------------------------------------------------------

MIB = 1024**2


def placed(services: Mapping[str, object], hosts: int, droplets: int = 0, **values: object) -> Placement:
    stack = Stack.model_validate(
        {
            "project": "shop",
            "name": "prod",
            "cloud": "hetzner",
            "services": services,
            "capacity": {"location": "fsn1", "hosts": {"count": hosts, "type": "cx42"}},
            "burst": {"droplets": droplets, "services": sorted(services)[:2]},
            **values,
        }
    )
    found, problems = fleet(stack)
    assert not problems
    placement, problems = place(stack, found)
    assert not problems
    return placement


def canary_of(replicas: int, share: int) -> dict[str, object]:
    canary = {"image": "b", "share": share}
    return {"image": "a", "port": 80, "memory": 64 * MIB, "replicas": replicas, "cpu": 0.01, "canary": canary}


@st.composite
def some_services(draw: st.DrawFn) -> dict[str, dict[str, object]]:
    services: dict[str, dict[str, object]] = {}
    for number in range(draw(st.integers(1, 6))):
        services[f"s{number}"] = {
            "image": "a",
            "port": 80,
            "memory": draw(st.sampled_from([64, 128, 512])) * MIB,
            "replicas": draw(st.integers(0, 5)),
            "cpu": draw(st.sampled_from([0.01, 0.25, 0.5])),
        }
        if draw(st.booleans()):
            services[f"s{number}"]["canary"] = {"image": "b", "share": draw(st.integers(1, 99))}
    return services


@FEW
@given(some_services(), st.integers(2, 4), st.integers(0, 4), st.integers(0, 4), st.randoms())
def test_droplets_come_and_go_and_nothing_else_moves(
    services: dict[str, dict[str, object]], hosts: int, some: int, more: int, rng: random.Random
) -> None:
    quiet, peak = placed(services, hosts, some), placed(services, hosts, some + more)
    assert quiet.slots.items() <= peak.slots.items()
    assert set(peak.slots) - set(quiet.slots) <= set(peak.burst)
    assert all(slot.rpartition("_")[2] == peak.slots[slot] for slot in peak.burst)
    shuffled = list(services)
    rng.shuffle(shuffled)
    assert placed({name: services[name] for name in shuffled}, hosts, some) == quiet
    # Every burst service that runs at all is on every droplet.
    for name in sorted(services)[:2]:
        if services[name]["replicas"]:
            assert {f"burst{number}" for number in range(1, some + 1)} <= set(quiet.services[name])


@FEW
@given(some_services(), st.integers(2, 4), st.integers(0, 3))
# Nine other slots, one each at least, would leave 256 on the canaries' host no more than 96.6 %.
@example({"s0": canary_of(3, 99)}, 2, 3)
@example({"s0": canary_of(3, 99)}, 2, 2)
@example({"s0": canary_of(4, 98)}, 3, 3)
def test_weights_are_what_haproxy_takes_and_give_a_canary_its_share(
    services: dict[str, dict[str, object]], hosts: int, droplets: int
) -> None:
    found = placed(services, hosts, droplets)
    assert set(found.weights) == set(found.slots)
    for name, service in services.items():
        shares = found.shares[name]
        mine = {slot: found.weights[slot] for of in found.services[name].values() for slot in of}
        canary = service.get("canary")
        least = 1 if canary is None else 0
        assert all(least <= weight <= 256 for weight in [*mine.values(), *shares.values()])
        assert shares == {host: sum(mine[slot] for slot in of) for host, of in found.services[name].items()}
        if isinstance(canary, dict) and service["replicas"]:
            assert any(weight for slot, weight in mine.items() if "-canary" not in slot)
            got = sum(weight for slot, weight in mine.items() if "-canary" in slot) / sum(mine.values())
            assert abs(got - canary["share"] / 100) < 0.01


def test_twenty_hosts_and_three_hundred_containers_are_planned_in_no_time() -> None:
    services = {f"s{number}": {"image": "a", "port": 80, "memory": 256 * MIB, "replicas": 3} for number in range(100)}
    began = time.process_time()
    found = placed(services, 20, 4)
    assert len(found.slots) > 300
    assert time.process_time() - began < 1


def test_three_hundred_containers_on_twenty_hosts_take_no_time() -> None:
    services, bins = a_fleet(random.Random(7), 20, 0.75)
    while sum(map(len, services.values())) < 300:
        services, bins = a_fleet(random.Random(len(services)), 20, 0.75, largest=256)
    began = time.process_time()
    assert not run(services, bins).left
    assert time.process_time() - began < 1
