"""The alarm that takes a release back: too many answers of a service are errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

PERIOD = 60
"""Seconds that one value is about."""
PERIODS = 2
"""Values in a row that are too high, so that one bad minute ends no release."""
FEWEST = 10
"""Requests in a period below which a share says nothing."""


_ANSWERS = {
    "two": "HTTPCode_Target_2XX_Count",
    "three": "HTTPCode_Target_3XX_Count",
    "four": "HTTPCode_Target_4XX_Count",
    "failed": "HTTPCode_Target_5XX_Count",
}
_BALANCER = {"broken": "HTTPCode_ELB_502_Count", "late": "HTTPCode_ELB_504_Count"}
"""What a balancer answers by itself where a target breaks off, or says nothing. AWS counts these for the whole balancer
alone, so they bound what one target group may have to do with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAlarmArgs:
    service: str
    percent: int
    balancer: pulumi.Input[str]
    """The last part of its ARN: app/name/id."""
    target_group: pulumi.Input[str]
    """The last part of its ARN: targetgroup/name/id."""
    tags: Mapping[str, str]


def error_alarm(name: str, args: ErrorAlarmArgs, opts: pulumi.ResourceOptions) -> aws.cloudwatch.MetricAlarm:
    """Declare it: on when more than `percent` of a minute's requests failed, two minutes in a row.

    Failed are answers with a 5xx status, and requests that got no answer from the target: those sent to it less those
    it answered, as far as the balancer gave a 502 or 504 in that minute (an upgrade to a WebSocket, or a client that
    hung up, is no answer either). One alarm for each target group: in a canary rollout the new one has a few percent of
    all requests, and could fail every one of them without ever being a few percent of all. Minutes with fewer than ten
    requests, and without any, count as good. Unhealthy targets are not counted: ECS replaces them, and its circuit
    breaker counts them, after the grace that a slow start needs; nor is slowness, for which no number is right for all.
    """
    group: Mapping[str, pulumi.Input[str]] = {"LoadBalancer": args.balancer, "TargetGroup": args.target_group}
    asked = {"asked": "RequestCount", "refused": "TargetConnectionErrorCount", **_ANSWERS}
    queries = [_sum(key, metric, group) for key, metric in asked.items()]
    queries += [_sum(key, metric, {"LoadBalancer": args.balancer}) for key, metric in _BALANCER.items()]
    share = f"IF(FILL(asked, 0) >= {FEWEST}, 100 * (FILL(failed, 0) + lost) / asked, 0)"
    expressions = {
        "answered": " + ".join(f"FILL({key}, 0)" for key in _ANSWERS),
        "silent": "FILL(asked, 0) - answered",
        "balancer": " + ".join(f"FILL({key}, 0)" for key in _BALANCER),
        "unanswered": "IF(silent < balancer, silent, balancer)",
        "lost": "IF(unanswered > FILL(refused, 0), unanswered, FILL(refused, 0))",
    }
    queries += [
        aws.cloudwatch.MetricAlarmMetricQueryArgs(id=key, expression=expression, return_data=False)
        for key, expression in expressions.items()
    ]
    queries.append(
        aws.cloudwatch.MetricAlarmMetricQueryArgs(
            id="share", expression=share, label="percent of requests that failed", return_data=True
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


def unused_alarm(name: str, tags: Mapping[str, str], opts: pulumi.ResourceOptions) -> aws.cloudwatch.MetricAlarm:
    """An alarm that is never on. A service that names no alarm keeps those it had, so one that has none names this,
    disabled: the provider sends no empty list."""
    return aws.cloudwatch.MetricAlarm(
        name,
        alarm_description="Never on: named, and disabled, by ECS services that no alarm watches",
        namespace="quayside",
        metric_name="unused",
        statistic="Sum",
        period=PERIOD,
        comparison_operator="GreaterThanThreshold",
        threshold=0,
        evaluation_periods=1,
        treat_missing_data="notBreaching",
        tags=tags,
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
