"""What may lie where in a container: its volume, its writable folders, and the folders of its files.

Each is a mount. Docker takes one mount a path ("Duplicate mount point"), ECS too; and some paths are their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from posixpath import dirname

from settings.problems import Problem
from settings.service import Service

TMP = "/tmp"  # noqa: S108  # a mount point, not a file
"""Writable in every container."""
_OWN_FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
"""Docker mounts its own over whatever is there."""
_OWN_FOLDERS = ("/proc", "/sys", "/dev")
"""Of the kernel. runc mounts nothing inside the first two; below the third there may be anything."""
_INIT = ("/sbin", "/usr/sbin")
"""Docker puts the first process of the container there, and needs a folder that it can write, or the image's own."""


def folders(service: Service) -> list[str]:
    """Folders that are mounted read-only, with the files of the service in them."""
    return sorted({dirname(path) for path in service.files})


def inner_folders(service: Service) -> list[str]:
    """What is mounted inside the folders of the files: those are read-only, so its place has to be there before."""
    inner = {*service.writable, *folders(service), *([service.volume.path] if service.volume is not None else [])}
    return sorted(path for path in inner if any(path.startswith(f"{folder}/") for folder in folders(service)))


def check(at: str, service: Service) -> Iterator[Problem]:
    volume = service.volume.path if service.volume is not None else None
    if volume is not None:
        yield from _place(f"{at}/volume", volume)
    if volume == TMP:
        yield Problem(f"{at}/volume", f"{TMP} is writable in every container, and gone with it", "name another folder")
    for number, path in enumerate(service.writable):
        yield from _place(f"{at}/writable/{number}", path)
        if path == volume:
            fix = "leave it out: a volume is writable"
            yield Problem(f"{at}/writable/{number}", f"names {path}, which is the volume", fix)
    empty = {
        TMP: "starts empty with every container",
        **dict.fromkeys(service.writable, "is writable, and starts empty"),
    }
    if volume is not None:
        empty[volume] = "is the volume"
    files = set(service.files)
    for path in service.files:
        yield from _file(f"{at}/files{path}", path, empty, files)


def _place(at: str, path: str) -> Iterator[Problem]:
    fix = "name another folder"
    if path in _OWN_FILES:
        yield Problem(at, f"{path} is a file that the engine writes itself", fix)
    elif path in (*_OWN_FOLDERS, *_INIT) or path.startswith(("/proc/", "/sys/")):
        yield Problem(at, f"{path} is the system's own, and nothing can be put in its place", fix)


def _file(at: str, path: str, empty: Mapping[str, str], files: set[str]) -> Iterator[Problem]:
    folder = dirname(path)
    mounts = [mount for mount in (*empty, *(dirname(file) for file in files)) if f"{mount}/".startswith(f"{path}/")]
    if folder in empty:
        yield Problem(at, f"its folder {folder} {empty[folder]}", "put the file into another folder")
    elif path in empty:
        yield Problem(at, "is a folder already (volume or writable)", "name a file inside another folder")
    elif mounts:
        yield Problem(at, f"cannot be a file: {min(mounts)} is a folder of this service", "give one another name")
    elif path in _OWN_FILES:
        yield Problem(at, "is a file that the engine writes itself", "remove it")
    else:
        yield from _place(at, folder)
