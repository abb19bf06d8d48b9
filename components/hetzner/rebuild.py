"""What has to hold before a server is rebuilt: one an `up`, and drained by an earlier one (decisions.md 15)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_command as command

from components.docker.connection import Connection, Jump

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationsArgs:
    hosts: Mapping[str, int]
    """Host → its generation, of all servers."""


class Generations(pulumi.ComponentResource):
    """A Command that fails when the generations of two hosts change at once. It remembers them by its output.

    Every server depends on it, so that none is touched then. Refuses nothing before: a preview cannot know.
    """

    resource: pulumi.Resource

    def __init__(self, name: str, args: GenerationsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:hetzner:Generations", name, None, opts)
        lines = (f"{host} {generation}" for host, generation in sorted(args.hosts.items()))
        self.resource = _command(name, "generations", {"QUAYSIDE_GENERATIONS": "\n".join(lines)}, self, ())
        self.register_outputs({})


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildArgs:
    """How a host is asked whether it is drained, and Hetzner whether it has another."""

    identity: pulumi.Input[str]
    """`DeployKey.identity`."""
    jump: Jump | None = None
    stack: str
    """`Naming.key`, the label of the stack's containers."""
    down: bool
    generations: Generations
    token: pulumi.Input[str] | None = None
    """Hetzner's, to ask with; None: HCLOUD_TOKEN's, where it is set."""


def drained(
    name: str,
    generation: int,
    machine: tuple[str, str],
    args: RebuildArgs,
    connection: Connection,
    parent: pulumi.Resource,
) -> pulumi.Resource:
    """A Command that fails where the generation changed and something runs on the host that could run elsewhere, or
    Hetzner has no other one of this type and location (``machine``).

    The server depends on it. What has its data on the host is no reason: its disk goes to the new machine. A host that
    an earlier `up` knew to be down is not asked.
    """
    environment: dict[str, pulumi.Input[str]] = {
        "QUAYSIDE_HOST": name,
        "QUAYSIDE_TYPE": machine[0],
        "QUAYSIDE_LOCATION": machine[1],
        "QUAYSIDE_GENERATION": str(generation),
        "QUAYSIDE_DOWN": "1" if args.down else "0",
        "QUAYSIDE_STACK": args.stack,
        "QUAYSIDE_OPTIONS": connection.options,
        "QUAYSIDE_DESTINATION": connection.destination,
    }
    if args.token is not None:
        environment["HCLOUD_TOKEN"] = pulumi.Output.secret(args.token)
    return _command(f"{name}-rebuild", "rebuild", environment, parent, [args.generations.resource])


def _command(
    name: str,
    script: str,
    environment: Mapping[str, pulumi.Input[str]],
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
) -> command.local.Command:
    return command.local.Command(
        name,
        # Pulumi prints the command of a failed step before its message, so the script is not in it.
        create='exec sh -c "$QUAYSIDE_SCRIPT"',
        interpreter=["/bin/sh", "-c"],
        # What it prints is for the next run, and no news to anybody.
        logging=command.local.Logging.STDERR,
        environment={"QUAYSIDE_SCRIPT": (_FOLDER / f"{script}.sh").read_text(), **environment},
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(after)),
    )
