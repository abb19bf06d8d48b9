"""The command line: what it prints, what it refuses, and how it speaks with pulumi. Docker and pulumi are stand-ins."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from quayside import containers, docker_engine, lifecycle, observe, preflight, progress, pulumi_cli, status
from quayside.containers import Container
from quayside.shell import CommandError, make
from rehearsal.config import read_stack
from rehearsal.events import Event
from rehearsal.state import Entry, StateFile
from settings.problems import ConfigError

ROOT = Path(__file__).parents[2]
CONTAINER = "docker:index/container:Container"
COMMAND = "command:local:Command"


def container(slot: str, **given: object) -> Container:
    values: dict[str, object] = {
        "id": f"id-{slot}",
        "name": f"{slot}-abc1234",
        "service": slot.rpartition("-")[0] or slot,
        "slot": slot,
        "role": "service",
        "image": "python:3.13-alpine",
        "memory": 64 * 1024**2,
        "state": "running",
        "health": "",
        **given,
    }
    return Container(**values)  # type: ignore[arg-type]


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}")
    file.chmod(0o755)
    return file


def quayside(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quayside", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "Pulumi.yaml").write_text("name: acme\nruntime: python\n")
    (root / "Pulumi.local.yaml").write_text("# mine\nconfig: {quayside:cloud: local}\n")
    return root


# --- what it prints --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Event("create", CONTAINER, "web-1", seconds=0.84), "  + container web-1  0.8 s"),
        (Event("replace", CONTAINER, "web-1", "envs"), "  ± container web-1 (envs)"),
        (Event("delete", CONTAINER, "web-1", "old"), "  - container web-1 (old)"),
        (Event("run", COMMAND, "routing", seconds=2.0), "  ~ routing  2.0 s"),
        (Event("failed", COMMAND, "routing", "long\nstory", 5.0), "  ✗ routing  5.0 s"),
        (Event("same", CONTAINER, "web-1"), None),
        (Event("note", CONTAINER, "web-1", "kept"), "    kept"),
    ],
)
def test_one_line_a_step(event: Event, expected: str | None) -> None:
    assert progress.line(event) == expected


def test_what_a_failing_command_said_is_not_told_twice() -> None:
    lines: list[str] = []
    tell = progress.printer(lines.append)
    tell(Event("note", COMMAND, "routing", "web-1 is not healthy"))
    tell(Event("failed", COMMAND, "routing", "web-1 is not healthy"))
    tell(Event("note", COMMAND, "routing", "switched"))
    tell(Event("run", COMMAND, "routing"))
    assert lines == ["  ✗ routing", "    switched", "  ~ routing"]


def test_the_summary_names_who_did_it() -> None:
    changes = Counter(create=9, same=3, run=1)
    assert progress.summary("the rehearsal", changes, 12.34) == "Applied by the rehearsal in 12.3 s: 9 created, 1 run."
    assert progress.summary("pulumi", Counter(same=4), 2) == "No changes. Checked by pulumi in 2.0 s."


STAT = """\
# pxname,svname,qcur,status,weight,
svc_web,web-1,0,UP,1,
svc_web,web-2,0,DOWN,1,
svc_web,anyway:web-1,0,no check,1,
svc_web,anyway:web-2,0,no check,1,
svc_session,session-1,0,no check,1,
"""
STATE = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_fqdn srv_port
3 svc_web 1 web-1 10.0.0.3 2 web-1-abc1234 8000
3 svc_web 2 web-2 10.0.0.4 0 web-2-abc1234 8000
3 svc_web 3 anyway:web-1 10.0.0.3 2 web-1-abc1234 8000
3 svc_web 4 anyway:web-2 10.0.0.4 2 web-2-abc1234 8000
4 svc_session 1 session-1 10.0.0.9 2 session-1-abc1234 6379
"""


def test_the_edge_says_which_container_it_finds_healthy() -> None:
    servers = containers.parse_state(STATE, containers.parse_stat(STAT))
    assert {name: server["status"] for name, server in servers.items()} == {
        "web-1-abc1234": "UP",
        "web-2-abc1234": "DOWN",
        "session-1-abc1234": "no check",
    }
    assert containers.parse_state("", containers.parse_stat("")) == {}


