"""Spread placement groups: no two of a group's servers on one physical machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_hcloud as hcloud

from components.hetzner.ids import labels, number

MOST = 10
"""Servers that a spread group can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementGroupsArgs:
    hosts: Sequence[str]
    """In the fleet's order."""
    labels: Mapping[str, str]


class PlacementGroups(pulumi.ComponentResource):
    """One group for every ten hosts. Without hosts, makes none.

    A host is in the group it was made in until it is rebuilt: to move it would mean to power it off, so hosts ignore
    changes of their group.
    """

    ids: Mapping[str, pulumi.Output[int]]
    """Host → its group."""

    def __init__(self, name: str, args: PlacementGroupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:hetzner:PlacementGroups", name, None, opts)
        groups = [
            hcloud.PlacementGroup(
                name if index == 0 else f"{name}-{index + 1}",
                type="spread",
                labels=labels(args.labels),
                opts=pulumi.ResourceOptions(parent=self),
            )
            for index in range(-(-len(args.hosts) // MOST))
        ]
        self.ids = {host: number(groups[index // MOST].id) for index, host in enumerate(args.hosts)}
        self.register_outputs({"ids": self.ids})
