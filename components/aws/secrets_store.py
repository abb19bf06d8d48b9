"""The secrets of a stack in AWS, and the key that they and the stack's logs are encrypted with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.iam import Account, Statement, policy_document


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """At a registry of images."""

    username: str
    password: pulumi.Input[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsArgs:
    values: Mapping[str, pulumi.Input[str]]
    """Key under the stack's secrets → value, for the keys that services use."""
    logins: Mapping[str, Login]
    """Registry host → login."""
    account: Account
    protect: bool
    """Whether a deleted secret can be had back for 30 days, and the key not be destroyed."""
    tags: Mapping[str, str]


class Secrets(pulumi.ComponentResource):
    """A KMS key for the stack, rotated every year, and a Secrets Manager secret for each value and login.

    Secrets Manager and not parameters, because a task definition can name the version of a secret: a changed secret is
    then a release, gated and rolled back like one. So a version that was once current is never deleted: tasks of the
    revision before may still start with it (Secrets Manager itself forgets old versions beyond a hundred). Logins are
    JSON with username and password, as ECS reads them; ECS always takes their current version.

    The key serves the account's roles as their policies say, and CloudWatch Logs for log groups of this account.
    """

    key_arn: pulumi.Output[str]
    arns: Mapping[str, pulumi.Output[str]]
    """Key under the stack's secrets → ARN of the secret, which a changed value leaves as it is."""
    versions: Mapping[str, pulumi.Output[str]]
    """Key under the stack's secrets → id of the current version."""
    login_arns: Mapping[str, pulumi.Output[str]]
    """Registry host → ARN of the secret, known once it has a value."""

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:Secrets", name, None, opts)
        self._args = args
        key = aws.kms.Key(
            name,
            description="Secrets and logs of one stack",
            enable_key_rotation=True,
            deletion_window_in_days=30 if args.protect else 7,
            policy=policy_document(_key_statements(args.account)),
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        aws.kms.Alias(
            name,
            name_prefix=f"alias/{pulumi.get_project()}-{pulumi.get_stack()}-",
            target_key_id=key.key_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.key_arn = key.arn
        arns: dict[str, pulumi.Output[str]] = {}
        versions: dict[str, pulumi.Output[str]] = {}
        for secret, value in sorted(args.values.items()):
            made, version = self._secret(secret, f"Secret {secret}", pulumi.Output.secret(value), key.arn)
            arns[secret], versions[secret] = made.arn, version.version_id
        logins: dict[str, pulumi.Output[str]] = {}
        for host, login in sorted(args.logins.items()):
            made, version = self._secret(f"login-{host}", f"Login at {host}", _login(login), key.arn)
            logins[host] = pulumi.Output.all(made.arn, version.id).apply(lambda known: str(known[0]))
        self.arns, self.versions, self.login_arns = arns, versions, logins
        self.register_outputs({"key_arn": self.key_arn, "arns": self.arns, "versions": self.versions})

    def _secret(
        self, name: str, description: str, value: pulumi.Output[str], key_arn: pulumi.Input[str]
    ) -> tuple[aws.secretsmanager.Secret, aws.secretsmanager.SecretVersion]:
        secret = aws.secretsmanager.Secret(
            name,
            description=description,
            kms_key_id=key_arn,
            recovery_window_in_days=30 if self._args.protect else 0,
            tags=self._args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        version = aws.secretsmanager.SecretVersion(
            name,
            secret_id=secret.id,
            secret_string=value,
            # Deleting a version takes away its labels, and Secrets Manager may then forget it.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
        )
        return secret, version


def _login(login: Login) -> pulumi.Output[str]:
    return pulumi.Output.secret(login.password).apply(
        lambda password: json.dumps({"username": login.username, "password": password})
    )


def _key_statements(account: Account) -> list[Statement]:
    owner = pulumi.Output.concat("arn:", account.partition, ":iam::", account.id, ":root")
    return [
        Statement(
            principals={"AWS": [owner]},
            actions=["kms:*"],
            resources=["*"],
            reason="in the policy of a key this is the key and the policies of the account decide",
        ),
        Statement(
            sid="Logs",
            principals={"Service": [pulumi.Output.concat("logs.", account.region, ".amazonaws.com")]},
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
            resources=["*"],
            reason="in the policy of a key this is the key",
            conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": account.arn("logs", "log-group:*")}},
        ),
    ]
