"""The JSON inside inputs of package aws: container definitions, policies of IAM, lifecycle policies of ECR."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rehearsal import aws_policy
from rehearsal.aws_models import Shape, request
from rehearsal.aws_values import received, wrong, wrong_length
from rehearsal.checks import Finding
from rehearsal.record import Registration
from rehearsal.values import Sealed, Secret, Unknown, has_unknown, items_of, mapping, members_of, revealed, sequence

UNKNOWN_MARK = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How Pulumi writes an unknown value into JSON that it makes itself."""


def check(found: Registration) -> Iterator[Finding]:
    """Every document among the inputs of `found`."""
    for path, reader in _DOCUMENTS.get(found.type, {}).items():
        key, _, inner = path.partition("/")
        if inner:
            for index, item in enumerate(items_of(found.inputs.get(key))):
                yield from _document(members_of(item).get(inner), f"{key}/{index}/{inner}", reader, found)
        else:
            yield from _document(found.inputs.get(key), key, reader, found)


Reader = Callable[[Any, str, Registration], Iterator[Finding]]


def _document(value: Any, path: str, reader: Reader, found: Registration) -> Iterator[Finding]:
    if isinstance(value, Secret):
        yield from _document(value.value, path, reader, found)
        return
    if value is None or isinstance(value, Unknown | Sealed):
        return
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            yield Finding(path, f"should be JSON: {error}, got {received(value, secret=False)}")
            return
    yield from reader(value, path, found)


def compare(value: Any, shape: Shape, path: str) -> Iterator[Finding]:
    """JSON beside the structure of an API, whose names it must have to the letter."""
    if isinstance(value, Unknown | Sealed | Secret) or value is None or value == UNKNOWN_MARK:
        return
    items, members = sequence(value), mapping(value)
    if shape.kind == "list":
        if items is None:
            yield Finding(path, f"should be a list, got {received(value, secret=False)}")
            return
        if said := wrong_length(len(items), shape):
            yield Finding(path, said)
        for index, item in enumerate(items):
            yield from compare(item, shape.item, f"{path}/{index}")
    elif shape.kind in ("structure", "map"):
        if members is None:
            yield Finding(path, f"should be an object, got {received(value, secret=False)}")
        elif shape.kind == "map":
            for key, item in members.items():
                yield from compare(item, shape.members["value"], f"{path}/{key}")
        else:
            yield from _object(members, shape, path)
    elif items is not None or members is not None:
        yield Finding(path, f"should be one value, got {received(value, secret=False)}")
    elif said := _strictly(value, shape) or wrong(value, shape):
        yield Finding(path, said)


def _strictly(value: Any, shape: Shape) -> str:
    """In JSON a number is no text, and the other way round."""
    got = received(value, secret=False)
    if (shape.kind == "string") == isinstance(value, str):
        return ""
    wanted = {"string": "a string", "boolean": "true or false", "integer": "a whole number"}.get(shape.kind, "a number")
    return f"should be {wanted}, got {got}"


def _object(members: Mapping[str, Any], shape: Shape, path: str) -> Iterator[Finding]:
    for key, item in members.items():
        inner = shape.members.get(key)
        if inner is None:
            near = difflib.get_close_matches(key, shape.members, 1, 0.6)
            yield Finding(
                f"{path}/{key}", f"is no member of {shape.name}", f"did you mean `{near[0]}`?" if near else ""
            )
        else:
            yield from compare(item, inner, f"{path}/{key}")
    for key in sorted(shape.required - set(members)):
        yield Finding(f"{path}/{key}", f"is missing, and {shape.name} requires it")


def _known(value: Any) -> bool:
    return not isinstance(value, Unknown | Sealed | Secret) and value != UNKNOWN_MARK


