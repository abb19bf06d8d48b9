"""``python -m tests.bench_scale``: what 10, 100 and 1,000 services on AWS cost to rehearse, and what of it is quayside.

The baseline registers exactly the same custom resources with the same inputs and the same dependencies, from a flat
program without settings, plan or components: what is recorded of quayside's run, written out as one call of the
provider's SDK each, in which an input that came from another resource comes from it again. Both run in processes of
their own, under the same rehearsal with the same checks.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
SIZES = (10, 100, 1000)
GOAL = 1.15
A_BALANCER = 40
"""Services behind one balancer: two target groups each, and a balancer takes 100."""
CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef"
RECORDED = "recorded.pickle"

FLAT = '''\
"""Every resource that quayside registered, registered again with the same inputs and nothing around them."""

import importlib
import pickle
from pathlib import Path

import pulumi
from pulumi import _types
from rehearsal.checks import _args_class


def lifted(value):
    """A recorded value as an input: what was secret is so again."""
    if isinstance(value, dict):
        if "secret value" in value:
            return pulumi.Output.secret(value["secret value"])
        return {key: lifted(item) for key, item in value.items()}
    return [lifted(item) for item in value] if isinstance(value, list) else value


made = {}


def wired(value, urns):
    """The value as the output of what it came from, as a program without components would write it."""
    if not urns:
        return lifted(value)
    return pulumi.Output.all(*(made[urn].urn for urn in urns)).apply(lambda _: value)


for urn, type_, name, inputs, through, after in pickle.loads(Path("recorded.pickle").read_bytes()):
    package, _, rest = type_.partition(":")
    module, _, kind = rest.partition(":")
    sdk = importlib.import_module(f"pulumi_{package}")
    folder = module.partition("/")[0]
    place = sdk if folder == "index" else importlib.import_module(f"pulumi_{package}.{folder}")
    names = {camel: snake for snake, camel in _types.input_type_py_to_pulumi_names(_args_class(type_)).items()}
    made[urn] = getattr(place, kind)(
        name,
        **{names[key]: wired(value, through.get(key)) for key, value in inputs.items()},
        opts=pulumi.ResourceOptions(depends_on=[made[urn] for urn in after]),
    )
'''


@dataclass(frozen=True, slots=True)
class Run:
    """One rehearsal in a process of its own."""

    seconds: float
    """Of the clock."""
    cpu: float
    """Seconds of the processor: what a busy machine does not blur, and the ratio is made of."""
    megabytes: float
    resources: int
    problems: list[str]


def settings(count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """services.yaml and Pulumi.bench.yaml for `count` services, in groups of ten that use one another."""
    services: dict[str, Any] = {}
    for number in range(count):
        name = f"svc{number:04d}"
        route = f"{name}.{{domain}}"
        services[name] = {
            "image": "ghcr.io/acme/app@sha256:" + "a" * 64,
            "port": 8080,
            "routes": [route],
            "priority": {route: 1000 + number % A_BALANCER},
            "balancer": 1 + number // A_BALANCER,
            "cpu": 0.25,
            "memory": "512MiB",
            "replicas": {"min": 2, "max": 6, "cpu": 60, "requests": 600},
            "health": "/healthz",
            "env": {"LEVEL": "info", "NUMBER": str(number)},
            "secrets": {"KEY": "shared"},
            "drain": "30s",
            "on": "fargate",
            **({"uses": [f"svc{number - 1:04d}"]} if number % 10 else {}),
        }
    stack = {
        "aws:region": "eu-central-1",
        "quayside:cloud": "aws",
        "quayside:domain": "example.com",
        "quayside:dns": {"provider": "manual"},
        "quayside:balancer": {"certificates": [CERTIFICATE]},
        "quayside:capacity": {"zones": 3, "fargate": {"spot": 50}},
        "quayside:secrets": {"shared": {"secure": "v1:AAAA:BBBB"}},
    }
    return {"services": services}, {"config": stack}


def write(folder: Path, count: int) -> None:
    services, stack = settings(count)
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: bench\nruntime: python\n")
    (folder / "__main__.py").write_text((ROOT / "__main__.py").read_text())
    (folder / "services.yaml").write_text(yaml.safe_dump(services))
    (folder / "Pulumi.bench.yaml").write_text(yaml.safe_dump(stack))


def write_flat(folder: Path, recorded: Path) -> None:
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: bench\nruntime: python\n")
    (folder / "__main__.py").write_text(FLAT)
    (folder / "Pulumi.bench.yaml").write_text(yaml.safe_dump({"config": {"aws:region": "eu-central-1"}}))
    (folder / RECORDED).write_bytes(recorded.read_bytes())


def one(folder: Path) -> None:
    """The process that is measured: rehearse the stack in `folder`, and keep what it registered."""
    from rehearsal import rehearse

    began, used = time.perf_counter(), time.process_time()
    report = rehearse("bench", folder)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    custom = [found for found in report.registrations if found.custom]
    if not (folder / RECORDED).exists():
        (folder / RECORDED).write_bytes(pickle.dumps(_recorded(custom)))
    problems = [str(problem) for problem in report.problems]
    sys.stdout.write(json.dumps([seconds, cpu, peak, len(custom), problems]) + "\n")


def _recorded(custom: list[Any]) -> list[Any]:
    """What each is, in an order in which all it depends on comes first.

    Components keep equal names of one type apart; a flat program needs a number.
    """
    from graphlib import TopologicalSorter

    from pulumi.runtime import rpc

    from rehearsal.values import Unknown, revealed, transform

    def plain(leaf: Any) -> Any:
        return rpc.UNKNOWN if isinstance(leaf, Unknown) else {"secret value": revealed(leaf.value)}

    by_urn = {made.urn: made for made in custom if not made.type.startswith("pulumi:")}
    needs = {urn: [other for other in made.needs if other in by_urn] for urn, made in by_urn.items()}
    seen: dict[tuple[str, str], int] = {}
    found: list[Any] = []
    for urn in TopologicalSorter(needs).static_order():
        made = by_urn[urn]
        number = seen[made.type, made.name] = seen.get((made.type, made.name), 0) + 1
        name = made.name if number == 1 else f"{made.name}{number}"
        through = {key: [u for u in urns if u in by_urn] for key, urns in made.property_dependencies.items()}
        inside = {u for urns in through.values() for u in urns}
        after = [u for u in made.dependencies if u in by_urn and u not in inside]
        found.append((urn, made.type, name, transform(made.inputs, plain), through, after))
    return found


def measure(folder: Path) -> Run:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.bench_scale", "--one", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip()[-2000:])
    return Run(*json.loads(done.stdout.strip().splitlines()[-1]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench_scale", description=__doc__)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of services, with commas")
    options = parser.parse_args()
    if options.one:
        one(options.one)
        return 0
    console = Console(highlight=False, soft_wrap=True)
    table = Table(title="Rehearsals of an AWS stack")
    for column in ("services", "resources", "s", "CPU s", "CPU s flat", "ratio", "MiB", "MiB flat", "CPU ms a service"):
        table.add_column(column, justify="right")
    worst = 0.0
    for count in (int(text) for text in options.sizes.split(",")):
        with tempfile.TemporaryDirectory(prefix="quayside-scale-") as home:
            ours, flat = Path(home) / "quayside", Path(home) / "flat"
            write(ours, count)
            try:
                mine = measure(ours)
                write_flat(flat, ours / RECORDED)
                base = measure(flat)
            except RuntimeError as why:
                console.print(f"{count} services: {why}")
                return 1
        ratio = mine.cpu / base.cpu
        worst = max(worst, ratio)
        table.add_row(
            f"{count:,}",
            f"{mine.resources:,}",
            f"{mine.seconds:.1f}",
            f"{mine.cpu:.1f}",
            f"{base.cpu:.1f}",
            f"{ratio:.2f}",
            f"{mine.megabytes:.0f}",
            f"{base.megabytes:.0f}",
            f"{1000 * mine.cpu / count:.0f}",
        )
        for problem in mine.problems[:5]:
            console.print(f"  {problem}")
        if mine.resources != base.resources:
            console.print(f"  the baseline has {base.resources} resources: not the same program")
    console.print(table)
    console.print(f"goal: a ratio of at most {GOAL}; {'met' if worst <= GOAL else 'missed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
