"""Connections to a real sshd: the host key pinned without a file, hosts prepared again and again, keys kept apart."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.docker.connection import Jump, own_options, ssh_options
from components.docker.deploy_key import FOLDER, write_private
from components.docker.scripts import PREPARE_HOST
from planning.hosts.entry import admission, authorized_keys, begin_of

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"

pytestmark = pytest.mark.skipif(
    not Path(SSHD).exists() or os.geteuid() != 0, reason="needs OpenSSH's server, and root to run it"
)


def keygen(file: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(file)], check=True)
    return " ".join(Path(f"{file}.pub").read_text().split()[:2])


@dataclass(frozen=True)
class Server:
    port: int
    host_key: str
    home: Path

    @property
    def authorized(self) -> Path:
        return self.home / ".ssh" / "authorized_keys"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("sshd")
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    host_key = keygen(folder / "host")
    port = 22000 + os.getpid() % 20000
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"PasswordAuthentication no\nAuthorizedKeysFile {home}/.ssh/authorized_keys\nSetEnv HOME={home}\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", f"{folder}/sshd_config"], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    assert process.poll() is None
    yield Server(port, host_key, home)
    process.terminate()
    process.wait()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    keygen(tmp_path / "deploy")
    write_private(Path(FOLDER) / "t.key", (tmp_path / "deploy").read_text())
    server.authorized.write_text("")
    yield tmp_path
    for socket in Path(FOLDER).iterdir():
        if stat.S_ISSOCK(socket.stat().st_mode):
            subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "x"], capture_output=True, check=False)


def prepare(
    server: Server,
    project: Path,
    script: str,
    *,
    host_key: str = "",
    wait: int = 2,
    own: bool = True,
    owner: str = "",
    jump: Jump | None = None,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    key = host_key or server.host_key
    port = ["-p", str(server.port)]
    environment = {
        "QUAYSIDE_HOST": "db1",
        "QUAYSIDE_OPTIONS": shlex.join([*ssh_options(key, f"{FOLDER}/t.key", jump), *port]),
        "QUAYSIDE_OWN_OPTIONS": shlex.join([*own_options(key, jump), *port]) if own else "",
        "QUAYSIDE_DESTINATION": "root@127.0.0.1",
        "QUAYSIDE_PORT": str(server.port),
        "QUAYSIDE_SHELL": "sh -s",
        "QUAYSIDE_PUBLIC_KEY": public(project),
        "QUAYSIDE_OWNER": owner,
        "QUAYSIDE_OWNER_FILE": str(server.home / "etc/owner"),
        "QUAYSIDE_WAIT": str(wait),
        "QUAYSIDE_BOOTS": "0",
        "QUAYSIDE_PREPARE": PREPARE_HOST,
        "QUAYSIDE_JUMP": jump.destination if jump is not None else "",
        **more,
    }
    return subprocess.run(
        ["/bin/sh", "-c", 'exec sh -c "$QUAYSIDE_PREPARE"'],
        input=script,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def public(project: Path) -> str:
    return " ".join((project / "deploy.pub").read_text().split()[:2])


def test_a_host_is_prepared_again_and_again_over_one_connection(server: Server, project: Path) -> None:
    server.authorized.write_text(public(project) + "\n")
    for number in (1, 2):
        started = time.monotonic()
        done = prepare(server, project, "echo 'told you'; echo ran >>~/ran")
        assert (done.returncode, done.stdout) == (0, "ready\n"), done.stderr
        assert "told you" in done.stderr
        assert (server.home / "ran").read_text() == "ran\n" * number
        assert time.monotonic() - started < 10  # a shared connection that stays behind holds nobody up
    (server.home / "ran").unlink()
    assert [path for path in Path(FOLDER).iterdir() if stat.S_ISSOCK(path.stat().st_mode)] != []


def test_another_host_key_is_not_spoken_to(server: Server, project: Path, tmp_path: Path) -> None:
    server.authorized.write_text(public(project) + "\n")
    done = prepare(server, project, "echo ran >>~/ran", host_key=keygen(tmp_path / "other"), wait=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("db1 (root@127.0.0.1) shows another host key than the one that is known")
    assert f"correct host_key: ssh-keyscan -p {server.port} -t ed25519 127.0.0.1" in done.stderr
    assert not (server.home / "ran").exists()


def test_a_failing_script_fails_the_step(server: Server, project: Path) -> None:
    server.authorized.write_text(public(project) + "\n")
    done = prepare(server, project, "echo 'no docker here' >&2; exit 3")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no docker here" in done.stderr
    assert "db1 (root@127.0.0.1) could not be prepared: see above" in done.stderr


def test_a_persons_own_key_lets_in_the_stacks_key_once(
    server: Server, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = keygen(project / "own")
    server.authorized.write_text(own)  # without a newline behind, as some editors leave it
    started = subprocess.run(["ssh-agent", "-s", "-a", "a"], capture_output=True, text=True, check=True).stdout
    agent = started.partition("SSH_AGENT_PID=")[2].partition(";")[0]
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(project / "a"))
        subprocess.run(["ssh-add", "-q", str(project / "own")], check=True)
        assert prepare(server, project, "true", own=False).returncode == 1
        assert prepare(server, project, "true").stdout == "ready\n"
        assert prepare(server, project, "true").stdout == "ready\n"
    finally:
        os.kill(int(agent), 15)
    assert server.authorized.read_text() == f"{own}\n{public(project)}\n"


def test_a_host_has_one_owner_until_it_is_freed(server: Server, project: Path) -> None:
    server.authorized.write_text(public(project) + "\n")
    mark = server.home / "etc/owner"
    mark.unlink(missing_ok=True)
    for _ in range(2):
        assert prepare(server, project, "echo ran >>~/ran", owner="shop/prod 1f").stdout == "ready\n"
        assert mark.read_text() == "shop/prod 1f\n"
    for owner in ("shop/staging 2e", "shop/prod 3d"):
        done = prepare(server, project, "echo ran >>~/ran", owner=owner)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"belongs to another stack, shop/prod 1f, so nothing was changed there; this is {owner}\n" in done.stderr
    assert (server.home / "ran").read_text() == "ran\nran\n"
    # As the message says; or a full disk left nothing of it.
    mark.write_text("")
    assert prepare(server, project, "echo ran >>~/ran", owner="shop/staging 2e").stdout == "ready\n"
    assert mark.read_text() == "shop/staging 2e\n"
    (server.home / "ran").unlink()
    mark.unlink()


def test_a_key_is_not_let_in_on_a_host_of_another_stack(
    server: Server, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = keygen(project / "own")
    server.authorized.write_text(f"{own}\n")
    mark = server.home / "etc/owner"
    mark.parent.mkdir(exist_ok=True)
    mark.write_text("shop/prod 1f\n")
    started = subprocess.run(["ssh-agent", "-s", "-a", "a"], capture_output=True, text=True, check=True).stdout
    agent = started.partition("SSH_AGENT_PID=")[2].partition(";")[0]
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(project / "a"))
        subprocess.run(["ssh-add", "-q", str(project / "own")], check=True)
        done = prepare(server, project, "true", owner="shop/staging 2e")
    finally:
        os.kill(int(agent), 15)
        mark.unlink()
    assert "belongs to another stack, shop/prod 1f, so nothing was changed there" in done.stderr
    assert server.authorized.read_text() == f"{own}\n"


def test_a_host_that_lets_nobody_in_says_what_to_add(server: Server, project: Path) -> None:
    done = prepare(server, project, "true")
    assert done.returncode == 1
    assert "lets in neither this stack's key nor yours\n    add to ~/.ssh/authorized_keys there: ssh-ed" in done.stderr


def test_a_host_that_is_not_there_is_named(server: Server, project: Path) -> None:
    done = prepare(Server(1, server.host_key, server.home), project, "true")
    assert done.returncode == 1
    assert "does not let us in after 2 s" in done.stderr
    assert "Connection refused" in done.stderr
    assert done.stderr.endswith(
        "    if no host lets you in: this machine's own address is 127.0.0.1 (behind NAT, hosts see another one)\n"
        "    SSH is open to what quayside:access.ssh was at the last `up`; hosts learn another range from a machine\n"
        "    that they let in: run `up` there once, with both ranges in quayside:access.ssh\n"
        "    if others let you in and it is dead, declare it down and run again: quayside:capacity: {down: [db1]}\n"
    )


def test_a_machine_that_was_there_is_not_waited_for_as_if_it_booted(server: Server, project: Path) -> None:
    before = "ready\nmachine 77\nssh is open to 198.51.100.0/24\n"
    started = time.monotonic()
    done = prepare(
        Server(1, server.host_key, server.home),
        project,
        "true",
        wait=60,
        PULUMI_COMMAND_STDOUT=before,
        QUAYSIDE_MACHINE="77",
        QUAYSIDE_REACH="2",
        QUAYSIDE_BOOTS="1",
        QUAYSIDE_RANGES="203.0.113.0/24",
    )
    assert time.monotonic() - started < 20
    assert "does not let us in after 2 s" in done.stderr
    # What it was at the last `up` is what counts there: the new range has not arrived.
    assert "SSH is open to 198.51.100.0/24; hosts learn" in done.stderr


def test_what_the_next_run_needs_is_printed(server: Server, project: Path) -> None:
    server.authorized.write_text(public(project) + "\n")
    done = prepare(server, project, "true", QUAYSIDE_MACHINE="77", QUAYSIDE_RANGES="198.51.100.0/24, 127.0.0.1/32")
    assert done.stdout == "ready\nmachine 77\nssh is open to 198.51.100.0/24, 127.0.0.1/32\n"


def test_a_filter_that_locks_out_is_refused_and_the_host_can_be_reached_again(server: Server, project: Path) -> None:
    server.authorized.write_text(public(project) + "\n")
    refused = prepare(server, project, admission("db1", ["198.51.100.0/24"]) + "echo ran >>~/ran")
    assert refused.returncode == 1
    assert "quayside:access: {ssh: [198.51.100.0/24, 127.0.0.1/32]}" in refused.stderr
    assert not (server.home / "ran").exists()
    mended = prepare(server, project, admission("db1", ["198.51.100.0/24", "127.0.0.1/32"]) + "echo ran >>~/ran")
    assert mended.returncode == 0, mended.stderr
    (server.home / "ran").unlink()


def test_a_replaced_key_is_let_in_by_the_one_it_replaces_which_then_is_not(server: Server, project: Path) -> None:
    keygen(project / "before")
    write_private(Path(FOLDER) / "t.previous.key", (project / "before").read_text())
    before = " ".join((project / "before.pub").read_text().split()[:2])
    server.authorized.write_text(f"{before}\n")
    previous = shlex.join([*ssh_options(server.host_key, f"{FOLDER}/t.previous.key"), "-p", str(server.port)])
    # The script writes into the home of the user's entry, which here is another one than sshd's.
    script = f"root= HOME={server.home}\ngetent() {{ echo x:x:0:0:x:{server.home}:; }}\n" + authorized_keys(
        "shop/prod", [public(project)], [before]
    )
    done = prepare(server, project, script, own=False, QUAYSIDE_PREVIOUS_OPTIONS=previous)
    assert (done.returncode, done.stdout) == (0, "ready\n"), done.stderr
    assert before not in server.authorized.read_text()
    assert server.authorized.read_text().startswith(f"{begin_of('shop/prod')}\n{public(project)}\n")
    alone = prepare(server, project, "true", own=False)
    assert alone.returncode == 0, alone.stderr


def test_a_host_is_reached_through_a_jump_host_whose_key_is_pinned(
    server: Server, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = keygen(project / "own")
    server.authorized.write_text(f"{own}\n{public(project)}\n")
    started = subprocess.run(["ssh-agent", "-s", "-a", "a"], capture_output=True, text=True, check=True).stdout
    agent = started.partition("SSH_AGENT_PID=")[2].partition(";")[0]
    bastion = f"root@127.0.0.1:{server.port}"
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(project / "a"))
        # The jump host lets in whoever runs this, by their own key: the stack's key is for the hosts.
        strangers = prepare(server, project, "true", jump=Jump(bastion, server.host_key))
        subprocess.run(["ssh-add", "-q", str(project / "own")], check=True)
        jumped = prepare(server, project, "echo $SSH_CONNECTION >&2", jump=Jump(bastion, server.host_key))
        other = prepare(server, project, "true", jump=Jump(bastion, keygen(tmp_path / "other")))
        monkeypatch.setenv("HOME", str(tmp_path))
        unknown = prepare(server, project, "true", jump=Jump(bastion))
    finally:
        os.kill(int(agent), 15)
    assert strangers.returncode == 1
    assert "Permission denied" in strangers.stderr
    assert f"the jump host {bastion} does not let us through to db1 (root@127.0.0.1):\n" in strangers.stderr
    assert (jumped.returncode, jumped.stdout) == (0, "ready\n"), jumped.stderr
    for refused in (other, unknown):
        assert refused.returncode == 1
        assert "Host key verification failed" in refused.stderr
        assert "its host key is quayside:access.jump_host_key, or else in your known hosts" in refused.stderr


def test_the_key_is_nobody_elses_to_read(project: Path) -> None:
    file = Path(FOLDER) / "t.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    file.chmod(0o644)
    before = file.stat().st_ino
    write_private(file, file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_ino != before
    assert [path.name for path in file.parent.iterdir()] == ["t.key"]
