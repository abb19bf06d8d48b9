"""The whole plan of a stack on one Docker host, or every reason why there is none.

What does not depend on the number of hosts is decided by `decide`; planning/hosts/plan.py makes a fleet's plan of it.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from planning import placement, references, routes, subnets
from planning.collect import collect
from planning.names import EDGE, Naming
from planning.order import creation_order
from planning.registry import NAME as REGISTRY
from planning.registry import RegistryPlan, registry_plan
from planning.rendering import Rendered, RenderedFile, render
from planning.weights import weights
from settings.problems import ConfigError, Problem
from settings.rules_mounts import inner_folders
from settings.service import Service
from settings.stack import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSet:
    """Files for one image of a service: immutable, so that old replicas keep theirs while new ones get others.

    Whatever the image itself has in those folders is there too, so the image is part of the identity.
    """

    image: str
    files: Sequence[RenderedFile]
    inner: Sequence[str]
    """Folders inside those of the files where something else is mounted: made beforehand, as nothing is later."""
    digest: str

    @property
    def folders(self) -> Sequence[str]:
        return sorted({posixpath.dirname(file.path) for file in self.files})


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One replica's place. A release fills it anew; sticky visitors keep it (decisions.md 10)."""

    name: str
    image: str
    weight: int
    env: Mapping[str, str]
    canary: bool = False
    build: str = ""
    """Id of the image that its tag stands for, where that is known: one that was built anew makes a release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePlan:
    """One service, with everything decided that its containers need."""

    name: str
    settings: Service
    subnet: subnets.Subnet | None
    """None on the host's network."""
    slots: Sequence[Slot]
    files: Mapping[str, FileSet]
    """Image → its files; empty for a service without any."""
    hosts: Mapping[str, str]
    """Name → address of the edge in this service's own network, for every service it uses."""
    callers: Sequence[str]
    """Services that declare this one in their ``uses``."""
    health_host: str
    """The Host header of health checks: one that a request may have, since some applications refuse others."""
    urls: Sequence[str]

    @property
    def stateful(self) -> bool:
        return self.settings.volume is not None

    @property
    def is_routed(self) -> bool:
        return self.settings.port is not None and self.subnet is not None

    @property
    def stop_timeout(self) -> int:
        """Seconds that Docker itself gives its containers to end, when a host reboots or somebody runs `docker stop`.

        What the edge does not drain, or has data, gets its `drain`. All others get the same, so that another `drain`,
        which a release keeps to by itself, replaces no container.
        """
        return self.settings.drain if self.stateful or not self.is_routed else _STOP_TIMEOUT


_STOP_TIMEOUT = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Who may reach whom, and by which address."""

    source: str
    target: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    naming: Naming
    services: Mapping[str, ServicePlan]
    """In the order of creation."""
    routes: Sequence[routes.Route]
    reach: Sequence[Reach]
    fit: placement.Fit
    edge_subnet: subnets.Subnet


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What holds on one host as on many."""

    naming: Naming
    services: Mapping[str, ServicePlan]
    """In the order of creation, each with all its own slots."""
    routes: Sequence[routes.Route]
    reach: Sequence[Reach]
    edge_subnet: subnets.Subnet
    registry: RegistryPlan | None = None
    """On every host; None: the stack has none."""


def plan(stack: Stack, sources: Mapping[str, str], builds: Mapping[str, str] | None = None) -> Plan:
    """Decide everything about a stack on one Docker host. Raises ConfigError with every problem at once.

    ``sources`` is the text of every file that the services' ``files`` name; ``builds`` is image → its id, of those that
    are named by a tag and are there.
    """
    fit, misfits = placement.fit(stack.services, stack.edge.memory, stack.memory, stack.surge)
    decided = decide(stack, sources, misfits)
    return Plan(
        naming=decided.naming,
        services={name: _built(service, builds or {}) for name, service in decided.services.items()},
        routes=decided.routes,
        reach=decided.reach,
        fit=fit,
        edge_subnet=decided.edge_subnet,
    )


RESERVED_PORTS = (9901, 9902, 9903, 10080)
"""Ports the edge listens on for itself: master and stats sockets, digest, public requests."""


