"""The contents of a prepared host, and the script that puts them there, run in a folder with stand-in commands."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from planning.hosts import hostfiles
from planning.hosts.entry import admission, authorized_keys
from planning.hosts.hostfiles import HostFile, host_files, swap_size
from planning.hosts.prepare import PREPARE, cloud_init, prepare_script
from settings.units import GIB

FIREWALL = '#!/bin/sh\necho "firewall" >>"$CALLS"\n'
COMMANDS = ("systemctl", "sshd", "apt-get", "apt-mark", "dpkg-query", "sysctl", "dockerd")
USER_DATA = 32 * 1024
"""Hetzner's limit on user data."""


def files() -> Mapping[str, HostFile]:
    return host_files(FIREWALL)


class Machine:
    """A folder that plays a machine's root, and commands that write down how they were called."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.calls = folder / "calls"
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.root / "run/systemd/system").mkdir(parents=True)
        for command in COMMANDS:
            self.stub(command)
        self.stub("dpkg-query", '[ "$4" = docker-ce ] || echo "install ok installed"', record=False)

    def stub(self, command: str, body: str = "", *, record: bool = True) -> None:
        path = self.bin / command
        said = f'echo "{command} $*" >>"$CALLS"\n' if record else ""
        path.write_text(f"#!/bin/sh\n{said}{body}\n")
        path.chmod(0o755)

    def environment(self) -> Mapping[str, str]:
        found = {**os.environ, "QUAYSIDE_ROOT": str(self.root), "CALLS": str(self.calls)}
        return {**found, "PATH": f"{self.bin}:{found['PATH']}"}

    def prepare(self, found: Mapping[str, HostFile]) -> tuple[int, list[str], list[str]]:
        """Exit code, files that were changed, commands that were called."""
        self.calls.write_text("")
        script = prepare_script(found)
        ran = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=False, env=self.environment())
        changed = [line.removeprefix("changed ") for line in ran.stdout.splitlines() if line.startswith("changed ")]
        return ran.returncode, changed, self.calls.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


ALWAYS = [
    "apt-mark showhold",
    "apt-mark hold docker.io",
    "apt-mark hold containerd",
    "apt-mark hold containerd.io",
    "apt-mark hold runc",
    "systemctl enable --quiet quayside-firewall",
    "systemctl enable --quiet --now docker chrony quayside-swap quayside-prune.timer",
]
"""Calls that change nothing when they are repeated."""


# --- contents --------------------------------------------------------------------------------------------------------


def test_docker_s_daemon() -> None:
    assert json.loads(files()[hostfiles.DAEMON].content) == {
        "live-restore": True,
        "log-driver": "local",
        "log-opts": {"max-size": "20m", "max-file": "5"},
        "no-new-privileges": True,
        "default-address-pools": [{"base": "172.24.0.0/14", "size": 24}],
        "ip": "127.0.0.1",
        "userland-proxy": True,
        "max-concurrent-downloads": 3,
    }


@pytest.mark.parametrize(
    ("subnets", "pool"),
    [("10.128.0.0/9", "172.24.0.0/14"), ("172.16.0.0/12", "192.168.128.0/17"), ("192.168.0.0/16", "172.24.0.0/14")],
)
def test_docker_s_own_networks_stay_out_of_the_stack_s(subnets: str, pool: str) -> None:
    daemon = json.loads(host_files(FIREWALL, subnets=subnets)[hostfiles.DAEMON].content)
    assert daemon["default-address-pools"][0]["base"] == pool


def test_sshd_holds_a_whole_up_and_takes_keys_alone() -> None:
    lines = files()[hostfiles.SSHD].content.splitlines()
    for line in ("MaxStartups 100:30:200", "MaxSessions 100", "PasswordAuthentication no"):
        assert line in lines
    assert "PermitRootLogin prohibit-password" in lines
    assert hostfiles.SSHD.rpartition("/")[2] < "50-cloud-init.conf"


@pytest.mark.skipif(shutil.which("sshd") is None, reason="sshd is not installed")
def test_sshd_takes_its_configuration(tmp_path: Path) -> None:
    config, key = tmp_path / "sshd_config", tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    config.write_text(f"HostKey {key}\n{files()[hostfiles.SSHD].content}")
    found = subprocess.run(["sshd", "-t", "-f", str(config)], capture_output=True, text=True, check=False)
    assert "sshd_config" not in found.stderr


def test_swap_is_one_or_two_gib() -> None:
    assert [swap_size(gib * GIB) for gib in (1, 2, 4, 64)] == [GIB, GIB, 2 * GIB, 2 * GIB]
    assert "count=1024 " in host_files(FIREWALL, memory=2 * GIB)[hostfiles.SWAP].content


def test_docker_is_not_upgraded_by_night() -> None:
    content = files()[hostfiles.UPGRADES].content
    assert 'Package-Blacklist { "docker"; "containerd"; "runc"; };' in content
    assert 'Automatic-Reboot "false";' in content


@pytest.mark.skipif(shutil.which("apt-config") is None, reason="apt is not installed")
def test_apt_takes_its_configuration(tmp_path: Path) -> None:
    config = tmp_path / "apt.conf"
    config.write_text(files()[hostfiles.UPGRADES].content)
    found = subprocess.run(["apt-config", "-c", str(config), "dump"], capture_output=True, text=True, check=True)
    assert 'Unattended-Upgrade::Package-Blacklist:: "docker";' in found.stdout


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_scripts_are_clean(tmp_path: Path) -> None:
    entry = admission("host1", ["198.51.100.0/24"]) + authorized_keys("shop/prod", KEYS, KEYS)
    scripts = {"prepare": prepare_script(files(), entry=entry), "swap": files()[hostfiles.SWAP].content}
    for name, content in scripts.items():
        (tmp_path / name).write_text(content)
    found = subprocess.run(
        ["shellcheck", "--shell=sh", *(str(tmp_path / name) for name in scripts)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not found.stdout


# --- the script ------------------------------------------------------------------------------------------------------


def test_everything_is_put_in_place_and_started(machine: Machine) -> None:
    code, changed, calls = machine.prepare(files())
    assert code == 0
    assert changed == sorted(files())
    for path, file in files().items():
        there = machine.root / path.lstrip("/")
        assert there.read_text() == file.content
        assert there.stat().st_mode & 0o7777 == file.mode
    assert calls == [
        *ALWAYS[:5],
        "systemctl daemon-reload",
        "firewall",
        "sshd -t",
        "systemctl try-reload-or-restart ssh",
        "systemctl reload docker",
        "systemctl restart docker",
        "systemctl restart systemd-journald",
        f"sysctl --quiet --load {machine.root}{hostfiles.SYSCTL}",
        "systemctl restart chrony",
        "systemctl restart quayside-swap",
        *ALWAYS[5:],
    ]


def test_a_second_run_changes_and_restarts_nothing(machine: Machine) -> None:
    machine.prepare(files())
    before = {path: path.stat().st_mtime_ns for path in machine.root.rglob("*") if path.is_file()}
    state = {machine.root / "var/lib/quayside" / name for name in ("changed", "files")}
    assert machine.prepare(files()) == (0, [], ALWAYS)
    after = {path: path.stat().st_mtime_ns for path in machine.root.rglob("*") if path.is_file()}
    assert {path for path in before | after if before.get(path) != after.get(path)} <= state


def test_what_is_held_already_is_not_held_again(machine: Machine) -> None:
    machine.stub("apt-mark", '[ "$1" != showhold ] || printf "docker.io\\ncontainerd\\ncontainerd.io\\nrunc\\n"')
    _, _, calls = machine.prepare(files())
    assert [call for call in calls if call.startswith("apt-mark")] == ["apt-mark showhold"]


def test_only_what_changed_is_restarted(machine: Machine) -> None:
    machine.prepare(files())
    code, changed, calls = machine.prepare(host_files(FIREWALL + "# another\n"))
    assert (code, changed) == (0, [hostfiles.FIREWALL])
    assert [call for call in calls if call not in ALWAYS] == ["firewall"]


def test_a_changed_mode_is_a_change(machine: Machine) -> None:
    machine.prepare(files())
    (machine.root / hostfiles.FIREWALL.lstrip("/")).chmod(0o644)
    assert machine.prepare(files())[1] == [hostfiles.FIREWALL]


def test_a_run_that_did_not_get_to_its_end_is_made_up_for(machine: Machine) -> None:
    machine.stub("systemctl", '[ "$1 $2" != "restart docker" ]')
    assert machine.prepare(files())[0] != 0
    machine.stub("systemctl")
    code, changed, calls = machine.prepare(files())
    assert (code, changed) == (0, [])
    assert "systemctl restart docker" in calls
    assert machine.prepare(files())[2] == ALWAYS


def test_sshd_s_configuration_is_tried_first(machine: Machine) -> None:
    machine.stub("sshd", "exit 255")
    code, _, calls = machine.prepare(files())
    assert code == 1
    assert not (machine.root / hostfiles.SSHD.lstrip("/")).exists()
    assert "systemctl try-reload-or-restart ssh" not in calls


def test_what_was_there_before_is_kept_once(machine: Machine) -> None:
    daemon = machine.root / hostfiles.DAEMON.lstrip("/")
    daemon.parent.mkdir(parents=True)
    daemon.write_text("{}")
    machine.prepare(files())
    machine.prepare({**files(), hostfiles.DAEMON: replace(files()[hostfiles.DAEMON], content="{ }\n")})
    assert daemon.with_name("daemon.json.before-quayside").read_text() == "{}"
    assert len(list(daemon.parent.iterdir())) == 2


def test_missing_packages_are_installed(machine: Machine) -> None:
    machine.stub("dpkg-query", '[ "$4" = chrony ] || echo "install ok installed"', record=False)
    _, _, calls = machine.prepare(files())
    (install,) = [call for call in calls if call.startswith("apt-get") and " install " in call]
    assert install.endswith("--no-install-recommends chrony")


def test_without_systemd_services_are_left_alone(machine: Machine) -> None:
    (machine.root / "run/systemd/system").rmdir()
    code, changed, calls = machine.prepare(files())
    assert (code, len(changed)) == (0, len(files()))
    assert not [call for call in calls if call.startswith("systemctl")]
    assert "firewall" in calls


def test_content_that_would_end_the_script_is_refused() -> None:
    with pytest.raises(ValueError, match="/x: cannot be put into a script"):
        prepare_script({"/x": HostFile(0o644, "a\nQUAYSIDE-END\nrm -rf /\n")})


# --- cloud-init ------------------------------------------------------------------------------------------------------

KEYS = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43 + " admin@example.com"]
HOST_KEY = ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "ssh-ed25519 AAAA")


def test_cloud_init_runs_the_same_script() -> None:
    entry = authorized_keys("shop/prod", KEYS)
    text = cloud_init(files(), entry=entry, host_key=HOST_KEY)
    assert text.startswith("#cloud-config\n")
    assert yaml.safe_load(text) == {
        "disable_root": False,
        "ssh_pwauth": False,
        "users": ["root"],
        "write_files": [
            {
                "path": PREPARE,
                "owner": "root:root",
                "permissions": "0700",
                "content": prepare_script(files(), entry=entry),
            }
        ],
        "runcmd": [[PREPARE]],
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": HOST_KEY[0], "ed25519_public": HOST_KEY[1]},
    }
    # So that a preview shows a change of one line as one line.
    assert "\n      MaxStartups 100:30:200\n" in text


def test_cloud_init_has_room_for_the_filter_of_a_large_fleet() -> None:
    rules = "".join(f"-A QUAYSIDE-INPUT -s 203.0.113.{n}/32 -p tcp --dport 8443 -j ACCEPT\n" * 2 for n in range(100))
    assert (
        len(
            cloud_init(
                host_files(f"#!/bin/sh\n{rules}"), entry=authorized_keys("shop/prod", KEYS * 20), host_key=HOST_KEY
            )
        )
        < USER_DATA
    )


@pytest.mark.skipif(shutil.which("cloud-init") is None, reason="cloud-init is not installed: its own validator checks")
def test_cloud_init_s_own_validator_takes_it(tmp_path: Path) -> None:
    config = tmp_path / "user-data.yaml"
    for host_key in (None, HOST_KEY):
        config.write_text(cloud_init(files(), entry=authorized_keys("shop/prod", KEYS), host_key=host_key))
        command = ["cloud-init", "schema", "--config-file", str(config)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
        assert "Valid" in found.stdout
        assert "deprecat" not in found.stdout
