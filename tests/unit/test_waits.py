"""Everything that waits has a limit (decisions.md 39): what is read from the code, and what a dead engine shows.

The engine here takes connections and answers nothing, as dockerd 20.10 did in a deadlock; another one says its version
and hangs at every other question.
"""

from __future__ import annotations

import ast
import contextlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.docker import scripts
from quayside import containers, data, docker_engine, images, observe, preflight, pulumi_cli, shell
from quayside.shell import CommandError, HangsError, Watch, ask
from rehearsal import command_provider, docker_hosts
from rehearsal.docker_settings import EngineSettings
from rehearsal.errors import ApplyError
from rehearsal.events import Event
from rehearsal.providers import Step, StepError
from tests.needs import needs

ROOT = Path(__file__).parents[2]
PRODUCT = ("quayside", "rehearsal", "components", "platforms", "settings", "planning")

docker = needs("docker")

# --- the code --------------------------------------------------------------------------------------------------------

ENDLESS = {
    "quayside/shell.py: process.wait": "with its limit as argument",
    "quayside/observe.py: subprocess.Popen": "`logs --follow`: until a person stops it",
    "quayside/fleet_observe.py: subprocess.Popen": "`logs --follow`: until a person stops it",
    "quayside/docker_engine.py: subprocess.Popen": "the engine itself, which stays",
    "quayside/images.py: subprocess.Popen": "a pull, under a Watch",
    "quayside/standins.py: subprocess.Popen": "`docker import`, under a Watch",
    "quayside/data.py: subprocess.Popen": "a copy of data, under a Watch",
    "quayside/data.py: process.wait": "under the same Watch",
    "quayside/pulumi_cli.py: subprocess.Popen": "`_until_it_ends` watches it",
    "quayside/pulumi_cli.py: process.wait": "after Ctrl-C, which a second Ctrl-C ends",
    "rehearsal/command_provider.py: subprocess.Popen": "`_ended` watches it",
    "rehearsal/ssh_tunnel.py: subprocess.Popen": "the tunnel itself, which is closed with its user",
    "rehearsal/ssh_tunnel.py: process.wait": "after SIGKILL",
}
"""File and call → why it needs no limit of its own."""
WAITING = {
    "subprocess.run", "subprocess.call", "subprocess.check_output", "subprocess.check_call", "subprocess.Popen",
    "process.wait", "process.communicate", "urlopen", "request.urlopen", "socket.create_connection",
    "requests.get", "requests.post", "requests.request", "run",
}  # fmt: skip


def unlimited(file: Path) -> Iterator[str]:
    """Calls that may wait, with no limit among their arguments."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name == "run" and "quayside" not in file.parts:
            continue  # the rehearsal's `run` is another
        thread = name.endswith(".join") and not node.args and not node.keywords
        limited = any(word.arg == "timeout" for word in node.keywords) or (
            name in {"process.wait", "process.communicate"} and bool(node.args)
        )
        if (name in WAITING and not limited) or thread:
            yield f"{file.relative_to(ROOT)}: {name}"


def test_nothing_waits_without_a_limit() -> None:
    calls = {call for folder in PRODUCT for file in (ROOT / folder).rglob("*.py") for call in unlimited(file)}
    assert calls - ENDLESS.keys() == set(), "give it a limit, or say here why it has none"
    assert ENDLESS.keys() - calls - {"quayside/shell.py: process.wait"} == set(), "this is gone: take it off the list"


# --- a dead engine ---------------------------------------------------------------------------------------------------


class Engine:
    """Listens on a socket. Answers `/_ping` and `/version` if `half`, and nothing else, ever."""

    def __init__(self, folder: Path, *, half: bool) -> None:
        self.half = half
        self.path = folder / "docker.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._held: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._held.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while request := connection.recv(65536):
                line = request.split(b"\r\n", 1)[0]
                if self.half and (b"/_ping" in line or b"/version" in line):
                    body = b"OK" if b"/_ping" in line else b'{"Version":"20.10.24","ApiVersion":"1.41"}'
                    head = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n"
                    head += b"Content-Length: %d\r\n\r\n" % len(body)
                    connection.sendall(head + (b"" if line.startswith(b"HEAD") else body))

    def close(self) -> None:
        self._listener.close()
        for connection in self._held:
            connection.close()


@pytest.fixture(params=[False, True], ids=["answers nothing", "says its version"])
def dead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    # A socket's path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="qs-") as folder:
        engine = Engine(Path(folder), half=request.param)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.path}")
        monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
        yield engine
        engine.close()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits are what they are; a test cannot wait for them."""
    plain = shell.run
    monkeypatch.setattr(shell, "run", lambda argv, **given: plain(argv, **{**given, "timeout": 1.0}))
    for module in (containers, docker_engine):
        monkeypatch.setattr(module, "run", shell.run)


@docker
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "question",
    [
        pytest.param(lambda: containers.of_stack("shop/t"), id="status"),
        pytest.param(lambda: containers.volumes("shop/t"), id="down"),
        pytest.param(lambda: observe.of_service("shop/t", "web"), id="logs"),
        pytest.param(lambda: observe.execute("shop/t", "web", ["true"]), id="exec"),
        pytest.param(lambda: data.on_this_machine("shop/t", "db"), id="backup and restore"),
        pytest.param(lambda: images.present("redis:7-alpine"), id="images"),
        pytest.param(lambda: preflight.taken_by("127.0.0.1", 80, "shop/t"), id="ports"),
        pytest.param(lambda: preflight.check_subnets(preflight.planned([]), "shop/t"), id="subnets"),
    ],
)
def test_each_command_says_that_docker_hangs(dead: Engine, question: object) -> None:
    began = time.monotonic()
    with pytest.raises(HangsError, match=r"takes connections and does not answer[\s\S]*restart it"):
        question()  # type: ignore[operator]
    assert time.monotonic() - began < 10


