"""What holds for the registry on every host: who may have one, what it needs, and which images may come from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from settings.problems import Problem
from settings.service import Service
from settings.stack import LocalRegistry, Stack
from settings.types import LOCAL_REGISTRY, registry_host

AT = "quayside:registry/local"
NAME = "registry"
"""Of its container and network, which no service can have beside it."""
PORT = int(LOCAL_REGISTRY.rpartition(":")[2])


def keys(stack: Stack) -> Mapping[str, str]:
    """Setting → the key under `secrets` that it names."""
    local = stack.registry.local if stack.registry else None
    named = {"access_key": local.access_key, "secret_key": local.secret_key} if local else {}
    return {setting: key for setting, key in named.items() if key is not None}


def check(stack: Stack, services: Mapping[str, Service], cloud: str) -> Iterator[Problem]:
    local = stack.registry.local if stack.registry else None
    if local is not None and cloud == "local":
        fix = f"remove it; to pull from the bucket, run a registry on {LOCAL_REGISTRY} yourself (docs/hosts.md)"
        yield Problem(AT, "is for fleets of hosts, and this stack is local", fix)
    elif local is not None and cloud == "aws":
        fix = "remove it, and name the images under registry/repositories: ECR has no server to keep alive either"
        yield Problem(AT, "is for fleets of hosts: instances run no registry of their own yet", fix)
    elif local is not None:
        yield from _settings(local)
        yield from _beside(stack, services)
    # On a laptop, its owner may run one there.
    if cloud != "local":
        yield from _images(services, cloud, declared=local is not None)


def _settings(local: LocalRegistry) -> Iterator[Problem]:
    if local.endpoint is None and local.region is None:
        fix = "set region to the bucket's; or endpoint, where it is not at AWS"
        yield Problem(f"{AT}/region", "is missing: a bucket at AWS is asked for in its region", fix)
    for key in ("access_key", "secret_key"):
        if getattr(local, key) is None:
            fix = "name a key under the stack's secrets, of one that may list and read the bucket and nothing else"
            yield Problem(f"{AT}/{key}", "is missing: hosts have no role that opens the bucket", fix)
    if is_own(local.image):
        fix = "name it in another registry, such as registry:3 of Docker Hub"
        yield Problem(f"{AT}/image", "cannot come from the registry that it is to run", fix)


def _beside(stack: Stack, services: Mapping[str, Service]) -> Iterator[Problem]:
    if NAME in services:
        yield Problem(f"services/{NAME}", f"is the name of what {AT} runs on every host", "rename the service")
    if is_own(stack.edge.image):
        fix = "name it in another registry"
        yield Problem("quayside:edge/image", f"cannot come from {LOCAL_REGISTRY}: edges wait for no registry", fix)
    for key, port in (("http", stack.edge.http), ("https", stack.edge.https)):
        if port == PORT:
            yield Problem(f"quayside:edge/{key}", f"{PORT} is the port of {AT}", "choose another")
    for name, service in services.items():
        for number, port in enumerate(service.ports):
            if port.port == PORT and port.protocol == "tcp":
                at = f"services/{name}/ports/{number}/port"
                yield Problem(at, f"tcp {PORT} is the port of {AT}", "publish another port")


def _images(services: Mapping[str, Service], cloud: str, *, declared: bool) -> Iterator[Problem]:
    for name, service in services.items():
        images = [("image", service.image), *([("canary/image", service.canary.image)] if service.canary else [])]
        for key, image in images:
            host = registry_host(image)
            if host is None or not re.fullmatch(r"localhost(:.*)?|127\..*", host):
                continue
            if declared and host == LOCAL_REGISTRY:
                continue
            at = f"services/{name}/{key}"
            if declared:
                yield Problem(at, f"comes from {host}, and hosts have their registry on {LOCAL_REGISTRY}", "write that")
            elif cloud == "aws":
                fix = "name it under quayside:registry/repositories, or in a registry that instances can reach"
                yield Problem(at, f"comes from {host}, and no registry runs on an instance", fix)
            else:
                fix = "set quayside:registry: {local: {bucket: …, endpoint: …}}, or name another registry"
                yield Problem(at, f"comes from {host}, and no registry runs on the hosts", fix)


def is_own(image: str) -> bool:
    """Whether it comes from the registry of its own host."""
    return registry_host(image) == LOCAL_REGISTRY
