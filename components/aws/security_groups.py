"""Who may reach whom, as the plan says it: security groups and their rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from planning.aws.model import S3, Flow, SecurityPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroupsArgs:
    plan: SecurityPlan
    vpc_id: pulumi.Input[str]
    s3_prefix_list_id: pulumi.Input[str]
    """What flows to `s3` are let through to."""
    tags: Mapping[str, str]


class SecurityGroups(pulumi.ComponentResource):
    """One security group for each of the plan, and one rule for each end of a flow that is one of them.

    A group without rules reaches nothing and is reached by nothing: the rule that AWS adds, which lets everything out,
    is removed as the group is made. Rules are resources of their own, named `source-target-protocol-first-last`, so
    that one that comes or goes touches no other. Refuses a flow that names anything but groups, ranges and `s3`.
    """

    ids: Mapping[str, pulumi.Output[str]]
    """Logical name of the group → id."""
    rules: Mapping[str, Sequence[pulumi.Resource]]
    """Group → the rules, at both ends, of every flow that it is an end of: for what must not start before it is let
    through."""

    def __init__(self, name: str, args: SecurityGroupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:SecurityGroups", name, None, opts)
        # One that a group outside the stack names is never deleted: AWS's refusal is told, not waited for.
        child = pulumi.ResourceOptions(parent=self, custom_timeouts=pulumi.CustomTimeouts(delete="5m"))
        self._s3 = args.s3_prefix_list_id
        self.ids = {
            group: aws.ec2.SecurityGroup(
                group, description=description, vpc_id=args.vpc_id, tags=args.tags, opts=child
            ).id
            for group, description in sorted(args.plan.groups.items())
        }
        rules: dict[str, list[pulumi.Resource]] = {group: [] for group in self.ids}
        for flow in args.plan.flows:
            made = self._rules(flow, args.tags)
            for end in {flow.source, flow.target} & set(self.ids):
                rules[end] += made
        self.rules = rules
        self.register_outputs({"ids": self.ids})

    def _rules(self, flow: Flow, tags: Mapping[str, str]) -> Sequence[pulumi.Resource]:
        if not {flow.source, flow.target} & set(self.ids):
            raise ValueError(f"flow should have a group of the plan at one end, got {flow.source} → {flow.target}")
        name = f"{flow.source}-{flow.target}-{flow.protocol}-{flow.first}-{flow.last}"
        child = pulumi.ResourceOptions(parent=self)
        ends = (
            (aws.vpc.SecurityGroupEgressRule, flow.source, flow.target),
            (aws.vpc.SecurityGroupIngressRule, flow.target, flow.source),
        )
        return [
            kind(
                name,
                security_group_id=self.ids[own],
                **self._other(other),
                **_ports(flow),
                description=flow.why,
                tags=tags,
                opts=child,
            )
            for kind, own, other in ends
            if own in self.ids
        ]

    def _other(self, end: str) -> _Other:
        if end in self.ids:
            return {"referenced_security_group_id": self.ids[end]}
        if end == S3:
            return {"prefix_list_id": self._s3}
        if "/" not in end:
            raise ValueError(f"flow should name a group of the plan, an IPv4 range or s3, got {end}")
        return {"cidr_ipv4": end}


class _Other(TypedDict, total=False):
    referenced_security_group_id: pulumi.Output[str]
    cidr_ipv4: str
    prefix_list_id: pulumi.Input[str]


class _Ports(TypedDict, total=False):
    ip_protocol: str
    from_port: int
    to_port: int


def _ports(flow: Flow) -> _Ports:
    if flow.protocol == "all":  # AWS wants no ports then, and calls it -1
        return {"ip_protocol": "-1"}
    return {"ip_protocol": flow.protocol, "from_port": flow.first, "to_port": flow.last}
