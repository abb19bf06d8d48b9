"""The AWS components one by one, as the engine would be told of them: how many of what, wired how, open to whom."""

from __future__ import annotations

import base64
import json
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planning.aws.model import (
    BalancerPlan,
    Certificate,
    Flow,
    HealthRule,
    NetworkPlan,
    Pool,
    Rule,
    SecurityPlan,
    TargetGroup,
    Zone,
)
from rehearsal import RehearsalError, Report, rehearse
from rehearsal.config import read_stack
from rehearsal.monitor import RecordingMonitor
from rehearsal.program import run_program
from rehearsal.simulate import simulate
from rehearsal.simulate_aws import Aws
from settings.aws import Cache

TAGS = {"quayside:stack": "fx/t"}
PASSWORD = "a-password-nobody-may-see"
PUSHER = "arn:aws:iam::123456789012:role/ci"
ZONES = (
    Zone(letter="a", name="eu-central-1a", public="10.0.16.0/22", private="10.0.0.0/20"),
    Zone(letter="c", name="eu-central-1c", public="10.0.80.0/22", private="10.0.64.0/20"),
)
PER_ZONE = {"a": "a", "c": "c"}
ONE_NAT = {"a": "a", "c": "a"}

Found = dict[str, Any]


class Run:
    """Runs a function as a Pulumi program, and finds what it registered. `problems` are refused unless asked for."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root, self._patch = root, monkeypatch
        self._seen: dict[Callable[[Any], None], Resources] = {}
        (root / "Pulumi.yaml").write_text("name: fx\nruntime: python\n")
        (root / "Pulumi.t.yaml").write_text("config:\n  aws:region: eu-central-1\n")
        (root / "__main__.py").write_text("import aws_component_program\naws_component_program.main()\n")

    def __call__(self, main: Callable[[Any], None]) -> Resources:
        """Each function once: those that several tests look at are constants."""
        if main not in self._seen:
            self._prepare(main)
            report = rehearse("t", self._root)
            assert [str(problem) for problem in report.problems] == []
            self._seen[main] = Resources(report)
        return self._seen[main]

    def update(self, main: Callable[[Any], None]) -> list[str]:
        """What the program logs when it is not a preview."""
        self._prepare(main)
        config, aws = read_stack(self._root, "t"), Aws("eu-central-1")
        monitor = RecordingMonitor("fx", "t", lambda found: simulate(found, aws), aws.call)
        return run_program(config, monitor, preview=False)

    def _prepare(self, main: Callable[[Any], None]) -> None:
        module = types.ModuleType("aws_component_program")

        def start() -> None:
            from components.aws.iam import current_account

            main(current_account("eu-central-1"))

        module.main = start  # type: ignore[attr-defined]
        self._patch.setitem(sys.modules, "aws_component_program", module)


class Resources:
    def __init__(self, report: Report) -> None:
        self.report = report
        self.all: list[Found] = report.resources

    def of(self, type_: str) -> dict[str, Found]:
        """By name; `type_` without its package, such as `ec2/vpc:Vpc`."""
        return {found["name"]: found for found in self.all if found["type"] == f"aws:{type_}"}

    def one(self, type_: str) -> Found:
        (found,) = self.of(type_).values()
        return found

    def custom(self) -> list[Found]:
        return [found for found in self.all if found["custom"]]

    def needs(self, found: Found) -> set[str]:
        """Names with types of everything that must exist before `found`, however far away."""
        by_urn = {other["urn"]: other for other in self.all}
        seen: dict[str, None] = {}
        todo = list(found["dependencies"])
        while todo:
            urn = todo.pop()
            if urn in by_urn and urn not in seen:
                seen[urn] = None
                todo += by_urn[urn]["dependencies"]
        return {f"{by_urn[urn]['type'].rpartition(':')[2]} {by_urn[urn]['name']}" for urn in seen}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        yield Run(tmp_path_factory.mktemp("components"), patch)


def policy(found: Found, key: str = "policy") -> list[dict[str, Any]]:
    document = found["inputs"][key]
    return list((json.loads(document) if isinstance(document, str) else document)["Statement"])


def by_sid(statements: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {statement["Sid"]: statement for statement in statements}


# --- IAM -------------------------------------------------------------------------------------------------------------


def test_a_statement_about_everything_needs_a_reason() -> None:
    from components.aws.iam import Statement

    with pytest.raises(ValueError, match=r"resources \['\*'\] of ec2:DescribeTags should have a reason"):
        Statement(actions=["ec2:DescribeTags"], resources=["*"])
    with pytest.raises(ValueError, match="at least one action"):
        Statement(actions=[], resources=["arn:aws:s3:::b"])
    with pytest.raises(ValueError, match="sid should be letters and digits, got 'a-b'"):
        Statement(actions=["s3:GetObject"], resources=["arn:aws:s3:::b"], sid="a-b")
    found = Statement(actions=["ec2:DescribeTags"], resources=["*"], reason="EC2 reads tags of all, or none.", sid="A")
    assert found.full_sid == "ABecauseEC2ReadsTagsOfAllOrNone"


def test_the_reason_can_be_read_back_from_the_finished_policy(run: Run) -> None:
    from components.aws.iam import Statement, Wildcard, policy_document, wildcards

    texts: list[str] = []

    def main(_account: Any) -> None:
        statements = [
            Statement(actions=["ec2:DescribeTags"], resources=["*"], reason="EC2 reads tags of all resources or none"),
            Statement(actions=["s3:GetObject"], resources=["arn:aws:s3:::b/*"], sid="Read"),
            Statement(actions=["s3:*"], resources=["*"], effect="Deny", reason="nobody should"),
        ]
        policy_document(statements).apply(texts.append)
        policy_document(statements).apply(texts.append)

    run(main)
    assert texts[0] == texts[1]
    assert wildcards(texts[0]) == [Wildcard(("ec2:DescribeTags",), "EC2 reads tags of all resources or none")]
    bare = '{"Statement": {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}}'
    assert wildcards(bare) == [Wildcard(("s3:ListAllMyBuckets",), None)]


def test_one_sid_is_there_once() -> None:
    from components.aws.iam import Statement, policy_document

    same = Statement(actions=["s3:GetObject"], resources=["arn:aws:s3:::b"], sid="Read")
    with pytest.raises(ValueError, match="got twice: Read"):
        policy_document([same, same])


@pytest.mark.parametrize(
    ("service", "source"),
    [
        ("ecs-tasks.amazonaws.com", "arn:aws:ecs:eu-central-1:123456789012:*"),
        ("vpc-flow-logs.amazonaws.com", "arn:aws:ec2:eu-central-1:123456789012:vpc-flow-log/*"),
        ("scheduler.amazonaws.com", "arn:aws:scheduler:eu-central-1:123456789012:schedule-group/*"),
        ("ec2.amazonaws.com", None),
        ("ecs.amazonaws.com", None),
    ],
)
def test_a_service_takes_a_role_only_for_this_account(run: Run, service: str, source: str | None) -> None:
    from components.aws.iam import assume_role

    texts: list[str] = []

    def main(account: Any) -> None:
        assume_role(service, account if source else None).apply(texts.append)

    run(main)
    (statement,) = json.loads(texts[0])["Statement"]
    assert statement["Principal"] == {"Service": [service]}
    expected = {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": source},
    }
    assert statement.get("Condition") == (expected if source else None)


def test_a_role_for_a_service_that_nobody_looked_up_is_refused() -> None:
    from components.aws.iam import Account, assume_role

    account = Account(id="123456789012", region="eu-central-1")
    with pytest.raises(ValueError, match="look up what it supports"):
        assume_role("lambda.amazonaws.com", account)
    with pytest.raises(ValueError, match=r"ec2\.amazonaws\.com supports no account condition"):
        assume_role("ec2.amazonaws.com", account)
    with pytest.raises(ValueError, match=r"ecs-tasks\.amazonaws\.com needs the account condition"):
        assume_role("ecs-tasks.amazonaws.com")


# --- network ---------------------------------------------------------------------------------------------------------


def network_plan(nat: Mapping[str, str], flow_logs: int | None = None) -> NetworkPlan:
    return NetworkPlan(range="10.0.0.0/16", zones=ZONES, nat=nat, endpoints=(), flow_logs=flow_logs)


def network(plan: NetworkPlan) -> Callable[[Any], None]:
    def main(account: Any) -> None:
        from components.aws.network import Network, NetworkArgs

        Network("network", NetworkArgs(plan=plan, account=account, key_arn=None, tags=TAGS))

    return main


NETWORK = network(network_plan(ONE_NAT))


def test_each_zone_has_two_subnets_and_nothing_gets_a_public_address(run: Run) -> None:
    made = run(NETWORK)
    subnets = made.of("ec2/subnet:Subnet")
    assert {name: found["inputs"]["cidrBlock"] for name, found in subnets.items()} == {
        "network-public-a": "10.0.16.0/22",
        "network-public-c": "10.0.80.0/22",
        "network-private-a": "10.0.0.0/20",
        "network-private-c": "10.0.64.0/20",
    }
    assert {found["inputs"]["mapPublicIpOnLaunch"] for found in subnets.values()} == {False}
    vpc = made.one("ec2/vpc:Vpc")["inputs"]
    assert (vpc["enableDnsSupport"], vpc["enableDnsHostnames"]) == (True, True)
    closed = made.one("ec2/defaultSecurityGroup:DefaultSecurityGroup")["inputs"]
    assert (closed["ingress"], closed["egress"]) == ([], [])


@pytest.mark.parametrize(
    ("nat", "gateways", "through"),
    [
        (ONE_NAT, {"network-nat-a"}, {"a": "a", "c": "a"}),
        (PER_ZONE, {"network-nat-a", "network-nat-c"}, PER_ZONE),
        ({}, set[str](), {}),
    ],
)
def test_private_subnets_leave_through_the_planned_nat(
    run: Run, nat: Mapping[str, str], gateways: set[str], through: Mapping[str, str]
) -> None:
    made = run(network(network_plan(nat)))
    assert set(made.of("ec2/natGateway:NatGateway")) == set(made.of("ec2/eip:Eip")) == gateways
    routes = made.of("ec2/route:Route")
    assert set(routes) == {"network-public", *(f"network-private-{letter}" for letter in through)}
    assert "gatewayId" in routes["network-public"]["inputs"]
    for letter, other in through.items():
        wired = routes[f"network-private-{letter}"]["propertyDependencies"]["natGatewayId"]
        assert [urn.rpartition("::")[2] for urn in wired] == [f"network-nat-{other}"]
    assert len(made.of("ec2/routeTableAssociation:RouteTableAssociation")) == 4
    assert set(made.of("ec2/routeTable:RouteTable")) == {"network-public", "network-private-a", "network-private-c"}


def test_a_change_of_nat_touches_no_subnet_table_or_association(run: Run) -> None:
    kept = ("ec2/subnet:Subnet", "ec2/routeTable:RouteTable", "ec2/routeTableAssociation:RouteTableAssociation")
    one, many = run(NETWORK), run(network(network_plan(PER_ZONE)))
    for type_ in kept:
        before, after = one.of(type_), many.of(type_)
        assert {name: found["inputs"] for name, found in before.items()} == {
            name: found["inputs"] for name, found in after.items()
        }


def test_s3_is_closed_to_strangers_where_there_is_no_other_way_out(run: Run) -> None:
    open_ = run(NETWORK).one("ec2/vpcEndpoint:VpcEndpoint")
    assert open_["inputs"]["vpcEndpointType"] == "Gateway"
    assert len(open_["inputs"]["routeTableIds"]) == 2
    # Written out: left out, the closed policy of a network that had no NAT would stay.
    assert [(s["Effect"], s["Action"], s["Resource"]) for s in policy(open_)] == [("Allow", ["*"], ["*"])]
    closed = policy(run(network(network_plan({}))).one("ec2/vpcEndpoint:VpcEndpoint"))
    assert [s.get("Condition") for s in closed] == [{"StringEquals": {"aws:PrincipalAccount": "123456789012"}}, None]
    assert closed[1]["Resource"] == [
        "arn:aws:s3:::prod-eu-central-1-starport-layer-bucket/*",
        "arn:aws:s3:::al2023-repos-eu-central-1-de612dc2/*",
    ]


def test_what_is_put_into_a_subnet_waits_for_its_way_out(run: Run) -> None:
    def main(account: Any) -> None:
        import pulumi_aws as aws

        from components.aws.network import Network, NetworkArgs

        made = Network("network", NetworkArgs(plan=network_plan(ONE_NAT), account=account, key_arn=None, tags=TAGS))
        for kind, ids in (("public", made.public_subnet_ids), ("private", made.private_subnet_ids)):
            aws.lb.LoadBalancer(kind, subnets=list(ids.values()))

    made = run(main)
    balancers = made.of("lb/loadBalancer:LoadBalancer")
    assert len(set(balancers["private"]["inputs"]["subnets"])) == 2
    assert "Route network-public" in made.needs(balancers["public"])
    assert {"Route network-private-a", "Route network-private-c", "NatGateway network-nat-a"} <= made.needs(
        balancers["private"]
    )


def test_flow_logs_are_written_by_a_role_that_can_do_nothing_else(run: Run) -> None:
    assert not run(NETWORK).of("ec2/flowLog:FlowLog")
    made = run(network(network_plan(ONE_NAT, flow_logs=30)))
    log = made.one("ec2/flowLog:FlowLog")
    assert (log["inputs"]["maxAggregationInterval"], log["inputs"]["trafficType"]) == (600, "ALL")
    assert "RolePolicy network-flow-logs" in made.needs(log)
    assert made.one("cloudwatch/logGroup:LogGroup")["inputs"]["retentionInDays"] == 30
    statements = policy(made.one("iam/rolePolicy:RolePolicy"))
    assert all("*" not in statement["Resource"] for statement in statements)
    assert all(action.startswith("logs:") for statement in statements for action in statement["Action"])


def test_endpoints_have_private_names_and_the_given_group(run: Run) -> None:
    def main(_account: Any) -> None:
        from components.aws.network import Endpoints, EndpointsArgs

        Endpoints(
            "endpoints",
            EndpointsArgs(
                endpoints=["ecr.api", "logs"],
                region="eu-central-1",
                vpc_id="vpc-0123456789abcdef0",
                subnet_ids=["subnet-0123456789abcdef0"],
                security_group_id="sg-0123456789abcdef0",
                tags=TAGS,
            ),
        )

    made = run(main).of("ec2/vpcEndpoint:VpcEndpoint")
    assert set(made) == {"endpoints-ecr.api", "endpoints-logs"}
    for found in made.values():
        assert found["inputs"]["privateDnsEnabled"]
        assert found["inputs"]["securityGroupIds"] == ["sg-0123456789abcdef0"]
    assert made["endpoints-ecr.api"]["inputs"]["serviceName"] == "com.amazonaws.eu-central-1.ecr.api"


# --- security groups -------------------------------------------------------------------------------------------------

GROUPS = {"balancer-1": "The balancer", "service-web": "web", "instances": "The pool"}
FLOWS = (
    Flow(source="0.0.0.0/0", target="balancer-1", protocol="tcp", first=443, last=443, why="visitors"),
    Flow(source="balancer-1", target="service-web", protocol="tcp", first=8080, last=8080, why="requests"),
    Flow(source="instances", target="0.0.0.0/0", protocol="all", first=0, last=0, why="images"),
    Flow(source="service-web", target="s3", protocol="tcp", first=443, last=443, why="layers"),
    Flow(source="service-web", target="service-web", protocol="tcp", first=7946, last=7947, why="peers"),
)


def security(flows: Sequence[Flow]) -> Callable[[Any], None]:
    def main(_account: Any) -> None:
        from components.aws.security_groups import SecurityGroups, SecurityGroupsArgs

        SecurityGroups(
            "security",
            SecurityGroupsArgs(
                plan=SecurityPlan(groups=GROUPS, flows=flows, members={}),
                vpc_id="vpc-0123456789abcdef0",
                s3_prefix_list_id="pl-6ea54007",
                tags=TAGS,
            ),
        )

    return main


SECURITY = security(FLOWS)


def ends(rules: Mapping[str, Found]) -> set[tuple[str, str, str]]:
    """(rule, group that has it, other end)."""
    found: set[tuple[str, str, str]] = set()
    for name, rule in rules.items():
        wired = rule["propertyDependencies"]
        owner = wired["securityGroupId"][0].rpartition("::")[2]
        group = [urn.rpartition("::")[2] for urn in wired.get("referencedSecurityGroupId", [])]
        inputs = rule["inputs"]
        found.add((name, owner, group[0] if group else inputs.get("cidrIpv4") or inputs["prefixListId"]))
    return found


def test_every_rule_is_a_planned_flow_and_every_flow_a_rule_at_each_end_of_ours(run: Run) -> None:
    made = run(SECURITY)
    assert ends(made.of("vpc/securityGroupIngressRule:SecurityGroupIngressRule")) == {
        ("0.0.0.0/0-balancer-1-tcp-443-443", "balancer-1", "0.0.0.0/0"),
        ("balancer-1-service-web-tcp-8080-8080", "service-web", "balancer-1"),
        ("service-web-service-web-tcp-7946-7947", "service-web", "service-web"),
    }
    assert ends(made.of("vpc/securityGroupEgressRule:SecurityGroupEgressRule")) == {
        ("balancer-1-service-web-tcp-8080-8080", "balancer-1", "service-web"),
        ("instances-0.0.0.0/0-all-0-0", "instances", "0.0.0.0/0"),
        ("service-web-s3-tcp-443-443", "service-web", "pl-6ea54007"),
        ("service-web-service-web-tcp-7946-7947", "service-web", "service-web"),
    }
    for group in made.of("ec2/securityGroup:SecurityGroup").values():
        assert not {"ingress", "egress"} & set(group["inputs"])


def test_what_waits_for_a_group_waits_for_both_ends_of_its_flows(run: Run) -> None:
    def main(_account: Any) -> None:
        import pulumi
        import pulumi_aws as aws

        from components.aws.security_groups import SecurityGroups, SecurityGroupsArgs

        groups = SecurityGroups(
            "security",
            SecurityGroupsArgs(
                plan=SecurityPlan(groups=GROUPS, flows=FLOWS, members={}),
                vpc_id="vpc-0123456789abcdef0",
                s3_prefix_list_id="pl-6ea54007",
                tags=TAGS,
            ),
        )
        for group, rules in groups.rules.items():
            aws.cloudwatch.LogGroup(f"after-{group}", opts=pulumi.ResourceOptions(depends_on=list(rules)))

    made = run(main)
    waited = made.needs(made.of("cloudwatch/logGroup:LogGroup")["after-balancer-1"])
    assert {name for name in waited if "Rule" in name} == {
        "SecurityGroupEgressRule balancer-1-service-web-tcp-8080-8080",
        "SecurityGroupIngressRule balancer-1-service-web-tcp-8080-8080",
        "SecurityGroupIngressRule 0.0.0.0/0-balancer-1-tcp-443-443",
    }


def test_a_rule_for_everything_has_no_ports(run: Run) -> None:
    rules = run(SECURITY).of("vpc/securityGroupEgressRule:SecurityGroupEgressRule")
    everything = rules["instances-0.0.0.0/0-all-0-0"]["inputs"]
    assert everything["ipProtocol"] == "-1"
    assert not {"fromPort", "toPort"} & set(everything)
    assert rules["service-web-service-web-tcp-7946-7947"]["inputs"]["description"] == "peers"


def test_a_flow_that_goes_or_comes_touches_no_other_rule(run: Run) -> None:
    more, fewer = run(SECURITY), run(security(FLOWS[1:]))
    gone = {found["urn"] for found in more.all} - {found["urn"] for found in fewer.all}
    assert {urn.rpartition("::")[2] for urn in gone} == {"0.0.0.0/0-balancer-1-tcp-443-443"}
    assert {found["urn"] for found in fewer.all} < {found["urn"] for found in more.all}


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        (Flow(source="web", target="service-web", protocol="tcp", first=1, last=1, why=""), "got web"),
        (Flow(source="0.0.0.0/0", target="10.0.0.0/8", protocol="tcp", first=1, last=1, why=""), "at one end"),
    ],
)
def test_a_flow_from_nowhere_is_refused(run: Run, flow: Flow, said: str) -> None:
    with pytest.raises(RehearsalError, match=said):
        run(security([flow]))


# --- cluster and pool ------------------------------------------------------------------------------------------------


def pool_plan(**changes: Any) -> Pool:
    values: dict[str, Any] = {
        "types": ("m7g.large", "m6g.large"),
        "architecture": "arm64",
        "min": 2,
        "max": 12,
        "spot": 70,
        "generation": 3,
        "image": None,
        "disk": 40,
        "trunking": True,
        **changes,
    }
    return Pool(**values)


def cluster_and_pool(plan: Pool) -> Callable[[Any], None]:
    def main(account: Any) -> None:
        from components.aws.cluster import Cluster, ClusterArgs, attach_capacity
        from components.aws.pool import Pool as Component
        from components.aws.pool import PoolArgs

        key = "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000"
        cluster = Cluster("cluster", ClusterArgs(key_arn=key, log_days=30, tags=TAGS))
        pool = Component(
            "pool",
            PoolArgs(
                plan=plan,
                account=account,
                cluster_name=cluster.cluster_name,
                cluster_arn=cluster.arn,
                subnet_ids=["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
                security_group_id="sg-0123456789abcdef0",
                tags=TAGS,
            ),
        )
        attach_capacity("cluster", cluster, [pool.capacity_provider_name, "FARGATE_SPOT"])

    return main


POOL = cluster_and_pool(pool_plan())


def test_sessions_in_containers_are_recorded_and_encrypted(run: Run) -> None:
    made = run(POOL)
    cluster = made.one("ecs/cluster:Cluster")["inputs"]
    assert cluster["settings"] == [{"name": "containerInsights", "value": "enabled"}]
    sessions = cluster["configuration"]["executeCommandConfiguration"]
    log = made.one("cloudwatch/logGroup:LogGroup")
    assert sessions["logging"] == "OVERRIDE"
    assert sessions["logConfiguration"]["cloudWatchEncryptionEnabled"]
    assert sessions["kmsKeyId"] == log["inputs"]["kmsKeyId"]
    assert "HttpNamespace cluster" in made.needs(made.one("ecs/cluster:Cluster"))


def test_capacity_is_attached_and_nothing_is_used_unasked(run: Run) -> None:
    made = run(POOL)
    attached = made.one("ecs/clusterCapacityProviders:ClusterCapacityProviders")
    assert attached["inputs"]["capacityProviders"][1] == "FARGATE_SPOT"
    assert "CapacityProvider pool" in made.needs(attached)
    assert "defaultCapacityProviderStrategies" not in attached["inputs"]


def test_destroy_cannot_hang(run: Run) -> None:
    """Scale-in protection is what keeps others' pools from going (cdk#18179, containers-roadmap#2862)."""
    made = run(POOL)
    group = made.one("autoscaling/group:Group")
    assert group["inputs"]["protectFromScaleIn"] is False
    assert group["inputs"]["forceDelete"] is True
    provider = made.one("ecs/capacityProvider:CapacityProvider")["inputs"]["autoScalingGroupProvider"]
    assert provider["managedTerminationProtection"] == "DISABLED"
    assert provider["managedDraining"] == "ENABLED"
    assert not any(found["protect"] for found in made.all)
    # The instances go before what they need to sign off, and the cluster after them.
    assert {"RolePolicy pool", "InstanceProfile pool", "Cluster cluster"} <= made.needs(group)


