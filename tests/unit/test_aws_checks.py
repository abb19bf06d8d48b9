"""What AWS would refuse is found before it is asked: one wrong thing a case, and every value of a stack made wrong."""

# ruff: noqa: E501 (messages are compared whole)

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi_aws  # noqa: F401 (the SDK's types are compared only where the SDK is in use)
import pytest

from rehearsal import Report, aws_checks, aws_models, aws_taught, checks, rehearse
from rehearsal.aws_limits import LIMITS, Limit
from rehearsal.aws_models import Shape
from rehearsal.aws_names import NAMES
from rehearsal.aws_policy import known_actions
from rehearsal.record import Registration
from rehearsal.values import UNKNOWN, Secret
from tests.graph.test_rehearsal_aws import project

REPOSITORY = Path(__file__).parents[2]
ARN = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/0123456789abcdef"


RECORD = {"zoneId": "Z1", "name": "example.com", "type": "A", "ttl": 60, "records": ["203.0.113.1"]}


def registration(type_: str, inputs: dict[str, Any], name: str = "it") -> Registration:
    return Registration(f"urn:pulumi:t::fx::{type_}::{name}", type_, name, "", True, inputs)


def said(type_: str, inputs: dict[str, Any], name: str = "it") -> list[str]:
    """The findings without the place that all of them have."""
    found = registration(type_, inputs, name)
    known = checks.check(found)
    paths = {finding.path for finding in known}
    findings = known + [finding for finding in aws_checks.check_aws(found) if finding.path not in paths]
    where = f"{name} ({type_})"
    assert all(str(finding).startswith(where) for finding in findings)
    return [str(finding)[len(where) :].lstrip("/").replace("\n    ", " | ") for finding in findings]


TASK = "aws:ecs/taskDefinition:TaskDefinition"
SERVICE = "aws:ecs/service:Service"
TARGET_GROUP = "aws:lb/targetGroup:TargetGroup"
RULE = "aws:lb/listenerRule:ListenerRule"
LISTENER = "aws:lb/listener:Listener"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
SCHEDULED = "aws:appautoscaling/scheduledAction:ScheduledAction"
LIFECYCLE = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"

GROUP = {"port": 80, "protocol": "HTTP", "vpcId": "vpc-1"}
FORWARD = {"type": "forward", "targetGroupArn": ARN}
PATH = {"pathPattern": {"values": ["/a"]}}
ROUTE = {"listenerArn": ARN, "priority": 1, "actions": [FORWARD], "conditions": [PATH]}
FIXED = {"type": "fixed-response", "fixedResponse": {"contentType": "text/plain", "statusCode": "404"}}
SCHEDULE = {
    "serviceNamespace": "ecs",
    "scalableDimension": "ecs:service:DesiredCount",
    "resourceId": "service/a/b",
    "scalableTargetAction": {"minCapacity": 1, "maxCapacity": 2},
}
CONTAINER = {"name": "web", "image": "web:1", "memory": 64}


def listener(**more: Any) -> dict[str, Any]:
    return {"loadBalancerArn": ARN, "port": 80, "protocol": "HTTP", "defaultActions": [FIXED], **more}


def task(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"family": "web", "containerDefinitions": json.dumps(containers), **more}


def fargate(cpu: str, memory: str) -> dict[str, Any]:
    return task(CONTAINER, cpu=cpu, memory=memory, networkMode="awsvpc", requiresCompatibilities=["FARGATE"])


def policy(**statement: Any) -> dict[str, Any]:
    base = {"Effect": "Allow", "Action": "ecs:RunTask", "Resource": "*"}
    merged = {key: value for key, value in {**base, **statement}.items() if value is not None}
    return {"role": "r", "policy": json.dumps({"Version": "2012-10-17", "Statement": [merged]})}


def lifecycle(selection: dict[str, Any], **rule: Any) -> dict[str, Any]:
    document = {"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}, **rule}]}
    return {"repository": "web", "policy": json.dumps(document)}


ANY = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 3}
POLICY_AT = "policy/Statement/0"

