"""Who may reach whom: every flow that is let through, each with its cause. Everything else is refused.

DNS, time, DHCP, instance and task metadata need no flow: security groups do not filter them (AWS: "Control traffic to
your AWS resources using security groups"). Replies need none either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from planning.aws.model import S3, BalancerPlan, SecurityPlan
from planning.aws.registry import instance_registry
from planning.aws.tasks import capacity_of, network_mode
from planning.flows import WORLD, Flow, flow, merged, rows
from settings.problems import Problem
from settings.rules_registry import is_own
from settings.service import Egress, Service
from settings.stack import Stack
from settings.types import registry_host

INSTANCES = "instances"
ENDPOINTS = "endpoints"
DYNAMIC = (32768, 65535)
"""Host ports that Docker gives to tasks in bridge mode: the kernel's ephemeral range from 32768 on, or 49153–65535
where that is not known (ECS API: PortMapping.hostPort)."""


def security(stack: Stack, balancers: Sequence[BalancerPlan]) -> tuple[SecurityPlan, list[Problem]]:
    """The plan of every security group, and what cannot be kept to.

    A service's tasks have one group of their own (AWS allows five on an interface), or the instances' in bridge and
    host mode.
    """
    flows = merged([*_from_balancers(stack, balancers), *_from_services(stack), *_from_instances(stack)])
    groups = dict(_groups(stack, balancers))
    members = {
        name: (f"service-{name}",) if network_mode(service) == "awsvpc" else ()
        for name, service in sorted(stack.services.items())
    }
    plan = SecurityPlan(groups=groups, flows=flows, members=members)
    return plan, [*_check_egress(stack), *_check_size(plan, stack)]


def who(plan: SecurityPlan) -> list[dict[str, str]]:
    """The plan as a table for people."""
    return rows(plan.flows)


# --- what is let through ----------------------------------------------------------------------------------------------


def _has_pool(stack: Stack) -> bool:
    return capacity_of(stack).instances is not None


def _group(name: str, service: Service) -> str:
    return f"service-{name}" if network_mode(service) == "awsvpc" else INSTANCES


def _door(service: Service) -> int | tuple[int, int] | None:
    """The port or ports at which others find a service's tasks."""
    return DYNAMIC if service.port is not None and network_mode(service) == "bridge" else service.port


def _groups(stack: Stack, balancers: Sequence[BalancerPlan]) -> Iterator[tuple[str, str]]:
    for balancer in balancers:
        yield balancer.name, f"Load balancer {balancer.number}"
    for name, service in sorted(stack.services.items()):
        if network_mode(service) == "awsvpc":
            yield f"service-{name}", f"Tasks of {name}"
    if _has_pool(stack) or any(network_mode(service) != "awsvpc" for service in stack.services.values()):
        yield INSTANCES, "Instances of the pool, and tasks in bridge and host mode"
    if stack.network.nat == "none":
        yield ENDPOINTS, "Endpoints of AWS services in the VPC"
    for name, service in sorted(stack.services.items()):
        if service.volume is not None:
            yield f"data-{name}", f"Data of {name}"


def _from_balancers(stack: Stack, balancers: Sequence[BalancerPlan]) -> Iterator[Flow]:
    for balancer in balancers:
        for cidr in stack.balancer.allow if balancer.hosts else ():
            yield flow(cidr, balancer.name, 80, "HTTP, redirected to HTTPS")
            yield flow(cidr, balancer.name, 443, "HTTPS")
        for name in dict.fromkeys(group.service for group in balancer.target_groups):
            service = stack.services[name]
            door = _door(service)
            if door is not None:
                routed = any(rule.service == name for rule in balancer.rules)
                why = f"requests and health checks of {name}" if routed else f"health checks of {name}"
                yield flow(balancer.name, _group(name, service), door, why)


