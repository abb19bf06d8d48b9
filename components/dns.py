"""The records that bring visitors to a fleet, with whoever holds the domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi

from components.announce import announce

TTL = 60
"""Seconds: as long as some visitors still go where a host was."""

Provider = Literal["hetzner", "route53", "digitalocean", "manual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsArgs:
    provider: Provider
    zone: str
    """Its name. It is there already, and stays."""
    zone_id: pulumi.Input[str] | None = None
    """Route 53's id of it."""
    names: Sequence[str]
    """Full names, `*.` at the front at will; all of them in the zone."""
    ipv4: Mapping[str, pulumi.Input[str]]
    """Host, or `balancer` → address. Every name leads to all of them."""
    ipv6: Mapping[str, pulumi.Input[str]]
    """Likewise; may be empty."""


class Dns(pulumi.ComponentResource):
    """An A and, where there are IPv6 addresses, an AAAA record for every name, at Hetzner, Route 53 or DigitalOcean.

    With `manual` makes none: each record is logged as soon as it is known, and is in `records`. Names of records are
    those of hosts, so that a name which moves to other addresses changes in place; DigitalOcean has one resource an
    address. Refuses names outside the zone, and Route 53 without the zone's id.
    """

    records: Sequence[pulumi.Output[Mapping[str, str]]]
    """What to make elsewhere, each `{name, type, value}`; empty where the stack makes them."""

    def __init__(self, name: str, args: DnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:dns:Dns", name, None, opts)
        _check(args)
        self._args, self._child = args, pulumi.ResourceOptions(parent=self)
        self._records: list[pulumi.Output[Mapping[str, str]]] = []
        make = {
            "hetzner": self._hetzner,
            "route53": self._route53,
            "digitalocean": self._digitalocean,
            "manual": self._manual,
        }[args.provider]
        for host in args.names:
            for type_, addresses in (("A", args.ipv4), ("AAAA", args.ipv6)):
                if addresses:
                    make(host, type_, addresses)
        self.records = tuple(self._records)
        self.register_outputs({"records": list(self.records)})

    # Each SDK is imported by the stack that has use for it alone: 120 MB for AWS's.

    def _hetzner(self, host: str, type_: str, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        import pulumi_hcloud as hcloud

        hcloud.ZoneRrset(
            _key(host, type_),
            zone=self._args.zone,
            name=relative(host, self._args.zone),
            type=type_,
            ttl=TTL,
            records=[hcloud.ZoneRrsetRecordArgs(value=address) for address in addresses.values()],
            opts=self._child,
        )

    def _route53(self, host: str, type_: str, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        import pulumi_aws as aws

        assert self._args.zone_id is not None  # noqa: S101  # `_check` has seen to it
        aws.route53.Record(
            _key(host, type_),
            zone_id=self._args.zone_id,
            name=host,
            type=type_,
            ttl=TTL,
            records=list(addresses.values()),
            opts=self._child,
        )

    def _digitalocean(self, host: str, type_: str, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        import pulumi_digitalocean as digitalocean

        for target, address in addresses.items():
            digitalocean.DnsRecord(
                f"{_key(host, type_)}-{target}",
                domain=self._args.zone,
                name=relative(host, self._args.zone),
                type=type_,
                value=address,
                ttl=TTL,
                opts=self._child,
            )

    def _manual(self, host: str, type_: str, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        for target, address in addresses.items():
            self._records.append(announce(self, f"to bring {host} to {target}", host, type_, address))


def relative(host: str, zone: str) -> str:
    """The name within its zone; `@` is the zone itself."""
    return "@" if host == zone else host.removesuffix(f".{zone}")


def _key(host: str, type_: str) -> str:
    return f"{host.replace('*', 'any')}-{type_.lower()}"  # a * in a name would be a pattern for `pulumi up --target`


def _check(args: DnsArgs) -> None:
    outside = [name for name in args.names if name != args.zone and not name.endswith(f".{args.zone}")]
    if outside and args.provider != "manual":
        raise ValueError(f"names should be in the zone {args.zone}, got {', '.join(outside)}")
    if args.provider == "route53" and args.zone_id is None:
        raise ValueError(f"zone_id should be the id of {args.zone} at Route 53, got none")
    if not args.ipv4:
        raise ValueError("ipv4 should have at least one address, got none")
