"""Checks the inputs of packages hcloud and digitalocean for what their SDKs leave open: names, lists of values, ranges.

The SDKs' types are strings where the APIs take one of a few words, so that a misspelt location would first show when
a server is made. Beside each rule stands where it is from: `api` is the clouds' API reference, `tf` the source of the
Terraform providers that Pulumi's are made of, `go` hcloud-go.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from planning.clouds import BALANCER_TYPES, LOCATIONS, NETWORK_ZONES, REGIONS
from rehearsal.checks import Finding
from rehearsal.record import Registration
from rehearsal.values import Sealed, Secret, Unknown, mapping, revealed, sequence

PACKAGES = ("hcloud:", "digitalocean:")

USER_DATA = {"hcloud": 32 * 1024, "digitalocean": 64 * 1024}  # tf: server.md; api: Droplets
"""Bytes."""
_LABEL_KEY = re.compile(
    r"([a-z0-9A-Z]([-_.]|[a-z0-9A-Z]){0,253}[a-z0-9A-Z]?/)?[a-z0-9A-Z](([-_.]|[a-z0-9A-Z]){0,61}[a-z0-9A-Z])?"
)  # go: labels.go
_LABEL_VALUE = re.compile(r"(([a-z0-9A-Z]([-_.]|[a-z0-9A-Z]){0,61})?[a-z0-9A-Z])?")  # go: labels.go


@dataclass(frozen=True, slots=True)
class Limit:
    """A rule for one input's value; a list's items are judged one by one, unless it is for the `whole`."""

    says: str
    """`should be …`, completed by the value received."""
    holds: Callable[[Any], bool] = field(compare=False)
    whole: bool = False


def _between(low: int, high: int, unit: str = "") -> Limit:
    def holds(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return Limit(f"{low}–{high}{unit}", holds)


def _one_of(*choices: str) -> Limit:
    return Limit(f"one of {', '.join(choices)}", lambda value: value in choices)


def _like(pattern: str, says: str) -> Limit:
    compiled = re.compile(pattern)
    return Limit(says, lambda value: bool(compiled.fullmatch(str(value))))


def _at_most(count: int, what: str) -> Limit:
    return Limit(f"at most {count} {what}", lambda value: len(sequence(value) or []) <= count, whole=True)


_PRIVATE = tuple(ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


def _is_range(value: Any) -> bool:
    try:
        ipaddress.ip_network(str(value))
    except ValueError:
        return False
    return "/" in str(value)


def _is_private(low: int, high: int) -> Callable[[Any], bool]:
    def holds(value: Any) -> bool:
        try:
            found = ipaddress.IPv4Network(str(value))
        except ValueError:
            return False
        return low <= found.prefixlen <= high and any(found.subnet_of(whole) for whole in _PRIVATE)

    return holds


def _is_ports(value: Any) -> bool:
    first, dash, last = str(value).partition("-")
    try:
        return 1 <= int(first) <= int(last if dash else first) <= 65535
    except ValueError:
        return False


_RANGE = Limit("a range such as 198.51.100.0/24, with no bits behind its length", _is_range)
_PORTS = Limit("a port or a range of ports within 1–65535", _is_ports)
_PORT = _between(1, 65535)
_LOCATION = _one_of(*LOCATIONS)
_REGION = _one_of(*REGIONS)
_TTL = _between(1, 2147483647, " seconds")
_TAG = _like(r"[a-zA-Z0-9:\-_]{1,255}", "1–255 letters, digits, `:`, `-` or `_`")  # tf: tag/tags.go
_DO_NAME = _like(r"[A-Za-z0-9.-]{1,255}", "1–255 letters, digits, dots or hyphens")  # api: Droplets, VPCs
_PROTOCOLS = _one_of("tcp", "udp", "icmp", "gre", "esp")  # tf: firewall/resource.go

LIMITS: Mapping[str, Mapping[str, Limit]] = {
    "hcloud:index/server:Server": {
        "name": _like(
            r"(?=.{1,63}$)[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*",
            "a host name of at most 63 letters, digits and hyphens",
        ),
        "location": _LOCATION,
    },
    "hcloud:index/primaryIp:PrimaryIp": {"type": _one_of("ipv4", "ipv6"), "location": _LOCATION},
    "hcloud:index/network:Network": {
        "ipRange": Limit("a private IPv4 range", _is_private(8, 32)),  # tf: network.md, RFC 1918
    },
    "hcloud:index/networkSubnet:NetworkSubnet": {
        "type": _one_of("cloud", "server", "vswitch"),  # tf: resource_subnet.go
        "networkZone": _one_of(*NETWORK_ZONES),
        "ipRange": Limit("a private IPv4 range", _is_private(8, 32)),
    },
    "hcloud:index/placementGroup:PlacementGroup": {"type": _one_of("spread")},  # tf: placementgroup/resource.go
    "hcloud:index/firewall:Firewall": {
        "rules": _at_most(50, "rules a firewall"),  # api: Firewalls
        "rules/direction": _one_of("in", "out"),
        "rules/protocol": _PROTOCOLS,
        "rules/port": _PORTS,
        "rules/sourceIps": _RANGE,
        "rules/destinationIps": _RANGE,
        "rules/description": _like(r"(?s).{0,255}", "at most 255 characters"),
    },
    "hcloud:index/volume:Volume": {
        "size": _between(10, 10240, " GB"),  # api: Volumes
        "format": _one_of("ext4", "xfs"),
        "location": _LOCATION,
    },
    "hcloud:index/loadBalancer:LoadBalancer": {
        "loadBalancerType": _one_of(*BALANCER_TYPES),
        "location": _LOCATION,
        "networkZone": _one_of(*NETWORK_ZONES),
        "algorithm/type": _one_of("round_robin", "least_connections"),  # tf: loadbalancer/resource.go
    },
    "hcloud:index/loadBalancerService:LoadBalancerService": {
        "protocol": _one_of("http", "https", "tcp"),  # tf: resource_service.go
        "listenPort": _PORT,
        "destinationPort": _PORT,
        "http/timeoutIdle": _between(30, 300, " seconds"),
        "healthCheck/protocol": _one_of("http", "https", "tcp"),
        "healthCheck/port": _PORT,
    },
    "hcloud:index/loadBalancerTarget:LoadBalancerTarget": {"type": _one_of("server", "label_selector", "ip")},
    "hcloud:index/zoneRrset:ZoneRrset": {"ttl": _TTL},
    "digitalocean:index/droplet:Droplet": {"name": _DO_NAME, "region": _REGION, "tags": _TAG},
    "digitalocean:index/vpc:Vpc": {
        "name": _DO_NAME,
        "region": _REGION,
        "ipRange": Limit("a private IPv4 range of /16 to /24", _is_private(16, 24)),  # tf: vpc.md
        "description": _like(r"(?s).{0,255}", "at most 255 characters"),
    },
    "digitalocean:index/firewall:Firewall": {
        "tags": _TAG,
        "dropletIds": _at_most(10, "droplets a firewall: put a tag on them"),  # tf: firewall.md
        **{
            f"{way}Rules/{key}": limit
            for way, end in (("inbound", "source"), ("outbound", "destination"))
            for key, limit in {
                "protocol": _one_of("tcp", "udp", "icmp"),  # tf: firewall/firewalls.go
                "portRange": _PORTS,
                f"{end}Addresses": _RANGE,
            }.items()
        },
    },
    "digitalocean:index/tag:Tag": {"name": _TAG},
    "digitalocean:index/dnsRecord:DnsRecord": {"ttl": _TTL},
}


def check_host(found: Registration) -> list[Finding]:
    """Everything in `found`'s inputs that Hetzner or DigitalOcean would not take."""
    if not found.custom or not found.type.startswith(PACKAGES):
        return []
    where = f"{found.name} ({found.type})"
    limits = LIMITS.get(found.type, {})
    findings = [
        *_walk(found.inputs, "", limits, where),
        *_labels(found, where),
        *_size(found, where),
        *_together(found, where),
    ]
    return [Finding(f.path, f.message, f.fix, f.path.removeprefix(f"{where}/").partition("/")[0]) for f in findings]


