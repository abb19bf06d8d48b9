"""The rehearsal's apply on a real Docker engine: order, replacement, failure, crashes, secrets, destruction."""

from __future__ import annotations

import importlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal import Applied, ApplyError, Event, apply, destroy, engine_state
from rehearsal.secrets import set_secret

pytestmark = pytest.mark.docker

REPOSITORY = Path(__file__).parents[2]
IMAGE = "quayside-test/apply:1"

PROGRAM = """
import json, pulumi, pulumi_docker as docker
from pulumi_command import local

plan = json.loads(pulumi.Config().require("plan"))
here = pulumi.get_project()
image = docker.RemoteImage("image", name=plan["image"], keep_locally=True)
net = docker.Network("net", name=here, labels=plan.get("netLabels", []))
if plan.get("volume"):
    docker.Volume("data", name=f"{here}-data", opts=pulumi.ResourceOptions(protect=True))
password = pulumi.Config().get_secret("password")
containers = []
for name, version in plan["containers"].items():
    envs = [f"VERSION={version}"]
    if password is not None:
        envs.append(pulumi.Output.concat("PASSWORD=", password))
    containers.append(docker.Container(
        name,
        image=image.name,
        command=["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"],
        envs=envs,
        networks_advanced=[{"name": net.name, "aliases": [name]}],
        uploads=[{"file": "/etc/version", "content": version}],
        destroy_grace_seconds=5,
        restart=plan.get("restart", "no"),
        opts=pulumi.ResourceOptions(delete_before_replace=plan.get("deleteFirst", False)),
    ))
route = local.Command(
    "route",
    create=plan.get("route", "cat > served"),
    delete="echo gone > served",
    dir=plan["folder"],
    stdin=pulumi.Output.all(*(c.name for c in containers)).apply("\\n".join),
    opts=pulumi.ResourceOptions(depends_on=containers),
)
pulumi.export("served", route.stdin)
"""


class Stack:
    """One throw-away project with a plan that tests edit."""

    def __init__(self, root: Path, client: Any) -> None:
        self.root = root
        self.client = client
        self.project = f"qt{uuid.uuid4().hex[:8]}"
        self.label = f"dev.quayside.stack={self.project}/t"
        self.plan: dict[str, Any] = {"image": IMAGE, "folder": str(root), "containers": {"web-1": "1", "web-2": "1"}}
        (root / "Pulumi.yaml").write_text(f"name: {self.project}\nruntime: python\n")
        (root / "__main__.py").write_text(PROGRAM)
        self.events: list[Event] = []

    def write(self, **changes: Any) -> None:
        self.plan.update(changes)
        stack_file = self.root / "Pulumi.t.yaml"
        kept = stack_file.read_text().splitlines(keepends=True) if stack_file.exists() else ["config:\n"]
        lines = [line for line in kept if ":plan:" not in line]
        at = next(i for i, line in enumerate(lines) if line.startswith("config:")) + 1
        lines.insert(at, f"  {self.project}:plan: {json.dumps(json.dumps(self.plan))}\n")
        stack_file.write_text("".join(lines))

    def up(self, **changes: Any) -> Applied:
        self.write(**changes)
        self.events = []
        return apply("t", self.root, progress=self.events.append)

    def down(self, *, volumes: bool = False) -> Applied:
        return destroy("t", self.root, volumes=volumes, progress=lambda _event: None)

    def steps(self) -> list[tuple[str, str]]:
        return [(e.kind, e.name) for e in self.events if e.kind not in ("note", "same")]

    def containers(self) -> dict[str, Any]:
        found = self.client.containers(all=True, filters={"label": self.label})
        return {c["Names"][0].lstrip("/"): c for c in found}

    def running(self) -> set[str]:
        return {name for name, c in self.containers().items() if c["State"] == "running"}

    def served(self) -> set[str]:
        file = self.root / "served"
        return set(file.read_text().split()) if file.exists() else set()


