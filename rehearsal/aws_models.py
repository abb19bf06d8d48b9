"""AWS's own description of its API, as botocore carries it: what each parameter takes.

The models are read only when a stack has a resource of package aws, and each service once a process.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One parameter: its type, and what AWS limits about its value."""

    kind: str
    """structure, list, map, string, integer, long, float, double, boolean, timestamp or blob."""
    name: str
    enum: frozenset[str] = frozenset()
    low: float | None = None
    """The least value of a number, the least length of a string, list or map."""
    high: float | None = None
    pattern: re.Pattern[str] | None = None
    required: frozenset[str] = frozenset()
    members: dict[str, Shape] = field(default_factory=dict[str, "Shape"], repr=False)
    """A structure's members; a list's under ``member``; a map's under ``key`` and ``value``."""
    unread: str = ""
    """A pattern that Python's expressions cannot say, and which therefore limits nothing here."""
    tokens: frozenset[str] = frozenset()
    """Members that every client fills in by itself, to make a request idempotent."""

    @property
    def item(self) -> Shape:
        return self.members["member"]


@lru_cache
def request(call: str) -> Shape:
    """The input of an operation, as in ``ecs:CreateService``."""
    service, _, operation = call.partition(":")
    with _CONVERTING:
        return _converted(service, _model(service).operation_model(operation).input_shape)


@lru_cache
def operations(service: str) -> frozenset[str] | None:
    """The operations of the botocore model `service`; None where there is no such model."""
    try:
        return frozenset(_model(service).operation_names)
    except importlib.import_module("botocore.exceptions").UnknownServiceError:
        return None


@lru_cache
def regions() -> frozenset[str]:
    """Every region of every partition."""
    partitions = _loader().load_data("endpoints")["partitions"]
    return frozenset(region for partition in partitions for region in partition["regions"])


@lru_cache
def partitions() -> frozenset[str]:
    return frozenset(partition["partition"] for partition in _loader().load_data("endpoints")["partitions"])


@lru_cache
def documentation(service: str, shape: str, member: str) -> str:
    """What AWS writes about a member: the source of limits which the model does not carry in a form to check."""
    return str(_model(service).shape_for(shape).members[member].documentation)


@lru_cache
def _loader() -> Any:
    return importlib.import_module("botocore.loaders").Loader()


@lru_cache
def _model(service: str) -> Any:
    description = _loader().load_service_model(service, "service-2")
    return importlib.import_module("botocore.model").ServiceModel(description, service)


_CONVERTING = threading.RLock()
"""Registrations are checked on many threads, and none may see a structure before it has its members."""

_SHAPES: dict[tuple[str, str], Shape] = {}
"""Shapes refer to themselves (a condition in a condition), so each is kept before its members are converted."""


def _converted(service: str, shape: Any) -> Shape:
    key = (service, str(shape.name))
    if key in _SHAPES:
        return _SHAPES[key]
    limits: dict[str, Any] = shape.metadata
    kind = str(shape.type_name)
    pattern = _pattern(limits.get("pattern"))
    found = Shape(
        kind=kind,
        name=key[1],
        enum=frozenset(map(str, getattr(shape, "enum", ()) or ())),
        low=_number(limits.get("min")),
        high=_number(limits.get("max")),
        pattern=pattern,
        unread=str(limits.get("pattern")) if limits.get("pattern") and pattern is None else "",
        required=frozenset(limits.get("required", ())) if kind == "structure" else frozenset(),
        tokens=frozenset(_tokens(shape)) if kind == "structure" else frozenset(),
    )
    _SHAPES[key] = found
    if kind == "structure":
        found.members.update({str(name): _converted(service, member) for name, member in shape.members.items()})
    elif kind == "list":
        found.members["member"] = _converted(service, shape.member)
    elif kind == "map":
        found.members.update(key=_converted(service, shape.key), value=_converted(service, shape.value))
    return found


def _tokens(shape: Any) -> Iterator[str]:
    for name, member in shape.members.items():
        if member.metadata.get("idempotencyToken"):
            yield str(name)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _pattern(text: Any) -> re.Pattern[str] | None:
    """AWS writes Java's expressions."""
    if not text:
        return None
    try:
        return re.compile(_translated(str(text)))
    except re.error:
        return None


_PYTHON = (
    (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]", "[ -\ud7ff\ue000-\U0010ffff\\r\\n\\t]"),
    (r"\w-_", r"\w\-_"),
    (r"\w-\/", r"\w\-\/"),
    # What tags and names are written with: letters, spaces, digits.
    (r"\p{L}", r"\w"),
    (r"\p{M}", ""),
    (r"\p{Zs}", " "),
    (r"\p{Z}", r"\s"),
    (r"\p{N}", r"\d"),
    (r"\p{S}", "+<=>|~$^`"),
    (r"\p{P}", r"!-/:-@\[-`{-~"),
    (r"\p{Print}", r"[\x20-\x7e]"),
    (r"\p{ASCII}", r"[\x00-\x7f]"),
)
"""What Java's expressions have and Python's have not."""


def _translated(text: str) -> str:
    for java, python in _PYTHON:
        text = text.replace(java, python)
    return text
