"""Services on ECS as the engine would be told of them: built from plans by hand, checked against AWS's own models."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from components.aws.iam import Account, wildcards
from components.aws.release import timeouts
from components.aws.release_check import ReleaseCheck
from components.aws.roles import ExecSessions, RolloutRole, RolloutRoleArgs, ServiceRolesArgs, execution_statements
from components.aws.scaling import RequestMetric, ServiceScalingArgs, service_scaling
from components.aws.service import (
    EcsEnvironment,
    EcsService,
    EcsServiceArgs,
    NativeRollout,
    StoredSecret,
    Target,
)
from components.aws.task_definition import DataVolume
from planning.aws.model import AwsImage, AwsService, Connect, Scaling, Schedule, Variant
from planning.names import Naming
from planning.rendering import RenderedFile
from rehearsal import RehearsalError, Report, rehearse
from settings.service import Service

ACCOUNT = "123456789012"
REGION = "eu-central-1"
DIGEST = "sha256:" + "1" * 64
ELB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
LISTENER = f"{ELB}:listener/app/balancer-1/0123456789abcdef/0123456789abcdef"
RULE = f"{ELB}:listener-rule/app/balancer-1/0123456789abcdef/0123456789abcdef/0123456789abcdef"
BALANCER = "app/balancer-1/0123456789abcdef"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0f0f0f0f-0000-4000-8000-0f0f0f0f0f0f"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:stripe-AbCdEf"
LOGIN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:login-AbCdEf"
VERSION = "11111111-2222-4333-8444-555555555555"
EFS = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}"
DATA = DataVolume(
    file_system_id="fs-0123456789abcdef0",
    file_system_arn=f"{EFS}:file-system/fs-0123456789abcdef0",
    access_point_id="fsap-0123456789abcdef0",
    access_point_arn=f"{EFS}:access-point/fsap-0123456789abcdef0",
)

SERVICE = "aws:ecs/service:Service"
TASK = "aws:ecs/taskDefinition:TaskDefinition"
ROLE = "aws:iam/role:Role"
POLICY = "aws:iam/rolePolicy:RolePolicy"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
LOGS = "aws:cloudwatch/logGroup:LogGroup"


# --- plans -----------------------------------------------------------------------------------------------------------


def settings(**given: Any) -> Service:
    return Service.model_validate({"image": f"web@{DIGEST}", "memory": 256 * 1024**2, **given})


def plan(name: str, found: Service, **given: Any) -> AwsService:
    """A service that runs in the pool, reached by nobody."""
    routed = found.port is not None and found.protocol == "http"
    defaults: dict[str, Any] = {
        "name": name,
        "settings": found,
        "variants": [variant(name, target_group=name if routed else None)],
        "files": [],
        "balancer": 1 if routed else None,
        "alternate": None,
        "rule": None,
        "connect": None,
        "network": "awsvpc",
        "architecture": "arm64",
        "cpu": 256,
        "memory": 256,
        "providers": {"pool": 1},
        "groups": [f"service-{name}"],
        "uses": {},
        "secrets": {},
        "existing_secrets": {},
        "urls": [f"https://{name}.example.com"] if routed else [],
    }
    return AwsService(**{**defaults, **given})


def variant(name: str, **given: Any) -> Variant:
    image = AwsImage(reference=None, repository="acme/web", digest=DIGEST)
    defaults: dict[str, Any] = {"image": image, "env": {}, "replicas": 2, "target_group": None}
    return Variant(name=name, **{**defaults, **given})


def web(**given: Any) -> AwsService:
    """A web service with something of everything."""
    found = settings(
        port=80,
        user="1000",
        command=["serve", "--all"],
        cpu=0.5,
        writable=["/var/cache"],
        capabilities=["SETUID", "CHOWN"],
        uses=["cart", "session"],
        drain=45,
        health={"path": "/healthz", "grace": 90},
    )
    return plan(
        "web",
        found,
        variants=[variant("web", target_group="web", env={"ZED": "1", "CART": "http://cart"})],
        connect=Connect(port=80, http=True, client=True),
        uses={"session": "session:6379", "cart": "http://cart"},
        secrets={"STRIPE_KEY": "stripe"},
        existing_secrets={"TOKEN": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/token"},
        memory=320,
        **given,
    )


def worker() -> AwsService:
    return plan(
        "worker",
        settings(health={"command": ["true"], "grace": 400, "interval": 5, "timeout": 2}),
        files=[
            RenderedFile(path="/etc/worker/sub/b.sh", content="echo 'b'\n", executable=True),
            RenderedFile(path="/etc/worker/a.conf", content="a $HOME", executable=False),
        ],
        cpu=272,
        memory=288,
    )


def session() -> AwsService:
    """Stateful, TCP, on EFS; used by others."""
    return plan(
        "session",
        settings(port=6379, protocol="tcp", volume="/data", health={"command": ["redis-cli", "ping"]}, exec=True,
                 read_only=False),
        variants=[variant("session", replicas=1)],
        connect=Connect(port=6379, http=False, client=False),
        memory=320,
    )  # fmt: skip


def spot() -> AwsService:
    return plan(
        "api",
        settings(port=8080, on="fargate", drain=300),
        architecture="amd64",
        cpu=256,
        memory=512,
        providers={"FARGATE": 50, "FARGATE_SPOT": 50},
        variants=[variant("api", target_group="api", scaling=_evenings())],
    )


def _evenings() -> Scaling:
    return Scaling(
        min=2,
        max=8,
        cpu=60,
        memory=None,
        requests=800,
        schedule=[
            Schedule(name="evening", cron="cron(0 18 ? * FRI *)", timezone="Europe/Berlin", min=4, max=16),
            Schedule(name="night", cron="cron(0 23 ? * * *)", timezone="Europe/Berlin", min=1, max=2),
        ],
    )


def native(**rollout: Any) -> AwsService:
    return plan("web", settings(port=8080, rollout=rollout), alternate="web-alternate", rule="balancer-1-web")


def canary() -> AwsService:
    found = settings(port=8080, uses=["cart"], canary={"image": f"web@{DIGEST}", "share": 10})
    old = AwsImage(reference=None, repository="acme/web", digest=DIGEST)
    new = AwsImage(reference=f"registry.example.com/acme/next@{DIGEST}", repository=None, digest=DIGEST,
                   login="registry.example.com")  # fmt: skip
    return plan(
        "web",
        found,
        variants=[
            variant("web", image=old, target_group="web", env={"A": "1"}),
            variant("web-canary", image=new, target_group="web-canary", env={"A": "2"}, replicas=1, canary=True),
        ],
        connect=Connect(port=80, http=True, client=True),
        uses={"cart": "http://cart"},
        memory=320,
    )


# --- running them ----------------------------------------------------------------------------------------------------


def no_clients(service: str) -> Any:
    raise AssertionError(f"a preview should not ask AWS, got a call of {service}")


def environment(**given: Any) -> EcsEnvironment:
    defaults: dict[str, Any] = {
        "naming": Naming(project="fx", stack="t"),
        "account": Account(id=ACCOUNT, region=REGION),
        "cluster_arn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/main",
        "namespace_arn": f"arn:aws:servicediscovery:{REGION}:{ACCOUNT}:namespace/ns-0123456789abcdef",
        "subnets": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "pool": "pool-1234567",
        "log_days": 30,
        "keys": [KEY],
        "sessions": ExecSessions(log_group_arn=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:exec-1234567", key_arn=KEY),
        "check": ReleaseCheck(no_clients),
        "no_alarm": "no-alarm",
        "tags": {"stack": "t"},
    }
    return EcsEnvironment(**{**defaults, **given})


def make(found: AwsService, **given: Any) -> EcsService:
    """The component, given whatever its plan names."""
    groups = {variant.target_group for variant in found.variants} | {found.alternate}
    targets = {
        name: Target(arn=f"{ELB}:targetgroup/{name}/0123456789abcdef", suffix=f"targetgroup/{name}/0123456789abcdef")
        for name in groups
        if name is not None
    }
    defaults: dict[str, Any] = {
        "plan": found,
        "environment": environment(),
        "images": {one.name: f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{one.name}@{DIGEST}" for one in found.variants},
        "security_groups": ["sg-0123456789abcdef0"],
        "targets": targets,
        "balancer": BALANCER,
        "rollout": NativeRollout(rule_arn=RULE, role_arn=f"arn:aws:iam::{ACCOUNT}:role/rollout")
        if found.alternate
        else None,
        "secrets": {"stripe": StoredSecret(arn=SECRET, version=VERSION)} if found.secrets else {},
        "logins": {"registry.example.com": LOGIN},
        "data": DATA if found.stateful else None,
    }
    return EcsService(found.name, EcsServiceArgs(**{**defaults, **given}))


Run = Callable[[Callable[[], Any]], Report]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs what it is given as a Pulumi program. AWS would take everything in it, or the test fails."""

    def runs(program: Callable[[], Any]) -> Report:
        (tmp_path / "Pulumi.yaml").write_text("name: fx\nruntime: python\n")
        (tmp_path / "Pulumi.t.yaml").write_text(f"config:\n  aws:region: {REGION}\n")
        (tmp_path / "__main__.py").write_text(f"import sys\nsys.modules[{__name__!r}].PROGRAM()\n")
        monkeypatch.setattr(sys.modules[__name__], "PROGRAM", program)
        report = rehearse("t", tmp_path)
        assert not report.problems, "\n".join(map(str, report.problems))
        return report

    return runs


