"""The VPC's layout, derived from the letters of its zones alone.

Each of the letters a–h owns an eighth of the range, whichever zones are in use, so that no subnet moves or overlaps
when a zone comes or goes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

from planning.aws.model import NetworkPlan, Zone
from planning.aws.tasks import capacity_of, network_mode
from settings.problems import ConfigError, Problem
from settings.stack import Stack

LETTERS = "abcdefgh"

# Regions in which an account's zones are other than a, b and c. Where they differ between accounts (us-west-1), the
# commonest; `zones: [b, c]` says it otherwise.
_ZONES = {"ap-northeast-1": "acd", "ca-central-1": "abd", "us-west-1": "ac"}


def zone_letters(region: str, zones: int | Sequence[str]) -> Sequence[str]:
    """Letters as written, or the first so many that accounts have in this region."""
    if not isinstance(zones, int):
        return tuple(zones)
    known = _ZONES.get(region, "abc")
    if zones > len(known):
        problem = Problem(
            "quayside:capacity/zones",
            f"{region} gives an account {len(known)} zones, got {zones}",
            f"set zones to {len(known)}",
        )
        raise ConfigError([problem])
    return tuple(known[:zones])


def network(stack: Stack) -> NetworkPlan:
    """The VPC of a stack. Raises ConfigError where the region has too few zones."""
    capacity = capacity_of(stack)
    region = stack.region or ""
    letters = zone_letters(region, capacity.zones)
    return NetworkPlan(
        range=stack.network.range,
        zones=[_zone(stack.network.range, region, letter) for letter in letters],
        nat=_nat(stack.network.nat, letters),
        endpoints=_endpoints(stack, pool=capacity.instances is not None) if stack.network.nat == "none" else (),
        flow_logs=None if stack.network.flow_logs is None else stack.network.flow_logs // 86400,
    )


def _zone(vpc: str, region: str, letter: str) -> Zone:
    """The lower half of the zone's eighth is private; the first quarter of the upper half is public."""
    whole = ipaddress.IPv4Network(vpc)
    eighth = list(whole.subnets(prefixlen_diff=3))[LETTERS.index(letter)]
    lower, upper = eighth.subnets(prefixlen_diff=1)
    public = next(upper.subnets(prefixlen_diff=2))
    return Zone(letter=letter, name=f"{region}{letter}", public=str(public), private=str(lower))


def _nat(nat: str, letters: Sequence[str]) -> Mapping[str, str]:
    """With one gateway it is in the zone that is written first, so that a zone added behind it moves nothing."""
    if nat == "none":
        return {}
    return {letter: letter if nat == "per-zone" else letters[0] for letter in letters}


def _endpoints(stack: Stack, *, pool: bool) -> Sequence[str]:
    """What ECS itself needs where nothing leads to the internet (AWS: "Amazon ECS interface VPC endpoints").

    Not among them: kms, since Secrets Manager and ECR decrypt on their own side; elasticfilesystem, since the mount
    targets are in the VPC and their names resolve there.
    """
    services = stack.services.values()
    used = {name for service in services for name in service.uses}
    connected = any(
        service.on == "fargate" and network_mode(service) == "awsvpc" and (service.uses or name in used)
        for name, service in stack.services.items()
    )
    found = ["ecr.api", "ecr.dkr", "logs", "secretsmanager"]
    if pool:
        found += ["ecs", "ecs-agent", "ecs-telemetry"]
    elif connected:
        # Service Connect's proxies on Fargate get their configuration there.
        found += ["ecs-agent"]
    if any(service.exec for service in services):
        # Sessions are encrypted with the stack's own key, by the agent in the task.
        found += ["kms", "ssmmessages"]
    if any(secret.split(":")[2:3] == ["ssm"] for service in services for secret in service.secrets.values()):
        found += ["ssm"]
    return tuple(found)
