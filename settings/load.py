"""Reads a stack's settings from where Pulumi and the repository keep them; alone here in importing pulumi."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env, get_config_secret_keys_env, is_config_secret

from settings.document import shown, step
from settings.parse import KEYS, SERVICES_FILE, for_stack, parse
from settings.problems import ConfigError, Problem
from settings.stack import Stack
from settings.types import is_secret_key, nearest

NAMESPACE = "quayside"
MAX_FILE = 1024 * 1024
_SET = "pulumi config set --secret --path quayside:secrets.KEY --stack NAME"
_ALIKE = 0.8
"""How alike two names are before one is taken for a misspelt other; the namespaces are not ours alone."""
_START = "write one:  services: {web: {image: nginx, port: 80}}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked stack and what belongs to it."""

    stack: Stack
    secrets: Mapping[str, pulumi.Output[str]] = field(default_factory=dict[str, pulumi.Output[str]])
    """Key under the stack's ``secrets`` → its value."""
    sources: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path relative to services.yaml → the text of a file that some service's ``files`` names."""


def load(root: Path) -> Loaded:
    """The settings of the current stack; ``root`` is the folder of services.yaml. Raises ConfigError."""
    problems: list[Problem] = []
    config = _config()
    names = _secret_names(config.pop("secrets", None), problems)
    problems += _misplaced_secrets(config)
    problems += _misplaced_keys(_everything())
    services = _services_text(root, problems)
    if services is None:
        raise ConfigError(for_stack(pulumi.get_stack(), problems))
    try:
        stack = parse(
            project=pulumi.get_project(),
            stack=pulumi.get_stack(),
            services=services,
            config=config,
            secrets=names,
            region=pulumi.Config("aws").get("region"),
        )
    except ConfigError as error:
        raise ConfigError(for_stack(pulumi.get_stack(), [*problems, *error.problems])) from None
    sources = _sources(root, stack, problems)
    if problems:
        raise ConfigError(for_stack(stack.name, problems))
    return Loaded(stack, _secrets(names), sources)


def provider_setting(provider: str, key: str) -> pulumi.Output[str] | None:
    """A setting of some provider's own, such as `hcloud:token`, as a secret."""
    return pulumi.Config(provider).get_secret(key)


def _config() -> dict[str, object]:
    """Every key of the stack's config in our namespace, without the prefix."""
    prefix = f"{NAMESPACE}:"
    return {key.removeprefix(prefix): value for key, value in _everything().items() if key.startswith(prefix)}


def _everything() -> dict[str, str]:
    return {**get_config_env(), **CONFIG.get()}


def _misplaced_keys(everything: Iterable[str]) -> Iterator[Problem]:
    """Keys that were meant for us, or for AWS's region, and that nobody would read.

    Pulumi puts a key without a prefix into the project's own namespace. Other providers' keys are theirs.
    """
    keys = sorted(everything)
    for full in keys:
        space, _, key = full.partition(":")
        close = nearest(key, KEYS, _ALIKE)
        if space == "aws" and key != "region" and "aws:region" not in keys and nearest(key, ["region"], _ALIKE):
            yield Problem(step(full), 'unknown key; did you mean "aws:region"?')
        elif space == NAMESPACE or close is None:
            continue
        elif space == pulumi.get_project() or nearest(space, [NAMESPACE], _ALIKE):
            what = f"is in the namespace {step(space)}, where nothing reads it"
            yield Problem(step(full), f'{what}; did you mean "{NAMESPACE}:{close}"?', f"write {NAMESPACE}:{close}")


def _is_secret(key: str) -> bool:
    full = f"{NAMESPACE}:{key}"
    return is_config_secret(full) or full in get_config_secret_keys_env()


def _misplaced_secrets(config: Iterable[str]) -> list[Problem]:
    fix = f"{_SET}, and name KEY under the service's `secrets`"
    return [
        Problem(f"{NAMESPACE}:{step(key)}", "holds a secret, which would make the whole plan unreadable", fix)
        for key in config
        if _is_secret(key)
    ]


