"""VPC, security groups, load balancing, DNS and certificates."""

from __future__ import annotations

from collections.abc import Mapping

from rehearsal.aws_taught import Taught, taught

_ACTION = {
    "authenticateCognito": "AuthenticateCognitoConfig",
    "authenticateOidc": "AuthenticateOidcConfig",
    "fixedResponse": "FixedResponseConfig",
    "forward": "ForwardConfig",
    "forward/stickiness": "TargetGroupStickinessConfig",
    "forward/stickiness/duration": "DurationSeconds",
    "forward/targetGroups/arn": "TargetGroupArn",
    "jwtValidation": "JwtValidationConfig",
    "redirect": "RedirectConfig",
}
_CONDITION = {
    "hostHeader": "HostHeaderConfig",
    "httpHeader": "HttpHeaderConfig",
    "httpRequestMethod": "HttpRequestMethodConfig",
    "pathPattern": "PathPatternConfig",
    "queryStrings": "QueryStringConfig.Values",
    "sourceIp": "SourceIpConfig",
}
_PERMISSION = {
    "": "IpPermissions",
    "protocol": "IpProtocol",
    "cidrBlocks": "IpRanges.CidrIp",
    "ipv6CidrBlocks": "Ipv6Ranges.CidrIpv6",
    "prefixListIds": "PrefixListIds.PrefixListId",
    "securityGroups": "UserIdGroupPairs.GroupId",
    "description": "IpRanges.Description",
}
_RULE = {
    "ipProtocol": "IpPermissions.IpProtocol",
    "fromPort": "IpPermissions.FromPort",
    "toPort": "IpPermissions.ToPort",
    "cidrIpv4": "IpPermissions.IpRanges.CidrIp",
    "cidrIpv6": "IpPermissions.Ipv6Ranges.CidrIpv6",
    "prefixListId": "IpPermissions.PrefixListIds.PrefixListId",
    "referencedSecurityGroupId": "IpPermissions.UserIdGroupPairs.GroupId",
    "description": "IpPermissions.IpRanges.Description",
    "securityGroupId": "GroupId",
}
_ROUTE = {
    "cidrBlock": "CreateRoute/DestinationCidrBlock",
    "ipv6CidrBlock": "CreateRoute/DestinationIpv6CidrBlock",
    "destinationPrefixListId": "CreateRoute/DestinationPrefixListId",
    "egressOnlyGatewayId": "CreateRoute/EgressOnlyInternetGatewayId",
    **{
        key: f"CreateRoute/{key[0].upper()}{key[1:]}"
        for key in (
            "carrierGatewayId",
            "coreNetworkArn",
            "gatewayId",
            "localGatewayId",
            "natGatewayId",
            "networkInterfaceId",
            "odbNetworkArn",
            "transitGatewayId",
            "vpcEndpointId",
            "vpcPeeringConnectionId",
        )
    },
}
_LOGS = ("bucket", "enabled", "prefix")


def _s3_logs(kind: str) -> dict[str, str]:
    return {"": ".", **{key: f"@{kind}.s3.{key}" for key in _LOGS}}


def _response(*headers: str) -> dict[str, str]:
    """``routingHttpResponse…HeaderValue`` of a listener to its attribute."""
    return {
        _camel(f"routing.http.response.{h}.header_value"): f"@routing.http.response.{h}.header_value" for h in headers
    }


def _request(**headers: str) -> dict[str, str]:
    return {
        f"routingHttpRequest{key}HeaderName": f"@routing.http.request.{attribute}.header_name"
        for key, attribute in headers.items()
    }


def _camel(dotted: str) -> str:
    first, *rest = dotted.replace("_", ".").split(".")
    return first + "".join(part.capitalize() for part in rest)


