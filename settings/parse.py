"""Turns what a person wrote into a `Stack`, or into every problem with it at once; never into a traceback."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any, cast, get_args

from pydantic import TypeAdapter, ValidationError

from settings import rules
from settings.capacity import AwsCapacity, HostCapacity, Instances
from settings.document import join, plain, read_yaml, shown, step
from settings.hints import unknown_key
from settings.messages import field, translated
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
    cloud = _cloud(settings)
    head = _head(project, stack, settings, cloud, problems)
    if cloud == "aws" and region is not None:
        found = _part("region", region, field(Stack, "region"), problems, "aws:region")
        head = head.model_copy(update=found or {"region": ""})  # wrong, and reported: nothing is compared with it
    ready: dict[str, Service] = {}
    for name, written in merged.items():
        problems += _check_name(f"services/{step(name)}", name)
        ready |= _service(name, written, problems, cloud)
    if shared is not None:
        problems += rules.check(head, ready, names, cloud, merged)
    if problems:
        raise ConfigError(for_stack(stack, problems))
    return head.model_copy(update={"services": ready})


def _cloud(settings: Mapping[str, object]) -> str | None:
    """None where it is missing or wrong, which is reported by itself."""
    cloud = settings.get("cloud")
    return cloud if isinstance(cloud, str) and cloud in _CLOUDS else None


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
            problems.append(unknown_key(step(key), key, ["services"]))
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
                problems.append(unknown_key(f"quayside:{step(key)}", key, KEYS, of="Stack", cloud=_cloud(config)))
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


def _service(name: str, written: object, problems: list[Problem], cloud: str | None) -> dict[str, Service]:
    try:
        return {name: Service.model_validate(written, context=_WRITTEN)}
    except ValidationError as error:
        problems += translated(error, Service, join("services", name), cloud)
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
            given |= _part(key, value, field(Stack, key), problems)
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
        problems += translated(error, annotation, at or f"quayside:{key}")
    except RecursionError:
        problems.append(Problem(f"quayside:{key}", "is nested too deeply"))
    return {}


@cache
def _adapter(annotation: Any) -> TypeAdapter[object]:
    return TypeAdapter(annotation)
