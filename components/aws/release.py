"""How ECS replaces a service's tasks, and how long that may take."""

from __future__ import annotations

import math

import pulumi
import pulumi_aws as aws

from planning.aws.model import AwsService
from settings.service import Rollout

_BAKE = 600
"""Seconds a step has to hold where the settings do not say."""
_CANARY = 5
_LINEAR = 10
"""Percent, likewise: AWS's own defaults."""
_STARTUP = 900
"""Seconds for an instance to come, an image to be pulled, and the alarms to be watched at the end (five minutes)."""
_ATTEMPTS = 4
"""Starts that fail before the circuit breaker opens (three at least), and the one that goes back."""


def deployment(plan: AwsService, *, native: bool) -> aws.ecs.ServiceDeploymentConfigurationArgs:
    """The strategy. Each step of a native one bakes, and so does the end, before the old tasks go."""
    rollout = plan.settings.rollout or Rollout()
    if not native or rollout.strategy == "rolling":
        return aws.ecs.ServiceDeploymentConfigurationArgs(strategy="ROLLING")
    bake = str(_bake(rollout) // 60)
    return aws.ecs.ServiceDeploymentConfigurationArgs(
        strategy=rollout.strategy.upper(),
        bake_time_in_minutes=bake,
        canary_configuration=aws.ecs.ServiceDeploymentConfigurationCanaryConfigurationArgs(
            canary_percent=rollout.percent or _CANARY, canary_bake_time_in_minutes=bake
        )
        if rollout.strategy == "canary"
        else None,
        linear_configuration=aws.ecs.ServiceDeploymentConfigurationLinearConfigurationArgs(
            step_percent=rollout.percent or _LINEAR, step_bake_time_in_minutes=bake
        )
        if rollout.strategy == "linear"
        else None,
    )


def timeouts(plan: AwsService) -> pulumi.CustomTimeouts:
    """Long enough for ECS to say itself that a release failed: a wait that ends before says nothing of it."""
    release = release_seconds(plan)
    return pulumi.CustomTimeouts(
        create=_minutes(release), update=_minutes(release), delete=_minutes(_STARTUP + 2 * plan.settings.drain)
    )


def release_seconds(plan: AwsService) -> int:
    settings = plan.settings
    return _STARTUP + _ATTEMPTS * settings.health.grace + 2 * settings.drain + _baking(settings.rollout)


def _baking(rollout: Rollout | None) -> int:
    """Seconds that a native rollout holds at its steps and at its end."""
    if rollout is None or rollout.strategy == "rolling":
        return 0
    steps = {"blue_green": 0, "canary": 1, "linear": math.ceil(100 / (rollout.percent or _LINEAR)) - 1}
    return (steps[rollout.strategy] + 1) * _bake(rollout)


def _bake(rollout: Rollout) -> int:
    return _BAKE if rollout.bake is None else rollout.bake


def _minutes(seconds: int) -> str:
    return f"{math.ceil(seconds / 60)}m"
