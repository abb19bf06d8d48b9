"""The alarm that takes a release back: too many answers of a service are errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

PERIOD = 60
"""Seconds that one value is about."""
PERIODS = 2
"""Values in a row that are too high, so that one bad minute ends no release."""
FEWEST = 10
"""Requests in a period below which a share says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAlarmArgs:
    service: str
    percent: int
    balancer: pulumi.Input[str]
    """The last part of its ARN: app/name/id."""
    target_groups: Sequence[pulumi.Input[str]]
    """The last part of each ARN: targetgroup/name/id."""
    tags: Mapping[str, str]


def error_alarm(name: str, args: ErrorAlarmArgs, opts: pulumi.ResourceOptions) -> aws.cloudwatch.MetricAlarm:
    """Declare it: on when more than `percent` of a minute's requests failed, two minutes in a row.

    Failed are answers with a 5xx status, and requests that found nobody listening. Each target group by itself, and the
    worst of them counts: in a canary rollout the new one has a few percent of all requests, and could fail every one of
    them without ever being a few percent of all. Minutes with fewer than ten requests, and without any, count as good.
    """
    queries: list[aws.cloudwatch.MetricAlarmMetricQueryArgs] = []
    for number, group in enumerate(args.target_groups):
        dimensions: Mapping[str, pulumi.Input[str]] = {"LoadBalancer": args.balancer, "TargetGroup": group}
        for key, metric in (
            ("refused", "TargetConnectionErrorCount"),
            ("failed", "HTTPCode_Target_5XX_Count"),
            ("asked", "RequestCount"),
        ):
            queries.append(_sum(f"{key}{number}", metric, dimensions))
        queries.append(
            aws.cloudwatch.MetricAlarmMetricQueryArgs(
                id=f"share{number}",
                expression=(
                    f"IF(FILL(asked{number}, 0) >= {FEWEST},"
                    f" 100 * (FILL(failed{number}, 0) + FILL(refused{number}, 0)) / asked{number}, 0)"
                ),
                return_data=False,
            )
        )
    shares = ", ".join(f"share{number}" for number in range(len(args.target_groups)))
    queries.append(
        aws.cloudwatch.MetricAlarmMetricQueryArgs(
            id="worst", expression=f"MAX([{shares}])", label="percent of requests that failed", return_data=True
        )
    )
    return aws.cloudwatch.MetricAlarm(
        name,
        alarm_description=f"More than {args.percent} % of the requests to {args.service} fail",
        comparison_operator="GreaterThanThreshold",
        threshold=args.percent,
        evaluation_periods=PERIODS,
        datapoints_to_alarm=PERIODS,
        treat_missing_data="notBreaching",
        metric_queries=queries,
        tags=args.tags,
        opts=opts,
    )


def _sum(
    identity: str, metric: str, dimensions: Mapping[str, pulumi.Input[str]]
) -> aws.cloudwatch.MetricAlarmMetricQueryArgs:
    return aws.cloudwatch.MetricAlarmMetricQueryArgs(
        id=identity,
        metric=aws.cloudwatch.MetricAlarmMetricQueryMetricArgs(
            namespace="AWS/ApplicationELB", metric_name=metric, stat="Sum", period=PERIOD, dimensions=dimensions
        ),
        return_data=False,
    )
