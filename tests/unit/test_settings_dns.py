# ruff: noqa: E501  # a message word for word is read on one line
"""Where the records of a fleet can have health checks; messages word for word."""

from __future__ import annotations

from typing import Any

import pytest

from settings.parse import parse
from settings.problems import ConfigError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
CHECKED = {"provider": "route53", "health": True}
TWO = {"location": "fsn1", "hosts": {"count": 2, "type": "cx33"}}
FLEET: dict[str, Any] = {
    "cloud": "hetzner",
    "domain": "example.com",
    "capacity": TWO,
    "dns": CHECKED,
    "access": {"ssh": ["198.51.100.0/24"]},
}


def server(address: str, **more: Any) -> dict[str, Any]:
    return {"name": "box", "address": address, "cpu": 8, "memory": "32GiB", "host_key": KEY, **more}


def problems(config: dict[str, Any]) -> list[str]:
    try:
        parse(project="shop", stack="prod", services="services: {}", config=config, secrets=(), region="eu-central-1")
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_a_fleet_with_route_53_can_be_checked() -> None:
    assert problems(FLEET) == []
    assert problems({**FLEET, "edge": {"http": 8080, "address": "203.0.113.1"}}) == []
    assert problems({**FLEET, "capacity": {"existing": [server("203.0.113.7")]}}) == []
    # A burst host gets no visitors.
    assert problems({**FLEET, "capacity": {**TWO, "existing": [server("10.0.0.7", burst=True)]}}) == []


@pytest.mark.parametrize("provider", ["hetzner", "digitalocean", "manual"])
def test_records_elsewhere_cannot(provider: str) -> None:
    assert problems({**FLEET, "dns": {"provider": provider, "health": True}}) == [
        f"quayside:dns/health: is for Route 53, whose records can be checked, and dns.provider is {provider}\n"
        "    set quayside:dns: {provider: route53, health: true}, or remove health"
    ]
    assert problems({**FLEET, "dns": {"provider": provider, "health": False}}) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"capacity": {**TWO, "balancer": {}}},
            "dns/health: cannot be combined with capacity.balancer, which checks the hosts itself and is all that the DNS leads to\n    remove health, or remove the balancer",
        ),
        (
            {"edge": {"address": "127.0.0.1"}},
            "edge/address: is 127.0.0.1, where Route 53 cannot ask for the health of an edge: it asks from the internet\n    remove it, so that the edge listens on all addresses, or remove dns.health",
        ),
        (
            {"edge": {"address": "fd00::1"}},
            "edge/address: is fd00::1, where Route 53 cannot ask for the health of an edge: it asks from the internet\n    remove it, so that the edge listens on all addresses, or remove dns.health",
        ),
        *(
            (
                {"capacity": {"existing": [server("203.0.113.7", name="pub"), server(address)]}},
                f"capacity/existing/1/address: {address} of box is not public, and Route 53 asks hosts from the internet\n    name its public address, or remove health from quayside:dns",
            )
            for address in ("10.0.0.7", "172.31.0.1", "192.168.1.7", "100.64.0.1", "127.0.0.1", "169.254.1.1")
        ),
    ],
)
def test_what_route_53_cannot_reach_or_need_not_is_refused(change: dict[str, Any], expected: str) -> None:
    assert problems({**FLEET, **change}) == [f"quayside:{expected}"]
    assert problems({**FLEET, **change, "dns": {"provider": "route53"}}) == []


def test_no_other_cloud_has_it() -> None:
    aws = {"cloud": "aws", "domain": "example.com", "dns": CHECKED}
    assert problems(aws) == [
        "quayside:dns/health: is for fleets of hosts, and this stack is aws\n    remove health: a load balancer's records are checked as they are"
    ]
    assert problems({"cloud": "local", "dns": CHECKED}) == [
        "quayside:dns/health: is for fleets of hosts, and this stack is local\n    remove health"
    ]
