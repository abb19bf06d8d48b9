"""Refuses a plan that could not be carried out to its end, before anything is touched."""

from __future__ import annotations

from collections import Counter

from rehearsal import docker_settings
from rehearsal.command_provider import CommandProvider
from rehearsal.docker_hosts import Hosts, refuse_context
from rehearsal.docker_provider import Strays
from rehearsal.errors import ApplyError
from rehearsal.events import short_type
from rehearsal.preview import Report
from rehearsal.providers import StepError
from rehearsal.record import Registration
from rehearsal.values import has_unknown
from rehearsal.work import DOCKER_TYPES, PROVIDER_PREFIX, providers

_IGNORED = "is not carried out by the rehearsal, and would be ignored; use `pulumi up`"


def refuse(report: Report) -> None:
    """Raise ApplyError with every reason at once."""
    known = providers(Hosts(), Strays(), CommandProvider())
    problems = [str(problem) for problem in report.problems]
    foreign: Counter[str] = Counter()
    for found in report.registrations:
        if not found.custom:
            continue
        where = f"{found.name} ({found.type})"
        if found.type.startswith(PROVIDER_PREFIX):
            problems += [f"{where}{problem}" for problem in _provider_problems(found)]
            continue
        provider = known.get(found.type)
        if provider is None:
            foreign[short_type(found.type)] += 1
            continue
        problems += [f"{where}/{key}: {_IGNORED}" for key in provider.unsupported(found.inputs)]
        if found.import_id:
            problems.append(f"{where}: the rehearsal does not import resources; use `pulumi up`")
    if foreign:
        total = sum(foreign.values())
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted(foreign.items()))
        problems.append(
            f"{total} {'resource is' if total == 1 else 'resources are'} not carried out by the rehearsal ({counts}); "
            "only Docker, tls and random resources and local commands are: use `pulumi up`"
        )
    if problems:
        raise ApplyError("\n".join([f"stack {report.stack} cannot be applied; nothing was touched", *problems]))
    if any(found.type in DOCKER_TYPES for found in report.registrations):
        refuse_context()


def _provider_problems(found: Registration) -> list[str]:
    if found.type != docker_settings.DOCKER_PROVIDER:
        return []
    try:
        ignored = [f"/{key}: {_IGNORED}" for key in docker_settings.unsupported(found.inputs)]
        if not ignored and not has_unknown(found.inputs):
            docker_settings.settings_of(found.name, found.inputs)
    except StepError as error:
        return [f": {error}"]
    return ignored
