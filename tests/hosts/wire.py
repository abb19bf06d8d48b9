"""What the network of a test fleet shows: what is on its wire, and which ports answer from where."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import ssl
import struct
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")
_libc: Any = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_STATISTICS, _PACKET_MR_PROMISC = 263, 1, 6, 1
_SO_RCVBUFFORCE = 33
_TCP, _UDP = 6, 17

PINGS = """
import concurrent.futures, socket, sys
def said(one):
    host, _, port = one.rpartition(":")
    try:
        c = socket.create_connection((host, int(port)), 1); c.settimeout(1)
        c.sendall(b"PING\\r\\n")
        return f"{one} {c.recv(64)}"
    except OSError as error:
        return f"{one} no"
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    print(*pool.map(said, sys.argv[1:]), sep="\\n")
"""
"""For a container's Python: what answers a Redis client's PING at each host:port, a line each, all asked at once."""


def in_namespace(name: str | None, action: Callable[[], _T]) -> _T:
    """Run ``action`` in a network namespace: what it opens there stays there. None is the machine's own."""
    if name is None:
        return action()

    def work() -> _T:
        # Only this thread moves, and it ends right after.
        handle = os.open(f"/run/netns/{name}", os.O_RDONLY)
        try:
            if _libc.setns(handle, _CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, f"setns {name}: {os.strerror(number)}")
        finally:
            os.close(handle)
        return action()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def scan(address: str, ports: Iterable[int], *, namespace: str | None = None, timeout: float = 0.5) -> list[int]:
    """The TCP ports of ``ports`` that accept a connection, in order."""

    async def attempt(port: int, gate: asyncio.Semaphore) -> int | None:
        async with gate:
            with contextlib.suppress(OSError, TimeoutError):
                _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), timeout)
                writer.close()
                return port
        return None

    async def attempts() -> list[int]:
        gate = asyncio.Semaphore(400)
        found = await asyncio.gather(*(attempt(port, gate) for port in ports))
        return sorted(port for port in found if port is not None)

    return in_namespace(namespace, lambda: asyncio.run(attempts()))


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """One direction of one conversation."""

    source: str
    source_port: int
    target: str
    target_port: int
    protocol: str = "tcp"

    def __str__(self) -> str:
        return f"{self.protocol} {self.source}:{self.source_port} > {self.target}:{self.target_port}"


class Capture:
    """Everything that crosses a bridge while the block runs; afterwards, what was said in it.

    ``with fleet.capture() as wire: …`` then ``wire.flows``, ``wire.stream(flow)`` and ``wire.find(b"secret")``.
    """

    def __init__(self, namespace: str, interface: str) -> None:
        self._socket = in_namespace(namespace, lambda: _listen(interface))
        self._segments: dict[Flow, list[tuple[int, bytes]]] = defaultdict(list)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._receive, name="capture", daemon=True)
        self.frames = 0
        self.dropped = 0

    def __enter__(self) -> Capture:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(0.2)  # what is on its way
        self._stopping.set()
        self._thread.join()
        # The kernel's own count of what the reader was too slow for.
        self.dropped = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
        self._socket.close()

    @property
    def flows(self) -> dict[Flow, int]:
        """Every flow with the bytes of payload it carried."""
        return {flow: len(self.stream(flow)) for flow in sorted(self._segments)}

    def stream(self, flow: Flow) -> bytes:
        """The payload of a flow in order, each byte once, however it was cut and repeated."""
        segments = self._segments.get(flow, [])
        if flow.protocol != "tcp" or not segments:
            return b"".join(payload for _, payload in segments)
        first = segments[0][0]

        def offset(sequence: int) -> int:
            distance = (sequence - first) & 0xFFFFFFFF
            return distance - (1 << 32) if distance & 0x80000000 else distance

        joined = bytearray()
        reached: int | None = None
        for sequence, payload in sorted((offset(sequence), payload) for sequence, payload in segments):
            if reached is None or sequence > reached:
                reached = sequence
            fresh = payload[reached - sequence :]
            joined += fresh
            reached += len(fresh)
        return bytes(joined)

    def find(self, needle: bytes) -> list[Flow]:
        """The flows in which ``needle`` can be read. Fails where packets were missed: absence would prove nothing."""
        assert self.dropped == 0, f"the capture missed {self.dropped} packets"
        assert self.frames, "the capture saw nothing at all"
        return [flow for flow in sorted(self._segments) if needle in self.stream(flow)]

    def _receive(self) -> None:
        self._socket.settimeout(0.1)
        while True:
            try:
                frame = self._socket.recv(1 << 17)
            except TimeoutError:
                if self._stopping.is_set():
                    return
                continue
            self.frames += 1
            self._keep(frame)

    def _keep(self, frame: bytes) -> None:
        if len(frame) < 34 or frame[12:14] != b"\x08\x00":
            return
        header = (frame[14] & 0x0F) * 4
        total, protocol = int.from_bytes(frame[16:18], "big"), frame[23]
        source, target = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
        # A length of zero is a segment that the kernel has not cut up yet.
        packet = frame[14 + header : 14 + total] if total else frame[14 + header :]
        if protocol not in (_TCP, _UDP) or len(packet) < 8:
            return
        ports = struct.unpack("!HH", packet[:4])
        if protocol == _UDP:
            self._segments[Flow(source, ports[0], target, ports[1], "udp")].append((0, packet[8:]))
        elif payload := packet[(packet[12] >> 4) * 4 :]:
            sequence = int.from_bytes(packet[4:8], "big")
            self._segments[Flow(source, ports[0], target, ports[1])].append((sequence, payload))


def _listen(interface: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 256 << 20)
    made.bind((interface, _ETH_P_ALL))
    # A bridge hands up what it forwards only while it is promiscuous.
    index = socket.if_nametoindex(interface)
    made.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, struct.pack("iHH8s", index, _PACKET_MR_PROMISC, 0, b""))
    return made


def by_certificate(address: tuple[str, int], certificate: bytes | str | None, *, server: str, host: str) -> str:
    """What a server that asks for a certificate answers to this one, or the reason for which it refuses it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate if isinstance(certificate, bytes) else certificate.encode())
            file.flush()
            context.load_cert_chain(file.name)
    try:
        with (
            socket.create_connection(address, 3) as plain,
            context.wrap_socket(plain, server_hostname=server) as wire,
        ):
            wire.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return wire.recv(200).decode()
    except (ssl.SSLError, ConnectionError) as error:
        return str(error)
