"""The lines by which a host knows what is new of what is placed on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from components.docker.scripts import ROOM, ROOM_THERE
from planning.hosts.room import STAYS, data, room, staying
from planning.plan import decide
from planning.registry import RegistryPlan
from planning.subnets import Subnet
from tests.mesh import host, stack

MIB = 1024**2
SHOP: dict[str, Any] = {
    "web": {"image": "web", "port": 8000, "memory": 96 * MIB, "uses": ("session",), "replicas": 2, "env": {"A": "1"}},
    "session": {"image": "redis", "port": 6379, "protocol": "tcp", "memory": 64 * MIB, "volume": "/d", "place": "a"},
}


HOST = "client='28.0.0 1.48'\nowner=\nstack=shop\nkeep=edge\n"
"""What `room.sh` says first to a host."""
VERSION = '"version "*) echo 20.10.24 1.12 1.41'


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


def test_what_only_the_routing_is_told_of_is_nothing_new_on_the_host() -> None:
    """So a longer `grace` on a host that is nearly full is not refused for lack of memory."""
    before = lines()
    for change in (
        {"health": {"grace": 300, "path": "/up", "timeout": 9}},
        {"routes": ("a.example.com", "b.example.com/c")},
        {"sticky": 60},
        {"drain": 300},
        {"canary": {"image": "web", "share": 3}},
        {"port": 9000},
    ):
        assert {slot: line for slot, line in lines(**change).items() if slot in before} == before, change


@pytest.mark.parametrize(("limit", "fits"), [("100", True), (str(1 << 60), False)])
def test_a_higher_limit_of_the_same_container_takes_what_is_added(tmp_path: Path, limit: str, fits: bool) -> None:
    (tmp_path / "docker").write_text(f'#!/bin/sh\ncase "$*" in {VERSION} ;; esac\n')
    (tmp_path / "docker").chmod(0o755)
    before = f"up\nweb-1 {1 << 61} a\nweb-2 64 a\ndata"
    wanted = f"web-1 {(1 << 61) + 5} a\nweb-2 {limit} a"
    settings = f"{HOST}task=make\nwanted='{wanted}'\nbefore='{before}'\n"
    done = subprocess.run(
        ["sh"],
        input=settings + ROOM_THERE,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if fits else 1), done.stdout


def test_the_edge_stays_and_what_has_data_in_its_engine_is_remembered() -> None:
    services = decide(stack(SHOP), {}).services.values()
    assert (staying(host("a")), data(host("a"), services)) == (["edge"], ["session"])
    assert (staying(host("a", kind="created")), data(host("a", kind="created"), services)) == (["edge"], [])
    assert staying(host("a", burst=True)) == []


def test_the_door_of_ports_and_the_hosts_registry_take_memory_too() -> None:
    ports = [{"port": 25, "sources": ("0.0.0.0/0",)}]
    registry = RegistryPlan(
        image="registry:3",
        memory=128 * MIB,
        bucket="b",
        subnet=Subnet("10.1.0.0/26"),
        config="",
        access_key="a",
        secret_key="s",
    )
    web = {**SHOP["web"], "ports": ports, "replicas": 1, "uses": ()}
    found = room(decide(stack({"web": web}), {}).services.values(), registry)
    assert [line.split()[:2] for line in found if not line.startswith("web-1 ")] == [
        ["registry", str(128 * MIB)],
        ["web-door", str(64 * MIB)],
    ]
    data_has_none = {**SHOP["session"], "ports": ports}
    assert len(room(decide(stack({"session": data_has_none}), {}).services.values())) == 1


# --- the script that is run here -------------------------------------------------------------------------------------


class Here:
    """`room.sh` with an ssh that runs what it is given here, and writes down that it was called."""

    def __init__(self, root: Path) -> None:
        self.root, self.said = root, ""
        (root / "ssh").write_text(f"#!/bin/sh\necho called >>{root}/calls\ncat >/dev/null\n")
        (root / "ssh").chmod(0o755)

    def leave(self, *, down: bool = False) -> tuple[int, str, int]:
        """With no more than `HostLeave` gives it."""
        return self._run("away", {}, down=down, keep="edge")

    def make(self, *data: str, down: bool = False, keep: str = "edge") -> tuple[int, str, int]:
        """Its code, what it complains of, and how often the host was called."""
        wanted = {"PULUMI_COMMAND_STDOUT": self.said, "QUAYSIDE_DATA": " ".join(data), "QUAYSIDE_WANTED": "web-1 1 a"}
        return self._run("make", wanted, down=down, keep=keep)

    def _run(self, task: str, more: Mapping[str, str], *, down: bool, keep: str) -> tuple[int, str, int]:
        (self.root / "calls").write_text("")
        done = subprocess.run(
            ["sh", "-c", ROOM, "room", task],
            env={
                "PATH": f"{self.root}:{os.environ['PATH']}",
                "QUAYSIDE_THERE": "",
                "QUAYSIDE_HOST": "box",
                "QUAYSIDE_OPTIONS": "",
                "QUAYSIDE_DESTINATION": "root@box",
                "QUAYSIDE_DOWN": "1" if down else "0",
                "QUAYSIDE_STACK": "shop",
                "QUAYSIDE_KEEP": keep,
                **more,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0 and task == "make":
            self.said = done.stdout
        return done.returncode, done.stderr, len((self.root / "calls").read_text().split())


def test_a_volume_that_is_new_on_a_host_that_is_down_is_refused_and_nothing_calls_it(tmp_path: Path) -> None:
    here = Here(tmp_path)
    assert here.make("db") == (0, "", 1)
    for _ in range(2):  # a run that fails leaves what was known
        code, said, calls = here.make("cache", "db", down=True)
        assert (code, calls) == (1, 0)
        assert said == (
            "cache has no volume on box yet, and box is declared down, so none is made\n"
            "    set services/cache/place to another host; or leave it out of this stack until box is back:\n"
            "    quayside:services: {cache: null}\n"
        )
    assert here.make("db", down=True) == (0, "", 0)
    assert here.make("cache", "db", down=True)[::2] == (1, 0)
    assert here.make("db", down=True) == (0, "", 0)
    assert here.make("cache", "db") == (0, "", 1)
    assert here.make("cache", "db", down=True) == (0, "", 0)
    # What was forgotten while the host was down is not known any more, though its data is there.
    assert here.make("cache", down=True) == (0, "", 0)
    assert here.make("cache", "db", down=True)[::2] == (1, 0)


def test_a_volume_that_left_the_program_is_known_since_it_is_protected(tmp_path: Path) -> None:
    """The `up` that was to remove it ended there; taken back with the host dead, nothing is new."""
    here = Here(tmp_path)
    assert here.make("db") == here.make() == (0, "", 1)
    assert here.make("db", down=True) == (0, "", 0)


def test_a_host_that_was_never_there_cannot_be_down_but_for_one_of_a_burst(tmp_path: Path) -> None:
    code, said, calls = Here(tmp_path).make(down=True)
    assert (code, calls) == (1, 0)
    assert "nothing was ever made there" in said
    assert Here(tmp_path).make(down=True, keep="") == (0, "", 0)


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
    settings = f"{HOST}task=away\nwanted=\nbefore=up\n"
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


@pytest.mark.parametrize(
    ("before", "new"),
    [
        ("up\nweb-1 1 a\ndata db", ["web-1"]),  # an `up` that took db out ended with its data still there
        ("up\ndb-1 1 -\nweb-1 1 a\ndata db", ["web-1"]),
        ("", []),  # a state was lost
        ("down\ndata db", ["db-1", "web-1"]),  # all of it was swept
    ],
)
def test_what_is_replaced_stop_first_and_runs_is_not_new(tmp_path: Path, before: str, new: list[str]) -> None:
    running = ["web-1", "db-1"] if not before.startswith("down") else []
    (tmp_path / "docker").write_text(
        f'#!/bin/sh\ncase "$*" in {VERSION} ;; "ps --filter "*) printf "%s\\n" '
        + " ".join(running or ['""'])
        + " ;; esac\n"
    )
    (tmp_path / "docker").chmod(0o755)
    settings = f"{HOST}task=make\nwanted='db-1 {1 << 60} -\nweb-1 {1 << 60} b'\nbefore='{before}'\n"
    done = subprocess.run(
        ["sh"],
        input=settings + ROOM_THERE,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (1 if new else 0), done.stderr
    if new:
        assert done.stdout.splitlines()[0].endswith(f"needs {len(new) << 40} MiB: {' '.join(new)}")


def test_a_host_that_leaves_is_called_unless_it_is_down(tmp_path: Path) -> None:
    assert Here(tmp_path).leave() == (0, "", 1)
    assert Here(tmp_path).leave(down=True) == (0, "", 0)
