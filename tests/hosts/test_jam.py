"""examples/jam.yaml on four servers: the week of the move, from one provider's machines to the other's, under load.

Its files are taken as they are but for what is of the real world: addresses, images (hosts/jam/programs.py), and sizes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from rehearsal.secrets import set_secret
from tests.hosts.fleet import Fleet
from tests.hosts.load import Running
from tests.hosts.prepared import PROGRAM
from tests.hosts.shop import IMAGES, PYTHON, ROOT, UnavailableError, agent_with, docker, ended, rehearsal, takes_minutes
from tests.mesh import Authority
from tests.stories import PASSPHRASE, story

pytestmark = pytest.mark.docker

OLD, NEW = ("old1", "old2"), ("alto", "bass")
NAMES = (*OLD, *NEW)
PROGRAMS = ("web", "encoder", "mysqld", "mysqladmin")
BY_SERVICE = {
    "web": "jam-web",
    "encoder": "jam-encoder",
    "redis": IMAGES[1],
    "mysql": "jam-mysqld",
    "mysql-new": "jam-mysqld",
}


def build(folder: Path) -> None:
    """An image for each program, as its owner would build it: its start command, and the database's user and folder."""
    (folder / "bin").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "data" / ".keep").touch()
    shutil.copy(Path(__file__).parent / "jam" / "programs.py", folder / "bin" / "programs.py")
    (folder / "bin" / "programs.py").chmod(0o755)
    for name in PROGRAMS:
        (folder / "bin" / name).symlink_to("programs.py")
    users = docker("run", "--rm", PYTHON, "cat", "/etc/passwd")
    (folder / "passwd").write_text(f"{users}\nmysql:x:999:999::/var/lib/mysql:/bin/sh\n")
    for name in PROGRAMS[:3]:
        (folder / "Dockerfile").write_text(
            f"FROM {PYTHON}\nCOPY passwd /etc/passwd\nCOPY bin/ /usr/local/bin/\n"
            f'COPY --chown=999:999 data/ /var/lib/mysql/\nCMD ["{name}"]\n'
        )
        docker("build", "-q", "-t", f"jam-{name}", str(folder))


