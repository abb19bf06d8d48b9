"""What a `pulumi` that was killed had begun to create, and does not know whether it did.

Its state says what was begun, and that is all: the next `up` creates a second container, and cannot create a second
network of the same name. So what was begun and is there, and is not in the state, is removed first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from planning.names import LABEL_ROLE, LABEL_STACK, ROLE_FILES
from quayside.pulumi_cli import environment
from quayside.shell import CommandError, ask, last_line, run

_KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "docker:index/container:Container": ("container", ("rm", "--force", "--volumes")),
    "docker:index/network:Network": ("network", ("network", "rm")),
    "docker:index/volume:Volume": ("volume", ("volume", "rm")),
}
"""Type → what Docker calls it, and how it is removed, containers first."""
_FORMS: Mapping[str, str] = {
    "container": "{{.Id}} {{index .Config.Labels %s}} {{index .Config.Labels %s}}",
    "network": "{{.Id}} {{index .Labels %s}} {{index .Labels %s}}",
    "volume": "{{.Name}} {{index .Labels %s}} {{index .Labels %s}}",
}
"""The id, the stack and the role."""


def remove_orphans(root: Path, stack: str, label: str, say: Callable[[str], None]) -> None:
    """Remove what killed deployments of a stack on this machine have left; before an `up`."""
    deployment = _exported(root, stack)
    resources: Sequence[Mapping[str, Any]] = deployment.get("resources") or []
    ids = {str(resource["id"]) for resource in resources if resource.get("id")}
    for type_, (kind, removal) in _KINDS.items():
        for name in _begun(deployment, type_):
            id_ = _id(kind, name, label)
            if not id_ or id_ in ids:
                continue
            done = run(["docker", *removal, id_], timeout=60)
            if done.returncode:
                raise CommandError(
                    f"{kind} {name} was left by a deployment that was killed, and cannot be removed: "
                    f"{last_line(done.stderr)}\n    `docker {' '.join(removal)} {name}` says more"
                )
            say(f"  - {kind} {name}, left by a deployment that was killed")


def _exported(root: Path, stack: str) -> Mapping[str, Any]:
    exported = run(["pulumi", "stack", "export", "--stack", stack], env=environment(root), cwd=root, timeout=60)
    if exported.returncode:
        raise CommandError(f"`pulumi stack export` failed: {last_line(exported.stderr)}")
    document: Mapping[str, Any] = json.loads(exported.stdout)
    return document.get("deployment") or {}


def _begun(deployment: Mapping[str, Any], type_: str) -> Iterator[str]:
    """Names of what was to be created when the engine ended."""
    operations: Sequence[Mapping[str, Any]] = deployment.get("pending_operations") or []
    for operation in operations:
        resource: Mapping[str, Any] = operation.get("resource") or {}
        inputs: Mapping[str, Any] = resource.get("inputs") or {}
        name = inputs.get("name")
        if operation.get("type") == "creating" and resource.get("type") == type_ and name:
            yield str(name)


def _id(kind: str, name: str, label: str) -> str:
    """Of this name and this stack, or nothing. Of volumes, only those of files: any other may hold data."""
    form = _FORMS[kind] % (f'"{LABEL_STACK}"', f'"{LABEL_ROLE}"')
    shown = ask(["docker", kind, "inspect", "--format", form, name])
    id_, _, owner = shown.stdout.strip().partition(" ")
    stack, _, role = owner.partition(" ")
    mine = shown.returncode == 0 and stack == label and (kind != "volume" or role == ROLE_FILES)
    return id_ if mine else ""
