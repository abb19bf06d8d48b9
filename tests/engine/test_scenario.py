"""A stack's whole life through the real Pulumi CLI and Docker, and that the rehearsal takes the same steps.

Each test goes on from where the one before it ended, as releases do.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import rehearsal
from planning.edge import IMAGE
from rehearsal.config import read_stack
from rehearsal.secrets import set_secret
from tests.engine.cli import REPOSITORY, Pulumi, phases, rehearsed_steps
from tests.hosts.shop import session

STACK = "engine"
IMAGES = (IMAGE, "python:3.13-alpine", "redis:7-alpine")
PASSPHRASE = "correct horse"
SECRET = "a-token-nobody-may-see"

SERVICES: dict[str, Any] = {
    "web": {
        "image": "python:3.13-alpine",
        "command": ["python3", "-u", "/app/web.py"],
        "user": "nobody",
        "port": 8000,
        "routes": ["shop.{domain}"],
        "memory": "64MiB",
        "replicas": 2,
        "health": {"path": "/healthz", "grace": "60s"},
        "drain": "3s",
        "uses": ["session"],
        "after": ["session"],
        "env": {"REDIS": "${session.address}", "VERSION": "1"},
        "secrets": {"TOKEN": "token"},
        "sticky": "1h",
        "writable": ["/var/cache/web"],
        "capabilities": ["NET_BIND_SERVICE"],
        "files": {
            "/app/web.py": "web.py",
            "/app/serving.py": "serving.py",
            "/etc/web/run.sh": {"content": "exit 0", "executable": True},
        },
        "canary": {"image": "python:3.13-alpine", "share": 20, "env": {"VERSION": "canary"}},
    },
    "session": session(command=["redis-server", "--dir", "/data", "--appendonly", "yes"]),
    "worker": {
        "image": "python:3.13-alpine",
        "command": ["python3", "-c", "import time; time.sleep(1e6)"],
        "memory": "64MiB",
        "drain": "0s",
        "health": {"command": ["true"], "interval": "1s", "timeout": "1s"},
    },
}


def _missing() -> str:
    if shutil.which("pulumi") is None:
        return "the Pulumi CLI is not on PATH"
    if shutil.which("docker") is None:
        return "docker is not on PATH"
    for image in IMAGES:
        asked = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True, check=False)
        if asked.returncode:
            return f"docker has no image {image}: {asked.stderr.strip()} (`make up` gets it)"
    return ""


@pytest.fixture(scope="module", autouse=True)
def _needs_the_engine() -> None:
    if why := _missing():
        pytest.skip(why)


pytestmark = pytest.mark.engine


class Project:
    """A project of its own: name, folder, port, state."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = f"qe{uuid.uuid4().hex[:6]}"
        self.port = _free_port()
        self.services: dict[str, Any] = json.loads(json.dumps(SERVICES))
        root.mkdir()
        for source in ("examples/shop/web.py", "examples/shop/serving.py", "__main__.py"):
            shutil.copy(REPOSITORY / source, root)
        options = {"toolchain": "pip", "virtualenv": sys.prefix}
        self._write("Pulumi.yaml", {"name": self.name, "runtime": {"name": "python", "options": options}})
        edge = {"http": self.port, "address": "127.0.0.1"}
        config = {"cloud": "local", "domain": "localhost", "edge": edge}
        self._write(f"Pulumi.{STACK}.yaml", {"config": {f"quayside:{key}": value for key, value in config.items()}})
        self.release()

    def release(self, **env: str | None) -> None:
        """Change the environment of web."""
        changed = {**self.services["web"]["env"], **env}
        self.services["web"]["env"] = {key: value for key, value in changed.items() if value is not None}
        self._write("services.yaml", {"services": self.services})

    def _write(self, name: str, document: object) -> None:
        (self.root / name).write_text(yaml.safe_dump(document))

    def containers(self, service: str) -> set[str]:
        return set(self.docker("ps", "-aq", "--no-trunc", "--filter", f"label=dev.quayside.service={service}"))

    def docker(self, *arguments: str) -> list[str]:
        """A listing of the Docker CLI, of this stack alone."""
        asked = ["docker", *arguments, "--filter", f"label=dev.quayside.stack={self.name}/{STACK}"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()

    def everything(self) -> list[str]:
        return [*self.docker("ps", "-aq"), *self.docker("network", "ls", "-q"), *self.docker("volume", "ls", "-q")]

    def version(self) -> str:
        """What a visitor without a cookie gets from a replica that is no canary."""
        for _ in range(20):
            request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", headers={"Host": "shop.localhost"})
            with urllib.request.urlopen(request, timeout=5) as answer:
                version = json.load(answer)["version"]
            if version != "canary":
                return str(version)
        raise AssertionError("every one of 20 requests went to the canary")

    def clean(self) -> None:
        """Remove whatever a failed test left."""
        for listing, removal in (("ps", ("rm", "-fv")), ("network", ("network", "rm")), ("volume", ("volume", "rm"))):
            arguments = ("ps", "-aq") if listing == "ps" else (listing, "ls", "-q")
            for name in self.docker(*arguments):
                subprocess.run(["docker", *removal, name], capture_output=True, check=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))  # as Docker publishes: a port whose old connections linger on any address is taken
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("engine") / "project")
    yield made
    made.clean()


