"""An edge at its limits: it refuses, or lets wait, and never dies."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from planning.connections import visitors
from settings.units import MIB
from tests.hosts.shop import Stack, docker, probe

pytestmark = pytest.mark.docker

MEMORY = 96
CONNECTIONS = 1500
"""Each with half a request of 60 kB: all of them together are as much as the edge may use."""
HALF = b"GET / HTTP/1.1\r\nHost: web.localhost\r\nCookie: " + b"a" * 60_000


def status(port: int, sent: int) -> int:
    """What a request is answered that sends headers of so many bytes, in pieces that Python's own server takes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.putrequest("GET", "/", skip_host=True)
        connection.putheader("Host", "web.localhost")
        connection.putheader("Cookie", "a" * sent)
        connection.endheaders()
        return connection.getresponse().status


def memory_used(stack: Stack) -> int:
    files = "cat /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory/memory.usage_in_bytes 2>/dev/null | head -n 1"
    return int(docker("exec", stack.edge, "sh", "-c", files) or 0)


def test_half_sent_requests_do_not_end_the_edge(new_stack: Callable[[dict[str, Any]], Stack]) -> None:
    stack = new_stack({"web": probe()})
    stack.edge_memory = f"{MEMORY}MiB"
    stack.up()
    # As many headers as an ALB takes, and no more.
    assert [status(stack.port, size) for size in (15_500, 40_000, 60_000, 70_000)] == [200, 200, 200, 400]
    before = docker("inspect", "-f", "{{.State.StartedAt}} {{.RestartCount}}", stack.edge)
    with contextlib.ExitStack() as held:
        clients = [held.enter_context(socket.socket()) for _ in range(CONNECTIONS)]
        for client in clients:
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(("127.0.0.1", stack.port))
        for client in clients:
            with contextlib.suppress(OSError):
                client.send(HALF)
        time.sleep(1)
        current = int(re.findall(r"CurrConns: (\d+)", stack.ask_edge("show info"))[0])
        used = memory_used(stack)
    print(f"{current} connections, {used / MIB:.0f} MiB")
    assert visitors(MEMORY * MIB) * 0.9 < current <= visitors(MEMORY * MIB) + 20
    assert used < MEMORY * MIB
    end = time.monotonic() + 20
    while status(stack.port, 1) != 200:
        assert time.monotonic() < end
    assert docker("inspect", "-f", "{{.State.StartedAt}} {{.RestartCount}}", stack.edge) == before