WRONG: list[tuple[str, dict[str, Any], str]] = [
    # enums of the model, top level and nested
    (
        "aws:ec2/vpc:Vpc",
        {"instanceTenancy": "shared"},
        "instanceTenancy: should be one of dedicated, default, host, got 'shared'",
    ),
    (
        SERVICE,
        {"launchType": "FARGAT"},
        "launchType: should be one of EC2, EXTERNAL, FARGATE, MANAGED_INSTANCES, got 'FARGAT'",
    ),
    (
        SERVICE,
        {"deploymentConfiguration": {"strategy": "CANARYS"}},
        "deploymentConfiguration/strategy: should be one of BLUE_GREEN, CANARY, LINEAR, ROLLING, got 'CANARYS'",
    ),
    (
        "aws:ec2/launchTemplate:LaunchTemplate",
        {"instanceType": "m7g.lage"},
        "instanceType: is none of the",
    ),
    (
        "aws:ecs/cluster:Cluster",
        {"settings": [{"name": "containerInsight", "value": "enabled"}]},
        "settings/0/name: should be one of containerInsights, got 'containerInsight'",
    ),
    # ranges of the model
    (RULE, {**ROUTE, "priority": 50001}, "priority: should be 1–50000, got 50001"),
    (RULE, {**ROUTE, "priority": 0}, "priority: should be 1–50000, got 0"),
    (LISTENER, listener(port=70000), "port: should be 1–65535, got 70000"),
    (TARGET_GROUP, {**GROUP, "healthCheck": {"interval": 4}}, "healthCheck/interval: should be 5–300, got 4"),
    (
        TARGET_GROUP,
        {**GROUP, "healthCheck": {"healthyThreshold": 11}},
        "healthCheck/healthyThreshold: should be 2–10, got 11",
    ),
    (TARGET_GROUP, {**GROUP, "healthCheck": {"timeout": 121}}, "healthCheck/timeout: should be 2–120, got 121"),
    (
        "aws:ecs/capacityProvider:CapacityProvider",
        {"autoScalingGroupProvider": {"autoScalingGroupArn": "g", "managedScaling": {"instanceWarmupPeriod": 10001}}},
        "autoScalingGroupProvider/managedScaling/instanceWarmupPeriod: should be 0–10000, got 10001",
    ),
    # patterns and lengths of the model
    (
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        {"role": "a b", "policyArn": "arn:aws:iam::aws:policy/AmazonECS"},
        "role: should match [\\w+=,.@-]+, got 'a b'",
    ),
    ("aws:ecr/repository:Repository", {"name": "Web"}, "name: should match "),
    ("aws:acm/certificate:Certificate", {"domainName": "a_b.test"}, "domainName: should match "),
    # required members that the SDK leaves to AWS
    (
        SERVICE,
        {
            "deploymentConfiguration": {
                "lifecycleHooks": [{"hookTargetArn": "arn:aws:lambda:eu-central-1:123456789012:function:f"}]
            }
        },
        "deploymentConfiguration/lifecycleHooks/0/lifecycleStages: is missing, and the provider requires it",
    ),
    (
        "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders",
        {},
        "clusterName: is missing, and the provider requires it",
    ),
    # names that are none
    (SERVICE, {"lunchType": "EC2"}, "lunchType: is no input of this resource | did you mean `launchType`?"),
    (
        SERVICE,
        {"loadBalancers": [{"containerName": "a", "containerPort": 1, "targetGroup": ARN}]},
        "loadBalancers/0/targetGroup: is no input of this resource | did you mean `targetGroupArn`?",
    ),
    # limits that are only documented
    (TARGET_GROUP, {**GROUP, "deregistrationDelay": 3601}, "deregistrationDelay: should be 0–3600, got 3601"),
    (TARGET_GROUP, {**GROUP, "slowStart": 10}, "slowStart: should be 0 or 30–900, got 10"),
    (
        TARGET_GROUP,
        {**GROUP, "stickiness": {"type": "lb_cookie", "cookieDuration": 604801}},
        "stickiness/cookieDuration: should be 1–604800, got 604801",
    ),
    (
        TARGET_GROUP,
        {**GROUP, "healthCheck": {"interval": 5, "timeout": 5}},
        "healthCheck/timeout: should be less than the interval of 5 s, got 5",
    ),
    (
        TARGET_GROUP,
        {"targetType": "ip", "port": 80, "protocol": "HTTP"},
        "vpcId: is missing, and targets that are no Lambda functions require it",
    ),
    (BALANCER, {"idleTimeout": 4001}, "idleTimeout: should be 1–4000, got 4001"),
    (
        BALANCER,
        {"desyncMitigationMode": "strict"},
        "desyncMitigationMode: should be one of monitor, defensive, strictest, got 'strict'",
    ),
    (
        BALANCER,
        {"securityGroups": [f"sg-{n}" for n in range(6)]},
        "securityGroups: should be at most 5 security groups a network interface, got ['sg-0', 'sg-1', 'sg-2', 'sg-3', 'sg-4', 'sg-5']",
    ),
    (
        LISTENER,
        listener(
            protocol="HTTPS",
            certificateArn="arn:aws:acm:eu-central-1:123456789012:certificate/a",
            sslPolicy="ELBSecurityPolicy-TLS13",
        ),
        "sslPolicy: should be a security policy of Elastic Load Balancing (ELBSecurityPolicy-TLS13-1-2-2021-06 is the usual one), got 'ELBSecurityPolicy-TLS13'",
    ),
    (LISTENER, listener(protocol="HTTPS"), "certificateArn: is missing, and a listener of protocol HTTPS requires it"),
    (
        LISTENER,
        listener(defaultActions=[{"type": "redirect"}]),
        "defaultActions/0/redirect: is missing, and the action redirect requires it",
    ),
    (
        RULE,
        {
            **ROUTE,
            "actions": [
                {"type": "forward", "forward": {"targetGroups": [{"arn": f"{ARN}{n}", "weight": n} for n in range(6)]}}
            ],
        },
        "actions/0/forward/targetGroups: should be at most 5 target groups an action, got ",
    ),
    (
        RULE,
        {**ROUTE, "conditions": [{"pathPattern": {"values": [f"/{n}" for n in range(6)]}}]},
        "conditions: should hold at most 5 values a rule, got 6: /0, /1, /2, /3, /4, /5",
    ),
    (
        RULE,
        {**ROUTE, "conditions": [PATH, PATH]},
        "conditions/1/pathPattern: should be there once in a rule, got it twice",
    ),
    (
        RULE,
        {**ROUTE, "conditions": [{**PATH, "hostHeader": {"values": ["a.test"]}}]},
        "conditions/0: should hold exactly one condition, got hostHeader, pathPattern",
    ),
    (
        RULE,
        {key: value for key, value in ROUTE.items() if key != "priority"},
        "priority: is missing, so that the rule would come after the highest, in the order of creation",
    ),
    (LOG_GROUP, {"retentionInDays": 10}, "retentionInDays: should be one of 1, 3, 5, 7, 14, 30, 60, 90, "),
    (
        SCHEDULED,
        {**SCHEDULE, "schedule": "cron(0 8 * * *)"},
        "schedule: should be cron(…) with six fields and one `?`, rate(…) or at(…), got 'cron(0 8 * * *)'",
    ),
    (
        SCHEDULED,
        {**SCHEDULE, "schedule": "rate(1 days)"},
        "schedule: should be cron(…) with six fields and one `?`, rate(…) or at(…), got 'rate(1 days)'",
    ),
    (
        "aws:appautoscaling/target:Target",
        {k: v for k, v in SCHEDULE.items() if k != "scalableTargetAction"} | {"minCapacity": 3, "maxCapacity": 2},
        "minCapacity: should be at most maxCapacity, 2, got 3",
    ),
    (
        "aws:secretsmanager/secret:Secret",
        {"recoveryWindowInDays": 6},
        "recoveryWindowInDays: should be 0 or 7–30, got 6",
    ),
    ("aws:kms/key:Key", {"deletionWindowInDays": 31}, "deletionWindowInDays: should be 7–30, got 31"),
    (
        INGRESS,
        {"securityGroupId": "sg-1", "ipProtocol": "tcp", "fromPort": 1, "toPort": 1},
        "cidrIpv4: should be the one peer of the rule out of cidrIpv4, cidrIpv6, prefixListId, referencedSecurityGroupId; got none",
    ),
    (
        "aws:ec2/subnet:Subnet",
        {"vpcId": "vpc-1", "cidrBlock": "10.0.0.0/29"},
        "cidrBlock: should be an IPv4 range of /16 to /28, got '10.0.0.0/29'",
    ),
    # sizes of Fargate
    (TASK, fargate("300", "512"), "cpu: should be one of 256, 512, 1024, 2048, 4096, 8192, 16384 on Fargate, got 300"),
    (
        TASK,
        fargate("256", "4096"),
        "memory: should be one of 512, 1024, 2048 MiB with 256 units of cpu on Fargate, got 4096",
    ),
    (
        TASK,
        task(CONTAINER, networkMode="bridge", cpu="256", memory="512", requiresCompatibilities=["FARGATE"]),
        "networkMode: should be awsvpc on Fargate, got 'bridge'",
    ),
    # container definitions
    (
        TASK,
        task({**CONTAINER, "portMappings": [{"containerPrt": 80}]}),
        "containerDefinitions/0/portMappings/0/containerPrt: is no member of PortMapping | did you mean `containerPort`?",
    ),
    (
        TASK,
        task({**CONTAINER, "portMapping": []}),
        "containerDefinitions/0/portMapping: is no member of ContainerDefinition | did you mean `portMappings`?",
    ),
    (TASK, task({**CONTAINER, "memory": "64"}), "containerDefinitions/0/memory: should be a whole number, got '64'"),
    (
        TASK,
        task({"name": "web", "memory": 64}),
        "containerDefinitions/0/image: is missing, and a container requires it",
    ),
    (
        TASK,
        task({**CONTAINER, "secrets": [{"name": "A"}]}),
        "containerDefinitions/0/secrets/0/valueFrom: is missing, and Secret requires it",
    ),
    (
        TASK,
        task({**CONTAINER, "portMappings": [{"containerPort": 80, "protocol": "http"}]}),
        "containerDefinitions/0/portMappings/0/protocol: should be one of tcp, udp, got 'http'",
    ),
    (
        TASK,
        task({**CONTAINER, "dependsOn": [{"containerName": "web", "condition": "HEALTHFUL"}]}),
        "containerDefinitions/0/dependsOn/0/condition: should be one of COMPLETE, HEALTHY, START, SUCCESS, got 'HEALTHFUL'",
    ),
    (
        TASK,
        task({**CONTAINER, "dependsOn": [{"containerName": "db", "condition": "HEALTHY"}]}),
        "containerDefinitions/0/dependsOn/0/containerName: should be a container of the task, got 'db'",
    ),
    (
        TASK,
        task({**CONTAINER, "linuxParameters": {"capabilities": {"drop": ["CAP_NET_ADMIN"]}}}),
        "containerDefinitions/0/linuxParameters/capabilities/drop/0: is no capability that ECS knows, got 'CAP_NET_ADMIN' | did you mean `NET_ADMIN`?",
    ),
    (
        TASK,
        task({**CONTAINER, "logConfiguration": {"logDriver": "awslog"}}),
        "containerDefinitions/0/logConfiguration/logDriver: should be one of ",
    ),
    (
        TASK,
        task({**CONTAINER, "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-groups": "a"}}}),
        "containerDefinitions/0/logConfiguration/options/awslogs-groups: is no option of the driver awslogs | did you mean `awslogs-group`?",
    ),
    (
        TASK,
        task({**CONTAINER, "healthCheck": {"command": ["CMD", "true"], "interval": 3}}),
        "containerDefinitions/0/healthCheck/interval: should be 5–300, got 3",
    ),
    (
        TASK,
        task({**CONTAINER, "healthCheck": {"command": ["true"]}}),
        "containerDefinitions/0/healthCheck/command/0: should be CMD, CMD-SHELL or NONE, got 'true'",
    ),
    (
        TASK,
        task({**CONTAINER, "image": "web@sha256:abc"}),
        "containerDefinitions/0/image: should end in @sha256: and 64 hexadecimal digits, got 'web@sha256:abc'",
    ),
    (
        TASK,
        task({"name": "web", "image": "web:1"}),
        "containerDefinitions/0/memory: is missing, and so is memoryReservation and the task's own memory",
    ),
    (TASK, task(CONTAINER, CONTAINER), "containerDefinitions: should name each container once, got 'web' 2 times"),
    (TASK, {"family": "web", "containerDefinitions": "[{]"}, "containerDefinitions: should be JSON: "),
    # policies
    (ROLE_POLICY, policy(Effect="allow"), f"{POLICY_AT}/Effect: should be Allow or Deny, got 'allow'"),
    (
        ROLE_POLICY,
        policy(Action="ecs:RunTasks"),
        f"{POLICY_AT}/Action: is no action of ecs, got 'ecs:RunTasks' | did you mean `ecs:RunTask`?",
    ),
    (
        ROLE_POLICY,
        policy(Action=["ecs:RunTask", "RunTask"]),
        f"{POLICY_AT}/Action/1: should be SERVICE:ACTION, got 'RunTask'",
    ),
    (ROLE_POLICY, policy(Action="ecr:Pull*"), f"{POLICY_AT}/Action: matches no action of ecr, got 'ecr:Pull*'"),
    (
        ROLE_POLICY,
        policy(Action="elasticloadbalancer:*"),
        f"{POLICY_AT}/Action: should be an action of a service that is known here, got 'elasticloadbalancer:*' | a new service belongs in aws_policy",
    ),
    (
        ROLE_POLICY,
        policy(Resource="arn:aws:ecs:eu-centrl-1:123456789012:cluster/a"),
        f"{POLICY_AT}/Resource: should name a region of AWS, got 'eu-centrl-1' in 'arn:aws:ecs:eu-centrl-1:123456789012:cluster/a'",
    ),
    (
        ROLE_POLICY,
        policy(Resource="cluster/a"),
        f"{POLICY_AT}/Resource: should be arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE, got 'cluster/a'",
    ),
    (ROLE_POLICY, policy(Resource=None), f"{POLICY_AT}/Resource: is missing, and a statement requires it"),
    (
        ROLE_POLICY,
        policy(Resource=None, Ressource="*"),
        f"{POLICY_AT}/Ressource: is no element of a policy | did you mean `Resource`?",
    ),
    (
        ROLE_POLICY,
        policy(Condition={"StringEqual": {"aws:SourceAccount": "1"}}),
        f"{POLICY_AT}/Condition/StringEqual: is no operator of a condition | did you mean `StringEquals`?",
    ),
    (ROLE_POLICY, policy(Principal="*"), f"{POLICY_AT}/Principal: should be left out of a policy of a role"),
    (
        ROLE_POLICY,
        {"role": "r", "policy": '{"Statement": []}'},
        "policy/Version: is missing, and the policy would be read by the rules of 2008",
    ),
    (
        "aws:iam/role:Role",
        {
            "assumeRolePolicy": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ecs-tasks"}}],
            }
        },
        "assumeRolePolicy/Statement/0/Principal/Service: should be a service such as ecs-tasks.amazonaws.com, got 'ecs-tasks'",
    ),
    # lifecycle policies
    (
        LIFECYCLE,
        lifecycle({**ANY, "tagStatus": "all"}),
        "policy/rules/0/selection/tagStatus: should be one of tagged, untagged, any, got 'all'",
    ),
    (
        LIFECYCLE,
        lifecycle({**ANY, "countUnits": "days"}),
        "policy/rules/0/selection/countUnits: is no key of a lifecycle policy | did you mean `countUnit`?",
    ),
    (
        LIFECYCLE,
        lifecycle({**ANY, "countType": "sinceImagePushed"}),
        "policy/rules/0/selection/countUnit: is missing, and sinceImagePushed requires it",
    ),
    (
        LIFECYCLE,
        lifecycle({**ANY, "tagStatus": "tagged"}),
        "policy/rules/0/selection/tagStatus: should come with tagPrefixList or tagPatternList, and not both, where it is tagged",
    ),
    # what holds everywhere
    (
        "aws:ecs/cluster:Cluster",
        {"tags": {"aws:x": "y"}},
        "tags/aws:x: should be named by 1–128 letters, digits, spaces or _.:/=+-@, not aws:…, got 'aws:x'",
    ),
    (
        "aws:route53/healthCheck:HealthCheck",
        {"type": "HTTP", "requestInterval": 10},
        "ipAddress: is missing, as is fqdn, and a check of type HTTP asks one of the two",
    ),
    (
        "aws:route53/healthCheck:HealthCheck",
        {"type": "TCP", "ipAddress": "203.0.113.1", "requestInterval": 20},
        "requestInterval: should be one of 10, 30, got 20",
    ),
    (
        "aws:route53/healthCheck:HealthCheck",
        {"type": "CALCULATED", "port": 80},
        "port: should be left out of a check of type CALCULATED",
    ),
    (
        "aws:route53/record:Record",
        {**RECORD, "multivalueAnswerRoutingPolicy": True},
        "setIdentifier: is missing, and multivalueAnswerRoutingPolicy requires it",
    ),
    ("aws:ecs/cluster:Cluster", {"region": "eu-central-9"}, "region: should be a region of AWS, got 'eu-central-9'"),
    (
        SERVICE,
        {"taskDefinition": "t", "loadBalancers": [{"containerName": "a", "containerPort": 1, "targetGroupArn": "web"}]},
        "loadBalancers/0/targetGroupArn: should be arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE, got 'web'",
    ),
]


