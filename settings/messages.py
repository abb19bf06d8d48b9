"""What is wrong with a value, in our words: pydantic's errors as problems."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from settings.document import shown, shown_text, step
from settings.hints import of_value, unknown_key
from settings.problems import Problem
from settings.service import Service


def field(model: type[BaseModel], key: str) -> object:
    """A field's annotation together with its rules."""
    return field_types(model)[key]


@cache
def field_types(model: type[BaseModel]) -> dict[str, object]:
    """The annotation of every field of a model, together with its rules."""
    hints = typing.get_type_hints(model, include_extras=True)
    return {key: hints[key] for key in model.model_fields}


def translated(error: ValidationError, root: object, prefix: str, cloud: str | None = None) -> list[Problem]:
    """What pydantic found at ``prefix``, where a value of type ``root`` should be."""
    details = error.errors(include_url=False)
    places = [detail["loc"] for detail in details]

    def counted_wrong_items(detail: ErrorDetails) -> bool:
        at = detail["loc"]
        return detail["type"] == "too_short" and any(len(loc) > len(at) and loc[: len(at)] == at for loc in places)

    return [_problem(detail, root, prefix, cloud) for detail in details if not counted_wrong_items(detail)]


_EXPECTED = {
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "iterable_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "none_required": "left out",
}


def _problem(detail: ErrorDetails, root: object, prefix: str, cloud: str | None) -> Problem:
    of_key = detail["loc"][-1:] == ("[key]",) and detail["type"] != "extra_forbidden"
    parts = detail["loc"][:-1] if of_key else detail["loc"]
    where = [part for part in parts if not (isinstance(part, str) and part.startswith("\0"))]  # the tags of unions
    context = cast("dict[str, object]", detail.get("ctx", {}))
    path = "/".join([prefix, *(step(part) for part in where)]).replace("//", "/")
    fix = str(context.get("fix", ""))
    got = shown(cast("object", detail["input"]))
    kind = detail["type"]
    if kind == "should_be":
        if path == "quayside:balancer/logs" and detail["input"] in ("none", "no", "off", False, 0):
            fix = "write null for no logs"
        about = "the name " if of_key else ""
        return Problem(path, f"{about}should be {context['allowed']}, got {got}", fix)
    if kind == "refused":
        at = f"{path}/{step(context['at'])}" if context.get("at") else path
        return Problem(at, str(context["message"]), fix)
    if kind == "missing":
        return Problem(path, "is missing", _missing_fix(where, root))
    if kind == "extra_forbidden":
        models = _known_models(root, where[:-1])
        of = models[0].__name__ if models else ""
        return unknown_key(path, where[-1], _keys(models), of=of, cloud=cloud)
    if kind == "literal_error":
        allowed = re.findall("'([^']*)'", str(context.get("expected", "")))
        message = f"should be {' or '.join([', '.join(allowed[:-1]), allowed[-1]])}, got {got}"
        return Problem(path, message, of_value(path, cast("object", detail["input"]), allowed))
    if kind in {"string_too_short", "string_too_long"}:
        bound = f"at least {context['min_length']}" if "min_length" in context else f"at most {context['max_length']}"
        return Problem(path, f"should be {bound} characters, got {len(str(detail['input']))}: {got}")
    if kind == "too_short":
        least = context["min_length"]
        return Problem(
            path, f"should be a list with at least {'one item' if least == 1 else f'{least} items'}, got {got}"
        )
    if kind == "string_pattern_mismatch":
        return Problem(path, f"should be written with letters, digits and _+/-, got {got}")
    expected = _EXPECTED.get(kind)
    if expected is None:
        return Problem(path, f"is not valid here, got {got}")
    if expected == "a list" and isinstance(detail["input"], str):
        fix = f"write [{shown_text(detail['input'])}]" if len(detail["input"]) < 40 else ""
    if expected == "a list" and isinstance(detail["input"], dict):
        fix = "begin each item with `- `"
    if root is Service and not where:
        fix = f"write {{image: {shown_text(detail['input']) if isinstance(detail['input'], str) else '…'}}}"
    elif expected == "a mapping" and (keys := _keys(_known_models(root, where))):
        fix = f"known keys: {', '.join(keys)}"
    return Problem(path, f"should be {expected}, got {got}", fix)


def _missing_fix(where: list[str | int], root: object) -> str:
    if root is Service and where == ["image"]:
        return "set it in services.yaml, or in the stack's file under quayside:services"
    if where[-1:] == ["host_key"]:
        return (
            "`ssh-keyscan -t ed25519 ADDRESS` prints it, after the address; compare it with what the server itself has"
        )
    return ""


def _known_models(annotation: object, where: Iterable[str | int]) -> list[type[BaseModel]]:
    """The models that a value at this place may be."""
    found = _models(annotation)
    for part in where:
        inner: list[object] = []
        for candidate in found:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                if part in candidate.model_fields:
                    inner += _models(field(candidate, str(part)))
            else:
                inner += _models(get_args(candidate)[-1 if get_origin(candidate) is dict else 0])
        found = inner
    return [model for model in found if isinstance(model, type) and issubclass(model, BaseModel)]


def _keys(models: Iterable[type[BaseModel]]) -> list[str]:
    return list(dict.fromkeys(key for model in models for key in model.model_fields))


def _models(annotation: object) -> list[object]:
    """The models and containers that a value of this annotation may be."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _models(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return [model for option in get_args(annotation) for model in _models(option)]
    if origin in {dict, tuple} or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return [annotation]
    return []
