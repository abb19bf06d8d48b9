"""What has no place, in numbers: what is needed, what there is, and which host comes closest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from planning.hosts.model import Host
from planning.hosts.packing import Item, Load, Packed
from planning.subnets import MAX_CONTAINERS
from settings.problems import Problem
from settings.stack import Stack
from settings.units import MIB, mib

MOST = MAX_CONTAINERS // 2
"""Replicas of one service on one host: its network holds twice as many, for a release."""


def misfits(stack: Stack, items: Sequence[Item], packed: Packed, loads: Mapping[str, Load]) -> Iterator[Problem]:
    """For every service that found no room."""
    left: dict[str, list[Item]] = {}
    for item in packed.left:
        left.setdefault(item.service, []).append(item)
    for name, missing in sorted(left.items()):
        yield _misfit(stack, name, missing, sum(item.service == name for item in items), loads)


def _misfit(stack: Stack, name: str, missing: Sequence[Item], of: int, loads: Mapping[str, Load]) -> Problem:
    item = missing[0]
    hosts = [loads[host] for host in sorted(item.hosts) if host in loads]
    where = f" of {stack.services[name].place}" if stack.services[name].place else ""
    count = f"{len(missing)} of its {of} replicas" if of > 1 else "its replica"
    if not hosts:
        return Problem(f"services/{name}", f"there is no host{where} to run it on", "add one, or take one out of drain")
    if item.alone and of > len(hosts):
        reason = "ports" if stack.services[name].ports else "network host"
        return Problem(
            f"services/{name}/replicas",
            f"should be at most {len(hosts)}, got {of}: with {reason} a host takes one, and there are "
            f"{len(hosts)} hosts{where}",
            f"lower it, or remove {reason}",
        )
    if of > MOST * len(hosts):
        return Problem(
            f"services/{name}/replicas",
            f"{of} replicas on {len(hosts)} hosts are too many: a host's network of a service holds {MAX_CONTAINERS}, "
            "and a release needs room for two of each",
            f"at most {MOST} a host, canaries included",
        )
    short = {load.bin.name: _short(load, item) for load in hosts}
    # The closest: what it lacks, measured in what there is of it.
    closest = min(hosts, key=lambda load: (max(part for _, part, _ in short[load.bin.name]), load.bin.name))
    key, _, lacks = max(short[closest.bin.name], key=lambda one: one[1])
    if key == "ports":
        return Problem(
            f"services/{name}/ports",
            f"{count} would share a port of {closest.bin.name} with another service",
            "publish another port, or place the two on different hosts",
        )
    release = f", as much again for a release (surge: {stack.surge})," if item.surges else ""
    needs = f"{mib(item.memory)}{release} and {item.cpu / 1000:g} vCPU"
    softer = "" if stack.surge == "largest" or key == "cpu" else ", or set quayside:surge to largest"
    return Problem(
        f"services/{name}/{key}",
        f"{count} would find no room{where}: each needs {needs}. The closest is {closest.bin.name}, which lacks "
        f"{lacks}: it has {closest.bin.memory // MIB}MiB and {closest.bin.cpu / 1000:g} vCPU for containers, with "
        f"{mib(closest.steady)} and {closest.cpu / 1000:g} vCPU in use and {mib(closest.extra)} kept for a release",
        f"lower services/{name}/{key} or its replicas, add a host or take a larger type{softer}",
    )


def _short(load: Load, item: Item) -> Sequence[tuple[str, Fraction, str]]:
    """What a host lacks for the item, each with how much of it that is."""
    memory, cpu = load.needs(item)
    lacks = [
        ("memory", Fraction(memory - load.bin.memory, max(1, load.bin.memory)), mib(memory - load.bin.memory)),
        ("cpu", Fraction(cpu - load.bin.cpu, max(1, load.bin.cpu)), f"{(cpu - load.bin.cpu) / 1000:g} vCPU"),
    ]
    if memory <= load.bin.memory and cpu <= load.bin.cpu:
        return [("ports", Fraction(0), "a port")]
    return lacks


def burst_misfit(stack: Stack, host: Host, names: Sequence[str], memory: int, cpu: int) -> Problem:
    what = " and ".join(names)
    over = (
        f"{mib(memory)} with the room for a release (surge: {stack.surge}), and {host.name} has "
        f"{host.memory // MIB}MiB of its {mib(host.total)} for containers"
        if memory > host.memory
        else f"{cpu / 1000:g} vCPU, and {host.name} has {host.cpu:g}"
    )
    path = "quayside:burst/size" if host.kind == "droplet" else "quayside:burst/services"
    return Problem(path, f"one replica of {what} needs {over}", "take a larger size, or name fewer services")
