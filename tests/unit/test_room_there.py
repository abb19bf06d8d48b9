"""What runs on a host before a release makes anything there, in a folder with stand-in commands."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from components.docker import scripts
from planning.hosts import hostfiles
from planning.hosts.hostfiles import host_files
from planning.hosts.prepare import SUMS, kept, prepare_script
from tests.unit.test_hosts_prepare import FIREWALL, Machine

OURS, OTHERS = "shop/prod 1f", "shop/staging 2e"
GIB = 1024 * 1024
"""Kilobytes."""


class Prepared(Machine):
    """A prepared host, with so much disk free."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.stub("iptables", record=False)
        self.engine("20.10.24 1.12 1.41")
        self.disk(50 * GIB)
        self.mark = self.root / "etc/quayside/owner"
        self.mark.parent.mkdir(parents=True)
        self.mark.write_text(f"{OURS}\n")
        self.calls.write_text("")
        script = kept(prepare_script(host_files(FIREWALL)))
        subprocess.run(["sh", "-c", script], check=True, capture_output=True, env=self.environment())
        self.calls.write_text("")

    def engine(self, versions: str) -> None:
        """Version, oldest and newest API of the engine; of Docker's other commands none says anything."""
        self.stub("docker", f'[ "$1" != version ] || echo "{versions}"', record=False)

    def disk(self, kilobytes: int) -> None:
        self.stub("df", f"echo Filesystem\necho disk 0 0 {kilobytes}", record=False)

    def room(
        self, task: str = "make", wanted: str = "web-1 1048576 abc", before: str = "", client: str = "28.5.2 1.51"
    ) -> tuple[int, str]:
        given = {
            "client": client,
            "owner": OURS,
            "task": task,
            "stack": "s",
            "keep": "",
            "wanted": wanted,
            "before": before,
        }
        head = "".join(f"{key}='{value}'\n" for key, value in given.items())
        ran = subprocess.run(
            ["sh", "-s"], input=head + scripts.ROOM_THERE, capture_output=True, text=True, env=self.environment()
        )
        return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture
def host(tmp_path: Path) -> Prepared:
    return Prepared(tmp_path)


def test_a_host_that_is_ours_and_as_it_was_prepared_says_nothing(host: Prepared) -> None:
    assert host.room() == (0, "")


@pytest.mark.parametrize(
    ("engine", "client", "fits"),
    [
        ("20.10.24 1.12 1.41", "20.10.24 1.41", True),
        ("20.10.24 1.12 1.41", "28.5.2 1.51", True),
        ("20.10.24 1.12 1.41", "29.0.1 1.52", False),
        ("20.10.24 1.12 1.41", "29.2.1 1.53", False),
        ("20.10.24 1.12 1.41", "29.3.0 1.54", True),
        ("29.0.4 1.44 1.52", "24.0.7 1.43", False),
        ("29.0.4 1.44 1.52", "20.10.24 1.41", False),
        ("29.0.4 1.44 1.52", "25.0.5 1.44", True),
        ("29.0.4 1.44 1.52", "29.7.2 1.55", True),
        ("29.7.2 1.40 1.55", "20.10.24 1.41", True),
        ("29.7.2 1.40 1.55", "-", True),
        ("19.3.15 1.12 1.40", "28.5.2 1.51", False),
    ],
)
def test_both_ends_of_docker_have_to_understand_each_other(
    host: Prepared, engine: str, client: str, fits: bool
) -> None:
    host.engine(engine)
    code, said = host.room(client=client)
    assert (code, said == "") == (0, True) if fits else (1, False)
    if not fits:
        assert f"has Docker {engine.split()[0]}" in said


def test_a_docker_that_does_not_answer_is_named(host: Prepared) -> None:
    host.stub("docker", "echo Cannot connect to the Docker daemon >&2; exit 1", record=False)
    assert host.room() == (1, "its Docker does not answer: Cannot connect to the Docker daemon\n")


def test_a_host_that_was_handed_over_is_left_as_it_is(host: Prepared) -> None:
    host.mark.write_text(f"{OTHERS}\n")
    (host.root / hostfiles.SYSCTL.lstrip("/")).write_text("# of the other stack\n")
    code, said = host.room()
    assert code == 1
    assert f"belongs to another stack now, {OTHERS}, so nothing was made there; this is {OURS}\n" in said
    assert (host.root / hostfiles.SYSCTL.lstrip("/")).read_text() == "# of the other stack\n"


@pytest.mark.parametrize(("mark", "freed"), [(OURS, True), (OTHERS, False)])
def test_who_leaves_frees_its_own_mark_alone(host: Prepared, mark: str, freed: bool) -> None:
    host.mark.write_text(f"{mark}\n")
    assert host.room("away")[0] == 0
    assert host.mark.exists() is not freed


