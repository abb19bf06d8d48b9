"""The README's stack of one's own and the least fleet of docs/hosts.md, rehearsed word for word."""

from __future__ import annotations

import re
import shutil
import textwrap
from pathlib import Path

import pytest

from rehearsal import rehearse
from rehearsal.secrets import set_secret

REPOSITORY = Path(__file__).parents[2]
_FILE = re.compile(r"^```yaml\n# (services\.yaml|Pulumi\.dev\.yaml): [^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_stack_of_your_own_rehearses_and_its_database_can_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "a reader's")
    files = _FILE.findall((REPOSITORY / "README.md").read_text())
    assert [name for name, _ in files] == ["services.yaml", "Pulumi.dev.yaml"]
    for name, text in files:
        (tmp_path / name).write_text(text)
    (tmp_path / "Pulumi.yaml").write_text("name: acme\nruntime: python\n")
    shutil.copy(REPOSITORY / "__main__.py", tmp_path)
    set_secret(tmp_path / "Pulumi.dev.yaml", "quayside:secrets.db", "hunter2", "a reader's")
    report = rehearse("dev", tmp_path)
    assert not report.problems
    assert not report.notes
    made = {r["name"]: r["inputs"] for r in report.resources if r["type"] == "docker:index/container:Container"}
    # Tried with the official image's own entrypoint: as root, or without the folder of its socket, it ends at once.
    assert made["db-1"]["user"] == "999:999"
    assert set(made["db-1"]["tmpfs"]) == {"/tmp", "/var/run/postgresql"}
    assert made["db-1"]["readOnly"] is True
    assert any("POSTGRES_PASSWORD" in str(env) or "[secret]" in str(env) for env in made["db-1"]["envs"])


def test_the_least_fleet_of_the_guide_rehearses_with_the_readme_s_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "a reader's")
    services = dict(_FILE.findall((REPOSITORY / "README.md").read_text()))["services.yaml"]
    guide = (REPOSITORY / "docs" / "hosts.md").read_text()
    (stack,) = re.findall(r"^   ```yaml\n(   config:\n.*?)^   ```$", guide, re.MULTILINE | re.DOTALL)
    (tmp_path / "services.yaml").write_text(services)
    (tmp_path / "Pulumi.staging.yaml").write_text(textwrap.dedent(stack))
    (tmp_path / "Pulumi.yaml").write_text("name: acme\nruntime: python\n")
    shutil.copy(REPOSITORY / "__main__.py", tmp_path)
    set_secret(tmp_path / "Pulumi.staging.yaml", "quayside:secrets.db", "hunter2", "a reader's")
    report = rehearse("staging", tmp_path)
    assert not report.problems
    assert {r["name"] for r in report.resources if r["type"] == "hcloud:index/server:Server"} == {"host1", "host2"}
