"""The HAProxy configuration of one host of a fleet.

As on one host (``planning/edge.py``), and beside it: services have replicas on other hosts as well, which are reached
through those hosts' gateways by mutual TLS; a gateway lets other edges in (``planning/hosts/gateway.py``).

Lines that begin with ``#:`` are for the release scripts; HAProxy takes them for comments:

- ``#: quayside 1`` the version of these lines;
- ``#: digest DIGEST`` what the edge answers once this text has taken over;
- ``#: host HOST`` whose it is;
- ``#: rented`` it is a burst host: nothing is laid over its configuration;
- ``#: file NAME`` a file that must be in `FILES` before: one line each; what no configuration names may go;
- ``#: network NAME ADDRESS`` join it at this address;
- ``#: routes NAME`` and ``#: route KEY BACKEND`` the public routes, and the file they go to (planning/route_map.py);
- ``#: server SERVICE SLOT CONTAINER ID GATE PORT PATH HOST TIMEOUT GRACE DRAIN`` a replica on this host: gate it when
  it is new, drain it when it goes. Replicas on other hosts are theirs to gate, and are not listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from planning import haproxy, route_map
from planning.connections import DEFAULT_MEMORY, visitors
from planning.hosts.gateway import FILES, Mesh, gateway, probed
from planning.hosts.labels import labels, name, probe
from planning.hosts.plan import MESH_PORT, TLS_PORT, FleetPlan, HostPlan
from planning.hosts.security import HEALTH_PORT
from planning.plan import ServicePlan
from planning.routes import Route

HEALTH_PATH = "/.well-known/quayside/health"
"""Answers 200 on an edge that visitors may be sent to, and 503 on one whose host is draining."""

# Every edge that sends checks, each time with a handshake, so more rarely than within a host: where 19 others send to
# 20 services of a host, twice a second would be 760 handshakes a second for it. Requests tell of a dead host sooner:
# one that cannot connect goes to another server after a second, and three of those bring the next check forward.
_INTERVAL = "inter 2s fastinter 500ms downinter 2s"
# A host that died sends no reset. What it does not acknowledge ends after two seconds, where it would be a minute. Said
# of each server: HAProxy 2.6 takes it in `default-server`, and then leaves it out of what servers inherit.
_DEAD = "tcp-ut 2s"
# The gateway closes a connection that was idle for 5 s: one that is about to be closed should not get a request.
_POOL = "pool-purge-delay 1s"
# Where nobody else can be asked, a handshake with a busy host gets longer before it is thrown away and begun again.
_ALONE = ("    timeout connect 2s", "    retries 2")
# Until its checks tell that a host is dead, every other try may find it again, by one of the connections kept to it.
_AMONG_OTHERS = ("    retries 6",)
_ALIVE = ("    srvtcpka-idle 5s", "    srvtcpka-intvl 1s", "    srvtcpka-cnt 3")
# A request that waits for its answer has nothing unacknowledged. Asked every second whether it is there, a dead host is
# found out by them, too, within two seconds, where its checks take up to four. Connections of other protocols may be
# idle for days, and should outlive two seconds without a network.
_ALIVE_HTTP = ("    option srvtcpka", "    srvtcpka-idle 1s", "    srvtcpka-intvl 1s", "    srvtcpka-cnt 2")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """What a host's configuration says beside the plan."""

    http: int = 80
    """The port visitors see."""
    https: int = 443
    """The port visitors see, where there is a certificate."""
    certificate: str | None = None
    """Name of a file in `FILES`, the visitors' certificate with its key; then plain HTTP is redirected to HTTPS."""
    balancers: Sequence[str] = ()
    """Addresses of balancers. From them, and nobody else, the PROXY protocol is expected: it says who the client is."""
    balancer_https: bool = False
    """Whether the balancer ends visitors' TLS, and lets nothing else through."""
    extra: Sequence[str] = ()
    memory: int = DEFAULT_MEMORY
    """Bytes that the edge may use."""


def render_host(
    plan: FleetPlan,
    host: str,
    config: HostConfig,
    containers: Mapping[str, str],
    ids: Mapping[str, str],
    addresses: Mapping[str, str],
    mesh: Mesh,
) -> str:
    """The configuration of ``host``, whose ``containers`` are slot → container name.

    ``ids`` are those of containers that keep their name when they are replaced, so that their release is gated, too.
    ``addresses`` are where this host reaches the others' gateways.
    """
    here = plan.hosts[host]
    routed = [service for _, service in sorted(plan.services.items()) if haproxy.is_routed(service)]
    receivers: dict[str, list[str]] = {service: [] for service in here.wants}
    for passage in plan.passages:
        if passage.sender == host:
            receivers[passage.service].append(passage.receiver)
    backends = (
        _service(plan, service, host, receivers[service.name], containers, addresses, mesh)
        for service in routed
        if service.name in receivers
    )
    files = sorted({mesh.authorities, mesh.certificate} | ({config.certificate} if config.certificate else set()))
    return haproxy.framed(
        "\n".join(
            [
                f"#: host {host}",
                *(["#: rented"] if here.host.burst else []),
                *(f"#: file {file}" for file in files),
                *haproxy.directives(plan.naming, here.services, containers, ids),
                *route_map.directives(_routes(plan, here)),
                "",
                haproxy.head(config.memory),
                haproxy.RESOLVERS,
                *_public(plan, here, config),
                *haproxy.inside(routed, here.services),
                *gateway(plan, host, containers, mesh),
                *(line for backend in backends for line in backend),
                "",
            ]
        )
    )


