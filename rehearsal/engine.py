"""Applies a stack for real: each registration is carried out as the program makes it, in Pulumi's order.

What is new is created or updated at registration, which the SDK makes only when everything it depends on is done. What
is old is deleted when the program has ended and nothing failed: dependents first. After a failure nothing old goes, so
what served before serves on, and the next good run cleans up.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from planning.names import LABEL_ROLE, ROLE_FILES, ROLE_STATEFUL
from rehearsal import docker_provider as docker
from rehearsal.command_provider import CommandProvider
from rehearsal.config import StackConfig, project_name, read_stack
from rehearsal.docker_hosts import Hosts, asked, is_missing
from rehearsal.errors import ApplyError, RehearsalError
from rehearsal.events import Applied, Event, Progress, Reporter, short_type
from rehearsal.monitor import Outcome, RecordingMonitor
from rehearsal.preview import Report, rehearse_config
from rehearsal.program import run_program
from rehearsal.providers import Made, Provider, Step, StepError
from rehearsal.record import Registration
from rehearsal.secrets import Crypter, ensure_passphrase, find_passphrase
from rehearsal.state import Entry, Intent, StateFile, load_state, locked, state_path
from rehearsal.values import (
    Properties,
    Sealed,
    Secret,
    has_unknown,
    redacted,
    revealed,
    secrets_in,
    shown,
)

COMMAND: Final = "command:local:Command"
_PROVIDER_PREFIX: Final = "pulumi:providers:"
_DOCKER_TYPES: Final = frozenset({docker.CONTAINER, docker.NETWORK, docker.VOLUME, docker.IMAGE})
_DELETIONS_AT_ONCE: Final = 16
_STRAY_GRACE: Final = 10
_TAKEN_OVER: Final = "taken over from an interrupted run"


def apply(stack: str, root: Path, *, progress: Progress) -> Applied:
    """Make the engine what the program of `root` declares for `stack`. Raises ApplyError."""
    started = time.monotonic()
    root = root.resolve()
    try:
        config = read_stack(root, stack)
        if config.unread:
            raise ApplyError(f"{', '.join(config.unread)}: cannot be decrypted: {config.why}")
        with locked(root, stack):
            report = rehearse_config(config)
            _refuse(report, _providers(Hosts(), docker.Strays()))
            return _Run(config, progress).apply(report, started)
    except ApplyError:
        raise
    except (RehearsalError, StepError) as error:
        raise ApplyError(str(error)) from error


def destroy(stack: str, root: Path, *, volumes: bool, progress: Progress) -> Applied:
    """Remove what was applied, dependents first. Protected volumes stay, and stay known, unless `volumes` is set."""
    started = time.monotonic()
    root = root.resolve()
    try:
        config = read_stack(root, stack)
        with locked(root, stack):
            return _Run(config, progress).destroy(volumes=volumes, started=started)
    except ApplyError:
        raise
    except (RehearsalError, StepError) as error:
        raise ApplyError(str(error)) from error


def engine_state(stack: str, root: Path) -> StateFile | None:
    """What the last apply recorded; secrets stay sealed. Raises ApplyError for a damaged file."""
    root = root.resolve()
    return load_state(root, project_name(root), stack, None)


def _providers(hosts: Hosts, strays: docker.Strays) -> dict[str, Provider]:
    return {
        docker.CONTAINER: docker.ContainerProvider(hosts, strays),
        docker.NETWORK: docker.NetworkProvider(hosts),
        docker.VOLUME: docker.VolumeProvider(hosts),
        docker.IMAGE: docker.ImageProvider(hosts),
        COMMAND: CommandProvider(),
    }


def _refuse(report: Report, providers: dict[str, Provider]) -> None:
    """Raise for whatever could not be carried out to the end, before anything is touched."""
    problems = [str(problem) for problem in report.problems]
    foreign: Counter[str] = Counter()
    for found in report.registrations:
        if not found.custom or found.type.startswith(_PROVIDER_PREFIX):
            continue
        where = f"{found.name} ({found.type})"
        provider = providers.get(found.type)
        if provider is None:
            foreign[short_type(found.type)] += 1
        else:
            problems += [
                f"{where}/{key}: is not carried out by the rehearsal, and would be ignored; use `pulumi up`"
                for key in provider.unsupported(found.inputs)
            ]
            if found.import_id:
                problems.append(f"{where}: the rehearsal does not import resources; use `pulumi up`")
    if foreign:
        total = sum(foreign.values())
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted(foreign.items()))
        problems.append(
            f"{total} {'resource is' if total == 1 else 'resources are'} not carried out by the rehearsal ({counts}); "
            "only Docker resources and local commands are: use `pulumi up`"
        )
    if problems:
        raise ApplyError("\n".join([f"stack {report.stack} cannot be applied; nothing was touched", *problems]))


class _Run:
    """One apply or destroy of one stack, under its lock."""

    def __init__(self, config: StackConfig, progress: Progress) -> None:
        self._config = config
        self._report = Reporter(progress)
        self._hosts = Hosts()
        self._strays = docker.Strays()
        self._providers = _providers(self._hosts, self._strays)
        self._failures: list[str] = []
        self._guard = threading.Lock()
        self._seen: set[str] = set()
        self._looked: set[str] = set()
        self._stopped: set[tuple[str, str]] = set()
        self._provider_hosts: dict[str, str] = {}
        self._labels = {docker.STACK_LABEL: f"{config.project}/{config.stack}"}
        self._state = StateFile(config.project, config.stack, state_path(config.root, config.stack))

    # --- apply

    def apply(self, report: Report, started: float) -> Applied:
        self._load(required=True)
        self._prepare_secrets(report)
        hosts = {
            str(revealed(found.inputs).get("host") or "")
            for found in report.registrations
            if found.type == f"{_PROVIDER_PREFIX}docker"
        }
        if any(found.type in _DOCKER_TYPES and not found.provider for found in report.registrations):
            hosts.add("")
        self._look(hosts)
        monitor = RecordingMonitor(self._config.project, self._config.stack, self._handle)
        with self._interruptible():
            try:
                run_program(self._config, monitor, preview=False)
            except RehearsalError as error:
                self._failures.insert(0, str(error))
            self._failures += [f"{urn}: is registered twice" for urn in monitor.duplicates]
            if not self._failures:
                self._delete_old()
        if self._failures:
            raise ApplyError(self._failed_message())
        with self._state.change():
            self._state.intents.clear()
            self._state.outputs = monitor.outputs
        return Applied(Counter(self._report.changes), shown(monitor.outputs), time.monotonic() - started)

    def _failed_message(self) -> str:
        kept = "nothing that ran before was removed; mend it and run again: only what is missing will be done"
        return "\n".join([*dict.fromkeys(self._failures), kept])

    def _load(self, *, required: bool) -> None:
        config = self._config
        try:
            found = load_state(config.root, config.project, config.stack, find_passphrase(config.root))
        except ApplyError as error:
            if required:
                raise
            self._note(f"{error.args[0].splitlines()[0]}: going by the labels on the engine")
            return
        if found is None:
            return
        self._state = found
        if found.recovered:
            self._note(f"{found.path.name} was damaged: going on from the copy before it, and the labels on the engine")
        sealed = any(isinstance(s, Sealed) for e in found.live.values() for s in secrets_in([e.inputs, e.outputs]))
        if sealed and required:
            raise ApplyError(
                f"{found.path}: holds secrets, and no passphrase is set\n"
                "    set PULUMI_CONFIG_PASSPHRASE (or PULUMI_CONFIG_PASSPHRASE_FILE) to the one it was applied with"
            )

    def _prepare_secrets(self, report: Report) -> None:
        if self._state.crypter is not None:
            return
        values = [found.inputs for found in report.registrations] + [report.raw_outputs]
        if not secrets_in(values):
            return
        passphrase = ensure_passphrase(self._config.root)
        self._state.crypter = Crypter(passphrase, self._state.salt or self._config.salt)
        self._state.salt = self._state.crypter.salt

    def _handle(self, found: Registration) -> Outcome:
        """Carry out one registration; called from many threads at once."""
        if not found.custom:
            return Outcome("", {})
        if found.type.startswith(_PROVIDER_PREFIX):
            self._provider_hosts[found.urn] = str(revealed(found.inputs).get("host") or "")
            return Outcome(found.name, found.inputs)
        with self._guard:
            self._seen.add(found.urn)
            if self._failures:
                return Outcome("", {}, failed=True)
        started = time.monotonic()
        try:
            if has_unknown(found.inputs):
                raise StepError("depends on a value that nothing has made")
            kind, entry, detail = self._carry_out(found)
        except Exception as error:
            self._fail(found.type, found.name, self._told(error, found.inputs), time.monotonic() - started)
            return Outcome("", {}, failed=True)
        self._report(Event(kind, found.type, found.name, detail, time.monotonic() - started))
        return Outcome(entry.id, entry.outputs)

    def _told(self, error: Exception, inputs: Properties) -> str:
        text = str(error) if isinstance(error, StepError | RehearsalError) else f"{type(error).__name__}: {error}"
        return redacted(text, inputs)

    def _fail(self, type_: str, name: str, message: str, seconds: float) -> None:
        with self._guard:
            self._failures.append(f"{name} ({short_type(type_)}) failed:\n{message}")
        self._report(Event("failed", type_, name, message, seconds))

    def _carry_out(self, found: Registration) -> tuple[Any, Entry, str]:
        provider = self._providers[found.type]
        old = self._adopt_alias(found)
        inputs = _with_ignored(found, old)
        step = self._step(found, inputs)
        if old is None:
            entry, adopted = self._create(provider, step, found, inputs, None)
            return _verb(found.type, "create"), entry, _TAKEN_OVER if adopted else ""
        diff = provider.diff(revealed(old.inputs), step.inputs)
        # What an unfinished run of a command has done is not known, even where its inputs were taken back since.
        unfinished = found.type == COMMAND and found.urn in self._state.intents
        if not diff.changed and not unfinished:
            return self._keep(provider, step, found, old)
        forced = {key.partition("[")[0].partition(".")[0] for key in found.replace_on_changes}
        reasons = [key for key in diff.changed if key in diff.replace or key in forced or "*" in forced]
        detail = ", ".join(diff.changed) or "its last run did not finish"
        if not reasons:
            if found.type == COMMAND:
                step.intend(Intent(name=found.name, type=COMMAND, digest="", host=step.host))
            made = provider.update(step, old)
            entry = self._entry(found, inputs, made)
            with self._state.change():
                self._state.live[found.urn] = entry
                self._state.intents.pop(found.urn, None)
            return _verb(found.type, "update"), entry, detail
        delete_first = diff.delete_first if found.delete_before_replace is None else found.delete_before_replace
        if old.protect:
            raise StepError(f"is protected, and would be replaced: {', '.join(reasons)} changed")
        if delete_first:
            self._delete(old)
            with self._state.change():
                self._state.live.pop(found.urn, None)
        entry, adopted = self._create(provider, step, found, inputs, None if delete_first else old)
        return "replace", entry, f"{detail}; {_TAKEN_OVER}" if adopted else detail

    def _adopt_alias(self, found: Registration) -> Entry | None:
        """The resource as it is known, under this URN or a former one."""
        old = self._state.live.get(found.urn)
        if old is not None:
            return old
        for urn in found.aliases:
            former = self._state.live.get(urn)
            if former is not None and urn not in self._seen:
                with self._state.change():
                    renamed = replace(self._state.live.pop(urn), urn=found.urn, name=found.name)
                    self._state.live[found.urn] = renamed
                return renamed
        return None

    def _create(
        self, provider: Provider, step: Step, found: Registration, inputs: Properties, old: Entry | None
    ) -> tuple[Entry, bool]:
        made = provider.create(step)
        entry = self._entry(found, inputs, made)
        with self._state.change():
            self._state.live[found.urn] = entry
            self._state.intents.pop(found.urn, None)
            if old is not None:
                self._state.pending.append(old)
        return entry, made.adopted

    def _keep(self, provider: Provider, step: Step, found: Registration, old: Entry) -> tuple[Any, Entry, str]:
        moved = provider.refresh(old)
        if moved is not None and not moved:
            self._report.note(found.type, found.name, "is gone from the engine: made again")
            entry, _ = self._create(provider, step, found, found.inputs, None)
            return _verb(found.type, "create"), entry, ""
        started = (old.host, old.id) in self._stopped and docker.is_kept_running(step.inputs)
        if started:
            docker.start(self._hosts.client(old.host), old.id)
        needs, outputs = list(found.needs), old.outputs
        changed = moved is not None and dict(moved) != revealed(old.outputs)
        if changed and moved is not None:
            outputs = _marked(found, found.inputs, moved)
        entry = replace(old, needs=needs, protect=found.protect, retain=found.retain_on_delete, outputs=outputs)
        if entry != old:
            with self._state.change():
                self._state.live[found.urn] = entry
        if started:
            return "update", entry, "was stopped: started again"
        return ("update", entry, "the name means another image now") if changed else ("same", entry, "")

    def _entry(self, found: Registration, inputs: Properties, made: Made) -> Entry:
        return Entry(
            urn=found.urn,
            type=found.type,
            name=found.name,
            id=made.id,
            inputs=inputs,
            outputs=_marked(found, inputs, made.outputs),
            needs=list(found.needs),
            protect=found.protect,
            retain=found.retain_on_delete,
            host=self._host(found),
        )

    def _host(self, found: Registration) -> str:
        return self._provider_hosts.get(found.provider.rpartition("::")[0], "") if found.provider else ""

    def _step(self, found: Registration, inputs: Properties) -> Step:
        def intend(intent: Intent) -> None:
            with self._state.change():
                self._state.intents[found.urn] = intent

        return Step(
            urn=found.urn,
            type=found.type,
            name=found.name,
            host=self._host(found),
            inputs=revealed(inputs),
            labels=self._labels,
            note=lambda text: self._report.note(found.type, found.name, text),
            intend=intend,
            quiet=bool(secrets_in(inputs)),
        )

    # --- deletion

    def _delete_old(self) -> None:
        """What the program no longer has, what was replaced, and what a killed run left over."""
        gone = [entry for urn, entry in self._state.live.items() if urn not in self._seen]
        protected = [entry for entry in gone if entry.protect]
        for entry in protected:
            self._report.note(entry.type, entry.name, "is no longer in the program, and stays: it is protected")
        self._remove_strays()
        self._delete_all([*self._state.pending, *(entry for entry in gone if not entry.protect)])
        if not self._failures:
            for host in sorted(self._looked):
                self._sweep(host)

    def _sweep(self, host: str) -> None:
        """Networks and volumes of files that a killed run made and never wrote down. Data is never among them."""
        for network in self._unknown(host, "networks"):
            self._sweep_one(docker.NETWORK, str(network["Name"]), str(network["Id"]), host)
        for volume in self._unknown(host, "volumes"):
            if volume["Labels"].get(LABEL_ROLE) == ROLE_FILES:
                self._sweep_one(docker.VOLUME, str(volume["Name"]), str(volume["Name"]), host)

    def _sweep_one(self, type_: str, name: str, id_: str, host: str) -> None:
        client = self._hosts.client(host)
        try:
            if type_ == docker.NETWORK:
                docker.remove_network(client, id_, name)
            else:
                docker.remove_volume(client, id_)
        except StepError as error:
            self._report.note(type_, name, f"is left over from an interrupted run, and stays: {error}")
            return
        self._report(Event("delete", type_, name, "left over from an interrupted run"))

    def _unknown(self, host: str, what: str) -> list[dict[str, Any]]:
        """What the rehearsal made for this stack, and no state knows."""
        known = {(entry.host, entry.id) for entry in [*self._state.live.values(), *self._state.pending]}
        key = "Id" if what == "networks" else "Name"
        found = self._labelled(host, what)
        return [one for one in found if (host, str(one[key])) not in known and docker.INPUTS_LABEL in one["Labels"]]

    def _remove_strays(self) -> None:
        def remove(stray: tuple[str, dict[str, Any]]) -> None:
            host, container = stray
            name = str(container["Names"][0] if container["Names"] else container["Id"][:12]).lstrip("/")
            started = time.monotonic()
            grace = _STRAY_GRACE if container["State"] == "running" else None
            try:
                docker.remove_container(self._hosts.client(host), str(container["Id"]), grace, volumes=True)
            except StepError as error:
                self._fail(docker.CONTAINER, name, str(error), time.monotonic() - started)
                return
            detail = "left over from an interrupted run"
            self._report(Event("delete", docker.CONTAINER, name, detail, time.monotonic() - started))

        strays = self._strays.rest()
        if strays:
            with ThreadPoolExecutor(_DELETIONS_AT_ONCE) as pool:
                list(pool.map(remove, strays))

    def _delete_all(self, victims: Sequence[Entry]) -> None:
        """Delete in parallel what nothing else among the victims needs, then what is free after that, and so on."""
        remaining = list(victims)
        failed: list[Entry] = []

        def attempt(entry: Entry) -> bool:
            started = time.monotonic()
            try:
                if not entry.retain:
                    self._delete(entry)
            except Exception as error:
                self._fail(entry.type, entry.name, self._told(error, entry.inputs), time.monotonic() - started)
                return False
            with self._state.change():
                if self._state.live.get(entry.urn) is entry:
                    del self._state.live[entry.urn]
                self._state.pending = [kept for kept in self._state.pending if kept is not entry]
            self._report(Event("delete", entry.type, entry.name, "", time.monotonic() - started))
            return True

        with ThreadPoolExecutor(_DELETIONS_AT_ONCE) as pool:
            while remaining:
                needed = {urn for entry in [*remaining, *failed] for urn in entry.needs}
                ready = [entry for entry in remaining if entry.urn not in needed]
                if not ready:
                    break
                done = dict(zip(map(id, ready), pool.map(attempt, ready), strict=True))
                failed += [entry for entry in ready if not done[id(entry)]]
                remaining = [entry for entry in remaining if id(entry) not in done]

    def _delete(self, entry: Entry) -> None:
        step = Step(
            urn=entry.urn,
            type=entry.type,
            name=entry.name,
            host=entry.host,
            inputs=revealed(entry.inputs),
            labels=self._labels,
            note=lambda text: self._report.note(entry.type, entry.name, text),
            intend=lambda _intent: None,
            quiet=bool(secrets_in(entry.inputs)),
        )
        if entry.type == COMMAND and any(isinstance(s, Sealed) for s in secrets_in(entry.inputs)):
            step.note("its `delete` is left out: it needs a secret, and no passphrase is set")
            return
        self._providers[entry.type].delete(step, entry)

    # --- what is on the engine

    def _look(self, hosts: set[str]) -> None:
        """Find what vanished behind our back, and what a killed run made and never wrote down."""
        entries = [*self._state.live.values(), *self._state.pending]
        hosts |= {entry.host for entry in entries if entry.type in _DOCKER_TYPES}
        hosts |= {intent.host for intent in self._state.intents.values()}
        listed: dict[tuple[str, str], set[str]] = {}
        known = {(entry.host, entry.id) for entry in entries if entry.type == docker.CONTAINER}
        self._looked = hosts
        for host in sorted(hosts):
            containers = self._labelled(host, "containers")
            self._stopped |= {(host, str(c["Id"])) for c in containers if c["State"] == "exited"}
            listed[host, docker.CONTAINER] = {str(c["Id"]) for c in containers}
            listed[host, docker.NETWORK] = {str(n["Id"]) for n in self._labelled(host, "networks")}
            listed[host, docker.VOLUME] = {str(v["Name"]) for v in self._labelled(host, "volumes")}
            for container in containers:
                if (host, str(container["Id"])) not in known:
                    self._strange(host, container)
        gone = [e for e in entries if e.id not in listed.get((e.host, e.type), {e.id}) and self._missing(e)]
        if not gone:
            return
        with self._state.change():
            for entry in gone:
                if self._state.live.get(entry.urn) is entry:
                    del self._state.live[entry.urn]
                    self._report.note(entry.type, entry.name, "is gone from the engine")
            self._state.pending = [entry for entry in self._state.pending if all(entry is not g for g in gone)]

    def _strange(self, host: str, container: dict[str, Any]) -> None:
        if docker.INPUTS_LABEL not in container["Labels"]:
            stack = self._config.stack
            raise ApplyError(
                f"stack {stack} runs containers that the rehearsal did not make (such as {container['Names'][0]})\n"
                f"    it was deployed by `pulumi`: go on with `pulumi up`, or `pulumi destroy` first"
            )
        self._strays.add(host, container)

    def _labelled(self, host: str, what: str) -> list[dict[str, Any]]:
        client = self._hosts.client(host)
        filters = {"label": [f"{key}={value}" for key, value in self._labels.items()]}
        if what == "containers":
            return asked("list containers", lambda: client.containers(all=True, filters=filters))
        if what == "networks":
            return asked("list networks", lambda: client.networks(filters=filters))
        return asked("list volumes", lambda: client.volumes(filters=filters))["Volumes"] or []

    def _missing(self, entry: Entry) -> bool:
        client = self._hosts.client(entry.host)
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

    # --- destroy

    def destroy(self, *, volumes: bool, started: float) -> Applied:
        self._load(required=False)
        self._look({""})
        entries = [*self._state.live.values(), *self._state.pending]
        kept = [entry for entry in entries if entry.type == docker.VOLUME and entry.protect and not volumes]
        stuck = [entry for entry in entries if entry.protect and entry.type != docker.VOLUME]
        if stuck:
            names = ", ".join(entry.name for entry in stuck)
            raise ApplyError(f"{names}: protected; take `protect` out of the program, apply, and destroy again")
        with self._interruptible():
            self._delete_all([entry for entry in entries if all(entry is not k for k in kept)])
            self._remove_strays()
            if not self._failures:
                self._remove_labelled(volumes=volumes)
        for entry in kept:
            self._report.note(entry.type, entry.name, f"volume {entry.id} is kept with its data")
        if self._failures:
            raise ApplyError("\n".join([*self._failures, "the rest is still known: run it again"]))
        if self._state.empty:
            self._state.remove()
        else:
            with self._state.change():
                self._state.intents.clear()
                self._state.outputs = {}
        return Applied(Counter(self._report.changes), {}, time.monotonic() - started)

    def _remove_labelled(self, *, volumes: bool) -> None:
        """Networks and volumes that no state knew."""
        client = self._hosts.client("")
        for network in self._unknown("", "networks"):
            docker.remove_network(client, str(network["Id"]), str(network["Name"]))
            self._report(Event("delete", docker.NETWORK, str(network["Name"])))
        for volume in self._unknown("", "volumes"):
            name = str(volume["Name"])
            if volumes or volume["Labels"].get(LABEL_ROLE) != ROLE_STATEFUL:
                docker.remove_volume(client, name)
                self._report(Event("delete", docker.VOLUME, name))
            else:
                self._report.note(docker.VOLUME, name, f"volume {name} is kept with its data")

    # --- small things

    def _note(self, text: str) -> None:
        self._report.note("", self._config.stack, text)

    @contextlib.contextmanager
    def _interruptible(self) -> Generator[None]:
        """Ctrl-C lets the steps in flight end, starts none, and leaves a state that the next run goes on from."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(_number: int, _frame: Any) -> None:
            message = "interrupted"
            if message in self._failures:
                raise KeyboardInterrupt
            self._failures.append(message)

        former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def _verb(type_: str, verb: str) -> str:
    return "run" if type_ == COMMAND else verb


def _with_ignored(found: Registration, old: Entry | None) -> Properties:
    """The inputs, with those that `ignore_changes` names as they were."""
    if old is None or not found.ignore_changes:
        return found.inputs
    if "*" in found.ignore_changes:
        return old.inputs
    inputs = dict(found.inputs)
    for path in found.ignore_changes:
        key = path.partition("[")[0].partition(".")[0]
        if key in old.inputs:
            inputs[key] = old.inputs[key]
        else:
            inputs.pop(key, None)
    return inputs


def _marked(found: Registration, inputs: Properties, outputs: Any) -> Properties:
    """Outputs with what came from a secret input marked secret again."""
    tainted = found.type == COMMAND and bool(secrets_in(inputs))
    marked: Properties = {}
    for key, value in dict(outputs).items():
        if key in inputs:
            marked[key] = inputs[key]
        elif tainted or key in found.additional_secret_outputs:
            marked[key] = Secret(value)
        else:
            marked[key] = value
    return marked
