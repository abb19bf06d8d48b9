"""After a release on ECS: what is looked at, what is waited for, and when the `up` fails."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import botocore.session
import pulumi
import pytest
from botocore.stub import Stubber

from components.aws.release_check import Release, ReleaseCheck
from planning.aws.releases import judge

OLD, NEW = (f"arn:aws:ecs:eu-central-1:123456789012:task-definition/web:{number}" for number in (3, 4))
GROUP = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/0123456789abcdef"
URN = "urn:pulumi:prod::shop::aws:ecs/service:Service::web"


def deployment(task_definition: str, state: str | None, status: str = "PRIMARY", reason: str = "") -> dict[str, Any]:
    found = {"status": status, "taskDefinition": task_definition, "rolloutStateReason": reason}
    return found if state is None else {**found, "rolloutState": state}


def service(*deployments: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    return {"status": "ACTIVE", "desiredCount": 2, "runningCount": 2, "deployments": list(deployments), **given}


DONE = service(deployment(NEW, "COMPLETED"))
TAKEN_BACK = service(deployment(OLD, "COMPLETED", reason="ECS deployment circuit breaker: rolling back."))
FAILED = service(deployment(NEW, "FAILED", reason="tasks failed to start"), runningCount=0)

STATES = [
    ("as declared", DONE, {GROUP: 2}, "done", ""),
    ("a worker has no target group", DONE, {}, "done", ""),
    (
        "nothing is wanted",
        service(deployment(NEW, "COMPLETED"), desiredCount=0, runningCount=0),
        {GROUP: 0},
        "done",
        "",
    ),
    ("native: one of two groups has the targets", DONE, {GROUP: 0, f"{GROUP}-alt": 2}, "done", ""),
    ("ECS says no state", service(deployment(NEW, None)), {GROUP: 2}, "done", ""),
    ("ECS says no state", service(deployment(NEW, None), runningCount=1), {GROUP: 1}, "wait", "not complete"),
    (
        "ECS says no state",
        service(deployment(NEW, None), deployment(OLD, None, "ACTIVE")),
        {GROUP: 2},
        "wait",
        "not complete",
    ),
    ("no target is healthy", DONE, {GROUP: 0}, "wait", "no healthy target"),
    ("under way", service(deployment(NEW, "IN_PROGRESS")), {GROUP: 1}, "wait", "web:4 is not complete"),
    ("nothing yet", service(), {}, "wait", "no deployment"),
    ("taken back", TAKEN_BACK, {GROUP: 2}, "stale", "it runs web:3, and web:4 is declared (ECS deployment circuit"),
    (
        "going back",
        service(deployment(OLD, "IN_PROGRESS"), deployment(NEW, "FAILED", "ACTIVE")),
        {GROUP: 2},
        "wait",
        "web:4 is declared",
    ),
    (
        "about to go back",
        service(deployment(NEW, "FAILED"), deployment(OLD, "COMPLETED", "ACTIVE")),
        {GROUP: 2},
        "wait",
        "failed",
    ),
    ("going back failed", service(deployment(OLD, "FAILED")), {GROUP: 0}, "stale", "web:4 is declared"),
    ("the first one failed", FAILED, {GROUP: 0}, "redeploy", "nothing to go back to (tasks failed to start)"),
    ("deleted by somebody", None, {}, "stale", "not there"),
    ("deleted by somebody", service(status="INACTIVE"), {}, "stale", "not there"),
]


@pytest.mark.parametrize(("what", "found", "healthy", "action", "said"), STATES)
def test_every_state_of_a_service_has_its_verdict(
    what: str, found: Mapping[str, Any] | None, healthy: Mapping[str, int], action: str, said: str
) -> None:
    verdict = judge(NEW, found, healthy)
    assert (verdict.action, said in verdict.reason) == (action, True), f"{what}: {verdict}"


def test_a_first_release_is_tried_once_in_an_up() -> None:
    assert judge(NEW, FAILED, {}, redeployed=True).action == "failed"


# --- the check as a whole, against a stubbed API ----------------------------------------------------------------------


class Stubbed:
    """Real clients whose answers are given, each checked against AWS's own model."""

    def __init__(self) -> None:
        session: Any = botocore.session.get_session()
        session.set_credentials("a", "b")
        self.clients = {name: session.create_client(name, region_name="eu-central-1") for name in ("ecs", "elbv2")}
        self.stubs = {name: Stubber(client) for name, client in self.clients.items()}
        for stub in self.stubs.values():
            stub.activate()

    def look(self, found: Mapping[str, Any] | None, healthy: int = 2) -> None:
        self.stubs["ecs"].add_response(
            "describe_services", {"services": [found] if found else []}, {"cluster": "main", "services": ["web-1"]}
        )
        states = ["healthy"] * healthy + ["draining"]
        self.stubs["elbv2"].add_response(
            "describe_target_health",
            {"TargetHealthDescriptions": [{"TargetHealth": {"State": state}} for state in states]},
            {"TargetGroupArn": GROUP},
        )

    def redeploy(self) -> None:
        self.stubs["ecs"].add_response(
            "update_service", {}, {"cluster": "main", "service": "web-1", "forceNewDeployment": True}
        )

    def check(self, seconds: int = 60) -> bool:
        release = Release(
            service="web",
            cluster="main",
            name="web-1",
            urn=URN,
            task_definition=NEW,
            target_groups=[GROUP],
            seconds=seconds,
        )
        found = asyncio.run(_run(ReleaseCheck(self.clients.__getitem__, poll=0), release))
        for stub in self.stubs.values():
            stub.assert_no_pending_responses()
        return found


