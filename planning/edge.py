"""The edge's HAProxy configuration: routing, health, weights, stickiness, and who may call whom.

One text says everything a release changes, so `pulumi preview` shows a release as its diff. Lines that begin with
``#:`` are for the release script (``components/docker/release.sh``); HAProxy takes them for comments. Every line is
accepted by HAProxy 2.6 (Debian 12) and 3.2 (the official image).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from planning.plan import Plan, ServicePlan
from planning.routes import Route

PUBLIC_PORT = 10080
MASTER_PORT = 9901
STATS_PORT = 9902
DIGEST_PORT = 9903

HEAD = f"""\
global
    log stdout format raw daemon notice
    # Connections follow from it; without it, an engine that allows a million files costs the edge its memory.
    fd-hard-limit 50000
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

_RESOLVERS = """\
resolvers docker
    nameserver engine 127.0.0.11:53
    resolve_retries 1
    timeout resolve 1s
    timeout retry 1s
    # Docker's resolver goes away with its daemon. Health checks decide who is up; an old address beats none.
    hold valid 24h
    hold obsolete 24h
    hold nx 24h
    hold other 24h
    hold refused 24h
    hold timeout 24h
"""

BOOTSTRAP = f"""\
{HEAD}
frontend public
    bind :{PUBLIC_PORT}
    http-request return status 503 content-type text/plain string "quayside: no release yet"
"""
"""What a new edge serves until the first routing. Part of its container: a change here replaces every edge."""


