"""What the images of a laptop are: their tags may be built anew at any time, and an id says which build is meant."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from settings.stack import Stack
from settings.types import parse_image

_LONGEST = 10
"""Seconds that the engine may take. One that does not answer has other troubles, and `up` tells of them."""


def builds(stack: Stack) -> Mapping[str, str]:
    """Image as the stack names it → its id, of those that the engine has. Without an engine there are none."""
    services = stack.services.values()
    named = {service.image for service in services} | {service.canary.image for service in services if service.canary}
    tagged = sorted(image for image in named if parse_image(image).digest is None)
    if not tagged:
        return {}
    command = ["docker", "image", "inspect", "--format", "{{.Id}}{{range .RepoTags}} {{.}}{{end}}", *tagged]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    ids = {tag: words[0] for line in found.stdout.splitlines() for words in [line.split()] for tag in words[1:]}
    return {image: ids[tag] for image in tagged if (tag := familiar(image)) in ids}


def familiar(image: str) -> str:
    """A name as Docker lists it: without its own registry, and with a tag."""
    parts = parse_image(image)
    repository = parts.repository
    for prefix in ("docker.io/", "index.docker.io/", "library/"):
        repository = repository.removeprefix(prefix)
    return f"{repository}:{parts.tag or 'latest'}"
