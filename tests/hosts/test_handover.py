"""What one release owes another: the version before it, and a run that was given up."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from tests.hosts.load import Running
from tests.hosts.shop import Stack, docker, probe, redis, takes_minutes, web

pytestmark = pytest.mark.docker

Services = dict[str, Any]
Make = Callable[[Services], Stack]


class Watched(threading.Thread):
    """Asks a container by its own address, for as long as it lives, what came of what it asks others."""

    def __init__(self, stack: Stack, service: str) -> None:
        super().__init__(daemon=True)
        (container,) = stack.replicas(service).values()
        self.id = container["Id"]
        address = container["NetworkSettings"]["Networks"][f"{stack.prefix}{service}"]["IPAddress"]
        self._url = f"http://{address}:8000/asked"
        self.last: dict[str, Any] = {}
        self.at = 0.0
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(0.05):
            try:
                with urllib.request.urlopen(self._url, timeout=2) as answer:
                    self.last, self.at = json.loads(answer.read()), time.monotonic()
            except (OSError, http.client.HTTPException):
                continue

    def finish(self) -> None:
        self._end.set()
        self.join(10)


def network_names(stack: Stack) -> set[str]:
    (edge,) = stack.containers("edge")
    return set(edge["NetworkSettings"]["Networks"])


@pytest.mark.parametrize("gone", [True, False], ids=["services gone", "uses gone"])
def test_the_old_version_keeps_its_names_until_it_ends(gone: bool, new_stack: Make) -> None:
    """A service stops using two others, HTTP and TCP. The one that still runs, or still answers, does use them."""
    ask = {"ASK": "http://cart/ session:6379"}
    cart = web(env={"VERSION": "cart"})
    stack = new_stack({"friend": probe(uses=["cart", "session"], env=ask), "cart": cart, "session": redis()})
    stack.up()
    watched = Watched(stack, "friend")
    watched.start()
    late = "/fetch?after=6&url=http://cart/"
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(stack.get, "friend", late)
        time.sleep(0.5)
        stack.services["friend"] = probe(uses=["other"])
        stack.services["other"] = web()
        if gone:
            del stack.services["cart"], stack.services["session"]
        done = stack.up()
        ended = time.monotonic()
        assert answer.result()["status"] == 200
    watched.finish()
    print(f"{watched.last}; last seen {ended - watched.at:.1f} s before the end of {done.seconds:.1f} s\n{done.output}")
    assert int(watched.last["count"]) > 20
    assert watched.last["failed"] == []
    # And then nobody has them.
    assert stack.get("friend", "/fetch?url=http://other/")["status"] == 200
    edge = stack.containers("edge")[0]["NetworkSettings"]["Networks"][f"{stack.prefix}friend"]["IPAddress"]
    assert stack.get("friend", f"/fetch?url=http://{edge}/&host=cart")["status"] == 403
    assert stack.get("friend", f"/tcp?host={edge}&port=6379")["answer"] == ""
    served = docker("exec", stack.edge, "cat", "/var/lib/haproxy/haproxy.cfg")
    assert "session" not in served if gone else "frontend tcp_" not in served


def test_a_run_that_was_given_up_cuts_nothing_of_the_next(new_stack: Make) -> None:
    """Only the deployment's own process is killed; its release goes on, notices that another took over, and stops."""
    front = web(routes=["shop.{domain}"], env={"VERSION": "1"})
    stack = new_stack({"web": front, "friend": probe()})
    stack.up()
    with Running(stack.port, "shop.localhost") as load:
        stack.services["web"]["env"] = {"VERSION": "bad", "FAIL": "1"}
        stack.services["first"] = probe()
        process = stack.start()
        while f"{stack.prefix}first" not in network_names(stack):
            assert process.poll() is None
            time.sleep(0.1)
        time.sleep(2)  # it waits for the health of a version that never gets well
        process.kill()
        process.communicate(timeout=30)
        stack.services["web"]["env"] = {"VERSION": "2"}
        stack.services["second"] = web(env={"VERSION": "second"})
        stack.services["friend"] = probe(uses=["first", "second"])
        stack.up()
        wanted = {f"{stack.prefix}{name}" for name in stack.services} | {f"0-{stack.prefix[:-1]}"}
        for _ in range(50):
            assert network_names(stack) == wanted
            time.sleep(0.1)
        assert stack.get()["version"] == "2"
        assert stack.get("friend", "/fetch?url=http://second/")["status"] == 200
        assert stack.get("friend", "/fetch?url=http://first/")["status"] == 200
    print(load.report)
    assert load.report.failed == 0, str(load.report)


