"""Who reaches whom in a small fleet: the exact flows and rules, on paper and in a real packet filter."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from planning.hosts.firewalls import droplet_outbound, droplet_rules, hetzner_rules
from planning.hosts.fleet import fleet
from planning.hosts.hostfiles import FIREWALL
from planning.hosts.model import FleetSecurity
from planning.hosts.packetfilter import OPENED, host_filter, opened
from planning.hosts.placement import place
from planning.hosts.security import security, who
from settings.stack import Stack
from settings.units import GIB

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
ADDRESSES = {
    "host1": ["192.0.2.1", "10.0.1.1"],
    "host2": ["192.0.2.2", "10.0.1.2"],
    "db1": ["203.0.113.7"],
    "burst1": ["198.18.0.1"],
    "balancer": ["10.0.1.9"],
}


def stack(**values: Any) -> Stack:
    server = {"name": "db1", "address": "203.0.113.7", "cpu": 8, "memory": 32 * GIB, "host_key": KEY}
    defaults: dict[str, Any] = {
        "project": "shop",
        "name": "staging",
        "cloud": "hetzner",
        "domain": "example.com",
        "capacity": {"location": "fsn1", "hosts": {"count": 2, "type": "cx33"}, "existing": [server]},
        "burst": {"droplets": 1, "services": ["web"]},
        "access": {"ssh": ["198.51.100.0/24", "2001:db8::/32"]},
        "services": {
            "web": {"image": "a", "port": 8080, "replicas": 2, "uses": ["session", "api"]},
            "api": {"image": "a", "port": 9000},
            "session": {"image": "redis", "port": 6379, "protocol": "tcp", "volume": "/data", "place": "db1"},
            "mail": {
                "image": "a",
                "place": "host1",
                "ports": [
                    {"port": 25, "sources": ["0.0.0.0/0"]},
                    {"port": 53, "protocol": "udp", "sources": ["10.9.0.0/16"]},
                ],
            },
        },
    }
    return Stack.model_validate({**defaults, **values})


def planned(**values: Any) -> FleetSecurity:
    plan, problems = _security(**values)
    assert not problems, problems
    return plan


def _security(**values: Any) -> tuple[FleetSecurity, list[Any]]:
    made = stack(**values)
    hosts, problems = fleet(made)
    assert not problems, problems
    placed, problems = place(made, hosts)
    assert not problems, problems
    return security(made, hosts, placed)


def balanced() -> dict[str, Any]:
    return {"capacity": {"location": "fsn1", "hosts": {"count": 2, "type": "cx33"}, "balancer": {}}, "burst": None,
            "services": {}}  # fmt: skip


# --- the plan --------------------------------------------------------------------------------------------------------


def test_who_reaches_whom() -> None:
    found = [(row["from"], row["to"], row["address"], row["why"]) for row in who(planned())]
    assert found == [
        ("internet", "entries", "icmp", "path MTU, ping"),
        ("internet", "entries", "tcp 80", "HTTP"),
        ("internet", "entries", "tcp 443", "HTTPS"),
        ("internet", "host-host1", "tcp 25", "ports of mail"),
        ("10.9.0.0/16", "host-host1", "udp 53", "ports of mail"),
        ("198.51.100.0/24", "hosts", "icmp", "ping of admins"),
        ("198.51.100.0/24", "hosts", "tcp 22", "SSH of admins"),
        ("2001:db8::/32", "hosts", "icmp", "ping of admins"),
        ("2001:db8::/32", "hosts", "tcp 22", "SSH of admins"),
        ("burst", "edges", "icmp", "path MTU, ping"),
        ("burst", "edges", "tcp 8443", "what web uses, mutual TLS"),
        ("edges", "burst", "icmp", "path MTU, ping"),
        ("edges", "burst", "tcp 8443", "requests for burst replicas, mutual TLS"),
        ("edges", "edges", "icmp", "path MTU, ping"),
        ("edges", "edges", "tcp 8443", "requests between hosts, mutual TLS"),
        ("service-web", "service-api", "tcp 80", "web uses api, through edges"),
        ("service-web", "service-session", "tcp 6379", "web uses session, through edges"),
    ]


def test_behind_a_balancer_the_world_reaches_nothing() -> None:
    rows = who(planned(**balanced()))
    assert not [row for row in rows if row["from"] == "internet"]
    assert [(row["to"], row["address"]) for row in rows if row["from"] == "balancer"] == [
        ("entries", "tcp 80"),
        ("entries", "tcp 443"),
        ("entries", "tcp 8405"),
    ]


def test_a_burst_that_uses_nothing_reaches_nothing() -> None:
    rows = who(planned(services={"web": {"image": "a", "port": 80}}))
    assert not [row for row in rows if row["from"] == "burst"]


def test_ssh_on_another_port_is_opened_there_alone() -> None:
    server = {"name": "db1", "address": "203.0.113.7", "cpu": 8, "memory": 32 * GIB, "host_key": KEY, "port": 2222}
    rows = who(planned(capacity={"existing": [server]}, burst=None, services={}))
    assert {row["address"] for row in rows if row["to"] == "host-db1"} == {"icmp", "tcp 2222"}
    assert "tcp 22" not in {row["address"] for row in rows}


# --- firewalls -------------------------------------------------------------------------------------------------------


def test_hetzner_s_rules() -> None:
    def rule(protocol: str, port: str | None, sources: list[str], why: str) -> dict[str, Any]:
        ports = {"port": port} if port else {}
        return {"direction": "in", "protocol": protocol, **ports, "source_ips": sources, "description": why}

    others = ["10.0.1.2/32", "192.0.2.2/32", "198.18.0.1/32", "203.0.113.7/32"]
    assert hetzner_rules(planned(), "host1", ADDRESSES) == [
        rule("icmp", None, ["0.0.0.0/0", "2001:db8::/32"], "path MTU, ping; ping of admins"),
        rule("tcp", "22", ["198.51.100.0/24", "2001:db8::/32"], "SSH of admins"),
        rule("tcp", "25", ["0.0.0.0/0"], "ports of mail"),
        rule("tcp", "80", ["0.0.0.0/0"], "HTTP"),
        rule("tcp", "443", ["0.0.0.0/0"], "HTTPS"),
        rule("tcp", "8443", others, "what web uses, mutual TLS; requests between hosts, mutual TLS"),
        rule("udp", "53", ["10.9.0.0/16"], "ports of mail"),
    ]


def test_a_host_admits_all_others_but_not_itself() -> None:
    (rule,) = [rule for rule in hetzner_rules(planned(), "host2", ADDRESSES) if rule.get("port") == "8443"]
    assert rule["source_ips"] == ["10.0.1.1/32", "192.0.2.1/32", "198.18.0.1/32", "203.0.113.7/32"]


def test_behind_a_balancer_its_private_address_alone() -> None:
    rules = hetzner_rules(planned(**balanced()), "host1", ADDRESSES)
    assert [(rule["port"], rule["source_ips"]) for rule in rules if rule.get("port") in {"80", "443"}] == [
        ("80", ["10.0.1.9/32"]),
        ("443", ["10.0.1.9/32"]),
    ]


def test_a_droplet_s_rules() -> None:
    edges = ["10.0.1.1/32", "10.0.1.2/32", "192.0.2.1/32", "192.0.2.2/32", "203.0.113.7/32"]
    admins = ["198.51.100.0/24", "2001:db8::/32"]
    assert droplet_rules(planned(), "burst1", ADDRESSES) == [
        {"protocol": "icmp", "source_addresses": [*edges[:4], "198.51.100.0/24", edges[4], "2001:db8::/32"]},
        {"protocol": "tcp", "port_range": "22", "source_addresses": admins},
        {"protocol": "tcp", "port_range": "8443", "source_addresses": edges},
    ]
    assert {rule["protocol"] for rule in droplet_outbound()} == {"tcp", "udp", "icmp"}


def test_who_has_no_address_yet_is_not_let_in() -> None:
    rules = hetzner_rules(planned(), "host1", {})
    assert [rule.get("port") for rule in rules] == [None, "22", "25", "80", "443", "53"]


# --- the host's own filter -------------------------------------------------------------------------------------------


def test_the_packet_filter() -> None:
    script = host_filter(planned(), "host1", ADDRESSES)
    four, six = re.split("<<'?RULES'?\n", script)[1:]
    assert four.partition("RULES")[0].splitlines() == [
        "*filter",
        ":QUAYSIDE-INPUT - [0:0]",
        ":QUAYSIDE-OUTPUT - [0:0]",
        ":QUAYSIDE-DOCKER - [0:0]",
        "-A QUAYSIDE-INPUT -i lo -j ACCEPT",
        "-A QUAYSIDE-INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        "-A QUAYSIDE-INPUT -p icmp -j ACCEPT",
        "-A QUAYSIDE-INPUT -s 198.51.100.0/24 -p tcp --dport 22 -j ACCEPT",
        "-A QUAYSIDE-INPUT -p tcp --dport 25 -j ACCEPT",
        "-A QUAYSIDE-INPUT -p tcp --dport 80 -j ACCEPT",
        "-A QUAYSIDE-INPUT -p tcp --dport 443 -j ACCEPT",
        "-A QUAYSIDE-INPUT -s 10.0.1.2/32 -p tcp --dport 8443 -j ACCEPT",
        "-A QUAYSIDE-INPUT -s 192.0.2.2/32 -p tcp --dport 8443 -j ACCEPT",
        "-A QUAYSIDE-INPUT -s 198.18.0.1/32 -p tcp --dport 8443 -j ACCEPT",
        "-A QUAYSIDE-INPUT -s 203.0.113.7/32 -p tcp --dport 8443 -j ACCEPT",
        "-A QUAYSIDE-INPUT -s 10.9.0.0/16 -p udp --dport 53 -j ACCEPT",
        '$(opened "-A QUAYSIDE-INPUT" "-p tcp --dport 8443 -j ACCEPT" "-p icmp -j ACCEPT")',
        "-A QUAYSIDE-INPUT -j DROP",
        "-A QUAYSIDE-DOCKER -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
        "-A QUAYSIDE-DOCKER -d 169.254.169.254 -j DROP",
        "-A QUAYSIDE-DOCKER -p tcp -m conntrack --ctstate DNAT --ctorigdstport 25 -j RETURN",
        "-A QUAYSIDE-DOCKER -p tcp -m conntrack --ctstate DNAT --ctorigdstport 80 -j RETURN",
        "-A QUAYSIDE-DOCKER -p tcp -m conntrack --ctstate DNAT --ctorigdstport 443 -j RETURN",
        "-A QUAYSIDE-DOCKER -s 10.0.1.2/32 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8443 -j RETURN",
        "-A QUAYSIDE-DOCKER -s 192.0.2.2/32 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8443 -j RETURN",
        "-A QUAYSIDE-DOCKER -s 198.18.0.1/32 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8443 -j RETURN",
        "-A QUAYSIDE-DOCKER -s 203.0.113.7/32 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8443 -j RETURN",
        "-A QUAYSIDE-DOCKER -s 10.9.0.0/16 -p udp -m conntrack --ctstate DNAT --ctorigdstport 53 -j RETURN",
        '$(opened "-A QUAYSIDE-DOCKER" "-p tcp -m conntrack --ctstate DNAT --ctorigdstport 8443 -j RETURN")',
        "-A QUAYSIDE-DOCKER -m conntrack --ctstate DNAT -j DROP",
        "-A QUAYSIDE-DOCKER -i br-+ -j RETURN",
        "-A QUAYSIDE-DOCKER -i docker0 -j RETURN",
        "-A QUAYSIDE-DOCKER -j DROP",
        "-A QUAYSIDE-OUTPUT -d 169.254.169.254 -m owner ! --uid-owner 0 -j REJECT",
        "-A QUAYSIDE-OUTPUT -d 169.254.169.254 -m owner --gid-owner 61691 --suppl-groups -j REJECT",
        "COMMIT",
    ]
    assert [line for line in six.partition("RULES")[0].splitlines() if "INPUT -" in line][1:] == [
        "-A QUAYSIDE-INPUT -i lo -j ACCEPT",
        "-A QUAYSIDE-INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
        "-A QUAYSIDE-INPUT -p ipv6-icmp -j ACCEPT",
        "-A QUAYSIDE-INPUT -s 2001:db8::/32 -p tcp --dport 22 -j ACCEPT",
        "-A QUAYSIDE-INPUT -j DROP",
    ]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_packet_filter_s_script_is_clean(tmp_path: Path) -> None:
    script = tmp_path / "filter.sh"
    script.write_text(host_filter(planned(), "host1", ADDRESSES))
    found = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert not found.stdout


def _can_filter() -> bool:
    if os.geteuid() or not shutil.which("iptables-restore") or not shutil.which("unshare"):
        return False
    return not subprocess.run(["unshare", "-n", "iptables", "-S"], capture_output=True, check=False).returncode


@pytest.mark.skipif(not _can_filter(), reason="needs root, unshare and a kernel with iptables")
def test_a_kernel_takes_the_rules_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    script = tmp_path / "filter.sh"
    script.write_text(host_filter(planned(), "host1", ADDRESSES))
    save = "iptables-save -t filter | grep -v '^#'; ip6tables-save -t filter | grep -v '^#'"
    # Docker, when it starts, keeps DOCKER-USER, adds its own rule at the end, and leads FORWARD there first.
    docker = "iptables -A DOCKER-USER -j RETURN; iptables -D FORWARD -j DOCKER-USER; iptables -I FORWARD -j DOCKER-USER"
    command = f"set -e; sh {script}; {docker}; {save}; echo ====; sh {script}; {save}"
    found = subprocess.run(["unshare", "-n", "sh", "-c", command], capture_output=True, text=True, check=True)
    first, second = found.stdout.split("====\n")
    assert first == second
    assert "-A DOCKER-USER -j QUAYSIDE-DOCKER\n-A DOCKER-USER -j RETURN\n" in first
    assert "--ctstate DNAT --ctorigdstport 443" in first
    assert not found.stderr


@pytest.mark.skipif(not _can_filter(), reason="needs root, unshare and a kernel with iptables")
def test_a_burst_opens_the_edge_alone_and_closing_it_leaves_what_another_opened(tmp_path: Path) -> None:
    folder, script = tmp_path / "opened", tmp_path / "filter.sh"

    def here(text: str) -> str:
        return text.replace(OPENED, str(folder)).replace(FIREWALL, f"sh {script}")

    script.write_text(here(host_filter(planned(), "host1", ADDRESSES)))
    peak = ["192.0.2.77", "192.0.2.78"]
    (first, close_first), (second, _) = (opened(them, "4711") for them in (peak[:1], peak))
    save = "iptables-save -t filter | grep -v '^[#:]'"
    steps = [f"sh {script}", here(first), here(second), here(close_first)]
    command = "\n".join(f"({step}\n)\n{save}\necho ====" for step in steps)
    found = subprocess.run(["unshare", "-n", "sh", "-ec", command], capture_output=True, text=True, check=True)
    closed, one, both, two = ({*state.splitlines()} for state in found.stdout.split("====\n")[:4])
    for state, more in ((one, peak[:1]), (both, peak), (two, peak)):
        added = sorted(line for line in state - closed if line)
        assert added == sorted(
            line
            for address in more
            for line in (
                f"-A QUAYSIDE-INPUT -s {address}/32 -p tcp -m tcp --dport 8443 -j ACCEPT",
                f"-A QUAYSIDE-INPUT -s {address}/32 -p icmp -j ACCEPT",
                f"-A QUAYSIDE-DOCKER -s {address}/32 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8443 -j RETURN",
            )
        )
    # Closing it leaves those who are here to stay.
    assert any("198.18.0.1/32" in line for line in two)
    assert opened(["192.0.2.77"], "4711") != opened(["192.0.2.77"], "4712"), "another machine is another file"


# --- problems --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "messages"),
    [
        (
            {"access": {}},
            [
                "quayside:access/ssh: is empty, so nobody could reach a host over SSH, nor could this program\n"
                "    name the ranges that you and your CI come from: [198.51.100.0/24]"
            ],
        ),
        (
            {"edge": {"http": 8443, "https": 22}},
            [
                "quayside:edge/http: 8443 is the edges' own port\n    choose another",
                "quayside:edge/https: 22 is a host's SSH port\n    choose another",
            ],
        ),
        (
            {
                "burst": None,
                "services": {
                    "a": {
                        "image": "a",
                        "ports": [{"port": 443}, {"port": 25}, {"port": 25, "sources": ["2001:db8::/32"]}],
                    }
                },
            },
            [
                "services/a/ports/0/port: tcp 443 is for HTTPS at the edge\n    publish another port",
                "services/a/ports/2/port: tcp 25 is there twice\n    name all sources at one",
                "services/a/ports/2/sources/0: 2001:db8::/32 is IPv6, and containers are published on IPv4 alone\n"
                "    name IPv4 ranges",
            ],
        ),
        (
            {"services": {"web": {"image": "a", "ports": [{"port": 25}]}}},
            [
                "services/web/ports: cannot be had with quayside:burst/services: burst hosts admit only the fleet's "
                "edges and admins\n    remove ports, or take web out of the burst"
            ],
        ),
    ],
)
def test_a_problem(values: dict[str, Any], messages: list[str]) -> None:
    assert [str(problem) for problem in _security(**values)[1]] == messages


def test_more_rules_than_hetzner_allows() -> None:
    ports = [{"port": 1000 + number, "sources": ["198.51.100.0/24"]} for number in range(60)]
    (problem,) = _security(services={"a": {"image": "a", "place": "host1", "ports": ports}}, burst=None)[1]
    assert str(problem).startswith("quayside:access: the firewall of host1 needs 65 rules with 70 sources; Hetzner ")
