"""A service's environment and files with every reference in them replaced."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from planning import references
from settings.capacity import HostCapacity
from settings.commands import REFERENCE, is_script
from settings.problems import Problem
from settings.service import File, Service
from settings.stack import Stack

LONGEST_TEXT = 32 * 4096 - 1
"""Bytes of one argument or variable: Linux's MAX_ARG_STRLEN, 32 pages, less the zero at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    path: str
    content: str
    executable: bool


@dataclass(frozen=True, slots=True)
class Rendered:
    env: Mapping[str, str]
    canary_env: Mapping[str, str]
    files: Sequence[RenderedFile]
    settings: Service
    """The service with its commands as they are run."""


def render(name: str, stack: Stack, sources: Mapping[str, str], problems: list[Problem]) -> Rendered:
    """Everything of service ``name`` in which ``${…}`` may stand. What is wrong is added to ``problems``."""
    service = stack.services[name]
    existing = stack.capacity.existing if isinstance(stack.capacity, HostCapacity) else ()
    hosts = {server.name: server.address for server in existing}
    resolver = references.Resolver(name, stack.services, stack.domain, hosts)
    env = {key: resolver.text(f"services/{name}/env/{key}", value) for key, value in sorted(service.env.items())}
    canary_env = {
        key: resolver.text(f"services/{name}/canary/env/{key}", value)
        for key, value in sorted((service.canary.env if service.canary else {}).items())
    }
    files = [_render_file(name, path, file, sources, resolver) for path, file in sorted(service.files.items())]
    settings = _with_commands(name, service, resolver)
    problems += resolver.problems
    problems += _too_long(f"services/{name}", settings.command or (), env, canary_env)
    return Rendered(env, canary_env, files, settings)


def _with_commands(name: str, service: Service, resolver: references.Resolver) -> Service:
    at = f"services/{name}"
    command, health = service.command, service.health
    if command is not None:
        command = _render_command(f"{at}/command", command, resolver)
    if health.command is not None:
        checked = _render_command(f"{at}/health/command", health.command, resolver)
        health = health.model_copy(update={"command": checked})
    return service.model_copy(update={"command": command, "health": health})


def _render_command(path: str, command: Sequence[str], resolver: references.Resolver) -> tuple[str, ...]:
    """Every ``${…}`` replaced, but for the variables of a shell's own script."""
    return tuple(
        resolver.text(path, item, REFERENCE if is_script(command, number) else None)
        for number, item in enumerate(command)
    )


def _too_long(
    at: str, command: Sequence[str], env: Mapping[str, str], canary_env: Mapping[str, str]
) -> Iterator[Problem]:
    """What no kernel starts a process with: the container would end with "argument list too long"."""
    texts = {f"command/{number}": word for number, word in enumerate(command)}
    texts |= {f"env/{key}": f"{key}={value}" for key, value in env.items()}
    texts |= {f"canary/env/{key}": f"{key}={value}" for key, value in canary_env.items()}
    for key, text in texts.items():
        size = len(text.encode())
        if size > LONGEST_TEXT:
            yield Problem(
                f"{at}/{key}",
                f"has {size:,} bytes with its name; Linux gives a process no text of more than {LONGEST_TEXT:,}",
                "write it to a file of the service (files), or put it into the image",
            )


def _render_file(
    name: str, path: str, file: File, sources: Mapping[str, str], resolver: references.Resolver
) -> RenderedFile:
    where = f"services/{name}/files{path}"
    if file.content is not None:
        content = resolver.text(where, file.content)
    elif file.template is not None:
        content = resolver.template(where, sources.get(file.template, ""))
    else:
        content = sources.get(file.source or "", "")
    if posixpath.dirname(path) == "/":
        resolver.problems.append(Problem(where, "a file cannot lie in / itself", f"put it in a folder: /app{path}"))
    return RenderedFile(path=path, content=content, executable=file.executable)
