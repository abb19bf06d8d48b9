"""A load balancer of a stack: its listeners, its addresses, its target groups and what asks for their health."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from planning.aws.model import BalancerPlan

HEALTH_PORT = 8440
"""The listener that ties target groups to the balancer: no security rule opens it, so that nobody is answered on it."""

_TLS = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
"""TLS 1.2 and 1.3, forward secrecy and AEAD ciphers only, post-quantum key exchange where the client has it: what AWS
recommends, and its console's default. The API's own default, of 2016, still speaks TLS 1.0."""

_NOT_FOUND = "no service has this address\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroupSettings:
    """How the balancer treats the targets of one group. Times are in seconds."""

    health: str
    """Path that a healthy target answers with 200–399."""
    interval: int = 10
    """Between two checks; 5–300."""
    timeout: int = 5
    """Of one check; 2–120, and less than the interval."""
    healthy: int = 2
    """Good checks in a row that make a target healthy."""
    unhealthy: int = 3
    """Bad ones that make it unhealthy."""
    drain: int = 30
    """How long a target that leaves may finish its requests; 0–3600."""
    sticky: int | None = None
    """How long a client stays with its target: 1–604800; None: each request goes anywhere."""
    slow_start: int = 0
    """How long a new target is spared; 30–900, or 0 for not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancerArgs:
    plan: BalancerPlan
    groups: Mapping[str, TargetGroupSettings]
    """Logical name of each target group of the plan → its settings."""
    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    """Public, one a zone."""
    security_group_id: pulumi.Input[str]
    idle: int
    """Seconds that a connection may be silent."""
    logs_bucket: pulumi.Input[str] | None
    """For access logs, under the balancer's own name."""
    certificate_arns: Mapping[str, pulumi.Input[str]]
    """Logical name of each certificate of the plan → ARN."""
    protect: bool
    tags: Mapping[str, str]


