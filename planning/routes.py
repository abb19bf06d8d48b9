"""Which service answers for a host and path: the most specific route wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from settings.problems import Problem
from settings.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """``host`` may begin with ``*.``; ``path`` is ``/`` or a prefix that ends at a ``/`` or at the end."""

    host: str
    path: str
    service: str

    @property
    def specificity(self) -> tuple[bool, int, str, int, str]:
        """Sorts exact hosts before wildcards, longer wildcards first, and within a host longer paths first."""
        wildcard = self.host.startswith("*.")
        return (wildcard, -len(self.host) if wildcard else 0, self.host, -len(self.path), self.path)

    def url(self, port: int, scheme: Literal["http", "https"] = "http") -> str:
        usual = 80 if scheme == "http" else 443
        authority = self.host if port == usual else f"{self.host}:{port}"
        return f"{scheme}://{authority}{self.path}"

    def matches(self, host: str, path: str) -> bool:
        if self.host.startswith("*."):
            if not host.endswith(self.host[1:]) or len(host) == len(self.host) - 1:
                return False
        elif host != self.host:
            return False
        return self.path == "/" or path == self.path or path.startswith(f"{self.path}/")


def service_routes(name: str, service: Service, domain: str) -> Sequence[Route]:
    """A service's public routes; without ``routes``, an HTTP service answers at ``<name>.<domain>``."""
    if service.port is None or service.protocol != "http":
        return ()
    patterns = (f"{name}.{domain}",) if service.routes is None and service.network != "host" else service.routes or ()
    routes: list[Route] = []
    for pattern in patterns:
        host, _, path = pattern.replace("{domain}", domain).partition("/")
        routes.append(Route(host=host.lower(), path=f"/{path.strip('/')}", service=name))
    return routes


def table(services: Mapping[str, Service], domain: str) -> Sequence[Route]:
    """Every public route, the most specific first."""
    routes = (route for name, service in services.items() for route in service_routes(name, service, domain))
    return sorted(routes, key=lambda route: (*route.specificity, route.service))


def check_routes(routes: Iterable[Route]) -> Iterable[Problem]:
    owners: dict[tuple[str, str], str] = {}
    for route in routes:
        owner = owners.setdefault((route.host, route.path), route.service)
        if owner != route.service:
            yield Problem(
                f"services/{route.service}/routes",
                f'{route.host}{route.path} is routed to "{owner}" already',
                f"take the route from {owner} or {route.service}",
            )


def find(routes: Iterable[Route], host: str, path: str) -> Route | None:
    """The route that answers a request. The edge's configuration decides the same; tests hold the two together."""
    return next((route for route in routes if route.matches(host, path)), None)
