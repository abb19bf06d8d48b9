"""The rehearsal's apply on engines behind ssh: tunnels, pinned host keys, dead hosts, hosts that leave the program."""

from __future__ import annotations

import base64
import http.server
import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal import Applied, ApplyError, Event, apply, destroy, engine_state
from tests.hosts.fleet import Fleet, Host
from tests.hosts.shop import IMAGES, rehearsal

pytestmark = pytest.mark.docker

REDIS = IMAGES[1]
PROGRAM = """
import json, pulumi, pulumi_docker as docker
from pulumi_command import local

plan = json.loads(pulumi.Config().require("plan"))
made = {}
for name, host in plan["hosts"].items():
    extra = {"registry_auth": host["auth"]} if "auth" in host else {}
    provider = docker.Provider(name, host=host["url"], ssh_opts=host["opts"], **extra)
    ignored = ["*"] if host.get("down") else None
    opts = pulumi.ResourceOptions(provider=provider, ignore_changes=ignored)
    images = [docker.RemoteImage(f"{name}-{i}", name=i, keep_locally=True, opts=opts) for i in host.get("images", [])]
    net = docker.Network(f"net-{name}", name=pulumi.get_project(), opts=opts)
    made[name] = [
        docker.Container(
            container,
            image=plan["image"],
            command=["sleep", "1000"],
            init=True,
            envs=[f"VERSION={version}"],
            must_run=False,
            restart="unless-stopped",
            networks_advanced=[{"name": net.name}],
            opts=pulumi.ResourceOptions(provider=provider, ignore_changes=ignored, delete_before_replace=False),
        )
        for container, version in host["containers"].items()
    ]
if "command" in plan:
    secret = pulumi.Output.secret("hush-hush-1234")
    containers = [c for found in made.values() for c in found]
    local.Command(
        "command", create=plan["command"], dir=plan["folder"], stdin=secret,
        environment={"TOKEN": secret, "NAMES": pulumi.Output.all(*(c.name for c in containers)).apply(" ".join)},
        opts=pulumi.ResourceOptions(depends_on=containers),
    )
"""


class Stack:
    """A project whose containers are spread over the fleet."""

    def __init__(self, root: Path, fleet: Fleet, hosts: dict[str, dict[str, str]]) -> None:
        self.root = root
        self.fleet = fleet
        self.project = f"qf{os.urandom(4).hex()}"
        self.label = f"dev.quayside.stack={self.project}/t"
        self.plan: dict[str, Any] = {"image": REDIS, "folder": str(root), "hosts": {}}
        for name, containers in hosts.items():
            self.plan["hosts"][name] = {**self.reach(fleet[name]), "containers": containers}
        self.events: list[Event] = []
        (root / "Pulumi.yaml").write_text(f"name: {self.project}\nruntime: python\n")
        (root / "__main__.py").write_text(PROGRAM)

    @staticmethod
    def reach(host: Host) -> dict[str, Any]:
        return {"url": host.url, "opts": host.ssh_opts}

    @property
    def hosts(self) -> dict[str, dict[str, Any]]:
        return self.plan["hosts"]

    def write(self) -> None:
        (self.root / "Pulumi.t.yaml").write_text(
            f"config:\n  {self.project}:plan: {json.dumps(json.dumps(self.plan))}\n"
        )

    def up(self) -> Applied:
        self.write()
        self.events = []
        return apply("t", self.root, progress=self.events.append)

    def refused(self) -> str:
        with pytest.raises(ApplyError) as caught:
            self.up()
        return str(caught.value)

    def down(self) -> Applied:
        return destroy("t", self.root, volumes=True, progress=lambda _event: None)

    def start(self) -> subprocess.Popen[str]:
        self.write()
        return rehearsal("t", self.root, os.environ)

    def running(self, host: str) -> list[str]:
        """The programs' names of what runs on a host."""
        listed = self.fleet[host].docker("ps", "-f", f"label={self.label}", "--format", "{{.Names}}")
        return sorted(name.rsplit("-", 1)[0] for name in listed.split())

    def ids(self, host: str) -> set[str]:
        return set(self.fleet[host].docker("ps", "-q", "-f", f"label={self.label}").split())

    def notes(self) -> str:
        return "\n".join(event.detail for event in self.events if event.kind == "note")

    def steps(self) -> list[tuple[str, str]]:
        return [(event.kind, event.name) for event in self.events if event.kind not in ("note", "same")]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fleet: Fleet) -> Iterator[Path]:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "open sesame")
    yield tmp_path
    for host in fleet:
        if not host.up:
            host.restart()
        if found := host.docker("ps", "-aq"):
            host.docker("rm", "-f", *found.split())
        host.docker("network", "prune", "-f")
    assert not _tunnels(), "a tunnel outlived its run"


