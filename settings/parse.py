"""Turns what a person wrote into a `Stack`, or into every problem with it at once; never into a traceback."""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from settings import rules
from settings.capacity import AwsCapacity, HostCapacity, Instances
from settings.document import join, plain, read_yaml, shown, shown_text, step
from settings.problems import ConfigError, Problem
from settings.service import Service
from settings.stack import Stack
from settings.types import Name, nearest, parse_image

SERVICES_FILE = "services.yaml"
_KEYS = tuple(key for key in Stack.model_fields if key not in {"project", "name", "region"})
KEYS = (*_KEYS, "secrets")
"""What stands behind ``quayside:`` in a stack's file."""
_CLOUDS = get_args(Stack.model_fields["cloud"].annotation)
_WRITTEN = {"written": True}
_NAMED = "--stack NAME"
_NAME: TypeAdapter[str] = TypeAdapter(Name)


def parse(
    *,
    project: str,
    stack: str,
    services: str,
    config: Mapping[str, object],
    secrets: Collection[str],
    region: str | None = None,
) -> Stack:
    """The stack that services.yaml and a stack's config describe; raises ConfigError, and nothing else.

    ``config`` has the stack's ``quayside:`` keys without the prefix; ``secrets`` the keys set under its secrets;
    ``region`` is ``aws:region``, which belongs to AWS's own provider.
    """
    problems = [*_check_name("project", project), *_check_name("stack", stack)]
    names = frozenset(key for key in secrets if isinstance(key, str))  # pyright: ignore[reportUnnecessaryIsInstance]
    shared = _shared_services(services, problems)
    settings, own = _settings(config, problems)
    # Without the file every service would be found incomplete, for that one reason.
    merged = {} if shared is None else _merge_services(shared, own, problems)
    cloud = settings.get("cloud") if settings.get("cloud") in _CLOUDS else None
    head = _head(project, stack, settings, cast("str | None", cloud), problems)
    if cloud == "aws" and region is not None:
        found = _part("region", region, _field(Stack, "region"), problems, "aws:region")
        head = head.model_copy(update=found or {"region": ""})  # wrong, and reported: nothing is compared with it
    ready: dict[str, Service] = {}
    for name, written in merged.items():
        problems += _check_name(f"services/{step(name)}", name)
        ready |= _service(name, written, problems)
    if shared is not None:
        problems += rules.check(head, ready, names, cast("str | None", cloud), merged)
    if problems:
        raise ConfigError(for_stack(stack, problems))
    return head.model_copy(update={"services": ready})


def for_stack(stack: object, problems: Iterable[Problem]) -> list[Problem]:
    """The problems, with this stack's name in the commands that mend them."""
    named = f"--stack {stack}" if isinstance(stack, str) and re.fullmatch("[A-Za-z0-9_.-]{1,100}", stack) else _NAMED
    return [Problem(problem.path, problem.message, problem.fix.replace(_NAMED, named)) for problem in problems]


def _check_name(path: str, name: object) -> list[Problem]:
    fixes = {"project": "change `name` in Pulumi.yaml", "stack": "make one with `pulumi stack init NAME`"}
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        allowed = error.errors()[0].get("ctx", {}).get("allowed", "a name")
        return [
            Problem(path, f"the name should be {allowed}, got {shown(name)}", fixes.get(path, "rename the service"))
        ]
    return []


# --- reading and merging ---------------------------------------------------------------------------------------------


def _shared_services(text: str, problems: list[Problem]) -> dict[str, object] | None:
    """What services.yaml holds under ``services``; None where that cannot be told, and was reported."""
    try:
        document, found = plain(read_yaml(text, SERVICES_FILE), "")
    except ConfigError as error:
        problems += [p if p.path else Problem(SERVICES_FILE, p.message, p.fix) for p in error.problems]
        return None
    problems += found
    start = "begin with `services:`, then a service's name, then its image"
    if document is None:
        problems.append(Problem(SERVICES_FILE, "is empty", start))
        return None
    if not isinstance(document, dict):
        problems.append(Problem(SERVICES_FILE, f"should be a mapping with `services`, got {shown(document)}", start))
        return None
    mapping = cast("dict[str, object]", document)
    for key in mapping:
        if key != "services":
            problems.append(_unknown(step(key), key, ["services"]))
    if "services" not in mapping:
        if not any(nearest(key, ["services"]) for key in mapping):
            problems.append(Problem("services", "is missing", start))
        return None
    services = mapping["services"]
    if not isinstance(services, dict):
        problems.append(Problem("services", f"should be a mapping of services, got {shown(services)}", start))
        return None
    return cast("dict[str, object]", services)


