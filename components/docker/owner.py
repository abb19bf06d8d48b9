"""What a stack writes on its servers, so that no other one takes them over without knowing."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_command as command


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerArgs:
    project: str
    stack: str


class Owner(pulumi.ComponentResource):
    """A mark, `PROJECT/STACK ID`. Its id is drawn once and remembered by the state, since names can be used twice: by a
    second state of the same program, or after a state was lost. Refuses nothing: the host's step does."""

    mark: pulumi.Output[str]

    def __init__(self, name: str, args: OwnerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:Owner", name, None, opts)
        drawn = command.local.Command(
            name,
            create="od -An -N6 -tx1 /dev/urandom | tr -d ' \\n'",
            interpreter=["/bin/sh", "-c"],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.mark = pulumi.Output.concat(args.project, "/", args.stack, " ", drawn.stdout)
        self.register_outputs({"mark": self.mark})
