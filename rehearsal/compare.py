"""The difference between two rehearsals: of this tree and of another revision of it."""

from __future__ import annotations

import difflib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehearsal.aws_changes import change_notes
from rehearsal.checks import Finding
from rehearsal.errors import RehearsalError
from rehearsal.gaps import gaps
from rehearsal.preview import Report
from rehearsal.values import mapping, sequence

_GIT = 120
_REHEARSAL = 900
"""Seconds."""
_WIDTH = 200
_PARTS = 20
"""Characters of a line, and lines of one input, that are shown."""
Changes = Mapping[str, Mapping[str, tuple[Any, Any]]]
"""URN → input → what it was and what it is."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Resources by URN that one revision has and the other has not, or has with other inputs."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Changes
    ignored: Changes
    """Inputs that differ and that Pulumi leaves as they are, for the resource says `ignoreChanges`."""
    notes: tuple[str, ...] = ()
    """What the change stops, restarts or cannot do."""
    gaps: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """URN → what a change stops for a while, and what it may do to data."""

    def lines(self) -> list[str]:
        """One line a resource, and one for each input that changed."""
        lines = [f"+ {_title(urn)}" for urn in self.added] + [f"- {_title(urn)}" for urn in self.removed]
        for urn in sorted(self.changed.keys() | self.ignored.keys()):
            sign = "±" if urn in self.gaps else "~" if urn in self.changed else "="
            lines.append(f"{sign} {_title(urn)}")
            lines += [f"    ! {text}" for text in self.gaps.get(urn, ())]
            lines += _inputs(self.changed.get(urn, {}))
            lines += [f"{line} (ignored)" for line in _inputs(self.ignored.get(urn, {}))]
        lines += [f"! {note}" for note in self.notes]
        return lines or ["no difference"]

    def to_json(self) -> dict[str, Any]:
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "changed": _json(self.changed),
            "ignored": _json(self.ignored),
            "notes": list(self.notes),
            "gaps": {urn: list(texts) for urn, texts in self.gaps.items()},
        }


def against(report: Report, root: Path, ref: str) -> Difference:
    """Rehearse the same stack at git revision `ref` and compare."""
    try:
        before = _rehearse_at(ref, root, report.stack)
    except subprocess.TimeoutExpired as error:
        said = f"`{' '.join(map(str, error.cmd[:4]))} …` has not ended within {error.timeout:g} seconds"
        raise _refused(ref, said) from error
    return difference(before, report.resources)


def difference(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Difference:
    """Of two rehearsals' resources, each with its `urn`, `inputs` and `ignoreChanges`."""
    then = {str(found["urn"]): found for found in before}
    now = {str(found["urn"]): found for found in after}
    changed: dict[str, dict[str, tuple[Any, Any]]] = {}
    ignored: dict[str, dict[str, tuple[Any, Any]]] = {}
    for urn in sorted(then.keys() & now.keys()):
        old, new = mapping(then[urn]["inputs"]) or {}, mapping(now[urn]["inputs"]) or {}
        # What the new program says counts: Pulumi keeps the old state's value at each of its `ignoreChanges`.
        paths = [_steps(path) for path in now[urn]["ignoreChanges"]]
        kept_old, kept_new = _without(old, paths), _without(new, paths)
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                into = changed if kept_old.get(key) != kept_new.get(key) else ignored
                into.setdefault(urn, {})[key] = (old.get(key), new.get(key))
    added, removed = sorted(now.keys() - then.keys()), sorted(then.keys() - now.keys())
    stops = {urn: texts for urn in changed if (texts := gaps(then[urn], now[urn]))}
    return Difference(tuple(added), tuple(removed), changed, ignored, tuple(change_notes(then, now)), stops)


def _steps(path: str) -> list[str]:
    """`labels`, `a.b[0].c`, `a["b.c"]` and `a[*].b`, as Pulumi writes property paths."""
    return [quoted or plain for quoted, plain in re.findall(r'\["([^"]*)"\]|([^.\[\]"]+)', path)]


