"""The fleet of the tests is what it claims: separate machines, reached by ssh, gone without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.hosts.fleet import Fleet, missing
from tests.hosts.fleet_remains import HOME, archive_of
from tests.hosts.shop import IMAGES, ROOT

pytestmark = pytest.mark.docker

REDIS = IMAGES[1]


def test_each_host_is_a_machine_of_its_own(fleet: Fleet) -> None:
    assert {host.ssh("hostname") for host in fleet} == set(fleet.hosts)
    assert len({host.ssh("docker info -f '{{.ID}}'") for host in fleet}) == len(fleet.hosts)
    assert len({host.host_key for host in fleet}) == len(fleet.hosts)
    first, second, *_ = fleet
    first.ssh("touch /root/here /run/here")
    assert "here" not in second.ssh("ls /root /run")
    assert second.ssh("ps -e -o comm= | sort -u | grep -c dockerd") == "1"
    id_ = first.docker("run", "-d", "--name", "only-here", "-p", "6379:6379", REDIS)
    assert second.docker("ps", "-aq") == ""
    assert first.ssh("docker ps -q --no-trunc") == id_
    assert fleet.scan(first.address, (22, 6379, 6380)) == [22, 6379]
    assert fleet.scan(first.address, (22, 6379, 6380), origin=second) == [22, 6379]
    assert fleet.scan(second.address, (22, 6379)) == [22]
    first.docker("rm", "-f", "only-here")


def test_another_host_key_is_refused(fleet: Fleet) -> None:
    first, second, *_ = fleet
    options = first.ssh_opts_for(second.host_key)
    done = subprocess.run(
        ["ssh", *options, "-o", "BatchMode=yes", f"root@{first.address}", "true"], capture_output=True, text=True
    )
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


def test_no_host_has_a_way_out(fleet: Fleet) -> None:
    for host in fleet:
        assert host.inside("ip", "route", "show", "default") == ""


def test_what_crosses_the_wire_can_be_read(fleet: Fleet) -> None:
    first, second, *_ = fleet
    first.docker("run", "-d", "--name", "wire", "-p", "6379:6379", REDIS)
    talk = f"for i in 1 2 3; do echo 'ECHO in-the-open'; sleep 0.1; done | nc -w 1 {first.address} 6379"
    with fleet.capture() as wire:
        said = second.docker("run", "--rm", "--network", "host", "--entrypoint", "sh", REDIS, "-c", talk)
    first.docker("rm", "-f", "wire")
    assert said.count("in-the-open") == 3
    there, back = wire.find(b"in-the-open")
    assert {there.source, there.target} == {first.address, second.address}
    assert {wire.stream(flow).count(b"in-the-open") for flow in (there, back)} == {3}
    assert {there.source_port, back.source_port} >= {6379}
    with fleet.capture() as wire:
        second.ssh("echo over-ssh")
    assert not wire.find(b"over-ssh")
    assert any(flow.target_port == 22 and size > 1000 for flow, size in wire.flows.items())


def test_a_dead_host_answers_nothing_and_comes_back_with_its_disk(fleet: Fleet) -> None:
    host = list(fleet)[-1]
    host.ssh("touch /root/on-disk /run/in-memory")
    stays = host.docker("run", "-d", "--restart", "always", REDIS)
    ends = host.docker("run", "-d", REDIS)
    host.kill()
    assert not host.up
    assert fleet.scan(host.address, [22]) == []
    host.restart()
    assert host.ssh("ls /root; ls /run | grep in-memory || true") == "on-disk"  # by the same host key: it is pinned
    end = time.monotonic() + 10
    while host.docker("ps", "-q", "--no-trunc") != stays:
        assert time.monotonic() < end
        time.sleep(0.1)
    host.docker("rm", "-f", stays, ends)


def test_what_a_crashed_run_left_is_swept(engine: None) -> None:
    if why := missing():
        pytest.skip(why)
    script = "import os, signal; from tests.hosts.fleet import Fleet; f = Fleet.start(['lost'], images=[])\n"
    script += f"f['lost'].docker('load', '-q', '-i', {str(_redis())!r}); f['lost'].docker('run', '-d', {REDIS!r})\n"
    script += "print(f.id, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    crashed = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, env={**os.environ}
    )
    assert crashed.returncode == -signal.SIGKILL, crashed.stderr
    lost = crashed.stdout.strip()
    assert _traces(lost)
    with Fleet.start([], images=[]) as other:
        assert not _traces(lost) or other.id == lost
    assert not _traces(lost)
    assert not _traces(other.id)


def _redis() -> Path:
    path = archive_of((REDIS,))
    assert path is not None
    return path


def _traces(fleet: str) -> list[str]:
    found = [
        str(path) for folder in ("/run/netns", "/sys/class/net", str(HOME)) for path in Path(folder).glob(f"{fleet}*")
    ]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{fleet}")]
    found += [line for line in Path("/proc/self/mounts").read_text().splitlines() if fleet in line]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"{HOME}/{fleet}/" in process.read_text():
                found.append(process.read_text())
        except OSError:
            continue
    return found
