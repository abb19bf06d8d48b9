"""The edge's HAProxy configuration: routing, health, weights, stickiness, and who may call whom.

One text says everything a release changes, so `pulumi preview` shows a release as its diff. Lines that begin with
``#:`` are for the release script (``components/docker/release.sh``); HAProxy takes them for comments. A fleet's hosts
get theirs from ``planning/hosts/edge.py``, made of the same sections.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from planning import haproxy, route_map
from planning.connections import DEFAULT_MEMORY, visitors
from planning.haproxy import ANYWAY, DIGEST_PORT, MASTER_PORT, PUBLIC_PORT, STATS_PORT
from planning.plan import Plan
from settings.stack import Stack

__all__ = [
    "ANYWAY",
    "DIGEST_PORT",
    "IMAGE",
    "MASTER_PORT",
    "PUBLIC_PORT",
    "STATS_PORT",
    "EdgeConfig",
    "bootstrap",
    "edge_image",
    "render",
]

IMAGE = "haproxy:3.2.24-alpine"
_DIGEST = "sha256:686211da34aba401814bb109c813db6a579491bc8753bfd81b78cce7d1e02f7c"
"""Of the index for all architectures, as Docker's list of its official images has it (docker-library/repo-info)."""


def edge_image(stack: Stack) -> str:
    """What edges and ports proxies run. A tag can move between two hosts, a digest cannot. On this machine, a stand-in
    for the image has the tag, where no registry answers."""
    return stack.edge.image or (IMAGE if stack.cloud == "local" else f"{IMAGE}@{_DIGEST}")


def bootstrap(memory: int) -> str:
    """What a new edge, which may use ``memory`` bytes, serves until the first routing.

    Part of its container: a change here replaces every edge.
    """
    return f"""\
{haproxy.head(memory)}
frontend public
    bind :{PUBLIC_PORT}
    maxconn {visitors(memory)}
    http-request return status 503 content-type text/plain string "quayside: no release yet"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfig:
    """What the configuration says beside the plan."""

    public_port: int
    """The port visitors see."""
    extra: Sequence[str] = ()
    memory: int = DEFAULT_MEMORY
    """Bytes that the edge may use."""


def render(plan: Plan, edge: EdgeConfig, containers: Mapping[str, str], ids: Mapping[str, str]) -> str:
    """The configuration that routes to ``containers``: slot → container name.

    ``ids`` are those of containers that keep their name when they are replaced, so that their release is gated, too.
    """
    routed = [service for _, service in sorted(plan.services.items()) if haproxy.is_routed(service)]
    return haproxy.framed(
        "\n".join(
            [
                *haproxy.directives(plan.naming, plan.services, containers, ids),
                *route_map.directives(plan.routes),
                "",
                haproxy.head(edge.memory),
                haproxy.RESOLVERS,
                *_public(plan, edge),
                *haproxy.inside(routed, plan.services),
                *(line for service in routed for line in haproxy.backend(service, containers)),
                "",
            ]
        )
    )


def _public(plan: Plan, edge: EdgeConfig) -> Iterable[str]:
    yield "frontend public"
    yield f"    bind :{PUBLIC_PORT}"
    yield f"    maxconn {visitors(edge.memory)}"
    yield haproxy.IDLE_CLOSE
    yield from haproxy.STRIP
    yield "    option forwardfor"
    yield "    http-request set-header X-Forwarded-Proto http"
    yield "    http-request set-header X-Forwarded-Host %[req.hdr(Host)]"
    yield f"    http-request set-header X-Forwarded-Port {edge.public_port}"
    yield haproxy.SET_HOST
    yield from (f"    {line}" for line in edge.extra)
    yield from haproxy.public_routes(plan.routes)