def _without(value: Any, paths: Sequence[Sequence[str]]) -> Any:
    """A copy that lacks what the paths name."""
    ended = {path[0] for path in paths if len(path) == 1}
    if (members := mapping(value)) is not None:
        return {
            key: _without(item, [path[1:] for path in paths if len(path) > 1 and path[0] in {key, "*"}])
            for key, item in members.items()
            if not ended & {key, "*"}
        }
    if (items := sequence(value)) is not None:
        return [
            _without(item, [path[1:] for path in paths if len(path) > 1 and path[0] in {str(number), "*"}])
            for number, item in enumerate(items)
            if not ended & {str(number), "*"}
        ]
    return value


def _rehearse_at(ref: str, root: Path, stack: str) -> list[dict[str, Any]]:
    """The resources at `ref`, rehearsed in a process of its own by today's rehearsal over that revision's program."""
    archived = _git(root, "archive", "--format=tar", ref, ".")
    if archived.returncode != 0:
        said = archived.stderr.decode(errors="replace").strip()
        if _git(root, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true":
            said = (
                f"this clone has only the last commits, and {ref} is not among them\n"
                f"  fetch it: `git fetch --deepen=100 origin {ref}`, or `fetch-depth: 0` at actions/checkout\n"
                f"  git says: {said}"
            )
        raise _refused(ref, said)
    with tempfile.TemporaryDirectory(prefix="quayside-against-") as folder:
        tree = Path(folder)
        with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as tar:
            tar.extractall(tree, filter="data")
        ours = Path(__file__).parent
        shutil.rmtree(tree / "rehearsal", ignore_errors=True)
        shutil.copytree(ours, tree / "rehearsal", ignore=shutil.ignore_patterns("__pycache__"))
        passphrase = root / ".quayside" / "passphrase"
        environment = dict(os.environ)
        if passphrase.is_file() and "PULUMI_CONFIG_PASSPHRASE" not in environment:
            environment.setdefault("PULUMI_CONFIG_PASSPHRASE_FILE", str(passphrase))
        done = subprocess.run(
            # Its steps are checks of text: minutes mean that the program waits for something.
            [sys.executable, "-m", "rehearsal", stack, "--json"],
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_REHEARSAL,
        )
    if not done.stdout.startswith("{"):
        raise _refused(ref, f"the stack cannot be rehearsed there\n{done.stderr.strip()}")
    report = json.loads(done.stdout)
    if report["problems"] and not report["resources"]:
        lines = [f"{each['path']}: {each['message']}" for each in report["problems"]]
        raise _refused(ref, "\n  ".join(["the stack cannot be rehearsed there", *lines]))
    return report["resources"]


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(root), *words], capture_output=True, check=False, timeout=_GIT)


def _refused(ref: str, message: str) -> RehearsalError:
    return RehearsalError(f"--against {ref}: {message}", [Finding(f"--against {ref}", message)])


def _inputs(inputs: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """A line each; of what is too long for one (a list, a text of many lines) only what goes and what comes."""
    lines: list[str] = []
    for key, (old, new) in inputs.items():
        then, now = _parts(old), _parts(new)
        if not (then and now) or max(len(json.dumps(old)), len(json.dumps(new))) <= _WIDTH:
            lines.append(f"    {key}: {_short(old)} → {_short(new)}")
            continue
        compared = list(difflib.unified_diff(then, now, n=0, lineterm=""))[2:]
        differs = [f"{line[0]} {line[1:]}" for line in compared if not line.startswith("@@")]
        lines.append(f"    {key}:" if differs else f"    {key}: the same in another order")
        lines += [f"        {line[:_WIDTH]}" for line in differs[:_PARTS]]
        lines += [f"        … and {len(differs) - _PARTS} lines more" for _ in differs[_PARTS : _PARTS + 1]]
    return lines


def _parts(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.splitlines() if "\n" in value else []
    return [json.dumps(item, ensure_ascii=False) for item in sequence(value) or ()]


def _json(changes: Changes) -> dict[str, Any]:
    return {
        urn: {key: {"old": old, "new": new} for key, (old, new) in inputs.items()} for urn, inputs in changes.items()
    }


def _title(urn: str) -> str:
    _, _, chain, name = urn.split("::", 3)
    return f"{name} ({chain.rsplit('$', 1)[-1]})"


def _short(value: Any) -> str:
    text = "(none)" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "…"