def test_instances_are_mixed_as_planned_and_ecs_owns_their_number(run: Run) -> None:
    group = run(POOL).one("autoscaling/group:Group")
    assert (group["inputs"]["minSize"], group["inputs"]["maxSize"]) == (2, 12)
    assert group["ignoreChanges"] == ["desiredCapacity"]
    assert "desiredCapacity" not in group["inputs"]
    mixed = group["inputs"]["mixedInstancesPolicy"]
    assert mixed["instancesDistribution"] == {
        "onDemandBaseCapacity": 2,
        "onDemandPercentageAboveBaseCapacity": 30,
        "onDemandAllocationStrategy": "prioritized",
        "spotAllocationStrategy": "price-capacity-optimized",
    }
    assert [o["instanceType"] for o in mixed["launchTemplate"]["overrides"]] == ["m7g.large", "m6g.large"]
    assert group["inputs"]["capacityRebalance"] is True
    preferences = group["inputs"]["instanceRefresh"]["preferences"]
    assert (preferences["minHealthyPercentage"], preferences["maxHealthyPercentage"]) == (100, 110)
    assert {"key": "AmazonECSManaged", "value": "true", "propagateAtLaunch": True} in group["inputs"]["tags"]


def test_instances_are_hardened(run: Run) -> None:
    template = run(POOL).one("ec2/launchTemplate:LaunchTemplate")["inputs"]
    assert template["metadataOptions"]["httpTokens"] == "required"
    assert template["metadataOptions"]["httpPutResponseHopLimit"] == 1
    (disk,) = template["blockDeviceMappings"]
    assert disk["ebs"] == {"volumeType": "gp3", "volumeSize": 40, "encrypted": "true", "deleteOnTermination": "true"}
    assert not {"keyName", "networkInterfaces"} & set(template)
    script = base64.b64decode(template["userData"]).decode()
    settings = dict(line.split("=", 1) for line in script.splitlines() if line.startswith("ECS_"))
    from planning.aws.instances import RESERVED_MEMORY

    assert settings["ECS_CLUSTER"].startswith("cluster-")
    assert settings["ECS_AWSVPC_BLOCK_IMDS"] == "true"
    assert settings["ECS_DISABLE_PRIVILEGED"] == "true"
    assert settings["ECS_ENABLE_SPOT_INSTANCE_DRAINING"] == "true"
    assert settings["ECS_RESERVED_MEMORY"] == str(RESERVED_MEMORY)


