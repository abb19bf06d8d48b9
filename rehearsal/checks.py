"""Checks every input against the provider SDK's own argument types.

Mocks accept misspelt nested keys and wrong types, and Python hands dictionaries through unchecked, so that without
this a typing error inside ``labels`` or ``networks_advanced`` would first show on the real provider.
"""

from __future__ import annotations

import collections.abc
import difflib
import enum
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import pulumi

from rehearsal.record import Registration
from rehearsal.values import Sealed, Secret, Unknown, mapping, sequence

_pulumi_types: Any = importlib.import_module("pulumi._types")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing wrong with the program's resources."""

    path: str
    message: str
    fix: str = ""
    key: str = ""
    """The top-level input it is in."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" + (f"\n    {self.fix}" if self.fix else "")

    def to_json(self) -> dict[str, str]:
        return {"path": self.path, "message": self.message, "fix": self.fix}


@dataclass(frozen=True, slots=True)
class _Shape:
    """What an Args class takes: Pulumi name to type, and the names that must be there."""

    types: dict[str, Any]
    required: frozenset[str]


def check(found: Registration) -> list[Finding]:
    """Everything in `found`'s inputs that its provider would not take."""
    if not found.custom:
        return []
    cls = _args_class(found.type)
    if cls is None:
        return []
    where = f"{found.name} ({found.type})"
    return [replace(f, key=f.path.removeprefix(f"{where}/").partition("/")[0]) for f in _findings(found, cls, where)]


def _findings(found: Registration, cls: type, where: str) -> list[Finding]:
    if found.type.startswith("pulumi:providers:"):  # a provider's structured settings travel as JSON text
        known = set(_shape(cls).types) | {"version", "pluginDownloadURL"}
        return [_unknown_key(f"{where}/{key}", key, known) for key in found.inputs if key not in known]
    return list(_check_object(found.inputs, cls, where))


def _args_class(token: str) -> type | None:
    package, _, rest = token.partition(":")
    module, _, name = rest.partition(":")
    if package == "pulumi" and module == "providers":
        package, module, name = name, "index", "Provider"
    # Pulumi's own, or the community's.
    names = (f"{maker}_{package.replace('-', '_')}" for maker in ("pulumi", "pulumiverse"))
    sdk = next((name for name in names if name in sys.modules), None)
    if sdk is None:  # not used by the program through an SDK: nothing to check against
        return None
    return _load_args(sdk, module, name)


@lru_cache(maxsize=512)
def _load_args(sdk: str, module: str, name: str) -> type | None:
    inner = module.partition("/")[0]
    path = sdk if inner in ("index", "") else f"{sdk}.{inner}"
    try:
        package = importlib.import_module(path)
    except ImportError:
        return None
    # Where an object nested in another resource has the name (BucketVersioning's Args, Bucket's `versioning`), the
    # resource's own are called InitArgs.
    for ending in ("InitArgs", "Args"):
        cls: Any = getattr(package, f"{name}{ending}", None)
        if isinstance(cls, type) and _pulumi_types.is_input_type(cls):
            return cls
    return None


@lru_cache(maxsize=512)
def _shape(cls: Any) -> _Shape:
    names: dict[str, str] = _pulumi_types.input_type_py_to_pulumi_names(cls)
    parameters = inspect.signature(cls.__init__).parameters.values()
    required = {names[p.name] for p in parameters if p.name in names and p.default is inspect.Parameter.empty}
    return _Shape(dict(_pulumi_types.input_type_types(cls)), frozenset(required))


def _check_object(members: dict[str, Any], cls: Any, path: str) -> Iterator[Finding]:
    shape = _shape(cls)
    for key in sorted(members):
        if key not in shape.types:
            yield _unknown_key(f"{path}/{key}", key, set(shape.types))
        else:
            yield from _check_value(members[key], shape.types[key], f"{path}/{key}")
    for key in sorted(shape.required - set(members)):
        yield Finding(f"{path}/{key}", "is missing, and the provider requires it")


def _unknown_key(path: str, key: str, known: set[str]) -> Finding:
    near = difflib.get_close_matches(key, known, 1, 0.6)
    return Finding(path, "is no input of this resource", f"did you mean `{near[0]}`?" if near else "")


def _check_value(value: Any, expected: Any, path: str) -> Iterator[Finding]:
    if isinstance(value, Unknown | Sealed) or value is None:
        return
    if isinstance(value, Secret):
        yield from _check_value(value.value, expected, path)
        return
    choices = _choices(expected)
    if not choices:
        return
    objects = [c for c in choices if isinstance(c, type) and _pulumi_types.is_input_type(c)]
    if objects and (members := mapping(value)) is not None:
        results = [list(_check_object(members, cls, path)) for cls in objects]
        yield from min(results, key=len)
        return
    verdicts = [_check_plain(value, choice, path) for choice in choices]
    if all(verdict is not None for verdict in verdicts):
        yield from min((v for v in verdicts if v is not None), key=len)


def _choices(expected: Any) -> list[Any]:
    """The plain alternatives of a type, without what makes it an Input (awaitables, outputs, None); empty: anything."""
    if expected is Any or isinstance(expected, str | typing.ForwardRef | typing.TypeVar):
        return []
    origin = typing.get_origin(expected)
    if origin is typing.Union or origin is types.UnionType:
        found: list[Any] = []
        for part in typing.get_args(expected):
            inner = typing.get_origin(part) or part
            if part is type(None) or inner is collections.abc.Awaitable or inner is pulumi.Output:
                continue
            choices = _choices(part)
            if not choices:
                return []
            found.extend(choices)
        return found
    return [expected]


def _check_plain(value: Any, expected: Any, path: str) -> list[Finding] | None:
    """None where `value` is of the type `expected`, else what is wrong."""
    origin = typing.get_origin(expected) or expected
    arguments = typing.get_args(expected)
    items, members = sequence(value), mapping(value)
    if isinstance(origin, type):
        if issubclass(origin, enum.Enum):
            allowed = [member.value for member in origin]
            return None if value in allowed else [Finding(path, f"should be one of {allowed}, got {value!r}")]
        if origin is str:
            return None if isinstance(value, str) else [_wrong(path, "a string", value)]
        if origin is bool:
            return None if isinstance(value, bool) else [_wrong(path, "true or false", value)]
        if origin in (int, float):
            good = isinstance(value, int | float if origin is float else int) and not isinstance(value, bool)
            return None if good else [_wrong(path, "a whole number" if origin is int else "a number", value)]
        if issubclass(origin, collections.abc.Mapping) or origin is dict:
            if members is None:
                return [_wrong(path, "a mapping", value)]
            inner = arguments[1] if len(arguments) == 2 else Any
            return [f for key, item in members.items() for f in _check_value(item, inner, f"{path}/{key}")] or None
        if _pulumi_types.is_input_type(origin):
            return [_wrong(path, "an object", value)]
        if issubclass(origin, collections.abc.Sequence):
            if items is None:
                return [_wrong(path, "a list", value)]
            inner = arguments[0] if arguments else Any
            return [f for i, item in enumerate(items) for f in _check_value(item, inner, f"{path}/{i}")] or None
    return None


def _wrong(path: str, expected: str, value: Any) -> Finding:
    text = repr(value)
    return Finding(path, f"should be {expected}, got {text if len(text) <= 60 else text[:57] + '…'}")
