"""What a fleet of the tests leaves on the machine, how it goes even after a crash, and the images that stay cached."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from tests.hosts.shop import ROOT

HOME = Path("/var/tmp/quayside-fleet")  # a socket's path may have 107 characters at most, and /tmp may be in memory
CACHE = ROOT / ".quayside" / "images"


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 or not check, f"{shlex.join(command)}: {done.stderr.strip()}"
    return done.stdout


def until(what: str, ready: Callable[[], bool], seconds: float, log: Path | None = None) -> None:
    end = time.monotonic() + seconds
    while not ready():
        tail = log.read_text(errors="replace")[-2000:] if log and log.exists() else ""
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s\n{tail}"
        time.sleep(0.03)


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def lock(name: str) -> IO[str] | None:
    """Held for as long as the process lives; None where another run has it."""
    path = HOME / f"{name}.lock"
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
    except OSError:
        pass  # held by another run, or by one that ended and removed it just now
    file.close()
    return None


def sweep_abandoned() -> None:
    for path in HOME.glob("qf*.lock"):
        file = lock(path.stem)
        if file is not None:
            with file:
                sweep(path.stem)
                path.unlink(missing_ok=True)


def sweep(fleet: str) -> None:
    """Remove every trace of a fleet: processes, namespaces, links, cgroups, mounts, files."""
    for space in (line.split()[0] for line in run("ip", "netns", "list").splitlines() if line.strip()):
        if space == fleet or space.startswith(f"{fleet}-"):
            delete_namespace(space)
    run("ip", "link", "delete", fleet, check=False)
    until(f"cgroups of {fleet}", functools.partial(_remove_cgroups, fleet), 20)
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        if line.split()[1].startswith(f"{HOME}/{fleet}/"):
            run("umount", "-l", line.split()[1], check=False)
    shutil.rmtree(HOME / fleet, ignore_errors=True)


def delete_namespace(space: str) -> None:
    end = time.monotonic() + 20
    while pids := run("ip", "netns", "pids", space, check=False).split():
        assert time.monotonic() < end, f"{space}: processes {pids} do not end"
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.02)
    run("ip", "netns", "delete", space, check=False)


def _remove_cgroups(fleet: str) -> bool:
    root = Path("/sys/fs/cgroup")
    for top in (path for base in (root, *root.glob("*/")) for path in base.glob(f"{fleet}/")):
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                Path(folder).rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
    return True


def archive_of(images: tuple[str, ...]) -> Path | None:
    """The images as one file for ``docker load``, made once for what their names mean now."""
    if not images:
        return None
    ids = run("docker", "image", "inspect", "-f", "{{.Id}}", *images)
    digest = hashlib.sha256(repr((images, ids)).encode()).hexdigest()[:12]
    path = CACHE / f"fleet-{digest}.tar"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        _forget_old_archives()
        unfinished = path.with_suffix(f".{os.getpid()}")
        run("docker", "save", "-o", str(unfinished), *images)
        unfinished.replace(path)
    return path


def _forget_old_archives() -> None:
    """Keep the last few: they are as large as the images."""
    archives = sorted(CACHE.glob("fleet-*.tar"), key=lambda path: path.stat().st_mtime)
    for former in archives[:-3]:
        former.unlink(missing_ok=True)
