"""The tag `Name`, which AWS's console shows in lists where a resource has no name of its own, only an id."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws

SHOWN = frozenset(
    [
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        "aws:ec2/eip:Eip",
        "aws:ec2/flowLog:FlowLog",
        "aws:ec2/internetGateway:InternetGateway",
        "aws:ec2/natGateway:NatGateway",
        "aws:ec2/routeTable:RouteTable",
        "aws:ec2/securityGroup:SecurityGroup",
        "aws:ec2/subnet:Subnet",
        "aws:ec2/vpc:Vpc",
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        "aws:efs/accessPoint:AccessPoint",
        "aws:efs/fileSystem:FileSystem",
    ]
)
"""Types whose console has a column Name that the tag fills. Instances and their disks get it from their pool."""


def console_name(logical: str) -> str:
    """By project and stack, as one account may have several of each."""
    return f"{pulumi.get_project()}-{pulumi.get_stack()}-{logical}"


def with_console_name(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """For the `transformations` of a component: each resource in it that the console lists by `Name` gets one."""
    if args.type_ == "aws:autoscaling/group:Group":
        return _changed(args, [*_list(args.props.get("tags")), _of_instances(args.name)])
    if args.type_ not in SHOWN:
        return None
    tags: Any = args.props.get("tags") or {}
    return _changed(args, {**tags, "Name": console_name(args.name)})


def _of_instances(group: str) -> aws.autoscaling.GroupTagArgs:
    return aws.autoscaling.GroupTagArgs(key="Name", value=console_name(group), propagate_at_launch=True)


def _list(value: Any) -> list[Any]:
    return list(value or [])


def _changed(args: pulumi.ResourceTransformationArgs, tags: Any) -> pulumi.ResourceTransformationResult:
    return pulumi.ResourceTransformationResult(props={**args.props, "tags": tags}, opts=args.opts)
