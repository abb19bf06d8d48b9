"""What a fleet's plan is made of: plain values that decide which hosts exist, what runs on them, and who gets in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from planning.flows import Flow

Architecture = Literal["amd64", "arm64"]
Kind = Literal["created", "existing", "droplet"]

# --- hosts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a server type or size stands for, by the data sheet."""

    name: str
    cpu: int
    """vCPU."""
    memory: int
    """Bytes."""
    architecture: Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host of a fleet. Its name is its identity: it is never given to another machine by itself."""

    name: str
    kind: Kind
    """`created`: a Hetzner server. `existing`: someone's own, prepared over SSH. `droplet`: a rented one for a peak."""
    burst: bool
    """Takes the burst's services alone: every droplet, and existing servers that play one."""
    cpu: float
    """vCPU. Containers share it: the system, which needs little, is not counted."""
    memory: int
    """Bytes for containers: `total` less what the system, Docker and the edge need."""
    total: int
    """Bytes by the data sheet."""
    architecture: Architecture | None
    """None where it is not known: existing servers do not say."""
    groups: Sequence[str] = ()
    draining: bool = False
    """Gets nothing new and loses what it has; of a created host, all but what has its data there."""
    down: bool = False
    """Known to be dead: its edge and its data stay in the program, what was placed there does not, and no call goes
    there. Of a burst host nothing stays: it may never have come up."""
    generation: int = 0
    """A host that is made is rebuilt when this rises."""
    type: str | None = None
    """Server type or size; None for an existing server."""
    location: str | None = None
    """Location or region; None for an existing server."""
    address: str | None = None
    """Public address of an existing server; others get theirs when they are made."""
    host_key: str | None = None
    """SSH host key of an existing server; the program makes that of others."""
    user: str = "root"
    ssh_port: int = 22
    traffic: int = 1
    """Weight, 0–256, of its replicas in every edge, to move traffic between groups of hosts."""

    @property
    def usable(self) -> bool:
        """Whether anything may be placed on it."""
        return not (self.draining or self.down)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Every host of a stack, down and draining ones included."""

    hosts: Mapping[str, Host]
    """Created ones, then existing ones, then droplets."""
    groups: Mapping[str, Sequence[str]]
    architecture: Architecture | None
    """Of all hosts that tell; None where none does."""
    balancer: str | None
    """Type of the Hetzner load balancer in front of the created hosts; None: DNS points at the edges."""

    def named(self, place: str | None) -> Sequence[str]:
        """The hosts that a `place` means: one by its name, or a group's."""
        return [place] if place is not None and place in self.hosts else self.groups.get(place or "", ())

    @property
    def permanent(self) -> Sequence[Host]:
        return [host for host in self.hosts.values() if not host.burst]

    @property
    def burst(self) -> Sequence[Host]:
        return [host for host in self.hosts.values() if host.burst]

    @property
    def entries(self) -> Sequence[Host]:
        """Hosts whose edges visitors reach: behind a balancer the created ones, else every permanent one."""
        return [host for host in self.permanent if self.balancer is None or host.kind == "created"]


# --- what runs where -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUse:
    """Memory in bytes and vCPU of one host: what runs, what a release needs on top, and what there is."""

    host: str
    slots: Sequence[str]
    memory: int
    surge: int
    memory_total: int
    cpu: float
    cpu_total: float

    @property
    def memory_free(self) -> int:
        return self.memory_total - self.memory - self.surge


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Which slot runs on which host."""

    slots: Mapping[str, str]
    """Slot → host, in every service's order: replicas, canaries, then those on droplets."""
    services: Mapping[str, Mapping[str, Sequence[str]]]
    """Service → host → its slots there. Hosts without any are left out."""
    burst: Sequence[str]
    """Slots that are there because droplets are: beside a service's own replicas, gone with the droplet."""
    weights: Mapping[str, int]
    """Slot → its weight, 0–256, in its own host's edge."""
    shares: Mapping[str, Mapping[str, int]]
    """Service → host → its weight, 0–256, in every edge that sends there: the sum of its slots' weights."""
    use: Mapping[str, HostUse]
    """Every usable host, and draining ones with data, in the fleet's order."""
    stranded: Mapping[str, Sequence[str]]
    """Host that is down → the slots whose data is there. They run nowhere until it is back."""
    stable: bool
    """False where slots had to be packed without regard to where they were: the next change may move any of them."""


# --- who reaches whom ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSecurity:
    """Traffic that is let through. Everything that is not a flow is refused.

    Ends of flows: a range of addresses, `balancer`, a key of `members`, and `service-NAME`, whose traffic goes through
    edges only.
    """

    flows: Sequence[Flow]
    members: Mapping[str, Sequence[str]]
    """`edges`, `burst`, `entries`, `hosts` (all with SSH on port 22), `host-NAME` → the hosts that are meant."""