@pytest.mark.parametrize(("type_", "inputs", "message"), WRONG, ids=[message[:60] for _, _, message in WRONG])
def test_one_wrong_thing_is_found_and_explained(type_: str, inputs: dict[str, Any], message: str) -> None:
    found = said(type_, inputs)
    assert any(text == message or (message.endswith((" ", "of the")) and text.startswith(message)) for text in found), (
        found
    )


@pytest.mark.parametrize(
    ("type_", "inputs"),
    [
        (RULE, ROUTE),
        (LISTENER, listener()),
        (TARGET_GROUP, {**GROUP, "slowStart": 0, "healthCheck": {"interval": 10, "timeout": 5}}),
        (TASK, task(CONTAINER)),
        (TASK, fargate("256", "512")),
        (TASK, fargate("16384", "122880")),
        (ROLE_POLICY, policy()),
        (ROLE_POLICY, policy(Action=["iam:PassRole", "ecr:BatchGetImage", "logs:*", "ssmmessages:CreateDataChannel"])),
        (
            ROLE_POLICY,
            policy(Action="elasticfilesystem:ClientMount", Resource="arn:aws:elasticfilesystem:*:*:file-system/*"),
        ),
        (ROLE_POLICY, policy(Condition={"ForAnyValue:StringLikeIfExists": {"aws:PrincipalTag/a": ["b"]}})),
        (LIFECYCLE, lifecycle(ANY)),
        (LOG_GROUP, {"retentionInDays": 3653}),
        (SCHEDULED, {**SCHEDULE, "schedule": "cron(0/15 8-18 ? * MON-FRI *)"}),
        (SCHEDULED, {**SCHEDULE, "schedule": "rate(1 day)"}),
        (SCHEDULED, {**SCHEDULE, "schedule": "at(2026-12-31T23:59:00)"}),
    ],
)
def test_what_aws_takes_is_left_alone(type_: str, inputs: dict[str, Any]) -> None:
    assert said(type_, inputs) == []


