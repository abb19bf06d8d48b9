"""The stories of `examples/` as AWS would be told of them: the points that each team made, on the resources."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rehearsal import Report
from settings.document import read_yaml
from settings.schema import services_schema, stack_schema
from tests.stories import PASSPHRASE, REPOSITORY, SERVICES, Story, stories, story

SERVICE = "aws:ecs/service:Service"
TASK = "aws:ecs/taskDefinition:TaskDefinition"
CLUSTER = "aws:ecs/cluster:Cluster"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
RULE = "aws:lb/listenerRule:ListenerRule"
TARGETS = "aws:lb/targetGroup:TargetGroup"
POOL = "aws:autoscaling/group:Group"
POLICY = "aws:appautoscaling/policy:Policy"
SCHEDULED = "aws:appautoscaling/scheduledAction:ScheduledAction"
LOGS = "aws:cloudwatch/logGroup:LogGroup"

Inputs = dict[str, Any]


class Rehearsed:
    """What a stack of a story would be."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def all(self, kind: str) -> dict[str, Inputs]:
        """Name → inputs."""
        return {found["name"]: found["inputs"] for found in self.report.resources if found["type"] == kind}

    def one(self, kind: str) -> Inputs:
        (found,) = self.all(kind).values()
        return found

    def task(self, service: str) -> Inputs:
        return self.all(TASK)[service]

    def containers(self, service: str) -> list[Inputs]:
        return json.loads(self.task(service)["containerDefinitions"])

    def container(self, service: str) -> Inputs:
        """The service's own container: essential, unlike the one that lays its files down."""
        (found,) = [each for each in self.containers(service) if each.get("essential", True)]
        return found

    def public_rules(self) -> Iterator[tuple[list[str], list[str], Inputs]]:
        """Hosts, paths and the whole of every rule that has a host: those for health have none."""
        for rule in self.all(RULE).values():
            hosts = [h for c in rule["conditions"] for h in c.get("hostHeader", {}).get("values", [])]
            paths = [p for c in rule["conditions"] for p in c.get("pathPattern", {}).get("values", [])]
            if hosts:
                yield hosts, paths, rule


@pytest.fixture(autouse=True, scope="module")
def _passphrase() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
        yield


_KNOWN: dict[tuple[str, str], Rehearsed] = {}


@pytest.fixture
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    def get(name: str, stack: str) -> Rehearsed:
        if (name, stack) not in _KNOWN:
            report = story(name).rehearse(stack, tmp_path_factory.mktemp(name) / "project")
            assert not report.problems, "\n".join(str(problem) for problem in report.problems)
            _KNOWN[name, stack] = Rehearsed(report)
        return _KNOWN[name, stack]

    return get


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", stories(), ids=lambda told: told.name)
def test_the_settings_take_every_stack(told: Story) -> None:
    assert told.stacks
    for stack in told.stacks:
        assert told.settings(stack).services


@pytest.mark.parametrize("told", stories(), ids=lambda told: told.name)
def test_editors_take_every_file(told: Story) -> None:
    for name, text in told.files.items():
        schema = services_schema() if name == SERVICES else stack_schema()
        found = jsonschema.Draft7Validator(schema).iter_errors(read_yaml(text, name))
        assert [error.message for error in found] == [], name


@pytest.mark.parametrize(
    ("name", "stack"),
    [pytest.param(told.name, stack, id=f"{told.name}-{stack}") for told in stories() for stack in told.stacks],
)
def test_every_stack_is_rehearsed_without_a_problem(name: str, stack: str, rehearsed: Any) -> None:
    assert rehearsed(name, stack).report.resources


