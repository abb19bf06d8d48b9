"""What replaces an edge, and what replaces nothing, through the real Pulumi CLI and Docker.

Each test goes on from where the one before it ended.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from planning.edge import IMAGE
from tests.engine.cli import Pulumi
from tests.engine.test_scenario import SERVICES, Project, _missing, cli
from tests.hosts.load import Running
from tests.hosts.test_edge_replacement import TYPO, Gap

pytestmark = pytest.mark.engine

ANOTHER = "haproxy:another-name-by-the-engine"
HOST = "diary.localhost"


@pytest.fixture(scope="module", autouse=True)
def _needs_the_engine() -> Iterator[None]:
    if why := _missing():
        pytest.skip(why)
    subprocess.run(["docker", "tag", IMAGE, ANOTHER], check=True)
    yield
    subprocess.run(["docker", "rmi", ANOTHER], capture_output=True, check=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("engine") / "project")
    kept = ("image", "command", "user", "port", "memory", "drain", "files")
    diary: dict[str, Any] = {key: SERVICES["web"][key] for key in kept}
    diary |= {"routes": ["diary.{domain}"], "volume": "/data", "health": {"path": "/healthz", "grace": "20s"}}
    made.services = {"diary": diary, "web": {**diary, "routes": ["web.{domain}"]}}
    del made.services["web"]["volume"]
    made.services["web"]["env"] = {"VERSION": "1"}
    made.release()
    yield made
    made.clean()


@pytest.fixture(scope="module")
def pulumi(project: Project) -> Pulumi:
    made = cli(project)
    made.up()
    return made


def edge(project: Project) -> set[str]:
    return project.containers("edge")


def use(pulumi: Pulumi, image: str) -> None:
    pulumi.run("config", "set", "--path", "quayside:edge.image", image)


def test_a_route_added_to_a_service_with_a_volume_is_no_gap(project: Project, pulumi: Pulumi) -> None:
    before = project.containers("diary")
    with Running(project.port, HOST, keep_alive=2, close=2, waiting=0) as load:
        project.services["diary"]["routes"] += ["notes.{domain}"]
        project.release()
        pulumi.up()
        assert [(op, name) for op, name, _ in pulumi.changed()] == [("update", "routing")]
        project.services["diary"] |= {"sticky": "1h", "health": {"path": "/healthz", "grace": "30s"}}
        project.services["web"]["drain"] = "40s"
        project.release()
        pulumi.up()
    assert load.report.failed == 0, str(load.report)
    assert project.containers("diary") == before
    # How long the engine waits when it stops a container is changed in place.
    assert ("update", "web-1", ["destroyGraceSeconds"]) in pulumi.changed()
    pulumi.up()
    assert pulumi.changed() == []


def test_an_image_that_cannot_be_had_leaves_the_edge_serving(project: Project, pulumi: Pulumi) -> None:
    before = edge(project)
    with Running(project.port, HOST, keep_alive=2, close=2, waiting=0) as load:
        use(pulumi, TYPO)
        said = pulumi.up(fails=True)
        assert TYPO in said
        assert not [step for step in pulumi.steps() if step[0] == "deleted"]
        pulumi.refresh()
        pulumi.up(fails=True)
    assert load.report.failed == 0, str(load.report)
    assert edge(project) == before


def test_a_new_image_is_a_gap_of_seconds_whatever_is_released_with_it(project: Project, pulumi: Pulumi) -> None:
    use(pulumi, ANOTHER)
    project.services["web"] |= {
        "command": ["sh", "-c", "sleep 8; exec python3 -u /app/web.py"],
        "env": {"VERSION": "2"},
    }
    project.release()
    with Gap("127.0.0.1", project.port, "web.localhost") as gap:
        pulumi.up()
    print(f"away for {gap.seconds:.1f} s")
    assert len(gap.away) == 1
    assert gap.versions == ["1"], "it waits for no replica"
    pulumi.refresh()
    pulumi.up()
    assert pulumi.changed() == []


def test_destroying_with_data_is_as_the_docs_have_it(project: Project, pulumi: Pulumi) -> None:
    said = pulumi.destroy(fails=True)
    assert "protected" in said
    pulumi.up()
    pulumi.destroy("--exclude-protected")
    assert len(project.docker("volume", "ls", "-q")) == 1
    pulumi.up()
    pulumi.run("config", "set", "quayside:protect", "false")
    pulumi.up()
    pulumi.destroy()
    assert project.everything() == []