@pytest.fixture(scope="module")
def pulumi(project: Project) -> Pulumi:
    return cli(project)


def cli(project: Project) -> Pulumi:
    return Pulumi(project.root, STACK, PASSPHRASE, secrets={"token": SECRET})


def test_a_first_up_serves(project: Project, pulumi: Pulumi) -> None:
    pulumi.up()
    assert project.version() == "1"
    assert len(project.containers("web")) == 4  # two, a canary, and the holder of their files
    assert pulumi.steps()[-1] == ("run", "routing")


def test_a_second_up_changes_nothing(pulumi: Pulumi) -> None:
    pulumi.up()
    assert pulumi.changed() == []


def test_refresh_finds_no_drift_and_the_next_up_changes_nothing(pulumi: Pulumi) -> None:
    pulumi.refresh()
    pulumi.up()
    assert pulumi.changed() == []


def test_a_release_creates_routes_and_then_deletes(project: Project, pulumi: Pulumi) -> None:
    before = project.containers("web")
    project.release(VERSION="2")
    pulumi.up()
    replicas = ["web-1", "web-2"]  # the canary has a version of its own
    assert phases(pulumi.steps()) == [("created", replicas), ("run", ["routing"]), ("deleted", replicas)]
    assert project.version() == "2"
    assert len(project.containers("web")) == len(before)


def test_a_failing_release_leaves_the_old_one_serving_also_after_refresh(project: Project, pulumi: Pulumi) -> None:
    serving = project.containers("web")
    project.services["web"]["health"]["grace"] = "10s"
    project.release(VERSION="3", FAIL="1")
    for _ in range(2):
        said = pulumi.up(fails=True)
        assert 'release of "web" stopped: replica web-' in said
        assert "GET /healthz answered HTTP/1.1 503" in said
        assert "listening on port 8000" in said
        assert serving < project.containers("web")
        assert project.version() == "2"
        assert not [step for step in pulumi.steps() if step[0] in ("deleted", "run")]
        pulumi.refresh()
    assert serving < project.containers("web")


def test_the_next_good_release_leaves_nothing_behind(project: Project, pulumi: Pulumi) -> None:
    seen = project.containers("web")
    project.services["web"]["health"]["grace"] = "60s"
    project.release(VERSION="4", FAIL=None)
    pulumi.up()
    assert project.version() == "4"
    left = project.containers("web")
    assert len(left) == 4
    assert len(left & seen) == 1  # the holder of the files; every replica of the failed release is gone
    pulumi.up()
    assert pulumi.changed() == []


