"""What the docs advise where data is moved, lost or given up, done as it is written, through the real Pulumi CLI.

A fleet of three servers that are there. Each test goes on from where the one before it ended.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.test_engine_fleet import NAMES, Life, _missing
from tests.hosts.fleet import Fleet
from tests.hosts.shop import UnavailableError, agent_with, prepare

pytestmark = pytest.mark.engine


class Advised(Life):
    """A project on a fleet, and a person at a shell in its folder."""

    def shell(self, command: str, *, fails: bool = False) -> str:
        """A command as a page has it, but that nobody is asked."""
        words = re.sub(r"\b(pulumi (?:up|destroy|refresh|state \w+)|quayside restore)\b", r"\1 --yes", command)
        words = words.replace(".venv/bin/quayside", f"{sys.executable} -m quayside")
        done = subprocess.run(
            ["bash", "-c", words],
            cwd=self.project.root,
            env=self.pulumi.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        said = done.stdout + done.stderr
        print(f"$ {words}\n{said}")
        assert (done.returncode != 0) == fails, said
        return said

    def urn(self, ends: str) -> str:
        said = self.shell("pulumi stack --show-urns")
        (urn,) = {line.partition("URN: ")[2] for line in said.splitlines() if line.endswith(ends)}
        return urn

    def forget(self, host: str) -> None:
        """docs/backups.md, Forgetting a volume."""
        leave = self.urn(f"command:local:Command::{host}-leave")
        volume = self.urn("docker:index/volume:Volume::session")
        self.shell(f"pulumi state delete '{leave}'")
        self.shell(f"pulumi state delete --force '{volume}'")

    def redis(self, host: str, *words: str) -> str:
        return self.fleet[host].docker("exec", "shop_t_session", "redis-cli", *words)

    def volumes(self, host: str) -> list[str]:
        return self.fleet[host].docker("volume", "ls", "-q", "-f", "label=dev.quayside.role=stateful").split()


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    if why := _missing():
        pytest.skip(why)
    try:
        prepare()
        made = Fleet.start(NAMES)
    except UnavailableError as why:
        pytest.skip(str(why))
    with made:
        yield made


@pytest.fixture(scope="module")
def life(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Advised]:
    with agent_with(fleet.identity) as agent:
        made = Advised(tmp_path_factory.mktemp("advice"), fleet, agent)
        made.up()
        made.redis("host3", "set", "kept", "yes")
        made.redis("host3", "save")
        yield made


def copied(life: Advised) -> Path:
    """`quayside backup`, as it says where it put it."""
    said = life.shell(".venv/bin/quayside backup session --stack t").splitlines()
    return next(Path(line) for line in said if line.endswith(".tar.gz"))


def test_data_is_moved_between_two_servers_of_ones_own(life: Advised) -> None:
    """docs/backups.md, Moving data between servers."""
    session = life.project.services["session"]
    session["replicas"] = 0
    life.up()
    file = copied(life)
    urn = life.urn("docker:index/volume:Volume::session")
    life.shell(f"pulumi state delete --force {urn}", fails=True)  # a shell reads its `$`
    said = life.shell(f"pulumi state delete --force '{urn}'", fails=True)
    assert re.findall(r' \* +"([^"]+)"', said) == ["host3-leave"]
    life.forget("host3")
    session["place"] = "host1"
    life.up()
    life.shell(f".venv/bin/quayside restore session {file} --stack t --on host1")
    session["replicas"] = 1
    life.up()
    assert life.redis("host1", "get", "kept") == "yes"
    assert life.volumes("host3") == ["shop_t_session"]


def test_data_of_a_dead_server_is_had_from_a_backup(life: Advised) -> None:
    """docs/backups.md, When an existing server died; docs/hosts.md, A host that died."""
    session = life.project.services["session"]
    had = session["place"]
    file = copied(life)
    life.redis(had, "set", "later", "lost")
    life.redis(had, "save")
    life.fleet[had].kill()
    life.shell(f"pulumi config set --path 'quayside:capacity.down[0]' {had} && pulumi up")
    assert f'["{had}"]' in life.shell("pulumi config get --path 'quayside:capacity.down'")
    life.shell(f"pulumi refresh --exclude '**::{had}-*' --exclude '**::{had}_*' --exclude '**:Volume::session'")
    life.project.capacity = {"down": [had]}
    life.forget(had)
    session |= {"replicas": 0, "place": "host2"}
    life.up()
    life.shell(f".venv/bin/quayside restore session {file} --stack t --on host2")
    session["replicas"] = 1
    life.up()
    assert life.redis("host2", "get", "kept") == "yes"
    assert life.redis("host2", "get", "later") == ""
    life.fleet[had].restart()
    assert life.volumes(had) == ["shop_t_session"]
    life.shell("pulumi config rm --path 'quayside:capacity.down[0]' && pulumi up")
    life.project.capacity = {}
    assert life.volumes(had) == ["shop_t_session"]
    assert life.fleet[had].docker("ps", "-aq", "-f", "label=dev.quayside.service=session") == ""
    assert life.redis("host2", "get", "kept") == "yes"
    life.serves("1")
    life.changes_nothing()


def test_a_second_dead_host_is_declared_beside_the_first(life: Advised) -> None:
    life.project.services["api"]["place"] = "host2"
    life.up()
    for number, host in enumerate(("host1", "host3")):
        life.fleet[host].kill()
        life.shell(f"pulumi config set --path 'quayside:capacity.down[{number}]' {host} && pulumi up")
    assert '["host1","host3"]' in life.shell("pulumi config get --path 'quayside:capacity.down'")
    life.serves("1", "host2")
    for host in ("host1", "host3"):
        life.fleet[host].restart()
        life.shell("pulumi config rm --path 'quayside:capacity.down[0]' && pulumi up")
    life.project.capacity = {}
    life.serves("1")
    life.changes_nothing()


def test_a_dead_host_that_left_undeclared_is_put_back_and_declared(life: Advised) -> None:
    before = life.on("host2")
    life.fleet["host1"].kill()
    life.project.names = ["host2", "host3"]
    said = life.up(fails=True)
    assert "cannot connect to host1" in said
    assert "quayside:capacity: {down: [host1]}" in said
    assert before["volumes"] <= life.on("host2")["volumes"]
    life.serves("1", "host2", "host3")
    life.project.names, life.project.capacity = list(NAMES), {"down": ["host1"]}
    life.up()
    life.project.names, life.project.capacity = ["host2", "host3"], {}
    life.up()
    life.serves("1", "host2", "host3")
    life.changes_nothing()
