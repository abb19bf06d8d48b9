"""A deployed fleet from the outside: what a scan finds, who reaches whom, what the wire shows; status, logs and exec.

Platform hetzner on three servers that are there already, prepared as for real, packet filter and all. Only packages are
not installed, since there is no way from these hosts to a mirror.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from planning.hosts.certificates import LEAF_HOURS
from planning.hosts.gateway import FILES
from planning.hosts.packetfilter import NO_METADATA
from planning.hosts.plan import MESH_PORT
from tests.hosts.fleet import Fleet, Host
from tests.hosts.fleet_remains import run, until
from tests.hosts.prepared import Prepared
from tests.hosts.shop import PYTHON, ROOT, agent_with
from tests.hosts.test_platform import NAMES
from tests.hosts.wire import PINGS, by_certificate, in_namespace
from tests.mesh import Authority

pytestmark = pytest.mark.docker

MARKER = "plainly-to-be-read"
BY_HAND, PUBLISHED, REDIS = 9999, 9998, 6379
TICK = "import itertools, time\nfor n in itertools.count():\n    print('tick', n)\n    time.sleep(0.5)"


class Outside(Prepared):
    """The project, and what a person does with it from a machine beside the fleet."""

    def __init__(self, root: Path, fleet: Fleet, agent: dict[str, str]) -> None:
        super().__init__(root, fleet, agent)
        self.services["session"]["ports"] = [{"port": REDIS, "sources": [f"{self.office}/32"]}]
        self.services["session"]["place"] = "host3"
        # It declares nothing, and is on every host.
        self.services["ticker"] = {
            "image": PYTHON,
            "command": ["python3", "-u", "-c", TICK],
            "user": "nobody",
            "memory": "64MiB",
            "replicas": 3,
            "health": {"grace": "2s"},  # less than a worker has to settle
        }

    @property
    def office(self) -> str:
        """An address on the outside that the plan names, beside this machine's own."""
        return str(self.fleet.network[200])

    def quayside(self, *arguments: str, root: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "quayside", *arguments, "--stack", "t"]
            if "--" not in arguments
            else [sys.executable, "-m", "quayside", arguments[0], "--stack", "t", *arguments[1:]],
            cwd=root or self.root,
            env={**self.environment, "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def container(self, host: str, service: str) -> str:
        ids = self.fleet[host].docker("ps", "-q", "-f", f"label=dev.quayside.service={service}").split()
        assert len(ids) == 1, (host, service, ids)
        return ids[0]

    def in_edge(self, host: str, command: str) -> str:
        return self.fleet[host].docker("exec", self.container(host, "edge"), "sh", "-c", command)


def listening(host: Host) -> list[int]:
    """Every TCP port that anything on a host listens on: no other could answer a scan."""
    return sorted({int(line.split()[3].rpartition(":")[2]) for line in host.inside("ss", "-Hltn").splitlines()})


@pytest.fixture(scope="module")
def outside(engine: None, fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """Deployed once; each test leaves it as it was."""
    root = tmp_path_factory.mktemp("outside")
    with agent_with(fleet.identity) as agent:
        made = Outside(root, fleet, agent)
        run("ip", "addr", "add", f"{made.office}/24", "dev", fleet.id)
        open_before(fleet)
        began = time.monotonic()
        done = made.up()
        assert done.code == 0, done.output
        print(f"first deployment: {time.monotonic() - began:.1f} s")
        yield made


def open_before(fleet: Fleet) -> None:
    """What others run there, reached from everywhere as long as nobody filters."""
    host = fleet["host1"]
    host.ssh(f"setsid python3 -m http.server {BY_HAND} --directory /var/empty >/dev/null 2>&1 </dev/null &")
    host.docker("run", "-d", "--name", "by-hand", "-p", f"0.0.0.0:{PUBLISHED}:8000", PYTHON,
                "python3", "-m", "http.server", "8000")  # fmt: skip
    wanted = [PUBLISHED, BY_HAND]
    end = time.monotonic() + 15
    while fleet.scan(host.address, wanted) != wanted:
        assert time.monotonic() < end, fleet.scan(host.address, wanted)
        time.sleep(0.1)
    assert fleet.scan(host.address, wanted, origin=fleet["host2"]) == wanted


# --- walls -----------------------------------------------------------------------------------------------------------


def test_a_scan_from_outside_finds_only_what_the_plan_opens(outside: Outside) -> None:
    fleet = outside.fleet
    for name in NAMES:
        host = fleet[name]
        ports = sorted({*listening(host), BY_HAND, PUBLISHED, REDIS})
        assert {22, 80, MESH_PORT} <= set(listening(host))
        assert fleet.scan(host.address, ports, timeout=2) == [22, 80], name
    assert {BY_HAND, PUBLISHED} <= set(listening(fleet["host1"])), "still there, and nobody sees it"


def test_hosts_find_each_others_edges_and_nothing_else(outside: Outside) -> None:
    fleet = outside.fleet
    for origin in NAMES:
        for target in NAMES:
            if origin != target:
                ports = sorted({*listening(fleet[target]), BY_HAND, PUBLISHED, REDIS})
                found = fleet.scan(fleet[target].address, ports, origin=fleet[origin], timeout=2)
                # Admins come from 10.0.0.0/8 here, which the hosts are in, too.
                assert found == [22, 80, MESH_PORT], (origin, target)


def test_a_port_is_open_to_the_range_it_names_and_to_nobody_else(outside: Outside) -> None:
    address = outside.fleet["host3"].address
    with socket.create_connection((address, REDIS), 3, source_address=(outside.office, 0)) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(64) == b"+PONG\r\n"
    assert outside.fleet.scan(address, [REDIS]) == []
    assert outside.fleet.scan(address, [REDIS], origin=outside.fleet["host1"]) == []


def test_who_does_not_declare_redis_reaches_it_from_no_host(outside: Outside) -> None:
    """Not by its name, its container, its network's gateway, any edge, nor the port that its host publishes."""
    fleet = outside.fleet
    redis = outside.container("host3", "session")
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}} {{end}}"
    at = {"session", redis, *fleet["host3"].docker("inspect", "-f", form, redis).split()}
    for name in NAMES:
        at.add(fleet[name].address)
        edge = fleet[name].docker("inspect", "-f", form, outside.container(name, "edge")).split()
        at |= set(edge)
    tried = [f"{one}:{REDIS}" for one in sorted(at)]
    uses = fleet["host2"].docker("exec", outside.container("host2", "api"), "python3", "-c", PINGS, f"session:{REDIS}")
    assert "PONG" in uses, "who declares it reaches it"
    strangers = [(name, outside.container(name, "ticker")) for name in NAMES]
    strangers += [
        (name, one)
        for name in NAMES
        for one in fleet[name].docker("ps", "-q", "-f", "label=dev.quayside.service=web").split()
    ]
    assert len(strangers) == 5
    for name, stranger in strangers:
        said = fleet[name].docker("exec", stranger, "python3", "-c", PINGS, *tried)
        assert len(said.splitlines()) == len(tried), said
        assert "PONG" not in said, (name, said)


