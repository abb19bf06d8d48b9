"""IAM policies as data: who may do what to which resource, and why where it cannot be one resource.

Every policy of an AWS stack is written through `policy_document` or `assume_role`. A statement about every resource
(``*``) needs a reason, and the reason becomes its Sid: `wildcards` reads it back from the finished JSON, so that a test
can list each ``*`` of a stack with its reason from the recorded resources alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi
import pulumi_aws as aws

Conditions = Mapping[str, Mapping[str, pulumi.Input[str] | Sequence[pulumi.Input[str]]]]
"""Operator → key → value or values."""
EVERYONE: Mapping[str, Sequence[str]] = {"AWS": ["*"]}
"""All principals; for Deny statements, and for Allow statements whose conditions say who."""

_BECAUSE = "Because"

_SOURCES: Mapping[str, str | None] = {
    "ecs-tasks.amazonaws.com": "arn:{partition}:ecs:{region}:{account}:*",
    "vpc-flow-logs.amazonaws.com": "arn:{partition}:ec2:{region}:{account}:vpc-flow-log/*",
    "scheduler.amazonaws.com": "arn:{partition}:scheduler:{region}:{account}:schedule-group/*",
    "events.amazonaws.com": "arn:{partition}:events:{region}:{account}:rule/*",
    # AWS's own trust policies for these have no condition, and none of the two keys is documented for them.
    "ec2.amazonaws.com": None,
    "ecs.amazonaws.com": None,
}
"""Service → what it acts for when it assumes a role (aws:SourceArn); None where it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where the stack is, as ARNs name it."""

    id: pulumi.Input[str]
    region: pulumi.Input[str]
    partition: pulumi.Input[str] = "aws"

    def arn(self, service: str, *resource: pulumi.Input[str], regional: bool = True) -> pulumi.Output[str]:
        """An ARN of this account; the parts of the resource are joined as they are."""
        region = self.region if regional else ""
        return pulumi.Output.concat("arn:", self.partition, f":{service}:", region, ":", self.id, ":", *resource)


def current_account(region: str) -> Account:
    """The account whose credentials are in use. Two calls of data sources: ask once for a stack."""
    return Account(
        id=aws.get_caller_identity_output().account_id,
        region=region,
        partition=aws.get_partition_output().partition,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of a policy. Refuses ``*`` as a resource without a reason, and what is no Sid."""

    actions: Sequence[str]
    resources: Sequence[pulumi.Input[str]] = ()
    """Empty only in the policies of ECR repositories and in trust policies, which have none."""
    conditions: Conditions | None = None
    reason: str | None = None
    """Why the statement is about every resource: a few words, which become its Sid."""
    sid: str | None = None
    effect: Literal["Allow", "Deny"] = "Allow"
    principals: Mapping[str, Sequence[pulumi.Input[str]]] | None = None
    """In the policy of a resource: who; `AWS` → ARNs, `Service` → names."""

    def __post_init__(self) -> None:
        if not self.actions:
            raise ValueError("a statement should name at least one action")
        if any(isinstance(found, str) and found == "*" for found in self.resources) and not self.reason:
            raise ValueError(
                f"resources ['*'] of {', '.join(self.actions)} should have a reason: say why, or name them"
            )
        if self.sid is not None and not re.fullmatch("[A-Za-z0-9]+", self.sid):
            raise ValueError(f"sid should be letters and digits, got {self.sid!r}")

    @property
    def full_sid(self) -> str | None:
        """Its own Sid, then the reason in CamelCase."""
        if self.reason is None:
            return self.sid
        words = re.findall("[A-Za-z0-9]+", re.sub("['’]", "", self.reason))
        return f"{self.sid or ''}{_BECAUSE}{''.join(word[0].upper() + word[1:] for word in words)}"


@dataclass(frozen=True, slots=True, order=True)
class Wildcard:
    """A statement about every resource, as a finished policy has it."""

    actions: tuple[str, ...]
    reason: str | None
    """None where nobody gave one, which no policy of ours can have."""


def policy_document(statements: Sequence[Statement]) -> pulumi.Output[str]:
    """The policy as JSON, in the order given. Refuses one Sid twice."""
    sids = [found.full_sid for found in statements if found.full_sid]
    if twice := {sid for sid in sids if sids.count(sid) > 1}:
        raise ValueError(f"sids should be distinct, got twice: {', '.join(sorted(twice))}")
    return pulumi.Output.json_dumps(
        {"Version": "2012-10-17", "Statement": [_statement(found) for found in statements]}, separators=(",", ":")
    )


def assume_role(
    service: str, account: Account | None = None, source_arn: pulumi.Input[str] | None = None
) -> pulumi.Output[str]:
    """The trust policy of a role that `service` assumes, such as ``ecs-tasks.amazonaws.com``.

    Services that say for whom they act are let in only for `account` and for `source_arn` (by default, everything of
    their kind in the account's region), against the confused deputy. Refuses a service it does not know, an account
    left out where the service supports it, and one given where it does not.
    """
    if service not in _SOURCES:
        raise ValueError(
            f"service should be one of {', '.join(sorted(_SOURCES))}, got {service}: look up what it supports"
        )
    pattern = _SOURCES[service]
    if (pattern is None) != (account is None):
        raise ValueError(f"{service} {'supports no' if pattern is None else 'needs the'} account condition")
    conditions: Conditions | None = None
    if account is not None and pattern is not None:
        source = source_arn if source_arn is not None else _fill(pattern, account)
        conditions = {"StringEquals": {"aws:SourceAccount": account.id}, "ArnLike": {"aws:SourceArn": source}}
    return policy_document(
        [Statement(actions=["sts:AssumeRole"], principals={"Service": [service]}, conditions=conditions)]
    )


def wildcards(document: str) -> list[Wildcard]:
    """Every Allow statement about all resources in a finished policy, with its reason in words."""
    found: list[Wildcard] = []
    for statement in _items(json.loads(document).get("Statement")):
        if statement.get("Effect") == "Allow" and "*" in _items(statement.get("Resource")):
            _, because, camel = str(statement.get("Sid") or "").partition(_BECAUSE)
            words = re.findall("[A-Z]?[a-z]+[0-9]*|[A-Z0-9]+(?![a-z])", camel)
            reason = (
                " ".join([words[0], *(w if len(w) > 1 and w.isupper() else w.lower() for w in words[1:])])
                if words
                else None
            )
            found.append(Wildcard(tuple(_items(statement.get("Action"))), reason if because else None))
    return sorted(found)


def _fill(pattern: str, account: Account) -> pulumi.Output[str]:
    return pulumi.Output.format(pattern, partition=account.partition, region=account.region, account=account.id)


def _statement(found: Statement) -> dict[str, Any]:
    members: dict[str, Any] = {
        "Sid": found.full_sid,
        "Effect": found.effect,
        "Principal": _principals(found.principals) if found.principals else None,
        "Action": list(found.actions),
        "Resource": list(found.resources) or None,
        "Condition": found.conditions,
    }
    return {key: value for key, value in members.items() if value is not None}


def _principals(principals: Mapping[str, Sequence[pulumi.Input[str]]]) -> Any:
    """A bare ``*`` for everyone, as AWS's own examples have it where anonymous callers are meant as well."""
    return "*" if principals == EVERYONE else {kind: list(who) for kind, who in principals.items()}


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownArgumentType]
