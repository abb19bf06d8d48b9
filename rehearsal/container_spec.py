"""A container's inputs as pulumi-docker names them, turned into the body of the Engine API's create call."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rehearsal.providers import StepError
from rehearsal.values import Properties, items_of, members_of

MIB: Final = 1024 * 1024

HANDLED: Final = frozenset(
    {
        "capabilities",
        "cgroupParent",
        "cgroupnsMode",
        "command",
        "cpuPeriod",
        "cpuQuota",
        "cpuSet",
        "cpuShares",
        "cpus",
        "destroyGraceSeconds",
        "devices",
        "dns",
        "dnsOpts",
        "dnsSearches",
        "domainname",
        "entrypoints",
        "envs",
        "groupAdds",
        "healthcheck",
        "hostname",
        "hosts",
        "image",
        "init",
        "ipcMode",
        "labels",
        "logDriver",
        "logOpts",
        "maxRetryCount",
        "memory",
        "memoryReservation",
        "memorySwap",
        "mounts",
        "mustRun",
        "name",
        "networkMode",
        "networksAdvanced",
        "pidMode",
        "ports",
        "privileged",
        "publishAllPorts",
        "readOnly",
        "removeVolumes",
        "restart",
        "runtime",
        "securityOpts",
        "shmSize",
        "start",
        "stdinOpen",
        "stopSignal",
        "stopTimeout",
        "storageOpts",
        "sysctls",
        "tmpfs",
        "tty",
        "ulimits",
        "uploads",
        "user",
        "usernsMode",
        "volumes",
        "wait",
        "waitTimeout",
        "workingDir",
    }
)
"""Inputs that are carried out. Any other is refused by name: an ignored input would be a lie."""

UNORDERED: Final = frozenset(
    {
        "envs",
        "labels",
        "hosts",
        "networksAdvanced",
        "volumes",
        "mounts",
        "uploads",
        "ulimits",
        "dns",
        "dnsOpts",
        "dnsSearches",
        "securityOpts",
        "groupAdds",
        "devices",
    }
)
"""What the provider keeps as sets: another order is no change."""

BOOKKEEPING: Final = frozenset(
    {"mustRun", "wait", "waitTimeout", "destroyGraceSeconds", "removeVolumes", "start"},
)
"""Inputs whose change touches no container: they say how a later step is done."""

UPDATABLE: Final = frozenset(
    {"restart", "maxRetryCount", "cpuShares", "memory", "memoryReservation", "memorySwap", "cpuSet"}
)
"""Inputs that the engine changes in a running container."""


def digest(inputs: Properties) -> str:
    """A short mark of the inputs a container was made of, the same whatever order the sets came in."""
    settled = {key: sorted(items_of(value), key=repr) if key in UNORDERED else value for key, value in inputs.items()}
    return hashlib.sha256(json.dumps(settled, sort_keys=True, default=repr).encode()).hexdigest()[:32]


def create_body(inputs: Properties, labels: Mapping[str, str]) -> dict[str, Any]:
    """The body of ``POST /containers/create``."""
    given = {str(item["label"]): str(item["value"]) for item in items_of(inputs.get("labels"))}
    body: dict[str, Any] = {
        "Image": inputs["image"],
        "Labels": {**given, **labels},
        "Volumes": {str(v["containerPath"]): {} for v in items_of(inputs.get("volumes")) if _is_anonymous(v)},
        "ExposedPorts": {_port_key(port): {} for port in items_of(inputs.get("ports"))},
        "HostConfig": _host_config(inputs),
    }
    plain = {
        "command": "Cmd",
        "entrypoints": "Entrypoint",
        "envs": "Env",
        "user": "User",
        "workingDir": "WorkingDir",
        "tty": "Tty",
        "stdinOpen": "OpenStdin",
        "hostname": "Hostname",
        "domainname": "Domainname",
        "stopSignal": "StopSignal",
        "stopTimeout": "StopTimeout",
    }
    body.update({theirs: inputs[ours] for ours, theirs in plain.items() if ours in inputs})
    if (check := inputs.get("healthcheck")) is not None:
        body["Healthcheck"] = _healthcheck(check)
    networks = items_of(inputs.get("networksAdvanced"))
    if networks:
        body["NetworkingConfig"] = {"EndpointsConfig": {network_name(networks[0]): endpoint(networks[0])}}
    return body


def _host_config(inputs: Properties) -> dict[str, Any]:
    config: dict[str, Any] = {
        "Binds": [_bind(volume) for volume in items_of(inputs.get("volumes")) if _is_bind(volume)],
        "VolumesFrom": [str(v["fromContainer"]) for v in items_of(inputs.get("volumes")) if v.get("fromContainer")],
        "ExtraHosts": [f"{host['host']}:{host['ip']}" for host in items_of(inputs.get("hosts"))],
        "RestartPolicy": restart_policy(inputs),
        "PortBindings": _port_bindings(items_of(inputs.get("ports"))),
    }
    plain = {
        "cgroupParent": "CgroupParent",
        "cgroupnsMode": "CgroupnsMode",
        "cpuPeriod": "CpuPeriod",
        "cpuQuota": "CpuQuota",
        "dns": "Dns",
        "dnsOpts": "DnsOptions",
        "dnsSearches": "DnsSearch",
        "groupAdds": "GroupAdd",
        "init": "Init",
        "ipcMode": "IpcMode",
        "networkMode": "NetworkMode",
        "pidMode": "PidMode",
        "privileged": "Privileged",
        "publishAllPorts": "PublishAllPorts",
        "readOnly": "ReadonlyRootfs",
        "runtime": "Runtime",
        "securityOpts": "SecurityOpt",
        "storageOpts": "StorageOpt",
        "sysctls": "Sysctls",
        "tmpfs": "Tmpfs",
        "usernsMode": "UsernsMode",
    }
    config.update({theirs: inputs[ours] for ours, theirs in plain.items() if ours in inputs})
    config.update(resources(inputs))
    if "shmSize" in inputs:
        config["ShmSize"] = int(inputs["shmSize"]) * MIB
    if "cpus" in inputs:
        config["NanoCpus"] = round(float(inputs["cpus"]) * 1e9)
    if capabilities := inputs.get("capabilities"):
        config["CapAdd"] = list(items_of(capabilities.get("adds")))
        config["CapDrop"] = list(items_of(capabilities.get("drops")))
    if "logDriver" in inputs or "logOpts" in inputs:
        config["LogConfig"] = {"Type": inputs.get("logDriver", ""), "Config": members_of(inputs.get("logOpts"))}
    if limits := inputs.get("ulimits"):
        config["Ulimits"] = [{"Name": u["name"], "Soft": u["soft"], "Hard": u["hard"]} for u in limits]
    if mounts := inputs.get("mounts"):
        config["Mounts"] = [_mount(mount) for mount in mounts]
    if devices := inputs.get("devices"):
        config["Devices"] = [
            {
                "PathOnHost": device["hostPath"],
                "PathInContainer": device.get("containerPath") or device["hostPath"],
                "CgroupPermissions": device.get("permissions") or "rwm",
            }
            for device in devices
        ]
    networks = items_of(inputs.get("networksAdvanced"))
    if networks and "networkMode" not in inputs:
        config["NetworkMode"] = network_name(networks[0])
    return config


def resources(inputs: Properties) -> dict[str, Any]:
    """Limits that can be set at creation and later."""
    limits: dict[str, Any] = {}
    for ours, theirs in (("memory", "Memory"), ("memoryReservation", "MemoryReservation")):
        if ours in inputs:
            limits[theirs] = int(inputs[ours]) * MIB
    if "memorySwap" in inputs:
        swap = int(inputs["memorySwap"])
        limits["MemorySwap"] = swap * MIB if swap > 0 else swap
    if "cpuShares" in inputs:
        limits["CpuShares"] = int(inputs["cpuShares"])
    if "cpuSet" in inputs:
        limits["CpusetCpus"] = str(inputs["cpuSet"])
    return limits


def restart_policy(inputs: Properties) -> dict[str, Any]:
    return {"Name": inputs.get("restart", "no"), "MaximumRetryCount": int(inputs.get("maxRetryCount", 0))}


def network_name(network: Mapping[str, Any]) -> str:
    return str(network.get("name") or network.get("id"))


def endpoint(network: Mapping[str, Any]) -> dict[str, Any]:
    """How a container is attached to one network."""
    settings: dict[str, Any] = {}
    if aliases := network.get("aliases"):
        settings["Aliases"] = list(aliases)
    addresses = {"IPv4Address": network.get("ipv4Address"), "IPv6Address": network.get("ipv6Address")}
    if given := {key: value for key, value in addresses.items() if value}:
        settings["IPAMConfig"] = given
    return settings


def _is_bind(volume: Mapping[str, Any]) -> bool:
    return bool(volume.get("volumeName") or volume.get("hostPath"))


def _is_anonymous(volume: Mapping[str, Any]) -> bool:
    return not _is_bind(volume) and not volume.get("fromContainer") and bool(volume.get("containerPath"))


def _bind(volume: Mapping[str, Any]) -> str:
    source = volume.get("volumeName") or volume.get("hostPath")
    return f"{source}:{volume['containerPath']}:{'ro' if volume.get('readOnly') else 'rw'}"


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    known = {"type", "target", "source", "readOnly", "tmpfsOptions"}
    if unknown := sorted(mount.keys() - known):
        raise StepError(f"mounts: {', '.join(unknown)}: not yet carried out by the rehearsal")
    body: dict[str, Any] = {"Type": mount["type"], "Target": mount["target"], "ReadOnly": bool(mount.get("readOnly"))}
    if mount.get("source"):
        body["Source"] = mount["source"]
    if options := mount.get("tmpfsOptions"):
        body["TmpfsOptions"] = {"SizeBytes": options.get("sizeBytes", 0), "Mode": options.get("mode", 0)}
    return body


def _port_key(port: Mapping[str, Any]) -> str:
    return f"{port['internal']}/{port.get('protocol') or 'tcp'}"


def _port_bindings(ports: list[Mapping[str, Any]]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        external = port.get("external")
        binding = {"HostIp": str(port.get("ip") or "0.0.0.0"), "HostPort": str(external) if external else ""}  # noqa: S104
        bindings.setdefault(_port_key(port), []).append(binding)
    return bindings


def _healthcheck(check: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"Test": list(check["tests"])}
    names = {"interval": "Interval", "timeout": "Timeout", "startPeriod": "StartPeriod"}
    body.update({theirs: nanoseconds(str(check[ours])) for ours, theirs in names.items() if ours in check})
    if "retries" in check:
        body["Retries"] = int(check["retries"])
    return body


_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def nanoseconds(text: str) -> int:
    """A Go duration (`1m30s`, `500ms`) in nanoseconds."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", text)
    if text != "0" and "".join(number + unit for number, unit in parts) != text:
        raise StepError(f"should be a duration such as 5s or 1m30s, got {text!r}")
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


