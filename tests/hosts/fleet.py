"""A fleet of Docker hosts on this one machine, each separate as servers are: network, mounts, processes, sshd, dockerd.

``Fleet.start(["host1", "host2"])`` joins them to a switch (a bridge in a namespace of its own, so that the machine's
firewall has no say between them); the machine itself is the outside, at the network's ``.1``. There is no way from a
host to anywhere else. Each running fleet holds a lock, and whatever a crashed one left is removed by the next start.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from planning.hosts.hostfiles import FIREWALL
from tests.hosts.fleet_remains import (
    HOME,
    archive_of,
    child_of,
    delete_namespace,
    lock,
    run,
    sweep,
    sweep_abandoned,
    until,
)
from tests.hosts.shop import IMAGES, UnavailableError
from tests.hosts.wire import Capture, scan

NETWORK = "QUAYSIDE_FLEET_NETWORK"
TOOLS = ("docker", "dockerd", "ip", "iptables", "nsenter", "unshare", "ssh")
SSHD = "/usr/sbin/sshd"
OWN = ("etc", "usr/local", "var/lib")
"""Folders of the system that each host may change for itself: what prepares a server runs here as it does there."""

_START = """\
set -e
# What a server has for itself and would otherwise share with its neighbours here.
mount --bind {folder}/run /run
for part in etc usr/local var/lib; do
    mount -t overlay overlay -o "lowerdir=/$part,upperdir={folder}/own/$part,workdir={folder}/work/$part" "/$part"
done
# The kernel has one of this for all.
mount --bind {folder}/swappiness /proc/sys/vm/swappiness
mount --bind {folder}/docker /etc/docker
mount --bind {folder}/root /root
mount --bind {folder}/shadow /etc/shadow
hostname {name}
cd /root
# As its unit does at boot, before Docker.
[ ! -x {firewall} ] || {firewall}
dockerd --config-file /etc/docker/daemon.json &
{sshd} -D -e -f /run/sshd/config &
wait
"""

_SSHD = """\
ListenAddress {address}
HostKey /run/sshd/host_key
AuthorizedKeysFile /run/sshd/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
UseDNS no
MaxStartups 100:30:200
MaxSessions 100
"""


def missing() -> str:
    """Why no fleet can run here; empty where one can."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if not Path(SSHD).exists():
        lacking.append("sshd (package openssh-server)")
    return f"needs {', '.join(lacking)}" if lacking else ""