def test_what_others_changed_is_put_back(host: Prepared) -> None:
    file = host.root / hostfiles.SYSCTL.lstrip("/")
    file.write_text("# another's\n")
    code, said = host.room()
    assert (code, file.read_text()) == (0, host_files(FIREWALL)[hostfiles.SYSCTL].content)
    assert said == f"somebody changed what this stack put there, and it is put back: {file} \n"
    assert host.room() == (0, "")


def test_a_setting_that_cannot_be_merged_stops_a_release(host: Prepared) -> None:
    (host.root / hostfiles.DAEMON.lstrip("/")).write_text('{"iptables": false}\n')
    code, said = host.room()
    assert code == 1
    assert 'has "iptables": false, and Docker would open no port' in said


def test_a_packet_filter_that_was_flushed_stands_again(host: Prepared) -> None:
    host.stub("iptables", '[ "$4" != INPUT ]', record=False)
    code, said = host.room()
    assert (code, host.calls.read_text()) == (0, "firewall\n")
    assert "the packet filter was not in force (no INPUT -j QUAYSIDE-INPUT), and is again" in said


def test_a_release_that_the_disk_cannot_hold_is_refused_after_unused_images_went(host: Prepared) -> None:
    host.disk(GIB)
    code, said = host.room()
    assert code == 1
    assert said.startswith(
        "has 1024 MiB of disk free for Docker, and a release takes at least 2048 MiB for its images\n"
    )
    # What makes nothing needs nothing.
    assert host.room(before="web-1 1048576 abc")[0] == 0


# --- images ----------------------------------------------------------------------------------------------------------


class Images(Machine):
    """A host whose engine is two lists: images that are there, and those in use."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self.root / SUMS.lstrip("/")).parent.mkdir(parents=True)
        self.there, self.used = folder / "there", folder / "used"
        self.there.write_text("")
        body = f"""
case "$1 $2" in
"ps -aq") cat {self.used} ;;
"inspect --format") shift 3; printf '%s\\n' "$@" ;;
"image ls") cat {self.there} ;;
"image inspect") echo "name-of-$5" ;;
"image rm") grep -vx "${{3#name-of-}}" {self.there} >{self.there}.new || :; mv {self.there}.new {self.there} ;;
esac"""
        self.stub("docker", body, record=False)
        self.script = folder / "images"
        self.script.write_text(host_files(FIREWALL)[hostfiles.IMAGES].content)

    def run(self, *arguments: str) -> None:
        subprocess.run(["sh", str(self.script), *arguments], check=True, env={**os.environ, **self.environment()})

    def release(self, name: str) -> None:
        """As the memory preflight and then the engine do it."""
        self.run("note")
        self.there.write_text(f"{self.there.read_text()}{name}\n")
        self.used.write_text(f"{name}\nedge\n")

    @property
    def left(self) -> list[str]:
        return self.there.read_text().split()


def test_what_the_last_five_releases_used_stays_whenever_it_was_built(tmp_path: Path) -> None:
    host = Images(tmp_path)
    host.there.write_text("edge\n")
    host.used.write_text("edge\n")
    for number in range(1, 9):
        host.release(f"v{number}")
    host.run("prune")
    assert host.left == ["edge", *(f"v{number}" for number in range(1, 9))]  # may have been pulled a moment ago
    host.run("prune")
    assert host.left == ["edge", "v4", "v5", "v6", "v7", "v8"]
    # Runs without a release push nothing out.
    for _ in range(7):
        host.run("prune")
    assert host.left == ["edge", "v4", "v5", "v6", "v7", "v8"]


def test_an_image_that_is_being_pulled_is_not_taken_away(tmp_path: Path) -> None:
    host = Images(tmp_path)
    host.used.write_text("edge\n")
    host.there.write_text("edge\nold\n")
    host.run("prune")
    host.there.write_text("edge\nold\npulled\n")
    host.run("prune")
    assert host.left == ["edge", "pulled"]
    host.run("prune", "now")
    assert host.left == ["edge"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to play a full disk")
def test_images_go_from_a_full_disk_and_what_was_noted_stays(tmp_path: Path) -> None:
    host = Images(tmp_path)
    host.there.write_text("edge\nold\n")
    host.used.write_text("edge\n")
    host.release("v1")
    host.release("v2")
    host.run("note")
    state = host.root / SUMS.lstrip("/")
    noted = (state.parent / "images").read_text()
    (state.parent / "images.new").symlink_to("/dev/full")
    host.used.write_text("edge\nv3\n")
    done = subprocess.run(
        ["sh", str(host.script), "prune", "now"], capture_output=True, text=True, env=host.environment(), check=False
    )
    assert "what is in use was not noted" in done.stderr
    assert host.left == ["edge", "v1", "v2"]
    assert (state.parent / "images").read_text() == noted
