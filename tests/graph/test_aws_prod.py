"""The stack `prod` of this repository, as `python -m rehearsal prod` shows it: what is there, and who may do what."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from components.aws.iam import wildcards
from rehearsal import Report, rehearse
from rehearsal.report import print_report

REPOSITORY = Path(__file__).parents[2]
POLICIES = {
    "aws:iam/rolePolicy:RolePolicy": "policy",
    "aws:iam/role:Role": "assumeRolePolicy",
    "aws:kms/key:Key": "policy",
    "aws:s3/bucketPolicy:BucketPolicy": "policy",
    "aws:efs/fileSystemPolicy:FileSystemPolicy": "policy",
    "aws:ecr/repositoryPolicy:RepositoryPolicy": "policy",
    "aws:ec2/vpcEndpoint:VpcEndpoint": "policy",
}


@pytest.fixture(scope="module")
def report() -> Report:
    return rehearse("prod", REPOSITORY)


def of_type(report: Report, type_: str) -> dict[str, dict[str, Any]]:
    return {found["name"]: found for found in report.resources if found["type"] == type_}


def statements(report: Report) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every statement of every policy: (type, name, statement)."""
    for found in report.resources:
        document = found["inputs"].get(POLICIES.get(found["type"], ""))
        if document:
            for statement in json.loads(document)["Statement"]:
                yield found["type"].rpartition(":")[2], found["name"], statement


def test_it_has_no_problem(report: Report) -> None:
    assert report.problems == ()
    (note,) = report.notes
    assert note.startswith(
        "quayside:capacity/instances/min: 2 instances are paid for all the time, and the minimum load"
    )


def test_every_policy_of_the_stack_is_read_here(report: Report) -> None:
    """A new kind of resource with a policy must not slip past the tests below."""
    for found in report.resources:
        for key, value in found["inputs"].items():
            if isinstance(value, str) and '"Statement"' in value:
                assert POLICIES.get(found["type"]) == key, f"{found['type']} {key}"


WILDCARDS = {
    "a login is for the whole registry": {"ecr:GetAuthorizationToken"},
    "finding the agent's endpoint is about no resource": {"ecs:DiscoverPollEndpoint"},
    "EC2 reads tags of all resources or of none": {"ec2:DescribeTags"},
    "what this would refuse can leave through the NAT gateway": {"*"},
    "what a balancer has cannot be described by name": {
        "elasticloadbalancing:DescribeListeners",
        "elasticloadbalancing:DescribeRules",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
    },
    # In the policy of a key, `*` is that key.
    "in the policy of a key this is the key and the policies of the account decide": {"kms:*"},
    "in the policy of a key this is the key": {
        "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*",
    },
}  # fmt: skip
"""Every reason for which anything of prod may be about all resources, and for which actions."""


def test_all_resources_are_meant_only_where_aws_has_no_narrower_form(report: Report) -> None:
    known = {"".join(filter(str.isalnum, reason)).lower(): actions for reason, actions in WILDCARDS.items()}
    seen: set[str] = set()
    for found in report.resources:
        document = found["inputs"].get(POLICIES.get(found["type"], ""))
        for wildcard in wildcards(document) if document else ():
            assert wildcard.reason is not None, f"{found['name']}: {wildcard.actions}"
            key = "".join(filter(str.isalnum, wildcard.reason)).lower()
            assert set(wildcard.actions) <= known[key], f"{found['name']}: {wildcard.actions}"
            seen.add(key)
    assert "findingtheagentsendpointisaboutnoresource" in seen, "no wildcard was found: this test would pass on nothing"


def test_what_each_service_may_do(report: Report) -> None:
    """All of it, word for word: a permission more is a change of this list, which a reviewer sees."""
    found = {
        name: sorted(
            action for t, n, s in statements(report) if (t, n) == ("RolePolicy", name) for action in s["Action"]
        )
        for name in of_type(report, "aws:iam/rolePolicy:RolePolicy")
    }
    logs = ["logs:CreateLogStream", "logs:PutLogEvents"]
    agent = found.pop("pool")
    assert agent == [
        "ec2:DescribeTags", "ecs:DeregisterContainerInstance", "ecs:DiscoverPollEndpoint", "ecs:Poll",
        "ecs:RegisterContainerInstance", "ecs:StartTelemetrySession", "ecs:SubmitAttachmentStateChanges",
        "ecs:SubmitContainerStateChange", "ecs:SubmitTaskStateChange", "ecs:TagResource",
        "ecs:UpdateContainerInstancesState",
    ]  # fmt: skip
    assert found.pop("web-rollout") == [
        "elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:DescribeListeners",
        "elasticloadbalancing:DescribeRules", "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth", "elasticloadbalancing:ModifyListener",
        "elasticloadbalancing:ModifyRule", "elasticloadbalancing:RegisterTargets",
    ]  # fmt: skip
    assert found == {
        "cart-execution": logs,
        "session-execution": logs,
        "web-execution": logs,
        "worker-execution": logs,
        "session-task": ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
    }


