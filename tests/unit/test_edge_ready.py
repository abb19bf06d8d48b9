"""An edge that was made and could not start is started by the next `up`, once what was in its way is gone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from components.docker.scripts import EDGE_READY

DOCKER = """#!/bin/sh
case $1 in
    exec) [ -f "$HERE/started" ] ;;
    start) echo start >>"$HERE/calls"; [ -f "$HERE/taken" ] || touch "$HERE/started" ;;
    inspect) echo "$STATE" ;;
esac
"""


def ready(tmp_path: Path, state: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "calls").touch()
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "HERE": str(tmp_path),
        "STATE": state,
        "QUAYSIDE_EDGE": "shop_edge",
        "QUAYSIDE_SETTLE": "0",
    }
    return subprocess.run(
        ["sh", "-c", EDGE_READY], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_what_was_made_and_did_not_start_is_started(tmp_path: Path) -> None:
    done = ready(tmp_path, "created driver failed: port is already allocated")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "calls").read_text() == "start\n"


def test_what_runs_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "started").touch()
    assert ready(tmp_path, "running ").returncode == 0
    assert (tmp_path / "calls").read_text() == ""
