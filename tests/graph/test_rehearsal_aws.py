"""The preview of an AWS stack: what AWS would make of it, data sources, and what the report shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rehearsal import Report, rehearse
from rehearsal.__main__ import main

REPOSITORY = Path(__file__).parents[2]

# One of each, with the inputs that a real stack has: also what tests/unit/test_aws_checks.py mutates.
PROGRAM = r"""
import json
import pulumi
import pulumi_aws as aws

tags = {"project": "fx", "Name": "fx"}
me = aws.get_caller_identity()
here = aws.get_region()
ami = aws.ssm.get_parameter(name="/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id")
vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16", enable_dns_hostnames=True, instance_tenancy="default", tags=tags)
igw = aws.ec2.InternetGateway("igw", vpc_id=vpc.id)
subnets = [
    aws.ec2.Subnet(f"public-{z}", vpc_id=vpc.id, cidr_block=f"10.0.{i}.0/24", availability_zone=f"eu-central-1{z}",
                   private_dns_hostname_type_on_launch="ip-name")
    for i, z in enumerate("ab")
]
eip = aws.ec2.Eip("nat", domain="vpc")
nat = aws.ec2.NatGateway("nat", allocation_id=eip.id, subnet_id=subnets[0].id, connectivity_type="public")
table = aws.ec2.RouteTable("private", vpc_id=vpc.id, routes=[{"cidr_block": "10.9.0.0/16", "nat_gateway_id": nat.id}])
aws.ec2.Route("out", route_table_id=table.id, destination_cidr_block="0.0.0.0/0", nat_gateway_id=nat.id)
aws.ec2.RouteTableAssociation("a", route_table_id=table.id, subnet_id=subnets[0].id)
aws.ec2.VpcEndpoint("s3", vpc_id=vpc.id, service_name="com.amazonaws.eu-central-1.s3", vpc_endpoint_type="Gateway",
                    ip_address_type="ipv4", route_table_ids=[table.id])
logs = aws.cloudwatch.LogGroup("logs", retention_in_days=14, log_group_class="STANDARD")
aws.ec2.DefaultSecurityGroup("none", vpc_id=vpc.id, ingress=[], egress=[])
lb_group = aws.ec2.SecurityGroup("lb", vpc_id=vpc.id, description="The balancer")
aws.vpc.SecurityGroupIngressRule("https", security_group_id=lb_group.id, ip_protocol="tcp", from_port=443, to_port=443,
                                 cidr_ipv4="0.0.0.0/0", description="https")
aws.vpc.SecurityGroupEgressRule("all", security_group_id=lb_group.id, ip_protocol="-1", cidr_ipv4="0.0.0.0/0")


def trust(service):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                       "Principal": {"Service": service},
                       "Condition": {"StringEquals": {"aws:SourceAccount": me.account_id}}}]})


execution = aws.iam.Role("execution", assume_role_policy=trust("ecs-tasks.amazonaws.com"), max_session_duration=3600)
aws.iam.RolePolicyAttachment("execution", role=execution.name,
    policy_arn="arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy")
key = aws.kms.Key("key", deletion_window_in_days=7, enable_key_rotation=True, key_usage="ENCRYPT_DECRYPT",
    customer_master_key_spec="SYMMETRIC_DEFAULT", policy=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Sid": "Enable IAM", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{me.account_id}:root"},
         "Action": "kms:*", "Resource": "*"}]}))
aws.kms.Alias("key", name="alias/fx", target_key_id=key.key_id)
secret = aws.secretsmanager.Secret("stripe", kms_key_id=key.arn, recovery_window_in_days=7)
aws.secretsmanager.SecretVersion("stripe", secret_id=secret.id, secret_string=pulumi.Output.secret("hunter2"))
aws.iam.RolePolicy("secrets", role=execution.name, policy=pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": [
    {"Sid": "Read", "Effect": "Allow", "Action": ["secretsmanager:GetSecretValue", "kms:Decrypt"],
     "Resource": [secret.arn, key.arn]}]}))
flow = aws.ec2.FlowLog("flow", vpc_id=vpc.id, traffic_type="REJECT", log_destination_type="cloud-watch-logs",
                       iam_role_arn=execution.arn, log_destination=logs.arn, max_aggregation_interval=600)
