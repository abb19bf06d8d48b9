"""Whatever is written, parsing ends with a Stack or with problems a person can read."""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settings.parse import parse
from settings.problems import ConfigError
from settings.service import Service
from settings.stack import Stack
from tests.unit.test_settings import PROD, SERVICES, STAGING

JARGON = ("Traceback", "Input should be", "type=", "pydantic", "validation error", "<class")
DATA = settings(max_examples=700, deadline=None, database=None, suppress_health_check=list(HealthCheck))
TEXT = settings(DATA, max_examples=2500)
ODD = settings(DATA, max_examples=200)
KEYS = [
    *Service.model_fields,
    *Stack.model_fields,
    "path",
    "min",
    "max",
    "count",
    "type",
    "x",
    "",
    "[key]",
    "\0range",
    "a/b",
    "${x}",
    "é\n",
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["512MiB", "30s", "/x", "x@sha256:1", "{domain}", "*.{domain}/a", "a.b", "10.0.0.0/8", "{", "[1]", "web"]
    ),
)
keys = st.one_of(st.sampled_from(KEYS), st.text(max_size=8))
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(keys, st.integers(), st.booleans()), inner, max_size=4),
    ),
    max_leaves=8,
)
clouds = st.sampled_from(["local", "aws", "hetzner", "gcp", None, 3])


def outcome(services: str, config: dict[str, Any]) -> Stack | ConfigError:
    try:
        return parse(project="quayside", stack="dev", services=services, config=config, secrets=["stripe"])
    except ConfigError as error:
        return error


def is_total(services: str, config: dict[str, Any]) -> None:
    result = outcome(services, config)
    if isinstance(result, Stack):
        return
    assert result.problems
    assert all(problem.path and problem.message for problem in result.problems)
    text = str(result)
    text.encode()
    assert not any(word in text for word in JARGON), text


def written(document: object) -> str:
    return yaml.safe_dump(document, allow_unicode=True)


@DATA
@given(service=st.dictionaries(keys, values, max_size=5), stack=st.dictionaries(keys, values, max_size=4), cloud=clouds)
def test_any_data_is_a_stack_or_problems(service: dict[str, Any], stack: dict[str, Any], cloud: Any) -> None:
    try:
        text = written({"services": {"web": {"image": "x", **service}}})
    except (yaml.YAMLError, UnicodeError):
        text = "services: {}"
    is_total(text, {"cloud": cloud, **stack})


def places(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [at, *(place for key, value in inner for place in places(value, (*at, key)))]


WHOLE = {"services": yaml.safe_load(SERVICES)["services"], "prod": PROD, "staging": STAGING}
PLACES = [place for place in places(WHOLE) if len(place) > 1]


@DATA
@given(data=st.data(), stack=st.sampled_from(["prod", "staging"]), as_json=st.booleans())
def test_a_damaged_document_is_a_stack_or_problems(data: st.DataObject, stack: str, as_json: bool) -> None:
    document: Any = copy.deepcopy(WHOLE)
    for place in data.draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)):
        parent = document
        for key in place[:-1]:
            try:
                parent = parent[key]
            except (KeyError, IndexError, TypeError):
                break
        else:
            if isinstance(parent, dict) and data.draw(st.booleans()):
                parent[data.draw(keys)] = parent.pop(place[-1], None)
            elif isinstance(parent, dict) or (
                isinstance(parent, list) and isinstance(place[-1], int) and place[-1] < len(parent)
            ):
                parent[place[-1]] = data.draw(values)
    try:
        text = written({"services": document["services"]})
    except (yaml.YAMLError, UnicodeError):
        text = SERVICES
    config = document[stack]
    if as_json:
        config = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    is_total(text, config)


fragments = st.lists(
    st.one_of(
        st.sampled_from([*":{}[],&*!|>-#?'\"%@`\n\t ", "\n  ", ": ", "- ", "<<: ", "&a ", "*a", "!!int ", "!!binary ",
                         "--- ", "services", "web", "image", "x", "1:30", "0x1F", "2026-01-01", ".inf", "? "]),
        st.text(max_size=4),
    ),
    max_size=25,
)  # fmt: skip


@TEXT
@given(parts=fragments, start=st.sampled_from(["", "services:\n  web: ", "services: {web: {image: x, "]))
def test_any_text_is_a_stack_or_problems(parts: list[str], start: str) -> None:
    is_total(start + "".join(parts), {"cloud": "local", "services": "".join(parts)})


strange = st.one_of(st.binary(), st.complex_numbers(), st.sets(st.integers()))


@ODD
@given(config=st.dictionaries(st.text(max_size=5), strange, max_size=3))
def test_config_that_is_no_plain_data(config: dict[str, Any]) -> None:
    is_total("services: {}", {"cloud": "local", "edge": next(iter(config.values()), None), **config})
