"""DigitalOcean's own firewall in front of the droplets of a burst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_digitalocean as digitalocean

from components.rules import EVERYWHERE, Rule, as_range

MOST_RULES = 50
"""Rules that one firewall can have, both ways together."""
_OUTBOUND = ("tcp", "udp", "icmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallArgs:
    rules: Sequence[Rule] | pulumi.Output[Sequence[Rule]]
    """Known later where the plan makes them of addresses."""
    admins: Sequence[Rule] = ()
    """Rules of a firewall beside it. Changed ones are those of another firewall, and this one goes at the end of the
    `up`: who is not in the new ones is not locked out in the middle of it."""
    tag: str
    """Of all droplets that it protects: letters, digits, `:`, `-` and `_`."""


class Firewall(pulumi.ComponentResource):
    """Lets in what its rules name; everything that goes out may.

    It holds for whatever has its tag, so that it is there before the first droplet and from its first second on, and
    for more than the ten droplets that it could list. Without rules for what goes out, DigitalOcean lets nothing out.
    Refuses more rules than a firewall can have.
    """

    tag: pulumi.Output[str]
    """The tag that droplets have to have; known once it is there."""
    resource: pulumi.Resource
    """Droplets depend on it: no droplet is there before it."""

    def __init__(self, name: str, args: FirewallArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:digitalocean:Firewall", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        tag = digitalocean.Tag(name, name=args.tag, opts=child)
        firewall = digitalocean.Firewall(
            name,
            tags=[tag.name],
            inbound_rules=args.rules.apply(_inbound) if isinstance(args.rules, pulumi.Output) else _inbound(args.rules),
            outbound_rules=_outbound(),
            opts=child,
        )
        if args.admins:
            digitalocean.Firewall(
                f"{name}-access",
                tags=[tag.name],
                inbound_rules=_inbound(args.admins),
                outbound_rules=_outbound(),
                opts=pulumi.ResourceOptions(
                    parent=self, replace_on_changes=["inboundRules"], delete_before_replace=False
                ),
            )
        self.tag = tag.name
        self.resource = firewall
        self.register_outputs({"tag": self.tag})


def _outbound() -> list[digitalocean.FirewallOutboundRuleArgs]:
    return [
        digitalocean.FirewallOutboundRuleArgs(
            protocol=protocol,
            port_range=None if protocol == "icmp" else "1-65535",
            destination_addresses=list(EVERYWHERE),
        )
        for protocol in _OUTBOUND
    ]


def _inbound(rules: Sequence[Rule]) -> list[digitalocean.FirewallInboundRuleArgs]:
    most = MOST_RULES - len(_OUTBOUND)
    if len(rules) > most:
        raise ValueError(f"rules should be at most {most}, got {len(rules)}")
    return [
        digitalocean.FirewallInboundRuleArgs(
            protocol=rule.protocol,
            port_range=rule.ports,
            source_addresses=[pulumi.Output.from_input(source).apply(as_range) for source in rule.sources],
        )
        for rule in rules
    ]
