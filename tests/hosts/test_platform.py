"""Platform hetzner on three servers that are there already: deployed, released, one dies, is declared down, and leaves.

All but the preparation of the hosts is as for real: these share their file system with this machine.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from tests.hosts.fleet import Fleet, Host
from tests.hosts.shop import IMAGES, ROOT, Run
from tests.hosts.test_fleet_release import app

pytestmark = pytest.mark.docker

NAMES = ("host1", "host2", "host3")
PROGRAM = """
from pathlib import Path
import pulumi
import platforms.hetzner
import settings.rules
from platforms import deploy

settings.rules._image = lambda *_: iter(())  # the images here are from no registry, so they have no digest
platforms.hetzner.script = lambda *_: ":"
platforms.hetzner.opening = lambda *_: (":", ":")
for key, value in deploy(Path(__file__).parent).items():
    pulumi.export(key, value)
"""


class Project:
    def __init__(self, root: Path, fleet: Fleet, agent: dict[str, str]) -> None:
        self.root, self.fleet = root, fleet
        self.environment = {**os.environ, **agent, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        self.names: list[str] = list(NAMES)
        self.capacity: dict[str, Any] = {}
        self.rented: set[str] = set()
        self.more: dict[str, Any] = {}
        self.services: dict[str, Any] = {
            "web": app("1", routes=["web.{domain}"], uses=["api"], replicas=2),
            "api": app("1", routes=[], uses=["session"], place="host2"),
            "session": {
                "image": IMAGES[1],
                "command": ["redis-server", "--dir", "/data"],
                "user": "redis",
                "port": 6379,
                "protocol": "tcp",
                "memory": "64MiB",
                "volume": "/data",
                "place": "host3",
                "health": {"command": ["redis-cli", "ping"], "interval": "1s"},
            },
        }
        (root / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
        (root / "__main__.py").write_text(PROGRAM)

    def up(self) -> Run:
        servers = [
            {
                "name": n,
                "address": self.fleet[n].address,
                "cpu": 4,
                "memory": "8GiB",
                "host_key": self.fleet[n].host_key,
                "burst": n in self.rented,
            }
            for n in self.names
        ]
        config = {
            "cloud": "hetzner",
            "domain": "example.test",
            "capacity": {"existing": servers, **self.capacity},
            "access": {"ssh": ["10.0.0.0/8"]},
            **self.more,
        }
        file = self.root / "Pulumi.t.yaml"
        kept: dict[str, Any] = yaml.safe_load(file.read_text()) if file.exists() else {}
        kept["config"] = {f"quayside:{key}": value for key, value in config.items()}
        file.write_text(yaml.safe_dump(kept))
        (self.root / "services.yaml").write_text(yaml.safe_dump({"services": self.services}))
        done = subprocess.run(
            [sys.executable, "-m", "rehearsal", "t", "--apply"],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
        )
        return Run(done.returncode, done.stdout + done.stderr, 0)

    def release(self, version: str) -> Run:
        for name in ("web", "api"):
            self.services[name]["env"] = {"VERSION": version}
        return self.up()

    def versions(self, host: Host) -> tuple[str, str]:
        """Of web and of api, as a visitor of this host's edge finds them."""
        return self.ask(host, "/")["version"], self.ask(host, "/via")["version"]

    def ask(self, host: Host, path: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection(host.address, 80, timeout=10)
        connection.request("GET", path, headers={"Host": "web.example.test"})
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        assert answer.status == 200, said
        return json.loads(said)


@pytest.fixture
def project(engine: None, fleet: Fleet, tmp_path: Path) -> Iterator[Project]:
    with project_on(Project, fleet, tmp_path) as made:
        yield made


P = TypeVar("P", bound=Project)


@contextlib.contextmanager
def project_on(kind: type[P], fleet: Fleet, root: Path) -> Iterator[P]:
    """A project on a fleet's hosts, which are empty again afterwards."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("there is no ssh-agent")
    said = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    agent = dict(part.strip().split("=", 1) for part in said.split(";") if "=" in part)
    for host in fleet:
        host.ssh("mkdir -p ~/.ssh && ln -sf /run/sshd/authorized_keys ~/.ssh/authorized_keys")
    made = kind(root, fleet, agent)
    try:
        # The first time, a person's own key lets the stack's key in.
        subprocess.run(["ssh-add", "-q", str(fleet.identity)], env=made.environment, check=True)
        yield made
    finally:
        subprocess.run(["ssh-agent", "-k"], env=made.environment, capture_output=True, check=False)
        for host in fleet:
            if not host.up:
                host.restart()
            host.ssh(
                "docker ps -aq | xargs -r docker rm -f -v; docker network prune -f; docker volume ls -q | xargs -r"
                " docker volume rm -f"
            )


def test_a_fleet_lives_through_a_release_and_the_death_of_a_host(project: Project) -> None:
    fleet, first = project.fleet, project.up()
    assert first.code == 0, first.output
    for name in NAMES:
        assert project.versions(fleet[name]) == ("1", "1")
    assert "50 same" in project.up().output, "a second run changes nothing"
    released = project.release("2")
    assert released.code == 0, released.output
    for name in NAMES:
        assert project.versions(fleet[name]) == ("2", "2")

    fleet["host1"].kill()
    refused = project.release("3")
    assert refused.code == 1
    assert "host1" in refused.output
    assert "declare it down" in refused.output
    assert project.versions(fleet["host2"])[1] == "2"

    project.capacity = {"down": ["host1"]}
    moved = project.release("3")
    assert moved.code == 0, moved.output
    for name in NAMES[1:]:
        assert project.versions(fleet[name]) == ("3", "3")

    project.capacity, project.names = {}, ["host2", "host3"]
    left = project.up()
    assert left.code == 0, left.output
    for name in NAMES[1:]:
        assert project.versions(fleet[name]) == ("3", "3")
