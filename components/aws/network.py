"""The VPC of a stack: its subnets, the ways out of them, and what is reached without leaving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.iam import EVERYONE, Account, Statement, assume_role, policy_document
from planning.aws.model import NetworkPlan

_AGGREGATION = 600
"""Seconds of traffic in one record of the flow logs: the longer of AWS's two, and a tenth of the records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkArgs:
    plan: NetworkPlan
    account: Account
    key_arn: pulumi.Input[str] | None
    """KMS key that the flow logs are encrypted with; its policy must let CloudWatch Logs use it."""
    tags: Mapping[str, str]


class Network(pulumi.ComponentResource):
    """A VPC with a public and a private subnet in each zone of the plan.

    Nothing gets a public address unless it is a balancer or a NAT gateway. Each private subnet has a route table of its
    own, so that another choice of NAT changes one route and no association. The default security group is emptied, so
    that what forgets to name a group reaches nothing. S3 is reached through a gateway endpoint, which costs nothing.
    """

    vpc_id: pulumi.Output[str]
    public_subnet_ids: Mapping[str, pulumi.Output[str]]
    """Letter of the zone → id, in the plan's order, known once there is a way to the internet: what is put into
    a subnet waits for its routes, and goes before them."""
    private_subnet_ids: Mapping[str, pulumi.Output[str]]
    """Letter of the zone → id, in the plan's order, known once it has its way out, if there is one."""
    s3_prefix_list_id: pulumi.Output[str]
    """S3's addresses, as security rules name them."""
    s3_endpoint: pulumi.Resource
    """For instances, which fetch images on their first boot."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:Network", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self._name, self._args, self._child = name, args, child
        self._vpc = aws.ec2.Vpc(
            name,
            cidr_block=args.plan.range,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=args.tags,
            opts=child,
        )
        aws.ec2.DefaultSecurityGroup(name, vpc_id=self._vpc.id, ingress=[], egress=[], tags=args.tags, opts=child)
        public = {zone.letter: self._subnet("public", zone.letter, zone.name, zone.public) for zone in args.plan.zones}
        private = {
            zone.letter: self._subnet("private", zone.letter, zone.name, zone.private) for zone in args.plan.zones
        }
        self.public_subnet_ids, gateways = self._public_routes(public)
        self.private_subnet_ids, tables = self._private_routes(private, gateways)
        endpoint = aws.ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=self._vpc.id,
            vpc_endpoint_type="Gateway",
            service_name=pulumi.Output.concat("com.amazonaws.", args.account.region, ".s3"),
            route_table_ids=[table.id for table in tables.values()],
            policy=None if args.plan.nat else _closed_s3(args.account),
            tags=args.tags,
            opts=child,
        )
        if args.plan.flow_logs is not None:
            self._flow_logs(args.plan.flow_logs)
        self.vpc_id = self._vpc.id
        self.s3_prefix_list_id = endpoint.prefix_list_id
        self.s3_endpoint = endpoint
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "public_subnet_ids": self.public_subnet_ids,
                "private_subnet_ids": self.private_subnet_ids,
            }
        )

    def _subnet(self, kind: str, letter: str, zone: str, cidr: str) -> aws.ec2.Subnet:
        return aws.ec2.Subnet(
            f"{self._name}-{kind}-{letter}",
            vpc_id=self._vpc.id,
            availability_zone=zone,
            cidr_block=cidr,
            map_public_ip_on_launch=False,
            tags=self._args.tags,
            opts=self._child,
        )

    def _public_routes(
        self, subnets: Mapping[str, aws.ec2.Subnet]
    ) -> tuple[Mapping[str, pulumi.Output[str]], Mapping[str, aws.ec2.NatGateway]]:
        """The ids of the public subnets, which have a way out then, and the NAT gateways in them."""
        name, tags, child = self._name, self._args.tags, self._child
        internet = aws.ec2.InternetGateway(name, vpc_id=self._vpc.id, tags=tags, opts=child)
        table = aws.ec2.RouteTable(f"{name}-public", vpc_id=self._vpc.id, tags=tags, opts=child)
        out = aws.ec2.Route(
            f"{name}-public",
            route_table_id=table.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=internet.id,
            opts=child,
        )
        ids = {letter: self._associate("public", letter, subnet, table, [out]) for letter, subnet in subnets.items()}
        gateways: dict[str, aws.ec2.NatGateway] = {}
        for letter in sorted(set(self._args.plan.nat.values())):
            address = aws.ec2.Eip(
                f"{name}-nat-{letter}",
                domain="vpc",
                tags=tags,
                # An address can be used, and given back, only while the VPC has its gateway.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[internet]),
            )
            gateways[letter] = aws.ec2.NatGateway(
                f"{name}-nat-{letter}",
                allocation_id=address.id,
                subnet_id=ids[letter],
                connectivity_type="public",
                tags=tags,
                opts=child,
            )
        return ids, gateways

    def _private_routes(
        self, subnets: Mapping[str, aws.ec2.Subnet], gateways: Mapping[str, aws.ec2.NatGateway]
    ) -> tuple[Mapping[str, pulumi.Output[str]], Mapping[str, aws.ec2.RouteTable]]:
        """The ids of the private subnets, which have their way out then, and their route tables."""
        name, child = self._name, self._child
        ids: dict[str, pulumi.Output[str]] = {}
        tables: dict[str, aws.ec2.RouteTable] = {}
        for letter, subnet in subnets.items():
            table = aws.ec2.RouteTable(
                f"{name}-private-{letter}", vpc_id=self._vpc.id, tags=self._args.tags, opts=child
            )
            routes: list[pulumi.Resource] = []
            if through := self._args.plan.nat.get(letter):
                routes.append(
                    aws.ec2.Route(
                        f"{name}-private-{letter}",
                        route_table_id=table.id,
                        destination_cidr_block="0.0.0.0/0",
                        nat_gateway_id=gateways[through].id,
                        opts=child,
                    )
                )
            tables[letter] = table
            ids[letter] = self._associate("private", letter, subnet, table, routes)
        return ids, tables

    def _associate(
        self,
        kind: str,
        letter: str,
        subnet: aws.ec2.Subnet,
        table: aws.ec2.RouteTable,
        routes: Sequence[pulumi.Resource],
    ) -> pulumi.Output[str]:
        """The subnet's id, known once the table with its routes is the subnet's."""
        made = aws.ec2.RouteTableAssociation(
            f"{self._name}-{kind}-{letter}",
            route_table_id=table.id,
            subnet_id=subnet.id,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(routes)),
        )
        return pulumi.Output.all(subnet.id, made.id).apply(lambda known: str(known[0]))

    def _flow_logs(self, days: int) -> None:
        name, args, child = f"{self._name}-flow-logs", self._args, self._child
        group = aws.cloudwatch.LogGroup(
            name, retention_in_days=days, kms_key_id=args.key_arn, tags=args.tags, opts=child
        )
        role = aws.iam.Role(
            name,
            assume_role_policy=assume_role("vpc-flow-logs.amazonaws.com", args.account),
            tags=args.tags,
            opts=child,
        )
        policy = aws.iam.RolePolicy(
            name,
            role=role.name,
            policy=policy_document(
                [
                    Statement(
                        sid="WriteFlowLogs",
                        actions=["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                        resources=[group.arn, pulumi.Output.concat(group.arn, ":*")],
                    ),
                    Statement(
                        sid="FindLogGroup",
                        actions=["logs:DescribeLogGroups"],
                        resources=[args.account.arn("logs", "log-group:*")],
                    ),
                ]
            ),
            opts=child,
        )
        aws.ec2.FlowLog(
            name,
            vpc_id=self._vpc.id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            max_aggregation_interval=_AGGREGATION,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointsArgs:
    endpoints: Sequence[str]
    """By the last part of their service's name, such as `ecr.api`."""
    region: str
    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    """Private, one a zone."""
    security_group_id: pulumi.Input[str]
    tags: Mapping[str, str]


