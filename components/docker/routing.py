"""The routing of one host: gate → switch → drain in a single Command (facts.md 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components.docker import scripts


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingArgs:
    config: pulumi.Input[str]
    """The edge's whole configuration: a preview shows its diff."""
    edge_name: pulumi.Input[str]
    edge_id: pulumi.Input[str]
    """Part of the inputs, so that a replaced edge is routed anew."""
    network_prefix: str
    """This stack's networks begin with it, no other's do; the edge leaves those that no service has any more."""


class Routing(pulumi.ComponentResource):
    """Brings a configuration into the edge, once every new replica is healthy.

    It depends on every container, and old containers depend on nothing: so the engine creates the new ones, runs this,
    and deletes the old ones only when it succeeded. A Command that failed is not stored and runs again. It must never
    get `triggers`: with them its old `delete` runs after the new `create`, and undoes it (decisions.md 6).
    """

    report: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        args: RoutingArgs,
        depends_on: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("quayside:docker:Routing", name, None, opts)
        run = command.local.Command(
            name,
            # Pulumi prints the command of a failed step before its message, so the scripts are not in it.
            create='exec sh -c "$QUAYSIDE_RELEASE"',
            delete='exec sh -c "$QUAYSIDE_LEAVE"',
            stdin=args.config,
            interpreter=["/bin/sh", "-c"],
            environment={
                "QUAYSIDE_EDGE": args.edge_name,
                "QUAYSIDE_EDGE_ID": args.edge_id,
                "QUAYSIDE_PREFIX": args.network_prefix,
                "QUAYSIDE_RELEASE": scripts.RELEASE,
                "QUAYSIDE_LEAVE": scripts.LEAVE,
                **scripts.WHOLE,
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(depends_on), delete_before_replace=True),
        )
        self.report = run.stdout
        self.register_outputs({"report": self.report})
