"""Spread placement groups: no two of a group's servers on one physical machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_hcloud as hcloud

from components.hetzner.ids import labels, number

MOST = 10
"""Servers that a spread group can have (docs.hetzner.com/cloud/placement-groups/overview)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementGroupsArgs:
    hosts: Mapping[str, str]
    """Host → location, in the fleet's order."""
    labels: Mapping[str, str]


class PlacementGroups(pulumi.ComponentResource):
    """In each location, one group for every ten hosts. Without hosts, makes none.

    A host is in the group it was made in until it is rebuilt: to move it would mean to power it off, so hosts ignore
    changes of their group.
    """

    ids: Mapping[str, pulumi.Output[int]]
    """Host → its group."""

    def __init__(self, name: str, args: PlacementGroupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:hetzner:PlacementGroups", name, None, opts)
        found: dict[str, pulumi.Output[int]] = {}
        for location in dict.fromkeys(args.hosts.values()):
            hosts = [host for host, where in args.hosts.items() if where == location]
            for first in range(0, len(hosts), MOST):
                group = hcloud.PlacementGroup(
                    f"{name}-{location}-{first // MOST + 1}",
                    type="spread",
                    labels=labels(args.labels),
                    opts=pulumi.ResourceOptions(parent=self),
                )
                found.update(dict.fromkeys(hosts[first : first + MOST], number(group.id)))
        self.ids = {host: found[host] for host in args.hosts}
        self.register_outputs({"ids": self.ids})
