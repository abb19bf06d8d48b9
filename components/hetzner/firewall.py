"""Hetzner's own firewall in front of the servers' public addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_hcloud as hcloud

from components.hetzner.ids import labels, number, selector
from components.rules import Rule, as_range

MOST_RULES = 50
"""Rules that one firewall can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallArgs:
    rules: Sequence[Rule] | pulumi.Output[Sequence[Rule]]
    """Known later where the plan makes them of addresses."""
    labels: Mapping[str, str]
    applies_to: Mapping[str, str] | None = None
    """Labels of the servers it is put on, whenever they come. None: servers name it when they are made."""
    overlaps: bool = False
    """Changed rules are those of another firewall, which is there before this one goes, at the end of the `up`."""


class Firewall(pulumi.ComponentResource):
    """Lets in what its rules name; everything that goes out may. It filters public addresses, not the private network.

    Servers take it in `firewall_ids` when they are made: attached afterwards, it would come after their first boot.
    One that depends on droplets has to say `applies_to` instead, so that no server waits for a droplet that fails to
    come up (decisions.md 19). Rules are changed in place, unless it says `overlaps`. Refuses more than 50 rules.
    """

    id: pulumi.Output[int]
    resource: pulumi.Resource

    def __init__(self, name: str, args: FirewallArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:hetzner:Firewall", name, None, opts)
        firewall = hcloud.Firewall(
            name,
            rules=args.rules.apply(_rendered) if isinstance(args.rules, pulumi.Output) else _rendered(args.rules),
            apply_tos=None
            if args.applies_to is None
            else [hcloud.FirewallApplyToArgs(label_selector=selector(args.applies_to))],
            labels=labels(args.labels),
            opts=pulumi.ResourceOptions(
                parent=self,
                replace_on_changes=["rules"] if args.overlaps else None,
                delete_before_replace=False if args.overlaps else None,
            ),
        )
        self.resource = firewall
        self.id = number(firewall.id)
        self.register_outputs({"id": self.id})


def _rendered(rules: Sequence[Rule]) -> list[hcloud.FirewallRuleArgs]:
    if len(rules) > MOST_RULES:
        raise ValueError(f"rules should be at most {MOST_RULES}, got {len(rules)}")
    return [
        hcloud.FirewallRuleArgs(
            direction="in",
            protocol=rule.protocol,
            port=rule.ports,
            source_ips=[pulumi.Output.from_input(source).apply(as_range) for source in rule.sources],
            description=rule.why[:255],
        )
        for rule in rules
    ]
