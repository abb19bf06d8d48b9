"""How the program reaches a host's Docker engine and shell: over SSH, with its host key pinned."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.docker.deploy_key import FOLDER
from settings.types import DOCKER_HUB

CONNECT_TIMEOUT = 10
"""Seconds to reach a host; then it counts as dead."""
_ALIVE = 5, 3
"""Seconds between two signs of life, and how many may be missing: a host that dies under a command fails it after 15 s,
where TCP would wait for hours. A machine's shared connection is gone as soon, too, once another has its address."""
_PERSIST = "60s"

_HOST_KEY = re.compile(r"(?:ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,3}")
_JUMP = re.compile(r"(?P<user>[a-z_][a-z0-9_-]{0,31})@(?P<host>[A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:(?P<port>[0-9]{1,5}))?")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Jump:
    """A host that others are reached through, by the identities of whoever runs this: the stack's key is not for it."""

    destination: str
    """`user@host`, or `user@host:port`."""
    host_key: str | None = None
    """None: the one in the known hosts of whoever runs this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionArgs:
    address: pulumi.Input[str]
    """IPv4, IPv6 or a name."""
    host_key: pulumi.Input[str]
    """`ssh-ed25519 AAAA…`: a host that shows another is not spoken to."""
    identity: pulumi.Input[str]
    """Path of the private key: `DeployKey.identity`."""
    user: str = "root"
    port: int = 22
    jump: Jump | None = None
    previous_identity: pulumi.Input[str] | None = None
    """`DeployKey.previous_identity`: by it the host lets the new key in."""


class Connection:
    """A host over SSH. Makes no resource. Refuses a user or a host key that a command line could mistake for more.

    The host key is pinned by an option, not by a file: nothing has to be there before, and nothing is left behind. The
    user's and the system's known hosts are shut out, or one of their keys would do as well.
    """

    url: pulumi.Output[str]
    """`ssh://user@address:port`."""
    ssh_opts: pulumi.Output[Sequence[str]]
    """Arguments of ssh, one token each, as the Docker provider and the Docker SDK's tunnel take them."""
    options: pulumi.Output[str]
    """The same for a shell, quoted, with the port."""
    own_options: pulumi.Output[str]
    """Those with which a person's own keys connect: for the first time that an existing server is reached."""
    previous_options: pulumi.Output[str]
    """Those with the key that the stack's key replaces; empty where it replaces none."""
    destination: pulumi.Output[str]
    """`user@address`, as the argument of ssh behind `options`."""
    host_key: pulumi.Output[str]

    def __init__(self, args: ConnectionArgs) -> None:
        if not _USER.fullmatch(args.user):
            raise ValueError(f"user should be a user's name, got {args.user!r}")
        if not 1 <= args.port <= 65535:
            raise ValueError(f"port should be 1–65535, got {args.port}")
        if isinstance(args.host_key, str):
            _checked(args.host_key)
        self.user, self.port, self.jump = args.user, args.port, args.jump
        self.host_key = pulumi.Output.from_input(args.host_key)
        address = pulumi.Output.from_input(args.address)
        known: pulumi.Output[list[str]] = pulumi.Output.all(args.host_key, args.identity)  # pyright: ignore[reportAssignmentType]
        key = pulumi.Output.from_input(args.host_key)
        self.url = address.apply(lambda known: f"ssh://{args.user}@{_bracketed(known)}:{args.port}")
        self.destination = address.apply(lambda known: f"{args.user}@{known}")
        port = ["-p", str(args.port)]
        self.ssh_opts = known.apply(lambda known: ssh_options(known[0], known[1], args.jump))
        self.options = self.ssh_opts.apply(lambda tokens: shlex.join([*tokens, *port]))
        self.own_options = key.apply(lambda key: shlex.join([*own_options(key, args.jump), *port]))
        previous: pulumi.Output[list[str]] = pulumi.Output.all(args.host_key, args.previous_identity or "")  # pyright: ignore[reportAssignmentType]
        self.previous_options = previous.apply(
            lambda known: shlex.join([*ssh_options(known[0], known[1], args.jump), *port]) if known[1] else ""
        )

    @property
    def command(self) -> pulumi.Output[str]:
        """`ssh … user@address`, quoted for a shell: what follows it is run by the host's shell."""
        parts: pulumi.Output[list[str]] = pulumi.Output.all(self.options, self.destination)  # pyright: ignore[reportAssignmentType]
        return parts.apply(lambda known: f"ssh {known[0]} {shlex.quote(known[1])}")

    @property
    def docker(self) -> pulumi.Output[str]:
        """`ssh … user@address docker`, for Commands. The host's shell reads the arguments once more."""
        return self.command.apply(lambda known: f"{known} docker")