def test_rows_count_slots_and_say_what_is_wrong() -> None:
    servers = containers.parse_state(STATE, containers.parse_stat(STAT))
    found = [
        container("web-1"),
        container("web-2"),
        container("web-2", name="web-2-def5678"),
        container("session-1", role="stateful", health="unhealthy"),
        container("worker-1", health="starting"),
        container("edge", role="edge", service="edge", image="haproxy:3.2-alpine"),
    ]
    rows = {row.service: row for row in status.rows(found, servers, {"web": ["http://shop.localhost:8080/"]})}
    assert list(rows) == ["session", "web", "worker", "edge"]
    assert (rows["web"].healthy, rows["web"].declared) == (1, 2)
    assert rows["web"].trouble[0] == "web-2: hung: it runs, and the edge's check fails"
    assert "2 containers" in rows["web"].trouble[1]
    assert rows["session"].healthy == 1
    assert rows["worker"].trouble == ("worker-1: starting",)
    assert rows["web"].urls == ("http://shop.localhost:8080/",)


def test_a_container_that_ended_is_not_healthy() -> None:
    (row,) = status.rows([container("worker-1", state="exited")], {})
    assert row.healthy == 0
    assert row.trouble == ("worker-1: exited",)


def test_the_table_shows_every_address() -> None:
    console = Console(width=160, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    status.show(status.rows([container("web-1")], {}, {"web": ["http://a/", "http://b/"]}), console)
    text = console.export_text()
    assert "http://a/" in text
    assert "http://b/" in text
    assert "64 MiB" in text


# --- before anything is made -----------------------------------------------------------------------------------------


def test_the_plan_is_read_off_the_resources() -> None:
    plan = preflight.planned(
        [
            {"type": preflight.IMAGE, "inputs": {"name": "redis:7-alpine"}},
            {"type": CONTAINER, "inputs": {"image": "python:3", "memory": 64}},
            {"type": CONTAINER, "inputs": {"image": "python:3", "memory": 64}},
            {
                "type": CONTAINER,
                "inputs": {
                    "image": "haproxy:3.2-alpine",
                    "name": "acme_local_edge",
                    "memory": 256,
                    "ports": [{"internal": 10080, "external": 8080, "ip": "0.0.0.0"}],
                },
            },
            {"type": COMMAND, "inputs": {}},
        ]
    )
    assert plan.images == ("redis:7-alpine", "python:3", "haproxy:3.2-alpine")
    assert plan.ports == (("0.0.0.0", 8080),)
    assert plan.memory == 384 * preflight.MIB
    assert plan.surge == 128 * preflight.MIB


def test_a_taken_port_is_refused_with_who_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", "docker", "exit 0\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = int(holder.getsockname()[1])
        with pytest.raises(ConfigError) as caught:
            preflight.check_ports(preflight.Planned((), (("127.0.0.1", port),), 0, 0), "acme/local")
    assert f"quayside:edge/http: port {port} is taken by " in str(caught.value)
    preflight.check_ports(preflight.Planned((), (("127.0.0.1", port),), 0, 0), "acme/local")


@pytest.mark.parametrize(("owner", "taken"), [("acme/local", False), ("other/local", True), ("", True)])
def test_a_container_on_the_port(owner: str, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", "docker", f"printf '{owner}\\tthe-name\\n'\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    found = preflight.taken_by("127.0.0.1", 8080, "acme/local")
    assert (found is not None and "container the-name" in found) is taken


def test_more_memory_than_the_machine_has_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", "docker", 'test "$1" = info && echo 1073741824 || true\n')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    with pytest.raises(CommandError, match="the stack may use 2048 MiB, and the engine's host has 1024 MiB"):
        preflight.check_memory(preflight.Planned((), (), 2 * 1024**3, 0), "acme/local", print)
    said: list[str] = []
    monkeypatch.setattr(preflight, "available", lambda: 100 * preflight.MIB)
    preflight.check_memory(preflight.Planned((), (), 200 * preflight.MIB, 0), "acme/local", said.append)
    assert "memory is short: 100 MiB are free" in said[0]


@pytest.mark.parametrize(
    ("subnet", "used", "refused"),
    [("10.128.0.0/26", 2, False), ("10.64.0.0/26", 2, True), ("10.64.0.0/26", 0, False)],
)
def test_a_network_in_use_keeps_its_subnet(
    subnet: str, used: int, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = f"acme_local_web {subnet} {used}\\nacme_local_other 10.9.0.0/26 3\\n0-acme_local {subnet} {used}\\n"
    program(tmp_path / "bin", "docker", f"""case "$2" in ls) echo 1 2 3 ;; inspect) printf '{rows}' ;; esac\n""")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    network = {"type": preflight.NETWORK, "inputs": {"ipamConfigs": [{"subnet": "10.128.0.0/26"}]}}
    named = [{**network, "inputs": {**network["inputs"], "name": name}} for name in ("acme_local_web", "0-acme_local")]
    plan = preflight.planned(named)
    if not refused:
        preflight.check_subnets(plan, "acme/local")
        return
    with pytest.raises(ConfigError) as caught:
        preflight.check_subnets(plan, "acme/local")
    (problem,) = caught.value.problems
    assert problem.message == (
        "network 0-acme_local has 10.64.0.0/26 and should get 10.128.0.0/26, and 1 more would change; "
        "a network that is in use cannot be changed"
    )
    assert problem.fix == (
        "set it back, or run `make down` (volumes are kept where quayside:protect is not false) and then `make up`"
    )


def test_what_make_is_to_do_is_said_with_its_stack() -> None:
    """`make down VOLUMES=1`, told to whoever works on stack dev, would delete the data of stack local."""
    assert make("up", "local") == make("up", "acme/local") == "make up"
    assert make("down", "dev") == make("down", "acme/dev") == "make down STACK=dev"
    for source in (ROOT / "quayside").glob("*.py"):
        said = re.findall(r"`make (?:up|down)[^`]*`", source.read_text())
        assert said == _ALIKE.get(source.name, []), source


_ALIKE = {"docker_engine.py": ["`make up`"] * 2, "status.py": ["`make up`"]}
"""Where no stack is known, or every one has the same."""


def test_a_docker_context_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "elsewhere")
    with pytest.raises(CommandError, match="DOCKER_CONTEXT is set to elsewhere"):
        docker_engine.one_engine()


# --- one message and exit 1 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        (["status"], {"DOCKER_HOST": "unix:///nowhere"}, "Docker is not running"),
        (["status"], {"DOCKER_CONTEXT": "x"}, "DOCKER_CONTEXT is set to x"),
        (["logs", "web"], {"DOCKER_HOST": "unix:///nowhere"}, "Docker is not running"),
        (["down"], {"DOCKER_HOST": "unix:///nowhere"}, "Docker is not running"),
        (["up", "--stack", "nope"], {}, "there is no Pulumi.nope.yaml"),
        (["secret", "no spaces"], {}, "secret no spaces: should be"),
        (["secret", "empty"], {}, "the value is empty"),
    ],
)
def test_one_message_and_exit_1(
    arguments: list[str], env: dict[str, str], words: str, project: Path, tmp_path: Path
) -> None:
    program(tmp_path / "bin", "docker", "echo 'cannot connect' >&2; exit 1\n")
    done = quayside(*arguments, cwd=project, PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", **env)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_wrong_option_is_a_usage_error(project: Path) -> None:
    done = quayside("up", "--nope", cwd=project)
    assert done.returncode == 2
    assert "No such option" in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_a_project(tmp_path: Path) -> None:
    done = quayside("status", cwd=tmp_path)
    assert done.returncode == 1
    assert "no Pulumi.yaml" in done.stderr


# --- looking into services -------------------------------------------------------------------------------------------


def test_an_unknown_service_lists_the_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "of_stack", lambda stack: [container("web-1"), container("cart-1")])
    with pytest.raises(CommandError, match=r"no service wbe in stack acme/local\n    there are cart, web"):
        observe.of_service("acme/local", "wbe")