def test_a_service_comes_and_goes_with_its_network(project: Project, pulumi: Pulumi) -> None:
    others = project.everything()
    project.services["aaa"] = {**SERVICES["worker"], "uses": ["web"]}
    project.release()
    pulumi.up()
    assert pulumi.steps() == [("created", "aaa"), ("created", "aaa-1"), ("run", "routing")]
    del project.services["aaa"]
    project.release()
    pulumi.up()
    assert pulumi.steps() == [("run", "routing"), ("deleted", "aaa-1"), ("deleted", "aaa")]
    assert sorted(project.everything()) == sorted(others)


def test_the_secret_reached_the_container_and_no_file(project: Project) -> None:
    (name,) = project.docker("ps", "-q", "--filter", "label=dev.quayside.slot=web-1")
    found = subprocess.run(["docker", "exec", name, "env"], capture_output=True, text=True, check=True).stdout
    assert f"TOKEN={SECRET}\n" in found
    for file in project.root.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file


def test_the_rehearsal_takes_the_same_steps_in_the_same_order(
    project: Project, pulumi: Pulumi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
    other = Project(tmp_path / "rehearsed")
    set_secret(other.root / f"Pulumi.{STACK}.yaml", "quayside:secrets.token", SECRET, PASSPHRASE)
    try:
        other.release(VERSION="4")
        rehearsal.apply(STACK, other.root, progress=lambda _event: None)
        for version in ("5", "6"):
            for one in (project, other):
                one.release(VERSION=version)
            pulumi.up()
            events: list[rehearsal.Event] = []
            rehearsal.apply(STACK, other.root, progress=events.append)
            assert phases(rehearsed_steps(events)) == phases(pulumi.steps())
        rehearsal.destroy(STACK, other.root, volumes=True, progress=lambda _event: None)
        assert other.everything() == []
    finally:
        other.clean()


def test_destroy_leaves_only_the_protected_volume_and_then_nothing(project: Project, pulumi: Pulumi) -> None:
    pulumi.run("destroy", "--yes", "--skip-preview", "--exclude-protected")
    assert project.everything() == [f"{project.name}_{STACK}_session"]
    pulumi.run("state", "unprotect", "--all", "--yes")
    pulumi.run("destroy", "--yes", "--skip-preview")
    assert project.everything() == []


def test_a_secret_is_set_before_the_first_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    project = Project(tmp_path / "secret")
    file = project.root / f"Pulumi.{STACK}.yaml"
    before = yaml.safe_load(file.read_text())
    for key in ("token", "second"):
        done = subprocess.run(
            [sys.executable, "-m", "quayside", "secret", key, "--stack", STACK],
            cwd=project.root,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            input=SECRET,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    after = yaml.safe_load(file.read_text())
    secrets = after["config"].pop("quayside:secrets")
    assert (after, sorted(secrets)) == (before, ["second", "token"])
    # What pulumi wrote, the rehearsal reads.
    assert json.loads(read_stack(project.root, STACK).values["quayside:secrets"]) == {"token": SECRET, "second": SECRET}


def test_pulumi_takes_over_a_volume_that_the_rehearsal_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
    project = Project(tmp_path / "taken-over")
    project.services = {"session": SERVICES["session"], "web": {**SERVICES["web"], "canary": None, "replicas": 1}}
    project.release()
    set_secret(project.root / f"Pulumi.{STACK}.yaml", "quayside:secrets.token", SECRET, PASSPHRASE)
    try:
        rehearsal.apply(STACK, project.root, progress=lambda _event: None)
        rehearsal.destroy(STACK, project.root, volumes=False, progress=lambda _event: None)
        (kept,) = project.everything()
        pulumi = cli(project)
        pulumi.up()
        assert kept in project.docker("volume", "ls", "-q")
        pulumi.refresh()
        pulumi.up()
        assert pulumi.changed() == []
        pulumi.run("state", "unprotect", "--all", "--yes")
        pulumi.run("destroy", "--yes", "--skip-preview")
        assert project.everything() == []
    finally:
        project.clean()
