"""Checks the inputs of containers for what Docker's engine, runc or the provider would refuse, and then too late.

Beside each rule stands where it is from: `moby` is the engine, `runc` what starts the container, `provider`
terraform-provider-docker, which Pulumi's is made of, and `run` what Docker 20.10 answered here.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rehearsal.checks import Finding
from rehearsal.container_spec import nanoseconds
from rehearsal.providers import StepError
from rehearsal.record import Registration
from rehearsal.values import items_of, members_of, revealed

CONTAINER = "docker:index/container:Container"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")  # moby: names.RestrictedNameChars
_LEAST_MEMORY = 6  # moby: linuxMinMemory, MiB
_SHARES = (2, 262144)  # moby: linuxMinCPUShares, linuxMaxCPUShares
_LEAST_INTERVAL = 1_000_000  # moby: container.MinimumDuration, 1 ms
_TESTS = ("NONE", "CMD", "CMD-SHELL")  # moby: daemon/health.go, getProbe
_LONGEST_HOSTNAME = 63  # run: runc's sethostname takes 64 bytes, and DNS 63
_RESTARTS = ("no", "always", "unless-stopped", "on-failure")
_SYSTEM = ("/proc", "/sys")  # runc: checkProcMount; run


def check_container(found: Registration) -> list[Finding]:
    """Everything in one container's inputs that would fail when it is made or started."""
    if found.type != CONTAINER:
        return []
    where, inputs = f"{found.name} ({found.type})", members_of(revealed(found.inputs))
    findings = [*_mounts(inputs), *_limits(inputs), *_process(inputs), *_network(inputs), *_health(inputs)]
    return [Finding(f"{where}/{key}", message, fix, key.partition("/")[0]) for key, message, fix in findings]


def check_together(all_found: Iterable[Registration]) -> Iterator[Finding]:
    """What two containers of one engine cannot have both."""
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    ports: dict[tuple[str, Any, str], list[tuple[str, str]]] = defaultdict(list)
    for found in all_found:
        if found.type != CONTAINER:
            continue
        inputs = members_of(revealed(found.inputs))
        if isinstance(inputs.get("name"), str):
            names[found.provider, inputs["name"]].append(found.name)
        for port in _objects(inputs, "ports"):
            if isinstance(port.get("external"), int):
                at = (found.provider, port["external"], str(port.get("protocol") or "tcp"))
                ports[at].append((str(port.get("ip") or "0.0.0.0"), found.name))  # noqa: S104  # what no ip means
    for (_, name), owners in names.items():
        if len(owners) > 1:
            yield Finding(f"{owners[1]} ({CONTAINER})/name", f"{name} is the name of {owners[0]} on the same engine")
    for (_, port, protocol), bound in ports.items():
        for number, (ip, owner) in enumerate(bound):
            clash = next((other for at, other in bound[:number] if at == ip or "0.0.0.0" in (at, ip)), None)  # noqa: S104
            if clash is not None:
                said = f"{protocol} {port} is published by {clash} on the same engine"
                yield Finding(f"{owner} ({CONTAINER})/ports", said)


_Found = Iterator[tuple[str, str, str]]


