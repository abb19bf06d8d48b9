"""A service's environment and files with every reference in them replaced."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from planning import references
from settings.capacity import HostCapacity
from settings.problems import Problem
from settings.service import File
from settings.stack import Stack


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
    problems += resolver.problems
    return Rendered(env, canary_env, files)


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
