"""How large and how long things may be that people write: counted as AWS, and as Linux, count them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from planning.aws.definition_size import AROUND, LIMIT, definition_problems, definition_size
from planning.aws.plan import plan
from planning.rendering import LONGEST_TEXT, render
from rehearsal import aws_sizes, rehearse
from rehearsal.record import Registration
from settings.parse import parse
from settings.problems import ConfigError, Problem
from tests.unit.test_aws_planning import DIGEST, POOL, stack

REPOSITORY = Path(__file__).parents[2]
WEB: Mapping[str, Any] = {"image": f"ghcr.io/acme/web@{DIGEST}", "port": 8080}
KEYS = ("env", "secrets", "files", "command")
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"


def problems(service: Mapping[str, Any], **values: Any) -> list[str]:
    try:
        plan(stack({"web": service}, capacity=POOL, **values), {"a.conf": "x" * 37_400})
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


# --- task definitions -------------------------------------------------------------------------------------------------


def test_many_values_and_a_large_file_are_counted_together() -> None:
    env = {f"SETTING_{number:03}": "x" * 190 for number in range(350)}
    (said,) = problems({**WEB, "env": env, "files": {"/etc/app/a.conf": {"source": "a.conf"}}})
    assert said.splitlines()[0] == (
        "services/web: its task definition has 118,810 bytes; ECS takes 65,536. "
        "The most of it is env (350) 70,350 bytes, files/etc/app/a.conf 37,400 bytes"
    )


@pytest.mark.parametrize("key", KEYS)
def test_whatever_a_service_says_much_of_is_counted_and_named(key: str) -> None:
    much: Mapping[str, Any] = {
        "env": {"BIG": "x" * 66_000},
        "secrets": {f"S{number:03}": f"{ARN}{'s' * 100}{number:03}-AbCdEf" for number in range(350)},
        "files": {"/etc/a.conf": {"content": "x" * 66_000}},
        "command": ("sh", "-c", "x" * 66_000),
    }
    (said,) = [problem for problem in problems({**WEB, key: much[key]}) if "ECS takes 65,536" in problem]
    assert f"The most of it is {key}" in said


def test_the_canary_is_counted_by_itself() -> None:
    canary = {"image": f"ghcr.io/acme/web@{DIGEST}", "share": 5, "env": {"BIG": "é" * 33_000}}
    (said,) = problems({**WEB, "canary": canary})
    assert said.startswith("services/web/canary: its task definition has 6")


def test_a_definition_may_be_as_large_as_ecs_takes_it() -> None:
    def size(text: str) -> tuple[int, list[Problem]]:
        service = plan(stack({"web": {**WEB, "env": {"BIG": text}}}, capacity=POOL), {}).services["web"]
        return definition_size(service, service.variants[0], "eu-central-1"), list(definition_problems(service, ""))

    left = LIMIT - AROUND - size("")[0]
    assert size("x" * left) == (LIMIT - AROUND, [])
    assert problems({**WEB, "env": {"BIG": "x" * (left + 1)}}) != []


SHOP = f"""\
services:
  web:
    image: ghcr.io/acme/web@{DIGEST}
    port: 8000
    uses: [session]
    env: {{REDIS: "${{session.address}}", WORD: "é"}}
    secrets: {{KEY: stripe, OTHER: "{ARN}other-AbCdEf"}}
    files: {{/etc/web/a.conf: {{content: "a\\nb"}}}}
    canary: {{image: "ghcr.io/acme/web@{DIGEST}", share: 5}}
  session: {{image: "redis@{DIGEST}", port: 6379, protocol: tcp, volume: /data, user: "999"}}
