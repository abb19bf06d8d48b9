"""A fleet's life through the real Pulumi CLI, on three servers that are there; the rehearsal takes the same steps.

Each test goes on from where the one before it ended. All but the preparation of the hosts is as for real: these share
their file system with this machine.
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest
import yaml

import rehearsal
from tests.engine.cli import Pulumi, Step, phases, rehearsed_steps
from tests.hosts.fleet import Fleet
from tests.hosts.load import Running
from tests.hosts.shop import UnavailableError, agent_with, prepare
from tests.hosts.test_platform import NAMES, Project

pytestmark = pytest.mark.engine

STACK = "t"
PASSPHRASE = "correct horse"
PUBLIC = "web.example.test"
PLUGINS = ("command", "docker", "tls")
KEY = Path(".quayside/ssh") / f"{STACK}.key"


def _missing() -> str:
    for tool in ("pulumi", "ssh-agent"):
        if shutil.which(tool) is None:
            return f"{tool} is not on PATH"
    said = subprocess.run(["pulumi", "plugin", "ls", "--json"], capture_output=True, text=True, check=False).stdout
    installed = {str(one["name"]) for one in json.loads(said or "[]") if one["kind"] == "resource"}
    lacking = [name for name in PLUGINS if name not in installed and shutil.which(f"pulumi-resource-{name}") is None]
    return f"Pulumi's plugins {', '.join(lacking)} are not installed: `pulumi install`" if lacking else ""


class Life:
    """A project on a fleet, and the CLI on it."""

    def __init__(self, root: Path, fleet: Fleet, agent: dict[str, str]) -> None:
        self.fleet, self.agent = fleet, agent
        self.project = Project(root, fleet, agent)
        options = {"toolchain": "pip", "virtualenv": sys.prefix}
        (root / "Pulumi.yaml").write_text(
            yaml.safe_dump({"name": "shop", "runtime": {"name": "python", "options": options}})
        )
        self.pulumi = Pulumi(root, STACK, PASSPHRASE, environment=agent)
        self.told: dict[str, list[Step]] = {}

    def up(self, *, fails: bool = False) -> str:
        self.project.write()
        return self.pulumi.up(fails=fails)

    def version(self, version: str) -> None:
        for name in ("web", "api"):
            self.project.services[name]["env"] = {"VERSION": version}

    def serves(self, version: str, *hosts: str) -> None:
        for name in hosts or self.project.names:
            assert self.project.versions(self.fleet[name]) == (version, version), name

    def changes_nothing(self) -> None:
        """Neither by a preview nor by an `up`."""
        self.project.write()
        self.pulumi.run("preview", "--expect-no-changes")
        self.pulumi.up()
        assert self.pulumi.changed() == []

    def on(self, host: str) -> dict[str, set[str]]:
        """All that Docker has there of the stack."""
        machine, mine = self.fleet[host], ("-f", "label=dev.quayside.stack=shop/t")
        return {
            "containers": set(machine.docker("ps", "-aq", *mine).split()),
            "networks": set(machine.docker("network", "ls", "-q", *mine).split()),
            "volumes": set(machine.docker("volume", "ls", "-q", *mine).split()),
        }

    @contextmanager
    def load(self, *hosts: str, path: str = "/via") -> Generator[None]:
        """Visitors on every edge, none of whom may be let down."""
        loads = [
            Running(
                80, PUBLIC, address=self.fleet[name].address, path=path, keep_alive=6, close=4, waiting=2, pause=0.05
            )
            for name in hosts
        ]
        entered: list[Running] = []
        try:
            for load in loads:
                entered.append(load.__enter__())
            yield
        finally:
            for load in entered:
                load.__exit__()
        for name, load in zip(hosts, loads, strict=True):
            print(f"{name}: {load.report}")
        for load in loads:
            assert load.report.requests > 100
            assert load.report.failed == 0, str(load.report)


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
def life(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    with agent_with(fleet.identity) as agent:
        yield Life(tmp_path_factory.mktemp("engine"), fleet, agent)


def test_a_first_up_serves_on_every_host(life: Life) -> None:
    life.up()
    life.serves("1")
    life.told["first"] = life.pulumi.steps()
    ran = [name.split("-", 1) for kind, name in life.pulumi.steps() if kind == "run" and "-" in name]
    order = [phase for _, phase in ran if phase in ("files", "accept", "route", "forget")]
    assert sorted(order) == sorted(["files", "accept", "route", "forget"] * 3)
    for before, after in (("accept", "route"), ("route", "forget")):
        assert max(i for i, one in enumerate(order) if one == before) < order.index(after), order


def test_a_second_up_changes_nothing(life: Life) -> None:
    life.changes_nothing()


def test_refresh_finds_no_drift_and_the_next_up_changes_nothing(life: Life) -> None:
    life.pulumi.refresh("--expect-no-changes")
    life.changes_nothing()


def test_what_asks_the_hosts_lays_down_the_key_on_a_machine_that_never_deployed(life: Life) -> None:
    folder = life.project.root / KEY.parent

    def elsewhere() -> None:
        """As on another machine: neither the key nor a connection that is still open."""
        for host in life.fleet:
            destination = f"root@{host.address}"
            words = ["ssh", "-O", "exit", "-o", f"ControlPath={KEY.parent}/%C", destination]
            subprocess.run(words, cwd=life.project.root, capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)

    elsewhere()
    said = life.pulumi.refresh(fails=True)  # without the program, it can only fail, and says what is missing
    assert f"no such identity: {KEY}" in said
    for arguments in (
        ("refresh", "--yes", "--run-program", "--expect-no-changes"),
        ("preview", "--refresh", "--run-program", "--expect-no-changes"),
        ("destroy", "--preview-only", "--run-program", "--exclude-protected"),
    ):
        elsewhere()
        life.pulumi.run(*arguments)
        assert (life.project.root / KEY).stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700
    life.changes_nothing()


def test_few_connections_are_opened_however_much_is_made(life: Life) -> None:
    for host in life.fleet:
        accepted = host.log.read_text(errors="replace").count("Accepted publickey")
        print(f"{host.name}: {accepted} connections so far")
        assert accepted < 60


def test_a_release_lets_nobody_down(life: Life) -> None:
    life.version("2")
    with life.load(*NAMES):
        life.up()
    print(f"release: {life.pulumi.seconds:.1f} s")
    life.serves("2")
    life.told["release"] = life.pulumi.steps()
    assert [kind for kind, _ in phases(life.pulumi.steps())] == ["run", "created", "run", "deleted"]
    life.changes_nothing()


def test_a_move_lets_nobody_down(life: Life) -> None:
    life.project.services["api"]["place"] = "host3"
    with life.load(*NAMES):
        life.up()
    print(f"move: {life.pulumi.seconds:.1f} s")
    life.serves("2")
    life.told["move"] = life.pulumi.steps()
    assert ("created", "host3_api-1") in life.pulumi.steps()
    assert ("deleted", "host2_api-1") in life.pulumi.steps()
    life.changes_nothing()


def test_taking_out_what_has_data_stops_the_up_and_putting_it_back_settles(life: Life) -> None:
    """Its volume is protected: with that error it stays, and what else there was of the service is made anew."""
    before, services = life.on("host3"), copy.deepcopy(life.project.services)
    del life.project.services["session"]
    life.project.services["api"]["uses"] = []
    said = life.up(fails=True)
    assert "protected" in said
    assert "session" in said
    gone = {name for kind, name in life.pulumi.steps() if kind == "deleted"}
    assert gone <= {"host3_session-1", "host3_session", "host3_api-1"}
    life.project.services = services
    life.up()
    life.serves("2")
    assert life.on("host3")["volumes"] == before["volumes"]
    life.changes_nothing()


def test_a_dead_host_fails_the_up_which_names_it_and_deletes_nothing(life: Life) -> None:
    before = {name: life.on(name) for name in NAMES[1:]}
    life.fleet["host1"].kill()
    life.version("3")
    said = life.up(fails=True)
    assert "host1" in said
    assert not [name for kind, name in life.pulumi.steps() if kind == "deleted"]
    assert all(before[name][kind] <= life.on(name)[kind] for name in before for kind in before[name])
    life.serves("2", "host2", "host3")


def rounds(steps: Sequence[Step]) -> list[str]:
    """The rounds of a release, as they follow each other on all hosts."""
    found = (name.rpartition("-")[2] for _, name in steps)
    return [one for one, _ in groupby(one for one in found if one in {"accept", "route", "forget"})]


def calls(host: str, life: Life) -> list[Step]:
    """What was done there. Two Commands of a host that is down are told so, and call nobody."""
    quiet = {f"{host}-{step}" for step in ("room", "leave")}
    done = [step for step in life.pulumi.steps() if step[0] in ("created", "run")]
    return [step for step in done if step[1].startswith((f"{host}-", f"{host}_")) and step[1] not in quiet]


def test_declared_down_no_call_goes_to_it_and_its_replicas_are_elsewhere(life: Life) -> None:
    life.project.capacity = {"down": ["host1"]}
    life.up()  # a call would fail
    assert calls("host1", life) == []
    life.serves("3", "host2", "host3")
    life.changes_nothing()
    # What asks every host is told to leave this one out.
    life.pulumi.refresh("--exclude", "**::host1-*", "--exclude", "**::host1_*", "--expect-no-changes")


def test_what_changed_meanwhile_is_replaced_once_the_host_is_back(life: Life) -> None:
    """Nothing that it had is left behind, and what keeps its name can be made anew."""
    life.version("4")
    life.project.edge = {"memory": "300MiB"}  # of every edge: a new container of the same name
    life.up()
    assert calls("host1", life) == []
    life.fleet["host1"].restart()
    life.project.capacity = {}
    life.up()
    life.serves("4")
    life.changes_nothing()
    life.pulumi.refresh("--expect-no-changes")
    for host in life.fleet:
        slots = host.docker("ps", "-a", "--format", '{{.Label "dev.quayside.slot"}}').splitlines()
        assert len(slots) == len(set(slots)), slots


def test_data_on_a_dead_host_waits_for_it_whatever_changes_of_its_service(life: Life) -> None:
    """What is new there is refused, before anything calls the host."""
    life.fleet["host3"].docker("exec", "shop_t_session", "redis-cli", "set", "kept", "yes")
    life.fleet["host3"].docker("exec", "shop_t_session", "redis-cli", "save")
    life.fleet["host3"].kill()
    life.project.capacity = {"down": ["host3"]}
    services = life.project.services
    services["api"]["place"] = "host2"
    services["session"] |= {"files": {"/etc/note": {"content": "5"}}, "env": {"A": "5"}}
    services["vault"] = {**services["session"], "port": 6380}
    said = life.up(fails=True)
    assert "vault has no volume on host3 yet, and host3 is declared down" in said
    assert calls("host3", life) == []
    del services["vault"]
    life.version("5")
    life.up()
    assert calls("host3", life) == []
    life.serves("5", "host1", "host2")
    services["session"]["replicas"] = 0
    life.up()
    services["session"]["replicas"] = 1
    life.changes_nothing()
    life.fleet["host3"].restart()
    life.project.capacity = {}
    life.up()
    life.serves("5")
    assert life.fleet["host3"].docker("exec", "shop_t_session", "redis-cli", "get", "kept") == "yes"
    assert life.fleet["host3"].docker("exec", "shop_t_session", "cat", "/etc/note") == "5"
    life.changes_nothing()
    life.pulumi.refresh("--expect-no-changes")


def test_a_dead_host_leaves_the_config_without_a_call(life: Life) -> None:
    life.fleet["host1"].kill()
    life.project.capacity = {"down": ["host1"]}
    life.up()
    life.project.capacity, life.project.names = {}, ["host2", "host3"]
    life.up()
    assert ("deleted", "host1_edge") in life.pulumi.steps()
    life.serves("5", "host2", "host3")
    life.changes_nothing()


def test_a_host_that_lives_leaves_the_config_with_nothing_left_there(life: Life) -> None:
    life.project.services["api"]["place"] = "host3"
    life.project.names = ["host3"]
    life.up()
    assert life.on("host2") == {"containers": set(), "networks": set(), "volumes": set()}
    life.serves("5", "host3")


def test_destroy_leaves_nothing_but_the_data(life: Life) -> None:
    life.pulumi.destroy("--exclude-protected")
    left = life.on("host3")
    assert (left["containers"], left["networks"], left["volumes"]) == (set(), set(), {"shop_t_session"})
    life.pulumi.run("state", "unprotect", "--all", "--yes")
    life.pulumi.destroy()
    assert life.on("host3")["volumes"] == set()


def test_the_rehearsal_takes_the_same_steps_in_the_same_order(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the same hosts, from nothing."""
    host = life.fleet["host1"]
    host.restart()
    host.ssh("docker ps -aq | xargs -r docker rm -f -v; docker network prune -f")
    host.ssh("docker volume ls -q | xargs -r docker volume rm -f")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
    for name, value in life.agent.items():
        monkeypatch.setenv(name, value)
    other = Project(tmp_path, life.fleet, life.agent)

    def steps() -> list[Step]:
        other.write()
        events: list[rehearsal.Event] = []
        rehearsal.apply(STACK, tmp_path, progress=events.append)
        return rehearsed_steps(events)

    try:
        assert sorted(steps()) == sorted(life.told["first"])
        for name in ("web", "api"):
            other.services[name]["env"] = {"VERSION": "2"}
        assert phases(steps()) == phases(life.told["release"])
        other.services["api"]["place"] = "host3"
        moved = steps()
        assert sorted(moved) == sorted(life.told["move"])
        assert rounds(moved) == rounds(life.told["move"]) == ["accept", "route", "forget"]
    finally:
        rehearsal.destroy(STACK, tmp_path, volumes=True, progress=lambda _event: None)
    for each in life.fleet:
        assert life.on(each.name) == {"containers": set(), "networks": set(), "volumes": set()}
