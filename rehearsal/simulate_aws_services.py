"""Identity, ECS, scaling, storage, registries and alarms, only pretended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rehearsal.simulate_aws_parts import ACCOUNT, Made, Simulator, domain_of, last_of, pair_of


def _arned(service: str, resource: str, *, region: bool = True, id_: str = "arn", **more: str) -> Simulator:
    """Things whose ARN ends in their name; `id_` says which of arn and name is their id, `more` are formats."""

    def simulator(made: Made) -> Mapping[str, Any]:
        arn = made.arn(service, resource.format(name=made.name), region=region)
        outputs = {"name": made.name, "arn": arn}
        return {"id": outputs[id_], **outputs, **{key: text.format(name=made.name) for key, text in more.items()}}

    return simulator


def _role(made: Made) -> Mapping[str, Any]:
    path = made.text("path") or "/"
    arn = made.arn("iam", f"role{path}{made.name}", region=False)
    return {"id": made.name, "name": made.name, "arn": arn, "uniqueId": f"AROA{made.digest[:17].upper()}", "path": path}


def _policy(made: Made) -> Mapping[str, Any]:
    arn = made.arn("iam", f"policy{made.text('path') or '/'}{made.name}", region=False)
    return {"id": arn, "arn": arn, "name": made.name, "policyId": f"ANPA{made.digest[:17].upper()}"}


def _profile(made: Made) -> Mapping[str, Any]:
    arn = made.arn("iam", f"instance-profile{made.text('path') or '/'}{made.name}", region=False)
    return {"id": made.name, "arn": arn, "name": made.name, "uniqueId": f"AIPA{made.digest[:17].upper()}"}


def _linked_role(made: Made) -> Mapping[str, Any]:
    service = made.text("awsServiceName")
    name = f"AWSServiceRoleFor{service.partition('.')[0].upper()}"
    arn = made.arn("iam", f"role/aws-service-role/{service}/{name}", region=False)
    return {"id": arn, "arn": arn, "name": name, "path": f"/aws-service-role/{service}/"}


def _role_policy(made: Made) -> Mapping[str, Any]:
    return {"id": f"{made.text('role')}:{made.name}", "name": made.name}


def _cluster_of(text: str) -> str:
    return last_of(text) or "default"


def _service(made: Made) -> Mapping[str, Any]:
    arn = made.arn("ecs", f"service/{_cluster_of(made.text('cluster'))}/{made.name}")
    return {"id": arn, "arn": arn, "name": made.name, "launchType": "EC2", "platformVersion": ""}


def _task_definition(made: Made) -> Mapping[str, Any]:
    family = made.text("family") or made.name
    plain = made.arn("ecs", f"task-definition/{family}")
    return {"id": family, "arn": f"{plain}:1", "arnWithoutRevision": plain, "revision": 1}


def _strategies(made: Made) -> Mapping[str, Any]:
    return {"id": made.text("clusterName") or made.name}


def _namespace(made: Made) -> Mapping[str, Any]:
    id_ = f"ns-{made.digest[:16]}"
    return {
        "id": id_,
        "name": made.name,
        "httpName": made.name,
        "arn": made.arn("servicediscovery", f"namespace/{id_}"),
    }


def _scalable(made: Made) -> Mapping[str, Any]:
    arn = made.arn("application-autoscaling", f"scalable-target/{made.digest[:32]}")
    return {"id": made.text("resourceId") or made.name, "arn": arn}


def _scaling(made: Made) -> Mapping[str, Any]:
    kind = "scheduledAction" if made.found.type.endswith(":ScheduledAction") else "scalingPolicy"
    arn = made.arn("autoscaling", f"{kind}:{made.digest[:32]}:resource/ecs/{made.text('resourceId')}")
    return {"id": made.name, "name": made.name, "arn": arn, "alarmArns": []}


def _secret(made: Made) -> Mapping[str, Any]:
    arn = made.arn("secretsmanager", f"secret:{made.name}-{made.digest[:6]}")
    return {"id": arn, "arn": arn, "name": made.name}


def _secret_version(made: Made) -> Mapping[str, Any]:
    raw = made.digest
    version = f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:32]}"
    secret = made.text("secretId")
    return {"id": f"{secret}|{version}", "arn": secret, "versionId": version, "versionStages": ["AWSCURRENT"]}


def _key(made: Made) -> Mapping[str, Any]:
    raw = made.digest
    id_ = f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:32]}"
    return {"id": id_, "keyId": id_, "arn": made.arn("kms", f"key/{id_}")}


def _alias(made: Made) -> Mapping[str, Any]:
    name = made.text("name") or f"alias/{made.name}"
    target = made.text("targetKeyId")
    key = target if target.startswith("arn:") else made.arn("kms", f"key/{target}")
    return {"id": name, "name": name, "arn": made.arn("kms", name), "targetKeyArn": key}


def _file_system(made: Made) -> Mapping[str, Any]:
    id_ = made.id("fs")
    arn = made.arn("elasticfilesystem", f"file-system/{id_}")
    return {
        "id": id_,
        "arn": arn,
        "dnsName": f"{id_}.efs.{made.region}.{domain_of(made.partition)}",
        "ownerId": ACCOUNT,
    }


def _mount_target(made: Made) -> Mapping[str, Any]:
    system = made.text("fileSystemId")
    return {
        "id": made.id("fsmt"),
        "ipAddress": f"10.{made.address}",
        "networkInterfaceId": made.id("eni"),
        "dnsName": f"{system}.efs.{made.region}.{domain_of(made.partition)}",
        "fileSystemArn": made.arn("elasticfilesystem", f"file-system/{system}"),
    }


def _access_point(made: Made) -> Mapping[str, Any]:
    id_ = made.id("fsap")
    return {
        "id": id_,
        "arn": made.arn("elasticfilesystem", f"access-point/{id_}"),
        "fileSystemArn": made.arn("elasticfilesystem", f"file-system/{made.text('fileSystemId')}"),
        "ownerId": ACCOUNT,
    }


def _repository(made: Made) -> Mapping[str, Any]:
    host = f"{ACCOUNT}.dkr.ecr.{made.region}.{domain_of(made.partition)}"
    arn = made.arn("ecr", f"repository/{made.name}")
    return {
        "id": made.name,
        "name": made.name,
        "arn": arn,
        "registryId": ACCOUNT,
        "repositoryUrl": f"{host}/{made.name}",
    }


def _of_repository(made: Made) -> Mapping[str, Any]:
    name = made.text("repository") or made.text("ecrRepositoryPrefix") or made.text("prefix") or ACCOUNT
    return {"id": name, "registryId": ACCOUNT}


def _bucket(made: Made) -> Mapping[str, Any]:
    name = made.name
    return {
        "id": name,
        "bucket": name,
        "arn": made.arn("s3", name, region=False, account=False),
        "bucketDomainName": f"{name}.s3.{domain_of(made.partition)}",
        "bucketRegionalDomainName": f"{name}.s3.{made.region}.{domain_of(made.partition)}",
        "hostedZoneId": f"Z{made.digest[:13].upper()}",
    }


def _of_input(key: str) -> Simulator:
    """Things without an id of their own, which bear that of what they belong to."""

    def simulator(made: Made) -> Mapping[str, Any]:
        return {"id": made.text(key) or made.name}

    return simulator


def _group(made: Made) -> Mapping[str, Any]:
    raw = made.digest
    id_ = f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:32]}"
    arn = made.arn("autoscaling", f"autoScalingGroup:{id_}:autoScalingGroupName/{made.name}")
    return {"id": made.name, "name": made.name, "arn": arn}


def _schedule(made: Made) -> Mapping[str, Any]:
    group = made.text("groupName") or "default"
    return {
        "id": f"{group}/{made.name}",
        "name": made.name,
        "groupName": group,
        "arn": made.arn("scheduler", f"schedule/{group}/{made.name}"),
    }


def _subscription(made: Made) -> Mapping[str, Any]:
    arn = f"{made.text('topic')}:{made.digest[:8]}"
    return {"id": arn, "arn": arn, "pendingConfirmation": True}


TYPES: Mapping[str, Simulator] = {
    "aws:appautoscaling/policy:Policy": _scaling,
    "aws:appautoscaling/scheduledAction:ScheduledAction": _scaling,
    "aws:appautoscaling/target:Target": _scalable,
    "aws:autoscaling/group:Group": _group,
    "aws:autoscaling/lifecycleHook:LifecycleHook": lambda made: {"id": made.name, "name": made.name},
    "aws:cloudwatch/compositeAlarm:CompositeAlarm": lambda made: {
        "id": made.text("alarmName"),
        "arn": made.arn("cloudwatch", f"alarm:{made.text('alarmName')}"),
    },
    "aws:cloudwatch/eventRule:EventRule": _arned("events", "rule/{name}", id_="name"),
    "aws:cloudwatch/eventTarget:EventTarget": pair_of("rule", "arn"),
    "aws:cloudwatch/logGroup:LogGroup": _arned("logs", "log-group:{name}", id_="name"),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": lambda made: {"id": made.name, "name": made.name},
    "aws:cloudwatch/metricAlarm:MetricAlarm": _arned("cloudwatch", "alarm:{name}", id_="name"),
    "aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation": pair_of(
        "vpcEndpointId", "routeTableId"
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": _of_repository,
    "aws:ecr/pullThroughCacheRule:PullThroughCacheRule": _of_repository,
    "aws:ecr/registryPolicy:RegistryPolicy": _of_repository,
    "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration": _of_repository,
    "aws:ecr/repository:Repository": _repository,
    "aws:ecr/repositoryCreationTemplate:RepositoryCreationTemplate": _of_repository,
    "aws:ecr/repositoryPolicy:RepositoryPolicy": _of_repository,
    "aws:ecs/accountSettingDefault:AccountSettingDefault": _of_input("name"),
    "aws:ecs/capacityProvider:CapacityProvider": _arned("ecs", "capacity-provider/{name}"),
    "aws:ecs/cluster:Cluster": _arned("ecs", "cluster/{name}"),
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": _strategies,
    "aws:ecs/service:Service": _service,
    "aws:ecs/taskDefinition:TaskDefinition": _task_definition,
    "aws:efs/accessPoint:AccessPoint": _access_point,
    "aws:efs/backupPolicy:BackupPolicy": _of_input("fileSystemId"),
    "aws:efs/fileSystem:FileSystem": _file_system,
    "aws:efs/fileSystemPolicy:FileSystemPolicy": _of_input("fileSystemId"),
    "aws:efs/mountTarget:MountTarget": _mount_target,
    "aws:iam/instanceProfile:InstanceProfile": _profile,
    "aws:iam/policy:Policy": _policy,
    "aws:iam/role:Role": _role,
    "aws:iam/rolePolicy:RolePolicy": _role_policy,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": pair_of("role", "policyArn"),
    "aws:iam/serviceLinkedRole:ServiceLinkedRole": _linked_role,
    "aws:kms/alias:Alias": _alias,
    "aws:kms/key:Key": _key,
    "aws:kms/keyPolicy:KeyPolicy": _of_input("keyId"),
    "aws:lb/listenerCertificate:ListenerCertificate": pair_of("listenerArn", "certificateArn"),
    "aws:s3/bucket:Bucket": _bucket,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _of_input("bucket"),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _of_input("bucket"),
    "aws:s3/bucketPolicy:BucketPolicy": _of_input("bucket"),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _of_input("bucket"),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _of_input("bucket"),
    "aws:s3/bucketVersioning:BucketVersioning": _of_input("bucket"),
    "aws:scheduler/schedule:Schedule": _schedule,
    "aws:scheduler/scheduleGroup:ScheduleGroup": _arned("scheduler", "schedule-group/{name}", id_="name"),
    "aws:secretsmanager/secret:Secret": _secret,
    "aws:secretsmanager/secretPolicy:SecretPolicy": _of_input("secretArn"),
    "aws:secretsmanager/secretVersion:SecretVersion": _secret_version,
    "aws:servicediscovery/httpNamespace:HttpNamespace": _namespace,
    "aws:sns/topic:Topic": _arned("sns", "{name}"),
    "aws:sns/topicPolicy:TopicPolicy": _of_input("arn"),
    "aws:sns/topicSubscription:TopicSubscription": _subscription,
}