def _tunnels() -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.startswith("ssh ") and "quayside-" in line]


def test_one_tunnel_a_host_and_a_second_run_changes_nothing(root: Path, fleet: Fleet) -> None:
    stack = Stack(root, fleet, {f"host{h}": {f"c{h}-{n}": "1" for n in range(3)} for h in (1, 2, 3)})
    with fleet.capture() as wire:
        done = stack.up()
    assert done.changes == {"create": 12}
    connections = Counter(flow.target for flow in wire.flows if flow.target_port == 22)
    assert connections == {fleet[name].address: 1 for name in stack.hosts}
    assert not wire.find(b"VERSION=1")
    for h in (1, 2, 3):
        assert stack.running(f"host{h}") == [f"c{h}-0", f"c{h}-1", f"c{h}-2"]
    assert set(stack.up().changes) == {"same"}
    stack.down()
    assert engine_state("t", root) is None
    for host in fleet:
        assert host.docker("ps", "-aq") == ""
        assert host.docker("network", "ls", "-q", "-f", f"name={stack.project}") == ""


def test_twenty_containers_on_one_host(root: Path, fleet: Fleet) -> None:
    stack = Stack(root, fleet, {"host1": {f"c{n}": "1" for n in range(20)}})
    began = time.monotonic()
    stack.up()
    print(f"20 containers over ssh in {time.monotonic() - began:.1f} s")
    assert len(stack.running("host1")) == 20
    began = time.monotonic()
    stack.up()
    print(f"a run that changes nothing takes {time.monotonic() - began:.1f} s")
    stack.down()


def test_a_wrong_host_key_names_the_host_and_what_ssh_said(root: Path, fleet: Fleet) -> None:
    stack = Stack(root, fleet, {"host1": {"a": "1"}, "host2": {"b": "1"}})
    stack.hosts["host1"]["opts"] = fleet["host1"].ssh_opts_for(fleet["host2"].host_key)
    message = stack.refused()
    assert f"on host1 (root@{fleet['host1'].address}) failed" in message
    assert f"host host1: cannot connect to root@{fleet['host1'].address} by ssh" in message
    assert "Host key verification failed" in message
    assert "does not hold the pinned host key" in message
    assert message.count("Host key verification failed") == 1
    assert stack.running("host1") == []
    stack.hosts["host1"] |= stack.reach(fleet["host1"])
    stack.up()
    assert stack.running("host1") == ["a"]
    assert stack.running("host2") == ["b"]


def test_nobody_listening_is_said_so(root: Path, fleet: Fleet) -> None:
    stack = Stack(root, fleet, {"host1": {"a": "1"}})
    stack.hosts["host1"]["url"] += ":2222"
    assert f"cannot connect to root@{fleet['host1'].address}:2222 by ssh:\n    ssh: connect" in (
        said := stack.refused()
    )
    assert "Connection refused" in said


