"""Starting other programs, and the one error the command line shows without a traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandError(Exception):
    """Something the user must know or do. Its text is the whole message."""


def run(
    argv: Sequence[str],
    *,
    timeout: float | None = None,
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
        return subprocess.CompletedProcess(list(argv), 124, "", f"no answer after {timeout:g} s")
    except FileNotFoundError:
        return subprocess.CompletedProcess(list(argv), 127, "", f"{argv[0]}: not found")


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
