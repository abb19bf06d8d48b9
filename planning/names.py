"""Names that are a contract: other parts find containers, networks and volumes by them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

EDGE = "edge"
LABEL_STACK = "dev.quayside.stack"
LABEL_SERVICE = "dev.quayside.service"
LABEL_ROLE = "dev.quayside.role"
ROLE_STATEFUL = "stateful"
ROLE_FILES = "files"
ROLE_DOOR = "door"
LABEL_SLOT = "dev.quayside.slot"
LABEL_URLS = "dev.quayside.urls"


def folder_key(folder: str) -> str:
    """A folder as part of a name: no two folders have the same, and Docker takes it."""
    return re.sub(r"[^A-Za-z0-9.]", lambda found: _KEYS.get(found[0], f"_x{ord(found[0]):02X}_"), folder)


_KEYS = {"/": "-", "-": "_d", "_": "_u"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Names within one stack on one Docker engine, so that several stacks share the engine."""

    project: str
    stack: str

    @property
    def key(self) -> str:
        return f"{self.project}/{self.stack}"

    @property
    def prefix(self) -> str:
        return f"{self.project}-{self.stack}"

    @property
    def edge(self) -> str:
        return f"{self.prefix}-{EDGE}"

    @property
    def edge_network(self) -> str:
        """Sorts before every service's network: Docker takes the default route from the first (decisions.md 4)."""
        return f"0-{self.prefix}"

    def network(self, service: str) -> str:
        return f"{self.prefix}-{service}"

    def volume(self, service: str) -> str:
        return f"{self.prefix}-{service}"

    def stateful(self, service: str) -> str:
        return f"{self.prefix}-{service}"

    def door(self, service: str) -> str:
        """No service's name has an underscore."""
        return f"{self.prefix}-{service}_door"

    def labels(self, service: str, role: str, slot: str | None = None) -> Mapping[str, str]:
        labels = {LABEL_STACK: self.key, LABEL_SERVICE: service, LABEL_ROLE: role}
        return labels if slot is None else {**labels, LABEL_SLOT: slot}
