"""Inputs of package aws that must agree with one another.

Sources are the API reference and, where a page is named, that page of docs.aws.amazon.com.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rehearsal.checks import Finding
from rehearsal.record import Registration
from rehearsal.values import Unknown, items_of, members_of, revealed

Inputs = Mapping[str, Any]


def check(found: Registration) -> Iterator[Finding]:
    relation = _RELATIONS.get(found.type)
    if relation is not None:
        yield from relation(members_of(revealed(found.inputs)))


def number(value: Any) -> float | None:
    """A number, also one written as text; None for what is no number or not known yet."""
    try:
        return None if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError):
        return None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [members_of(item) for item in items_of(value)] if isinstance(value, list) else [members_of(value)]


# AmazonECS/latest/developerguide/fargate-tasks-services.html: CPU units to the memory that goes with them, in MiB.
FARGATE: Mapping[int, frozenset[int]] = {
    256: frozenset({512, 1024, 2048}),
    512: frozenset(range(1024, 4096 + 1, 1024)),
    1024: frozenset(range(2048, 8192 + 1, 1024)),
    2048: frozenset(range(4096, 16384 + 1, 1024)),
    4096: frozenset(range(8192, 30720 + 1, 1024)),
    8192: frozenset(range(16384, 61440 + 1, 4096)),
    16384: frozenset(range(32768, 122880 + 1, 8192)),
}


def _task_definition(inputs: Inputs) -> Iterator[Finding]:
    cpu, memory = number(inputs.get("cpu")), number(inputs.get("memory"))
    if "FARGATE" not in items_of(inputs.get("requiresCompatibilities")):
        if cpu is not None and not 128 <= cpu <= 196608:
            yield Finding("cpu", f"should be 128–196608 units, got {cpu:g}")
        return
    if inputs.get("networkMode") != "awsvpc":
        yield Finding("networkMode", f"should be awsvpc on Fargate, got {inputs.get('networkMode')!r}")
    for key in ("cpu", "memory"):
        if inputs.get(key) is None:
            yield Finding(key, "is missing, and Fargate requires it")
    if cpu is None or memory is None:
        return
    if cpu not in FARGATE:
        yield Finding("cpu", f"should be one of {', '.join(map(str, FARGATE))} on Fargate, got {cpu:g}")
    elif memory not in FARGATE[int(cpu)]:
        allowed = sorted(FARGATE[int(cpu)])
        text = ", ".join(map(str, allowed)) if len(allowed) < 10 else f"{allowed[0]}, {allowed[1]} … {allowed[-1]}"
        yield Finding("memory", f"should be one of {text} MiB with {cpu:g} units of cpu on Fargate, got {memory:g}")


def _target_group(inputs: Inputs) -> Iterator[Finding]:
    health = members_of(inputs.get("healthCheck"))
    interval, timeout = number(health.get("interval")), number(health.get("timeout"))
    if interval is not None and timeout is not None and timeout >= interval:
        yield Finding("healthCheck/timeout", f"should be less than the interval of {interval:g} s, got {timeout:g}")
    if "path" in health and not str(health["path"]).startswith("/") and not isinstance(health["path"], Unknown):
        yield Finding("healthCheck/path", f"should begin with /, got {health['path']!r}")
    if inputs.get("targetType") != "lambda":
        for key in ("port", "protocol", "vpcId"):
            if inputs.get(key) is None:
                yield Finding(key, "is missing, and targets that are no Lambda functions require it")
    stickiness = members_of(inputs.get("stickiness"))
    name = str(stickiness.get("cookieName", ""))
    if stickiness.get("type") == "app_cookie" and stickiness.get("cookieName") is None:
        yield Finding("stickiness/cookieName", "is missing, and app_cookie requires it")
    if name.startswith("AWSALB"):
        yield Finding(
            "stickiness/cookieName", f"should not begin with AWSALB, which is the balancer's own, got {name!r}"
        )
    if inputs.get("slowStart") and inputs.get("loadBalancingAlgorithmType") in (
        "least_outstanding_requests",
        "weighted_random",
    ):
        algorithm = inputs["loadBalancingAlgorithmType"]
        yield Finding("slowStart", f"should be 0 with the algorithm {algorithm}, got {inputs['slowStart']}")


_ACTION_NEEDS = {
    "redirect": ("redirect",),
    "fixed-response": ("fixedResponse",),
    "forward": ("forward", "targetGroupArn"),
    "authenticate-oidc": ("authenticateOidc",),
    "authenticate-cognito": ("authenticateCognito",),
}


def _actions(actions: Any, path: str) -> Iterator[Finding]:
    for index, action in enumerate(_objects(actions)):
        needs = _ACTION_NEEDS.get(str(action.get("type")), ())
        if needs and not any(action.get(key) is not None for key in needs):
            yield Finding(f"{path}/{index}/{needs[0]}", f"is missing, and the action {action['type']} requires it")
        groups = items_of(members_of(action.get("forward")).get("targetGroups"))
        weights = [number(members_of(group).get("weight")) for group in groups]
        if weights and all(weight == 0 for weight in weights):
            yield Finding(f"{path}/{index}/forward/targetGroups", "should have a weight above 0, got 0 for all")


_KINDS = ("hostHeader", "httpHeader", "httpRequestMethod", "pathPattern", "queryStrings", "sourceIp")
_ONCE = ("hostHeader", "httpRequestMethod", "pathPattern", "sourceIp")


def _listener_rule(inputs: Inputs) -> Iterator[Finding]:
    if inputs.get("priority") is None:
        yield Finding("priority", "is missing, so that the rule would come after the highest, in the order of creation")
    values: list[str] = []
    seen: list[str] = []
    for index, condition in enumerate(_objects(inputs.get("conditions"))):
        kinds = [kind for kind in _KINDS if condition.get(kind) is not None]
        if len(kinds) != 1:
            yield Finding(f"conditions/{index}", f"should hold exactly one condition, got {', '.join(kinds) or 'none'}")
        for kind in kinds:
            if kind in _ONCE and kind in seen:
                yield Finding(f"conditions/{index}/{kind}", "should be there once in a rule, got it twice")
            seen.append(kind)
            inner = condition[kind]
            if kind == "queryStrings":
                values += [str(pair) for pair in items_of(inner)]
            else:
                body = members_of(inner)
                values += [str(text) for key in ("values", "regexValues") for text in items_of(body.get(key))]
    # elasticloadbalancing/latest/application/load-balancer-limits.html: condition values and wildcards a rule.
    if len(values) > 5:
        yield Finding("conditions", f"should hold at most 5 values a rule, got {len(values)}: {', '.join(values)}")
    wildcards = sum(value.count("*") + value.count("?") for value in values)
    if wildcards > 5:
        yield Finding("conditions", f"should hold at most 5 wildcards a rule, got {wildcards}: {', '.join(values)}")
    yield from _actions(inputs.get("actions"), "actions")


def _listener(inputs: Inputs) -> Iterator[Finding]:
    yield from _actions(inputs.get("defaultActions"), "defaultActions")
    secure = inputs.get("protocol") in ("HTTPS", "TLS")
    if secure and inputs.get("certificateArn") is None:
        yield Finding("certificateArn", f"is missing, and a listener of protocol {inputs['protocol']} requires it")
    if not secure and inputs.get("sslPolicy") is not None and inputs.get("protocol") is not None:
        yield Finding("sslPolicy", f"should be left out of a listener of protocol {inputs['protocol']}")


def _service(inputs: Inputs) -> Iterator[Finding]:
    if inputs.get("launchType") is not None and inputs.get("capacityProviderStrategies"):
        yield Finding("launchType", "should be left out beside capacityProviderStrategies")
    low, high = number(inputs.get("deploymentMinimumHealthyPercent")), number(inputs.get("deploymentMaximumPercent"))
    if low is not None and high is not None and (low >= high or high < 100):
        yield Finding(
            "deploymentMaximumPercent", f"should be above the minimum of {low:g} and at least 100, got {high:g}"
        )
    yield from _capacity_strategy(inputs.get("capacityProviderStrategies"), "capacityProviderStrategies")
    deployment = members_of(inputs.get("deploymentConfiguration"))
    needs = {"CANARY": "canaryConfiguration", "LINEAR": "linearConfiguration"}.get(str(deployment.get("strategy")))
    if needs and deployment.get(needs) is None:
        yield Finding(f"deploymentConfiguration/{needs}", f"is missing, and {deployment['strategy']} requires it")
    if deployment.get("strategy") in ("CANARY", "LINEAR", "BLUE_GREEN"):
        for index, balancer in enumerate(_objects(inputs.get("loadBalancers") or [])):
            if balancer.get("advancedConfiguration") is None:
                at = f"loadBalancers/{index}/advancedConfiguration"
                yield Finding(at, f"is missing, and {deployment['strategy']} requires it")


def _capacity_strategy(value: Any, path: str) -> Iterator[Finding]:
    """API reference, CapacityProviderStrategyItem: one provider may have a base, and one weight must be above 0."""
    strategy = _objects(value) if value else []
    based = [item for item in strategy if (number(item.get("base")) or 0) > 0]
    if len(based) > 1:
        yield Finding(path, f"should give one provider a base, got {len(based)}")
    weights = [number(item.get("weight")) for item in strategy]
    if strategy and all(weight is not None and weight == 0 for weight in weights):
        yield Finding(path, "should give one provider a weight above 0, got 0 for all")


def _strategies(inputs: Inputs) -> Iterator[Finding]:
    yield from _capacity_strategy(inputs.get("defaultCapacityProviderStrategies"), "defaultCapacityProviderStrategies")
    known = set(map(str, items_of(inputs.get("capacityProviders"))))
    for index, item in enumerate(_objects(inputs.get("defaultCapacityProviderStrategies") or [])):
        provider = item.get("capacityProvider")
        if isinstance(provider, str) and provider not in known and not _has_unknown(inputs.get("capacityProviders")):
            at = f"defaultCapacityProviderStrategies/{index}/capacityProvider"
            yield Finding(at, f"should be one of capacityProviders ({', '.join(sorted(known))}), got {provider!r}")


def _has_unknown(value: Any) -> bool:
    return isinstance(value, Unknown) or any(isinstance(item, Unknown) for item in items_of(value))


def _scalable(inputs: Inputs) -> Iterator[Finding]:
    low, high = number(inputs.get("minCapacity")), number(inputs.get("maxCapacity"))
    if low is not None and high is not None and low > high:
        yield Finding("minCapacity", f"should be at most maxCapacity, {high:g}, got {low:g}")


def _scheduled(inputs: Inputs) -> Iterator[Finding]:
    action = members_of(inputs.get("scalableTargetAction"))
    for finding in _scalable(action):
        yield Finding(f"scalableTargetAction/{finding.path}", finding.message)


def _group(inputs: Inputs) -> Iterator[Finding]:
    low, high = number(inputs.get("minSize")), number(inputs.get("maxSize"))
    if low is not None and high is not None and low > high:
        yield Finding("minSize", f"should be at most maxSize, {high:g}, got {low:g}")
    sources = [
        k for k in ("launchTemplate", "launchConfiguration", "mixedInstancesPolicy") if inputs.get(k) is not None
    ]
    if len(sources) != 1:
        yield Finding("launchTemplate", f"should be the only source of instances, got {', '.join(sources) or 'none'}")


def _alarm(inputs: Inputs) -> Iterator[Finding]:
    period, times = number(inputs.get("period")), number(inputs.get("evaluationPeriods"))
    if period and times:
        longest = 86400 if period < 3600 else 604800
        if period * times > longest:
            yield Finding("evaluationPeriods", f"should be at most {longest / period:g} of {period:g} s, got {times:g}")
    points = number(inputs.get("datapointsToAlarm"))
    if points is not None and times is not None and points > times:
        yield Finding("datapointsToAlarm", f"should be at most evaluationPeriods, {times:g}, got {points:g}")
    if inputs.get("metricName") is not None and (inputs.get("statistic") is None) == (
        inputs.get("extendedStatistic") is None
    ):
        yield Finding("statistic", "should be given, or extendedStatistic, and not both")


def _peer(inputs: Inputs) -> Iterator[Finding]:
    peers = ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")
    given = [key for key in peers if inputs.get(key) is not None]
    if len(given) != 1:
        yield Finding(
            "cidrIpv4",
            f"should be the one peer of the rule out of {', '.join(peers)}; got {', '.join(given) or 'none'}",
        )
    first, last = number(inputs.get("fromPort")), number(inputs.get("toPort"))
    if first is not None and last is not None and first > last and str(inputs.get("ipProtocol")) in ("tcp", "udp"):
        yield Finding("fromPort", f"should be at most toPort, {last:g}, got {first:g}")
    if (
        str(inputs.get("ipProtocol")) in ("tcp", "udp")
        and (first is None or last is None)
        and not (isinstance(inputs.get("fromPort"), Unknown) or isinstance(inputs.get("toPort"), Unknown))
    ):
        yield Finding("fromPort", f"is missing, or toPort, and {inputs['ipProtocol']} requires both")


def _route(inputs: Inputs) -> Iterator[Finding]:
    ends = ("destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId")
    given = [key for key in ends if inputs.get(key) is not None]
    if len(given) != 1:
        yield Finding(
            "destinationCidrBlock",
            f"should be the one destination out of {', '.join(ends)}; got {', '.join(given) or 'none'}",
        )


def _health_check(inputs: Inputs) -> Iterator[Finding]:
    # API reference, HealthCheckConfig: an endpoint is named by its address, by its name, or by both.
    kind = inputs.get("type")
    if kind in ("HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP"):
        if inputs.get("ipAddress") is None and inputs.get("fqdn") is None:
            yield Finding("ipAddress", f"is missing, as is fqdn, and a check of type {kind} asks one of the two")
    elif kind in ("CALCULATED", "CLOUDWATCH_METRIC") and inputs.get("port") is not None:
        yield Finding("port", f"should be left out of a check of type {kind}")


def _record(inputs: Inputs) -> Iterator[Finding]:
    policies = ("Failover", "Geolocation", "Latency", "Weighted")
    routed = [f"{policy.lower()}RoutingPolicies" for policy in policies]
    routed += ["multivalueAnswerRoutingPolicy", "geoproximityRoutingPolicy", "cidrRoutingPolicy"]
    named = [key for key in routed if inputs.get(key) and not isinstance(inputs[key], Unknown)]
    if named and inputs.get("setIdentifier") is None:
        yield Finding("setIdentifier", f"is missing, and {named[0]} requires it")
    if inputs.get("aliases") is None:
        for key in ("records", "ttl"):
            if inputs.get(key) is None:
                yield Finding(key, "is missing, and a record that is no alias requires it")
    elif inputs.get("ttl") is not None or inputs.get("records") is not None:
        yield Finding("aliases", "should be alone, without ttl and records")


def _endpoint(inputs: Inputs) -> Iterator[Finding]:
    kind = inputs.get("vpcEndpointType", "Gateway")
    wrong = ("subnetIds", "securityGroupIds", "privateDnsEnabled") if kind == "Gateway" else ("routeTableIds",)
    for key in wrong if kind in ("Gateway", "Interface") else ():
        if inputs.get(key):
            yield Finding(key, f"should be left out of an endpoint of type {kind}")


def _file_system(inputs: Inputs) -> Iterator[Finding]:
    if inputs.get("throughputMode") == "provisioned" and inputs.get("provisionedThroughputInMibps") is None:
        yield Finding("provisionedThroughputInMibps", "is missing, and the mode provisioned requires it")


_RELATIONS: Mapping[str, Callable[[Inputs], Iterator[Finding]]] = {
    "aws:appautoscaling/scheduledAction:ScheduledAction": _scheduled,
    "aws:appautoscaling/target:Target": _scalable,
    "aws:autoscaling/group:Group": _group,
    "aws:cloudwatch/metricAlarm:MetricAlarm": _alarm,
    "aws:ec2/route:Route": _route,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _endpoint,
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": _strategies,
    "aws:ecs/service:Service": _service,
    "aws:ecs/taskDefinition:TaskDefinition": _task_definition,
    "aws:efs/fileSystem:FileSystem": _file_system,
    "aws:lb/listener:Listener": _listener,
    "aws:lb/listenerRule:ListenerRule": _listener_rule,
    "aws:lb/targetGroup:TargetGroup": _target_group,
    "aws:route53/healthCheck:HealthCheck": _health_check,
    "aws:route53/record:Record": _record,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _peer,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _peer,
}
