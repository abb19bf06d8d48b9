"""The parts that identifiers of AWS are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rehearsal.record import Registration
from rehearsal.values import Secret

ACCOUNT = "123456789012"
_LOWER = ("aws:s3/bucket:Bucket", "aws:ecr/repository:Repository")
"""Types whose names Pulumi makes in lower case."""


class Made:
    """The parts that identifiers are made of."""

    def __init__(self, found: Registration, digest: str, region: str) -> None:
        self.found = found
        self.inputs = found.inputs
        self.digest = digest
        self.region = region
        self.partition = partition(region)

    @property
    def name(self) -> str:
        """The physical name: as given, or the logical one and seven characters."""
        key = "bucket" if self.found.type == "aws:s3/bucket:Bucket" else "name"
        prefix = text_of(self.inputs.get(f"{key}Prefix"))
        if prefix:
            return f"{prefix}{int(self.digest[:20], 16):026d}"[: len(prefix) + 26]
        logical = self.found.name.lower() if self.found.type in _LOWER else self.found.name
        return text_of(self.inputs.get(key)) or f"{logical}-{self.digest[:7]}"

    def id(self, prefix: str) -> str:
        return f"{prefix}-{self.digest[:17]}"

    def arn(self, service: str, resource: str, *, region: bool = True, account: bool = True) -> str:
        place = self.region if region else ""
        return f"arn:{self.partition}:{service}:{place}:{ACCOUNT if account else ''}:{resource}"

    def text(self, key: str) -> str:
        return text_of(self.inputs.get(key))

    @property
    def address(self) -> str:
        return ".".join(str(1 + int(self.digest[i : i + 2], 16) % 250) for i in (0, 2, 4))


Simulator = Callable[[Made], Mapping[str, Any]]


def partition(region: str) -> str:
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region[: 6 if region.startswith("us-gov") else 2], "aws")


def text_of(value: Any) -> str:
    if isinstance(value, Secret):
        return text_of(value.value)
    return value if isinstance(value, str) else ""


def domain_of(partition_: str) -> str:
    return "amazonaws.com.cn" if partition_ == "aws-cn" else "amazonaws.com"


def last_of(arn: str, separator: str = "/") -> str:
    return arn.rpartition(separator)[2]


def pair_of(first: str, second: str) -> Simulator:
    def simulator(made: Made) -> Mapping[str, Any]:
        return {"id": f"{made.text(first)}_{last_of(made.text(second))}"}

    return simulator
