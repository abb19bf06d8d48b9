"""Platform hetzner on three servers that are there already: deployed, released, one dies, is declared down, and leaves.

All but the preparation of the hosts is as for real: these share their file system with this machine.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from tests.hosts.fleet import Fleet, Host
from tests.hosts.load import Running
from tests.hosts.shop import IMAGES, ROOT, Run, agent_with, ended, rehearsal, session, takes_minutes
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
platforms.hetzner.opened = lambda *_: (":", ":")
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
        self.memory = "8GiB"
        self.edge: dict[str, Any] = {}
        self.services: dict[str, Any] = {
            "web": app("1", routes=["web.{domain}"], uses=["api"], replicas=2),
            "api": app("1", routes=[], uses=["session"], place="host2"),
            "session": session(place="host3"),
        }
        (root / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
        (root / "__main__.py").write_text(PROGRAM)

    def up(self) -> Run:
        return ended(self.start())

    def write(self) -> None:
        """The files of the project as they are meant now."""
        servers = [
            {
                "name": n,
                "address": self.fleet[n].address,
                "cpu": 4,
                "memory": self.memory,
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
            "edge": {"image": IMAGES[0], **self.edge},
            **self.more,
        }
        file = self.root / "Pulumi.t.yaml"
        kept: dict[str, Any] = yaml.safe_load(file.read_text()) if file.exists() else {}
        kept["config"] = {f"quayside:{key}": value for key, value in config.items()}
        file.write_text(yaml.safe_dump(kept))
        (self.root / "services.yaml").write_text(yaml.safe_dump({"services": self.services}))

    def start(self) -> subprocess.Popen[str]:
        self.write()
        return rehearsal("t", self.root, self.environment)

    def release(self, version: str) -> Run:
        for name in ("web", "api"):
            self.services[name]["env"] = {"VERSION": version}
        return self.up()

    def settled(self) -> None:
        """On every host each slot that is placed there runs once, and no network is there that nothing needs."""
        assert " same" in (again := self.up()).output
        assert not any(f" {kind}" in again.output.splitlines()[-1] for kind in ("create", "delete")), again.output
        slots: Counter[str] = Counter()
        for name in self.names:
            listed = self.fleet[name].docker("ps", "-a", "--format", '{{.Label "dev.quayside.slot"}} {{.State}}')
            found = [line.split() for line in listed.splitlines()]
            # What lays files into volumes never runs.
            holders = self.fleet[name].docker("ps", "-aq", "-f", "label=dev.quayside.role=files").split()
            assert len([one for one in found if one[-1] != "running"]) == len(holders)
            slots.update(one[0] for one in found if len(one) == 2)
            services = {one[0].rpartition("-")[0] for one in found if len(one) == 2}
            networks = self.fleet[name].docker("network", "ls", "-q", "-f", "label=dev.quayside.role=network").split()
            assert len(networks) == len(services)
        wanted = {
            f"{service}-{number}"
            for service, one in self.services.items()
            for number in range(1, one.get("replicas", 1) + 1)
        }
        assert slots == Counter(wanted)

    def redis(self, *words: str) -> str:
        container = self.fleet["host3"].docker("ps", "-q", "-f", "label=dev.quayside.service=session")
        return self.fleet["host3"].docker("exec", container, "redis-cli", *words)

    @contextmanager
    def dead(self, host: Host) -> Generator[list[str]]:
        """Its machine is cut off, and whoever calls its SSH at its address meanwhile is noted, and not answered."""
        calls: list[str] = []
        keys = host.folder / "run" / "sshd" / "authorized_keys"
        known = keys.read_text()
        host.kill()
        subprocess.run(["ip", "addr", "add", f"{host.address}/32", "dev", "lo"], check=True)
        with socket.create_server((host.address, 22)) as listener:

            def listen() -> None:
                while True:
                    try:
                        connection, caller = listener.accept()
                    except OSError:
                        return
                    calls.append(str(caller))
                    connection.close()

            threading.Thread(target=listen, daemon=True).start()
            try:
                yield calls
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                subprocess.run(["ip", "addr", "del", f"{host.address}/32", "dev", "lo"], check=True)
        host.boot()
        # The hosts' home folders are this machine's, and what they boot with is not what they had.
        keys.write_text(known)
        host.wait()

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
    with agent_with(fleet.identity) as agent:
        for host in fleet:
            host.ssh("mkdir -p ~/.ssh && ln -sf /run/sshd/authorized_keys ~/.ssh/authorized_keys")
        try:
            yield kind(root, fleet, agent)
        finally:
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
    again = project.up().output.splitlines()[-1]
    assert again.startswith("75 same in "), "a second run changes nothing"
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


@takes_minutes
def test_whatever_changes_while_a_host_is_dead_it_is_not_called_and_settles_once_it_is_back(project: Project) -> None:
    """The host has the data, and a share of everything else. Services and replicas come and go meanwhile."""
    fleet = project.fleet
    project.services["web"]["replicas"] = 3
    project.services["api"] |= {"place": None, "replicas": 3}
    project.services["old"] = app("1", routes=[], replicas=3)
    first = project.up()
    assert first.code == 0, first.output
    assert project.redis("set", "kept", "yes") == "OK"
    project.redis("save")
    had = fleet["host3"].docker("ps", "--format", '{{.Label "dev.quayside.slot"}}').split()
    assert len(had) >= 4, had

    with project.dead(fleet["host3"]) as calls:
        refused = project.release("2")
        assert refused.code == 1
        assert "host3" in refused.output
        assert "declare it down" in refused.output
        assert calls
        calls.clear()
        # With the very first run that knows, everything may change.
        project.capacity = {"down": ["host3"]}
        del project.services["old"]
        project.services["more"] = app("2", routes=["more.{domain}"], replicas=4)
        project.services["web"]["replicas"] = 5
        moved = project.release("2")
        assert moved.code == 0, moved.output
        assert "session is UNAVAILABLE: its data is on host3, which is down" in moved.output
        project.services["web"]["replicas"] = 4
        # So may what has its data there; what would be new there is refused by name, and without a call.
        project.services["session"] |= {"env": {"A": "3"}, "files": {"/etc/note": {"content": "3"}}}
        project.services["vault"] = {**project.services["session"], "port": 6380}
        told = project.release("3")
        assert told.code == 1
        assert "vault has no volume on host3 yet, and host3 is declared down" in told.output
        assert "quayside:services: {vault: null}" in told.output
        del project.services["vault"]
        assert (later := project.release("3")).code == 0, later.output
        for name in ("host1", "host2"):
            assert project.versions(fleet[name]) == ("3", "3")
        assert calls == []
    project.capacity = {}
    back = project.up()
    assert back.code == 0, back.output
    for name in NAMES:
        assert project.versions(fleet[name]) == ("3", "3")
    assert project.redis("get", "kept") == "yes"
    assert fleet["host3"].docker("exec", "shop_t_session", "cat", "/etc/note") == "3"
    project.settled()

    # A run that is killed in the middle is carried on by the next.
    for name in ("web", "api"):
        project.services[name]["env"] = {"VERSION": "4"}
    process = project.start()
    time.sleep(6)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    again = project.up()
    assert again.code == 0, again.output
    for name in NAMES:
        assert project.versions(fleet[name]) == ("4", "4")
    project.settled()


@takes_minutes
def test_a_dead_host_is_taken_out_only_once_it_is_declared_down_and_one_that_lives_leaves_nothing(
    project: Project,
) -> None:
    fleet = project.fleet
    project.services["api"] |= {"place": None, "replicas": 3}
    project.services["web"]["replicas"] = 3
    first = project.up()
    assert first.code == 0, first.output
    with project.dead(fleet["host1"]) as calls:
        project.names = ["host2", "host3"]
        refused = project.up()
        assert refused.code == 1
        assert "host1" in refused.output
        assert "declare it down" in refused.output
        project.names, project.capacity = list(NAMES), {"down": ["host1"]}
        calls.clear()
        assert (down := project.up()).code == 0, down.output
        project.names, project.capacity = ["host2", "host3"], {}
        assert (gone := project.up()).code == 0, gone.output
        assert calls == []
        project.settled()
    # Another one is alive, and goes without having been drained.
    project.names = ["host3"]
    alone = project.up()
    assert alone.code == 0, alone.output
    assert fleet["host2"].docker("ps", "-aq") == ""
    assert fleet["host2"].docker("network", "ls", "-q", "-f", "label=dev.quayside.stack") == ""
    assert project.versions(fleet["host3"]) == ("1", "1")
    project.settled()


@takes_minutes
def test_a_host_is_drained_and_removed_and_no_request_is_lost(project: Project) -> None:
    """Visitors of the hosts that stay: the one that leaves is out of the DNS, or of the balancer, by the first step."""
    fleet = project.fleet
    project.services["api"] |= {"place": None, "replicas": 3}
    project.services["web"]["replicas"] = 3
    first = project.up()
    assert first.code == 0, first.output
    assert fleet["host2"].docker("ps", "-q", "-f", "label=dev.quayside.role=service")
    loads = [
        Running(80, "web.example.test", address=fleet[name].address, path="/via", keep_alive=6, close=4, waiting=2)
        for name in ("host1", "host3")
    ]
    with loads[0], loads[1]:
        project.capacity = {"drain": ["host2"]}
        drained = project.up()
        assert drained.code == 0, drained.output
        assert fleet["host2"].docker("ps", "--format", "{{.Names}}") == "shop_t_edge"
        project.names, project.capacity = ["host1", "host3"], {}
        removed = project.up()
        assert removed.code == 0, removed.output
    for load in loads:
        print(load.report)
        assert load.report.failed == 0, str(load.report)
        assert load.report.requests > 200
    assert fleet["host2"].docker("ps", "-aq") == ""
    assert fleet["host2"].docker("network", "ls", "-q", "-f", "label=dev.quayside.stack") == ""
    project.settled()


@takes_minutes
def test_a_release_that_a_host_has_no_memory_for_makes_nothing_there(project: Project) -> None:
    """What a server has is what its owner says; here it is not."""
    project.memory = "4096GiB"
    first = project.up()
    assert first.code == 0, first.output
    before = {name: project.fleet[name].docker("ps", "-aq") for name in NAMES}
    project.services["api"]["memory"] = "1024GiB"
    refused = project.release("2")
    assert refused.code == 1
    assert "host2 (root@" in refused.output
    assert "MiB of memory free, and what is to be made there needs 1048" in refused.output
    assert project.fleet["host2"].docker("ps", "-aq") == before["host2"]
    assert project.versions(project.fleet["host2"]) == ("1", "1")
