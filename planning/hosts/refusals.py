"""What a fleet's settings ask for that cannot be carried out, said before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planning.clouds import BALANCER_TARGETS, LOCATIONS, MACHINE_IMAGES, REGIONS
from planning.hosts.door import has_door
from planning.hosts.fleet import BURST, CAPACITY, HOSTS
from planning.hosts.model import Fleet, Host
from planning.hosts.records import record_hosts
from planning.hosts.servers import SUCCESSORS, is_sold_in
from planning.hosts.site import MOST_NAMES, https, issued_names
from planning.names import Naming
from planning.routes import table
from settings.capacity import HostCapacity
from settings.problems import Problem
from settings.stack import Stack
from settings.units import GIB

PRIVATE_RANGE = "10.0.0.0/16"
"""Of the network that created hosts and their balancer share."""
LARGEST_DISK = 10240 * GIB
"""Of a volume at Hetzner."""
_EUROPE = "eu-central"
_LONGEST = {"created": 63, "droplet": 58}
"""Characters of a machine's name at Hetzner, and at DigitalOcean with room for its generation."""


def notes(stack: Stack, fleet: Fleet) -> Sequence[str]:
    """What works, and is probably not what was meant."""
    found: list[str] = []
    if not https(stack, fleet) and table(stack.services, stack.domain):
        found.append(
            "visitors come by plain HTTP: have a certificate issued by quayside:edge/acme, give one of your own by "
            "quayside:edge/certificate, or have Hetzner manage one, by capacity.balancer with dns.provider: hetzner"
        )
    entries = record_hosts(fleet)
    if fleet.balancer is None and not stack.dns.health and len(entries) > 1 and table(stack.services, stack.domain):
        found.append(
            f"the DNS leads to {', '.join(entries)}, and nobody checks them there: one that dies keeps its address "
            'until capacity.down names it and `up` has run (docs/hosts.md, "A host that died")'
        )
    for former, now in SUCCESSORS.items():
        of = [
            one.name for one in fleet.permanent if one.type == former and LOCATIONS.get(one.location or "") == _EUROPE
        ]
        if of:
            found.append(
                f"{', '.join(of)}: {former} is not sold any more (nearest: {now}). What runs goes on, but none can be "
                "made, and a rebuild fails"
            )
    for name, service in sorted(stack.services.items()):
        found += [
            f"services/{name}/ports/{index}: {port.port} is open to nobody, since it has no sources"
            for index, port in enumerate(service.ports)
            if not port.sources
        ]
        named = fleet.named(service.place)
        if service.volume is not None and len(named) == 1 and fleet.hosts[named[0]].down:
            found.append(_unavailable(name, fleet.hosts[named[0]]))
    return found


def _unavailable(name: str, host: Host) -> str:
    """Whoever reads this is in a hurry: it says what loses nothing first, and what would lose something."""
    if host.kind == "created":
        way = (
            f"or give {name} another host of {host.location} as its place: its disk is attached there, with all its "
            "data. Restore no backup onto that disk, which has newer data than any backup"
        )
    else:
        way = (
            f"or, if what was written since the last backup may be lost, follow docs/backups.md, "
            f'"When an existing server died": its disk stays on {host.name}'
        )
    return (
        f"{name} is UNAVAILABLE: its data is on {host.name}, which is down, and connections to it are refused. "
        f'Bring {host.name} back and take it out of capacity.down; {way} (docs/hosts.md, "A host that died")'
    )


def refusals(stack: Stack, fleet: Fleet) -> list[Problem]:
    return [*_machines(stack, fleet), *_visitors(stack, fleet), *_disks(stack, fleet), *_services(stack)]


def _machines(stack: Stack, fleet: Fleet) -> Iterator[Problem]:
    zones = set[str]()
    for host in fleet.hosts.values():
        if host.kind == "created" and host.location is not None:
            if host.location not in LOCATIONS:
                shared = isinstance(stack.capacity, HostCapacity) and host.location == stack.capacity.location
                path = f"{CAPACITY}/location" if shared else f"{HOSTS}/{host.name}/location"
                yield Problem(path, f'"{host.location}" is no location of Hetzner', f"one of {', '.join(LOCATIONS)}")
            else:
                zones.add(LOCATIONS[host.location])
        if host.kind == "droplet" and host.location not in REGIONS:
            yield Problem(
                f"{BURST}/region", f'"{host.location}" is no region of DigitalOcean', f"one of {', '.join(REGIONS)}"
            )
            break
    if len(zones) > 1:
        yield Problem(
            HOSTS,
            f"are in {' and '.join(sorted(zones))}, and one private network spans one of them",
            "keep created hosts within one zone, such as fsn1, nbg1 and hel1; list others as existing",
        )
    yield from _image(stack, fleet)
    for host in fleet.hosts.values():
        most = _LONGEST.get(host.kind)
        name = Naming(project=stack.project, stack=stack.name).machine(host.name)
        if most is not None and len(name) > most:
            yield Problem(
                BURST if host.kind == "droplet" else HOSTS,
                f"the machine of {host.name} would be called {name}, {len(name)} characters of at most {most}",
                "shorten the host's name, or the project's or the stack's",
            )
    yield from _sold(fleet)
    yield from _balancer(fleet)


