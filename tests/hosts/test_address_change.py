"""A container that comes back at another address while the edge runs: it is served again within three seconds.

Docker gives a container that starts again the lowest free address of its network, which after a release is often not
the one that it had.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.fleet import Fleet, Host
from tests.hosts.shop import FULL, PYTHON, Stack, UnavailableError, docker, probe, session

pytestmark = pytest.mark.docker

SECONDS = 3.0 if FULL else 8.0
"""What is promised; other tests may have the machine when not everything is run."""
APP = """
import http.server, json, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash": os._exit(1)
        if self.path == "/eat": bytearray(1 << 30)
        body = json.dumps({"version": "1"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments): pass

http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


ASK = "curl --noproxy '*' -s -m 2 -o /dev/null -w '%{http_code}' -H 'Host: web.localhost' http://127.0.0.1:"


def services() -> dict[str, Any]:
    web = {"image": PYTHON, "command": ["python3", "-u", "-c", APP], "user": "nobody", "port": 8000, "memory": "64MiB"}
    return {
        "web": web,
        "session": session(),
        "friend": probe(uses=["web", "session"]),
    }


def container_of(stack: Stack, service: str) -> str:
    (container,) = stack.containers(service)
    return str(container["Id"])


def address_of(stack: Stack, service: str) -> str:
    (container,) = stack.containers(service)
    return str(container["NetworkSettings"]["Networks"][f"{stack.prefix}{service}"]["IPAddress"])


def until(what: str, true: Callable[[], bool], seconds: float) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - began


def displaced(container: str, network: str) -> None:
    """Restart a container at another address than the lowest that is free, which it gets at its next start."""
    docker("kill", container)
    # While it is stopped, somebody else has its address.
    other = docker("run", "-d", "--rm", "--init", "--network", network, PYTHON, "sleep", "60")
    docker("start", container)
    docker("rm", "-f", other)


def moved(stack: Stack, service: str, lose: Callable[[str], object], serves: Callable[[], bool]) -> float:
    """Seconds until a service's replica is served that came back at another address."""
    container = container_of(stack, service)
    displaced(container, f"{stack.prefix}{service}")
    until("it serves at the first address", serves, 20)
    before = address_of(stack, service)
    lose(container)
    until("it runs at another address", lambda: address_of(stack, service) not in ("", before), 20)
    return until("it is served at another address", serves, SECONDS)


WAYS: dict[str, tuple[str, Callable[[Stack, str], object]]] = {
    "crash": ("web", lambda stack, _: stack.get("web", "/crash")),
    "out of memory": ("web", lambda stack, _: stack.get("web", "/eat")),
    "docker kill and start": ("web", lambda _, container: docker("kill", container) and docker("start", container)),
    "docker restart": ("web", lambda _, container: docker("restart", "-t", "1", container)),
    "docker restart of a service with a volume": (
        "session",
        lambda _, container: docker("restart", "-t", "1", container),
    ),
}


@pytest.fixture(scope="module")
def one(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("moved") / "project", services())
    try:
        stack.up()
        yield stack
    finally:
        stack.remove()


@pytest.mark.parametrize("way", WAYS)
def test_a_replica_that_comes_back_at_another_address_is_served(one: Stack, way: str) -> None:
    service, lose = WAYS[way]
    serves = {
        "web": lambda: one.get("web").get("version") == "1",
        "session": lambda: "+PONG" in one.get("friend", "/tcp?host=session&port=6379")["answer"],
    }[service]
    print(f"{way}: served after {moved(one, service, lambda container: lose(one, container), serves):.1f} s")


def restart_daemon(host: Host) -> None:
    """As an upgrade of Docker does, without live-restore: it ends every container, and starts it again."""
    host.inside("sh", "-c", "kill $(cat /run/docker.pid); while [ -e /run/docker.pid ]; do sleep 0.1; done")
    host.inside("sh", "-c", "setsid dockerd --config-file /etc/docker/daemon.json </dev/null >/dev/null 2>&1 &")
    host.wait()


@pytest.fixture(scope="module")
def machine(engine: None) -> Iterator[Host]:
    try:
        fleet = Fleet.start(["host1"])
    except UnavailableError as why:
        pytest.skip(str(why))
    with fleet:
        yield fleet["host1"]


def test_every_service_is_served_after_the_daemon_or_the_host_restarts(
    machine: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", machine.socket)
    stack = Stack(tmp_path / "project", {"web": services()["web"]})

    def serves() -> bool:
        return machine.inside("sh", "-c", f"{ASK}{stack.port}/ || true") == "200"

    try:
        stack.up()
        for way, restart in (("daemon", restart_daemon), ("host", Host.restart)):
            displaced(container_of(stack, "web"), f"{stack.prefix}web")
            until("it serves at the first address", serves, 20)
            before = address_of(stack, "web")
            restart(machine)
            until("it runs at another address", lambda: address_of(stack, "web") not in ("", before), 20)  # noqa: B023
            print(f"restart of the {way}: served after {until('it is served', serves, SECONDS):.1f} s")
    finally:
        stack.remove()
