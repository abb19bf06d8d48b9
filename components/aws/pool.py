"""The pool: EC2 instances that ECS starts and stops as tasks need them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_aws as aws

from components.aws.console_names import console_name
from components.aws.iam import Account, Statement, assume_role, policy_document, role_path
from planning.aws.instances import RESERVED_MEMORY
from planning.aws.model import Pool as PoolPlan
from planning.aws.registry import KEYS, InstanceRegistry, registry_script

_WARM_UP = 120
"""Seconds from the start of an instance to tasks on it: boot, agent, registration."""

_IMAGES: Mapping[Literal["amd64", "arm64"], str] = {
    "amd64": "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id",
    "arm64": "/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id",
}
"""Public parameters in which AWS keeps the id of its current image for ECS."""

_AGENT: Mapping[str, str] = {
    # Tasks with an address of their own must not reach the instance's credentials (the hop limit keeps bridges out).
    "ECS_AWSVPC_BLOCK_IMDS": "true",
    # Their logs and images are fetched with the task's execution role; the instance's role may do neither.
    "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE": "true",
    "ECS_ENABLE_TASK_IAM_ROLE": "true",
    "ECS_DISABLE_PRIVILEGED": "true",
    # Without it, ECS may place no task that states a security option, and all of ours say no-new-privileges.
    "ECS_SELINUX_CAPABLE": "true",
    "ECS_RESERVED_MEMORY": str(RESERVED_MEMORY),
    # Two minutes' notice of a spot instance's end are used to move its tasks.
    "ECS_ENABLE_SPOT_INSTANCE_DRAINING": "true",
    "ECS_CONTAINER_INSTANCE_PROPAGATE_TAGS_FROM": "ec2_instance",
    "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION": "1h",
    "ECS_IMAGE_CLEANUP_INTERVAL": "30m",
    "ECS_IMAGE_MINIMUM_CLEANUP_AGE": "1h",
    "ECS_NUM_IMAGES_DELETE_PER_CYCLE": "10",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolArgs:
    plan: PoolPlan
    account: Account
    cluster_name: pulumi.Input[str]
    cluster_arn: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    """Private, one a zone."""
    security_group_id: pulumi.Input[str]
    tags: Mapping[str, str]
    after: Sequence[pulumi.Resource] = ()
    """What an instance needs to reach ECS on its first boot: routes, endpoints and the rules that open them."""


class Pool(pulumi.ComponentResource):
    """Instances of the plan's types in an Auto Scaling group, and the ECS capacity provider that sizes it.

    Up to `min` they are on demand, in the order of the types; above it, `spot` percent are spot instances from the
    pools with the best price that are least likely to be taken back. ECS keeps them full (`target_capacity` 100): an
    instance is added when a task waits for room, and one goes when fewer would do, so that a stack pays for what the
    plan needs and no spare. Auto Scaling picks which; ECS moves its tasks first, and a service with a volume, which
    stops before it starts, has its gap then. A release that needs room for its surge waits for an instance; a larger
    `min` buys that time.

    Instances are replaced new first, a tenth at a time, and drained by ECS before they stop: managed draining does for
    every cause (scale-in, spot, refresh, health) what scale-in protection does for one. So nothing is protected from
    scale-in, nothing hangs on `destroy` for that, and the group is force-deleted: no waiting for instances or hooks.

    The machine image is AWS's, as it was when `generation` was last raised: the launch template is a new one for each
    generation, and a newer image alone changes nothing. A given `image` is taken at once. Any other change of the
    template, such as `disk` or the registry, rolls the instances as well.

    With `registry` in the plan, each instance runs one on its localhost, read-only and with the instance's role, which
    then may list and read that bucket; it takes no task before its registry has read the bucket once.

    Logical names must not begin with aws, ecs or fargate, which ECS refuses in a provider's name.
    """

    capacity_provider_name: pulumi.Output[str]
    group_name: pulumi.Output[str]
    group_arn: pulumi.Output[str]
    role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: PoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:Pool", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self._name, self._args, self._child = name, args, child
        before: list[pulumi.Resource] = [*args.after]
        if args.plan.trunking:
            before.append(
                aws.ecs.AccountSettingDefault(
                    name,
                    name="awsvpcTrunking",
                    value="enabled",
                    # It is the account's, in this region: another stack may have come to rely on it.
                    opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
                )
            )
        role, profile, policy = self._identity()
        group = self._group(self._template(profile), [policy, *before])
        provider = aws.ecs.CapacityProvider(
            name,
            auto_scaling_group_provider=aws.ecs.CapacityProviderAutoScalingGroupProviderArgs(
                auto_scaling_group_arn=group.arn,
                managed_draining="ENABLED",
                managed_termination_protection="DISABLED",
                managed_scaling=aws.ecs.CapacityProviderAutoScalingGroupProviderManagedScalingArgs(
                    status="ENABLED", target_capacity=100, instance_warmup_period=_WARM_UP
                ),
            ),
            tags=args.tags,
            opts=child,
        )
        self.capacity_provider_name = provider.name
        self.group_name = group.name
        self.group_arn = group.arn
        self.role_arn = role.arn
        self.register_outputs({"capacity_provider_name": self.capacity_provider_name, "group_name": self.group_name})

    def _identity(self) -> tuple[aws.iam.Role, aws.iam.InstanceProfile, aws.iam.RolePolicy]:
        name, args, child = self._name, self._args, self._child
        trust = assume_role("ec2.amazonaws.com")
        role = aws.iam.Role(name, path=role_path(), assume_role_policy=trust, tags=args.tags, opts=child)
        policy = aws.iam.RolePolicy(
            name,
            role=role.name,
            policy=policy_document(
                [
                    *_agent_statements(args.account, args.cluster_arn, args.cluster_name),
                    *(_bucket_statements(args.account, args.plan.registry) if args.plan.registry is not None else ()),
                ]
            ),
            opts=child,
        )
        return role, aws.iam.InstanceProfile(name, role=role.name, tags=args.tags, opts=child), policy

    def _template(self, profile: aws.iam.InstanceProfile) -> aws.ec2.LaunchTemplate:
        args, plan = self._args, self._args.plan
        image = plan.image or aws.ssm.get_parameter_output(name=_IMAGES[plan.architecture]).insecure_value
        return aws.ec2.LaunchTemplate(
            # Another architecture needs another image, whatever the generation.
            f"{self._name}-{plan.architecture}-{plan.generation}",
            image_id=image,
            iam_instance_profile=aws.ec2.LaunchTemplateIamInstanceProfileArgs(arn=profile.arn),
            vpc_security_group_ids=[args.security_group_id],
            block_device_mappings=[
                aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/xvda",
                    ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        volume_type="gp3", volume_size=plan.disk, encrypted="true", delete_on_termination="true"
                    ),
                )
            ],
            metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled",
                http_tokens="required",
                http_put_response_hop_limit=1,
                instance_metadata_tags="disabled",
            ),
            user_data=pulumi.Output.from_input(args.cluster_name).apply(lambda name: _user_data(name, plan.registry)),
            tag_specifications=[
                aws.ec2.LaunchTemplateTagSpecificationArgs(
                    resource_type=kind, tags={**args.tags, "Name": console_name(self._name)}
                )
                for kind in ("instance", "volume", "network-interface")
            ],
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=None if plan.image else ["imageId"]),
        )

    def _group(self, template: aws.ec2.LaunchTemplate, after: Sequence[pulumi.Resource]) -> aws.autoscaling.Group:
        args, plan = self._args, self._args.plan
        return aws.autoscaling.Group(
            self._name,
            min_size=plan.min,
            max_size=plan.max,
            vpc_zone_identifiers=list(args.subnet_ids),
            mixed_instances_policy=aws.autoscaling.GroupMixedInstancesPolicyArgs(
                launch_template=aws.autoscaling.GroupMixedInstancesPolicyLaunchTemplateArgs(
                    launch_template_specification=(
                        aws.autoscaling.GroupMixedInstancesPolicyLaunchTemplateLaunchTemplateSpecificationArgs(
                            launch_template_id=template.id,
                            version=template.latest_version.apply(str),
                        )
                    ),
                    overrides=[
                        aws.autoscaling.GroupMixedInstancesPolicyLaunchTemplateOverrideArgs(instance_type=kind)
                        for kind in plan.types
                    ],
                ),
                instances_distribution=aws.autoscaling.GroupMixedInstancesPolicyInstancesDistributionArgs(
                    on_demand_base_capacity=plan.min,
                    on_demand_percentage_above_base_capacity=100 - plan.spot,
                    on_demand_allocation_strategy="prioritized",
                    spot_allocation_strategy="price-capacity-optimized",
                ),
            ),
            capacity_rebalance=plan.spot > 0,
            health_check_type="EC2",
            health_check_grace_period=_WARM_UP,
            instance_refresh=aws.autoscaling.GroupInstanceRefreshArgs(
                strategy="Rolling",
                preferences=aws.autoscaling.GroupInstanceRefreshPreferencesArgs(
                    min_healthy_percentage=100,
                    max_healthy_percentage=110,
                    instance_warmup=str(_WARM_UP),
                    # Another mix of types leaves the instances that already fit.
                    skip_matching=True,
                    # Never: the template it would go back to is gone with its generation.
                    auto_rollback=False,
                ),
            ),
            protect_from_scale_in=False,
            force_delete=True,
            enabled_metrics=[
                aws.autoscaling.Metric.GROUP_DESIRED_CAPACITY,
                aws.autoscaling.Metric.GROUP_IN_SERVICE_INSTANCES,
                aws.autoscaling.Metric.GROUP_MAX_SIZE,
                aws.autoscaling.Metric.GROUP_PENDING_INSTANCES,
            ],
            tags=[
                # ECS adds this one by itself; left out here, Pulumi would take it away again.
                aws.autoscaling.GroupTagArgs(key="AmazonECSManaged", value="true", propagate_at_launch=True),
                *(
                    aws.autoscaling.GroupTagArgs(key=key, value=value, propagate_at_launch=True)
                    for key, value in sorted(args.tags.items())
                ),
            ],
            opts=pulumi.ResourceOptions(
                parent=self,
                # ECS owns it.
                ignore_changes=["desiredCapacity"],
                # The role's policy outlives the instances: their agents still sign off with it.
                depends_on=list(after),
            ),
        )


def _user_data(cluster_name: str, registry: InstanceRegistry | None) -> str:
    # In the order that it has always had: another one would roll every instance.
    settings = {"ECS_CLUSTER": cluster_name, **_AGENT}
    if registry is not None:
        settings["ECS_RESERVED_MEMORY"] = str(RESERVED_MEMORY + registry.memory)
    lines = ["#!/bin/sh", "cat >> /etc/ecs/ecs.config <<'END'", *(f"{k}={v}" for k, v in settings.items()), "END", ""]
    script = "\n".join(lines) + (registry_script(registry) if registry is not None else "")
    return base64.b64encode(script.encode()).decode()


def _bucket_statements(account: Account, registry: InstanceRegistry) -> Sequence[Statement]:
    """What a registry that only reads calls: HeadObject, GetObject and ListObjectsV2. Parts of uploads are for writers.

    Listing is of the whole bucket: S3 says that an object is not there, and does not refuse it, only to those who may.
    """
    bucket = pulumi.Output.concat("arn:", account.partition, ":s3:::", registry.bucket)
    return [
        Statement(sid="ListImages", actions=["s3:ListBucket"], resources=[bucket]),
        Statement(sid="ReadImages", actions=["s3:GetObject"], resources=[pulumi.Output.concat(bucket, f"/{KEYS}*")]),
    ]


def _agent_statements(
    account: Account, cluster_arn: pulumi.Input[str], cluster_name: pulumi.Input[str]
) -> Sequence[Statement]:
    """What the ECS agent calls, and nothing that a task needs: tasks have roles of their own.

    The service authorization reference names the cluster as the resource of registration and of state changes, and the
    container instance as that of polling and draining.
    """
    instances = account.arn("ecs", "container-instance/", cluster_name, "/*")
    in_cluster = {"ArnEquals": {"ecs:cluster": cluster_arn}}
    return [
        Statement(
            sid="JoinAndReport",
            actions=[
                "ecs:DeregisterContainerInstance",
                "ecs:RegisterContainerInstance",
                "ecs:SubmitAttachmentStateChanges",
                "ecs:SubmitContainerStateChange",
                "ecs:SubmitTaskStateChange",
            ],
            resources=[cluster_arn],
        ),
        Statement(
            sid="TakeTasks",
            actions=["ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState"],
            resources=[instances],
            conditions=in_cluster,
        ),
        Statement(
            sid="TagOnRegistration",
            actions=["ecs:TagResource"],
            resources=[instances],
            conditions={"StringEquals": {"ecs:CreateAction": "RegisterContainerInstance"}},
        ),
        Statement(
            actions=["ecs:DiscoverPollEndpoint"],
            resources=["*"],
            reason="finding the agent's endpoint is about no resource",
        ),
        Statement(
            actions=["ec2:DescribeTags"],
            resources=["*"],
            reason="EC2 reads tags of all resources or of none",
        ),
    ]
