"""The records that bring visitors to a fleet, with whoever holds its domain."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.dns import Dns, DnsArgs, HealthArgs
from planning.hosts.plan import FleetPlan
from planning.hosts.records import host_check, record_hosts, record_names
from platforms.machines import Machine
from settings.stack import Stack

_Addresses = Mapping[str, pulumi.Output[str]]


def zone_id(stack: Stack) -> pulumi.Output[str] | None:
    """Of the zone at Route 53; it has names of its own for zones."""
    if stack.dns.provider != "route53":
        return None
    import pulumi_aws as aws

    return aws.route53.get_zone_output(name=stack.dns.zone or stack.domain).zone_id


def make_records(
    stack: Stack,
    plan: FleetPlan,
    machines: Mapping[str, Machine],
    balancer: tuple[_Addresses, _Addresses],
    zone: pulumi.Output[str] | None,
    child: pulumi.ResourceOptions,
) -> Dns | None:
    """None where no name leads anywhere. ``balancer`` has its IPv4 and IPv6 addresses, where there is one.

    What hosts publish is published on IPv4 alone (decisions.md 18).
    """
    names, hosts = record_names(plan), record_hosts(plan.fleet)
    ipv4 = balancer[0] or {host: machines[host].address for host in hosts}
    if not names or not ipv4:
        return None
    check = host_check(stack)
    return Dns(
        "dns",
        DnsArgs(
            provider=stack.dns.provider,
            zone=stack.dns.zone or stack.domain,
            zone_id=zone,
            names=names,
            ipv4=ipv4,
            ipv6=balancer[1],
            health=None
            if check is None
            else HealthArgs(
                port=check.port, path=check.path, names={host: plan.naming.machine(host) for host in hosts}
            ),
        ),
        child,
    )
