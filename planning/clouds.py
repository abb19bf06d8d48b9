"""What the clouds that hosts are rented from call their places and types, where their SDKs take any word."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LOCATIONS: Mapping[str, str] = MappingProxyType(
    {
        "fsn1": "eu-central",
        "nbg1": "eu-central",
        "hel1": "eu-central",
        "ash": "us-east",
        "hil": "us-west",
        "sin": "ap-southeast",
    }
)
"""Hetzner's locations, each with the zone that a private network spans (hcloud-go, network.go)."""

NETWORK_ZONES = tuple(sorted(set(LOCATIONS.values())))

BALANCER_TARGETS: Mapping[str, int] = MappingProxyType({"lb11": 25, "lb21": 75, "lb31": 150})
"""Hetzner's balancers, each with the targets that it may have (docs.hetzner.com, Load Balancers, 2026-11-30)."""
BALANCER_TYPES = tuple(BALANCER_TARGETS)

MACHINE_IMAGES = ("debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04")
"""Those of Hetzner's images that a host is prepared on: their packages have Docker 20.10 or newer."""

REGIONS = (
    *("nyc1", "nyc2", "nyc3", "sfo1", "sfo2", "sfo3", "tor1", "atl1", "ric1", "mkc1", "mem1"),
    *("ams2", "ams3", "fra1", "lon1", "blr1", "sgp1", "syd1"),
)
"""DigitalOcean's regions: those of Pulumi's SDK, and those that came after it."""