def test_an_edge_with_a_certificate_of_another_authority_is_refused(outside: Outside, tmp_path: Path) -> None:
    """Asked from host1, since the filter lets nobody else near it."""
    target = outside.fleet["host2"]
    own = outside.in_edge("host1", f"cat {FILES}/host_host1_*.pem")

    def asked(certificate: bytes | str | None) -> str:
        return by_certificate((target.address, MESH_PORT), certificate, server="api.host2.quayside", host="api")

    def from_host1(certificate: bytes | str | None) -> str:
        return in_namespace(outside.fleet["host1"].namespace, lambda: asked(certificate))

    assert "200 OK" in from_host1(own)
    assert "unknown ca" in from_host1(Authority().certificate("host1"))
    assert "certificate required" in from_host1(None)


def test_nothing_between_hosts_can_be_read_on_the_wire(outside: Outside) -> None:
    fleet = outside.fleet
    ask = ["curl", "-s", "-H", "Host: web.example.test", "-d", MARKER, f"http://{fleet['host1'].address}/via"]
    with fleet.capture() as seen:
        assert json.loads(run(*ask))["api"]["sent"] == MARKER
    assert seen.find(MARKER.encode()), "a visitor's own plain request is seen, so that the capture proves something"
    visitors = {fleet.outside}
    assert all(visitors & {flow.source, flow.target} for flow in seen.find(MARKER.encode()))
    with fleet.capture() as wire:
        for _ in range(6):
            assert json.loads(fleet["host1"].inside(*ask))["api"]["sent"] == MARKER
        api = outside.container("host2", "api")
        said = fleet["host2"].docker("exec", api, "python3", "-c", PINGS, f"session:{REDIS}")
        assert "PONG" in said
    mesh = {flow.target for flow in wire.flows if flow.target_port == MESH_PORT}
    assert {fleet["host2"].address, fleet["host3"].address} <= mesh, "both of them did cross"
    for plain in (MARKER.encode(), b"HTTP/1.1", b"PING", b"PONG"):
        assert wire.find(plain) == []


