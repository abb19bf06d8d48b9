"""Physical names, tags, region names and ARNs: what holds for resources of many types.

Pages are those of docs.aws.amazon.com; a name's own source is the API reference, unless another is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rehearsal.aws_models import partitions, regions, request
from rehearsal.aws_taught import lookup
from rehearsal.aws_values import outside, wrong
from rehearsal.checks import Finding
from rehearsal.record import Registration
from rehearsal.values import Secret, mapping, sequence

_RANDOM = "0123456"
"""As long as what Pulumi adds to a logical name."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name which Pulumi makes from the logical one: NAME-0123456."""

    longest: int
    pattern: str = r".*"
    says: str = ""


_LB_NAME = Name(
    32,
    r"(?!internal-)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?",
    "letters, digits and inner hyphens, not beginning with internal-",
)
_PLAIN = r"[A-Za-z0-9_-]+"
_DASHED = "letters, digits, hyphens and underscores"

NAMES: Mapping[str, Name] = {
    "aws:lb/loadBalancer:LoadBalancer": _LB_NAME,
    "aws:lb/targetGroup:TargetGroup": _LB_NAME,
    "aws:ecs/service:Service": Name(255, _PLAIN, _DASHED),
    "aws:ecs/cluster:Cluster": Name(255, _PLAIN, _DASHED),
    "aws:ecs/capacityProvider:CapacityProvider": Name(
        255, rf"(?!aws|ecs|fargate){_PLAIN}", f"{_DASHED}, not beginning with aws, ecs or fargate"
    ),
    # EC2's user guide: up to 255 of a-z A-Z 0-9 space ._-:/()#,@[]+=&;{}!$*, not beginning with sg-
    "aws:ec2/securityGroup:SecurityGroup": Name(
        255,
        r"(?!sg-)[A-Za-z0-9. _\-:/()#,@\[\]+=&;{}!$*]+",
        "the characters of a security group's name, not beginning with sg-",
    ),
    "aws:ec2/launchTemplate:LaunchTemplate": Name(
        128, r"[A-Za-z0-9().\-/_]{3,}", "at least 3 of letters, digits and ()-./_"
    ),
    "aws:sns/topic:Topic": Name(256, _PLAIN, _DASHED),
    "aws:secretsmanager/secret:Secret": Name(512, r"[A-Za-z0-9/_+=.@-]+", "A-Z a-z 0-9 /_+=.@-"),
    "aws:s3/bucket:Bucket": Name(63, r"[a-z0-9][a-z0-9.-]*[a-z0-9]", "lower-case letters, digits, dots and hyphens"),
    **{  # what these take is in the model: the parameter's own length and pattern
        type_: Name(0)
        for type_ in (
            "aws:iam/role:Role",
            "aws:iam/rolePolicy:RolePolicy",
            "aws:iam/policy:Policy",
            "aws:iam/instanceProfile:InstanceProfile",
            "aws:ecr/repository:Repository",
            "aws:cloudwatch/logGroup:LogGroup",
            "aws:cloudwatch/metricAlarm:MetricAlarm",
            "aws:cloudwatch/eventRule:EventRule",
            "aws:cloudwatch/logMetricFilter:LogMetricFilter",
            "aws:appautoscaling/policy:Policy",
            "aws:appautoscaling/scheduledAction:ScheduledAction",
            "aws:autoscaling/group:Group",
            "aws:autoscaling/lifecycleHook:LifecycleHook",
            "aws:scheduler/schedule:Schedule",
            "aws:scheduler/scheduleGroup:ScheduleGroup",
            "aws:servicediscovery/httpNamespace:HttpNamespace",
        )
    },
}