profile = aws.iam.InstanceProfile("hosts", role=execution.name)
template = aws.ec2.LaunchTemplate("hosts", image_id=ami.value, instance_type="m7g.large", user_data="IyEvYmluL3NoCg==",
    vpc_security_group_ids=[lb_group.id], iam_instance_profile={"arn": profile.arn}, ebs_optimized="true",
    metadata_options={"http_tokens": "required", "http_put_response_hop_limit": 2, "http_endpoint": "enabled"},
    block_device_mappings=[{"device_name": "/dev/xvda", "ebs": {"volume_type": "gp3", "volume_size": 50, "encrypted": "true"}}],
    monitoring={"enabled": True}, update_default_version=True,
    tag_specifications=[{"resource_type": "instance", "tags": tags}])
group = aws.autoscaling.Group("hosts", min_size=1, max_size=4, vpc_zone_identifiers=[s.id for s in subnets],
    protect_from_scale_in=True, health_check_type="EC2", health_check_grace_period=60, default_instance_warmup=60,
    mixed_instances_policy={"launch_template": {
        "launch_template_specification": {"launch_template_id": template.id, "version": "$Latest"},
        "overrides": [{"instance_type": "m7g.large"}]},
        "instances_distribution": {"on_demand_base_capacity": 1, "on_demand_percentage_above_base_capacity": 30,
                                   "spot_allocation_strategy": "price-capacity-optimized"}},
    instance_refresh={"strategy": "Rolling", "preferences": {"min_healthy_percentage": 90}},
    tags=[{"key": "AmazonECSManaged", "value": "", "propagate_at_launch": True}])
cluster = aws.ecs.Cluster("main", settings=[{"name": "containerInsights", "value": "enhanced"}],
    configuration={"execute_command_configuration": {"logging": "OVERRIDE", "log_configuration": {
        "cloud_watch_log_group_name": logs.name, "s3_bucket_encryption_enabled": True}}})
provider = aws.ecs.CapacityProvider("hosts", auto_scaling_group_provider={
    "auto_scaling_group_arn": group.arn, "managed_draining": "ENABLED", "managed_termination_protection": "ENABLED",
    "managed_scaling": {"status": "ENABLED", "target_capacity": 100, "instance_warmup_period": 60}})
aws.ecs.ClusterCapacityProviders("main", cluster_name=cluster.name, capacity_providers=[provider.name, "FARGATE"],
    default_capacity_provider_strategies=[{"capacity_provider": provider.name, "weight": 1, "base": 1}])
namespace = aws.servicediscovery.HttpNamespace("fx", name="fx", description="Names of services")
balancer = aws.lb.LoadBalancer("one", load_balancer_type="application", ip_address_type="ipv4", idle_timeout=60, internal=False,
    security_groups=[lb_group.id], subnets=[s.id for s in subnets], drop_invalid_header_fields=True,
    desync_mitigation_mode="defensive", access_logs={"bucket": "fx-logs", "enabled": True}, tags=tags)
cert = aws.acm.Certificate("main", domain_name="example.com", subject_alternative_names=["*.example.com"],
    validation_method="DNS", key_algorithm="RSA_2048", options={"certificate_transparency_logging_preference": "ENABLED"})
zone = aws.route53.get_zone(name="example.com")
option = cert.domain_validation_options[0]
record = aws.route53.Record("proof", zone_id=zone.zone_id, name=option.resource_record_name, type=option.resource_record_type,
    records=[option.resource_record_value], ttl=60)
valid = aws.acm.CertificateValidation("main", certificate_arn=cert.arn, validation_record_fqdns=[record.fqdn])
aws.route53.Record("web", zone_id=zone.zone_id, name="example.com", type="A",
    aliases=[{"name": balancer.dns_name, "zone_id": balancer.zone_id, "evaluate_target_health": True}])
listener = aws.lb.Listener("https", load_balancer_arn=balancer.arn, port=443, protocol="HTTPS",
    certificate_arn=valid.certificate_arn, ssl_policy="ELBSecurityPolicy-TLS13-1-2-2021-06",
    default_actions=[{"type": "fixed-response", "fixed_response": {"content_type": "text/plain", "status_code": "404"}}],
    routing_http_response_strict_transport_security_header_value="max-age=3600")