def test_the_metadata_address_is_closed_to_what_shares_the_host_s_network(outside: Outside) -> None:
    host, asked = outside.fleet["host1"], "http://169.254.169.254:8099/"
    ask = f"import urllib.request as u; print(u.urlopen('{asked}', timeout=3).status)"
    host.inside("ip", "addr", "add", "169.254.169.254/32", "dev", "lo")
    serve = "nohup python3 -m http.server 8099 --bind 169.254.169.254 >/dev/null 2>&1 & echo $!"
    server = host.inside("sh", "-c", serve)
    try:
        until("the metadata", lambda: host.inside("sh", "-c", f'python3 -c "{ask}" 2>/dev/null || true') == "200", 20)
        for user in ("0", "1000"):
            words = ("run", "--rm", "--network", "host", "--cap-drop", "ALL", "--user", user)
            group = ("--group-add", str(NO_METADATA))
            with pytest.raises(AssertionError, match=r"Connection refused|timed out"):
                host.docker(*words, *group, PYTHON, "python", "-c", ask)
        # Without the group, by which alone a container's root is known: what the filter would let through.
        assert host.docker("run", "--rm", "--network", "host", PYTHON, "python", "-c", ask) == "200"
    finally:
        host.inside("sh", "-c", f"kill {server}; ip addr del 169.254.169.254/32 dev lo")


# --- status, logs and exec -------------------------------------------------------------------------------------------


def test_status_shows_every_host_with_what_runs_there(outside: Outside) -> None:
    done = outside.quayside("status")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["host", "service", "healthy", "restarts", "memory", "image"]
    found = {(row[0], row[1]): row[2:] for row in rows[1:] if len(row) >= 7 or "/" in "".join(row[2:3])}
    assert found["host2", "api"] == ["1/1", "0", "96", "MiB", PYTHON]
    assert found["host3", "session"] == ["1/1", "0", "64", "MiB", "redis:7-alpine"]
    for name in NAMES:
        assert found[name, "edge"][:2] == ["1/1", "0"]
        assert found[name, "ticker"][:2] == ["1/1", "0"]
    assert "http://web.example.test/" in done.stdout
    assert "down" not in done.stdout
    assert "certificate" not in done.stdout


def test_status_says_what_is_amiss(outside: Outside) -> None:
    api = outside.container("host2", "api")
    outside.fleet["host2"].docker("stop", "-t", "0", api)
    outside.fleet["host3"].docker("exec", outside.container("host3", "ticker"), "kill", "-9", "-1")
    ticker = outside.fleet["host1"].docker("ps", "-q", "-f", "label=dev.quayside.service=ticker")
    try:
        end = time.monotonic() + 20
        # host1 has a web, which uses it; of a service that nobody uses from there, the edge of host3 knows nothing.
        while "host2: api there is down for the edge of host1" not in (said := outside.quayside("status").stdout):
            assert time.monotonic() < end, said
            time.sleep(0.5)
        assert re.search(r"host2 +api +0/1", said), said
        assert "host2: api-1: exited" in said
        assert re.search(r"host3 +ticker +1/1 +1 ", said), said
        refused = outside.quayside("exec", "api", "--", "true")
        assert refused.returncode == 1
        assert "no replica of api is running" in refused.stderr
    finally:
        outside.fleet["host2"].docker("start", api)
    outside.fleet["host1"].docker("rm", "-f", ticker)
    try:
        said = outside.quayside("status").stdout
        assert re.search(r"host1 +ticker +0/1", said), said
        assert re.search(r"host1: ticker-\d should run here, and is not there", said), said
    finally:
        assert outside.up().code == 0
    assert "should run" not in outside.quayside("status").stdout


def test_logs_are_those_of_all_hosts_in_the_order_of_time(outside: Outside) -> None:
    done = outside.quayside("logs", "ticker", "-n", "12")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 12
    assert all(re.fullmatch(r"ticker-\d@host\d \| tick \d+", line) for line in lines), lines
    assert {line.split()[0].partition("@")[2] for line in lines} == set(NAMES)
    refused = outside.quayside("logs", "tikcer")
    assert refused.returncode == 1
    assert "no service tikcer in stack shop/t\n    there are api, edge, session, ticker, web" in refused.stderr


