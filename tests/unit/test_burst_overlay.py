"""What a burst lays over a permanent host's configuration, and what the edge makes of both."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planning.hosts.burst import overlay, without_burst
from planning.hosts.edge import HostConfig, render_host
from planning.hosts.fleet import fleet
from planning.hosts.gateway import FILES, Mesh
from planning.hosts.placement import place
from planning.hosts.plan import FleetPlan, plan_hosts
from tests.edge_shell import edge_shell, write_config
from tests.mesh import Authority, containers, stack

COMMON = (Path(__file__).parents[2] / "components" / "docker" / "edge_common.sh").read_text()
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBumMRcK6C8QIWffxuCIDzRHzVGlwRW1fMBKFypM6CMN"
SERVICES: dict[str, Any] = {
    "web": {"image": "web", "port": 8000, "replicas": 2, "uses": ["api", "db"], "drain": "12s"},
    "api": {"image": "api", "port": 8000, "routes": []},
    "db": {
        "image": "redis",
        "port": 6379,
        "protocol": "tcp",
        "volume": "/data",
        "place": "host1",
        "health": {"command": ["redis-cli", "ping"]},
    },
    "shop": {"image": "shop", "port": 8000, "replicas": 2, "sticky": "1h", "canary": {"image": "shop2", "share": 25}},
    "queue": {"image": "queue", "port": 7000, "protocol": "tcp", "routes": [], "replicas": 1},
    "reader": {"image": "reader", "uses": ["queue"], "replicas": 2},
}
BURST = ["web", "shop", "queue"]


def plans(
    hosts: int = 2, burst: int = 2, *, cpu: float = 8, services: Mapping[str, Any] = SERVICES
) -> tuple[FleetPlan, FleetPlan]:
    """Of the whole fleet, and of it without its burst hosts."""
    known = [(f"host{n}", 4, False) for n in range(1, hosts + 1)] + [
        (f"peak{n}", cpu, True) for n in range(1, burst + 1)
    ]
    existing = [
        {"name": name, "address": f"192.0.2.{n}", "cpu": cpus, "memory": "16GiB", "host_key": KEY, "burst": rented}
        for n, (name, cpus, rented) in enumerate(known, 1)
    ]
    made = stack(
        copy.deepcopy(dict(services)),
        capacity={"existing": existing},
        burst={"services": BURST},
        access={"ssh": ["10.0.0.0/8"]},
    )
    found: list[FleetPlan] = []
    whole, problems = fleet(made)
    for one in (whole, without_burst(whole)):
        placement, misplaced = place(made, one)
        assert not [*problems, *misplaced]
        found.append(plan_hosts(made, {}, one, placement))
    return found[0], found[1]


def addresses(plan: FleetPlan) -> dict[str, str]:
    return {name: f"192.0.2.{number}" for number, name in enumerate(plan.hosts, 1)}


def rendered(plan: FleetPlan, host: str) -> str:
    at = addresses(plan)
    names = Mesh(authorities="ca.pem", certificate=f"{host}.pem")
    return render_host(plan, host, HostConfig(), containers(plan, host), {}, at, names)


def laid(whole: FleetPlan, permanent: FleetPlan, host: str) -> str:
    rented = {name: at for name, at in addresses(whole).items() if whole.hosts[name].host.burst}
    return overlay(whole, permanent, host, rented)


def composed(text: str, over: str, folder: Path) -> str:
    (folder / "main").write_text(text)
    (folder / "over").write_text(over)
    script = COMMON.replace("/var/lib/haproxy", str(folder)) + "compose main over\n"
    done = edge_shell(script)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def sections(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line.startswith(" "):
            name = line
            found.setdefault(name, set())
        else:
            found[name].add(line)
    found.pop("frontend digest")
    return found


@pytest.mark.parametrize(("hosts", "burst", "cpu"), [(1, 1, 4), (1, 3, 16), (2, 2, 8), (3, 1, 2)])
def test_a_configuration_and_its_overlay_are_what_the_whole_plan_says(
    hosts: int, burst: int, cpu: float, tmp_path: Path
) -> None:
    whole, permanent = plans(hosts, burst, cpu=cpu)
    for host in permanent.hosts:
        over = laid(whole, permanent, host)
        assert "server web.peak1 " in over
        both = composed(rendered(permanent, host), over, tmp_path)
        found, wanted = sections(both), sections(rendered(whole, host))
        for name in found:
            # How long an edge waits for the only host it can ask is of the plan without a burst.
            assert found[name] - wanted[name] <= {"    timeout connect 2s", "    retries 2"}, name
        assert {name: wanted[name] - found.get(name, set()) for name in wanted} == {name: set() for name in wanted}


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not on PATH")
def test_haproxy_accepts_what_is_composed(tmp_path: Path) -> None:
    whole, permanent = plans()
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    for host in permanent.hosts:
        (tmp_path / f"{host}.pem").write_bytes(authority.certificate(host))
        both = composed(rendered(permanent, host), laid(whole, permanent, host), tmp_path)
        write_config(tmp_path / "both", both.replace(FILES, str(tmp_path)))
        done = subprocess.run(["haproxy", "-c", "-f", str(tmp_path / "both")], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        digest, over = (rendered(permanent, host).splitlines()[1], laid(whole, permanent, host).splitlines()[1])
        answered = f"{digest.split()[2]}.{over.split()[2]}"
        assert both.splitlines()[1] == f"#: digest {answered}"
        assert both.rstrip().endswith(f"string {answered}")


def test_without_burst_hosts_there_is_nothing_to_lay_over() -> None:
    whole, permanent = plans(burst=0)
    assert [laid(whole, permanent, host) for host in permanent.hosts] == ["#: host host1\n", "#: host host2\n"]


def test_the_number_of_burst_hosts_is_in_no_permanent_hosts_configuration() -> None:
    texts = [[rendered(plans(burst=number)[1], host) for host in ("host1", "host2")] for number in (0, 1, 4)]
    assert texts[0] == texts[1] == texts[2]
    assert "peak1" not in texts[0][0]


def test_an_overlay_knows_neither_containers_nor_other_addresses_nor_certificates() -> None:
    """So that a release, or a permanent host that comes, leaves it as it is."""
    whole, permanent = plans()
    released, without = plans(services={**SERVICES, "web": {**SERVICES["web"], "image": "web:2"}})
    for host in permanent.hosts:
        over = laid(whole, permanent, host)
        assert over == laid(released, without, host)
        assert ".pem" not in over
        assert "192.0.2.1:" not in over
        assert "192.0.2.3:8443" in over


def test_an_overlay_says_how_long_requests_to_burst_hosts_have() -> None:
    whole, permanent = plans(burst=1)
    lines = laid(whole, permanent, "host1").splitlines()
    assert "#: drain svc_web/web.peak1 12" in lines
    assert not any(line.startswith("#: drain local_") for line in lines)


def test_a_gateway_lets_in_what_burst_hosts_use_and_no_more() -> None:
    whole, permanent = plans(burst=1)
    let_in = {
        line.rpartition(" ")[2] for line in laid(whole, permanent, "host1").splitlines() if " acl planned " in line
    }
    # The canary and the readers are on permanent hosts; `db` is on this one.
    assert {one for one in let_in if one.startswith("peak1/")} == let_in
    assert "peak1/db" in let_in
    assert not {one for one in let_in if one.endswith(("web", "queue"))}


def test_what_stands_of_a_burst_stays_when_the_release_has_moved_on(tmp_path: Path) -> None:
    """Replicas and whole services went since the overlay was made, and a burst host became a permanent one."""
    whole, permanent = plans(hosts=2, burst=2)
    fewer = {name: SERVICES[name] for name in ("web", "api", "db")} | {"web": {**SERVICES["web"], "replicas": 3}}
    for hosts in (("host1",), ("host1", "peak1")):
        stays = {name: replace(whole.fleet.hosts[name], burst=False) for name in hosts}
        now = replace(whole.fleet, hosts=stays)
        placement, problems = place(stack(fewer), now)
        assert not problems
        text = rendered(plan_hosts(stack(fewer), {}, now, placement), "host1")
        both = composed(text, laid(whole, permanent, "host1"), tmp_path)
        servers = [line.split()[1] for line in both.splitlines() if line.startswith("    server ")]
        assert "web.peak2" in servers
        assert servers.count("web.peak1") == 1
        assert "backend svc_shop" not in both
        assert "acl planned var(sess.pair) -m str peak2/api" in both
        # They are reached by TLS, though this host has no other server elsewhere any more.
        before_them = both.partition("backend svc_web")[2].partition("server web.peak2 ")[0]
        assert before_them.rpartition("default-server")[2].startswith(" ssl crt /var/lib/haproxy/mesh/host1.pem ")
