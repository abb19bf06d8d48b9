"""The records that bring visitors to a fleet, with whoever holds the domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi

from components.announce import announce

TTL = 60
"""Seconds: as long as some visitors still go where a host was."""

CHECK_INTERVAL = 10
"""Seconds between two requests of one of Route 53's checkers, which are in several regions. It takes 10 or 30."""
CHECK_FAILURES = 2
"""In a row, until a host is left out; as many successes bring it back."""

Provider = Literal["hetzner", "route53", "digitalocean", "manual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthArgs:
    """What Route 53 asks every host for, by HTTP, from the internet: 2xx and 3xx are healthy."""

    port: int
    path: str
    names: Mapping[str, str]
    """Host → what its health check is called in the console."""


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
    health: HealthArgs | None = None
    """Route 53: with it, hosts that are not healthy are left out of the answers."""


class Dns(pulumi.ComponentResource):
    """An A and, where there are IPv6 addresses, an AAAA record for every name, at Hetzner, Route 53 or DigitalOcean.

    With `manual` makes none: each record is logged as soon as it is known, and is in `records`. Names of records are
    those of hosts, so that a name which moves to other addresses changes in place; DigitalOcean has one resource an
    address. With `health`, Route 53 has one as well, a multivalue answer record, and a health check for each host,
    which the records of all names share. Refuses names outside the zone, Route 53 without the zone's id, and `health`
    elsewhere.
    """

    records: Sequence[pulumi.Output[Mapping[str, str]]]
    """What to make elsewhere, each `{name, type, value}`; empty where the stack makes them."""

    def __init__(self, name: str, args: DnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:dns:Dns", name, None, opts)
        _check(args)
        self._args, self._child = args, pulumi.ResourceOptions(parent=self)
        self._records: list[pulumi.Output[Mapping[str, str]]] = []
        self._checks: Mapping[str, pulumi.Input[str]] = {}
        if args.health is not None:
            self._checks = self._make_checks(args.health)
        make = {
            "hetzner": self._hetzner,
            "route53": self._route53 if args.health is None else self._route53_checked,
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
            opts=pulumi.ResourceOptions.merge(
                self._child,
                # What was checked before: the provider then deletes it and makes this one in one request.
                pulumi.ResourceOptions(aliases=[pulumi.Alias(name=_key(host, type_, target)) for target in addresses]),
            ),
        )

    def _make_checks(self, health: HealthArgs) -> Mapping[str, pulumi.Input[str]]:
        """Host → id of its health check. An address of either family stands for the host."""
        import pulumi_aws as aws

        return {
            target: aws.route53.HealthCheck(
                f"{target}-health",
                type="HTTP",
                ip_address=address,
                port=health.port,
                resource_path=health.path,
                request_interval=CHECK_INTERVAL,
                failure_threshold=CHECK_FAILURES,
                tags={"Name": health.names[target]},
                opts=self._child,
            ).id
            for target, address in {**self._args.ipv6, **self._args.ipv4}.items()
        }

    def _route53_checked(self, host: str, type_: str, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        """Route 53 refuses a plain record and a multivalue answer record of one name and type side by side.

        So the first record takes the plain one's place in the state: the provider then deletes the plain one and makes
        this one in one request, which Route 53 carries out as a whole. The others come after it.
        """
        import pulumi_aws as aws

        assert self._args.zone_id is not None  # noqa: S101  # `_check` has seen to it
        first: pulumi.Resource | None = None
        for target, address in addresses.items():
            order = (
                pulumi.ResourceOptions(aliases=[pulumi.Alias(name=_key(host, type_))])
                if first is None
                else pulumi.ResourceOptions(depends_on=[first])
            )
            record = aws.route53.Record(
                _key(host, type_, target),
                zone_id=self._args.zone_id,
                name=host,
                type=type_,
                ttl=TTL,
                records=[address],
                set_identifier=target,
                multivalue_answer_routing_policy=True,
                health_check_id=self._checks[target],
                opts=pulumi.ResourceOptions.merge(self._child, order),
            )
            first = first or record

    def _digitalocean(self, host: str, type_: str, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        import pulumi_digitalocean as digitalocean

        for target, address in addresses.items():
            digitalocean.DnsRecord(
                _key(host, type_, target),
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


def _key(host: str, type_: str, target: str | None = None) -> str:
    of_all = f"{host.replace('*', 'any')}-{type_.lower()}"  # a * in a name would be a pattern for `pulumi up --target`
    return of_all if target is None else f"{of_all}-{target}"


def _check(args: DnsArgs) -> None:
    outside = [name for name in args.names if name != args.zone and not name.endswith(f".{args.zone}")]
    if outside and args.provider != "manual":
        raise ValueError(f"names should be in the zone {args.zone}, got {', '.join(outside)}")
    if args.provider == "route53" and args.zone_id is None:
        raise ValueError(f"zone_id should be the id of {args.zone} at Route 53, got none")
    if args.health is not None and args.provider != "route53":
        raise ValueError(f"health should be left out with {args.provider}: records are checked by route53 alone")
    if not args.ipv4:
        raise ValueError("ipv4 should have at least one address, got none")
