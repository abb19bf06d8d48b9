"""What AWS documents about a value, and its models leave open: ranges, lists of values, forms.

Where no page is named, the source is the API reference that botocore carries as the member's documentation. Pages are
those of docs.aws.amazon.com.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rehearsal.values import sequence


@dataclass(frozen=True, slots=True)
class Limit:
    """A rule for the value of one input."""

    says: str
    """`should be …`, completed by the value received."""
    holds: Callable[[Any], bool] = field(compare=False)
    bad: Any
    """A value it refuses: tests change inputs to it."""
    source: str = ""
    whole: bool = False
    """Whether it judges a list as a whole, not its items."""

    def wrong(self, value: Any) -> str:
        return "" if self.holds(value) else f"should be {self.says}"


def _between(low: float, high: float, *also: float) -> Limit:
    def holds(value: Any) -> bool:
        number = _number(value)
        return number is not None and (low <= number <= high or number in also)

    extra = "".join(f"{number:g} or " for number in also)
    return Limit(f"{extra}{low:.15g}–{high:.15g}", holds, high + 1)


def _one_of(*choices: str | int) -> Limit:
    known = {str(choice) for choice in choices}
    return Limit(f"one of {', '.join(str(c) for c in choices)}", lambda value: str(value) in known, "wrong")


def _days(*choices: int) -> Limit:
    return Limit(f"one of {', '.join(map(str, choices))}", lambda value: _number(value) in choices, 2)


def _like(pattern: str, says: str, bad: Any = "!") -> Limit:
    compiled = re.compile(pattern)
    return Limit(says, lambda value: bool(compiled.fullmatch(str(value))), bad)


def _at_most(count: int, what: str) -> Limit:
    many = [f"x{index}" for index in range(count + 1)]
    return Limit(f"at most {count} {what}", lambda value: len(sequence(value) or []) <= count, many, whole=True)


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _is_period(seconds: float | None) -> bool:
    return seconds is not None and seconds > 0 and (seconds in (10, 20, 30) or seconds % 60 == 0)


# A schedule of Application Auto Scaling and EventBridge: six fields, and one of the two days must be `?`.
_FIELD = r"[0-9A-Za-z*/,\-?L#W]+"
_CRON = re.compile(rf"cron\(({_FIELD}(?: {_FIELD}){{5}})\)")
_RATE = re.compile(r"rate\(([1-9]\d*) (minute|minutes|hour|hours|day|days)\)")
_AT = re.compile(r"at\(\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\)")
_SPANS = ((0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199))
_NAMED = {3: "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", 4: "SUN MON TUE WED THU FRI SAT"}


def _is_schedule(value: Any) -> bool:
    text = str(value)
    if _AT.fullmatch(text):
        return True
    if rate := _RATE.fullmatch(text):
        return (rate[1] == "1") != rate[2].endswith("s")
    cron = _CRON.fullmatch(text)
    if cron is None:
        return False
    fields = cron[1].split(" ")
    if (fields[2] == "?") == (fields[4] == "?"):
        return False
    return all(_is_field(index, part) for index, text in enumerate(fields) for part in text.split(","))


def _is_field(index: int, text: str) -> bool:
    if text in ("*", "?") or (index in (2, 4) and re.fullmatch(r"L|LW|[1-7]L|L-\d+|\d+W|[1-7A-Za-z]+#[1-5]", text)):
        return text != "?" or index in (2, 4)
    base, _, step = text.partition("/")
    if step and not step.isdecimal():
        return False
    low, high = _SPANS[index]
    names = _NAMED.get(index, "").split()
    return all(
        part == "*" or part.upper() in names or (part.isdecimal() and low <= int(part) <= high)
        for part in base.split("-", 1)
    )


_SCHEDULE = Limit("cron(…) with six fields and one `?`, rate(…) or at(…)", _is_schedule, "cron(0 8 * * *)")
_RETENTION = _days(
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653, 0
)  # 0 is the provider's word for ever
_ECS_NAME = _like(r"[A-Za-z0-9_-]{1,255}", "1–255 letters, digits, hyphens or underscores")
_PROTOCOLS = _like(r"-1|tcp|udp|icmp|icmpv6|all|\d{1,3}", "tcp, udp, icmp, icmpv6, -1 or the number of a protocol")
_PORT = _between(-1, 65535)
_ADDRESS = r"(\d{1,3}\.){3}\d{1,3}"
_CIDR4 = _like(rf"{_ADDRESS}/([0-9]|[12]\d|3[0-2])", "an IPv4 range such as 10.0.0.0/16")
_CIDR6 = _like(r"[0-9a-fA-F:]+/\d{1,3}", "an IPv6 range such as ::/0")
_PERCENT = _between(0, 100)
_PERIOD = Limit("10, 20, 30 or a multiple of 60", lambda value: _is_period(_number(value)), 45)
_HEADER = _between(1, 604800)

# elasticloadbalancing/latest/application/describe-ssl-policies.html
_TLS13 = ("1-3", "1-2", "1-2-Res", "1-2-Ext1", "1-2-Ext2")
_SSL = {
    *(f"ELBSecurityPolicy-TLS13-{v}-2021-06" for v in (*_TLS13, "1-1", "1-0")),
    *(f"ELBSecurityPolicy-TLS13-{v}-FIPS-2023-04" for v in (*_TLS13, "1-2-Ext0", "1-1", "1-0")),
    *(f"ELBSecurityPolicy-TLS13-{v}-PQ-2025-09" for v in (*_TLS13, "1-0")),
    *(f"ELBSecurityPolicy-TLS13-{v}-FIPS-PQ-2025-09" for v in (*_TLS13, "1-2-Ext0", "1-0")),
    *(f"ELBSecurityPolicy-FS-{v}" for v in ("1-2-Res-2020-10", "1-2-Res-2019-08", "1-2-2019-08", "1-1-2019-08")),
    *(f"ELBSecurityPolicy-{v}" for v in ("FS-2018-06", "TLS-1-2-2017-01", "TLS-1-2-Ext-2018-06", "TLS-1-1-2017-01")),
    *(f"ELBSecurityPolicy-{v}" for v in ("2016-08", "2015-05", "TLS-1-0-2015-04")),
}
_SSL_POLICY = Limit(
    "a security policy of Elastic Load Balancing (ELBSecurityPolicy-TLS13-1-2-2021-06 is the usual one)",
    lambda value: value in _SSL,
    "ELBSecurityPolicy-TLS13",
)

LIMITS: Mapping[tuple[str, str], Limit] = {
    (type_, path): limit
    for type_, paths in {
        "aws:ec2/vpc:Vpc": {"cidrBlock": _like(rf"{_ADDRESS}/(1[6-9]|2[0-8])", "an IPv4 range of /16 to /28")},
        "aws:ec2/subnet:Subnet": {"cidrBlock": _like(rf"{_ADDRESS}/(1[6-9]|2[0-8])", "an IPv4 range of /16 to /28")},
        "aws:ec2/route:Route": {"destinationCidrBlock": _CIDR4, "destinationIpv6CidrBlock": _CIDR6},
        "aws:ec2/eip:Eip": {"domain": _one_of("vpc")},
        "aws:ec2/flowLog:FlowLog": {"maxAggregationInterval": _one_of(60, 600)},
        "aws:ec2/securityGroup:SecurityGroup": {
            "ingress/protocol": _PROTOCOLS,
            "egress/protocol": _PROTOCOLS,
            # EC2's user guide, security groups: up to 255 of these characters; a name cannot start with `sg-`.
            "description": _like(
                r"[A-Za-z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}", "at most 255 of a-z A-Z 0-9 . _-:/()#,@[]+=&;{}!$*", "é"
            ),
        },
        **{
            f"aws:vpc/securityGroup{way}Rule:SecurityGroup{way}Rule": {
                "ipProtocol": _PROTOCOLS,
                "fromPort": _PORT,
                "toPort": _PORT,
                "cidrIpv4": _CIDR4,
                "cidrIpv6": _CIDR6,
                "description": _like(
                    r"[A-Za-z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}",
                    "at most 255 of a-z A-Z 0-9 . _-:/()#,@[]+=&;{}!$*",
                    "é",
                ),
            }
            for way in ("Ingress", "Egress")
        },
        "aws:ec2/launchTemplate:LaunchTemplate": {
            "vpcSecurityGroupIds": _at_most(5, "security groups a network interface"),  # VPC quotas
            "networkInterfaces/securityGroups": _at_most(5, "security groups a network interface"),
            "metadataOptions/httpPutResponseHopLimit": _between(1, 64),
            "blockDeviceMappings/ebs/volumeSize": _between(1, 65536),
            # API reference, EbsBlockDevice: gp3 takes 125–2,000 MiB/s and 3,000–80,000 operations.
            "blockDeviceMappings/ebs/throughput": _between(125, 2000),
            "userData": _like(r"[A-Za-z0-9+/\s]*={0,2}\s*", "base64"),
        },
        "aws:lb/loadBalancer:LoadBalancer": {
            "idleTimeout": _between(1, 4000),
            "clientKeepAlive": _between(60, 604800),
            "desyncMitigationMode": _one_of("monitor", "defensive", "strictest"),
            "xffHeaderProcessingMode": _one_of("append", "preserve", "remove"),
            "dnsRecordClientRoutingPolicy": _one_of(
                "availability_zone_affinity", "partial_availability_zone_affinity", "any_availability_zone"
            ),
            "secondaryIpsAutoAssignedPerSubnet": _between(0, 7),
            "securityGroups": _at_most(5, "security groups a network interface"),  # VPC quotas
        },
        "aws:lb/listener:Listener": {
            "sslPolicy": _SSL_POLICY,
            "tcpIdleTimeoutSeconds": _between(60, 6000),
            "defaultActions/forward/targetGroups": _at_most(5, "target groups an action"),  # quotas of the ALB
            "defaultActions/forward/targetGroups/weight": _between(0, 999),
            "defaultActions/forward/stickiness/duration": _HEADER,
        },
        "aws:lb/listenerRule:ListenerRule": {
            "actions/forward/targetGroups": _at_most(5, "target groups an action"),
            "actions/forward/targetGroups/weight": _between(0, 999),
            "actions/forward/stickiness/duration": _HEADER,
            "conditions/hostHeader/values": _like(r"[A-Za-z0-9.*?-]{1,128}", "a host of at most 128 characters", "_"),
            "conditions/pathPattern/values": _like(
                r"[A-Za-z0-9_.$/~\"'@:+&()*?-]{1,128}",
                "a path of at most 128 characters out of A-Z a-z 0-9 _-.$/~\"'@:+&()*?",
                "{x}",
            ),
        },
        "aws:lb/targetGroup:TargetGroup": {
            "deregistrationDelay": _between(0, 3600),
            "slowStart": _between(30, 900, 0),
            "stickiness/cookieDuration": _between(1, 604800),
            "stickiness/type": _one_of(
                "lb_cookie", "app_cookie", "source_ip", "source_ip_dest_ip", "source_ip_dest_ip_proto"
            ),
            "loadBalancingAlgorithmType": _one_of("round_robin", "least_outstanding_requests", "weighted_random"),
            "loadBalancingAnomalyMitigation": _one_of("on", "off"),
            "loadBalancingCrossZoneEnabled": _one_of("true", "false", "use_load_balancer_configuration"),
            "protocolVersion": _one_of("HTTP1", "HTTP2", "GRPC"),
            "healthCheck/matcher": _like(
                r"\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*", "codes such as 200,204 or 200-299"
            ),
            "healthCheck/port": _like(r"traffic-port|\d{1,5}", "a port or traffic-port"),
            "targetFailovers/onDeregistration": _one_of("rebalance", "no_rebalance"),
            "targetFailovers/onUnhealthy": _one_of("rebalance", "no_rebalance"),
            "targetHealthStates/unhealthyDrainingInterval": _between(0, 360000),
        },
        "aws:route53/healthCheck:HealthCheck": {
            "requestInterval": _one_of(10, 30),
            "failureThreshold": _between(1, 10),
        },
        "aws:route53/record:Record": {
            "ttl": _between(0, 2147483647),
            "weightedRoutingPolicies/weight": _between(0, 255),
        },
        "aws:ecs/cluster:Cluster": {
            "settings/value": _one_of("enabled", "disabled", "enhanced"),
        },
        "aws:ecs/capacityProvider:CapacityProvider": {
            "name": _like(
                r"(?!aws|ecs|fargate)[A-Za-z0-9_-]{1,255}",
                "1–255 letters, digits, - or _, not beginning with aws, ecs or fargate",
            ),
            "autoScalingGroupProvider/managedScaling/targetCapacity": _between(1, 100),
        },
        "aws:ecs/service:Service": {
            "name": _ECS_NAME,
            "networkConfiguration/securityGroups": _at_most(5, "security groups a network interface"),
            "networkConfiguration/subnets": _at_most(16, "subnets"),
            "orderedPlacementStrategies": _at_most(5, "placement strategies"),
            "capacityProviderStrategies": _at_most(20, "capacity providers"),
            "healthCheckGracePeriodSeconds": _between(0, 2147483647),
            "deploymentMinimumHealthyPercent": _between(0, 200),
            "deploymentMaximumPercent": _between(1, 10000),
            "deploymentConfiguration/bakeTimeInMinutes": _between(0, 1440),
            "deploymentConfiguration/canaryConfiguration/canaryBakeTimeInMinutes": _between(0, 1440),
            "deploymentConfiguration/linearConfiguration/stepBakeTimeInMinutes": _between(0, 1440),
        },
        "aws:ecs/taskDefinition:TaskDefinition": {
            "family": _ECS_NAME,
            "ephemeralStorage/sizeInGib": _between(21, 200),
        },
        "aws:appautoscaling/scheduledAction:ScheduledAction": {
            "schedule": _SCHEDULE,
            "timezone": _like(r"[A-Za-z]+([/_+-][A-Za-z0-9_+-]+)*", "a time zone such as Europe/Berlin"),
        },
        "aws:scheduler/schedule:Schedule": {"scheduleExpression": _SCHEDULE},
        "aws:cloudwatch/eventRule:EventRule": {"scheduleExpression": _SCHEDULE},
        "aws:cloudwatch/logGroup:LogGroup": {"retentionInDays": _RETENTION},
        "aws:cloudwatch/metricAlarm:MetricAlarm": {
            "treatMissingData": _one_of("breaching", "notBreaching", "ignore", "missing"),
            "period": _PERIOD,
        },
        "aws:kms/alias:Alias": {"name": _like(r"alias/(?!aws/)[A-Za-z0-9/_-]+", "alias/NAME, and not alias/aws/…")},
        "aws:kms/key:Key": {"deletionWindowInDays": _between(7, 30), "rotationPeriodInDays": _between(90, 2560)},
        "aws:secretsmanager/secret:Secret": {
            "name": _like(r"[A-Za-z0-9/_+=.@-]{1,512}", "1–512 of A-Z a-z 0-9 /_+=.@-"),
            "recoveryWindowInDays": _between(7, 30, 0),
        },
        "aws:efs/accessPoint:AccessPoint": {
            "rootDirectory/creationInfo/permissions": _like(r"[0-7]{3,4}", "an octal mode such as 0755", "0999")
        },
        "aws:s3/bucket:Bucket": {
            "bucket": _like(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "3–63 of a-z 0-9 . -", "A")
        },
        "aws:autoscaling/group:Group": {
            "terminationPolicies": _one_of(
                "OldestInstance",
                "NewestInstance",
                "OldestLaunchConfiguration",
                "ClosestToNextInstanceHour",
                "Default",
                "OldestLaunchTemplate",
                "AllocationStrategy",
            ),
            "healthCheckType": _like(
                r"(EC2|ELB|EBS|VPC_LATTICE)(,(EC2|ELB|EBS|VPC_LATTICE))*", "EC2, ELB, EBS or VPC_LATTICE"
            ),
            "mixedInstancesPolicy/instancesDistribution/onDemandPercentageAboveBaseCapacity": _PERCENT,
            "mixedInstancesPolicy/instancesDistribution/onDemandAllocationStrategy": _one_of(
                "lowest-price", "prioritized"
            ),
            "mixedInstancesPolicy/instancesDistribution/spotAllocationStrategy": _one_of(
                "lowest-price", "capacity-optimized", "capacity-optimized-prioritized", "price-capacity-optimized"
            ),
            "mixedInstancesPolicy/launchTemplate/overrides/weightedCapacity": _between(1, 999),
            # autoscaling/ec2/userguide/mixed-instances-groups-set-up-overview.html
            "mixedInstancesPolicy/launchTemplate/overrides": _at_most(40, "instance types"),
        },
        "aws:autoscaling/lifecycleHook:LifecycleHook": {
            "heartbeatTimeout": _between(30, 7200),
            "defaultResult": _one_of("CONTINUE", "ABANDON"),
            "lifecycleTransition": _one_of(
                "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
            ),
        },
    }.items()
    for path, limit in paths.items()
}