# RegisterTaskDefinition's ContainerDefinition, as botocore documents its members.
_CAPABILITIES = frozenset(
    [
        "ALL",
        "AUDIT_CONTROL",
        "AUDIT_WRITE",
        "BLOCK_SUSPEND",
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "IPC_LOCK",
        "IPC_OWNER",
        "KILL",
        "LEASE",
        "LINUX_IMMUTABLE",
        "MAC_ADMIN",
        "MAC_OVERRIDE",
        "MKNOD",
        "NET_ADMIN",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_CHROOT",
        "SYS_MODULE",
        "SYS_NICE",
        "SYS_PACCT",
        "SYS_PTRACE",
        "SYS_RAWIO",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "SYSLOG",
        "WAKE_ALARM",
    ]
)
_HEALTH: Mapping[str, tuple[int, int]] = {
    "interval": (5, 300),
    "timeout": (2, 60),
    "retries": (1, 10),
    "startPeriod": (0, 300),
}
_AWSLOGS = frozenset(
    [
        "awslogs-create-group",
        "awslogs-region",
        "awslogs-endpoint",
        "awslogs-group",
        "awslogs-stream-prefix",
        "awslogs-datetime-format",
        "awslogs-multiline-pattern",
        "awslogs-format",
        "mode",
        "max-buffer-size",
    ]
)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_PORT_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


def _containers(value: Any, path: str, found: Registration) -> Iterator[Finding]:
    yield from compare(value, request("ecs:RegisterTaskDefinition").members["containerDefinitions"], path)
    containers = [members_of(item) for item in items_of(revealed(value))]
    if isinstance(value, list) and not containers:
        yield Finding(path, "should define at least one container, got none")
    names = [str(container.get("name")) for container in containers]
    for index, container in enumerate(containers):
        at = f"{path}/{index}"
        for key in ("name", "image"):
            if key not in container:
                yield Finding(f"{at}/{key}", "is missing, and a container requires it")
        yield from _container(container, at, names)
        yield from _sizes(container, at, found)
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Finding(path, f"should name each container once, got {name!r} {names.count(name)} times")
    if containers and not any(container.get("essential", True) for container in containers):
        yield Finding(path, "should have an essential container, got none")


def _container(container: Mapping[str, Any], at: str, names: Sequence[str]) -> Iterator[Finding]:
    name, image = container.get("name"), container.get("image")
    if isinstance(name, str) and _known(name) and not _NAME.fullmatch(name):
        yield Finding(f"{at}/name", f"should be 1–255 letters, digits, hyphens or underscores, got {name!r}")
    if isinstance(image, str) and "@" in image:
        kind, _, digest = image.partition("@")[2].partition(":")
        if kind != "sha256" or not _DIGEST.fullmatch(digest):
            yield Finding(f"{at}/image", f"should end in @sha256: and 64 hexadecimal digits, got {image!r}")
    capabilities = members_of(members_of(container.get("linuxParameters")).get("capabilities"))
    for way in ("add", "drop"):
        for index, capability in enumerate(items_of(capabilities.get(way))):
            if _known(capability) and capability not in _CAPABILITIES:
                near = difflib.get_close_matches(str(capability).removeprefix("CAP_"), _CAPABILITIES, 1, 0.6)
                fix = f"did you mean `{near[0]}`?" if near else ""
                where = f"{at}/linuxParameters/capabilities/{way}/{index}"
                yield Finding(where, f"is no capability that ECS knows, got {capability!r}", fix)
    health = members_of(container.get("healthCheck"))
    for key, (low, high) in _HEALTH.items():
        if isinstance(health.get(key), int) and not low <= health[key] <= high:
            yield Finding(f"{at}/healthCheck/{key}", f"should be {low}–{high}, got {health[key]}")
    first = next(iter(items_of(health.get("command"))), None)
    if first is not None and first not in ("CMD", "CMD-SHELL", "NONE"):
        yield Finding(f"{at}/healthCheck/command/0", f"should be CMD, CMD-SHELL or NONE, got {first!r}")
    for index, mapped in enumerate(items_of(container.get("portMappings"))):
        port = members_of(mapped)
        for key in ("containerPort", "hostPort"):
            if isinstance(port.get(key), int) and not (0 if key == "hostPort" else 1) <= port[key] <= 65535:
                yield Finding(f"{at}/portMappings/{index}/{key}", f"should be 1–65535, got {port[key]}")
        label = port.get("name")
        if isinstance(label, str) and _known(label) and not _PORT_NAME.fullmatch(label):
            said = "should be at most 64 lower-case letters, digits, - or _, and not begin with -"
            yield Finding(f"{at}/portMappings/{index}/name", f"{said}, got {label!r}")
    for index, needed in enumerate(items_of(container.get("dependsOn"))):
        other = members_of(needed).get("containerName")
        if isinstance(other, str) and other not in names:
            yield Finding(f"{at}/dependsOn/{index}/containerName", f"should be a container of the task, got {other!r}")
    log = members_of(container.get("logConfiguration"))
    if log.get("logDriver") == "awslogs":
        for key in members_of(log.get("options")):
            if key not in _AWSLOGS:
                near = difflib.get_close_matches(key, _AWSLOGS, 1, 0.6)
                fix = f"did you mean `{near[0]}`?" if near else ""
                yield Finding(f"{at}/logConfiguration/options/{key}", "is no option of the driver awslogs", fix)


