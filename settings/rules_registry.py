"""What holds for the registry on every host: who may have one, what it needs, and which images may come from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from settings.capacity import AwsCapacity
from settings.problems import Problem
from settings.service import Service
from settings.stack import LocalRegistry, Stack
from settings.types import LOCAL_REGISTRY, parse_image, registry_host

AT = "quayside:registry/local"
NAME = "registry"
"""Of its container and network, which no service can have beside it."""
PORT = int(LOCAL_REGISTRY.rpartition(":")[2])
HOST_IMAGE = "registry:3.1.1@sha256:849b7d29920d060df8091770ede2279c07924ecd29e2a4c029ee0b5ea2ea542b"
INSTANCE_IMAGE = "public.ecr.aws/docker/library/registry:3"
"""Docker Hub counts pulls by address, and all instances behind one NAT gateway have the same."""
_ECR = re.compile(r"[0-9]{12}\.dkr[.-]ecr\..*")


def keys(stack: Stack) -> Mapping[str, str]:
    """Setting → the key under `secrets` that it names."""
    local = stack.registry.local if stack.registry else None
    named = {"access_key": local.access_key, "secret_key": local.secret_key} if local else {}
    return {setting: key for setting, key in named.items() if key is not None}


def check(stack: Stack, services: Mapping[str, Service], cloud: str) -> Iterator[Problem]:
    local = stack.registry.local if stack.registry else None
    if local is not None and cloud == "local":
        fix = f"remove it; to pull from the bucket, run a registry on {LOCAL_REGISTRY} yourself (docs/hosts.md)"
        yield Problem(AT, "is for fleets and for AWS, and this stack is local", fix)
    elif local is not None and cloud == "aws":
        yield from _on_instances(stack, local, services)
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
    if local.image is not None and is_own(local.image):
        fix = "name it in another registry, such as registry:3 of Docker Hub"
        yield Problem(f"{AT}/image", "cannot come from the registry that it is to run", fix)


def _on_instances(stack: Stack, local: LocalRegistry, services: Mapping[str, Service]) -> Iterator[Problem]:
    instances = stack.capacity.instances if isinstance(stack.capacity, AwsCapacity) else None
    if instances is None:
        fix = "set quayside:capacity: {instances: {types: [m7g.large], max: 4}}, or remove it"
        yield Problem(AT, "is for instances, and this stack has no pool of them", fix)
    for key in ("endpoint", "access_key", "secret_key"):
        if getattr(local, key) is not None:
            # User data is no place for a key: all that runs on an instance may read it.
            what = "is for fleets of hosts: instances read a bucket of S3, with the role that they have"
            yield Problem(f"{AT}/{key}", what, f"remove {key}")
    closed = stack.network.nat == "none"
    if closed and local.region is not None and local.region != stack.region:
        what = f"{local.region} cannot be reached with nat: none, whose way to S3 is that of {stack.region} alone"
        yield Problem(f"{AT}/region", what, "name a bucket of this region, or set quayside:network: {nat: one}")
    yield from _instance_image(
        stack, local, baked=not closed or (instances is not None and instances.image is not None)
    )
    for name, service in services.items():
        if service.network == "host" and service.on == "ec2" and service.port == PORT:
            yield Problem(f"services/{name}/port", f"{PORT} is the port of {AT} on every instance", "choose another")


def _instance_image(stack: Stack, local: LocalRegistry, *, baked: bool) -> Iterator[Problem]:
    image, at = instance_image(local), f"{AT}/image"
    parts = parse_image(image)
    host = registry_host(parts.repository)
    repositories = stack.registry.repositories if stack.registry else ()
    if is_own(image):
        yield Problem(
            at, "cannot come from the registry that it is to run", f"remove it: unset, it is {INSTANCE_IMAGE}"
        )
    elif (host is not None and _ECR.fullmatch(host)) or parts.repository in repositories:
        what = f"cannot be pulled: ECR asks for a login, which instances have none of; got {parts.repository}"
        yield Problem(at, what, f"name it in a public registry, or remove it: unset, it is {INSTANCE_IMAGE}")
    elif not baked:
        what = f"cannot be pulled with nat: none, got {parts.repository}"
        fix = "bake it into a machine image and name that in quayside:capacity/instances/image (docs/aws.md), "
        yield Problem(at, what, f"{fix}or set quayside:network: {{nat: one}}")
    if re.search(r"(^|/)registry:2(\.|-|$)", f"{parts.repository}:{parts.tag or ''}"):
        # Its SDK of AWS asks for credentials in the way that instances here refuse (distribution#3437).
        what = f"should be of version 3, got {image}: version 2 cannot take on the role of an instance"
        yield Problem(at, what, f"remove it: unset, it is {INSTANCE_IMAGE}")


def _beside(stack: Stack, services: Mapping[str, Service]) -> Iterator[Problem]:
    if NAME in services:
        yield Problem(f"services/{NAME}", f"is the name of what {AT} runs on every host", "rename the service")
    if stack.edge.image is not None and is_own(stack.edge.image):
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
    hosts = "instances" if cloud == "aws" else "hosts"
    for name, service in services.items():
        images = [("image", service.image), *([("canary/image", service.canary.image)] if service.canary else [])]
        for key, image in images:
            if not is_local(image):
                continue
            host, at = registry_host(image), f"services/{name}/{key}"
            if cloud == "aws" and service.on == "fargate":
                fix = "set on: ec2, or name it under quayside:registry/repositories or in a registry that it can reach"
                yield Problem(at, f"comes from {host}, and a task on Fargate has no instance that runs one", fix)
            elif declared and host == LOCAL_REGISTRY:
                continue
            elif declared:
                what = f"comes from {host}, and {hosts} have their registry on {LOCAL_REGISTRY}"
                yield Problem(at, what, "write that")
            else:
                where = "bucket: …" if cloud == "aws" else "bucket: …, endpoint: …"
                fix = f"set quayside:registry: {{local: {{{where}}}}}, or name another registry"
                yield Problem(at, f"comes from {host}, and no registry runs on the {hosts}", fix)


def is_local(image: str) -> bool:
    """Whether it comes from a registry of the machine that pulls it."""
    return re.fullmatch(r"localhost(:.*)?|127\..*", registry_host(image) or "") is not None


def is_own(image: str) -> bool:
    """Whether it comes from the registry of its own host."""
    return registry_host(image) == LOCAL_REGISTRY


def instance_image(local: LocalRegistry) -> str:
    """The registry's own image on an instance."""
    return local.image or INSTANCE_IMAGE
