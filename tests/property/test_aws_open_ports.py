"""What the security groups of any stack open, read off its resources and compared with what its files declare."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rehearsal import Report, rehearse

REPOSITORY = Path(__file__).parents[2]
DIGEST = "sha256:" + "ab" * 32
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
NAMES = ("api", "cart", "db", "mail", "web")
EVERYWHERE = "0.0.0.0/0"

kinds = st.sampled_from(["public", "internal", "tcp", "worker", "bridge"])
egresses = st.sampled_from([None, [], [{"to": "198.51.100.0/24", "port": 5432}], [{"to": EVERYWHERE, "port": 443}]])


@st.composite
def stacks(draw: st.DrawFn) -> dict[str, Any]:
    """Services that use only those after them in the alphabet, so that there is no circle."""
    found: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True)):
        kind = draw(kinds)
        service: dict[str, Any] = {"image": f"example.com/{name}@{DIGEST}", "memory": "64MiB", "cpu": 0.1}
        if kind != "worker":
            service["port"] = draw(st.sampled_from([80, 3000, 8080]))
        if kind == "internal":
            service["routes"] = []
        if kind == "tcp":
            service |= {"protocol": "tcp", "health": {"command": ["true"]}}
        if kind == "bridge":
            service["network"] = "bridge"
        elif (egress := draw(egresses)) is not None:
            service["egress"] = egress
        found[name] = service
    for name, service in found.items():
        others = [other for other, s in found.items() if other > name and "port" in s and "network" not in s]
        if others and "network" not in service:
            service["uses"] = draw(st.lists(st.sampled_from(sorted(others)), unique=True))
    return found


def rehearsed(services: dict[str, Any]) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        config = {
            "aws:region": "eu-central-1",
            "quayside:cloud": "aws",
            "quayside:domain": "example.com",
            "quayside:capacity": {"instances": {"types": ["m7g.xlarge"], "max": 20}},
            "quayside:balancer": {"allow": ["203.0.113.0/24"]},
        }
        (root / "Pulumi.yaml").write_text("name: fx\nruntime: python\n")
        (root / "Pulumi.t.yaml").write_text(yaml.safe_dump({"config": config}))
        (root / "services.yaml").write_text(yaml.safe_dump({"services": services}))
        (root / "__main__.py").write_text((REPOSITORY / "__main__.py").read_text())
        return rehearse("t", root)


def opened(report: Report, type_: str) -> set[tuple[str, str, str]]:
    """(from, to, what) of every rule of one kind, by the groups it is wired to."""
    groups = {found["urn"]: found["name"] for found in report.resources if found["type"] == GROUP}
    rules: set[tuple[str, str, str]] = set()
    for rule in (found for found in report.resources if found["type"] == type_):
        inputs, wired = rule["inputs"], rule["propertyDependencies"]
        (own,) = (groups[urn] for urn in wired["securityGroupId"])
        other = inputs.get("cidrIpv4") or groups[wired["referencedSecurityGroupId"][0]]
        ports = f" {inputs['fromPort']}-{inputs['toPort']}" if inputs["ipProtocol"] != "-1" else ""
        what = inputs["ipProtocol"] + ports
        rules.add((other, own, what) if type_ == INGRESS else (own, other, what))
    return rules


def declared(services: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Worked out from the files by hand, not by the plan: who may be reached, by whom, on which port."""
    found: set[tuple[str, str, str]] = set()
    for name, service in services.items():
        port, http = service.get("port"), service.get("protocol") != "tcp"
        if port is not None and http:
            if service.get("routes") != []:
                found |= {("203.0.113.0/24", "balancer-1", f"tcp {p}-{p}") for p in (80, 443)}
            if service.get("network") == "bridge":
                found.add(("balancer-1", "instances", "tcp 32768-65535"))
            else:
                found.add(("balancer-1", f"service-{name}", f"tcp {port}-{port}"))
        for used in service.get("uses", ()):
            port = services[used]["port"]
            found.add((f"service-{name}", f"service-{used}", f"tcp {port}-{port}"))
    return found


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stacks())
def test_what_is_open_is_what_the_files_declare(services: dict[str, Any]) -> None:
    report = rehearsed(services)
    assert report.problems == ()
    ways_in = opened(report, INGRESS)
    assert ways_in == declared(services)
    inside = {(source, target, what) for source, target, what in opened(report, EGRESS) if "/" not in target}
    assert inside <= ways_in, "nothing is let out to a group that does not let it in"
    outside = {(source, target, what) for source, target, what in opened(report, EGRESS) if "/" in target}
    for source, target, what in outside - {(s, t, w) for s, t, w in outside if s == "instances"}:
        egress = services[source.removeprefix("service-")].get("egress")
        if egress is None:
            assert (target, what) == (EVERYWHERE, "-1")
        else:
            assert any(target == one["to"] and what == f"tcp {one['port']}-{one['port']}" for one in egress)