def test_exec_takes_the_first_running_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    members = [container("web-1", state="exited"), container("web-2")]
    monkeypatch.setattr(observe, "of_stack", lambda stack: members)
    started: list[list[str]] = []
    start: Callable[[str, list[str]], None] = lambda _, argv: started.append(argv)  # noqa: E731
    observe.execute("acme/local", "web", ["sh", "-c", "exit 3"], start)
    assert started[0][:2] == ["docker", "exec"]
    assert started[0][-4:] == ["id-web-2", "sh", "-c", "exit 3"]


def test_what_was_stopped_by_hand_is_started_for_pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", "docker", f'echo "$@" >>{tmp_path / "called"}\n')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    found = [container("web-1", state="exited"), container("web-2"), container("web-3", state="restarting")]
    monkeypatch.setattr(containers, "of_stack", lambda stack: found)
    said: list[str] = []
    containers.start_stopped("acme/local", said.append)
    assert said == ["web-1 was stopped: started again"]
    assert (tmp_path / "called").read_text() == "start id-web-1\n"
    program(tmp_path / "bin", "docker", "echo 'no space left' >&2; exit 1\n")
    with pytest.raises(CommandError, match="web-1-abc1234 is stopped and does not start: no space left"):
        containers.start_stopped("acme/local", said.append)


# --- pulumi ----------------------------------------------------------------------------------------------------------

URN = "urn:pulumi:local::acme::quayside:docker:Service$docker:index/container:Container::web-1"
ROUTING = "urn:pulumi:local::acme::command:local:Command::routing"