def _walk(value: Any, path: str, limits: Mapping[str, Limit], where: str) -> Iterator[Finding]:
    if value is None or isinstance(value, Unknown | Sealed | Secret):
        return
    limit, items, members = limits.get(path), sequence(value), mapping(value)
    if limit is not None and (limit.whole or (items is None and members is None)) and not limit.holds(value):
        got = f"{len(items)}" if limit.whole and items is not None else repr(value)
        yield Finding(f"{where}/{path}", f"should be {limit.says}, got {got}")
    for item in items or []:
        yield from _walk(item, path, limits, where)
    for key, item in (members or {}).items():
        yield from _walk(item, f"{path}/{key}" if path else key, limits, where)


def _labels(found: Registration, where: str) -> Iterator[Finding]:
    if not found.type.startswith("hcloud:"):
        return
    for key, value in (mapping(found.inputs.get("labels")) or {}).items():
        if not _LABEL_KEY.fullmatch(key):
            yield Finding(
                f"{where}/labels/{key}",
                "should be a key of 1–63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends",
            )
        if isinstance(value, str) and not _LABEL_VALUE.fullmatch(value):
            yield Finding(
                f"{where}/labels/{key}",
                "should be at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends, "
                f"got {value!r}",
            )


def _size(found: Registration, where: str) -> Iterator[Finding]:
    text = revealed(found.inputs.get("userData"))
    most = USER_DATA[found.type.partition(":")[0]]
    if isinstance(text, str) and len(text.encode()) > most:
        yield Finding(f"{where}/userData", f"should be at most {most} bytes, got {len(text.encode())}")


