"""Reads ``Pulumi.yaml`` and ``Pulumi.<stack>.yaml`` as the Pulumi CLI would, secrets included."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from rehearsal.checks import Finding
from rehearsal.errors import RehearsalError
from rehearsal.secrets import Crypter, find_passphrase, kept_salt
from rehearsal.values import SHOWN_SECRET, mapping, sequence


@dataclass(frozen=True, slots=True)
class StackConfig:
    """One stack as its files describe it: what ``pulumi.runtime.set_all_config`` takes, and what could not be read."""

    root: Path
    project: str
    stack: str
    values: Mapping[str, str]
    secret_keys: tuple[str, ...]
    salt: str | None
    unread: tuple[str, ...]
    """Secret values that stand as a placeholder, because `why` kept them closed."""
    why: str = ""


def read_stack(root: Path, stack: str) -> StackConfig:
    """The stack's config; secrets in plain where the passphrase is at hand, else a placeholder for each."""
    project = project_name(root)
    project_file = root / "Pulumi.yaml"
    stack_file = root / f"Pulumi.{stack}.yaml"
    if not stack_file.is_file():
        known = ", ".join(stacks(root)) or "none yet"
        raise RehearsalError(f"no stack `{stack}`: there is no {stack_file.name} (stacks here: {known})")
    data = _load(stack_file)
    _refuse_unknown(data, stack_file.name)
    given = data.get("config")
    config = mapping({} if given is None else given)
    if config is None:
        raise RehearsalError(f"{stack_file.name}: config: should be a mapping, got {_words(given)}")
    salt = str(data.get("encryptionsalt") or "") or kept_salt(root, stack)
    closed = _Opener(root, salt)
    values: dict[str, str] = {}
    secret_keys: list[str] = []
    unread: list[str] = []
    _refuse_plain_secrets(config.get("quayside:secrets"), stack)
    for key, value in config.items():
        full = str(key) if ":" in str(key) else f"{project}:{key}"
        found: list[str] = []
        plain = closed.open(value, full, found, unread)
        if found:
            secret_keys.append(full)
        values[full] = _as_text(plain)
    for key, default in _project_defaults(project_file, project).items():
        values.setdefault(key, default)
    return StackConfig(root, project, stack, values, tuple(secret_keys), salt, tuple(unread), closed.why)


_KNOWN = ("config", "environment", "encryptionsalt", "encryptedkey", "secretsprovider")


def _refuse_unknown(data: Mapping[str, Any], file: str) -> None:
    """Keys beside `config` that Pulumi would leave unread, all at once."""
    findings: list[Finding] = []
    for key in data:
        if key not in _KNOWN:
            near = difflib.get_close_matches(key.lower(), _KNOWN, 1, 0.6)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            fix = "" if near else f"move it below config:, as `quayside:{key.rpartition(':')[2]}` if it is quayside's"
            findings.append(Finding(f"{file}/{key}", f"unknown key, which Pulumi would not read{hint}", fix))
    _raise(findings)


def _refuse_plain_secrets(secrets: Any, stack: str) -> None:
    """Plain text beside a sealed value: Pulumi hands the program both as secret, so only here it can be told."""
    given = mapping(secrets) or {}
    if not any(mapping(value) is not None and "secure" in value for value in given.values()):
        return
    _raise(
        [
            Finding(
                f"quayside:secrets/{key}",
                "is written in plain text",
                f"set it again, with another value: "
                f"pulumi config set --secret --path quayside:secrets.{key} --stack {stack}",
            )
            for key, value in given.items()
            if value is not None and mapping(value) is None and sequence(value) is None
        ]
    )


def _raise(findings: Sequence[Finding]) -> None:
    if findings:
        raise RehearsalError("\n".join(map(str, findings)), findings)


def project_name(root: Path) -> str:
    """What ``Pulumi.yaml`` calls the project."""
    project_file = root / "Pulumi.yaml"
    if not project_file.is_file():
        raise RehearsalError(f"no Pulumi.yaml in {root}: run this in the project's folder")
    project = str(_load(project_file).get("name") or "")
    if not project:
        raise RehearsalError("Pulumi.yaml: name: is missing")
    return project


def stacks(root: Path) -> list[str]:
    """The names of the stacks that have a file here."""
    return sorted(p.name[len("Pulumi.") : -len(".yaml")] for p in root.glob("Pulumi.*.yaml"))


