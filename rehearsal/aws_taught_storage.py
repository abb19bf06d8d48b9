"""Identity, keys, secrets, registries, files, buckets, logs, alarms and topics."""

from __future__ import annotations

from collections.abc import Mapping

from rehearsal.aws_taught import Taught, taught

_FEEDBACK = tuple(
    f"{protocol}{kind}"
    for protocol in ("application", "firehose", "http", "lambda", "sqs")
    for kind in ("FailureFeedbackRoleArn", "SuccessFeedbackRoleArn", "SuccessFeedbackSampleRate")
)

_IDENTITY: dict[str, Taught] = {
    "aws:iam/role:Role": taught(
        "iam:CreateRole",
        name="RoleName",
        assumeRolePolicy="AssumeRolePolicyDocument",
        inlinePolicies={"": "PutRolePolicy/.", "name": "PolicyName", "policy": "PolicyDocument"},
        managedPolicyArns="AttachRolePolicy/PolicyArn",
        ours=["forceDetachPolicies", "namePrefix"],
        given=["RoleName"],
    ),
    "aws:iam/rolePolicy:RolePolicy": taught(
        "iam:PutRolePolicy",
        name="PolicyName",
        role="RoleName",
        policy="PolicyDocument",
        ours=["namePrefix"],
        given=["PolicyName"],
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": taught("iam:AttachRolePolicy", role="RoleName"),
    "aws:iam/policy:Policy": taught(
        "iam:CreatePolicy",
        name="PolicyName",
        policy="PolicyDocument",
        ours=["delayAfterPolicyCreationInMs", "namePrefix"],
        given=["PolicyName"],
    ),
    "aws:iam/instanceProfile:InstanceProfile": taught(
        "iam:CreateInstanceProfile",
        name="InstanceProfileName",
        role="AddRoleToInstanceProfile/RoleName",
        ours=["namePrefix"],
        given=["InstanceProfileName"],
    ),
    "aws:iam/serviceLinkedRole:ServiceLinkedRole": taught(
        "iam:CreateServiceLinkedRole", awsServiceName="AWSServiceName"
    ),
    "aws:kms/key:Key": taught(
        "kms:CreateKey",
        customerMasterKeySpec="KeySpec",
        deletionWindowInDays="ScheduleKeyDeletion/PendingWindowInDays",
        rotationPeriodInDays="EnableKeyRotation/RotationPeriodInDays",
        ours=["enableKeyRotation", "isEnabled"],
    ),
    "aws:kms/alias:Alias": taught("kms:CreateAlias", name="AliasName", ours=["namePrefix"], given=["AliasName"]),
    "aws:kms/keyPolicy:KeyPolicy": taught("kms:PutKeyPolicy"),
    "aws:secretsmanager/secret:Secret": taught(
        "secretsmanager:CreateSecret",
        policy="PutResourcePolicy/ResourcePolicy",
        recoveryWindowInDays="DeleteSecret/RecoveryWindowInDays",
        replicas="AddReplicaRegions",
        ours=["namePrefix", "replicas/lastAccessedDate", "replicas/status", "replicas/statusMessage"],
        given=["Name"],
    ),
    "aws:secretsmanager/secretVersion:SecretVersion": taught(
        "secretsmanager:PutSecretValue",
        secretStringWo="SecretString",
        ours=["secretStringWoVersion"],
    ),
    "aws:secretsmanager/secretPolicy:SecretPolicy": taught(
        "secretsmanager:PutResourcePolicy", policy="ResourcePolicy", secretArn="SecretId"
    ),
}

_STORAGE: dict[str, Taught] = {
    "aws:efs/fileSystem:FileSystem": taught(
        "efs:CreateFileSystem",
        lifecyclePolicies="PutLifecycleConfiguration/LifecyclePolicies",
        protection={
            "": ".",
            "replicationOverwrite": "UpdateFileSystemProtection/ReplicationOverwriteProtection",
        },
        given=["CreationToken"],
    ),
    "aws:efs/mountTarget:MountTarget": taught("efs:CreateMountTarget"),
    "aws:efs/accessPoint:AccessPoint": taught("efs:CreateAccessPoint"),
    "aws:efs/backupPolicy:BackupPolicy": taught("efs:PutBackupPolicy"),
    "aws:efs/fileSystemPolicy:FileSystemPolicy": taught("efs:PutFileSystemPolicy"),
    "aws:ecr/repository:Repository": taught(
        "ecr:CreateRepository", name="repositoryName", ours=["forceDelete"], given=["repositoryName"]
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": taught(
        "ecr:PutLifecyclePolicy", policy="lifecyclePolicyText", repository="repositoryName"
    ),
    "aws:ecr/repositoryPolicy:RepositoryPolicy": taught(
        "ecr:SetRepositoryPolicy", policy="policyText", repository="repositoryName"
    ),
    "aws:ecr/registryPolicy:RegistryPolicy": taught("ecr:PutRegistryPolicy", policy="policyText"),
    "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration": taught(
        "ecr:PutRegistryScanningConfiguration"
    ),
    "aws:ecr/pullThroughCacheRule:PullThroughCacheRule": taught("ecr:CreatePullThroughCacheRule"),
    "aws:ecr/repositoryCreationTemplate:RepositoryCreationTemplate": taught(
        "ecr:CreateRepositoryCreationTemplate", appliedFors="appliedFor", ours=["resourceTags"]
    ),
    "aws:s3/bucketPolicy:BucketPolicy": taught("s3:PutBucketPolicy"),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": taught(
        "s3:PutPublicAccessBlock",
        **{
            key: f"PublicAccessBlockConfiguration.{key[0].upper()}{key[1:]}"
            for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        },
        ours=["skipDestroy"],
        given=["PublicAccessBlockConfiguration"],
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": taught(
        "s3:PutBucketOwnershipControls", rule="OwnershipControls.Rules"
    ),
    "aws:s3/bucketVersioning:BucketVersioning": taught(
        "s3:PutBucketVersioning",
        mfa="MFA",
        versioningConfiguration={"": "VersioningConfiguration", "mfaDelete": "MFADelete"},
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": taught(
        "s3:PutBucketEncryption",
        rules={
            "": "ServerSideEncryptionConfiguration.Rules",
            "blockedEncryptionTypes": "BlockedEncryptionTypes.EncryptionType",
        },
        **{
            "rules/applyServerSideEncryptionByDefault/kmsMasterKeyId": "KMSMasterKeyID",
            "rules/applyServerSideEncryptionByDefault/sseAlgorithm": "SSEAlgorithm",
        },
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": taught(
        "s3:PutBucketLifecycleConfiguration", rules="LifecycleConfiguration.Rules"
    ),
    "aws:s3/bucket:Bucket": taught(
        "s3:CreateBucket",
        objectLockEnabled="ObjectLockEnabledForBucket",
        policy="PutBucketPolicy/Policy",
        acl="ACL",
        # These live on as types of their own (aws.s3.BucketVersioning …); here they are the provider's old spelling.
        accelerationStatus="PutBucketAccelerateConfiguration/AccelerateConfiguration.Status",
        corsRules="PutBucketCors/CORSConfiguration.CORSRules",
        requestPayer="PutBucketRequestPayment/RequestPaymentConfiguration.Payer",
        ours=[
            "bucketPrefix",
            "forceDestroy",
            "grants",
            "lifecycleRules",
            "logging",
            "objectLockConfiguration",
            "replicationConfiguration",
            "serverSideEncryptionConfiguration",
            "versioning",
            "website",
        ],
        given=["Bucket"],
    ),
}