class Endpoints(pulumi.ComponentResource):
    """Interface endpoints: AWS's own services under private addresses, with the names that every SDK asks for.

    A component apart from the network, since their security group can only be made in it.
    """

    resources: Sequence[pulumi.Resource]
    """For what must not start before AWS's services can be reached."""

    def __init__(self, name: str, args: EndpointsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:Endpoints", name, None, opts)
        self.resources = tuple(
            aws.ec2.VpcEndpoint(
                f"{name}-{endpoint}",
                vpc_id=args.vpc_id,
                vpc_endpoint_type="Interface",
                service_name=f"com.amazonaws.{args.region}.{endpoint}",
                subnet_ids=args.subnet_ids,
                security_group_ids=[args.security_group_id],
                private_dns_enabled=True,
                tags=args.tags,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for endpoint in args.endpoints
        )
        self.register_outputs({})


def _closed_s3(account: Account) -> pulumi.Output[str]:
    """For a network without NAT: S3 for this account's own principals, and what AWS's own software is fetched from.

    Where there is a NAT gateway, whatever this would refuse can leave through that, and a policy would break what
    fetches anonymously (other registries keep their layers in S3); there, AWS's default stands.
    """
    aws_owned = ["prod-", account.region, "-starport-layer-bucket/*"], ["al2023-repos-", account.region, "-de612dc2/*"]
    return policy_document(
        [
            Statement(
                principals=EVERYONE,
                actions=["s3:*"],
                resources=["*"],
                reason="the principals' own policies name the buckets",
                conditions={"StringEquals": {"aws:PrincipalAccount": account.id}},
            ),
            Statement(
                sid="LayersOfEcrAndPackagesOfAmazonLinux",
                principals=EVERYONE,
                actions=["s3:GetObject"],
                resources=[pulumi.Output.concat("arn:", account.partition, ":s3:::", *parts) for parts in aws_owned],
            ),
        ]
    )
