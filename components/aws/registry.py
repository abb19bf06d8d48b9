"""The images' registry of a stack: its repositories, who may push, and what it copies from other registries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components.aws.iam import EVERYONE, Account, Statement, policy_document
from settings.aws import Cache

KEEP_PREFIX = "keep"
"""Images with a tag that begins so never expire."""

_PUSH = ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
_PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
_UNTAGGED_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryArgs:
    repositories: Sequence[str]
    push: Sequence[str]
    """ARNs of the roles that may push. Empty: nobody may."""
    keep: int
    """Newest images that stay."""
    cache: Mapping[str, Cache]
    """Prefix in this registry → the registry it is a copy of."""
    passwords: Mapping[str, pulumi.Input[str]]
    """Key under the stack's secrets → value, for caches with a login."""
    account: Account
    protect: bool
    tags: Mapping[str, str]


class Registry(pulumi.ComponentResource):
    """ECR repositories with immutable tags, scanned on push, and rules that fill caches of other registries.

    Repositories have the names that images are written with, so two stacks of one account and region cannot make the
    same one. Encrypted with ECR's own keys (AES256): images hold no secrets, and under a key of the stack all of them
    would go with the stack.

    Only the roles of `push` push, whatever any other policy allows; they need no other permission than to log in, also
    from other accounts. A repository keeps its newest `keep` images, and those without a tag for 7 days (parts of
    a multi-platform image stay with it). What ECS runs is among the newest unless more than `keep` builds were pushed
    since: then a running task is safe, but one that is started anew finds no image. So `keep` should be more than is
    ever pushed between two releases, and a tag that begins with `keep` saves an image for good.

    A cache's repositories are made by ECR on the first pull and belong to the account: they stay when the stack goes.
    Docker Hub, GitHub, GitLab, Azure and Chainguard want a login; it is kept in a secret whose name begins with
    ecr-pullthroughcache/ and which must be encrypted with AWS's key for Secrets Manager: ECR takes no other.
    """

    host: pulumi.Output[str]
    urls: Mapping[str, pulumi.Output[str]]
    """Repository → its address, host included."""
    arns: Mapping[str, pulumi.Output[str]]
    rules: Sequence[pulumi.Resource]
    """Cache rules: what pulls through a cache depends on them."""

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:Registry", name, None, opts)
        self._args, self._child = args, pulumi.ResourceOptions(parent=self)
        made = {repository: self._repository(repository) for repository in args.repositories}
        self.rules = tuple(self._cache(prefix, cache) for prefix, cache in sorted(args.cache.items()))
        self.host = pulumi.Output.concat(
            args.account.id, ".dkr.ecr.", args.account.region, ".", _suffix(args.account.partition)
        )
        self.urls = {repository: found.repository_url for repository, found in made.items()}
        self.arns = {repository: found.arn for repository, found in made.items()}
        self.register_outputs({"host": self.host, "urls": self.urls})

    def _repository(self, repository: str) -> aws.ecr.Repository:
        args = self._args
        made = aws.ecr.Repository(
            repository,
            name=repository,
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            encryption_configurations=[aws.ecr.RepositoryEncryptionConfigurationArgs(encryption_type="AES256")],
            force_delete=not args.protect,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        aws.ecr.LifecyclePolicy(repository, repository=made.name, policy=lifecycle(args.keep), opts=self._child)
        aws.ecr.RepositoryPolicy(
            repository, repository=made.name, policy=policy_document(_pushers(args.push)), opts=self._child
        )
        return made

    def _cache(self, prefix: str, cache: Cache) -> aws.ecr.PullThroughCacheRule:
        args = self._args
        aws.ecr.RepositoryCreationTemplate(
            prefix,
            prefix=prefix,
            description=f"Copies of images of {cache.upstream}",
            applied_fors=["PULL_THROUGH_CACHE"],
            # A tag that moves upstream moves here, too; what runs is named by digest.
            image_tag_mutability="MUTABLE",
            encryption_configurations=[
                aws.ecr.RepositoryCreationTemplateEncryptionConfigurationArgs(encryption_type="AES256")
            ],
            lifecycle_policy=_cache_lifecycle(args.keep),
            opts=self._child,
        )
        return aws.ecr.PullThroughCacheRule(
            prefix,
            ecr_repository_prefix=prefix,
            upstream_registry_url=cache.upstream,
            credential_arn=self._login(prefix, cache),
            opts=self._child,
        )

    def _login(self, prefix: str, cache: Cache) -> pulumi.Output[str] | None:
        args = self._args
        if cache.username is None or cache.password is None:
            return None
        secret = aws.secretsmanager.Secret(
            f"cache-{prefix}",
            name_prefix=f"ecr-pullthroughcache/{prefix}-",
            description=f"Login of the image cache {prefix} at {cache.upstream}",
            recovery_window_in_days=30 if args.protect else 0,
            tags=args.tags,
            opts=self._child,
        )
        username = cache.username
        login = pulumi.Output.secret(args.passwords[cache.password]).apply(
            lambda password: json.dumps({"username": username, "accessToken": password})
        )
        version = aws.secretsmanager.SecretVersion(
            f"cache-{prefix}", secret_id=secret.id, secret_string=login, opts=self._child
        )
        # A rule is made with a secret that has its value.
        return pulumi.Output.all(secret.arn, version.id).apply(lambda known: str(known[0]))


def lifecycle(keep: int) -> str:
    """An image that a rule matches is out of reach of every later one, expired or not."""
    return _rules(
        [
            (
                f"tags that begin with {KEEP_PREFIX} stay",
                {"tagStatus": "tagged", "tagPatternList": [f"{KEEP_PREFIX}*"], **_newest(100_000)},
            ),
            (
                f"without a tag for {_UNTAGGED_DAYS} days",
                {
                    "tagStatus": "untagged",
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": _UNTAGGED_DAYS,
                },
            ),
            # Not `any`: each part of a multi-platform image would count as one.
            (f"all but the newest {keep}", {"tagStatus": "tagged", "tagPatternList": ["*"], **_newest(keep)}),
        ]
    )


def _cache_lifecycle(keep: int) -> str:
    """Images pulled by digest have no tag here, so nothing goes for having none."""
    return _rules([(f"all but the newest {keep}", {"tagStatus": "any", **_newest(keep)})])


def _newest(count: int) -> dict[str, Any]:
    return {"countType": "imageCountMoreThan", "countNumber": count}


def _rules(selections: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    return json.dumps(
        {
            "rules": [
                {
                    "rulePriority": priority,
                    "description": description,
                    "selection": selection,
                    "action": {"type": "expire"},
                }
                for priority, (description, selection) in enumerate(selections, 1)
            ]
        }
    )


def _pushers(push: Sequence[str]) -> Sequence[Statement]:
    nobody_else = Statement(
        sid="NobodyElsePushes",
        effect="Deny",
        principals=EVERYONE,
        actions=_PUSH,
        conditions={"ArnNotLike": {"aws:PrincipalArn": list(push)}} if push else None,
    )
    if not push:
        return [nobody_else]
    return [Statement(sid="Push", principals={"AWS": list(push)}, actions=[*_PUSH, *_PULL]), nobody_else]


def _suffix(partition: pulumi.Input[str]) -> pulumi.Output[str]:
    return pulumi.Output.from_input(partition).apply(
        lambda known: "amazonaws.com.cn" if known == "aws-cn" else "amazonaws.com"
    )
