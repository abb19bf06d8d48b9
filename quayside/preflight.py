"""What can be known before the first container is made: port, memory and images, and networks that stand in the way."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planning.names import LABEL_STACK
from quayside.shell import CommandError, ask, make
from settings.problems import ConfigError, Problem
from settings.units import MIB

CONTAINER = "docker:index/container:Container"
NETWORK = "docker:index/network:Network"
IMAGE = "docker:index/remoteImage:RemoteImage"
VOLUME = "docker:index/volume:Volume"


@dataclass(frozen=True)
class Planned:
    """What a stack wants of the engine, read off its rehearsed resources."""

    images: tuple[str, ...]
    ports: tuple[tuple[str, int], ...]
    """Address and port of every port that is published on the host."""
    memory: int
    """Bytes, all limits together."""
    surge: int
    """Bytes a release of everything takes beside that."""
    subnets: Mapping[str, str] = field(default_factory=dict[str, str])
    """Network → its subnet."""


def planned(resources: Iterable[Mapping[str, Any]]) -> Planned:
    """Read the plan off the rehearsal's resources."""
    images: list[str] = []
    ports: list[tuple[str, int]] = []
    subnets: dict[str, str] = {}
    memory = surge = 0
    for resource in resources:
        inputs: Mapping[str, Any] = resource["inputs"]
        if resource["type"] == IMAGE:
            images.append(str(inputs["name"]))
        if resource["type"] == NETWORK and (ipam := inputs.get("ipamConfigs")):
            subnets[str(inputs["name"])] = str(ipam[0]["subnet"])
        if resource["type"] != CONTAINER:
            continue
        images.append(str(inputs["image"]))
        limit = int(inputs.get("memory") or 0) * MIB
        memory += limit
        if not inputs.get("name"):  # the edge and stateful services have fixed names and are replaced stop-first
            surge += limit
        ports += [(str(port.get("ip") or "0.0.0.0"), int(port["external"])) for port in inputs.get("ports") or ()]  # noqa: S104
    known = (image for image in images if image and not image.startswith("sha256:"))
    return Planned(tuple(dict.fromkeys(known)), tuple(ports), memory, surge, subnets)


def check_ports(plan: Planned, stack: str) -> None:
    """Every published port is free, or already this stack's own."""
    problems = [
        Problem(
            "quayside:edge/http",
            f"port {port} is taken by {holder}",
            f"choose another with `quayside:edge: {{http: {port + 1 if port < 65535 else 8080}}}`, or stop what has it",
        )
        for address, port in plan.ports
        if (holder := taken_by(address, port, stack))
    ]
    if problems:
        raise ConfigError(problems)


def check_subnets(plan: Planned, stack: str) -> None:
    """No network has to change its subnet: Docker cannot change one, nor remove it while containers are in it."""
    listing = ["docker", "network", "ls", "--quiet", "--filter", f"label={LABEL_STACK}={stack}"]
    ids = ask(listing, timeout=20).stdout.split()
    if not ids:
        return
    form = "{{.Name}} {{range .IPAM.Config}}{{.Subnet}}{{end}} {{len .Containers}}"
    rows = [
        line.split() for line in ask(["docker", "network", "inspect", "-f", form, *ids], timeout=20).stdout.splitlines()
    ]
    moved = sorted(
        (name, subnet) for name, subnet, used in rows if used != "0" and plan.subnets.get(name, subnet) != subnet
    )
    if moved:
        name, subnet = moved[0]
        others = f", and {len(moved) - 1} more would change" if len(moved) > 1 else ""
        raise ConfigError(
            [
                Problem(
                    "quayside:subnets",
                    f"network {name} has {subnet} and should get {plan.subnets[name]}{others}; "
                    "a network that is in use cannot be changed",
                    f"set it back, or run `{make('down', stack)}` (volumes are kept where quayside:protect is not "
                    f"false) and then `{make('up', stack)}`",
                )
            ]
        )


def taken_by(address: str, port: int, stack: str) -> str | None:
    """Who has the port; None when it is free or the stack's own."""
    listing = ["docker", "ps", "--filter", f"publish={port}", "--format"]
    done = ask([*listing, '{{.Label "dev.quayside.stack"}}\t{{.Names}}'], timeout=20)
    for line in done.stdout.splitlines():
        owner, _, name = line.partition("\t")
        return None if owner == stack else f"container {name}" + (f" of stack {owner}" if owner else "")
    if not local():
        return None
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except PermissionError:
            return None  # a port below 1024, which the engine may take though this user may not
        except OSError as error:
            return process_on(port) or f"another program ({error.strerror})"
    return None


def process_on(port: int) -> str | None:
    """Name and id of the process that listens on a TCP port, where Linux lets this user see it."""
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        try:
            if any(str(handle.readlink()) in inodes for handle in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            continue  # another user's, or gone meanwhile
    return None


def check_memory(plan: Planned, stack: str, say: Callable[[str], None]) -> None:
    """Refuse what cannot fit this machine at all; warn of what leaves no room for a release."""
    done = ask(["docker", "info", "--format", "{{.MemTotal}}"], timeout=20)
    total = int(done.stdout.strip()) if done.stdout.strip().isdigit() else 0
    if total and plan.memory > total:
        raise CommandError(
            f"the stack may use {plan.memory // MIB} MiB, and the engine's host has {total // MIB} MiB\n"
            f"    lower `memory` or `replicas` of its services"
        )
    free = available()
    if free is None or not local():
        return
    listing = ask(["docker", "ps", "--quiet", "--filter", f"label=dev.quayside.stack={stack}"], timeout=20)
    needed = plan.surge if listing.stdout.strip() else plan.memory + plan.surge
    if needed > free:
        say(
            f"memory is short: {free // MIB} MiB are free, and a release of everything may take {needed // MIB} MiB; "
            f"lower `memory` or `replicas` if containers get killed"
        )


def available() -> int | None:
    """Bytes this machine could still give, where it tells."""
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def local() -> bool:
    """Whether the engine runs on this machine."""
    return os.environ.get("DOCKER_HOST", "unix://").startswith("unix://")
