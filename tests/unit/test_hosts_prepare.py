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

from planning.hosts import hostfiles, hung
from planning.hosts.entry import admission, authorized_keys
from planning.hosts.hostfiles import HostFile, host_files, swap_size
from planning.hosts.prepare import PREPARE, SUMS, cloud_init, kept, prepare_script
from settings.units import GIB
from tests.needs import needs

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
        self.search = f"{self.bin}:{os.environ['PATH']}"
        self.errors = ""
        self.bin.mkdir()
        (self.root / "run/systemd/system").mkdir(parents=True)
        for command in COMMANDS:
            self.stub(command)
        self.stub("docker", record=False)
        self.stub("dpkg-query", '[ "$4" = docker-ce ] || echo "install ok installed"', record=False)

    def stub(self, command: str, body: str = "", *, record: bool = True) -> None:
        path = self.bin / command
        said = f'echo "{command} $*" >>"$CALLS"\n' if record else ""
        path.write_text(f"#!/bin/sh\n{said}{body}\n")
        path.chmod(0o755)

    def environment(self) -> Mapping[str, str]:
        found = {**os.environ, "QUAYSIDE_ROOT": str(self.root), "CALLS": str(self.calls)}
        return {**found, "PATH": self.search}

    def prepare(self, found: Mapping[str, HostFile]) -> tuple[int, list[str], list[str]]:
        """Exit code, files that were changed, commands that were called."""
        self.calls.write_text("")
        script = prepare_script(found)
        ran = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=False, env=self.environment())
        self.errors = ran.stderr
        changed = [line.removeprefix("changed ") for line in ran.stdout.splitlines() if line.startswith("changed ")]
        return ran.returncode, changed, self.calls.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


ALWAYS = [
    "apt-mark showhold",
    "apt-mark hold docker.io",
    "apt-mark hold docker-cli",
    "apt-mark hold docker-ce-cli",
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


@needs("sshd", "ssh-keygen")
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
    scripts["hung"] = hung.SCRIPT
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
    assert sorted(changed) == sorted(files())
    for path, file in files().items():
        there = machine.root / path.lstrip("/")
        assert there.read_text() == file.content
        assert there.stat().st_mode & 0o7777 == file.mode
    assert calls == [
        *ALWAYS[:7],
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
        *ALWAYS[7:],
    ]


def test_a_second_run_changes_and_restarts_nothing(machine: Machine) -> None:
    machine.prepare(files())
    before = {path: path.stat().st_mtime_ns for path in machine.root.rglob("*") if path.is_file()}
    state = {machine.root / "var/lib/quayside" / name for name in ("changed", "files", "sums", "daemon.json")}
    assert machine.prepare(files()) == (0, [], ALWAYS)
    after = {path: path.stat().st_mtime_ns for path in machine.root.rglob("*") if path.is_file()}
    assert {path for path in before | after if before.get(path) != after.get(path)} <= state


def test_what_is_held_already_is_not_held_again(machine: Machine) -> None:
    held = "docker.io docker-cli docker-ce docker-ce-cli containerd containerd.io runc"
    machine.stub("apt-mark", f'[ "$1" != showhold ] || printf "%s\\n" {held}')
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
    file = machine.root / hostfiles.SYSCTL.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_text("# theirs\n")
    machine.prepare(files())
    machine.prepare({**files(), hostfiles.SYSCTL: replace(files()[hostfiles.SYSCTL], content="# ours\n")})
    assert file.with_name(f"{file.name}.before-quayside").read_text() == "# theirs\n"
    assert len(list(file.parent.iterdir())) == 2


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


# --- what others made there -------------------------------------------------------------------------------------------

THEIRS = {
    "data-root": "/srv/docker",
    "registry-mirrors": ["https://mirror.example.com"],
    "insecure-registries": ["10.0.0.9:5000"],
    "proxies": {"http-proxy": "http://me:secret@proxy.example.com"},
    "log-driver": "journald",
}


def standing(machine: Machine, text: str, mode: int = 0o644) -> Path:
    file = machine.root / hostfiles.DAEMON.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


def test_docker_s_settings_are_merged_into_those_that_stand_there(machine: Machine) -> None:
    file = standing(machine, json.dumps(THEIRS), 0o600)
    code, changed, calls = machine.prepare(files())
    assert (code, hostfiles.DAEMON in changed, "systemctl restart docker" in calls) == (0, True, True)
    ours = json.loads(files()[hostfiles.DAEMON].content)
    # Their driver stays, and options of ours would not be its.
    del ours["log-opts"]
    assert json.loads(file.read_text()) == {**ours, **THEIRS}
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.with_name("daemon.json.before-quayside").read_text()) == THEIRS
    assert machine.prepare(files()) == (0, [], ALWAYS)


def test_what_is_no_longer_ours_goes_and_what_others_add_stays(machine: Machine) -> None:
    machine.prepare(files())
    file = machine.root / hostfiles.DAEMON.lstrip("/")
    standing(machine, json.dumps({**json.loads(file.read_text()), "dns": ["9.9.9.9"]}))
    ours = {"live-restore": True, "userland-proxy": True, "max-concurrent-downloads": 6}
    assert machine.prepare({**files(), hostfiles.DAEMON: HostFile(0o644, json.dumps(ours) + "\n")})[0] == 0
    assert json.loads(file.read_text()) == {**ours, "dns": ["9.9.9.9"]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("live-restore", False),
        ("userland-proxy", False),
        ("iptables", False),
        ("ip-forward", False),
        ("ip-masq", False),
        ("firewall-backend", "nftables"),
        ("userns-remap", "default"),
    ],
)
def test_settings_that_a_fleet_cannot_have_are_refused_before_anything_changes(
    machine: Machine, key: str, value: object
) -> None:
    file = standing(machine, json.dumps({"data-root": "/srv/docker", key: value}))
    before = file.read_text()
    assert machine.prepare(files()) == (1, [], [])
    assert f'{file} has "{key}": {json.dumps(value)}, and ' in machine.errors
    assert file.read_text() == before
    assert [path.name for path in (machine.root / "etc").rglob("*") if path.is_file()] == ["daemon.json"]