@pytest.mark.parametrize(
    ("type_", "logical", "inputs", "message"),
    [
        (TARGET_GROUP, "w" * 25, GROUP, "name: should be 1–32 characters long, got 33: "),
        (BALANCER, "a_b", {}, "name: should be made of letters, digits and inner hyphens"),
        (
            "aws:iam/role:Role",
            "r" * 57,
            {"assumeRolePolicy": UNKNOWN},
            "name: should be 1–64 characters long, got 65: ",
        ),
        ("aws:ecr/repository:Repository", "a//b", {}, "name: should match "),
        (
            "aws:ecs/capacityProvider:CapacityProvider",
            "ecs-hosts",
            {},
            "name: should be made of letters, digits, hyphens",
        ),
    ],
)
def test_the_name_that_pulumi_will_make_must_fit(
    type_: str, logical: str, inputs: dict[str, Any], message: str
) -> None:
    assert any(text.startswith(message) for text in said(type_, inputs, logical))
    shorter = logical.replace("_", "-").replace("//", "/").replace("ecs-", "")[:24]
    assert said(type_, inputs, shorter) == []


def test_a_name_that_fits_exactly_is_right() -> None:
    assert said(TARGET_GROUP, dict(GROUP), "w" * 24) == []


def test_unknown_values_are_skipped_and_secrets_are_not_shown() -> None:
    assert said(TARGET_GROUP, {**GROUP, "port": UNKNOWN, "healthCheck": {"interval": UNKNOWN}}) == []
    assert said(BALANCER, {"idleTimeout": Secret(5000)}) == ["idleTimeout: should be 1–4000, got [secret]"]
    assert said(LISTENER, listener(port=Secret(70000))) == ["port: should be 1–65535, got [secret]"]


