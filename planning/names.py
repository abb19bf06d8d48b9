"""Names that are a contract: other parts find containers, networks and volumes by them.

They are injective (decisions.md 35): two different things never have one name. A project, a stack, a service and a host
are a lowercase letter, then lowercase letters, digits and hyphens. So parts are joined by what no part can have:
an underscore, or a dot where a host name is needed. A hyphen would not do: stack `prod` with `eu-db` and stack
`prod-eu` with `db` would share everything. tests/property/test_names.py walks this file: a new name has to be added
there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

EDGE = "edge"
"""A reserved name (settings/rules.py): no service has it."""
LABEL_STACK = "dev.quayside.stack"
LABEL_SERVICE = "dev.quayside.service"
LABEL_ROLE = "dev.quayside.role"
ROLE_STATEFUL = "stateful"
ROLE_FILES = "files"
ROLE_DOOR = "door"
LABEL_SLOT = "dev.quayside.slot"
LABEL_BUILD = "dev.quayside.build"
"""Which image a tag stood for, where a tag may be built anew."""

LONGEST_HOST_NAME = 63
"""Characters of one part of a name in DNS, by which the edge finds a container."""


def folder_key(folder: str) -> str:
    """A folder as part of a name: no two folders have the same, and Docker takes it."""
    return re.sub(r"[^A-Za-z0-9.]", lambda found: _KEYS.get(found[0], f"_x{ord(found[0]):02X}_"), folder)


_KEYS = {"/": "-", "-": "_d", "_": "_u"}


def on_host(host: str, name: str) -> str:
    """A resource of one host of a fleet: `web` of host `eu` is not `eu-web`, which may be a service as well."""
    return f"{host}_{name}"


def fitting(name: str, most: int = LONGEST_HOST_NAME) -> str:
    """`name` itself where it fits; else its beginning and its hash, after two underscores, which no other name has."""
    if len(name) <= most:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: most - 18].rstrip('_')}__{digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Names within one stack on one Docker engine, so that several stacks share the engine."""

    project: str
    stack: str

    @property
    def key(self) -> str:
        """The value of the label that all of the stack has. It is compared as a whole, never by its beginning."""
        return f"{self.project}/{self.stack}"

    @property
    def prefix(self) -> str:
        """What the names of the stack's networks begin with, and those of no other stack."""
        return f"{self.project}_{self.stack}_"

    @property
    def edge(self) -> str:
        return fitting(f"{self.prefix}{EDGE}")

    @property
    def edge_network(self) -> str:
        """Sorts before every service's network: Docker takes the default route from the first (decisions.md 4)."""
        return f"0-{self.project}_{self.stack}"

    def network(self, service: str) -> str:
        return f"{self.prefix}{service}"

    def volume(self, service: str) -> str:
        return f"{self.prefix}{service}"

    def stateful(self, service: str) -> str:
        """The edge finds it by this name."""
        return fitting(f"{self.prefix}{service}")

    def door(self, service: str) -> str:
        return fitting(f"{self.prefix}{service}_door")

    def machine(self, host: str) -> str:
        """A host name: a machine at a cloud is called so, and greets with its first part."""
        return f"{host}.{self.stack}.{self.project}"

    def tag(self, of: str) -> str:
        """A tag at a cloud that has tags without values."""
        return f"{self.project}_{self.stack}_{of}"

    def task_family(self, service: str) -> str:
        """A family of task definitions: its revisions are counted in the whole AWS account."""
        return f"{self.project}_{self.stack}_{service}"

    def labels(self, service: str, role: str, slot: str | None = None) -> Mapping[str, str]:
        labels = {LABEL_STACK: self.key, LABEL_SERVICE: service, LABEL_ROLE: role}
        return labels if slot is None else {**labels, LABEL_SLOT: slot}
