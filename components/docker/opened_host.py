"""A host that lets a burst's hosts reach its edge, for as long as they are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components.docker.prepared_host import PreparedHostArgs, environment


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedHostArgs:
    host: PreparedHostArgs
    """Its `script` opens it, run by its root."""
    closing: pulumi.Input[str]
    """Script that takes back what `script` did, and that alone."""
    after: Sequence[pulumi.Resource]


class OpenedHost(pulumi.ComponentResource):
    """Opens a host's packet filter to addresses that only a burst makes known.

    When they change, the host is opened to the new ones first and closed to the old ones last, at the end of the `up`:
    who leaves is drained meanwhile. So this is replaced, which a Command's `triggers` do, and its `delete` has to leave
    alone what another one opened (decisions.md 6 is about deletes that do not).
    """

    resource: pulumi.Resource

    def __init__(self, name: str, args: OpenedHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:OpenedHost", name, None, opts)
        self.resource = command.local.Command(
            f"{name}-open",
            create='exec sh -c "$QUAYSIDE_PREPARE"',
            # Whoever has the server by then: what is taken back is this stack's.
            delete='printf %s "$QUAYSIDE_CLOSING" | QUAYSIDE_OWNER= sh -c "$QUAYSIDE_PREPARE"',
            stdin=args.host.script,
            triggers=[args.host.script],
            interpreter=["/bin/sh", "-c"],
            environment={**environment(args.host), "QUAYSIDE_CLOSING": args.closing},
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after), delete_before_replace=False),
        )
        self.register_outputs({})
