"""Sections of an edge's HAProxy configuration that are the same on one host and in a fleet.

Every line is accepted by HAProxy 2.6 (Debian 12) and 3.2 (the official image). An empty line ends each section.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from planning import route_map
from planning.connections import limits
from planning.names import Naming
from planning.plan import ServicePlan, Slot
from planning.routes import Route

PUBLIC_PORT = 10080
MASTER_PORT = 9901
STATS_PORT = 9902
DIGEST_PORT = 9903


def head(memory: int) -> str:
    """Sections ``global`` and ``defaults`` of an edge that may use ``memory`` bytes."""
    return f"""\
global
    # Files that this text names are beside it, also when it is checked under another name.
    default-path config
    log stdout format raw daemon notice
    # More connections wait or are refused, and nothing that is served is lost (planning/connections.py).
{limits(memory)}
    # Ends every connection of an old worker, so only as a last resort: a release waits for what it retires itself.
    hard-stop-after 24h
    # A release reloads up to three times: for what it accepts, the switch, and names that go.
    mworker-max-reloads 150
    stats socket ipv4@127.0.0.1:{STATS_PORT} level admin

defaults
    mode http
    log global
    option httplog
    option dontlognull
    option dontlog-normal
    option redispatch 1
    retries 3
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout queue 10s
    timeout tunnel 24h
    # After a reload the old worker may get one more request on each open connection, for as long as these say.
    timeout http-request 5s
    timeout http-keep-alive 5s
"""


RESOLVERS = """\
resolvers docker
    nameserver engine 127.0.0.11:53
    resolve_retries 1
    timeout resolve 1s
    timeout retry 1s
    # A container that restarts may get another address, and Docker then answers with that one alone: ask there at once.
    hold obsolete 1s
    # Docker's resolver goes away with its daemon. Health checks decide who is up; an old address is better than none.
    hold nx 24h
    hold other 24h
    hold refused 24h
    hold timeout 24h
"""

CHECK = (
    "check inter 500ms fastinter 250ms downinter 1s fall 2 rise 1"
    # Live requests tell of a dead replica before the next check does.
    " observe layer4 error-limit 3 on-error sudden-death"
)
# With it an old worker answers once more on an idle connection and then closes it, where it would cut it off.
IDLE_CLOSE = "    option idle-close-on-response"
# A request goes to another replica when it cannot have had an effect: never sent, or safe to send twice.
RETRY = (
    "    retry-on conn-failure empty-response",
    "    http-request disable-l7-retry unless { method GET HEAD OPTIONS }",
)
# Only Docker knows the containers' addresses, and not before they run. A replica has two servers of one address.
RESOLVED = "resolvers docker resolve-prefer ipv4 resolve-opts allow-dup-ip init-addr last,libc,none"
ANYWAY = "anyway:"
"""Begins the name of a server that is asked when checks say that nobody is up. No slot or host is called so."""


def framed(body: str) -> str:
    """The whole text: with its digest as first directive, and a frontend that answers with it."""
    digest = hashlib.sha256(body.encode()).hexdigest()[:16]
    return f"""\
#: quayside 1
#: digest {digest}
{body}
# The release script asks here whether the new configuration has taken over.
frontend digest
    bind 127.0.0.1:{DIGEST_PORT}
    option dontlog-normal
    http-request return status 200 content-type text/plain string {digest}
