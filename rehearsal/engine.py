"""Applies a stack for real: each registration is carried out as the program makes it, in Pulumi's order.

What is new is created or updated at registration, which the SDK makes only when everything it depends on is done. What
is old is deleted when the program has ended and nothing failed: dependents first. After a failure nothing old goes, so
what served before serves on, and the next good run cleans up.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rehearsal import docker_provider as docker
from rehearsal import removal, survey
from rehearsal.config import StackConfig, project_name, read_stack
from rehearsal.docker_hosts import UnreachableError
from rehearsal.docker_settings import DOCKER_PROVIDER, settings_of
from rehearsal.errors import ApplyError, RehearsalError
from rehearsal.events import Applied, Event, Progress
from rehearsal.interruption import interruptible
from rehearsal.monitor import Outcome, RecordingMonitor
from rehearsal.preview import Report, rehearse_config
from rehearsal.program import run_program
from rehearsal.providers import Diff, Expiring, Made, Provider, Step, StepError
from rehearsal.random_provider import UNMADE
from rehearsal.record import Registration
from rehearsal.refusal import refuse
from rehearsal.secrets import Crypter, ensure_passphrase, find_passphrase
from rehearsal.state import Entry, Intent, StateFile, load_state, locked
from rehearsal.values import Properties, Sealed, Secret, has_unknown, revealed, secrets_in, shown
from rehearsal.work import COMMAND, DOCKER_TYPES, PROVIDER_PREFIX, Work

_TAKEN_OVER = "taken over from an interrupted run"


def apply(stack: str, root: Path, *, progress: Progress) -> Applied:
    """Make the engines what the program of `root` declares for `stack`. Raises ApplyError."""
    started = time.monotonic()
    root = root.resolve()
    try:
        config = read_stack(root, stack)
        if config.unread:
            raise ApplyError(f"{', '.join(config.unread)}: cannot be decrypted: {config.why}")
        with locked(root, stack):
            report = rehearse_config(config)
            refuse(report)
            with _run(config, progress) as run:
                return run.apply(report, started)
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
        with locked(root, stack), _run(config, progress) as run:
            return run.destroy(volumes=volumes, started=started)
    except ApplyError:
        raise
    except (RehearsalError, StepError) as error:
        raise ApplyError(str(error)) from error


def engine_state(stack: str, root: Path) -> StateFile | None:
    """What the last apply recorded; secrets stay sealed. Raises ApplyError for a damaged file."""
    root = root.resolve()
    return load_state(root, project_name(root), stack, None)


@contextlib.contextmanager
def _run(config: StackConfig, progress: Progress) -> Generator[_Run]:
    run = _Run(Work(config, progress))
    # As the engine's plugins: a command, or a key that ssh is given, may be named by a path in the project.
    with contextlib.chdir(config.root):
        try:
            yield run
        finally:
            run.work.hosts.close()


class _Run:
    """One apply or destroy of one stack, under its lock."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._seen: set[str] = set()
        self._provider_hosts: dict[str, str] = {}

    # --- apply

    def apply(self, report: Report, started: float) -> Applied:
        work = self.work
        for note in report.notes:
            work.note(note)
        self._load(required=True)
        self._prepare_secrets(report)
        survey.know_engines(work)
        survey.look(work, survey.hosts_of_plan(work, report))
        monitor = RecordingMonitor(work.config.project, work.config.stack, self._handle)
        with self._interruptible():
            try:
                run_program(work.config, monitor, preview=False)
            except RehearsalError as error:
                work.failures.insert(0, str(error))
            work.failures += [f"{urn}: is registered twice" for urn in monitor.duplicates]
            if not work.failures:
                self._delete_old()
        if work.failures:
            kept = "nothing that ran before was removed; mend it and run again: only what is missing will be done"
            raise ApplyError("\n".join([*dict.fromkeys(work.failures), kept]))
        with work.state.change():
            work.state.intents.clear()
            work.state.outputs = monitor.outputs
            survey.forget_engines(work)
        return Applied(Counter(work.report.changes), shown(monitor.outputs), time.monotonic() - started)

    def _load(self, *, required: bool) -> None:
        work, config = self.work, self.work.config
        try:
            found = load_state(config.root, config.project, config.stack, find_passphrase(config.root))
        except ApplyError as error:
            if required:
                raise
            work.note(f"{error.args[0].splitlines()[0]}: going by the labels on the engine")
            return
        if found is None:
            return
        work.state = found
        if found.recovered:
            work.note(f"{found.path.name} was damaged: going on from the copy before it, and the labels on the engine")
        values = [*([e.inputs, e.outputs] for e in found.live.values()), found.engines]
        sealed = any(isinstance(secret, Sealed) for secret in secrets_in(values))
        if sealed and required:
            raise ApplyError(
                f"{found.path}: holds secrets, and no passphrase is set\n"
                "    set PULUMI_CONFIG_PASSPHRASE (or PULUMI_CONFIG_PASSPHRASE_FILE) to the one it was applied with"
            )

    def _prepare_secrets(self, report: Report) -> None:
        state = self.work.state
        if state.crypter is not None:
            return
        values = [found.inputs for found in report.registrations] + [report.raw_outputs]
        if not secrets_in(values) and not any(found.additional_secret_outputs for found in report.registrations):
            return
        passphrase = ensure_passphrase(self.work.config.root)
        state.crypter = Crypter(passphrase, state.salt or self.work.config.salt)
        state.salt = state.crypter.salt

    def _handle(self, found: Registration) -> Outcome:
        """Carry out one registration; called from many threads at once."""
        work = self.work
        with work.guard:
            work.declared.add(found.urn)
        if not found.custom:
            return Outcome("", {})
        with work.guard:
            self._seen.add(found.urn)
            if work.failures:
                return Outcome("", {}, failed=True)
        started = time.monotonic()
        try:
            if found.type.startswith(PROVIDER_PREFIX):
                return self._provider(found)
            if has_unknown(found.inputs):
                raise StepError("depends on a value that nothing has made")
            with work.slot(found.type, self._host(found)):
                kind, entry, detail = self._carry_out(found)
        except Exception as error:
            seconds = time.monotonic() - started
            work.fail(found.type, found.name, error, seconds, inputs=found.inputs, host=self._host(found))
            return Outcome("", {}, failed=True)
        work.report(Event(kind, found.type, found.name, detail, time.monotonic() - started))
        return Outcome(entry.id, {**UNMADE.get(found.type, {}), **entry.outputs})

    def _provider(self, found: Registration) -> Outcome:
        """A provider is nothing on an engine: what it says about its engine is noted for its resources."""
        if found.type == DOCKER_PROVIDER:
            settings = settings_of(found.name, found.inputs)
            self.work.hosts.know(settings)
            self._provider_hosts[found.urn] = settings.host
            survey.remember_engine(self.work, found, settings)
            if settings.host not in self.work.foreseen:
                survey.look(self.work, {settings.host})
        return Outcome(found.name, found.inputs)

    def _carry_out(self, found: Registration) -> tuple[Any, Entry, str]:
        provider = self.work.providers[found.type]
        old = self._adopt_alias(found)
        inputs = _with_ignored(found, old)
        draft = self._draft(found, inputs)
        step = self._step(draft)
        if old is None:
            entry, adopted = self._create(provider, step, found, draft, None)
            return _verb(found.type, "create"), entry, _TAKEN_OVER if adopted else ""
        diff = provider.diff(revealed(old.inputs), step.inputs)
        reasons = self._reasons_to_replace(provider, found, diff, old, draft)
        # What an unfinished run of a command has done is not known, even where its inputs were taken back since.
        unfinished = found.type == COMMAND and found.urn in self.work.state.intents
        if not diff.changed and not reasons and not unfinished:
            return self._keep(provider, step, found, draft, old)
        detail = ", ".join(dict.fromkeys([*diff.changed, *reasons])) or "its last run did not finish"
        if not reasons:
            return _verb(found.type, "update"), self._update(provider, step, found, draft, old), detail
        delete_first = diff.delete_first if found.delete_before_replace is None else found.delete_before_replace
        if old.protect:
            raise StepError(f"is protected, and would be replaced: {', '.join(reasons)} changed")
        if delete_first:
            if not removal.is_left(self.work, old):
                removal.delete(self.work, old)
            with self.work.state.change():
                self.work.state.live.pop(found.urn, None)
        entry, adopted = self._create(provider, step, found, draft, None if delete_first else old)
        return "replace", entry, f"{detail}; {_TAKEN_OVER}" if adopted else detail

    def _reasons_to_replace(
        self, provider: Provider, found: Registration, diff: Diff, old: Entry, draft: Entry
    ) -> list[str]:
        forced = {key.partition("[")[0].partition(".")[0] for key in found.replace_on_changes}
        reasons = [key for key in diff.changed if key in diff.replace or key in forced or "*" in forced]
        if "*" in found.ignore_changes:
            return reasons
        if old.host != draft.host:
            reasons.append("host")
        if isinstance(provider, Expiring) and (why := provider.expired(old, revealed(draft.inputs))):
            reasons.append(why)
        return reasons

    def _adopt_alias(self, found: Registration) -> Entry | None:
        """The resource as it is known, under this URN or a former one."""
        state = self.work.state
        old = state.live.get(found.urn)
        if old is not None:
            return old
        for urn in found.aliases:
            former = state.live.get(urn)
            if former is not None and urn not in self._seen:
                with state.change():
                    renamed = replace(state.live.pop(urn), urn=found.urn, name=found.name)
                    state.live[found.urn] = renamed
                return renamed
        return None

    def _create(
        self, provider: Provider, step: Step, found: Registration, draft: Entry, old: Entry | None
    ) -> tuple[Entry, bool]:
        made = provider.create(step)
        entry = _finished(found, draft, made)
        with self.work.state.change():
            self.work.state.live[found.urn] = entry
            self.work.state.intents.pop(found.urn, None)
            if old is not None:
                self.work.state.pending.append(old)
        return entry, made.adopted

    def _update(self, provider: Provider, step: Step, found: Registration, draft: Entry, old: Entry) -> Entry:
        if found.type == COMMAND:
            step.intend(Intent(name=found.name, type=COMMAND, digest="", host=step.host))
        entry = _finished(found, draft, provider.update(step, old))
        with self.work.state.change():
            self.work.state.live[found.urn] = entry
            self.work.state.intents.pop(found.urn, None)
        return entry

    def _keep(
        self, provider: Provider, step: Step, found: Registration, draft: Entry, old: Entry
    ) -> tuple[Any, Entry, str]:
        moved = None
        if "*" not in found.ignore_changes:
            with contextlib.suppress(UnreachableError):  # told by the survey; nothing has to change there
                moved = provider.refresh(old)
        if moved is not None and not moved:
            self.work.report.note(found.type, found.name, "is gone from the engine: made again")
            entry, _ = self._create(provider, step, found, draft, None)
            return _verb(found.type, "create"), entry, ""
        stopped = (old.host, old.id) in self.work.stopped and docker.is_kept_running(step.inputs)
        if stopped:
            docker.start(self.work.hosts.client(old.host), old.id)
        changed = moved is not None and dict(moved) != revealed(old.outputs)
        outputs = _marked(found, draft.inputs, moved) if changed and moved is not None else old.outputs
        entry = replace(draft, id=old.id, inputs=old.inputs, outputs=outputs, host=old.host)
        if entry != old:
            with self.work.state.change():
                self.work.state.live[found.urn] = entry
        if stopped:
            return "update", entry, "was stopped: started again"
        return ("update", entry, "the name means another image now") if changed else ("same", entry, "")

    def _draft(self, found: Registration, inputs: Properties) -> Entry:
        """The resource as it will be, but for what only its provider knows."""
        return Entry(
            urn=found.urn,
            type=found.type,
            name=found.name,
            id="",
            inputs=inputs,
            outputs={},
            needs=list(found.needs),
            protect=found.protect,
            retain=found.retain_on_delete,
            host=self._host(found),
            provider=survey.provider_of(found),
            deleted_with=found.deleted_with,
        )

    def _host(self, found: Registration) -> str:
        return self._provider_hosts.get(survey.provider_of(found), "")

    def _step(self, draft: Entry) -> Step:
        def intend(intent: Intent) -> None:
            with self.work.state.change():
                self.work.state.intents[draft.urn] = intent

        return self.work.step(draft, draft.inputs, intend)

    def _delete_old(self) -> None:
        """What the program no longer has, what was replaced, and what a killed run left over."""
        work = self.work
        gone = [entry for urn, entry in work.state.live.items() if urn not in self._seen]
        protected = [entry for entry in gone if entry.protect]
        for entry in protected:
            work.report.note(entry.type, entry.name, "is no longer in the program, and stays: it is protected")
        removal.remove_strays(work)
        removal.delete_all(work, [*work.state.pending, *(entry for entry in gone if not entry.protect)])
        if not work.failures:
            removal.sweep(work)

    # --- destroy

    def destroy(self, *, volumes: bool, started: float) -> Applied:
        work = self.work
        self._load(required=False)
        survey.know_engines(work)
        survey.look(work, self._hosts_of_state())
        entries = work.entries
        kept = [entry for entry in entries if entry.type == docker.VOLUME and entry.protect and not volumes]
        stuck = [entry for entry in entries if entry.protect and entry.type != docker.VOLUME]
        if stuck:
            names = ", ".join(entry.name for entry in stuck)
            raise ApplyError(
                f"{names}: protected, and would be gone with all that is in it\n"
                "    if that is meant, set `quayside:protect: false`, apply, and destroy again"
            )
        with self._interruptible():
            removal.delete_all(work, [entry for entry in entries if all(entry is not k for k in kept)])
            removal.remove_strays(work)
            if not work.failures:
                removal.remove_labelled(work, volumes=volumes)
        for entry in kept:
            work.report.note(entry.type, entry.name, f"volume {entry.id} is kept with its data")
        if work.failures:
            raise ApplyError("\n".join([*work.failures, "the rest is still known: run it again"]))
        if work.state.empty:
            work.state.remove()
        else:
            with work.state.change():
                work.state.intents.clear()
                work.state.outputs = {}
                survey.forget_engines(work)
        return Applied(Counter(work.report.changes), {}, time.monotonic() - started)

    def _hosts_of_state(self) -> set[str]:
        """Where anything of the stack can be: by its state or, where that is lost, by its plan."""
        state = self.work.state
        hosts = {entry.host for entry in self.work.entries if entry.type in DOCKER_TYPES} | set(state.engines)
        hosts |= {intent.host for intent in state.intents.values() if intent.type in DOCKER_TYPES}
        if not hosts:
            with contextlib.suppress(RehearsalError):  # the program may not even run any more
                hosts = survey.hosts_of_plan(self.work, rehearse_config(self.work.config))
        return hosts or {""}

    def _interruptible(self) -> contextlib.AbstractContextManager[None]:
        return interruptible(self.work.failures, self.work.commands.interrupt)


def _verb(type_: str, verb: str) -> str:
    return "run" if type_ == COMMAND else verb


def _finished(found: Registration, draft: Entry, made: Made) -> Entry:
    return replace(draft, id=made.id, outputs=_marked(found, draft.inputs, made.outputs))


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
