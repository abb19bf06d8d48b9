"""Releases on real containers under load: nothing may fail, whatever is released, and whoever dies meanwhile.

``QUAYSIDE_FULL=1`` runs what the acceptance criteria count (200,000 requests, 20 kills); without it, enough to notice.
"""

from __future__ import annotations

import base64
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.hosts.conftest import SECRET
from tests.hosts.load import Running
from tests.hosts.shop import FULL, IMAGES, Stack, docker, probe, web

pytestmark = pytest.mark.docker

REQUESTS = 200_000 if FULL else 1
"""In rounds of ten releases: at least one."""
KILLS = 20 if FULL else 3
HOST = "shop.localhost"
Services = dict[str, Any]


class WebSocket(threading.Thread):
    """One WebSocket through the edge, held open; it says something five times a second and expects it back."""

    def __init__(self, port: int, host: str) -> None:
        super().__init__(daemon=True)
        self.echoes = 0
        self.failure = ""
        self._end = threading.Event()
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        key = base64.b64encode(random.randbytes(16)).decode()
        self._socket.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        answer = self._read_until(b"\r\n\r\n")
        assert b" 101 " in answer, answer

    def _read_until(self, end: bytes) -> bytes:
        data = b""
        while not data.endswith(end):
            piece = self._socket.recv(4096)
            if not piece:
                raise OSError(f"closed by the other side after {self.echoes} echoes")
            data += piece
        return data

    def run(self) -> None:
        try:
            while not self._end.wait(0.2):
                text = b"message %d" % self.echoes
                # A mask of zeros leaves the payload as it is, and is as good as any other here.
                self._socket.sendall(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)
                self._read_until(text)
                self.echoes += 1
        except OSError as error:
            self.failure = f"{type(error).__name__}: {error}"

    def finish(self) -> None:
        self._end.set()
        self.join(15)
        self._socket.close()


def version_of(stack: Stack, number: str) -> None:
    stack.services["web"]["env"]["VERSION"] = number


@pytest.mark.slow
def test_releases_drop_nothing(stack: Stack) -> None:
    """Ten releases, two of which never get well and one with a bad edge: no request fails, no held connection ends."""
    web_service: Services = stack.services["web"]
    version_of(stack, "1")
    stack.up()
    redis_before = stack.get("friend")
    rounds = requests = 0
    seconds: list[float] = []
    held = WebSocket(stack.port, "chat.localhost")
    held.start()

    def good(number: str) -> None:
        version_of(stack, number)
        seconds.append(stack.up().seconds)
        assert stack.get()["version"] == number

    def unhealthy(number: str, serving: str) -> None:
        version_of(stack, number)
        web_service["env"]["FAIL"] = "1"
        web_service["health"]["grace"] = "8s"
        said = stack.refused().output
        del web_service["env"]["FAIL"]
        web_service["health"]["grace"] = "30s"
        assert 'release of "web" stopped' in said
        assert "GET /healthz answered HTTP/1.1 503 Service Unavailable" in said, said
        assert "| listening on port 8000" in said, said
        assert stack.get()["version"] == serving

    while requests < REQUESTS:
        rounds += 1
        with Running(stack.port, HOST) as load:
            good("2")
            stack.services["aaa"] = probe()
            good("3")
            unhealthy("bad", serving="3")
            good("4")
            stack.services["zzz"] = probe()
            good("5")
            stack.edge_extra = ["nonsense of a line"]
            version_of(stack, "bad")
            said = stack.refused().output
            assert "the edge refuses the new configuration" in said
            assert "nonsense" in said
            assert stack.get()["version"] == "5"
            stack.edge_extra = []
            good("6")
            unhealthy("bad", serving="6")
            del stack.services["aaa"]
            good("7")
            del stack.services["zzz"]
            good("8")
        print(f"round {rounds}: {load.report}; seconds a release: {[round(s, 1) for s in seconds]}")
        assert load.report.failed == 0, str(load.report)
        assert set(load.report.versions) <= {"1", *"2345678"}, load.report.versions
        requests += load.report.requests
        # A round that cannot bring the count any nearer would never end.
        assert load.report.requests > 1000, str(load.report)
    held.finish()
    redis_after = stack.get("friend")
    assert held.failure == ""
    assert held.echoes > 100 * rounds
    assert redis_after["connects"] == redis_before["connects"], redis_after
    assert redis_after["pings"] > redis_before["pings"] + 100 * rounds


@pytest.mark.slow
def test_a_killed_deployment_is_finished_by_the_next(stack: Stack) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    with Running(stack.port, HOST) as load:
        for number in range(KILLS):
            version_of(stack, f"k{number}")
            # Sometimes a service comes or goes at the same moment, so that networks and names are half made, too.
            if number % 2:
                stack.services["aaa"] = probe(uses=["cart"])
            else:
                stack.services.pop("aaa", None)
            process = stack.start()
            time.sleep(moments.uniform(0.5, 12))
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=30)
            stack.up()
            assert stack.get()["version"] == f"k{number}"
        stack.services.pop("aaa", None)
        stack.up()
    print(load.report)
    assert load.report.failed == 0, f"seed {seed}: {load.report}"


