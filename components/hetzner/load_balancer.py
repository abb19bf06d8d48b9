"""Hetzner's load balancer in front of the edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_hcloud as hcloud

from components.hetzner.ids import labels, number

HEALTH_INTERVAL = 3
"""Seconds between two checks."""
HEALTH_TIMEOUT = 2
"""Seconds."""
HEALTH_RETRIES = 2
"""Bad checks in a row that take a target out, and good ones that bring it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedTls:
    """A certificate that Hetzner gets and renews. Its DNS has to be Hetzner's, where the proof is laid down."""

    domains: Sequence[str]
    """Names, a wildcard among them at will."""
    zone: str
    """The zone at Hetzner: every domain has to be in it."""
    port: int
    """Of the edges: plain HTTP for visitors of HTTPS, in the private network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeTls:
    """The edges have the certificates: the balancer passes TLS on as it comes."""

    port: int
    """Of the edges: TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancerArgs:
    balancer_type: str
    """Such as lb11; it can be changed in place."""
    location: str
    subnet_id: pulumi.Input[str]
    targets: Mapping[str, pulumi.Input[str]]
    """Host → id of its server. They have to be in the subnet."""
    http_port: int
    """Of the edges, for visitors of port 80."""
    tls: ManagedTls | EdgeTls | None
    """None: port 80 alone."""
    health_port: int
    """Of the edges, without PROXY protocol."""
    health_path: str
    """Answers 200, and 503 where the edge wants no new visitors: there are no weights."""
    idle: int = 300
    """Seconds that an HTTP connection may be silent, 30–300; with a managed certificate only."""
    protect: bool
    """Its addresses are in other people's DNS: it cannot be deleted until this is false and was applied."""
    labels: Mapping[str, str]


class LoadBalancer(pulumi.ComponentResource):
    """A balancer on 80 and 443 that reaches the edges through the private network, with the PROXY protocol.

    With `ManagedTls` it ends TLS itself, redirects 80 to 443, and speaks HTTP to the edges in the private network. With
    `EdgeTls` both ports are passed on as TCP, and the edges redirect. Every target is a resource by its host's name,
    and is gone before its server is rebuilt.

    Refuses a managed certificate for domains that are not in a zone of Hetzner, a balancer without targets, and an idle
    time that Hetzner does not take.
    """

    ipv4: pulumi.Output[str]
    ipv6: pulumi.Output[str]
    private_address: pulumi.Output[str]
    """What the edges accept the PROXY protocol from."""

    def __init__(self, name: str, args: LoadBalancerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:hetzner:LoadBalancer", name, None, opts)
        _check(args)
        self._name, self._args, self._child = name, args, pulumi.ResourceOptions(parent=self)
        balancer = hcloud.LoadBalancer(
            name,
            load_balancer_type=args.balancer_type,
            location=args.location,
            algorithm=hcloud.LoadBalancerAlgorithmArgs(type="least_connections"),
            delete_protection=args.protect,
            labels=labels(args.labels),
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self._id = number(balancer.id)
        network = hcloud.LoadBalancerNetwork(
            name, load_balancer_id=self._id, subnet_id=args.subnet_id, enable_public_interface=True, opts=self._child
        )
        for host, server_id in args.targets.items():
            hcloud.LoadBalancerTarget(
                f"{name}-{host}",
                type="server",
                load_balancer_id=self._id,
                server_id=pulumi.Output.from_input(server_id).apply(int),
                use_private_ip=True,
                # A target by its private address is refused while the balancer has none of its own.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[network], delete_before_replace=True),
            )
        match args.tls:
            case ManagedTls():
                self._https(args.tls)
            case EdgeTls():
                self._tcp("http", 80, args.http_port)
                self._tcp("https", 443, args.tls.port)
            case None:
                self._tcp("http", 80, args.http_port)
        self.ipv4, self.ipv6, self.private_address = balancer.ipv4, balancer.ipv6, network.ip
        self.register_outputs({"ipv4": self.ipv4, "ipv6": self.ipv6, "private_address": self.private_address})

    def _https(self, tls: ManagedTls) -> None:
        # No name of its own: a changed list of domains makes a certificate beside the one that is in use.
        certificate = hcloud.ManagedCertificate(
            self._name, domain_names=sorted(tls.domains), labels=labels(self._args.labels), opts=self._child
        )
        self._service(
            "https",
            443,
            tls.port,
            hcloud.LoadBalancerServiceHttpArgs(
                certificates=[number(certificate.id)],
                redirect_http=True,
                sticky_sessions=False,
                timeout_idle=self._args.idle,
            ),
        )

    def _tcp(self, key: str, listen: int, port: int) -> None:
        self._service(key, listen, port, None)

    def _service(self, key: str, listen: int, port: int, http: hcloud.LoadBalancerServiceHttpArgs | None) -> None:
        args = self._args
        hcloud.LoadBalancerService(
            f"{self._name}-{key}",
            load_balancer_id=self._id.apply(str),
            protocol="tcp" if http is None else "https",
            listen_port=listen,
            destination_port=port,
            proxyprotocol=True,
            http=http,
            health_check=hcloud.LoadBalancerServiceHealthCheckArgs(
                protocol="http",
                port=args.health_port,
                interval=HEALTH_INTERVAL,
                timeout=HEALTH_TIMEOUT,
                retries=HEALTH_RETRIES,
                http=hcloud.LoadBalancerServiceHealthCheckHttpArgs(
                    path=args.health_path, status_codes=["200"], tls=False
                ),
            ),
            # Its port is taken while the old one listens.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )


def _check(args: LoadBalancerArgs) -> None:
    if not args.targets:
        raise ValueError("targets should have at least one host, got none")
    if not 30 <= args.idle <= 300:
        raise ValueError(f"idle should be 30–300 seconds, got {args.idle}")
    if isinstance(args.tls, ManagedTls):
        zone = args.tls.zone
        if not args.tls.domains:
            raise ValueError("domains should have at least one name, got none")
        outside = [name for name in args.tls.domains if name != zone and not name.endswith(f".{zone}")]
        if outside:
            raise ValueError(
                f"domains of a managed certificate should be in Hetzner's zone {zone}, got {', '.join(outside)}"
            )
