"""The documented policies allow what is called: by the provider for each type that we make, by our commands, by CI."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws
import pytest
from botocore import xform_name
from botocore.loaders import Loader

from tests.aws_calls import CALLS, LOOKUPS
from tests.unit.test_docs_aws import DOCS, MODELS, PERMIT, operations, statements

REPOSITORY = Path(__file__).parents[2]
DEPLOY = sorted(DOCS.glob("deploy*-policy.json"))
CI = DOCS / "ci-policy.json"
# What CI's `up` changes: images, environment, numbers, shares and secrets (docs/aws.md). The first are made anew.
CI_MAKES = ("ecs.TaskDefinition", "secretsmanager.SecretVersion")
CI_CHANGES = (
    "appautoscaling.Policy",
    "appautoscaling.ScheduledAction",
    "appautoscaling.Target",
    "ecs.Service",
    "lb.ListenerRule",
)
# What an update calls only when something else than that has changed.
NOT_CI = frozenset({
    "application-autoscaling:TagResource", "application-autoscaling:UntagResource", "ecs:UntagResource",
    "elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags", "elasticloadbalancing:SetRulePriorities",
})  # fmt: skip


def allowed(action: str, *paths: Path) -> bool:
    return any(
        fnmatchcase(action, pattern) for path in paths for found in statements(path) for pattern in found["Action"]
    )


def trees(*folders: str) -> Iterator[tuple[Path, ast.AST]]:
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text())


# --- what the provider calls ------------------------------------------------------------------------------------------


@cache
def named_in_components() -> frozenset[str]:
    """Everything that is written ``aws.x.y`` or ``aws.y`` in components and platforms."""
    found = set[str]()
    for _, tree in trees("components", "platforms"):
        for node in ast.walk(tree):
            text = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if re.fullmatch(r"aws(\.\w+)+", text):
                found.add(text.removeprefix("aws."))
    return frozenset(found)


def resource(name: str) -> bool:
    found: Any = pulumi_aws
    for part in name.split("."):
        found = getattr(found, part, None)
    return isinstance(found, type) and issubclass(found, pulumi.CustomResource)


def test_every_type_that_is_made_has_its_calls() -> None:
    """A new type of resource needs an entry in tests/aws_calls.py, and what it calls a place in the policies."""
    assert {name for name in named_in_components() if resource(name)} == set(CALLS)
    assert {name for name in named_in_components() if "get_" in name} == set(LOOKUPS)


@pytest.mark.parametrize("name", [*CALLS, *LOOKUPS])
def test_whoever_deploys_may_call_all_of_it(name: str) -> None:
    calls = {**CALLS, **LOOKUPS}[name]
    assert sorted(action for action in calls.all if not allowed(action, *DEPLOY)) == []


@pytest.mark.parametrize("name", [*CI_MAKES, *CI_CHANGES, *LOOKUPS])
def test_ci_may_change_what_it_is_for(name: str) -> None:
    calls = {**CALLS, **LOOKUPS}[name]
    needed = set(calls.on_update) if name not in CI_MAKES else {*calls.create.split(), *calls.on_update}
    assert sorted(action for action in needed - NOT_CI if not allowed(action, CI)) == []


@pytest.mark.parametrize("name", [*CALLS, *LOOKUPS])
def test_every_call_is_an_action_that_aws_has(name: str) -> None:
    calls = {**CALLS, **LOOKUPS}[name]
    for action in calls.all:
        service, _, operation = action.partition(":")
        known = PERMIT.get(action, operation)
        assert known is None or known in operations(service), action


def test_nothing_is_allowed_that_nothing_calls() -> None:
    """Least privilege: an action that was named for a resource goes when the resource goes."""
    called = frozenset[str]().union(*(calls.all for calls in [*CALLS.values(), *LOOKUPS.values()]))
    called |= {action for _, action in commands()} | STATE
    for path in DEPLOY:
        for found in statements(path):
            for pattern in found["Action"]:
                assert any(fnmatchcase(action, pattern) for action in called), f"{found['Sid']}: {pattern}"


STATE = frozenset({"s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"})
"""What Pulumi itself does with its state in a bucket."""

SET_UP = frozenset({"sts:AssumeRole"})
"""What only a stack with `aws:assumeRole` calls: whoever sets that names the role, and lets it be taken on."""

# --- what our own commands call ---------------------------------------------------------------------------------------


@cache
def commands() -> frozenset[tuple[str, str]]:
    """File with line → action, for every call of a client of botocore or of the AWS CLI in our own code."""
    found = set[tuple[str, str]]()
    for path, tree in trees("quayside", "components", "planning", "platforms"):
        nodes = list(ast.walk(tree))
        services = {
            str(node.args[0].value)
            for node in nodes
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name | ast.Attribute)
            and ast.unparse(node.func).rpartition(".")[2] in ("client", "_client", "create_client")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        }
        methods = {(method, service): action for service in services for method, action in methods_of(service)}
        for node in nodes:
            name = _operation(node)
            for service in services:
                if action := methods.get((name, service)):
                    found.add((f"{path.relative_to(REPOSITORY)}:{getattr(node, 'lineno', 0)}", action))
            if isinstance(node, ast.List) and (action := _of_the_cli(node)):
                found.add((f"{path.relative_to(REPOSITORY)}:{node.lineno}", action))
    return frozenset((at, action) for at, action in found if action not in SET_UP)


def _operation(node: ast.AST) -> str:
    """The snake_case name that a call asks a client for."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return ""
    if node.func.attr in ("get_paginator", "get_waiter") and isinstance(node.args[0], ast.Constant):
        return str(node.args[0].value)
    return node.func.attr


def _of_the_cli(node: ast.List) -> str:
    """``["ecs", "execute-command", …]`` → its action."""
    words = [str(word.value) for word in node.elts[:2] if isinstance(word, ast.Constant)]
    if len(words) < 2 or words[0] not in Loader().list_available_services("service-2"):
        return ""
    return dict(methods_of(words[0])).get(words[1].replace("-", "_"), "")


@cache
def methods_of(service: str) -> tuple[tuple[str, str], ...]:
    prefix = {model: prefix for prefix, model in MODELS.items()}.get(service, service)
    return tuple((xform_name(operation), f"{prefix}:{operation}") for operation in operations(service))


def test_the_calls_of_our_commands_are_found() -> None:
    actions = {action for _, action in commands()}
    assert {"logs:FilterLogEvents", "ecs:ExecuteCommand", "ecs:ListTasks", "ecs:DescribeServices"} <= actions


def test_whoever_deploys_may_run_our_commands() -> None:
    assert sorted(f"{at} {action}" for at, action in commands() if not allowed(action, *DEPLOY)) == []


def test_ci_may_call_what_the_program_itself_calls() -> None:
    """A component that asks AWS does so in every `up`."""
    ours = {(at, action) for at, action in commands() if not at.startswith("quayside/")}
    assert "elasticloadbalancing:DescribeTargetHealth" in {action for _, action in ours}  # after each release
    assert sorted(f"{at} {action}" for at, action in ours if not allowed(action, CI)) == []


def test_shells_are_opened_in_this_stack_alone() -> None:
    (found,) = [found for path in DEPLOY for found in statements(path) if "ecs:ExecuteCommand" in found["Action"]]
    assert found["Condition"] == {"StringEquals": {"aws:ResourceTag/quayside:stack": "quayside/prod"}}
    assert "*" not in found["Resource"]


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(DOCS.glob("*-policy.json")), ids=lambda path: path.stem)
def test_each_policy_fits_into_a_managed_one(path: Path) -> None:
    """6,144 characters, white space not counted (IAM reference_iam-quotas.html); people have no roles of their own."""
    assert len("".join(path.read_text().split())) <= 6_144
    assert json.loads(path.read_text())["Version"] == "2012-10-17"