_NETWORK: dict[str, Taught] = {
    "aws:ec2/vpc:Vpc": taught(
        "ec2:CreateVpc",
        assignGeneratedIpv6CidrBlock="AmazonProvidedIpv6CidrBlock",
        enableDnsHostnames="ModifyVpcAttribute/EnableDnsHostnames.Value",
        enableDnsSupport="ModifyVpcAttribute/EnableDnsSupport.Value",
        enableNetworkAddressUsageMetrics="ModifyVpcAttribute/EnableNetworkAddressUsageMetrics.Value",
    ),
    "aws:ec2/subnet:Subnet": taught(
        "ec2:CreateSubnet",
        assignIpv6AddressOnCreation="ModifySubnetAttribute/AssignIpv6AddressOnCreation.Value",
        customerOwnedIpv4Pool="ModifySubnetAttribute/CustomerOwnedIpv4Pool",
        enableDns64="ModifySubnetAttribute/EnableDns64.Value",
        enableLniAtDeviceIndex="ModifySubnetAttribute/EnableLniAtDeviceIndex",
        enableResourceNameDnsARecordOnLaunch="ModifySubnetAttribute/EnableResourceNameDnsARecordOnLaunch.Value",
        enableResourceNameDnsAaaaRecordOnLaunch="ModifySubnetAttribute/EnableResourceNameDnsAAAARecordOnLaunch.Value",
        mapCustomerOwnedIpOnLaunch="ModifySubnetAttribute/MapCustomerOwnedIpOnLaunch.Value",
        mapPublicIpOnLaunch="ModifySubnetAttribute/MapPublicIpOnLaunch.Value",
        privateDnsHostnameTypeOnLaunch="ModifySubnetAttribute/PrivateDnsHostnameTypeOnLaunch",
    ),
    "aws:ec2/internetGateway:InternetGateway": taught("ec2:CreateInternetGateway", vpcId="AttachInternetGateway/VpcId"),
    "aws:ec2/natGateway:NatGateway": taught("ec2:CreateNatGateway", privateIp="PrivateIpAddress"),
    "aws:ec2/eip:Eip": taught(
        "ec2:AllocateAddress",
        associateWithPrivateIp="AssociateAddress/PrivateIpAddress",
        instance="AssociateAddress/InstanceId",
        networkInterface="AssociateAddress/NetworkInterfaceId",
    ),
    "aws:ec2/routeTable:RouteTable": taught(
        "ec2:CreateRouteTable", routes={"": "CreateRoute/.", **_ROUTE}, ours=["propagatingVgws"]
    ),
    "aws:ec2/route:Route": taught("ec2:CreateRoute", egressOnlyGatewayId="EgressOnlyInternetGatewayId"),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": taught("ec2:AssociateRouteTable"),
    "aws:ec2/mainRouteTableAssociation:MainRouteTableAssociation": taught(
        "ec2:ReplaceRouteTableAssociation", ours=["vpcId"], given=["AssociationId"]
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": taught("ec2:CreateVpcEndpoint", policy="PolicyDocument", ours=["autoAccept"]),
    "aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation": taught(
        "ec2:ModifyVpcEndpoint", routeTableId="AddRouteTableIds"
    ),
    "aws:ec2/flowLog:FlowLog": taught(
        "ec2:CreateFlowLogs",
        iamRoleArn="DeliverLogsPermissionArn",
        eniId="ResourceIds",
        regionalNatGatewayId="ResourceIds",
        subnetId="ResourceIds",
        transitGatewayAttachmentId="ResourceIds",
        transitGatewayId="ResourceIds",
        vpcId="ResourceIds",
        given=["ResourceType"],
    ),
    "aws:ec2/securityGroup:SecurityGroup": taught(
        "ec2:CreateSecurityGroup",
        name="GroupName",
        ingress={k: f"AuthorizeSecurityGroupIngress/{v}" if not k else v for k, v in _PERMISSION.items()},
        egress={k: f"AuthorizeSecurityGroupEgress/{v}" if not k else v for k, v in _PERMISSION.items()},
        ours=["revokeRulesOnDelete", "ingress/self", "egress/self", "namePrefix"],
        given=["GroupName", "Description"],  # "Managed by Pulumi"
    ),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": taught(
        "ec2:DescribeSecurityGroups",
        vpcId="CreateSecurityGroup/VpcId",
        ingress={k: f"AuthorizeSecurityGroupIngress/{v}" if not k else v for k, v in _PERMISSION.items()},
        egress={k: f"AuthorizeSecurityGroupEgress/{v}" if not k else v for k, v in _PERMISSION.items()},
        ours=["revokeRulesOnDelete", "ingress/self", "egress/self"],
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": taught("ec2:AuthorizeSecurityGroupIngress", **_RULE),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": taught("ec2:AuthorizeSecurityGroupEgress", **_RULE),
    "aws:route53/zone:Zone": taught(
        "route53:CreateHostedZone",
        comment="HostedZoneConfig.Comment",
        vpcs={"": "VPC", "vpcRegion": "VPCRegion"},
        enableAcceleratedRecovery="UpdateHostedZoneFeatures/EnableAcceleratedRecovery",
        ours=["forceDestroy"],
        given=["CallerReference"],
    ),
    "aws:route53/record:Record": taught(
        "route53:ChangeResourceRecordSets",
        zoneId="HostedZoneId",
        **{
            key: f"ChangeBatch.Changes.ResourceRecordSet.{target}"
            for key, target in {
                "name": "Name",
                "type": "Type",
                "ttl": "TTL",
                "records": "ResourceRecords.Value",
                "aliases": "AliasTarget",
                "healthCheckId": "HealthCheckId",
                "setIdentifier": "SetIdentifier",
                "multivalueAnswerRoutingPolicy": "MultiValueAnswer",
                "geolocationRoutingPolicies": "GeoLocation",
                "geoproximityRoutingPolicy": "GeoProximityLocation",
                "cidrRoutingPolicy": "CidrRoutingConfig",
            }.items()
        },
        **{
            "aliases/name": "DNSName",
            "aliases/zoneId": "HostedZoneId",
            "geolocationRoutingPolicies/continent": "ContinentCode",
            "geolocationRoutingPolicies/country": "CountryCode",
            "geolocationRoutingPolicies/subdivision": "SubdivisionCode",
            "geoproximityRoutingPolicy/awsRegion": "AWSRegion",
            "failoverRoutingPolicies": ".",
            "latencyRoutingPolicies": ".",
            "weightedRoutingPolicies": ".",
            "failoverRoutingPolicies/type": "ChangeResourceRecordSets/ChangeBatch.Changes.ResourceRecordSet.Failover",
            "latencyRoutingPolicies/region": "ChangeResourceRecordSets/ChangeBatch.Changes.ResourceRecordSet.Region",
            "weightedRoutingPolicies/weight": "ChangeResourceRecordSets/ChangeBatch.Changes.ResourceRecordSet.Weight",
        },
        ours=["allowOverwrite"],
        given=["ChangeBatch.Changes.Action"],
    ),
    "aws:route53/healthCheck:HealthCheck": taught(
        "route53:CreateHealthCheck",
        **{
            key: f"HealthCheckConfig.{target}"
            for key, target in {
                "type": "Type",
                "ipAddress": "IPAddress",
                "port": "Port",
                "fqdn": "FullyQualifiedDomainName",
                "resourcePath": "ResourcePath",
                "searchString": "SearchString",
                "requestInterval": "RequestInterval",
                "failureThreshold": "FailureThreshold",
                "measureLatency": "MeasureLatency",
                "invertHealthcheck": "Inverted",
                "disabled": "Disabled",
                "enableSni": "EnableSNI",
                "regions": "Regions",
                "childHealthThreshold": "HealthThreshold",
                "childHealthchecks": "ChildHealthChecks",
                "cloudwatchAlarmName": "AlarmIdentifier.Name",
                "cloudwatchAlarmRegion": "AlarmIdentifier.Region",
                "insufficientDataHealthStatus": "InsufficientDataHealthStatus",
                "routingControlArn": "RoutingControlArn",
            }.items()
        },
        ours=["referenceName", "triggers"],
        given=["CallerReference"],
    ),
    "aws:acm/certificate:Certificate": taught(
        "acm:RequestCertificate",
        "acm:ImportCertificate",
        certificateBody="ImportCertificate/Certificate",
        validationOptions="DomainValidationOptions",
        ours=["earlyRenewalDuration", "privateKeyWo", "privateKeyWoVersion"],
    ),
    "aws:acm/certificateValidation:CertificateValidation": taught(
        "acm:DescribeCertificate", ours=["validationRecordFqdns"]
    ),
}

_LOAD_BALANCING: dict[str, Taught] = {
    "aws:lb/loadBalancer:LoadBalancer": taught(
        "elbv2:CreateLoadBalancer",
        loadBalancerType="Type",
        subnetMappings={"": "SubnetMappings", "privateIpv4Address": "PrivateIPv4Address", "ipv6Address": "IPv6Address"},
        minimumLoadBalancerCapacity="ModifyCapacityReservation/MinimumLoadBalancerCapacity",
        enforceSecurityGroupInboundRulesOnPrivateLinkTraffic=(
            "SetSecurityGroups/EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"
        ),
        accessLogs=_s3_logs("access_logs"),
        connectionLogs=_s3_logs("connection_logs"),
        healthCheckLogs=_s3_logs("health_check_logs"),
        clientKeepAlive="@client_keep_alive.seconds",
        desyncMitigationMode="@routing.http.desync_mitigation_mode",
        dnsRecordClientRoutingPolicy="@dns_record.client_routing_policy",
        dropInvalidHeaderFields="@routing.http.drop_invalid_header_fields.enabled",
        enableCrossZoneLoadBalancing="@load_balancing.cross_zone.enabled",
        enableDeletionProtection="@deletion_protection.enabled",
        enableHttp2="@routing.http2.enabled",
        enableTlsVersionAndCipherSuiteHeaders="@routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
        enableWafFailOpen="@waf.fail_open.enabled",
        enableXffClientPort="@routing.http.xff_client_port.enabled",
        enableZonalShift="@zonal_shift.config.enabled",
        idleTimeout="@idle_timeout.timeout_seconds",
        preserveHostHeader="@routing.http.preserve_host_header.enabled",
        secondaryIpsAutoAssignedPerSubnet="@secondary_ips.auto_assigned.per_subnet",
        xffHeaderProcessingMode="@routing.http.xff_header_processing.mode",
        ours=["internal", "namePrefix", "subnetMappings/outpostId"],  # internal becomes Scheme
        given=["Name"],
    ),
    "aws:lb/targetGroup:TargetGroup": taught(
        "elbv2:CreateTargetGroup",
        healthCheck={
            "": ".",
            "enabled": "HealthCheckEnabled",
            "healthyThreshold": "HealthyThresholdCount",
            "interval": "HealthCheckIntervalSeconds",
            "matcher": "Matcher.HttpCode",
            "path": "HealthCheckPath",
            "port": "HealthCheckPort",
            "protocol": "HealthCheckProtocol",
            "timeout": "HealthCheckTimeoutSeconds",
            "unhealthyThreshold": "UnhealthyThresholdCount",
        },
        connectionTermination="@deregistration_delay.connection_termination.enabled",
        deregistrationDelay="@deregistration_delay.timeout_seconds",
        lambdaMultiValueHeadersEnabled="@lambda.multi_value_headers.enabled",
        loadBalancingAlgorithmType="@load_balancing.algorithm.type",
        loadBalancingAnomalyMitigation="@load_balancing.algorithm.anomaly_mitigation",
        loadBalancingCrossZoneEnabled="@load_balancing.cross_zone.enabled",
        preserveClientIp="@preserve_client_ip.enabled",
        proxyProtocolV2="@proxy_protocol_v2.enabled",
        slowStart="@slow_start.duration_seconds",
        stickiness={
            "": ".",
            "cookieDuration": "@stickiness.lb_cookie.duration_seconds",
            "cookieName": "@stickiness.app_cookie.cookie_name",
            "enabled": "@stickiness.enabled",
            "type": "@stickiness.type",
        },
        targetFailovers={
            "": ".",
            "onDeregistration": "@target_failover.on_deregistration",
            "onUnhealthy": "@target_failover.on_unhealthy",
        },
        targetGroupHealth={
            "": ".",
            "dnsFailover": ".",
            "dnsFailover/minimumHealthyTargetsCount": "@target_group_health.dns_failover.minimum_healthy_targets.count",
            "dnsFailover/minimumHealthyTargetsPercentage": (
                "@target_group_health.dns_failover.minimum_healthy_targets.percentage"
            ),
            "unhealthyStateRouting": ".",
            "unhealthyStateRouting/minimumHealthyTargetsCount": (
                "@target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"
            ),
            "unhealthyStateRouting/minimumHealthyTargetsPercentage": (
                "@target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage"
            ),
        },
        targetHealthStates={
            "": ".",
            "enableUnhealthyConnectionTermination": "@target_health_state.unhealthy.connection_termination.enabled",
            "unhealthyDrainingInterval": "@target_health_state.unhealthy.draining_interval_seconds",
        },
        ours=["namePrefix"],
        given=["Name"],
    ),
    "aws:lb/listener:Listener": taught(
        "elbv2:CreateListener",
        certificateArn="Certificates.CertificateArn",
        defaultActions={"": "DefaultActions", **_ACTION},
        mutualAuthentication={"": "MutualAuthentication", "advertiseTrustStoreCaNames": "AdvertiseTrustStoreCaNames"},
        tcpIdleTimeoutSeconds="@tcp.idle_timeout.seconds",
        routingHttpResponseServerEnabled="@routing.http.response.server.enabled",
        **_response(
            "access_control_allow_credentials",
            "access_control_allow_headers",
            "access_control_allow_methods",
            "access_control_allow_origin",
            "access_control_expose_headers",
            "access_control_max_age",
            "content_security_policy",
            "strict_transport_security",
            "x_content_type_options",
            "x_frame_options",
        ),
        **_request(
            XAmznMtlsClientcert="x_amzn_mtls_clientcert",
            XAmznMtlsClientcertIssuer="x_amzn_mtls_clientcert_issuer",
            XAmznMtlsClientcertLeaf="x_amzn_mtls_clientcert_leaf",
            XAmznMtlsClientcertSerialNumber="x_amzn_mtls_clientcert_serial_number",
            XAmznMtlsClientcertSubject="x_amzn_mtls_clientcert_subject",
            XAmznMtlsClientcertValidity="x_amzn_mtls_clientcert_validity",
            XAmznTlsCipherSuite="x_amzn_tls_cipher_suite",
            XAmznTlsVersion="x_amzn_tls_version",
        ),
    ),
    "aws:lb/listenerCertificate:ListenerCertificate": taught(
        "elbv2:AddListenerCertificates", certificateArn="Certificates.CertificateArn"
    ),
    "aws:lb/listenerRule:ListenerRule": taught(
        "elbv2:CreateRule",
        actions={"": "Actions", **_ACTION},
        conditions={"": "Conditions", **_CONDITION},
        transforms={
            "": "Transforms",
            "hostHeaderRewriteConfig/rewrite": "Rewrites",
            "urlRewriteConfig/rewrite": "Rewrites",
        },
        given=["Priority"],  # after the highest; aws_rules asks for it
    ),
}

TYPES: Mapping[str, Taught] = {**_NETWORK, **_LOAD_BALANCING}
