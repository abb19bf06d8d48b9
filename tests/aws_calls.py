"""What the AWS provider calls for each type of resource that our components make: the IAM actions of each step.

`read` is called by every step, too. From the provider's source, `internal/service/…` of terraform-provider-aws 6 (the
file is named beside each type), with the calls for what our components never say left out; what AWS asks of the caller
besides (roles that are passed, network interfaces of mount targets) is from its service authorization reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Calls:
    """The actions of one type, each step's as words."""

    source: str
    create: str
    read: str
    delete: str
    update: str = ""

    @property
    def all(self) -> frozenset[str]:
        return frozenset(f"{self.create} {self.read} {self.update} {self.delete}".split())

    @property
    def on_update(self) -> frozenset[str]:
        return frozenset(f"{self.read} {self.update}".split())


_EC2_TAGS = "ec2:CreateTags ec2:DeleteTags"
_ECS_TAGS = "ecs:TagResource ecs:UntagResource"
_LB_TAGS = "elasticloadbalancing:AddTags elasticloadbalancing:RemoveTags"
_SCALING_TAGS = "application-autoscaling:TagResource application-autoscaling:UntagResource"
_EFS_TAGS = "elasticfilesystem:TagResource elasticfilesystem:UntagResource"
_LB_READ = "elasticloadbalancing:DescribeTags"
_SCALING_READ = "application-autoscaling:ListTagsForResource"