def test_a_second_run_changes_nothing(stack: Stack) -> None:
    before = {c["Id"] for c in stack.containers()}
    done = stack.up()
    assert {c["Id"] for c in stack.containers()} == before
    assert done.seconds < 20


def test_a_killed_replica_gets_no_more_requests(stack: Stack) -> None:
    victim = stack.replicas("web")["web-1"]
    with Running(stack.port, HOST) as load:
        time.sleep(1)
        subprocess.run(["docker", "kill", victim["Id"]], check=True, capture_output=True)
        time.sleep(2)
        state = next(line.split() for line in stack.ask_edge("show servers state").splitlines() if " web-1 " in line)
        assert state[1] == "svc_web"
        assert state[5] == "0", f"web-1 is not down after 2 s: {state}"
        sent = [_sent(stack) for _ in range(3) if not time.sleep(0.5)]
        assert len(set(sent)) == 1, f"requests still go to the dead replica: {sent}"
    print(load.report)
    assert load.report.failed == 0, str(load.report)
    version_of(stack, "after the kill")
    stack.up()


def _sent(stack: Stack) -> int:
    """Sessions the edge ever sent to web-1."""
    head, *rows = [line.split(",") for line in stack.ask_edge("show stat").splitlines() if line]
    column = head.index("stot")
    return next(int(row[column]) for row in rows if row[:2] == ["svc_web", "web-1"])


def test_what_was_stopped_by_hand_is_started_again(stack: Stack) -> None:
    names = [stack.replicas(slot.rpartition("-")[0])[slot]["Name"] for slot in ("web-2", "session-1")]
    docker("stop", "-t", "1", *names, stack.edge)
    said = stack.up().output
    assert said.count("was stopped: started again") == 3, said
    assert stack.get("friend", "/fetch?url=http://cart/cart")["status"] == 200


def test_what_a_killed_run_never_wrote_down_is_removed(stack: Stack) -> None:
    """Whatever else carries the stack's label: somebody else's, or data."""
    state = stack.root / ".quayside" / f"{stack.name}.json"
    before = state.read_text()
    content = stack.services["friend"]["files"]
    stack.services["friend"]["files"] = {**content, "/etc/more/more.conf": {"content": "more"}}
    stack.services["aaa"] = probe()
    stack.up()
    state.write_text(before)
    del stack.services["aaa"]
    stack.services["friend"]["files"] = content
    labels = [f"--label=dev.quayside.stack={stack.key}", "--label=dev.quayside.inputs=x"]
    kept = [
        docker("volume", "create", *labels, "--label=dev.quayside.role=stateful"),
        docker("volume", "create", labels[0], "--label=dev.quayside.role=files"),
        docker("volume", "create", labels[1], "--label=dev.quayside.role=files"),
    ]
    try:
        done = stack.run()
        assert done.code == 0, done.output
        assert set(docker("volume", "ls", "-q").split()) >= set(kept)
    finally:
        docker("volume", "rm", *kept)
    stack.check()


def test_a_restarted_edge_routes_as_before(stack: Stack) -> None:
    before = stack.get()["version"]
    subprocess.run(["docker", "restart", stack.edge], check=True, capture_output=True)
    end = time.monotonic() + 10
    while True:
        try:
            answer = stack.get()
            if answer.get("version") == before:
                break
        except OSError:
            pass
        assert time.monotonic() < end, f"after 10 s: {stack.log_lines()}"
        time.sleep(0.1)
    assert stack.get("friend", "/fetch?url=http://cart/cart")["status"] == 200


def test_a_service_reaches_what_it_uses_and_nothing_else(stack: Stack) -> None:
    assert stack.get("friend", "/fetch?url=http://cart/cart")["status"] == 200
    assert stack.get("friend", "/tcp?host=session&port=6379")["answer"] == "+PONG\r\n"

    networks = stack.containers("edge")[0]["NetworkSettings"]["Networks"]
    edge = networks[f"{stack.prefix}stranger"]["IPAddress"]
    assert stack.get("stranger", "/fetch?url=http://cart/cart")["status"] == 0
    assert stack.get("stranger", f"/fetch?url=http://{edge}/cart&host=cart")["status"] == 403
    assert stack.get("stranger", "/tcp?host=session&port=6379")["answer"] == ""
    assert stack.get("stranger", f"/tcp?host={edge}&port=6379")["answer"] == ""
    for service, port in (("cart", 8000), ("session", 6379), ("friend", 8000)):
        (container,) = stack.replicas(service).values()
        address = container["NetworkSettings"]["Networks"][f"{stack.prefix}{service}"]["IPAddress"]
        assert stack.get("stranger", f"/tcp?host={address}&port={port}")["answer"] == "", service
        # Nor by the edge's foot in the other's network: Linux would answer for any of its addresses.
        other = networks[f"{stack.prefix}{service}"]["IPAddress"]
        assert stack.get("stranger", f"/tcp?host={other}&port=6379")["answer"] == "", service
        assert stack.get("stranger", f"/fetch?url=http://{other}/cart&host=cart")["status"] in (0, 403), service
    for port in (9901, 9902, 9903):
        assert stack.get("stranger", f"/tcp?host={edge}&port={port}")["answer"] == "", "an admin socket is open"