def test_a_type_that_nobody_taught_is_a_problem() -> None:
    (finding,) = aws_checks.check_aws(registration("aws:sqs/queue:Queue", {}))
    assert str(finding) == (
        "it (aws:sqs/queue:Queue): nobody taught the rehearsal this type, so that its inputs go unchecked\n"
        "    add it to rehearsal/aws_taught_*.py; docs/rehearsal.md says how"
    )


# ---- What is taught covers what there is.


def _nested(expected: Any) -> Iterator[type]:
    for choice in checks._choices(expected):
        if isinstance(choice, type) and checks._pulumi_types.is_input_type(choice):
            if not choice.__name__.endswith("Dict"):
                yield choice
        else:
            for argument in typing.get_args(choice):
                yield from _nested(argument)


def _places(type_: str, cls: Any, path: str = "", seen: tuple[Any, ...] = ()) -> Iterator[tuple[str, str]]:
    for key, expected in checks._shape(cls).types.items():
        inner = f"{path}/{key}" if path else key
        place = aws_checks._place(type_, inner)
        yield inner, place.kind
        shape = place.shape
        while shape is not None and shape.kind == "list":
            shape = shape.item
        for other in _nested(expected):
            if other not in seen and shape is not None and shape.kind == "structure":
                yield from _places(type_, other, inner, (*seen, cls))