def _objects(inputs: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return [members_of(item) for item in items_of(inputs.get(key))]


def _mounts(inputs: Mapping[str, Any]) -> _Found:
    mounts = [("volumes", volume.get("containerPath")) for volume in _objects(inputs, "volumes")]
    mounts += [("mounts", mount.get("target")) for mount in _objects(inputs, "mounts")]
    mounts += [("tmpfs", path) for path in members_of(inputs.get("tmpfs"))]
    seen: dict[str, str] = {}
    for key, path in mounts:
        if not isinstance(path, str):
            continue
        clean = posixpath.normpath(path)
        if not path.startswith("/") or clean == "/":
            yield key, f"should be an absolute path other than /, got {path!r}", ""  # moby: validateNotRoot
        elif clean in seen:
            # moby: registerMountPoints, "Duplicate mount point".
            yield key, f"{path} is mounted already, by {seen[clean]}", "one path takes one mount"
        elif clean == "/dev" or any(f"{clean}/".startswith(f"{path}/") for path in _SYSTEM):
            yield key, f"{path} is the kernel's own, and nothing can be mounted there", ""
        seen.setdefault(clean, key)
    for upload in _objects(inputs, "uploads"):
        given = [key for key in ("content", "contentBase64", "source") if upload.get(key)]
        if len(given) != 1:  # provider: resourceDockerContainerCreate
            yield "uploads", f"{upload.get('file')} should have one of content, contentBase64 and source, not empty", ""
    if inputs.get("readOnly") is True and items_of(inputs.get("uploads")):
        yield "uploads", "cannot be had with readOnly: the engine refuses to write into the container", ""


def _limits(inputs: Mapping[str, Any]) -> _Found:
    memory, swap, shares = inputs.get("memory"), inputs.get("memorySwap"), inputs.get("cpuShares")
    if isinstance(memory, int) and 0 < memory < _LEAST_MEMORY:
        yield "memory", f"should be at least {_LEAST_MEMORY} MiB, got {memory}", ""
    if isinstance(memory, int) and isinstance(swap, int) and 0 < swap < memory:
        yield "memorySwap", f"should be at least memory, {memory}, got {swap}", ""
    if isinstance(shares, int) and shares and not _SHARES[0] <= shares <= _SHARES[1]:
        yield "cpuShares", f"should be {_SHARES[0]}–{_SHARES[1]}, got {shares}", ""
    if isinstance(inputs.get("restart"), str) and inputs["restart"] not in _RESTARTS:
        yield "restart", f"should be one of {', '.join(_RESTARTS)}, got {inputs['restart']!r}", ""


def _process(inputs: Mapping[str, Any]) -> _Found:
    for variable in items_of(inputs.get("envs")):
        if isinstance(variable, str) and not variable.partition("=")[0]:
            yield "envs", "holds a variable without a name", ""  # moby: opts.ValidateEnv
    if any(item == "" for item in items_of(inputs.get("command"))):
        yield "command", "has an empty item, which the provider refuses", "let a shell pass it: sh -c"  # provider
    name, hostname = inputs.get("name"), inputs.get("hostname")
    if isinstance(name, str) and not _NAME.fullmatch(name):
        yield "name", f"should be letters, digits and _.- with a letter or digit first, got {name!r}", ""
    if isinstance(hostname, str) and len(hostname) > _LONGEST_HOSTNAME:
        yield "hostname", f"should be at most {_LONGEST_HOSTNAME} characters, got {len(hostname)}", ""


def _network(inputs: Mapping[str, Any]) -> _Found:
    host = inputs.get("networkMode") == "host"
    if host and items_of(inputs.get("networksAdvanced")):
        yield "networksAdvanced", "cannot be had with networkMode host", ""  # moby: ErrConflictHostNetwork
    for key in members_of(inputs.get("sysctls")):
        if host and key.startswith("net."):
            yield "sysctls", f"{key} cannot be set in the network of the host", ""  # runc: validate.go
    seen: set[tuple[Any, Any, str]] = set()
    for port in _objects(inputs, "ports"):
        for key in ("internal", "external"):
            number = port.get(key)
            if isinstance(number, int) and not 1 <= number <= 65535:
                yield "ports", f"{key} should be 1–65535, got {number}", ""
        external = (port.get("ip"), port.get("external"), str(port.get("protocol") or "tcp"))
        if external in seen and external[1] is not None:
            yield "ports", f"{external[2]} {external[1]} is published twice", ""
        seen.add(external)


def _health(inputs: Mapping[str, Any]) -> _Found:
    check = members_of(inputs.get("healthcheck"))
    tests = items_of(check.get("tests"))
    if tests and isinstance(tests[0], str) and tests[0] not in _TESTS:
        yield "healthcheck/tests", f"should begin with {', '.join(_TESTS)}, got {tests[0]!r}", ""
    for key in ("interval", "timeout", "startPeriod"):
        value = check.get(key)
        if not isinstance(value, str):
            continue
        try:
            length = nanoseconds(value)
        except StepError as error:
            yield f"healthcheck/{key}", str(error), ""
            continue
        if 0 < length < _LEAST_INTERVAL:
            yield f"healthcheck/{key}", f"should be 0s or at least 1ms, got {value}", ""
