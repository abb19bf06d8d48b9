"""``command:local:Command``, with the semantics of pulumi-command."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import IO, Any

from rehearsal.providers import Diff, Made, Step, StepError, changed_keys
from rehearsal.state import Entry
from rehearsal.values import Properties, members_of, revealed

LONGEST = 3 * 3600.0
"""Seconds that a command may take. Every step of a release has its own, shorter limit; a drain may take an hour."""
STILL = 60.0
_PIPES = 10.0
"""Seconds for what an ended command leaves in its pipes: a program that it left behind may hold them open for ever."""

_SUPPORTED = frozenset(
    {
        "create",
        "update",
        "delete",
        "stdin",
        "environment",
        "interpreter",
        "dir",
        "triggers",
        "logging",
        "addPreviousOutputInEnv",
    }
)


class CommandProvider:
    """Runs `create` on creation, `update` (else `create` again) when any input changes, and `delete` at the end."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()

    def interrupt(self) -> None:
        """Ctrl-C for what is running, which does not get the terminal's own."""
        for process in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)

    def unsupported(self, inputs: Properties) -> list[str]:
        return sorted(inputs.keys() - _SUPPORTED)

    def diff(self, old: Properties, new: Properties) -> Diff:
        changed = changed_keys(old, new)
        return Diff(changed, tuple(key for key in changed if key == "triggers"))

    def create(self, step: Step) -> Made:
        outputs = self._run(step, step.inputs, "create", {})
        return Made(f"{step.name}{secrets.token_hex(4)}", outputs)

    def update(self, step: Step, old: Entry) -> Made:
        which = "update" if step.inputs.get("update") else "create"
        return Made(old.id, self._run(step, step.inputs, which, revealed(old.outputs)))

    def delete(self, step: Step, old: Entry) -> None:
        self._run(step, revealed(old.inputs), "delete", revealed(old.outputs))

    def refresh(self, entry: Entry) -> Mapping[str, Any] | None:
        return None

    def _run(self, step: Step, inputs: Properties, which: str, before: Mapping[str, Any]) -> dict[str, Any]:
        command = inputs.get(which)
        if not command:
            return {"stdout": before.get("stdout", ""), "stderr": before.get("stderr", "")}
        environment = {
            **os.environ,
            **{key: str(value) for key, value in (members_of(inputs.get("environment"))).items()},
        }
        if inputs.get("addPreviousOutputInEnv", True):
            previous = {"PULUMI_COMMAND_STDOUT": before.get("stdout"), "PULUMI_COMMAND_STDERR": before.get("stderr")}
            environment.update({key: str(value) for key, value in previous.items() if value})
        arguments = [*(inputs.get("interpreter") or ["/bin/sh", "-c"]), str(command)]
        logging = str(inputs.get("logging", "stdoutAndStderr"))
        try:
            process = subprocess.Popen(
                arguments,
                cwd=inputs.get("dir"),
                env=environment,
                stdin=subprocess.PIPE if inputs.get("stdin") else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is for this program, which lets steps in flight end
            )
        except OSError as error:
            raise StepError(f"cannot start {arguments[0]}: {error}") from error
        self._running.add(process)
        captured: dict[str, list[str]] = {"stdout": [], "stderr": []}
        readers: list[threading.Thread] = []
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            tell = not step.quiet and logging in (name, "stdoutAndStderr")
            reader = threading.Thread(target=_read, args=(stream, captured[name], step, tell), daemon=True)
            reader.start()
            readers.append(reader)
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError), process.stdin:  # a command may end without reading it all
                process.stdin.write(str(inputs["stdin"]))
        code = _ended(process, step, which)
        self._running.discard(process)
        for reader in readers:
            reader.join(_PIPES)
        stdout, stderr = ("".join(captured[name]).removesuffix("\n") for name in ("stdout", "stderr"))
        if code != 0:
            said = stderr or stdout
            ended = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
            raise StepError(said or f"{which}: {ended}, and it printed nothing")
        return {"stdout": stdout, "stderr": stderr}


def _ended(process: subprocess.Popen[str], step: Step, which: str) -> int:
    """Its exit code. Says now and then that it still runs, and ends what can only hang."""
    began = time.monotonic()
    while True:
        try:
            return process.wait(STILL)
        except subprocess.TimeoutExpired:
            waited = time.monotonic() - began
        if waited > LONGEST:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(_PIPES)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            raise StepError(
                f"{which}: has not ended within {LONGEST / 60:.0f} minutes, and was given up\n"
                "    if Docker hangs, restart it (`sudo systemctl restart docker`) and run this again"
            )
        if not step.quiet:
            step.note(f"{step.name} still runs ({waited:.0f} s)")


def _read(stream: IO[str], lines: list[str], step: Step, tell: bool) -> None:
    for line in stream:
        lines.append(line)
        if tell and line.strip():
            step.note(line.rstrip("\n"))
