"""Traffic that is let through, on every cloud: what is not a flow is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

INTERNET = "internet"
"""The name of whatever is outside the stack."""
WORLD = "0.0.0.0/0"

Protocol = Literal["tcp", "udp", "icmp", "all"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Flow:
    """Traffic that is let through. Everything that is not a flow is refused."""

    source: str
    """The name of a group that the plan defines, or a range of addresses."""
    target: str
    """Likewise; on AWS also `s3`."""
    protocol: Protocol
    first: int
    last: int
    """Both 0 where the protocol is `all` or `icmp`."""
    why: str
    """For people: the description of the rule, up to 255 characters of a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"""


def flow(source: str, target: str, ports: int | tuple[int, int], why: str, protocol: Protocol = "tcp") -> Flow:
    first, last = ports if isinstance(ports, tuple) else (ports, ports)
    return Flow(source=source, target=target, protocol=protocol, first=first, last=last, why=why)


def merged(flows: Sequence[Flow]) -> Sequence[Flow]:
    """One flow for each that differs in more than its cause: clouds refuse a second rule that says the same."""
    causes: dict[tuple[str, str, Protocol, int, int], list[str]] = {}
    for one in flows:
        causes.setdefault((one.source, one.target, one.protocol, one.first, one.last), []).append(one.why)
    return sorted(
        Flow(source=source, target=target, protocol=protocol, first=first, last=last, why=_joined(whys))
        for (source, target, protocol, first, last), whys in causes.items()
    )


def rows(flows: Sequence[Flow]) -> list[dict[str, str]]:
    """The flows as a table for people."""
    return [
        {"from": _named(one.source), "to": _named(one.target), "address": address(one), "why": one.why} for one in flows
    ]


def address(one: Flow) -> str:
    """Protocol and ports, in words."""
    if one.protocol in {"all", "icmp"}:
        return one.protocol
    if (one.first, one.last) == (0, 65535):
        return f"{one.protocol} all"
    return f"{one.protocol} {one.first}" + (f"-{one.last}" if one.last != one.first else "")


def _named(end: str) -> str:
    return INTERNET if end == WORLD else end


_WHY_LENGTH = 255


def _joined(whys: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(whys))
    for shown in range(len(distinct), 0, -1):
        more = f"; and {len(distinct) - shown} more" if shown < len(distinct) else ""
        text = "; ".join(distinct[:shown]) + more
        if len(text) <= _WHY_LENGTH:
            return text
    return distinct[0][:_WHY_LENGTH]
