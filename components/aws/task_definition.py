"""What a task runs: the containers that the plan renders, and the volumes they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.json import dumps
from planning.aws.definition import DATA, Definition, container_definitions, file_volumes
from planning.aws.model import AwsService, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class DataVolume:
    """An EFS file system and the access point through which one service sees it."""

    file_system_id: pulumi.Input[str]
    file_system_arn: pulumi.Input[str]
    access_point_id: pulumi.Input[str]
    access_point_arn: pulumi.Input[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDefinitionArgs:
    service: AwsService
    variant: Variant
    family: str
    """Name of the revisions' line; unique in the account and region."""
    image: pulumi.Input[str]
    region: pulumi.Input[str]
    log_group: pulumi.Input[str]
    execution_role_arn: pulumi.Input[str]
    task_role_arn: pulumi.Input[str]
    secrets: Mapping[str, pulumi.Input[str]]
    """Environment name → what ECS reads it from: the ARN of a version, so that a changed secret makes a release."""
    login: pulumi.Input[str] | None = None
    """ARN of the secret with the image's registry login."""
    data: DataVolume | None = None
    tags: Mapping[str, str]


def task_definition(name: str, args: TaskDefinitionArgs, opts: pulumi.ResourceOptions) -> aws.ecs.TaskDefinition:
    """Declare one definition.

    Memory is a hard limit in MiB for the containers and for the task. CPU is a share: EC2 tasks get no limit of their
    own, which would be a ceiling; Fargate has one by nature. Revisions outlive the stack (they cost nothing): ECS rolls
    back to one, and Pulumi removes what a failed update left behind before the next one has succeeded.
    """
    plan = args.service
    return aws.ecs.TaskDefinition(
        name,
        family=args.family,
        requires_compatibilities=["FARGATE" if plan.fargate else "EC2"],
        network_mode=plan.network,
        cpu=str(plan.cpu) if plan.fargate else None,
        memory=str(plan.memory),
        runtime_platform=aws.ecs.TaskDefinitionRuntimePlatformArgs(
            cpu_architecture="ARM64" if plan.architecture == "arm64" else "X86_64", operating_system_family="LINUX"
        ),
        execution_role_arn=args.execution_role_arn,
        task_role_arn=args.task_role_arn,
        volumes=_volumes(args),
        container_definitions=dumps(container_definitions(_definition(args)), sort_keys=True),
        skip_destroy=True,
        tags=args.tags,
        opts=opts,
    )


def _definition(args: TaskDefinitionArgs) -> Definition:
    return Definition(
        service=args.service,
        variant=args.variant,
        image=args.image,
        region=args.region,
        log_group=args.log_group,
        secrets=args.secrets,
        login=args.login,
    )


def _volumes(args: TaskDefinitionArgs) -> Sequence[aws.ecs.TaskDefinitionVolumeArgs] | None:
    volumes = [aws.ecs.TaskDefinitionVolumeArgs(name=volume) for volume in file_volumes(args.service).values()]
    if args.data is not None:
        volumes.append(
            aws.ecs.TaskDefinitionVolumeArgs(
                name=DATA,
                efs_volume_configuration=aws.ecs.TaskDefinitionVolumeEfsVolumeConfigurationArgs(
                    file_system_id=args.data.file_system_id,
                    transit_encryption="ENABLED",
                    authorization_config=aws.ecs.TaskDefinitionVolumeEfsVolumeConfigurationAuthorizationConfigArgs(
                        access_point_id=args.data.access_point_id, iam="ENABLED"
                    ),
                ),
            )
        )
    return volumes or None
