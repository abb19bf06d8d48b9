"""Connections to Docker engines: the default one, and those that an explicit provider's `host` names."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final, TypeVar

from rehearsal.docker_settings import EngineSettings
from rehearsal.errors import ApplyError
from rehearsal.providers import StepError
from rehearsal.ssh_tunnel import Tunnel, parse_url

_T = TypeVar("_T")
_FIRST: Final = 30
"""Seconds until an engine says who it is."""
_TIMEOUT: Final = 120
_RESTART: Final = "restart it there (`sudo systemctl restart docker`, or Docker Desktop)"
_AT_ONCE: Final = 16
"""Requests in flight for one engine: more only queue up in it."""


class UnreachableError(StepError):
    """An engine behind ssh that cannot be reached; the others can go on."""


class _Connection:
    """One engine: its client, made on first use and shared by all threads."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.lock = threading.Lock()
        self.slots = threading.BoundedSemaphore(_AT_ONCE)
        self.client: Any = None
        self.tunnel: Tunnel | None = None
        self.failure: UnreachableError | None = None

    def close(self) -> None:
        if self.client is not None:
            with contextlib.suppress(Exception):
                self.client.close()
        if self.tunnel is not None:
            self.tunnel.close()
        self.client = self.tunnel = None


class Hosts:
    """One API client for each engine; one ssh connection for each that is behind ssh, closed at the end."""

    def __init__(self) -> None:
        self._connections: dict[str, _Connection] = {}
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._tunnels = 0

    def know(self, settings: EngineSettings) -> None:
        """How the engine at `settings.host` is reached from now on."""
        with self._lock:
            known = self._connections.get(settings.host)
            if known is not None and known.settings == settings:
                return
            self._connections[settings.host] = _Connection(settings)
        if known is not None:
            with known.lock:
                known.close()

    def settings(self, host: str) -> EngineSettings:
        return self._connection(host).settings

    def client(self, host: str) -> Any:
        """The engine's client. An engine that did not answer once is not asked again in the same run."""
        connection = self._connection(host)
        with connection.lock:
            if connection.failure is not None:
                raise connection.failure
            if connection.tunnel is not None and not connection.tunnel.alive:
                connection.close()  # ssh ended under way: once more, and its own message if it stays away
            if connection.client is None:
                try:
                    self._connect(connection)
                except UnreachableError as error:
                    connection.close()
                    connection.failure = error
                    raise
            return connection.client

    @contextlib.contextmanager
    def slot(self, host: str) -> Generator[None]:
        """Bounds what is asked of one engine at once, so that a slow one is not buried."""
        with self._connection(host).slots:
            yield

    def label(self, host: str) -> str:
        """Names an engine behind ssh; empty for others, which messages need not name."""
        settings = self.settings(host)
        if not settings.host.startswith("ssh://"):
            return ""
        address = settings.host.removeprefix("ssh://")
        return f"{settings.name} ({address})" if settings.name else address

    def trouble(self, host: str) -> str:
        """What ssh says about an engine that stopped answering."""
        tunnel = self._connection(host).tunnel
        return tunnel.trouble() if tunnel is not None else ""

    def forgive(self, host: str) -> None:
        """Try an engine that did not answer once more, when it is next needed."""
        connection = self._connection(host)
        with connection.lock:
            if connection.failure is not None:
                connection.failure = None
                connection.close()

    def close(self) -> None:
        with self._lock:
            connections = list(self._connections.values())
            folder, self._folder = self._folder, None
        for connection in connections:
            with connection.lock:
                connection.close()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _connection(self, host: str) -> _Connection:
        with self._lock:
            return self._connections.setdefault(host, _Connection(EngineSettings(host)))

    def _connect(self, connection: _Connection) -> None:
        refuse_context()
        docker: Any = importlib.import_module("docker")
        host = connection.settings.host
        arguments: dict[str, Any] = {"base_url": host} if host else dict(docker.utils.kwargs_from_env())
        where = str(arguments.get("base_url") or "unix:///var/run/docker.sock")
        if where.startswith("ssh://"):
            self._connect_ssh(connection, where)
            return
        try:
            connection.client = _client(arguments)
        except docker.errors.DockerException as error:
            raise ApplyError(
                f"Docker does not answer at {where}: {_reason(error)}\n"
                "    start it (`systemctl start docker`; `make up` installs and starts it where it is missing)"
            ) from error

    def _connect_ssh(self, connection: _Connection, url: str) -> None:
        docker: Any = importlib.import_module("docker")
        settings = connection.settings
        name = f"host {settings.name}: " if settings.name else ""
        try:
            tunnel = Tunnel(parse_url(url), settings.ssh_opts, *self._place())
            connection.tunnel = tunnel
            tunnel.open()
        except StepError as error:
            raise UnreachableError(f"{name}{error}") from error
        try:
            connection.client = _client({"base_url": f"unix://{tunnel.socket}"})
        except docker.errors.DockerException as error:
            why = tunnel.trouble() or _reason(error)
            raise UnreachableError(f"{name}Docker does not answer at {tunnel.address}: {why}") from error

    def _place(self) -> tuple[Path, int]:
        """A folder of this run alone: whoever can open a socket in it is root on the host behind it."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="quayside-"))
            self._tunnels += 1
            return self._folder, self._tunnels


def refuse_context() -> None:
    if context := os.environ.get("DOCKER_CONTEXT"):
        raise ApplyError(
            f"DOCKER_CONTEXT={context} is set: it would override the engine the plan names\n"
            "    unset it, and use DOCKER_HOST for another engine"
        )


def _client(arguments: dict[str, Any]) -> Any:
    docker: Any = importlib.import_module("docker")
    # It asks for the version at once: an engine that hangs is known by that.
    client = docker.APIClient(**arguments, version="auto", timeout=_FIRST, num_pools=64, max_pool_size=_AT_ONCE)
    client.ping()
    client.timeout = _TIMEOUT
    return client


def _reason(error: BaseException) -> str:
    text = str(error)
    if "Read timed out" in text:
        return f"it takes connections and has not answered within {_FIRST} s; {_RESTART}"
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
        if isinstance(error, requests.exceptions.Timeout) or "Read timed out" in str(error):
            raise SilentError(
                f"{what}: Docker has not answered within {_TIMEOUT} s\n    {_RESTART}, then run this again"
            ) from error
        raise SilentError(f"{what}: Docker stopped answering: {error}") from error


class DockerRefusalError(StepError):
    """The engine said no."""

    def __init__(self, message: str, status_code: int | None) -> None:
        super().__init__(message)
        self.status_code = status_code


class SilentError(StepError):
    """The engine stopped answering."""
