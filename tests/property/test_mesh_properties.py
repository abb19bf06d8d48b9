"""Any fleet, any placement: HAProxy accepts every host's configuration, and requests end at the planned service."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from planning.hosts.edge import HostConfig
from planning.hosts.gateway import FILES
from planning.hosts.plan import MESH_PORT, TLS_PORT, FleetPlan, plan_hosts
from planning.hosts.security import HEALTH_PORT
from planning.routes import find
from settings.problems import ConfigError
from tests.edge_shell import write_config
from tests.mesh import Authority, Loopback, Running, fleet, host, placed, rendered
from tests.property.test_edge_routing import BOUNDED
from tests.property.test_planning_properties import parsed, planned_or_problems, services

CHECKED = settings(BOUNDED, max_examples=40)
REACHED = settings(BOUNDED, max_examples=150)
RUN = settings(BOUNDED, max_examples=4)
haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not on PATH")

# Hosts that are called as slots, services and labels are.
NAMES = ("a", "web-1", "cart", "x-y-z", "canary1")


@st.composite
def fleets(draw: st.DrawFn, found: st.SearchStrategy[dict[str, Any]] | None = None) -> FleetPlan:
    given_services = draw(found if found is not None else services(sound=True))
    stack = parsed(given_services)
    alone = planned_or_problems(stack)
    assume(not isinstance(alone, ConfigError))
    assert not isinstance(alone, ConfigError)
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    kinds = st.sampled_from(["permanent", "permanent", "created", "burst", "draining", "down"])
    chosen = {name: "permanent" if number == 0 else draw(kinds) for number, name in enumerate(names)}
    hosts = [
        host(
            name,
            kind="created" if kind == "created" else "existing",
            burst=kind == "burst",
            draining=kind == "draining",
            down=kind == "down",
        )
        for name, kind in chosen.items()
    ]
    own = [one.name for one in hosts if one.usable and not one.burst]
    where = {
        slot.name: (service.name, draw(st.sampled_from(own)))
        for service in alone.services.values()
        for slot in service.slots
    }
    for one in hosts:
        if one.burst:
            for service in alone.services.values():
                replicas = [slot for slot in service.slots if not slot.canary]
                if replicas and not service.stateful and draw(st.booleans()):
                    where[f"{service.name}_1_{one.name}"] = (service.name, one.name)
    weights = {slot: draw(st.sampled_from([0, 1, 1, 2, 16, 40])) for slot in where}
    balancer = draw(st.sampled_from([None, None, "lb11"]))
    try:
        return plan_hosts(stack, {}, fleet(*hosts, balancer=balancer), placed(where, weights))
    except ConfigError as error:
        # A generated port may be a fleet's own.
        assume(
            {problem.message for problem in error.problems}
            - {f"port {port} is the edge's own" for port in (HEALTH_PORT, MESH_PORT, TLS_PORT)}
        )
        raise


class Configuration:
    """What a configuration says, as far as a request goes."""

    def __init__(self, text: str) -> None:
        self.sections: dict[str, list[list[str]]] = {}
        for line in text.splitlines():
            if re.match("(frontend|backend) ", line):
                self.sections[line] = []
            elif line.startswith("    ") and self.sections:
                next(reversed(self.sections.values())).append(line.split())

    def servers(self, backend: str) -> Iterator[list[str]]:
        return (words for words in self.sections[f"backend {backend}"] if words[0] == "server")

    def passes(self, sender: str, label: str) -> str:
        """The backend that a gateway gives a sender for a label."""
        gateway = self.sections["frontend gateway"]
        assert ["acl", "planned", "var(sess.pair)", "-m", "str", f"{sender}/{label}"] in gateway, (sender, label)
        (backend,) = {words[1] for words in gateway if words[0] == "use_backend" and words[7] == label}
        return backend


def reached(configurations: Mapping[str, Configuration], name: str, backend: str) -> set[tuple[str, str]]:
    """Host and container of every replica that a host's edge sends to by way of a backend."""
    ends: set[tuple[str, str]] = set()
    for words in configurations[name].servers(backend):
        found = re.search(r"sni str\(([^.]+)\.([^.]+)\.quayside\)", " ".join(words))
        if found is None:
            ends.add((name, words[2].partition(":")[0]))
            continue
        label, receiver = found.groups()
        other = configurations[receiver]
        for server in other.servers(other.passes(name, label)):
            assert "sni" not in server, "a gateway sends on to another host"
            ends.add((receiver, server[2].partition(":")[0]))
    return ends


