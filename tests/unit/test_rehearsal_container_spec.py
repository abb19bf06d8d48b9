"""How a container's inputs become the Engine API's request."""

from __future__ import annotations

import pytest

from rehearsal.container_spec import create_body, digest, nanoseconds
from rehearsal.docker_hosts import Hosts
from rehearsal.docker_provider import ContainerProvider, Strays
from rehearsal.providers import StepError


@pytest.mark.parametrize(
    ("text", "expected"), [("5s", 5_000_000_000), ("1m30s", 90_000_000_000), ("500ms", 500_000_000), ("0", 0)]
)
def test_durations(text: str, expected: int) -> None:
    assert nanoseconds(text) == expected


def test_what_is_no_duration_is_refused() -> None:
    with pytest.raises(StepError, match="should be a duration"):
        nanoseconds("5 seconds")


def test_every_part_of_a_container_arrives() -> None:
    body = create_body(
        {
            "image": "web:1",
            "command": ["run"],
            "envs": ["A=1"],
            "labels": [{"label": "a", "value": "b"}],
            "memory": 256,
            "memorySwap": -1,
            "cpus": "0.25",
            "readOnly": True,
            "tmpfs": {"/tmp": "size=16m"},
            "volumes": [
                {"volumeName": "data", "containerPath": "/data"},
                {"hostPath": "/etc/x", "containerPath": "/x", "readOnly": True},
                {"containerPath": "/scratch"},
            ],
            "ports": [{"internal": 80, "external": 8080, "ip": "127.0.0.1"}],
            "capabilities": {"adds": ["NET_BIND_SERVICE"], "drops": ["ALL"]},
            "networksAdvanced": [{"name": "n", "aliases": ["web"], "ipv4Address": "10.1.0.2"}],
            "hosts": [{"host": "cart", "ip": "10.1.0.2"}],
            "healthcheck": {"tests": ["CMD", "true"], "interval": "2s", "retries": 3},
            "ulimits": [{"name": "nofile", "soft": 10, "hard": 20}],
            "sysctls": {"net.ipv4.ip_forward": "0"},
            "restart": "unless-stopped",
        },
        {"mine": "1"},
    )
    host = body["HostConfig"]
    assert body["Labels"] == {"a": "b", "mine": "1"}
    assert body["Volumes"] == {"/scratch": {}}
    assert host["Binds"] == ["data:/data:rw", "/etc/x:/x:ro"]
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (256 * 1024 * 1024, -1, 250_000_000)
    assert host["PortBindings"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}
    assert (host["CapAdd"], host["CapDrop"]) == (["NET_BIND_SERVICE"], ["ALL"])
    assert host["ExtraHosts"] == ["cart:10.1.0.2"]
    assert host["NetworkMode"] == "n"
    assert host["ReadonlyRootfs"]
    assert host["Tmpfs"] == {"/tmp": "size=16m"}
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 10, "Hard": 20}]
    endpoint = body["NetworkingConfig"]["EndpointsConfig"]["n"]
    assert endpoint == {"Aliases": ["web"], "IPAMConfig": {"IPv4Address": "10.1.0.2"}}
    assert body["Healthcheck"] == {"Test": ["CMD", "true"], "Interval": 2_000_000_000, "Retries": 3}


def test_the_order_of_what_is_a_set_changes_nothing() -> None:
    one = {"image": "x", "envs": ["A=1", "B=2"], "command": ["a", "b"]}
    other = {"image": "x", "envs": ["B=2", "A=1"], "command": ["a", "b"]}
    provider = ContainerProvider(Hosts(), Strays())
    assert digest(one) == digest(other)
    assert provider.diff(one, other).changed == ()
    assert provider.diff(one, {**one, "command": ["b", "a"]}).replace == ("command",)


def test_an_input_that_would_be_ignored_is_named() -> None:
    assert ContainerProvider(Hosts(), Strays()).unsupported({"image": "x", "gpus": "all"}) == ["gpus"]
