"""What a test needs beside Python, and is skipped without: the reason is in the summary of every run."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

import pytest


def needs(*programs: str) -> pytest.MarkDecorator:
    """A mark for tests that start these programs."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)} on PATH")


BUSYBOX_NC = pytest.mark.skipif(
    shutil.which("busybox") is None and shutil.which("nc") is None,
    reason="needs busybox or nc on PATH, as an edge's image has them",
)


def need_engine() -> None:
    """For a fixture: skips what asks a real Docker engine where none answers."""
    if not _engine():
        pytest.skip("needs a Docker engine")


@cache
def _engine() -> bool:
    try:
        asked = ["docker", "version", "--format", "{{.Server.Version}}"]
        return subprocess.run(asked, capture_output=True, check=False, timeout=30).returncode == 0
    except (subprocess.TimeoutExpired, FileNotFoundError):
        return False
