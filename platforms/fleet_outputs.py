"""What a fleet of hosts exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from components.docker.connection import Jump
from planning.hosts import tables
from planning.hosts.model import FleetSecurity
from planning.hosts.plan import FleetPlan
from planning.hosts.security import who

if TYPE_CHECKING:
    from platforms.hetzner import Fleet


def outputs(planned: FleetPlan, admits: FleetSecurity, created: Fleet) -> Mapping[str, object]:
    """What the stack exports: plain values, known at preview, but for addresses."""
    exported: dict[str, object] = {
        "urls": tables.urls(planned),
        "hosts": [
            {
                "host": name,
                "kind": machine.host.kind,
                "size": machine.host.type or "",
                "state": tables.state(machine.host),
                "address": machine.address,
            }
            for name, machine in created.machines.items()
        ],
        "routes": tables.routes(planned),
        "reach": who(admits),
        "placement": tables.placement(planned),
        "services": tables.services(planned),
        # For `quayside status`, `logs` and `exec`: where every host is, how it is known, and what it should run.
        "fleet": {
            name: {
                "address": machine.address,
                "user": machine.connection.user,
                "port": machine.connection.port,
                "host_key": machine.connection.host_key,
                **_jump(machine.connection.jump),
                "down": machine.host.down,
                "slots": tables.slots(planned, name),
                "owner": created.owner.mark,
            }
            for name, machine in created.machines.items()
        },
        "deploy_key": created.private_key,
        "deploy_public_key": created.public_key,
    }
    if created.records:
        exported["records"] = list(created.records)
    return exported


def _jump(jump: Jump | None) -> Mapping[str, str]:
    if jump is None:
        return {}
    return {"jump": jump.destination, **({"jump_host_key": jump.host_key} if jump.host_key is not None else {})}
