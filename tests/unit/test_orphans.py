"""What `quayside up` removes behind a `pulumi` that was killed: what is the stack's and in nobody's state."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from quayside.orphans import remove_orphans
from quayside.shell import CommandError

DOCKER = """#!/bin/sh
case "$*" in
    "ps --all --quiet --no-trunc --filter label=dev.quayside.stack=acme/local") printf 'kept\\nleft\\n' ;;
    "network ls --quiet --no-trunc --filter label=dev.quayside.stack=acme/local") printf 'net\\nused\\n' ;;
    *" left") echo /web-1-abc ;;
    "inspect "*" used") echo acme_local_web ;;
    "network rm used") echo "has active endpoints" >&2; echo "$*" >>"$CALLS"; exit 1 ;;
esac
case $1 in rm) echo "$*" >>"$CALLS" ;; esac
"""


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755 | stat.S_IXUSR)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    put(folder, "docker", DOCKER)
    return folder


def test_what_the_state_lacks_goes_and_what_it_has_stays(programs: Path, tmp_path: Path) -> None:
    state = {"deployment": {"resources": [{"id": "kept"}, {"id": "net"}, {"urn": "a component"}]}}
    put(programs, "pulumi", f"#!/bin/sh\ncat <<'END'\n{json.dumps(state)}\nEND\n")
    said: list[str] = []
    remove_orphans(tmp_path, "local", "acme/local", said.append)
    assert (tmp_path / "calls").read_text() == "rm --force --volumes left\nnetwork rm used\n"
    assert said == [
        "  - container web-1-abc, left by a deployment that was killed",
        "  network acme_local_web was left by a deployment that was killed, and is there: has active endpoints",
    ]


@pytest.mark.parametrize("state", ["{}", '{"deployment": {"resources": null}}'])
def test_a_state_without_anything_is_no_reason_to_remove_everything(programs: Path, tmp_path: Path, state: str) -> None:
    put(programs, "pulumi", f"#!/bin/sh\necho '{state}'\n")
    with pytest.raises(CommandError, match="nothing was removed"):
        remove_orphans(tmp_path, "local", "acme/local", print)
    assert not (tmp_path / "calls").exists()


def test_a_state_that_cannot_be_read_removes_nothing(programs: Path, tmp_path: Path) -> None:
    put(programs, "pulumi", "#!/bin/sh\necho no such stack >&2; exit 1\n")
    with pytest.raises(CommandError, match="no such stack"):
        remove_orphans(tmp_path, "local", "acme/local", print)
    assert not (tmp_path / "calls").exists()
