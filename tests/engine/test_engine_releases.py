"""Releases under load by the real Pulumi CLI: ten in a row, killed deployments, replicas that get another address.

``QUAYSIDE_FULL=1`` runs what the acceptance criteria count (200,000 requests, 20 kills); without it, one round of each.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hosts.load import Running
from tests.hosts.shop import FULL, Run, Stack, UnavailableError, docker, ended, prepare, probe, shop

pytestmark = [pytest.mark.engine, pytest.mark.slow]

HOST = "shop.localhost"
PASSPHRASE = "correct horse"
REQUESTS = 200_000 if FULL else 1
KILLS = 20 if FULL else 2
WITHIN = 3.0
"""Seconds after which a replica that came back at another address has to be served."""


class EngineStack(Stack):
    """A stack of the shop that ``pulumi up`` deploys."""

    def __init__(self, root: Path, services: Mapping[str, Any]) -> None:
        super().__init__(root, services)
        backend = root / ".state"
        backend.mkdir()
        self.environment |= {
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "NO_COLOR": "1",
        }
        project = root / "Pulumi.yaml"
        document = yaml.safe_load(project.read_text())
        document["runtime"] = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
        project.write_text(yaml.safe_dump(document))
        self.pulumi("stack", "init", self.name)
        self.pulumi("config", "set", "--secret", "--path", "quayside:secrets.token", "a-token", "--stack", self.name)

    def pulumi(self, *arguments: str) -> None:
        command = ["pulumi", *arguments, "--non-interactive"]
        subprocess.run(command, cwd=self.root, env=self.environment, check=True, capture_output=True, timeout=300)

    def start(self, *options: str) -> subprocess.Popen[str]:
        self.write()
        return subprocess.Popen(
            ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", self.name, *options],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def refused(self) -> Run:
        """Deploy; it has to fail. The engine interrupts the program then, so its traceback may be in the output."""
        done = self.run()
        assert done.code != 0, done.output
        return done

    def finish(self) -> Run:
        """`quayside up`, which also removes what a killed `pulumi` has never written down."""
        self.write()
        command = [sys.executable, "-m", "quayside", "up", "--stack", self.name]
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        done = ended(process)
        assert done.code == 0, done.output
        self.check()
        return done

    def remove(self) -> None:
        self.pulumi("cancel", "--yes", "--stack", self.name)
        self.pulumi("state", "unprotect", "--all", "--yes", "--stack", self.name)
        self.pulumi("destroy", "--yes", "--skip-preview", "--stack", self.name)
        assert self.containers() == []


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineStack]:
    """The shop by the real engine. Each test leaves it healthy and at some version."""
    if shutil.which("pulumi") is None:
        pytest.skip("the Pulumi CLI is not on PATH")
    try:
        prepare()
    except UnavailableError as why:
        pytest.skip(str(why))
    stack = EngineStack(tmp_path_factory.mktemp("engine") / "project", shop())
    try:
        stack.up()
        yield stack
    finally:
        stack.remove()


def release(stack: Stack, version: str) -> None:
    stack.services["web"]["env"]["VERSION"] = version
    stack.up()
    assert stack.get()["version"] == version


def refused(stack: Stack, serving: str) -> None:
    """A release that never becomes healthy; the version before it serves on."""
    web = stack.services["web"]
    web["env"] |= {"VERSION": "bad", "FAIL": "1"}
    web["health"]["grace"] = "8s"
    assert 'release of "web" stopped' in stack.refused().output
    assert stack.get()["version"] == serving
    del web["env"]["FAIL"]
    web["health"]["grace"] = "30s"


def test_ten_releases_drop_nothing(stack: EngineStack) -> None:
    requests = rounds = 0
    release(stack, "1")
    while requests < REQUESTS:
        rounds += 1
        with Running(stack.port, HOST) as load:
            release(stack, "2")
            stack.services["aaa"] = probe()
            release(stack, "3")
            refused(stack, serving="3")
            release(stack, "4")
            stack.services["zzz"] = probe(routes=["zzz.{domain}", "shop.{domain}/zzz"])
            release(stack, "5")
            del stack.services["aaa"]
            release(stack, "6")
            refused(stack, serving="6")
            del stack.services["zzz"]
            release(stack, "7")
            release(stack, "8")
        print(f"round {rounds}: {load.report}")
        assert load.report.failed == 0, str(load.report)
        requests += load.report.requests
        assert load.report.requests > 1000, str(load.report)


def test_a_killed_up_is_finished_by_the_next(stack: EngineStack) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    with Running(stack.port, HOST) as load:
        for number in range(KILLS):
            stack.services["web"]["env"]["VERSION"] = f"k{number}"
            if number % 2:
                stack.services["aaa"] = probe(uses=["cart"])
            else:
                stack.services.pop("aaa", None)
            process = stack.start()
            time.sleep(moments.uniform(1, 20))
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=30)
            stack.pulumi("cancel", "--yes", "--stack", stack.name)
            stack.finish()
            assert stack.get()["version"] == f"k{number}"
        stack.services.pop("aaa", None)
        stack.up()
    print(load.report)
    assert load.report.failed == 0, f"seed {seed}: {load.report}"


def _kill(container: str) -> None:
    """As a crash: the process ends by itself and Docker starts the container again."""
    pid = docker("inspect", "-f", "{{.State.Pid}}", container)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for process in children or [pid]:  # its init has it as child
        os.kill(int(process), signal.SIGKILL)


def _start_again(container: str) -> None:
    docker("stop", "-t", "1", container)
    docker("start", container)


WAYS: dict[str, Callable[[str], object]] = {
    "crash": _kill,
    "docker restart": lambda container: docker("restart", "-t", "1", container),
    "docker stop and start": _start_again,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_replica_that_comes_back_at_another_address_is_served(stack: EngineStack, way: str) -> None:
    web = stack.services["web"]
    web["replicas"] = 1
    for number in range(3):
        release(stack, f"{way} {number}")
    container = stack.replicas("web")["web-1"]
    before = _address(container["Id"])
    WAYS[way](container["Id"])
    began = time.monotonic()
    while _status(stack) != 200 or time.monotonic() - began < 0.5:
        assert time.monotonic() - began < 30, f"not served after {way}"
        time.sleep(0.05)
    print(f"{way}: {before} → {_address(container['Id'])}, served after {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < WITHIN + 1  # the application's own start
    for _ in range(20):
        assert _status(stack) == 200
    # What Docker did by itself is no change for the engine, and the next release goes on from it.
    stack.pulumi("refresh", "--yes", "--skip-preview", "--stack", stack.name)
    stack.up()
    assert stack.replicas("web")["web-1"]["Id"] == container["Id"]


def _status(stack: Stack) -> int:
    try:
        return int(stack.get().get("status", 200))
    except OSError:
        return 0


def _address(container: str) -> str:
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    return docker("inspect", "-f", form, container)
