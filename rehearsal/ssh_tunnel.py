"""One ssh connection to a Docker host, with the host's Docker socket at this end of it.

The docker SDK can start `ssh` by itself, but passes it no options, so no pinned host key and no key of its own. The
tunnel takes the options of the provider as they are. Only sharing of connections is turned off: a tunnel that ends with
somebody else's master connection, or becomes one that outlives the run, would be neither one per run nor closed by it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rehearsal.providers import StepError

_REMOTE_SOCKET: Final = "/var/run/docker.sock"
_PATIENCE: Final = 120.0
_OURS: Final = ("ControlMaster=no", "ControlPath=none", "ControlPersist=no")
# Behind the provider's own options, of which ssh takes the first.
_DEFAULTS: Final = (
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "ExitOnForwardFailure=yes",
    "StreamLocalBindUnlink=yes",
)
# The pipe on its input closes when this process ends, however it ends: so neither ssh nor its files outlive the run.
_GUARDED: Final = """
exec 3<&0
"$@" </dev/null 3<&- &
ssh=$!
{ read -r _ <&3; rm -f "$0.sock" "$0.log"; rmdir "${0%/*}"; kill $ssh; } >/dev/null 2>&1 &
watch=$!
wait $ssh
code=$?
kill $watch 2>/dev/null
exit $code
"""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a ``ssh://`` URL leads."""

    user: str
    host: str
    port: int | None
    socket: str

    def __str__(self) -> str:
        text = f"{self.user}@{self.host}" if self.user else self.host
        return f"{text}:{self.port}" if self.port else text


def parse_url(url: str) -> Address:
    """Raises StepError for what the provider's own parser would refuse, too."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise StepError(f"{url}: should be ssh://user@host:port, got a URL that cannot be read: {error}") from error
    if parts.scheme != "ssh" or not host or host.startswith("-"):
        raise StepError(f"{url}: should be ssh://user@host:port")
    if parts.password or parts.query or parts.fragment:
        raise StepError(f"{url}: takes no password, query or fragment; ssh_opts can name a key file")
    path = parts.path if parts.path not in ("", "/") else _REMOTE_SOCKET
    return Address(parts.username or "", host, port, path)


class TunnelError(StepError):
    """The host cannot be reached; the message has ssh's own words."""


class Tunnel:
    """``ssh -N -L``, from `open` to `close`."""

    def __init__(self, address: Address, options: Sequence[str], folder: Path, number: int) -> None:
        self.address = address
        self._base = folder / str(number)
        self.socket = self._base.with_suffix(".sock")
        self._log = self._base.with_suffix(".log")
        self._options = tuple(options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def open(self) -> None:
        """Connect, and return when the socket is there. Raises TunnelError."""
        self.socket.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    ["sh", "-c", _GUARDED, str(self._base), *self._command()],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "LC_ALL": "C"},
                    start_new_session=True,  # Ctrl-C is for this program, which lets steps in flight end
                )
            except OSError as error:
                raise TunnelError(f"cannot start ssh: {error}") from error
        deadline = time.monotonic() + _PATIENCE
        while not self.socket.exists():
            if self._process.poll() is not None:
                raise TunnelError(self._refusal())
            if time.monotonic() > deadline:
                said = self.said()
                self.close()
                raise TunnelError(f"ssh to {self.address} did not get through within {_PATIENCE:.0f} s\n{said}")
            time.sleep(0.02)

    def _command(self) -> list[str]:
        def each(options: Sequence[str]) -> list[str]:
            return [word for option in options for word in ("-o", option)]

        address = self.address
        words = ["ssh", *each(_OURS), *self._options, *each(_DEFAULTS), "-N", "-T"]
        words += ["-L", f"{self.socket}:{address.socket}"]
        if address.user:
            words += ["-l", address.user]
        if address.port:
            words += ["-p", str(address.port)]
        return [*words, "--", address.host]

    def said(self) -> str:
        """What ssh printed, without its frames and its notices."""
        try:
            text = self._log.read_text(errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines()]
        kept = [line for line in lines if line.strip("@ ") and not line.startswith("Warning: Permanently added")]
        return "\n".join(kept[-12:])

    def _refusal(self) -> str:
        said = self.said()
        what = said or f"ssh ended with exit code {self._process.returncode if self._process else '?'}"
        return f"cannot connect to {self.address} by ssh:\n{_indented(what)}\n{_indented(self._advice(said))}"

    def _advice(self, said: str) -> str:
        return _advice(said, self.address.host)

    def trouble(self) -> str:
        """Why what goes through the tunnel fails, where ssh knows."""
        said = self.said()
        if not self.alive:
            return f"ssh to {self.address} ended:\n{_indented(said)}" if said else f"ssh to {self.address} ended"
        return f"ssh to {self.address} says:\n{_indented(said)}\n{_indented(self._advice(said))}" if said else ""

    def close(self) -> None:
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.socket.unlink(missing_ok=True)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _advice(said: str, host: str) -> str:
    if "ssh: not found" in said:
        return "install the ssh client (package openssh-client)"
    if "Host key verification failed" in said or "IDENTIFICATION HAS CHANGED" in said:
        return (
            "what answered does not hold the pinned host key: if the host was rebuilt, pin its new key"
            " (`ssh-keyscan -t ed25519`, compared on its console); if not, somebody else answers at this address"
        )
    if "Permission denied" in said or "Too many authentication failures" in said:
        return "its sshd does not take this login: check the user, the key, and the host's authorized_keys"
    if "administratively prohibited" in said:
        return "its sshd forbids the tunnel: set `AllowStreamLocalForwarding yes` and `AllowTcpForwarding yes` there"
    if "open failed" in said:
        return "its Docker is not running, or this user may not use its socket (add it to group docker)"
    if "Could not resolve" in said:
        return "its name is not known here: check the address"
    return (
        f"does no host let you in? this machine's own address is {_own_address(host)} (behind NAT, hosts see another"
        " one), and quayside:access.ssh of the last `up` may not have it\n"
        "bring the host back and run again; if it stays away, declare it down: then no step goes there"
    )


def _own_address(host: str) -> str:
    """The one that packets to the host leave with. Nothing is sent."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 22, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError:
        return "not known"