@dataclass(slots=True)
class Host:
    """One machine of the fleet."""

    name: str
    address: str
    folder: Path
    fleet: Fleet = field(repr=False)
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate, repr=False)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def host_key(self) -> str:
        """What a person pins: ``ssh-ed25519 AAAA…``."""
        return self.key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    @property
    def url(self) -> str:
        return f"ssh://root@{self.address}"

    @property
    def socket(self) -> str:
        """The Docker engine's socket as this machine reaches it, past ssh: for looking, not for the code under test."""
        return f"unix://{self.folder}/run/docker.sock"

    @property
    def namespace(self) -> str:
        return f"{self.fleet.id}-{self.name}"

    @property
    def ssh_opts(self) -> list[str]:
        """As a provider of this host takes them: the host key pinned without a file, and the fleet's own login key."""
        return self.ssh_opts_for(self.host_key)

    def ssh_opts_for(self, host_key: str) -> list[str]:
        pinned = {
            "KnownHostsCommand": f"/bin/echo %H {host_key}",
            "UserKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "IdentityFile": str(self.fleet.identity),
            "IdentitiesOnly": "yes",
        }
        return [word for key, value in pinned.items() for word in ("-o", f"{key}={value}")]

    @property
    def log(self) -> Path:
        """What its dockerd and its sshd say."""
        return self.folder / "log"

    @property
    def up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def docker(self, *arguments: str) -> str:
        """Run the docker CLI on its engine, past ssh; its standard output."""
        return run("docker", "-H", self.socket, *arguments).strip()

    def ssh(self, command: str, *, timeout: float = 30) -> str:
        """Run a command on it, as an administrator would; its standard output."""
        words = ["ssh", *self.ssh_opts, "-o", "BatchMode=yes", f"root@{self.address}", command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{command} on {self.name}: {done.stderr.strip()}"
        return done.stdout.strip()

    def inside(self, *command: str) -> str:
        """Run a command in its namespaces, past ssh; its standard output."""
        return run("nsenter", "-t", str(self._init()), "-m", "-u", "-i", "-n", "-p", *command).strip()

    def kill(self) -> None:
        """Cut it off as a failing machine does: no process says goodbye, its address answers nothing."""
        process, self.process = self.process, None
        if process is None:
            return
        run("ip", "-n", self.fleet.id, "link", "delete", self.name, check=False)  # the cable first
        with contextlib.suppress(ProcessLookupError, IndexError):
            # The first process of its process namespace: the kernel ends all others with it.
            os.kill(child_of(process.pid), signal.SIGKILL)
        process.wait(20)
        delete_namespace(self.namespace)

    def restart(self) -> None:
        """Boot it (again): same disk, same host key; what was in memory is gone."""
        self.kill()
        self.boot()
        self.wait()

    def boot(self) -> None:
        """Begin to start it; ``wait`` tells when it is there."""
        for name in ("run", "docker", "root", "data", *(f"{kind}/{part}" for kind in ("own", "work") for part in OWN)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.folder / "run")
        (self.folder / "run" / "sshd").mkdir(parents=True, mode=0o755)
        (self.folder / "shadow").write_text("root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n")
        self._configure()
        self._connect()
        words = ["nsenter", f"--net=/run/netns/{self.namespace}", "unshare", "--mount", "--uts", "--ipc", "--pid"]
        words += ["--fork", "--kill-child", "--mount-proc", "sh", str(self.folder / "start.sh")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self, seconds: float = 60) -> None:
        """Until its Docker engine and its sshd answer."""

        def alive(ready: Callable[[], bool]) -> bool:
            process = self.process
            assert process is not None, f"{self.name} was never started"
            assert process.poll() is None, f"{self.name} ended:\n{self.log.read_text(errors='replace')[-2000:]}"
            return ready()

        until(f"dockerd of {self.name}", lambda: alive(self._docker_answers), seconds, self.log)
        until(f"sshd of {self.name}", lambda: alive(self._sshd_answers), seconds, self.log)

    def load(self, archive: Path) -> None:
        """Give it the images of a ``docker save``."""
        run("docker", "-H", self.socket, "load", "-q", "-i", str(archive))

    def _configure(self) -> None:
        settings = {
            "hosts": ["unix:///run/docker.sock"],
            "data-root": f"{self.folder}/data",
            "exec-root": "/run/docker",
            "pidfile": "/run/docker.pid",
            "cgroup-parent": f"/{self.fleet.id}",
            "insecure-registries": [str(self.fleet.network)],
        }
        (self.folder / "docker" / "daemon.json").write_text(json.dumps(settings))
        start = _START.format(folder=self.folder, name=self.name, sshd=SSHD, firewall=FIREWALL)
        (self.folder / "start.sh").write_text(start)
        (self.folder / "swappiness").write_text("60\n")
        sshd = self.folder / "run" / "sshd"
        (sshd / "config").write_text(_SSHD.format(address=self.address))
        (sshd / "authorized_keys").write_text(self.fleet.public_key + "\n")
        _write_key(sshd / "host_key", self.key)

    def _connect(self) -> None:
        space, switch = self.namespace, self.fleet.id
        run("ip", "netns", "add", space)
        # A machine keeps its hardware address over a reboot; neighbours would look for a new one for half a minute.
        mac = "02:" + ipaddress.IPv4Address(self.address).packed.hex(":") + ":01"
        peer = ("peer", "name", "eth0", "address", mac, "netns", space)
        run("ip", "-n", switch, "link", "add", self.name, "type", "veth", *peer)
        run("ip", "-n", switch, "link", "set", self.name, "master", "switch", "up")
        for what in (("addr", "add", f"{self.address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
            run("ip", "-n", space, *what)
        run("ip", "-n", space, "link", "set", "lo", "up")

    def _init(self) -> int:
        assert self.process is not None, f"{self.name} is down"
        return child_of(self.process.pid)

    def _docker_answers(self) -> bool:
        connection = http.client.HTTPConnection("localhost", timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(5)
            connection.sock.connect(self.socket.removeprefix("unix://"))
            connection.request("GET", "/_ping")
            return connection.getresponse().status == 200
        return False

    def _sshd_answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((self.address, 22), timeout=1) as probe,
        ):
            return probe.recv(4) == b"SSH-"
        return False


@dataclass(slots=True)
class Fleet:
    """Some hosts on one switch. ``stop`` leaves nothing of them; as a context manager it does so at the end."""

    network: ipaddress.IPv4Network
    id: str
    folder: Path
    lock: IO[str] = field(repr=False)
    hosts: dict[str, Host] = field(default_factory=dict[str, Host])
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate, repr=False)

    @classmethod
    def start(cls, names: Sequence[str], *, network: str | None = None, images: Iterable[str] = IMAGES) -> Fleet:
        """Start hosts of these names at ``.11``, ``.12``, …, with the images loaded. Raises UnavailableError.

        ``network`` (or QUAYSIDE_FLEET_NETWORK) is a /24; by default it is the first free one of 10.99.0.0/16.
        """
        if why := missing():
            raise UnavailableError(why)
        archive = archive_of(tuple(images))
        HOME.mkdir(mode=0o755, exist_ok=True)
        sweep_abandoned()
        fleet = cls._claim(network or os.environ.get(NETWORK))
        try:
            fleet._lay_switch()
            _write_key(fleet.identity, fleet.key)
            for number, name in enumerate(names, 11):
                fleet.hosts[name] = Host(name, str(fleet.network[number]), fleet.folder / name, fleet)
            fleet._each(Host.boot)
            fleet._each(Host.wait)
            if archive is not None:
                fleet._each(lambda host: host.load(archive))
        except BaseException:
            fleet.stop()
            raise
        return fleet

    @classmethod
    def _claim(cls, wanted: str | None) -> Fleet:
        choices = [wanted] if wanted else [f"10.99.{number}.0/24" for number in range(256)]
        taken = _used_networks()
        for choice in choices:
            network = ipaddress.IPv4Network(choice)
            name = f"qf{int(network.network_address) >> 8 & 0xFFFF:04x}"
            if any(network.overlaps(other) for other in taken):
                continue
            held = lock(name)
            if held is None:
                continue
            sweep(name)
            folder = HOME / name
            folder.mkdir(mode=0o755)
            return cls(network, name, folder, held)
        raise UnavailableError(f"{wanted or '10.99.0.0/16'} is in use: set {NETWORK} to another /24")

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def __iter__(self) -> Iterator[Host]:
        return iter(self.hosts.values())

    @property
    def identity(self) -> Path:
        """The private key that opens every host."""
        return self.folder / "identity"

    @property
    def public_key(self) -> str:
        return self.key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    @property
    def outside(self) -> str:
        """This machine's own address on the fleet's network."""
        return str(self.network[1])

    def capture(self) -> Capture:
        """Record what crosses the switch: between hosts, and between them and the outside."""
        return Capture(self.id, "switch")

    def scan(
        self, address: str, ports: Iterable[int], *, origin: Host | None = None, timeout: float = 0.5
    ) -> list[int]:
        """The TCP ports of an address that answer, from outside or from another host."""
        return scan(address, ports, namespace=origin.namespace if origin else None, timeout=timeout)

    def stop(self) -> None:
        """Take everything away. Safe to call twice."""
        for host in self:
            with contextlib.suppress(AssertionError, subprocess.SubprocessError):
                host.kill()
        sweep(self.id)
        (HOME / f"{self.id}.lock").unlink(missing_ok=True)
        self.lock.close()

    def _lay_switch(self) -> None:
        run("ip", "netns", "add", self.id)
        for what in (
            ("link", "set", "lo", "up"),
            # No snooping, no waiting: what is sent arrives at once.
            ("link", "add", "switch", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"),
            ("link", "set", "switch", "up"),
            ("link", "add", "outside", "type", "veth", "peer", "name", self.id, "netns", str(os.getpid())),
            ("link", "set", "outside", "master", "switch", "up"),
        ):
            run("ip", "-n", self.id, *what)
        run("ip", "addr", "add", f"{self.outside}/24", "dev", self.id)
        run("ip", "link", "set", self.id, "up")

    def _each(self, action: Callable[[Host], None]) -> None:
        with ThreadPoolExecutor(len(self.hosts) or 1) as pool:
            list(pool.map(action, self))


def _write_key(path: Path, key: Ed25519PrivateKey) -> None:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)


def _used_networks() -> list[ipaddress.IPv4Network]:
    found = json.loads(run("ip", "-j", "-4", "addr"))
    addresses = [a for link in found for a in link["addr_info"]]
    return [ipaddress.IPv4Network(f"{a['local']}/{a['prefixlen']}", strict=False) for a in addresses]
