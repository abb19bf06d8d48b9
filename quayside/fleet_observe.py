"""Looking into services of a fleet: the merged logs of all hosts, and a command in one replica."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from planning.hosts.slots import service_of
from quayside.containers import Container, of_stack, servers
from quayside.fleet import Fleet, Host, Reached, Tunnels, side_by_side, tunnels
from quayside.shell import CommandError, ask
from quayside.status import verdict

_ROUND = 2.0
"""Seconds between two looks for replicas that came, and hosts that came back."""


def _listed(
    fleet: Fleet, opened: Tunnels, names: Sequence[str] | None = None
) -> tuple[list[tuple[Reached, list[Container]]], dict[str, str]]:
    """Every container of the hosts that answer, and what is the matter with the others."""
    reached, trouble = opened.reach(names)

    def ask(one: Reached) -> list[Container] | str:
        try:
            return of_stack(fleet.stack, one.docker)
        except CommandError as error:
            return one.tunnel.trouble() or str(error)

    found: list[tuple[Reached, list[Container]]] = []
    for one, answer in zip(reached, side_by_side(ask, reached), strict=True):
        if isinstance(answer, str):
            trouble[one.host.name] = answer
        else:
            found.append((one, answer))
    return found, trouble


def _of(service: str, found: Sequence[tuple[Reached, list[Container]]]) -> list[tuple[Reached, Container]]:
    return [(one, each) for one, containers in found for each in containers if each.service == service]


def _members(
    fleet: Fleet, service: str, found: Sequence[tuple[Reached, list[Container]]], trouble: dict[str, str]
) -> list[tuple[Reached, Container]]:
    """The containers of one service; a name nobody has is an error that lists those there are."""
    members = _of(service, found)
    planned = {slot for host in fleet.hosts.values() for slot in host.slots}
    if members or any(service_of(slot) == service for slot in planned):
        return members
    silent = "\n".join(f"{name}: {said}" for name, said in trouble.items())
    if not found:
        raise CommandError(f"no host of {fleet.stack} answers\n{silent}")
    known = sorted({each.service for _, containers in found for each in containers})
    raise CommandError(
        f"no service {service} in stack {fleet.stack}\n    there are {', '.join(known) or 'none'}"
        + (f"\n{silent}" if silent else "")
    )


def _warn(trouble: dict[str, str]) -> None:
    for name, said in trouble.items():
        print(f"{name}: {said}", file=sys.stderr, flush=True)  # noqa: T201


def logs(fleet: Fleet, service: str, *, follow: bool, tail: int) -> None:
    """Print the logs of every replica in the order of time, each line with its slot and host."""
    with tunnels(fleet) as opened:
        found, trouble = _listed(fleet, opened)
        members = _members(fleet, service, found, trouble)
        _warn(trouble)
        if follow:
            _follow_all(fleet, opened, service, tail, trouble)
            return
        width = max((len(_where(one.host, each)) for one, each in members), default=0)

        def read(member: tuple[Reached, Container]) -> list[tuple[str, str]]:
            one, each = member
            prefix = f"{_where(one.host, each):<{width}} | "
            done = ask([*one.docker, "logs", "--timestamps", "--tail", str(tail), each.id], timeout=60)
            parts = (line.partition(" ") for line in (done.stdout + done.stderr).splitlines())
            return [(moment, prefix + text) for moment, _, text in parts]

        lines = [line for read_lines in side_by_side(read, members) for line in read_lines]
        for _, line in sorted(lines, key=lambda each: each[0])[-tail:] if tail else ():
            print(line)  # noqa: T201  # the logs are the output


def _where(host: Host, container: Container) -> str:
    return f"{container.slot}@{host.name}"


class _Follower:
    """`docker logs --follow` of one container, begun again where it stopped."""

    def __init__(self, prefix: str, turn: threading.Lock) -> None:
        self._prefix, self._turn = prefix, turn
        self._process: subprocess.Popen[str] | None = None
        self._ended = ""

    def go_on(self, docker: Sequence[str], container: str, tail: int) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            return
        # Its host was away, or it was started again: what it said meanwhile follows, and nothing twice.
        begin = ["--since", self._ended] if process is not None and self._ended else ["--tail", str(tail)]
        self._process = subprocess.Popen(
            [*docker, "logs", "--follow", "--timestamps", *begin, container],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        threading.Thread(target=self._copy, args=(self._process,), daemon=True).start()

    def _copy(self, process: subprocess.Popen[str]) -> None:
        last = self._ended
        for line in process.stdout or ():
            moment, _, text = line.partition(" ")
            if not moment[:4].isdigit() or (last and moment <= last):
                continue  # the client's own complaint that the connection is gone, or said already
            self._ended = moment
            with self._turn:
                sys.stdout.write(self._prefix + (text if text.endswith("\n") else f"{text}\n"))
                sys.stdout.flush()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()


def _follow_all(fleet: Fleet, opened: Tunnels, service: str, tail: int, told: dict[str, str]) -> None:
    followers: dict[tuple[str, str], _Follower] = {}
    turn = threading.Lock()
    try:
        while True:
            # Replicas of a release that happens meanwhile join in.
            found, trouble = _listed(fleet, opened)
            for one, containers in found:
                for each in containers:
                    if each.service == service and each.running:
                        key = (one.host.name, each.id)
                        if key not in followers:
                            followers[key] = _Follower(f"{_where(one.host, each)} | ", turn)
                        followers[key].go_on(one.docker, each.id, tail)
            _warn({name: said for name, said in trouble.items() if name not in told})
            for name in told.keys() - trouble.keys():
                print(f"{name}: is back", file=sys.stderr, flush=True)  # noqa: T201
            told = trouble
            time.sleep(_ROUND)
    finally:
        for follower in followers.values():
            follower.stop()


def execute(
    fleet: Fleet,
    service: str,
    command: Sequence[str],
    on: str | None = None,
    start: Callable[..., object] = os.execvp,
) -> None:
    """Become the ssh that runs `docker exec` in a healthy replica, with its terminal and exit code.

    `on` is a host, a slot, or both: `host2`, `web-2`, `web-2@host2`.
    """
    slot, host = _aim(fleet, on)
    asked = [host] if host else None
    with tunnels(fleet) as opened:
        found, trouble = _listed(fleet, opened, asked)
        members = _of(service, found) if asked else _members(fleet, service, found, trouble)
        members = [(one, each) for one, each in members if each.running and slot in (None, each.slot)]
        checks: dict[str, dict[str, dict[str, str]]] = {}
        for one, containers in found:
            if any(reached is one for reached, _ in members):
                edge = next((each for each in containers if each.role == "edge"), None)
                checks[one.host.name] = servers(edge, one.docker)
    # A slot may have two containers while a release is under way, and another may be ill: a healthy one first.
    members.sort(key=lambda member: not verdict(member[1], checks[member[0].host.name])[0])
    if not members:
        lines = [f"no replica of {service} is running{f' on {on}' if on else ''}"]
        lines += [f"{name}: {said}" for name, said in trouble.items()]
        raise CommandError("\n".join([*lines, f"    `quayside status` and `quayside logs {service}` say why"]))
    one, chosen = members[0]
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    words = ["docker", "exec", "--interactive", *(["--tty"] if terminal else []), chosen.id, *command]
    sys.stdout.flush()
    start("ssh", fleet.ssh(one.host, words, terminal=terminal))


def _aim(fleet: Fleet, on: str | None) -> tuple[str | None, str | None]:
    """Slot and host of `--on`."""
    if on is None:
        return None, None
    slot, at, host = on.rpartition("@")
    if not at and on not in fleet.hosts:
        return on, None
    fleet.check_named(host, on)
    return slot or None, host
