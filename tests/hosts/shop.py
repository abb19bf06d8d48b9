"""Stacks of the tests and the benchmark: real containers under a name and a port of their own, and gone afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from planning.edge import IMAGE
from quayside import images
from quayside.shell import CommandError
from rehearsal import ApplyError, destroy

ROOT = Path(__file__).parents[2]
IMAGES = (IMAGE, "redis:7-alpine", "python:3.13-alpine")
PYTHON = IMAGES[2]
PROJECT = "quayside"
FULL = os.environ.get("QUAYSIDE_FULL") == "1"
takes_minutes = pytest.mark.skipif(not FULL, reason="takes minutes: set QUAYSIDE_FULL=1")


class UnavailableError(Exception):
    """This machine cannot run the stacks; the message says why."""


def prepare() -> None:
    """Raise UnavailableError unless a Docker engine answers and the images are there or can be had."""
    if shutil.which("docker") is None:
        raise UnavailableError("there is no docker on PATH")
    done = subprocess.run(["docker", "info", "-f", "{{.ServerVersion}}"], capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise UnavailableError(f"no Docker engine answers: {done.stderr.strip()}")
    try:
        images.ensure(IMAGES, ROOT / ".quayside" / "images", print)
    except CommandError as error:
        raise UnavailableError(f"the images cannot be had: {error}") from error


def docker(*arguments: str) -> str:
    """Run the docker CLI; its standard output."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))  # as Docker publishes: a port whose old connections linger on any address is taken
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Run:
    """One deployment as a user sees it."""

    code: int
    output: str
    seconds: float


def rehearsal(stack: str, root: Path, environment: Mapping[str, str], *options: str) -> subprocess.Popen[str]:
    """Begin to deploy a project's stack, as leader of a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "rehearsal", stack, *(options or ("--apply",))],
        cwd=root,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], within: float = 240) -> Run:
    began = time.monotonic()
    try:
        output, _ = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(f"not done within {within} s:\n{process.communicate()[0]}") from None
    return Run(process.returncode, output, time.monotonic() - began)


@contextlib.contextmanager
def agent_with(identity: Path) -> Iterator[dict[str, str]]:
    """The environment of an ssh-agent that holds a person's own key, which lets the stack's key in the first time."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("there is no ssh-agent")
    said = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    agent = dict(part.strip().split("=", 1) for part in said.split(";") if "=" in part)
    try:
        subprocess.run(["ssh-add", "-q", str(identity)], env={**os.environ, **agent}, check=True)
        yield agent
    finally:
        subprocess.run(["ssh-agent", "-k"], env={**os.environ, **agent}, capture_output=True, check=False)


