"""`up` and `down`: from whatever state the machine is in to a running stack, and back to nothing."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.console import Console

from planning.names import Naming
from quayside import containers, docker_engine, images, orphans, preflight, progress, pulumi_cli, status
from quayside.shell import CommandError, make

BY_PULUMI = "pulumi"
BY_REHEARSAL = "the rehearsal"
_BEFORE = {
    "up": "`.venv/bin/python -m rehearsal {stack}` previews it with no account",
    "destroy": "balancers, data and registries are protected, and go with all that is in them: keep a copy "
    "(docs/backups.md, On AWS), then first "
    "`pulumi config set quayside:protect false --stack {stack} && pulumi up --stack {stack}`",
}
"""Pulumi's command → what comes before it, where the stack is on AWS."""
_BEFORE_ON_HOSTS = {
    "up": "`python -m rehearsal {stack} --apply` does it where every server is there already",
    "destroy": "the data of services is protected: with `--exclude-protected` it stays; to delete it as well, first "
    "`pulumi config set quayside:protect false --stack {stack} && pulumi up --stack {stack}`",
}
SETTLE = 10.0
"""Seconds the closing table waits for health checks that have only just begun."""


@dataclass(frozen=True)
class Project:
    """Where the program is, and which of its stacks is meant."""

    root: Path
    name: str
    stack: str

    @property
    def key(self) -> str:
        """The value of the label that everything of the stack carries."""
        return Naming(project=self.name, stack=self.stack).key

    @property
    def state(self) -> Path:
        """The folder for all that is made here and not in git."""
        return self.root / ".quayside"

    @property
    def cloud(self) -> str:
        """What the stack's file says; the program itself checks it."""
        try:
            document: Any = yaml.safe_load((self.root / f"Pulumi.{self.stack}.yaml").read_text())
            return str(document["config"]["quayside:cloud"])
        except (OSError, yaml.YAMLError, KeyError, TypeError):
            return "local"

    @property
    def fleet(self) -> bool:
        """Whether the stack is on hosts of its own."""
        return self.cloud == "hetzner"

    @property
    def rehearsed(self) -> Any:
        """What the rehearsal has applied of it; None where it has nothing, and its state is Pulumi's affair."""
        state: Any = importlib.import_module("rehearsal").engine_state(self.stack, self.root)
        return None if state is None or state.empty else state

    def on_this_machine(self, goal: Literal["up", "destroy"]) -> None:
        """Refuse what `make` does only for a stack on this machine: a cloud's state belongs where the team keeps it."""
        if self.cloud == "aws":
            raise CommandError(
                f"stack {self.stack} is on AWS: run `pulumi {goal} --stack {self.stack}`, in the backend that you "
                f"are logged in to\n    {_BEFORE[goal].format(stack=self.stack)}"
            )
        if self.fleet and not (goal == "destroy" and self.rehearsed is not None):
            raise CommandError(
                f"stack {self.stack} is a fleet of hosts: run `pulumi {goal} --stack {self.stack}`, in the backend "
                f"that you are logged in to\n    {_BEFORE_ON_HOSTS[goal].format(stack=self.stack)}"
            )