def decide(
    stack: Stack,
    sources: Mapping[str, str],
    known: Iterable[Problem] = (),
    *,
    reserved: Sequence[int] = RESERVED_PORTS,
    https: int | None = None,
) -> Decided:
    """Raises ConfigError with every problem, those that are ``known`` already among them.

    ``reserved`` are the edge's own ports; ``https`` is the port of public addresses that begin with ``https://``.
    """
    problems = list(known)
    services = stack.services
    problems += references.check_uses(services)
    problems += _check_ports(services, reserved)
    public = routes.table(services, stack.domain)
    problems += routes.check_routes(public)
    order = collect(
        problems, lambda: creation_order({name: _known_after(s, services) for name, s in services.items()}), ()
    )
    naming = Naming(project=stack.project, stack=stack.name)
    local = [REGISTRY] if stack.registry is not None and stack.registry.local is not None else []
    given = collect(problems, lambda: subnets.allocate(stack.subnets, naming.key, [EDGE, *local, *services]), {})
    rendered = {name: render(name, stack, sources, problems) for name in sorted(services)}
    if problems:
        raise ConfigError(sorted(problems))
    urls = {route: route.url(stack.edge.http) if https is None else route.url(https, "https") for route in public}
    plans = {
        name: _service_plan(
            name, stack, given[name], rendered[name], {r: u for r, u in urls.items() if r.service == name}
        )
        for name in order
    }
    return Decided(
        naming=naming,
        services=plans,
        routes=public,
        reach=tuple(_reach(plans, urls, stack)),
        edge_subnet=given[EDGE],
        registry=registry_plan(stack, given.get(REGISTRY)),
    )


def _known_after(service: Service, services: Mapping[str, Service]) -> Sequence[str]:
    return [name for name in service.after if name in services]


def _check_ports(services: Mapping[str, Service], reserved: Sequence[int]) -> Iterable[Problem]:
    """The edge tells TCP services apart by port alone, so each needs its own, and none may take the edge's."""
    owners: dict[int, str] = {}
    for name, service in sorted(services.items()):
        if service.protocol != "tcp" or service.port is None:
            continue
        path = f"services/{name}/port"
        owner = owners.setdefault(service.port, name)
        if owner != name:
            yield Problem(
                path,
                f'"{owner}" is a TCP service on port {service.port} too, and the edge tells them apart by port',
                f"let {name} or {owner} listen on another port",
            )
        if service.port == 80 or service.port in reserved:
            taken = ", ".join(str(port) for port in (80, *reserved))
            yield Problem(path, f"port {service.port} is the edge's own", f"any port but {taken}")


def _built(service: ServicePlan, builds: Mapping[str, str]) -> ServicePlan:
    files = {
        image: replace(files, digest=_short(f"{files.digest} {builds[image]}")) if image in builds else files
        for image, files in service.files.items()
    }
    slots = [replace(slot, build=builds.get(slot.image, "")) for slot in service.slots]
    return replace(service, slots=slots, files=files)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _file_sets(files: Sequence[RenderedFile], inner: Sequence[str], slots: Sequence[Slot]) -> Mapping[str, FileSet]:
    if not files:
        return {}
    sets: dict[str, FileSet] = {}
    for image in sorted({slot.image for slot in slots}):
        said = repr([image, *inner, *((file.path, file.content, file.executable) for file in files)])
        sets[image] = FileSet(image=image, files=files, inner=inner, digest=_short(said))
    return sets


def _service_plan(
    name: str, stack: Stack, subnet: subnets.Subnet, rendered: Rendered, public: Mapping[routes.Route, str]
) -> ServicePlan:
    service = rendered.settings
    replicas, canaries = placement.replica_count(service), placement.canary_count(service)
    share = service.canary.share if service.canary else 0
    weight, canary_weight = weights(replicas, canaries, share)
    slots = [
        Slot(name=f"{name}-{number}", image=service.image, weight=weight, env=rendered.env)
        for number in range(1, replicas + 1)
    ]
    if service.canary is not None:
        slots += [
            Slot(
                # No replica of any service ends like this, whatever it is called.
                name=f"{name}-canary{number}",
                image=service.canary.image,
                weight=canary_weight,
                env={**rendered.env, **rendered.canary_env},
                canary=True,
            )
            for number in range(1, canaries + 1)
        ]
    isolated = service.network == "own"
    return ServicePlan(
        name=name,
        settings=service,
        subnet=subnet if isolated else None,
        slots=slots,
        files=_file_sets(rendered.files, inner_folders(service), slots),
        hosts=dict.fromkeys(sorted(service.uses), subnet.edge),
        callers=sorted(caller for caller, other in stack.services.items() if name in other.uses),
        # In the order they were written: one more at the end changes no check, and no ports proxy that makes it.
        health_host=_health_host(name, [route.host for route in routes.service_routes(name, service, stack.domain)]),
        urls=list(public.values()),
    )


def _health_host(name: str, hosts: Sequence[str]) -> str:
    """The first host of a route that is no pattern, else one that a pattern matches; without routes, the name by which
    other services ask."""
    exact = [host for host in hosts if not host.startswith("*.")]
    return exact[0] if exact else f"{name}.{hosts[0].removeprefix('*.')}" if hosts else name


def _reach(plans: Mapping[str, ServicePlan], public: Mapping[routes.Route, str], stack: Stack) -> Iterable[Reach]:
    for route, url in public.items():
        yield Reach(source="world", target=route.service, address=url)
    for name, service in sorted(plans.items()):
        for used in sorted(service.settings.uses):
            known = references.attributes(used, stack.services[used])
            yield Reach(source=name, target=used, address=known.get("url", known["address"]))
