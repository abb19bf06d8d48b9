"""The files of a stateful service: one EFS file system, reached through one access point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.iam import EVERYONE, Account, Statement, policy_document

_MOUNT = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
_ROOT = "elasticfilesystem:ClientRootAccess"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystemArgs:
    account: Account
    subnet_ids: Mapping[str, pulumi.Input[str]]
    """Letter of the zone → its private subnet."""
    security_group_id: pulumi.Input[str]
    """Group of the mount targets."""
    uid: int
    """Owner of the files: whatever user a container runs as, it is this one here."""
    gid: int
    protect: bool
    tags: Mapping[str, str]


class FileSystem(pulumi.ComponentResource):
    """An encrypted EFS file system with daily backups, in every zone, for the one service it is named after.

    Encrypted with AWS's key for EFS: data that outlives the stack must not hang on a key of the stack. Throughput is
    elastic; files unread for 30 days move to the cheaper class, and come back when read. Mounted over TLS, with the
    service's own role, through the access point, or not at all; never as root. Backups run by AWS Backup's default plan
    for EFS and are kept 35 days, also when the file system is gone. With `protect`, neither files nor access point can
    be destroyed.
    """

    file_system_id: pulumi.Output[str]
    file_system_arn: pulumi.Output[str]
    access_point_id: pulumi.Output[str]
    access_point_arn: pulumi.Output[str]
    ready: tuple[pulumi.Resource, ...]
    """What a task that mounts it depends on."""

    def __init__(self, name: str, args: FileSystemArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:FileSystem", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        kept = pulumi.ResourceOptions(parent=self, protect=args.protect)
        files = aws.efs.FileSystem(
            name,
            encrypted=True,
            performance_mode="generalPurpose",
            throughput_mode="elastic",
            lifecycle_policies=[
                aws.efs.FileSystemLifecyclePolicyArgs(transition_to_ia="AFTER_30_DAYS"),
                aws.efs.FileSystemLifecyclePolicyArgs(transition_to_primary_storage_class="AFTER_1_ACCESS"),
            ],
            tags=args.tags,
            opts=kept,
        )
        aws.efs.BackupPolicy(
            name,
            file_system_id=files.id,
            backup_policy=aws.efs.BackupPolicyBackupPolicyArgs(status="ENABLED"),
            opts=child,
        )
        point = aws.efs.AccessPoint(
            name,
            file_system_id=files.id,
            posix_user=aws.efs.AccessPointPosixUserArgs(uid=args.uid, gid=args.gid),
            root_directory=aws.efs.AccessPointRootDirectoryArgs(
                path="/data",
                creation_info=aws.efs.AccessPointRootDirectoryCreationInfoArgs(
                    owner_uid=args.uid, owner_gid=args.gid, permissions="0700"
                ),
            ),
            tags=args.tags,
            opts=kept,
        )
        policy = aws.efs.FileSystemPolicy(
            name,
            file_system_id=files.id,
            policy=policy_document(_statements(args.account, files.arn, point.arn)),
            opts=child,
        )
        targets = [
            aws.efs.MountTarget(
                f"{name}-{letter}",
                file_system_id=files.id,
                subnet_id=subnet,
                security_groups=[args.security_group_id],
                opts=child,
            )
            for letter, subnet in args.subnet_ids.items()
        ]
        self.file_system_id, self.file_system_arn = files.id, files.arn
        self.access_point_id, self.access_point_arn = point.id, point.arn
        self.ready = (policy, *targets)
        self.register_outputs({"file_system_id": self.file_system_id, "access_point_id": self.access_point_id})


def _statements(account: Account, files: pulumi.Input[str], point: pulumi.Input[str]) -> list[Statement]:
    """The account's roles through the access point (each still needs a policy of its own); all else is refused."""
    owner = pulumi.Output.concat("arn:", account.partition, ":iam::", account.id, ":root")
    return [
        Statement(
            sid="RolesOfThisAccount",
            principals={"AWS": [owner]},
            actions=_MOUNT,
            resources=[files],
            conditions={"StringEquals": {"elasticfilesystem:AccessPointArn": point}},
        ),
        Statement(
            sid="AccessPointOnly",
            effect="Deny",
            principals=EVERYONE,
            actions=_MOUNT,
            resources=[files],
            conditions={"StringNotEquals": {"elasticfilesystem:AccessPointArn": point}},
        ),
        Statement(sid="NeverAsRoot", effect="Deny", principals=EVERYONE, actions=[_ROOT], resources=[files]),
        Statement(
            sid="TlsOnly",
            effect="Deny",
            principals=EVERYONE,
            actions=[*_MOUNT, _ROOT],
            resources=[files],
            conditions={"Bool": {"aws:SecureTransport": "false"}},
        ),
    ]
