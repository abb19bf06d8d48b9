"""``make bench``: ten releases under load by quayside, and the same ten by ``docker compose up -d`` beside it.

Both run the same program: two replicas of the shop's front page behind HAProxy, which leave the instant they are told
to stop. Of the ten releases two never get healthy and one has a bad configuration of the edge. Everything runs under
names and ports of its own, and is removed at the end.
"""

from __future__ import annotations

import json
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from tests.hosts.load import Report, Running
from tests.hosts.shop import IMAGES, PYTHON, ROOT, Stack, UnavailableError, free_port, prepare, web

HOST = "shop.localhost"
BAD_LINE = "nonsense of a line"
SETTLE = 5.0
"""Seconds after a release in which something should answer again."""
Release = tuple[str, bool, bool]
"""Version, whether it never gets healthy, whether the edge's configuration is bad."""
RELEASES: tuple[Release, ...] = (
    ("2", False, False),
    ("3", False, False),
    ("4", True, False),
    ("5", False, False),
    ("6", False, False),
    ("7", False, True),
    ("8", False, False),
    ("9", True, False),
    ("10", False, False),
    ("11", False, False),
)
STATIC_EDGE = """\
global
    log stdout format raw daemon notice
defaults
    mode http
    option redispatch 1
    retries 3
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 5s
resolvers docker
    nameserver engine 127.0.0.11:53
    hold valid 1s
frontend public
    bind :10080
    default_backend web
backend web
    balance roundrobin
    option httpchk GET /healthz
    default-server check inter 500ms fall 2 rise 1 resolvers docker init-addr last,libc,none
    server web-1 web-1:8000
    server web-2 web-2:8000
"""


@dataclass(slots=True)
class Result:
    """What one way of releasing came to."""

    load: Report
    good: list[float] = field(default_factory=list[float])
    """Seconds of each release that was meant to succeed."""
    bad: list[float] = field(default_factory=list[float])
    noticed: int = 0
    """Bad releases that ended with an error."""


def releases(
    port: int, deploy: Callable[[Release], int], serving: Callable[[], str | None], console: Console
) -> Result:
    """Carry the ten releases out under load. ``deploy`` gives an exit code, ``serving`` the version that answers."""
    result = Result(Report())
    with Running(port, HOST, pause=0.02) as load:
        for release in RELEASES:
            version, sick, bad_edge = release
            began = time.monotonic()
            code = deploy(release)
            seconds = time.monotonic() - began
            kind = "never healthy" if sick else "bad edge" if bad_edge else "good"
            (result.bad if sick or bad_edge else result.good).append(seconds)
            result.noticed += (sick or bad_edge) and code != 0
            # Compose returns before what it started can answer: it gets the time to.
            end = time.monotonic() + SETTLE
            while (now := serving()) is None and time.monotonic() < end:
                time.sleep(0.2)
            console.print(f"  {version:>3} {kind:13} exit {code} in {seconds:4.1f} s; now serving: {now or 'nothing'}")
    result.load = load.report
    return result


def with_quayside(folder: Path, console: Console) -> Result:
    stack = Stack(folder / "quayside", {"web": web(routes=["shop.{domain}"], replicas=2, env={"VERSION": "1"})})
    service = stack.services["web"]

    def deploy(release: Release) -> int:
        version, sick, bad_edge = release
        service["env"] = {"VERSION": version, **({"FAIL": "1"} if sick else {})}
        service["health"]["grace"] = "5s" if sick else "30s"
        stack.edge_extra = [BAD_LINE] if bad_edge else []
        return stack.run().code

    def serving() -> str | None:
        return _version(stack.port)

    try:
        stack.up()
        result = releases(stack.port, deploy, serving, console)
        stack.check()
        return result
    finally:
        stack.remove()


