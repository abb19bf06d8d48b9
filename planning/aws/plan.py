"""The whole plan of a stack on AWS, or every reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from planning import placement, references, routes
from planning.aws import capacity, fargate, tasks
from planning.aws.balancers import balancers
from planning.aws.definition_size import definition_problems
from planning.aws.images import image
from planning.aws.model import (
    AwsPlan,
    AwsService,
    BalancerPlan,
    Connect,
    Pool,
    Scaling,
    Schedule,
    SecurityPlan,
    Variant,
)
from planning.aws.network import network
from planning.aws.notes import notes
from planning.aws.policy_size import policy_problems
from planning.aws.registry import instance_registry
from planning.aws.schedule import aws_cron
from planning.aws.security import security
from planning.collect import collect
from planning.order import creation_order
from planning.rendering import Rendered, render
from settings.problems import ConfigError, Problem
from settings.service import Autoscale, Service
from settings.stack import Stack
from settings.units import GIB, MIB

CPU_TARGET = 70
"""Percent of CPU aimed at by a service that has two bounds and says nothing of when to move between them."""


def plan(stack: Stack, sources: Mapping[str, str]) -> AwsPlan:
    """Decide everything about a stack on AWS. Raises ConfigError with every problem at once.

    ``sources`` is the text of every file that the services' ``files`` name.
    """
    problems: list[Problem] = []
    services = stack.services
    problems += references.check_uses(services)
    problems += routes.check_routes(routes.table(services, stack.domain))
    order = collect(problems, lambda: _order(services), ())
    rendered = {name: render(name, stack, sources, problems) for name in sorted(services)}
    if problems:
        # What follows would stumble over the same, and tell it again in other words.
        raise ConfigError(sorted(problems))
    pool = _pool(stack, problems)
    behind, found = balancers(stack)
    problems += found
    guarded, found = security(stack, behind)
    problems += found
    built = {name: _service(name, stack, rendered[name], behind, guarded, pool, problems) for name in sorted(services)}
    for service in built.values():
        problems += definition_problems(service, stack.region or "")
        problems += policy_problems(service)
    fit = None
    if pool is not None:
        fit = _fit(stack, pool, built.values())
        problems += fit.problems
    if problems:
        raise ConfigError(sorted(set(problems)))
    return AwsPlan(
        region=stack.region or "",
        network=network(stack),
        pool=pool,
        balancers=behind,
        security=guarded,
        services={name: built[name] for name in order},
        secrets=sorted({key for service in built.values() for key in service.secrets.values()}),
        logins=sorted({v.image.login for s in built.values() for v in s.variants if v.image.login is not None}),
        repositories=sorted(stack.registry.repositories) if stack.registry else (),
        fit=fit,
        notes=list(notes(stack, network(stack), pool, fit)),
    )


def _order(services: Mapping[str, Service]) -> Sequence[str]:
    """Those that a service uses, or comes after, stand before it.

    Running tasks do not see a Service Connect name that appears later (decisions.md 25), so `uses` decides here, too.
    """
    return creation_order(
        {name: [n for n in {*service.after, *service.uses} if n in services] for name, service in services.items()},
        lambda name, other: "uses" if other in services[name].uses else "after",
        "on aws a service is created after those it uses or comes after: take one of these away, "
        "or let one of them reach the other by its public route",
    )


def _pool(stack: Stack, problems: list[Problem]) -> Pool | None:
    instances = tasks.capacity_of(stack).instances
    if instances is None:
        return None
    types, found = capacity.resolve(instances.types)
    problems += found
    return Pool(
        types=[kind.name for kind in types],
        architecture=types[0].architecture if types else "amd64",
        min=instances.min,
        max=instances.max,
        spot=instances.spot,
        generation=instances.generation,
        image=instances.image,
        disk=-(-instances.disk // GIB),
        trunking=instances.trunking,
        registry=instance_registry(stack),
    )


def _service(
    name: str,
    stack: Stack,
    rendered: Rendered,
    behind: Sequence[BalancerPlan],
    guarded: SecurityPlan,
    pool: Pool | None,
    problems: list[Problem],
) -> AwsService:
    service = rendered.settings
    used = any(name in other.uses for other in stack.services.values())
    connect = None
    if used or service.uses:
        http = service.protocol == "http"
        port = None if not used else 80 if http else service.port
        connect = Connect(port=port, http=http, client=bool(service.uses))
    cpu, memory = tasks.asked(service, connect is not None)
    if service.on == "fargate":
        size = fargate.size(cpu / 1024, memory * MIB)
        if size is None:
            problems.append(fargate.problem(f"services/{name}", cpu / 1024, memory * MIB))
        else:
            cpu, memory = size.cpu, size.memory
    # On Fargate, too: one image does not change what it is built for when its service moves between the two.
    architecture: Literal["amd64", "arm64"] = "amd64" if pool is None else pool.architecture
    groups = {g.role: g for b in behind for g in b.target_groups if g.service == name}
    rules = [rule for b in behind for rule in b.rules if rule.service == name]
    native = next((rule for rule in rules if rule.native), None)
    canary = groups.get("canary")
    primary = groups.get("primary")
    scaling = _scaling(name, service.replicas, problems) if isinstance(service.replicas, Autoscale) else None
    variants = [
        Variant(
            name=name,
            image=image(service.image, stack),
            env=rendered.env,
            replicas=placement.replica_count(service),
            target_group=primary.name if primary else None,
            scaling=scaling,
        )
    ]
    if service.canary is not None:
        variants.append(
            Variant(
                name=f"{name}-canary",
                image=image(service.canary.image, stack),
                env={**rendered.env, **rendered.canary_env},
                replicas=placement.canary_count(service),
                target_group=canary.name if canary else None,
                scaling=_canary_scaling(scaling, service.canary.share) if scaling else None,
                canary=True,
            )
        )
    alternate = groups.get("alternate")
    return AwsService(
        name=name,
        settings=service,
        variants=variants,
        files=rendered.files,
        balancer=service.balancer if primary else None,
        alternate=alternate.name if alternate else None,
        rule=native.name if native else None,
        connect=connect,
        network=tasks.network_mode(service),
        architecture=service.architecture or architecture,
        cpu=cpu,
        memory=memory,
        providers=tasks.providers(service, stack),
        groups=guarded.members.get(name, ()),
        uses={
            other: references.attributes(other, stack.services[other]).get("address", other)
            for other in sorted(service.uses)
        },
        secrets={env: key for env, key in sorted(service.secrets.items()) if not key.startswith("arn:")},
        existing_secrets={env: key for env, key in sorted(service.secrets.items()) if key.startswith("arn:")},
        urls=[f"https://{route.host}{route.path}" for route in routes.service_routes(name, service, stack.domain)],
    )


def _scaling(name: str, replicas: Autoscale, problems: list[Problem]) -> Scaling:
    schedule: list[Schedule] = []
    for index, entry in enumerate(replicas.schedule):
        try:
            cron = aws_cron(entry.cron)
        except ValueError as error:
            problems.append(
                Problem(f"services/{name}/replicas/schedule/{index}/cron", str(error), "for example 0 18 * * FRI")
            )
            continue
        schedule.append(
            Schedule(
                # Named by when, not by its place in the list: taking the first away must not rename the second.
                name=re.sub("[^A-Za-z0-9]+", "-", f"{entry.cron} {entry.timezone}".replace("*", "any")).strip("-"),
                cron=cron,
                timezone=entry.timezone,
                min=entry.min,
                max=max(entry.min, entry.max if entry.max is not None else replicas.max),
            )
        )
    aimless = replicas.cpu is None and replicas.memory is None and replicas.requests is None
    return Scaling(
        min=replicas.min,
        max=replicas.max,
        cpu=CPU_TARGET if aimless else replicas.cpu,
        memory=replicas.memory,
        requests=replicas.requests,
        schedule=schedule,
    )


def _canary_scaling(scaling: Scaling, share: int) -> Scaling:
    """As many canaries as the share is of the service's tasks, at its bounds as between them."""

    def part(tasks: int) -> int:
        return max(1, -(-tasks * share // 100))

    return replace(
        scaling,
        min=part(scaling.min),
        max=part(scaling.max),
        schedule=[replace(entry, min=part(entry.min), max=part(entry.max)) for entry in scaling.schedule],
    )


def _fit(stack: Stack, pool: Pool, services: Iterable[AwsService]) -> capacity.Fit:
    types, _ = capacity.resolve(pool.types)
    zones = tasks.capacity_of(stack).zones
    return capacity.fit(
        [load for service in services if not service.fargate for load in _loads(service)],
        capacity.Pool(
            types=types,
            min=pool.min,
            max=pool.max,
            spot=pool.spot,
            zones=zones if isinstance(zones, int) else len(zones),
            trunking=pool.trunking,
            surge=stack.surge,
            aside=pool.registry.memory if pool.registry is not None else 0,
        ),
    )


def _loads(service: AwsService) -> Iterable[capacity.TaskLoad]:
    settings = service.settings
    for variant in service.variants:
        least = most = variant.replicas
        if variant.scaling is not None:
            least = variant.scaling.min
            most = max([variant.scaling.max, *(entry.max for entry in variant.scaling.schedule)])
        yield capacity.TaskLoad(
            service=variant.name,
            of=service.name,
            cpu=service.cpu,
            memory=service.memory,
            proxy_cpu=capacity.SERVICE_CONNECT_CPU if service.connect else 0,
            proxy_memory=capacity.SERVICE_CONNECT_MEMORY if service.connect else 0,
            network=service.network,
            host_ports=(settings.port,) if service.network == "host" and settings.port is not None else (),
            minimum=least,
            maximum=most,
            minimum_surge=0 if service.stateful else least,
            maximum_surge=0 if service.stateful else most,
            stateful=service.stateful,
            architecture=settings.architecture,
        )
