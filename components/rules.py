"""A firewall's rule as the plan has it, with addresses that may not be known yet. What no rule names is closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi

EVERYWHERE = ("0.0.0.0/0", "::/0")

Protocol = Literal["tcp", "udp", "icmp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Traffic that is let in. Refuses ports that are none, and a rule from nowhere."""

    protocol: Protocol
    first: int = 0
    last: int = 0
    """Both 0 with icmp, which has no ports."""
    sources: Sequence[pulumi.Input[str]]
    """Ranges, or addresses of single hosts."""
    why: str
    """For people, up to 255 characters."""

    def __post_init__(self) -> None:
        if self.protocol == "icmp":
            if (self.first, self.last) != (0, 0):
                raise ValueError(f"icmp has no ports, got {self.first}–{self.last} ({self.why})")
        elif not 1 <= self.first <= self.last <= 65535:
            raise ValueError(f"ports should be within 1–65535, got {self.first}–{self.last} ({self.why})")
        if not self.sources:
            raise ValueError(f"sources should name at least one range, got none ({self.why})")

    @property
    def ports(self) -> str | None:
        if self.protocol == "icmp":
            return None
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def as_range(address: str) -> str:
    """A range as it is; a single address as the range of itself, which is how Hetzner stores it."""
    return address if "/" in address else f"{address}/{128 if ':' in address else 32}"