def test_a_registry_is_laid_down_before_the_agent_starts_and_rolls_the_instances_when_it_changes(run: Run) -> None:
    from planning.aws.instances import RESERVED_MEMORY
    from planning.aws.registry import InstanceRegistry, registry_script

    def script(made: Any) -> str:
        return base64.b64decode(made.one("ec2/launchTemplate:LaunchTemplate")["inputs"]["userData"]).decode()

    registry = InstanceRegistry(image="registry:3", memory=128, bucket="images", region="eu-central-1")
    without, made = run(POOL), run(cluster_and_pool(pool_plan(registry=registry)))
    text = script(made)
    assert text.endswith(registry_script(registry))
    assert f"\nECS_RESERVED_MEMORY={RESERVED_MEMORY + 128}\n" in text
    # A stack without one keeps the script that it has, to the letter: a changed one would roll every instance.
    plain = text.removesuffix(registry_script(registry))
    assert script(without) == plain.replace(str(RESERVED_MEMORY + 128), str(RESERVED_MEMORY))
    newer = replace(registry, image="registry:3.1")
    assert script(run(cluster_and_pool(pool_plan(registry=newer)))) != text
    group = made.one("autoscaling/group:Group")
    assert "LaunchTemplate pool-arm64-3" in made.needs(group)
    assert group["inputs"]["instanceRefresh"]["strategy"] == "Rolling"
    assert {found["urn"] for found in made.all} == {found["urn"] for found in without.all}