def _settings(config: Mapping[str, object], problems: list[Problem]) -> tuple[dict[str, object], dict[str, object]]:
    """The stack's own keys, and its changes to services.yaml."""
    settings: dict[str, object] = {}
    for key, value in config.items():
        if not isinstance(key, str) or key not in _KEYS:  # pyright: ignore[reportUnnecessaryIsInstance]
            if key != "secrets":
                problems.append(_unknown(f"quayside:{step(key)}", key, KEYS))
            continue
        at = key if key == "services" else f"quayside:{key}"
        try:
            settings[key], found = plain(_decoded(value), at)
        except ConfigError as error:
            problems += error.problems
        else:
            problems += found
    own = settings.pop("services", None)
    if own is None:
        return settings, {}
    if not isinstance(own, dict):
        problems.append(Problem("quayside:services", f"should be a mapping of services, got {shown(own)}"))
        return settings, {}
    return settings, cast("dict[str, object]", own)


def _decoded(value: object) -> object:
    """Pulumi hands over objects as JSON text."""
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _merge_services(shared: dict[str, object], own: dict[str, object], problems: list[Problem]) -> dict[str, object]:
    merged = dict(shared)
    for name, changes in own.items():
        if changes is None:
            if name not in merged:
                close = nearest(name, merged)
                hint = f'did you mean "{close}"?' if close else "remove the line"
                problems.append(Problem(join("services", name), f"{SERVICES_FILE} has no such service to remove", hint))
            merged.pop(name, None)
        elif name not in merged and not _has_image(changes):
            close = nearest(name, shared)
            hint = f"; did you mean {step(close)}?" if close else ""
            fix = (
                ""
                if close
                else f"name it as {SERVICES_FILE} does, or give it an image, for a service of this stack only"
            )
            problems.append(Problem(join("quayside:services", name), f"no such service{hint}", fix))
        else:
            merged[name] = _merge(_long(merged.get(name), changes), _long(changes, merged.get(name)))
    return merged


def _has_image(service: object) -> bool:
    """Whether it may be a service of this stack only, and not the misspelt name of another."""
    image = cast("dict[str, object]", service).get("image") if isinstance(service, dict) else None
    return image is not None and (not isinstance(image, dict) or "repository" in image)


def _merge(base: object, changes: object) -> object:
    """Mappings key by key; ``null`` removes a key; anything else replaces what was there."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    merged = dict(cast("dict[str, object]", base))
    for key, value in cast("dict[str, object]", changes).items():
        if value is None and key in merged:
            del merged[key]
        else:
            merged[key] = _merge(merged[key], value) if key in merged else value
    return merged


def _long(service: object, other: object) -> object:
    """A service whose short forms are written out wherever the ``other`` side has a mapping to merge with."""
    if not isinstance(service, dict) or not isinstance(other, dict):
        return cast("object", service)
    full, partner = dict(cast("dict[str, object]", service)), cast("dict[str, object]", other)
    for key in ("health", "volume"):
        if isinstance(full.get(key), str) and isinstance(partner.get(key), dict):
            full[key] = {"path": full[key]}
    image, of_partner = full.get("image"), partner.get("image")
    if isinstance(image, dict) and isinstance(of_partner, str) and not _parses(of_partner):
        full["image"] = of_partner  # no digest mends it, and its own fault is what is to be told
    if isinstance(image, str) and isinstance(of_partner, dict):
        try:
            parts = parse_image(image)
        except ValueError:
            return full
        named = {"repository": parts.repository, "tag": parts.tag, "digest": parts.digest}
        full["image"] = {key: value for key, value in named.items() if value is not None}
    return full


def _parses(image: str) -> bool:
    try:
        parse_image(image)
    except ValueError:
        return False
    return True


# --- checking --------------------------------------------------------------------------------------------------------


def _service(name: str, written: object, problems: list[Problem]) -> dict[str, Service]:
    try:
        return {name: Service.model_validate(written, context=_WRITTEN)}
    except ValidationError as error:
        problems += _translated(error, Service, join("services", name))
        return _without_wrong(name, written, {detail["loc"][0] for detail in error.errors() if detail["loc"]})
    except RecursionError:
        problems.append(Problem(join("services", name), "is nested too deeply"))
    return {}


_APART = frozenset(
    re.findall(
        r"\S+",
        """
        cpu memory command env files after drain sticky canary egress permissions capabilities writable secrets priority
        health volume uses exec rollout architecture balancer ports slow_start replicas port
        """,
    )
)
"""Keys of a service without which the rules still say nothing false of the others."""


def _without_wrong(name: str, written: object, wrong: set[str | int]) -> dict[str, Service]:
    """The service without its wrong keys, which are reported, so that rules between the others are checked as well."""
    if not isinstance(written, dict) or not wrong or not wrong <= _APART:
        return {}
    kept = {key: value for key, value in cast("dict[str, object]", written).items() if key not in wrong}
    try:
        return {name: Service.model_validate(kept | ({"port": 8080} if "port" in wrong else {}), context=_WRITTEN)}
    except ValidationError:
        return {}


def _head(project: str, name: str, settings: dict[str, object], cloud: str | None, problems: list[Problem]) -> Stack:
    """The stack without its services. Keys that are wrong are reported and left at their defaults."""
    given: dict[str, object] = {}
    models = {"aws": AwsCapacity, "hetzner": HostCapacity}
    for key, value in settings.items():
        if value is None:
            continue
        if key == "capacity":
            if cloud in models:
                given |= _part(key, value, models[cloud], problems)
            elif cloud == "local":
                given[key] = AwsCapacity()  # whatever it holds, the rules refuse it
        else:
            given |= _part(key, value, _field(Stack, key), problems)
    if settings.get("cloud") is None:
        fix = f"pulumi config set quayside:cloud local {_NAMED}"
        problems.append(Problem("quayside:cloud", f"is missing; it is one of {', '.join(_CLOUDS)}", fix))
    if cloud == "aws" and "capacity" not in given and settings.get("capacity") is not None:
        # Wrong, and reported: the rules need not say of every service that there is no pool as well.
        given["capacity"] = AwsCapacity(instances=Instances(types=("m7g.large",), max=1))
    if "domain" not in given and settings.get("domain") is not None:
        given["domain"] = "example.com"  # wrong, and reported: the rules need not say it is missing as well
    stated: dict[str, object] = {"project": project, "name": name, "services": {}, "cloud": "local"}
    return Stack.model_construct(_fields_set=set(given) | set(stated), **{**stated, **given})


def _part(
    key: str, value: object, annotation: object, problems: list[Problem], at: str | None = None
) -> dict[str, object]:
    try:
        return {key: _adapter(annotation).validate_python(value, context=_WRITTEN)}
    except ValidationError as error:
        problems += _translated(error, annotation, at or f"quayside:{key}")
    except RecursionError:
        problems.append(Problem(f"quayside:{key}", "is nested too deeply"))
    return {}


def _field(model: type[BaseModel], key: str) -> object:
    """A field's annotation together with its rules."""
    return field_types(model)[key]


