"""Every piece of advice that may lose data was tried as written: what a tired person would lose by it is said here.

The test reads code and docs for words of that kind. New advice fails it until it was tried and is listed.
"""

from __future__ import annotations

import re
import tarfile
import time
from collections import Counter
from pathlib import Path

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
    r"|restore a backup|[Rr]estore no backup|delete \{path\}|--exclude-protected"
)

TRIED: dict[tuple[str, str], str] = {
    # --- what a message says
    (
        "planning/hosts/refusals.py",
        "Restore no backup",
    ): "of a made host's disk, which moves by `place`: nothing",
    ("quayside/lifecycle.py", "protect false"): "AWS: everything; it says so, and a copy comes first",
    ("quayside/lifecycle.py", "make('down"): "volumes stay, unless protect is false: it says so",
    ("quayside/lifecycle.py", "VOLUMES=1"): "all data: it says so, and how to have a copy",
    ("quayside/preflight.py", "make('down"): "volumes stay, unless protect is false: it says so",
    ("quayside/pulumi_cli.py", "--exclude-protected"): "`down` without VOLUMES=1: keeps volumes",
    ("docs/releases.md", "docker network rm"): "no data; Docker refuses it while something is joined",
    ("rehearsal/docker_provider.py", "docker network rm"): "no data; Docker refuses it while something is joined",
    ("rehearsal/engine.py", "protect: false"): "what is protected, with what is in it: it says so",
    ("rehearsal/survey.py", "pulumi destroy"): "with --exclude-protected: data stays",
    ("rehearsal/survey.py", "--exclude-protected"): "data stays",
    # --- scripts that carry it out
    ("planning/hosts/hostfiles.py", "docker image rm"): "no data: images that nothing runs, which are pulled again",
    ("quayside/lifecycle.py", "--exclude-protected"): "data stays",
    ("planning/aws/registry.py", "docker rm"): "the container of the instance's registry, which has nothing",
    ("quayside/backup.sh", "docker rm"): "its own helper",
    ("quayside/backup.sh", "docker volume rm"): "the copy beside the data, after it was sent",
    ("quayside/pulumi_cli.py", "pulumi destroy"): "says what `down` does; volumes are protected",
    ("components/docker/room_there.sh", "docker network rm"): "networks of services that left",
    (
        "components/docker/room_there.sh",
        "docker volume rm",
    ): "of files and of a burst host's edge: never data",
    ("components/docker/room_there.sh", "docker rm"): "containers of services that left",
    # --- pages
    ("README.md", "make down"): "volumes stay",
    ("README.md", "VOLUMES=1"): "all data: it says so",
    ("Makefile", "VOLUMES=1"): "all data: it says so",
    ("docs/aws.md", "protect: false"): "the data of what is taken away: it says so, and a copy comes first",
    ("docs/aws.md", "protect false"): "everything: it says so, and a copy comes first",
    ("docs/aws.md", "pulumi destroy"): "everything: it says so, and a copy comes first",
    ("docs/backups.md", "bin/quayside restore"): "older data over newer is refused without --replace-newer",
    ("docs/backups.md", "state unprotect"): "forgets a volume and deletes nothing: the original stays on the server",
    ("docs/backups.md", "state delete"): "forgets a volume and deletes nothing: the original stays on the server",
    ("docs/first-run.md", "docker image rm"): "a stand-in, made again",
    ("docs/first-run.md", "make down"): "volumes stay",
    ("docs/first-run.md", "VOLUMES=1"): "all data: it says so, and a copy comes first",
    ("docs/hosts.md", "--exclude-protected"): "data stays",
    ("docs/hosts.md", "VOLUMES=1"): "all data: it says so",
    ("docs/hosts.md", "make down"): "volumes stay, unless protect is false: it says so",
    ("docs/hosts.md", "protect false"): "all data: the heading and the lines around say so",
    ("docs/hosts.md", "protect: false"): "the data of the service that is taken out: it says so",
    ("docs/hosts.md", "pulumi destroy"): "stops at protected volumes",
    ("docs/hosts.md", "Restore no backup"): "of a made host's disk: nothing is lost",
    ("docs/hosts.md", "quayside restore"): "names what it refuses",
}
"""File and words → what is lost by following it, as tried."""


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
    assert found.keys() - TRIED.keys() == set(), "try it as written, say what is lost by it, and list it here"
    assert TRIED.keys() - found.keys() == set(), "it is gone: take it off the list"


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
