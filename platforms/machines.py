"""A fleet's machines, whoever makes them, as the rest of a fleet needs them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.docker.connection import Connection, Jump
from components.rules import Rule
from planning.hosts.entry import admission, authorized_keys, comment_of
from planning.hosts.hostfiles import host_files
from planning.hosts.hung import hung_files
from planning.hosts.model import FleetSecurity, Host
from planning.hosts.packetfilter import host_filter
from planning.hosts.prepare import cloud_init, kept, prepare_script
from planning.hosts.security import Addresses, Admitted, ssh_ranges
from planning.names import Naming
from settings.stack import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    host: Host
    address: pulumi.Output[str]
    """Public IPv4 address: where SSH and other edges reach it, and what it comes from."""
    connection: Connection
    id: pulumi.Output[str] | None = None
    """Of what the program makes: another one after a rebuild. None: an existing server."""
    resource: pulumi.Resource | None = None
    """What everything on it is deleted with. None: an existing server."""

    def bound(self) -> Sequence[pulumi.ResourceTransformation]:
        """For the options of components: what holds for every resource on this host, however deep."""
        return [self._transformed]

    def placed(self, anchor: pulumi.Resource, data: str | None = None) -> Sequence[pulumi.ResourceTransformation]:
        """Likewise for what placement put there, which goes with the anchor (`HostRoom.placed`).

        ``data`` is the volume that does not, protected or not: a host that is down keeps it, and it is not forgotten.
        """

        def transformed(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
            if not args.type_.startswith(("docker:", "command:")):
                return None
            opts = pulumi.ResourceOptions.merge(None, args.opts)
            kept = args.type_ == "docker:index/volume:Volume" and args.name == data
            opts.deleted_with = anchor if not kept else None
            return pulumi.ResourceTransformationResult(args.props, opts)

        return [transformed]

    def _transformed(self, args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.startswith(("docker:", "command:")):
            return None
        opts = pulumi.ResourceOptions.merge(None, args.opts)
        if self.resource is not None:
            # A rebuilt machine is empty. `replace_with` is for CLIs before 3.260 (facts.md).
            opts.deleted_with, opts.replace_with = opts.deleted_with or self.resource, [self.resource]
        if self.host.down:
            # No call goes there, now or when it leaves the program with what it is part of. Retained, it would be left
            # behind for good when the host is back and it is replaced: the engine goes by what the state says.
            opts.ignore_changes, opts.protect = ["*"], None
            opts.deleted_with = self.resource or opts.parent
        return pulumi.ResourceTransformationResult(args.props, opts)


def later(*resources: pulumi.Resource) -> pulumi.ResourceTransformation:
    """For the options of components: everything in them that may fail comes after these."""

    def transformed(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.startswith(("docker:", "command:", "digitalocean:", "pulumi:providers:")):
            return None
        after = pulumi.ResourceOptions(depends_on=list(resources))
        return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, after))

    return transformed


def rules_of(admitted: Iterable[Admitted]) -> Sequence[Rule]:
    return [_rule(one.protocol, one.first, one.last, one.sources, one.why) for one in admitted]


def _rule(protocol: str, first: int, last: int, sources: Sequence[pulumi.Input[str]], why: str) -> Rule:
    match protocol:
        case "tcp" | "udp" | "icmp":
            return Rule(protocol=protocol, first=first, last=last, sources=sources, why=why)
        case _:
            raise ValueError(f"a fleet's flows are tcp, udp or icmp, got {protocol} ({why})")


def mesh_rules(
    security: FleetSecurity, targets: Collection[str], addresses: Mapping[str, pulumi.Output[str]]
) -> Sequence[Rule]:
    """What the plan lets hosts of the fleet reach on ``targets``, by the addresses that are known."""
    members = security.members
    sources: dict[tuple[str, int, int], dict[str, None]] = {}
    whys: dict[tuple[str, int, int], dict[str, None]] = {}
    for one in security.flows:
        reached = set(targets) & set(members.get(one.target, ()))
        for name in members.get(one.source, ()) if reached else ():
            if name in addresses and reached != {name}:
                key = (one.protocol, one.first, one.last)
                sources.setdefault(key, {})[name] = None
                whys.setdefault(key, {})[one.why] = None
    return [
        _rule(*key, [addresses[name] for name in found], "; ".join(whys[key])) for key, found in sorted(sources.items())
    ]


def jump(stack: Stack) -> Jump | None:
    access = stack.access
    return Jump(access.jump, access.jump_host_key) if access.jump is not None else None


def script(
    stack: Stack, security: FleetSecurity, host: Host, addresses: Addresses, key: str, previous: str | None = None
) -> str:
    """What prepares a host, with the addresses that are known. ``key`` is the stack's own, public; ``previous`` the
    one that it replaces."""
    rules = host_filter(security, host.name, addresses)
    entry = admission(host.name, ssh_ranges(security, host)) + _keys(stack, [key], [previous] if previous else [])
    files = {**host_files(rules, subnets=stack.subnets, memory=host.total), **hung_files()}
    return kept(prepare_script(files, entry=entry))


def _keys(stack: Stack, own: Sequence[str], revoked: Sequence[str]) -> str:
    owner = Naming(project=stack.project, stack=stack.name).key
    lines = [*(f"{key} {comment_of(owner)}" for key in own), *stack.access.keys]
    return authorized_keys(owner, lines, revoked)


def cloud_config(stack: Stack, security: FleetSecurity, host: Host) -> str:
    """What a made machine begins with: closed to all but admins and visitors, until it is prepared with addresses."""
    files = host_files(host_filter(security, host.name, {}), subnets=stack.subnets, memory=host.total)
    # The stack's own key comes by the cloud.
    return cloud_init(files, entry=_keys(stack, [], []))
