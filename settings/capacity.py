"""Where services run and how much there is of it, on each cloud that is not this machine."""

from __future__ import annotations

from typing import Annotated, cast

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from settings.base import Settings, refused
from settings.types import (
    AtLeastOne,
    Cidr,
    Count,
    Cpu,
    Distinct,
    Flag,
    HostImage,
    Identifier,
    Ipv4Address,
    JumpHost,
    MachineImage,
    Memory,
    Name,
    PercentOrNone,
    Port,
    SshKey,
    User,
    ZoneLetter,
    Zones,
)


class Instances(Settings):
    """The pool of EC2 instances that tasks are placed on."""

    types: Annotated[tuple[Identifier, ...], Distinct] = Field(min_length=1)
    """Instance types, the preferred one first; all of one architecture."""
    min: Count = 0
    max: AtLeastOne
    spot: PercentOrNone = 0
    """Percent of the instances above `min` that are spot."""
    generation: Count = 0
    """Raise it to roll every instance onto the current machine image."""
    image: MachineImage | None = None
    """Id of a machine image of your own; unset: AWS's image for ECS, as it was when `generation` was last raised."""
    disk: Memory = 40 * 1024**3
    """Size of each instance's encrypted disk: images, containers and their logs."""
    trunking: Flag = True
    """Lets an instance hold more tasks with an address of their own. Sets `awsvpcTrunking` for the account's region."""

    @model_validator(mode="after")
    def _bounds(self) -> Instances:
        if self.min > self.max:
            raise refused(f"min should be at most max, got min {self.min} and max {self.max}")
        return self


class Fargate(Settings):
    """Capacity for the services that say ``on: fargate``."""

    spot: PercentOrNone = 0
    """Percent of the tasks on Fargate Spot, beyond the first of each service; at 100 the first is there as well."""


def _two_or_three(letters: tuple[str, ...]) -> tuple[str, ...]:
    if not 2 <= len(letters) <= 3:
        raise refused(f"should be 2 or 3 zones, got {len(letters)}", "name them by letter: [a, b]")
    return letters


def _zones_kind(value: object) -> str:
    return "\0letters" if isinstance(value, (list, tuple)) else "\0count"


class AwsCapacity(Settings):
    """``quayside:capacity`` of an AWS stack."""

    zones: Annotated[
        Annotated[Zones, Tag("\0count")]
        | Annotated[
            Annotated[
                tuple[ZoneLetter, ...],
                Distinct,
                AfterValidator(_two_or_three),
                Field(json_schema_extra={"minItems": 2, "maxItems": 3}),
            ],
            Tag("\0letters"),
        ],
        Discriminator(_zones_kind),
    ] = 2
    """Availability zones: 2–3, or by letter, `[a, c]`, where an account does not have all of them."""
    instances: Instances | None = None
    """The pool of EC2 instances; unset: every service says `on: fargate`."""
    fargate: Fargate = Fargate()


class HostPool(Settings):
    """Servers that are made alike and numbered: host1, host2, …"""

    count: Count
    type: Identifier
    """Server type, such as cx33."""
    skip: tuple[AtLeastOne, ...] = ()
    """Numbers left out, so that a host in the middle can go: `[2]`."""


class NamedHost(Settings):
    """A server that is made under a name of its own."""

    type: Identifier
    location: Identifier | None = None
    """Unset: the capacity's `location`."""


class ExistingServer(Settings):
    """A server that is there already: prepared over SSH, never created, rebuilt or destroyed."""

    name: Name
    address: Ipv4Address
    """Public address that SSH and the other hosts' edges reach it at."""
    cpu: Cpu
    memory: Memory
    host_key: SshKey
    """Its SSH host key; a server that shows another is refused."""
    user: User = "root"
    port: Port = 22
    """Port of its SSH server."""
    burst: Flag = False
    """Takes the part of a burst droplet, for trials."""


class HostBalancer(Settings):
    """A Hetzner load balancer in front of the edges."""

    type: Identifier = "lb11"


def _hosts_kind(value: object) -> str:
    if not isinstance(value, dict) or not value:
        return "\0pool"
    given = cast("dict[object, object]", value)
    # `{web1: cx33}` was meant as a name, too, and `{count: {type: cx33}}` is one.
    named = given.keys().isdisjoint(HostPool.model_fields) or all(isinstance(host, dict) for host in given.values())
    return "\0named" if named else "\0pool"


class HostCapacity(Settings):
    """``quayside:capacity`` of a fleet (``cloud: hetzner``)."""

    location: Identifier | None = None
    """Where created hosts are, such as fsn1."""
    hosts: (
        Annotated[
            Annotated[HostPool, Tag("\0pool")] | Annotated[dict[Name, NamedHost], Tag("\0named")],
            Discriminator(_hosts_kind),
        ]
        | None
    ) = None
    """Servers the stack creates: `{count, type, skip}`, or by name `{web1: {type: cx33}}`."""
    existing: tuple[ExistingServer, ...] = ()
    """Servers that are there already."""
    balancer: HostBalancer | None = None
    """Unset: DNS points at the edges."""
    groups: dict[Name, Annotated[tuple[Name, ...], Distinct]] = Field(default_factory=dict[str, tuple[str, ...]])
    """Names for several hosts, for `place`."""
    generation: dict[Name, Count] = Field(default_factory=dict[str, int])
    """Host → a number; raise it to rebuild that host, one an `up` and drained before: `{host2: 2}`."""
    drain: Annotated[tuple[Name, ...], Distinct] = ()
    """Hosts that get no work, before they are rebuilt or removed."""
    down: Annotated[tuple[Name, ...], Distinct] = ()
    """Hosts known to be dead: not called; their replicas are placed elsewhere, what has its data there waits."""
    image: HostImage | None = None
    """Machine image of created hosts, by id or name; unset: Debian's own. Taken when a host is made or rebuilt."""


class Burst(Settings):
    """Rented droplets that join the fleet for a peak. Raise ``droplets`` and run ``pulumi up``."""

    droplets: Count = 0
    size: Identifier = "s-4vcpu-8gb"
    region: Identifier = "fra1"
    services: Annotated[tuple[Name, ...], Distinct] = ()
    """Services that may run on them."""


class Access(Settings):
    """Who may administer the hosts."""

    ssh: Annotated[tuple[Cidr, ...], Distinct] = ()
    """Address ranges that SSH is open to."""
    keys: Annotated[tuple[SshKey, ...], Distinct] = ()
    """Public keys that are let in, on every host. One that is taken out enters none after the next `up`."""
    deploy_key: Count = 0
    """Number of the stack's own key. One higher is a new key, which the next `up` puts in the place of the old one."""
    jump: JumpHost | None = None
    """A host that all others are reached through: `user@bastion.example.com`. ``ssh`` has to have its address."""
    jump_host_key: SshKey | None = None
    """Its host key; unset: it has to be in your known hosts."""
