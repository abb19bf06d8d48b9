"""What is placed on a host, as lines that its host can compare: what of it is new, and how much memory that takes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from planning.names import EDGE
from planning.plan import ServicePlan, Slot

STAYS = "-"
"""In place of a digest: replaced stop-first, so a release of it takes no more memory than there is in use."""
_NOT_OF_A_CONTAINER = {"replicas", "canary"}


def room(services: Iterable[ServicePlan]) -> Sequence[str]:
    """A line a slot: its name, bytes of memory, and what changes whenever its container is made anew.

    Secrets are left out, since the lines are shown in a preview: a release that changes a secret alone is not measured.
    """
    return sorted(
        f"{slot.name} {service.settings.memory} {STAYS if service.stateful else _digest(service, slot)}"
        for service in services
        for slot in service.slots
    )


def staying(services: Iterable[ServicePlan]) -> Sequence[str]:
    """What is not swept from a host that is back: its edge, and what has its data there."""
    return [EDGE, *sorted(service.name for service in services if service.stateful)]


def _digest(service: ServicePlan, slot: Slot) -> str:
    files = service.files.get(slot.image)
    parts = [
        slot.image,
        dict(slot.env),
        dict(service.hosts),
        service.settings.model_dump(mode="json", exclude=_NOT_OF_A_CONTAINER),
        files.digest if files is not None else "",
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
