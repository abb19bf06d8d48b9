"""What a Hetzner server type or a DigitalOcean size gives: vCPU, memory, architecture.

Sources:

- Hetzner: the plan table of hetzner.com/cloud, as public projects have copied it into code in 2025 and 2026. Types that
  are not sold any more since January 2026 (cx22–52; cpx11–51 in Europe) still run, so they are listed.
- DigitalOcean: `doctl compute size list`. Sizes say what they are (`s-4vcpu-8gb`, `so1_5-2vcpu-16gb`,
  `c2-4vcpu-8gb-intel`, `s-1vcpu-512mb-10gb`), but for the CPU-optimised `c-4`, which have 2 GiB for each vCPU. All are
  amd64. GPU sizes are left out: the `80gb` in their names is the GPU's memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from planning.hosts.model import Architecture, Machine
from settings.types import nearest
from settings.units import GIB, MIB

_X86: Mapping[str, tuple[int, int]] = {
    # Shared vCPU, Intel or AMD: vCPU, GiB.
    "cx22": (2, 4), "cx32": (4, 8), "cx42": (8, 16), "cx52": (16, 32),
    "cx23": (2, 4), "cx33": (4, 8), "cx43": (8, 16), "cx53": (16, 32),
    # Shared vCPU, AMD.
    "cpx11": (2, 2), "cpx21": (3, 4), "cpx31": (4, 8), "cpx41": (8, 16), "cpx51": (16, 32),
    "cpx02": (1, 1), "cpx12": (1, 2), "cpx22": (2, 4), "cpx32": (4, 8),
    "cpx42": (8, 16), "cpx52": (12, 24), "cpx62": (16, 32),
    # Dedicated vCPU, AMD.
    "ccx13": (2, 8), "ccx23": (4, 16), "ccx33": (8, 32), "ccx43": (16, 64), "ccx53": (32, 128), "ccx63": (48, 192),
}  # fmt: skip

# Shared vCPU, Ampere.
_ARM: Mapping[str, tuple[int, int]] = {"cax11": (2, 4), "cax21": (4, 8), "cax31": (8, 16), "cax41": (16, 32)}


def _machines(sizes: Mapping[str, tuple[int, int]], architecture: Architecture) -> Mapping[str, Machine]:
    return {
        name: Machine(name=name, cpu=cpu, memory=gib * GIB, architecture=architecture)
        for name, (cpu, gib) in sizes.items()
    }


SERVER_TYPES: Mapping[str, Machine] = MappingProxyType({**_machines(_X86, "amd64"), **_machines(_ARM, "arm64")})

SUCCESSORS: Mapping[str, str] = MappingProxyType(
    {
        "cx22": "cx23", "cx32": "cx33", "cx42": "cx43", "cx52": "cx53",
        "cpx11": "cpx12", "cpx21": "cpx22", "cpx31": "cpx32", "cpx41": "cpx42", "cpx51": "cpx62",
    }
)  # fmt: skip
"""Types that Hetzner has taken off sale in Europe → the nearest that it sells. Servers that exist keep theirs."""

_EUROPE_ONLY = re.compile("c(x|ax)[0-9]+")
"""Families that Hetzner sells in its European locations alone: `unsupported location for server type` elsewhere (public
reports of 2026; hetzner.com/cloud). What is in stock there changes by the hour and only the API knows."""


def is_sold_in(server_type: str, zone: str) -> bool:
    """Whether Hetzner sells this type in locations of the network zone at all, as far as its families say."""
    return zone == "eu-central" or _EUROPE_ONLY.fullmatch(server_type) is None


_COMMON_SIZES = (
    *("s-1vcpu-1gb", "s-1vcpu-2gb", "s-2vcpu-2gb", "s-2vcpu-4gb", "s-4vcpu-8gb", "s-8vcpu-16gb"),
    *("c-2", "c-4", "c-8", "c-16", "c-32", "g-2vcpu-8gb", "g-4vcpu-16gb", "g-8vcpu-32gb", "g-16vcpu-64gb"),
    *("m-2vcpu-16gb", "m-4vcpu-32gb", "m-8vcpu-64gb", "so-2vcpu-16gb", "so-4vcpu-32gb", "c2-2vcpu-4gb", "c2-4vcpu-8gb"),
)
"""To suggest from: what is not here may exist as well."""

# Families: basic, CPU-, general purpose, memory- and storage-optimised. Then disk size and maker of the CPU.
_SIZE = re.compile(
    r"(?:s|c2|gd?|m[36]?|so(?:1_5)?)-(?P<cpu>[1-9][0-9]?)v(?:cpu|pcu)-(?P<memory>[1-9][0-9]{0,2})(?P<unit>gb|mb)"
    r"(?:-[1-9][0-9]*gb)?(?:-(?:intel|amd))?"
)
_CPU_OPTIMISED = re.compile(r"c-(?P<cpu>[1-9][0-9]?)(?:-(?:intel|amd))?")


def server_type(name: str) -> Machine | None:
    """A Hetzner server type, or None for one that is not known."""
    return SERVER_TYPES.get(name)


def droplet_size(name: str) -> Machine | None:
    """A DigitalOcean size, or None for a name that does not say what it is."""
    if found := _CPU_OPTIMISED.fullmatch(name):
        cpu = int(found["cpu"])
        return Machine(name=name, cpu=cpu, memory=2 * cpu * GIB, architecture="amd64")
    if found := _SIZE.fullmatch(name):
        memory = int(found["memory"]) * (GIB if found["unit"] == "gb" else MIB)
        return Machine(name=name, cpu=int(found["cpu"]), memory=memory, architecture="amd64")
    return None


def like_server_type(name: str) -> str:
    """What to write instead of an unknown server type."""
    close = nearest(name, SERVER_TYPES)
    return f'did you mean "{close}"?' if close else f"known: {', '.join(sorted(SERVER_TYPES))}"


def like_droplet_size(name: str) -> str:
    """What to write instead of an unknown size."""
    close = nearest(name, _COMMON_SIZES)
    return f'did you mean "{close}"?' if close else "a size that says its vCPU and memory, such as s-4vcpu-8gb or c-4"
