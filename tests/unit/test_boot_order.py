"""Every unit that quayside installs, ordered by systemd itself among the units that machines boot with.

A cycle of orderings is not refused by systemd: it drops a job of it at each boot, and which one is chance, so that a
machine comes up without network, packet filter or Docker one time in some thirty.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from planning.aws.registry import InstanceRegistry, registry_script
from planning.hosts import hostfiles
from planning.hosts.hostfiles import host_files
from planning.hosts.hung import hung_files
from planning.hosts.machine_images import outputs
from tests.boot_units import AMAZON, UBUNTU, UnavailableError, debian, written

UNITS = "/etc/systemd/system/"
TREE = Path(__file__).parents[2]

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (systemd)")


def host_units() -> Mapping[str, str]:
    """Path → content of every unit and drop-in of a prepared host."""
    files = {**host_files("#!/bin/sh\n"), **hung_files()}
    return {path: file.content for path, file in files.items() if path.startswith(UNITS)}


def instance_units() -> Mapping[str, str]:
    """Likewise of an instance on AWS with a registry of its own."""
    script = registry_script(InstanceRegistry(image="registry:3", bucket="b", region="eu-central-1", memory=128))
    return dict(re.findall(rf"cat > ({UNITS}\S+) <<'QUAYSIDE-END'\n(.*?)\nQUAYSIDE-END", script, re.DOTALL))


def complaints(tree: Path, units: Mapping[str, str]) -> Sequence[str]:
    """What systemd says of a boot with these units: cycles, and whatever is the matter with one of ours."""
    for path, content in units.items():
        file = tree / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        for program in re.findall(r"^Exec\w+=[-@:+!]*(/\S+)", content, re.MULTILINE):
            (tree / program.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            (tree / program.lstrip("/")).touch(0o755)
    own = [path.rpartition("/")[2] for path, text in units.items() if "[Install]" in text]
    subprocess.run(["systemctl", f"--root={tree}", "--quiet", "enable", *own], capture_output=True, check=True)
    named = [path.rpartition("/")[2] for path in units if f"{UNITS}{path.rpartition('/')[2]}" == path]
    done = subprocess.run(
        ["systemd-analyze", f"--root={tree}", "--man=no", "verify", "multi-user.target", *named],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    said = (done.stdout + done.stderr).splitlines()
    return [line for line in said if "cycle" in line or "Found dependency" in line or "quayside" in line]


@pytest.fixture(scope="session")
def trees(request: pytest.FixtureRequest) -> Path:
    """Kept from run to run."""
    return request.config.cache.mkdir("boot-units")


def copy_of(suite: str, trees: Path, folder: Path) -> Path:
    try:
        tree = debian(suite, trees)
    except UnavailableError as why:
        pytest.skip(str(why))
    return Path(shutil.copytree(tree, folder / suite, symlinks=True))


@needs_systemd
@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_on_debian_no_unit_is_in_a_cycle(suite: str, trees: Path, tmp_path: Path) -> None:
    assert complaints(copy_of(suite, trees, tmp_path), host_units()) == []


@needs_systemd
@pytest.mark.parametrize("system", UBUNTU)
def test_on_ubuntu_no_unit_is_in_a_cycle(system: str, tmp_path: Path) -> None:
    assert complaints(written(UBUNTU[system], tmp_path / "tree"), host_units()) == []


@needs_systemd
def test_on_an_instance_of_ecs_no_unit_is_in_a_cycle(tmp_path: Path) -> None:
    assert complaints(written(AMAZON, tmp_path / "tree"), instance_units()) == []


@needs_systemd
@pytest.mark.parametrize("system", UBUNTU)
def test_a_cycle_would_be_found(system: str, tmp_path: Path) -> None:
    units = dict(host_units())
    units[hostfiles.FIREWALL_UNIT] = units[hostfiles.FIREWALL_UNIT].replace("DefaultDependencies=no\n", "")
    found = "\n".join(complaints(written(UBUNTU[system], tmp_path / "tree"), units))
    assert "ordering cycle" in found
    assert "quayside-firewall.service" in found


def test_the_packet_filter_comes_before_the_network_and_ends_with_the_machine() -> None:
    lines = host_units()[hostfiles.FIREWALL_UNIT].splitlines()
    for line in ("DefaultDependencies=no", "After=local-fs.target", "Conflicts=shutdown.target"):
        assert line in lines
    assert "Before=network-pre.target docker.service shutdown.target" in lines


def test_baked_images_have_the_same_units() -> None:
    for path, content in host_units().items():
        if path in hung_files():
            continue  # comes over SSH, after the first boot
        assert f"put 0644 {path} <<'QUAYSIDE-END'\n{content}QUAYSIDE-END\n" in outputs()["host.sh"]


def test_no_unit_is_left_out() -> None:
    folders = ("planning", "components", "platforms", "quayside", "rehearsal", "settings", "packer")
    made = {f"packer/{name}" for name in outputs()}
    units: Counter[str] = Counter()
    for file in (file for folder in folders for file in (TREE / folder).rglob("*") if file.is_file()):
        name = str(file.relative_to(TREE))
        if file.suffix != ".pyc" and name not in made:
            found = len(re.findall(r"^\[Unit\]$", file.read_text(), re.MULTILINE))
            units["a host's" if name.startswith("planning/hosts/") else name] += found
    assert +units == {"a host's": len(host_units()), "planning/aws/registry.py": len(instance_units())}, (
        "a unit is rendered that is not tried here: add it to host_files, host_units or instance_units"
    )
