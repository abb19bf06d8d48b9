"""Every piece of advice that may lose data: what a tired person would lose by it, and whether it was followed.

The test reads code and docs for words of that kind. New advice fails it until it was tried and is listed.
"""

from __future__ import annotations

import re
import tarfile
import time
from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from typer.testing import CliRunner

from planning.hosts.refusals import _unavailable
from quayside import __main__ as cli
from quayside import data, lifecycle
from quayside.data import Contents, Volume
from tests.mesh import host

ROOT = Path(__file__).parents[2]
SOURCES = ("quayside", "rehearsal", "components", "platforms", "settings", "planning")
DOCS = ("README.md", "Makefile", "docs", "examples")
PHRASES = re.compile(
    r"docker (?:volume|network|image|container) (?:rm|prune)|docker system prune|docker rm\b|state delete"
    r"|state unprotect|stack rm\b|pulumi destroy|make down|make\('down|VOLUMES=1|down --volumes|protect:? false"
    r"|(?:quayside|bin/quayside) restore"
    r"|--target-dependents|(?<=config set --path 'quayside:)capacity\.down|rm /etc/quayside/owner"
    r"|restore a backup|[Rr]estore no backup|delete \{path\}|--exclude-protected"
)


class Advice(NamedTuple):
    tried: Literal["run", "read"]
    """Whether it was followed as it is written, or judged by reading it and the code."""
    lost: str
    by: str = ""
    """The tests that follow it."""


FLEET = "engine/test_advice.py"
EDGES = "engine/test_engine_edges.py"
FLEET_LIFE = "engine/test_engine_fleet.py"
LAPTOP = "engine/test_advice_laptop.py"


def run(lost: str, by: str) -> Advice:
    return Advice("run", lost, by)


def read(lost: str) -> Advice:
    return Advice("read", lost)


TRIED: dict[tuple[str, str], Advice] = {
    # --- what a message says
    ("planning/hosts/refusals.py", "Restore no backup"): read("of a made host's disk, which moves by `place`: nothing"),
    ("quayside/lifecycle.py", "protect false"): run(
        "everything: it says so; on AWS, where it was read, a copy first", EDGES
    ),
    ("quayside/lifecycle.py", "make('down"): run("volumes stay, unless protect is false: it says so", LAPTOP),
    ("quayside/lifecycle.py", "VOLUMES=1"): run("all data: it says so, and how to have a copy", LAPTOP),
    ("quayside/preflight.py", "make('down"): run("volumes stay, unless protect is false: it says so", LAPTOP),
    ("quayside/pulumi_cli.py", "--exclude-protected"): run("`down` without VOLUMES=1: keeps volumes", LAPTOP),
    ("docs/releases.md", "docker network rm"): read("no data; Docker refuses it while something is joined"),
    ("rehearsal/docker_provider.py", "docker network rm"): read("no data; Docker refuses it while something is joined"),
    ("rehearsal/engine.py", "protect: false"): read("what is protected, with what is in it: it says so"),
    ("rehearsal/survey.py", "pulumi destroy"): run("with --exclude-protected: data stays", LAPTOP),
    ("rehearsal/survey.py", "--exclude-protected"): run("data stays", LAPTOP),
    # --- scripts that carry it out
    ("planning/hosts/hostfiles.py", "docker image rm"): read(
        "no data: images that nothing runs, which are pulled again"
    ),
    ("quayside/lifecycle.py", "--exclude-protected"): run("data stays", EDGES),
    ("planning/aws/registry.py", "docker rm"): read("the container of the instance's registry, which has nothing"),
    ("quayside/backup.sh", "docker rm"): run("its own helper", "hosts/test_backup.py"),
    ("quayside/backup.sh", "docker volume rm"): run(
        "the copy beside the data, after it was sent", "hosts/test_backup.py"
    ),
    ("quayside/pulumi_cli.py", "pulumi destroy"): run("says what `down` does; volumes are protected", LAPTOP),
    ("components/docker/room_there.sh", "docker network rm"): run("networks of services that left", FLEET_LIFE),
    ("components/docker/room_there.sh", "docker volume rm"): run(
        "of files and of a burst host's edge: never data", FLEET_LIFE
    ),
    ("components/docker/room_there.sh", "docker rm"): run("containers of services that left", FLEET_LIFE),
    # --- pages
    ("README.md", "make down"): run("volumes stay", LAPTOP),
    ("README.md", "VOLUMES=1"): run("all data: it says so", LAPTOP),
    ("Makefile", "VOLUMES=1"): run("all data: it says so", LAPTOP),
    ("docs/aws.md", "protect: false"): read("the data of what is taken away: it says so, and a copy comes first"),
    ("docs/aws.md", "protect false"): read("everything: it says so, and a copy comes first"),
    ("docs/aws.md", "pulumi destroy"): read("everything: it says so, and a copy comes first"),
    ("docs/backups.md", "bin/quayside restore"): run(
        "older data over newer is refused without --replace-newer", LAPTOP
    ),
    ("docs/backups.md", "docker volume rm"): read("the original of data that was moved: after the copy was looked at"),
    ("docs/backups.md", "state delete"): run("forgets a volume, and the original stays on the server", FLEET),
    ("docs/backups.md", "--target-dependents"): run("nothing: Pulumi proposes it, and the page warns of it", FLEET),
    ("docs/first-run.md", "docker image rm"): read("a stand-in, made again"),
    ("docs/first-run.md", "make down"): run("volumes stay", LAPTOP),
    ("docs/first-run.md", "VOLUMES=1"): run("all data: it says so, and a copy comes first", LAPTOP),
    ("docs/hosts.md", "--exclude-protected"): run("data stays", EDGES),
    ("docs/hosts.md", "VOLUMES=1"): run("all data: it says so", LAPTOP),
    ("docs/hosts.md", "make down"): run("volumes stay, unless protect is false: it says so", LAPTOP),
    ("docs/hosts.md", "protect false"): run("all data: the heading and the lines around say so", EDGES),
    ("docs/hosts.md", "protect: false"): read("the data of the service that is taken out: it says so"),
    ("docs/hosts.md", "pulumi destroy"): run("stops at protected volumes", EDGES),
    ("docs/hosts.md", "Restore no backup"): read("of a made host's disk: nothing is lost"),
    ("docs/hosts.md", "quayside restore"): read("names what it refuses"),
    ("docs/hosts.md", "capacity.down"): run("nothing: data on that host waits for it", FLEET),
    ("docs/hosts.md", "rm /etc/quayside/owner"): read("no data: the server is another stack's from then on"),
    ("docs/hosts.md", "docker rm"): read("containers of a stack that is gone; its volumes stay"),
    ("components/docker/prepare_host.sh", "docker rm"): read("containers of a stack that is gone; its volumes stay"),
    ("components/docker/prepare_host.sh", "rm /etc/quayside/owner"): read(
        "no data: the server is another stack's from then on"
    ),
}
"""File and words → what is lost by following it."""


