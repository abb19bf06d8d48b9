"""A fleet on loopback: each host's edge is a real HAProxy with an address of its own, each replica a small server."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import itertools
import os
import re
import signal
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from planning.hosts.edge import HostConfig, render_host
from planning.hosts.gateway import FILES, Mesh
from planning.hosts.model import Fleet, Host, Placement
from planning.hosts.plan import FleetPlan, plan_hosts
from settings.stack import Stack
from tests.edge_shell import write_config

GIB = 1024**3


def host(name: str, **changes: Any) -> Host:
    values: dict[str, Any] = {
        "kind": "existing",
        "burst": False,
        "cpu": 4,
        "memory": 8 * GIB,
        "total": 8 * GIB,
        "architecture": None,
    }
    return Host(name=name, **{**values, **changes})


def fleet(*hosts: Host, balancer: str | None = None) -> Fleet:
    return Fleet(hosts={one.name: one for one in hosts}, groups={}, architecture=None, balancer=balancer)


def placed(where: Mapping[str, tuple[str, str]], weights: Mapping[str, int] | None = None, **more: Any) -> Placement:
    """``where``: slot → its service and host. Every weight is 1 unless it is given."""
    given = {slot: (weights or {}).get(slot, 1) for slot in where}
    services: dict[str, dict[str, list[str]]] = {}
    shares: dict[str, dict[str, int]] = {}
    for slot, (service, at) in where.items():
        services.setdefault(service, {}).setdefault(at, []).append(slot)
        shares.setdefault(service, {}).setdefault(at, 0)
        shares[service][at] += given[slot]
    values: dict[str, Any] = {"burst": (), "use": {}, "stranded": {}, "stable": True}
    return Placement(
        slots={slot: at for slot, (_, at) in where.items()},
        services=services,
        weights=given,
        shares=shares,
        **{**values, **more},
    )


def stack(services: Mapping[str, Any], **more: Any) -> Stack:
    values = {"project": "shop", "name": "fleet", "cloud": "hetzner", "domain": "example.test", "services": services}
    return Stack.model_validate({**values, **more})


def mesh(name: str) -> Mesh:
    return Mesh(authorities="ca.pem", certificate=f"{name}.pem")


def containers(plan: FleetPlan, name: str) -> dict[str, str]:
    return {
        slot.name: f"{slot.name}-abc1234" for service in plan.hosts[name].services.values() for slot in service.slots
    }


def rendered(plan: FleetPlan, name: str, config: HostConfig | None = None) -> str:
    addresses = {other: f"10.0.0.{number}" for number, other in enumerate(plan.hosts, 1)}
    return render_host(plan, name, config or HostConfig(), containers(plan, name), {}, addresses, mesh(name))


# --- certificates ----------------------------------------------------------------------------------------------------


class Authority:
    """Signs certificates of hosts, as the program's own would."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"mesh {os.urandom(4).hex()}")])
        self.pem = self._signed(self._name, self._key.public_key(), (), authority=True)

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, dns_names: Iterable[str], *, authority: bool
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
        )
        names = [x509.DNSName(one) for one in dns_names]
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def certificate(self, name: str, *dns_names: str) -> bytes:
        """A certificate with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._signed(subject, key.public_key(), dns_names or (f"*.{name}.quayside",), authority=False) + private


# --- replicas --------------------------------------------------------------------------------------------------------


HEALTH = "/healthz"


class _Answer(BaseHTTPRequestHandler):
    """Answers the slot it stands for, and what it was told of the client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        told = [f"{key}: {value}" for key, value in self.headers.items()]
        body = "\n".join([self.server.slot, *told]).encode()
        self.send_response(503 if self.server.ails and self.path == HEALTH else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # the base class's own protocol

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, slot: str, address: tuple[str, int]) -> None:
        self.slot = slot
        self.ails = False
        super().__init__(address, _Answer)

    def handle_error(self, request: object, client_address: object) -> None:
        """Checks hang up when they have seen enough."""


class _Greet(socketserver.BaseRequestHandler):
    server: _Tcp

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.request.sendall(f"{self.server.slot}\n".encode())
            while data := self.request.recv(4096):
                self.request.sendall(data)


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, slot: str, address: tuple[str, int]) -> None:
        self.slot = slot
        super().__init__(address, _Greet)


# --- the fleet -------------------------------------------------------------------------------------------------------

_networks = itertools.count(os.getpid())


