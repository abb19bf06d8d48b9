"""What `quayside up` removes behind a `pulumi` that was killed: what is the stack's and in nobody's state."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from quayside.orphans import remove_orphans
from quayside.shell import CommandError

DOCKER = """#!/bin/sh
case "$1 $2 $5" in
    "container inspect web-1-known") echo kept acme/local service ;;
    "container inspect web-1-left") echo left acme/local service ;;
    "container inspect web-1-other") echo other acme/other service ;;
    "network inspect acme_local_web") echo net acme/local service ;;
    "volume inspect web-app-left") echo web-app-left acme/local files ;;
    "volume inspect acme_local_data") echo acme_local_data acme/local stateful ;;
    *inspect*) echo "no such thing" >&2; exit 1 ;;
    *) echo "$*" >>"$CALLS"; [ "$*" != "$REFUSED" ] || { echo "has active endpoints" >&2; exit 1; } ;;
esac
"""
CONTAINER, NETWORK = "docker:index/container:Container", "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"


def begun(type_: str, name: str, operation: str = "creating") -> dict[str, Any]:
    return {"type": operation, "resource": {"type": type_, "inputs": {"name": name}}}


def state(*operations: dict[str, Any]) -> str:
    document = {"deployment": {"resources": [{"id": "kept"}, {"urn": "part"}], "pending_operations": operations}}
    return f"#!/bin/sh\ncat <<'END'\n{json.dumps(document)}\nEND\n"


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755 | stat.S_IXUSR)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("REFUSED", "nothing")
    put(folder, "docker", DOCKER)
    return folder


def test_what_was_begun_and_is_not_in_the_state_goes(programs: Path, tmp_path: Path) -> None:
    operations = (
        begun(NETWORK, "acme_local_web"),
        begun(CONTAINER, "web-1-known"),  # a later `up` has taken it over
        begun(CONTAINER, "web-1-left"),
        begun(CONTAINER, "web-1-other"),  # another stack's
        begun(CONTAINER, "web-1-gone"),
        begun(CONTAINER, "web-1-left", "deleting"),
        begun(VOLUME, "acme_local_data"),  # may hold data, and an `up` uses it as it is
        begun(VOLUME, "web-app-left"),
    )
    put(programs, "pulumi", state(*operations))
    said: list[str] = []
    remove_orphans(tmp_path, "local", "acme/local", said.append)
    assert (tmp_path / "calls").read_text() == "rm --force --volumes left\nnetwork rm net\nvolume rm web-app-left\n"
    assert said == [
        "  - container web-1-left, left by a deployment that was killed",
        "  - network acme_local_web, left by a deployment that was killed",
        "  - volume web-app-left, left by a deployment that was killed",
    ]


def test_what_cannot_be_removed_is_said_before_anything_is_made(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSED", "network rm net")
    put(programs, "pulumi", state(begun(NETWORK, "acme_local_web")))
    with pytest.raises(CommandError, match=r"network acme_local_web was left .* has active endpoints"):
        remove_orphans(tmp_path, "local", "acme/local", print)


@pytest.mark.parametrize("document", ["{}", '{"deployment": {"resources": null}}'])
def test_a_stack_that_was_never_deployed_has_none(programs: Path, tmp_path: Path, document: str) -> None:
    put(programs, "pulumi", f"#!/bin/sh\necho '{document}'\n")
    remove_orphans(tmp_path, "local", "acme/local", print)
    assert not (tmp_path / "calls").exists()


def test_a_state_that_cannot_be_read_removes_nothing(programs: Path, tmp_path: Path) -> None:
    put(programs, "pulumi", "#!/bin/sh\necho no such stack >&2; exit 1\n")
    with pytest.raises(CommandError, match="no such stack"):
        remove_orphans(tmp_path, "local", "acme/local", print)
    assert not (tmp_path / "calls").exists()
