"""What is said of unknown keys: a near misspelling, or what stands in the place of another tool's key."""

from __future__ import annotations

from typing import Any

import pytest

from settings.hints import CLOUDS, misspelt
from settings.parse import parse
from settings.problems import ConfigError
from settings.service import Service
from settings.stack import Stack

DIGEST = f"sha256:{'a' * 64}"
CONFIG: dict[str, dict[str, Any]] = {
    "local": {"cloud": "local"},
    "aws": {"cloud": "aws", "domain": "example.com", "capacity": {"instances": {"types": ["m7g.large"], "max": 4}}},
    "hetzner": {"cloud": "hetzner", "domain": "example.com"},
}


def problems(cloud: str, service: dict[str, Any], **stack: Any) -> list[str]:
    """Paths of all problems."""
    try:
        parse(
            project="shop",
            stack="dev",
            services="services: {}",
            config={**CONFIG[cloud], **stack, "services": {"a": {"image": f"a@{DIGEST}", **service}}},
            secrets=["key"],
            region="eu-central-1",
        )
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


# Each with a value that is not its default, and what else it needs.
SERVICE: dict[str, dict[str, Any]] = {
    "image": {},
    "command": {"command": "serve"},
    "user": {"user": "1000:1000"},
    "port": {"port": 80},
    "protocol": {"port": 5432, "protocol": "tcp"},
    "routes": {"port": 80, "routes": ["www.example.com"]},
    "cpu": {"cpu": 0.5},
    "memory": {"memory": "512MiB"},
    "replicas": {"replicas": 2},
    "health": {"port": 80, "health": "/up"},
    "uses": {"uses": []},
    "after": {"after": []},
    "env": {"env": {"A": "b"}},
    "secrets": {"secrets": {"A": "key"}},
    "files": {"files": {"/etc/a/b": {"content": "c"}}},
    "volume": {"volume": "/data", "user": "999:999"},
    "sticky": {"port": 80, "sticky": "1h"},
    "drain": {"drain": "10s"},
    "canary": {"port": 80, "canary": {"image": f"b@{DIGEST}", "share": 10}},
    "network": {"network": "host"},
    "read_only": {"read_only": False},
    "writable": {"writable": ["/var/cache"]},
    "capabilities": {"capabilities": ["CHOWN"]},
    "place": {"place": "host1"},
    "on": {"on": "fargate"},
    "balancer": {"port": 80, "balancer": 2},
    "priority": {"port": 80, "routes": ["a.example.com"], "priority": {"a.example.com": 7}},
    "rollout": {"port": 80, "rollout": {"strategy": "blue_green"}},
    "ports": {"ports": [{"port": 22, "sources": ["198.51.100.0/24"]}]},
    "slow_start": {"port": 80, "slow_start": "60s"},
    "architecture": {"architecture": "arm64"},
    "permissions": {"permissions": [{"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::a/*"]}]},
    "egress": {"egress": []},
    "exec": {"exec": True, "read_only": False},
}


@pytest.mark.parametrize("cloud", CONFIG)
@pytest.mark.parametrize("key", Service.model_fields)
def test_a_key_is_known_on_the_clouds_that_take_it(key: str, cloud: str) -> None:
    found = problems(cloud, SERVICE[key])
    refused = any(line.startswith((f"services/a/{key}:", f"services/a/{key}/")) for line in found)
    if key == "volume" and cloud == "hetzner":
        assert [line.partition(":")[0] for line in found] == ["services/a/place"]
        return
    assert refused is (cloud not in CLOUDS["Service"].get(key, CONFIG)), found


@pytest.mark.parametrize("cloud", CONFIG)
def test_known_keys_are_those_of_this_cloud(cloud: str) -> None:
    (found,) = problems(cloud, {"zzzz": 1})
    listed = found.partition("known keys: ")[2].split(", ")
    assert listed == [key for key in Service.model_fields if cloud in CLOUDS["Service"].get(key, CONFIG)]
    (found,) = problems(cloud, {}, zzzz=1)
    listed = found.partition("known keys: ")[2].split(", ")
    assert not set(listed) & {key for key, clouds in CLOUDS["Stack"].items() if cloud not in clouds}
    assert set(CLOUDS["Stack"]) <= set(Stack.model_fields)


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("prot", "port"),
        ("cpo", "cpu"),
        ("rotues", "routes"),
        ("replica", "replicas"),
        ("helath", "health"),
        ("user ", "user"),
    ],
)
def test_a_slip_is_a_misspelling(word: str, known: str) -> None:
    assert misspelt(word, SERVICE) == known


@pytest.mark.parametrize("word", ["cron", "auth", "gpus", "dns", "hostname", "redirect", "tmp", ""])
def test_another_word_is_none(word: str) -> None:
    assert misspelt(word, SERVICE) is None


def test_a_key_of_another_cloud_is_no_misspelling() -> None:
    (found,) = problems("local", {"plcae": "x"})
    assert found.startswith("services/a/plcae: unknown key\n    known keys: image, ")
    (found,) = problems("hetzner", {"plcae": "x"})
    assert found == 'services/a/plcae: unknown key; did you mean "place"?'
