"""The Docker engine of this machine: there, or installed from Debian's packages, or started, or the reason why not."""

from __future__ import annotations

import getpass
import grp
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from quayside.shell import HANGS, RESTART, TIMED_OUT, CommandError, HangsError, as_root, ask, found, last_line, run
from quayside.standins import refresh_lists

Say = Callable[[str], None]

SOCKET = Path("/var/run/docker.sock")
START = 60.0
"""Seconds an engine may take to answer after it was started."""
PACKAGES = ("docker.io", "iptables", "ca-certificates")


def ensure(state: Path, say: Say) -> None:
    """Make sure that an engine answers, and that everything started from here talks to the same one."""
    one_engine()
    if found("docker") and answers():
        return
    if os.environ.get("DOCKER_HOST"):
        raise CommandError(
            f"no Docker engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}\n"
            f"    start it there, or unset DOCKER_HOST to use this machine's"
        )
    if sys.platform != "linux":
        raise CommandError("Docker is not running\n    start Docker Desktop (or another engine), then run this again")
    if not (found("docker") and found("dockerd")) and not SOCKET.exists():
        install(say)
    if not answers():
        refused_by_permission(say)
        start(state, say)
    refused_by_permission(say)


def require() -> None:
    """For commands that only look: an engine must answer, nothing is installed or started."""
    one_engine()
    if not found("docker"):
        raise CommandError("Docker is not installed\n    `make up` installs and starts it")
    if not answers():
        reason = last_line(ask(["docker", "version"], timeout=20).stderr)
        raise CommandError(f"Docker is not running: {reason}\n    `make up` starts it")


def one_engine() -> None:
    """The containers and the routing must reach the same engine, which a Docker context would part."""
    context = os.environ.get("DOCKER_CONTEXT")
    if context:
        raise CommandError(
            f"DOCKER_CONTEXT is set to {context}: the Docker provider would use it and the routing step would not\n"
            f"    unset DOCKER_CONTEXT, and set DOCKER_HOST where another engine is meant"
        )
    if not os.environ.get("DOCKER_HOST") and not SOCKET.exists() and found("docker"):
        # Docker Desktop, Colima and others listen elsewhere and say so in the CLI's current context.
        done = ask(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"], timeout=20)
        address = done.stdout.strip()
        if done.returncode == 0 and address.startswith("unix://") and Path(address.removeprefix("unix://")).exists():
            os.environ["DOCKER_HOST"] = address


def answers() -> bool:
    """Whether the engine answers a question."""
    done = ask(["docker", "version", "--format", "{{.Server.Version}}"], timeout=20)
    return done.returncode == 0 and bool(done.stdout.strip())


def install(say: Say) -> None:
    """Install the engine from Debian's packages."""
    root = as_root()
    if not found("apt-get"):
        raise CommandError(
            "Docker is not installed, and this is no Debian or Ubuntu\n    install it, then run this again"
        )
    if root is None:
        raise CommandError(
            f"Docker is not installed, and installing it needs root\n"
            f"    run `sudo apt-get install --no-install-recommends {' '.join(PACKAGES)}`, then this again"
        )
    say("Docker is not installed: installing it from Debian's packages")
    began = time.monotonic()
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends"]
    refresh_lists()
    done = run([*root, *quiet, *PACKAGES], timeout=600)
    if done.returncode == 0 and not found("docker"):
        done = run([*root, *quiet, "docker-cli"], timeout=300)  # a package of its own since Debian 13
    if done.returncode:
        raise CommandError(f"Docker could not be installed: {last_line(done.stderr)}")
    say(f"Docker is installed ({time.monotonic() - began:.0f} s)")
    user = getpass.getuser()
    if root and user not in grp.getgrnam("docker").gr_mem:
        run([*root, "usermod", "-aG", "docker", user], timeout=60)
        say(f"{user} is now in the group `docker`, which is as good as root on this machine")


def refused_by_permission(say: Say) -> None:
    """A running engine that refuses this user: take up a group membership this login does not have yet, or explain."""
    done = ask(["docker", "version"], timeout=20)
    if done.returncode == 0 or "permission denied" not in done.stderr.lower():
        return
    user = getpass.getuser()
    try:
        member = user in grp.getgrnam("docker").gr_mem
    except KeyError:
        member = False
    if member and found("sg") and not os.environ.get("QUAYSIDE_REGROUPED"):
        os.environ["QUAYSIDE_REGROUPED"] = "1"
        say("continuing as a member of the group `docker`")
        sys.stdout.flush()
        os.execvp("sg", ["sg", "docker", "-c", shlex.join([sys.executable, "-m", "quayside", *sys.argv[1:]])])  # noqa: S606
    raise CommandError(
        f"{user} may not use Docker\n    run `sudo usermod -aG docker {user}`, log in again, then run this again"
    )


def start(state: Path, say: Say) -> None:
    """Start the engine: by systemd where that is the init system, otherwise by itself, detached from this terminal."""
    root = as_root()
    if root is None:
        raise CommandError(
            "Docker is installed but not running\n    run `sudo systemctl start docker`, then this again"
        )
    if Path("/run/systemd/system").is_dir():
        say("starting Docker")
        done = run([*root, "systemctl", "start", "docker"], timeout=120)
        if done.returncode:
            raise CommandError(f"Docker does not start: {last_line(done.stderr)}\n    `journalctl -u docker` says why")
        wait_for_answer(None)
        return
    if _running(Path("/var/run/docker.pid")):
        wait_for_answer(None)  # someone else has just started it
        return
    say("starting Docker (no init system does it here)")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = state / "dockerd.log"
    command = [*root, "dockerd", "--pidfile", str(state / "dockerd.pid")]
    if "live-restore" not in _daemon_settings():
        command.append("--live-restore")  # what the edge serves outlives the engine
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/"
        )
    wait_for_answer((process, log))


