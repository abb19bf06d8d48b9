"""What the plan accepts runs on a real engine: mounts inside mounts, small limits, images with checks of their own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.hosts.shop import PYTHON, Stack, docker

pytestmark = pytest.mark.docker
SLEEP = ["sleep", "1000"]
FILE = {"content": "a"}


@pytest.fixture
def image(engine: None) -> Iterator[Callable[[str], str]]:
    """Builds an image under one tag, with a health check that never holds and a file that says which build it is."""
    tag = f"quayside-test/{secrets.token_hex(4)}:dev"

    def build(number: str) -> str:
        script = f"mkdir -p /built && echo {number} >/built/number"
        made = docker("create", "--network", "none", PYTHON, "sh", "-c", script)
        try:
            docker("start", "-a", made)
            docker("commit", "-c", "HEALTHCHECK --interval=1s CMD false", made, tag)
        finally:
            docker("rm", "-f", made)
        return tag

    yield build
    for id_ in dict.fromkeys(docker("images", "-q", tag.partition(":")[0]).split()):
        docker("rmi", "-f", id_)


def test_what_the_plan_accepts_the_engine_starts(new_stack: Callable[[dict[str, Any]], Stack]) -> None:
    def sleeper(**more: Any) -> dict[str, Any]:
        return {"image": PYTHON, "command": SLEEP, "memory": "16MiB", **more}

    stack = new_stack(
        {
            # A volume, a writable folder and more files inside a folder of files, none of which the image has.
            "nested": sleeper(
                user="1000:1000",
                files={"/srv/own/config.toml": FILE, "/srv/own/more/deep/x": FILE, "/srv/own/more/deep/er/y": FILE},
                volume="/srv/own/uploads/here",
                writable=["/srv/own/cache/one", "/srv/own/uploads/here/tmp"],
            ),
            "inside": sleeper(
                files={"/tmp/a/x": FILE, "/cache/a/x": FILE, "/data/a/x": FILE, "/dev/a/x": FILE},
                writable=["/cache", "/dev/shm", "/sbin/a"],
                volume="/data",
            ),
            "system": sleeper(files={"/etc/x": FILE, "/usr/share/empty": {"content": ""}}),
            "small": sleeper(memory="6MiB", cpu=0.01),
        }
    )
    stack.up()

    def sees(service: str, command: str) -> str:
        (replica,) = stack.replicas(service).values()
        return docker("exec", replica["Id"], "sh", "-c", command)

    assert sees("nested", "cd /srv/own; cat config.toml more/deep/x more/deep/er/y; touch cache/one/x; ls") == (
        "aaacache\nconfig.toml\nmore\nuploads"
    )
    assert sees("inside", "cat /tmp/a/x /cache/a/x /data/a/x /dev/a/x; touch /cache/y /data/y") == "aaaa"
    assert sees("system", "cat /etc/x; wc -c </usr/share/empty; test -s /etc/hosts && echo hosts") == "a0\nhosts"
    names = {service: sees(service, "hostname") for service in ("nested", "inside", "system")}
    assert (names["nested"], names["inside"]) == ("nested-1", "inside-1")
    assert names["system"] != "system-1"


def test_a_tag_that_was_built_anew_is_released_and_its_health_check_gates_nothing(
    image: Callable[[str], str], new_stack: Callable[[dict[str, Any]], Stack]
) -> None:
    worker = {"image": image("1"), "command": SLEEP, "memory": "16MiB", "health": {"grace": "10s"}}
    stack = new_stack({"worker": {**worker, "files": {"/built/mine": FILE}}})
    stack.up()

    def built() -> str:
        (replica,) = stack.replicas("worker").values()
        assert "Health" not in replica["State"]
        return docker("exec", replica["Id"], "cat", "/built/number")

    assert built() == "1"
    assert stack.up().output.startswith("10 same in")
    image("2")
    said = stack.up().output
    assert built() == "2", said