class Loopback:
    """Addresses of one fleet in 127.0.0.0/8, so that fleets of several tests do not meet."""

    def __init__(self, plan: FleetPlan) -> None:
        self._plan = plan
        network = next(_networks)
        large, small = network // 250 % 50, network % 250
        self._prefix, self._calling = f"127.{large + 100}.{small}", f"127.{large + 200}.{small}"
        self._hosts = {name: number for number, name in enumerate(plan.hosts, 2)}
        self._containers: dict[tuple[str, str], int] = {}
        self._callers = {name: number for number, name in enumerate(sorted(plan.services), 1)}

    def __getitem__(self, name: str) -> str:
        """Of a host."""
        return f"{self._prefix}.{self._hosts[name]}"

    def container(self, slot: str, name: str) -> str:
        """Of a slot's container on a host."""
        number = self._containers.setdefault((slot, name), 2 + len(self._hosts) + len(self._containers))
        return f"{self._prefix}.{number}"

    def caller(self, service: str) -> str:
        """Where a container of a service calls from."""
        return self._caller(self._callers[service])

    def _caller(self, number: int) -> str:
        return f"{self._calling}.{number}"

    def moved(self, text: str, name: str, folder: Path) -> str:
        """The configuration of a host, on addresses of loopback and with its files in ``folder``."""
        here = self[name]
        text = re.sub(
            r"^    bind :([0-9]+)", lambda bind: f"    bind {here}:{self.port(int(bind[1]))}", text, flags=re.M
        )
        text = text.replace("bind 127.0.0.1:", f"bind {here}:").replace("ipv4@127.0.0.1:", f"ipv4@{here}:")
        for service, number in self._callers.items():
            subnet = self._plan.services[service].subnet
            if subnet is not None:
                text = text.replace(f" src {subnet.containers}", f" src {self._caller(number)}")
        return text.replace(FILES, str(folder))

    @staticmethod
    def port(number: int) -> int:
        """Low ports are not everybody's."""
        return number if number >= 1024 else 20000 + number


