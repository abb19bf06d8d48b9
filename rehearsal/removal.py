"""Deletes what is old: dependents first, in parallel, and only what is really gone leaves the state."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from planning.names import LABEL_ROLE, ROLE_FILES, ROLE_STATEFUL
from rehearsal import docker_provider as docker
from rehearsal.events import Event
from rehearsal.providers import StepError
from rehearsal.state import Entry
from rehearsal.survey import labelled
from rehearsal.values import Sealed, secrets_in
from rehearsal.work import COMMAND, Work

_AT_ONCE: Final = 32
_STRAY_GRACE: Final = 10


def delete(work: Work, entry: Entry) -> None:
    """Delete one resource, with the settings it was made with; whoever calls has a slot of its engine."""
    step = work.step(entry, entry.inputs)
    if entry.type == COMMAND and any(isinstance(s, Sealed) for s in secrets_in(entry.inputs)):
        step.note("its `delete` is left out: it needs a secret, and no passphrase is set")
        return
    work.providers[entry.type].delete(step, entry)


def is_left(work: Work, entry: Entry) -> bool:
    """Whether it is forgotten without a call, by what the last run said of it: also where it is replaced."""
    return entry.retain or (entry.deleted_with != "" and entry.deleted_with not in work.declared)


def delete_all(work: Work, victims: Sequence[Entry]) -> None:
    """Delete in parallel what nothing else among the victims needs, then what is free after that, and so on."""
    remaining = list(victims)
    failed: list[Entry] = []

    def attempt(entry: Entry) -> bool:
        started = time.monotonic()
        try:
            if not is_left(work, entry):
                with work.slot(entry.type, entry.host):
                    delete(work, entry)
        except Exception as error:
            seconds = time.monotonic() - started
            work.fail(entry.type, entry.name, error, seconds, inputs=entry.inputs, host=entry.host)
            return False
        with work.state.change():
            if work.state.live.get(entry.urn) is entry:
                del work.state.live[entry.urn]
            work.state.pending = [kept for kept in work.state.pending if kept is not entry]
        work.report(Event("delete", entry.type, entry.name, "", time.monotonic() - started))
        return True

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while remaining:
            needed = {urn for entry in [*remaining, *failed] for urn in entry.needs}
            ready = [entry for entry in remaining if entry.urn not in needed]
            if not ready:
                break
            done = dict(zip(map(id, ready), pool.map(attempt, ready), strict=True))
            failed += [entry for entry in ready if not done[id(entry)]]
            remaining = [entry for entry in remaining if id(entry) not in done]


def remove_strays(work: Work) -> None:
    """Containers of a killed run that nothing took over."""

    def remove(stray: tuple[str, dict[str, Any]]) -> None:
        host, container = stray
        name = str(container["Names"][0] if container["Names"] else container["Id"][:12]).lstrip("/")
        started = time.monotonic()
        grace = _STRAY_GRACE if container["State"] == "running" else None
        try:
            with work.slot(docker.CONTAINER, host):
                docker.remove_container(work.hosts.client(host), str(container["Id"]), grace, volumes=True)
        except StepError as error:
            work.fail(docker.CONTAINER, name, error, time.monotonic() - started, inputs={}, host=host)
            return
        detail = "left over from an interrupted run"
        work.report(Event("delete", docker.CONTAINER, name, detail, time.monotonic() - started))

    strays = work.strays.rest()
    if strays:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(remove, strays))


def sweep(work: Work) -> None:
    """Networks and volumes of files that a killed run made and never wrote down. Data is never among them."""
    for host in sorted(work.looked):
        for network in _unknown(work, host, "networks"):
            _sweep_one(work, docker.NETWORK, str(network["Name"]), str(network["Id"]), host)
        for volume in _unknown(work, host, "volumes"):
            if volume["Labels"].get(LABEL_ROLE) == ROLE_FILES:
                _sweep_one(work, docker.VOLUME, str(volume["Name"]), str(volume["Name"]), host)


def _sweep_one(work: Work, type_: str, name: str, id_: str, host: str) -> None:
    client = work.hosts.client(host)
    try:
        if type_ == docker.NETWORK:
            docker.remove_network(client, id_, name)
        else:
            docker.remove_volume(client, id_)
    except StepError as error:
        work.report.note(type_, name, f"is left over from an interrupted run, and stays: {error}")
        return
    work.report(Event("delete", type_, name, "left over from an interrupted run"))


def _unknown(work: Work, host: str, what: str) -> list[dict[str, Any]]:
    """What the rehearsal made for this stack, and no state knows."""
    ours = [one for one in labelled(work, host, what) if docker.INPUTS_LABEL in one["Labels"]]
    if what == "networks":  # by id alone: two providers may name one engine differently
        ids = {entry.id for entry in work.entries}
        return [one for one in ours if str(one["Id"]) not in ids]
    known = {(entry.host, entry.id) for entry in work.entries}
    return [one for one in ours if (host, str(one["Name"])) not in known]


def remove_labelled(work: Work, *, volumes: bool) -> None:
    """Networks and volumes that no state knew, on every engine that answers."""
    for host in sorted(work.looked):
        client = work.hosts.client(host)
        for network in _unknown(work, host, "networks"):
            docker.remove_network(client, str(network["Id"]), str(network["Name"]))
            work.report(Event("delete", docker.NETWORK, str(network["Name"])))
        for volume in _unknown(work, host, "volumes"):
            name = str(volume["Name"])
            if volumes or volume["Labels"].get(LABEL_ROLE) != ROLE_STATEFUL:
                docker.remove_volume(client, name)
                work.report(Event("delete", docker.VOLUME, name))
            else:
                work.report.note(docker.VOLUME, name, f"volume {name} is kept with its data")