def test_nothing_an_outsider_claims_about_himself_is_believed(stack: Stack) -> None:
    seen = stack.get(
        "friend",
        "/headers",
        X_Forwarded_For="6.6.6.6",
        X_Forwarded_Proto="https",
        X_Forwarded_Host="evil.example",
        X_Real_IP="6.6.6.6",
        Forwarded="for=6.6.6.6",
    )
    told = {key: value for key, value in seen.items() if key.startswith(("x-", "forwarded"))}
    assert told.pop("x-forwarded-for") not in ("", "6.6.6.6")
    assert told == {
        "x-forwarded-proto": "http",
        "x-forwarded-host": "friend.localhost",
        "x-forwarded-port": str(stack.port),
    }


def test_a_canary_gets_its_share_and_visitors_stay(stack: Stack) -> None:
    """A release with a canary: its share is exact, and a visitor's cookie keeps him on his slot."""
    first = stack.get()
    slot = stack.slot_of(first["instance"])
    cookie = first["headers"]["Set-Cookie"].partition(";")[0]
    assert cookie.partition("|")[0] == f"quayside_web={slot}"
    version_of(stack, "beside a canary")
    stack.services["web"]["canary"] = {"image": IMAGES[2], "share": 25, "env": {"VERSION": "canary"}}
    stack.up()
    slots = {c["Config"]["Hostname"]: slot for slot, c in stack.replicas("web").items()}
    assert {slots[stack.get(Cookie=cookie)["instance"]] for _ in range(20)} == {slot}
    answers = [stack.get()["version"] for _ in range(400)]
    assert set(answers) == {"canary", "beside a canary"}
    assert abs(answers.count("canary") - 100) <= 2
    del stack.services["web"]["canary"]
    stack.up()
    assert {stack.get()["version"] for _ in range(20)} == {"beside a canary"}


def test_a_secret_reaches_its_container_and_nobody_else(stack: Stack) -> None:
    assert stack.get("friend", "/env?name=TOKEN")["value"] == SECRET
    assert stack.get("stranger", "/env?name=TOKEN")["value"] is None
    stack.services["friend"]["env"]["CHANGED"] = "1"
    said = [stack.run("--json"), stack.run("--markdown"), stack.up()]
    assert [run.code for run in said] == [0, 0, 0]
    for run in said:
        assert SECRET not in run.output
    kept = [file for file in (stack.root / ".quayside").rglob("*") if file.is_file()]
    assert any(file.name == f"{stack.name}.json" for file in kept)
    for file in [*kept, stack.file]:
        assert SECRET.encode() not in file.read_bytes(), file
    assert SECRET not in stack.ask_edge("show servers state")
    assert stack.get("friend", "/env?name=TOKEN")["value"] == SECRET


@pytest.mark.slow
def test_two_stacks_share_an_engine(stack: Stack, new_stack: Callable[[Services], Stack]) -> None:
    """And what is wrong with the second is said in one clear message, without touching the first."""
    other = new_stack({"web": web(routes=["shop.{domain}"], env={"VERSION": "other"})})
    free, other.port = other.port, stack.port
    taken = other.refused().output
    assert str(stack.port) in taken
    assert "already" in taken or "in use" in taken, taken
    other.port = free
    other.services["web"]["image"] = "quayside-test/no-such-image:1"
    missing = other.refused().output
    assert "quayside-test/no-such-image:1" in missing
    other.services = {"web": web(routes=["shop.{domain}"], env={"VERSION": "other"})}
    here = stack.get()["version"]
    other.up()
    assert other.get()["version"] == "other"
    assert stack.get()["version"] == here
    stack.check()
    other.remove()
    assert stack.get()["version"] == here
    stack.check()


def test_a_bad_setting_is_refused_before_anything_is_touched(stack: Stack) -> None:
    before = {c["Id"] for c in stack.containers()}
    stack.services["web"]["memory"] = 64
    stack.services["web"]["usess"] = ["cart"]
    try:
        said = stack.refused().output
    finally:
        stack.services["web"]["memory"] = "64MiB"
        del stack.services["web"]["usess"]
    assert "services/web/memory" in said
    assert "usess" in said
    assert {c["Id"] for c in stack.containers()} == before