@pytest.mark.parametrize("type_", sorted(aws_taught.types()))
def test_every_input_that_the_sdk_has_reaches_a_parameter_or_is_listed(type_: str) -> None:
    cls = checks._args_class(type_)
    assert cls is not None, "no such type"
    found = dict(_places(type_, cls))
    assert [path for path, kind in found.items() if kind == "unknown"] == []
    taught = aws_taught.lookup(type_)
    assert taught is not None
    known = {path.partition("/")[0] for path in found}
    assert {path for path in taught.ours if path.partition("/")[0] not in known} == set(), "ours, and no input"
    assert {path for path in taught.names if path.partition("/")[0] not in known} == set(), "taught, and no input"


def test_limits_and_names_are_of_inputs_that_there_are() -> None:
    for type_, path in LIMITS:
        assert aws_checks._place(type_, path).kind != "unknown", (type_, path)
    assert set(NAMES) <= set(aws_taught.types())


@pytest.mark.parametrize("type_", [BALANCER, TARGET_GROUP, LISTENER])
def test_attributes_are_named_as_aws_documents_them(type_: str) -> None:
    taught = aws_taught.lookup(type_)
    assert taught is not None
    shape = {BALANCER: "LoadBalancerAttribute", TARGET_GROUP: "TargetGroupAttribute", LISTENER: "ListenerAttribute"}
    text = aws_models.documentation("elbv2", shape[type_], "Key")
    attributes = [target[1:] for target in taught.names.values() if target.startswith("@")]
    assert len(attributes) > 10
    assert [name for name in attributes if name not in text] == []