def test_roles_are_taken_on_by_one_service_of_aws_and_for_this_account(report: Report) -> None:
    for name, role in of_type(report, "aws:iam/role:Role").items():
        (statement,) = json.loads(role["inputs"]["assumeRolePolicy"])["Statement"]
        (service,) = statement["Principal"]["Service"]
        if service == "ecs-tasks.amazonaws.com":
            assert "aws:SourceAccount" in statement["Condition"]["StringEquals"], name
            assert "aws:SourceArn" in statement["Condition"]["ArnLike"], name


def test_the_security_groups_open_what_the_plan_names_and_nothing_else(report: Report) -> None:
    groups = {found["urn"]: name for name, found in of_type(report, "aws:ec2/securityGroup:SecurityGroup").items()}
    assert not any(f["inputs"].get("ingress") for f in of_type(report, "aws:ec2/securityGroup:SecurityGroup").values())
    assert set(groups.values()) == {
        "balancer-1", "data-session", "instances", "service-cart", "service-session", "service-web", "service-worker",
    }  # fmt: skip
    opened: set[tuple[str, str, str]] = set()
    for rule in of_type(report, "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule").values():
        inputs, through = rule["inputs"], rule["propertyDependencies"]
        (target,) = (groups[urn] for urn in through["securityGroupId"])
        source = inputs.get("cidrIpv4") or groups[through["referencedSecurityGroupId"][0]]
        opened.add((source, target, f"{inputs['ipProtocol']} {inputs['fromPort']}-{inputs['toPort']}"))
    assert opened == {
        ("0.0.0.0/0", "balancer-1", "tcp 80-80"),
        ("0.0.0.0/0", "balancer-1", "tcp 443-443"),
        ("balancer-1", "service-web", "tcp 8000-8000"),
        ("balancer-1", "service-cart", "tcp 8000-8000"),
        ("service-cart", "service-session", "tcp 6379-6379"),
        ("service-worker", "service-session", "tcp 6379-6379"),
        ("service-session", "data-session", "tcp 2049-2049"),
    }


def test_a_rolling_service_is_healthy_before_anybody_is_sent_to_it(report: Report) -> None:
    """Gate, then switch: health rule → ECS service → public rule."""
    rules = of_type(report, "aws:lb/listenerRule:ListenerRule")
    service = of_type(report, "aws:ecs/service:Service")["cart"]
    public = next(rule for name, rule in rules.items() if name.endswith("/cart"))
    health = [rule for name, rule in rules.items() if "health" in name]
    assert service["urn"] in public["dependencies"]
    assert any(rule["urn"] in service["dependencies"] for rule in health)
    assert service["inputs"]["waitForSteadyState"] is True


def test_a_native_rollout_gets_its_rule_first_and_keeps_its_weights(report: Report) -> None:
    service = of_type(report, "aws:ecs/service:Service")["web"]
    rule = next(
        found
        for name, found in of_type(report, "aws:lb/listenerRule:ListenerRule").items()
        if name.endswith("shop.example.com/:web")
    )
    assert rule["urn"] in service["dependencies"]
    assert rule["ignoreChanges"] == ["actions"]
    assert service["inputs"]["deploymentConfiguration"]["strategy"] == "CANARY"


def test_callers_come_after_what_they_use(report: Report) -> None:
    services = of_type(report, "aws:ecs/service:Service")
    for caller, used in (("cart", "session"), ("worker", "session")):
        assert services[used]["urn"] in services[caller]["dependencies"]


def test_nobody_owns_a_number_twice(report: Report) -> None:
    services = of_type(report, "aws:ecs/service:Service")
    assert {name for name, found in services.items() if "desiredCount" in found["ignoreChanges"]} == {"web", "cart"}
    assert of_type(report, "aws:autoscaling/group:Group")["pool"]["ignoreChanges"] == ["desiredCapacity"]


def test_the_tables_that_people_read(report: Report) -> None:
    outputs = report.outputs
    assert [(row["host"], row["path"], row["service"]) for row in outputs["routes"]] == [
        ("shop.example.com", "/cart", "cart"),
        ("shop.example.com", "/", "web"),
    ]
    assert [row["load"] for row in outputs["capacity"]] == [
        "minimum",
        "maximum",
        "minimum + release of all",
        "maximum + release of all",
        "maximum, one zone's spot lost (2 of 7 instances)",
    ]
    assert {(row["from"], row["to"]) for row in outputs["reach"]} >= {
        ("internet", "balancer-1"),
        ("balancer-1", "service-web"),
    }
    assert outputs["urls"] == ["https://shop.example.com/", "https://shop.example.com/cart"]