def test_the_instances_role_may_list_and_read_the_registrys_bucket_alone(run: Run) -> None:
    from planning.aws.registry import InstanceRegistry

    registry = InstanceRegistry(image="registry:3", memory=128, bucket="images", region="eu-central-1")
    before, after = run(POOL), run(cluster_and_pool(pool_plan(registry=registry)))
    old, new = (json.loads(each.one("iam/rolePolicy:RolePolicy")["inputs"]["policy"]) for each in (before, after))
    assert [statement for statement in new["Statement"] if statement not in old["Statement"]] == [
        {"Sid": "ListImages", "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::images"]},
        {
            "Sid": "ReadImages",
            "Effect": "Allow",
            "Action": ["s3:GetObject"],
            "Resource": ["arn:aws:s3:::images/docker/registry/v2/*"],
        },
    ]
    # No instance before its policy: its registry would ask for the bucket in vain.
    assert "RolePolicy pool" in after.needs(after.one("autoscaling/group:Group"))


def test_only_a_raised_generation_takes_a_newer_image(run: Run) -> None:
    before, after = run(POOL), run(cluster_and_pool(pool_plan(generation=4)))
    old, new = before.one("ec2/launchTemplate:LaunchTemplate"), after.one("ec2/launchTemplate:LaunchTemplate")
    assert (old["name"], new["name"]) == ("pool-arm64-3", "pool-arm64-4")
    assert old["ignoreChanges"] == ["imageId"]
    group = after.one("autoscaling/group:Group")
    assert "LaunchTemplate pool-arm64-4" in after.needs(group)
    assert before.one("autoscaling/group:Group")["urn"] == group["urn"]