class Running:
    """Every edge of a fleet and every replica, until the context ends."""

    def __init__(
        self,
        plan: FleetPlan,
        folder: Path,
        *,
        configs: Mapping[str, HostConfig] | None = None,
        authority: Authority | None = None,
        routes: Mapping[tuple[str, str], str] | None = None,
        healthy: bool = True,
    ) -> None:
        """``routes``: (sender, receiver) → another address to reach it at. ``healthy``: wait for all servers."""
        self._healthy = healthy
        self.plan = plan
        self.folder = folder
        self.at = Loopback(plan)
        self.hosts = [name for name, one in plan.hosts.items() if not one.host.down]
        self.authority = authority or Authority()
        self._replicas: dict[tuple[str, str], _Http | _Tcp] = {}
        self._edges: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "ca.pem").write_bytes(self.authority.pem)
        for name in plan.hosts:
            (folder / f"{name}.pem").write_bytes(self.authority.certificate(name))
        self._configs = configs or {}
        self._routes = routes or {}

    def text(self, name: str, plan: FleetPlan | None = None) -> str:
        plan = plan or self.plan
        here = {
            slot.name: self.at.container(slot.name, name)
            for s in plan.hosts[name].services.values()
            for slot in s.slots
        }
        addresses = {other: self._routes.get((name, other), self.at[other]) for other in plan.hosts}
        config = self._configs.get(name, HostConfig())
        text = render_host(plan, name, config, here, {}, addresses, mesh(name))
        return self.at.moved(text, name, self.folder)

    def __enter__(self) -> Running:
        try:
            for slot in self.plan.placement.slots:
                self.start(slot)
            for name in self.hosts:
                self._edge(name)
            for name in self.hosts:
                self._await(name)
            until(lambda: not self._healthy or all(self._all_up(name) for name in self.hosts), 10)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for edge in self._edges.values():
            edge.kill()
            edge.wait()
        for replica in self._replicas.values():
            replica.shutdown()
            replica.server_close()

    def start(self, slot: str, plan: FleetPlan | None = None) -> None:
        """Start a slot's replica, where this plan or another has it."""
        plan = plan or self.plan
        (service,) = (one for one in plan.services.values() if any(slot == each.name for each in one.slots))
        settings, at = service.settings, plan.placement.slots[slot]
        if settings.port is None:
            return
        kind = _Http if settings.protocol == "http" else _Tcp
        server = kind(slot, (self.at.container(slot, at), settings.port))
        self._replicas[slot, at] = server
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def kill_replica(self, slot: str) -> None:
        replica = self._replicas.pop((slot, self.plan.placement.slots[slot]))
        replica.shutdown()
        replica.server_close()

    def ail(self, slot: str) -> None:
        """A replica serves on, and its health path says that it cannot."""
        replica = self._replicas[slot, self.plan.placement.slots[slot]]
        assert isinstance(replica, _Http)
        replica.ails = True

    def kill_edge(self, name: str) -> None:
        """The workers end with their master."""
        edge = self._edges.pop(name)
        edge.kill()
        edge.wait()

    def _edge(self, name: str) -> None:
        file = self.folder / f"{name}.cfg"
        write_config(file, self.text(name))
        with (self.folder / f"{name}.log").open("wb") as log:
            self._edges[name] = subprocess.Popen(
                ["haproxy", "-W", "-db", "-f", str(file)], stdout=log, stderr=subprocess.STDOUT
            )

    def take(self, name: str, text: str) -> None:
        """Let a host's edge reload another configuration, and wait until it answers by it."""
        write_config(self.folder / f"{name}.cfg", text)
        self._edges[name].send_signal(signal.SIGUSR2)
        digest = text.rstrip().rpartition(" ")[2]
        until(lambda: self.get(name, "digest", port=9903)[1] == [digest], 10)

    def _await(self, name: str) -> None:
        def answers() -> bool:
            assert self._edges[name].poll() is None, (self.folder / f"{name}.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection((self.at[name], 9903), 1):
                return True
            return False

        until(answers, 5)

    def _all_up(self, name: str) -> bool:
        return all(state in ("UP", "no check") for state in self.states(name).values())

    def states(self, name: str) -> dict[str, str]:
        """backend/server → state, as a host's edge sees it."""
        rows = (line.split(",") for line in self.tell(name, "show stat").splitlines() if line and line[0] != "#")
        return {f"{row[0]}/{row[1]}": row[17] for row in rows if row[1] not in ("FRONTEND", "BACKEND")}

    def tell(self, name: str, command: str) -> str:
        """What a host's edge says to a command on its socket."""
        with socket.create_connection((self.at[name], 9902), 5) as stats:
            stats.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: stats.recv(65536), b"")).decode()

    # --- asking ---

    def get(
        self,
        name: str,
        address: str,
        *,
        port: int = 10080,
        caller: str | None = None,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, list[str], str | None]:
        """Status, lines and cookie of what ``host/path`` answers, asked of a host's edge."""
        source = (self.at.caller(caller), 0) if caller else None
        at, _, path = address.partition("/")
        connection = http.client.HTTPConnection(self.at[name], port, timeout=10, source_address=source)
        try:
            connection.request(method, f"/{path}", headers={"Host": at, **(headers or {})})
            answer = connection.getresponse()
            body = answer.read().decode().splitlines()
            return answer.status, body, answer.getheader("Set-Cookie")
        finally:
            connection.close()

    def named(self, name: str, service: str, caller: str) -> tuple[int, str]:
        """What ``http://<service>`` answers to a container of ``caller`` on a host."""
        status, body, _ = self.get(name, service, port=Loopback.port(80), caller=caller)
        return status, body[0]

    def greeting(self, name: str, port: int, caller: str) -> str:
        """What a TCP service says to a container of ``caller`` on a host; nothing when it is refused."""
        try:
            with socket.create_connection(
                (self.at[name], Loopback.port(port)), 5, source_address=(self.at.caller(caller), 0)
            ) as connection:
                return connection.recv(100).decode().strip()
        except ConnectionResetError:
            return ""

    def through(self, name: str, label: str, certificate: Path | None, say: bytes = b"") -> bytes:
        """What a host's gateway answers under a label to whoever shows a certificate."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if certificate is not None:
            context.load_cert_chain(str(certificate))
        with (
            socket.create_connection((self.at[name], 8443), 5) as plain,
            context.wrap_socket(plain, server_hostname=f"{label}.{name}.quayside") as connection,
        ):
            if say:
                connection.sendall(say)
            return connection.recv(4096)


def until(holds: Any, seconds: float) -> float:
    """Wait until something holds; the seconds it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - began


@contextlib.contextmanager
def relay(address: str, target: tuple[str, int]) -> Iterator[Sequence[bytes]]:
    """A wire that is listened to: everything that passes, in both directions."""
    heard: list[bytes] = []

    class Pass(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(target) as onwards:
                back = threading.Thread(target=self.copy, args=(onwards, self.request), daemon=True)
                back.start()
                self.copy(self.request, onwards)
                back.join()

        @staticmethod
        def copy(one: socket.socket, other: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := one.recv(65536):
                    heard.append(data)
                    other.sendall(data)
                other.shutdown(socket.SHUT_WR)

    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer((address, target[1]), Pass) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield heard
        server.shutdown()


def planned(services: Mapping[str, Any], hosts: Fleet, placement: Placement, **more: Any) -> FleetPlan:
    return plan_hosts(stack(services, **more), {}, hosts, placement)
