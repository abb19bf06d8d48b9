"""Who enters hosts that filter for real: nobody is locked out, who leaves is, and a jump host leads on."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from components.docker.connection import Jump, own_options, ssh_options
from components.docker.deploy_key import FOLDER, write_private
from components.docker.scripts import PREPARE_HOST
from planning.hosts.fleet import fleet as planned_fleet
from planning.hosts.hostfiles import FIREWALL
from planning.hosts.placement import place
from planning.hosts.prepare import prepare_script as whole_script
from planning.hosts.security import security
from platforms import machines
from settings.stack import Stack
from tests.hosts.fleet import Fleet, Host
from tests.hosts.shop import UnavailableError
from tests.hosts.test_ssh import keygen

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def pair() -> Iterator[Fleet]:
    """host1 is prepared, host2 is beside it. They need no images."""
    try:
        made = Fleet.start(["host1", "host2"], images=())
    except UnavailableError as why:
        pytest.skip(str(why))
    with made:
        yield made


@pytest.fixture
def project(tmp_path: Path, pair: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    write_private(Path(FOLDER) / "t.key", pair.identity.read_text())
    pair["host1"].inside("sh", "-c", f"[ ! -x {FIREWALL} ] || {{ iptables -F QUAYSIDE-INPUT; rm {FIREWALL}; }}")
    yield tmp_path
    for name in ("host1", "host2"):
        options = ssh_options(pair[name].host_key, f"{FOLDER}/t.key")
        subprocess.run(["ssh", *options, "-O", "exit", f"root@{pair[name].address}"], capture_output=True, check=False)


def script(fleet: Fleet, ranges: Sequence[str], keys: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What platform hetzner would prepare host1 with; packages alone are left out."""
    host = fleet["host1"]
    server = {"name": "host1", "address": host.address, "cpu": 2, "memory": 4 << 30, "host_key": host.host_key}
    stack = Stack.model_validate(
        {
            "project": "shop",
            "name": "t",
            "cloud": "hetzner",
            "domain": "example.com",
            "capacity": {"location": "fsn1", "existing": [server]},
            "access": {"ssh": ranges, "keys": keys},
            "services": {"web": {"image": "a", "port": 8080}},
        }
    )
    hosts, problems = planned_fleet(stack)
    placement, misplaced = place(stack, hosts)
    plan, unkept = security(stack, hosts, placement)
    assert [*problems, *misplaced, *unkept] == []
    monkeypatch.setattr(machines, "prepare_script", partial(whole_script, packages=()))
    return machines.script(stack, plan, hosts.hosts["host1"], {}, fleet.public_key)


def prepare(fleet: Fleet, text: str, jump: Jump | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    host = fleet["host1"]
    environment: Mapping[str, str] = {
        "QUAYSIDE_HOST": "host1",
        "QUAYSIDE_OPTIONS": shlex.join(
            ["-o", "ConnectTimeout=3", *ssh_options(host.host_key, f"{FOLDER}/t.key", jump)]
        ),
        "QUAYSIDE_OWN_OPTIONS": shlex.join(own_options(host.host_key, jump)),
        "QUAYSIDE_DESTINATION": f"root@{host.address}",
        "QUAYSIDE_PORT": "22",
        "QUAYSIDE_SHELL": "sh -s",
        "QUAYSIDE_PUBLIC_KEY": fleet.public_key,
        "QUAYSIDE_WAIT": "1",
        "QUAYSIDE_BOOTS": "0",
        "QUAYSIDE_JUMP": jump.destination if jump is not None else "",
        "QUAYSIDE_PREPARE": PREPARE_HOST,
        **more,
    }
    return subprocess.run(
        ["/bin/sh", "-c", 'exec sh -c "$QUAYSIDE_PREPARE"'],
        input=text,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def enters(host: Host, identity: Path | str, jump: Jump | None = None, seconds: int = 3) -> bool:
    """By a connection of its own."""
    words = ["ssh", "-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", f"ConnectTimeout={seconds}"]
    words += [*ssh_options(host.host_key, str(identity), jump), f"root@{host.address}", "true"]
    return subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=60).returncode == 0


def test_a_filter_that_locks_out_changes_nothing_and_one_that_overlaps_moves_on(
    pair: Fleet, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, own = pair["host1"], f"{pair.outside}/32"
    refused = prepare(pair, script(pair, ["198.51.100.0/24"], [], monkeypatch))
    assert refused.returncode == 1
    assert f"host1 sees this machine come from {pair.outside}, and SSH would be open to 198.51" in refused.stderr
    assert f"quayside:access: {{ssh: [198.51.100.0/24, {own}]}}" in refused.stderr
    assert host.inside("sh", "-c", f"test -e {FIREWALL} && echo there || echo none") == "none"
    assert enters(host, pair.identity)

    both = prepare(pair, script(pair, ["198.51.100.0/24", own], [], monkeypatch))
    assert both.returncode == 0, both.stderr
    assert enters(host, pair.identity)
    # It filters: the other host is in neither range.
    assert pair.scan(host.address, [22], origin=pair["host2"]) == []


def test_who_leaves_the_settings_enters_no_more(pair: Fleet, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, own = pair["host1"], [f"{pair.outside}/32"]
    anna, ben, other = (keygen(project / name) for name in ("anna", "ben", "other"))
    host.ssh(f"mkdir -p ~/.ssh && echo '{other}' >>~/.ssh/authorized_keys")
    for keys, may in (([anna, ben], (True, True)), ([ben], (False, True)), ([], (False, False))):
        done = prepare(pair, script(pair, own, keys, monkeypatch))
        assert done.returncode == 0, done.stderr
        assert (enters(host, project / "anna"), enters(host, project / "ben")) == may
        assert enters(host, project / "other"), "who is none of the stack's business stays"
        assert enters(host, f"{FOLDER}/t.key")


def test_a_host_that_admits_the_jump_host_alone_is_prepared_through_it(
    pair: Fleet, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, bastion = pair["host1"], pair["host2"]
    started = subprocess.run(["ssh-agent", "-s", "-a", "a"], capture_output=True, text=True, check=True).stdout
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(project / "a"))
        subprocess.run(["ssh-add", "-q", str(pair.identity)], check=True)
        jump = Jump(f"root@{bastion.address}", bastion.host_key)
        text = script(pair, [f"{bastion.address}/32"], [], monkeypatch)
        direct = prepare(pair, text)
        assert f"quayside:access: {{ssh: [{bastion.address}/32, {pair.outside}/32]}}" in direct.stderr
        through = prepare(pair, text, jump)
        assert through.returncode == 0, through.stderr
        assert enters(host, f"{FOLDER}/t.key", jump)
        assert not enters(host, f"{FOLDER}/t.key")
        # Shut out, one hears where one comes from and what it was open to, and not only that the host may be dead.
        alone = prepare(pair, text, PULUMI_COMMAND_STDOUT=f"ready\nssh is open to {bastion.address}/32\n")
        assert f"this machine's own address is {pair.outside} (behind NAT" in alone.stderr
        assert f"SSH is open to {bastion.address}/32; hosts learn another range from a machine" in alone.stderr
    finally:
        os.kill(int(started.partition("SSH_AGENT_PID=")[2].partition(";")[0]), 15)
