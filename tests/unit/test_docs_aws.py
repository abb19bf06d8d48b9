"""The policies of docs/aws: every action is one that AWS has, and none is all of them."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader

from settings.aws import Balancer

DOCS = Path(__file__).parents[2] / "docs" / "aws"
POLICIES = sorted(DOCS.glob("*-policy.json"))
# IAM's prefix of a service → botocore's name of it, where the two differ.
MODELS = {"elasticfilesystem": "efs", "elasticloadbalancing": "elbv2"}
# Actions that no operation has the name of: they permit operations of other names.
PERMIT = {
    "iam:PassRole": None,
    "s3:DeleteObjectVersion": "DeleteObject",
    "s3:GetAccelerateConfiguration": "GetBucketAccelerateConfiguration",
    "s3:GetBucketCORS": "GetBucketCors",
    "s3:GetBucketObjectLockConfiguration": "GetObjectLockConfiguration",
    "s3:GetBucketPublicAccessBlock": "GetPublicAccessBlock",
    "s3:GetEncryptionConfiguration": "GetBucketEncryption",
    "s3:GetLifecycleConfiguration": "GetBucketLifecycleConfiguration",
    "s3:GetReplicationConfiguration": "GetBucketReplication",
    "s3:ListBucket": "ListObjectsV2",
    "s3:ListBucketVersions": "ListObjectVersions",
    "s3:PutBucketPublicAccessBlock": "PutPublicAccessBlock",
    "s3:PutEncryptionConfiguration": "PutBucketEncryption",
    "s3:PutLifecycleConfiguration": "PutBucketLifecycleConfiguration",
}


@cache
def operations(service: str) -> frozenset[str]:
    loaded: Any = Loader().load_service_model(MODELS.get(service, service), "service-2")
    return frozenset(loaded["operations"])


def statements(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["Statement"]


@pytest.mark.parametrize("path", [*POLICIES, DOCS / "ci-trust.json"], ids=lambda path: path.stem)
def test_every_action_is_one_that_aws_has(path: Path) -> None:
    for statement in statements(path):
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            service, _, name = action.partition(":")
            wanted = PERMIT.get(action, name)
            known = wanted is None or any(fnmatchcase(operation, wanted) for operation in operations(service))
            assert known, f"{statement['Sid']}: {action}"


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_policies_allow_named_actions_and_name_each_once(path: Path) -> None:
    seen = set[tuple[str, str]]()
    for statement in statements(path):
        assert statement["Effect"] == "Allow"
        assert re.fullmatch("[A-Za-z0-9]+", statement["Sid"])
        for action in statement["Action"]:
            assert re.fullmatch(r"[a-z0-9-]+:[A-Z][A-Za-z]+\*?", action)
            assert not action.endswith("*") or action.partition(":")[2].startswith(("Describe", "List", "Get"))
            assert (action, str(statement["Resource"])) not in seen
            seen.add((action, str(statement["Resource"])))
    # A role's inline policies: 10,240 characters, white space not counted (IAM reference_iam-quotas.html).
    assert len("".join(path.read_text().split())) <= 10_240


def test_ci_can_make_no_role_and_destroy_nothing() -> None:
    for statement in statements(DOCS / "ci-policy.json"):
        for action in statement["Action"]:
            assert not action.startswith("iam:") or action == "iam:PassRole"
            assert "Delete" not in action or statement["Sid"] == "PulumiState"


def test_the_advised_keep_alives_are_longer_than_the_balancer_waits() -> None:
    """A service that closes a connection first is sent a request that it no longer reads: 502."""
    text = (DOCS.parent / "aws.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| connections to a service |")]
    advised = [int(number) for number in re.findall(r"(?:= |alive |timeout )(\d{2,})", row.rpartition("| let it")[2])]
    assert len(advised) == 5
    assert all(seconds > Balancer().idle for seconds in [advised[0] // 1000, *advised[1:]])