"""


def is_routed(service: ServicePlan) -> bool:
    return service.is_routed


def answer(status: int, text: str) -> str:
    return f'    http-request return status {status} content-type text/plain string "{text}"'


def directives(
    naming: Naming, services: Mapping[str, ServicePlan], containers: Mapping[str, str], ids: Mapping[str, str]
) -> Iterable[str]:
    """``network NAME ADDRESS``: join it. ``server …``: gate it when it is new, drain it when it goes."""
    for name, service in sorted(services.items()):
        if service.subnet is not None:
            yield f"#: network {naming.network(name)} {service.subnet.edge}"
    for name, service in sorted(services.items()):
        settings, health = service.settings, service.settings.health
        http = settings.port is not None and settings.protocol == "http" and service.subnet is not None
        if http:
            gate = f"http {settings.port} {health.path or '/'} {service.health_host}"
        elif settings.port is not None and service.subnet is not None and health.command is None:
            gate = f"tcp {settings.port} - -"
        else:
            gate = "docker - - -"
        for slot in service.slots:
            yield (
                f"#: server {name} {slot.name} {containers[slot.name]} {ids.get(slot.name, '-')[:12]} {gate}"
                f" {health.timeout} {health.grace} {settings.drain}"
            )


# The first edge is the one that saw the client: nothing an outsider claims about it is believed.
CLAIMS = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-IP", "Forwarded")
STRIP = [f"    http-request del-header {header}" for header in CLAIMS]
SET_HOST = "    http-request set-var(txn.host) req.hdr(Host),host_only,lower"


def public_routes(routes: Sequence[Route]) -> Iterable[str]:
    """The end of the public frontend, and what answers where there is no route."""
    yield from route_map.rules(routes)
    yield "    default_backend no_route"
    yield ""
    yield "backend no_route"
    yield answer(404, "quayside: no service has a route for this host and path")
    yield ""


def inside(routed: Sequence[ServicePlan], here: Mapping[str, ServicePlan]) -> Iterable[str]:
    """How services that run ``here`` reach each other by name, and nobody else.

    ``http://<name>`` for the services that declare it, and a port of its own for every TCP service. A caller is known
    by its network's dynamic range.
    """
    yield "frontend internal"
    yield "    bind :80"
    yield IDLE_CLOSE
    yield SET_HOST
    for service in routed:
        callers = _caller_ranges(service, here)
        if service.settings.protocol != "http" or not callers:
            continue
        name = service.name
        yield f"    acl to_{name} var(txn.host) -m str {name}"
        yield from _callers_acl(service, callers)
        yield f"    use_backend svc_{name} if to_{name} uses_{name}"
    yield "    default_backend not_in_uses"
    yield ""
    yield "backend not_in_uses"
    yield answer(403, "quayside: the caller does not declare this service in its uses")
    yield ""
    yield from chain.from_iterable(_tcp_frontend(service, _caller_ranges(service, here)) for service in routed)


def _caller_ranges(service: ServicePlan, here: Mapping[str, ServicePlan]) -> Sequence[str]:
    subnets = (here[caller].subnet for caller in service.callers if caller in here)
    return [subnet.containers for subnet in subnets if subnet is not None]


def _callers_acl(service: ServicePlan, callers: Sequence[str]) -> Iterable[str]:
    """One line a caller: a release merges the old lines with the new ones (``union`` in edge_common.sh)."""
    return (f"    acl uses_{service.name} src {caller}" for caller in callers)


def _tcp_frontend(service: ServicePlan, callers: Sequence[str]) -> Iterable[str]:
    if service.settings.protocol != "tcp" or not callers:
        return
    yield f"frontend tcp_{service.name}"
    yield "    mode tcp"
    yield "    option tcplog"
    yield f"    bind :{service.settings.port}"
    yield from _callers_acl(service, callers)
    yield f"    tcp-request connection reject unless uses_{service.name}"
    yield "    timeout client 24h"
    yield "    option clitcpka"
    yield f"    default_backend svc_{service.name}"
    yield ""


TCP_BACKEND = ("    mode tcp", "    option srvtcpka", "    timeout server 24h")


def sticky_cookie(service: ServicePlan, servers: Sequence[str]) -> Iterable[str]:
    """A visitor's replica is in a cookie. Others may not know the visitor, so while checks say that none of the
    ``servers`` is up, it is asked all the same, and no other instead of it.
    """
    if service.settings.sticky is None:
        return
    name = f"quayside_{service.name}"
    yield f'    cookie {name} insert indirect nocache httponly maxidle {service.settings.sticky}s attr "SameSite=Lax"'
    yield from (f"    acl any_up srv_is_up({server})" for server in servers)
    if servers:
        yield f"    force-persist if {{ req.cook({name}) -m found }} !any_up"


def health(service: ServicePlan) -> Iterable[str]:
    """When a server of a backend counts as up; ends with what all its servers are told."""
    settings = service.settings
    if service.stateful:
        # Stop-first: while the one replica is replaced, new connections are held here instead of refused.
        yield "    retries 30"
        check = ""
    else:
        check = f" {CHECK}"
        # A check that is wrong, or late on a busy machine, takes away a server, but never the last one: when none is
        # up, all are asked. Each has another of the same address for it, which is not checked.
        yield "    option allbackups"
        yield f"    timeout check {settings.health.timeout}s"
        if settings.protocol == "http":
            yield "    option httpchk"
            path = settings.health.path or "/"
            yield f"    http-check send meth GET uri {path} ver HTTP/1.1 hdr Host {service.health_host}"
            yield "    http-check expect status 200-399"
    yield f"    default-server{check} {RESOLVED}"


def backend(
    service: ServicePlan,
    containers: Mapping[str, str],
    elsewhere: Sequence[str] = (),
    more: Iterable[str] = (),
    settings: Iterable[str] = (),
) -> Iterable[str]:
    """A service's replicas on this host, and ``more`` servers that need ``settings``, those called ``elsewhere``."""
    yield f"backend svc_{service.name}"
    yield "    balance roundrobin"
    yield from TCP_BACKEND if service.settings.protocol == "tcp" else RETRY
    yield from settings
    yield from sticky_cookie(service, [*(slot.name for slot in service.slots), *elsewhere])
    yield from health(service)
    slots = ((slot, slot.weight) for slot in service.slots)
    yield from replicas(service, slots, containers, cookies=service.settings.sticky is not None)
    yield from more
    yield ""


def replicas(
    service: ServicePlan, slots: Iterable[tuple[Slot, int]], containers: Mapping[str, str], *, cookies: bool = False
) -> Iterable[str]:
    """A server for each slot with its weight, and one more for each that is asked when none of the backend is up."""
    anyway: list[str] = []
    for slot, weight in slots:
        server = f"{slot.name} {containers[slot.name]}:{service.settings.port} weight {weight}"
        yield f"    server {server}{f' cookie {slot.name}' if cookies else ''}"
        anyway.append(f"    server {ANYWAY}{server} no-check backup")
    if not service.stateful:
        yield from anyway
