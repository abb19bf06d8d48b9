"""The edge on real containers, when itself is replaced: by a new image, by one that is not there, by one of no use."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.fleet import Fleet
from tests.hosts.load import Running
from tests.hosts.shop import IMAGES, PYTHON, Stack, UnavailableError, agent_with, docker, web
from tests.hosts.test_platform import Project

pytestmark = pytest.mark.docker

ANOTHER = "haproxy:another-name"
TYPO = "localhost:1/haproxy:3.2-alpne"
"""Of a registry that refuses at once."""

SLOW = ["sh", "-c", "sleep 8; exec python3 -u /app/web.py"]


def diary(**more: Any) -> dict[str, Any]:
    """A web service with a volume: stop-first, so that whatever replaces it is a gap."""
    return web(routes=["diary.{domain}"], volume="/data", replicas=1, **more)


def test_a_route_added_leaves_every_container_as_it_is(new_stack: Callable[[dict[str, Any]], Stack]) -> None:
    stack = new_stack({"diary": diary()})
    stack.up()
    (before,) = stack.replicas("diary").values()
    with Running(stack.port, "diary.localhost", keep_alive=2, close=2, waiting=0) as load:
        for change in (
            {"routes": ["diary.{domain}", "notes.{domain}"]},
            {"routes": ["notes.{domain}", "diary.{domain}"], "sticky": "1h"},
            {"health": {"path": "/healthz", "grace": "50s"}},
        ):
            stack.services["diary"] |= change
            stack.up()
    assert load.report.failed == 0, str(load.report)
    assert stack.get("notes")["version"] == "0"
    (after,) = stack.replicas("diary").values()
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])


def test_an_image_that_cannot_be_had_leaves_the_edge_serving(new_stack: Callable[[dict[str, Any]], Stack]) -> None:
    stack = new_stack({"shop": web(routes=["shop.{domain}"], env={"VERSION": "1"})})
    stack.up()
    before = docker("inspect", "-f", "{{.Id}}", stack.edge)
    with Running(stack.port, "shop.localhost", keep_alive=2, close=2, waiting=0) as load:
        stack.edge_image = TYPO
        said = stack.refused().output
    assert TYPO in said
    assert load.report.failed == 0, str(load.report)
    assert docker("inspect", "-f", "{{.Id}}", stack.edge) == before
    docker("tag", IMAGES[0], ANOTHER)
    try:
        stack.edge_image = ANOTHER
        # With a release that takes its time: the edge serves the old version while the new one becomes healthy.
        stack.services["shop"] |= {"command": SLOW, "env": {"VERSION": "2"}}
        gap = Gap("127.0.0.1", stack.port, "shop.localhost")
        with gap:
            stack.up()
        print(f"away for {gap.seconds:.1f} s")
        assert docker("inspect", "-f", "{{.Config.Image}}", stack.edge) == ANOTHER
        assert stack.get()["version"] == "2"
        assert len(gap.away) == 1
        assert gap.versions == ["1"], "it waits for no replica"
        stack.edge_image = PYTHON
        said = stack.refused().output
        assert "the edge does not serve" in said
        stack.edge_image = IMAGES[0]
        stack.up()
    finally:
        docker("rmi", ANOTHER)


class Gap:
    """Asks again and again while it is entered, and notes when nobody answers as a service does."""

    def __init__(self, address: str, port: int, host: str) -> None:
        self.away: list[tuple[float, float]] = []
        """Begin and end of each time."""
        self.versions: list[str] = []
        """What answered first after each."""
        self._where, self._host, self._end = (address, port), host, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def seconds(self) -> float:
        return sum(end - begin for begin, end in self.away)

    def __enter__(self) -> Gap:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        since: float | None = None
        while not self._end.is_set():
            began = time.monotonic()
            if version := self._version():
                if since is not None:
                    self.away.append((since, time.monotonic()))
                    self.versions.append(version)
                since = None
            elif since is None:
                since = began
            self._end.wait(0.05)
        if since is not None:
            self.away.append((since, time.monotonic()))

    def _version(self) -> str:
        """Empty where nobody answers."""
        connection = http.client.HTTPConnection(*self._where, timeout=5)
        try:
            connection.request("GET", "/", headers={"Host": self._host})
            answer = connection.getresponse()
            return str(json.loads(answer.read())["version"]) if answer.status == 200 else ""
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()


@pytest.fixture
def project(engine: None, tmp_path: Path) -> Iterator[Project]:
    names = ("host1", "host2", "host3")
    try:
        made = Fleet.start(names)
    except UnavailableError as why:
        pytest.skip(str(why))
    with made as fleet, agent_with(fleet.identity) as agent:
        project = Project(tmp_path, fleet, agent)
        project.services = {"web": {**project.services["web"], "uses": [], "replicas": 3}}
        yield project


def test_edges_of_a_fleet_are_replaced_one_after_another(project: Project) -> None:
    assert project.up().code == 0
    ids = {host.name: host.docker("ps", "-q", "-f", "label=dev.quayside.role=edge") for host in project.fleet}
    watches = {host.name: Gap(host.address, 80, "web.example.test") for host in project.fleet}
    for host in project.fleet:
        host.docker("tag", IMAGES[0], ANOTHER)
    for watch in watches.values():
        watch.__enter__()
    try:
        project.edge = {"image": TYPO}
        refused = project.up()
        assert refused.code == 1
        assert TYPO in refused.output
        typo_ends = time.monotonic()
        assert not [away for watch in watches.values() for away in watch.away], "nobody was away for a typo"
        project.edge = {"image": ANOTHER}
        done = project.up()
        assert done.code == 0, done.output
    finally:
        for watch in watches.values():
            watch.__exit__()
    for host in project.fleet:
        assert host.docker("ps", "-q", "-f", "label=dev.quayside.role=edge") != ids[host.name]
    away = sorted((begin, end, name) for name, watch in watches.items() for begin, end in watch.away)
    print("; ".join(f"{name} {begin - typo_ends:.1f}–{end - typo_ends:.1f} s" for begin, end, name in away))
    assert [name for _, _, name in away] == ["host1", "host2", "host3"]
    for (_, end, _), (begin, _, _) in pairwise(away):
        assert end <= begin, "while one edge is away, every other one serves"