def test_the_guide_shows_what_is_printed(report: Report) -> None:
    console = Console(width=134, file=io.StringIO(), highlight=False)
    print_report(report, console)
    assert isinstance(console.file, io.StringIO)
    printed = {line.rstrip() for line in console.file.getvalue().splitlines()}
    guide = (REPOSITORY / "docs" / "aws.md").read_text()
    shown = guide.partition("<!-- rehearsal:begin -->")[2].partition("<!-- rehearsal:end -->")[0]
    lines = [line for line in shown.splitlines() if line and not line.startswith("```") and line != "…"]
    assert len(lines) > 30
    assert [line for line in lines if line not in printed] == []


# --- what a change touches -------------------------------------------------------------------------------------------


class Project:
    """prod in a folder of its own, to be changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("Pulumi.yaml", "services.yaml", "Pulumi.prod.yaml", "__main__.py"):
            shutil.copy(REPOSITORY / name, root / name)
        shutil.copytree(REPOSITORY / "examples" / "shop", root / "examples" / "shop")

    def stack(self, **changes: Any) -> None:
        self._change("Pulumi.prod.yaml", lambda document: document["config"].update(changes))

    def service(self, name: str, **changes: Any) -> None:
        def change(document: dict[str, Any]) -> None:
            document["config"]["quayside:services"].setdefault(name, {}).update(changes)

        self._change("Pulumi.prod.yaml", change)

    def _change(self, name: str, change: Any) -> None:
        document = _yaml((self.root / name).read_text())
        change(document)
        (self.root / name).write_text(yaml.safe_dump(document))

    def resources(self) -> Mapping[str, Mapping[str, Any]]:
        report = rehearse("prod", self.root)
        assert report.problems == ()
        return {found["urn"]: found["inputs"] for found in report.resources}


def _yaml(text: str) -> Any:
    from rehearsal.config import _Loader  # pyright: ignore[reportPrivateUsage]  # reads `on:` as the CLI does

    return yaml.load(text, _Loader)  # noqa: S506


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def short(urns: set[str]) -> set[str]:
    return {f"{urn.split('::')[2].rpartition('/')[2].partition(':')[2]} {urn.split('::')[3]}" for urn in urns}


def test_a_new_image_touches_one_task_definition_and_nothing_beside_its_service(project: Project) -> None:
    before = project.resources()
    digest = "sha256:" + "ab" * 32
    project.service("cart", image={"digest": digest})
    after = project.resources()
    assert before.keys() == after.keys()
    changed = {urn for urn in before if before[urn] != after[urn]}
    assert short(changed) == {"TaskDefinition cart"}  # its ECS service follows the new revision's ARN


def test_a_new_service_moves_no_rule_no_subnet_and_no_other_service(project: Project) -> None:
    before = project.resources()
    image = "example.com/admin@sha256:" + "cd" * 32
    project.service("admin", image=image, port=8080, routes=["shop.{domain}/admin"], health="/healthz")
    after = project.resources()
    changed = {urn for urn in before if before[urn] != after.get(urn)}
    assert not changed
    kinds = {name.split()[0] for name in short(after.keys() - before.keys())}
    assert {"Service", "TaskDefinition", "ListenerRule", "TargetGroup", "SecurityGroup"} <= kinds


def test_another_zone_adds_and_moves_nothing(project: Project) -> None:
    capacity = {"instances": {"types": ["m7g.large"], "min": 2, "max": 12}}
    project.stack(**{"quayside:capacity": {**capacity, "zones": 2}})
    before = project.resources()
    project.stack(**{"quayside:capacity": {**capacity, "zones": 3}})
    after = project.resources()
    subnets = [urn for urn in before if "subnet:Subnet" in urn]
    assert len(subnets) == 4
    assert all(before[urn] == after[urn] for urn in subnets)
    assert before.keys() <= after.keys()


def test_an_unprotected_stack_goes_without_a_hitch(project: Project) -> None:
    project.stack(**{"quayside:protect": False})
    report = rehearse("prod", project.root)
    assert not [found["name"] for found in report.resources if found["protect"]]
    assert not of_type(report, "aws:lb/loadBalancer:LoadBalancer")["balancer-1"]["inputs"]["enableDeletionProtection"]
    assert of_type(report, "aws:autoscaling/group:Group")["pool"]["inputs"]["forceDelete"]
    assert of_type(report, "aws:s3/bucket:Bucket")["access-logs"]["inputs"]["forceDestroy"]
    for service in of_type(report, "aws:ecs/service:Service").values():
        assert service["inputs"]["forceDelete"]


@pytest.mark.parametrize(("zone", "type_"), [("shop.example.com", "ALIAS"), ("example.com", "CNAME"), (None, "CNAME")])
def test_with_other_dns_a_host_that_is_its_zone_is_told_as_an_alias(
    project: Project, zone: str | None, type_: str
) -> None:
    project.stack(**{"quayside:dns": {"provider": "manual", "zone": zone}})
    told = {record["name"]: record["type"] for record in rehearse("prod", project.root).outputs["records"]}
    assert told["shop.example.com"] == type_
