"""The difference between two rehearsals: of this tree and of another revision of it."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.errors import RehearsalError
from rehearsal.preview import Report
from rehearsal.values import mapping


@dataclass(frozen=True, slots=True)
class Difference:
    """Resources by URN that one revision has and the other has not, or has with other inputs."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, Mapping[str, tuple[Any, Any]]]

    def lines(self) -> list[str]:
        """One line a resource, and one for each input that changed."""
        lines = [f"+ {_title(urn)}" for urn in self.added] + [f"- {_title(urn)}" for urn in self.removed]
        for urn, inputs in self.changed.items():
            lines.append(f"~ {_title(urn)}")
            lines += [f"    {key}: {_short(old)} → {_short(new)}" for key, (old, new) in inputs.items()]
        return lines or ["no difference"]

    def to_json(self) -> dict[str, Any]:
        changed = {
            urn: {key: {"old": old, "new": new} for key, (old, new) in inputs.items()}
            for urn, inputs in self.changed.items()
        }
        return {"added": list(self.added), "removed": list(self.removed), "changed": changed}


def against(report: Report, root: Path, ref: str) -> Difference:
    """Rehearse the same stack at git revision `ref` and compare."""
    then = {str(found["urn"]): found for found in _rehearse_at(ref, root, report.stack)}
    now = {found["urn"]: found for found in report.resources}
    changed: dict[str, dict[str, tuple[Any, Any]]] = {}
    for urn in sorted(then.keys() & now.keys()):
        old, new = mapping(then[urn]["inputs"]) or {}, mapping(now[urn]["inputs"]) or {}
        inputs = {k: (old.get(k), new.get(k)) for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k)}
        if inputs:
            changed[urn] = inputs
    return Difference(tuple(sorted(now.keys() - then.keys())), tuple(sorted(then.keys() - now.keys())), changed)


def _rehearse_at(ref: str, root: Path, stack: str) -> list[dict[str, Any]]:
    """The resources at `ref`, rehearsed in a process of its own by today's rehearsal over that revision's program."""
    archived = subprocess.run(
        ["git", "-C", str(root), "archive", "--format=tar", ref, "."], capture_output=True, check=False
    )
    if archived.returncode != 0:
        raise RehearsalError(f"--against {ref}: {archived.stderr.decode(errors='replace').strip()}")
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
            [sys.executable, "-m", "rehearsal", stack, "--json"],
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if not done.stdout.startswith("{"):
        raise RehearsalError(f"--against {ref}: the stack cannot be rehearsed there\n{done.stderr.strip()}")
    return json.loads(done.stdout)["resources"]


def _title(urn: str) -> str:
    _, _, chain, name = urn.split("::", 3)
    return f"{name} ({chain.rsplit('$', 1)[-1]})"


def _short(value: Any) -> str:
    text = "(none)" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:197] + "…"