def _sizes(container: Mapping[str, Any], at: str, found: Registration) -> Iterator[Finding]:
    memory, soft = container.get("memory"), container.get("memoryReservation")
    for key, value in (("memory", memory), ("memoryReservation", soft)):
        if isinstance(value, int) and value < 6:
            yield Finding(f"{at}/{key}", f"should be at least 6 MiB, got {value}")
    if isinstance(memory, int) and isinstance(soft, int) and soft > memory:
        yield Finding(f"{at}/memoryReservation", f"should be at most memory, {memory}, got {soft}")
    if memory is None and soft is None and found.inputs.get("memory") is None:
        yield Finding(f"{at}/memory", "is missing, and so is memoryReservation and the task's own memory")
    fargate = "FARGATE" in items_of(found.inputs.get("requiresCompatibilities"))
    stop = container.get("stopTimeout")
    if fargate and isinstance(stop, int) and not 0 <= stop <= 120:
        yield Finding(f"{at}/stopTimeout", f"should be 0–120 s on Fargate, got {stop}")


# AmazonECR/latest/userguide/lifecycle_policy_parameters.html
_RULE: Mapping[str, Sequence[str]] = {
    "rule": ("rulePriority", "description", "selection", "action"),
    "selection": (
        "tagStatus",
        "tagPrefixList",
        "tagPatternList",
        "storageClass",
        "countType",
        "countUnit",
        "countNumber",
    ),
    "action": ("type", "targetStorageClass"),
}
_CHOICES: Mapping[str, Sequence[str]] = {
    "tagStatus": ("tagged", "untagged", "any"),
    "countType": ("imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"),
    "countUnit": ("days",),
    "storageClass": ("standard", "archive"),
    "type": ("expire", "transition"),
    "targetStorageClass": ("archive",),
}


def _lifecycle(value: Any, path: str, _found: Registration) -> Iterator[Finding]:
    document = members_of(value)
    yield from _keys(document, ("rules",), path)
    rules = sequence(document.get("rules"))
    if rules is None:
        yield Finding(f"{path}/rules", "is missing, and a lifecycle policy requires it")
        return
    priorities: list[Any] = []
    for index, item in enumerate(rules):
        at, rule = f"{path}/rules/{index}", members_of(item)
        yield from _keys(rule, _RULE["rule"], at)
        selection, action = members_of(rule.get("selection")), members_of(rule.get("action"))
        yield from _keys(selection, _RULE["selection"], f"{at}/selection")
        yield from _keys(action, _RULE["action"], f"{at}/action")
        for part, needs in ((rule, ("rulePriority", "selection", "action")), (action, ("type",))):
            for key in needs:
                if key not in part:
                    yield Finding(f"{at}{'/action' if part is action else ''}/{key}", "is missing, and ECR requires it")
        yield from _selection(selection, f"{at}/selection")
        priority = rule.get("rulePriority")
        if priority is not None and (not isinstance(priority, int) or priority < 1):
            yield Finding(f"{at}/rulePriority", f"should be a whole number from 1 on, got {priority!r}")
        if priority in priorities:
            yield Finding(f"{at}/rulePriority", f"should be there once in a policy, got {priority!r} again")
        priorities.append(priority)
        for part, name in ((selection, "selection"), (action, "action")):
            for key, choices in _CHOICES.items():
                if key in part and _known(part[key]) and part[key] not in choices:
                    yield Finding(f"{at}/{name}/{key}", f"should be one of {', '.join(choices)}, got {part[key]!r}")


