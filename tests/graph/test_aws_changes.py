"""What a change does on the way: two rehearsals of one stack, and what is told of the difference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from rehearsal import rehearse
from rehearsal.aws_changes import Resources, change_notes

REPOSITORY = Path(__file__).parents[2]
DIGEST = "sha256:" + "0f" * 32
RULE = "aws:lb/listenerRule:ListenerRule"
WEB: dict[str, Any] = {"port": 8080, "on": "fargate", "routes": ["shop.example.com"]}
NATIVE = {"rollout": {"strategy": "blue_green"}}
DB: dict[str, Any] = {"port": 5432, "protocol": "tcp", "on": "fargate", "volume": "/data", "user": "999:999"}
POOL = {"instances": {"types": ["m7g.large"], "min": 2, "max": 4}, "zones": 2, "fargate": {}}


class Stack:
    """A stack that is rehearsed as it was and as it is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "Pulumi.yaml").write_text("name: fx\nruntime: python\n")
        (root / "__main__.py").write_text((REPOSITORY / "__main__.py").read_text())

    def resources(self, services: Mapping[str, Mapping[str, Any]], **config: Any) -> Resources:
        named = {name: {"image": f"{name}@{DIGEST}", **service} for name, service in services.items()}
        stack: dict[str, Any] = {"zones": 2, "fargate": {}}
        values = {"cloud": "aws", "domain": "example.com", "capacity": stack, **config}
        document = {"aws:region": "eu-central-1", **{f"quayside:{key}": value for key, value in values.items()}}
        (self.root / "services.yaml").write_text(yaml.safe_dump({"services": named}))
        (self.root / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": document}))
        report = rehearse("prod", self.root)
        assert report.problems == (), "\n".join(map(str, report.problems))
        return {found["urn"]: found for found in report.resources}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


def rules(found: Resources) -> dict[str, int]:
    """Public ones: name → priority."""
    return {
        str(one["name"]): int(one["inputs"]["priority"])
        for one in found.values()
        if one["type"] == RULE and "health" not in one["name"]
    }


def told(then: Resources, now: Resources) -> str:
    return "\n".join(change_notes(then, now))


# --- a rule that ECS moves --------------------------------------------------------------------------------------------


def test_a_service_turns_native_on_a_rule_of_its_own_that_answers_first(stack: Stack) -> None:
    then, now = stack.resources({"web": WEB}), stack.resources({"web": {**WEB, **NATIVE}})
    (old, before), (new, after) = *rules(then).items(), *rules(now).items()
    assert (old, new) == ("1:shop.example.com/", "1:shop.example.com/:web")
    assert after < before  # Pulumi makes the new one before it deletes the old
    rule = next(one for one in now.values() if one["name"] == new)
    groups = rule["inputs"]["actions"][0]["forward"]["targetGroups"]
    assert [group["weight"] for group in groups] == [100, 0]
    service = next(one for one in now.values() if one["type"] == "aws:ecs/service:Service")
    (balancer,) = service["inputs"]["loadBalancers"]
    assert {group["arn"] for group in groups} == {
        balancer["targetGroupArn"],
        balancer["advancedConfiguration"]["alternateTargetGroupArn"],
    }
    assert rule["urn"] in service["dependencies"]
    was = next(one for one in then.values() if one["name"] == old)
    assert was["inputs"]["actions"][0]["forward"]["targetGroups"] == [{"arn": groups[0]["arn"], "weight": 100}]
    assert "PriorityInUse" not in told(then, now)


def test_a_native_service_turns_rolling_behind_its_old_rule(stack: Stack) -> None:
    then, now = stack.resources({"web": {**WEB, **NATIVE}}), stack.resources({"web": WEB})
    (_, before), (_, after) = *rules(then).items(), *rules(now).items()
    assert before < after
    assert "shows the weight on web-alt" in told(then, now)
    assert "PriorityInUse" not in told(then, now)


@pytest.mark.parametrize("services", [{"site": WEB}, {"site": WEB, "web": {**WEB, "routes": ["www.example.com"]}}])
def test_the_route_of_a_native_service_goes_to_another_by_way_of_rolling(stack: Stack, services: Any) -> None:
    """A rename, and a route that changes hands: refused before anything changes, and the way is told."""
    native = {name: {**service, **NATIVE} for name, service in services.items()}
    then, now = stack.resources({"web": {**WEB, **NATIVE}}), stack.resources(native)
    said = told(then, now)
    assert "services/site/rollout: rule 1:shop.example.com/:site has priority" in said
    assert "PriorityInUse" in said
    assert "services/web/rollout/strategy: rolling, then with the route at site" in said
    rolling, moved = stack.resources({"web": WEB}), stack.resources(services)
    for before, after in ((then, rolling), (rolling, moved), (moved, now)):
        assert "PriorityInUse" not in told(before, after)


def test_a_native_service_that_goes_gives_its_route_away_first(stack: Stack) -> None:
    then, now = stack.resources({"web": {**WEB, **NATIVE}}), stack.resources({"site": WEB})
    assert "services/web: goes, and its route goes to another service" in told(then, now)


def test_a_pin_cannot_stay_when_the_rule_is_another(stack: Stack) -> None:
    web = {**WEB, "priority": {"shop.example.com": 40000}}
    said = told(stack.resources({"web": web}), stack.resources({"web": {**web, **NATIVE}}))
    assert "PriorityInUse" in said
    assert "Pin another number" in said


def test_a_rolling_route_that_changes_hands_is_no_news(stack: Stack) -> None:
    before = {"web": WEB, "site": {**WEB, "routes": ["www.example.com"]}}
    after = {"web": {**WEB, "routes": ["www.example.com"]}, "site": WEB}
    then, now = stack.resources(before), stack.resources(after)
    assert rules(then) == rules(now)
    assert change_notes(then, now) == []


# --- what stops, or starts anew ---------------------------------------------------------------------------------------


def test_nothing_is_told_of_a_release_that_stops_nothing(stack: Stack) -> None:
    then, now = stack.resources({"web": WEB}), stack.resources({"web": {**WEB, "env": {"A": "1"}, "replicas": 3}})
    assert change_notes(then, now) == []
    assert change_notes(then, then) == []


def test_a_zone_more_starts_every_service_anew(stack: Stack) -> None:
    services = {"web": WEB, "db": DB}
    then, now = stack.resources(services), stack.resources(services, capacity={"zones": 3, "fargate": {}})
    said = told(then, now)
    assert "services web: all tasks are started anew" in said
    assert "networkConfiguration changes" in said
    assert "services/db: stops, and starts again, since it has a volume and this changes: networkConfiguration" in said
    assert "capacity/zones" in told(now, then)


def test_a_service_with_a_volume_stops_for_whatever_changes(stack: Stack) -> None:
    then = stack.resources({"db": DB})
    said = told(then, stack.resources({"db": {**DB, "env": {"A": "1"}}}))
    assert "services/db: stops, and starts again, since it has a volume" in said
    assert "taskDefinition/containerDefinitions" in said


def test_a_service_keeps_its_architecture_when_it_moves_to_fargate(stack: Stack) -> None:
    ec2 = stack.resources({"web": {**WEB, "on": "ec2"}}, capacity=POOL)
    assert "architecture" not in told(ec2, stack.resources({"web": WEB}, capacity=POOL))
    alone = stack.resources({"web": WEB})
    assert "services/web/architecture: ARM64 → X86_64" in told(ec2, alone)
    kept = stack.resources({"web": {**WEB, "architecture": "arm64"}})
    assert "services/web/architecture" not in told(ec2, kept)


def test_another_nat_cuts_what_is_open(stack: Stack) -> None:
    web = {**WEB, "image": f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/web@{DIGEST}"}
    one, each, none = (stack.resources({"web": web}, network={"nat": nat}) for nat in ("one", "per-zone", "none"))
    assert "network/nat: the way out of zone b changes" in told(one, each)
    assert "another one" in told(each, one)
    assert "network/nat: zones a, b has no way out any more" in told(one, none)
    assert "network/nat" not in told(none, one)


def test_another_range_is_another_network(stack: Stack) -> None:
    said = told(stack.resources({"web": WEB}), stack.resources({"web": WEB}, network={"range": "10.40.0.0/16"}))
    assert "network/range: " in said
    assert "makes the whole network anew" in said


def test_a_tcp_port_changes_before_its_callers_do(stack: Stack) -> None:
    web = {**WEB, "uses": ["cache"]}
    cache = {"port": 6379, "protocol": "tcp", "on": "fargate"}
    then = stack.resources({"web": web, "cache": cache})
    said = told(then, stack.resources({"web": web, "cache": {**cache, "port": 6380}}))
    assert "services/cache/port: callers reach cache at port 6379 until they are released themselves" in said


def test_a_health_path_is_served_before_it_is_asked_for(stack: Stack) -> None:
    said = told(stack.resources({"web": WEB}), stack.resources({"web": {**WEB, "health": "/up"}}))
    assert "services/web/health: the tasks that run are asked for /up at once" in said


def test_a_group_that_others_may_name_is_told_of_before_it_goes(stack: Stack) -> None:
    then, now = stack.resources({"web": WEB, "site": {**WEB, "routes": []}}), stack.resources({"web": WEB})
    assert "security groups service-site: " in told(then, now)