def engine_event(kind: str, op: str, urn: str, type_: str) -> str:
    return json.dumps({kind: {"metadata": {"op": op, "urn": urn, "type": type_}}})


PULUMI = """\
case "$*" in
    *"stack select"*)
        grep -q encryptionsalt Pulumi.local.yaml ||
            echo "encryptionsalt: v1:c2FsdA==:v1:eA==:eA==" >>Pulumi.local.yaml ;;
    "config set"*)
        while [ "$1" != --config-file ]; do shift; done
        cat >>"$2.value"
        grep -q encryptionsalt "$2" || exit 9
        sed -i 's/^config: {/config: {"quayside:secrets": {stripe: {secure: "v1:YQ==:YQ=="}}, /' "$2" ;;
    *"stack output"*) echo '{"urls": ["http://shop.localhost/"]}' ;;
    up*)
        while [ "$1" != --event-log ]; do
            [ "$1" != --config-file ] || grep -q encryptionsalt "$2" || exit 9
            shift
        done
        cat "$EVENTS" >>"$2"
        exit "${CODE:-0}" ;;
esac
"""


@pytest.fixture
def pulumi(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program(tmp_path / "bin", "pulumi", PULUMI)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("EVENTS", str(tmp_path / "events"))
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    return tmp_path / "events"


def test_pulumi_tells_the_same_lines_and_leaves_the_stack_file_alone(pulumi: Path, project: Path) -> None:
    before = (project / "Pulumi.local.yaml").read_bytes()
    events = [
        engine_event("resourcePreEvent", "create-replacement", URN, CONTAINER),
        engine_event("resOutputsEvent", "create-replacement", URN, CONTAINER),
        engine_event("resOutputsEvent", "same", URN.replace("web-1", "web-2"), CONTAINER),
        engine_event("resOutputsEvent", "update", ROUTING, COMMAND),
        engine_event("resOutputsEvent", "create", "urn:x::quayside:docker:Service::web", "quayside:docker:Service"),
        engine_event("resOutputsEvent", "delete-replaced", URN, CONTAINER),
    ]
    pulumi.write_text("\n".join(events) + "\n")
    lines: list[str] = []
    done = pulumi_cli.up(project, "local", progress.printer(lines.append))
    assert lines == ["  ± container web-1", "  ~ routing", "  - container web-1 (old)"]
    assert done.changes == Counter(replace=1, same=1, run=1, delete=1)
    assert done.outputs == {"urls": ["http://shop.localhost/"]}
    assert (project / "Pulumi.local.yaml").read_bytes() == before
    assert (project / ".quayside" / "Pulumi.local.yaml").stat().st_mode & 0o777 == 0o600


def test_a_failing_command_is_told_in_its_own_words(
    pulumi: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diagnostic(severity: str, message: str) -> str:
        return json.dumps({"diagnosticEvent": {"urn": ROUTING, "severity": severity, "message": message}})

    pulumi.write_text(
        "\n".join(
            [
                diagnostic("info#err", 'release of "web" stopped\n'),
                engine_event("resOpFailedEvent", "update", ROUTING, COMMAND),
                diagnostic("error", 'exit status 1: running "the whole script"'),
            ]
        )
    )
    pulumi.write_text(pulumi.read_text() + "\n")
    monkeypatch.setenv("CODE", "255")
    with pytest.raises(CommandError) as caught:
        pulumi_cli.up(project, "local", lambda event: None)
    assert str(caught.value) == 'release of "web" stopped'


def test_the_salt_is_kept_from_one_run_to_the_next(pulumi: Path, project: Path) -> None:
    first = pulumi_cli.prepare(project, "local").read_text()
    assert pulumi_cli.prepare(project, "local").read_text() == first
    assert "encryptionsalt: v1:" in first


@pytest.mark.parametrize(("pid", "cancelled"), [(2**22 + 1, True), (os.getpid(), False)], ids=["dead", "ours"])
def test_only_a_dead_process_loses_its_lock(
    pid: int, cancelled: bool, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin", "pulumi", f'echo "$@" >>{tmp_path / "called"}\n')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    lock = project / ".quayside" / "pulumi" / ".pulumi" / "locks" / "organization" / "acme" / "local" / "x.json"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps({"pid": pid, "hostname": socket.gethostname()}))
    if cancelled:
        pulumi_cli.release_stale_lock(project, "local")
        assert "cancel" in (tmp_path / "called").read_text()
    else:
        with pytest.raises(CommandError, match="another `pulumi`"):
            pulumi_cli.release_stale_lock(project, "local")


def entry(type_: str, *, protect: bool = False) -> Entry:
    return Entry(urn=f"urn:{type_}", type=type_, name="x", id="x", inputs={}, outputs={}, protect=protect)


DATA = entry(preflight.VOLUME, protect=True)
WEB = entry(CONTAINER)
FILES = entry(preflight.VOLUME)


def pulumi_state(root: Path, *entries: Entry) -> None:
    """A checkpoint as the CLI writes it, with what always comes along."""
    around = [
        {"type": "pulumi:pulumi:Stack", "custom": False},
        {"type": "pulumi:providers:docker", "custom": True},
        {"type": "quayside:docker:StatefulService", "custom": False},
    ]
    file = root / ".quayside" / "pulumi" / ".pulumi" / "stacks" / "acme" / "local.json"
    file.parent.mkdir(parents=True)
    own = [{"type": each.type, "custom": True, "protect": each.protect} for each in entries]
    file.write_text(json.dumps({"checkpoint": {"latest": {"resources": [*around, *own] if entries else []}}}))


@pytest.mark.parametrize(
    ("on_path", "state", "by_pulumi", "expected"),
    [
        (False, [], [], lifecycle.BY_REHEARSAL),
        (True, [], [], lifecycle.BY_PULUMI),
        (True, [WEB], [], "applied by the rehearsal, and pulumi is on PATH now"),
        (True, [FILES], [], "applied by the rehearsal, and pulumi is on PATH now"),
        (False, [], [WEB, DATA], "applied by pulumi, which is not on PATH any more"),
        (False, [WEB], [], lifecycle.BY_REHEARSAL),
        # What `make down` keeps is in nobody's way.
        (True, [DATA], [], lifecycle.BY_PULUMI),
        (True, [DATA], [WEB, DATA], lifecycle.BY_PULUMI),
        (False, [], [DATA], lifecycle.BY_REHEARSAL),
    ],
)
def test_nobody_takes_over_what_another_applied(
    on_path: bool,
    state: list[Entry],
    by_pulumi: list[Entry],
    expected: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = StateFile("acme", "local", project / "local.json", live={str(n): each for n, each in enumerate(state)})
    monkeypatch.setattr("rehearsal.engine_state", lambda stack, root: known if state else None)
    monkeypatch.setattr(pulumi_cli, "available", lambda: on_path)
    pulumi_state(project, *by_pulumi)
    assert pulumi_cli.applied(project, "local") == bool(by_pulumi)
    where = lifecycle.Project(project, "acme", "local")
    if expected in (lifecycle.BY_REHEARSAL, lifecycle.BY_PULUMI):
        assert lifecycle.engine(where) == expected
    else:
        with pytest.raises(CommandError, match=expected):
            lifecycle.engine(where)


@pytest.mark.parametrize("given", [False, True], ids=["own passphrase", "given passphrase"])
def test_pulumi_encrypts_a_secret_before_the_first_up(
    given: bool, pulumi: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    if given:
        monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "p")
    pulumi_cli.set_secret(project, "local", "stripe", "hunter2")
    text = (project / "Pulumi.local.yaml").read_text()
    assert (project / ".quayside" / "Pulumi.local.yaml.value").read_text() == "hunter2"
    assert text.startswith("# mine")
    assert "stripe: {secure: 'v1:YQ==:YQ=='}" in text
    # Who has been given the passphrase reads it in a clone, and needs the salt there.
    assert ("encryptionsalt" in text) == given


def test_a_secret_with_a_passphrase_of_its_own_leaves_the_salt_beside_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not (Path(p) / "pulumi").exists())
    for key in ("one", "two"):
        done = subprocess.run(
            [sys.executable, "-m", "quayside", "secret", key],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": path},
            input=f"value of {key}",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert "encryptionsalt" not in (project / "Pulumi.local.yaml").read_text()
    config = read_stack(project, "local")
    assert json.loads(config.values["quayside:secrets"]) == {"one": "value of one", "two": "value of two"}


def test_a_secret_is_read_from_stdin_and_written_encrypted(project: Path) -> None:
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not (Path(p) / "pulumi").exists())
    done = subprocess.run(
        [sys.executable, "-m", "quayside", "secret", "stripe"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PULUMI_CONFIG_PASSPHRASE": "p", "PATH": path},
        input="hunter2\n",
        capture_output=True,
        text=True,
        check=False,
    )
    text = (project / "Pulumi.local.yaml").read_text()
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in text + done.stdout
    assert "quayside:secrets" in text
    assert "stripe: {secure: 'v1:" in text
    assert text.startswith("# mine")