def with_compose(folder: Path, command: list[str], console: Console) -> Result:
    home, port = folder / "compose", free_port()
    home.mkdir()
    name = f"bench{secrets.token_hex(3)}"

    def write(version: str, *, sick: bool, bad_edge: bool) -> None:
        replica = {
            "image": PYTHON,
            "command": ["python3", "-u", "/app/web.py"],
            "user": "nobody",
            "environment": {"VERSION": version, **({"FAIL": "1"} if sick else {})},
            "volumes": [f"{ROOT / 'examples' / 'shop'}:/app:ro"],
            "read_only": True,
            "init": True,
            "mem_limit": "64m",
        }
        edge = {
            "image": IMAGES[0],
            "entrypoint": ["haproxy", "-W", "-db", "-f", "/config/haproxy.cfg"],
            "ports": [f"127.0.0.1:{port}:10080"],
            "volumes": [f"{home}:/config:ro"],
            "restart": "unless-stopped",
        }
        document = {"version": "2.4", "services": {"web-1": replica, "web-2": dict(replica), "edge": edge}}
        # Anchors would not be understood by everyone who looks at the file.
        (home / "docker-compose.yml").write_text(yaml.dump(document, Dumper=_Plain))
        (home / "haproxy.cfg").write_text(STATIC_EDGE + (f"    {BAD_LINE}\n" if bad_edge else ""))
        home.chmod(0o755)

    def compose(*arguments: str) -> int:
        done = subprocess.run([*command, "-p", name, *arguments], cwd=home, capture_output=True, text=True, timeout=300)
        return done.returncode

    was_bad = False

    def deploy(release: Release) -> int:
        nonlocal was_bad
        version, sick, bad_edge = release
        write(version, sick=sick, bad_edge=bad_edge)
        code = compose("up", "-d")
        if bad_edge or was_bad:
            # Compose does not look into the files that it mounts.
            code = code or compose("restart", "edge")
        was_bad = bad_edge
        return code

    write("1", sick=False, bad_edge=False)
    try:
        if compose("up", "-d") != 0:
            raise UnavailableError(f"`{' '.join(command)} up -d` fails on this machine")
        end = time.monotonic() + 30
        while _version(port) != "1":
            if time.monotonic() > end:
                raise UnavailableError(f"what `{' '.join(command)} up -d` started does not answer within 30 s")
            time.sleep(0.2)
        return releases(port, deploy, lambda: _version(port), console)
    finally:
        compose("down", "-v", "--remove-orphans")


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def _version(port: int) -> str | None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": HOST})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return str(json.loads(answer.read())["version"])
    except (OSError, ValueError):
        return None


def find_compose() -> list[str] | None:
    """The command on this machine, as a plugin of docker or by itself."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def main() -> int:
    console = Console(highlight=False, soft_wrap=True)
    try:
        prepare()
    except UnavailableError as why:
        console.print(f"no benchmark: {why}")
        return 1
    results: dict[str, Result] = {}
    skipped = ""
    with tempfile.TemporaryDirectory(prefix="quayside-bench-") as folder:
        Path(folder).chmod(0o755)
        console.print("quayside")
        results["quayside"] = with_quayside(Path(folder), console)
        command = find_compose()
        if command is None:
            skipped = "docker compose was skipped: neither `docker compose` nor `docker-compose` is on this machine"
        else:
            console.print(" ".join(command))
            try:
                results[f"{' '.join(command)} up -d"] = with_compose(Path(folder), command, console)
            except UnavailableError as why:
                skipped = f"docker compose was skipped: {why}"
    table = Table(title="Ten releases under load, three of them bad")
    table.add_column("", no_wrap=True)
    for column in ("requests", "failed", "s a release", "s a bad one", "bad noticed"):
        table.add_column(column, justify="right")
    for name, result in results.items():
        table.add_row(
            name,
            f"{result.load.requests:,}",
            f"{result.load.failed:,}",
            f"{statistics.median(result.good):.1f}",
            f"{statistics.median(result.bad):.1f}",
            f"{result.noticed} of {len(result.bad)}",
        )
    console.print(table)
    if skipped:
        console.print(skipped)
    ours = results["quayside"].load
    for reason in ours.reasons:
        console.print(f"  failed at {reason}")
    return 1 if ours.failed else 0


if __name__ == "__main__":
    sys.exit(main())
