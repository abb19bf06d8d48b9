"""Whether what a service asks for fits into the policies of its two roles, before IAM refuses them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from planning.aws.model import AwsService
from settings.problems import Problem

LIMIT = 10_240
"""Characters of all inline policies of a role, white space not counted (IAM reference_iam-quotas.html); each of a
service's roles has one."""
_OTHERS = 1_000
"""Of the execution role's: pulling, logs and the keys of secrets. Of the task role's: its volume and `exec`."""
_SECRET = 90
"""Of the ARN of a secret of the stack, beside its key: `arn:aws:secretsmanager:…:secret:KEY-1234567-AbCdEf`."""


def policy_problems(service: AwsService) -> Iterable[Problem]:
    at = f"services/{service.name}"
    own, existing = set(service.secrets.values()), set(service.existing_secrets.values())
    secrets = sum(_SECRET + len(key) for key in own) + sum(len(arn) + 3 for arn in existing)
    if secrets + _OTHERS > LIMIT:
        yield Problem(
            f"{at}/secrets",
            f"{len(own | existing)} secrets make a policy of about {secrets + _OTHERS:,} characters; "
            f"IAM takes {LIMIT:,} for a role",
            "put several values into one secret, or split the service",
        )
    permissions = sum(
        len(json.dumps(permission.model_dump(), separators=(",", ":"))) for permission in service.settings.permissions
    )
    if permissions + _OTHERS > LIMIT:
        yield Problem(
            f"{at}/permissions",
            f"make a policy of about {permissions + _OTHERS:,} characters; IAM takes {LIMIT:,} for a role",
            "name resources by a pattern (arn:aws:s3:::acme-*/*), or attach a policy of your own to the role that "
            "`pulumi stack output aws` lists as task_role",
        )
