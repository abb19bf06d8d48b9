"""Tags of a person's own are on all that can carry them, and what the console lists by its id has a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi_aws
import pytest
import yaml

from components.aws.console_names import SHOWN
from rehearsal import Report, rehearse
from tests.unit.test_aws_planning import DIGEST

REPOSITORY = Path(__file__).parents[2]
SERVICES = f"""\
services:
  web: {{image: "ghcr.io/acme/web@{DIGEST}", port: 80, uses: [db], replicas: {{min: 1, max: 2}}}}
  db: {{image: "redis@{DIGEST}", port: 6379, protocol: tcp, volume: /data, user: "999", on: fargate}}
"""
CONFIG: dict[str, Any] = {
    "aws:region": "eu-central-1",
    "quayside:cloud": "aws",
    "quayside:domain": "example.com",
    "quayside:capacity": {"instances": {"types": ["m7g.large"], "max": 3}},
    "quayside:network": {"flow_logs": "7d"},
    "quayside:registry": {
        "repositories": ["acme/web"],
        "push": ["arn:aws:iam::123456789012:role/ci"],
        "cache": {"quay": {"upstream": "quay.io"}},
    },
    "quayside:tags": {"team": "shop", "cost-centre": 4711},
}
NAMED = {"aws:ec2/launchTemplate:LaunchTemplate"}
"""Of EC2 and EFS, with a name of its own in the console."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    root = tmp_path_factory.mktemp("tags")
    (root / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (root / "__main__.py").write_text((REPOSITORY / "__main__.py").read_text())
    (root / "services.yaml").write_text(SERVICES)
    (root / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": CONFIG}))
    return rehearse("prod", root)


def taggable(report: Report) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for resource in report.resources:
        module, _, class_ = resource["type"].removeprefix("aws:").partition(":")
        takes = getattr(getattr(pulumi_aws, module.partition("/")[0], None), f"{class_}Args", None)
        if resource["type"].startswith("aws:") and hasattr(takes, "tags"):
            found.append(resource)
    return found


def tags(resource: dict[str, Any]) -> dict[str, str]:
    given = resource["inputs"].get("tags", {})
    return given if isinstance(given, dict) else {tag["key"]: tag["value"] for tag in given}


def test_it_is_a_stack_without_a_problem(report: Report) -> None:
    assert report.problems == ()
    assert len(taggable(report)) > 50


def test_everything_that_can_be_tagged_is(report: Report) -> None:
    for resource in taggable(report):
        known = tags(resource)
        assert (known.get("team"), known.get("cost-centre")) == ("shop", "4711"), resource["urn"]
        assert known.get("quayside:stack") == "shop/prod", resource["urn"]


def test_what_the_console_lists_by_its_id_has_a_name(report: Report) -> None:
    """A new type of EC2 or EFS is either among those that are named, or has a name of its own."""
    for resource in taggable(report):
        of_id = resource["type"].startswith(("aws:ec2/", "aws:efs/")) and resource["type"] not in NAMED
        assert of_id == (resource["type"] in SHOWN), resource["type"]
        if of_id:
            assert tags(resource)["Name"] == f"shop-prod-{resource['name']}"


def test_tasks_and_instances_carry_them(report: Report) -> None:
    for resource in report.resources:
        inputs = resource["inputs"]
        if resource["type"] == "aws:ecs/service:Service":
            assert inputs["propagateTags"] == "SERVICE"
        if resource["type"] == "aws:autoscaling/group:Group":
            assert {"key": "Name", "value": "shop-prod-pool", "propagateAtLaunch": True} in inputs["tags"]
            assert {"key": "team", "value": "shop", "propagateAtLaunch": True} in inputs["tags"]
        if resource["type"] == "aws:ec2/launchTemplate:LaunchTemplate":
            assert {found["resourceType"] for found in inputs["tagSpecifications"]} == {
                "instance", "volume", "network-interface",
            }  # fmt: skip
            assert {found["tags"]["Name"] for found in inputs["tagSpecifications"]} == {"shop-prod-pool"}


def test_headers_of_any_name_reach_a_service_and_a_pause_costs_no_task(report: Report) -> None:
    for resource in report.resources:
        if resource["type"] == "aws:lb/loadBalancer:LoadBalancer":
            assert resource["inputs"]["dropInvalidHeaderFields"] is False
            assert resource["inputs"]["desyncMitigationMode"] == "defensive"
        if resource["type"] == "aws:lb/targetGroup:TargetGroup":
            health = resource["inputs"]["healthCheck"]
            assert health["interval"] * health["unhealthyThreshold"] >= 45
