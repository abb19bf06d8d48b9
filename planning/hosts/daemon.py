"""Docker's settings on a host: ours merged into those that stand there.

The host's own python3 runs this, with the lines that `prepare` adds: it may import nothing but the standard library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

REQUIRED = {
    "live-restore": "containers would stop whenever dockerd restarts",
    "userland-proxy": "a container's connection to its own host's public address would time out",
}
"""Keys of ours that must have our value. Of the others, a value that somebody set before us stays."""
FORBIDDEN = {
    "iptables": (False, "Docker would open no port and keep no two networks apart"),
    "ip-forward": (False, "nothing would reach a container"),
    "ip-masq": (False, "containers would reach nothing outside"),
    "firewall-backend": ("nftables", "the packet filter stands in DOCKER-USER, which only the iptables backend has"),
}
"""Key: a value with which a host of a fleet does not work, and why."""


def merge(standing: str, ours: Mapping[str, object], before: Mapping[str, object]) -> tuple[str, list[str]]:
    """The text of daemon.json, and what is in its way. ``before``: what was ours when it was written last."""
    try:
        there = read(standing)
    except ValueError as error:
        return standing, [f"is no JSON object: {error}"]
    merged = dict(there)
    for key, value in before.items():
        if key not in ours and merged.get(key) == value:
            del merged[key]
    problems: list[str] = []
    for key, value in ours.items():
        theirs = key in merged and merged[key] not in (value, before.get(key))
        if not theirs:
            merged[key] = value
        elif key in REQUIRED:
            problems.append(f"has {_said(key, merged[key])}, and {REQUIRED[key]}: set it to {json.dumps(value)}")
    # Options are those of one driver.
    if merged.get("log-driver") != ours.get("log-driver") and "log-opts" not in there:
        merged.pop("log-opts", None)
    for key, (value, why) in FORBIDDEN.items():
        if merged.get(key) == value:
            problems.append(f"has {_said(key, value)}, and {why}: remove it")
    if merged.get("userns-remap"):
        problems.append(
            f"has {_said('userns-remap', merged['userns-remap'])}, and the edge could not read its files: remove it"
        )
    return (standing if merged == there else json.dumps(merged, indent=2) + "\n"), problems


def read(text: str) -> dict[str, object]:
    value: object = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"it has {json.dumps(value)[:60]}")
    return cast("dict[str, object]", value)


def _said(key: str, value: object) -> str:
    return f"{json.dumps(key)}: {json.dumps(value)}"
