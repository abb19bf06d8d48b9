"""What one setting means for another: rules that hold between keys, between services, and on each cloud."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from settings import rules_aws, rules_dns, rules_mounts, rules_registry
from settings.problems import Problem
from settings.service import Autoscale, Service
from settings.stack import Stack
from settings.types import nearest, parse_image, span

RESERVED = {"edge": "the proxy in front of every service has this name"}


def check(
    stack: Stack,
    services: Mapping[str, Service],
    secrets: Collection[str],
    cloud: str | None,
    written: Collection[str],
) -> list[Problem]:
    """Every problem. ``services`` are those of ``written`` that are well formed; ``cloud`` is None when not known."""
    problems = [
        Problem(f"services/{name}", "is a reserved name", f"rename it: {RESERVED[name]}")
        for name in services
        if name in RESERVED
    ]
    problems += _missing_secrets(services, stack, secrets)
    for name, service in services.items():
        at = f"services/{name}"
        problems += _service(at, service)
        problems += _arns(at, service, cloud)
        if cloud is not None:
            problems += _image(at, service, cloud)
            if cloud != "aws":
                problems += _docker(at, name, service, services, cloud)
    for host, registry in stack.registries.items():
        if registry.password not in secrets:
            problems.append(_missing_secret(f"quayside:registries/{host}/password", registry.password, stack, secrets))
    problems += _acme(stack, cloud)
    problems += rules_dns.check(stack, cloud)
    certificate = stack.edge.certificate
    if certificate is not None and cloud == "local":
        problems.append(
            Problem("quayside:edge/certificate", "is for fleets of hosts, and this stack is local", "remove it")
        )
    elif certificate is not None and certificate not in secrets:
        problems.append(_missing_secret("quayside:edge/certificate", certificate, stack, secrets))
    for key, value in rules_registry.keys(stack).items():
        if value not in secrets:
            problems.append(_missing_secret(f"quayside:registry/local/{key}", value, stack, secrets))
    for prefix, cache in (stack.registry.cache if stack.registry else {}).items():
        if cache.password is not None and cache.password not in secrets:
            at = f"quayside:registry/cache/{prefix}/password"
            problems.append(_missing_secret(at, cache.password, stack, secrets))
    if cloud is not None:
        problems += _cloud(stack, written, cloud)
        problems += rules_registry.check(stack, services, cloud)
        problems += rules_aws.on_aws(stack, services) if cloud == "aws" else rules_aws.elsewhere(stack, services, cloud)
    return problems


def _acme(stack: Stack, cloud: str | None) -> Iterator[Problem]:
    at = "quayside:edge/acme"
    if stack.edge.acme is None:
        return
    if cloud == "local":
        yield Problem(at, "is for fleets of hosts, and this stack is local", "remove it")
    elif stack.edge.certificate is not None:
        yield Problem(at, "cannot be combined with certificate", "remove one of the two: visitors are shown one")


def _service(at: str, service: Service) -> Iterator[Problem]:
    """What holds on every cloud."""
    for env in service.env:
        if env in service.secrets:
            yield Problem(
                f"{at}/env/{env}", "is also a secret, and there can be one", f"remove it from env or from {at}/secrets"
            )
    if service.canary is not None and service.rollout is not None:
        yield Problem(
            f"{at}/canary", "cannot be combined with rollout", "remove one of the two: both would own the weights"
        )
    for key, value in (("sticky", service.sticky), ("canary", service.canary)):
        if value is not None and service.port is None:
            yield Problem(f"{at}/{key}", "needs a port, for it is about requests", f"set port, or remove {key}")
        elif value is not None and service.protocol == "tcp":
            yield Problem(f"{at}/{key}", "is for protocol http only", f"remove {key}, or remove protocol: tcp")
    if service.routes and service.port is None:
        yield Problem(f"{at}/routes", "needs a port to send requests to", "set port, or remove routes")
    elif service.routes and service.protocol == "tcp":
        yield Problem(
            f"{at}/routes", "is for protocol http only", "remove routes; services in its stack reach it by name"
        )
    if service.port is None and "protocol" in service.model_fields_set and service.protocol == "tcp":
        yield Problem(f"{at}/protocol", "needs a port", "set port, or remove protocol")
    http = service.port is not None and service.protocol == "http"
    if service.health.path is not None and not http:
        what = "protocol tcp" if service.port is not None else "no port"
        yield Problem(
            f"{at}/health/path", f"cannot be asked of a service with {what}", "use health: {command: …}, or remove it"
        )
    if service.health.command is not None and http:
        yield Problem(
            f"{at}/health/command", "is for services without a port or with protocol tcp", "use health: /path"
        )
    if service.health.timeout > service.health.grace:
        yield Problem(
            f"{at}/health/timeout",
            f"should be at most grace, {span(service.health.grace)}, got {span(service.health.timeout)}",
        )
    if isinstance(service.replicas, Autoscale):
        yield from _schedule(f"{at}/replicas/schedule", service.replicas)
    for route in service.priority:
        if service.routes is not None and route not in service.routes:
            close = nearest(route, service.routes)
            yield Problem(
                f"{at}/priority/{route}", "is no route of this service", f"did you mean {close}?" if close else ""
            )
    yield from rules_mounts.check(at, service)
    if service.volume is None:
        return
    most = service.replicas.max if isinstance(service.replicas, Autoscale) else service.replicas
    if most > 1:
        yield Problem(
            f"{at}/replicas", f"should be 1 for a service with a volume, got {most}", "two would corrupt the data"
        )
    if service.canary is not None:
        yield Problem(f"{at}/canary", "cannot share the service's volume", "remove canary or volume")


def _schedule(at: str, replicas: Autoscale) -> Iterator[Problem]:
    """Two entries of one time would contradict each other, and have one name on AWS."""
    first: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(replicas.schedule):
        when = (" ".join(entry.cron.upper().split()), entry.timezone)
        if when in first:
            said = f'"{entry.cron}" ({entry.timezone}) is the time of {at}/{first[when]} already'
            yield Problem(f"{at}/{number}/cron", said, "keep one of the two")
        first.setdefault(when, number)


def _missing_secret(path: str, key: str, stack: Stack, secrets: Collection[str]) -> Problem:
    close = nearest(key, secrets)
    hint = f'; did you mean "{close}"?' if close else ""
    fix = f"pulumi config set --secret --path quayside:secrets.{key} --stack {stack.name}"
    if stack.cloud == "local":  # where there may be no CLI
        fix = f".venv/bin/quayside secret {key} --stack {stack.name}"
    return Problem(path, f'no secret "{key}" in this stack{hint}', fix)


def _missing_secrets(services: Mapping[str, Service], stack: Stack, secrets: Collection[str]) -> Iterator[Problem]:
    """One problem for each secret, however many services name it."""
    named: dict[str, list[str]] = {}
    for name, service in services.items():
        for env, key in service.secrets.items():
            if not key.startswith("arn:") and key not in secrets:
                named.setdefault(key, []).append(f"services/{name}/secrets/{env}")
    for key, places in named.items():
        problem = _missing_secret(places[0], key, stack, secrets)
        others = f" ({_and(places[1:])} name{'s' if len(places) == 2 else ''} it, too)" if len(places) > 1 else ""
        yield Problem(problem.path, f"{problem.message}{others}", problem.fix)


def _and(places: list[str]) -> str:
    shown = places if len(places) <= 6 else [*places[:5], f"{len(places) - 5} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _arns(at: str, service: Service, cloud: str | None) -> Iterator[Problem]:
    for env, key in service.secrets.items():
        if key.startswith("arn:") and cloud not in {"aws", None}:
            fix = "name a key under the stack's secrets"
            yield Problem(f"{at}/secrets/{env}", f"an ARN is for cloud aws, and this stack is {cloud}", fix)


def _image(at: str, service: Service, cloud: str) -> Iterator[Problem]:
    if cloud == "local":
        return
    images = [("image", service.image)]
    if service.canary is not None:
        images.append(("canary/image", service.canary.image))
    for key, image in images:
        reference = parse_image(image)
        if reference.digest is None:
            fix = f"write {reference.repository}@sha256:…, as `docker buildx imagetools inspect {image}` prints it; "
            fix += "a tag can move, a digest cannot"
            yield Problem(f"{at}/{key}", f'needs a digest outside local stacks, got "{image}"', fix)


def _docker(at: str, name: str, service: Service, services: Mapping[str, Service], cloud: str) -> Iterator[Problem]:
    where = "local stacks" if cloud == "local" else "Docker hosts"
    if service.rollout is not None:
        yield Problem(
            f"{at}/rollout", f"is for cloud aws; {where} release create-first behind a gate", "remove rollout"
        )
    if service.network in {"bridge", "awsvpc"}:
        yield Problem(f"{at}/network", f"should be own or host on {where}, got {service.network}", "remove network")
    if service.command is not None and "" in service.command:
        # terraform-provider-docker, resourceDockerContainerCreate: "values for command may not be empty".
        fix = "let a shell pass it: [sh, -c, 'exec redis-server --save \"\"']"
        yield Problem(f"{at}/command/{service.command.index('')}", f"is empty, which {where} cannot pass", fix)
    for key, given in (
        ("on", service.on != "ec2"),
        ("balancer", service.balancer != 1),
        ("priority", bool(service.priority)),
    ):
        if given:
            yield Problem(
                f"{at}/{key}",
                f"is for cloud aws, and this stack is {cloud}",
                f"remove {key}, or set it in the aws stack's file",
            )
    if cloud == "local":
        for key, given in (("place", service.place is not None), ("ports", bool(service.ports))):
            if given:
                yield Problem(f"{at}/{key}", "is for fleets of hosts, and this stack is local", f"remove {key}")
    if cloud == "hetzner" and service.volume is not None and service.place is None:
        yield Problem(
            f"{at}/place",
            "is missing: a service with a volume lives on one named host",
            "write place: NAME, a host of quayside:capacity such as host1",
        )
    if service.network != "host":
        return
    for key, given in (
        ("uses", bool(service.uses)),
        ("routes", bool(service.routes)),
        ("port", service.port is not None),
        ("sticky", service.sticky is not None),
    ):
        if given:
            fix = f"remove {key}, or remove network: host"
            yield Problem(f"{at}/{key}", "cannot be had with network host, which the edge has no part in", fix)
    for caller, other in services.items():
        if name in other.uses:
            yield Problem(
                f"services/{caller}/uses/{other.uses.index(name)}",
                f"{name} is on network host, where nobody can use it",
                f"remove network: host from {name}",
            )


def _cloud(stack: Stack, services: Collection[str], cloud: str) -> Iterator[Problem]:
    given = stack.model_fields_set
    if cloud != "local":
        if "domain" not in given:
            fix = f"pulumi config set quayside:domain example.com --stack {stack.name}"
            yield Problem("quayside:domain", "is missing", fix)
        elif "." not in stack.domain:
            yield Problem("quayside:domain", f'should be a domain such as example.com, got "{stack.domain}"')
        if stack.memory is not None:
            yield Problem(
                "quayside:memory", f"is for local stacks, and this stack is {cloud}", "say it in quayside:capacity"
            )
    if cloud == "local" and stack.capacity is not None:
        yield Problem(
            "quayside:capacity",
            "is not for local stacks, which run on this machine",
            "remove it; quayside:memory bounds a plan",
        )
    if cloud != "hetzner":
        for key in ("burst", "access", "traffic"):
            if key in given and getattr(stack, key):
                yield Problem(
                    f"quayside:{key}", f"is for fleets of hosts, and this stack is {cloud}", f"remove quayside:{key}"
                )
    if cloud == "aws" and "edge" in given:
        yield Problem(
            "quayside:edge", "is for Docker hosts; on aws the load balancer takes its place", "remove quayside:edge"
        )
    for number, name in enumerate(stack.burst.services if stack.burst else ()):
        if name not in services:
            close = nearest(name, services)
            fix = f'did you mean "{close}"?' if close else "remove it"
            yield Problem(f"quayside:burst/services/{number}", f'there is no service "{name}"', fix)
