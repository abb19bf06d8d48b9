"""The shell scripts of a release, as the environment variables they find each other by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).parent


def script(*names: str) -> str:
    return "".join((_FOLDER / f"{name}.sh").read_text() for name in names)


_LIMITED = "limited"
REACH = script(_LIMITED, "advice", "reach")
PREPARE_HOST = script("advice", "prepare_host")
RELEASE = script(_LIMITED, "release")
LEAVE = script(_LIMITED, "leave")
ROOM = script("advice", "room")
ROOM_THERE = script(_LIMITED, "room_there")
REGISTRY = script(_LIMITED, "registry")
EDGE_READY = script(_LIMITED, "edge_ready")

_COMMON = "edge_common"
_FILES = {"QUAYSIDE_FILES": script(_COMMON, "files")}
_ACCEPT = {
    "QUAYSIDE_ACCEPT": script(_COMMON, "accept"),
    "QUAYSIDE_GATE": script(_COMMON, "gate"),
    "QUAYSIDE_RESTORE": script(_COMMON, "restore"),
}
_ROUTE = {"QUAYSIDE_SWITCH": script(_COMMON, "drained", "switch", "drain")}
_FORGET = {"QUAYSIDE_FORGET": script(_COMMON, "forget")}
_FORGET_ALL = {
    **_FORGET,
    "QUAYSIDE_DRAIN": script(_COMMON, "drained", "retire", "drain"),
    "QUAYSIDE_TIDY": script(_COMMON, "tidy"),
}

WHOLE: Mapping[str, str] = {**_ACCEPT, **_ROUTE, **_FORGET}
"""What runs inside the edge in a release on one host, which has no phases."""
PHASES: Mapping[str, Mapping[str, str]] = {
    "files": _FILES,
    "accept": _ACCEPT,
    "route": _ROUTE,
    "forget": _FORGET_ALL,
    "admit": {"QUAYSIDE_ADMIT": script(_COMMON, "admit")},
    "burst": {"QUAYSIDE_BURST": script(_COMMON, "drained", "burst")},
    "settle": _FORGET_ALL,
}
"""The same in each phase of a fleet's release."""
