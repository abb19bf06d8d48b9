"""Looks at the engines before anything is done: what vanished behind our back, and what a killed run left there."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from rehearsal import docker_provider as docker
from rehearsal.docker_hosts import UnreachableError, asked, is_missing
from rehearsal.docker_settings import DOCKER_PROVIDER, EngineSettings, host_of, kept, settings_of
from rehearsal.errors import ApplyError
from rehearsal.preview import Report
from rehearsal.providers import StepError
from rehearsal.record import Registration
from rehearsal.state import Entry
from rehearsal.values import Sealed, has_unknown, secrets_in
from rehearsal.work import DOCKER_TYPES, Work


@dataclass(slots=True)
class _Seen:
    """What one engine holds of this stack."""

    host: str
    containers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    ids: dict[str, set[str]] = field(default_factory=dict[str, set[str]])


def know_engines(work: Work) -> None:
    """The engines of the last run: its resources may be on some that the program has no more."""
    for host, settings in work.state.engines.items():
        if any(isinstance(secret, Sealed) for secret in secrets_in(settings.get("sshOpts"))):
            raise ApplyError(f"{work.state.path}: how {host} is reached is secret, and no passphrase is set")
        # A registry's login is for pulls only; without the passphrase, nothing is pulled.
        readable = {key: value for key, value in settings.items() if not secrets_in(value) or not _sealed(value)}
        work.hosts.know(settings_of(str(settings["name"]), {**readable, "host": host}))


def _sealed(value: Any) -> bool:
    return any(isinstance(secret, Sealed) for secret in secrets_in(value))


def hosts_of_plan(work: Work, report: Report) -> set[str]:
    """The engines this run has to look at; how the plan reaches them is known afterwards.

    A resource whose every change is ignored stays as it is, so its engine is not asked: that is how a host that is
    known dead stays in the program.
    """
    hosts = _planned_engines(work, report)
    planned: dict[str, Registration] = {f.urn: f for f in report.registrations if f.type in DOCKER_TYPES}
    follow(work, {urn: (provider_of(f), hosts.get(provider_of(f))) for urn, f in planned.items()})
    work.foreseen = set(hosts.values())
    wanted: set[str] = set()
    for found in planned.values():
        host = hosts.get(provider_of(found))
        if host is not None and "*" not in found.ignore_changes:
            wanted.add(host)
    declared = {found.urn for found in report.registrations}
    former = [entry for urn, entry in work.state.live.items() if urn not in planned]
    wanted |= {
        entry.host
        for entry in [*former, *work.state.pending]
        if entry.type in DOCKER_TYPES and (not entry.deleted_with or entry.deleted_with in declared)
    }
    return wanted | {intent.host for intent in work.state.intents.values() if intent.type in DOCKER_TYPES}


def _planned_engines(work: Work, report: Report) -> dict[str, str]:
    """Provider → its engine, as far as a preview can know. The default provider has no name."""
    hosts = {"": ""}
    for found in report.registrations:
        if found.type == DOCKER_PROVIDER and not has_unknown(found.inputs):
            work.hosts.know(settings_of(found.name, found.inputs))
            hosts[found.urn] = host_of(found.inputs)
    return hosts


def provider_of(found: Registration) -> str:
    """URN of the resource's explicit provider; empty for the default one."""
    return found.provider.rpartition("::")[0]


def follow(work: Work, planned: dict[str, tuple[str, str | None]]) -> None:
    """A provider's host changed: its resources are looked for at the new address, as under Pulumi.

    Gone from there (a rebuilt server), they are made again; still there (a new address), nothing happens.
    """
    moved: list[Entry] = []
    for urn, (provider, host) in planned.items():
        entry = work.state.live.get(urn)
        if entry is None or host is None or host == entry.host or not provider or provider != entry.provider:
            continue
        moved.append(replace(entry, host=host))
    if moved:
        with work.state.change():
            work.state.live.update({entry.urn: entry for entry in moved})


