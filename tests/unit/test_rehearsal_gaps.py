"""A comparison says what stops and what may lose data: a database from 17 to 18 is no harmless `~`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rehearsal.compare import Difference, against
from rehearsal.errors import RehearsalError
from rehearsal.gaps import CONTAINER, TASK, gaps
from rehearsal.preview import Report
from tests.needs import needs

AWAY = "replaced, the old one first: it is away until the new one runs"
DATA = [{"containerPath": "/data", "volumeName": "shop_prod_db"}]
FILES = [{"containerPath": "/etc/x", "volumeName": "x", "readOnly": True}]


def container(image: str, *, stop_first: bool = True, volumes: Any = DATA, **more: Any) -> dict[str, Any]:
    return {
        "type": CONTAINER,
        "deleteBeforeReplace": stop_first,
        "inputs": {"image": image, "volumes": volumes, **more},
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param(container("db:17"), container("db:18"), "written by version 17 and read by 18", id="major"),
        pytest.param(container("postgres:17.2"), container("postgres:17.4-alpine"), None, id="minor"),
        pytest.param(container("redis:7"), container("valkey:7"), "another image gets the data (redis to", id="other"),
        pytest.param(container("db@sha256:1"), container("db@sha256:2"), "nobody can tell", id="digest"),
        pytest.param(container("h:5000/db"), container("h:5000/db:2"), "written by version ? and read by 2", id="port"),
        pytest.param(container("p:17", volumes=FILES), container("p:18", volumes=FILES), None, id="no data"),
    ],
)  # fmt: skip
def test_a_stop_first_container_is_away_and_its_data_is_spoken_of(
    old: dict[str, Any], new: dict[str, Any], said: str | None
) -> None:
    away, *data = gaps(old, new)
    assert away == AWAY
    assert len(data) == (said is not None)
    assert said is None or said in data[0]


def test_what_is_replaced_beside_the_old_or_changed_in_place_has_no_gap() -> None:
    assert gaps(container("web:1", stop_first=False), container("web:2", stop_first=False)) == []
    assert gaps(container("db:1", memory=64), container("db:1", memory=128)) == []


def test_a_task_with_efs_is_the_same_on_aws() -> None:
    def task(image: str) -> dict[str, Any]:
        inputs = {
            "volumes": [{"name": "data", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}],
            "containerDefinitions": json.dumps([{"name": "db", "image": image}]),
        }
        return {"type": TASK, "deleteBeforeReplace": False, "inputs": inputs}

    away, data = gaps(task("postgres:17"), task("postgres:18"))
    assert "the old task first" in away
    assert "written by version 17 and read by 18" in data


def test_the_line_is_a_replacement() -> None:
    urn = "urn:pulumi:t::shop::docker:index/container:Container::db-1"
    lines = Difference((), (), {urn: {"image": ("postgres:17", "postgres:18")}}, {}, gaps={urn: [AWAY]}).lines()
    assert lines[0].startswith("± db-1")
    assert lines[1] == f"    ! {AWAY}"


@needs("git")
def test_a_shallow_clone_says_what_to_fetch(tmp_path: Path) -> None:
    def git(where: Path, *words: str) -> None:
        plain = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(where), *plain, *words], check=True, capture_output=True, timeout=60)

    origin, clone = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    git(origin, "init", "-b", "main")
    for text in ("one", "two"):
        (origin / "file").write_text(text)
        git(origin, "add", "file")
        git(origin, "commit", "-m", text)
    git(tmp_path, "clone", "--depth", "1", f"file://{origin}", str(clone))
    with pytest.raises(RehearsalError, match=r"the last commits, and HEAD~1 is not among them[\s\S]*fetch-depth: 0"):
        against(Report("shop", "t", (), (), {}, ()), clone, "HEAD~1")


def test_a_comparison_that_does_not_end_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = tmp_path / "git"
    git.write_text("#!/bin/sh\nexec sleep 60\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("rehearsal.compare._GIT", 0.2)
    with pytest.raises(RehearsalError, match=r"--against main: `git -C .* archive …` has not ended within 0.2 seconds"):
        against(Report("shop", "t", (), (), {}, ()), tmp_path, "main")
