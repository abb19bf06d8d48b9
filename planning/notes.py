"""What works, on every cloud, and is probably not what was meant: told in a preview, and refused by nobody."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from planning.routes import service_routes
from settings.service import Service
from settings.stack import Stack
from settings.types import parse_image

_GRPC_PORT = 50051
"""What gRPC's own examples listen on."""


def notes(stack: Stack) -> Sequence[str]:
    return [*_same_volume(stack.services), *_grpc(stack)]


def _same_volume(services: Mapping[str, Service]) -> Iterator[str]:
    """Compose shares what has one name. Here each service has data of its own."""
    owners: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, service in sorted(services.items()):
        if service.volume is not None:
            owners[parse_image(service.image).repository, service.volume.path].append(name)
    for (image, path), names in owners.items():
        if len(names) > 1:
            yield (
                f"services/{names[0]}/volume: {', '.join(names)} run {image}, and each has a volume of its own at "
                f"{path}: none sees the files of another. Where they are to share files, let one of them keep those, "
                "or an object store"
            )


def _grpc(stack: Stack) -> Iterator[str]:
    for name, service in sorted(stack.services.items()):
        words = re.split("[^a-z0-9]+", f"{name} {parse_image(service.image).repository}")
        if service_routes(name, service, stack.domain) and (service.port == _GRPC_PORT or "grpc" in words):
            yield (
                f"services/{name}/protocol: it looks like gRPC, and a route asks it by HTTP/1.1 alone, so that calls "
                "and health checks fail. Between services of the stack, protocol: tcp carries gRPC"
            )
