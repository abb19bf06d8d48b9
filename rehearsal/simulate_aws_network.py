"""VPC, load balancing, certificates and DNS, only pretended."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from rehearsal.simulate_aws_parts import ACCOUNT, Made, Simulator, domain_of, last_of, text_of
from rehearsal.values import Unknown, items_of


def _ec2(prefix: str, kind: str = "", **more: Any) -> Simulator:
    """Things of EC2 that have an id and, where `kind` is given, an ARN made of it."""

    def simulator(made: Made) -> Mapping[str, Any]:
        id_ = made.id(prefix)
        arn = {"arn": made.arn("ec2", f"{kind}/{id_}")} if kind else {}
        return {"id": id_, "ownerId": ACCOUNT, **arn, **more}

    return simulator


def _vpc(made: Made) -> Mapping[str, Any]:
    id_ = made.id("vpc")
    return {
        "id": id_,
        "arn": made.arn("ec2", f"vpc/{id_}"),
        "ownerId": ACCOUNT,
        "mainRouteTableId": made.id("rtb"),
        "defaultRouteTableId": made.id("rtb"),
        "defaultSecurityGroupId": made.id("sg"),
        "defaultNetworkAclId": made.id("acl"),
        "dhcpOptionsId": made.id("dopt"),
        "enableDnsHostnames": False,
        "enableDnsSupport": True,
        "instanceTenancy": "default",
    }


def _eip(made: Made) -> Mapping[str, Any]:
    id_ = made.id("eipalloc")
    address = f"3.{made.address}"
    return {
        "id": id_,
        "allocationId": id_,
        "publicIp": address,
        "publicDns": f"ec2-{address.replace('.', '-')}.{made.region}.compute.{domain_of(made.partition)}",
        "arn": made.arn("ec2", f"elastic-ip/{id_}"),
    }


def _nat(made: Made) -> Mapping[str, Any]:
    return {"id": made.id("nat"), "publicIp": f"3.{made.address}", "networkInterfaceId": made.id("eni")}


def _endpoint(made: Made) -> Mapping[str, Any]:
    id_ = made.id("vpce")
    service = made.text("serviceName")
    entry = {"dnsName": f"{id_}-{made.digest[:8]}.{last_of(service, '.')}.{made.region}.vpce.amazonaws.com"}
    return {
        "id": id_,
        "arn": made.arn("ec2", f"vpc-endpoint/{id_}"),
        "dnsEntries": [{**entry, "hostedZoneId": f"Z{made.digest[:13].upper()}"}],
        "prefixListId": made.id("pl"),
        "state": "available",
        "cidrBlocks": [],
        "networkInterfaceIds": [],
        "ownerId": ACCOUNT,
    }


def _launch_template(made: Made) -> Mapping[str, Any]:
    id_ = made.id("lt")
    arn = made.arn("ec2", f"launch-template/{id_}")
    return {"id": id_, "arn": arn, "name": made.name, "latestVersion": 1, "defaultVersion": 1}


def _security_group(made: Made) -> Mapping[str, Any]:
    id_ = made.id("sg")
    arn = made.arn("ec2", f"security-group/{id_}")
    return {"id": id_, "arn": arn, "name": made.name, "description": "Managed by Pulumi", "ownerId": ACCOUNT}


def _security_rule(made: Made) -> Mapping[str, Any]:
    id_ = made.id("sgr")
    return {"id": id_, "securityGroupRuleId": id_, "arn": made.arn("ec2", f"security-group-rule/{id_}")}


def _load_balancer(made: Made) -> Mapping[str, Any]:
    kind = {"network": "net", "gateway": "gwy"}.get(made.text("loadBalancerType"), "app")
    suffix = f"{kind}/{made.name}/{made.digest[:16]}"
    arn = made.arn("elasticloadbalancing", f"loadbalancer/{suffix}")
    internal = "internal-" if made.inputs.get("internal") is True else ""
    host = f"{internal}{made.name}-{int(made.digest[:8], 16) % 10**9}.{made.region}.elb.{domain_of(made.partition)}"
    return {
        "id": arn,
        "arn": arn,
        "name": made.name,
        "arnSuffix": suffix,
        "dnsName": host,
        "zoneId": f"Z{hashlib.sha256(made.region.encode()).hexdigest()[:13].upper()}",  # one a region
        "vpcId": f"vpc-{made.digest[:17]}",
        "loadBalancerType": "application",
    }


def _target_group(made: Made) -> Mapping[str, Any]:
    suffix = f"targetgroup/{made.name}/{made.digest[:16]}"
    arn = made.arn("elasticloadbalancing", suffix)
    return {"id": arn, "arn": arn, "name": made.name, "arnSuffix": suffix, "loadBalancerArns": []}


def _listener(made: Made) -> Mapping[str, Any]:
    balancer = made.text("loadBalancerArn").partition(":loadbalancer/")[2] or f"app/unknown/{made.digest[16:32]}"
    arn = made.arn("elasticloadbalancing", f"listener/{balancer}/{made.digest[:16]}")
    return {"id": arn, "arn": arn}


def _listener_rule(made: Made) -> Mapping[str, Any]:
    listener = made.text("listenerArn").partition(":listener/")[2] or f"app/unknown/{made.digest[16:48]}"
    arn = made.arn("elasticloadbalancing", f"listener-rule/{listener}/{made.digest[:16]}")
    return {"id": arn, "arn": arn}


def _certificate(made: Made) -> Mapping[str, Any]:
    raw = made.digest
    id_ = f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:32]}"
    arn = made.arn("acm", f"certificate/{id_}")
    domain = made.inputs.get("domainName")
    names = [domain, *items_of(made.inputs.get("subjectAlternativeNames"))]
    options: list[Mapping[str, Any]] = []
    for name in dict.fromkeys(text for item in names if (text := text_of(item))):
        # A wildcard and its parent are proven by one and the same record.
        base = name.removeprefix("*.")
        proof = hashlib.sha256(base.encode()).hexdigest()
        options.append(
            {
                "domainName": name,
                "resourceRecordName": f"_{proof[:32]}.{base}.",
                "resourceRecordType": "CNAME",
                "resourceRecordValue": f"_{proof[32:64]}.validations.aws.",
            }
        )
    made_here = any(isinstance(item, Unknown) for item in names)
    return {
        "id": arn,
        "arn": arn,
        "status": "PENDING_VALIDATION",
        **({} if made_here else {"domainValidationOptions": options}),
        "validationEmails": [],
    }


def _certificate_validation(made: Made) -> Mapping[str, Any]:
    return {"id": f"2026-01-01 00:00:00 +0000 UTC {made.digest[:7]}"}


def _zone(made: Made) -> Mapping[str, Any]:
    id_ = f"Z{made.digest[:20].upper()}"
    servers = [f"ns-{n}.awsdns-{n:02d}.{end}" for n, end in ((1, "com"), (2, "net"), (3, "org"), (4, "co.uk"))]
    arn = made.arn("route53", f"hostedzone/{id_}", region=False, account=False)
    return {"id": id_, "zoneId": id_, "arn": arn, "nameServers": servers, "primaryNameServer": servers[0]}


def _health_check(made: Made) -> Mapping[str, Any]:
    id_ = f"{made.digest[:8]}-{made.digest[8:12]}-4{made.digest[13:16]}-8{made.digest[17:20]}-{made.digest[20:32]}"
    return {"id": id_, "arn": made.arn("route53", f"healthcheck/{id_}", region=False, account=False)}


def _record(made: Made) -> Mapping[str, Any]:
    name = made.text("name").rstrip(".")
    return {"id": f"{made.text('zoneId')}_{name}_{made.text('type')}", "fqdn": name}


TYPES: Mapping[str, Simulator] = {
    "aws:acm/certificate:Certificate": _certificate,
    "aws:acm/certificateValidation:CertificateValidation": _certificate_validation,
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _security_group,
    "aws:ec2/eip:Eip": _eip,
    "aws:ec2/flowLog:FlowLog": _ec2("fl", "vpc-flow-log"),
    "aws:ec2/internetGateway:InternetGateway": _ec2("igw", "internet-gateway"),
    "aws:ec2/launchTemplate:LaunchTemplate": _launch_template,
    "aws:ec2/mainRouteTableAssociation:MainRouteTableAssociation": _ec2("rtbassoc"),
    "aws:ec2/natGateway:NatGateway": _nat,
    "aws:ec2/route:Route": lambda made: {"id": f"r-{made.text('routeTableId')}{made.digest[:10]}", "state": "active"},
    "aws:ec2/routeTable:RouteTable": _ec2("rtb", "route-table", routes=[]),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _ec2("rtbassoc"),
    "aws:ec2/securityGroup:SecurityGroup": _security_group,
    "aws:ec2/subnet:Subnet": _ec2("subnet", "subnet", mapPublicIpOnLaunch=False),
    "aws:ec2/vpc:Vpc": _vpc,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _endpoint,
    "aws:lb/listener:Listener": _listener,
    "aws:lb/listenerRule:ListenerRule": _listener_rule,
    "aws:lb/loadBalancer:LoadBalancer": _load_balancer,
    "aws:lb/targetGroup:TargetGroup": _target_group,
    "aws:route53/healthCheck:HealthCheck": _health_check,
    "aws:route53/record:Record": _record,
    "aws:route53/zone:Zone": _zone,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _security_rule,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _security_rule,
}
