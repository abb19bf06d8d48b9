"""Where ECS pulls an image from."""

from __future__ import annotations

import re

from planning.aws.model import AwsImage
from settings.stack import Stack
from settings.types import ImageReference, parse_image

_ECR = re.compile(r"([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
"""Names of Docker Hub: the last is ECR's; images without a host come from there."""


def image(reference: str, stack: Stack) -> AwsImage:
    """How the stack gets an image: from its own registry, through its cache, from another account, or as it is."""
    parts = parse_image(reference)
    host, repository = split(parts)
    own = stack.registry
    if own is not None and host is None and repository in own.repositories:
        return AwsImage(reference=None, repository=repository, digest=parts.digest)
    hub = host is None or host in _HUB
    for prefix, cache in sorted(own.cache.items()) if own is not None else ():
        if cache.upstream == host or (hub and cache.upstream in _HUB):
            path = f"library/{repository}" if hub and "/" not in repository else repository
            return AwsImage(reference=None, repository=f"{prefix}/{path}", digest=parts.digest, cached=True)
    found = _ECR.fullmatch(host or "")
    if found is not None:
        account, region = found.groups()
        partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
        arn = f"arn:{partition}:ecr:{region}:{account}:repository/{repository}"
        return AwsImage(reference=str(parts), repository=None, digest=parts.digest, pull_from=arn)
    names = _HUB if hub else {host}
    login = next((name for name in sorted(stack.registries) if name in names), None)
    return AwsImage(reference=str(parts), repository=None, digest=parts.digest, login=login)


def split(reference: ImageReference) -> tuple[str | None, str]:
    """The host of an image, if it names one, and its repository there."""
    first, slash, rest = reference.repository.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    return (first, rest) if is_host else (None, reference.repository)