def test_data_is_copied_from_its_host_and_put_back(outside: Outside, tmp_path: Path) -> None:
    def redis(*words: str) -> str:
        return outside.fleet["host3"].docker("exec", outside.container("host3", "session"), "redis-cli", *words)

    redis("SET", "cart", "full")
    redis("SAVE")
    file = tmp_path / "session.tar.gz"
    done = outside.quayside("backup", "session", str(file))
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"session on host3: \d+ files, 0\.\d MiB; held for \d+ s\n", done.stderr), done.stderr
    redis("SET", "cart", "empty")
    before = outside.container("host3", "session")
    done = outside.quayside("restore", "session", str(file), "--yes", "--replace-newer")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "session on host3: 1 files restored; it runs again\n"
    end = time.monotonic() + 10
    while redis("GET", "cart") != "full":
        assert time.monotonic() < end
        time.sleep(0.1)
    assert outside.container("host3", "session") == before
    done = outside.quayside("backup", "session", str(file), "--on", "host1")
    assert done.returncode == 1
    assert done.stderr == "no service session with a volume in stack shop/t\n    there are none on host1\n"


def test_followed_logs_go_on_over_a_restart(outside: Outside) -> None:
    words = [sys.executable, "-m", "quayside", "logs", "ticker", "--stack", "t", "--follow", "-n", "1"]
    with subprocess.Popen(
        words, cwd=outside.root, env=outside.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        lines: list[str] = []

        def read() -> None:
            lines.extend(process.stdout or ())

        reader = threading.Thread(target=read)
        reader.start()
        try:
            until_lines(lines, {f"@{name} " for name in NAMES})
            outside.fleet["host1"].docker("restart", "-t", "0", outside.container("host1", "ticker"))
            seen = len(lines)
            end = time.monotonic() + 15
            while not any("@host1 | tick 1\n" in line for line in lines[seen:]):
                assert time.monotonic() < end, lines
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            # Not the end of its output: it closes that, and is alive for some milliseconds more.
            assert process.wait(40) in (0, 130), "Ctrl-C ends it"
        finally:
            process.kill()
            reader.join()
    of_host2 = [line for line in lines if "@host2" in line]
    assert len(of_host2) == len(set(of_host2)), "no line twice"
    left = run("pgrep", "-f", f"ssh .*-L /tmp/quayside-.*{outside.fleet['host1'].address}", check=False)
    assert left == "", left


def until_lines(lines: Sequence[str], parts: set[str]) -> None:
    end = time.monotonic() + 20
    while not all(any(part in line for line in lines) for part in parts):
        assert time.monotonic() < end, lines
        time.sleep(0.1)


def test_exec_runs_in_the_replica_that_is_meant(outside: Outside) -> None:
    for name in NAMES:
        said = outside.quayside("exec", "ticker", "--on", name, "--", "hostname")
        assert said.stdout.strip() == outside.container(name, "ticker"), said.stderr
    where = outside.quayside("logs", "ticker", "-n", "50").stdout
    slot = next(line.partition("@")[0] for line in where.splitlines() if "@host2" in line)
    said = outside.quayside("exec", "ticker", "--on", slot, "--", "sh", "-c", 'echo "$0 $1"; exit 7', "a b", "$c")
    assert (said.returncode, said.stdout) == (7, "a b $c\n"), said.stderr
    assert outside.quayside("exec", "ticker", "--on", f"{slot}@host2", "--", "true").returncode == 0
    other = outside.quayside("exec", "ticker", "--on", f"{slot}@host1", "--", "true")
    assert other.returncode == 1
    assert f"no replica of ticker is running on {slot}@host1" in other.stderr
    assert "there is no host host9" in outside.quayside("exec", "ticker", "--on", "x@host9", "--", "true").stderr


def test_exec_gives_a_terminal_to_who_has_one(outside: Outside) -> None:
    master, slave = pty.openpty()
    words = [
        sys.executable,
        "-m",
        "quayside",
        "exec",
        "--stack",
        "t",
        "ticker",
        "--",
        "sh",
        "-c",
        "tty; read x; echo got $x",
    ]
    with subprocess.Popen(
        words,
        cwd=outside.root,
        env=outside.environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    ) as process:
        os.close(slave)
        said = b""
        sent = False
        end = time.monotonic() + 20
        while time.monotonic() < end and b"got hello" not in said:
            if select.select([master], [], [], 0.2)[0]:
                with contextlib.suppress(OSError):
                    said += os.read(master, 4096)
            if b"/dev/pts/" in said and not sent:
                os.write(master, b"hello\n")
                sent = True
        assert b"got hello" in said, said
        assert process.wait(10) == 0
    os.close(master)


def test_a_machine_without_the_key_takes_it_from_the_state(outside: Outside, tmp_path: Path) -> None:
    other = tmp_path / "clone"
    shutil.copytree(outside.root, other, ignore=shutil.ignore_patterns("ssh", "*.lock"))
    assert outside.quayside("status", root=other).returncode == 0
    key = other / ".quayside" / "ssh" / "t.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text() == (outside.root / ".quayside" / "ssh" / "t.key").read_text()
    shutil.rmtree(other / ".quayside" / "ssh")
    (other / ".quayside" / "passphrase").unlink()
    said = outside.quayside("status", root=other)
    assert said.returncode == 1
    assert "set PULUMI_CONFIG_PASSPHRASE" in said.stderr
    assert "Traceback" not in said.stderr


def test_the_outputs_of_pulumi_do_as_well(outside: Outside, tmp_path: Path) -> None:
    """The same outputs as `pulumi stack output --json` prints them, its secrets veiled unless they are asked for."""
    other, state = tmp_path / "clone", json.loads((outside.root / ".quayside" / "t.json").read_text())
    shutil.copytree(outside.root, other, ignore=shutil.ignore_patterns(".quayside"))
    outputs = {**state["outputs"], "deploy_key": "[secret]"}
    assert outputs["fleet"]["host1"]["host_key"] == outside.fleet["host1"].host_key
    (tmp_path / "outputs.json").write_text(json.dumps(outputs))
    shutil.copy(outside.root / ".quayside" / "ssh" / "t.key", tmp_path / "secret")
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        f'"stack output --json --stack t") cat {tmp_path}/outputs.json;;\n'
        f'"stack output deploy_key --show-secrets --stack t") cat {tmp_path}/secret;;\n'
        '*) echo "error: $*" >&2; exit 1;;\nesac\n'
    )
    program.chmod(0o755)
    outside.environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    try:
        said = outside.quayside("status", root=other)
    finally:
        outside.environment["PATH"] = os.environ["PATH"]
    assert said.returncode == 0, said.stderr
    assert re.search(r"host3 +session +1/1", said.stdout), said.stdout