def test_the_first_script_leaves_settings_of_an_image_to_the_next(machine: Machine) -> None:
    script = prepare_script(files(), first=True)
    subprocess.run(["sh", "-c", script], check=True, capture_output=True, env=machine.environment())
    daemon = machine.root / hostfiles.DAEMON.lstrip("/")
    assert daemon.read_text() == files()[hostfiles.DAEMON].content
    standing(machine, json.dumps(THEIRS))
    subprocess.run(["sh", "-c", script], check=True, capture_output=True, env=machine.environment())
    assert json.loads(daemon.read_text()) == THEIRS
    assert machine.prepare(files())[1] == [hostfiles.DAEMON]
    assert json.loads(daemon.read_text()).items() >= THEIRS.items()


def test_settings_that_are_no_json_are_refused(machine: Machine) -> None:
    file = standing(machine, "{ no json")
    assert machine.prepare(files()) == (1, [], [])
    assert f"{file} is no JSON object" in machine.errors


def test_another_system_is_refused_before_anything_changes(machine: Machine) -> None:
    for tool in ("dpkg-query", "apt-get"):
        (machine.bin / tool).unlink()
    for tool in ("sh", "sed", "timeout"):
        (machine.bin / tool).symlink_to(f"/bin/{tool}")
    machine.search = str(machine.bin)
    assert machine.prepare(files()) == (1, [], [])
    assert "and a host of a fleet is Debian 12 or 13, or Ubuntu 22.04 or 24.04" in machine.errors
    assert not (machine.root / "etc").exists()


def test_a_docker_in_swarm_mode_is_refused(machine: Machine) -> None:
    machine.stub("docker", "echo active", record=False)
    assert machine.prepare(files()) == (1, [], [])
    assert "swarm mode" in machine.errors


def test_the_docker_client_is_installed_where_docker_comes_without_it(machine: Machine) -> None:
    (machine.bin / "docker").unlink()
    tools = (
        "sh",
        "sed",
        "cat",
        "mkdir",
        "touch",
        "chmod",
        "cmp",
        "stat",
        "grep",
        "rm",
        "mv",
        "sha256sum",
        "env",
        "timeout",
        "flock",
    )
    for tool in tools:
        (machine.bin / tool).symlink_to(str(shutil.which(tool)))
    machine.search = str(machine.bin)
    _, _, calls = machine.prepare(files())
    assert [call for call in calls if call.endswith(" docker-cli") and " install " in call]


def test_what_stands_is_known_by_its_sums_and_the_kept_script_puts_it_back(machine: Machine) -> None:
    run = ["sh", "-c", kept(prepare_script(files()))]
    machine.calls.write_text("")
    subprocess.run(run, check=True, capture_output=True, env=machine.environment())
    check = ["sha256sum", "--check", "--quiet", str(machine.root / SUMS.lstrip("/"))]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    changed = machine.root / hostfiles.SYSCTL.lstrip("/")
    changed.write_text("# another's\n")
    found = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, f"{changed}: FAILED\n")
    subprocess.run(
        [str(machine.root / PREPARE.lstrip("/"))], check=True, capture_output=True, env=machine.environment()
    )
    assert changed.read_text() == files()[hostfiles.SYSCTL].content
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0


def test_nothing_on_the_host_reads_the_script_as_its_input(machine: Machine) -> None:
    machine.stub("apt-mark", "cat >/dev/null", record=False)
    run = subprocess.run(
        ["sh", "-s"],
        input=kept(prepare_script(files())),
        text=True,
        check=False,
        capture_output=True,
        env=machine.environment(),
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert (machine.root / PREPARE.lstrip("/")).exists()


def test_a_run_whose_connection_was_lost_is_waited_for(machine: Machine) -> None:
    machine.stub("apt-mark", "sleep 0.3; echo marked >>$CALLS", record=False)
    run = ["sh", "-c", kept(prepare_script(files()))]
    machine.calls.write_text("")
    both = [subprocess.Popen(run, stdout=subprocess.DEVNULL, env=machine.environment()) for _ in range(2)]
    assert [one.wait(60) for one in both] == [0, 0]
    # The second found everything as it should be, and restarted nothing.
    calls = machine.calls.read_text().splitlines()
    assert calls.count("systemctl restart docker") == 1
    assert sorted(path.name for path in (machine.root / PREPARE.lstrip("/")).parent.iterdir()) == sorted(
        {Path(PREPARE).name, *(Path(path).name for path in files() if "/usr/local/sbin/" in path)}
    )


def test_a_script_that_failed_is_not_kept(machine: Machine) -> None:
    standing(machine, '{"iptables": false}')
    run = ["sh", "-c", kept(prepare_script(files()))]
    assert subprocess.run(run, check=False, capture_output=True, env=machine.environment()).returncode == 1
    assert not (machine.root / PREPARE.lstrip("/")).exists()


# --- cloud-init ------------------------------------------------------------------------------------------------------

KEYS = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43 + " admin@example.com"]
HOST_KEY = ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "ssh-ed25519 AAAA")


def test_cloud_init_runs_the_first_script() -> None:
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
                "content": prepare_script(files(), entry=entry, first=True),
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
