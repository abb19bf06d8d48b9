"""A subnet for every service's Docker network, derived from names alone.

Nothing remembers which subnet was given to whom, so adding or removing a service moves no other (decisions.md 22).
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from settings.problems import ConfigError, Problem

_PREFIX = 26

MAX_CONTAINERS = 29
"""Addresses in the dynamic half of a /26 that Docker hands to containers: 32, less broadcast and a margin of two."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A /26: the gateway is .1, the edge .2, and Docker hands the upper half to containers."""

    cidr: str

    @property
    def gateway(self) -> str:
        return self._address(1)

    @property
    def edge(self) -> str:
        return self._address(2)

    @property
    def containers(self) -> str:
        """The range that containers get addresses from; a caller is recognised by it, never by the gateway's .1."""
        return f"{self._address(32)}/27"

    def _address(self, offset: int) -> str:
        return str(ipaddress.IPv4Network(self.cidr).network_address + offset)


def allocate(pool: str, stack: str, names: Iterable[str]) -> Mapping[str, Subnet]:
    """Give every name its subnet of ``pool``. Two names on one subnet are an error that names both."""
    network = ipaddress.IPv4Network(pool)
    count = 2 ** (_PREFIX - network.prefixlen)
    owners: dict[int, str] = {}
    subnets: dict[str, Subnet] = {}
    problems: list[Problem] = []
    for name in sorted(names):
        digest = hashlib.sha256(f"{stack}/{name}".encode()).digest()
        index = int.from_bytes(digest[:8]) % count
        if index in owners:
            problems.append(
                Problem(
                    "quayside:subnets",
                    f'services "{owners[index]}" and "{name}" fall on the same subnet of {pool}',
                    "set quayside:subnets to another range, for example 10.64.0.0/10, or rename one of the two",
                )
            )
            continue
        owners[index] = name
        base = int(network.network_address) + index * 2 ** (32 - _PREFIX)
        subnets[name] = Subnet(f"{ipaddress.IPv4Address(base)}/{_PREFIX}")
    if problems:
        raise ConfigError(problems)
    return subnets