def test_a_request_as_long_as_its_drain_outlives_a_release(new_stack: Make) -> None:
    """And one that is longer is ended then, by name. The web stops the instant that it is told to."""
    stack = new_stack({"web": web(routes=["shop.{domain}"], env={"VERSION": "1"}, drain="16s")})
    stack.up()
    with ThreadPoolExecutor() as pool:
        within, beyond = (pool.submit(stack.get, "shop", f"/?wait={seconds}") for seconds in (14, 29))
        time.sleep(0.5)
        stack.services["web"]["env"]["VERSION"] = "2"
        done = stack.up()
        assert within.result().get("version") == "1", within.result()
        assert beyond.result().get("version") is None
    assert "closing 1 connections of web-1-" in done.output
    assert "after its drain of 16 s" in done.output


@takes_minutes
def test_a_long_drain_does_not_hold_up_the_next_release(new_stack: Make) -> None:
    """Its process is killed while it drains. What it drains is then the affair of the next, which switches at once."""
    stack = new_stack({"web": web(routes=["shop.{domain}"], env={"VERSION": "1"}, drain="60s")})
    stack.up()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(stack.get, "shop", "/?wait=25")
        time.sleep(0.5)
        stack.services["web"]["env"]["VERSION"] = "2"
        process = stack.start()
        while stack.get()["version"] != "2":
            assert process.poll() is None
            time.sleep(0.1)
        process.kill()
        stack.services["web"]["env"]["VERSION"] = "3"
        process = stack.start()
        while stack.get()["version"] != "3":
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.1)
        assert not answer.done()
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        assert answer.result()["version"] == "1"
    stack.check()


def test_the_old_version_is_spoken_of_where_there_is_one(new_stack: Make) -> None:
    sick = web(routes=["shop.{domain}"], env={"FAIL": "1"}, health={"path": "/healthz", "grace": "3s"})
    stack = new_stack({"web": sick})
    said = stack.refused().output
    assert "it is new here: no older version of it serves" in said
    assert "serves on" not in said
    stack.services["web"]["env"] = {"VERSION": "1"}
    stack.up()
    stack.services["web"]["env"] = {"FAIL": "1"}
    assert "the old version serves on" in stack.refused().output
    stack.services["web"]["env"] = {"VERSION": "1"}
    stack.up()


def test_ctrl_c_lets_the_release_end(new_stack: Make) -> None:
    """A terminal sends it to the whole group; the release under way is none of its members."""
    stack = new_stack({"web": web(routes=["shop.{domain}"], env={"VERSION": "1"})})
    stack.up()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(stack.get, "shop", "/?wait=5")
        time.sleep(0.5)
        stack.services["web"]["env"]["VERSION"] = "2"
        process = stack.start()
        while stack.get()["version"] != "2":
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert answer.result()["version"] == "1"
    assert process.returncode == 1
    assert "interrupted" in output
    assert "run      Command      routing" in output
    assert len(stack.replicas("web")) == 1
    assert stack.get()["version"] == "2"
    stack.up()


def test_other_subnets_are_refused_while_the_networks_are_in_use(new_stack: Make) -> None:
    stack = new_stack({"web": web(routes=["shop.{domain}"], env={"VERSION": "1"})})
    stack.up()
    before = {c["Id"] for c in stack.containers()}
    written: dict[str, Any] = yaml.safe_load(stack.file.read_text())
    written["config"]["quayside:subnets"] = "10.64.0.0/10"
    stack.file.write_text(yaml.safe_dump(written))
    done = subprocess.run(
        [sys.executable, "-m", "quayside", "up", "--stack", stack.name],
        cwd=stack.root,
        env=stack.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "quayside:subnets: network 0-" in done.stderr
    assert f"run `make down STACK={stack.name}`" in done.stderr
    assert {c["Id"] for c in stack.containers()} == before
    assert stack.get()["version"] == "1"