class Jam:
    """The project, with the files of stack ``move``."""

    def __init__(self, root: Path, fleet: Fleet, agent: dict[str, str]) -> None:
        self.root, self.fleet = root, fleet
        self.environment = {**os.environ, **agent, "PYTHONPATH": str(ROOT), "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE}
        tale = story("jam")
        root.mkdir()
        (root / "Pulumi.yaml").write_text("name: jam\nruntime: python\n")
        (root / "__main__.py").write_text(PROGRAM)
        services: dict[str, Any] = yaml.safe_load(tale.files["services.yaml"])
        self.document: dict[str, Any] = yaml.safe_load(tale.files["Pulumi.move.yaml"])
        config = self.document["config"]
        for server in config["quayside:capacity"]["existing"]:
            host = fleet[server["name"]]
            server |= {"address": host.address, "host_key": host.host_key, "cpu": 4, "memory": "8GiB"}
        config["quayside:access"] = {"ssh": [f"{fleet.outside}/32"]}
        # As the third part has it, for an office that is here.
        (port,) = yaml.safe_load(tale.files["Pulumi.prod.yaml"])["config"]["quayside:services"]["mysql"]["ports"]
        config["quayside:services"]["mysql"]["ports"] = [{**port, "sources": [f"{self.office}/32"]}]
        for part in (services["services"], config["quayside:services"]):
            for name, service in part.items():
                if "image" in service:
                    service["image"] = BY_SERVICE[name]
                if "command" in service.get("health", {}):
                    service["health"]["timeout"] = (
                        "10s"  # to begin a Python takes seconds where everything else does, too
                    )
                for key, value in {"memory": "64MiB", "cpu": 0.1, "replicas": 4}.items():
                    if key in service:
                        service[key] = value
        (root / "services.yaml").write_text(yaml.safe_dump(services))
        self.write()
        site = Authority().certificate("jam.example", "jam.example", "www.jam.example").decode()
        for key in tale.secrets("move"):
            set_secret(
                self.file, f"quayside:secrets.{key}", site if key == "site" else f"a secret of {key}", PASSPHRASE
            )
        self.document = yaml.safe_load(self.file.read_text())

    @property
    def file(self) -> Path:
        return self.root / "Pulumi.move.yaml"

    @property
    def office(self) -> str:
        return str(self.fleet.network[200])

    def write(self) -> None:
        self.file.write_text(yaml.safe_dump(self.document, sort_keys=False))

    def up(self) -> None:
        self.write()
        done = ended(rehearsal("move", self.root, self.environment))
        assert done.code == 0, done.output
        print(f"{done.seconds:.1f} s: {done.output.splitlines()[-1]}")

    def traffic(self, old: int, new: int) -> None:
        self.document["config"]["quayside:traffic"] = {"old": old, "new": new}
        self.up()

    def get(self, host: str, path: str = "/") -> dict[str, Any]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        request = f"GET {path} HTTP/1.1\r\nHost: www.jam.example\r\nConnection: close\r\n\r\n".encode()
        with (
            socket.create_connection((self.fleet[host].address, 443), 5) as plain,
            context.wrap_socket(plain, server_hostname="www.jam.example") as wire,
        ):
            wire.sendall(request)
            said = b"".join(iter(lambda: wire.recv(4096), b"")).decode()
        assert said.startswith("HTTP/1.1 200"), said
        return json.loads(said.partition("\r\n\r\n")[2])

    def webs(self, hosts: tuple[str, ...]) -> set[str]:
        """How the replicas of web on these hosts call themselves."""
        found: set[str] = set()
        for name in hosts:
            ids = self.fleet[name].docker("ps", "-q", "-f", "label=dev.quayside.service=web").split()
            found |= {self.fleet[name].docker("inspect", "-f", "{{.Config.Hostname}}", one) for one in ids}
        return found

    def answering(self) -> set[str]:
        """Which replicas answer visitors, whichever server they come to."""
        return {self.get(host)["name"] for host in NAMES for _ in range(5)}


@pytest.fixture
def jam(engine: None, tmp_path: Path) -> Iterator[Jam]:
    build(tmp_path / "images")
    try:
        made = Fleet.start(NAMES, images=[*IMAGES, *sorted(set(BY_SERVICE.values()) - set(IMAGES))])
    except UnavailableError as why:
        pytest.skip(str(why))
    with made as fleet, agent_with(fleet.identity) as agent:
        for host in fleet:
            host.ssh("mkdir -p ~/.ssh && ln -sf /run/sshd/authorized_keys ~/.ssh/authorized_keys")
        project = Jam(tmp_path / "project", fleet, agent)
        subprocess.run(["ip", "addr", "add", f"{project.office}/24", "dev", fleet.id], check=True)
        yield project


@contextlib.contextmanager
def visitors(jam: Jam) -> Iterator[list[Running]]:
    """Load on the edge of every server, of both providers, as DNS would spread it."""
    loads = [
        Running(
            443, "jam.example", address=jam.fleet[name].address, keep_alive=4, close=3, waiting=1, pause=0.1, tls=True
        )
        for name in NAMES
    ]
    with ExitStack() as stack:
        for load in loads:
            stack.enter_context(load)
        yield loads
    for name, load in zip(NAMES, loads, strict=True):
        print(f"{name}: {load.report}")
    assert all(load.report.failed == 0 for load in loads)
    assert all(load.report.requests > 50 for load in loads)


@takes_minutes
def test_a_music_site_moves_from_one_provider_to_the_other(jam: Jam) -> None:
    jam.up()
    olds, news = jam.webs(OLD), jam.webs(NEW)
    assert olds
    assert news
    assert jam.answering() == olds
    assert jam.get("bass") | {"name": ""} == {"name": "", "version": "old", "redis": "+PONG"}
    (copy,) = jam.fleet["alto"].docker("ps", "-q", "-f", "label=dev.quayside.service=mysql-new").split()
    report = jam.fleet["alto"].docker("exec", copy, "cat", "/etc/mysql/conf.d/report.cnf")
    assert report == f"[mysqld]\nreport_host = {jam.fleet['alto'].address}"
    # The worker, wherever it is, finds queue and database by the file that was rendered for it.
    jam.get("alto", "/encode?song=jolene")
    end = time.monotonic() + 10
    while jam.get("old1", "/songs")["songs"] != ["jolene@old"]:
        assert time.monotonic() < end, jam.get("old1", "/songs")
        time.sleep(0.2)
    # MySQL is open to the office alone; the firewall admits the fleet itself and visitors.
    address = jam.fleet["old1"].address
    with socket.create_connection((address, 3306), 3, source_address=(jam.office, 0)) as connection:
        connection.sendall(b"a guess\n")
        assert connection.recv(64) == b"denied\n"
    ports = [22, 80, 443, 3306, 3307, 6379, 8000, 8443]
    for name in NAMES:
        assert jam.fleet.scan(jam.fleet[name].address, ports) == [22, 80, 443], name
        assert 3306 not in jam.fleet.scan(address, [3306], origin=jam.fleet[name]) or name == "old1"

    with visitors(jam) as loads:
        jam.traffic(1, 1)
        assert jam.answering() & olds
        assert jam.answering() & news
        jam.traffic(0, 1)
        assert jam.answering() == news
        # The database's name, where the story says it is to be changed: in the files of this stack.
        for name in ("web", "encoder"):
            for file in jam.document["config"]["quayside:services"][name]["files"].values():
                assert "${mysql.address}" in file["content"]
                file["content"] = file["content"].replace("${mysql.address}", "${mysql-new.address}")
        jam.up()
        assert jam.answering() == jam.webs(NEW)
        assert {jam.get(name)["version"] for name in NAMES} == {"copy-of-old"}
    assert {version for load in loads for version in load.report.versions} == {"old", "copy-of-old"}
