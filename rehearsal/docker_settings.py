"""What an explicit docker provider says about its engine: where it is, how ssh gets there, its registries' logins."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rehearsal.providers import StepError
from rehearsal.values import Properties, has_unknown, items_of, mapping, members_of, revealed, sequence
from settings.types import DOCKER_HUB, registry_host

DOCKER_PROVIDER: Final = "pulumi:providers:docker"
_TAKEN: Final = frozenset(
    {"host", "sshOpts", "registryAuth", "disableDockerDaemonCheck", "version", "pluginDownloadURL"}
)
_LOGIN: Final = frozenset({"address", "username", "password", "authDisabled", "configFile", "configFileContent"})


@dataclass(frozen=True, slots=True)
class Login:
    """A registry's account."""

    address: str
    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How one engine is reached."""

    host: str
    name: str = ""
    """The provider's, which is what a person calls the host."""
    ssh_opts: tuple[str, ...] = ()
    logins: tuple[Login, ...] = field(default=(), repr=False)

    def login(self, image: str) -> dict[str, str] | None:
        """What a pull of `image` logs in with; None leaves it to this machine's own Docker configuration."""
        wanted = _registry(image)
        for login in self.logins:
            if _same(login.address, wanted):
                return {"username": login.username, "password": login.password}
        return None


def unsupported(inputs: Properties) -> list[str]:
    """Settings of a provider that would have to be ignored."""
    found = sorted(inputs.keys() - _TAKEN)
    for item in items_of(_opened(inputs.get("registryAuth"))):
        found += [f"registryAuth/{key}" for key in sorted(members_of(item).keys() - _LOGIN)]
    return found


def kept(name: str, inputs: Properties) -> Properties:
    """What the state has to remember of a provider, to reach its engine when the program no longer has it."""
    return {"name": name, **{key: inputs[key] for key in ("sshOpts", "registryAuth") if key in inputs}}


def host_of(inputs: Properties) -> str:
    """The engine's address; empty for the default one."""
    return str(revealed(inputs).get("host") or "")


def settings_of(name: str, inputs: Properties) -> EngineSettings:
    """Raises StepError for settings that cannot be read."""
    if has_unknown(inputs):
        raise StepError("depends on a value that nothing has made")
    options = sequence(_opened(inputs.get("sshOpts"))) or []
    wrong = [option for option in options if not isinstance(option, str)]
    if wrong:
        raise StepError(f"sshOpts: should be words, got {wrong[0]!r}")
    logins = [login for item in items_of(_opened(inputs.get("registryAuth"))) for login in _logins(members_of(item))]
    return EngineSettings(host_of(inputs), name, tuple(str(option) for option in options), tuple(logins))


def _opened(value: Any) -> Any:
    """A provider's structured settings travel as JSON text."""
    plain = revealed(value)
    if not isinstance(plain, str):
        return plain
    try:
        return json.loads(plain)
    except ValueError as error:
        raise StepError(f"a provider's setting should be JSON, and is not: {error}") from error


def _logins(item: Mapping[str, Any]) -> list[Login]:
    address = str(item.get("address") or "")
    if item.get("authDisabled"):
        return []
    if item.get("username"):
        return [Login(address, str(item["username"]), str(item.get("password") or ""))]
    if item.get("configFileContent"):
        return _from_config(address, str(item["configFileContent"]), "configFileContent")
    path = Path(str(item.get("configFile") or "~/.docker/config.json")).expanduser()
    try:
        return _from_config(address, path.read_text(), str(path))
    except OSError as error:
        raise StepError(f"registryAuth/{address}: {path}: {error.strerror}") from error


def _from_config(address: str, text: str, where: str) -> list[Login]:
    try:
        auths = mapping(json.loads(text).get("auths")) or {}
        for registry, auth in auths.items():
            if _same(registry, address):
                user, _, password = base64.b64decode(str(auth["auth"])).decode().partition(":")
                return [Login(address, user, password)]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise StepError(f"registryAuth/{address}: {where}: is no Docker configuration with plain `auths`") from error
    raise StepError(f"registryAuth/{address}: {where}: has no login for it")


def _registry(image: str) -> str:
    return registry_host(image) or "docker.io"


def _same(one: str, other: str) -> bool:
    names = [address.partition("://")[2] or address for address in (one, other)]
    hosts = [name.partition("/")[0] for name in names]
    return hosts[0] == hosts[1] or set(hosts) <= DOCKER_HUB
