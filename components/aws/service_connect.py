"""The names by which the services of a stack reach each other: Service Connect."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from planning.aws.definition import logging, port_name
from planning.aws.model import AwsService, Variant

CONNECT_IDLE = 60
"""Seconds of silence after which a connection between two services ends, as on Docker hosts."""
CONNECT_REQUEST = 900
"""Seconds that a whole HTTP request between two services may take: AWS's own default of 15 cuts downloads and streams,
and none at all lets a caller wait for ever. On Docker hosts silence alone ends a request, which Envoy cannot say."""


def service_connect(
    plan: AwsService,
    variant: Variant,
    namespace_arn: pulumi.Input[str] | None,
    log_group: pulumi.Input[str],
    region: pulumi.Input[str],
) -> aws.ecs.ServiceServiceConnectConfigurationArgs | None:
    """None where the variant neither uses others nor is used; a canary is never found by name."""
    connect = plan.connect
    if connect is None or (variant.canary and not connect.client):
        return None
    if namespace_arn is None:
        raise ValueError(f"namespace_arn should be given: {plan.name} uses others, or others use it")
    served = None
    if connect.port is not None and not variant.canary:
        served = [
            aws.ecs.ServiceServiceConnectConfigurationServiceArgs(
                # What an endpoint speaks can never be changed, so one that speaks otherwise is another. Callers know
                # neither name, only the alias.
                port_name=port_name(plan),
                discovery_name=port_name(plan),
                client_alias=[
                    aws.ecs.ServiceServiceConnectConfigurationServiceClientAliasArgs(
                        dns_name=plan.name, port=connect.port
                    )
                ],
                # None for TCP: the provider would send a request timeout with it, which TCP has not.
                timeout=aws.ecs.ServiceServiceConnectConfigurationServiceTimeoutArgs(
                    idle_timeout_seconds=CONNECT_IDLE, per_request_timeout_seconds=CONNECT_REQUEST
                )
                if connect.http
                else None,
            )
        ]
    return aws.ecs.ServiceServiceConnectConfigurationArgs(
        enabled=True,
        namespace=namespace_arn,
        services=served,
        log_configuration=aws.ecs.ServiceServiceConnectConfigurationLogConfigurationArgs(
            log_driver="awslogs",
            options=logging(log_group, region, f"{variant.name}-connect"),
        ),
    )