def advice() -> Counter[tuple[str, str]]:
    files = [file for folder in SOURCES for kind in ("*.py", "*.sh") for file in (ROOT / folder).rglob(kind)]
    for name in DOCS:
        path = ROOT / name
        files += [path] if path.is_file() else list(path.rglob("*.md"))
    return Counter(
        (str(file.relative_to(ROOT)), words) for file in files for words in PHRASES.findall(file.read_text())
    )


def test_all_advice_that_may_lose_data_was_tried() -> None:
    found = advice()
    assert found.keys() - TRIED.keys() == set(), (
        "try it as written, say what is lost by it and which test follows it, and list it here"
    )
    assert TRIED.keys() - found.keys() == set(), "it is gone: take it off the list"
    for where, tried in TRIED.items():
        assert (tried.tried == "run") == bool(tried.by), where
        assert (ROOT / "tests" / tried.by).exists(), where


def test_a_dead_made_host_is_told_to_move_its_disk_and_not_to_restore() -> None:
    made = _unavailable("db", host("host2", kind="created"))
    assert "its disk is attached there, with all its data. Restore no backup onto that disk" in made
    own = _unavailable("db", host("host2", kind="existing"))
    assert "what was written since the last backup may be lost" in own
    assert "place" not in own


# --- restore ---------------------------------------------------------------------------------------------------------


def archive_of(path: Path, written: int) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("dump.rdb")
        member.mtime = written
        archive.addfile(member)
    return path


@pytest.mark.parametrize(
    ("files", "written", "options", "refused"),
    [
        pytest.param(0, 0, ["--yes"], False, id="an empty volume"),
        pytest.param(3, 500, ["--yes"], False, id="older data"),
        pytest.param(3, 1000, ["--yes"], False, id="the same data"),
        pytest.param(3, 2000, ["--yes"], True, id="newer data"),
        pytest.param(3, 2000, ["--yes", "--replace-newer"], False, id="newer data, meant"),
    ],
)
def test_newer_data_is_replaced_only_when_it_is_meant(
    files: int, written: int, options: list[str], refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = f"printf '%s\\n' {files}" + (f" {written}" if files else "")
    volume = Volume(service="db", name="v", image="i", container="", reach=lambda _: ["sh", "-c", told])
    restored: list[Path] = []
    monkeypatch.setattr(cli, "_volume", lambda *_: volume)
    monkeypatch.setattr(lifecycle, "project", lambda stack, _: stack)
    monkeypatch.setattr(data, "restore", lambda _, file: restored.append(file))
    file = archive_of(tmp_path / "copy.tar.gz", 1000)
    done = CliRunner().invoke(cli.app, ["restore", "db", str(file), *options])
    assert bool(restored) is not refused
    if refused:
        assert isinstance(done.exception, data.CommandError)
        assert re.search(r"newer than the archive: 3 files[\s\S]*quayside backup db --stack local", str(done.exception))
    else:
        assert done.exit_code == 0, done.output


def test_a_volume_that_cannot_be_looked_into_is_not_replaced() -> None:
    volume = Volume(service="db", name="v", image="i", container="", reach=lambda _: ["sh", "-c", "echo no >&2; false"])
    with pytest.raises(data.CommandError, match="cannot look what is in the volume of db, so nothing was replaced: no"):
        data.look(volume)


def test_the_archive_tells_its_newest_file(tmp_path: Path) -> None:
    now = int(time.time())
    assert data.files_of(archive_of(tmp_path / "a.tar.gz", now)) == Contents(files=1, newest=now)