def ssh_options(host_key: str, identity: str, jump: Jump | None = None) -> list[str]:
    """Arguments of ssh: this host key and no other, this identity and no other, one shared connection."""
    return [
        *_pinned(host_key),
        *_through(jump),
        *_option("IdentityFile", identity),
        *_option("IdentitiesOnly", "yes"),
        # 20 containers made at once are 31 ssh, and servers refuse new connections from 10 on: they share one.
        *_option("ControlMaster", "auto"),
        *_option("ControlPersist", _PERSIST),
        *_option("ControlPath", f"{FOLDER}/%C"),
    ]


def own_options(host_key: str, jump: Jump | None = None) -> list[str]:
    """Arguments of ssh for the identities of the person who runs this; never shared with the deploy key's."""
    return [*_pinned(host_key), *_through(jump), *_option("ControlMaster", "no"), *_option("ControlPath", "none")]


def _through(jump: Jump | None) -> list[str]:
    """A command and not `ProxyJump`, whose connection would take none of the options here: neither key nor limits."""
    if jump is None:
        return []
    match = _JUMP.fullmatch(jump.destination)
    if match is None:
        raise ValueError(f"jump should be user@host or user@host:port, got {jump.destination!r}")
    user, host, port = match["user"], match["host"].strip("[]"), match["port"] or "22"
    known = _PINNED_ALONE if jump.host_key is None else _pin(jump.host_key)
    # What ssh replaces in the command, it would replace here, too: for the jump host itself it is doubled.
    options = [word.replace("%", "%%") for word in [*known, *_CAREFUL]]
    words = ["ssh", *options, "-W", "[%h]:%p", "-p", port, "-l", user, "--", host]
    return [*_option("ProxyCommand", shlex.join(words))]


def _pinned(host_key: str) -> list[str]:
    return [*_pin(host_key), *_CAREFUL]


def _pin(host_key: str) -> list[str]:
    return [
        *_option("KnownHostsCommand", f"/bin/echo %H {_checked(host_key)}"),
        *_option("UserKnownHostsFile", "/dev/null"),
        *_option("GlobalKnownHostsFile", "/dev/null"),
        *_PINNED_ALONE,
    ]


def _option(name: str, value: str) -> tuple[str, str]:
    return "-o", f"{name}={value}"


_PINNED_ALONE = [
    *_option("StrictHostKeyChecking", "yes"),
    # Neither DNS nor the server itself can bring in another key.
    *_option("VerifyHostKeyDNS", "no"),
    *_option("UpdateHostKeys", "no"),
]
_CAREFUL = [
    *_option("BatchMode", "yes"),
    *_option("ForwardAgent", "no"),
    *_option("ConnectTimeout", str(CONNECT_TIMEOUT)),
    *_option("ServerAliveInterval", str(_ALIVE[0])),
    *_option("ServerAliveCountMax", str(_ALIVE[1])),
]


def _checked(host_key: str) -> str:
    """The key, which becomes part of a command that ssh runs: nothing else may be in it."""
    key = " ".join(host_key.split()[:2])
    if not _HOST_KEY.fullmatch(key):
        raise ValueError(f'host_key should be a type and a key, "ssh-ed25519 AAAA…", got {host_key[:60]!r}')
    return key


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to log in to a registry."""

    username: str
    password: pulumi.Input[str]
    """Made a secret whatever it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineArgs:
    connection: Connection
    registries: Mapping[str, Login]
    """Registry host, as it stands in the names of images → its login."""
    after: Sequence[pulumi.Resource] = ()
    """What prepares the host: no resource of the engine is touched before."""


class Engine(pulumi.ComponentResource):
    """The provider of one host's Docker resources: one process of about 70 MiB, which talks to that host alone.

    It waits for the host by `depends_on` and not by its address, so that the settings stay known in a preview of a host
    that is prepared anew. Refuses nothing: a host that is not there is unknown in a preview, and its resources show as
    creates.
    """

    provider: docker.Provider

    def __init__(self, name: str, args: EngineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:Engine", name, None, opts)
        self.provider = docker.Provider(
            name,
            host=args.connection.url,
            ssh_opts=args.connection.ssh_opts,
            registry_auth=[
                docker.ProviderRegistryAuthArgs(
                    address=address, username=login.username, password=pulumi.Output.secret(login.password)
                )
                for address, login in sorted(_by_address(args.registries).items())
            ]
            or None,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        self.register_outputs({"host": args.connection.url})


def _by_address(registries: Mapping[str, Login]) -> Mapping[str, Login]:
    """The provider takes a login for the very host that stands in an image, and one without host for registry-1's."""
    hub = next((login for registry, login in sorted(registries.items()) if registry in DOCKER_HUB), None)
    return {**(dict.fromkeys(DOCKER_HUB, hub) if hub is not None else {}), **registries}