class _Opener:
    """Opens `secure:` values with the stack's passphrase, found only once one is met: the key costs half a second."""

    def __init__(self, root: Path, salt: str | None) -> None:
        self._root = root
        self._salt = salt
        self._crypter: Crypter | None = None
        self.why = ""

    def open(self, value: Any, path: str, found: list[str], unread: list[str]) -> Any:
        if (members := mapping(value)) is not None:
            if set(members) == {"secure"} and isinstance(members["secure"], str):
                found.append(path)
                return self._secret(members["secure"], path, unread)
            return {str(key): self.open(item, f"{path}.{key}", found, unread) for key, item in members.items()}
        if (items := sequence(value)) is not None:
            return [self.open(item, f"{path}[{i}]", found, unread) for i, item in enumerate(items)]
        return value

    def _secret(self, sealed: str, path: str, unread: list[str]) -> str:
        if self._crypter is None and not self.why:
            self._prepare()
        if self._crypter is not None:
            try:
                return self._crypter.open(sealed)
            except RehearsalError as error:
                self.why = str(error)
        unread.append(path)
        return SHOWN_SECRET

    def _prepare(self) -> None:
        if self._salt is None:
            self.why = "the stack's secrets are not encrypted with a passphrase (no encryptionsalt)"
            return
        try:
            passphrase = find_passphrase(self._root)
            if passphrase is None:
                self.why = "no passphrase is set (PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE)"
                return
            self._crypter = Crypter(passphrase, self._salt)
        except (RehearsalError, ValueError) as error:
            self.why = str(error)


def _as_text(value: Any) -> str:
    """Config values are strings; what is structured travels as JSON, as the CLI hands it over."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, default=str, ensure_ascii=False)


def _project_defaults(project_file: Path, project: str) -> dict[str, str]:
    """Values that ``Pulumi.yaml`` itself gives under `config:`, plain or as `{value: …}` or `{default: …}`."""
    defaults: dict[str, str] = {}
    for key, value in (mapping(_load(project_file).get("config")) or {}).items():
        full = key if ":" in key else f"{project}:{key}"
        members = mapping(value)
        if members is None:
            defaults[full] = _as_text(value)
        elif "value" in members or "default" in members:
            defaults[full] = _as_text(members.get("value", members.get("default")))
    return defaults


_BOOL = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """The CLI's reader is a newer one than PyYAML: `on: fargate` and `answer: yes` are text to it."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own protocol
        first: [(tag, pattern) for tag, pattern in found if tag != _BOOL]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_BOOL_TEXT = re.compile("(?:true|True|TRUE|false|False|FALSE)$")
_resolvers: Any = _Loader  # PyYAML has no types
_resolvers.add_implicit_resolver(_BOOL, _BOOL_TEXT, list("tTfF"))


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
        node = cast("Any", yaml.compose(text, _Loader))  # pyright: ignore[reportUnknownMemberType]
        twice = sorted(set(_twice(node)))
        fix = "keep one of them"
        _raise([Finding(f"{path.name}:{line}", f'the key "{key}" is given twice', fix) for line, key in twice])
        loaded: Any = yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError as error:
        mark: Any = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = str(getattr(error, "problem", None) or error).strip()
        fix = (
            "indent with spaces"
            if "\\t" in problem
            else "check the line and those before it: quotes, brackets, indentation"
        )
        raise RehearsalError(f"{path.name}: is not valid YAML{where}: {problem}\n    {fix}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RehearsalError(f"{path.name}: cannot be read: {error}") from error
    if loaded is None:
        return {}
    members = mapping(loaded)
    if members is None:
        raise RehearsalError(f"{path.name}: should be a mapping with `config:`, got {_words(loaded)}")
    return {str(key): value for key, value in members.items()}


def _twice(root: Any) -> Iterator[tuple[int, str]]:
    """Line and name of every key that one mapping has twice, which the CLI refuses and PyYAML takes the last of."""
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += reversed(node.value)
        elif isinstance(node, yaml.MappingNode):
            keys = set[tuple[str, str]]()
            for key, _ in node.value:
                name = (key.tag, str(key.value))
                if isinstance(key, yaml.ScalarNode) and name in keys and key.value != "<<":
                    yield key.start_mark.line + 1, str(key.value)
                keys.add(name)
            waiting += [value for _, value in reversed(node.value)]


def _words(value: Any) -> str:
    """What was received, as a person would call it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'the text "{value[:60]}"'
    return "a list" if isinstance(value, list) else "nothing" if value is None else str(value)[:60]