def _from_services(stack: Stack) -> Iterator[Flow]:
    for name, service in sorted(stack.services.items()):
        group = _group(name, service)
        for used in sorted(set(service.uses) & set(stack.services)):
            other = stack.services[used]
            door = _door(other)
            if door is not None:
                # In awsvpc mode, Service Connect's proxy takes requests at the container's own port.
                yield flow(group, _group(used, other), door, f"{name} uses {used}")
        if service.volume is not None:
            yield flow(group, f"data-{name}", 2049, f"data of {name}")
        if service.egress is None:
            yield flow(group, WORLD, 0, f"egress of {name} is unset: anything", "all")
        for egress in service.egress or ():
            ports = egress.port or (0, 65535)
            yield flow(group, egress.to, ports, f"egress of {name}", egress.protocol)
        if group == INSTANCES or stack.network.nat != "none":
            continue
        # Names of AWS's services lead to the endpoints here, and nothing else leads out.
        for what in _own_calls(service):
            yield flow(group, ENDPOINTS, 443, f"{what} of {name}")
            if what == _PULLS:
                yield flow(group, S3, 443, f"layers of {name} from ECR")
        if service.egress is None:
            yield flow(group, ENDPOINTS, 443, f"egress of {name} is unset: anything")


_PULLS = "image, logs and secrets"


def _own_calls(service: Service) -> Iterator[str]:
    """What ECS does through a task's own interface. On an instance, all but exec goes through the instance's."""
    if service.on == "fargate":
        yield _PULLS
    if service.exec:
        yield "exec sessions"


def _from_instances(stack: Stack) -> Iterator[Flow]:
    if not _has_pool(stack):
        return
    registry = instance_registry(stack)
    why = "ECS, images, logs and secrets"
    if stack.network.nat == "none":
        yield flow(INSTANCES, ENDPOINTS, 443, why)
        yield flow(INSTANCES, S3, 443, "layers from ECR, updates")
        if registry is not None:
            yield flow(INSTANCES, S3, 443, f"images of bucket {registry.bucket}")
        return
    yield flow(INSTANCES, WORLD, 443, why)
    if registry is not None:
        yield flow(INSTANCES, WORLD, 443, f"images of bucket {registry.bucket}")
        yield flow(INSTANCES, WORLD, _pull_port(registry.image), "image of the registry")
    for name, service in sorted(stack.services.items()):
        if service.on == "ec2":
            for port in sorted(pull_ports(service) - {443}):
                yield flow(INSTANCES, WORLD, port, f"image of {name}")


def pull_ports(service: Service) -> set[int]:
    """Ports of the registries elsewhere that a service's images come from."""
    references = [service.image, *([service.canary.image] if service.canary else [])]
    return {_pull_port(reference) for reference in references if not is_own(reference)}


def _pull_port(image: str) -> int:
    _, _, port = (registry_host(image) or "").partition(":")
    return int(port) if port else 443


# --- what cannot be kept to -------------------------------------------------------------------------------------------


def _check_egress(stack: Stack) -> Iterator[Problem]:
    for name, service in sorted(stack.services.items()):
        if service.egress is None:
            continue
        at = f"services/{name}/egress"
        if network_mode(service) != "awsvpc":
            yield Problem(
                at,
                f"cannot be kept to with network {service.network}: its tasks share the instances' group",
                "remove network, or egress",
            )
        elif stack.network.nat != "none":
            ports = {443} | (pull_ports(service) if service.on == "fargate" else set[int]())
            missing = [port for port in sorted(ports) if not _covers(service.egress, port)]
            calls = list(_own_calls(service))
            if calls and missing:
                needed = ", ".join(f"{{to: {WORLD}, port: {port}}}" for port in missing)
                yield Problem(
                    at,
                    f"cannot be kept to: {' and '.join(calls)} go through the task's own interface, to addresses of "
                    "AWS that are not fixed",
                    f"add {needed}; or set quayside:network/nat to none, which makes endpoints inside the VPC",
                )


def _covers(egress: Sequence[Egress], port: int) -> bool:
    return any(one.to == WORLD and one.protocol == "tcp" and one.port in {0, port} for one in egress)


def _check_size(plan: SecurityPlan, stack: Stack) -> Iterator[Problem]:
    most = stack.quotas.rules_per_security_group
    counts: Mapping[str, Counter[str]] = {
        "outbound": Counter(flow.source for flow in plan.flows),
        "inbound": Counter(flow.target for flow in plan.flows),
    }
    for way, counted in counts.items():
        for group, count in sorted(counted.items()):
            if group in plan.groups and count > most:
                less = ", or move services to another balancer" if group.startswith("balancer-") else ""
                yield Problem(
                    "quayside:quotas/rules_per_security_group",
                    f"security group {group} needs {count} {way} rules, and may have {most}",
                    f"have AWS raise the quota and set it to {count} or more{less}",
                )
