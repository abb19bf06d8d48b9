"""What is paid for on AWS is used, or said: Fargate's sizes, spot, instances that are always there, endpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from planning.aws import tasks
from planning.aws.definition import Definition, container_definitions
from planning.aws.model import AwsService
from planning.aws.plan import plan
from tests.unit.test_aws_planning import NO_NAT, TCP, WEB, stack

FARGATE: Mapping[str, Any] = {**WEB, "on": "fargate"}
MIB = 1024**2


def planned(services: Mapping[str, Any], **values: Any) -> Mapping[str, AwsService]:
    return plan(stack(services, **values), {}).services


def containers(service: AwsService) -> list[dict[str, Any]]:
    variant = service.variants[0]
    return container_definitions(
        Definition(service=service, variant=variant, image="i", region="r", log_group="g", secrets={})
    )


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [6, 64, 512, 513, 3000, 60_000])
@pytest.mark.parametrize("files", [{}, {"/etc/web/a": {"content": "a"}}], ids=["", "files"])
@pytest.mark.parametrize("connected", [False, True], ids=["", "connected"])
@pytest.mark.parametrize("on", ["fargate", "ec2"])
def test_every_mib_of_a_task_may_be_used(memory: int, files: dict[str, Any], connected: bool, on: str) -> None:
    """What its containers may use, with the proxy's share, is the task; on instances that is what they ask for."""
    web = {**WEB, "on": on, "memory": memory * MIB, "files": files, "uses": ("db",) if connected else ()}
    services = {"web": web, "db": {**TCP, "on": "fargate", "health": {"command": ("true",)}}}
    pool = {"instances": {"types": ("m7g.8xlarge",), "max": 3}}
    service = planned(services, capacity=pool)["web"]
    limits = [container["memory"] for container in containers(service)]
    assert sum(limits) + (64 if connected else 0) == service.memory
    assert limits[0] >= memory
    if on == "ec2":
        assert limits[0] == memory


def test_tmpfs_is_as_large_as_what_may_be_used() -> None:
    (web,) = containers(planned({"web": {**FARGATE, "cpu": 0.25, "memory": 64 * MIB}})["web"])
    assert (web["memory"], web["linuxParameters"]["tmpfs"][0]["size"]) == (512, 512)
    assert "64" not in json.dumps(web).split()


# --- spot -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spot", "bases", "shown"),
    [
        (0, {"FARGATE": 0}, "FARGATE"),
        (50, {"FARGATE": 1, "FARGATE_SPOT": 0}, "FARGATE 1 + 50 %, FARGATE_SPOT 50 %"),
        (99, {"FARGATE": 1, "FARGATE_SPOT": 0}, "FARGATE 1 + 1 %, FARGATE_SPOT 99 %"),
        (100, {"FARGATE_SPOT": 0}, "FARGATE_SPOT"),
    ],
)
def test_the_first_task_stays_off_spot_unless_all_are_meant(spot: int, bases: dict[str, int], shown: str) -> None:
    providers = planned({"web": FARGATE}, capacity={"fargate": {"spot": spot}})["web"].providers
    assert {name: tasks.base(providers, name) for name in providers} == bases
    assert tasks.placed_on(providers) == shown


# --- notes ------------------------------------------------------------------------------------------------------------


def notes(services: Mapping[str, Any], **values: Any) -> list[str]:
    return list(plan(stack(services, **values), {}).notes)


@pytest.mark.parametrize(
    ("capacity", "services", "said"),
    [
        (
            {"instances": {"types": ("m7g.large",), "max": 3}},
            {"web": WEB},
            "7 endpoints in each of 2 zones, about 126 US",
        ),
        ({"zones": 3}, {"web": FARGATE}, "4 endpoints in each of 3 zones, about 108 US dollars a month"),
    ],
    ids=["pool", "fargate"],
)
def test_endpoints_that_cost_more_than_nat_are_noted(capacity: Any, services: Any, said: str) -> None:
    found = [note for note in notes(services, network=NO_NAT, capacity=capacity) if "network/nat" in note]
    assert [said in note for note in found] == [True]
    assert found[0].startswith("quayside:network/nat: none makes ")
    assert "one NAT gateway (nat: one) is about 38" in found[0]
    assert not [note for note in notes(services, capacity=capacity) if "network/nat" in note]


def test_instances_that_the_minimum_load_does_not_need_are_noted() -> None:
    def said(least: int) -> list[str]:
        pool = {"instances": {"types": ("m7g.large",), "min": least, "max": 4}}
        return [note for note in notes({"web": WEB}, capacity=pool) if "instances/min" in note]

    assert said(0) == said(1) == []
    (note,) = said(3)
    assert note == (
        "quayside:capacity/instances/min: 3 instances are paid for all the time, and the minimum load needs 1 "
        "(Capacity fit). The rest is room for releases and for the loss of a zone; with min: 1 these wait until an "
        "instance has started"
    )
