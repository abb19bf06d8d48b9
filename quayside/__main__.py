"""`python -m quayside`: up, down, status, access, logs, exec, backup, restore, secret."""

from __future__ import annotations

import os
import re
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from quayside import (
    access,
    aws,
    data,
    docker_engine,
    fleet,
    fleet_observe,
    fleet_status,
    lifecycle,
    observe,
    pulumi_cli,
)
from quayside.shell import CommandError, make
from quayside.status import show
from rehearsal.errors import RehearsalError
from rehearsal.secrets import ensure_passphrase, is_passphrase_given, set_secret
from settings.problems import ConfigError
from settings.units import MIB

StackOption = Annotated[str, typer.Option("--stack", "-s", help="Which Pulumi.<stack>.yaml.")]
ServiceArgument = Annotated[str, typer.Argument(help="A service's name, as `status` shows it.")]

app = typer.Typer(
    help="Runs a stack on this machine's Docker engine; looks into stacks on fleets and AWS, and sets their secrets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _console() -> Console:
    # Piped output keeps its lines whole, for grep and for logs.
    return Console() if sys.stdout.isatty() else Console(width=160)


@app.command()
def up(stack: StackOption = "local") -> None:
    """Install what is missing, get the images, deploy, and show what runs where (stacks on this machine)."""
    lifecycle.up(lifecycle.project(stack, Path.cwd()), _console())


@app.command()
def down(
    stack: StackOption = "local",
    volumes: Annotated[bool, typer.Option("--volumes", help="The data of stateful services goes, too.")] = False,
) -> None:
    """Remove the stack's containers, networks and routing (stacks on this machine)."""
    lifecycle.down(lifecycle.project(stack, Path.cwd()), _console(), volumes=volumes)


@app.command()
def status(stack: StackOption = "local") -> None:
    """Services, healthy replicas, images, memory and addresses."""
    where = lifecycle.project(stack, Path.cwd())
    if where.cloud == "aws":
        found = aws.deployed(where.root, where.stack)
        show(aws.rows(found, aws.clients(found.region)), _console())
        return
    if where.fleet:
        fleet_status.show(fleet.deployed(where), _console())
        return
    docker_engine.require()
    lifecycle.show(where, _console())


@app.command(name="access")
def show_access(stack: StackOption = "local") -> None:
    """Who may enter the hosts over SSH: every key that stands on them (fleets)."""
    where = lifecycle.project(stack, Path.cwd())
    if not where.fleet:
        raise CommandError(f"stack {stack} is on no fleet of hosts\n    `access` is for stacks with cloud: hetzner")
    access.show(fleet.deployed(where), _console())


@app.command()
def logs(
    service: ServiceArgument,
    stack: StackOption = "local",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come, until Ctrl-C.")] = False,
    tail: Annotated[int, typer.Option("--tail", "-n", min=0, help="How many lines back.")] = 100,
) -> None:
    """The logs of every replica, merged, each line with its replica's name."""
    where = lifecycle.project(stack, Path.cwd())
    if where.cloud == "aws":
        found = aws.deployed(where.root, where.stack)
        aws.logs(found, aws.clients(found.region), service, follow=follow, tail=tail)
        return
    if where.fleet:
        fleet_observe.logs(fleet.deployed(where), service, follow=follow, tail=tail)
        return
    docker_engine.require()
    observe.logs(where.key, service, follow=follow, tail=tail)


@app.command(name="exec")
def execute(
    service: ServiceArgument,
    command: Annotated[list[str], typer.Argument(help="What to run, after `--`.")],
    stack: StackOption = "local",
    on: Annotated[
        str | None,
        typer.Option("--on", help="A replica, as `logs` names it (web-2), a host of a fleet, or both: web-2@host2."),
    ] = None,
) -> None:
    """Run a command in a service's first running replica. Its exit code is passed on."""
    where = lifecycle.project(stack, Path.cwd())
    if where.cloud == "aws":
        if on is not None:
            raise CommandError("--on: ECS's tasks have no names of ours\n    leave it out: one that runs is taken")
        found = aws.deployed(where.root, where.stack)
        aws.execute(found, aws.clients(found.region), service, command)
        return
    if where.fleet:
        fleet_observe.execute(fleet.deployed(where), service, command, on)
        return
    docker_engine.require()
    observe.execute(where.key, service, command, on=on)


_ON_A_HOST = typer.Option("--on", help="A host of a fleet, where several have a volume of it.")


@app.command()
def backup(
    service: ServiceArgument,
    file: Annotated[
        Path | None,
        typer.Argument(help="A .tar.gz to write; `-` is standard output.", show_default="in .quayside/backups"),
    ] = None,
    stack: StackOption = "local",
    on: Annotated[str | None, _ON_A_HOST] = None,
    running: Annotated[
        bool, typer.Option("--running", help="Do not hold the service while its files are copied.")
    ] = False,
) -> None:
    """Copy the data of a service with a volume into a file. The service is held for that, and drops nothing."""
    where = lifecycle.project(stack, Path.cwd())
    volume = _volume(where, service, on)
    if file is None:
        file = where.root / ".quayside" / "backups" / stack / f"{service}-{datetime.now():%Y%m%d-%H%M%S}.tar.gz"
    whole = None if str(file) == "-" else file
    copied = data.backup(volume, whole, hold=not running)
    held = f"; held for {copied.held} s" if volume.container and not running else ""
    typer.echo(f"{volume.title}: {copied.files} files, {copied.size / MIB:.1f} MiB{held}", err=True)
    if whole is not None:
        typer.echo(os.path.relpath(whole))


@app.command()
def restore(
    service: ServiceArgument,
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.")],
    stack: StackOption = "local",
    on: Annotated[str | None, _ON_A_HOST] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    replace_newer: Annotated[
        bool, typer.Option("--replace-newer", help="With --yes: also data that is newer than the archive.")
    ] = False,
) -> None:
    """Put a backup in the place of a service's data, which is gone then. The service is away for seconds."""
    where = lifecycle.project(stack, Path.cwd())
    volume = _volume(where, service, on)
    archive = data.files_of(file)
    files, now = archive.files, data.look(volume)
    lost = data.replaced(volume, now, archive)
    keep = f"keep it first: `quayside backup {service} --stack {stack}`"
    if yes and now.newest > archive.newest and not replace_newer:
        raise CommandError(f"{lost}\n    {keep}; to replace it all the same, add --replace-newer")
    if not yes:
        if not sys.stdin.isatty():
            raise CommandError(f"the data of {volume.title} would be replaced, and nobody can be asked\n    add --yes")
        if lost:
            typer.echo(f"{lost}\n    {keep}", err=True)
        typer.confirm(
            f"Replace the data of {volume.title} in stack {stack} by the {files} files of {file}?", abort=True
        )
    data.restore(volume, file)
    typer.echo(f"{volume.title}: {files} files restored" + ("; it runs again" if volume.container else ""))


def _volume(where: lifecycle.Project, service: str, on: str | None) -> data.Volume:
    if where.cloud == "aws":
        raise CommandError(
            f"stack {where.stack} is on AWS, where AWS Backup copies each volume every day and keeps it for 35 days\n"
            "    docs/backups.md, On AWS, has the commands for a copy now and for going back to one"
        )
    if where.fleet:
        return data.on_the_fleet(fleet.deployed(where), service, on)
    if on is not None:
        raise CommandError(f"--on {on}: stack {where.stack} is on this machine alone\n    leave it out")
    docker_engine.require()
    return data.on_this_machine(where.key, service)


@app.command()
def secret(
    key: Annotated[str, typer.Argument(help="The key under `secrets`, as a service's `secrets` names it.")],
    stack: StackOption = "local",
) -> None:
    """Write a secret into the stack's file, encrypted. Its value comes from stdin or is asked for."""
    where = lifecycle.project(stack, Path.cwd())
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", key):
        raise CommandError(f"secret {key}: should be letters, digits, `_` and `-`, starting with a letter")
    cloud = where.cloud == "aws"
    if cloud and not pulumi_cli.available():
        # What `pulumi up` reads is encrypted with the key of the stack's backend, which only the CLI knows.
        raise CommandError(
            f"stack {stack} is on AWS, and the Pulumi CLI is not on PATH: only it encrypts what `pulumi up` can read\n"
            f"    install it, log in, then `pulumi config set --secret --path quayside:secrets.{key} --stack {stack}`"
        )
    if sys.stdin.isatty():
        value = str(typer.prompt(f"value of {key}", hide_input=True))
    else:
        value = sys.stdin.read().removesuffix("\n")
    if not value:
        raise CommandError(f"secret {key}: the value is empty")
    # A fleet's state is its team's as well, unless the rehearsal has applied it from here.
    team = cloud or (where.fleet and pulumi_cli.available() and where.rehearsed is None)
    if team:
        pulumi_cli.set_secret_of_cloud(where.root, stack, key, value)
    else:
        passphrase = ensure_passphrase(where.root)
        if pulumi_cli.available():
            pulumi_cli.set_secret(where.root, stack, key, value)
        else:
            file, path = where.root / f"Pulumi.{stack}.yaml", f"quayside:secrets.{key}"
            set_secret(file, path, value, passphrase, beside=not is_passphrase_given())
    if team:
        goal = f"pulumi up --stack {stack}"
    elif where.fleet:
        goal = f"python -m rehearsal {stack} --apply"
    else:
        goal = make("up", stack)
    typer.echo(f"Pulumi.{stack}.yaml has {key}, encrypted. The next `{goal}` brings it to the services that use it.")
    if where.fleet and not team:
        typer.echo(
            f"For `pulumi up` set it there: `pulumi config set --secret --path quayside:secrets.{key} --stack {stack}`"
            "; here it is sealed with this folder's passphrase, which another backend has not."
        )


def main() -> int:
    """Run the command line. Whatever is wrong is one message and exit 1."""
    try:
        app(standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except (ConfigError, CommandError, RehearsalError) as error:
        sys.stdout.flush()
        print(str(error), file=sys.stderr)  # noqa: T201
        return 1
    except (KeyboardInterrupt, typer.Abort):
        print("\nStopped. Run it again to go on from here.", file=sys.stderr)  # noqa: T201
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        usage = getattr(error, "show", None)  # click's own complaints about arguments
        if usage is None:
            raise
        usage()
        return int(getattr(error, "exit_code", 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
