"""What a change stops for a while, and what it may do to data: a comparison says so beside the change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from rehearsal import container_spec
from rehearsal.values import mapping, sequence

CONTAINER = "docker:index/container:Container"
TASK = "aws:ecs/taskDefinition:TaskDefinition"
_COPY = "take a dump by its own tool first (docs/backups.md)"


def gaps(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Of one resource as it was and as it is to be; empty where nobody notices the change."""
    before, after = mapping(old["inputs"]) or {}, mapping(new["inputs"]) or {}
    if new["type"] == CONTAINER:
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        if not new["deleteBeforeReplace"] or not changed - container_spec.UPDATABLE - container_spec.BOOKKEEPING:
            return []
        return [
            "replaced, the old one first: it is away until the new one runs",
            *_versions(str(before.get("image")), str(after.get("image")), data=_has_data(after)),
        ]
    if new["type"] == TASK and any(
        "efsVolumeConfiguration" in (mapping(v) or {}) for v in sequence(after.get("volumes")) or ()
    ):
        images = zip(_images(before), _images(after), strict=False)
        return [
            "replaced, the old task first: it is away until the new one runs",
            *(line for then, now in images for line in _versions(then, now, data=True)),
        ]
    return []


def _has_data(inputs: Mapping[str, Any]) -> bool:
    """Volumes of files are read-only; what may be written to is data."""
    volumes = (mapping(volume) or {} for volume in sequence(inputs.get("volumes")) or ())
    return any(volume.get("volumeName") and not volume.get("readOnly") for volume in volumes)


def _images(task: Mapping[str, Any]) -> list[str]:
    try:
        containers = json.loads(str(task.get("containerDefinitions")))
    except ValueError:
        return []
    return [str(container.get("image")) for container in containers]


def _versions(old: str, new: str, *, data: bool) -> Iterator[str]:
    """A database of one major version seldom reads the files of another, and never those of a later one."""
    if not data or old == new:
        return
    (then, before), (now, after) = _parts(old), _parts(new)
    if then != now:
        yield f"DATA: another image gets the data ({then} to {now}): if it cannot read it, {_COPY}"
    elif before != after:
        yield f"DATA: written by version {before or '?'} and read by {after or '?'}: {_COPY}"
    elif before is None:
        yield f"DATA: nobody can tell if the version is another: if it is, {_COPY}"


def _parts(image: str) -> tuple[str, str | None]:
    """Repository, and the first number of its tag: `postgres`, `17`."""
    name = image.partition("@")[0]
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return name, None
    major = re.match(r"[^0-9]*([0-9]+)", tag)
    return repository, major[1] if major else None