PROGRAM: Callable[[], Any] = print


def inputs(report: Report, type_: str, name: str) -> dict[str, Any]:
    (found,) = [r for r in report.resources if (r["type"], r["name"]) == (type_, name)]
    return found["inputs"]


def registered(report: Report, type_: str, name: str) -> dict[str, Any]:
    (found,) = [r for r in report.resources if (r["type"], r["name"]) == (type_, name)]
    return found


def count(report: Report) -> Mapping[str, int]:
    kinds = [r["type"].rsplit(":", 1)[1] for r in report.resources if r["type"] != "pulumi:pulumi:Stack"]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def containers(report: Report, name: str) -> list[dict[str, Any]]:
    return json.loads(inputs(report, TASK, name)["containerDefinitions"])


def statements(report: Report, name: str) -> list[dict[str, Any]]:
    return json.loads(inputs(report, POLICY, name)["policy"])["Statement"]


# --- a web service ---------------------------------------------------------------------------------------------------


def test_a_web_service_is_one_of_each(run: Run) -> None:
    assert count(run(lambda: make(web()))) == {
        "EcsService": 1,
        "LogGroup": 1,
        "MetricAlarm": 1,
        "Role": 2,
        "RolePolicy": 1,  # the task role has nothing to allow
        "Service": 1,
        "TaskDefinition": 1,
    }


