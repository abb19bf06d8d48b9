"""The stack's containers as the engine has them, and what the edge thinks of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planning.edge import ANYWAY, STATS_PORT
from planning.names import LABEL_ROLE, LABEL_SERVICE, LABEL_SLOT, LABEL_STACK
from quayside.shell import CommandError, ask, last_line, run

ROLES = ("edge", "service", "stateful", "canary")


@dataclass(frozen=True)
class Container:
    """One container of a stack."""

    id: str
    name: str
    service: str
    slot: str
    role: str
    image: str
    memory: int
    """Bytes; 0 is no limit."""
    state: str
    """`running`, `exited`, … as Docker says it."""
    health: str
    """`healthy`, `unhealthy`, `starting`, or empty without a check of Docker's own."""
    restarts: int = 0
    """How often Docker has started it again."""

    @property
    def running(self) -> bool:
        return self.state == "running"


DOCKER = ("docker",)
"""The client, with its options: another host's engine by `--host`."""


def of_stack(stack: str, docker: Sequence[str] = DOCKER) -> list[Container]:
    """Every container that carries the stack's label, running or not, in the order of services and slots."""
    listed = ask([*docker, "ps", "--all", "--quiet", "--filter", f"label={LABEL_STACK}={stack}"], timeout=30)
    if listed.returncode:
        raise CommandError(f"Docker does not list containers: {last_line(listed.stderr)}")
    ids = listed.stdout.split()
    if not ids:
        return []
    # One that is gone meanwhile is left out, and said on stderr.
    inspected = ask([*docker, "inspect", *ids], timeout=30)
    found: list[dict[str, Any]] = json.loads(inspected.stdout or "[]")
    # A `files` container only carries files into a volume, and never runs.
    members = (each for each in map(_read, found) if each.role in ROLES)
    return sorted(members, key=lambda each: (each.service, each.slot, each.name))


def start_stopped(stack: str, say: Callable[[str], None]) -> None:
    """Start what somebody stopped by hand. Docker itself starts whatever ends; pulumi looks at neither."""
    for container in of_stack(stack):
        if container.state == "exited":
            done = ask(["docker", "start", container.id], timeout=60)
            if done.returncode:
                raise CommandError(f"{container.name} is stopped and does not start: {last_line(done.stderr)}")
            say(f"{container.slot} was stopped: started again")


def _read(found: Mapping[str, Any]) -> Container:
    labels: Mapping[str, str] = found["Config"]["Labels"] or {}
    state: Mapping[str, Any] = found["State"]
    health: Mapping[str, Any] = state.get("Health") or {}
    service = labels.get(LABEL_SERVICE, "")
    return Container(
        id=str(found["Id"]),
        name=str(found["Name"]).lstrip("/"),
        service=service,
        slot=labels.get(LABEL_SLOT) or service,
        role=labels.get(LABEL_ROLE, "service"),
        image=str(found["Config"]["Image"]),
        memory=int(found["HostConfig"].get("Memory") or 0),
        state=str(state["Status"]),
        health=str(health.get("Status", "")),
        restarts=int(found.get("RestartCount") or 0),
    )


def servers(edge: Container | None, docker: Sequence[str] = DOCKER) -> dict[str, dict[str, str]]:
    """Container name → what the edge's check says of it, asked of the edge itself. Empty when it does not answer."""
    stat, state = ask_edge(edge, docker)
    return parse_state(state, parse_stat(stat))


def ask_edge(edge: Container | None, docker: Sequence[str] = DOCKER) -> tuple[str, str]:
    """HAProxy's own `show stat` and `show servers state`; both empty when it does not answer."""
    if edge is None or not edge.running:
        return "", ""
    nc = f"timeout 5 nc 127.0.0.1 {STATS_PORT}"
    ask = f"echo 'show stat' | {nc}; echo ---; echo 'show servers state' | {nc}"
    done = run([*docker, "exec", edge.id, "sh", "-c", ask], timeout=15)
    stat, _, state = done.stdout.partition("---\n")
    return stat, state


def parse_stat(text: str) -> dict[tuple[str, str], str]:
    """HAProxy's `show stat`: (backend, server) → status such as `UP` or `DOWN`."""
    lines = [line for line in text.splitlines() if line]
    if not lines or not lines[0].startswith("# "):
        return {}
    columns = lines[0].removeprefix("# ").split(",")
    rows = (dict(zip(columns, line.split(","), strict=False)) for line in lines[1:])
    return {(row["pxname"], row["svname"]): row.get("status", "") for row in rows if "svname" in row}


def parse_state(text: str, status: Mapping[tuple[str, str], str]) -> dict[str, dict[str, str]]:
    """HAProxy's `show servers state`: the container behind each server → its backend, slot and status."""
    found: dict[str, dict[str, str]] = {}
    columns: list[str] = []
    for line in text.splitlines():
        if line.startswith("# "):
            columns = line.removeprefix("# ").split()
        elif columns and len(fields := line.split()) >= len(columns):
            row = dict(zip(columns, fields, strict=False))
            backend, slot = row["be_name"], row["srv_name"]
            if slot.startswith(ANYWAY):
                # The replica once more, for when none is up; it is not checked.
                continue
            up = "UP" if row["srv_op_state"] == "2" else "DOWN"
            found[row.get("srv_fqdn", "-")] = {
                "backend": backend,
                "slot": slot,
                "status": status.get((backend, slot), up),
            }
    return found


def volumes(stack: str) -> list[str]:
    """Names of the volumes that carry the stack's label."""
    listed = ask(["docker", "volume", "ls", "--quiet", "--filter", f"label={LABEL_STACK}={stack}"], timeout=30)
    return sorted(listed.stdout.split())