def test_every_pattern_of_a_taught_type_can_be_read() -> None:
    """A pattern that Python cannot read would check nothing, and nobody would know."""
    unread: set[str] = set()
    seen: set[int] = set()

    def walk(shape: Shape) -> None:
        if id(shape) not in seen:
            seen.add(id(shape))
            if shape.unread:
                unread.add(f"{shape.name}: {shape.unread}")
            for member in shape.members.values():
                walk(member)

    for type_ in aws_taught.types():
        taught = aws_taught.lookup(type_)
        assert taught is not None
        walk(aws_models.request(taught.call))
    assert unread == set()


def test_actions_are_known_by_service() -> None:
    assert "RegisterTargets" in (known_actions("elasticloadbalancing") or ())
    assert "PassRole" in (known_actions("iam") or ())
    assert known_actions("nowhere") is None


# ---- Every value of a stack, made wrong.


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return rehearse("t", project(tmp_path_factory.mktemp("aws")))


def changed(value: Any, steps: tuple[str | int, ...], new: Any) -> Any:
    if not steps:
        return new
    if isinstance(value, Secret):
        return Secret(changed(value.value, steps, new))
    if isinstance(value, list):
        return [changed(item, steps[1:], new) if index == steps[0] else item for index, item in enumerate(value)]
    return {**value, steps[0]: changed(value[steps[0]], steps[1:], new)}