def test_a_web_service_is_wired_to_what_it_was_given(run: Run) -> None:
    report = run(lambda: make(web()))
    found = inputs(report, SERVICE, "web")
    log_group = inputs(report, TASK, "web")["containerDefinitions"].split('"awslogs-group":"')[1].split('"')[0]
    alarm = found["alarms"]["alarmNames"][0]
    definition = found.pop("taskDefinition")
    assert definition.startswith(f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/fx_t_web:")
    logging = {
        "awslogs-group": log_group,
        "awslogs-region": REGION,
        "awslogs-stream-prefix": "web-connect",
        "max-buffer-size": "10m",
        "mode": "non-blocking",
    }
    assert found == {
        "alarms": {"alarmNames": [alarm], "enable": True, "rollback": True},
        "availabilityZoneRebalancing": "ENABLED",
        "capacityProviderStrategies": [{"base": 0, "capacityProvider": "pool-1234567", "weight": 1}],
        "cluster": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/main",
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        "deploymentConfiguration": {"strategy": "ROLLING"},
        "deploymentMaximumPercent": 200,
        "deploymentMinimumHealthyPercent": 100,
        "desiredCount": 2,
        "enableEcsManagedTags": True,
        "enableExecuteCommand": False,
        "forceDelete": True,
        "forceNewDeployment": True,
        "healthCheckGracePeriodSeconds": 90,
        "loadBalancers": [
            {
                "containerName": "web",
                "containerPort": 80,
                "targetGroupArn": f"{ELB}:targetgroup/web/0123456789abcdef",
            }
        ],
        "networkConfiguration": {
            "assignPublicIp": False,
            "securityGroups": ["sg-0123456789abcdef0"],
            "subnets": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        },
        "orderedPlacementStrategies": [
            {"field": "attribute:ecs.availability-zone", "type": "spread"},
            {"field": "memory", "type": "binpack"},
        ],
        "propagateTags": "SERVICE",
        "serviceConnectConfiguration": {
            "enabled": True,
            "logConfiguration": {"logDriver": "awslogs", "options": logging},
            "namespace": f"arn:aws:servicediscovery:{REGION}:{ACCOUNT}:namespace/ns-0123456789abcdef",
            "services": [
                {
                    "clientAlias": [{"dnsName": "web", "port": 80}],
                    "discoveryName": "web-http",
                    "portName": "web-http",
                    "timeout": {"idleTimeoutSeconds": 60, "perRequestTimeoutSeconds": 900},
                }
            ],
        },
        "tags": {"stack": "t"},
        "triggers": {"uses": "cart=http://cart session=session:6379"},
        "waitForSteadyState": True,
    }


def test_a_service_comes_after_its_policies_and_what_it_was_given(run: Run) -> None:
    def program() -> None:
        first = make(worker())
        make(web(), after=first.resources)

    report = run(program)
    found = registered(report, SERVICE, "web")
    assert found["ignoreChanges"] == []
    for type_, name in ((SERVICE, "worker"), (POLICY, "web-execution")):
        assert registered(report, type_, name)["urn"] in found["dependencies"]


def test_the_container_says_everything_that_ecs_would_fill_in(run: Run) -> None:
    """Golden, since the provider compares it with what ECS gives back, and a difference replaces every task.

    It evens out (internal/service/ecs/container_definitions.go) the order of containers, environment and secrets, empty
    lists at the top, `essential`, the health check's and the ports' defaults, and nothing else: ECS gives back both
    lists of capabilities also where one is empty (terraform-aws-modules/terraform-aws-ecs#176).
    """
    report = run(lambda: make(web()))
    text = inputs(report, TASK, "web")["containerDefinitions"]
    group = text.split('"awslogs-group":"')[1].split('"')[0]
    golden = [
        {
            "command": ["serve", "--all"],
            "cpu": 512,
            "dockerSecurityOptions": ["no-new-privileges"],
            "environment": [{"name": "CART", "value": "http://cart"}, {"name": "ZED", "value": "1"}],
            "essential": True,
            "image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/web@{DIGEST}",
            "linuxParameters": {
                "capabilities": {"add": ["CHOWN", "SETUID"], "drop": ["ALL"]},
                "initProcessEnabled": True,
                "maxSwap": 0,
                "tmpfs": [
                    {"containerPath": path, "mountOptions": ["rw", "noexec", "nosuid", "nodev"], "size": 256}
                    for path in ("/tmp", "/var/cache")
                ],
            },
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": group,
                    "awslogs-region": REGION,
                    "awslogs-stream-prefix": "web",
                    "max-buffer-size": "10m",
                    "mode": "non-blocking",
                },
            },
            "memory": 256,
            "name": "web",
            "portMappings": [
                {"appProtocol": "http", "containerPort": 80, "hostPort": 80, "name": "web-http", "protocol": "tcp"}
            ],
            "privileged": False,
            "readonlyRootFilesystem": True,
            "secrets": [
                {"name": "STRIPE_KEY", "valueFrom": f"{SECRET}:::{VERSION}"},
                {"name": "TOKEN", "valueFrom": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/token"},
            ],
            "stopTimeout": 45,
            "systemControls": [{"namespace": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
            "user": "1000",
        }
    ]
    assert text == json.dumps(golden, sort_keys=True, separators=(",", ":"))


def test_the_task_is_limited_in_memory_and_not_in_cpu_on_instances(run: Run) -> None:
    found = inputs(run(lambda: make(web())), TASK, "web")
    assert "cpu" not in found
    assert {key: found[key] for key in ("family", "memory", "networkMode", "requiresCompatibilities")} == {
        "family": "fx_t_web",
        "memory": "320",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["EC2"],
    }
    assert found["runtimePlatform"] == {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}
    assert found["skipDestroy"]
    assert "volumes" not in found


def test_the_order_in_which_settings_are_written_changes_nothing(run: Run) -> None:
    def definitions(found: AwsService) -> str:
        return inputs(run(lambda: make(found)), TASK, "web")["containerDefinitions"]

    one = web()
    (first,) = one.variants
    turned = replace(
        one,
        settings=one.settings.model_copy(update={"capabilities": ("CHOWN", "SETUID"), "writable": ("/var/cache",)}),
        variants=[replace(first, env=dict(reversed(first.env.items())))],
        uses=dict(reversed(one.uses.items())),
    )
    assert definitions(one) == definitions(one) == definitions(turned)


@pytest.mark.parametrize(
    ("network", "port"),
    [
        (
            "bridge",
            {"appProtocol": "http", "containerPort": 8080, "hostPort": 0, "name": "web-http", "protocol": "tcp"},
        ),
        ("host", {"containerPort": 8080, "hostPort": 8080, "protocol": "tcp"}),
    ],
)
def test_the_instances_network(run: Run, network: str, port: Mapping[str, Any]) -> None:
    found = plan("web", settings(port=8080, network=network), network=network, groups=[])
    report = run(lambda: make(found, security_groups=[]))
    assert containers(report, "web")[0]["portMappings"] == [port]
    assert inputs(report, TASK, "web")["networkMode"] == network
    # ECS changes no mode in place, so the service of another mode is another one.
    assert "networkConfiguration" not in inputs(report, SERVICE, f"web_{network}")


# --- files -----------------------------------------------------------------------------------------------------------


def test_files_are_laid_over_what_the_image_has_before_the_service_starts(run: Run) -> None:
    report = run(lambda: make(worker()))
    service, files = containers(report, "worker")
    volumes = [volume["name"] for volume in inputs(report, TASK, "worker")["volumes"]]
    assert volumes == ["files-etc-worker-eb4621", "files-etc-worker-sub-f15655"]
    assert files["image"] == service["image"]
    assert (files["essential"], files["user"], files["entryPoint"]) == (False, "0", ["/bin/sh", "-c"])
    assert files["command"] == [
        "set -eu\n"
        "[ ! -d /etc/worker ] || cp -a /etc/worker/. /quayside/0\n"
        "mkdir -p /quayside/0/sub\n"
        "[ ! -d /etc/worker/sub ] || cp -a /etc/worker/sub/. /quayside/1\n"
        "rm -f /quayside/0/a.conf\n"
        "printf '%s' \"$QUAYSIDE_FILE_0\" > /quayside/0/a.conf\n"
        "chmod 0644 /quayside/0/a.conf\n"
        "rm -f /quayside/1/b.sh\n"
        "printf '%s' \"$QUAYSIDE_FILE_1\" > /quayside/1/b.sh\n"
        "chmod 0755 /quayside/1/b.sh"
    ]
    assert files["environment"] == [
        {"name": "QUAYSIDE_FILE_0", "value": "a $HOME"},
        {"name": "QUAYSIDE_FILE_1", "value": "echo 'b'\n"},
    ]
    # What copying with owners takes; Fargate cannot add them to a drop of ALL.
    capabilities = files["linuxParameters"]["capabilities"]
    assert capabilities["add"] == []
    assert not {"CHOWN", "DAC_OVERRIDE", "FOWNER", "ALL"} & set(capabilities["drop"])
    assert [mount["containerPath"] for mount in files["mountPoints"]] == ["/quayside/0", "/quayside/1"]
    assert service["mountPoints"] == [
        {"containerPath": "/etc/worker", "readOnly": True, "sourceVolume": volumes[0]},
        {"containerPath": "/etc/worker/sub", "readOnly": True, "sourceVolume": volumes[1]},
    ]
    assert service["dependsOn"] == [{"condition": "SUCCESS", "containerName": "worker-files"}]


def test_the_script_that_lays_files_down_does_so_byte_for_byte(run: Run, tmp_path: Path) -> None:
    files = containers(run(lambda: make(worker())), "worker")[1]
    image, stage = tmp_path / "image", tmp_path / "stage"
    for folder in (image / "etc/worker", stage / "0", stage / "1"):
        folder.mkdir(parents=True)
    (image / "etc/worker/own.conf").write_text("the image's own")
    (image / "etc/worker/a.conf").symlink_to(image / "elsewhere")
    script = files["command"][0].replace("/etc/worker", f"{image}/etc/worker").replace("/quayside", str(stage))
    variables = {variable["name"]: variable["value"] for variable in files["environment"]}
    subprocess.run([*files["entryPoint"], script], env={**variables, "PATH": os.environ["PATH"]}, check=True)
    assert (stage / "0/own.conf").read_text() == "the image's own"
    assert (stage / "0/a.conf").read_text() == "a $HOME"
    assert not (stage / "0/a.conf").is_symlink()
    assert (stage / "1/b.sh").read_text() == "echo 'b'\n"
    assert [(stage / path).stat().st_mode & 0o777 for path in ("0/a.conf", "1/b.sh")] == [0o644, 0o755]
    assert (stage / "0/sub").is_dir()  # the mount point of the other volume


def test_a_worker_has_a_health_command_and_nothing_to_do_with_requests(run: Run) -> None:
    report = run(lambda: make(worker()))
    service, _ = containers(report, "worker")
    assert service["healthCheck"] == {
        "command": ["CMD", "true"],
        "interval": 5,
        "retries": 9,
        "startPeriod": 300,  # ECS knows no longer one
        "timeout": 2,
    }
    assert "portMappings" not in service
    assert not {"loadBalancers", "healthCheckGracePeriodSeconds", "serviceConnectConfiguration",
                "triggers"} & inputs(report, SERVICE, "worker").keys()  # fmt: skip


# --- state -----------------------------------------------------------------------------------------------------------


def test_a_stateful_service_stops_first_and_keeps_its_data_on_efs(run: Run) -> None:
    report = run(lambda: make(session()))
    found = inputs(report, SERVICE, "session")
    assert (found["deploymentMinimumHealthyPercent"], found["deploymentMaximumPercent"]) == (0, 100)
    assert found["availabilityZoneRebalancing"] == "DISABLED"  # it would need two tasks at once
    assert found["desiredCount"] == 1
    assert inputs(report, TASK, "session")["volumes"] == [
        {
            "name": "data",
            "efsVolumeConfiguration": {
                "authorizationConfig": {"accessPointId": "fsap-0123456789abcdef0", "iam": "ENABLED"},
                "fileSystemId": "fs-0123456789abcdef0",
                "transitEncryption": "ENABLED",
            },
        }
    ]
    (service,) = containers(report, "session")
    assert service["mountPoints"] == [{"containerPath": "/data", "readOnly": False, "sourceVolume": "data"}]
    assert service["portMappings"] == [
        {"containerPort": 6379, "hostPort": 6379, "name": "session-tcp", "protocol": "tcp"}
    ]
    (served,) = found["serviceConnectConfiguration"]["services"]
    assert "timeout" not in served  # TCP has no requests to time


# --- Fargate and scaling ---------------------------------------------------------------------------------------------


def scaled() -> None:
    found = spot()
    made = make(found)
    rule = aws.lb.ListenerRule(
        "public",
        listener_arn=LISTENER,
        priority=1,
        actions=[aws.lb.ListenerRuleActionArgs(type="forward", target_group_arn=f"{ELB}:targetgroup/api/1")],
        conditions=[
            aws.lb.ListenerRuleConditionArgs(
                host_header=aws.lb.ListenerRuleConditionHostHeaderArgs(values=["api.example.com"])
            )
        ],
        opts=pulumi.ResourceOptions(depends_on=list(made.resources)),
    )
    assert found.scaling is not None
    service_scaling(
        "api",
        ServiceScalingArgs(
            scaling=found.scaling,
            cluster_name="main",
            service_name=made.names["api"],
            requests=RequestMetric(balancer=BALANCER, target_groups=["targetgroup/api/0123456789abcdef"]),
            after=[rule],
            tags={"stack": "t"},
        ),
        made,
    )


def test_a_fargate_service_runs_on_spot_as_well_and_says_its_size(run: Run) -> None:
    report = run(lambda: make(spot()))
    found = inputs(report, SERVICE, "api")
    assert found["capacityProviderStrategies"] == [
        {"base": 1, "capacityProvider": "FARGATE", "weight": 50},  # the first is never on spot
        {"base": 0, "capacityProvider": "FARGATE_SPOT", "weight": 50},
    ]
    assert "orderedPlacementStrategies" not in found
    definition = inputs(report, TASK, "api")
    assert (definition["cpu"], definition["memory"], definition["requiresCompatibilities"]) == (
        "256",
        "512",
        ["FARGATE"],
    )
    (service,) = containers(report, "api")
    assert service["memory"] == 512  # it asks for 256, and 512 are paid for
    assert service["stopTimeout"] == 120  # as long as Fargate waits
    assert "dockerSecurityOptions" not in service
    assert "maxSwap" not in service["linuxParameters"]


def test_ecs_keeps_the_number_of_tasks_where_it_scales(run: Run) -> None:
    report = run(scaled)
    assert registered(report, SERVICE, "api")["ignoreChanges"] == ["desiredCount"]
    target = inputs(report, "aws:appautoscaling/target:Target", "api")
    service = inputs(report, "aws:appautoscaling/policy:Policy", "api-cpu")["resourceId"]
    assert target["resourceId"] == service
    assert service.startswith("service/main/api")
    assert (target["minCapacity"], target["maxCapacity"]) == (2, 8)
    policies = {
        name: inputs(report, "aws:appautoscaling/policy:Policy", name)["targetTrackingScalingPolicyConfiguration"]
        for name in ("api-cpu", "api-requests")
    }
    assert policies == {
        "api-cpu": {
            "predefinedMetricSpecification": {"predefinedMetricType": "ECSServiceAverageCPUUtilization"},
            "scaleInCooldown": 300,
            "scaleOutCooldown": 60,
            "targetValue": 60,
        },
        "api-requests": {
            "predefinedMetricSpecification": {
                "predefinedMetricType": "ALBRequestCountPerTarget",
                "resourceLabel": f"{BALANCER}/targetgroup/api/0123456789abcdef",
            },
            "scaleInCooldown": 300,
            "scaleOutCooldown": 60,
            "targetValue": 800,
        },
    }
    public = registered(report, "aws:lb/listenerRule:ListenerRule", "public")["urn"]
    assert public in registered(report, "aws:appautoscaling/policy:Policy", "api-requests")["dependencies"]


def test_schedules_are_made_one_after_the_other(run: Run) -> None:
    """Application Auto Scaling answers ConcurrentUpdateException to two at once (terraform-provider-aws#17915)."""
    report = run(scaled)
    chain = [
        registered(report, "aws:appautoscaling/target:Target", "api"),
        registered(report, "aws:appautoscaling/policy:Policy", "api-cpu"),
        registered(report, "aws:appautoscaling/policy:Policy", "api-requests"),
        registered(report, "aws:appautoscaling/scheduledAction:ScheduledAction", "api-evening"),
        registered(report, "aws:appautoscaling/scheduledAction:ScheduledAction", "api-night"),
    ]
    for before, after in itertools.pairwise(chain):
        assert before["urn"] in after["dependencies"]
    evening = chain[3]["inputs"]
    assert (evening["schedule"], evening["timezone"]) == ("cron(0 18 ? * FRI *)", "Europe/Berlin")
    assert evening["scalableTargetAction"] == {"maxCapacity": 16, "minCapacity": 4}


# --- rollouts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rollout", "said", "minutes"),
    [
        ({"strategy": "blue_green", "bake": 300}, {"bakeTimeInMinutes": "5", "strategy": "BLUE_GREEN"}, 25),
        (
            {"strategy": "canary", "percent": 10},
            {
                "bakeTimeInMinutes": "10",
                "canaryConfiguration": {"canaryBakeTimeInMinutes": "10", "canaryPercent": 10},
                "strategy": "CANARY",
            },
            40,
        ),
        (
            {"strategy": "linear", "percent": 30, "bake": 60},
            {
                "bakeTimeInMinutes": "1",
                "linearConfiguration": {"stepBakeTimeInMinutes": "1", "stepPercent": 30},
                "strategy": "LINEAR",
            },
            24,
        ),
    ],
)
def test_a_native_rollout_moves_one_rule_between_two_groups(
    run: Run, rollout: Mapping[str, Any], said: Mapping[str, Any], minutes: int
) -> None:
    report = run(lambda: make(native(**rollout)))
    found = inputs(report, SERVICE, "web")
    assert found["deploymentConfiguration"] == said
    assert found["loadBalancers"] == [
        {
            "advancedConfiguration": {
                "alternateTargetGroupArn": f"{ELB}:targetgroup/web-alternate/0123456789abcdef",
                "productionListenerRule": RULE,
                "roleArn": f"arn:aws:iam::{ACCOUNT}:role/rollout",
            },
            "containerName": "web",
            "containerPort": 8080,
            "targetGroupArn": f"{ELB}:targetgroup/web/0123456789abcdef",
        }
    ]
    # ECS rolls a release that never becomes healthy back on its own, in native rollouts, too.
    assert found["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    # 15 minutes, four times 60 s grace, twice 30 s drain, and what it bakes.
    assert timeouts(native(**rollout)).update == f"{minutes}m"


def test_the_alarm_looks_at_each_colour_by_itself(run: Run) -> None:
    """Or a canary of five percent could fail all of its requests without ever being more than five percent of all."""
    report = run(lambda: make(native(strategy="canary", errors=3, alarms=["p99-of-web"])))
    for name, group in (("web", "web"), ("web-alt", "web-alternate")):
        found = inputs(report, ALARM, name)
        metrics = {
            query["id"]: (query["metric"]["metricName"], query["metric"]["dimensions"].get("TargetGroup"))
            for query in found["metricQueries"]
            if "metric" in query
        }
        suffix = f"targetgroup/{group}/0123456789abcdef"
        assert metrics["failed"] == ("HTTPCode_Target_5XX_Count", suffix)
        assert metrics["late"] == ("HTTPCode_ELB_504_Count", None)  # AWS has it of the whole balancer only
        assert {where for _, where in metrics.values()} == {suffix, None}
        assert len(metrics) <= 10  # what an alarm may look at
        assert len(found["metricQueries"]) <= 20
        assert [query["id"] for query in found["metricQueries"] if query["returnData"]] == ["share"]
        assert (found["threshold"], found["comparisonOperator"]) == (3, "GreaterThanThreshold")
        assert found["treatMissingData"] == "notBreaching"


def share(report: Report, **counts: int) -> float:
    """What the alarm of `web` makes of one minute, its expressions computed as CloudWatch does."""
    values: dict[str, float] = {}

    def fill(value: float | None, default: float) -> float:
        return default if value is None else value

    for query in inputs(report, ALARM, "web")["metricQueries"]:
        if "metric" in query:
            values[query["id"]] = counts.get(query["id"])  # type: ignore[assignment]
        else:
            text = query["expression"].replace("IF(", "choose(")
            names = {"FILL": fill, "choose": lambda test, then, other: then if test else other, **values}
            # `IF` looks at both of its branches, also where the first divides by what is missing.
            names |= {key: value for key, value in values.items() if value is not None}
            names["asked"] = values["asked"] or 1
            values[query["id"]] = eval(text.replace("FILL(asked, 0)", str(values["asked"] or 0)), {}, names)  # noqa: S307
    return values["share"]


@pytest.mark.parametrize(
    ("what", "counts", "percent"),
    [
        ("all is well", {"asked": 100, "two": 90, "three": 5, "four": 5}, 0),
        ("it answers 500", {"asked": 100, "two": 80, "failed": 20}, 20),
        ("it hangs: the balancer says 504", {"asked": 100, "two": 70, "late": 30}, 30),
        ("it crashes at each request: 502", {"asked": 100, "broken": 100}, 100),
        ("nobody listens: 502, counted twice by AWS", {"asked": 100, "refused": 100, "broken": 100}, 100),
        ("WebSockets have no status of their own", {"asked": 100, "two": 10}, 0),
        ("another service of the balancer hangs", {"asked": 100, "two": 100, "late": 500}, 0),
        ("another service hangs, and clients hang up here", {"asked": 100, "two": 98, "late": 500}, 2),
        ("answers to the minute before", {"asked": 100, "two": 120, "late": 5}, 0),
        ("too few to tell", {"asked": 9, "failed": 9}, 0),
        ("nobody asks", {}, 0),
    ],
)
def test_what_the_alarm_counts_as_failed(run: Run, what: str, counts: dict[str, int], percent: float) -> None:
    assert share(run(lambda: make(native(strategy="canary"))), **counts) == percent, what


def test_a_service_without_alarms_says_so_or_ecs_would_keep_those_it_had(run: Run) -> None:
    report = run(lambda: make(session()))
    assert inputs(report, SERVICE, "session")["alarms"] == {
        "alarmNames": ["no-alarm"],
        "enable": False,
        "rollback": False,
    }


def test_alarms_of_the_settings_take_a_release_back_as_well(run: Run) -> None:
    report = run(lambda: make(native(strategy="blue_green", alarms=["b", "a"])))
    names = inputs(report, SERVICE, "web")["alarms"]["alarmNames"]
    assert names[:2] == ["a", "b"]
    assert len(names) == 4


def test_a_declared_canary_is_a_second_service_that_nobody_finds_by_name(run: Run) -> None:
    report = run(lambda: make(canary()))
    old, new = inputs(report, SERVICE, "web"), inputs(report, SERVICE, "web-canary")
    assert (old["desiredCount"], new["desiredCount"]) == (2, 1)
    assert new["loadBalancers"][0]["targetGroupArn"].endswith(":targetgroup/web-canary/0123456789abcdef")
    assert "services" not in new["serviceConnectConfiguration"]
    assert old["serviceConnectConfiguration"]["services"][0]["discoveryName"] == "web-http"
    (container,) = containers(report, "web-canary")
    assert container["name"] == "web"
    assert container["environment"] == [{"name": "A", "value": "2"}]
    assert container["repositoryCredentials"] == {"credentialsParameter": LOGIN}
    assert "repositoryCredentials" not in containers(report, "web")[0]
    assert count(report)["MetricAlarm"] == 2
    assert count(report)["LogGroup"] == 1


# --- roles -----------------------------------------------------------------------------------------------------------


def test_only_tasks_of_this_account_take_the_roles_on(run: Run) -> None:
    report = run(lambda: make(web()))
    for name in ("web-execution", "web-task"):
        assert json.loads(inputs(report, ROLE, name)["assumeRolePolicy"])["Statement"] == [
            {
                "Action": ["sts:AssumeRole"],
                "Condition": {
                    "ArnLike": {"aws:SourceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:*"},
                    "StringEquals": {"aws:SourceAccount": ACCOUNT},
                },
                "Effect": "Allow",
                "Principal": {"Service": ["ecs-tasks.amazonaws.com"]},
            }
        ]


def test_the_execution_role_starts_this_service_and_no_other(run: Run) -> None:
    report = run(lambda: make(web()))
    token, pull, logs, secrets, parameters, keys = statements(report, "web-execution")
    assert (token["Action"], token["Resource"]) == (["ecr:GetAuthorizationToken"], ["*"])
    assert pull["Action"] == ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    assert pull["Resource"] == [f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/acme/web"]
    assert logs["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    (group,) = logs["Resource"]
    assert group.startswith(f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:web")
    assert group.endswith(":*")
    assert (secrets["Action"], secrets["Resource"]) == (["secretsmanager:GetSecretValue"], [SECRET])
    assert (parameters["Action"], parameters["Resource"]) == (
        ["ssm:GetParameters"],
        [f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/token"],
    )
    assert (keys["Action"], keys["Resource"]) == (["kms:Decrypt"], [KEY])
    assert keys["Condition"] == {
        "StringEquals": {"kms:ViaService": [f"secretsmanager.{REGION}.amazonaws.com", f"ssm.{REGION}.amazonaws.com"]}
    }


def test_a_login_is_all_that_a_private_registry_adds(run: Run) -> None:
    report = run(lambda: make(canary()))
    by_sid = {found.get("Sid"): found for found in statements(report, "web-execution")}
    assert by_sid["Secrets"]["Resource"] == [LOGIN]
    assert by_sid["Pull"]["Resource"] == [f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/acme/web"]


def test_the_first_pull_through_a_cache_fills_it(run: Run) -> None:
    image = AwsImage(reference=None, repository="hub/library/redis", digest=DIGEST, cached=True)
    found = plan("redis", settings(), variants=[variant("redis", image=image)])
    allowed: dict[str | None, list[str]] = {}

    def program() -> None:
        shared = environment()
        args = ServiceRolesArgs(
            service=found, account=shared.account, log_group_arn="", sessions=shared.sessions, tags=shared.tags
        )
        allowed.update({statement.sid: list(statement.actions) for statement in execution_statements(args)})

    run(program)
    assert allowed["Pull"] == ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    assert allowed["Cache"] == ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"]


def test_an_image_from_elsewhere_needs_no_login_to_ecr(run: Run) -> None:
    image = AwsImage(reference=f"registry.example.com/acme/web@{DIGEST}", repository=None, digest=DIGEST)
    report = run(lambda: make(plan("worker", settings(), variants=[variant("worker", image=image)])))
    assert [found["Sid"] for found in statements(report, "worker-execution")] == ["Logs"]


def test_existing_secrets_are_read_without_the_part_that_names_a_key_in_them(run: Run) -> None:
    found = plan("worker", settings(), existing_secrets={"PASSWORD": f"{SECRET}:password::"})
    report = run(lambda: make(found, environment=environment(keys=[])))
    assert containers(report, "worker")[0]["secrets"] == [{"name": "PASSWORD", "valueFrom": f"{SECRET}:password::"}]
    by_sid = {found.get("Sid"): found for found in statements(report, "worker-execution")}
    assert by_sid["Secrets"]["Resource"] == [SECRET]
    assert "Keys" not in by_sid


def test_the_task_role_has_its_permissions_volume_and_exec(run: Run) -> None:
    found = session()
    permissions = [
        {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::uploads/*"]},
        {"actions": ["ses:SendEmail"], "reason": "identities are made by hand"},
    ]
    stated = Service.model_validate({**found.settings.model_dump(exclude_unset=True), "permissions": permissions})
    report = run(lambda: make(replace(found, settings=stated)))
    own, mail, volume, channel, groups, recorded, key = statements(report, "session-task")
    assert (own["Action"], own["Resource"]) == (["s3:GetObject"], ["arn:aws:s3:::uploads/*"])
    assert (mail["Action"], mail["Resource"]) == (["ses:SendEmail"], ["*"])
    assert volume["Action"] == ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    assert volume["Resource"] == [DATA.file_system_arn]
    assert volume["Condition"] == {"StringEquals": {"elasticfilesystem:AccessPointArn": DATA.access_point_arn}}
    assert channel["Action"] == [
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    ]
    assert groups["Action"] == ["logs:DescribeLogGroups"]
    assert recorded["Resource"] == [f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:exec-1234567:*"]
    assert (key["Action"], key["Resource"]) == (["kms:Decrypt"], [KEY])
    assert [found.reason for found in wildcards(inputs(report, POLICY, "session-task")["policy"])] == [
        "Groups are listed and not named before sessions are recorded",
        "Identities are made by hand",
        "Channels of sessions have no names before they exist",
    ]


def test_the_rollout_role_changes_what_it_is_for_and_nothing_else(run: Run) -> None:
    groups = [f"{ELB}:targetgroup/web/0123456789abcdef", f"{ELB}:targetgroup/web-alternate/0123456789abcdef"]

    def program() -> None:
        RolloutRole(
            "web-rollout",
            RolloutRoleArgs(listeners=[LISTENER], rules=[RULE], target_groups=groups, tags={"stack": "t"}),
        )

    report = run(program)
    read, rules, listeners, targets = statements(report, "web-rollout")
    assert all(":Describe" in action for action in read["Action"])
    assert (rules["Action"], rules["Resource"]) == (["elasticloadbalancing:ModifyRule"], [RULE])
    assert (listeners["Action"], listeners["Resource"]) == (["elasticloadbalancing:ModifyListener"], [LISTENER])
    assert targets["Resource"] == groups
    (trust,) = json.loads(inputs(report, ROLE, "web-rollout")["assumeRolePolicy"])["Statement"]
    assert trust["Principal"] == {"Service": ["ecs.amazonaws.com"]}


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "given", "said"),
    [
        (web, {"targets": {}}, r"targets of web should have web, got \[\]"),
        (web, {"images": {}}, r"images of web should have web, got \[\]"),
        (web, {"secrets": {}}, r"secrets of web should have stripe, got \[\]"),
        (session, {"data": None}, "data of session should be given exactly where the plan has a volume"),
        (lambda: native(strategy="linear"), {"rollout": None}, "rollout of web should be given exactly where"),
        (web, {"environment": environment(pool=None)}, "pool should be the name of a capacity provider, got None"),
        (web, {"environment": environment(namespace_arn=None)}, "namespace_arn should be given: web uses others"),
    ],
)
def test_a_plan_that_lacks_what_it_names_is_refused(
    run: Run, found: Callable[[], AwsService], given: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(RehearsalError, match=said):
        run(lambda: make(found(), **given))
