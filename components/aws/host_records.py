"""The public names of a stack: what leads them to their balancer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from components.announce import announce
from components.aws.load_balancer import LoadBalancer
from planning.aws.model import BalancerPlan


def host_records(
    balancer: LoadBalancer,
    plan: BalancerPlan,
    zone_id: pulumi.Input[str] | None,
    rules: Mapping[str, pulumi.Resource],
    zone: str,
) -> Sequence[pulumi.Output[Mapping[str, str]]]:
    """An alias for every host of the plan; without a zone, what to tell whoever holds its DNS, `{name, type, value}`.

    A name leads to a balancer only when that has the rules for it (`rules`, by logical name): one that moves from
    another balancer would find nobody there. Named by the host alone, so that it then changes in place. The top of
    a zone can have no CNAME (RFC 1034, 3.6.2), so an ALIAS is told for `zone`, and for any host right below a
    top-level domain.
    """
    told: list[pulumi.Output[Mapping[str, str]]] = []
    for host in plan.hosts:
        if zone_id is None:
            type_ = "ALIAS" if host == zone or host.count(".") == 1 else "CNAME"
            told.append(announce(balancer, f"to bring {host} to {plan.name}", host, type_, balancer.dns_name))
            continue
        aws.route53.Record(
            f"host-{host.replace('*', 'any')}",  # a * in a name would be a pattern for `pulumi up --target`
            zone_id=zone_id,
            name=host,
            type="A",
            aliases=[
                aws.route53.RecordAliasArgs(
                    name=balancer.dns_name, zone_id=balancer.zone_id, evaluate_target_health=True
                )
            ],
            opts=pulumi.ResourceOptions(
                parent=balancer, depends_on=[rules[rule.name] for rule in plan.rules if host in rule.hosts]
            ),
        )
    return tuple(told)