@pytest.fixture(scope="module")
def client() -> Any:
    docker: Any = importlib.import_module("docker")
    try:
        found = docker.APIClient(version="auto", timeout=60)
        found.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is needed to make a test image")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "etc", "tmp"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for file in _with_libraries(busybox):
            tar.add(Path(file).resolve(), "bin/busybox" if file == busybox else file.lstrip("/"))
        for name in ("sh", "sleep", "cat"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    found.import_image_from_data(buffer.getvalue(), *IMAGE.split(":"))
    return found


@pytest.fixture
def stack(tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "open sesame")
    made = Stack(tmp_path, client)
    yield made
    for container in made.containers().values():
        client.remove_container(container["Id"], force=True, v=True)
    for network in client.networks(filters={"label": made.label}):
        client.remove_network(network["Id"])
    for volume in client.volumes(filters={"label": made.label})["Volumes"] or []:
        client.remove_volume(volume["Name"])


def test_a_first_run_makes_everything_and_a_second_changes_nothing(stack: Stack) -> None:
    done = stack.up()
    names = stack.running()
    assert {name.rsplit("-", 1)[0] for name in names} == {"web-1", "web-2"}
    assert stack.served() == names
    assert set(str(done.outputs["served"]).split()) == names
    assert stack.steps()[-1] == ("run", "route")
    started = time.monotonic()
    again = stack.up()
    assert time.monotonic() - started < 3
    assert set(again.changes) == {"same"}
    assert stack.running() == names
    state = stack.root / ".quayside" / "t.json"
    assert state.stat().st_mode & 0o777 == 0o600


def test_an_upload_and_an_environment_reach_the_container(stack: Stack) -> None:
    stack.up(containers={"web-1": "7"})
    (name,) = stack.running()
    made = stack.client.exec_create(name, ["cat", "/etc/version"])
    assert stack.client.exec_start(made["Id"]) == b"7"
    assert "VERSION=7" in stack.client.inspect_container(name)["Config"]["Env"]


def test_create_first_replaces_in_pulumis_order(stack: Stack) -> None:
    stack.up()
    old = stack.running()
    stack.up(containers={"web-1": "2", "web-2": "2"})
    steps = stack.steps()
    assert sorted(steps[:2]) == [("replace", "web-1"), ("replace", "web-2")]
    assert steps[2] == ("run", "route")
    assert sorted(steps[3:]) == [("delete", "web-1"), ("delete", "web-2")]
    assert stack.running().isdisjoint(old)
    assert stack.served() == stack.running()


def test_the_default_is_delete_first_as_in_the_provider(stack: Stack) -> None:
    seen: list[int] = []
    stack.up(containers={"web-1": "1"}, deleteFirst=None)
    stack.write(containers={"web-1": "2"})
    apply(
        "t",
        stack.root,
        progress=lambda event: seen.append(len(stack.containers())) if event.kind == "replace" else None,
    )
    assert seen == [1]


def test_what_the_engine_changes_in_place_is_not_replaced(stack: Stack) -> None:
    stack.up()
    before = stack.running()
    stack.up(restart="always")
    assert stack.running() == before
    (name, *_) = sorted(before)
    assert stack.client.inspect_container(name)["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert [kind for kind, _ in stack.steps()] == ["update", "update"]


def test_a_failed_gate_keeps_the_old_and_the_next_good_run_cleans_up(stack: Stack) -> None:
    stack.up()
    old = stack.running()
    with pytest.raises(ApplyError) as caught:
        stack.up(containers={"web-1": "2", "web-2": "2"}, route="echo web did not become healthy >&2; exit 1")
    assert "route" in str(caught.value)
    assert "web did not become healthy" in str(caught.value)
    assert old <= stack.running()
    assert stack.served() == old
    with pytest.raises(ApplyError):
        stack.up()
    assert old <= stack.running()
    stack.up(containers={"web-1": "3", "web-2": "2"}, route="cat > served")
    assert len(stack.containers()) == 2
    assert stack.served() == stack.running()
    assert old.isdisjoint(stack.running())


def test_a_service_that_left_the_plan_is_removed_after_the_routing(stack: Stack) -> None:
    stack.up()
    stack.up(containers={"web-2": "1"})
    assert stack.steps() == [("run", "route"), ("delete", "web-1")]


def test_a_container_removed_behind_our_back_is_made_again(stack: Stack) -> None:
    stack.up()
    victim = min(stack.running())
    stack.client.remove_container(victim, force=True)
    stack.up()
    assert len(stack.running()) == 2
    assert stack.served() == stack.running()


def test_a_network_in_use_says_who_uses_it(stack: Stack) -> None:
    stack.up()
    with pytest.raises(ApplyError, match="still attached to it: web-1-"):
        stack.up(netLabels=[{"label": "a", "value": "b"}])


def test_secrets_reach_the_container_and_stay_out_of_the_state(stack: Stack) -> None:
    stack.write()
    set_secret(stack.root / "Pulumi.t.yaml", "password", "hunter2-hunter2", "open sesame")
    stack.up()
    (name, *_) = stack.running()
    assert "PASSWORD=hunter2-hunter2" in stack.client.inspect_container(name)["Config"]["Env"]
    stack.up()
    assert stack.steps() == []
    for file in [*(stack.root / ".quayside").iterdir(), stack.root / "Pulumi.t.yaml"]:
        assert "hunter2" not in file.read_text(), file


def test_a_secret_without_its_passphrase_is_refused(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.write()
    set_secret(stack.root / "Pulumi.t.yaml", "password", "hunter2", "open sesame")
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    with pytest.raises(ApplyError, match="PULUMI_CONFIG_PASSPHRASE"):
        stack.up()
    assert not stack.containers()


def test_a_truncated_state_is_read_from_the_copy_before_it(stack: Stack) -> None:
    stack.up()
    names = stack.running()
    state = stack.root / ".quayside" / "t.json"
    state.write_text(state.read_text()[:200])
    stack.up()
    assert any(event.kind == "note" and "damaged" in event.detail for event in stack.events)
    assert len(stack.running()) == 2
    assert stack.served() == stack.running()
    state.write_text("{")
    (stack.root / ".quayside" / "t.json.bak").write_text("{")
    with pytest.raises(ApplyError, match="is damaged"):
        stack.up()
    assert stack.running()
    assert names  # nothing was touched
    state.unlink()
    (stack.root / ".quayside" / "t.json.bak").unlink()
    stack.up()
    assert len(stack.containers()) == 2
    assert stack.served() == stack.running()


def test_a_second_run_at_the_same_time_is_told_who_holds_the_stack(stack: Stack) -> None:
    stack.write(route="touch running; sleep 3; cat > served")
    process = subprocess.Popen(**_command(stack))
    while not (stack.root / "running").exists():
        assert process.poll() is None
        time.sleep(0.05)
    with pytest.raises(ApplyError, match=str(process.pid)):
        stack.up()
    assert process.wait() == 0


def test_sigkill_at_random_moments_converges_and_serves_throughout(stack: Stack) -> None:
    stack.up()
    moments = random.Random(1)
    for version in range(2, 7):
        stack.write(containers={"web-1": str(version), "web-2": str(version)})
        process = subprocess.Popen(**_command(stack))
        time.sleep(moments.uniform(0.7, 2.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert stack.served() <= stack.running(), f"version {version}: what was served is gone"
    stack.up()
    assert len(stack.containers()) == 2
    assert stack.served() == stack.running()
    stack.up()
    assert stack.steps() == []


def test_an_unfinished_container_is_taken_over_or_removed(stack: Stack) -> None:
    stack.up()
    state = stack.root / ".quayside" / "t.json"
    before = state.read_text()
    with pytest.raises(ApplyError):
        stack.up(containers={"web-1": "2", "web-2": "2"}, route="exit 1")
    made = stack.running()
    state.write_text(before)  # as if the run had died before it could write down what it had made
    stack.up(route="cat > served")
    assert sum("taken over" in event.detail for event in stack.events) == 2
    assert stack.running() < made
    assert len(stack.containers()) == 2


def test_destroy_leaves_nothing_but_the_volume(stack: Stack) -> None:
    stack.up(volume=True)
    stack.down()
    assert stack.served() == {"gone"}
    assert not stack.containers()
    assert not stack.client.networks(filters={"label": stack.label})
    assert len(stack.client.volumes(filters={"label": stack.label})["Volumes"]) == 1
    state = engine_state("t", stack.root)
    assert state is not None
    assert [entry.name for entry in state.live.values()] == ["data"]
    stack.up()
    assert len(stack.running()) == 2
    stack.down(volumes=True)
    assert not stack.client.volumes(filters={"label": stack.label})["Volumes"]
    assert engine_state("t", stack.root) is None


def test_docker_not_running_is_one_clear_message(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.raises(ApplyError, match=r"Docker does not answer at .*its socket does not exist"):
        stack.up()


def test_a_docker_context_is_refused(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "elsewhere")
    with pytest.raises(ApplyError, match="DOCKER_CONTEXT=elsewhere"):
        stack.up()


def test_what_cannot_be_carried_out_is_refused_before_anything_is_touched(stack: Stack) -> None:
    program = stack.root / "__main__.py"
    program.write_text(PROGRAM + 'docker.Container("odd", image="x", gpus="all")\ndocker.Secret("s", data="eA==")\n')
    with pytest.raises(ApplyError) as caught:
        stack.up()
    assert "odd (docker:index/container:Container)/gpus" in str(caught.value)
    assert "1 resource is not carried out by the rehearsal (1 Secret)" in str(caught.value)
    assert not stack.containers()


def test_two_stacks_on_one_engine_leave_each_other_alone(stack: Stack, tmp_path: Path, client: Any) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    other = Stack(folder, client)
    stack.up()
    other.up()
    before = other.running()
    stack.down()
    assert other.running() == before
    other.down()
    assert not other.containers()


def _with_libraries(program: str) -> list[str]:
    """A program and what it is linked with: Debian has busybox both static and not."""
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return [program, *(word for word in linked.split() if word.startswith("/"))]


def _command(stack: Stack) -> dict[str, Any]:
    return {
        "args": [sys.executable, "-m", "rehearsal", "t", "--apply"],
        "cwd": stack.root,
        "env": {**os.environ, "PYTHONPATH": str(REPOSITORY)},
        "stdout": subprocess.DEVNULL,
    }