def wait_for_answer(started: tuple[subprocess.Popen[bytes], Path] | None) -> None:
    """Wait until the engine answers; when it ended instead, show its last words."""
    end = time.monotonic() + START
    hangs = False
    while time.monotonic() < end:
        done = run(["docker", "version"], timeout=20)
        hangs = done.returncode == TIMED_OUT
        if done.returncode == 0 or "permission denied" in done.stderr.lower():
            return
        if started is not None and started[0].poll() is not None:
            break
        time.sleep(0.2)
    if hangs:
        raise HangsError(f"{HANGS} {START:g} s after its start\n    {RESTART}")
    reason = "it does not answer"
    if started is not None:
        reason = last_line(started[1].read_text(errors="replace"))
        reason = f"{reason}\n    the whole log is in {started[1]}"
    raise CommandError(f"Docker does not start: {reason}")


def stop_own(state: Path, say: Say) -> None:
    """Stop the engine that `up` started itself, once nothing runs on it any more."""
    pidfile = state / "dockerd.pid"
    pid = _running(pidfile)
    if pid is None:
        return
    others = ask(["docker", "ps", "--quiet"], timeout=20)
    if others.returncode or others.stdout.strip():
        say("Docker keeps running: it has other containers")
        return
    root = as_root()
    if root is None:
        say(f"Docker (process {pid}) keeps running: stopping it needs root")
        return
    if root:
        run([*root, "kill", str(pid)], timeout=30)
    else:
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 30
    while _running(pidfile) and time.monotonic() < end:
        time.sleep(0.1)
    say(
        "Docker is stopped, which `up` had started"
        if not _running(pidfile)
        else f"Docker (process {pid}) does not stop"
    )


def _running(pidfile: Path) -> int | None:
    """The process a pid file names, if it is a living dockerd."""
    try:
        pid = int(pidfile.read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    return pid if name == "dockerd" and state != "Z" else None


def _daemon_settings() -> dict[str, object]:
    try:
        return dict(json.loads(Path("/etc/docker/daemon.json").read_text()))
    except (OSError, ValueError):
        return {}