target = aws.lb.TargetGroup("web", port=8080, protocol="HTTP", vpc_id=vpc.id, target_type="ip", deregistration_delay=30,
    protocol_version="HTTP1", slow_start=30, load_balancing_algorithm_type="round_robin", ip_address_type="ipv4",
    health_check={"path": "/healthz", "interval": 10, "timeout": 5, "healthy_threshold": 2, "unhealthy_threshold": 2,
                  "matcher": "200-299", "protocol": "HTTP", "port": "traffic-port", "enabled": True},
    stickiness={"type": "lb_cookie", "enabled": True, "cookie_duration": 3600})
aws.lb.ListenerRule("web", listener_arn=listener.arn, priority=100,
    conditions=[{"host_header": {"values": ["example.com", "*.example.com"]}}, {"path_pattern": {"values": ["/app", "/app/*"]}}],
    actions=[{"type": "forward", "forward": {"target_groups": [{"arn": target.arn, "weight": 90}],
              "stickiness": {"duration": 3600, "enabled": True}}}])
aws.lb.ListenerCertificate("more", listener_arn=listener.arn, certificate_arn=cert.arn)
containers = [{
    "name": "web", "image": "ghcr.io/acme/web@sha256:" + "a" * 64, "essential": True, "memory": 512, "cpu": 256,
    "portMappings": [{"containerPort": 8080, "protocol": "tcp", "name": "web", "appProtocol": "http"}],
    "environment": [{"name": "A", "value": "1"}],
    "linuxParameters": {"initProcessEnabled": True, "capabilities": {"drop": ["ALL"]}},
    "healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 10, "timeout": 5, "retries": 3, "startPeriod": 10},
    "ulimits": [{"name": "nofile", "softLimit": 65536, "hardLimit": 65536}],
    "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}], "stopTimeout": 30,
    "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/fx", "awslogs-region": "eu-central-1",
                         "awslogs-stream-prefix": "web"}},
    "mountPoints": [{"sourceVolume": "data", "containerPath": "/data", "readOnly": False}],
}, {"name": "init", "image": "busybox:1", "essential": False, "memory": 64, "command": ["true"]}]
task = aws.ecs.TaskDefinition("web", family="fx-web", network_mode="awsvpc", requires_compatibilities=["FARGATE"], cpu="512",
    memory="1024", execution_role_arn=execution.arn, runtime_platform={"cpu_architecture": "ARM64", "operating_system_family": "LINUX"},
    container_definitions=pulumi.Output.json_dumps([{**containers[0], "secrets": [{"name": "S", "valueFrom": secret.arn}]}, containers[1]]),
    volumes=[{"name": "data", "efs_volume_configuration": {"file_system_id": "fs-12345678", "transit_encryption": "ENABLED",
              "authorization_config": {"iam": "ENABLED"}}}], ephemeral_storage={"size_in_gib": 30})
alarm = aws.cloudwatch.MetricAlarm("5xx", comparison_operator="GreaterThanThreshold", evaluation_periods=2, metric_name="HTTPCode_Target_5XX_Count",
    namespace="AWS/ApplicationELB", period=60, statistic="Sum", threshold=5, treat_missing_data="notBreaching",
    dimensions={"LoadBalancer": balancer.arn_suffix, "TargetGroup": target.arn_suffix}, unit="Count")
