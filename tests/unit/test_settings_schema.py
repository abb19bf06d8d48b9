"""The generated files are current, and accept what the parser accepts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from settings.document import read_yaml
from settings.schema import outputs, services_schema, stack_schema
from tests.unit.test_settings import PROD, SERVICES, STAGING

ROOT = Path(__file__).parents[2]


def errors(schema: dict[str, Any], document: object) -> list[str]:
    jsonschema.Draft7Validator.check_schema(schema)
    return [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(document)]


def stack_file(config: dict[str, object]) -> dict[str, object]:
    keys = {f"quayside:{key}": value for key, value in config.items()}
    return {"encryptionsalt": "v1:x", "config": {"aws:region": "eu-central-1", **keys}}


@pytest.mark.parametrize("path", outputs(), ids=lambda path: path.name)
def test_generated_files_are_current(path: Path) -> None:
    assert path.read_text() == outputs()[path], "run `make schema`"


def test_defaults_are_written_as_people_write_them() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    assert "| `quayside:logs` | days, `30d` | `30d` |" in text
    assert "| `disk` | `512MiB` | `40GiB` |" in text
    for cell in re.findall(r"\| `([0-9][^`]*)` \|", text):
        assert not re.fullmatch("[0-9]{5,}|[0-9]{3,}m|[0-9]{4,}MiB", cell), cell


def test_the_designs_services_are_valid() -> None:
    assert errors(services_schema(), yaml.safe_load(SERVICES)) == []


@pytest.mark.parametrize("config", [PROD, STAGING, {"cloud": "local", "edge": {"http": 8080}}])
def test_the_designs_stacks_are_valid(config: dict[str, object]) -> None:
    assert errors(stack_schema(), stack_file(config)) == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("**/services.yaml")), ids=str)
def test_the_repositorys_services_are_valid(path: Path) -> None:
    assert errors(services_schema(), yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("**/Pulumi.*.yaml")), ids=str)
def test_the_repositorys_stacks_are_valid(path: Path) -> None:
    # Not YAML 1.1, which reads `on` as true.
    assert errors(stack_schema(), read_yaml(path.read_text(), path.name)) == []


@pytest.mark.parametrize(
    "service",
    [
        {"health": {"command": ["true"]}},
        {"volume": {"path": "/data", "size": "1GiB"}},
        {"files": {"/a": "b", "/c": {"content": "d"}}},
        {"replicas": 3, "command": "sleep 1", "env": {"A": 1, "B": True}},
        {"image": {"repository": "acme/web", "digest": f"sha256:{'0' * 64}"}},
        {"port": "8080", "cpu": "0.5", "user": 1000, "volume": None},
    ],
)
def test_short_and_long_forms_are_valid(service: dict[str, object]) -> None:
    assert errors(services_schema(), {"services": {"web": service}}) == []


@pytest.mark.parametrize(
    "service",
    [
        {"prot": 1},
        {"port": 0},
        {"memory": 512},
        {"memory": "5"},
        {"routes": ["https://x"]},
        {"health": "x"},
        {"drain": 3},
    ],
)
def test_wrong_services_are_invalid(service: dict[str, object]) -> None:
    assert errors(services_schema(), {"services": {"web": service}})


def test_unknown_keys_of_ours_are_invalid_and_others_are_free() -> None:
    assert errors(stack_schema(), {"config": {"quayside:cluod": "aws"}})
    assert not errors(stack_schema(), {"config": {"aws:anything": {"x": [1]}}})
    assert errors(stack_schema(), {"config": {"quayside:secrets": {"stripe": "in the clear"}}})


def test_schemas_describe_every_key() -> None:
    service = services_schema()["definitions"]["Service"]["properties"]
    assert [key for key, schema in service.items() if not schema.get("description")] == []
    assert json.loads((ROOT / "schemas" / "services.schema.json").read_text()) == services_schema()
