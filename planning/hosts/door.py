"""The door of a service on a host: what stands at its published `ports`, so that releases need not.

Two containers cannot publish one port, and a release has two of each replica at once (facts.md 1). So the port belongs
to a small proxy in the service's own network, which finds the replicas there by the service's name and sends to those
that are healthy. It knows no container, so no release changes it; and the edge has no part in it (decisions.md 19).
"""

from __future__ import annotations

from planning.haproxy import RESOLVERS
from planning.plan import ServicePlan
from settings.service import Service

__all__ = ["DOOR_MEMORY", "door", "has_door"]

DOOR_MEMORY = 64 * 1024**2
"""Bytes. For the connections that it takes at once, and twice that."""
_CONNECTIONS = 1000
_REPLICAS = 4
"""Containers of a service that are on one host at a time: its replica, the next one, and what a failed release left."""


def has_door(service: Service) -> bool:
    """Whether a service's ports need one. A service with a volume publishes them itself, for it is stop-first."""
    return bool(service.ports) and service.volume is None and service.network == "own"


def door(service: ServicePlan) -> str:
    """Its configuration, which HAProxy 2.6 and 3.2 accept."""
    lines = [_HEAD]
    for port in sorted({port.port for port in service.settings.ports}):
        lines += [
            f"frontend port_{port}",
            f"    bind :{port}",
            f"    default_backend port_{port}",
            "",
            f"backend port_{port}",
            "    balance leastconn",
            f"    timeout check {service.settings.health.timeout}s",
            *_check(service),
            *_FIRST_CHECKED,
            f"    server-template replica {_REPLICAS} {service.name}:{port} check{_checked_port(service)} {_SERVER}",
            "",
        ]
    return "\n".join(lines)


def _check(service: ServicePlan) -> list[str]:
    """A service with a health path is asked for it, whatever the port: a release that is not healthy gets nothing."""
    settings = service.settings
    if settings.port is None or settings.protocol != "http":
        return []
    return [
        "    option httpchk",
        f"    http-check send meth GET uri {settings.health.path or '/'} ver HTTP/1.1 hdr Host {service.health_host}",
        "    http-check expect status 200-399",
    ]


def _checked_port(service: ServicePlan) -> str:
    return f" port {service.settings.port}" if service.settings.port is not None else ""


# HAProxy 3.1 can wait for a replica's first check; before, it is up until that fails, milliseconds after it came.
_FIRST_CHECKED = (".if version_atleast(3.1)", "    default-server init-state down", ".endif")
_SERVER = (
    "inter 500ms fastinter 250ms downinter 500ms fall 1 rise 1 slowstart 5s"
    " on-error sudden-death observe layer4 error-limit 1 resolvers docker resolve-prefer ipv4 init-addr none"
)
_HEAD = f"""\
global
    log stdout format raw daemon notice
    maxconn {_CONNECTIONS}
    fd-hard-limit {_CONNECTIONS * 4}

defaults
    mode tcp
    log global
    option dontlognull
    option dontlog-normal
    option redispatch 1
    option clitcpka
    option srvtcpka
    retries 3
    timeout connect 1s
    timeout client 24h
    timeout server 24h
    timeout queue 10s

{RESOLVERS}"""
