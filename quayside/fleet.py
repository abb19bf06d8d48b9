"""Reaching the hosts of a fleet: who they are by the stack's outputs, and their engines over SSH."""

from __future__ import annotations

import importlib
import json
import shlex
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from quayside.lifecycle import Project
from quayside.shell import CommandError, found, last_line, run
from rehearsal.secrets import Crypter, find_passphrase
from rehearsal.ssh_tunnel import Address, Tunnel, TunnelError
from rehearsal.values import Sealed

PATIENCE = 5
"""Seconds a host has to let us in. It is asked now, not brought up: what does not answer soon is named and left out."""
_SOCKET = "/var/run/docker.sock"
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One machine, as the stack's outputs have it."""

    name: str
    address: str
    user: str
    port: int
    host_key: str
    down: bool
    """Declared so: nobody calls it."""
    jump: str | None = None
    """`user@host` that it is reached through."""
    jump_host_key: str | None = None
    slots: Sequence[str]
    """What the plan has running there."""
    owner: str = ""
    """The stack's mark, as it is to be on the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A deployed fleet."""

    stack: str
    """The value of the label that everything of it carries."""
    hosts: Mapping[str, Host]
    identity: Path
    """The stack's own key, which every host lets in."""
    urls: Sequence[str] = ()
    """Where visitors reach it."""

    def ssh_opts(self, host: Host) -> list[str]:
        """Arguments of ssh, of which it takes the first: pinned as for a deployment, but in a hurry and not shared."""
        connection: Any = importlib.import_module("components.docker.connection")
        ours = {"ConnectTimeout": PATIENCE, "ControlMaster": "no", "ControlPath": "none", "LogLevel": "ERROR"}
        words = [word for key, value in ours.items() for word in ("-o", f"{key}={value}")]
        jump = connection.Jump(host.jump, host.jump_host_key) if host.jump is not None else None
        return [*words, *connection.ssh_options(host.host_key, str(self.identity), jump)]

    def check_named(self, host: str, on: str) -> None:
        """Raise CommandError where the host that `--on` names is none of the fleet's."""
        if host not in self.hosts:
            raise CommandError(f"--on {on}: there is no host {host}\n    there are {', '.join(self.hosts)}")

    def ssh(self, host: Host, command: Sequence[str], *, terminal: bool) -> list[str]:
        """The ssh that runs a command there, with or without a terminal."""
        words = ["ssh", *self.ssh_opts(host), "-tt" if terminal else "-T", "-p", str(host.port), "-l", host.user]
        return [*words, "--", host.address, shlex.join(command)]


def deployed(where: Project) -> Fleet:
    """The fleet as it was deployed last: by the rehearsal, whose state is here, or by Pulumi, wherever its state is.

    The key is laid down, too, where this machine has none yet.
    """
    for program, what in (("ssh", "the ssh client (package openssh-client)"), ("docker", "the Docker client")):
        if not found(program):
            raise CommandError(f"{what} is not on PATH\n    install it; hosts are asked by Docker over SSH")
    outputs, private_key = _outputs(where)
    known: Mapping[str, Mapping[str, Any]] | None = outputs.get("fleet")
    if not known:
        raise CommandError(
            f"stack {where.stack} was deployed before it said where its hosts are\n"
            f"    `pulumi up --stack {where.stack}` (or the rehearsal's --apply) says it"
        )
    identity = Path(".quayside") / "ssh" / f"{where.stack}.key"
    if not _is_of(identity, str(outputs.get("deploy_public_key", ""))):
        keys: Any = importlib.import_module("components.docker.deploy_key")
        keys.write_private(identity, private_key())
    hosts = {
        name: Host(
            name=name,
            address=str(host["address"]),
            user=str(host["user"]),
            port=int(host["port"]),
            host_key=str(host["host_key"]),
            down=bool(host["down"]),
            slots=[str(slot) for slot in host["slots"]],
            jump=host.get("jump"),
            jump_host_key=host.get("jump_host_key"),
            owner=str(host.get("owner") or ""),
        )
        for name, host in known.items()
    }
    urls = [str(url) for url in outputs.get("urls", ())]
    return Fleet(stack=where.key, hosts=hosts, identity=identity, urls=urls)


def _is_of(identity: Path, public_key: str) -> bool:
    """Whether the key is here, and is the one that hosts let in: another machine may have replaced it meanwhile."""
    if not identity.is_file():
        return False
    done = run(["ssh-keygen", "-y", "-P", "", "-f", str(identity)], timeout=10)
    return done.returncode != 0 or not public_key or done.stdout.split()[:2] == public_key.split()[:2]