def _together(found: Registration, where: str) -> Iterator[Finding]:
    """What an input means for another."""
    inputs = found.inputs
    match found.type:
        case "hcloud:index/firewall:Firewall":
            for rule in sequence(inputs.get("rules")) or []:
                yield from _ported(mapping(rule) or {}, "port", f"{where}/rules")
        case "digitalocean:index/firewall:Firewall":
            for way in ("inboundRules", "outboundRules"):
                for rule in sequence(inputs.get(way)) or []:
                    yield from _ported(mapping(rule) or {}, "portRange", f"{where}/{way}")
        case "hcloud:index/server:Server":
            if not inputs.get("sshKeys"):
                yield Finding(f"{where}/sshKeys", "is missing, so that Hetzner would mail a password for root")
            if not inputs.get("firewallIds"):
                yield Finding(f"{where}/firewallIds", "is missing: one attached later would come after the first boot")
        case "digitalocean:index/droplet:Droplet":
            if not inputs.get("sshKeys"):
                yield Finding(f"{where}/sshKeys", "is missing, so that DigitalOcean would mail a password for root")
        case "hcloud:index/primaryIp:PrimaryIp":
            if inputs.get("autoDelete") is not False:
                yield Finding(f"{where}/autoDelete", "should be false, or the address goes with its server")
        case "hcloud:index/volume:Volume":
            if ("location" in inputs) == ("serverId" in inputs):
                yield Finding(where, "should have either location or serverId")  # tf: volume.md
        case _:
            pass


def _ported(rule: Mapping[str, Any], key: str, where: str) -> Iterator[Finding]:
    if rule.get("protocol") in ("tcp", "udp") and rule.get(key) is None:
        yield Finding(f"{where}/{key}", f"is missing, and {rule.get('protocol')} requires it")
    if rule.get("protocol") == "icmp" and rule.get(key) is not None:
        yield Finding(f"{where}/{key}", f"should be left out with icmp, got {rule.get(key)!r}")
