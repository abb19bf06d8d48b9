"""The Pulumi CLI on one project, as a person runs it, and what its event log says it did."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rehearsal

REPOSITORY = Path(__file__).parents[2]
COMMAND = "command:local:Command"

Step = tuple[str, str]
"""What was done, and the name of what it was done to."""


class Pulumi:
    """The CLI on one project's stack, with a file backend beside it."""

    def __init__(
        self,
        root: Path,
        stack: str,
        passphrase: str,
        *,
        secrets: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.root, self.stack, self.secrets = root, stack, dict(secrets or {})
        backend = root / ".state"
        backend.mkdir()
        self.env = {
            **os.environ,
            **(environment or {}),
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PULUMI_CONFIG_PASSPHRASE": passphrase,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DEBUG_COMMANDS": "true",
            "PYTHONPATH": str(REPOSITORY),
            "NO_COLOR": "1",
        }
        self.log: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.run("stack", "init", stack)
        for key, value in self.secrets.items():
            self.run("config", "set", "--secret", "--path", f"quayside:secrets.{key}", stdin=value)

    def run(self, *arguments: str, stdin: str = "", fails: bool = False) -> str:
        chosen = () if arguments[:2] == ("stack", "init") else ("--stack", self.stack)
        began = time.monotonic()
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", *chosen],
            cwd=self.root,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        self.seconds = time.monotonic() - began
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, said
        self._told_no_secret(said)
        return said

    def _logged(self, *arguments: str, fails: bool = False) -> str:
        log = self.root / "events.json"
        log.unlink(missing_ok=True)
        said = self.run(*arguments, "--event-log", str(log), fails=fails)
        text = log.read_text()
        self._told_no_secret(text)
        self.log = [json.loads(line) for line in text.splitlines()]
        return said

    def _told_no_secret(self, text: str) -> None:
        for value in self.secrets.values():
            assert value not in text

    def up(self, *, fails: bool = False) -> str:
        return self._logged("up", "--yes", "--skip-preview", fails=fails)

    def preview(self) -> str:
        return self._logged("preview", "--diff")

    def refresh(self, *arguments: str, fails: bool = False) -> str:
        return self._logged("refresh", "--yes", "--skip-preview", *arguments, fails=fails)

    def destroy(self, *arguments: str, fails: bool = False) -> str:
        return self._logged("destroy", "--yes", "--skip-preview", *arguments, fails=fails)

    def changed(self) -> list[tuple[str, str, list[str]]]:
        """What the last run changed, and the inputs that were the reason."""
        return [(m["op"], name_of(m["urn"]), m.get("diffs") or []) for m in self._done() if m["op"] != "same"]

    def steps(self) -> list[Step]:
        """The last run's steps, in the order in which they ended."""
        kinds = {"create": "created", "create-replacement": "created", "update": "updated",
                 "delete": "deleted", "delete-replaced": "deleted"}  # fmt: skip
        return [step for m in self._done() if (step := _step(kinds.get(m["op"]), m["type"], name_of(m["urn"])))]

    def _done(self) -> list[dict[str, Any]]:
        return [event["resOutputsEvent"]["metadata"] for event in self.log if "resOutputsEvent" in event]


def name_of(urn: str) -> str:
    return urn.rpartition("::")[2]


def _step(kind: str | None, type_: str, name: str) -> Step | None:
    if kind is None or type_.startswith(("quayside:", "pulumi:")):
        return None
    return ("run" if type_ == COMMAND and kind != "deleted" else kind), name


def rehearsed_steps(events: Sequence[rehearsal.Event]) -> list[Step]:
    kinds = {"create": "created", "replace": "created", "update": "updated", "delete": "deleted", "run": "run"}
    return [step for event in events if (step := _step(kinds.get(event.kind), event.type, event.name))]


def phases(steps: Sequence[Step]) -> list[tuple[str, list[str]]]:
    """Steps of one kind in a row run in parallel, in no order of their own."""
    found: list[tuple[str, list[str]]] = []
    for kind, name in steps:
        if not found or found[-1][0] != kind:
            found.append((kind, []))
        found[-1][1].append(name)
    return [(kind, sorted(names)) for kind, names in found]