def test_a_dead_host_stops_only_what_has_to_change_there(root: Path, fleet: Fleet) -> None:
    stack = Stack(root, fleet, {"host1": {"a": "1"}, "host2": {"b": "1"}})
    stack.hosts["host2"]["images"] = [REDIS]
    stack.up()
    fleet["host2"].kill()
    assert set(stack.up().changes) == {"same"}
    assert f"host host2: cannot connect to root@{fleet['host2'].address}" in stack.notes()
    stack.hosts["host1"]["containers"]["a"] = "2"
    stack.up()
    assert ("replace", "a") in stack.steps()
    stack.hosts["host2"]["containers"]["b"] = "2"
    message = stack.refused()
    assert f"b (Container) on host2 (root@{fleet['host2'].address}) failed" in message
    # Declared down, it is not even asked.
    stack.hosts["host2"]["down"] = True
    began = time.monotonic()
    assert set(stack.up().changes) == {"same"}
    assert time.monotonic() - began < 2.5
    assert stack.notes() == ""
    with pytest.raises(ApplyError, match=r"b \(Container\) on host2"):
        stack.down()
    fleet["host2"].restart()
    del stack.hosts["host2"]["down"]
    stack.up()
    assert stack.running("host2") == ["b"]
    stack.down()


def test_a_host_that_dies_under_way_is_named_and_the_next_run_goes_on(root: Path, fleet: Fleet) -> None:
    stack = Stack(root, fleet, {"host1": {"a": "1"}, "host2": {f"b{n}": "1" for n in range(20)}})
    stack.hosts["host2"]["opts"] += ["-o", "ServerAliveInterval=1"]
    process = stack.start()
    while not stack.ids("host2"):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    fleet["host2"].kill()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"on host2 (root@{fleet['host2'].address}) failed:" in output
    assert f"Timeout, server {fleet['host2'].address} not responding" in output
    assert "Traceback" not in output
    fleet["host2"].restart()
    stack.up()
    assert stack.running("host1") == ["a"]
    assert stack.running("host2") == sorted(f"b{n}" for n in range(20))
    assert len(fleet["host2"].docker("ps", "-aq").split()) == 20


def test_what_a_host_that_left_the_program_held_is_deleted_there(root: Path, fleet: Fleet) -> None:
    stack = Stack(root, fleet, {"host1": {"a": "1"}, "host2": {"b": "1"}})
    stack.up()
    del stack.hosts["host2"]
    stack.up()
    assert sorted(stack.steps()) == [("delete", "b"), ("delete", "net-host2")]
    assert stack.running("host2") == []
    state = engine_state("t", root)
    assert state is not None
    assert set(state.engines) == {fleet["host1"].url}
    stack.hosts["host2"] = {**stack.reach(fleet["host2"]), "containers": {"b": "1"}}
    stack.up()
    fleet["host2"].kill()
    del stack.hosts["host2"]
    assert f"b (Container) on host2 (root@{fleet['host2'].address}) failed" in stack.refused()
    fleet["host2"].restart()
    stack.up()
    assert stack.fleet["host2"].docker("ps", "-aq") == ""


def test_a_lost_state_is_made_up_for_by_labels_on_every_host(root: Path, fleet: Fleet) -> None:
    stack = Stack(root, fleet, {"host1": {"a": "1"}, "host2": {"b": "1"}})
    stack.up()
    before = stack.ids("host1") | stack.ids("host2")
    for file in (root / ".quayside").glob("t.json*"):
        file.unlink()
    stack.up()
    assert stack.ids("host1") | stack.ids("host2") == before
    assert sum("taken over" in event.detail for event in stack.events) == 4  # two containers, two networks
    for file in (root / ".quayside").glob("t.json*"):
        file.write_text("{")
    stack.down()
    for name in ("host1", "host2"):
        assert fleet[name].docker("ps", "-aq") == ""
        assert fleet[name].docker("network", "ls", "-q", "-f", f"name={stack.project}") == ""


def test_a_container_that_moves_is_made_there_before_it_goes_here(root: Path, fleet: Fleet) -> None:
    stack = Stack(root, fleet, {"host1": {"a": "1", "b": "1"}, "host2": {"c": "1"}})
    stack.up()
    moved = stack.hosts["host1"]["containers"].pop("b")
    stack.hosts["host2"]["containers"]["b"] = moved
    stack.up()
    assert stack.steps() == [("replace", "b"), ("delete", "b")]
    assert stack.running("host1") == ["a"]
    assert stack.running("host2") == ["b", "c"]