def test_what_is_written_out_is_rehearsed_by_the_printed_commands(tmp_path: Path) -> None:
    written = [sys.executable, "-m", "tests.stories", "speedledger", str(tmp_path / "new")]
    said = subprocess.run(written, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    first, *commands = said.splitlines()
    assert first == f"cd {tmp_path / 'new'}"
    secret = "pulumi config set --secret --path quayside:secrets.ledger-database --stack prod"
    assert f"    before `up`: {secret}" in commands
    (rehearsal,) = [line for line in commands if line.endswith("-m rehearsal prod")]
    done = subprocess.run(["sh", "-c", f"{first} && {rehearsal}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("speedledger/prod ")
    assert "no problems" in done.stdout


# --- dramafever ------------------------------------------------------------------------------------------------------


def test_dramafever_scales_for_the_weekly_peak_before_it_comes_and_by_requests_when_it_is_there(rehearsed: Any) -> None:
    prod = rehearsed("dramafever", "prod")
    peaks = sorted(action["scalableTargetAction"]["minCapacity"] for action in prod.all(SCHEDULED).values())
    assert peaks == [12, 120]
    for action in prod.all(SCHEDULED).values():
        assert action["schedule"].startswith("cron(")
        assert action["timezone"] == "America/New_York"
        assert action["scalableTargetAction"]["maxCapacity"] == 240
    aims = [policy["targetTrackingScalingPolicyConfiguration"] for policy in prod.all(POLICY).values()]
    assert 6000 in [aim["targetValue"] for aim in aims]


def test_dramafever_has_its_minimum_on_demand_and_most_of_the_peak_on_spot(rehearsed: Any) -> None:
    pool = rehearsed("dramafever", "prod").one(POOL)
    assert (pool["minSize"], pool["maxSize"]) == (6, 96)
    policy = pool["mixedInstancesPolicy"]
    assert policy["instancesDistribution"]["onDemandBaseCapacity"] == 6
    assert policy["instancesDistribution"]["onDemandPercentageAboveBaseCapacity"] == 30
    types = [override["instanceType"] for override in policy["launchTemplate"]["overrides"]]
    assert types == ["c7g.2xlarge", "c6g.2xlarge", "c7g.4xlarge"]


def test_dramafevers_instances_run_the_baked_image_on_an_encrypted_disk_of_their_own(rehearsed: Any) -> None:
    template = rehearsed("dramafever", "prod").one("aws:ec2/launchTemplate:LaunchTemplate")
    assert template["imageId"] == "ami-0a1b2c3d4e5f60718"
    (disk,) = template["blockDeviceMappings"]
    assert disk["ebs"]["volumeSize"] == 100
    assert disk["ebs"]["encrypted"] in {True, "true"}


def test_dramafevers_one_image_moves_from_qa_to_prod(rehearsed: Any) -> None:
    qa, prod = (rehearsed("dramafever", stack).container("player")["image"] for stack in ("qa", "prod"))
    assert qa.partition("@")[2] == prod.partition("@")[2] != ""
    assert qa.partition("/")[2] == prod.partition("/")[2]


@pytest.mark.parametrize("stack", ["qa", "prod"])
def test_dramafevers_instances_run_a_registry_of_one_bucket_and_pull_from_themselves(
    rehearsed: Any, stack: str
) -> None:
    found = rehearsed("dramafever", stack)
    images = {found.container(name)["image"].partition("@")[0] for name in found.all(SERVICE)}
    assert "localhost:5000/acme/player" in images
    assert {image.partition("/")[0] for image in images} == {"localhost:5000"}
    assert not found.all("aws:ecr/repository:Repository")
    script = base64.b64decode(found.one("aws:ec2/launchTemplate:LaunchTemplate")["userData"]).decode()
    assert 'bucket: "dramafever-images"' in script
    assert "Before=ecs.service" in script
    statements = json.loads(found.all("aws:iam/rolePolicy:RolePolicy")["pool"]["policy"])["Statement"]
    assert {tuple(each["Resource"]) for each in statements if "s3:" in str(each["Action"])} == {
        ("arn:aws:s3:::dramafever-images",),
        ("arn:aws:s3:::dramafever-images/docker/registry/v2/*",),
    }
    for name in found.all(SERVICE):
        execution = json.loads(found.all("aws:iam/rolePolicy:RolePolicy")[f"{name}-execution"]["policy"])
        assert "ecr:" not in str(execution), "what pulls from localhost has no use for ECR"


def test_dramafevers_unit_with_a_volume_keeps_it_and_the_others_have_none(rehearsed: Any) -> None:
    prod = rehearsed("dramafever", "prod")
    assert set(prod.all(SERVICE)) == {"player", "catalog", "search", "encoder"}
    stateful = [name for name in prod.all(SERVICE) if "efsVolumeConfiguration" in json.dumps(prod.task(name))]
    assert stateful == ["search"]
    search = prod.all(SERVICE)["search"]
    assert (search["deploymentMinimumHealthyPercent"], search["deploymentMaximumPercent"]) == (0, 100)


def test_dramafever_on_a_laptop_is_the_same_services_by_tag(rehearsed: Any) -> None:
    containers = rehearsed("dramafever", "dev").all("docker:index/container:Container").values()
    images = {found["image"] for found in containers}
    assert {"localhost:5000/acme/player:dev", "localhost:5000/acme/catalog:dev"} <= images


# --- mery ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "alarms"), [("web", ["mery-checkout-slow", "mery-orders-missing"]), ("articles", [])])
def test_mery_releases_blue_green_and_keeps_the_old_ones_until_the_switch_has_held(
    name: str, alarms: list[str], rehearsed: Any
) -> None:
    service = rehearsed("mery", "prod").all(SERVICE)[name]
    configuration = service["deploymentConfiguration"]
    assert configuration["strategy"] == "BLUE_GREEN"
    assert int(configuration["bakeTimeInMinutes"]) == 15
    (balanced,) = service["loadBalancers"]
    assert balanced["advancedConfiguration"]["alternateTargetGroupArn"] != balanced["targetGroupArn"]
    assert balanced["advancedConfiguration"]["productionListenerRule"]
    assert set(alarms) <= set(service["alarms"]["alarmNames"])
    assert service["alarms"]["rollback"] is True


def test_merys_network_is_a_choice_per_service(rehearsed: Any) -> None:
    prod = rehearsed("mery", "prod")
    modes = {name: task["networkMode"] for name, task in prod.all(TASK).items()}
    assert modes == {"web": "awsvpc", "articles": "awsvpc", "resizer": "host", "mailer": "bridge"}
    kinds = {group["targetType"] for name, group in prod.all(TARGETS).items() if "resizer" in name}
    assert kinds == {"instance"}


def test_merys_secrets_are_read_from_kms_by_the_service_that_names_them_and_are_in_no_environment(
    rehearsed: Any,
) -> None:
    prod = rehearsed("mery", "prod")
    container = prod.container("articles")
    (secret,) = container["secrets"]
    assert secret["name"] == "DATABASE_URL"
    assert secret["valueFrom"].startswith("arn:aws:secretsmanager:ap-northeast-1:")
    assert "DATABASE_URL" not in [each["name"] for each in container.get("environment", [])]
    assert not prod.container("web").get("secrets")
    assert "5f1c2d3e-4b5a-4678-9abc-def012345678" in json.dumps(prod.report.resources)


def test_merys_images_are_pinned(rehearsed: Any) -> None:
    prod = rehearsed("mery", "prod")
    for name in prod.all(TASK):
        assert "@sha256:" in prod.container(name)["image"]


def test_merys_branch_has_a_stack_that_may_go_and_costs_no_instance(rehearsed: Any) -> None:
    branch = rehearsed("mery", "branch-search")
    assert not branch.all(POOL)
    assert set(branch.all(SERVICE)) == {"web", "articles"}
    for service in branch.all(SERVICE).values():
        assert [each["capacityProvider"] for each in service["capacityProviderStrategies"]] == ["FARGATE_SPOT"]
    assert not branch.one(BALANCER).get("enableDeletionProtection")
    assert not [found["name"] for found in branch.report.resources if found["protect"]]
    hosts = {host for hosts, _, _ in branch.public_rules() for host in hosts}
    assert hosts == {"search.staging.mery.example"}


# --- speedledger -----------------------------------------------------------------------------------------------------


def test_speedledger_gives_a_tenth_of_the_requests_to_the_next_version(rehearsed: Any) -> None:
    prod = rehearsed("speedledger", "prod")
    assert {"web", "web-canary"} <= set(prod.all(SERVICE))
    images = {name: prod.container(name)["image"] for name in ("web", "web-canary")}
    assert len(set(images.values())) == 2
    ((_, _, rule),) = prod.public_rules()
    (action,) = rule["actions"]
    weights = sorted(group["weight"] for group in action["forward"]["targetGroups"])
    assert weights[0] * 9 == weights[1]


def test_speedledgers_visitors_stay_with_their_replica_and_with_their_version(rehearsed: Any) -> None:
    prod = rehearsed("speedledger", "prod")
    ((_, _, rule),) = prod.public_rules()
    assert rule["actions"][0]["forward"]["stickiness"] == {"enabled": True, "duration": 8 * 3600}
    groups = {name: group for name, group in prod.all(TARGETS).items() if "web" in name}
    assert len(groups) == 2
    for group in groups.values():
        assert group["stickiness"]["enabled"] is True
        assert group["stickiness"]["cookieDuration"] == 8 * 3600
        assert group["deregistrationDelay"] == 600


def test_speedledgers_containers_are_found_by_their_registered_names(rehearsed: Any) -> None:
    prod = rehearsed("speedledger", "prod")
    names = {
        alias["dnsName"]
        for service in prod.all(SERVICE).values()
        for offered in service.get("serviceConnectConfiguration", {}).get("services", [])
        for alias in offered["clientAlias"]
    }
    assert names == {"ledger", "rules", "documents"}
    urns = {found["name"]: found for found in prod.report.resources if found["type"] == SERVICE}
    assert urns["ledger"]["urn"] in urns["web"]["dependencies"]


def test_speedledgers_containers_log_to_one_place(rehearsed: Any) -> None:
    prod = rehearsed("speedledger", "prod")
    for name in prod.all(TASK):
        for container in prod.containers(name):
            assert container["logConfiguration"]["logDriver"] == "awslogs", name
    assert {group["retentionInDays"] for group in prod.all(LOGS).values()} == {365}


def test_speedledgers_test_environment_is_the_same_four_containers_under_a_name(rehearsed: Any) -> None:
    test = rehearsed("speedledger", "test-vat")
    assert set(test.all(SERVICE)) == {"web", "ledger", "rules", "documents"}
    assert {service["desiredCount"] for service in test.all(SERVICE).values()} == {1}
    assert not test.all(POOL)
    assert {host for hosts, _, _ in test.public_rules() for host in hosts} == {"vat.test.speedledger.example"}


# --- waites ----------------------------------------------------------------------------------------------------------


def test_waites_has_many_environments_on_one_cluster_and_one_balancer(rehearsed: Any) -> None:
    main = rehearsed("waites", "main")
    assert len(main.all(CLUSTER)) == len(main.all(BALANCER)) == len(main.all(POOL)) == 1
    assert len(main.all(SERVICE)) == 6


def test_waites_routes_by_host_and_by_path_the_longer_one_first(rehearsed: Any) -> None:
    priorities = {
        (host, bool(paths)): rule["priority"]
        for hosts, paths, rule in rehearsed("waites", "main").public_rules()
        for host in hosts
    }
    for host in ("demo.waites.example", "qa.waites.example", "waites.example"):
        assert priorities[host, True] < priorities[host, False]
    assert len(priorities) == 7


def test_waites_places_by_memory_and_ends_what_takes_more(rehearsed: Any) -> None:
    main = rehearsed("waites", "main")
    limits = {name: main.container(name)["memory"] for name in main.all(SERVICE)}
    assert limits == {
        "app-demo": 384,
        "api-demo": 256,
        "app-qa": 384,
        "api-qa": 256,
        "app-live": 768,
        "api-live": 512,
    }


def test_waites_deploys_unnoticed_and_heals(rehearsed: Any) -> None:
    for service in rehearsed("waites", "main").all(SERVICE).values():
        assert (service["deploymentMinimumHealthyPercent"], service["deploymentMaximumPercent"]) == (100, 200)
        assert service["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
