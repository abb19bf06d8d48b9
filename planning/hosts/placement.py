"""Which slot runs on which host, with room for a release: exact numbers, before anything is touched.

Replicas and canaries run on permanent hosts, wherever ``place`` lets them. A service of ``burst.services`` gets further
replicas on burst hosts, beside its own: as many for each of their vCPU as it has where it runs, at least one on each,
and as many as fit. So raising ``burst.droplets`` alone adds replicas, lowering it takes just these away again, and
neither moves any other. ``shares`` gives a droplet its part of the requests by the same measure, vCPU against vCPU,
even where one replica has to stand for a fraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from planning.hosts.door import DOOR_MEMORY, has_door
from planning.hosts.misfits import MOST, burst_misfit, misfits
from planning.hosts.model import Fleet, Host, HostUse, Placement
from planning.hosts.packing import Bin, Item, Load, Packed, pack
from planning.hosts.shares import density, parts_of, shares, whole
from planning.hosts.slots import burst_slot, canary_slots, replica_slots, service_of, thousandths
from planning.placement import replica_count
from settings.problems import Problem
from settings.service import Service
from settings.stack import Stack


def place(stack: Stack, fleet: Fleet) -> tuple[Placement, list[Problem]]:
    """Where everything runs, and what has no place. With problems, the placement is what could be decided."""
    problems: list[Problem] = []
    items: list[Item] = []
    stranded = _stranded(stack, fleet)
    unavailable = {service_of(slot) for slots in stranded.values() for slot in slots}
    for name, service in sorted(stack.services.items()):
        if name in unavailable:
            continue
        problem = _misplaced(name, service, fleet)
        if problem is not None:
            problems.append(problem)
        else:
            items += _items(name, service, _choices(service, fleet))
    packed = _pack(stack, items, [host for host in fleet.permanent if host.usable or _holds(stack, host, fleet)])
    problems += misfits(stack, items, packed, _loads(stack, fleet, items, packed.places))
    extra = _on_burst(stack, fleet, packed.places, problems)
    places = {**packed.places, **{item.slot: host for host, given in extra.items() for item in given}}
    ordered = {slot: places[slot] for slot in _in_order(stack, places)}
    parts = {name: list(parts_of(name, stack.services[name], ordered, fleet, packed.places)) for name in stack.services}
    weights = {slot: weight for of in parts.values() for slot, weight in whole(of).items()}
    loads = _loads(stack, fleet, [*items, *(item for given in extra.values() for item in given)], ordered)
    return (
        Placement(
            slots=ordered,
            services={name: _by_host(name, ordered, fleet) for name in sorted(stack.services)},
            burst=tuple(slot for slot in ordered if slot not in packed.places),
            weights=weights,
            shares={name: shares(of, weights) for name, of in sorted(parts.items())},
            use={name: _use(load, fleet.hosts[name]) for name, load in loads.items()},
            stranded=stranded,
            stable=packed.by == "scores",
        ),
        problems,
    )


def _in_order(stack: Stack, places: Mapping[str, str]) -> Iterator[str]:
    burst: dict[str, list[str]] = {}
    for slot in places:
        if "_" in slot:
            burst.setdefault(service_of(slot), []).append(slot)
    for name, service in sorted(stack.services.items()):
        own = (slot for slot in (*replica_slots(name, service), *canary_slots(name, service)) if slot in places)
        yield from own
        yield from burst.get(name, ())


def _items(name: str, service: Service, hosts: Iterable[str]) -> Iterator[Item]:
    for slot in (*replica_slots(name, service), *canary_slots(name, service)):
        yield _item(name, service, slot, frozenset(hosts))


def _item(name: str, service: Service, slot: str, hosts: frozenset[str]) -> Item:
    return Item(
        slot=slot,
        service=name,
        memory=service.memory + (DOOR_MEMORY if has_door(service) else 0),
        cpu=thousandths(service.cpu),
        surges=service.volume is None,
        hosts=hosts,
        # Two of them on one host would want the same port of it.
        alone=service.network == "host" or bool(service.ports),
        ports=frozenset(f"{port.protocol}/{port.port}" for port in service.ports),
    )


def _bin(host: Host) -> Bin:
    return Bin(name=host.name, memory=host.memory, cpu=thousandths(host.cpu))


def _pack(stack: Stack, items: Iterable[Item], hosts: Iterable[Host]) -> Packed:
    return pack(items, map(_bin, hosts), stack.surge, MOST, f"{stack.project}/{stack.name}")


# --- where a service may go ------------------------------------------------------------------------------------------


def _choices(service: Service, fleet: Fleet) -> Sequence[str]:
    """Hosts that a service's own replicas may run on."""
    named = None if service.place is None else fleet.named(service.place)
    return [
        host.name
        for host in fleet.permanent
        if (host.usable or (service.volume is not None and _keeps_data(host))) and (named is None or host.name in named)
    ]


def _keeps_data(host: Host) -> bool:
    """Whether what has its data there stays while it drains: on a disk that goes to the machine it is rebuilt as."""
    return host.kind == "created" and host.draining and not host.down


