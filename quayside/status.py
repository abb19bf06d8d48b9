"""The table a deployment ends with: services, replicas, health, addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from quayside.containers import Container
from settings.units import MIB

_HUNG = "hung: it runs, and"
"""Beside `restarting`, which Docker says of one that ends again and again, and `exited`."""


@dataclass(frozen=True)
class Row:
    """One service."""

    service: str
    healthy: int
    declared: int
    trouble: tuple[str, ...]
    image: str
    memory: int
    urls: tuple[str, ...]


def rows(
    containers: Iterable[Container],
    servers: Mapping[str, Mapping[str, str]],
    urls: Mapping[str, Sequence[str]] | None = None,
) -> list[Row]:
    """One row a service, the edge last. A slot is healthy when one of its containers is.

    ``urls`` is service → public addresses, by the stack's outputs: no container knows them, since a new route would
    replace it.
    """
    by_service: dict[str, list[Container]] = {}
    for container in containers:
        by_service.setdefault(container.service, []).append(container)
    found: list[Row] = []
    for service, members in sorted(by_service.items(), key=lambda item: (item[1][0].role == "edge", item[0])):
        slots: dict[str, list[Container]] = {}
        for member in members:
            slots.setdefault(member.slot, []).append(member)
        trouble: list[str] = []
        healthy = 0
        for slot, candidates in slots.items():
            verdicts = [verdict(candidate, servers) for candidate in candidates]
            if any(good for good, _ in verdicts):
                healthy += 1
            else:
                trouble.append(f"{slot}: {verdicts[0][1]}")
            if len(candidates) > 1:
                trouble.append(f"{slot}: {len(candidates)} containers, the next good `make up` removes the spare")
        newest = members[-1]
        addresses = tuple((urls or {}).get(service, ()))
        found.append(Row(service, healthy, len(slots), tuple(trouble), newest.image, newest.memory, addresses))
    return found


def verdict(container: Container, servers: Mapping[str, Mapping[str, str]]) -> tuple[bool, str]:
    """Whether a container serves, and in which words it does not: the edge's check where it has one, else Docker's."""
    if not container.running:
        return False, container.state
    server = servers.get(container.name)
    if server is not None:
        status = server["status"]
        said = f"{_HUNG} the edge's check fails" if status.startswith("DOWN") else status
        return status.startswith(("UP", "no check")), said
    if container.health:
        hung = container.health == "unhealthy"
        return container.health == "healthy", f"{_HUNG} its health command fails" if hung else container.health
    if servers and container.role == "service" and any(other["slot"] == container.slot for other in servers.values()):
        return False, "not behind the edge"
    return True, "running"


def show(found: Iterable[Row], console: Console) -> None:
    """Print the table."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("service", "healthy", "image", "memory", "address"):
        table.add_column(column, no_wrap=column != "image", overflow="fold")
    found = list(found)
    for row in found:
        colour = "green" if row.healthy == row.declared else "red"
        memory = f"{row.memory // MIB} MiB" if row.memory else "no limit"
        health = f"[{colour}]{row.healthy}/{row.declared}[/{colour}]"
        table.add_row(row.service, health, row.image, memory, "\n".join(row.urls) or "–")
    console.print(table)
    for line in (line for row in found for line in row.trouble):
        console.print(f"  {line}", style="yellow", markup=False, highlight=False)