def _selection(selection: Mapping[str, Any], at: str) -> Iterator[Finding]:
    for key in ("tagStatus", "countType", "countNumber"):
        if key not in selection:
            yield Finding(f"{at}/{key}", "is missing, and ECR requires it")
    count = selection.get("countNumber")
    if count is not None and _known(count) and (not isinstance(count, int) or count < 1):
        yield Finding(f"{at}/countNumber", f"should be a whole number from 1 on, got {count!r}")
    tagged = selection.get("tagStatus") == "tagged"
    lists = [key for key in ("tagPrefixList", "tagPatternList") if selection.get(key)]
    if tagged and len(lists) != 1:
        yield Finding(
            f"{at}/tagStatus", "should come with tagPrefixList or tagPatternList, and not both, where it is tagged"
        )
    if not tagged and lists:
        yield Finding(f"{at}/{lists[0]}", f"should be left out where tagStatus is {selection.get('tagStatus')}")
    days = str(selection.get("countType")).startswith("since")
    if days != ("countUnit" in selection):
        said = "is missing, and" if days else "should be left out where"
        yield Finding(f"{at}/countUnit", f"{said} {selection.get('countType')} {'requires it' if days else 'counts'}")


def _keys(part: Mapping[str, Any], known: Sequence[str], at: str) -> Iterator[Finding]:
    for key in part:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.6)
            yield Finding(
                f"{at}/{key}", "is no key of a lifecycle policy", f"did you mean `{near[0]}`?" if near else ""
            )


def _policy(value: Any, path: str, _found: Registration) -> Iterator[Finding]:
    yield from aws_policy.check(value, path, attached="identity")


def _trust(value: Any, path: str, _found: Registration) -> Iterator[Finding]:
    yield from aws_policy.check(value, path, attached="trust")


def _resource_policy(value: Any, path: str, _found: Registration) -> Iterator[Finding]:
    yield from aws_policy.check(value, path, attached="resource")


def _repository_policy(value: Any, path: str, _found: Registration) -> Iterator[Finding]:
    yield from aws_policy.check(value, path, attached="repository")


def _pattern(value: Any, path: str, _found: Registration) -> Iterator[Finding]:
    if mapping(value) is None and not has_unknown(value):
        yield Finding(path, f"should be an object, got {received(value, secret=False)}")


_DOCUMENTS: Mapping[str, Mapping[str, Reader]] = {
    "aws:ecs/taskDefinition:TaskDefinition": {"containerDefinitions": _containers},
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": {"policy": _lifecycle},
    "aws:ecr/repositoryPolicy:RepositoryPolicy": {"policy": _repository_policy},
    "aws:ecr/registryPolicy:RegistryPolicy": {"policy": _resource_policy},
    "aws:ecr/repositoryCreationTemplate:RepositoryCreationTemplate": {
        "lifecyclePolicy": _lifecycle,
        "repositoryPolicy": _repository_policy,
    },
    "aws:efs/fileSystemPolicy:FileSystemPolicy": {"policy": _resource_policy},
    "aws:ec2/vpcEndpoint:VpcEndpoint": {"policy": _resource_policy},
    "aws:iam/policy:Policy": {"policy": _policy},
    "aws:iam/role:Role": {"assumeRolePolicy": _trust, "inlinePolicies/policy": _policy},
    "aws:iam/rolePolicy:RolePolicy": {"policy": _policy},
    "aws:kms/key:Key": {"policy": _resource_policy},
    "aws:kms/keyPolicy:KeyPolicy": {"policy": _resource_policy},
    "aws:s3/bucket:Bucket": {"policy": _resource_policy},
    "aws:s3/bucketPolicy:BucketPolicy": {"policy": _resource_policy},
    "aws:secretsmanager/secret:Secret": {"policy": _resource_policy},
    "aws:secretsmanager/secretPolicy:SecretPolicy": {"policy": _resource_policy},
    "aws:sns/topic:Topic": {"policy": _resource_policy},
    "aws:sns/topicPolicy:TopicPolicy": {"policy": _resource_policy},
    "aws:cloudwatch/eventRule:EventRule": {"eventPattern": _pattern},
}
