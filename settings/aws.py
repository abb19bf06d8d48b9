"""What only an AWS stack has: its network, its balancers, its registry, and the quotas of its account."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from settings.base import Settings
from settings.types import (
    AtLeastOne,
    CertificateArn,
    Cidr,
    Days,
    Distinct,
    Domain,
    Idle,
    Prefix,
    Repository,
    RoleArn,
    SecretKey,
    VpcRange,
)


class Network(Settings):
    """The VPC of an AWS stack."""

    range: VpcRange = "10.0.0.0/16"
    """Private IPv4 addresses of the VPC, /16 to /20. Each zone gets an eighth, whether or not it is in use."""
    nat: Literal["one", "per-zone", "none"] = "one"
    """NAT gateways: `one` for the stack (a third of the price), `per-zone` (no zone depends on another), or `none`:
    endpoints for what ECS itself needs, and no way to the internet."""
    flow_logs: Days | None = None
    """How long accepted and refused connections are kept; unset: not recorded."""


class Balancer(Settings):
    """The load balancers of an AWS stack, all alike."""

    certificates: Annotated[tuple[CertificateArn, ...], Distinct] = ()
    """Existing ACM certificates, the default one first. Unset: one is made for every declared host."""
    allow: Annotated[tuple[Cidr, ...], Distinct] = Field(default=("0.0.0.0/0",), min_length=1)
    """Who may reach the balancers. IPv4 ranges."""
    logs: Days | None = 30 * 86400
    """How long access logs are kept; `none` is not a time: set it to null for no logs."""
    idle: Idle = 60
    """Time a connection may be silent before the balancer closes it. A service must keep its own connections open for
    longer (docs/aws.md), or now and then a request gets 502."""


class Cache(Settings):
    """A registry whose images are pulled through the stack's own."""

    upstream: Domain
    """Its host, as ECR names it."""
    username: str | None = Field(default=None, max_length=256)
    password: SecretKey | None = None
    """Key under `secrets`, for registries that ask for a login."""


class Repositories(Settings):
    """The images' registry of an AWS stack (ECR)."""

    repositories: Annotated[tuple[Repository, ...], Distinct] = ()
    """Repositories that are made. An image without a host whose repository is among them is taken from here."""
    push: Annotated[tuple[RoleArn, ...], Distinct] = ()
    """Roles that may push, such as CI's. Nobody else may, whatever their own policies say."""
    keep: AtLeastOne = 50
    """Newest images that a repository keeps."""
    cache: dict[Prefix, Cache] = Field(default_factory=dict[str, Cache])
    """Prefix in this registry → the registry it is a copy of."""


class Quotas(Settings):
    """Quotas of the AWS account that were raised; the defaults are AWS's own."""

    rules_per_balancer: AtLeastOne = 100
    certificates_per_balancer: AtLeastOne = 25
    targets_per_balancer: AtLeastOne = 1000
    rules_per_security_group: AtLeastOne = 60