def _secret_names(value: object, problems: list[Problem]) -> list[str]:
    """The keys under ``quayside:secrets``. What they hold is not looked at, and never printed."""
    at = f"{NAMESPACE}:secrets"
    if value is None:
        return []
    try:
        decoded = cast("object", json.loads(value) if isinstance(value, str) else value)
    except (ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        problems.append(Problem(at, "should be a mapping of key to value", _SET))
        return []
    secrets = cast("dict[str, object]", decoded)
    if any(not _misspelt(secret) for secret in secrets.values()) and not _is_secret("secrets"):
        fix = f"set each again with `{_SET}`, and change the values"
        problems.append(Problem(at, "is written in plain text", fix))
    for key, secret in secrets.items():
        if not is_secret_key(key):
            problems.append(Problem(f"{at}/{step(key)}", "the name should be letters, digits, _ and -"))
        elif _misspelt(secret):
            problems.append(
                Problem(f"{at}/{key}", "should be text, or secure: and what Pulumi sealed", "write secure:")
            )
        elif isinstance(secret, (dict, list)) or secret is None:
            problems.append(Problem(f"{at}/{key}", f"should be text, got {shown(cast('object', secret))}", _SET))
    return list(secrets)


def _misspelt(secret: object) -> bool:
    """``secret: v1:…`` in place of Pulumi's own ``secure: v1:…``."""
    keys = cast("list[object]", list(secret)) if isinstance(secret, dict) else []  # pyright: ignore[reportUnknownArgumentType]
    return len(keys) == 1 and isinstance(keys[0], str) and bool(nearest(keys[0], ["secure"]))


def _secrets(names: Iterable[str]) -> dict[str, pulumi.Output[str]]:
    found = pulumi.Config(NAMESPACE).get_secret_object("secrets")
    if found is None:
        return {}

    def pick(name: str) -> pulumi.Output[str]:
        def text(secrets: dict[str, object]) -> str:
            value = secrets[name]
            return value if isinstance(value, str) else json.dumps(value)

        return found.apply(text)

    return {name: pick(name) for name in names}


def _services_text(root: Path, problems: list[Problem]) -> str | None:
    path = root / SERVICES_FILE
    if not path.exists():
        problems.append(Problem(SERVICES_FILE, f"is missing from {root}", _START))
        return None
    return _text(path, SERVICES_FILE, problems)


def _sources(root: Path, stack: Stack, problems: list[Problem]) -> dict[str, str]:
    """The text of every file that a service's ``files`` names."""
    sources: dict[str, str] = {}
    for service, settings in stack.services.items():
        for path, file in settings.files.items():
            for key, source in (("source", file.source), ("template", file.template)):
                if source is not None and source not in sources:
                    text = _source(root, source, f"services/{service}/files{path}/{key}", problems)
                    if text is not None:
                        sources[source] = text
    return sources


def _source(root: Path, source: str, at: str, problems: list[Problem]) -> str | None:
    path = root / source
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        inside = False
    if not inside:
        problems.append(Problem(at, f"{source} leads out of the folder of {SERVICES_FILE}", "keep the file inside it"))
        return None
    if not path.exists():
        problems.append(
            Problem(at, f"there is no file {source}", f"paths are relative to the folder of {SERVICES_FILE}")
        )
        return None
    return _text(path, at, problems)


def _text(path: Path, at: str, problems: list[Problem]) -> str | None:
    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_FILE + 1)
    except OSError as error:
        problems.append(Problem(at, f"{path.name} cannot be read: {error.strerror}"))
        return None
    if len(content) > MAX_FILE:
        problems.append(Problem(at, f"{path.name} is larger than 1 MiB", "put large files into the image or a volume"))
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        problems.append(Problem(at, f"{path.name} is not UTF-8 text", "put binary files into the image"))
        return None
