"""Whether the services fit the host, with room for a release: exact numbers, before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from planning.subnets import MAX_CONTAINERS
from settings.problems import Problem
from settings.service import Autoscale, Service
from settings.units import mib


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Memory in bytes: what runs, what a release needs on top, and what there is (None: not stated)."""

    steady: int
    surge: int
    available: int | None

    @property
    def needed(self) -> int:
        return self.steady + self.surge


def replica_count(service: Service) -> int:
    """Replicas on Docker hosts, where nothing scales by itself: the minimum."""
    return service.replicas.min if isinstance(service.replicas, Autoscale) else service.replicas


def canary_count(service: Service) -> int:
    """Canary replicas: as many as the share is of the service's own, at least one."""
    if service.canary is None:
        return 0
    return max(1, -(-replica_count(service) * service.canary.share // 100))


def fit(
    services: Mapping[str, Service], edge: int, available: int | None, surge: Literal["all", "largest"]
) -> tuple[Fit, list[Problem]]:
    """Add up a host. The engine deletes old containers last, so what a release changes is there twice.

    A plan cannot know what the next release changes: ``all`` keeps room for every stateless service at once,
    ``largest`` for the largest one alone.
    """
    totals = {name: (replica_count(s) + canary_count(s)) * s.memory for name, s in services.items()}
    stateless = [total for name, total in totals.items() if services[name].volume is None]
    extra = sum(stateless) if surge == "all" else max(stateless, default=0)
    result = Fit(steady=sum(totals.values()) + edge, surge=extra, available=available)
    problems = [
        Problem(
            f"services/{name}/replicas",
            f"{replicas} replicas on one host are too many: a service's network holds {MAX_CONTAINERS}, "
            "and a release needs room for two of each",
            f"at most {MAX_CONTAINERS // 2}, canaries included",
        )
        for name, service in services.items()
        if (replicas := replica_count(service) + canary_count(service)) > MAX_CONTAINERS // 2
    ]
    if available is not None and result.needed > available:
        largest = max(totals, key=lambda name: (totals[name], name), default="")
        smaller = f"lower services/{largest}/memory ({mib(totals[largest])} in all), or " if largest else ""
        problems.append(
            Problem(
                "quayside:memory",
                f"the services need {mib(result.needed)}: {mib(result.steady)} to run and {mib(extra)} "
                f"for a release (surge: {surge}); the host has {mib(available)}",
                f"{smaller}set quayside:surge to largest"
                if smaller
                else "raise quayside:memory, or lower quayside:edge/memory",
            )
        )
    return result, problems