def _holds(stack: Stack, host: Host, fleet: Fleet) -> bool:
    return _keeps_data(host) and any(
        service.volume is not None and host.name in fleet.named(service.place) for service in stack.services.values()
    )


def _misplaced(name: str, service: Service, fleet: Fleet) -> Problem | None:
    path = f"services/{name}/place"
    if replica_count(service) == 0 and service.canary is None:
        return None
    if service.place is None:
        if service.volume is not None:
            return Problem(
                path,
                "is missing: a service with a volume lives on one named host",
                "write place: NAME, a host of quayside:capacity such as host1",
            )
        return None
    named = fleet.named(service.place)
    if not named:
        # fleet.py tells of names that there are not, and of empty groups.
        return None if service.place in fleet.groups else Problem(path, f'there is no host or group "{service.place}"')
    if service.volume is not None and len(named) != 1:
        return Problem(
            path,
            f"{service.place} is {len(named)} hosts ({', '.join(named)}); a service with a volume lives on exactly one",
            "name the host that has its data",
        )
    rented = [host for host in named if fleet.hosts[host].burst]
    if rented and len(rented) == len(named):
        return Problem(
            path,
            f"{', '.join(rented)} takes part in bursts, and runs what quayside:burst/services names",
            "name a permanent host or group",
        )
    away = [
        host
        for host in (fleet.hosts[one] for one in named)
        if not (host.usable or (service.volume is not None and _keeps_data(host)))
    ]
    if len(away) < len(named) - len(rented):
        return None
    what = " and ".join(f"{host.name} is {'down' if host.down else 'draining'}" for host in away)
    if service.volume is None:
        return Problem(
            path, f"{what}, and {name} may run nowhere else", "name another host or group, or add one to the group"
        )
    # One that is down leaves it unavailable, and the rest of the stack goes on.
    return Problem(
        path,
        f"{what} (quayside:capacity/drain), and the data of {name} is there",
        f"take {away[0].name} out of capacity.drain; or move {name} with its data to another host first "
        '(docs/hosts.md, "Draining and removing a host")',
    )


# --- burst -----------------------------------------------------------------------------------------------------------


def _on_burst(
    stack: Stack, fleet: Fleet, places: Mapping[str, str], problems: list[Problem]
) -> Mapping[str, Sequence[Item]]:
    """Burst host → what runs on it."""
    names = sorted(name for name in (stack.burst.services if stack.burst else ()) if name in stack.services)
    names = [name for name in names if density(name, stack.services[name], places, fleet)]
    result: dict[str, Sequence[Item]] = {}
    for host in fleet.burst:
        if not host.usable or not names:
            continue
        wanted = {
            name: max(1, round(density(name, stack.services[name], places, fleet) * thousandths(host.cpu)))
            for name in names
        }
        while True:
            items = [
                _item(name, stack.services[name], burst_slot(name, number, host.name), frozenset([host.name]))
                for name in names
                for number in range(1, wanted[name] + 1)
            ]
            load = Load(_bin(host), stack.surge, MOST)
            misfit = _fill(load, items)
            if misfit is None:
                result[host.name] = items
                break
            most = max(names, key=lambda name: (wanted[name], name))
            if wanted[most] == 1:
                memory, cpu = load.needs(misfit)
                problems.append(burst_misfit(stack, host, names, memory, cpu))
                break
            wanted[most] -= 1
    return result


def _fill(load: Load, items: Iterable[Item]) -> Item | None:
    """Put items on a host; the first that does not fit."""
    for item in items:
        if not load.fits(item):
            return item
        load.add(item)
    return None


# --- what is told of hosts -------------------------------------------------------------------------------------------


def _by_host(name: str, places: Mapping[str, str], fleet: Fleet) -> Mapping[str, Sequence[str]]:
    mine = [(slot, host) for slot, host in places.items() if service_of(slot) == name]
    return {host: slots for host in fleet.hosts if (slots := tuple(slot for slot, where in mine if where == host))}


def _loads(stack: Stack, fleet: Fleet, items: Iterable[Item], places: Mapping[str, str]) -> Mapping[str, Load]:
    used = [host for host in fleet.hosts.values() if host.usable or _holds(stack, host, fleet)]
    loads = {host.name: Load(_bin(host), stack.surge, MOST) for host in used}
    for item in items:
        if item.slot in places:
            loads[places[item.slot]].add(item)
    return loads


def _use(load: Load, host: Host) -> HostUse:
    return HostUse(
        host=host.name,
        slots=tuple(sorted(load.items)),
        memory=load.steady,
        surge=load.extra,
        memory_total=host.memory,
        cpu=load.cpu / 1000,
        cpu_total=host.cpu,
    )


def _stranded(stack: Stack, fleet: Fleet) -> Mapping[str, Sequence[str]]:
    """What cannot run anywhere else than on a host that is down, since its data is there."""
    found: dict[str, list[str]] = {}
    for name, service in sorted(stack.services.items()):
        named = fleet.named(service.place) if service.volume is not None else ()
        if len(named) == 1 and fleet.hosts[named[0]].down:
            found.setdefault(named[0], []).extend(replica_slots(name, service))
    return {host: tuple(slots) for host, slots in found.items() if slots}