def _outputs(where: Project) -> tuple[Mapping[str, Any], Callable[[], str]]:
    """The stack's outputs, and how to have its key."""
    state = where.rehearsed
    if state is not None:
        if not state.outputs:
            raise CommandError(
                f"stack {where.stack} was never deployed to its end\n"
                f"    `python -m rehearsal {where.stack} --apply` goes on, and says what is in its way"
            )
        return state.outputs, lambda: _opened(where, state)
    done = run(["pulumi", "stack", "output", "--json", "--stack", where.stack], cwd=where.root, timeout=60)
    if done.returncode == 127:
        raise CommandError(
            f"stack {where.stack} was not deployed from here by the rehearsal, and the Pulumi CLI is not on PATH\n"
            "    install it and log in where the stack's state is"
        )
    if done.returncode:
        raise CommandError(
            f"stack {where.stack} has nothing to show: {last_line(done.stderr)}\n"
            f"    `pulumi up --stack {where.stack}` deploys it"
        )
    outputs: dict[str, Any] = json.loads(done.stdout or "{}")
    if not outputs:
        raise CommandError(
            f"stack {where.stack} has nothing to show: it was never deployed\n"
            f"    `pulumi up --stack {where.stack}` deploys it"
        )
    return outputs, lambda: _key_by_pulumi(where)


def _opened(where: Project, state: Any) -> str:
    """The key in the rehearsal's state, whose secrets stay sealed until one is needed."""
    stored, passphrase = state.outputs.get("deploy_key"), find_passphrase(where.root)
    if not isinstance(stored, Sealed) or passphrase is None or not state.salt:
        raise CommandError(
            f".quayside/ssh/{where.stack}.key is not on this machine, and the state's copy cannot be read\n"
            "    set PULUMI_CONFIG_PASSPHRASE (or PULUMI_CONFIG_PASSPHRASE_FILE) to the one it was applied with"
        )
    return str(json.loads(Crypter(passphrase, state.salt).open(stored.ciphertext)))


def _key_by_pulumi(where: Project) -> str:
    asked = ["pulumi", "stack", "output", "deploy_key", "--show-secrets", "--stack", where.stack]
    done = run(asked, cwd=where.root, timeout=60)
    if done.returncode or not done.stdout.strip():
        raise CommandError(
            f".quayside/ssh/{where.stack}.key is not on this machine, and Pulumi does not give it out: "
            f"{last_line(done.stderr)}\n    `{shlex.join(asked)}` should print it"
        )
    return done.stdout


# --- connections -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Reached:
    """A host's engine, at this end of a tunnel."""

    host: Host
    docker: Sequence[str]
    """The client with its options."""
    tunnel: Tunnel


@dataclass(slots=True)
class Tunnels:
    """At most one connection a host, opened side by side and closed together."""

    fleet: Fleet
    _folder: Path
    _open: dict[str, Reached] = field(default_factory=dict[str, Reached])
    _numbers: Iterator[int] = field(default_factory=count)
    """Several threads may take one."""

    def reach(self, names: Sequence[str] | None = None) -> tuple[list[Reached], dict[str, str]]:
        """Every host that answers (of these names), and what is the matter with the others. Opens what has closed."""
        wanted = [self.fleet.hosts[name] for name in names or self.fleet.hosts]
        trouble = {host.name: "is declared down, and was not asked" for host in wanted if host.down}
        missing: list[tuple[Host, Tunnel]] = []
        for host in wanted:
            held = self._open.get(host.name)
            if host.down or (held is not None and held.tunnel.alive):
                continue
            if held is not None:
                self._open.pop(host.name).tunnel.close()
            to = Address(host.user, host.address, host.port, _SOCKET)
            missing.append((host, Tunnel(to, self.fleet.ssh_opts(host), self._folder, next(self._numbers))))
        for (host, tunnel), said in zip(missing, side_by_side(_opened_tunnel, [t for _, t in missing]), strict=True):
            if said:
                trouble[host.name] = said
            else:
                self._open[host.name] = Reached(host, ("docker", "--host", f"unix://{tunnel.socket}"), tunnel)
        return [self._open[host.name] for host in wanted if host.name in self._open], trouble

    def close(self) -> None:
        side_by_side(lambda reached: reached.tunnel.close(), list(self._open.values()))


def _opened_tunnel(tunnel: Tunnel) -> str:
    try:
        tunnel.open()
    except TunnelError as error:
        return str(error)
    return ""


@contextmanager
def tunnels(fleet: Fleet) -> Generator[Tunnels]:
    # A socket's path may have 107 characters, so it is not in the project.
    folder = Path(tempfile.mkdtemp(prefix="quayside-"))
    made = Tunnels(fleet, folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


_Asked = TypeVar("_Asked")


def side_by_side(action: Callable[[_Asked], _Found], subjects: Sequence[_Asked]) -> list[_Found]:
    """The action's results in order; one that takes its time holds up no other."""
    with ThreadPoolExecutor(max(1, len(subjects))) as pool:
        return list(pool.map(action, subjects))