def test_a_given_image_is_taken_at_once(run: Run) -> None:
    template = run(cluster_and_pool(pool_plan(image="ami-0123456789abcdef0"))).one("ec2/launchTemplate:LaunchTemplate")
    assert template["inputs"]["imageId"] == "ami-0123456789abcdef0"
    assert template["ignoreChanges"] == []


def test_trunking_outlives_the_stack_and_comes_before_the_instances(run: Run) -> None:
    made = run(POOL)
    setting = made.one("ecs/accountSettingDefault:AccountSettingDefault")
    assert setting["inputs"] == {"name": "awsvpcTrunking", "value": "enabled"}
    assert setting["retainOnDelete"]
    assert "AccountSettingDefault pool" in made.needs(made.one("autoscaling/group:Group"))
    assert not run(cluster_and_pool(pool_plan(trunking=False))).of("ecs/accountSettingDefault:AccountSettingDefault")


def test_an_instance_may_only_join_this_cluster(run: Run) -> None:
    from components.aws.iam import wildcards

    made = run(POOL)
    document = made.one("iam/rolePolicy:RolePolicy")["inputs"]["policy"]
    assert [found.actions for found in wildcards(document)] == [("ec2:DescribeTags",), ("ecs:DiscoverPollEndpoint",)]
    assert all(found.reason for found in wildcards(document))
    statements = by_sid(json.loads(document)["Statement"])
    assert ":cluster/cluster-" in statements["JoinAndReport"]["Resource"][0]
    assert ":container-instance/cluster-" in statements["TakeTasks"]["Resource"][0]
    assert (
        statements["TakeTasks"]["Condition"]["ArnEquals"]["ecs:cluster"] == statements["JoinAndReport"]["Resource"][0]
    )
    actions = {action for statement in statements.values() for action in statement["Action"]}
    assert not [a for a in actions if a.split(":")[0] in ("ecr", "logs", "ssm", "s3", "iam") or "*" in a]


# --- balancers -------------------------------------------------------------------------------------------------------

RULES = (
    Rule(
        name="1:shop.example.com/cart",
        priority=100,
        hosts=["shop.example.com"],
        paths=["/cart", "/cart/*"],
        service="cart",
        forward={"cart": 100},
        native=True,
    ),
    Rule(
        name="1:shop.example.com/",
        priority=30_000,
        hosts=["shop.example.com"],
        paths=[],
        service="web",
        forward={"web": 90, "web-canary": 10},
        native=False,
    ),
)


def balancer_plan(**changes: Any) -> BalancerPlan:
    values: dict[str, Any] = {
        "number": 1,
        "name": "balancer-1",
        "target_groups": [
            TargetGroup(name="web", service="web", role="primary", target_type="ip"),
            TargetGroup(name="web-canary", service="web", role="canary", target_type="ip"),
            TargetGroup(name="cart", service="cart", role="primary", target_type="instance"),
        ],
        "rules": RULES,
        "health_rules": [
            HealthRule(name="1:health/7", priority=7, target_groups=["web"]),
            HealthRule(name="1:health/9", priority=9, target_groups=["cart", "web-canary"]),
        ],
        "certificates": [
            Certificate(name="certificate-example.com", domain="example.com", alternatives=("*.example.com",)),
            Certificate(name="certificate-other.org", domain="other.org", alternatives=()),
        ],
        "existing_certificates": (),
        "hosts": ["other.org", "shop.example.com", "*.shop.example.com"],
        **changes,
    }
    return BalancerPlan(**values)