@REACHED
@given(plan=fleets())
def test_every_replica_is_reached_from_wherever_it_may_be_and_by_nobody_else(plan: FleetPlan) -> None:
    configurations = {
        name: Configuration(rendered(plan, name)) for name in plan.hosts if not plan.hosts[name].host.down
    }
    everything = {
        service: {
            (at, f"{slot}-abc1234") for at, slots in plan.placement.services.get(service, {}).items() for slot in slots
        }
        for service in plan.services
    }
    for name, configuration in configurations.items():
        here = plan.hosts[name]
        used = {used for service in here.services.values() for used in service.settings.uses}
        public = {route.service for route in plan.routes} if here.entry else set[str]()
        sent = {head.partition("svc_")[2] for head in configuration.sections if head.startswith("backend svc_")}
        assert sent == used | public
        for service in sent:
            ends = {
                (at, container)
                for at, container in everything[service]
                if at == name or not (here.host.burst and plan.hosts[at].host.burst)
            }
            assert reached(configurations, name, f"svc_{service}") == ends
        lets = [
            words[5].partition("/")
            for words in configuration.sections["frontend gateway"]
            if words[1] == "planned" and len(words) == 6
        ]
        for sender, _, label in lets:
            (mine,) = {
                service
                for service in plan.services
                if label in {service, f"1-{service}"}
                or label
                in {f"0-{slot.name.removesuffix(f'_{name}').replace('_', '--')}" for slot in plan.slots(service, name)}
            }
            assert mine in plan.hosts[sender].wants
            assert sender != name


@haproxy
@CHECKED
@given(plan=fleets(), public=st.booleans())
def test_haproxy_accepts_the_configuration_of_every_host(
    plan: FleetPlan, public: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("mesh")
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    config = HostConfig(certificate="public.pem" if public else None, balancers=("10.0.0.9",) if public else ())
    certificate = authority.certificate("any")
    for name in (*plan.hosts, "public"):
        (folder / f"{name}.pem").write_bytes(certificate)
    for name in plan.hosts:
        file = folder / f"{name}.cfg"
        # Only Docker resolves the names of containers.
        text = re.sub(r" \S+-abc1234:", " 127.0.0.1:", rendered(plan, name, config)).replace(FILES, str(folder))
        write_config(file, text)
        done = subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "[WARNING]" not in done.stderr, done.stderr


def _bindable(found: dict[str, dict[str, Any]]) -> bool:
    """Ports that anybody may listen on."""
    ports = {service.get("port", 8000) for service in found.values()}
    return min(ports, default=8000) >= 1024 and Loopback.port(80) not in ports


@haproxy
@RUN
@given(
    plan=fleets(services(sound=True).filter(_bindable)).filter(
        lambda plan: len(plan.hosts) > 1 and len(plan.routes) > 1
    )
)
def test_every_entry_answers_with_the_planned_service(
    plan: FleetPlan, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Running(plan, tmp_path_factory.mktemp("mesh")) as running:
        slots = {slot.name: service.name for service in plan.services.values() for slot in service.slots}
        for name in running.hosts:
            here = plan.hosts[name]
            for route in plan.routes:
                at = route.host.replace("*", "any")
                wanted = find(plan.routes, at, route.path)
                assert wanted is not None
                status, lines, _ = running.get(name, f"{at}{route.path}")
                if not here.entry:
                    assert status == 404
                elif any(slot.weight for slot in plan.services[wanted.service].slots):
                    assert (status, slots[lines[0]]) == (200, wanted.service)
                else:
                    assert status == 503
            for service in here.services.values():
                for used in service.settings.uses:
                    target = plan.services[used]
                    weights = [
                        slot.weight
                        for at, one in plan.hosts.items()
                        if at == name or not (here.host.burst and one.host.burst)
                        for slot in plan.slots(used, at)
                    ]
                    if target.settings.protocol == "http" and any(weights):
                        status, slot = running.named(name, used, service.name)
                        assert (status, slots[slot]) == (200, used)