@docker
@pytest.mark.usefixtures("hurried")
def test_an_engine_that_hangs_is_not_installed_nor_started_anew(
    dead: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("install", "start"):
        monkeypatch.setattr(docker_engine, name, lambda *_: pytest.fail("the engine is there"))
    if dead.half:
        docker_engine.ensure(tmp_path, print)
    else:
        with pytest.raises(HangsError):
            docker_engine.ensure(tmp_path, print)
        with pytest.raises(HangsError):
            docker_engine.require()


def test_the_rehearsals_client_gives_up_too(dead: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FIRST", "_TIMEOUT"):
        monkeypatch.setattr(docker_hosts, name, 0.5)
    hosts = docker_hosts.Hosts()
    hosts.know(EngineSettings(f"unix://{dead.path}"))
    try:
        if dead.half:
            client = hosts.client(f"unix://{dead.path}")
            with pytest.raises(docker_hosts.SilentError, match=r"has not answered within 0.5 s[\s\S]*restart it"):
                docker_hosts.asked("list containers", lambda: client.containers())
        else:
            with pytest.raises(ApplyError, match=r"takes connections and has not answered within 0\.5 s; restart it"):
                hosts.client(f"unix://{dead.path}")
    finally:
        hosts.close()


def test_a_question_in_time_is_just_a_question() -> None:
    assert ask([sys.executable, "-c", "print('yes')"], timeout=30).stdout == "yes\n"


def test_a_program_without_progress_is_ended_and_one_with_progress_is_not() -> None:
    talks = "import time\nfor _ in range(8): print('.', flush=True); time.sleep(0.2)"
    with subprocess.Popen([sys.executable, "-c", talks], stdout=subprocess.PIPE) as process:
        watch = Watch(process, 5.0)
        assert process.stdout is not None
        for _ in process.stdout:
            watch.progress()
    assert (process.returncode, watch.expired) == (0, False)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        watch = Watch(process, 0.3)
        process.wait(20)
    assert watch.expired


def test_a_copy_of_data_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(data, "SILENCE", 0.3)
    volume = data.Volume(service="db", name="v", image="i", container="", reach=lambda _: ["sleep", "60"])
    with pytest.raises(CommandError, match=r"the backup of db has not gone on for 0.3 s[\s\S]*restart it"):
        data.backup(volume, tmp_path / "copy", hold=True)
    assert not list(tmp_path.iterdir())


def test_pulumi_without_a_word_is_said_to_wait_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi_cli, "STILL", 0.4)
    monkeypatch.setattr(pulumi_cli, "SILENCE", 1.5)
    told: list[Event] = []
    teller = pulumi_cli.Teller(told.append)
    urn = "urn:pulumi:t::shop::quayside:platform:Local$docker:index/container:Container::web-1"
    teller({"resourcePreEvent": {"metadata": {"urn": urn, "op": "create", "type": "docker:index/container:Container"}}})
    silent = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        subprocess.Popen(silent, stderr=subprocess.PIPE, text=True) as process,
        pytest.raises(CommandError, match=r"was given up; it waited for web-1\n    if that is a container"),
    ):
        pulumi_cli._until_it_ends(process, teller)
    assert any(event.detail.startswith("still waits for web-1 (") for event in told)


def test_a_command_of_the_rehearsal_is_said_to_run_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_provider, "STILL", 0.2)
    monkeypatch.setattr(command_provider, "LONGEST", 0.5)
    notes: list[str] = []
    step = Step("urn", "command:local:Command", "routing", "", {"create": "sleep 60"}, {}, notes.append, lambda _: None)
    with pytest.raises(StepError, match="create: has not ended within"):
        command_provider.CommandProvider().create(step)
    assert notes[0].startswith("routing still runs (")


# --- scripts ---------------------------------------------------------------------------------------------------------


def test_every_script_that_asks_docker_has_the_limit() -> None:
    for name in ("RELEASE", "LEAVE", "REACH", "ROOM_THERE", "REGISTRY", "EDGE_READY"):
        assert getattr(scripts, name).startswith(scripts.script("limited")), name
    asking = {
        file.stem
        for file in (ROOT / "components" / "docker").glob("*.sh")
        if re.search(r"^[^#]*\bdocker [a-z]", file.read_text(), re.MULTILINE)
    }
    limited = {"release", "leave", "reach", "room_there", "registry", "edge_ready"}
    # `room` asks the client for its own version, and no engine; `prepare_host` says what to type.
    assert asking == {*limited, "room", "prepare_host"}, "give it the limit, too"


@pytest.mark.skipif(shutil.which("timeout") is None, reason="timeout (coreutils) is not on PATH")
def test_a_script_says_that_docker_hangs(tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text('#!/bin/sh\n[ "$1" != ps ] || exec sleep 60\necho "said $1"; cat\n[ "$1" != fail ]\n')
    program.chmod(0o755)
    script = (
        scripts.script("limited")
        + 'echo in | docker version; docker fail </dev/null || echo "code $?"; docker ps 2>/dev/null'
    )
    done = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "QUAYSIDE_LIMIT": "1", "QUAYSIDE_HOST": "host1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (124, "said version\nin\nsaid fail\ncode 1\n")
    assert done.stderr.startswith("Docker on host1 takes connections and does not answer: `docker ps` has waited 1 s;")
