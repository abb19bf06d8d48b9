"""How large documents of package aws may be, where AWS's models say more or nothing, or count another form of it.

Pages are those of docs.aws.amazon.com.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rehearsal.checks import Finding
from rehearsal.record import Registration
from rehearsal.values import has_unknown, items_of, members_of, revealed


@dataclass(frozen=True, slots=True)
class Size:
    """How much of an input there may be."""

    most: int
    count: Callable[[Any], int]
    unit: str
    source: str


def _characters(value: Any) -> int:
    """As IAM counts a policy: without white space."""
    return len("".join(_text(value).split()))


def _bytes(value: Any) -> int:
    return len(_text(value).encode())


def _decoded(value: Any) -> int:
    try:
        return len(base64.b64decode(_text(value)))
    except (binascii.Error, ValueError):
        return 0  # what is no base64 is refused by another rule


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if has_unknown(value) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


_INLINE = Size(
    10_240, _characters, "characters", "all inline policies of a role: IAM/latest/UserGuide/reference_iam-quotas"
)
SIZES: Mapping[str, Mapping[str, Size]] = {
    "aws:iam/rolePolicy:RolePolicy": {"policy": _INLINE},
    "aws:iam/policy:Policy": {
        "policy": Size(6_144, _characters, "characters", "a managed policy: IAM/latest/UserGuide/reference_iam-quotas")
    },
    "aws:iam/role:Role": {
        "assumeRolePolicy": Size(
            2_048, _characters, "characters", "a trust policy, unless raised: IAM/latest/UserGuide/reference_iam-quotas"
        )
    },
    "aws:kms/key:Key": {"policy": Size(32_768, _bytes, "bytes", "kms/latest/developerguide/resource-limits")},
    "aws:s3/bucketPolicy:BucketPolicy": {
        "policy": Size(20_480, _bytes, "bytes", "AmazonS3/latest/userguide/bucket-policies")
    },
    "aws:ec2/vpcEndpoint:VpcEndpoint": {
        "policy": Size(20_480, _characters, "characters", "vpc/latest/userguide/amazon-vpc-limits")
    },
    "aws:ec2/launchTemplate:LaunchTemplate": {
        "userData": Size(16_384, _decoded, "bytes before base64", "AWSEC2/latest/UserGuide/user-data")
    },
    "aws:ecs/taskDefinition:TaskDefinition": {
        "containerDefinitions": Size(
            65_536, _bytes, "bytes", "AmazonECS/latest/developerguide/service-quotas: a task definition"
        )
    },
}


def check(found: Registration) -> Iterator[Finding]:
    for path, size in SIZES.get(found.type, {}).items():
        count = size.count(revealed(found.inputs.get(path))) if path in found.inputs else 0
        if count > size.most:
            yield Finding(path, f"should be at most {size.most:,} {size.unit}, got {count:,}", size.source)
    if found.type == "aws:iam/role:Role":
        yield from _inline(found)


def _inline(found: Registration) -> Iterator[Finding]:
    """The inline policies that a role itself names: they share one sum."""
    policies = items_of(found.inputs.get("inlinePolicies"))
    count = sum(_INLINE.count(revealed(members_of(policy).get("policy", ""))) for policy in policies)
    if count > _INLINE.most:
        yield Finding(
            "inlinePolicies", f"should be at most {_INLINE.most:,} {_INLINE.unit} in all, got {count:,}", _INLINE.source
        )
