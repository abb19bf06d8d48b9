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
    """The machine, where the program makes it, or what stands for one that is down: what goes with it needs no
    undoing."""


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

    def __init__(self, name: str, args: FleetRoutingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:FleetRouting", name, None, opts)
        self._prefix = args.network_prefix
        living = [host for host, one in args.hosts.items() if not one.down]
        accepts = {host: self._accept(host, one) for host, one in args.hosts.items()}
        accepted = [accepts[host] for host in living]
        routes = {
            host: self._step("route", host, one, accepts[host], one.config, accepted)
            for host, one in args.hosts.items()
        }
        routed = [routes[host] for host in living]
        for host, one in args.hosts.items():
            self._step("forget", host, one, routes[host], one.config, routed)
        self.register_outputs({})

    def _accept(self, host: str, args: HostRoutingArgs) -> command.local.Command:
        files = pulumi.Output.secret(pulumi.Output.from_input(args.files).apply(_laid_out))
        # Its own output would be as secret as its input, so nothing but the order ties the next step to it.
        laid = self._step("files", host, args, None, files, args.containers)
        return self._step("accept", host, args, None, args.config, [*args.containers, laid])

    def _step(
        self,
        phase: str,
        host: str,
        args: HostRoutingArgs,
        before: command.local.Command | None,
        stdin: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
    ) -> command.local.Command:
        environment: dict[str, pulumi.Input[str]] = {
            "QUAYSIDE_PHASE": phase,
            "QUAYSIDE_HOST": host,
            "QUAYSIDE_EDGE": args.edge_name,
            "QUAYSIDE_EDGE_ID": args.edge_id,
            "QUAYSIDE_PREFIX": self._prefix,
            "QUAYSIDE_OPTIONS": args.connection.options,
            "QUAYSIDE_DESTINATION": args.connection.destination,
            "QUAYSIDE_REACH": scripts.REACH,
            "QUAYSIDE_RELEASE": scripts.RELEASE,
            **scripts.PHASES[phase],
        }
        if phase == "accept":
            environment["QUAYSIDE_LEAVE"] = scripts.LEAVE
        if before is not None:
            environment["QUAYSIDE_AFTER"] = before.stdout
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
                parent=self,
                depends_on=[*after, *([before] if before is not None and not args.down else [])],
                delete_before_replace=True,
                ignore_changes=["*"] if args.down else None,
                deleted_with=args.machine,
            ),
        )


def _laid_out(files: Mapping[str, str]) -> str:
    return "".join(f"#: put {name}\n{content.strip()}\n" for name, content in sorted(files.items()))