def _public(plan: FleetPlan, here: HostPlan, config: HostConfig) -> Iterable[str]:
    yield "frontend public"
    yield f"    bind :{haproxy.PUBLIC_PORT}"
    if config.certificate is not None:
        yield f"    bind :{TLS_PORT} ssl crt {FILES}/{config.certificate} ssl-min-ver TLSv1.2 alpn h2,http/1.1"
    yield f"    maxconn {visitors(config.memory)}"
    if config.balancers:
        yield f"    tcp-request connection expect-proxy layer4 if {{ src {' '.join(config.balancers)} }}"
    yield haproxy.IDLE_CLOSE
    status, text = (503, "draining") if here.host.draining else (200, "serving")
    yield f"{haproxy.answer(status, text)} if {{ path {HEALTH_PATH} }}"
    yield haproxy.SET_HOST
    secure = _secure(config)
    if config.certificate is not None:
        port = "" if config.https == 443 else f":{config.https}"
        yield f"    http-request redirect code 308 location https://%[var(txn.host)]{port}%[pathq] unless {secure}"
    yield from haproxy.STRIP
    yield "    option forwardfor"
    yield "    http-request set-header X-Forwarded-Proto http"
    yield "    http-request set-header X-Forwarded-Host %[req.hdr(Host)]"
    yield f"    http-request set-header X-Forwarded-Port {config.http}"
    if secure:
        yield f"    http-request set-header X-Forwarded-Proto https if {secure}"
        yield f"    http-request set-header X-Forwarded-Port {config.https} if {secure}"
    yield from (f"    {line}" for line in config.extra)
    yield from haproxy.public_routes(_routes(plan, here))
    if config.balancers:
        yield "frontend health"
        yield f"    bind :{HEALTH_PORT}"
        yield "    option dontlog-normal"
        yield f"{haproxy.answer(status, text)} if {{ path {HEALTH_PATH} }}"
        yield haproxy.answer(404, "quayside: health only")
        yield ""


def _routes(plan: FleetPlan, here: HostPlan) -> Sequence[Route]:
    return plan.routes if here.entry else ()


def _secure(config: HostConfig) -> str:
    """When a visitor's own connection is TLS; nothing where it never is."""
    ways = ["{ ssl_fc }"] if config.certificate is not None else []
    ways += ["{ fc_rcvd_proxy }"] if config.balancers and config.balancer_https else []
    return " || ".join(ways)


def _service(
    plan: FleetPlan,
    service: ServicePlan,
    host: str,
    receivers: Iterable[str],
    containers: Mapping[str, str],
    addresses: Mapping[str, str],
    mesh: Mesh,
) -> Iterable[str]:
    """The backend of a service that this edge sends to: replicas here, and on other hosts behind their gateways."""
    http, sticky = service.settings.protocol == "http", service.settings.sticky is not None
    remote: list[str] = []
    elsewhere: list[str] = []
    anyway: list[str] = []
    probes: list[str] = []
    for receiver in receivers:
        at = f"{_bracketed(addresses[receiver])}:{MESH_PORT}"
        for label in labels(service, receiver, plan.slots(service.name, receiver)):
            sni = name(label.name, receiver)
            # No slot is called so, whatever hosts are called.
            server = f"{label.name}.{receiver}"
            elsewhere.append(server)
            weight = label.slots[0].weight if sticky else plan.placement.shares[service.name][receiver]
            check = "" if service.stateful else f" check-sni {sni}"
            if probed(service):
                asked = name(probe(service.name), receiver)
                probes.append(f"    server {server} {at} sni str({asked}) check check-sni {asked} {_DEAD}")
                check = f" no-check track up_{service.name}/{server}"
            cookie = f" cookie {label.slots[0].name}" if sticky else ""
            remote.append(f"    server {server} {at} sni str({sni}){check} {_DEAD} weight {weight}{cookie}")
            if not service.stateful:
                unchecked = f"{_DEAD} weight {weight} no-check backup"
                anyway.append(f"    server {haproxy.ANYWAY}{server} {at} sni str({sni}) {unchecked}")
    # What a default says holds for the servers after it, so not for those on this host.
    others = f"    default-server {mesh.options} {_INTERVAL}"
    local = replace(service, slots=plan.slots(service.name, host))
    if not remote:
        yield from haproxy.backend(local, containers)
        return
    alone = len(remote) == 1 and not local.slots
    patience = () if service.stateful else _ALONE if alone else _AMONG_OTHERS
    yield from haproxy.backend(
        local,
        containers,
        elsewhere=elsewhere,
        more=(f"{others} {_POOL}" if http else others, *remote, *anyway),
        settings=[*(_ALIVE_HTTP if http else _ALIVE), *patience],
    )
    if probes:
        yield f"backend up_{service.name}"
        yield f"    timeout check {service.settings.health.timeout}s"
        yield "    option httpchk"
        yield "    http-check send meth GET uri / ver HTTP/1.1 hdr Host quayside"
        yield f"{others} fall 2 rise 1"
        yield from probes
        yield ""


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
