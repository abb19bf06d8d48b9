"""Starting other programs, and the one error the command line shows without a traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class CommandError(Exception):
    """Something the user must know or do. Its text is the whole message."""


TIMED_OUT = 124
"""The exit code of `run` for a program that was not done in time; `timeout` has the same."""
HANGS = "Docker takes connections and does not answer"
RESTART = "restart it (`sudo systemctl restart docker`, or Docker Desktop), then run this again"
_UNDO = 10.0
"""Seconds that a program has for what it does at its end."""


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and keep what it printed. Its exit code raises nothing; a timeout is code 124."""
    try:
        return subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=None if env is None else {**os.environ, **env},
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(list(argv), TIMED_OUT, "", f"no answer after {timeout:g} s")
    except FileNotFoundError:
        return subprocess.CompletedProcess(list(argv), 127, "", f"{argv[0]}: not found")


def ask(argv: Sequence[str], *, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """`run`, for a question to Docker. An engine that takes it and never answers is an error, not an empty answer."""
    done = run(argv, timeout=timeout)
    if done.returncode == TIMED_OUT:
        # Options come before the question where the engine is another host's.
        question = next((word for word in argv[1:] if not word.startswith(("-", "unix:"))), "")
        raise HangsError(f"{HANGS}: it has not answered `docker {question}` within {timeout:g} s\n    {RESTART}")
    return done


class HangsError(CommandError):
    """A Docker engine that takes connections and answers nothing."""


class Watch:
    """Ends a program that makes no progress for `silence` seconds, however long it may take in all."""

    def __init__(self, process: subprocess.Popen[Any], silence: float) -> None:
        self.silence = silence
        self.expired = False
        self._process = process
        self._last = time.monotonic()
        threading.Thread(target=self._look, daemon=True).start()

    def progress(self) -> None:
        self._last = time.monotonic()

    def _look(self) -> None:
        while self._process.poll() is None:
            if time.monotonic() - self._last > self.silence:
                self.expired = True
                end(self._process)
                return
            time.sleep(min(0.2, self.silence / 4))


def end(process: subprocess.Popen[Any]) -> None:
    """By SIGTERM, so that it can undo what it holds; by SIGKILL where that is not enough."""
    process.terminate()
    try:
        process.wait(_UNDO)
    except subprocess.TimeoutExpired:
        process.kill()


def found(program: str) -> bool:
    """Whether the program is on PATH."""
    return shutil.which(program) is not None


def as_root() -> tuple[str, ...] | None:
    """What to put before a command that needs root: nothing, `sudo`, or None where neither will do."""
    if os.geteuid() == 0:
        return ()
    if found("sudo") and (os.isatty(0) or run(["sudo", "-n", "true"], timeout=10).returncode == 0):
        return ("sudo",)
    return None


def last_line(text: str) -> str:
    """The last line with something in it: what a failed tool usually says best."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def make(goal: str, stack: str) -> str:
    """The `make` that does this to a stack, which may be given as project/stack: without STACK it is stack local's."""
    name = stack.rpartition("/")[2]
    return f"make {goal}" if name == "local" else f"make {goal} STACK={name}"
