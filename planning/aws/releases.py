"""What ECS made of a release, compared with what was declared.

Pulumi stores an ECS service although its release failed, so the next `up` has nothing to change there. Only a look at
what ECS runs tells whether the release holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`redeploy` asks ECS for one more deployment of what it has. `failed` ends the `up`, and so does `stale`: what
    Pulumi has stored of the service is not what is there, so Pulumi must look at it before it changes anything."""

    action: Literal["done", "wait", "redeploy", "failed", "stale"]
    reason: str = ""


DONE = Verdict(action="done")


def judge(
    declared: str,
    service: Mapping[str, Any] | None,
    healthy: Mapping[str, int],
    *,
    redeployed: bool = False,
) -> Verdict:
    """The verdict on one ECS service.

    `declared` is the ARN of the task definition that it should run, `service` its entry in the answer of
    DescribeServices (None where there is none), `healthy` the healthy targets of each of its target groups. ECS goes
    back only to a deployment that was completed: a first one that failed stays as it is, until it is `redeployed`.
    """
    if service is None or service.get("status") != "ACTIVE":
        return Verdict(action="stale", reason="the ECS service is not there any more")
    deployments: Sequence[Mapping[str, Any]] = service.get("deployments") or ()
    primary = next((one for one in deployments if one.get("status") == "PRIMARY"), None)
    if primary is None:
        return Verdict(action="wait", reason="it has no deployment yet")
    state = _state(service, primary, len(deployments))
    running = str(primary.get("taskDefinition", ""))
    if running != declared:
        what = f"it runs {_short(running)}, and {_short(declared)} is declared{_why(primary)}"
        if state == "IN_PROGRESS":
            return Verdict(action="wait", reason=what)
        return Verdict(action="stale", reason=f"ECS took the release back: {what}")
    if state == "FAILED":
        if len(deployments) > 1:
            return Verdict(action="wait", reason=f"the release of {_short(declared)} failed{_why(primary)}")
        reason = f"the release of {_short(declared)} failed, and there is nothing to go back to{_why(primary)}"
        return Verdict(action="failed" if redeployed else "redeploy", reason=reason)
    if state != "COMPLETED":
        return Verdict(action="wait", reason=f"the release of {_short(declared)} is not complete{_why(primary)}")
    if healthy and service.get("desiredCount") and not any(healthy.values()):
        return Verdict(action="wait", reason="its target group has no healthy target")
    return DONE


def _state(service: Mapping[str, Any], primary: Mapping[str, Any], deployments: int) -> str:
    """The state of the newest deployment. Where ECS does not say it, steady is what the AWS CLI waits for as well."""
    state = str(primary.get("rolloutState") or "")
    if state:
        return state
    steady = deployments == 1 and service.get("runningCount") == service.get("desiredCount")
    return "COMPLETED" if steady else "IN_PROGRESS"


def _short(arn: str) -> str:
    """family:revision"""
    return arn.rpartition("/")[2]


def _why(deployment: Mapping[str, Any]) -> str:
    reason = str(deployment.get("rolloutStateReason") or "").rstrip(". ")
    return f" ({reason})" if reason else ""
