"""What the parts of one apply or destroy share: the state, the engines, and what has failed so far."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Final

from rehearsal import docker_provider as docker
from rehearsal.command_provider import CommandProvider
from rehearsal.config import StackConfig
from rehearsal.docker_hosts import Hosts, SilentError, UnreachableError
from rehearsal.docker_images import IMAGE, ImageProvider
from rehearsal.errors import RehearsalError
from rehearsal.events import Event, Progress, Reporter, short_type
from rehearsal.providers import Provider, Step, StepError
from rehearsal.random_provider import random_providers
from rehearsal.state import Entry, Intent, StateFile, state_path
from rehearsal.tls_certificates import tls_providers
from rehearsal.values import Properties, redacted, revealed, secrets_in

COMMAND: Final = "command:local:Command"
DOCKER_TYPES: Final = frozenset({docker.CONTAINER, docker.NETWORK, docker.VOLUME, IMAGE})
PROVIDER_PREFIX: Final = "pulumi:providers:"
_TOLD: Final = "its host cannot be reached"


def providers(hosts: Hosts, strays: docker.Strays, commands: CommandProvider) -> dict[str, Provider]:
    """Every type of resource that can be carried out."""
    return {
        docker.CONTAINER: docker.ContainerProvider(hosts, strays),
        docker.NETWORK: docker.NetworkProvider(hosts),
        docker.VOLUME: docker.VolumeProvider(hosts),
        IMAGE: ImageProvider(hosts),
        COMMAND: commands,
        **tls_providers(),
        **random_providers(),
    }


class Work:
    """One run on one stack, under its lock."""

    def __init__(self, config: StackConfig, progress: Progress) -> None:
        self.config = config
        self.report = Reporter(progress)
        self.hosts = Hosts()
        self.strays = docker.Strays()
        self.commands = CommandProvider()
        self.providers = providers(self.hosts, self.strays, self.commands)
        self.failures: list[str] = []
        self.guard = threading.Lock()
        self.labels = {docker.STACK_LABEL: f"{config.project}/{config.stack}"}
        self.state = StateFile(config.project, config.stack, state_path(config.root, config.stack))
        self.declared: set[str] = set()
        """What the program has in this run, components as well: nothing is deleted with these."""
        self.looked: set[str] = set()
        """The engines that answered the survey."""
        self.stopped: set[tuple[str, str]] = set()
        """Host and id of the containers that were there and not running."""
        self.foreseen: set[str] = set()
        """The engines that the preview knew of: they were looked at before the run, where that was needed."""

    @property
    def entries(self) -> list[Entry]:
        return [*self.state.live.values(), *self.state.pending]

    def slot(self, type_: str, host: str) -> contextlib.AbstractContextManager[None]:
        """Held during a step; only what is asked of an engine is bounded."""
        return self.hosts.slot(host) if type_ in DOCKER_TYPES else contextlib.nullcontext()

    def note(self, text: str) -> None:
        self.report.note("", self.config.stack, text)

    def fail(
        self, type_: str, name: str, error: Exception, seconds: float, *, inputs: Properties, host: str = ""
    ) -> None:
        """A step failed; what failed because of one unreachable host is explained once."""
        where = f"on {label}" if (label := self.hosts.label(host)) else ""
        message = self._told(error, inputs, host)
        with self.guard:
            known = isinstance(error, UnreachableError) and any(message in failure for failure in self.failures)
            if not known:
                self.failures.append(
                    " ".join(filter(None, (name, f"({short_type(type_)})", where))) + f" failed:\n{message}"
                )
        detail = _TOLD if known else message
        self.report(Event("failed", type_, name, f"{where}: {detail}" if where else detail, seconds))

    def _told(self, error: Exception, inputs: Properties, host: str) -> str:
        text = str(error) if isinstance(error, StepError | RehearsalError) else f"{type(error).__name__}: {error}"
        if isinstance(error, SilentError) and (trouble := self.hosts.trouble(host)):
            text = f"{text}\n{trouble}"
        return redacted(text, inputs)

    def step(self, of: Entry, inputs: Properties, intend: Callable[[Intent], None] | None = None) -> Step:
        """What a provider is told of one resource."""
        return Step(
            urn=of.urn,
            type=of.type,
            name=of.name,
            host=of.host,
            inputs=revealed(inputs),
            labels=self.labels,
            note=lambda text: self.report.note(of.type, of.name, text),
            intend=intend or (lambda _intent: None),
            quiet=bool(secrets_in(inputs)),
        )
