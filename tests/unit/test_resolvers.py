"""How long every HAProxy of the product keeps what Docker's resolver once told it."""

from __future__ import annotations

import re

import pytest

from planning.hosts.door import door
from planning.plan import plan
from settings.stack import Stack
from tests.mesh import fleet, host, placed, planned
from tests.mesh import rendered as rendered_host
from tests.unit.test_edge import rendered

WEB = {"image": "web", "port": 8000, "routes": ("shop.{domain}",)}
SECONDS = {"s": 1, "h": 3600}


def edge_of_one_host() -> str:
    return rendered({"web": WEB})


def edge_of_a_fleet() -> str:
    hosts = fleet(host("a"), host("b"), host("c", burst=True))
    where = {"web-1": ("web", "a"), "web-2": ("web", "b"), "web_1_c": ("web", "c")}
    fleet_plan = planned({"web": {**WEB, "replicas": 2}}, hosts, placed(where))
    return "".join(rendered_host(fleet_plan, name) for name in fleet_plan.hosts)


def port_proxy() -> str:
    service = {"image": "web", "port": 8000, "ports": [{"port": 9000, "sources": ["0.0.0.0/0"]}]}
    values = {"project": "t", "name": "t", "cloud": "hetzner", "domain": "example.com", "services": {"web": service}}
    return door(plan(Stack.model_validate(values), {}).services["web"])


@pytest.mark.parametrize("render", [edge_of_one_host, edge_of_a_fleet, port_proxy])
def test_an_address_that_docker_names_no_more_goes_at_once_and_none_goes_while_docker_is_away(render: object) -> None:
    assert callable(render)
    text = str(render())
    sections = re.findall(r"^resolvers .*\n((?: .*\n)+)", text, re.MULTILINE)
    assert len(sections) == max(1, text.count("frontend public"))
    for section in sections:
        holds = {
            status: int(number) * SECONDS[unit] for status, number, unit in re.findall(r"hold (\w+) (\d+)(\w)", section)
        }
        assert holds.pop("obsolete") <= 2
        assert holds == dict.fromkeys(("nx", "other", "refused", "timeout"), 24 * 3600)
