"""The grammar of IAM policies, and whether the actions they name exist.

IAM's user guide, reference_policies_grammar.html and reference_policies_elements_condition_operators.html.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from rehearsal.aws_models import operations
from rehearsal.aws_names import wrong_arn
from rehearsal.aws_values import received
from rehearsal.checks import Finding
from rehearsal.values import Sealed, Secret, Unknown, mapping, sequence

_TOP = ("Version", "Id", "Statement")
_STATEMENT = (
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
)
_VERSIONS = ("2012-10-17", "2008-10-17")
_PRINCIPALS = ("AWS", "Service", "Federated", "CanonicalUser")
_SID = re.compile(r"[A-Za-z0-9]*")
_ACTION = re.compile(r"([a-z0-9-]+):([A-Za-z0-9*?]+)")
_SERVICE = re.compile(r"[a-z0-9.-]+\.(amazonaws\.com(\.cn)?|amazon\.com)")

_OPERATORS = frozenset(
    [
        *(
            f"String{name}"
            for name in ("Equals", "NotEquals", "EqualsIgnoreCase", "NotEqualsIgnoreCase", "Like", "NotLike")
        ),
        *(
            f"{kind}{name}"
            for kind in ("Numeric", "Date")
            for name in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
        ),
        "Bool",
        "BinaryEquals",
        "IpAddress",
        "NotIpAddress",
        "ArnEquals",
        "ArnLike",
        "ArnNotEquals",
        "ArnNotLike",
        "Null",
    ]
)

_MODELS: Mapping[str, tuple[str, ...]] = {
    "elasticloadbalancing": ("elbv2", "elb"),
    "elasticfilesystem": ("efs",),
    "application-autoscaling": ("application-autoscaling",),
}
"""IAM's prefix of an action to the botocore models, where the two are named differently."""

_PERMISSIONS: Mapping[str, frozenset[str]] = {
    # The service authorization reference: permissions that are no operation of an API.
    "iam": frozenset({"PassRole"}),
    "elasticfilesystem": frozenset({"ClientMount", "ClientWrite", "ClientRootAccess"}),
    "ecr": frozenset({"ReplicateImage"}),
    "ecs": frozenset({"Poll", "StartTelemetrySession", "UpdateContainerInstancesState"}),
    "kms": frozenset({"ReEncryptFrom", "ReEncryptTo"}),
    "s3": frozenset(
        {
            "AbortMultipartUpload",
            "DeleteObjectVersion",
            "GetBucketLogging",
            "GetEncryptionConfiguration",
            "GetLifecycleConfiguration",
            "GetObjectVersion",
            "ListAllMyBuckets",
            "ListBucket",
            "ListBucketMultipartUploads",
            "ListBucketVersions",
            "ListMultipartUploadParts",
            "PutEncryptionConfiguration",
            "PutLifecycleConfiguration",
        }
    ),
    "ssm": frozenset({"UpdateInstanceInformation"}),
    "ssmmessages": frozenset({"CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel"}),
    "ec2messages": frozenset(
        {"AcknowledgeMessage", "DeleteMessage", "FailMessage", "GetEndpoint", "GetMessages", "SendReply"}
    ),
    "cloudwatch": frozenset(),
    "sts": frozenset({"TagSession", "SetSourceIdentity", "SetContext"}),
    "logs": frozenset(
        {"CreateLogDelivery", "DeleteLogDelivery", "GetLogDelivery", "ListLogDeliveries", "UpdateLogDelivery"}
    ),
}


def check(value: Any, path: str, *, attached: str) -> Iterator[Finding]:
    """A policy; `attached` says to what: identity, trust, resource, or repository (which has no Resource)."""
    document = mapping(value)
    if document is None:
        yield Finding(path, f"should be an object, got {received(value, secret=False)}")
        return
    yield from _keys(document, _TOP, path)
    version = document.get("Version")
    if version is None:
        yield Finding(f"{path}/Version", "is missing, and the policy would be read by the rules of 2008")
    elif _plain(version) and version not in _VERSIONS:
        yield Finding(f"{path}/Version", f"should be {' or '.join(_VERSIONS)}, got {version!r}")
    statements = document.get("Statement")
    if statements is None:
        yield Finding(f"{path}/Statement", "is missing, and a policy requires it")
    listed = [statements] if mapping(statements) is not None else sequence(statements)
    if listed is None:
        return
    if not listed:
        yield Finding(f"{path}/Statement", "should hold at least one statement, got none")
    seen: set[str] = set()
    for index, item in enumerate(listed):
        at = f"{path}/Statement/{index}"
        statement = mapping(item)
        if statement is None:
            if _plain(item):
                yield Finding(at, f"should be an object, got {received(item, secret=False)}")
            continue
        yield from _statement(statement, at, attached)
        sid = statement.get("Sid")
        if isinstance(sid, str) and sid:
            if sid in seen:
                yield Finding(f"{at}/Sid", f"should be there once in a policy, got {sid!r} again")
            seen.add(sid)