async def _run(check: ReleaseCheck, release: Release) -> bool:
    return await check(release)


@pytest.fixture
def stubbed() -> Stubbed:
    return Stubbed()


def looks(stubbed: Stubbed, states: Sequence[tuple[Mapping[str, Any] | None, int]]) -> None:
    for found, healthy in states:
        stubbed.look(found, healthy)


def test_a_good_release_is_seen_at_once(stubbed: Stubbed) -> None:
    stubbed.look(DONE)
    assert stubbed.check()


def test_what_is_not_there_yet_is_waited_for(stubbed: Stubbed) -> None:
    looks(stubbed, [(service(deployment(NEW, "IN_PROGRESS")), 0), (DONE, 0), (DONE, 1)])
    assert stubbed.check()


def test_a_release_that_ecs_took_back_fails_in_every_up_and_says_what_to_do(stubbed: Stubbed) -> None:
    for _ in range(2):
        stubbed.look(TAKEN_BACK)
        with pytest.raises(pulumi.RunError) as told:
            stubbed.check()
        assert str(told.value).startswith("services/web: ECS took the release back: it runs web:3")
        assert f"`pulumi refresh --target '{URN}'`, then `pulumi up`" in str(told.value)


def test_a_first_release_that_failed_is_released_anew_by_the_next_up(stubbed: Stubbed) -> None:
    stubbed.look(FAILED, 0)
    stubbed.redeploy()
    looks(stubbed, [(service(deployment(NEW, "IN_PROGRESS")), 0), (DONE, 2)])
    assert stubbed.check()


def test_a_first_release_that_fails_again_fails_the_up(stubbed: Stubbed) -> None:
    stubbed.look(FAILED, 0)
    stubbed.redeploy()
    stubbed.look(FAILED, 0)
    with pytest.raises(pulumi.RunError, match=r"tasks failed to start.*\n.*quayside logs web"):
        stubbed.check()


def test_waiting_has_an_end_and_says_for_what(stubbed: Stubbed) -> None:
    stubbed.look(DONE, 0)
    with pytest.raises(pulumi.RunError, match="services/web: its target group has no healthy target, after 0 seconds"):
        stubbed.check(seconds=0)


def test_a_check_that_aws_refuses_is_no_success(stubbed: Stubbed) -> None:
    stubbed.stubs["ecs"].add_client_error("describe_services", "AccessDeniedException", "not authorized")
    with pytest.raises(pulumi.RunError, match=r"cannot be seen: .*not authorized.*\n.*ecs:DescribeServices"):
        stubbed.check()
