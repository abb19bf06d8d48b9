"""What is allowed on AWS and should be known: printed by every preview, each with the key that says otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from planning.aws import capacity, tasks
from planning.aws.model import NetworkPlan, Pool
from settings.service import Service
from settings.stack import Stack

# US dollars a month, list prices of eu-central-1, as in "What it costs" of docs/aws.md.
ENDPOINT = 9
"""An interface endpoint in one zone."""
NAT = 38
"""A NAT gateway."""


def notes(stack: Stack, network: NetworkPlan, pool: Pool | None, fit: capacity.Fit | None) -> Iterator[str]:
    """First those of the stack, then those of each service, by name."""
    yield from _paid(network, pool, fit)
    for name, service in sorted(stack.services.items()):
        yield from _of_service(name, service, pool, fit)


def _paid(network: NetworkPlan, pool: Pool | None, fit: capacity.Fit | None) -> Iterator[str]:
    """What costs more than one thinks."""
    if network.endpoints:
        count, zones = len(network.endpoints), len(network.zones)
        yield (
            f"quayside:network/nat: none makes {count} endpoints in each of {zones} zones, about "
            f"{count * zones * ENDPOINT} US dollars a month; one NAT gateway (nat: one) is about {NAT}. It is for "
            "stacks that must not reach the internet, not for saving"
        )
    if pool is not None and fit is not None and fit.rows and fit.rows[0].instances < pool.min:
        needed = fit.rows[0].instances
        yield (
            f"quayside:capacity/instances/min: {pool.min} instances are paid for all the time, and the minimum load "
            f"needs {needed} (Capacity fit). The rest is room for releases and for the loss of a zone; with min: "
            f"{needed} these wait until an instance has started"
        )


def _of_service(name: str, service: Service, pool: Pool | None, fit: capacity.Fit | None) -> Iterator[str]:
    at = f"services/{name}"
    if (service.port is None or service.protocol == "tcp") and service.health.command is None:
        # API ecs DeploymentConfiguration.minimumHealthyPercent: without a check, a task counts as healthy 40 s after it
        # is running. No balancer of ours speaks TCP, and none asks a worker.
        yield f"{at}/health: there is no command, so on aws a task counts as healthy when it has run for 40 seconds"
    for number, permission in enumerate(service.permissions):
        if not permission.resources or permission.reason is not None:
            where = ", ".join(permission.resources) or "every resource"
            why = f": {permission.reason}" if permission.reason is not None else ""
            yield f"{at}/permissions/{number}: {', '.join(permission.actions)} on {where}{why}"
    if service.volume is not None and fit is not None:
        loads = [row.load for row in fit.rows if name in dict(row.stuck)]
        if loads:
            yield (
                f"{at}/volume: it does not start under {'; '.join(loads)} (Capacity fit), and no other replica serves "
                f"then; a larger {capacity.MAX} makes room, and {at}/on: fargate needs none"
            )
    if service.volume is not None and service.on == "ec2" and pool is not None and pool.spot:
        yield (
            f"{at}/volume: {pool.spot} % of the instances above min are spot, and AWS takes those back at two minutes' "
            f"notice; it then stops before it starts elsewhere. {at}/on: fargate keeps to capacity that stays"
        )
    if service.network == "host":
        # Neither the hop limit nor the agent's block covers the instance's own network (ECScape, 2025).
        yield f"{at}/network: host reaches the instance's metadata and with it the role that takes tasks from ECS"
    if tasks.network_mode(service) != "awsvpc" and service.egress is None:
        yield (
            f"{at}/egress: is unset, and with network {service.network} it is the instances' own group that is opened: "
            "all that runs in it may reach anything"
        )
    if service.sticky is not None and service.rollout is not None and service.rollout.strategy != "rolling":
        yield (
            f"{at}/sticky: in a {service.rollout.strategy} rollout visitors stay with the old version, past the switch "
            f"as well, until its tasks end with `bake`; {at}/canary is a share that lasts"
        )
