"""A burst on real engines: hosts join and leave under load, and one that is dead holds up nothing but itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.hosts.fleet import Fleet
from tests.hosts.load import Running
from tests.hosts.test_fleet_release import app
from tests.hosts.test_platform import Project, project_on

pytestmark = pytest.mark.docker

PERMANENT, RENTED = ("host1", "host2"), ("host3", "host4")
EDGE = "shop_t_edge"


class Burst(Project):
    """The platform's project, with a web that uses an api and takes part in bursts."""

    def settle(self) -> None:
        self.services = {
            "web": app("1", routes=["web.{domain}"], uses=["api"], replicas=2),
            "api": app("1", routes=[], place="host1"),
        }
        self.names = list(PERMANENT)
        self.more = {"burst": {"services": ["web"]}}
        self.rented = set(RENTED)

    def join(self, *hosts: str) -> None:
        self.names = [*PERMANENT, *hosts]

    def load(self, path: str = "/via") -> tuple[ExitStack, list[Running]]:
        stack = ExitStack()
        loads = [
            Running(
                80,
                "web.example.test",
                address=self.fleet[name].address,
                path=path,
                keep_alive=6,
                close=4,
                waiting=2,
                pause=0.1,
            )
            for name in PERMANENT
        ]
        for load in loads:
            stack.enter_context(load)
        return stack, loads

    def served(self, host: str) -> str:
        return self.fleet[host].docker("exec", EDGE, "cat", "/var/lib/haproxy/haproxy.cfg")

    def answering(self, host: str) -> set[str]:
        """Names of the containers that visitors of this host's edge reach."""
        return {self.ask(self.fleet[host], "/")["name"] for _ in range(24)}

    def containers(self, host: str) -> set[str]:
        return set(self.fleet[host].docker("ps", "-aq", "--no-trunc").split())

    def replicas(self, host: str) -> set[str]:
        ids = self.fleet[host].docker("ps", "-q", "-f", "label=dev.quayside.service=web").split()
        return {self.fleet[host].docker("inspect", "-f", "{{.Config.Hostname}}", one) for one in ids}


@pytest.fixture(scope="module")
def burst(engine: None, fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Burst]:
    with project_on(Burst, fleet, tmp_path_factory.mktemp("burst")) as made:
        made.settle()
        first = made.up()
        assert first.code == 0, first.output
        yield made


def sound(loads: list[Running], versions: set[str]) -> None:
    for load in loads:
        print(load.report)
    for load in loads:
        assert load.report.failed == 0, str(load.report)
        assert load.report.requests > 100
        assert set(load.report.versions) == versions


def test_hosts_join_and_leave_under_load_and_nothing_else_changes(burst: Burst) -> None:
    before = {name: (burst.containers(name), burst.served(name)) for name in PERMANENT}
    stack, loads = burst.load()
    with stack:
        for joining in (RENTED, ()):
            burst.join(*joining)
            began = time.monotonic()
            done = burst.up()
            print(f"to {len(joining)}: {time.monotonic() - began:.1f} s")
            assert done.code == 0, done.output
            assert {name: burst.containers(name) for name in PERMANENT} == {
                n: found for n, (found, _) in before.items()
            }
            serving = set[str]().union(*(burst.replicas(name) for name in (*PERMANENT, *joining)))
            assert len(serving) > 2 or not joining
            for name in PERMANENT:
                assert burst.answering(name) == serving, name
    sound(loads, {"1"})
    # What they used is closed to them, and nothing is left of them anywhere.
    assert {name: (burst.containers(name), burst.served(name)) for name in PERMANENT} == before
    for name in RENTED:
        assert not burst.containers(name)


def test_a_release_during_a_burst_reaches_its_hosts_last_and_drops_nothing(burst: Burst) -> None:
    """The service that they use moves to another host meanwhile, and one of them leaves."""
    burst.join(*RENTED)
    assert burst.up().code == 0
    burst.join(RENTED[0])
    burst.services["web"]["env"] = {"VERSION": "2"}
    burst.services["api"] |= {"env": {"VERSION": "2"}, "place": "host2"}
    stack, loads = burst.load()
    with stack:
        done = burst.up()
    assert done.code == 0, done.output
    sound(loads, {"1", "2"})
    for name in PERMANENT:
        assert burst.answering(name) == set[str]().union(*(burst.replicas(one) for one in (*PERMANENT, RENTED[0])))
        assert not burst.served(name).splitlines()[1].startswith("#: digest both-")
    assert "local_api" not in burst.served("host1").partition("frontend gateway")[2]


def test_a_dead_burst_host_fails_the_up_and_holds_up_no_release(burst: Burst) -> None:
    """It is the one that the test before left."""
    burst.fleet[RENTED[0]].kill()
    burst.services["web"]["env"] = {"VERSION": "3"}
    stack, loads = burst.load("/")
    with stack:
        failed = burst.up()
        assert failed.code == 1, failed.output
        assert RENTED[0] in failed.output
        assert "declare it down" in failed.output
        for name in PERMANENT:
            assert {burst.ask(burst.fleet[name], "/")["version"] for _ in range(12)} == {"3"}, "released all the same"
        # Said to be dead, it is out of the way, and what the release left for it goes.
        burst.capacity = {"down": [RENTED[0]]}
        told = burst.up()
    assert told.code == 0, told.output
    for load in loads:
        assert load.report.failed == 0, str(load.report)
        assert load.report.versions.keys() >= {"3"}
    for name in PERMANENT:
        assert RENTED[0] not in burst.served(name)
        assert len(burst.containers(name)) == 1 + len(burst.replicas(name)) + (name == "host2")
