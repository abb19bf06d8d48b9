"""Whether a service's containers fit into a task definition, counted as they are sent to ECS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from planning.aws.definition import Definition, container_definitions
from planning.aws.model import AwsService, Variant
from settings.problems import Problem

LIMIT = 65_536
"""Bytes. API ecs RegisterTaskDefinition: "Actual length: '66420'. Max allowed length is '65536' bytes."; the quota
"Task definition size limit" is 64 KiB and cannot be raised."""
AROUND = 1024
"""Bytes that are kept for the family, the roles, the volumes, and what ECS fills in."""
IMAGE_LENGTH = 255
"""Characters. ECS: "Container.image should be 255 characters or less" (terraform-provider-aws#22629)."""
_ARN = 128
"""Characters at least that the ARN of a secret's version may have; its own name comes on top."""


def definition_problems(service: AwsService, region: str) -> Iterable[Problem]:
    """A problem for each variant that ECS would not register."""
    at = f"services/{service.name}"
    for variant in service.variants:
        where = f"{at}/canary" if variant.canary else at
        image = _image(variant, region)
        if len(image) > IMAGE_LENGTH:
            yield Problem(
                f"{where}/image",
                f"has {len(image)} characters with its registry and digest; ECS takes {IMAGE_LENGTH}",
                "give the repository a shorter name",
            )
        size = definition_size(service, variant, region)
        if size > LIMIT - AROUND:
            largest = ", ".join(f"{what} {_bytes(part)}" for what, part in _parts(service, variant)[:3])
            yield Problem(
                where,
                f"its task definition has {_bytes(size + AROUND)}; ECS takes {LIMIT:,}. The most of it is {largest}",
                "put large files into the image, and long or many values into one file of it or into S3",
            )


def definition_size(service: AwsService, variant: Variant, region: str) -> int:
    """Bytes of the containers as JSON. What only AWS knows counts as long as it may become."""
    containers = container_definitions(
        Definition(
            service=service,
            variant=variant,
            image=_image(variant, region),
            region=region,
            log_group="x" * (len(service.name) + 8),
            secrets={
                **{name: "x" * (_ARN + len(key)) for name, key in service.secrets.items()},
                **service.existing_secrets,
            },
            login="x" * _ARN if variant.image.login is not None else None,
        )
    )
    return len(json.dumps(containers, separators=(",", ":"), ensure_ascii=False).encode())


def _image(variant: Variant, region: str) -> str:
    image = variant.image
    if image.repository is None:
        return image.reference or ""
    return f"123456789012.dkr.ecr.{region}.amazonaws.com/{image.repository}@{image.digest or ''}"


def _parts(service: AwsService, variant: Variant) -> Sequence[tuple[str, int]]:
    """What people can make smaller → its bytes, the most first."""
    env = [(f"env/{name}", len(f"{name}{value}".encode())) for name, value in variant.env.items()]
    files = [(f"files{file.path}", len(file.content.encode())) for file in service.files]
    parts = [
        _summed("env", env),
        _summed("files", files),
        ("secrets", (_ARN + 20) * (len(service.secrets) + len(service.existing_secrets))),
        ("command", sum(len(word.encode()) for word in service.settings.command or ())),
    ]
    return sorted((part for part in parts if part[1]), key=lambda part: (-part[1], part[0]))


def _summed(what: str, parts: Sequence[tuple[str, int]]) -> tuple[str, int]:
    """All of a kind; by the name of one where that is more than half of it."""
    total = sum(size for _, size in parts)
    name, largest = max(parts, key=lambda part: part[1], default=(what, 0))
    if 2 * largest > total:
        return name, largest
    return f"{what} ({len(parts)})", total


def _bytes(size: int) -> str:
    return f"{size:,} bytes"
