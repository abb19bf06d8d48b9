"""Where ECS pulls an image from."""

from __future__ import annotations

import re

from planning.aws.model import AwsImage
from settings.stack import Stack
from settings.types import DOCKER_HUB, parse_image, registry_host

_ECR = re.compile(r"([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")


def image(reference: str, stack: Stack) -> AwsImage:
    """How the stack gets an image: from its own registry, through its cache, from another account, or as it is."""
    parts = parse_image(reference)
    host = registry_host(parts.repository)
    repository = parts.repository if host is None else parts.repository.removeprefix(f"{host}/")
    own = stack.registry
    if own is not None and host is None and repository in own.repositories:
        return AwsImage(reference=None, repository=repository, digest=parts.digest)
    hub = host is None or host in DOCKER_HUB
    for prefix, cache in sorted(own.cache.items()) if own is not None else ():
        if cache.upstream == host or (hub and cache.upstream in DOCKER_HUB):
            path = f"library/{repository}" if hub and "/" not in repository else repository
            return AwsImage(reference=None, repository=f"{prefix}/{path}", digest=parts.digest, cached=True)
    found = _ECR.fullmatch(host or "")
    if found is not None:
        account, region = found.groups()
        partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
        arn = f"arn:{partition}:ecr:{region}:{account}:repository/{repository}"
        return AwsImage(reference=str(parts), repository=None, digest=parts.digest, pull_from=arn)
    names = DOCKER_HUB if hub else {host}
    login = next((name for name in sorted(stack.registries) if name in names), None)
    return AwsImage(reference=str(parts), repository=None, digest=parts.digest, login=login)