def test_certificates_that_end_soon_are_told(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime, timedelta

    from quayside import fleet_status

    text = outside.in_edge("host1", fleet_status._CONFIGURED)  # pyright: ignore[reportPrivateUsage]
    assert "PRIVATE KEY" not in text
    now = datetime.now(UTC)
    assert list(fleet_status.ending(text, now)) == []
    assert list(fleet_status.ending(text, now + timedelta(hours=LEAF_HOURS, days=-91))) == []
    (soon,) = fleet_status.ending(text, now + timedelta(hours=LEAF_HOURS, days=-30))
    assert re.search(r"the certificate of its edge ends on \d{4}-\d\d-\d\d, in \d+ days: any `up` renews it", soon)
    (ended,) = fleet_status.ending(text, now + timedelta(hours=LEAF_HOURS, days=2))
    assert "the certificate of its edge ended on" in ended


def test_a_host_that_is_dead_is_named_and_holds_up_nobody(outside: Outside) -> None:
    """The last test: host2 is cut off, and declared down afterwards."""
    outside.fleet["host2"].kill()
    began = time.monotonic()
    done = outside.quayside("status")
    took = time.monotonic() - began
    print(f"status with a dead host: {took:.1f} s")
    assert done.returncode == 0, done.stderr
    assert re.search(r"host2 +– +unreachable", done.stdout), done.stdout
    assert re.search(r"host2: cannot connect to root@[0-9.]+:22 by ssh", done.stdout), done.stdout
    # Who is shut out is not told that the host is dead, before where it is seen from.
    assert f"this machine's own address is {outside.fleet.outside} (behind NAT" in done.stdout
    assert re.search(r"host3 +session +1/1", done.stdout)
    assert took < 15
    logged = outside.quayside("logs", "ticker", "-n", "20")
    assert {line.split()[0].partition("@")[2] for line in logged.stdout.splitlines()} == {"host1", "host3"}
    assert "host2: cannot connect" in logged.stderr
    refused = outside.quayside("exec", "ticker", "--on", "host2", "--", "true")
    assert refused.returncode == 1
    assert "host2: cannot connect" in refused.stderr
    assert outside.quayside("exec", "ticker", "--", "true").returncode == 0
    config: dict[str, Any] = yaml.safe_load((outside.root / "Pulumi.t.yaml").read_text())
    assert config["config"]["quayside:cloud"] == "hetzner"
    outside.services["api"].pop("place")
    outside.capacity = {"down": ["host2"]}
    assert outside.up().code == 0
    began = time.monotonic()
    said = outside.quayside("status")
    print(f"status beside a host that is declared down: {time.monotonic() - began:.1f} s")
    assert re.search(r"host2 +– +down", said.stdout), said.stdout
    assert "cannot connect" not in said.stdout
    assert str(ROOT) not in said.stdout
