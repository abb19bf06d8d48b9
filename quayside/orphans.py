"""What a killed `pulumi` created and did not write down: its state does not have it, so no `up` ever removes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from planning.names import LABEL_STACK
from quayside.pulumi_cli import environment
from quayside.shell import CommandError, ask, last_line, run

_LISTED: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "container": (("ps", "--all", "--quiet", "--no-trunc"), ("rm", "--force", "--volumes")),
    "network": (("network", "ls", "--quiet", "--no-trunc"), ("network", "rm")),
}
"""What is listed, and how it is removed. Volumes stay: they may hold data, and a state that lacks them is no proof."""


def remove_orphans(root: Path, stack: str, label: str, say: Callable[[str], None]) -> None:
    """Remove the stack's containers and networks that Pulumi's state does not have; after an `up` that succeeded."""
    ids = _ids(root, stack)
    for kind, (listing, removal) in _LISTED.items():
        listed = ask(["docker", *listing, "--filter", f"label={LABEL_STACK}={label}"])
        if listed.returncode:
            raise CommandError(f"Docker does not list what the stack has: {last_line(listed.stderr)}")
        for orphan in sorted(set(listed.stdout.split()) - ids):
            name = ask(["docker", "inspect", "--format", "{{.Name}}", orphan]).stdout.strip().lstrip("/")
            done = run(["docker", *removal, orphan], timeout=60)
            if done.returncode:
                say(f"  {kind} {name} was left by a deployment that was killed, and is there: {last_line(done.stderr)}")
            else:
                say(f"  - {kind} {name}, left by a deployment that was killed")


def _ids(root: Path, stack: str) -> set[str]:
    """Of everything that Pulumi's state of the stack has."""
    exported = run(["pulumi", "stack", "export", "--stack", stack], env=environment(root), cwd=root, timeout=60)
    if exported.returncode:
        raise CommandError(f"`pulumi stack export` failed: {last_line(exported.stderr)}")
    document: Mapping[str, Any] = json.loads(exported.stdout)
    deployment: Mapping[str, Any] = document.get("deployment") or {}
    resources: Sequence[Mapping[str, Any]] = deployment.get("resources") or []
    ids = {str(resource["id"]) for resource in resources if resource.get("id")}
    if not ids:
        raise CommandError(f"Pulumi's state of {stack} is empty after an `up`: nothing was removed")
    return ids