_CHECK = (
    "check inter 500ms fastinter 250ms downinter 1s fall 2 rise 1"
    # Live requests tell of a dead replica before the next check does.
    " observe layer4 error-limit 3 on-error sudden-death"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfig:
    """What the configuration says beside the plan."""

    public_port: int
    """The port visitors see."""
    extra: Sequence[str] = ()


def render(plan: Plan, edge: EdgeConfig, containers: Mapping[str, str], ids: Mapping[str, str]) -> str:
    """The configuration that routes to ``containers``: slot → container name.

    ``ids`` are those of containers that keep their name when they are replaced, so that their release is gated, too.
    """
    routed = [service for service in sorted(plan.services.values(), key=lambda s: s.name) if _is_routed(service)]
    body = "\n".join(
        [
            "\n".join(_directives(plan, containers, ids)),
            "",
            HEAD,
            _RESOLVERS,
            *_public(plan, edge),
            *_internal(plan, routed),
            *(line for service in routed for line in _tcp_frontend(plan, service)),
            *(line for service in routed for line in _backend(service, containers)),
            "",
        ]
    )
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


def _is_routed(service: ServicePlan) -> bool:
    return service.settings.port is not None and service.subnet is not None


def _directives(plan: Plan, containers: Mapping[str, str], ids: Mapping[str, str]) -> Iterable[str]:
    """``network NAME ADDRESS``: join it. ``server …``: gate it when it is new, drain it when it goes."""
    for name, service in sorted(plan.services.items()):
        if service.subnet is not None:
            yield f"#: network {plan.naming.network(name)} {service.subnet.edge}"
    for name, service in sorted(plan.services.items()):
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


def _public(plan: Plan, edge: EdgeConfig) -> Iterable[str]:
    yield "frontend public"
    yield f"    bind :{PUBLIC_PORT}"
    # With it an old worker answers once more on an idle connection and then closes it, where it would cut it off.
    yield "    option idle-close-on-response"
    # The first edge is the one that saw the client: nothing an outsider claims about it is believed.
    for header in (
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Proto",
        "X-Real-IP",
        "Forwarded",
    ):
        yield f"    http-request del-header {header}"
    yield "    option forwardfor"
    yield "    http-request set-header X-Forwarded-Proto http"
    yield "    http-request set-header X-Forwarded-Host %[req.hdr(Host)]"
    yield f"    http-request set-header X-Forwarded-Port {edge.public_port}"
    yield "    http-request set-var(txn.host) req.hdr(Host),host_only,lower"
    yield from (f"    {line}" for line in edge.extra)
    for index, route in enumerate(plan.routes):
        yield f"    # {route.host}{route.path}"
        yield from (f"    {line}" for line in _route(index, route))
    yield "    default_backend no_route"
    yield ""
    yield "backend no_route"
    yield _answer(404, "quayside: no service has a route for this host and path")
    yield ""


def _answer(status: int, text: str) -> str:
    return f'    http-request return status {status} content-type text/plain string "{text}"'


def _route(index: int, route: Route) -> Iterable[str]:
    suffix = route.host.startswith("*.")
    host = f"{{ var(txn.host) -m {'end' if suffix else 'str'} {route.host.removeprefix('*')} }}"
    if route.path == "/":
        yield f"use_backend svc_{route.service} if {host}"
        return
    yield f"acl path_{index} path -m str {route.path}"
    yield f"acl path_{index} path -m beg {route.path}/"
    yield f"use_backend svc_{route.service} if {host} path_{index}"


def _internal(plan: Plan, routed: Sequence[ServicePlan]) -> Iterable[str]:
    """``http://<name>`` for the services that declare it. A caller is known by its network's dynamic range."""
    yield "frontend internal"
    yield "    bind :80"
    yield "    option idle-close-on-response"
    yield "    http-request set-var(txn.host) req.hdr(Host),host_only,lower"
    for service in routed:
        callers = _caller_ranges(plan, service)
        if service.settings.protocol != "http" or not callers:
            continue
        name = service.name
        yield f"    acl to_{name} var(txn.host) -m str {name}"
        yield from _callers_acl(service, callers)
        yield f"    use_backend svc_{name} if to_{name} uses_{name}"
    yield "    default_backend not_in_uses"
    yield ""
    yield "backend not_in_uses"
    yield _answer(403, "quayside: the caller does not declare this service in its uses")
    yield ""


def _caller_ranges(plan: Plan, service: ServicePlan) -> Sequence[str]:
    subnets = (plan.services[caller].subnet for caller in service.callers)
    return [subnet.containers for subnet in subnets if subnet is not None]


def _callers_acl(service: ServicePlan, callers: Sequence[str]) -> Iterable[str]:
    """One line a caller: a release merges the old lines with the new ones (``union`` in edge_common.sh)."""
    return (f"    acl uses_{service.name} src {caller}" for caller in callers)


def _tcp_frontend(plan: Plan, service: ServicePlan) -> Iterable[str]:
    callers = _caller_ranges(plan, service)
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


def _backend(service: ServicePlan, containers: Mapping[str, str]) -> Iterable[str]:
    settings = service.settings
    yield f"backend svc_{service.name}"
    yield "    balance roundrobin"
    if settings.protocol == "tcp":
        yield "    mode tcp"
        yield "    option srvtcpka"
        yield "    timeout server 24h"
    else:
        # A request goes to another replica when it cannot have had an effect: never sent, or safe to send twice.
        yield "    retry-on conn-failure empty-response"
        yield "    http-request disable-l7-retry unless { method GET HEAD OPTIONS }"
    if settings.sticky is not None:
        yield (
            f"    cookie quayside_{service.name} insert indirect nocache httponly maxidle {settings.sticky}s"
            ' attr "SameSite=Lax"'
        )
    if service.stateful:
        # Stop-first: while the one replica is replaced, new connections are held here instead of refused.
        yield "    retries 30"
        check = ""
    else:
        check = f" {_CHECK}"
        yield f"    timeout check {settings.health.timeout}s"
        if settings.protocol == "http":
            yield "    option httpchk"
            path = settings.health.path or "/"
            yield f"    http-check send meth GET uri {path} ver HTTP/1.1 hdr Host {service.health_host}"
            yield "    http-check expect status 200-399"
    yield f"    default-server{check} resolvers docker resolve-prefer ipv4 init-addr last,libc,none"
    for slot in service.slots:
        cookie = f" cookie {slot.name}" if settings.sticky is not None else ""
        yield f"    server {slot.name} {containers[slot.name]}:{settings.port} weight {slot.weight}{cookie}"
    yield ""
