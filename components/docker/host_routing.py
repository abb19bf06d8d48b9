"""The routing of a fleet: every host accepts the new release, then every host switches, then every host forgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components.docker import scripts
from components.docker.connection import Connection

_RUN = 'exec sh -c "$QUAYSIDE_REACH" reach'
_RELEASE = f'{_RUN} "$QUAYSIDE_RELEASE"'
_LEAVE = f'{_RUN} "$QUAYSIDE_LEAVE"'


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRoutingArgs:
    """One host's part."""

    connection: Connection
    config: pulumi.Input[str]
    """The edge's whole configuration: a preview shows its diff."""
    files: pulumi.Input[Mapping[str, str]]
    """Name → content of every file that the configuration names. Made a secret whatever it is."""
    edge_name: pulumi.Input[str]
    edge_id: pulumi.Input[str]
    """Part of the inputs, so that a replaced edge is routed anew."""
    containers: Sequence[pulumi.Resource]
    """The host's edge and every container of the host: all are there before it accepts anything."""
    down: bool = False
    """Known to be dead: its steps stay in the program as they are, no call goes to it, and nobody waits for it."""
    machine: pulumi.Resource | None = None
    """The machine, where the program makes it: what goes with it needs no undoing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRoutingArgs:
    hosts: Mapping[str, HostRoutingArgs]
    network_prefix: str
    """Networks of this stack begin with it; edges leave those that no service has any more."""


class FleetRouting(pulumi.ComponentResource):
    """Brings every host's configuration into its edge, in steps that no host is ahead of by more than one.

    For each host four Commands, over an ssh connection each:

    - `files` lays down the certificates that the configuration names. They are a step of their own, since one secret
      makes all that a Command reads unreadable in a preview.
    - `accept` joins networks, serves the internal names and the gateway of both releases, and gates what is new on
      this host. It needs no other host, and what the public sees stays as it was.
    - `route` waits for `accept` on every host that is not down. It switches and drains; names and gateway backends of
      the old release stay, for hosts that have not switched yet.
    - `forget` waits for `route` on every host. It ends what only the old release had, and leaves its networks.

    None has `triggers` (decisions.md 6). Each has the output of the step before among its inputs, so that it runs
    whenever that one did: a change that was accepted on one host and failed on another, and was then taken back,
    would otherwise leave the first one with names that nobody needs. Old containers go only after all of it.
    """

    forgets: Mapping[str, command.local.Command]
    """Host → its last step."""
    done: Sequence[pulumi.Resource]
    """Those of hosts that are not down: what waits for these comes after the release."""

    def __init__(self, name: str, args: FleetRoutingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:FleetRouting", name, None, opts)
        steps = Steps(parent=self, network_prefix=args.network_prefix)
        living = [host for host, one in args.hosts.items() if not one.down]
        accepts = {host: steps.accept(host, one) for host, one in args.hosts.items()}
        accepted = [accepts[host] for host in living]
        routes = {
            host: steps.step("route", host, one, one.config, [accepts[host]], accepted)
            for host, one in args.hosts.items()
        }
        routed = [routes[host] for host in living]
        self.forgets = {
            host: steps.step("forget", host, one, one.config, [routes[host]], routed)
            for host, one in args.hosts.items()
        }
        self.done = [self.forgets[host] for host in living]
        self.register_outputs({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Makes the Commands of a routing: one a step and host."""

    parent: pulumi.Resource
    network_prefix: str
    formerly: pulumi.Resource | None = None
    """Parent that these steps once had."""

    def accept(self, host: str, args: HostRoutingArgs, after: Sequence[pulumi.Resource] = ()) -> command.local.Command:
        files = pulumi.Output.secret(pulumi.Output.from_input(args.files).apply(_laid_out))
        # Its own output would be as secret as its input, so nothing but the order ties the next step to it.
        laid = self.step("files", host, args, files, [], args.containers)
        return self.step("accept", host, args, args.config, [], [*args.containers, laid, *after])

    def step(
        self,
        phase: str,
        host: str,
        args: HostRoutingArgs,
        stdin: pulumi.Input[str],
        before: Sequence[command.local.Command],
        after: Sequence[pulumi.Resource],
    ) -> command.local.Command:
        """Runs again whenever one of those ``before`` it did; waits for those ``after`` which it comes."""
        environment: dict[str, pulumi.Input[str]] = {
            "QUAYSIDE_PHASE": phase,
            "QUAYSIDE_HOST": host,
            "QUAYSIDE_EDGE": args.edge_name,
            "QUAYSIDE_EDGE_ID": args.edge_id,
            "QUAYSIDE_PREFIX": self.network_prefix,
            "QUAYSIDE_OPTIONS": args.connection.options,
            "QUAYSIDE_DESTINATION": args.connection.destination,
            "QUAYSIDE_REACH": scripts.REACH,
            "QUAYSIDE_RELEASE": scripts.RELEASE,
            **scripts.PHASES[phase],
        }
        if phase == "accept":
            environment["QUAYSIDE_LEAVE"] = scripts.LEAVE
        if before:
            environment["QUAYSIDE_AFTER"] = pulumi.Output.concat(*(one.stdout for one in before))
        return command.local.Command(
            f"{host}-{phase}",
            # A host that is down before it was ever routed gets a step that does nothing, until it is up.
            # Pulumi prints the command of a failed step before its message, so the scripts are not in it.
            create="true" if args.down else _RELEASE,
            delete=_LEAVE if phase == "accept" else None,
            stdin=stdin,
            interpreter=["/bin/sh", "-c"],
            environment=environment,
            opts=pulumi.ResourceOptions(
                parent=self.parent,
                aliases=[pulumi.Alias(parent=self.formerly)] if self.formerly is not None else None,
                depends_on=[*after, *(before if not args.down else [])],
                delete_before_replace=True,
                ignore_changes=["*"] if args.down else None,
                deleted_with=args.machine,
            ),
        )


def _laid_out(files: Mapping[str, str]) -> str:
    return "".join(f"#: put {name}\n{content.strip()}\n" for name, content in sorted(files.items()))