def _statement(statement: Mapping[str, Any], at: str, attached: str) -> Iterator[Finding]:
    yield from _keys(statement, _STATEMENT, at)
    effect = statement.get("Effect")
    if effect is None:
        yield Finding(f"{at}/Effect", "is missing, and a statement requires it")
    elif _plain(effect) and effect not in ("Allow", "Deny"):
        yield Finding(f"{at}/Effect", f"should be Allow or Deny, got {effect!r}")
    sid = statement.get("Sid")
    if isinstance(sid, str) and not _SID.fullmatch(sid) and attached in ("identity", "trust"):
        yield Finding(f"{at}/Sid", f"should be letters and digits, got {sid!r}")
    yield from _one(statement, "Action", at, required=True)
    yield from _one(statement, "Resource", at, required=attached in ("identity", "resource"))
    yield from _one(statement, "Principal", at, required=attached != "identity")
    if attached == "identity" and ("Principal" in statement or "NotPrincipal" in statement):
        yield Finding(f"{at}/Principal", "should be left out of a policy of a role")
    if attached == "trust" and ("Resource" in statement or "NotResource" in statement):
        yield Finding(f"{at}/Resource", "should be left out of a trust policy")
    for key in ("Action", "NotAction"):
        for where, action in _texts(statement.get(key), f"{at}/{key}"):
            if found := wrong_action(action):
                yield Finding(where, *found)
    for key in ("Resource", "NotResource"):
        for where, arn in _texts(statement.get(key), f"{at}/{key}"):
            if said := _wrong_resource(arn):
                yield Finding(where, said)
    for key in ("Principal", "NotPrincipal"):
        yield from _principal(statement.get(key), f"{at}/{key}")
    yield from _condition(statement.get("Condition"), f"{at}/Condition")


def _one(statement: Mapping[str, Any], key: str, at: str, *, required: bool) -> Iterator[Finding]:
    given = [name for name in (key, f"Not{key}") if name in statement]
    if len(given) == 2:
        yield Finding(f"{at}/Not{key}", f"should not stand beside {key}")
    if not given and required:
        yield Finding(f"{at}/{key}", "is missing, and a statement requires it")
    for name in given:
        if sequence(statement[name]) == []:
            yield Finding(f"{at}/{name}", "should name something, got an empty list")


def _keys(part: Mapping[str, Any], known: tuple[str, ...], at: str) -> Iterator[Finding]:
    for key in part:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.6)
            yield Finding(f"{at}/{key}", "is no element of a policy", f"did you mean `{near[0]}`?" if near else "")


def _plain(value: Any) -> bool:
    return not isinstance(value, Unknown | Sealed | Secret)


def _texts(value: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield at, value
    for index, item in enumerate(sequence(value) or []):
        if isinstance(item, str):
            yield f"{at}/{index}", item


@lru_cache(maxsize=4096)
def wrong_action(action: str) -> tuple[str, str] | None:
    """What is wrong with an action, and the nearest one there is."""
    if action == "*":
        return None
    parts = _ACTION.fullmatch(action)
    if parts is None:
        return f"should be SERVICE:ACTION, got {action!r}", ""
    service, name = parts[1], parts[2]
    known = known_actions(service)
    if known is None:
        return (
            f"should be an action of a service that is known here, got {action!r}",
            "a new service belongs in aws_policy",
        )
    if "*" in name or "?" in name:
        if name == "*" or any(fnmatch.fnmatchcase(one.lower(), name.lower()) for one in known):
            return None
        return f"matches no action of {service}, got {action!r}", ""
    if name.lower() in {one.lower() for one in known}:  # IAM compares actions without case
        return None
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return f"is no action of {service}, got {action!r}", f"did you mean `{service}:{near[0]}`?" if near else ""


@lru_cache(maxsize=256)
def known_actions(service: str) -> frozenset[str] | None:
    """The actions of a service: the operations of its API, and permissions that are none."""
    found = [operations(model) for model in _MODELS.get(service, (service,))]
    models = [names for names in found if names is not None]
    if not models and service not in _PERMISSIONS:
        return None
    return _PERMISSIONS.get(service, frozenset[str]()).union(*models)


def _wrong_resource(text: str) -> str:
    if text == "*" or text.startswith("arn:*") or "${" in text:
        return ""
    fields = text.split(":", 5)
    if "*" in text and len(fields) == 6:  # a star may stand for a region or an account
        fields[3] = "" if "*" in fields[3] else fields[3]
        fields[4] = "" if "*" in fields[4] else fields[4]
        return wrong_arn(":".join(fields)).replace(repr(":".join(fields)), repr(text))
    return wrong_arn(text)


def _principal(value: Any, at: str) -> Iterator[Finding]:
    if value is None or not _plain(value) or value == "*":
        return
    members = mapping(value)
    if members is None:
        yield Finding(at, f"should be * or an object of {', '.join(_PRINCIPALS)}, got {received(value, secret=False)}")
        return
    for key, item in members.items():
        if key not in _PRINCIPALS:
            yield Finding(f"{at}/{key}", f"should be one of {', '.join(_PRINCIPALS)}, got {key!r}")
        for where, text in _texts(item, f"{at}/{key}"):
            if key == "Service" and not _SERVICE.fullmatch(text):
                yield Finding(where, f"should be a service such as ecs-tasks.amazonaws.com, got {text!r}")
            if key == "AWS" and text != "*" and not re.fullmatch(r"\d{12}", text) and (said := wrong_arn(text)):
                yield Finding(where, said)


def _condition(value: Any, at: str) -> Iterator[Finding]:
    for operator, tested in (mapping(value) or {}).items():
        base = operator.removeprefix("ForAllValues:").removeprefix("ForAnyValue:").removesuffix("IfExists")
        if base not in _OPERATORS:
            near = difflib.get_close_matches(base, _OPERATORS, 1, 0.6)
            yield Finding(
                f"{at}/{operator}", "is no operator of a condition", f"did you mean `{near[0]}`?" if near else ""
            )
        keys = mapping(tested)
        if keys is None:
            if _plain(tested):
                yield Finding(f"{at}/{operator}", f"should be an object, got {received(tested, secret=False)}")
            continue
        for key in keys:
            if ":" not in key:
                yield Finding(f"{at}/{operator}/{key}", f"should be a key such as aws:SourceAccount, got {key!r}")