"""


def test_what_is_counted_is_what_is_sent(tmp_path: Path) -> None:
    """The plan's count of every definition beside the JSON that its resource has: never less, and little more."""
    config: dict[str, Any] = {"quayside:cloud": "aws", "quayside:domain": "example.com", "aws:region": "eu-central-1"}
    config["quayside:capacity"] = POOL
    config["quayside:secrets"] = {"stripe": {"secure": "v1:AAAA:BBBB"}}
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (tmp_path / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": config}))
    (tmp_path / "services.yaml").write_text(SHOP)
    (tmp_path / "__main__.py").write_text((REPOSITORY / "__main__.py").read_text())
    report = rehearse("prod", tmp_path)
    assert report.problems == ()
    sent = {
        found["name"]: len(found["inputs"]["containerDefinitions"].encode())
        for found in report.resources
        if found["type"] == "aws:ecs/taskDefinition:TaskDefinition"
    }
    own = {key.removeprefix("quayside:"): value for key, value in config.items() if key != "aws:region"}
    parsed = parse(project="shop", stack="prod", services=SHOP, config=own, secrets=["stripe"], region="eu-central-1")
    variants = [(service, variant) for service in plan(parsed, {}).services.values() for variant in service.variants]
    assert {variant.name for _, variant in variants} == set(sent)
    for service, variant in variants:
        count = definition_size(service, variant, "eu-central-1")
        assert sent[variant.name] <= count <= sent[variant.name] + 200, variant.name


def test_an_image_of_a_long_name_is_refused() -> None:
    (said,) = problems({**WEB, "image": f"ghcr.io/acme/{'w' * 200}@{DIGEST}"})
    assert said.startswith("services/web/image: has 285 characters with its registry and digest; ECS takes 255")


# --- policies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "said"), [(60, 0), (100, 1)])
def test_secrets_that_overfill_the_policy_of_a_role_are_counted(count: int, said: int) -> None:
    secrets = {f"SECRET_{number:03}": f"secret-{number:03}" for number in range(count)}
    found = [problem for problem in problems({**WEB, "secrets": secrets}) if "/secrets:" in problem]
    assert len(found) == said
    if said:
        assert found[0].startswith(
            "services/web/secrets: 100 secrets make a policy of about 11,000 characters; IAM takes"
        )


def test_permissions_that_overfill_the_policy_of_a_role_are_counted() -> None:
    def permissions(count: int) -> tuple[dict[str, Any], ...]:
        return tuple(
            {"actions": ("s3:GetObject", "s3:PutObject"), "resources": (f"arn:aws:s3:::acme-{number:03}/*",)}
            for number in range(count)
        )

    assert problems({**WEB, "permissions": permissions(40)}) == []
    (found,) = problems({**WEB, "permissions": permissions(150)})
    assert found.startswith("services/web/permissions: make a policy of about ")


def test_the_counted_policies_are_no_smaller_than_the_real_ones(tmp_path: Path) -> None:
    """With as many secrets and permissions as the plan just takes, the rehearsal's exact count finds nothing."""
    secrets = "".join(f"      S{number}: key-{number:02}\n" for number in range(90))
    config: dict[str, Any] = {"quayside:cloud": "aws", "quayside:domain": "example.com", "aws:region": "eu-central-1"}
    config["quayside:secrets"] = {f"key-{number:02}": {"secure": "v1:AAAA:BBBB"} for number in range(90)}
    (tmp_path / "Pulumi.yaml").write_text("name: a-project-of-some-length\nruntime: python\n")
    (tmp_path / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": config}))
    service = f"image: ghcr.io/acme/web@{DIGEST}\n    port: 80\n    on: fargate\n    secrets:\n{secrets}"
    (tmp_path / "services.yaml").write_text(f"services:\n  web:\n    {service}")
    (tmp_path / "__main__.py").write_text((REPOSITORY / "__main__.py").read_text())
    report = rehearse("prod", tmp_path)
    assert report.problems == ()
    (policy,) = (
        found["inputs"]["policy"]
        for found in report.resources
        if found["type"] == "aws:iam/rolePolicy:RolePolicy" and found["name"] == "web-execution"
    )
    assert 7_000 < len(policy) <= 90 * (90 + len("key-00")) + 1_000  # what the plan counts


# --- documents of AWS -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "path"), [(type_, path) for type_, sizes in aws_sizes.SIZES.items() for path in sizes], ids=str
)
def test_documents_are_counted_to_the_last_character(type_: str, path: str) -> None:
    size = aws_sizes.SIZES[type_][path]

    def said(count: int) -> list[str]:
        text = "x" * count
        if path == "userData":
            text = base64.b64encode(text.encode()).decode()
        return [str(finding) for finding in aws_sizes.check(Registration("urn", type_, "it", "", True, {path: text}))]

    assert said(size.most) == []
    (finding,) = said(size.most + 1)
    assert finding.startswith(f"{path}: should be at most {size.most:,} {size.unit}")


def test_the_inline_policies_of_a_role_share_one_sum() -> None:
    half = json.dumps({"Statement": ["x" * 6_000]})
    inputs = {"inlinePolicies": [{"policy": half}, {"policy": half}]}
    (finding,) = aws_sizes.check(Registration("urn", "aws:iam/role:Role", "it", "", True, inputs))
    assert finding.message.startswith("should be at most 10,240 characters in all, got 12,")


# --- Linux ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cloud", ["local", "hetzner", "aws"])
def test_no_text_is_longer_than_a_process_may_have(cloud: str) -> None:
    def said(length: int) -> list[str]:
        found: list[Problem] = []
        service = {**WEB, "env": {"KEY": "x" * (length - 4)}, "command": ("run", "x" * length)}
        render("web", stack({"web": service}, cloud=cloud), {}, found)
        return [str(problem) for problem in found]

    assert said(LONGEST_TEXT) == []
    command, env = said(LONGEST_TEXT + 1)
    assert command.startswith("services/web/command/1: has 131,072 bytes")
    assert env.startswith("services/web/env/KEY: has 131,072 bytes with its name; Linux gives a process no text")