def look(work: Work, hosts: Iterable[str]) -> None:
    """Look at these engines.

    One behind ssh that does not answer stops nothing by itself: what has to change there will fail, and say so.
    """
    wanted = sorted(set(hosts))
    if not wanted:
        return
    with ThreadPoolExecutor(len(wanted)) as pool:
        seen = [found for found in pool.map(partial(_look_at, work), wanted) if found is not None]
    for host in set(wanted) - {found.host for found in seen}:
        if not any(entry.host == host for entry in work.entries):
            # Nothing was ever made there: a step of this run may be what lets us in, or brings Docker.
            work.hosts.forgive(host)
    known = {entry.id for entry in work.entries if entry.type == docker.CONTAINER}
    for found in seen:
        work.looked.add(found.host)
        for container in found.containers:
            if container["State"] == "exited":
                work.stopped.add((found.host, str(container["Id"])))
            if str(container["Id"]) not in known:
                _strange(work, found.host, container)
    _forget_gone(work, {found.host: found.ids for found in seen})


def _look_at(work: Work, host: str) -> _Seen | None:
    try:
        work.hosts.client(host)
    except UnreachableError as error:
        work.note(f"{error}\n    what does not change there stays as it is")
        return None
    containers = labelled(work, host, "containers")
    ids = {
        docker.CONTAINER: {str(c["Id"]) for c in containers},
        docker.NETWORK: {str(n["Id"]) for n in labelled(work, host, "networks")},
        docker.VOLUME: {str(v["Name"]) for v in labelled(work, host, "volumes")},
    }
    return _Seen(host, containers, ids)


def _forget_gone(work: Work, listed: dict[str, dict[str, set[str]]]) -> None:
    suspects = [e for e in work.entries if e.id not in listed.get(e.host, {}).get(e.type, {e.id})]
    gone = [entry for entry in suspects if _missing(work, entry)]
    if not gone:
        return
    with work.state.change():
        for entry in gone:
            if work.state.live.get(entry.urn) is entry:
                del work.state.live[entry.urn]
                work.report.note(entry.type, entry.name, "is gone from the engine")
        work.state.pending = [entry for entry in work.state.pending if all(entry is not g for g in gone)]


def _strange(work: Work, host: str, container: dict[str, Any]) -> None:
    if docker.INPUTS_LABEL not in container["Labels"]:
        stack = work.config.stack
        raise ApplyError(
            f"stack {stack} runs containers that the rehearsal did not make (such as {container['Names'][0]})\n"
            f"    it was deployed by `pulumi`: go on with `pulumi up`; or remove it first, without its data:"
            " `pulumi destroy --exclude-protected`"
        )
    work.strays.add(host, container)


def labelled(work: Work, host: str, what: str) -> list[dict[str, Any]]:
    """The stack's containers, networks or volumes on one engine, by the applier's own labels."""
    client = work.hosts.client(host)
    filters = {"label": [f"{key}={value}" for key, value in work.labels.items()]}
    if what == "containers":
        return asked("list containers", lambda: client.containers(all=True, filters=filters))
    if what == "networks":
        return asked("list networks", lambda: client.networks(filters=filters))
    return asked("list volumes", lambda: client.volumes(filters=filters))["Volumes"] or []


def _missing(work: Work, entry: Entry) -> bool:
    client = work.hosts.client(entry.host)
    inspect = {
        docker.CONTAINER: client.inspect_container,
        docker.NETWORK: client.inspect_network,
        docker.VOLUME: client.inspect_volume,
    }[entry.type]
    try:
        asked("inspect", lambda: inspect(entry.id))
    except StepError as error:
        if is_missing(error):
            return True
        raise
    return False


def remember_engine(work: Work, found: Registration, settings: EngineSettings) -> None:
    """Write down how a provider reaches its engine, before anything is made there."""
    if not settings.host:
        return
    remembered = kept(found.name, found.inputs)
    if work.state.engines.get(settings.host) != remembered:
        with work.state.change():
            work.state.engines[settings.host] = remembered


def forget_engines(work: Work) -> None:
    """Drop the engines that hold nothing any more; for use inside a change of the state."""
    used = {entry.host for entry in work.entries}
    work.state.engines = {host: found for host, found in work.state.engines.items() if host in used}