_OBSERVABILITY: dict[str, Taught] = {
    "aws:cloudwatch/logGroup:LogGroup": taught(
        "logs:CreateLogGroup",
        name="logGroupName",
        retentionInDays="PutRetentionPolicy/retentionInDays",
        ours=["namePrefix", "skipDestroy"],
        given=["logGroupName"],
    ),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": taught(
        "logs:PutMetricFilter",
        name="filterName",
        pattern="filterPattern",
        metricTransformation={"": "metricTransformations", "name": "metricName", "namespace": "metricNamespace"},
        **{"metricTransformation/value": "metricValue"},
        given=["filterName"],
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": taught(
        "cloudwatch:PutMetricAlarm",
        name="AlarmName",
        okActions="OKActions",
        metricQueries={
            "": "Metrics",
            "metric": "MetricStat",
            "metric/dimensions": "Metric.Dimensions",
            "metric/metricName": "Metric.MetricName",
            "metric/namespace": "Metric.Namespace",
        },
        given=["AlarmName"],
    ),
    "aws:cloudwatch/compositeAlarm:CompositeAlarm": taught(
        "cloudwatch:PutCompositeAlarm",
        okActions="OKActions",
        actionsSuppressor={
            "": ".",
            "alarm": "ActionsSuppressor",
            "extensionPeriod": "ActionsSuppressorExtensionPeriod",
            "waitPeriod": "ActionsSuppressorWaitPeriod",
        },
    ),
    "aws:sns/topic:Topic": taught(
        "sns:CreateTopic",
        ours=[
            *_FEEDBACK,
            "archivePolicy",
            "contentBasedDeduplication",
            "deliveryPolicy",
            "displayName",
            "fifoThroughputScope",
            "fifoTopic",
            "kmsMasterKeyId",
            "maximumMessageSize",
            "namePrefix",
            "policy",
            "signatureVersion",
            "tracingConfig",
        ],  # all attributes, whose values the model leaves open
        given=["Name"],
    ),
    "aws:sns/topicPolicy:TopicPolicy": taught(
        "sns:SetTopicAttributes", arn="TopicArn", ours=["policy"], given=["AttributeName"]
    ),
    "aws:sns/topicSubscription:TopicSubscription": taught(
        "sns:Subscribe",
        topic="TopicArn",
        ours=[
            "confirmationTimeoutInMinutes",
            "deliveryPolicy",
            "endpointAutoConfirms",
            "filterPolicy",
            "filterPolicyScope",
            "rawMessageDelivery",
            "redrivePolicy",
            "replayPolicy",
            "subscriptionRoleArn",
        ],
    ),
}

TYPES: Mapping[str, Taught] = {**_IDENTITY, **_STORAGE, **_OBSERVABILITY}
