"""The release's shell scripts: that they are sound, and how two configurations become one."""

from __future__ import annotations

import fcntl
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from components.docker.edge import START
from planning.edge import bootstrap
from settings.units import MIB
from tests.edge_shell import edge_shell, write_config
from tests.needs import BUSYBOX_NC
from tests.unit.test_edge import REDIS, SHOP, WEB, address, rendered, section

SCRIPTS = Path(__file__).parents[2] / "components" / "docker"
COMMON = (SCRIPTS / "edge_common.sh").read_text()
INSIDE = (
    "accept",
    "gate",
    "switch",
    "drained",
    "drain",
    "forget",
    "restore",
    "files",
    "retire",
    "tidy",
    "admit",
    "burst",
)
DATA = ("backup", "restore")
"""Those that copy volumes."""


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not on PATH")
@pytest.mark.parametrize("name", [*INSIDE, *DATA, "release", "leave", "reach", "room", "room_there", "edge_ready"])
def test_shellcheck_finds_nothing(name: str) -> None:
    folder = SCRIPTS if name not in DATA else SCRIPTS.parents[1] / "quayside"
    text = (COMMON if name in INSIDE else "") + (folder / f"{name}.sh").read_text()
    done = subprocess.run(["shellcheck", "--shell=sh", "-"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def union(one: str, other: str, folder: Path, fill: str = "") -> str:
    (folder / "one").write_text(one)
    (folder / "other").write_text(other)
    script = COMMON.replace("/var/lib/haproxy", str(folder)) + f"union one other both-digest {fill}\n"
    done = edge_shell(script)
    assert (done.returncode, done.stderr) == (0, "")
    if shutil.which("haproxy") is not None:
        write_config(folder / "both", done.stdout)
        checked = subprocess.run(
            ["haproxy", "-c", "-f", str(folder / "both")], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr
    return done.stdout


def without(service: str, **changes: Any) -> dict[str, Any]:
    return {name: {**SHOP[name], **changes.get(name, {})} for name in SHOP if name != service}


def test_two_equal_configurations_are_one(tmp_path: Path) -> None:
    text = rendered(SHOP)
    digest = text.splitlines()[1].removeprefix("#: digest ")
    same = union(text, text, tmp_path).replace("both-digest", digest)
    kept = [line for line in same.splitlines() if line]
    assert sorted(kept) == sorted(line for line in text.splitlines() if line)


def test_a_caller_that_lost_its_use_keeps_it_beside_the_others(tmp_path: Path) -> None:
    new = rendered(without("", web={"uses": ()}, cart={"uses": ()}))
    both = union(new, rendered(SHOP), tmp_path)
    internal = section(both, "frontend internal")
    assert internal[:3] == ["bind :80", "acl to_cart var(txn.host) -m str cart", f"acl uses_cart src {address('web')}"]
    assert internal[-2:] == ["use_backend svc_cart if to_cart uses_cart", "default_backend not_in_uses"]
    assert section(both, "frontend tcp_session")[2:5] == [
        "bind :6379",
        f"acl uses_session src {address('cart')}",
        f"acl uses_session src {address('worker')}",
    ]


def test_a_service_that_went_answers_the_names_it_had(tmp_path: Path) -> None:
    new = rendered(without("session", cart={"uses": ()}, worker={"uses": ()}))
    both = union(new, rendered(SHOP), tmp_path)
    assert section(both, "frontend tcp_session") == section(rendered(SHOP), "frontend tcp_session")
    assert section(both, "backend svc_session") == section(rendered(SHOP), "backend svc_session")
    assert "#: network shop_local_session " in both
    assert "#: server session " not in both


def test_a_service_that_moved_to_another_port_answers_at_both(tmp_path: Path) -> None:
    new = rendered({**SHOP, "session": {**SHOP["session"], "port": 6380}})
    both = union(new, rendered(SHOP), tmp_path)
    assert "bind :6380" in section(both, "frontend tcp_session")
    old = section(both, "frontend tcp_session_6379")
    assert "bind :6379" in old
    assert old[-1] == "default_backend svc_session"
    assert both.count("backend svc_session\n") == 3
    assert "server session-1 session-1-abc1234:6380 weight 1" in both


def test_a_port_that_changed_hands_is_the_first_ones(tmp_path: Path) -> None:
    uses = {"uses": ("other",)}
    new = rendered({**without("session", cart=uses, worker=uses), "other": REDIS})
    both = union(new, rendered(SHOP), tmp_path)
    assert both.count("bind :6379") == 1
    assert section(both, "frontend tcp_other") == section(new, "frontend tcp_other")


def test_what_has_no_server_is_filled_only_where_that_is_meant(tmp_path: Path) -> None:
    old = rendered({**SHOP, "cart": {**SHOP["cart"], "replicas": 0}})
    server = "server cart-1 cart-1-abc1234:8000 weight 1"
    assert server not in union(old, rendered(SHOP), tmp_path)
    filled = union(old, rendered(SHOP), tmp_path, "fill")
    assert server in filled
    assert filled.count("\nbackend svc_cart\n") == 1


def test_the_first_configuration_joins_the_bootstrap(tmp_path: Path) -> None:
    new = rendered({"web": {**WEB, "uses": ("cart",)}, "cart": WEB})
    both = union(bootstrap(256 * MIB), new, tmp_path, "fill")
    assert "quayside: no release yet" in both
    assert section(both, "frontend internal") == section(new, "frontend internal")
    assert "resolvers docker" in both
    assert both.splitlines()[0] == "#: digest both-digest"
    assert both.rstrip().endswith("string both-digest")


def inside(name: str, folder: Path, serves: str, config: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as inside an edge that ``serves`` something, up to where it would reload."""
    text = (COMMON + (SCRIPTS / f"{name}.sh").read_text()).replace("/var/lib/haproxy", str(folder))
    text = text.replace("kill -USR2 1", "echo reloads; exit 9")
    write_config(folder / "haproxy.cfg", serves)
    (folder / "owner").write_text("me\n")
    told = {"QUAYSIDE_RUN": "me", "QUAYSIDE_PHASE": "all", **environment}
    return edge_shell(text, stdin=config, **told)


def unmergeable() -> tuple[str, str]:
    """Two sound configurations; a new service of the second needs a section that the union leaves out."""
    head = "\nbackend svc_cart\n"
    before, _, after = rendered(SHOP).partition(head)
    people = "\nuserlist people\n    user anna insecure-password x\n"
    asks = "    http-request auth unless { http_auth(people) }\n"
    return rendered(without("cart", web={"uses": ()})), f"{before}{people}{head}{asks}{after}"


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not on PATH")
def test_what_cannot_be_served_beside_the_old_is_said_and_changes_nothing(tmp_path: Path) -> None:
    old, new = unmergeable()
    done = inside("accept", tmp_path, old, new)
    assert done.returncode == 1
    first, *said = done.stdout.splitlines()
    assert (
        first
        == "the edge cannot serve the old names and the new ones at once, as a release has to; nothing was changed:"
    )
    assert any("unable to find userlist 'people'" in line for line in said), said
    assert all(line.startswith("  ") for line in said)
    assert not [line for line in said if "NOTICE" in line or "could not resolve" in line]
    assert (tmp_path / "haproxy.cfg").read_text() == old
    assert not (tmp_path / "accept.cfg").exists()
    assert not (tmp_path / "before.cfg").exists()


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not on PATH")
def test_another_protocol_is_said_and_the_release_goes_on(tmp_path: Path) -> None:
    old, new = rendered({**SHOP, "cart": {**REDIS, "port": 7000, "uses": ("session",)}}), rendered(SHOP)
    done = inside("accept", tmp_path, old, new)
    said = "nothing new can be reached before the switch, since services change their protocol: cart\n"
    assert (done.returncode, done.stdout) == (0, said)
    assert (tmp_path / "haproxy.cfg").read_text() == old


def test_a_file_of_routes_stays_while_a_configuration_names_it(tmp_path: Path) -> None:
    def named(text: str) -> str:
        return next(line.removeprefix("#: routes ") for line in text.splitlines() if line.startswith("#: routes "))

    texts = {route: rendered({"web": {**WEB, "routes": (route,)}}) for route in ("one", "two", "three")}
    names = {route: named(text) for route, text in texts.items()}
    script = COMMON.replace("/var/lib/haproxy", str(tmp_path)) + "lay_routes next.cfg\n"

    def lay(route: str) -> set[str]:
        (tmp_path / "next.cfg").write_text(texts[route])
        done = edge_shell(script)
        assert (done.returncode, done.stderr) == (0, "")
        return {file.name for file in (tmp_path / "routes").iterdir()}

    assert lay("one") == {names["one"]}
    assert (tmp_path / "routes" / names["one"]).read_text() == "one/ svc_web\n"
    (tmp_path / "haproxy.cfg").write_text(texts["one"])
    assert lay("two") == {names["one"], names["two"]}
    assert lay("three") == {names["one"], names["three"]}

    # After a loss of power a file may be there and be empty.
    (tmp_path / "routes" / names["one"]).write_text("")
    assert lay("one") == {names["one"]}
    assert (tmp_path / "routes" / names["one"]).read_text() == "one/ svc_web\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to play a full disk")
def test_routes_that_a_full_disk_cuts_off_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / ".new").symlink_to("/dev/full")
    (tmp_path / "next.cfg").write_text(rendered({"web": {**WEB, "routes": ("one",)}}))
    done = edge_shell(COMMON.replace("/var/lib/haproxy", str(tmp_path)) + "sound next.cfg\n")
    assert done.returncode == 1
    assert done.stdout == "its routes cannot be written; is its disk full?\n"
    assert [file.name for file in (tmp_path / "routes").iterdir()] == [".new"]


@pytest.mark.parametrize("there", [None, "", "other/ svc_web\n"])
def test_an_edge_starts_with_the_routes_of_its_configuration(tmp_path: Path, there: str | None) -> None:
    text = rendered({"web": {**WEB, "routes": ("one",)}})
    name = next(line.removeprefix("#: routes ") for line in text.splitlines() if line.startswith("#: routes "))
    (tmp_path / "haproxy.cfg").write_text(text)
    (tmp_path / "joined").write_text("edge")
    if there is not None:
        (tmp_path / "routes").mkdir()
        (tmp_path / "routes" / name).write_text(there)
    done = edge_shell(START.replace("/var/lib/haproxy", str(tmp_path)).replace("exec haproxy", "echo"), HOSTNAME="edge")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "routes" / name).read_text() == "one/ svc_web\n"


def test_a_host_without_a_replica_gates_nothing(tmp_path: Path) -> None:
    text = bootstrap(256 * MIB)
    done = inside("gate", tmp_path, text, text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def locked(folder: Path, owner: str) -> subprocess.CompletedProcess[str]:
    """Ask for the lock that another process holds, patient for two seconds."""
    script = COMMON.replace("/var/lib/haproxy", str(folder)).replace("+ 300)", "+ 2)") + "lock; echo mine\n"
    (folder / "owner").write_text(f"{owner}\n")
    with (folder / "release.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        return edge_shell(script, timeout=10, QUAYSIDE_RUN="me")


def test_the_lock_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    done = locked(tmp_path, "me")
    assert done.returncode == 1
    assert done.stdout.startswith("another release has held the edge for five minutes")


def test_who_was_superseded_waits_for_no_lock(tmp_path: Path) -> None:
    began = time.monotonic()
    done = locked(tmp_path, "another")
    assert (done.returncode, done.stdout) == (1, "a later release took over\n")
    assert time.monotonic() - began < 2


STATES = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_fqdn srv_port
6 svc_web 1 web-1 10.0.0.2 2 web-1-old 8000
6 svc_web 2 anyway:web-1 10.0.0.2 2 web-1-old 8000
7 svc_api 1 api-1 10.0.0.3 2 api-1-same 8000
8 local_api 1 api-1 10.0.0.3 2 api-1-old 8000
9 svc_mesh 1 host2 10.9.0.2 2 - 8443
"""
CONNECTIONS = """\
# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est
svc_web/web-1 6/1 10.0.0.2 8000 - 5000 2 2 2
svc_web/anyway:web-1 6/2 10.0.0.2 8000 - 5000 0 0 0
svc_api/api-1 7/1 10.0.0.3 8000 - 5000 3 3 3
local_api/api-1 8/1 10.0.0.3 8000 - 5000 1 1 1
svc_mesh/host2 9/1 10.9.0.2 8443 - 5000 4 4 4
"""


def retired(folder: Path, worker: str, *beginning: str) -> subprocess.CompletedProcess[str]:
    """What is found of an old worker, whose answers are given."""
    (folder / "serving").write_text("web-1-new\napi-1-same\n")
    (folder / "drains").write_text("web-1-old 60\n")
    (folder / "states").write_text(STATES)
    (folder / "connections").write_text(CONNECTIONS)
    text = (SCRIPTS / "drain.sh").read_text()
    script = f"""cd {folder}
ask_master() {{ case $1 in "@!7 show servers state") cat states ;; "@!7 show servers conn") cat connections ;; esac; }}
{text[text.index("retired_sessions() {") : text.index("touch drains")]}
retired_sessions {" ".join((worker, *beginning))}
"""
    return edge_shell(script)


def test_a_drain_waits_for_connections_to_what_goes_and_no_others(tmp_path: Path) -> None:
    done = retired(tmp_path, "7")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["svc_web/web-1 web-1-old 60 2", "local_api/api-1 api-1-old 30 1"]


def test_of_the_worker_of_both_it_waits_only_for_what_other_hosts_send(tmp_path: Path) -> None:
    assert retired(tmp_path, "7", "local_").stdout.splitlines() == ["local_api/api-1 api-1-old 30 1"]


def test_a_worker_without_an_answer_is_not_one_that_serves_nothing(tmp_path: Path) -> None:
    assert retired(tmp_path, "8").returncode == 1


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes every connection and never says anything, nor hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@BUSYBOX_NC
def test_a_master_that_never_answers_is_not_waited_for(tmp_path: Path) -> None:
    """HAProxy 3.2 holds on to the connection that asked a worker which ended meanwhile: the release would, too."""
    with silent() as port:
        began = time.monotonic()
        script = COMMON.replace("/var/lib/haproxy", str(tmp_path)).replace("127.0.0.1 9901", f"127.0.0.1 {port}")
        done = edge_shell(f'{script}\nask_master "@!7 show servers conn"')
    assert (done.stdout, done.stderr) == ("", "")
    assert 4 < time.monotonic() - began < 8


@BUSYBOX_NC
def test_what_waits_for_its_client_to_speak_is_open() -> None:
    text = (SCRIPTS / "gate.sh").read_text()
    reach = text[text.index("reach() {") : text.index("gate() {")]
    with silent() as port:
        done = edge_shell(f"{reach}\nreach 127.0.0.1 {port} 1")
    assert (done.stdout, done.stderr) == ("open\n", "")
    done = edge_shell(f"{reach}\nreach 127.0.0.1 {port} 1")
    assert (done.stdout, done.stderr) == (f"port {port} refuses connections\n", "")