service = aws.ecs.Service("web", cluster=cluster.arn, task_definition=task.arn, desired_count=2, propagate_tags="SERVICE",
    capacity_provider_strategies=[{"capacity_provider": "FARGATE", "weight": 1}], scheduling_strategy="REPLICA",
    deployment_controller={"type": "ECS"}, availability_zone_rebalancing="ENABLED", platform_version="LATEST",
    deployment_maximum_percent=200, deployment_minimum_healthy_percent=100, health_check_grace_period_seconds=60,
    network_configuration={"subnets": [s.id for s in subnets], "security_groups": [lb_group.id], "assign_public_ip": False},
    load_balancers=[{"container_name": "web", "container_port": 8080, "target_group_arn": target.arn,
        "advanced_configuration": {"alternate_target_group_arn": target.arn, "production_listener_rule": "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener-rule/app/a/b/c/d",
            "role_arn": execution.arn}}],
    deployment_circuit_breaker={"enable": True, "rollback": True}, alarms={"alarm_names": [alarm.name], "enable": True, "rollback": True},
    deployment_configuration={"strategy": "CANARY", "bake_time_in_minutes": "10",
        "canary_configuration": {"canary_percent": 10, "canary_bake_time_in_minutes": "5"},
        "lifecycle_hooks": [{"hook_target_arn": "arn:aws:lambda:eu-central-1:123456789012:function:x", "role_arn": execution.arn, "lifecycle_stages": ["PRE_SCALE_UP"]}]},
    service_connect_configuration={"enabled": True, "namespace": namespace.arn, "services": [{"port_name": "web", "discovery_name": "web",
        "client_alias": [{"port": 80, "dns_name": "web"}], "timeout": {"idle_timeout_seconds": 60, "per_request_timeout_seconds": 15}}],
        "log_configuration": {"log_driver": "awslogs", "options": {"awslogs-group": "/fx"}}},
    placement_constraints=[{"type": "memberOf", "expression": "attribute:ecs.os-type == linux"}],
    ordered_placement_strategies=[{"type": "spread", "field": "attribute:ecs.availability-zone"}],
    enable_ecs_managed_tags=True, wait_for_steady_state=True, force_new_deployment=False)
scale = aws.appautoscaling.Target("web", service_namespace="ecs", scalable_dimension="ecs:service:DesiredCount", min_capacity=2, max_capacity=10,
    resource_id=pulumi.Output.concat("service/", cluster.name, "/", service.name))
aws.appautoscaling.Policy("cpu", policy_type="TargetTrackingScaling", service_namespace=scale.service_namespace, resource_id=scale.resource_id,
    scalable_dimension=scale.scalable_dimension, target_tracking_scaling_policy_configuration={"target_value": 60, "scale_in_cooldown": 300,
    "predefined_metric_specification": {"predefined_metric_type": "ECSServiceAverageCPUUtilization"}})
aws.appautoscaling.ScheduledAction("night", service_namespace=scale.service_namespace, resource_id=scale.resource_id,
    scalable_dimension=scale.scalable_dimension, schedule="cron(0 22 ? * MON-FRI *)", timezone="Europe/Berlin",
    scalable_target_action={"min_capacity": 1, "max_capacity": 2})
files = aws.efs.FileSystem("data", encrypted=True, performance_mode="generalPurpose", throughput_mode="elastic",
    lifecycle_policies=[{"transition_to_ia": "AFTER_30_DAYS"}], protection={"replication_overwrite": "ENABLED"})
aws.efs.MountTarget("a", file_system_id=files.id, subnet_id=subnets[0].id, security_groups=[lb_group.id])
aws.efs.AccessPoint("data", file_system_id=files.id, posix_user={"uid": 1000, "gid": 1000},
    root_directory={"path": "/data", "creation_info": {"owner_uid": 1000, "owner_gid": 1000, "permissions": "0755"}})
aws.efs.BackupPolicy("data", file_system_id=files.id, backup_policy={"status": "ENABLED"})
repo = aws.ecr.Repository("web", image_tag_mutability="IMMUTABLE", image_scanning_configuration={"scan_on_push": True},
    encryption_configurations=[{"encryption_type": "KMS", "kms_key": key.arn}], force_delete=False)
