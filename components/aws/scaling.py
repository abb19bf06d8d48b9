"""How many tasks a service has: between two bounds, by what is measured and by the clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from planning.aws.model import Scaling

_NAMESPACE = "ecs"
_DIMENSION = "ecs:service:DesiredCount"
SCALE_IN = 300
SCALE_OUT = 60
"""Seconds that the last step gets to take effect: tasks come fast, and go slowly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMetric:
    """What requests are counted by: the last parts of two ARNs."""

    balancer: pulumi.Input[str]
    """app/name/id"""
    target_groups: Sequence[pulumi.Input[str]]
    """targetgroup/name/id: one, or the two that a native rollout moves requests between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceScalingArgs:
    scaling: Scaling
    cluster_name: pulumi.Input[str]
    service_name: pulumi.Input[str]
    """Physical, of the ECS service."""
    requests: RequestMetric | None = None
    """Required where `scaling.requests` is set."""
    after: Sequence[pulumi.Resource] = ()
    """The public rules: AWS refuses to count the requests of a target group that no balancer has."""
    tags: Mapping[str, str]


class ServiceScaling(pulumi.ComponentResource):
    """Bounds, one target-tracking policy for each of cpu, memory (percent) and requests (a task and minute), schedules.

    ECS takes the highest of what the policies ask for. Scheduled bounds replace the plan's until the next ones do; a
    changed plan replaces them at once. Everything is made one after the other, since Application Auto Scaling refuses
    two changes of one service at the same time. Refuses `requests` without its metric.
    """

    resources: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: ServiceScalingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:ServiceScaling", name, None, opts)
        target = aws.appautoscaling.Target(
            name,
            service_namespace=_NAMESPACE,
            scalable_dimension=_DIMENSION,
            resource_id=pulumi.Output.concat("service/", args.cluster_name, "/", args.service_name),
            min_capacity=args.scaling.min,
            max_capacity=args.scaling.max,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        made: list[pulumi.Resource] = [target]
        for metric, aim, tracked in _metrics(args):
            made.append(
                aws.appautoscaling.Policy(
                    f"{name}-{metric}",
                    policy_type="TargetTrackingScaling",
                    service_namespace=target.service_namespace,
                    scalable_dimension=target.scalable_dimension,
                    resource_id=target.resource_id,
                    target_tracking_scaling_policy_configuration=(
                        aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs(
                            target_value=aim,
                            predefined_metric_specification=tracked if isinstance(tracked, _Predefined) else None,
                            customized_metric_specification=tracked if isinstance(tracked, _Customized) else None,
                            scale_in_cooldown=SCALE_IN,
                            scale_out_cooldown=SCALE_OUT,
                        )
                    ),
                    opts=pulumi.ResourceOptions(parent=self, depends_on=[made[-1], *args.after]),
                )
            )
        for schedule in args.scaling.schedule:
            made.append(
                aws.appautoscaling.ScheduledAction(
                    f"{name}-{schedule.name}",
                    service_namespace=target.service_namespace,
                    scalable_dimension=target.scalable_dimension,
                    resource_id=target.resource_id,
                    schedule=schedule.cron,
                    timezone=schedule.timezone,
                    scalable_target_action=aws.appautoscaling.ScheduledActionScalableTargetActionArgs(
                        min_capacity=schedule.min, max_capacity=schedule.max
                    ),
                    opts=pulumi.ResourceOptions(parent=self, depends_on=[made[-1]]),
                )
            )
        self.resources = tuple(made)
        self.register_outputs({"resource_id": target.resource_id})


_Predefined = aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs
_Customized = aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationArgs
_Query = aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationMetricArgs
_Stat = (
    aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationMetricMetricStatArgs
)
_Metric = aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationMetricMetricStatMetricArgs  # noqa: E501
_Dimension = aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationMetricMetricStatMetricDimensionArgs  # noqa: E501


def _metrics(args: ServiceScalingArgs) -> Iterable[tuple[str, int, _Predefined | _Customized]]:
    scaling = args.scaling
    if scaling.cpu is not None:
        yield "cpu", scaling.cpu, _Predefined(predefined_metric_type="ECSServiceAverageCPUUtilization")
    if scaling.memory is not None:
        yield "memory", scaling.memory, _Predefined(predefined_metric_type="ECSServiceAverageMemoryUtilization")
    if scaling.requests is not None:
        if args.requests is None:
            raise ValueError("requests should come with the balancer and target group that count them, got None")
        yield "requests", scaling.requests, _requests(args.requests)


def _requests(metric: RequestMetric) -> _Predefined | _Customized:
    """Requests a target and minute.

    ALBRequestCountPerTarget is bound to one target group, and a native rollout leaves that one without requests
    (aws/containers-roadmap#1681). With two, what each counts is added up: while a rollout moves requests, both groups
    have all the service's tasks, so the sum stays what one group would count.
    """
    if len(metric.target_groups) == 1:
        label = pulumi.Output.concat(metric.balancer, "/", metric.target_groups[0])
        return _Predefined(predefined_metric_type="ALBRequestCountPerTarget", resource_label=label)
    counted = [
        _Query(
            id=f"group{number}",
            metric_stat=_Stat(
                stat="Sum",
                metric=_Metric(
                    namespace="AWS/ApplicationELB",
                    metric_name="RequestCountPerTarget",
                    dimensions=[
                        _Dimension(name="LoadBalancer", value=metric.balancer),
                        _Dimension(name="TargetGroup", value=group),
                    ],
                ),
            ),
            return_data=False,
        )
        for number, group in enumerate(metric.target_groups)
    ]
    total = " + ".join(f"FILL(group{number}, 0)" for number in range(len(counted)))
    return _Customized(
        metrics=[*counted, _Query(id="total", expression=total, label="requests a target and minute", return_data=True)]
    )