def bad_values(rule: Shape | Limit, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(rule, Limit):
        yield "limit", rule.bad
    elif rule.enum and not isinstance(value, bool):
        yield "enum", f"{value}x"
    elif rule.kind in ("integer", "long", "float", "double"):
        if rule.high is not None:
            yield "range", int(rule.high) + 1
        if rule.low is not None:
            yield "range", int(rule.low) - 1
    elif rule.kind == "boolean":
        yield "type", "maybe"
    elif rule.kind == "string" and rule.high is not None and rule.high < 10_000:
        yield "length", "a" * (int(rule.high) + 1)


def mutated(stack: Report) -> tuple[dict[str, int], list[str]]:
    """How many values of each kind were made wrong, and which of them nobody noticed."""
    counts = dict.fromkeys(("enum", "range", "limit", "type", "length"), 0)
    missed: list[str] = []
    for found in stack.registrations:
        sites: list[tuple[Any, Shape | Limit, Any]] = []
        aws_checks.check_aws(found, lambda steps, rule, value, sites=sites: sites.append((steps, rule, value)))
        for steps, rule, value in sites:
            for kind, bad in bad_values(rule, value):
                counts[kind] += 1
                path = f"{found.name} ({found.type})/{'/'.join(map(str, steps))}"
                mutant = replace(found, inputs=changed(found.inputs, steps, bad))
                if not any(finding.path.startswith(path) for finding in aws_checks.check_aws(mutant)):
                    missed.append(f"{path} = {bad!r}")
    return counts, missed


def test_every_checked_value_made_wrong_is_found(stack: Report) -> None:
    counts, missed = mutated(stack)
    assert missed == []
    assert counts["enum"] >= 70, counts
    assert counts["range"] >= 50, counts
    assert counts["limit"] >= 40, counts


def keys_in(value: Any, steps: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield steps, key
            yield from keys_in(item, (*steps, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from keys_in(item, (*steps, index))


FREE = ("tags", "dimensions", "options", "dockerLabels")
"""Objects whose keys are the program's own."""


def renamed(value: Any, steps: tuple[str | int, ...], key: str) -> Any:
    at = value
    for step in steps:
        at = at[step]
    return changed(value, steps, {(f"{name}x" if name == key else name): item for name, item in at.items()})


def test_every_misspelt_name_is_found(stack: Report) -> None:
    count = 0
    missed: list[str] = []
    for found in stack.registrations:
        if not found.type.startswith("aws:"):
            continue
        for steps, key in keys_in(found.inputs):
            if any(step in FREE for step in steps):
                continue
            count += 1
            mutant = replace(found, inputs=renamed(found.inputs, steps, key))
            paths = [finding.path for finding in [*checks.check(mutant), *aws_checks.check_aws(mutant)]]
            wanted = "/".join(map(str, (*steps, f"{key}x")))
            if f"{found.name} ({found.type})/{wanted}" not in paths:
                missed.append(f"{found.name} ({found.type})/{wanted}")
    assert missed == []
    assert count >= 350


def documents(stack: Report) -> Iterator[tuple[Registration, str, Any]]:
    for found in stack.registrations:
        for key in ("containerDefinitions", "policy", "assumeRolePolicy"):
            value = found.inputs.get(key)
            value = value.value if isinstance(value, Secret) else value
            if isinstance(value, str):
                yield found, key, json.loads(value)


def test_every_misspelt_name_in_a_document_is_found(stack: Report) -> None:
    count = 0
    missed: list[str] = []
    for found, key, document in documents(stack):
        for steps, name in keys_in(document):
            if any(step in (*FREE, "Principal", "Condition") for step in steps):
                continue
            count += 1
            text = json.dumps(renamed(document, steps, name))
            mutant = replace(found, inputs={**found.inputs, key: text})
            wanted = f"{found.name} ({found.type})/{key}/{'/'.join(map(str, (*steps, f'{name}x')))}"
            if wanted not in [finding.path for finding in aws_checks.check_aws(mutant)]:
                missed.append(wanted)
    assert missed == []
    assert count >= 80


def test_every_enum_and_range_in_a_container_definition_is_checked(stack: Report) -> None:
    shape = aws_models.request("ecs:RegisterTaskDefinition").members["containerDefinitions"]

    def sites(value: Any, at: Shape, steps: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from sites(item, at.item, (*steps, index))
        elif isinstance(value, dict) and at.kind == "structure":
            for key, item in value.items():
                yield from sites(item, at.members[key], (*steps, key))
        elif at.enum:
            yield steps, f"{value}x"
        elif isinstance(value, bool | int):
            yield steps, str(value)

    count = 0
    for found, key, document in documents(stack):
        if key == "containerDefinitions":
            for steps, bad in sites(document, shape):
                count += 1
                mutant = replace(found, inputs={**found.inputs, key: json.dumps(changed(document, steps, bad))})
                wanted = f"{found.name} ({found.type})/{key}/{'/'.join(map(str, steps))}"
                assert wanted in [finding.path for finding in aws_checks.check_aws(mutant)]
    assert count >= 15


def test_no_malformed_input_breaks_the_checks(stack: Report) -> None:
    """Whatever stands where, a wrong program is told so; it never sees a traceback of the checks."""
    for found in stack.registrations:
        for key in found.inputs:
            for junk in (
                "x",
                1,
                True,
                [],
                ["x"],
                [[]],
                {},
                {"x": "y"},
                [{"x": []}],
                None,
                "{}",
                "[1]",
                '{"Statement": 1}',
            ):
                aws_checks.check_aws(replace(found, inputs={**found.inputs, key: junk}))


# ---- The repository's own stack.


@pytest.mark.skipif(not (REPOSITORY / "Pulumi.prod.yaml").is_file(), reason="there is no stack prod")
def test_everything_that_stack_prod_has_is_taught_and_right() -> None:
    report = rehearse("prod", REPOSITORY)
    used = {found.type for found in report.registrations if found.type.startswith("aws:") and found.custom}
    assert len(used) > 20
    assert sorted(used - set(aws_taught.types())) == []
    assert [str(problem) for problem in report.problems] == []
    counts, missed = mutated(report)
    assert missed == []
    assert counts["enum"] >= 40, counts
    assert sum(counts.values()) >= 300, counts