CALLS: Mapping[str, Calls] = {
    # --- network ---
    "ec2.Vpc": Calls(
        "ec2/vpc_.go",
        create="ec2:CreateVpc ec2:ModifyVpcAttribute ec2:CreateTags",
        read="ec2:DescribeVpcs ec2:DescribeVpcAttribute ec2:DescribeNetworkAcls ec2:DescribeRouteTables "
        "ec2:DescribeSecurityGroups",
        update=f"ec2:ModifyVpcAttribute {_EC2_TAGS}",
        delete="ec2:DeleteVpc",
    ),
    "ec2.DefaultSecurityGroup": Calls(
        "ec2/vpc_default_security_group.go",
        create="ec2:RevokeSecurityGroupIngress ec2:RevokeSecurityGroupEgress ec2:CreateTags",
        read="ec2:DescribeSecurityGroups",
        update=f"ec2:RevokeSecurityGroupIngress ec2:RevokeSecurityGroupEgress {_EC2_TAGS}",
        delete="",
    ),
    "ec2.Subnet": Calls(
        "ec2/vpc_subnet.go",
        create="ec2:CreateSubnet ec2:ModifySubnetAttribute ec2:CreateTags",
        read="ec2:DescribeSubnets",
        update=f"ec2:ModifySubnetAttribute {_EC2_TAGS}",
        delete="ec2:DeleteSubnet ec2:DescribeNetworkInterfaces ec2:DeleteNetworkInterface",
    ),
    "ec2.InternetGateway": Calls(
        "ec2/vpc_internet_gateway.go",
        create="ec2:CreateInternetGateway ec2:AttachInternetGateway ec2:CreateTags",
        read="ec2:DescribeInternetGateways",
        update=f"ec2:AttachInternetGateway ec2:DetachInternetGateway {_EC2_TAGS}",
        delete="ec2:DetachInternetGateway ec2:DeleteInternetGateway",
    ),
    "ec2.Eip": Calls(
        "ec2/ec2_eip.go",
        create="ec2:AllocateAddress ec2:CreateTags",
        read="ec2:DescribeAddresses ec2:DescribeAddressesAttribute",
        update=_EC2_TAGS,
        delete="ec2:DisassociateAddress ec2:ReleaseAddress",
    ),
    "ec2.NatGateway": Calls(
        "ec2/vpc_nat_gateway.go",
        create="ec2:CreateNatGateway ec2:CreateTags",
        read="ec2:DescribeNatGateways",
        update=_EC2_TAGS,
        delete="ec2:DeleteNatGateway",
    ),
    "ec2.RouteTable": Calls(
        "ec2/vpc_route_table.go",
        create="ec2:CreateRouteTable ec2:CreateTags",
        read="ec2:DescribeRouteTables",
        update=_EC2_TAGS,
        delete="ec2:DisassociateRouteTable ec2:DeleteRouteTable",
    ),
    "ec2.RouteTableAssociation": Calls(
        "ec2/vpc_route_table_association.go",
        create="ec2:AssociateRouteTable",
        read="ec2:DescribeRouteTables",
        update="ec2:ReplaceRouteTableAssociation",
        delete="ec2:DisassociateRouteTable",
    ),
    "ec2.Route": Calls(
        "ec2/vpc_route.go",
        create="ec2:CreateRoute",
        read="ec2:DescribeRouteTables",
        update="ec2:ReplaceRoute",
        delete="ec2:DeleteRoute",
    ),
    "ec2.FlowLog": Calls(
        "ec2/vpc_flow_log.go",
        create="ec2:CreateFlowLogs ec2:CreateTags iam:PassRole",
        read="ec2:DescribeFlowLogs",
        update=_EC2_TAGS,
        delete="ec2:DeleteFlowLogs",
    ),
    "ec2.VpcEndpoint": Calls(
        "ec2/vpc_endpoint.go",
        create="ec2:CreateVpcEndpoint ec2:CreateTags",
        read="ec2:DescribeVpcEndpoints ec2:DescribePrefixLists",
        update=f"ec2:ModifyVpcEndpoint {_EC2_TAGS}",
        delete="ec2:DeleteVpcEndpoints",
    ),
    "ec2.SecurityGroup": Calls(
        "ec2/vpc_security_group.go",
        create="ec2:CreateSecurityGroup ec2:RevokeSecurityGroupEgress ec2:CreateTags",
        read="ec2:DescribeSecurityGroups",
        update=_EC2_TAGS,
        delete="ec2:DeleteSecurityGroup ec2:DescribeNetworkInterfaces",
    ),
    "vpc.SecurityGroupIngressRule": Calls(
        "ec2/vpc_security_group_ingress_rule.go",
        create="ec2:AuthorizeSecurityGroupIngress ec2:CreateTags",
        read="ec2:DescribeSecurityGroupRules",
        update=f"ec2:ModifySecurityGroupRules {_EC2_TAGS}",
        delete="ec2:RevokeSecurityGroupIngress",
    ),
    "vpc.SecurityGroupEgressRule": Calls(
        "ec2/vpc_security_group_egress_rule.go",
        create="ec2:AuthorizeSecurityGroupEgress ec2:CreateTags",
        read="ec2:DescribeSecurityGroupRules",
        update=f"ec2:ModifySecurityGroupRules {_EC2_TAGS}",
        delete="ec2:RevokeSecurityGroupEgress",
    ),
    # --- instances ---
    "ec2.LaunchTemplate": Calls(
        "ec2/ec2_launch_template.go",
        create="ec2:CreateLaunchTemplate ec2:CreateTags",
        read="ec2:DescribeLaunchTemplates ec2:DescribeLaunchTemplateVersions",
        update=f"ec2:CreateLaunchTemplateVersion ec2:ModifyLaunchTemplate {_EC2_TAGS}",
        delete="ec2:DeleteLaunchTemplate",
    ),
    "autoscaling.Group": Calls(
        "autoscaling/group.go",
        # A group with a launch template asks for what its instances need, too.
        create="autoscaling:CreateAutoScalingGroup autoscaling:EnableMetricsCollection autoscaling:CreateOrUpdateTags "
        "ec2:RunInstances ec2:CreateTags ec2:DescribeLaunchTemplateVersions iam:PassRole iam:CreateServiceLinkedRole",
        read="autoscaling:DescribeAutoScalingGroups autoscaling:DescribeScalingActivities autoscaling:DescribeWarmPool",
        update="autoscaling:UpdateAutoScalingGroup autoscaling:CreateOrUpdateTags autoscaling:DeleteTags "
        "autoscaling:EnableMetricsCollection autoscaling:DisableMetricsCollection autoscaling:StartInstanceRefresh "
        "autoscaling:CancelInstanceRefresh autoscaling:DescribeInstanceRefreshes autoscaling:SetInstanceProtection",
        delete="autoscaling:DeleteAutoScalingGroup",
    ),
    "iam.InstanceProfile": Calls(
        "iam/instance_profile.go",
        create="iam:CreateInstanceProfile iam:AddRoleToInstanceProfile iam:TagInstanceProfile iam:PassRole",
        read="iam:GetInstanceProfile",
        update="iam:RemoveRoleFromInstanceProfile iam:AddRoleToInstanceProfile iam:TagInstanceProfile "
        "iam:UntagInstanceProfile",
        delete="iam:RemoveRoleFromInstanceProfile iam:DeleteInstanceProfile",
    ),
    # --- ECS ---
    "ecs.Cluster": Calls(
        "ecs/cluster.go",
        create="ecs:CreateCluster ecs:TagResource iam:CreateServiceLinkedRole",
        read="ecs:DescribeClusters",
        update=f"ecs:UpdateCluster {_ECS_TAGS}",
        delete="ecs:DeleteCluster",
    ),
    "ecs.ClusterCapacityProviders": Calls(
        "ecs/cluster_capacity_providers.go",
        create="ecs:PutClusterCapacityProviders",
        read="ecs:DescribeClusters",
        update="ecs:PutClusterCapacityProviders",
        delete="ecs:PutClusterCapacityProviders",
    ),
    "ecs.CapacityProvider": Calls(
        "ecs/capacity_provider.go",
        create="ecs:CreateCapacityProvider ecs:TagResource autoscaling:CreateOrUpdateTags",
        read="ecs:DescribeCapacityProviders",
        update=f"ecs:UpdateCapacityProvider {_ECS_TAGS}",
        delete="ecs:DeleteCapacityProvider",
    ),
    "ecs.AccountSettingDefault": Calls(
        "ecs/account_setting_default.go",
        create="ecs:PutAccountSettingDefault",
        read="ecs:ListAccountSettings",
        update="ecs:PutAccountSettingDefault",
        delete="ecs:PutAccountSettingDefault",
    ),
    "ecs.TaskDefinition": Calls(
        "ecs/task_definition.go",
        create="ecs:RegisterTaskDefinition ecs:TagResource iam:PassRole",
        read="ecs:DescribeTaskDefinition",
        update=_ECS_TAGS,
        delete="ecs:DeregisterTaskDefinition",
    ),
    "ecs.Service": Calls(
        "ecs/service.go",
        create="ecs:CreateService ecs:TagResource iam:PassRole iam:CreateServiceLinkedRole",
        read="ecs:DescribeServices ecs:ListServiceDeployments ecs:DescribeServiceDeployments "
        "ecs:DescribeServiceRevisions",
        update=f"ecs:UpdateService {_ECS_TAGS} iam:PassRole",
        delete="ecs:UpdateService ecs:DeleteService",
    ),
    "servicediscovery.HttpNamespace": Calls(
        "servicediscovery/http_namespace.go",
        create="servicediscovery:CreateHttpNamespace servicediscovery:GetOperation servicediscovery:TagResource",
        read="servicediscovery:GetNamespace servicediscovery:ListTagsForResource",
        update="servicediscovery:TagResource servicediscovery:UntagResource",
        delete="servicediscovery:DeleteNamespace servicediscovery:GetOperation",
    ),
    "appautoscaling.Target": Calls(
        "appautoscaling/target.go",
        create="application-autoscaling:RegisterScalableTarget application-autoscaling:TagResource "
        "iam:CreateServiceLinkedRole",
        read=f"application-autoscaling:DescribeScalableTargets {_SCALING_READ}",
        update=f"application-autoscaling:RegisterScalableTarget {_SCALING_TAGS}",
        delete="application-autoscaling:DeregisterScalableTarget",
    ),
    "appautoscaling.Policy": Calls(
        "appautoscaling/policy.go",
        create="application-autoscaling:PutScalingPolicy",
        read="application-autoscaling:DescribeScalingPolicies",
        update="application-autoscaling:PutScalingPolicy",
        delete="application-autoscaling:DeleteScalingPolicy",
    ),
    "appautoscaling.ScheduledAction": Calls(
        "appautoscaling/scheduled_action.go",
        create="application-autoscaling:PutScheduledAction",
        read="application-autoscaling:DescribeScheduledActions",
        update="application-autoscaling:PutScheduledAction",
        delete="application-autoscaling:DeleteScheduledAction",
    ),
    "cloudwatch.MetricAlarm": Calls(
        "cloudwatch/metric_alarm.go",
        create="cloudwatch:PutMetricAlarm cloudwatch:TagResource",
        read="cloudwatch:DescribeAlarms cloudwatch:ListTagsForResource",
        update="cloudwatch:PutMetricAlarm cloudwatch:TagResource cloudwatch:UntagResource",
        delete="cloudwatch:DeleteAlarms",
    ),
    "cloudwatch.LogGroup": Calls(
        "logs/group.go",
        create="logs:CreateLogGroup logs:PutRetentionPolicy logs:AssociateKmsKey logs:TagResource",
        read="logs:DescribeLogGroups logs:ListTagsForResource",
        update="logs:PutRetentionPolicy logs:AssociateKmsKey logs:TagResource logs:UntagResource",
        delete="logs:DeleteLogGroup",
    ),
    # --- balancers ---
    "lb.LoadBalancer": Calls(
        "elbv2/load_balancer.go",
        create="elasticloadbalancing:CreateLoadBalancer elasticloadbalancing:ModifyLoadBalancerAttributes "
        "elasticloadbalancing:AddTags iam:CreateServiceLinkedRole",
        read="elasticloadbalancing:DescribeLoadBalancers elasticloadbalancing:DescribeLoadBalancerAttributes "
        f"elasticloadbalancing:DescribeCapacityReservation {_LB_READ}",
        update="elasticloadbalancing:ModifyLoadBalancerAttributes elasticloadbalancing:SetSecurityGroups "
        f"elasticloadbalancing:SetSubnets {_LB_TAGS}",
        delete="elasticloadbalancing:DeleteLoadBalancer ec2:DescribeNetworkInterfaces",
    ),
    "lb.TargetGroup": Calls(
        "elbv2/target_group.go",
        create="elasticloadbalancing:CreateTargetGroup elasticloadbalancing:ModifyTargetGroupAttributes "
        "elasticloadbalancing:AddTags",
        read=f"elasticloadbalancing:DescribeTargetGroups elasticloadbalancing:DescribeTargetGroupAttributes {_LB_READ}",
        update="elasticloadbalancing:ModifyTargetGroup elasticloadbalancing:ModifyTargetGroupAttributes " + _LB_TAGS,
        delete="elasticloadbalancing:DeleteTargetGroup",
    ),
    "lb.Listener": Calls(
        "elbv2/listener.go",
        create="elasticloadbalancing:CreateListener elasticloadbalancing:ModifyListenerAttributes "
        "elasticloadbalancing:AddTags",
        read=f"elasticloadbalancing:DescribeListeners elasticloadbalancing:DescribeListenerAttributes {_LB_READ}",
        update="elasticloadbalancing:ModifyListener elasticloadbalancing:ModifyListenerAttributes " + _LB_TAGS,
        delete="elasticloadbalancing:DeleteListener",
    ),
    "lb.ListenerCertificate": Calls(
        "elbv2/listener_certificate.go",
        create="elasticloadbalancing:AddListenerCertificates",
        read="elasticloadbalancing:DescribeListenerCertificates",
        delete="elasticloadbalancing:RemoveListenerCertificates",
    ),
    "lb.ListenerRule": Calls(
        "elbv2/listener_rule.go",
        create="elasticloadbalancing:CreateRule elasticloadbalancing:AddTags",
        read=f"elasticloadbalancing:DescribeRules {_LB_READ}",
        update=f"elasticloadbalancing:ModifyRule elasticloadbalancing:SetRulePriorities {_LB_TAGS}",
        delete="elasticloadbalancing:DeleteRule",
    ),
    "acm.Certificate": Calls(
        "acm/certificate.go",
        create="acm:RequestCertificate acm:AddTagsToCertificate",
        read="acm:DescribeCertificate acm:ListTagsForCertificate",
        update="acm:AddTagsToCertificate acm:RemoveTagsFromCertificate",
        delete="acm:DeleteCertificate",
    ),
    "acm.CertificateValidation": Calls(
        "acm/certificate_validation.go", create="acm:DescribeCertificate", read="acm:DescribeCertificate", delete=""
    ),
    "route53.Record": Calls(
        "route53/record.go",
        create="route53:ChangeResourceRecordSets route53:GetChange",
        read="route53:GetHostedZone route53:ListResourceRecordSets",
        update="route53:ChangeResourceRecordSets route53:GetChange",
        delete="route53:ChangeResourceRecordSets route53:GetChange",
    ),
    "route53.HealthCheck": Calls(
        "route53/health_check.go",
        create="route53:CreateHealthCheck route53:ChangeTagsForResource",
        read="route53:GetHealthCheck route53:ListTagsForResource",
        update="route53:UpdateHealthCheck route53:ChangeTagsForResource",
        delete="route53:DeleteHealthCheck",
    ),
    # --- images ---
    "ecr.Repository": Calls(
        "ecr/repository.go",
        create="ecr:CreateRepository ecr:TagResource",
        read="ecr:DescribeRepositories ecr:ListTagsForResource",
        update="ecr:PutImageTagMutability ecr:PutImageScanningConfiguration ecr:TagResource ecr:UntagResource",
        delete="ecr:DeleteRepository",
    ),
    "ecr.LifecyclePolicy": Calls(
        "ecr/lifecycle_policy.go",
        create="ecr:PutLifecyclePolicy",
        read="ecr:GetLifecyclePolicy",
        delete="ecr:DeleteLifecyclePolicy",
    ),
    "ecr.RepositoryPolicy": Calls(
        "ecr/repository_policy.go",
        create="ecr:SetRepositoryPolicy",
        read="ecr:GetRepositoryPolicy",
        update="ecr:SetRepositoryPolicy",
        delete="ecr:DeleteRepositoryPolicy",
    ),
    "ecr.PullThroughCacheRule": Calls(
        "ecr/pull_through_cache_rule.go",
        create="ecr:CreatePullThroughCacheRule iam:CreateServiceLinkedRole secretsmanager:GetSecretValue",
        read="ecr:DescribePullThroughCacheRules",
        update="ecr:UpdatePullThroughCacheRule",
        delete="ecr:DeletePullThroughCacheRule",
    ),
    "ecr.RepositoryCreationTemplate": Calls(
        "ecr/repository_creation_template.go",
        create="ecr:CreateRepositoryCreationTemplate ecr:CreateRepository ecr:PutLifecyclePolicy "
        "ecr:SetRepositoryPolicy",
        read="ecr:DescribeRepositoryCreationTemplates",
        update="ecr:UpdateRepositoryCreationTemplate",
        delete="ecr:DeleteRepositoryCreationTemplate",
    ),
    # --- data ---
    "efs.FileSystem": Calls(
        "efs/file_system.go",
        create="elasticfilesystem:CreateFileSystem elasticfilesystem:PutLifecycleConfiguration "
        "elasticfilesystem:TagResource iam:CreateServiceLinkedRole",
        read="elasticfilesystem:DescribeFileSystems elasticfilesystem:DescribeLifecycleConfiguration "
        "elasticfilesystem:ListTagsForResource",
        update="elasticfilesystem:UpdateFileSystem elasticfilesystem:PutLifecycleConfiguration " + _EFS_TAGS,
        delete="elasticfilesystem:DeleteFileSystem",
    ),
    "efs.FileSystemPolicy": Calls(
        "efs/file_system_policy.go",
        create="elasticfilesystem:PutFileSystemPolicy",
        read="elasticfilesystem:DescribeFileSystemPolicy",
        update="elasticfilesystem:PutFileSystemPolicy",
        delete="elasticfilesystem:DeleteFileSystemPolicy",
    ),
    "efs.BackupPolicy": Calls(
        "efs/backup_policy.go",
        create="elasticfilesystem:PutBackupPolicy iam:CreateServiceLinkedRole",
        read="elasticfilesystem:DescribeBackupPolicy",
        update="elasticfilesystem:PutBackupPolicy",
        delete="elasticfilesystem:PutBackupPolicy",
    ),
    "efs.MountTarget": Calls(
        "efs/mount_target.go",
        create="elasticfilesystem:CreateMountTarget ec2:CreateNetworkInterface ec2:DescribeSubnets "
        "ec2:DescribeNetworkInterfaces",
        read="elasticfilesystem:DescribeMountTargets elasticfilesystem:DescribeMountTargetSecurityGroups",
        update="elasticfilesystem:ModifyMountTargetSecurityGroups",
        delete="elasticfilesystem:DeleteMountTarget ec2:DeleteNetworkInterface",
    ),
    "efs.AccessPoint": Calls(
        "efs/access_point.go",
        create="elasticfilesystem:CreateAccessPoint elasticfilesystem:TagResource",
        read="elasticfilesystem:DescribeAccessPoints",
        update=_EFS_TAGS,
        delete="elasticfilesystem:DeleteAccessPoint",
    ),
    "s3.Bucket": Calls(
        "s3/bucket.go",
        create="s3:CreateBucket s3:PutBucketTagging",
        read="s3:ListBucket s3:GetBucketPolicy s3:GetBucketAcl s3:GetBucketCORS s3:GetBucketWebsite "
        "s3:GetBucketVersioning s3:GetAccelerateConfiguration s3:GetBucketRequestPayment s3:GetBucketLogging "
        "s3:GetLifecycleConfiguration s3:GetReplicationConfiguration s3:GetEncryptionConfiguration "
        "s3:GetBucketObjectLockConfiguration s3:GetBucketTagging s3:GetBucketLocation",
        update="s3:PutBucketTagging",
        delete="s3:DeleteBucket s3:ListBucketVersions s3:DeleteObject s3:DeleteObjectVersion",
    ),
    "s3.BucketPolicy": Calls(
        "s3/bucket_policy.go",
        create="s3:PutBucketPolicy",
        read="s3:GetBucketPolicy",
        update="s3:PutBucketPolicy",
        delete="s3:DeleteBucketPolicy",
    ),
    "s3.BucketPublicAccessBlock": Calls(
        "s3/bucket_public_access_block.go",
        create="s3:PutBucketPublicAccessBlock",
        read="s3:GetBucketPublicAccessBlock",
        update="s3:PutBucketPublicAccessBlock",
        delete="s3:PutBucketPublicAccessBlock",
    ),
    "s3.BucketOwnershipControls": Calls(
        "s3/bucket_ownership_controls.go",
        create="s3:PutBucketOwnershipControls",
        read="s3:GetBucketOwnershipControls",
        update="s3:PutBucketOwnershipControls",
        delete="s3:PutBucketOwnershipControls",
    ),
    "s3.BucketServerSideEncryptionConfiguration": Calls(
        "s3/bucket_server_side_encryption_configuration.go",
        create="s3:PutEncryptionConfiguration",
        read="s3:GetEncryptionConfiguration",
        update="s3:PutEncryptionConfiguration",
        delete="s3:PutEncryptionConfiguration",
    ),
    "s3.BucketLifecycleConfiguration": Calls(
        "s3/bucket_lifecycle_configuration.go",
        create="s3:PutLifecycleConfiguration",
        read="s3:GetLifecycleConfiguration",
        update="s3:PutLifecycleConfiguration",
        delete="s3:PutLifecycleConfiguration",
    ),
    # --- secrets and roles ---
    "kms.Key": Calls(
        "kms/key.go",
        create="kms:CreateKey kms:EnableKeyRotation kms:TagResource",
        read="kms:DescribeKey kms:GetKeyPolicy kms:GetKeyRotationStatus kms:ListResourceTags",
        update="kms:PutKeyPolicy kms:EnableKeyRotation kms:TagResource kms:UntagResource",
        delete="kms:ScheduleKeyDeletion",
    ),
    "kms.Alias": Calls(
        "kms/alias.go",
        create="kms:CreateAlias",
        read="kms:ListAliases",
        update="kms:UpdateAlias",
        delete="kms:DeleteAlias",
    ),
    "secretsmanager.Secret": Calls(
        "secretsmanager/secret.go",
        create="secretsmanager:CreateSecret secretsmanager:TagResource kms:GenerateDataKey kms:Decrypt",
        read="secretsmanager:DescribeSecret secretsmanager:GetResourcePolicy",
        update="secretsmanager:UpdateSecret secretsmanager:TagResource secretsmanager:UntagResource",
        delete="secretsmanager:DeleteSecret",
    ),
    "secretsmanager.SecretVersion": Calls(
        "secretsmanager/secret_version.go",
        create="secretsmanager:PutSecretValue kms:GenerateDataKey kms:Decrypt",
        read="secretsmanager:GetSecretValue secretsmanager:DescribeSecret kms:Decrypt",
        update="secretsmanager:UpdateSecretVersionStage",
        delete="secretsmanager:UpdateSecretVersionStage",
    ),
    "iam.Role": Calls(
        "iam/role.go",
        create="iam:CreateRole iam:TagRole",
        read="iam:GetRole iam:ListRolePolicies iam:GetRolePolicy iam:ListAttachedRolePolicies",
        update="iam:UpdateAssumeRolePolicy iam:TagRole iam:UntagRole",
        delete="iam:ListInstanceProfilesForRole iam:DeleteRole",
    ),
    "iam.RolePolicy": Calls(
        "iam/role_policy.go",
        create="iam:PutRolePolicy",
        read="iam:GetRolePolicy",
        update="iam:PutRolePolicy",
        delete="iam:DeleteRolePolicy",
    ),
}
LOOKUPS: Mapping[str, Calls] = {
    # Both are of the provider itself: no policy can refuse the first, and the second calls nothing.
    "get_caller_identity_output": Calls("sts/caller_identity_data_source.go", create="", read="", delete=""),
    "get_partition_output": Calls("meta/partition_data_source.go", create="", read="", delete=""),
    "route53.get_zone_output": Calls(
        "route53/zone_data_source.go",
        create="",
        read="route53:ListHostedZones route53:ListHostedZonesByName route53:GetHostedZone route53:ListTagsForResource",
        delete="",
    ),
    "ssm.get_parameter_output": Calls("ssm/parameter_data_source.go", create="", read="ssm:GetParameter", delete=""),
}
"""Data sources, by the function that asks for them."""