def project(stack: str, start: Path) -> Project:
    """The project of the folder one is in."""
    root = next((folder for folder in (start, *start.parents) if (folder / "Pulumi.yaml").is_file()), None)
    if root is None:
        raise CommandError(f"no Pulumi.yaml in {start} or above\n    run this in the project's folder")
    try:
        name = str(yaml.safe_load((root / "Pulumi.yaml").read_text())["name"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise CommandError("Pulumi.yaml: should be YAML with the project's `name`") from error
    if not (root / f"Pulumi.{stack}.yaml").is_file():
        known = sorted(file.name.split(".")[1] for file in root.glob("Pulumi.*.yaml"))
        raise CommandError(
            f"no stack {stack}: there is no Pulumi.{stack}.yaml\n    there are {', '.join(known) or 'none'}"
        )
    os.chdir(root)
    return Project(root, name, stack)


def up(where: Project, console: Console) -> None:
    """Bring a stack up, or up to date."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    where.on_this_machine("up")
    rehearsal = importlib.import_module("rehearsal")  # the SDKs take a second to import: only where they are needed
    secrets = importlib.import_module("rehearsal.secrets")
    began = time.monotonic()
    secrets.ensure_passphrase(where.root)
    by = engine(where)
    say(f"{where.key}: {'pulumi is on PATH and' if by == BY_PULUMI else 'no pulumi on PATH, so the rehearsal'} applies")
    plan = preflight.planned(rehearsal.rehearse(where.stack, where.root).resources)
    docker_engine.ensure(where.state, say)
    preflight.check_ports(plan, where.key)
    preflight.check_subnets(plan, where.key)
    preflight.check_memory(plan, where.key, say)
    images.ensure(plan.images, where.state / "images", say)
    tell = progress.printer(say)
    if by == BY_PULUMI:
        containers.start_stopped(where.key, say)
        pulumi_cli.prepare(where.root, where.stack)
        orphans.remove_orphans(where.root, where.stack, where.key, say)
        done = pulumi_cli.up(where.root, where.stack, tell)
    else:
        done = rehearsal.apply(where.stack, where.root, progress=tell)
    say(progress.summary(by, done.changes, time.monotonic() - began))
    say("")
    show(where, console, settle=SETTLE if _changed(done.changes) else 0.0)
    say("")
    again = make("up", where.stack)
    say(f"Change Pulumi.{where.stack}.yaml or services.yaml and run `{again}` again; nothing is dropped.")
    of = "" if where.stack == "local" else f" --stack {where.stack}"
    say(
        f"`.venv/bin/quayside logs SERVICE{of}` shows what a service writes; "
        f"`{make('down', where.stack)}` removes the stack."
    )


def down(where: Project, console: Console, *, volumes: bool) -> None:
    """Remove everything of a stack. The volumes of stateful services only when they are meant."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    where.on_this_machine("destroy")
    rehearsal = importlib.import_module("rehearsal")
    if not where.fleet:
        docker_engine.require()
    began = time.monotonic()
    by_pulumi = not where.fleet and pulumi_cli.applied(where.root, where.stack)
    if by_pulumi and not pulumi_cli.available():
        raise CommandError(
            f"{where.key} was applied by pulumi, which is not on PATH\n    install it, then run this again"
        )
    tell = progress.printer(say)
    if by_pulumi:
        done = pulumi_cli.destroy(where.root, where.stack, volumes=volumes, progress=tell)
    else:
        done = rehearsal.destroy(where.stack, where.root, volumes=volumes, progress=tell)
    removed = done.changes.get("delete", 0)
    by = BY_PULUMI if by_pulumi else BY_REHEARSAL
    say(
        f"Removed by {by} in {time.monotonic() - began:.1f} s: {removed} resources."
        if removed
        else "Nothing was there."
    )
    if where.fleet:
        return
    kept = containers.volumes(where.key)
    if kept:
        say(
            f"Kept: volume {', '.join(kept)}. "
            f"`{make('down', where.stack)} VOLUMES=1` deletes that data for good; `quayside backup` keeps a copy."
        )
    docker_engine.stop_own(where.state, say)


def show(where: Project, console: Console, *, settle: float = 0.0) -> None:
    """Print the table of services, waiting at most `settle` seconds for checks to come round."""
    end = time.monotonic() + settle
    urls = _urls(where)
    while True:
        found = containers.of_stack(where.key)
        edge = next((container for container in found if container.role == "edge"), None)
        rows = status.rows(found, containers.servers(edge), urls)
        if time.monotonic() >= end or all(row.healthy == row.declared for row in rows):
            break
        time.sleep(0.5)
    if not rows:
        raise CommandError(f"stack {where.key} runs nothing\n    `{make('up', where.stack)}` starts it")
    status.show(rows, console)


def _urls(where: Project) -> Mapping[str, Sequence[str]]:
    """Service → its public addresses, as the last deployment that succeeded has exported them."""
    state = where.rehearsed
    if state is not None:
        outputs: Mapping[str, Any] = state.outputs
    else:
        outputs = pulumi_cli.outputs(where.root, where.stack) if pulumi_cli.available() else {}
    return {str(row["service"]): [str(url) for url in row["urls"]] for row in outputs.get("services", ())}


def engine(where: Project) -> str:
    """Who applies this stack: pulumi where it is on PATH. What one has applied, the other does not take over.

    The volumes that `down` keeps bind nobody: each of the two takes a volume of the stack as it finds it.
    """
    state = where.rehearsed
    by_rehearsal = state is not None and not _only_data(state)
    by_pulumi = pulumi_cli.applied(where.root, where.stack, data=False)
    if pulumi_cli.available():
        if by_rehearsal:
            raise CommandError(
                f"{where.key} was applied by the rehearsal, and pulumi is on PATH now: it does not know what is there\n"
                f"    run `{make('down', where.stack)}` first, then `{make('up', where.stack)}` "
                "(volumes are kept where quayside:protect is not false), or take pulumi off PATH"
            )
        return BY_PULUMI
    if by_pulumi:
        raise CommandError(
            f"{where.key} was applied by pulumi, which is not on PATH any more\n    install it, then run this again"
        )
    return BY_REHEARSAL


def _only_data(state: Any) -> bool:
    entries = [*state.live.values(), *state.pending]
    return all(entry.protect and entry.type == preflight.VOLUME for entry in entries)


def _changed(changes: Mapping[str, int]) -> bool:
    return any(count for kind, count in changes.items() if kind != "same")