def balancer(plan: BalancerPlan, *, zone: str | None = "Z0123456789ABCDEFGHIJ", protect: bool = True) -> Any:
    def main(_account: Any) -> None:
        import pulumi_aws as aws

        from components.aws.certificates import Certificates, CertificatesArgs
        from components.aws.host_records import host_records
        from components.aws.listener_rule import forward_rule
        from components.aws.load_balancer import LoadBalancer, LoadBalancerArgs, TargetGroupSettings

        issued = Certificates("certificates", CertificatesArgs(plans=[plan], zone_id=zone, tags=TAGS))
        made = LoadBalancer(
            plan.name,
            LoadBalancerArgs(
                plan=plan,
                groups={
                    "web": TargetGroupSettings(health="/healthz", sticky=3600, drain=45),
                    "web-canary": TargetGroupSettings(health="/healthz", sticky=3600, drain=45),
                    "cart": TargetGroupSettings(health="/up"),
                },
                vpc_id="vpc-0123456789abcdef0",
                subnet_ids=["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
                security_group_id="sg-0123456789abcdef0",
                idle=60,
                logs_bucket="logs-1234567",
                certificate_arns=issued.arns,
                protect=protect,
                tags=TAGS,
            ),
        )
        service = aws.cloudwatch.LogGroup("stands-for-the-service")
        rules: dict[str, Any] = {}
        for rule in plan.rules:
            sticky = 3600 if rule.service == "web" else None
            after = () if rule.native else [service]
            rules[rule.name] = forward_rule(made, rule, sticky=sticky, tags=TAGS, after=after)
        host_records(made, plan, zone, rules, "shop.example.com")

    return main


BALANCER = balancer(balancer_plan())


def test_a_balancer_speaks_current_tls_and_answers_404_to_strangers(run: Run) -> None:
    made = run(BALANCER)
    listeners = made.of("lb/listener:Listener")
    assert set(listeners) == {"balancer-1-http", "balancer-1-https", "balancer-1-health"}
    http, https = listeners["balancer-1-http"]["inputs"], listeners["balancer-1-https"]["inputs"]
    assert (http["port"], http["defaultActions"][0]["redirect"]["statusCode"]) == (80, "HTTP_301")
    assert https["sslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
    for name in ("balancer-1-https", "balancer-1-health"):
        (action,) = listeners[name]["inputs"]["defaultActions"]
        assert action["fixedResponse"]["statusCode"] == "404"
    inputs = made.one("lb/loadBalancer:LoadBalancer")["inputs"]
    assert inputs["internal"] is False
    assert inputs["dropInvalidHeaderFields"] is False  # api_key and the like are valid names
    assert inputs["desyncMitigationMode"] == "defensive"
    assert inputs["accessLogs"] == {"bucket": "logs-1234567", "enabled": True, "prefix": "balancer-1"}


@pytest.mark.parametrize("protect", [True, False])
def test_a_protected_balancer_is_protected_by_aws_and_by_pulumi(run: Run, protect: bool) -> None:
    found = run(balancer(balancer_plan(), protect=protect)).one("lb/loadBalancer:LoadBalancer")
    assert (found["protect"], found["inputs"]["enableDeletionProtection"]) == (protect, protect)


def test_target_groups_have_a_constant_port_and_their_services_settings(run: Run) -> None:
    made = run(BALANCER)
    groups = {name: found["inputs"] for name, found in made.of("lb/targetGroup:TargetGroup").items()}
    assert set(groups) == {"web", "web-canary", "cart"}
    assert {(group["port"], group["protocol"]) for group in groups.values()} == {(80, "HTTP")}
    assert {name: group["targetType"] for name, group in groups.items()} == {
        "web": "ip",
        "web-canary": "ip",
        "cart": "instance",
    }
    assert groups["web"]["healthCheck"]["path"] == "/healthz"
    assert groups["web"]["deregistrationDelay"] == 45
    assert groups["web"]["stickiness"] == {"type": "lb_cookie", "enabled": True, "cookieDuration": 3600}
    assert groups["cart"]["stickiness"]["enabled"] is False
    assert all("name" not in group for group in groups.values())


def test_every_target_group_is_tied_to_the_balancer_where_nobody_can_reach_it(run: Run) -> None:
    made = run(BALANCER)
    rules = {name: found for name, found in made.of("lb/listenerRule:ListenerRule").items() if "health" in name}
    listener = made.of("lb/listener:Listener")["balancer-1-health"]
    assert {name: rule["inputs"]["priority"] for name, rule in rules.items()} == {"1:health/7": 7, "1:health/9": 9}
    for rule in rules.values():
        assert rule["propertyDependencies"]["listenerArn"] == [listener["urn"]]
    groups = rules["1:health/9"]["inputs"]["actions"][0]["forward"]["targetGroups"]
    assert [group["weight"] for group in groups] == [1, 1]


def test_public_rules_follow_the_service_and_native_ones_leave_the_weights_to_ecs(run: Run) -> None:
    made = run(BALANCER)
    rules = made.of("lb/listenerRule:ListenerRule")
    rolling, native = rules["1:shop.example.com/"], rules["1:shop.example.com/cart"]
    assert "LogGroup stands-for-the-service" in made.needs(rolling)
    assert "LogGroup stands-for-the-service" not in made.needs(native)
    assert (rolling["ignoreChanges"], native["ignoreChanges"]) == ([], ["actions"])
    forward = rolling["inputs"]["actions"][0]["forward"]
    assert [group["weight"] for group in forward["targetGroups"]] == [90, 10]
    assert forward["stickiness"] == {"enabled": True, "duration": 3600}
    assert "stickiness" not in native["inputs"]["actions"][0]["forward"]
    assert rolling["inputs"]["conditions"] == [{"hostHeader": {"values": ["shop.example.com"]}}]
    assert native["inputs"]["conditions"][1] == {"pathPattern": {"values": ["/cart", "/cart/*"]}}
    https = made.of("lb/listener:Listener")["balancer-1-https"]
    assert native["propertyDependencies"]["listenerArn"] == [https["urn"]]


def test_certificates_are_validated_and_the_first_is_the_default(run: Run) -> None:
    made = run(BALANCER)
    assert set(made.of("acm/certificate:Certificate")) == {"certificate-example.com", "certificate-other.org"}
    validations = made.of("acm/certificateValidation:CertificateValidation")
    https = made.of("lb/listener:Listener")["balancer-1-https"]
    assert https["propertyDependencies"]["certificateArn"] == [validations["certificate-example.com"]["urn"]]
    more = made.of("lb/listenerCertificate:ListenerCertificate")
    assert set(more) == {"balancer-1-certificate-other.org"}
    records = made.of("route53/record:Record")
    assert set(records) == {
        "certificate-example.com",
        "certificate-other.org",
        "host-other.org",
        "host-shop.example.com",
        "host-any.shop.example.com",
    }
    assert records["certificate-example.com"]["inputs"]["allowOverwrite"] is True
    assert records["host-any.shop.example.com"]["inputs"]["name"] == "*.shop.example.com"
    (alias,) = records["host-other.org"]["inputs"]["aliases"]
    assert alias["evaluateTargetHealth"] is True
    rules = made.of("lb/listenerRule:ListenerRule")
    shop = next(
        rule
        for rule in rules.values()
        if rule["inputs"]["conditions"][0] == {"hostHeader": {"values": ["shop.example.com"]}}
    )
    assert shop["urn"] in records["host-shop.example.com"]["dependencies"]  # nobody is led to a balancer without a rule


def test_a_host_that_moves_to_another_balancer_keeps_its_certificate_and_record(run: Run) -> None:
    first = run(balancer(balancer_plan(rules=())))
    second = run(balancer(balancer_plan(rules=(), number=2, name="balancer-2")))
    for type_ in ("acm/certificate:Certificate", "route53/record:Record"):
        assert {f["urn"] for f in first.of(type_).values()} == {f["urn"] for f in second.of(type_).values()}


def test_balancers_share_a_certificate_and_its_names() -> None:
    from components.aws.certificates import merged

    one = balancer_plan(certificates=[Certificate(name="certificate-a.org", domain="a.org", alternatives=())])
    two = balancer_plan(certificates=[Certificate(name="certificate-a.org", domain="*.a.org", alternatives=())])
    assert merged([one, two, one]) == [
        Certificate(name="certificate-a.org", domain="a.org", alternatives=("*.a.org",)),
    ]


def test_with_other_dns_the_records_are_told_and_none_is_made(run: Run) -> None:
    told: list[Any] = []

    def main(account: Any) -> None:
        import pulumi

        from components.aws.certificates import Certificates, CertificatesArgs

        balancer(balancer_plan(), zone=None)(account)
        other = balancer_plan(certificates=[Certificate(name="c", domain="a.org", alternatives=("*.a.org",))])
        for record in Certificates("told", CertificatesArgs(plans=[other], zone_id=None, tags=TAGS)).records:
            pulumi.Output.from_input(record).apply(told.append)

    made = run(main)
    assert not made.of("route53/record:Record")
    validations = made.of("acm/certificateValidation:CertificateValidation")
    assert all("validationRecordFqdns" not in found["inputs"] for found in validations.values())
    ((record,),) = (told,)
    assert set(record) == {"name", "type", "value"}
    assert record["name"].endswith(".a.org.")
    assert not [note for note in made.report.notes if "DNS" in note]  # a preview tells nobody to make anything


def test_an_update_says_which_records_to_make_elsewhere(run: Run) -> None:
    said = run.update(balancer(balancer_plan(rules=()), zone=None))
    assert len([line for line in said if line.startswith("DNS, to have the certificate of ")]) == 2
    assert [line.rpartition(" balancer-1-")[0] for line in said if line.startswith("DNS, to bring ")] == [
        "DNS, to bring other.org to balancer-1: other.org ALIAS",  # right below a top-level domain
        "DNS, to bring shop.example.com to balancer-1: shop.example.com ALIAS",  # the zone
        "DNS, to bring *.shop.example.com to balancer-1: *.shop.example.com CNAME",
    ]
    assert not run.update(balancer(balancer_plan(rules=())))


def test_existing_certificates_are_used_as_they_are(run: Run) -> None:
    arns = [f"arn:aws:acm:eu-central-1:123456789012:certificate/{n}b1c2d3e-0000-4000-8000-000000000000" for n in "01"]
    made = run(balancer(balancer_plan(certificates=(), existing_certificates=arns)))
    assert not made.of("acm/certificate:Certificate")
    assert made.of("lb/listener:Listener")["balancer-1-https"]["inputs"]["certificateArn"] == arns[0]
    assert set(made.of("lb/listenerCertificate:ListenerCertificate")) == {f"balancer-1-{arns[1].rpartition('/')[2]}"}


def test_a_balancer_without_routes_is_open_to_nobody(run: Run) -> None:
    made = run(balancer(balancer_plan(certificates=(), rules=(), hosts=())))
    assert set(made.of("lb/listener:Listener")) == {"balancer-1-health"}


def test_rules_without_a_certificate_are_refused(run: Run) -> None:
    with pytest.raises(RehearsalError, match="balancer-1 should have a certificate"):
        run(balancer(balancer_plan(certificates=())))
    group = TargetGroup(name="api", service="api", role="primary", target_type="ip")
    with pytest.raises(RehearsalError, match="got none for api"):
        run(balancer(balancer_plan(target_groups=[group])))


# --- what is kept ----------------------------------------------------------------------------------------------------


def access_logs(protect: bool) -> Callable[[Any], None]:
    def main(account: Any) -> None:
        import pulumi_aws as aws

        from components.aws.access_logs import AccessLogs, AccessLogsArgs

        logs = AccessLogs("access-logs", AccessLogsArgs(account=account, days=30, protect=protect, tags=TAGS))
        aws.lb.LoadBalancer("first", access_logs=aws.lb.LoadBalancerAccessLogsArgs(bucket=logs.bucket))

    return main


ACCESS_LOGS = {protect: access_logs(protect) for protect in (True, False)}


@pytest.mark.parametrize("protect", [True, False])
def test_access_logs_are_private_encrypted_and_expire(run: Run, protect: bool) -> None:
    made = run(ACCESS_LOGS[protect])
    bucket = made.one("s3/bucket:Bucket")
    assert (bucket["protect"], bucket["inputs"]["forceDestroy"]) == (protect, not protect)
    block = made.one("s3/bucketPublicAccessBlock:BucketPublicAccessBlock")["inputs"]
    assert [value for key, value in block.items() if key != "bucket"] == [True] * 4
    owner = made.one("s3/bucketOwnershipControls:BucketOwnershipControls")["inputs"]
    assert owner["rule"] == {"objectOwnership": "BucketOwnerEnforced"}
    (rule,) = made.one("s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")["inputs"]["rules"]
    assert rule["expiration"] == {"days": 30}
    encryption = "s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    (rule,) = made.one(encryption)["inputs"]["rules"]
    assert rule["applyServerSideEncryptionByDefault"] == {"sseAlgorithm": "AES256"}
    # The balancer tries to write as it is made.
    assert "BucketPolicy access-logs" in made.needs(made.one("lb/loadBalancer:LoadBalancer"))


def test_only_this_accounts_balancers_write_access_logs_and_only_over_tls(run: Run) -> None:
    statements = by_sid(policy(run(ACCESS_LOGS[True]).one("s3/bucketPolicy:BucketPolicy")))
    assert set(statements) == {"BalancersDeliver", "TlsOnly"}
    deliver = statements["BalancersDeliver"]
    assert deliver["Principal"] == {"Service": ["logdelivery.elasticloadbalancing.amazonaws.com"]}
    assert deliver["Action"] == ["s3:PutObject"]
    assert deliver["Resource"][0].endswith("/*/AWSLogs/123456789012/*")
    assert deliver["Condition"] == {
        "ArnLike": {"aws:SourceArn": "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/*"}
    }
    assert statements["TlsOnly"]["Effect"] == "Deny"


def registry(*, push: Sequence[str] = (PUSHER,), protect: bool = True) -> Callable[[Any], None]:
    def main(account: Any) -> None:
        import pulumi

        from components.aws.registry import Registry, RegistryArgs

        made = Registry(
            "registry",
            RegistryArgs(
                repositories=["acme/web", "acme/cart"],
                push=push,
                keep=50,
                cache={
                    "hub": Cache(upstream="registry-1.docker.io", username="me", password="hub"),
                    "ecr": Cache(upstream="public.ecr.aws"),
                },
                passwords={"hub": PASSWORD},
                account=account,
                protect=protect,
                tags=TAGS,
            ),
        )
        pulumi.export("host", made.host)

    return main


REGISTRY = registry()


@pytest.mark.parametrize("protect", [True, False])
def test_repositories_are_immutable_scanned_and_named_as_images_name_them(run: Run, protect: bool) -> None:
    made = run(registry(protect=protect))
    repositories = made.of("ecr/repository:Repository")
    assert {name: found["inputs"]["name"] for name, found in repositories.items()} == {
        "acme/web": "acme/web",
        "acme/cart": "acme/cart",
    }
    for found in repositories.values():
        assert found["inputs"]["imageTagMutability"] == "IMMUTABLE"
        assert found["inputs"]["imageScanningConfiguration"] == {"scanOnPush": True}
        assert (found["protect"], found["inputs"]["forceDelete"]) == (protect, not protect)
    assert made.report.outputs["host"] == "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


def test_only_the_named_roles_push(run: Run) -> None:
    made = run(REGISTRY)
    for found in made.of("ecr/repositoryPolicy:RepositoryPolicy").values():
        statements = by_sid(policy(found))
        assert statements["Push"]["Principal"] == {"AWS": [PUSHER]}
        refused = statements["NobodyElsePushes"]
        assert (refused["Effect"], refused["Principal"]) == ("Deny", "*")
        assert refused["Condition"] == {"ArnNotLike": {"aws:PrincipalArn": [PUSHER]}}
        assert {"ecr:PutImage", "ecr:CompleteLayerUpload"} <= set(refused["Action"])
    for found in run(registry(push=())).of("ecr/repositoryPolicy:RepositoryPolicy").values():
        (refused,) = policy(found)
        assert (refused["Effect"], refused.get("Condition")) == ("Deny", None)


def test_images_expire_in_an_order_that_keeps_what_is_marked(run: Run) -> None:
    text = run(REGISTRY).of("ecr/lifecyclePolicy:LifecyclePolicy")["acme/web"]["inputs"]["policy"]
    rules = sorted(json.loads(text)["rules"], key=lambda rule: rule["rulePriority"])
    assert [rule["selection"].get("tagPatternList") for rule in rules] == [["keep*"], None, ["*"]]
    assert [rule["selection"]["countNumber"] for rule in rules] == [100_000, 7, 50]


def test_a_cache_that_wants_a_login_has_it_under_the_name_and_key_that_ecr_takes(run: Run) -> None:
    made = run(REGISTRY)
    secret = made.one("secretsmanager/secret:Secret")["inputs"]
    assert secret["namePrefix"] == "ecr-pullthroughcache/hub-"
    assert "kmsKeyId" not in secret
    assert PASSWORD not in json.dumps(made.report.to_json())
    rules = made.of("ecr/pullThroughCacheRule:PullThroughCacheRule")
    assert {name: rule["inputs"]["upstreamRegistryUrl"] for name, rule in rules.items()} == {
        "hub": "registry-1.docker.io",
        "ecr": "public.ecr.aws",
    }
    assert "credentialArn" not in rules["ecr"]["inputs"]
    assert "SecretVersion cache-hub" in made.needs(rules["hub"])
    templates = made.of("ecr/repositoryCreationTemplate:RepositoryCreationTemplate")
    assert set(templates) == {"hub", "ecr"}
    assert "untagged" not in templates["hub"]["inputs"]["lifecyclePolicy"]


def files(protect: bool) -> Callable[[Any], None]:
    def main(account: Any) -> None:
        from components.aws.data import FileSystem, FileSystemArgs

        FileSystem(
            "db",
            FileSystemArgs(
                account=account,
                subnet_ids={"a": "subnet-0123456789abcdef0", "c": "subnet-0123456789abcdef1"},
                security_group_id="sg-0123456789abcdef0",
                uid=999,
                gid=998,
                protect=protect,
                tags=TAGS,
            ),
        )

    return main


FILES = {protect: files(protect) for protect in (True, False)}


@pytest.mark.parametrize("protect", [True, False])
def test_files_are_encrypted_backed_up_and_protected(run: Run, protect: bool) -> None:
    made = run(FILES[protect])
    found = made.one("efs/fileSystem:FileSystem")
    assert found["inputs"]["encrypted"] is True
    assert found["inputs"]["throughputMode"] == "elastic"
    assert {name for name, resource in ((f["type"], f) for f in made.custom()) if resource["protect"]} == (
        {"aws:efs/fileSystem:FileSystem", "aws:efs/accessPoint:AccessPoint"} if protect else set()
    )
    assert made.one("efs/backupPolicy:BackupPolicy")["inputs"]["backupPolicy"] == {"status": "ENABLED"}
    assert set(made.of("efs/mountTarget:MountTarget")) == {"db-a", "db-c"}
    point = made.one("efs/accessPoint:AccessPoint")["inputs"]
    assert point["posixUser"] == {"uid": 999, "gid": 998}
    assert point["rootDirectory"]["creationInfo"] == {"ownerUid": 999, "ownerGid": 998, "permissions": "0700"}


def test_files_are_reached_over_tls_through_the_access_point_or_not_at_all(run: Run) -> None:
    made = run(FILES[True])
    statements = by_sid(policy(made.one("efs/fileSystemPolicy:FileSystemPolicy")))
    allowed = [statement for statement in statements.values() if statement["Effect"] == "Allow"]
    assert [statement["Principal"] for statement in allowed] == [{"AWS": ["arn:aws:iam::123456789012:root"]}]
    point = statements["RolesOfThisAccount"]["Condition"]["StringEquals"]["elasticfilesystem:AccessPointArn"]
    refused = statements["AccessPointOnly"]
    assert refused["Condition"] == {"StringNotEquals": {"elasticfilesystem:AccessPointArn": point}}
    assert statements["TlsOnly"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statements["NeverAsRoot"]["Action"] == ["elasticfilesystem:ClientRootAccess"]


def secrets(protect: bool, value: str = PASSWORD) -> Callable[[Any], None]:
    def main(account: Any) -> None:
        import pulumi

        from components.aws.secrets_store import Login, Secrets, SecretsArgs

        made = Secrets(
            "secrets",
            SecretsArgs(
                values={"stripe": value},
                logins={"ghcr.io": Login(username="me", password=value)},
                account=account,
                protect=protect,
                tags=TAGS,
            ),
        )
        pulumi.export("arn", made.arns["stripe"])
        pulumi.export("version", made.versions["stripe"])
        pulumi.export("login", made.login_arns["ghcr.io"])

    return main


SECRETS = {protect: secrets(protect) for protect in (True, False)}


@pytest.mark.parametrize(("protect", "window", "key_window"), [(True, 30, 30), (False, 0, 7)])
def test_secrets_are_under_the_stacks_own_key(run: Run, protect: bool, window: int, key_window: int) -> None:
    made = run(SECRETS[protect])
    key = made.one("kms/key:Key")
    assert key["inputs"]["enableKeyRotation"] is True
    assert (key["protect"], key["inputs"]["deletionWindowInDays"]) == (protect, key_window)
    found = made.of("secretsmanager/secret:Secret")
    assert set(found) == {"stripe", "login-ghcr.io"}
    for secret in found.values():
        assert secret["propertyDependencies"]["kmsKeyId"] == [key["urn"]]
        assert secret["inputs"]["recoveryWindowInDays"] == window
    assert made.one("kms/alias:Alias")["inputs"]["namePrefix"] == "alias/fx-t-"


def test_an_earlier_version_of_a_secret_stays_for_tasks_that_name_it(run: Run) -> None:
    versions = run(SECRETS[True]).of("secretsmanager/secretVersion:SecretVersion")
    assert all(version["retainOnDelete"] for version in versions.values())


def test_no_secret_is_ever_shown(run: Run) -> None:
    made = run(SECRETS[True])
    assert PASSWORD not in json.dumps(made.report.to_json())
    for version in made.of("secretsmanager/secretVersion:SecretVersion").values():
        assert version["inputs"]["secretString"] == "[secret]"
    assert made.report.outputs["arn"].startswith("arn:aws:secretsmanager:eu-central-1:123456789012:secret:stripe-")
    assert made.report.outputs["version"]


def test_the_key_serves_the_account_and_the_logs_of_the_account(run: Run) -> None:
    from components.aws.iam import wildcards

    document = run(SECRETS[True]).one("kms/key:Key")["inputs"]["policy"]
    assert all(found.reason for found in wildcards(document))
    who = [statement["Principal"] for statement in json.loads(document)["Statement"]]
    assert who == [{"AWS": ["arn:aws:iam::123456789012:root"]}, {"Service": ["logs.eu-central-1.amazonaws.com"]}]


# --- all of them -----------------------------------------------------------------------------------------------------


def everything(account: Any) -> None:
    network(network_plan(PER_ZONE, flow_logs=30))(account)
    for main in (
        security(FLOWS),
        cluster_and_pool(pool_plan()),
        balancer(balancer_plan()),
        registry(),
        files(True),
        secrets(True),
    ):
        main(account)


def policies(made: Resources) -> Iterator[tuple[str, str]]:
    for found in made.custom():
        for key in ("policy", "assumeRolePolicy", "repositoryPolicy"):
            text = found["inputs"].get(key)
            if isinstance(text, str) and '"Statement"' in text:
                yield f"{found['name']} ({found['type']})", text


def test_every_statement_about_everything_has_its_reason(run: Run) -> None:
    from components.aws.iam import wildcards

    made = run(everything)
    found = {(where, entry.actions, entry.reason) for where, text in policies(made) for entry in wildcards(text)}
    assert len(list(policies(made))) >= 8
    assert found == {
        (
            "network-s3 (aws:ec2/vpcEndpoint:VpcEndpoint)",
            ("*",),
            "What this would refuse can leave through the NAT gateway",
        ),
        ("pool (aws:iam/rolePolicy:RolePolicy)", ("ec2:DescribeTags",), "EC2 reads tags of all resources or of none"),
        (
            "pool (aws:iam/rolePolicy:RolePolicy)",
            ("ecs:DiscoverPollEndpoint",),
            "Finding the agents endpoint is about no resource",
        ),
        (
            "secrets (aws:kms/key:Key)",
            ("kms:*",),
            "In the policy of a key this is the key and the policies of the account decide",
        ),
        (
            "secrets (aws:kms/key:Key)",
            ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"),
            "In the policy of a key this is the key",
        ),
    }


def test_every_child_has_its_component_as_parent_and_every_taggable_resource_the_tags(run: Run) -> None:
    import pulumi_aws as aws

    made = run(everything)
    ours = {"stands-for-the-service"}
    for found in made.custom():
        if found["name"] in ours or found["type"].startswith("pulumi:"):
            continue
        assert "quayside:aws:" in found["parent"], found["urn"]
        package, _, class_ = found["type"].removeprefix("aws:").partition(":")
        module = getattr(aws, package.partition("/")[0])
        takes = getattr(module, f"{class_}Args", None)
        if takes is not None and hasattr(takes, "tags") and found["type"] != "aws:autoscaling/group:Group":
            assert found["inputs"].get("tags") == TAGS, found["urn"]


def test_two_runs_are_equal(run: Run) -> None:
    def again(account: Any) -> None:
        everything(account)

    assert run(everything).report.to_json() == run(again).report.to_json()
