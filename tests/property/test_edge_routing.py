"""The edge's configuration in a real HAProxy sends every request where ``planning.routes.find`` says."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from planning import Plan, plan
from planning.edge import EdgeConfig, render
from planning.routes import find
from settings.stack import Stack
from tests.edge_shell import write_config
from tests.property.test_planning_properties import hosts, paths, plans

haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not on PATH")
NO_ROUTE = "no route"
# Each example starts a process, so a failure is shown as it was found.
BOUNDED = settings(
    max_examples=12,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
CHECKED = settings(BOUNDED, max_examples=60)


def configuration(planned: Plan) -> str:
    containers = {s.name: f"{s.name}-1a2b3c4" for service in planned.services.values() for s in service.slots}
    return render(planned, EdgeConfig(public_port=80), containers, {})


class _Answer(BaseHTTPRequestHandler):
    """Answers the name of the service it stands for."""

    protocol_version = "HTTP/1.1"
    server: _Service

    def do_GET(self) -> None:
        body = self.server.service.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class _Service(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, service: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.service = service
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class Services:
    """A tiny server for every service name that comes up, shared by all examples."""

    def __init__(self) -> None:
        self._running: dict[str, _Service] = {}

    def port(self, service: str) -> int:
        if service not in self._running:
            self._running[service] = _Service(service)
        return self._running[service].server_port

    def stop(self) -> None:
        for server in self._running.values():
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="module")
def servers() -> Iterator[Services]:
    made = Services()
    yield made
    made.stop()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def on_loopback(text: str, servers: Services) -> tuple[str, int]:
    """The configuration with its own ports and servers moved to free ports of loopback; and the public one."""
    binds = re.findall(r"^    bind (?:127\.0\.0\.1)?:[0-9]+$", text, re.M)
    *ports, stats = free_ports(len(binds) + 1)
    public = 0
    for bind, port in zip(binds, ports, strict=True):
        text = text.replace(f"{bind}\n", f"    bind 127.0.0.1:{port}\n", 1)
        if bind == "    bind :10080":
            public = port
    text = re.sub(r"ipv4@127\.0\.0\.1:[0-9]+", f"ipv4@127.0.0.1:{stats}", text)
    lines: list[str] = []
    backend = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["backend"]:
            backend = words[1].removeprefix("svc_")
        if words[:1] == ["server"]:
            line = line.replace(words[2], f"127.0.0.1:{servers.port(backend)}")
        lines.append(line)
    assert public
    return "\n".join([*lines, ""]), public


@contextlib.contextmanager
def running(text: str, port: int, folder: Path) -> Iterator[None]:
    file = folder / "haproxy.cfg"
    write_config(file, text)
    with (
        (folder / "log").open("w+") as log,
        subprocess.Popen(["haproxy", "-db", "-f", str(file)], stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                log.seek(0)
                assert process.poll() is None, log.read()
                time.sleep(0.02)
            yield
        finally:
            process.kill()


def asked(port: int, host: str, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        body = answer.read().decode()
    finally:
        connection.close()
    # HAProxy 3.2 takes no host with a slash: 400.
    if answer.status in (400, 404):
        return NO_ROUTE
    assert answer.status in (200, 503), (answer.status, body)
    return body if answer.status == 200 else "no server"


def expected(planned: Plan, host: str, path: str) -> str:
    found = find(planned.routes, host.partition(":")[0].lower(), path.partition("?")[0])
    if found is None:
        return NO_ROUTE
    return found.service if planned.services[found.service].slots else "no server"


written_hosts = st.builds(
    lambda host, upper, port: (host.upper() if upper else host) + port,
    hosts,
    st.booleans(),
    st.sampled_from(["", ":80", ":8080"]),
)
written_paths = st.builds(str.__add__, paths, st.sampled_from(["", "?q=/a/b"]))


@haproxy
@BOUNDED
@given(
    planned=plans().filter(lambda planned: len(planned.routes) > 2),
    requests=st.lists(st.tuples(written_hosts, written_paths), min_size=40, max_size=40),
)
def test_haproxy_routes_as_planned(
    planned: Plan, requests: list[tuple[str, str]], servers: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text, port = on_loopback(configuration(planned), servers)
    with running(text, port, tmp_path_factory.mktemp("haproxy")):
        for host, path in requests:
            assert asked(port, host, path) == expected(planned, host, path), (host, path)


@haproxy
def test_a_host_is_not_the_beginning_of_a_path(servers: Services, tmp_path: Path) -> None:
    web = {"image": "web", "port": 8000, "routes": ("a.test", "*.b.test", "c.test/in")}
    values = {"project": "p", "name": "s", "cloud": "local", "domain": "test", "services": {"web": web}}
    text, port = on_loopback(configuration(plan(Stack.model_validate(values), {})), servers)
    with running(text, port, tmp_path):
        for host, path, answer in (
            ("c.test", "/in/x", "web"),
            ("c.test", "/inner", NO_ROUTE),
            ("c.test/in", "/x", NO_ROUTE),
            ("c.test/in/x", "/", NO_ROUTE),
            ("a.test/", "/", NO_ROUTE),
            ("*.b.test", "/", "web"),
            ("x.y.b.test", "/", "web"),
            ("b.test", "/", NO_ROUTE),
            (".b.test", "/", NO_ROUTE),
            ("a.test.", "/", NO_ROUTE),
            ("*", "/", NO_ROUTE),
            ("", "/", NO_ROUTE),
        ):
            assert asked(port, host, path) == answer, (host, path)


@haproxy
@CHECKED
@given(planned=plans())
def test_haproxy_accepts_every_configuration(
    planned: Plan, servers: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Loopback addresses for servers: names of containers are resolved by Docker alone.
    text, _ = on_loopback(configuration(planned), servers)
    file = tmp_path_factory.mktemp("check") / "haproxy.cfg"
    write_config(file, text)
    done = subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stderr, done.stderr