class LoadBalancer(pulumi.ComponentResource):
    """An internet-facing ALB: 80 redirects to 443, and 443 answers 404 to what no rule takes.

    Public rules are not made here but by `listener_rule.forward_rule`, each at its time. Health rules on a listener of
    their own (port 8440, plain HTTP, opened by no security rule) tie target groups to the balancer from the start.

    Nor are the hosts' DNS records: `host_records` makes them when the rules are there. A plan without any certificate
    has no public listeners.

    Target groups say port 80, which means nothing: ECS registers each task's own port, and a changed port would replace
    the group. Refuses a group without settings, a certificate without an ARN, and rules without a certificate.
    """

    arn: pulumi.Output[str]
    arn_suffix: pulumi.Output[str]
    dns_name: pulumi.Output[str]
    zone_id: pulumi.Output[str]
    """Of the balancer's own name, for alias records."""
    https_listener_arn: pulumi.Output[str] | None
    """None where the plan has no certificate, and so no route."""
    target_group_arns: Mapping[str, pulumi.Output[str]]
    """By logical name."""
    target_group_arn_suffixes: Mapping[str, pulumi.Output[str]]
    """By logical name; with `arn_suffix`, the label of requests per target, which scaling aims at."""
    health_rules: Mapping[str, pulumi.Resource]
    """Logical name of a target group → what ties it to the balancer: ECS services depend on it."""

    def __init__(self, name: str, args: LoadBalancerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:LoadBalancer", name, None, opts)
        _check(args)
        self._name, self._args, self._child = name, args, pulumi.ResourceOptions(parent=self)
        balancer = aws.lb.LoadBalancer(
            name,
            load_balancer_type="application",
            internal=False,
            ip_address_type="ipv4",
            subnets=list(args.subnet_ids),
            security_groups=[args.security_group_id],
            enable_deletion_protection=args.protect,
            # Names such as api_key reach the service, as on Docker hosts. They are valid by RFC 9110; what AWS calls
            # invalid is any character but letters, digits and hyphens. The mode below is against smuggled requests.
            drop_invalid_header_fields=False,
            desync_mitigation_mode="defensive",
            enable_http2=True,
            idle_timeout=args.idle,
            access_logs=None
            if args.logs_bucket is None
            else aws.lb.LoadBalancerAccessLogsArgs(bucket=args.logs_bucket, enabled=True, prefix=name),
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.arn, self.arn_suffix = balancer.arn, balancer.arn_suffix
        self.dns_name, self.zone_id = balancer.dns_name, balancer.zone_id
        groups = self._target_groups()
        self.target_group_arns = {group: made.arn for group, made in groups.items()}
        self.target_group_arn_suffixes = {group: made.arn_suffix for group, made in groups.items()}
        self.https_listener_arn = self._public_listeners()
        self.health_rules = self._health_rules()
        self.register_outputs(
            {
                "arn": self.arn,
                "dns_name": self.dns_name,
                "https_listener_arn": self.https_listener_arn,
                "target_group_arns": self.target_group_arns,
            }
        )

    def _target_groups(self) -> Mapping[str, aws.lb.TargetGroup]:
        found: dict[str, aws.lb.TargetGroup] = {}
        for group in self._args.plan.target_groups:
            settings = self._args.groups[group.name]
            found[group.name] = aws.lb.TargetGroup(
                group.name,
                vpc_id=self._args.vpc_id,
                target_type=group.target_type,
                protocol="HTTP",
                port=80,
                deregistration_delay=settings.drain,
                slow_start=settings.slow_start,
                health_check=aws.lb.TargetGroupHealthCheckArgs(
                    enabled=True,
                    protocol="HTTP",
                    port="traffic-port",
                    path=settings.health,
                    matcher="200-399",
                    interval=settings.interval,
                    timeout=settings.timeout,
                    healthy_threshold=settings.healthy,
                    unhealthy_threshold=settings.unhealthy,
                ),
                stickiness=aws.lb.TargetGroupStickinessArgs(
                    type="lb_cookie", enabled=settings.sticky is not None, cookie_duration=settings.sticky or 86400
                ),
                tags=self._args.tags,
                opts=self._child,
            )
        return found

    def _public_listeners(self) -> pulumi.Output[str] | None:
        args, plan = self._args, self._args.plan
        certificates: list[tuple[str, pulumi.Input[str]]] = [
            *((wanted.name, args.certificate_arns[wanted.name]) for wanted in plan.certificates),
            *((arn.rpartition("/")[2], arn) for arn in plan.existing_certificates),
        ]
        if not certificates:
            return None
        aws.lb.Listener(
            f"{self._name}-http",
            load_balancer_arn=self.arn,
            port=80,
            protocol="HTTP",
            default_actions=[
                aws.lb.ListenerDefaultActionArgs(
                    type="redirect",
                    redirect=aws.lb.ListenerDefaultActionRedirectArgs(
                        protocol="HTTPS", port="443", status_code="HTTP_301"
                    ),
                )
            ],
            tags=args.tags,
            opts=self._child,
        )
        (_, default), *others = certificates
        https = aws.lb.Listener(
            f"{self._name}-https",
            load_balancer_arn=self.arn,
            port=443,
            protocol="HTTPS",
            ssl_policy=_TLS,
            certificate_arn=default,
            default_actions=[_not_found()],
            tags=args.tags,
            opts=self._child,
        )
        for key, arn in others:
            aws.lb.ListenerCertificate(
                f"{self._name}-{key}", listener_arn=https.arn, certificate_arn=arn, opts=self._child
            )
        return https.arn

    def _health_rules(self) -> Mapping[str, pulumi.Resource]:
        args = self._args
        if not args.plan.health_rules:
            return {}
        listener = aws.lb.Listener(
            f"{self._name}-health",
            load_balancer_arn=self.arn,
            port=HEALTH_PORT,
            protocol="HTTP",
            default_actions=[_not_found()],
            tags=args.tags,
            opts=self._child,
        )
        found: dict[str, pulumi.Resource] = {}
        for rule in args.plan.health_rules:
            made = aws.lb.ListenerRule(
                rule.name,
                listener_arn=listener.arn,
                priority=rule.priority,
                conditions=[
                    aws.lb.ListenerRuleConditionArgs(
                        path_pattern=aws.lb.ListenerRuleConditionPathPatternArgs(values=[f"/{rule.priority}"])
                    )
                ],
                actions=[
                    aws.lb.ListenerRuleActionArgs(
                        type="forward",
                        forward=aws.lb.ListenerRuleActionForwardArgs(
                            target_groups=[
                                aws.lb.ListenerRuleActionForwardTargetGroupArgs(
                                    arn=self.target_group_arns[group], weight=1
                                )
                                for group in rule.target_groups
                            ]
                        ),
                    )
                ],
                tags=args.tags,
                opts=self._child,
            )
            found.update(dict.fromkeys(rule.target_groups, made))
        return found


def _not_found() -> aws.lb.ListenerDefaultActionArgs:
    return aws.lb.ListenerDefaultActionArgs(
        type="fixed-response",
        fixed_response=aws.lb.ListenerDefaultActionFixedResponseArgs(
            status_code="404", content_type="text/plain", message_body=_NOT_FOUND
        ),
    )


def _check(args: LoadBalancerArgs) -> None:
    plan = args.plan
    if missing := sorted({group.name for group in plan.target_groups} - set(args.groups)):
        raise ValueError(f"groups should have settings for every target group, got none for {', '.join(missing)}")
    if missing := sorted({wanted.name for wanted in plan.certificates} - set(args.certificate_arns)):
        raise ValueError(f"certificate_arns should have every certificate, got none for {', '.join(missing)}")
    if plan.rules and not plan.certificates and not plan.existing_certificates:
        raise ValueError(f"{plan.name} should have a certificate, since it has rules for {plan.rules[0].hosts[0]}")