def _sold(fleet: Fleet) -> Iterator[Problem]:
    unsold: dict[tuple[str, str], list[str]] = {}
    for host in fleet.hosts.values():
        zone = LOCATIONS.get(host.location or "")
        if host.kind == "created" and host.type and host.location and zone and not is_sold_in(host.type, zone):
            unsold.setdefault((host.type, host.location), []).append(host.name)
    for (server_type, location), names in unsold.items():
        yield Problem(
            HOSTS,
            f"{server_type} is sold in Europe alone, and {', '.join(names)} would be in {location}",
            "take a cpx or ccx type there, or a location in Europe: fsn1, nbg1 or hel1",
        )


def _balancer(fleet: Fleet) -> Iterator[Problem]:
    if fleet.balancer is None:
        return
    path, most = f"{CAPACITY}/balancer/type", BALANCER_TARGETS.get(fleet.balancer)
    if most is None:
        yield Problem(path, f"should be one of {', '.join(BALANCER_TARGETS)}, got {fleet.balancer}")
        return
    targets = sum(host.kind == "created" for host in fleet.hosts.values())
    if targets > most:
        larger = [name for name, room in BALANCER_TARGETS.items() if room >= targets]
        yield Problem(
            path,
            f"{fleet.balancer} takes {most} targets, and {targets} hosts are behind it",
            f"take {larger[0]}" if larger else f"have at most {max(BALANCER_TARGETS.values())} hosts",
        )


def _image(stack: Stack, fleet: Fleet) -> Iterator[Problem]:
    """A name stands for an image of each architecture, an id for one."""
    image = stack.capacity.image if isinstance(stack.capacity, HostCapacity) else None
    if image is not None and not image.isdigit() and image not in MACHINE_IMAGES:
        yield Problem(
            f"{CAPACITY}/image",
            f"{image} is none that hosts are prepared on",
            f"one of {', '.join(MACHINE_IMAGES)}, or the id of a snapshot of your own that was made from one of them",
        )
    kinds = {host.architecture: host.type for host in fleet.hosts.values() if host.kind == "created"}
    if image is not None and image.isdigit() and len(kinds) > 1:
        told = " and ".join(f"{kind} ({type_})" for kind, type_ in sorted(kinds.items(), key=str))
        yield Problem(
            f"{CAPACITY}/image",
            f"{image} is an image of one architecture, and hosts are {told}",
            "make hosts of one architecture alone, or name one of Hetzner's own images, such as debian-12",
        )


def _visitors(stack: Stack, fleet: Fleet) -> Iterator[Problem]:
    if fleet.balancer is not None:
        for key, port, seen in (("http", stack.edge.http, 80), ("https", stack.edge.https, 443)):
            if port != seen:
                yield Problem(f"quayside:edge/{key}", f"should be {seen} behind a balancer, got {port}", "remove it")
    if stack.edge.acme is not None:
        if stack.dns.provider == "manual":
            yield Problem(
                "quayside:edge/acme",
                "needs a DNS that the proof can be laid into, and dns.provider is manual",
                "set quayside:dns: {provider: …} to hetzner, route53 or digitalocean, or give edge.certificate instead",
            )
        if (names := len(issued_names(stack))) > MOST_NAMES:
            yield Problem(
                "quayside:edge/acme",
                f"one certificate has at most {MOST_NAMES} names, and the routes have {names}",
                "route by a wildcard such as *.{domain}, or give edge.certificate instead",
            )
    zone = stack.dns.zone or stack.domain
    if stack.dns.provider == "manual":
        return
    for route in table(stack.services, stack.domain):
        bare = route.host.removeprefix("*.")
        if bare != zone and not bare.endswith(f".{zone}"):
            yield Problem(
                f"services/{route.service}/routes",
                f"{route.host} is outside the zone {zone}, where no record can be made for it",
                "set quayside:dns: {zone: …} to the zone that holds it, or {provider: manual}",
            )


def _disks(stack: Stack, fleet: Fleet) -> Iterator[Problem]:
    for name, service in sorted(stack.services.items()):
        size = service.volume.size if service.volume else None
        made = any(fleet.hosts[host].kind == "created" for host in fleet.named(service.place))
        if size is not None and size > LARGEST_DISK and made:
            yield Problem(
                f"services/{name}/volume/size",
                f"should be at most {LARGEST_DISK // GIB}GiB, Hetzner's largest volume, got {-(-size // GIB)}GiB",
                "take less, or place it on an existing server",
            )


def _services(stack: Stack) -> Iterator[Problem]:
    for name, service in sorted(stack.services.items()):
        if not has_door(service):
            continue
        for number, port in enumerate(service.ports):
            if port.protocol == "udp":
                yield Problem(
                    f"services/{name}/ports/{number}/protocol",
                    "cannot be udp for a service without volume on a network of its own: a release has two containers "
                    "at once, and only TCP is handed from one to the other",
                    "set network: host, where the process itself takes the port; or a volume, with which it is "
                    "stop-first",
                )
        if service.canary is not None:
            yield Problem(
                f"services/{name}/ports",
                "cannot be combined with canary, whose share only the edge can keep",
                "remove one of the two",
            )
