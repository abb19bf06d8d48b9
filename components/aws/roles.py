"""The roles of a service: what ECS may do to start its tasks, and what the tasks themselves may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.iam import Account, Statement, assume_role, policy_document
from components.aws.task_definition import DataVolume
from planning.aws.model import AwsImage, AwsService

_TASKS = "ecs-tasks.amazonaws.com"
_ECS = "ecs.amazonaws.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecSessions:
    """How the cluster records and encrypts sessions of `aws ecs execute-command`."""

    log_group_arn: pulumi.Input[str]
    key_arn: pulumi.Input[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRolesArgs:
    service: AwsService
    account: Account
    log_group_arn: pulumi.Input[str]
    secrets: Sequence[pulumi.Input[str]] = ()
    """ARNs, without a version, of the stack's secrets and registry logins that its tasks start with."""
    keys: Sequence[pulumi.Input[str]] = ()
    """ARNs of the KMS keys that those, or existing secrets, are encrypted with."""
    data: DataVolume | None = None
    sessions: ExecSessions
    tags: Mapping[str, str]


class ServiceRoles(pulumi.ComponentResource):
    """Two roles a service, which no other service shares.

    The execution role pulls its images, writes its log group and reads its secrets; the task role has what
    `permissions` states, its own volume, and the channel of `exec`. A role with nothing to allow has no policy. Only
    ECS tasks of this account and region can take them on. Refuses a permission on everything without a reason.
    """

    execution_role_arn: pulumi.Output[str]
    task_role_arn: pulumi.Output[str]
    policies: Sequence[pulumi.Resource]
    """What the service depends on: without its policies it neither starts nor stops (terraform-provider-aws#3414)."""

    def __init__(self, name: str, args: ServiceRolesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:ServiceRoles", name, None, opts)
        trust = assume_role(_TASKS, args.account)
        execution, of_execution = _role(self, f"{name}-execution", trust, execution_statements(args), args.tags)
        task, of_task = _role(self, f"{name}-task", trust, task_statements(args), args.tags)
        self.execution_role_arn = execution.arn
        self.task_role_arn = task.arn
        self.policies = (*of_execution, *of_task)
        self.register_outputs({"execution_role_arn": self.execution_role_arn, "task_role_arn": self.task_role_arn})


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRoleArgs:
    listeners: Sequence[pulumi.Input[str]]
    rules: Sequence[pulumi.Input[str]]
    target_groups: Sequence[pulumi.Input[str]]
    """ARNs that ECS may change: those of services with a native rollout."""
    tags: Mapping[str, str]


class RolloutRole(pulumi.ComponentResource):
    """The role with which ECS moves requests from one target group to the other in a native rollout.

    AmazonECSInfrastructureRolePolicyForLoadBalancers, narrowed from every balancer of the account to what is named.
    Made for one service or for several; the policies of a role end at 10,240 characters, some 25 services.
    """

    arn: pulumi.Output[str]
    policies: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: RolloutRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:RolloutRole", name, None, opts)
        role, self.policies = _role(self, name, assume_role(_ECS), _rollout_statements(args), args.tags)
        self.arn = role.arn
        self.register_outputs({"arn": self.arn})


def _role(
    parent: pulumi.Resource,
    name: str,
    trust: pulumi.Output[str],
    statements: Sequence[Statement],
    tags: Mapping[str, str],
) -> tuple[aws.iam.Role, Sequence[pulumi.Resource]]:
    child = pulumi.ResourceOptions(parent=parent)
    role = aws.iam.Role(name, assume_role_policy=trust, tags=tags, opts=child)
    if not statements:
        return role, ()
    return role, (aws.iam.RolePolicy(name, role=role.id, policy=policy_document(statements), opts=child),)


# --- starting a task -------------------------------------------------------------------------------------------------


def execution_statements(args: ServiceRolesArgs) -> list[Statement]:
    images = [variant.image for variant in args.service.variants]
    return [*_pull(images, args.account), _write_logs(args.log_group_arn, "Logs"), *_read_secrets(args)]


def _pull(images: Sequence[AwsImage], account: Account) -> list[Statement]:
    own = sorted({image.repository for image in images if image.repository is not None})
    elsewhere = sorted({image.pull_from for image in images if image.pull_from is not None})
    if not own and not elsewhere:
        return []
    cached = sorted({image.repository for image in images if image.repository is not None and image.cached})
    found = [
        Statement(
            actions=["ecr:GetAuthorizationToken"],
            resources=["*"],
            reason="a login is for the whole registry",
        ),
        Statement(
            sid="Pull",
            actions=["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            resources=[*(account.arn("ecr", "repository/", name) for name in own), *elsewhere],
        ),
    ]
    if cached:
        # The first pull of an image that the cache does not have is what makes the cache fetch it.
        found.append(
            Statement(
                sid="Cache",
                actions=["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"],
                resources=[account.arn("ecr", "repository/", name) for name in cached],
            )
        )
    return found


def _write_logs(group: pulumi.Input[str], sid: str) -> Statement:
    return Statement(
        sid=sid,
        actions=["logs:CreateLogStream", "logs:PutLogEvents"],
        resources=[pulumi.Output.concat(group, ":*")],
    )


def _read_secrets(args: ServiceRolesArgs) -> list[Statement]:
    existing = sorted(set(args.service.existing_secrets.values()))
    parameters = [arn for arn in existing if arn.split(":")[2:3] == ["ssm"]]
    # An ARN of Secrets Manager may go on with a key and a version, which are no part of what a policy names.
    named = sorted({":".join(arn.split(":")[:7]) for arn in existing if arn not in parameters})
    secrets: list[pulumi.Input[str]] = [*args.secrets, *named]
    found: list[Statement] = []
    if secrets:
        found.append(Statement(sid="Secrets", actions=["secretsmanager:GetSecretValue"], resources=secrets))
    if parameters:
        found.append(Statement(sid="Parameters", actions=["ssm:GetParameters"], resources=parameters))
    if found and args.keys:
        region = args.account.region
        through = [
            pulumi.Output.concat(f"{service}.", region, ".amazonaws.com") for service in ("secretsmanager", "ssm")
        ]
        found.append(
            Statement(
                sid="Keys",
                actions=["kms:Decrypt"],
                resources=list(args.keys),
                conditions={"StringEquals": {"kms:ViaService": through}},
            )
        )
    return found


# --- what a task may do ----------------------------------------------------------------------------------------------


def task_statements(args: ServiceRolesArgs) -> list[Statement]:
    settings = args.service.settings
    found = [
        Statement(
            sid=f"Permission{number}",
            actions=list(permission.actions),
            resources=list(permission.resources) or ["*"],
            reason=permission.reason,
        )
        for number, permission in enumerate(settings.permissions, 1)
    ]
    if args.data is not None:
        found.append(
            Statement(
                sid="Volume",
                actions=["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
                resources=[args.data.file_system_arn],
                conditions={"StringEquals": {"elasticfilesystem:AccessPointArn": args.data.access_point_arn}},
            )
        )
    if settings.exec:
        found += _exec(args.sessions)
    return found


def _exec(sessions: ExecSessions) -> list[Statement]:
    return [
        Statement(
            sid="Exec",
            actions=[
                "ssmmessages:CreateControlChannel",
                "ssmmessages:CreateDataChannel",
                "ssmmessages:OpenControlChannel",
                "ssmmessages:OpenDataChannel",
            ],
            resources=["*"],
            reason="channels of sessions have no names before they exist",
        ),
        Statement(
            sid="ExecGroups",
            actions=["logs:DescribeLogGroups"],
            resources=["*"],
            reason="groups are listed and not named before sessions are recorded",
        ),
        Statement(
            sid="ExecLogs",
            actions=["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            resources=[pulumi.Output.concat(sessions.log_group_arn, ":*")],
        ),
        Statement(sid="ExecKey", actions=["kms:Decrypt"], resources=[sessions.key_arn]),
    ]


# --- moving requests -------------------------------------------------------------------------------------------------


def _rollout_statements(args: RolloutRoleArgs) -> list[Statement]:
    return [
        Statement(
            sid="Read",
            actions=[
                "elasticloadbalancing:DescribeListeners",
                "elasticloadbalancing:DescribeRules",
                "elasticloadbalancing:DescribeTargetGroups",
                "elasticloadbalancing:DescribeTargetHealth",
            ],
            resources=["*"],
            reason="what a balancer has cannot be described by name",
        ),
        Statement(sid="Rules", actions=["elasticloadbalancing:ModifyRule"], resources=args.rules),
        Statement(sid="Listeners", actions=["elasticloadbalancing:ModifyListener"], resources=args.listeners),
        Statement(
            sid="Targets",
            actions=["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"],
            resources=args.target_groups,
        ),
    ]
