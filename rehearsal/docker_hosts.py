"""Connections to Docker engines: the default one, and those that an explicit provider's `host` names."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from rehearsal.errors import ApplyError
from rehearsal.providers import StepError

_T = TypeVar("_T")
_TIMEOUT = 120


class Hosts:
    """One API client for each engine, made on first use and shared by all threads."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def client(self, host: str) -> Any:
        with self._lock:
            if host not in self._clients:
                self._clients[host] = _connect(host)
            return self._clients[host]


def _connect(host: str) -> Any:
    if context := os.environ.get("DOCKER_CONTEXT"):
        raise ApplyError(
            f"DOCKER_CONTEXT={context} is set: it would override the engine the plan names\n"
            "    unset it, and use DOCKER_HOST for another engine"
        )
    docker: Any = importlib.import_module("docker")
    arguments: dict[str, Any] = {"base_url": host} if host else dict(docker.utils.kwargs_from_env())
    where = arguments.get("base_url") or "unix:///var/run/docker.sock"
    if str(where).startswith("ssh://"):
        raise ApplyError(f"{where}: engines over ssh are not yet carried out by the rehearsal")
    try:
        client = docker.APIClient(**arguments, version="auto", timeout=_TIMEOUT, num_pools=64)
        client.ping()
    except docker.errors.DockerException as error:
        raise ApplyError(
            f"Docker does not answer at {where}: {_reason(error)}\n"
            "    start it (`systemctl start docker`; `make up` installs and starts it where it is missing)"
        ) from error
    return client


def _reason(error: BaseException) -> str:
    text = str(error)
    if "FileNotFoundError" in text or "No such file" in text:
        return "its socket does not exist"
    if "ConnectionRefused" in text or "Connection refused" in text:
        return "nothing listens there"
    if "PermissionError" in text or "Permission denied" in text:
        return "this user may not use its socket (add it to group docker)"
    return text


def is_missing(error: BaseException) -> bool:
    return getattr(error, "status_code", None) == 404


def is_conflict(error: BaseException) -> bool:
    return getattr(error, "status_code", None) == 409


def asked(what: str, call: Callable[[], _T]) -> _T:
    """The answer of one engine call; a refusal becomes a message in the engine's own words."""
    docker: Any = importlib.import_module("docker")
    requests: Any = importlib.import_module("requests")
    try:
        return call()
    except docker.errors.APIError as error:
        explanation = error.explanation
        said = explanation.decode(errors="replace") if isinstance(explanation, bytes) else str(explanation or error)
        raise DockerRefusalError(f"{what}: {said}", error.status_code) from error
    except (requests.exceptions.RequestException, docker.errors.DockerException) as error:
        raise StepError(f"{what}: Docker stopped answering: {error}") from error


class DockerRefusalError(StepError):
    """The engine said no."""

    def __init__(self, message: str, status_code: int | None) -> None:
        super().__init__(message)
        self.status_code = status_code
