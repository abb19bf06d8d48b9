"""Looking into running services: their merged logs, and a command in one of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from quayside.containers import Container, of_stack
from quayside.shell import CommandError, ask, make


def of_service(stack: str, service: str) -> list[Container]:
    """The containers of one service; a name nobody has is an error that lists those there are."""
    containers = of_stack(stack)
    members = [container for container in containers if container.service == service]
    if members:
        return members
    known = sorted({container.service for container in containers})
    if not known:
        raise CommandError(f"stack {stack} runs nothing\n    `{make('up', stack)}` starts it")
    raise CommandError(f"no service {service} in stack {stack}\n    there are {', '.join(known)}")


def logs(stack: str, service: str, *, follow: bool, tail: int) -> None:
    """Print the logs of every replica in the order of time, each line with its slot."""
    members = of_service(stack, service)
    width = max(len(member.slot) for member in members)
    if not follow:
        lines: list[tuple[str, str]] = []
        for member in members:
            done = ask(["docker", "logs", "--timestamps", "--tail", str(tail), member.id], timeout=60)
            for line in (done.stdout + done.stderr).splitlines():
                moment, _, text = line.partition(" ")
                lines.append((moment, f"{member.slot:<{width}} | {text}"))
        for _, line in sorted(lines, key=lambda each: each[0])[-tail:]:
            print(line)  # noqa: T201  # the logs are the output
        return
    seen: dict[str, subprocess.Popen[str]] = {}
    turn = threading.Lock()
    try:
        while True:
            # Replicas of a release that happens meanwhile join in.
            for member in of_stack(stack):
                if member.service == service and member.id not in seen and member.running:
                    prefix = f"{member.slot:<{width}} | "
                    seen[member.id] = _follow(member.id, tail, prefix, turn)
            time.sleep(1)
    finally:
        for process in seen.values():
            process.terminate()


def _follow(container: str, tail: int, prefix: str, turn: threading.Lock) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        ["docker", "logs", "--follow", "--tail", str(tail), container],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )

    def copy() -> None:
        for line in process.stdout or ():
            with turn:
                sys.stdout.write(prefix + line)
                sys.stdout.flush()

    threading.Thread(target=copy, daemon=True).start()
    return process


def execute(
    stack: str,
    service: str,
    command: Sequence[str],
    start: Callable[..., object] = os.execvp,
    on: str | None = None,
) -> None:
    """Become `docker exec` in the service's first running replica, with its terminal, signals and exit code."""
    running = [member for member in of_service(stack, service) if member.running and on in (None, member.slot)]
    if not running:
        which = f" on {on}" if on else ""
        raise CommandError(f"no replica of {service} is running{which}\n    `quayside logs {service}` says why")
    terminal = ["--tty"] if sys.stdin.isatty() and sys.stdout.isatty() else []
    start("docker", ["docker", "exec", "--interactive", *terminal, running[0].id, *command])
