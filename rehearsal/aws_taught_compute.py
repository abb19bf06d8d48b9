"""Instances, ECS, scaling, and what runs on a schedule."""

from __future__ import annotations

from collections.abc import Mapping

from rehearsal.aws_taught import Taught, taught

_AWSVPC = "networkConfiguration.awsvpcConfiguration"
_SCHEDULER_AWSVPC = "NetworkConfiguration.awsvpcConfiguration"

TYPES: Mapping[str, Taught] = {
    "aws:ec2/launchTemplate:LaunchTemplate": taught(
        "ec2:CreateLaunchTemplate",
        name="LaunchTemplateName",
        description="VersionDescription",
        defaultVersion="ModifyLaunchTemplate/DefaultVersion",
        vpcSecurityGroupIds="LaunchTemplateData.SecurityGroupIds",
        securityGroupNames="LaunchTemplateData.SecurityGroups",
        instanceMarketOptions={"": "LaunchTemplateData.InstanceMarketOptions"},
        **{
            "networkInterfaces/securityGroups": "Groups",
            "networkInterfaces/ipv4Addresses": "PrivateIpAddresses.PrivateIpAddress",
            "networkInterfaces/ipv4AddressCount": "SecondaryPrivateIpAddressCount",
            "networkInterfaces/ipv6Addresses": "Ipv6Addresses.Ipv6Address",
            "networkInterfaces/ipv4Prefixes": "Ipv4Prefixes.Ipv4Prefix",
            "networkInterfaces/ipv6Prefixes": "Ipv6Prefixes.Ipv6Prefix",
            "secondaryInterfaces/privateIpAddresses": "PrivateIpAddresses.PrivateIpAddress",
            **{
                key: f"LaunchTemplateData.{key[0].upper()}{key[1:]}"
                for key in (
                    "blockDeviceMappings",
                    "capacityReservationSpecification",
                    "cpuOptions",
                    "creditSpecification",
                    "disableApiStop",
                    "disableApiTermination",
                    "ebsOptimized",
                    "enclaveOptions",
                    "hibernationOptions",
                    "iamInstanceProfile",
                    "imageId",
                    "instanceInitiatedShutdownBehavior",
                    "instanceRequirements",
                    "instanceType",
                    "kernelId",
                    "keyName",
                    "licenseSpecifications",
                    "maintenanceOptions",
                    "metadataOptions",
                    "monitoring",
                    "networkInterfaces",
                    "networkPerformanceOptions",
                    "placement",
                    "privateDnsNameOptions",
                    "ramDiskId",
                    "secondaryInterfaces",
                    "tagSpecifications",
                    "userData",
                )
            },
        },
        ours=["namePrefix", "updateDefaultVersion", "tagSpecifications/tags"],
        given=["LaunchTemplateName", "LaunchTemplateData"],
    ),
    "aws:autoscaling/group:Group": taught(
        "autoscaling:CreateAutoScalingGroup",
        name="AutoScalingGroupName",
        enabledMetrics="EnableMetricsCollection/Metrics",
        metricsGranularity="EnableMetricsCollection/Granularity",
        initialLifecycleHooks={"": "LifecycleHookSpecificationList", "name": "LifecycleHookName"},
        instanceRefresh={
            "": "StartInstanceRefresh/.",
            "preferences/alarmSpecification": "AlarmSpecification",
            "preferences/checkpointPercentages": "CheckpointPercentages",
        },
        launchConfiguration="LaunchConfigurationName",
        launchTemplate={"": "LaunchTemplate", "id": "LaunchTemplateId", "name": "LaunchTemplateName"},
        loadBalancers="LoadBalancerNames",
        protectFromScaleIn="NewInstancesProtectedFromScaleIn",
        suspendedProcesses="SuspendProcesses/ScalingProcesses",
        vpcZoneIdentifiers="VPCZoneIdentifier",
        warmPool={"": "PutWarmPool/."},
        ours=[
            "forceDelete",
            "forceDeleteWarmPool",
            "ignoreFailedScalingActivities",
            "instanceRefresh/triggers",
            "minElbCapacity",
            "namePrefix",
            "waitForCapacityTimeout",
            "waitForElbCapacity",
        ],
        given=["AutoScalingGroupName"],
    ),
    "aws:autoscaling/lifecycleHook:LifecycleHook": taught(
        "autoscaling:PutLifecycleHook", name="LifecycleHookName", given=["LifecycleHookName"]
    ),
    "aws:ecs/capacityProvider:CapacityProvider": taught("ecs:CreateCapacityProvider", given=["name"]),
    "aws:ecs/cluster:Cluster": taught(
        "ecs:CreateCluster",
        name="clusterName",
        **{
            "configuration/executeCommandConfiguration/logConfiguration/s3BucketEncryptionEnabled": (
                "s3EncryptionEnabled"
            )
        },
    ),
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": taught(
        "ecs:PutClusterCapacityProviders",
        clusterName="cluster",
        given=["capacityProviders", "defaultCapacityProviderStrategy"],  # left out, they are empty lists
    ),
    "aws:ecs/accountSettingDefault:AccountSettingDefault": taught("ecs:PutAccountSettingDefault"),
    "aws:ecs/service:Service": taught(
        "ecs:CreateService",
        name="serviceName",
        iamRole="role",
        alarms={"": "deploymentConfiguration.alarms"},
        deploymentCircuitBreaker="deploymentConfiguration.deploymentCircuitBreaker",
        deploymentMaximumPercent="deploymentConfiguration.maximumPercent",
        deploymentMinimumHealthyPercent="deploymentConfiguration.minimumHealthyPercent",
        networkConfiguration=_AWSVPC,
        orderedPlacementStrategies="placementStrategy",
        loadBalancers={"": "loadBalancers", "elbName": "loadBalancerName"},
        serviceConnectConfiguration={
            "": "serviceConnectConfiguration",
            "services/clientAlias": "clientAliases",
            "services/tls/issuerCertAuthority": "issuerCertificateAuthority",
        },
        volumeConfiguration={
            "": "volumeConfigurations",
            "managedEbsVolume/fileSystemType": "filesystemType",
            "managedEbsVolume/sizeInGb": "sizeInGiB",
        },
        ours=[
            "forceDelete",
            "forceNewDeployment",
            "sigintRollback",
            "triggers",
            "volumeConfiguration/managedEbsVolume/tagSpecifications/tags",
            "waitForSteadyState",
        ],
        given=["serviceName"],
    ),
    "aws:ecs/taskDefinition:TaskDefinition": taught(
        "ecs:RegisterTaskDefinition",
        proxyConfiguration={"": "proxyConfiguration"},
        volumes={"": "volumes", "hostPath": "host.sourcePath", "configureAtLaunch": "configuredAtLaunch"},
        # containerDefinitions is JSON: aws_documents checks it against the same model.
        ours=["containerDefinitions", "skipDestroy", "trackLatest", "proxyConfiguration/properties"],
        given=["containerDefinitions"],
    ),
    "aws:appautoscaling/target:Target": taught("application-autoscaling:RegisterScalableTarget", roleArn="RoleARN"),
    "aws:appautoscaling/policy:Policy": taught(
        "application-autoscaling:PutScalingPolicy", name="PolicyName", given=["PolicyName"]
    ),
    "aws:appautoscaling/scheduledAction:ScheduledAction": taught(
        "application-autoscaling:PutScheduledAction", name="ScheduledActionName", given=["ScheduledActionName"]
    ),
    "aws:servicediscovery/httpNamespace:HttpNamespace": taught("servicediscovery:CreateHttpNamespace", given=["Name"]),
    "aws:scheduler/scheduleGroup:ScheduleGroup": taught(
        "scheduler:CreateScheduleGroup", ours=["namePrefix"], given=["Name"]
    ),
    "aws:scheduler/schedule:Schedule": taught(
        "scheduler:CreateSchedule",
        target={
            "": "Target",
            "ecsParameters/networkConfiguration": _SCHEDULER_AWSVPC,
            "ecsParameters/placementStrategies": "PlacementStrategy",
            "sagemakerPipelineParameters/pipelineParameters": "PipelineParameterList",
        },
        ours=["namePrefix", "target/ecsParameters/tags"],
        given=["Name"],
    ),
    "aws:cloudwatch/eventRule:EventRule": taught(
        "events:PutRule",
        isEnabled="State",
        ours=["forceDestroy", "namePrefix"],
        given=["Name"],
    ),
    "aws:cloudwatch/eventTarget:EventTarget": taught(
        "events:PutTargets",
        **{
            key: f"Targets.{target}"
            for key, target in {
                "appsyncTarget": "AppSyncParameters",
                "arn": "Arn",
                "batchTarget": "BatchParameters",
                "deadLetterConfig": "DeadLetterConfig",
                "ecsTarget": "EcsParameters",
                "httpTarget": "HttpParameters",
                "input": "Input",
                "inputPath": "InputPath",
                "inputTransformer": "InputTransformer",
                "kinesisTarget": "KinesisParameters",
                "redshiftTarget": "RedshiftDataParameters",
                "retryPolicy": "RetryPolicy",
                "roleArn": "RoleArn",
                "runCommandTargets": "RunCommandParameters.RunCommandTargets",
                "sagemakerPipelineTarget": "SageMakerPipelineParameters",
                "sqsTarget": "SqsParameters",
                "targetId": "Id",
            }.items()
        },
        **{
            "batchTarget/arraySize": "ArrayProperties.Size",
            "batchTarget/jobAttempts": "RetryStrategy.Attempts",
            "ecsTarget/networkConfiguration": _SCHEDULER_AWSVPC,
            "ecsTarget/orderedPlacementStrategies": "PlacementStrategy",
            "inputTransformer/inputPaths": "InputPathsMap",
            "kinesisTarget/partitionKeyPath": "PartitionKeyPath",
            "redshiftTarget/secretsManagerArn": "SecretManagerArn",
            "sagemakerPipelineTarget/pipelineParameterLists": "PipelineParameterList",
        },
        ours=["forceDestroy", "ecsTarget/tags"],
        given=["Targets.Id"],
    ),
}
