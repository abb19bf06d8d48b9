"""How many connections an edge takes at once, so that it never needs more memory than it may have.

Past that number HAProxy leaves new connections to the kernel's queue: they wait, or are refused, and nothing that is
served is lost. Without it, the kernel ends the only edge of a host when its memory is full.
"""

from __future__ import annotations

from settings.units import MIB

_KIB = 1024
DEFAULT_MEMORY = 256 * MIB
_BUFFER = 65 * _KIB
"""Bytes of a buffer: a request's line and headers, as many as an ALB takes, and what HAProxy keeps free (1 KiB)."""
_TLS = 22 * _KIB
"""Bytes of a TLS connection. Measured on HAProxy 2.6.12 and 3.2.0: 21.0–21.7 kB, idle; 1.1 kB without TLS."""
_VISITOR = _BUFFER + 2 * _TLS
"""Bytes that a visitor can make an edge use: a buffer filled by half a request (measured: 85.8 kB with its TLS; those
who do not read their answers cost less, 26 kB) and another TLS connection, to the edge of another host."""
_OWN = 8 * _KIB
"""Bytes of a connection between two of the stack's own services (measured, idle: 3.3 kB)."""
_BASE = 48 * MIB
"""Bytes of the master and two workers without connections: measured 7 MiB each, and more with every service."""
_WORKERS = 2
"""After a reload, an old worker may have as many connections as the new one."""


def _budget(memory: int) -> int:
    return max(0, memory - _BASE) // _WORKERS


def visitors(memory: int) -> int:
    """Connections from outside that a worker takes at once, where the edge may use ``memory`` bytes."""
    return max(1, _budget(memory) * 3 // 4 // _VISITOR)


def streams(memory: int) -> int:
    """Requests that one connection of HTTP/2 may have under way, each of which may hold a buffer: all of them together
    are a small part of the edge's. (Measured on 2.6.12 with HAProxy's own 100: a connection that reads no answers, on
    an edge of 64 MiB, and twelve on one of 256, kept everybody else from being answered.)"""
    return max(8, min(32, visitors(memory) // 8))


def limits(memory: int) -> str:
    """Lines of the global section. Visitors leave a quarter to the stack: half for connections, half for buffers.

    Buffers have a limit of their own, since one connection of HTTP/2 may fill many. An engine that allows fewer open
    files than all that takes limits the edge further, and does not keep it from starting.
    """
    half = _budget(memory) // 8
    return f"""\
    maxconn {visitors(memory) + half // _OWN}
    no strict-limits
    tune.h2.max-concurrent-streams {streams(memory)}
    tune.bufsize {_BUFFER}
    tune.buffers.limit {visitors(memory) + half // _BUFFER}"""
