"""What is placed on a host, as lines that its host can compare: what of it is new, and how much memory that takes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from planning.hosts.door import DOOR_MEMORY, has_door
from planning.hosts.model import Host
from planning.names import EDGE
from planning.plan import ServicePlan, Slot
from planning.registry import NAME as REGISTRY
from planning.registry import RegistryPlan

STAYS = "-"
"""In place of a digest: replaced stop-first, so a release of it takes no more memory than there is in use."""
_OF_A_CONTAINER = {"command", "user", "secrets", "network", "read_only", "writable", "capabilities"}
"""Settings of which every change makes a container anew, as they are; tests/graph/test_changes.py finds one missing."""


def room(services: Iterable[ServicePlan], registry: RegistryPlan | None = None) -> Sequence[str]:
    """A line a container: its slot, bytes of memory, and what changes whenever it is made anew.

    Secrets are left out, since the lines are shown in a preview: a release that changes a secret alone is not measured.
    """
    found: list[str] = []
    for service in services:
        for slot in service.slots:
            digest = STAYS if service.stateful else _digest(service, slot)
            found.append(f"{slot.name} {service.settings.memory} {digest}")
        if service.slots and has_door(service.settings):
            found.append(f"{service.name}-door {DOOR_MEMORY} {STAYS}")
    if registry is not None:
        found.append(f"{REGISTRY} {registry.memory} {STAYS}")
    return sorted(found)


def staying(host: Host) -> Sequence[str]:
    """What is not swept from a host that is back: its edge. A burst host is forgotten as a whole, and made anew."""
    return [] if host.burst else [EDGE]


def data(host: Host, services: Iterable[ServicePlan]) -> Sequence[str]:
    """Services whose volume the host's own engine has: these alone cannot be forgotten, for they are protected."""
    return sorted(service.name for service in services if service.stateful) if host.kind == "existing" else []


def _digest(service: ServicePlan, slot: Slot) -> str:
    """The same as long as the container is: what only the routing is told of refuses no release for lack of memory."""
    files, health = service.files.get(slot.image), service.settings.health
    parts = [
        slot.image,
        dict(slot.env),
        dict(service.hosts),
        service.settings.model_dump(mode="json", include=_OF_A_CONTAINER),
        # Docker runs this check; the edge all others.
        [*health.command, health.interval, health.timeout] if health.command is not None else [],
        service.stop_timeout,
        files.digest if files is not None else "",
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