class Stack:
    """A project folder with one stack, deployed by ``python -m rehearsal`` in a process that can really be killed."""

    def __init__(self, root: Path, services: Mapping[str, Any], *, name: str | None = None) -> None:
        self.root = root
        self.name = name or f"t{secrets.token_hex(3)}"
        self.port = free_port()
        self.edge_extra: list[str] = []
        self.edge_image = IMAGE
        self.edge_memory = "256MiB"
        self.services: dict[str, Any] = json.loads(json.dumps(services))
        self.key = f"{PROJECT}/{self.name}"
        self.prefix = f"{PROJECT}_{self.name}_"
        self.edge = f"{self.prefix}edge"
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"}
        (root / "shop").mkdir(parents=True)
        for source in (ROOT / "examples" / "shop").glob("*.py"):
            shutil.copy(source, root / "shop")
        shutil.copy(Path(__file__).parent / "probe.py", root / "shop")
        for file in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(ROOT / file, root)
        self.file = root / f"Pulumi.{self.name}.yaml"
        self.write()

    def write(self) -> None:
        (self.root / "services.yaml").write_text(yaml.safe_dump({"services": self.services}))
        kept: dict[str, Any] = yaml.safe_load(self.file.read_text()) if self.file.exists() else {"config": {}}
        kept["config"] |= {
            "quayside:cloud": "local",
            "quayside:domain": "localhost",
            "quayside:edge": {
                "image": self.edge_image,
                "http": self.port,
                "address": "127.0.0.1",
                "extra": self.edge_extra,
                "memory": self.edge_memory,
            },
        }
        self.file.write_text(yaml.safe_dump(kept, sort_keys=False))

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Begin to deploy what ``services`` now says."""
        self.write()
        return rehearsal(self.name, self.root, self.environment, *options)

    def run(self, *options: str) -> Run:
        return ended(self.start(*options))

    def up(self) -> Run:
        """Deploy; it has to succeed and to leave exactly the declared containers."""
        done = self.run()
        assert done.code == 0, done.output
        self.check()
        return done

    def refused(self) -> Run:
        """Deploy; it has to fail, and as a user wants to be told: no traceback, exit code 1."""
        done = self.run()
        assert done.code == 1, done.output
        assert "Traceback" not in done.output, done.output
        return done

    def check(self) -> None:
        """Assert that what runs is what is declared: no container, network or volume too many or too few."""
        declared = Counter({("edge", ""): 1})
        networks, volumes = {f"0-{self.prefix[:-1]}"}, Counter({"edge": 1})
        for name, service in self.services.items():
            networks.add(f"{self.prefix}{name}")
            for number in range(1, int(service.get("replicas", 1)) + 1):
                declared[name, f"{name}-{number}"] += 1
            if "canary" in service:
                declared[name, f"{name}-canary1"] += 1
            volumes[name] += "volume" in service
            if "files" in service:
                # A canary of the same image shares its service's files.
                declared[name, "files"] += 1
                volumes[name] += len({str(Path(path).parent) for path in service["files"]})
        found: Counter[tuple[str, str]] = Counter()
        for container in self.containers():
            labels = container["Config"]["Labels"]
            files = labels["dev.quayside.role"] == "files"
            found[labels["dev.quayside.service"], "files" if files else labels.get("dev.quayside.slot", "")] += 1
            assert files or container["State"]["Running"], f"{container['Name']}: {container['State']}"
        assert found == declared
        assert set(self._listed("network", "{{.Name}}")) == networks
        assert Counter(self._listed("volume", '{{.Label "dev.quayside.service"}}')) == +volumes

    def containers(self, service: str | None = None) -> list[dict[str, Any]]:
        ids = self._listed("ps", "{{.ID}}", "-a", "--no-trunc")
        found: list[dict[str, Any]] = json.loads(docker("inspect", *ids)) if ids else []
        return [c for c in found if service in (None, c["Config"]["Labels"].get("dev.quayside.service"))]

    def replicas(self, service: str) -> dict[str, dict[str, Any]]:
        """Slot → container, of those that run."""
        return {
            c["Config"]["Labels"]["dev.quayside.slot"]: c
            for c in self.containers(service)
            if c["State"]["Running"] and "dev.quayside.slot" in c["Config"]["Labels"]
        }

    def slot_of(self, instance: str) -> str:
        """The slot of the container that calls itself ``instance``."""
        slots = {c["Config"]["Hostname"]: slot for slot, c in self.replicas("web").items()}
        return slots[instance]

    def _listed(self, what: str, form: str, *options: str) -> list[str]:
        command = [what] if what == "ps" else [what, "ls"]
        return docker(*command, *options, "-f", f"label=dev.quayside.stack={self.key}", "--format", form).split()

    def get(self, service: str = "shop", path: str = "/", **headers: str) -> dict[str, Any]:
        """GET from outside, through the edge, on a connection of its own. Status and headers are in the answer."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            headers={"Host": f"{service}.localhost", **{k.replace("_", "-"): v for k, v in headers.items()}},
        )
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return {"headers": answer.headers, **json.loads(answer.read())}
        except urllib.error.HTTPError as error:
            return {"status": error.code}

    def ask_edge(self, command: str) -> str:
        """Ask the edge's admin socket."""
        return docker("exec", self.edge, "sh", "-c", f"echo '{command}' | nc 127.0.0.1 9902")

    def log_lines(self) -> list[str]:
        return [re.sub(r"\s+", " ", line) for line in docker("logs", "--tail", "50", self.edge).splitlines()]

    def remove(self) -> None:
        """Destroy the stack and assert that nothing of it is left, whatever the tests did to it."""
        problem = ""
        try:
            self.write()
            destroy(self.name, self.root, volumes=True, progress=lambda _event: None)
        except ApplyError as error:
            problem = str(error)
        left = {
            what: found
            for what, form, options in (
                ("ps", "{{.ID}}", ["-a"]),
                ("network", "{{.Name}}", []),
                ("volume", "{{.Name}}", []),
            )
            if (found := self._listed(what, form, *options))
        }
        for what, command in (("ps", "rm -f -v"), ("network", "network rm"), ("volume", "volume rm -f")):
            if left.get(what):
                docker(*command.split(), *left[what])
        assert not problem, problem
        assert not left, f"destroy left {left}"


def files(*names: str) -> dict[str, str]:
    return {f"/app/{name}": f"shop/{name}" for name in names}


def web(**more: Any) -> dict[str, Any]:
    """The shop's front page as a service."""
    return {
        "image": PYTHON,
        "command": ["python3", "-u", "/app/web.py"],
        "user": "nobody",
        "port": 8000,
        "memory": "64MiB",
        "health": {"path": "/healthz", "grace": "30s"},
        "drain": "10s",
        "files": files("web.py", "serving.py"),
        **more,
    }


def probe(**more: Any) -> dict[str, Any]:
    """A service that tells what it sees (probe.py)."""
    return {
        "image": PYTHON,
        "command": ["python3", "-u", "/app/probe.py"],
        "user": "nobody",
        "port": 8000,
        "memory": "64MiB",
        "files": files("probe.py"),
        **more,
    }


def redis(**more: Any) -> dict[str, Any]:
    """A Redis that keeps nothing."""
    return {
        "image": IMAGES[1],
        "command": ["sh", "-c", 'exec redis-server --save ""'],
        "user": "redis",
        "port": 6379,
        "protocol": "tcp",
        "memory": "64MiB",
        **more,
    }


def session(**more: Any) -> dict[str, Any]:
    """A Redis with its data on a volume."""
    kept = redis(command=["redis-server", "--dir", "/data"], volume="/data")
    return {**kept, "health": {"command": ["redis-cli", "ping"], "interval": "1s"}, **more}


def shop() -> dict[str, Any]:
    """The shop with two onlookers: ``friend`` may reach what it declares, ``stranger`` declares nothing."""
    return {
        "web": web(routes=["shop.{domain}"], replicas=2, sticky="1h", env={"VERSION": "1"}),
        "chat": web(env={"VERSION": "chat"}),
        "cart": web(
            command=["python3", "-u", "/app/cart.py"],
            files=files("cart.py", "serving.py", "redis_client.py"),
            uses=["session"],
            after=["session"],
            env={"REDIS": "${session.address}"},
        ),
        "session": session(),
        "friend": probe(
            uses=["session", "cart"],
            after=["session"],
            env={"REDIS": "${session.address}"},
            secrets={"TOKEN": "token"},
        ),
        "stranger": probe(),
    }
