"""The Docker daemon away for two minutes: the edge and what is behind it serve on.

It needs a daemon that may be stopped, so it starts its own in a network namespace, where the machine's own daemon does
not notice; only with ``QUAYSIDE_FULL=1``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hosts.shop import IMAGES, Stack, docker, probe, takes_minutes, web

pytestmark = [pytest.mark.docker, pytest.mark.slow]

OUTAGE = float(os.environ.get("QUAYSIDE_OUTAGE", "120"))
ASK = """
import json, sys, time, urllib.request

address, seconds = sys.argv[1], float(sys.argv[2])
requests, failures, end = 0, [], time.monotonic() + seconds
while time.monotonic() < end:
    for host, path, key, wanted in (("shop", "/", "version", "1"), ("friend", "/fetch?url=http://web/", "status", 200)):
        requests += 1
        request = urllib.request.Request(f"http://{address}:10080{path}", headers={"Host": f"{host}.localhost"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                body = json.loads(answer.read())
            if body[key] != wanted:
                failures.append(str(body))
        except (OSError, ValueError, KeyError) as error:
            failures.append(repr(error))
    time.sleep(0.1)
print(json.dumps([requests, failures]))
"""


@contextmanager
def daemon(folder: Path, socket: str) -> Iterator[None]:
    """A Docker daemon with live-restore; leaving the block stops it, and its containers run on."""
    command = ["nsenter", f"--net=/run/netns/{folder.name}", "dockerd", "--live-restore", "--bridge", "none"]
    command += ["-H", socket, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/run"]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--pidfile", f"{folder}/pid"], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        end = time.monotonic() + 60
        while subprocess.run(["docker", "-H", socket, "info"], capture_output=True).returncode != 0:
            assert process.poll() is None, (folder / "log").read_text()[-1500:]
            assert time.monotonic() < end, (folder / "log").read_text()[-1500:]
            time.sleep(0.5)
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def home(engine: None) -> Iterator[Path]:
    """A folder for the daemon, and a network namespace of the same name."""
    folder = Path(tempfile.mkdtemp(prefix="qs-"))  # a socket's path may have 107 characters at most
    subprocess.run(["ip", "netns", "add", folder.name], check=True)
    subprocess.run(["ip", "-n", folder.name, "link", "set", "lo", "up"], check=True)
    yield folder
    subprocess.run(["ip", "netns", "delete", folder.name], check=True)
    # The daemon mounts its folder onto itself, and leaves that behind with live-restore.
    subprocess.run(["umount", "-l", f"{folder}/data"], capture_output=True)
    shutil.rmtree(folder)


@takes_minutes
@pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("dockerd", "ip", "nsenter"))),
    reason="needs root, dockerd, ip and nsenter",
)
def test_the_edge_serves_on_without_the_daemon(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tmp_path / "images.tar"
    docker("save", "-o", str(images), *IMAGES)
    socket = f"unix://{home}/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", socket)
    services = {"web": web(routes=["shop.{domain}"], replicas=2, env={"VERSION": "1"}), "friend": probe(uses=["web"])}
    stack = Stack(tmp_path / "project", services)
    try:
        with daemon(home, socket):
            docker("load", "-i", str(images))
            stack.up()
            networks = stack.containers("edge")[0]["NetworkSettings"]["Networks"]
            edge = networks[f"0-{stack.prefix[:-1]}"]["IPAddress"]
        # Not by the published port: on loopback that is a process of the daemon, and ends with it.
        inside = ["nsenter", f"--net=/run/netns/{home.name}", sys.executable, "-c", ASK, edge, str(OUTAGE)]
        done = subprocess.run(inside, capture_output=True, text=True, check=True)
        requests, failures = json.loads(done.stdout)
        print(f"{requests} requests in {OUTAGE:.0f} s without the daemon, {len(failures)} failed")
        assert requests > OUTAGE
        assert failures == []
        with daemon(home, socket):
            stack.services["web"]["env"]["VERSION"] = "2"
            stack.up()
    finally:
        with daemon(home, socket):
            stack.remove()