def upload_archive(upload: Mapping[str, Any]) -> bytes:
    """A tar with one file, for ``PUT /containers/{id}/archive`` at the root."""
    if upload.get("contentBase64"):
        data = base64.b64decode(str(upload["contentBase64"]))
    elif upload.get("source"):
        data = Path(str(upload["source"])).read_bytes()
    else:
        data = str(upload.get("content") or "").encode()
    info = tarfile.TarInfo(str(upload["file"]).lstrip("/"))
    info.size = len(data)
    info.mtime = int(time.time())
    permissions = upload.get("permissions")
    info.mode = int(str(permissions), 8) if permissions else 0o744 if upload.get("executable") else 0o644
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def outputs_of(inspected: Mapping[str, Any], inputs: Properties) -> dict[str, Any]:
    """What the provider says of a container, beside its inputs."""
    settings = members_of(inspected.get("NetworkSettings"))
    networks = [
        {
            "networkName": str(name),
            "ipAddress": str(found.get("IPAddress") or ""),
            "ipPrefixLength": int(found.get("IPPrefixLen") or 0),
            "gateway": str(found.get("Gateway") or ""),
            "globalIpv6Address": str(found.get("GlobalIPv6Address") or ""),
            "macAddress": str(found.get("MacAddress") or ""),
        }
        for name, found in sorted((members_of(settings.get("Networks"))).items())
    ]
    return {
        **inputs,
        "name": str(inspected["Name"]).lstrip("/"),
        "hostname": str(inspected["Config"].get("Hostname") or ""),
        "bridge": str(settings.get("Bridge") or ""),
        "containerLogs": "",
        "exitCode": int(inspected["State"].get("ExitCode") or 0),
        "networkDatas": networks,
    }