aws.ecr.LifecyclePolicy("web", repository=repo.name, policy=json.dumps({"rules": [{"rulePriority": 1, "description": "keep 30",
    "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 30}, "action": {"type": "expire"}}]}))
aws.ecr.RepositoryPolicy("web", repository=repo.name, policy=json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "Pull here",
    "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{me.account_id}:root"}, "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]}]}))
aws.ecr.PullThroughCacheRule("quay", ecr_repository_prefix="quay", upstream_registry_url="quay.io")
bucket = aws.s3.Bucket("logs", bucket="fx-logs", force_destroy=True)
aws.s3.BucketPublicAccessBlock("logs", bucket=bucket.id, block_public_acls=True, restrict_public_buckets=True)
aws.s3.BucketOwnershipControls("logs", bucket=bucket.id, rule={"object_ownership": "BucketOwnerEnforced"})
aws.s3.BucketVersioning("logs", bucket=bucket.id, versioning_configuration={"status": "Enabled"})
aws.s3.BucketServerSideEncryptionConfiguration("logs", bucket=bucket.id, rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}])
aws.s3.BucketLifecycleConfiguration("logs", bucket=bucket.id, rules=[{"id": "old", "status": "Enabled", "filter": {"prefix": ""},
    "expiration": {"days": 90}, "abort_incomplete_multipart_upload": {"days_after_initiation": 7}}])
aws.s3.BucketPolicy("logs", bucket=bucket.id, policy=pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": [{"Sid": "elb", "Effect": "Allow",
    "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}, "Action": "s3:PutObject", "Resource": pulumi.Output.concat(bucket.arn, "/*")}]}))
topic = aws.sns.Topic("alerts")
aws.sns.TopicSubscription("alerts", topic=topic.arn, protocol="email", endpoint="ops@example.com")
aws.scheduler.ScheduleGroup("jobs")
aws.scheduler.Schedule("nightly", schedule_expression="rate(1 day)", flexible_time_window={"mode": "OFF"}, state="ENABLED",
    target={"arn": cluster.arn, "role_arn": execution.arn, "ecs_parameters": {"task_definition_arn": task.arn, "launch_type": "FARGATE",
    "task_count": 1, "network_configuration": {"subnets": [subnets[0].id], "assign_public_ip": False}}, "retry_policy": {"maximum_retry_attempts": 0}})
rule = aws.cloudwatch.EventRule("stopped", event_pattern=json.dumps({"source": ["aws.ecs"]}), state="ENABLED")
aws.cloudwatch.EventTarget("stopped", rule=rule.name, arn=topic.arn)
aws.autoscaling.LifecycleHook("drain", autoscaling_group_name=group.name, lifecycle_transition="autoscaling:EC2_INSTANCE_TERMINATING",
    heartbeat_timeout=300, default_result="CONTINUE")
pulumi.export("certificates", [{"arn": cert.arn}])
pulumi.export("records", [{"name": option.resource_record_name, "type": "CNAME"}])
pulumi.export("capacity", [{"pool": "hosts"}])
pulumi.export("repositories", {"web": repo.repository_url})
"""  # noqa: E501


def project(folder: Path, program: str = PROGRAM, region: str = "eu-central-1") -> Path:
    (folder / "Pulumi.yaml").write_text("name: fx\nruntime: python\n")
    (folder / "Pulumi.t.yaml").write_text(f"config:\n  aws:region: {region}\n")
    (folder / "__main__.py").write_text(program)
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return rehearse("t", project(tmp_path_factory.mktemp("aws")))


def inputs(report: Report, kind: str, name: str) -> dict[str, Any]:
    (found,) = [r for r in report.registrations if r.type.endswith(f":{kind}") and r.name == name]
    return found.inputs


def test_a_stack_that_aws_would_take_has_no_problems(report: Report) -> None:
    assert [str(problem) for problem in report.problems] == []
    assert len(report.registrations) > 60


def test_what_aws_computes_reaches_what_is_built_on_it(report: Report) -> None:
    rule = inputs(report, "ListenerRule", "web")
    assert rule["listenerArn"].startswith("arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/one-")
    alarm = inputs(report, "MetricAlarm", "5xx")["dimensions"]
    assert alarm["LoadBalancer"].startswith("app/one-")
    assert alarm["TargetGroup"].startswith("targetgroup/web-")
    assert inputs(report, "Subnet", "public-a")["vpcId"].startswith("vpc-")
    assert inputs(report, "LaunchTemplate", "hosts")["imageId"].startswith("ami-")
    assert inputs(report, "Service", "web")["taskDefinition"].endswith(":task-definition/fx-web:1")
    assert inputs(report, "Target", "web")["resourceId"].startswith("service/main-")
    proof = inputs(report, "Record", "proof")
    assert proof["name"].endswith(".example.com.")
    assert proof["records"][0].endswith(".validations.aws.")


def test_a_wildcard_and_its_parent_are_proven_by_one_record(tmp_path: Path) -> None:
    program = """
import pulumi, pulumi_aws as aws
cert = aws.acm.Certificate("c", domain_name="a.test", subject_alternative_names=["*.a.test", "a.test", "b.test"],
                           validation_method="DNS")
pulumi.export("options", cert.domain_validation_options)
"""
    options = rehearse("t", project(tmp_path, program)).outputs["options"]
    assert [option["domainName"] for option in options] == ["a.test", "*.a.test", "b.test"]
    records = [option["resourceRecordName"] for option in options]
    assert records[0] == records[1] != records[2]


def test_providers_and_resources_have_regions_of_their_own(tmp_path: Path) -> None:
    program = """
import pulumi, pulumi_aws as aws
there = aws.Provider("there", region="us-west-2")
pulumi.export("a", aws.ecs.Cluster("a").arn)
pulumi.export("b", aws.ecs.Cluster("b", opts=pulumi.ResourceOptions(provider=there)).arn)
pulumi.export("c", aws.ecs.Cluster("c", region="cn-north-1").arn)
pulumi.export("here", aws.get_region().region)
pulumi.export("there", aws.get_region(opts=pulumi.InvokeOptions(provider=there)).region)
pulumi.export("account", aws.get_caller_identity().account_id)
pulumi.export("partition", aws.get_partition().partition)
pulumi.export("zones", aws.get_availability_zones(state="available").names)
pulumi.export("zone", aws.route53.get_zone_output(name="a.test").name)
"""
    outputs = rehearse("t", project(tmp_path, program)).outputs
    assert [":".join(outputs[key].split(":")[1:4]) for key in "abc"] == [
        "aws:ecs:eu-central-1",
        "aws:ecs:us-west-2",
        "aws-cn:ecs:cn-north-1",
    ]
    assert (outputs["here"], outputs["there"], outputs["account"]) == ("eu-central-1", "us-west-2", "123456789012")
    assert (outputs["partition"], outputs["zone"]) == ("aws", "a.test")
    assert outputs["zones"] == ["eu-central-1a", "eu-central-1b", "eu-central-1c"]


def test_two_previews_are_equal(report: Report, tmp_path: Path) -> None:
    assert rehearse("t", project(tmp_path)).to_json() == report.to_json()


def test_a_region_that_is_none_is_a_problem(tmp_path: Path) -> None:
    program = "import pulumi_aws as aws\naws.ecs.Cluster('c', region='eu-centrl-1')\n"
    problems = rehearse("t", project(tmp_path, program, region="eu-central-9")).problems
    assert [str(problem) for problem in problems] == [
        "aws:region: should be a region of AWS, got 'eu-central-9'",
        "c (aws:ecs/cluster:Cluster)/region: should be a region of AWS, got 'eu-centrl-1'",
    ]


def test_what_sdk_and_aws_both_refuse_is_said_once(tmp_path: Path) -> None:
    program = "import pulumi_aws as aws\naws.ec2.Vpc('v', cidr_block=16)\n"
    assert [str(p) for p in rehearse("t", project(tmp_path, program)).problems] == [
        "v (aws:ec2/vpc:Vpc)/cidrBlock: should be a string, got 16"
    ]


@pytest.mark.parametrize("arguments", [["t"], ["t", "--markdown"]])
def test_the_sections_of_an_aws_stack_are_shown(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(
        project(
            tmp_path,
            """
import pulumi
pulumi.export("capacity", [{"pool": "hosts", "needs": "3 instances"}])
pulumi.export("certificates", [{"domain": "a.test", "status": "asked for"}])
pulumi.export("records", [{"name": "_x.a.test", "type": "CNAME", "value": "_y.validations.aws"}])
pulumi.export("repositories", {"web": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/web"})
""",
        )
    )
    assert main(arguments) == 0
    said = capsys.readouterr().out
    for text in ("Capacity fit", "3 instances", "Certificates", "asked for", "DNS records to create", "_y.validations"):
        assert text in said
    assert "Registries" in said
    assert "amazonaws.com/web" in said


def test_a_stack_without_aws_reads_no_model_of_aws(tmp_path: Path) -> None:
    project(tmp_path, "import pulumi\npulumi.export('a', 1)\n")
    (tmp_path / "Pulumi.t.yaml").write_text("config: {}\n")
    probe = (
        "import json, sys; from pathlib import Path; from rehearsal import rehearse; rehearse('t', Path('.'));"
        "print(json.dumps([m for m in sys.modules if m in ('botocore', 'pulumi_aws', 'rehearsal.aws_checks')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); {probe}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []
