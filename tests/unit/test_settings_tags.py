"""Tags of a person's own: what AWS takes, what is taken already, and where there are none."""

from __future__ import annotations

from typing import Any

import pytest

from planning.aws.tasks import PATIENCE, bad_checks
from settings.parse import parse
from settings.problems import ConfigError

SERVICES = "services: {web: {image: nginx, port: 80, on: fargate}}"
DIGEST = "sha256:" + "a" * 64
AWS: dict[str, Any] = {"cloud": "aws", "domain": "example.com", "services": {"web": {"image": {"digest": DIGEST}}}}


def problems(tags: Any, **config: Any) -> list[str]:
    region = "eu-central-1" if {**AWS, **config}["cloud"] == "aws" else None
    try:
        parse(
            project="shop",
            stack="prod",
            services=SERVICES,
            config={**AWS, **config, "tags": tags},
            secrets=[],
            region=region,
        )
    except ConfigError as error:
        return [str(problem) for problem in error.problems if "tags" in problem.path]
    return []


@pytest.mark.parametrize(
    "tags",
    [
        {"team": "shop"},
        {"k" * 128: "v" * 256},
        {"cost centre": "A/B: c_d.e+f-g@h=i"},
        {"empty": "", "number": 4711, "Größe": "groß"},
        {f"key-{number}": "v" for number in range(40)},
    ],
)
def test_what_aws_takes(tags: Any) -> None:
    assert problems(tags) == []


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"aws:team": "x"}, "aws:team begins with what AWS keeps for itself"),
        ({"AWS:team": "x"}, "AWS:team begins with what AWS keeps for itself"),
        ({"quayside:stack": "x"}, "quayside:stack begins with what quayside keeps for itself"),
        ({"Name": "x"}, "Name is each resource's own: the console shows it"),
        ({"k" * 129: "x"}, "should be 1–128 letters, digits, spaces or _.:/=+-@, without spaces at the ends"),
        ({"a,b": "x"}, "should be 1–128 letters"),
        ({" a": "x"}, "should be 1–128 letters"),
        ({"a": "x" * 257}, "should be at most 256 letters"),
        ({"a": "b|c"}, "should be at most 256 letters"),
        ({"a": ["b"]}, "should be text, a number, true or false"),
        ({"Team": "a", "team": "b"}, "has Team and team, which are one key to IAM"),
        ({f"key-{number}": "v" for number in range(41)}, "should be at most 40 tags"),
        (["team"], "should be"),
    ],
)
def test_what_it_does_not_take(tags: Any, said: str) -> None:
    (problem,) = problems(tags)
    assert problem.startswith("quayside:tags")
    assert said in problem


@pytest.mark.parametrize("cloud", ["local", "hetzner"])
def test_other_clouds_refuse_them_by_name(cloud: str) -> None:
    (problem,) = problems({"team": "shop"}, cloud=cloud)
    assert problem.startswith(f"quayside:tags: is for cloud aws, and this stack is {cloud}")


@pytest.mark.parametrize(("interval", "count"), [(5, 9), (10, 5), (15, 3), (30, 3), (300, 3)])
def test_a_task_may_fail_its_checks_for_a_while(interval: int, count: int) -> None:
    assert bad_checks(interval) == count
    assert interval * count >= PATIENCE
