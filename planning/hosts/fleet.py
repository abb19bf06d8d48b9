"""The hosts of a fleet: those that are made, those that are there already, and droplets for a peak."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from planning.hosts.model import Architecture, Fleet, Host, Machine
from planning.hosts.servers import droplet_size, like_droplet_size, like_server_type, server_type
from planning.registry import registry_memory
from settings.capacity import Burst, HostCapacity, HostPool
from settings.problems import Problem
from settings.stack import Stack
from settings.types import nearest
from settings.units import MIB

CAPACITY = "quayside:capacity"
BURST = "quayside:burst"
HOSTS = f"{CAPACITY}/hosts"
EXISTING = f"{CAPACITY}/existing"

SYSTEM = 512 * MIB
"""What is kept from containers on every host, beside the edge, the host's registry and `KERNEL_SHARE`.

Measured on Debian 12 with Docker 20.10: dockerd 80–104 MiB, containerd 40–43 MiB, sshd 9 MiB a session and up to 100 of
them while an `up` runs, journald and systemd some 50 MiB. The rest is room for the shims of containers, about 10 MiB
each, and for apt at night.
"""
KERNEL_SHARE = 20
"""One part in so many goes to firmware, kernel and page tables: a 4 GiB machine shows some 3.8 GiB to its system."""

LISTED = 20
"""Names that a message lists."""

MOST_DROPLETS = 50
"""Far above any peak that was ever meant; a typing error would cost money."""


def usable_memory(total: int, own: int) -> int:
    """Bytes for containers of services on a host of ``total`` bytes where the stack's own are limited to ``own``."""
    return max(0, total - total // KERNEL_SHARE - SYSTEM - own)


def _own_memory(stack: Stack) -> int:
    """Bytes of what runs on every host for the stack itself."""
    return stack.edge.memory + registry_memory(stack)


def fleet(stack: Stack) -> tuple[Fleet, list[Problem]]:
    """The fleet of a stack, and everything that is wrong with it. With problems, nothing may be placed on it."""
    problems: list[Problem] = []
    capacity = stack.capacity if isinstance(stack.capacity, HostCapacity) else HostCapacity()
    own = _own_memory(stack)
    found = [
        *_created(capacity, own, problems),
        *_existing(capacity, own, problems),
        *_droplets(stack.burst, own, problems),
    ]
    hosts: dict[str, Host] = {}
    for path, host in found:
        if host.name in hosts:
            problems.append(Problem(path, f'there are two hosts named "{host.name}"', "give each its own name"))
        else:
            hosts[host.name] = host
    declared = list(hosts)
    hosts = _described(hosts, stack, capacity, problems)
    problems += _check_places(stack, capacity, declared)
    problems += _check_burst(stack, hosts)
    problems += _check_size(stack, hosts)
    architecture, mixed = _architecture(hosts.values())
    problems += mixed
    result = Fleet(
        hosts=hosts,
        groups={name: tuple(m for m in members if m in hosts) for name, members in sorted(capacity.groups.items())},
        architecture=architecture,
        balancer=capacity.balancer.type if capacity.balancer else None,
    )
    if not result.permanent and not any(problem.path.startswith((HOSTS, EXISTING)) for problem in problems):
        problems.append(
            Problem(HOSTS, "there is no host to run anything on", "set hosts: {count: 2, type: cx33}, or list existing")
        )
    elif result.permanent and not any(host.usable for host in result.permanent):
        problems.append(
            Problem(
                f"{CAPACITY}/drain",
                "every host is draining or down, so there is nowhere to run anything",
                "leave at least one host out of drain and down",
            )
        )
    if result.balancer and result.permanent and not result.entries:
        problems.append(
            Problem(
                f"{CAPACITY}/balancer",
                "sends to servers that the stack creates, and there is none",
                "remove balancer: DNS then points at the existing servers' edges; or set hosts",
            )
        )
    return result, problems


# --- which hosts -----------------------------------------------------------------------------------------------------


def _created(capacity: HostCapacity, own: int, problems: list[Problem]) -> Iterator[tuple[str, Host]]:
    pool = capacity.hosts
    if isinstance(pool, HostPool):
        for index, number in enumerate(pool.skip):
            if number > pool.count:
                problems.append(
                    Problem(
                        f"{HOSTS}/skip/{index}",
                        f"should be 1–{pool.count}, since count is {pool.count} and hosts are numbered up to it; "
                        f"got {number}",
                        "remove it",
                    )
                )
            elif number in pool.skip[:index]:
                problems.append(Problem(f"{HOSTS}/skip/{index}", f"{number} is there twice", "remove one"))
        machine = _machine(f"{HOSTS}/type", pool.type, problems)
        if pool.count and capacity.location is None:
            problems.append(_no_location(HOSTS))
        # `count` is the last number, so that leaving one out makes no other host, and putting it back renames none.
        named = [
            (f"host{number}", machine, capacity.location)
            for number in range(1, pool.count + 1)
            if number not in pool.skip
        ]
    else:
        named = [
            (name, _machine(f"{HOSTS}/{name}/type", one.type, problems), one.location or capacity.location)
            for name, one in (pool or {}).items()
        ]
        for name, _, location in named:
            if location is None:
                problems.append(_no_location(f"{HOSTS}/{name}"))
    for name, machine, location in named:
        yield HOSTS if isinstance(pool, HostPool) else f"{HOSTS}/{name}", _made(name, machine, location, own)


def _made(name: str, machine: Machine | None, location: str | None, own: int) -> Host:
    """Of an unknown type as well, so that settings which name the host are not told that there is none."""
    return Host(
        name=name,
        kind="created",
        burst=False,
        cpu=machine.cpu if machine else 0,
        memory=usable_memory(machine.memory, own) if machine else 0,
        total=machine.memory if machine else 0,
        architecture=machine.architecture if machine else None,
        type=machine.name if machine else None,
        location=location,
    )


def _no_location(path: str) -> Problem:
    return Problem(path, "has no location", f"set {CAPACITY}/location, for example to fsn1")


def _machine(path: str, name: str, problems: list[Problem]) -> Machine | None:
    machine = server_type(name)
    if machine is None:
        problems.append(
            Problem(path, f'is no Hetzner server type that is known here: "{name}"', like_server_type(name))
        )
    return machine


def _existing(capacity: HostCapacity, own: int, problems: list[Problem]) -> Iterator[tuple[str, Host]]:
    owners: dict[tuple[str, int], str] = {}
    for index, server in enumerate(capacity.existing):
        owner = owners.setdefault((server.address, server.port), server.name)
        if owner != server.name:
            problems.append(
                Problem(f"{EXISTING}/{index}/address", f"{server.address} is {owner} already", "give each its own")
            )
        yield (
            f"{EXISTING}/{index}/name",
            Host(
                name=server.name,
                kind="existing",
                burst=server.burst,
                cpu=server.cpu,
                memory=usable_memory(server.memory, own),
                total=server.memory,
                architecture=None,
                address=server.address,
                host_key=server.host_key,
                user=server.user,
                ssh_port=server.port,
            ),
        )


def _droplets(burst: Burst | None, own: int, problems: list[Problem]) -> Iterator[tuple[str, Host]]:
    if burst is None:
        return
    machine = droplet_size(burst.size)
    if machine is None:
        problems.append(
            Problem(
                f"{BURST}/size",
                f'is no DigitalOcean size that is known here: "{burst.size}"',
                like_droplet_size(burst.size),
            )
        )
    if burst.droplets > MOST_DROPLETS:
        problems.append(Problem(f"{BURST}/droplets", f"should be at most {MOST_DROPLETS}, got {burst.droplets}"))
        return
    for number in range(1, burst.droplets + 1):
        made = _made(f"burst{number}", machine, burst.region, own)
        yield f"{BURST}/droplets", replace(made, kind="droplet", burst=True)


# --- what is said of them --------------------------------------------------------------------------------------------


def _described(
    hosts: Mapping[str, Host], stack: Stack, capacity: HostCapacity, problems: list[Problem]
) -> dict[str, Host]:
    """The hosts with what other settings say of them by name."""
    known = list(hosts)
    for key, names in (("drain", capacity.drain), ("down", capacity.down)):
        problems += (_unknown(f"{CAPACITY}/{key}/{i}", n, known) for i, n in enumerate(names) if n not in hosts)
    for name in capacity.generation:
        path = f"{CAPACITY}/generation/{name}"
        if name not in hosts:
            problems.append(_unknown(path, name, known))
        elif hosts[name].kind == "existing":
            problems.append(Problem(path, f"{name} is an existing server, which is never rebuilt", "remove it"))
    for group, members in capacity.groups.items():
        path = f"{CAPACITY}/groups/{group}"
        problems += (_unknown(f"{path}/{i}", name, known) for i, name in enumerate(members) if name not in hosts)
        if group in hosts:
            problems.append(Problem(path, "is the name of a host as well", "rename the group"))
        if not members:
            problems.append(Problem(path, "has no host", "name one, or remove the group"))
    weights = _traffic(hosts, stack, capacity, problems)
    return {
        name: replace(
            host,
            groups=tuple(sorted(group for group, members in capacity.groups.items() if name in members)),
            draining=name in capacity.drain,
            down=name in capacity.down,
            generation=capacity.generation.get(name, 0),
            traffic=weights.get(name, 1),
        )
        for name, host in hosts.items()
    }


def _traffic(
    hosts: Mapping[str, Host], stack: Stack, capacity: HostCapacity, problems: list[Problem]
) -> Mapping[str, int]:
    """Host → weight. A host's own beats its group's; one that nothing is said of counts as much as the heaviest."""
    if not stack.traffic:
        return {}
    by_group: dict[str, dict[str, int]] = {}
    for name, weight in stack.traffic.items():
        if name not in hosts and name not in capacity.groups:
            problems.append(_unknown(f"quayside:traffic/{name}", name, [*hosts, *capacity.groups], "host or group"))
        for member in capacity.groups.get(name, ()):
            by_group.setdefault(member, {})[name] = weight
    for member, given in by_group.items():
        if member not in stack.traffic and len(set(given.values())) > 1:
            said = " and ".join(f"{weight} in {group}" for group, weight in sorted(given.items()))
            problems.append(
                Problem("quayside:traffic", f"{member} has weight {said}", f"say which: traffic: {{{member}: …}}")
            )
    heaviest = max(stack.traffic.values())
    if heaviest == 0:
        problems.append(
            Problem("quayside:traffic", "every weight is 0, so nobody would get a request", "raise one above 0")
        )
    return {name: stack.traffic.get(name, next(iter(by_group.get(name, {}).values()), heaviest or 1)) for name in hosts}


def _unknown(path: str, name: str, known: Sequence[str], what: str = "host") -> Problem:
    close = nearest(name, known)
    # Another number is another host, and no misspelling: whoever takes host2 out and leaves it in `down` must not be
    # led to declare host1 dead.
    if close and re.sub("[0-9]", "", close) != re.sub("[0-9]", "", name):
        return Problem(path, f'there is no {what} "{name}"', f'did you mean "{close}"?')
    listed = list(dict.fromkeys(known))
    shown = ", ".join(listed[:LISTED]) + (f" and {len(listed) - LISTED} more" if len(listed) > LISTED else "")
    several = " or ".join(f"{one}s" for one in what.split(" or "))
    left = "" if path.startswith("services/") else "; or remove it, if that host has left the config"
    return Problem(path, f'there is no {what} "{name}"', f"{several}: {shown or 'none'}{left}")


# --- what cannot be --------------------------------------------------------------------------------------------------


def _check_places(stack: Stack, capacity: HostCapacity, hosts: Sequence[str]) -> Iterator[Problem]:
    for name, service in sorted(stack.services.items()):
        if service.place is not None and service.place not in (*hosts, *capacity.groups):
            yield _unknown(f"services/{name}/place", service.place, [*hosts, *capacity.groups], "host or group")


def _check_burst(stack: Stack, hosts: Mapping[str, Host]) -> Iterator[Problem]:
    burst = stack.burst or Burst()
    for index, name in enumerate(burst.services):
        service = stack.services.get(name)
        path = f"{BURST}/services/{index}"
        if service is None:
            close = nearest(name, stack.services)
            yield Problem(path, f'there is no service "{name}"', f'did you mean "{close}"?' if close else "remove it")
        elif service.volume is not None:
            yield Problem(
                path, f"{name} has a volume, and lives on one host", f"remove {name}; replicas reach it there"
            )
        elif service.network == "host":
            yield Problem(path, f"{name} is on network host, where no edge leads to it", f"remove {name}")
        elif service.place is not None:
            yield Problem(path, f"{name} is placed on {service.place}", f"remove {name}, or services/{name}/place")
    if not burst.services and any(host.burst for host in hosts.values()):
        yield Problem(f"{BURST}/services", "is empty, so burst hosts would do nothing", "name the services of the peak")


def _check_size(stack: Stack, hosts: Mapping[str, Host]) -> Iterator[Problem]:
    registry = registry_memory(stack) > 0
    who = "the edge and the registry" if registry else "the edge"
    knobs = "quayside:edge/memory" + (" or quayside:registry/local/memory" if registry else "")
    for host in hosts.values():
        if host.total and host.memory == 0:
            path = {"created": HOSTS, "existing": EXISTING, "droplet": f"{BURST}/size"}[host.kind]
            yield Problem(
                path,
                f"{host.name} has {host.total // MIB}MiB, and the system, Docker and {who} need "
                f"{(host.total // KERNEL_SHARE + SYSTEM + _own_memory(stack)) // MIB}MiB",
                f"take a larger one, or lower {knobs}",
            )


def _architecture(hosts: Iterable[Host]) -> tuple[Architecture | None, list[Problem]]:
    """That of the fleet. An image by its digest is for one as a rule, and placement does not know which."""
    by: dict[Architecture, list[Host]] = {}
    for host in hosts:
        if host.architecture is not None:
            by.setdefault(host.architecture, []).append(host)
    if len(by) < 2:
        return next(iter(by), None), []
    told = " and ".join(f"{by[a][0].name} ({by[a][0].type}) is {a}" for a in sorted(by))
    path = f"{BURST}/size" if any(all(host.burst for host in members) for members in by.values()) else HOSTS
    arm = ", ".join(sorted({host.type or host.name for host in by["arm64"]}))
    return None, [
        Problem(
            path,
            f"{told}; an image by its digest is for one architecture as a rule, and may land on either",
            f"make all hosts of one architecture: replace {arm} by an amd64 type, or the others by cax types",
        )
    ]