def check_name(found: Registration) -> Iterator[Finding]:
    """The physical name: the one given, or the one that Pulumi will make."""
    rule = NAMES.get(found.type)
    if rule is None:
        return
    key = "bucket" if found.type == "aws:s3/bucket:Bucket" else "name"
    prefix = found.inputs.get(f"{key}Prefix")
    given = found.inputs.get(key)
    given, prefix = (v.value if isinstance(v, Secret) else v for v in (given, prefix))
    if given is None and isinstance(prefix, str):
        text, at, why = prefix + "0" * 26, f"{key}Prefix", " with the 26 digits that the provider adds"
    elif given is None:
        lower = found.type in ("aws:s3/bucket:Bucket", "aws:ecr/repository:Repository")
        text = f"{found.name.lower() if lower else found.name}-{_RANDOM}"
        at, why = key, f" (Pulumi makes it of the logical name and {len(_RANDOM) + 1} more characters)"
    elif isinstance(given, str):
        text, at, why = given, key, ""
    else:
        return
    if said := _wrong_name(found.type, rule, text, made=bool(why)):
        yield Finding(at, f"{said}{why}", "shorten the resource's logical name" if why else "")


def _wrong_name(type_: str, rule: Name, text: str, *, made: bool) -> str:
    if not rule.longest:
        taught = lookup(type_)
        if taught is None or not made:  # a given name is checked as any input
            return ""
        member = taught.names.get("name", "Name")
        return (
            wrong(text, members.get(member) or members[member[0].lower() + member[1:]])
            if (members := request(taught.call).members)
            else ""
        )
    if said := outside(len(text), 1, rule.longest, f"{len(text)}: {text!r}", " characters long"):
        return said
    return "" if re.fullmatch(rule.pattern, text) else f"should be made of {rule.says}, got {text!r}"


_ARN_KEYS = re.compile(r"(?:^|[a-z])Arns?$|^arn$")
_ARN = re.compile(r"arn:([a-z0-9-]+):([a-z0-9-]*):([a-z0-9-]*):(\d{12}|aws|aws-managed|)?:(.+)", re.DOTALL)
_TAG = re.compile(r"[\w\s.:/=+\-@]*")


def check_common(inputs: Mapping[str, Any]) -> Iterator[Finding]:
    """What holds for resources of any type: tags, region names, and whatever is called an ARN."""
    tags = mapping(inputs.get("tags")) or {}
    if len(tags) > 50:
        yield Finding("tags", f"should be at most 50 tags, got {len(tags)}")
    for key, value in tags.items():
        text = value.value if isinstance(value, Secret) else value
        if len(key) > 128 or not key or not _TAG.fullmatch(key) or key.lower().startswith("aws:"):
            yield Finding(
                f"tags/{key}", f"should be named by 1–128 letters, digits, spaces or _.:/=+-@, not aws:…, got {key!r}"
            )
        if isinstance(text, str) and (len(text) > 256 or not _TAG.fullmatch(text)):
            yield Finding(f"tags/{key}", f"should be at most 256 letters, digits, spaces or _.:/=+-@, got {text!r}")
    region = inputs.get("region")
    if isinstance(region, str) and region not in regions():
        yield Finding("region", f"should be a region of AWS, got {region!r}")
    yield from _arns(inputs, "")


def _arns(value: Any, path: str) -> Iterator[Finding]:
    if (members := mapping(value)) is not None:
        for key, item in members.items():
            at = f"{path}/{key}" if path else key
            if _ARN_KEYS.search(key):
                for index, text in _texts(item, at):
                    if said := wrong_arn(text):
                        yield Finding(index, said)
            else:
                yield from _arns(item, at)
    else:
        for index, item in enumerate(sequence(value) or []):
            yield from _arns(item, f"{path}/{index}")


def _texts(value: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield at, value
    for index, item in enumerate(sequence(value) or []):
        if isinstance(item, str):
            yield f"{at}/{index}", item


@lru_cache(maxsize=4096)
def wrong_arn(text: str) -> str:
    """What is wrong with an ARN, or nothing."""
    parts = _ARN.fullmatch(text)
    if parts is None:
        return f"should be arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE, got {text!r}"
    if parts[1] not in partitions():
        return f"should be of one of the partitions {', '.join(sorted(partitions()))}, got {text!r}"
    if parts[3] and parts[3] not in regions():
        return f"should name a region of AWS, got {parts[3]!r} in {text!r}"
    return ""