@cache
def field_types(model: type[BaseModel]) -> dict[str, object]:
    """The annotation of every field of a model, together with its rules."""
    hints = typing.get_type_hints(model, include_extras=True)
    return {key: hints[key] for key in model.model_fields}


@cache
def _adapter(annotation: Any) -> TypeAdapter[object]:
    return TypeAdapter(annotation)


# --- pydantic's errors in our words ----------------------------------------------------------------------------------


def _translated(error: ValidationError, root: object, prefix: str) -> list[Problem]:
    details = error.errors(include_url=False)
    places = [detail["loc"] for detail in details]

    def counted_wrong_items(detail: ErrorDetails) -> bool:
        at = detail["loc"]
        return detail["type"] == "too_short" and any(len(loc) > len(at) and loc[: len(at)] == at for loc in places)

    return [_problem(detail, root, prefix) for detail in details if not counted_wrong_items(detail)]


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


def _problem(detail: ErrorDetails, root: object, prefix: str) -> Problem:
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
        return _unknown(path, where[-1], _known(root, where[:-1]))
    if kind == "literal_error":
        allowed = re.findall("'([^']*)'", str(context.get("expected", "")))
        close = nearest(detail["input"], allowed) if isinstance(detail["input"], str) else None
        message = f"should be {' or '.join([', '.join(allowed[:-1]), allowed[-1]])}, got {got}"
        return Problem(path, message, f"did you mean {close}?" if close else "")
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
    elif expected == "a mapping" and (keys := _known(root, where)):
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


def _unknown(path: str, key: object, known: Iterable[str]) -> Problem:
    listed = list(known)
    # YAML 1.1 reads `on` as true, and JSON made of it has "true".
    close = "on" if key == "true" and "on" in listed else nearest(key, listed) if isinstance(key, str) else None
    if close:
        return Problem(path, f'unknown key; did you mean "{close}"?')
    return Problem(path, "unknown key", f"known keys: {', '.join(listed)}" if listed else "")


def _known(annotation: object, where: Iterable[str | int]) -> list[str]:
    """The keys that are known at a place of the model."""
    found = _models(annotation)
    for part in where:
        inner: list[object] = []
        for candidate in found:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                if part in candidate.model_fields:
                    inner += _models(_field(candidate, str(part)))
            else:
                inner += _models(get_args(candidate)[-1 if get_origin(candidate) is dict else 0])
        found = inner
    keys = [
        key for model in found if isinstance(model, type) and issubclass(model, BaseModel) for key in model.model_fields
    ]
    return list(dict.fromkeys(keys))


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
