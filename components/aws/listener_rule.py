"""A public listener rule: which requests go to which service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from components.aws.load_balancer import LoadBalancer
from components.aws.release_check import after_release
from planning.aws.model import Rule


def forward_rule(
    balancer: LoadBalancer,
    rule: Rule,
    *,
    sticky: int | None,
    tags: Mapping[str, str],
    after: Sequence[pulumi.Resource] = (),
    released: pulumi.Output[bool] | None = None,
) -> aws.lb.ListenerRule:
    """Forward the rule's hosts and paths to its target groups, by weight. `sticky` is in seconds.

    Called after the ECS service exists (`after`) and holds (`released`), so that no request comes before a healthy
    task; for a native rollout
    before it, since ECS must be told of the rule, and from then on ECS owns the weights: they are never changed here.
    Where a client stays with its task and there are two groups, it stays with its group as well. Named by the route,
    not by the service: a route that changes hands changes its target in place. Refuses a balancer without certificates.
    """
    if balancer.https_listener_arn is None:
        raise ValueError(f"rule {rule.name} should be on a balancer with a certificate")
    conditions = [
        aws.lb.ListenerRuleConditionArgs(
            host_header=aws.lb.ListenerRuleConditionHostHeaderArgs(values=list(rule.hosts))
        )
    ]
    if rule.paths:
        conditions.append(
            aws.lb.ListenerRuleConditionArgs(
                path_pattern=aws.lb.ListenerRuleConditionPathPatternArgs(values=list(rule.paths))
            )
        )
    stickiness = None
    if sticky is not None and len(rule.forward) > 1:
        stickiness = aws.lb.ListenerRuleActionForwardStickinessArgs(enabled=True, duration=sticky)
    return aws.lb.ListenerRule(
        rule.name,
        listener_arn=after_release(balancer.https_listener_arn, released)
        if released is not None
        else balancer.https_listener_arn,
        priority=rule.priority,
        conditions=conditions,
        actions=[
            aws.lb.ListenerRuleActionArgs(
                type="forward",
                forward=aws.lb.ListenerRuleActionForwardArgs(
                    target_groups=[
                        aws.lb.ListenerRuleActionForwardTargetGroupArgs(
                            arn=balancer.target_group_arns[group], weight=weight
                        )
                        for group, weight in rule.forward.items()
                    ],
                    stickiness=stickiness,
                ),
            )
        ],
        tags=tags,
        opts=pulumi.ResourceOptions(
            parent=balancer, depends_on=list(after), ignore_changes=["actions"] if rule.native else None
        ),
    )
