"""The ECS cluster of a stack: where its tasks belong, by which names they find each other, who watched inside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterArgs:
    key_arn: pulumi.Input[str]
    """KMS key for `exec` sessions and their log; its policy must let CloudWatch Logs use it."""
    log_days: int
    """How long the log of `exec` sessions is kept."""
    tags: Mapping[str, str]


class Cluster(pulumi.ComponentResource):
    """An ECS cluster with Container Insights, and a Cloud Map namespace for Service Connect.

    Sessions of ``exec`` are encrypted with the given key and recorded in a log group of their own, never in the
    services' logs. Its capacity providers are attached by `attach_capacity`, since the pool's instances must be told
    the cluster's name before there is a provider of them.
    """

    arn: pulumi.Output[str]
    cluster_name: pulumi.Output[str]
    namespace_arn: pulumi.Output[str]
    exec_log_group_name: pulumi.Output[str]
    exec_log_group_arn: pulumi.Output[str]

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:Cluster", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace = aws.servicediscovery.HttpNamespace(
            name, description="Names of the services, for Service Connect", tags=args.tags, opts=child
        )
        log = aws.cloudwatch.LogGroup(
            f"{name}-exec", retention_in_days=args.log_days, kms_key_id=args.key_arn, tags=args.tags, opts=child
        )
        cluster = aws.ecs.Cluster(
            name,
            settings=[aws.ecs.ClusterSettingArgs(name="containerInsights", value="enabled")],
            configuration=aws.ecs.ClusterConfigurationArgs(
                execute_command_configuration=aws.ecs.ClusterConfigurationExecuteCommandConfigurationArgs(
                    kms_key_id=args.key_arn,
                    logging="OVERRIDE",
                    log_configuration=aws.ecs.ClusterConfigurationExecuteCommandConfigurationLogConfigurationArgs(
                        cloud_watch_encryption_enabled=True, cloud_watch_log_group_name=log.name
                    ),
                )
            ),
            service_connect_defaults=aws.ecs.ClusterServiceConnectDefaultsArgs(namespace=namespace.arn),
            tags=args.tags,
            opts=child,
        )
        self.arn = cluster.arn
        self.cluster_name = cluster.name
        self.namespace_arn = namespace.arn
        self.exec_log_group_name = log.name
        self.exec_log_group_arn = log.arn
        self.register_outputs({"arn": self.arn, "cluster_name": self.cluster_name, "namespace_arn": self.namespace_arn})


def attach_capacity(
    name: str, cluster: Cluster, providers: Sequence[pulumi.Input[str]]
) -> aws.ecs.ClusterCapacityProviders:
    """Let the cluster's services use these capacity providers: ``FARGATE``, ``FARGATE_SPOT``, and a pool's by its name.

    There is no default strategy: every service says what it runs on. Services depend on the result, for creation, and
    so that on `destroy` no provider is detached while a service still needs it.
    """
    return aws.ecs.ClusterCapacityProviders(
        name,
        cluster_name=cluster.cluster_name,
        capacity_providers=list(providers),
        opts=pulumi.ResourceOptions(parent=cluster),
    )
