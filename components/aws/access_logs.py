"""The bucket in which load balancers keep their access logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.iam import EVERYONE, Account, Statement, policy_document


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLogsArgs:
    account: Account
    days: int
    """How long a log is kept."""
    protect: bool
    """Whether the bucket stays when the stack goes; if not, it goes with everything in it."""
    tags: Mapping[str, str]


class AccessLogs(pulumi.ComponentResource):
    """A private bucket that only this account's load balancers in this region can write to, over TLS.

    Encrypted with S3's own keys: balancers can deliver to no bucket that uses KMS. Every prefix of it is open to them,
    one for each balancer.
    """

    bucket: pulumi.Output[str]
    """Its name, known only once balancers may write to it: they test that as they are made."""
    bucket_arn: pulumi.Output[str]

    def __init__(self, name: str, args: AccessLogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:AccessLogs", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        bucket = aws.s3.Bucket(
            name,
            force_destroy=not args.protect,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        closed = aws.s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        aws.s3.BucketOwnershipControls(
            name,
            bucket=bucket.id,
            rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=child,
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=bucket.id,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=(
                        aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                            sse_algorithm="AES256"
                        )
                    )
                )
            ],
            opts=child,
        )
        aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=bucket.id,
            rules=[
                aws.s3.BucketLifecycleConfigurationRuleArgs(
                    id="expire",
                    status="Enabled",
                    filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=args.days),
                    abort_incomplete_multipart_upload=(
                        aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                            days_after_initiation=1
                        )
                    ),
                )
            ],
            opts=child,
        )
        policy = aws.s3.BucketPolicy(
            name,
            bucket=bucket.id,
            policy=policy_document(
                [
                    Statement(
                        sid="BalancersDeliver",
                        principals={"Service": ["logdelivery.elasticloadbalancing.amazonaws.com"]},
                        actions=["s3:PutObject"],
                        resources=[pulumi.Output.concat(bucket.arn, "/*/AWSLogs/", args.account.id, "/*")],
                        conditions={
                            "ArnLike": {"aws:SourceArn": args.account.arn("elasticloadbalancing", "loadbalancer/*")}
                        },
                    ),
                    Statement(
                        sid="TlsOnly",
                        effect="Deny",
                        principals=EVERYONE,
                        actions=["s3:*"],
                        resources=[bucket.arn, pulumi.Output.concat(bucket.arn, "/*")],
                        conditions={"Bool": {"aws:SecureTransport": "false"}},
                    ),
                ]
            ),
            # S3 refuses two changes of a bucket's access at one time.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[closed]),
        )
        self.bucket = policy.bucket
        self.bucket_arn = bucket.arn
        self.register_outputs({"bucket": self.bucket, "bucket_arn": self.bucket_arn})
