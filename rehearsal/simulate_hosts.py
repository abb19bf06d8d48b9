"""Hetzner Cloud and DigitalOcean, only pretended: ids, addresses and devices as their APIs would form them.

All of it derives from URNs and inputs, so that two previews of one program are equal. Addresses are of the ranges that
are kept for documentation (RFC 5737, RFC 3849), so that nobody's machine is ever meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rehearsal.record import Registration
from rehearsal.values import items_of, members_of

Simulator = Callable[[Registration, str], Mapping[str, Any]]


def computed(found: Registration, digest: str) -> Mapping[str, Any]:
    """What the provider adds inside of an input: beside the inputs, an output has it as well."""
    if found.type != "hcloud:index/server:Server":
        return {}
    given: dict[str, Any] = {"ip": _private(digest), "networkId": _id(digest)}
    return {"networks": [{**given, **members_of(network)} for network in items_of(found.inputs.get("networks"))]}


def _id(digest: str) -> int:
    return 1_000_000 + int(digest[:8], 16) % 90_000_000


def _public(digest: str) -> str:
    return f"203.0.113.{1 + int(digest[8:12], 16) % 254}"


def _private(digest: str) -> str:
    return f"10.0.{int(digest[12:14], 16)}.{2 + int(digest[14:16], 16) % 250}"


def _network6(digest: str) -> str:
    return f"2001:db8:{digest[:4].lstrip('0') or '0'}:{digest[4:8].lstrip('0') or '0'}::"


def _named(found: Registration, digest: str) -> str:
    return str(found.inputs.get("name") or f"{found.name}-{digest[:7]}")


def _numbered(found: Registration, digest: str) -> Mapping[str, Any]:
    return {"id": str(_id(digest)), "name": _named(found, digest)}


def _primary_ip(found: Registration, digest: str) -> Mapping[str, Any]:
    six = found.inputs.get("type") == "ipv6"
    address = _network6(digest) if six else _public(digest)
    network = {"ipNetwork": f"{address}/64"} if six else {}
    return {**_numbered(found, digest), "ipAddress": address, "assigneeType": "server", **network}


def _server(found: Registration, digest: str) -> Mapping[str, Any]:
    network = _network6(digest)
    return {
        **_numbered(found, digest),
        "status": "running",
        "ipv4Address": _public(digest),
        "ipv6Address": f"{network}1",
        "ipv6Network": f"{network}/64",
        "primaryDiskSize": 40,
    }


def _subnet(found: Registration, digest: str) -> Mapping[str, Any]:
    network = found.inputs.get("networkId", _id(digest))
    return {"id": f"{network}-{found.inputs.get('ipRange', '')}", "gateway": "10.0.0.1"}


def _volume(found: Registration, digest: str) -> Mapping[str, Any]:
    made = _numbered(found, digest)
    return {**made, "linuxDevice": f"/dev/disk/by-id/scsi-0HC_Volume_{made['id']}"}


def _load_balancer(found: Registration, digest: str) -> Mapping[str, Any]:
    return {**_numbered(found, digest), "ipv4": _public(digest), "ipv6": f"{_network6(digest)}1"}


def _load_balancer_network(found: Registration, digest: str) -> Mapping[str, Any]:
    return {"id": f"{found.inputs.get('loadBalancerId', '')}-{_id(digest)}", "ip": _private(digest)}


def _load_balancer_service(found: Registration, _digest: str) -> Mapping[str, Any]:
    return {"id": f"{found.inputs.get('loadBalancerId', '')}__{found.inputs.get('listenPort', '')}"}


def _load_balancer_target(found: Registration, _digest: str) -> Mapping[str, Any]:
    return {"id": f"lb-server-tgt-{found.inputs.get('serverId', '')}-{found.inputs.get('loadBalancerId', '')}"}


def _certificate(found: Registration, digest: str) -> Mapping[str, Any]:
    return {**_numbered(found, digest), "type": "managed", "fingerprint": digest[:40]}


def _rrset(found: Registration, _digest: str) -> Mapping[str, Any]:
    return {"id": f"{found.inputs.get('name', '')}/{found.inputs.get('type', '')}"}


def _ssh_key(found: Registration, digest: str) -> Mapping[str, Any]:
    pairs = [digest[i : i + 2] for i in range(0, 32, 2)]
    return {**_numbered(found, digest), "fingerprint": ":".join(pairs)}


def _droplet(found: Registration, digest: str) -> Mapping[str, Any]:
    made = _numbered(found, digest)
    return {
        **made,
        "dropletUrn": f"do:droplet:{made['id']}",
        "ipv4Address": _public(digest),
        "ipv4AddressPrivate": _private(digest),
        "ipv6Address": "",
        "status": "active",
        "disk": 160,
    }


def _uuid(found: Registration, digest: str) -> Mapping[str, Any]:
    id_ = "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
    return {"id": id_, "name": _named(found, digest)}


def _tag(found: Registration, digest: str) -> Mapping[str, Any]:
    name = _named(found, digest)
    return {"id": name, "name": name}


def _dns_record(found: Registration, digest: str) -> Mapping[str, Any]:
    name, domain = found.inputs.get("name", "@"), found.inputs.get("domain", "")
    return {"id": str(_id(digest)), "fqdn": domain if name == "@" else f"{name}.{domain}"}


TYPES: Mapping[str, Simulator] = {
    "hcloud:index/server:Server": _server,
    "hcloud:index/primaryIp:PrimaryIp": _primary_ip,
    "hcloud:index/network:Network": _numbered,
    "hcloud:index/networkSubnet:NetworkSubnet": _subnet,
    "hcloud:index/placementGroup:PlacementGroup": _numbered,
    "hcloud:index/firewall:Firewall": _numbered,
    "hcloud:index/volume:Volume": _volume,
    "hcloud:index/sshKey:SshKey": _ssh_key,
    "hcloud:index/loadBalancer:LoadBalancer": _load_balancer,
    "hcloud:index/loadBalancerNetwork:LoadBalancerNetwork": _load_balancer_network,
    "hcloud:index/loadBalancerService:LoadBalancerService": _load_balancer_service,
    "hcloud:index/loadBalancerTarget:LoadBalancerTarget": _load_balancer_target,
    "hcloud:index/managedCertificate:ManagedCertificate": _certificate,
    "hcloud:index/zoneRrset:ZoneRrset": _rrset,
    "digitalocean:index/droplet:Droplet": _droplet,
    "digitalocean:index/vpc:Vpc": _uuid,
    "digitalocean:index/firewall:Firewall": _uuid,
    "digitalocean:index/tag:Tag": _tag,
    "digitalocean:index/sshKey:SshKey": _ssh_key,
    "digitalocean:index/dnsRecord:DnsRecord": _dns_record,
}
