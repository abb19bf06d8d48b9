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

from components.docker.connection import own_options, ssh_options
from components.docker.deploy_key import FOLDER, write_private

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
PREPARE = Path(__file__).parents[2] / "components" / "docker" / "prepare_host.sh"

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
    server: Server, project: Path, script: str, *, host_key: str = "", wait: int = 2, own: bool = True
) -> subprocess.CompletedProcess[str]:
    key = host_key or server.host_key
    port = ["-p", str(server.port)]
    environment = {
        "QUAYSIDE_HOST": "db1",
        "QUAYSIDE_OPTIONS": shlex.join([*ssh_options(key, f"{FOLDER}/t.key"), *port]),
        "QUAYSIDE_OWN_OPTIONS": shlex.join([*own_options(key), *port]) if own else "",
        "QUAYSIDE_DESTINATION": "root@127.0.0.1",
        "QUAYSIDE_PORT": str(server.port),
        "QUAYSIDE_SHELL": "sh -s",
        "QUAYSIDE_PUBLIC_KEY": public(project),
        "QUAYSIDE_WAIT": str(wait),
        "QUAYSIDE_BOOTS": "0",
        "QUAYSIDE_PREPARE": PREPARE.read_text(),
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


def test_a_host_that_lets_nobody_in_says_what_to_add(server: Server, project: Path) -> None:
    done = prepare(server, project, "true")
    assert done.returncode == 1
    assert "lets in neither this stack's key nor yours\n    add to ~/.ssh/authorized_keys there: ssh-ed" in done.stderr


def test_a_host_that_is_not_there_is_named(server: Server, project: Path) -> None:
    done = prepare(Server(1, server.host_key, server.home), project, "true")
    assert done.returncode == 1
    assert "does not let us in after 2 s" in done.stderr
    assert "capacity.down: [db1]" in done.stderr


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
