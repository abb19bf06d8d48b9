"""What the pages advise on a laptop where data could be lost, done as it is written, with the Pulumi CLI on PATH.

`make up` and `make down` are `quayside up` and `quayside down`. Each test goes on from where the one before it ended.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from quayside import pulumi_cli
from tests.engine.cli import REPOSITORY
from tests.engine.test_scenario import SERVICES, STACK, Project, _missing

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    if why := _missing():
        pytest.skip(why)
    made = Project(tmp_path_factory.mktemp("advice") / "project")
    made.services = {"session": SERVICES["session"], "web": {**SERVICES["web"], "canary": None, "replicas": 1}}
    del made.services["web"]["secrets"]
    made.release()
    yield made
    made.clean()


def quayside(project: Project, *words: str, pulumi: bool = True, fails: bool = False) -> str:
    path = os.environ["PATH"].split(os.pathsep)
    if not pulumi:
        path = [folder for folder in path if not (Path(folder) / "pulumi").exists()]
    done = subprocess.run(
        [sys.executable, "-m", "quayside", *words, "--stack", STACK],
        cwd=project.root,
        env={**os.environ, "PATH": os.pathsep.join(path), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stdout + done.stderr
    print(f"$ quayside {' '.join(words)}\n{said}")
    assert (done.returncode != 0) == fails, said
    return said


def redis(project: Project, *words: str) -> str:
    (name,) = project.docker("ps", "-q", "--filter", "label=dev.quayside.service=session")
    asked = ["docker", "exec", name, "redis-cli", *words]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def volumes(project: Project) -> list[str]:
    return project.docker("volume", "ls", "-q", "--filter", "label=dev.quayside.role=stateful")


def test_what_the_rehearsal_applied_goes_to_pulumi_by_down_and_up(project: Project) -> None:
    """docs/first-run.md: `was applied by the rehearsal, and pulumi is on PATH now`."""
    quayside(project, "up", pulumi=False)
    redis(project, "set", "kept", "yes")
    said = quayside(project, "up", fails=True)
    assert re.search(r"run `make down[^`]*` first, then `make up", said)
    quayside(project, "down")
    assert len(volumes(project)) == 1
    quayside(project, "up")
    assert redis(project, "get", "kept") == "yes"


def test_a_subnet_is_changed_by_down_and_up(project: Project) -> None:
    """docs/first-run.md: `quayside:subnets: network … has … and should get …`."""
    file = project.root / f"Pulumi.{STACK}.yaml"
    document = yaml.safe_load(file.read_text())
    document["config"]["quayside:subnets"] = "10.217.64.0/20"
    file.write_text(yaml.safe_dump(document))
    assert "make down" in quayside(project, "up", fails=True)
    quayside(project, "down")
    quayside(project, "up")
    assert redis(project, "get", "kept") == "yes"


def test_a_backup_is_put_back(project: Project) -> None:
    """docs/backups.md, Back again."""
    said = quayside(project, "backup", "session").splitlines()
    file = next(line for line in said if line.endswith(".tar.gz"))
    redis(project, "set", "kept", "no")
    assert "nobody can be asked" in quayside(project, "restore", "session", file, fails=True)
    said = quayside(project, "restore", "session", file, "--yes", fails=True)
    assert "is newer than the archive" in said
    quayside(project, "restore", "session", file, "--yes", "--replace-newer")
    assert redis(project, "get", "kept") == "yes"


def test_down_keeps_data_and_volumes_1_deletes_it(project: Project) -> None:
    said = quayside(project, "down")
    assert "Kept: volume" in said
    assert len(volumes(project)) == 1
    quayside(project, "up")
    assert redis(project, "get", "kept") == "yes"
    quayside(project, "down", "--volumes")
    assert project.everything() == []


def test_unprotected_data_goes_by_either(project: Project) -> None:
    """docs/hosts.md: With `quayside:protect: false` there, both do."""
    file = project.root / f"Pulumi.{STACK}.yaml"
    document = yaml.safe_load(file.read_text())
    document["config"]["quayside:protect"] = False
    file.write_text(yaml.safe_dump(document))
    quayside(project, "up")
    quayside(project, "down")
    assert project.everything() == []


def test_what_pulumi_deployed_goes_to_the_rehearsal_by_its_destroy(project: Project) -> None:
    """What `rehearsal --apply` says where pulumi has deployed the stack, in whatever backend."""
    file = project.root / f"Pulumi.{STACK}.yaml"
    document = yaml.safe_load(file.read_text())
    del document["config"]["quayside:protect"]
    file.write_text(yaml.safe_dump(document))
    quayside(project, "up")
    redis(project, "set", "kept", "yes")
    said = rehearsed(project, fails=True)
    assert "`pulumi destroy --exclude-protected`" in said
    environment = {**os.environ, **pulumi_cli.environment(project.root), "PYTHONPATH": str(REPOSITORY)}
    words = ["pulumi", "destroy", "--exclude-protected", "--yes", "--stack", STACK]
    subprocess.run(words, cwd=project.root, env=environment, check=True)
    assert len(volumes(project)) == 1
    rehearsed(project)
    assert redis(project, "get", "kept") == "yes"
    project.clean()


def rehearsed(project: Project, *, fails: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rehearsal", STACK, "--apply"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stdout + done.stderr
    print(said)
    assert (done.returncode != 0) == fails, said
    return said
