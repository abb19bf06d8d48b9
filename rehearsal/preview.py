"""The preview: what would exist, and what is wrong with it, without touching anything."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rehearsal.checks import Finding, check
from rehearsal.config import StackConfig, project_name, read_stack
from rehearsal.container_checks import CONTAINER, check_container, check_together
from rehearsal.errors import RehearsalError
from rehearsal.host_checks import PACKAGES, check_host
from rehearsal.monitor import Outcome, RecordingMonitor
from rehearsal.program import run_program
from rehearsal.record import Registration
from rehearsal.simulate import simulate
from rehearsal.simulate_aws import Aws
from rehearsal.values import Properties, items_of, shown


@dataclass(frozen=True, slots=True)
class Report:
    """One rehearsed stack."""

    project: str
    stack: str
    registrations: tuple[Registration, ...] = field(repr=False)
    problems: tuple[Finding, ...]
    raw_outputs: Properties = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def resources(self) -> list[dict[str, Any]]:
        return [found.to_json() for found in self.registrations]

    @property
    def outputs(self) -> dict[str, Any]:
        return shown(self.raw_outputs)

    @property
    def routes(self) -> list[Any]:
        return items_of(self.outputs.get("routes"))

    def to_json(self) -> dict[str, Any]:
        return {
            "stack": self.stack,
            "project": self.project,
            "resources": self.resources,
            "routes": self.routes,
            "problems": [finding.to_json() for finding in self.problems],
            "outputs": self.outputs,
            "notes": list(self.notes),
        }


def stopped(stack: str, root: Path, error: RehearsalError) -> Report:
    """The report of a stack that could not be rehearsed: no resources, and why."""
    try:
        project = project_name(root)
    except RehearsalError:
        project = ""
    problems = error.problems or (Finding(f"Pulumi.{stack}.yaml", str(error)),)
    return Report(project, stack, (), problems, {})


def rehearse(stack: str, root: Path) -> Report:
    """Run the program of `root` for `stack` against simulated providers. Raises RehearsalError."""
    return rehearse_config(read_stack(root.resolve(), stack))


def rehearse_config(config: StackConfig) -> Report:
    problems: list[Finding] = _region_problems(config)
    aws = Aws(str(config.values.get("aws:region", "")))

    def handle(found: Registration) -> Outcome:
        """A wrong input is reported, and is no output: the SDK itself would stumble over its type."""
        findings = _findings(found)
        problems.extend(findings)
        outcome = simulate(found, aws)
        wrong = {finding.key for finding in findings}
        return replace(outcome, outputs={key: value for key, value in outcome.outputs.items() if key not in wrong})

    monitor = RecordingMonitor(config.project, config.stack, handle, aws.call)
    log = run_program(config, monitor, preview=True)
    recorded = sorted(monitor.recorded, key=lambda found: found.urn)
    problems += check_together(recorded)
    problems.sort()
    problems += [
        Finding(urn, "is registered twice", "give one of the two resources another name")
        for urn in dict.fromkeys(monitor.duplicates)
    ]
    notes = list(log)
    if config.unread:
        count = len(config.unread)
        values = "1 secret value is" if count == 1 else f"{count} secret values are"
        notes.append(f"{values} shown by a placeholder: {config.why} ({', '.join(config.unread)})")
    return Report(config.project, config.stack, tuple(recorded), tuple(problems), monitor.outputs, tuple(notes))


def _findings(found: Registration) -> list[Finding]:
    """What the SDK's types say, and what the cloud itself says; once where both find the same."""
    findings = check(found)
    if found.type.startswith("aws:"):
        from rehearsal.aws_checks import check_aws as look  # brings AWS's models: only for a stack that has use for it
    elif found.type.startswith(PACKAGES):
        look = check_host
    elif found.type == CONTAINER:
        look = check_container
    else:
        return findings
    known = {finding.path for finding in findings}
    return findings + [finding for finding in look(found) if finding.path not in known]


def _region_problems(config: StackConfig) -> list[Finding]:
    """The default provider is no registration, so that the stack's own setting is looked at."""
    region = config.values.get("aws:region")
    if not region:
        return []
    from rehearsal.aws_models import regions

    return [] if region in regions() else [Finding("aws:region", f"should be a region of AWS, got {region!r}")]