def test_a_rebuilt_host_is_filled_again(root: Path, fleet: Fleet) -> None:
    stack = Stack(root, fleet, {"host1": {"a": "1"}})
    stack.up()
    stack.hosts["host1"] |= stack.reach(fleet["host3"])  # another machine behind the same provider
    stack.up()
    assert stack.running("host3") == ["a"]


def test_a_killed_run_leaves_no_ssh_and_the_next_one_goes_on(root: Path, fleet: Fleet) -> None:
    stack = Stack(root, fleet, {"host1": {f"c{n}": "1" for n in range(6)}, "host2": {"b": "1"}})
    process = stack.start()
    end = time.monotonic() + 30
    while not stack.ids("host1") and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(0.5)
    assert not _tunnels()
    stack.up()
    assert stack.running("host1") == [f"c{n}" for n in range(6)]
    assert stack.running("host2") == ["b"]
    assert len(fleet["host1"].docker("ps", "-aq").split()) == 6


def test_a_command_over_ssh_and_ctrl_c(root: Path, fleet: Fleet) -> None:
    """Ctrl-C reaches a terminal's whole foreground group; ssh in it would end before its step has."""
    stack = Stack(root, fleet, {"host1": {"a": "1"}})
    ssh = " ".join(["ssh", *(f"'{word}'" for word in fleet["host1"].ssh_opts)])
    shared = f"-o ControlMaster=auto -o ControlPersist=20s -o ControlPath=/tmp/{stack.project}-%C"
    there = f"{ssh} {shared} root@{fleet['host1'].address}"
    stack.plan["command"] = (
        f'touch begun; sleep 2; {there} docker exec -i $NAMES cat >got && test "$TOKEN" && touch ended'
    )
    process = stack.start()
    while not (root / "begun").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < 12  # not as long as the shared connection lingers
    assert process.returncode == 1
    assert "interrupted" in output
    assert (root / "got").read_text() == "hush-hush-1234"
    assert (root / "ended").exists()
    assert "hush-hush" not in output
    assert all("hush-hush" not in file.read_text() for file in (root / ".quayside").iterdir())
    assert set(stack.up().changes) == {"same"}


def test_a_second_ctrl_c_ends_the_command(root: Path, fleet: Fleet) -> None:
    stack = Stack(root, fleet, {"host1": {"a": "1"}})
    stack.plan["command"] = "touch begun; sleep 60"
    process = stack.start()
    while not (root / "begun").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
    process.communicate(timeout=10)
    assert process.returncode != 0


def test_a_pull_logs_in_with_the_providers_account(root: Path, fleet: Fleet) -> None:
    asked: list[str] = []

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization", ""))
            self.send_response(404 if asked[-1] else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_request(self, *_: object) -> None:
            """Says nothing: the test counts for itself."""

    server = http.server.ThreadingHTTPServer((fleet.outside, 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    registry = f"{fleet.outside}:{server.server_port}"
    stack = Stack(root, fleet, {"host1": {}})
    stack.hosts["host1"] |= {
        "images": [f"{registry}/app:1"],
        "auth": [{"address": registry, "username": "robot", "password": "let-me-in-5"}],
    }
    try:
        message = stack.refused()
    finally:
        server.shutdown()
        server.server_close()
    assert f"pull {registry}/app:1" in message
    assert "let-me-in-5" not in message
    assert f"Basic {base64.b64encode(b'robot:let-me-in-5').decode()}" in asked


def test_what_cannot_be_carried_out_is_refused(root: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack(root, fleet, {"host1": {"a": "1"}})
    monkeypatch.setenv("DOCKER_CONTEXT", "elsewhere")
    assert "DOCKER_CONTEXT=elsewhere is set" in stack.refused()
    monkeypatch.delenv("DOCKER_CONTEXT")
    program = root / "__main__.py"
    program.write_text(PROGRAM.replace("docker.Provider(name,", "docker.Provider(name, cert_path='/x',"))
    assert "host1 (pulumi:providers:docker)/certPath: is not carried out" in stack.refused()
    assert stack.running("host1") == []
