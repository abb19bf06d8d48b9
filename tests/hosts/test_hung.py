"""A replica that runs and does not answer is started again on a host; one that is held or new is left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planning.hosts.hung import SCRIPT
from quayside.containers import of_stack, servers
from quayside.status import verdict
from tests.hosts.shop import Stack, docker, web

pytestmark = pytest.mark.docker
_STOP = 'for p in /proc/[0-9]*; do [ "$(cat $p/comm)" != python3 ] || kill -STOP "${p#/proc/}"; done'


class Watch:
    """The script as a host runs it, on the one engine of the tests: it sees one stack's edge alone."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self._folder, self._script = folder, folder / "hung"
        self._script.write_text(SCRIPT)
        real = shutil.which("docker")
        wrapper = folder / "docker"
        own = f"--filter label=dev.quayside.stack={stack.key}"
        wrapper.write_text(f'#!/bin/sh\n[ "$1" != ps ] || set -- "$@" {own}\nexec {real} "$@"\n')
        wrapper.chmod(0o755)

    def __call__(self, limit: int = 1) -> str:
        """What one round says."""
        more = {
            "PATH": f"{self._folder}:{os.environ['PATH']}",
            "QUAYSIDE_HUNG": str(self._folder / "notes"),
            "QUAYSIDE_LIMIT": str(limit),
        }
        command = ["sh", str(self._script), "once"]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | more, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


def test_a_replica_that_hangs_is_started_again(new_stack: Callable[[dict[str, Any]], Stack], tmp_path: Path) -> None:
    stack = new_stack({"shop": web(replicas=2, health={"path": "/healthz", "grace": "1s", "timeout": "1s"})})
    stack.up()
    watch = Watch(tmp_path, stack)

    def started() -> dict[str, str]:
        return {slot: container["State"]["StartedAt"] for slot, container in stack.replicas("shop").items()}

    def up(slot: str) -> tuple[bool, str]:
        containers = of_stack(stack.key)
        found = servers(next(one for one in containers if one.role == "edge"))
        return verdict(next(one for one in containers if one.slot == slot), found)

    def until(slot: str, expected: tuple[bool, str]) -> None:
        end = time.monotonic() + 40
        while up(slot) != expected:
            assert time.monotonic() < end, up(slot)
            time.sleep(0.2)

    until("shop-1", (True, "UP"))
    before = started()
    docker("exec", stack.replicas("shop")["shop-1"]["Id"], "sh", "-c", _STOP)
    until("shop-1", (False, "hung: it runs, and the edge's check fails"))
    time.sleep(2)
    assert watch(limit=3600) == ""  # not for long enough
    docker("exec", stack.edge, "touch", "/var/lib/haproxy/before.cfg")
    assert watch() == ""  # a release is under way
    assert started() == before
    # One that was killed four hours ago is not.
    docker("exec", stack.edge, "touch", "-d", "@1000000000", "/var/lib/haproxy/before.cfg")
    assert docker("exec", stack.edge, "find", "/var/lib/haproxy/before.cfg", "-mmin", "+180")
    docker("exec", stack.edge, "rm", "/var/lib/haproxy/before.cfg")
    assert started() == before
    said = watch()
    assert said.startswith("<4>shop-1 hangs: it runs, and its health check fails; starting ")
    after = started()
    assert (after["shop-1"] != before["shop-1"], after["shop-2"]) == (True, before["shop-2"])
    until("shop-1", (True, "UP"))

    # The same one is started ever more rarely; a second one has to wait a moment; what a backup holds does not hang.
    docker("exec", stack.replicas("shop")["shop-2"]["Id"], "sh", "-c", _STOP)
    until("shop-2", (False, "hung: it runs, and the edge's check fails"))
    notes = tmp_path / "notes"
    assert (notes / "shop.shop-1").read_text().split()[1] == "1"
    (notes / "shop").write_text(f"{int(time.time())}\n")
    assert watch() == ""
    (notes / "shop").unlink()
    (notes / "shop.shop-2").write_text(f"{int(time.time())} 5\n")
    time.sleep(2)
    assert watch() == ""
    (notes / "shop.shop-2").unlink()
    held = stack.replicas("shop")["shop-2"]["Id"]
    docker("pause", held)
    assert watch() == ""
    docker("unpause", held)
    assert watch().startswith("<4>shop-2 hangs")
    until("shop-2", (True, "UP"))
