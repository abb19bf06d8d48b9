"""``python -m tests.bench_fleet``: what a fleet costs whoever deploys it.

A stack of 20 servers and 300 containers is rehearsed: seconds, and the peak memory of the program. Then three servers,
as network namespaces with an engine and an sshd each, are deployed for real by the rehearsal's --apply: the first time,
with nothing changed, and with a new version of one service; and how many ssh run at once, and connections there are.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from tests.hosts.fleet import Fleet
from tests.hosts.fleet_remains import run
from tests.hosts.prepared import Prepared
from tests.hosts.shop import UnavailableError, agent_with, prepare
from tests.hosts.test_fleet_release import app
from tests.hosts.test_platform import NAMES

ROOT = Path(__file__).parents[1]
HOSTS, SERVICES, REPLICAS = 20, 28, 10
"""With an edge a host, 300 containers."""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBSb5OD49ThVyjjPoxUM2LLUpzTnaSsqPJ4GLhIoMLkR"


def settings() -> tuple[dict[str, Any], dict[str, Any]]:
    """services.yaml and Pulumi.bench.yaml; services use one another in groups of seven."""
    services = {
        f"svc{number:02d}": {
            "image": "ghcr.io/acme/app@sha256:" + "a" * 64,
            "port": 8080,
            "routes": [f"svc{number:02d}.{{domain}}"],
            "cpu": 0.25,
            "memory": "256MiB",
            "replicas": REPLICAS,
            "health": "/healthz",
            "env": {"LEVEL": "info", "NUMBER": str(number)},
            "drain": "30s",
            **({"uses": [f"svc{number - 1:02d}"]} if number % 7 else {}),
        }
        for number in range(SERVICES)
    }
    servers = [
        {"name": f"host{n}", "address": f"203.0.113.{n}", "cpu": 16, "memory": "64GiB", "host_key": KEY}
        for n in range(1, HOSTS + 1)
    ]
    stack = {
        "quayside:cloud": "hetzner",
        "quayside:domain": "example.com",
        "quayside:capacity": {"existing": servers},
        "quayside:access": {"ssh": ["198.51.100.0/24"]},
    }
    return {"services": services}, {"config": stack}


def one(folder: Path) -> None:
    """The process that is measured."""
    from rehearsal import rehearse

    began, used = time.perf_counter(), time.process_time()
    report = rehearse("bench", folder)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    types = [found.type for found in report.registrations if found.custom]
    containers = types.count("docker:index/container:Container")
    problems = [str(problem) for problem in report.problems]
    sys.stdout.write(json.dumps([seconds, cpu, peak, len(types), containers, problems]) + "\n")


def rehearsed(console: Console) -> None:
    with tempfile.TemporaryDirectory(prefix="quayside-fleet-") as home:
        folder = Path(home)
        services, stack = settings()
        (folder / "Pulumi.yaml").write_text("name: bench\nruntime: python\n")
        (folder / "__main__.py").write_text((ROOT / "__main__.py").read_text())
        (folder / "services.yaml").write_text(yaml.safe_dump(services))
        (folder / "Pulumi.bench.yaml").write_text(yaml.safe_dump(stack))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.bench_fleet", "--one", str(folder)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-2000:])
    seconds, cpu, peak, resources, containers, problems = json.loads(done.stdout.splitlines()[-1])
    console.print(
        f"{HOSTS} servers, {containers} containers, {resources:,} resources, rehearsed: {seconds:.1f} s "
        f"({cpu:.1f} s of a processor), {peak:.0f} MiB at most"
    )
    for problem in problems[:5]:
        console.print(f"  {problem}")


# --- for real --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Watch:
    """The most ssh processes and connections to the hosts at once, while the block runs."""

    addresses: frozenset[str]
    processes: int = 0
    connections: dict[str, int] = field(default_factory=dict[str, int])
    """Host's address → its most at once."""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._stopping.wait(0.1):
            self.processes = max(self.processes, _clients(self.addresses))
            now: dict[str, int] = {}
            for line in run("ss", "-Htn", "state", "established", "dport", "=", ":22").splitlines():
                address = line.split()[3].rpartition(":")[0]
                if address in self.addresses:
                    now[address] = now.get(address, 0) + 1
            for address, count in now.items():
                self.connections[address] = max(self.connections.get(address, 0), count)


def _clients(addresses: frozenset[str]) -> int:
    """ssh processes to any of these hosts."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"ssh" and any(word.decode(errors="replace").rpartition("@")[2] in addresses for word in words):
            count += 1
    return count


def services(version: str) -> Mapping[str, Any]:
    """Twelve containers, edges apart."""
    return {
        "web": app(version, routes=["web.{domain}"], uses=["api"], replicas=6),
        "api": app("1", routes=[], replicas=3),
        "other": app("1", routes=["other.{domain}"], replicas=3),
    }


def real(console: Console) -> None:
    """Raises UnavailableError where no fleet can run."""
    prepare()
    with (
        tempfile.TemporaryDirectory(prefix="quayside-fleet-") as home,
        Fleet.start(NAMES) as fleet,
        agent_with(fleet.identity) as agent,
    ):
        project = Prepared(Path(home), fleet, agent)
        table = Table(title="A fleet of three servers with twelve containers, by the rehearsal's --apply")
        for column in ("", "s", "ssh at once", "connections a server"):
            table.add_column(column, justify="left" if not column else "right")
        for what, version in (("first deployment", "1"), ("no change", "1"), ("one service of three", "2")):
            project.services = dict(services(version))
            began = time.monotonic()
            with Watch(frozenset(host.address for host in fleet)) as watch:
                done = project.up()
            seconds = time.monotonic() - began
            if done.code:
                raise RuntimeError(done.output[-3000:])
            table.add_row(what, f"{seconds:.1f}", str(watch.processes), str(max(watch.connections.values())))
            console.print(f"{what}: {done.output.strip().splitlines()[-1]}")
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench_fleet", description=__doc__)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rehearse", action="store_true", help="leave out the part on real engines")
    options = parser.parse_args()
    if options.one:
        one(options.one)
        return 0
    console = Console(highlight=False, soft_wrap=True)
    try:
        rehearsed(console)
        if not options.rehearse:
            real(console)
    except UnavailableError as why:
        console.print(f"no fleet on this machine: {why}")
    except RuntimeError as why:
        console.print(str(why))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
