"""A project may have folders that are called as packages of quayside: its `settings` is not ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    shutil.copy(ROOT / "__main__.py", root)
    (root / "Pulumi.yaml").write_text("name: fx\nruntime: python\n")
    (root / "Pulumi.t.yaml").write_text("config:\n  quayside:cloud: local\n")
    (root / "services.yaml").write_text("services:\n  web: {image: 'nginx:1', port: 80}\n")
    for name in ("settings", "components", "planning"):
        (root / name).mkdir()
        (root / name / "__init__.py").write_text("raise RuntimeError('the project has this for something else')\n")
    return root


def python(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_project_with_a_settings_folder_is_rehearsed(project: Path) -> None:
    done = python(project, "-m", "rehearsal", "t")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no problems" in done.stdout


def test_the_command_line_works_there(project: Path) -> None:
    done = python(project, "-m", "quayside", "status", "--stack", "nope")
    assert "no stack nope: there is no Pulumi.nope.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_pulumi_runs_the_program_there(project: Path) -> None:
    # As pulumi's language host has it: the project's folder first.
    done = python(project, "-c", f"import sys; sys.path.insert(0, {str(project)!r}); import platforms; print('fine')")
    assert done.stdout == "fine\n", done.stderr


def test_what_cannot_be_told_apart_is_refused_in_words(project: Path) -> None:
    (project / "settings" / "__init__.py").write_text("")
    main = project / "__main__.py"
    main.write_text("import settings\n" + main.read_text())
    words = f"import sys; sys.path.insert(0, {str(project)!r}); import settings, platforms"
    done = python(project, "-c", words)
    assert "settings: the program has imported a module of its own by this name" in done.stderr
    # A folder beside ours whose name begins with the name of ours.
    near = f"import sys, types; sys.modules['settings'] = types.SimpleNamespace(__file__='{ROOT}-shop/settings.py')"
    done = python(project, "-c", f"{near}; import platforms")
    assert "settings: the program has imported a module of its own by this name" in done.stderr
    (project / "platforms").mkdir()
    done = python(project, "-m", "rehearsal", "t")
    assert done.returncode == 1
    assert "platforms is what quayside calls its own" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
