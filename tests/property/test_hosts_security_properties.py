"""Firewalls of generated fleets: they open what a flow names, and nothing else; all three renderings agree."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from planning.hosts.firewalls import droplet_rules, hetzner_rules
from planning.hosts.fleet import fleet
from planning.hosts.model import Fleet, FleetSecurity
from planning.hosts.packetfilter import host_filter
from planning.hosts.placement import place
from planning.hosts.security import security
from settings.stack import Stack
from settings.units import GIB

FEW = settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
RANGES = ("198.51.100.0/24", "203.0.113.0/28", "0.0.0.0/0", "10.0.0.0/24", "192.0.2.1/32")
SOURCES = ("198.51.100.9", "203.0.113.3", "8.8.8.8", "10.0.0.1", "10.0.0.3", "192.0.2.1", "192.0.2.2", "10.0.0.250")
PORTS = (22, 25, 53, 80, 443, 2222, 6379, 8080, 8443, 10080, 9902)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Stack, Fleet, FleetSecurity, Mapping[str, list[str]]]:
    port = st.fixed_dictionaries(
        {
            "port": st.sampled_from([25, 53, 6379]),
            "protocol": st.sampled_from(["tcp", "udp"]),
            "sources": st.lists(st.sampled_from(RANGES), max_size=2, unique=True),
        }
    )
    services: dict[str, Any] = {
        name: {
            "image": "a",
            "port": 8080,
            "memory": 64 * 1024**2,
            "uses": draw(st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True)),
            "ports": draw(st.lists(port, max_size=1)) if name == "a" else [],
        }
        for name in ("a", "b")
    }
    existing = [
        {"name": f"own{n}", "address": f"192.0.2.{n}", "cpu": 8, "memory": 16 * GIB, "host_key": KEY, "port": ssh}
        for n, ssh in enumerate(draw(st.lists(st.sampled_from([22, 2222]), max_size=2)), 1)
    ]
    stack = Stack.model_validate(
        {
            "project": "shop",
            "name": "test",
            "cloud": "hetzner",
            "domain": "example.com",
            "services": services,
            "capacity": {
                "location": "fsn1",
                "hosts": {"count": draw(st.integers(1, 3)), "type": "cx33"},
                "existing": existing,
                "balancer": draw(st.sampled_from([None, {}])),
            },
            "burst": {"droplets": draw(st.integers(0, 2)), "services": ["b"]},
            "access": {"ssh": draw(st.lists(st.sampled_from(RANGES), min_size=1, max_size=2, unique=True))},
        }
    )
    hosts, problems = fleet(stack)
    assert not problems
    placement, problems = place(stack, hosts)
    assert not problems
    plan, problems = security(stack, hosts, placement)
    assume(not problems)
    addresses = {name: [f"10.0.0.{number}"] for number, name in enumerate(hosts.hosts, 1)}
    return stack, hosts, plan, {**addresses, "balancer": ["10.0.0.250"]}


def inside(source: str, ranges: Iterable[str]) -> bool:
    return any(ipaddress.ip_address(source) in ipaddress.ip_network(one) for one in ranges)


def meant(
    stack: Stack, hosts: Fleet, plan: FleetSecurity, addresses: Mapping[str, list[str]], host: str, packet: Any
) -> bool:
    """Whether the settings mean a packet to get in, said anew from the settings."""
    protocol, port, source = packet
    this = hosts.hosts[host]
    who = next((name for name, own in addresses.items() if source in own and name != host), None)
    admin = inside(source, stack.access.ssh)
    mesh = who in hosts.hosts and (
        not hosts.hosts[who].burst if this.burst else not hosts.hosts[who].burst or bool(stack.services["b"].uses)
    )
    visitor = (who == "balancer" if hosts.balancer else True) and this in hosts.entries
    if protocol == "icmp":
        return admin or mesh or (visitor and not hosts.balancer)
    if protocol == "tcp" and port == this.ssh_port:
        return admin
    if protocol == "tcp" and port == 8443:
        return mesh
    if protocol == "tcp" and port in {80, 443}:
        return visitor
    published = stack.services["a"].ports
    here = any(one.target == f"host-{host}" and one.why == "ports of a" for one in plan.flows)
    return here and any(
        one.port == port and one.protocol == protocol and inside(source, one.sources) for one in published
    )


def cloud(rules: Iterable[Mapping[str, Any]], packet: Any) -> bool:
    protocol, port, source = packet
    return any(
        rule["protocol"] == protocol
        and (protocol == "icmp" or rule.get("port", rule.get("port_range")) == str(port))
        and inside(source, rule.get("source_ips", rule.get("source_addresses", ())))
        for rule in rules
    )


def chain(script: str, name: str, packet: Any) -> str:
    """What the first rule says that matches a new packet from outside, with Docker's rewriting for containers."""
    protocol, port, source = packet
    for line in script.partition("filter ip6tables")[0].splitlines():
        if not line.startswith(f"-A {name} ") or "ESTABLISHED" in line or " -i " in line or " -d " in line:
            continue
        found = re.fullmatch(
            r"-A \S+(?: -s (?P<source>\S+))?(?: -p (?P<protocol>\S+))?(?: -m conntrack --ctstate DNAT)?"
            r"(?: --(?:dport|ctorigdstport) (?P<port>\d+))? -j (?P<verdict>\S+)",
            line,
        )
        assert found, line
        if (
            (found["source"] is None or inside(source, [found["source"]]))
            and found["protocol"] in (None, protocol)
            and found["port"] in (None, str(port))
        ):
            return found["verdict"]
    raise AssertionError(f"{name} does not end with DROP")


@FEW
@given(cases())
def test_what_gets_in_is_what_is_meant(case: tuple[Stack, Fleet, FleetSecurity, Mapping[str, list[str]]]) -> None:
    stack, hosts, plan, addresses = case
    for host in hosts.hosts:
        script = host_filter(plan, host, addresses)
        hetzner, droplet = hetzner_rules(plan, host, addresses), droplet_rules(plan, host, addresses)
        for source in SOURCES:
            if source in addresses[host]:
                continue
            for packet in [("icmp", 0, source), *((kind, port, source) for kind in ("tcp", "udp") for port in PORTS)]:
                expected = meant(stack, hosts, plan, addresses, host, packet)
                assert cloud(hetzner, packet) is expected, (host, packet)
                assert cloud(droplet, packet) is expected, (host, packet)
                assert (chain(script, "QUAYSIDE-INPUT", packet) == "ACCEPT") is expected, (host, packet)
                # SSH and ping end at the host: nothing of the kind goes on to a container.
                on = expected and packet[0] != "icmp" and packet[1] != 22
                assert (chain(script, "QUAYSIDE-DOCKER", packet) == "RETURN") is on, (host, packet)


@FEW
@given(cases())
def test_every_rule_has_a_flow_and_every_flow_into_a_host_a_rule(
    case: tuple[Stack, Fleet, FleetSecurity, Mapping[str, list[str]]],
) -> None:
    _, hosts, plan, addresses = case
    for host in hosts.hosts:
        flows = [one for one in plan.flows if host in plan.members.get(one.target, ())]
        rules = hetzner_rules(plan, host, addresses)
        named = {(one.protocol, str(one.first)) for one in flows if one.protocol != "icmp"}
        # A mesh of one has nobody to let in.
        assert {(rule["protocol"], rule["port"]) for rule in rules if "port" in rule} <= named
        assert {why for rule in rules for why in str(rule["description"]).split("; ")} <= {one.why for one in flows}
        assert not any(one.target.startswith("service-") for one in flows)
