"""The lines by which a host knows what is new of what is placed on it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from components.docker.scripts import ROOM_THERE
from planning.hosts.room import STAYS, room, staying
from planning.plan import decide
from tests.mesh import stack

MIB = 1024**2
SHOP: dict[str, Any] = {
    "web": {"image": "web", "port": 8000, "memory": 96 * MIB, "uses": ("session",), "replicas": 2, "env": {"A": "1"}},
    "session": {"image": "redis", "port": 6379, "protocol": "tcp", "memory": 64 * MIB, "volume": "/d", "place": "a"},
}


def lines(**changes: Any) -> dict[str, list[str]]:
    services = {**SHOP, "web": {**SHOP["web"], **changes}}
    found = room(decide(stack(services), {}).services.values())
    return {line.split()[0]: line.split()[1:] for line in found}


def test_a_line_a_slot_with_its_memory_and_what_its_container_is_made_of() -> None:
    found = lines()
    assert {slot: line[0] for slot, line in found.items()} == {
        "web-1": str(96 * MIB),
        "web-2": str(96 * MIB),
        "session-1": str(64 * MIB),
    }
    assert found["session-1"][1] == STAYS, "it is replaced stop-first, in the memory that it has"
    assert found == lines(), "the same twice"


def test_what_makes_a_container_anew_changes_its_line_and_what_does_not_does_not() -> None:
    before = lines()
    for change in ({"image": "web:2"}, {"env": {"A": "2"}}, {"memory": 97 * MIB}, {"uses": ()}, {"user": "nobody"}):
        after = lines(**change)
        assert after["web-1"] != before["web-1"], change
        assert after["session-1"] == before["session-1"]
    assert {slot: line for slot, line in lines(replicas=3).items() if slot in before} == before


def test_the_edge_and_what_has_data_stay() -> None:
    assert staying(decide(stack(SHOP), {}).services.values()) == ["edge", "session"]


DOCKER = """\
#!/bin/sh
case "$*" in
    "ps -a "*) echo "web 1"; echo "edge 9" ;;
    "ps -q "*"service=edge") echo 9 ;;
    "inspect "*) echo /host1-web-1-5ad9 ;;
    "exec 9 sed -i "*) shift 4; script=$1; sed -i "$script" "$CONFIG" ;;
    "network ls"* | "volume ls"*) ;;
    *) echo "docker $*" >>"$SAID" ;;
esac
"""


def test_what_is_swept_is_no_name_that_the_edge_would_ask_for(tmp_path: Path) -> None:
    """Each would cost it seconds, whenever it reads what it had: a host that came back took minutes."""
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        "#: server web web-1 host1-web-1-5ad9 1 http\n    server web-1 host1-web-1-5ad9:8000 weight 1\n"
        "    server anyway:web-1 host1-web-1-5ad9:8000 weight 1 no-check backup\n    server a host1-web-1-5ad90:8000\n"
    )
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    settings = "task=away\nstack=shop\nkeep=edge\nwanted=\nbefore=up\n"
    done = subprocess.run(
        ["sh"],
        input=settings + ROOM_THERE,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "CONFIG": str(config), "SAID": str(tmp_path / "said")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert config.read_text() == (
        "#: server web web-1 host1-web-1-5ad9 1 http\n    server web-1 127.0.0.1:8000 weight 1\n"
        "    server anyway:web-1 127.0.0.1:8000 weight 1 no-check backup\n    server a host1-web-1-5ad90:8000\n"
    )
    assert (tmp_path / "said").read_text() == "docker stop 1\ndocker rm -f -v 1\n"
